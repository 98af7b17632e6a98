/*
 * cache.c - answers by question, with an end of life, bounded in bytes. What is looked up moves to the front; room is made at
 * the back.
 */
#include <stdlib.h>

#include "resolver_internal.h"

struct kept {
    struct kept *newer, *older;
    struct dns_answer *answer;
    uint64_t until_ms;
    size_t cost;
    struct dns_key key;
};

struct dns_cache {
    struct map *map; /* key to struct kept */
    struct kept *newest, *oldest;
    size_t bytes, bytes_max;
};

struct dns_cache *dns_cache_new(size_t bytes)
{
    struct dns_cache *c = xcalloc(1, sizeof *c);
    c->map = map_new();
    c->bytes_max = bytes;
    return c;
}

static void take_out(struct dns_cache *c, struct kept *k)
{
    *(k->newer ? &k->newer->older : &c->newest) = k->older;
    *(k->older ? &k->older->newer : &c->oldest) = k->newer;
}

static void put_in_front(struct dns_cache *c, struct kept *k)
{
    k->newer = NULL;
    k->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = k;
    c->newest = k;
}

static void drop(struct dns_cache *c, struct kept *k)
{
    take_out(c, k);
    map_remove(c->map, key_str(&k->key));
    c->bytes -= k->cost;
    dns_answer_unref(&k->answer);
    free(k);
}

void dns_cache_free(struct dns_cache **c)
{
    if (*c) {
        while ((*c)->oldest) {
            drop(*c, (*c)->oldest);
        }
        map_free(&(*c)->map, NULL);
        free(*c);
        *c = NULL;
    }
}

struct dns_answer *dns_cache_get(struct dns_cache *c, const struct dns_key *key, uint64_t now_ms)
{
    struct kept *k = map_get(c->map, key_str(key));
    if (!k) {
        return NULL;
    }
    if (k->until_ms <= now_ms) {
        drop(c, k);
        return NULL;
    }
    if (k != c->newest) {
        take_out(c, k);
        put_in_front(c, k);
    }
    return k->answer;
}

void dns_cache_put(struct dns_cache *c, const struct dns_key *key, struct dns_answer *a, uint64_t until_ms)
{
    struct kept *before = map_get(c->map, key_str(key));
    if (before) {
        drop(c, before);
    }
    /* The entry, its key twice and slots, the answer with its records and its bytes about twice (raw, and as text). */
    size_t cost = sizeof *before + key->n + 200 + sizeof *a + a->count * sizeof *a->records + 2 * a->raw.n;
    if (cost > c->bytes_max) {
        return;
    }
    while (c->bytes + cost > c->bytes_max) {
        drop(c, c->oldest);
    }
    struct kept *k = xcalloc(1, sizeof *k);
    k->answer = dns_answer_ref(a);
    k->until_ms = until_ms;
    k->cost = cost;
    k->key = *key;
    c->bytes += cost;
    map_put(c->map, key_str(&k->key), k);
    put_in_front(c, k);
}
