/*
 * map.c - entries in order of insertion, and an index of slots (open addressing, linear probing) that points into them.
 *
 * A removed entry stays in its place with no value (its slot keeps pointing at it, so that probing goes on past it, or is taken by
 * the next key that comes by: one that is removed and put again all the time makes no chain) until the entries are full; then
 * the map is built anew, larger when it is well filled. So a removal never moves anything, and a cursor stays good across it. The
 * index has twice as many slots as there can be entries: a probe always ends at an empty slot.
 */
#include "postern/base/map.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "random_seed.h"
#include "siphash.h"

struct entry {
    char *key; /* owned */
    size_t key_n;
    uint64_t hash;
    void *value; /* NULL: removed */
};

struct map {
    struct entry *entries;
    uint32_t *slots; /* 2 * cap; entry number + 1, 0 empty */
    size_t n;        /* entries in use, removed ones too */
    size_t cap;      /* a power of two */
    size_t live;
    size_t first;    /* no live entry before this one */
};

enum { CAP_FIRST = 8 };

static uint64_t hash_key[2];
static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;

static void draw_hash_key(void)
{
    random_hash_seed(hash_key);
}

uint64_t hash_bytes(const void *bytes, size_t n)
{
    pthread_once(&hash_key_once, draw_hash_key);
    return siphash_2_4(hash_key, bytes, n);
}

struct map *map_new(void)
{
    return xcalloc(1, sizeof(struct map));
}

void map_free(struct map **m, void (*free_value)(void *value))
{
    if (!*m)
        return;
    for (size_t i = 0; i < (*m)->n; i++) {
        struct entry *e = &(*m)->entries[i];
        if (e->value && free_value)
            free_value(e->value);
        free(e->key);
    }
    free((*m)->entries);
    free((*m)->slots);
    free(*m);
    *m = NULL;
}

static struct entry *find(const struct map *m, struct str key, uint64_t hash)
{
    if (m->live == 0)
        return NULL;
    size_t mask = 2 * m->cap - 1;
    for (size_t at = hash & mask; m->slots[at] != 0; at = (at + 1) & mask) {
        struct entry *e = &m->entries[m->slots[at] - 1];
        if (e->value && e->hash == hash && str_eq((struct str){e->key, e->key_n}, key))
            return e;
    }
    return NULL;
}

static void index_entry(struct map *m, size_t number)
{
    size_t mask = 2 * m->cap - 1;
    size_t at = m->entries[number].hash & mask;
    while (m->slots[at] != 0 && m->entries[m->slots[at] - 1].value)
        at = (at + 1) & mask;
    m->slots[at] = (uint32_t)number + 1;
}

/* Leaves the removed entries out; afterwards at least half of the entries are free. */
static void rebuild(struct map *m)
{
    size_t cap = m->cap ? m->cap : CAP_FIRST;
    while (m->live > cap / 2)
        cap *= 2;
    while (cap > CAP_FIRST && m->live < cap / 8)
        cap /= 2;
    assert(cap <= UINT32_MAX / 2);
    size_t n = 0;
    struct entry *entries = xmalloc(cap * sizeof *entries);
    for (size_t i = 0; i < m->n; i++) {
        if (m->entries[i].value)
            entries[n++] = m->entries[i];
    }
    free(m->entries);
    free(m->slots);
    m->entries = entries;
    m->slots = xcalloc(2 * cap, sizeof *m->slots);
    m->cap = cap;
    m->n = n;
    m->first = 0;
    for (size_t i = 0; i < n; i++)
        index_entry(m, i);
}

void *map_get(const struct map *m, struct str key)
{
    if (m->live == 0)
        return NULL;
    struct entry *e = find(m, key, hash_bytes(key.p, key.n));
    return e ? e->value : NULL;
}

void *map_put(struct map *m, struct str key, void *value)
{
    assert(value);
    uint64_t hash = hash_bytes(key.p, key.n);
    struct entry *e = find(m, key, hash);
    if (e) {
        void *old = e->value;
        e->value = value;
        return old;
    }
    if (m->n == m->cap)
        rebuild(m);
    m->entries[m->n] = (struct entry){xstrndup(key.p, key.n), key.n, hash, value};
    index_entry(m, m->n);
    m->n++;
    m->live++;
    return NULL;
}

void *map_remove(struct map *m, struct str key)
{
    struct entry *e = m->live > 0 ? find(m, key, hash_bytes(key.p, key.n)) : NULL;
    if (!e)
        return NULL;
    void *value = e->value;
    free(e->key);
    *e = (struct entry){.hash = e->hash};
    m->live--;
    while (m->first < m->n && !m->entries[m->first].value)
        m->first++;
    return value;
}

size_t map_count(const struct map *m)
{
    return m->live;
}

bool map_next(const struct map *m, size_t *cursor, struct str *key, void **value)
{
    if (*cursor < m->first)
        *cursor = m->first;
    while (*cursor < m->n) {
        const struct entry *e = &m->entries[(*cursor)++];
        if (!e->value)
            continue;
        if (key)
            *key = (struct str){e->key, e->key_n};
        if (value)
            *value = e->value;
        return true;
    }
    return false;
}
