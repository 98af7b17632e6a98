/*
 * memory.c - the store that forgets when the process ends: two maps of rows.
 *
 * An operation is carried out when it is started, in one piece; its result waits in a queue and is told from the loop, so that
 * nobody is called back before start returned. Rows expire logically: one whose time is past is as if it were not there, and is
 * dropped in passing.
 *
 * Greylist rows that never passed, and rates, are what a flood of strangers makes; they lie in a map of their own (`strangers`)
 * and are the first to go when the store is full, so that a million of them do not push out who is known (`known`). Within a
 * map the oldest goes first.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "operate.h"
#include "postern/base/map.h"

enum { SWEEP_ROWS = 8, GRACE_MS = 3600 * 1000 };

struct stored { /* a value of the maps */
    struct store_row row;
    struct rate rate[]; /* one for a row of the table of rates, none for others */
};

struct store_request {
    struct store_result result;
    struct page *page; /* NULL: the operation has none */
    store_done done;
    void *context;
    struct store_request *next, **place; /* in the queue of results; place points at what points at it */
};

struct memory {
    struct store store;
    struct rows rows;
    struct map *strangers, *known;
    size_t max;
    size_t rulings;                        /* rows of that table */
    size_t strangers_cursor, known_cursor; /* how far sweeping has come */
    struct task task;
    struct store_request *first, **last;
};

#define OWNER_OF(pointer, member) ((struct memory *)(void *)((char *)(pointer) - offsetof(struct memory, member)))

/* --- rows ------------------------------------------------------------------------------------------------------------------- */

static struct str key_of(struct buf *room, enum store_table table, struct str key)
{
    buf_char(room, (char)('a' + table));
    buf_str(room, key);
    return buf_view(room);
}

static size_t total(const struct memory *m)
{
    return map_count(m->strangers) + map_count(m->known);
}

static const struct stored *find(struct memory *m, enum store_table table, struct str key)
{
    struct buf room = {0};
    struct str whole = key_of(&room, table, key);
    const struct stored *found = map_get(m->strangers, whole);
    if (!found)
        found = map_get(m->known, whole);
    buf_free(&room);
    return found;
}

static void drop(struct memory *m, struct map *map, struct str whole)
{
    struct stored *s = map_remove(map, whole);
    if (s && whole.p[0] == 'a' + STORE_TABLE_RULINGS)
        m->rulings--;
    free(s);
}

static bool remove_row(struct rows *r, enum store_table table, struct str key)
{
    struct memory *m = OWNER_OF(r, rows);
    struct buf room = {0};
    struct str whole = key_of(&room, table, key);
    bool ruling = table == STORE_TABLE_RULINGS && find(m, table, key);
    free(map_remove(m->strangers, whole));
    free(map_remove(m->known, whole));
    m->rulings -= ruling;
    buf_free(&room);
    return true;
}

/* Looks at a few rows of a map, going round, and drops what has expired: a little with each insert, so that no turn is long. */
static void sweep_some(struct memory *m, struct map *map, size_t *cursor, uint64_t before_ms)
{
    struct str key;
    void *value;
    for (int i = 0; i < SWEEP_ROWS; i++) {
        if (!map_next(map, cursor, &key, &value)) {
            *cursor = 0;
            return;
        }
        if (before_ms < ((struct stored *)value)->row.expires_ms)
            continue;
        char *whole = xstrndup(key.p, key.n);
        drop(m, map, (struct str){whole, key.n});
        free(whole);
    }
}

/* While there is room garbage is kept for an hour, so that a clock set back finds what it left. */
static void make_room(struct memory *m, uint64_t now_ms)
{
    uint64_t grace = total(m) < m->max ? GRACE_MS : 0, before = now_ms > grace ? now_ms - grace : 0;
    struct map *from;
    size_t cursor = 0;
    struct str key;
    sweep_some(m, m->strangers, &m->strangers_cursor, before);
    sweep_some(m, m->known, &m->known_cursor, before);
    from = map_count(m->strangers) ? m->strangers : m->known;
    if (total(m) < m->max || !map_next(from, &cursor, &key, NULL))
        return;
    char *whole = xstrndup(key.p, key.n);
    drop(m, from, (struct str){whole, key.n});
    free(whole);
}

/* Puts a row as the youngest one; takes the value. */
static void put_value(struct memory *m, enum store_table table, struct str key, struct stored *value, uint64_t now_ms)
{
    struct buf room = {0};
    struct str whole = key_of(&room, table, key);
    bool stranger = table == STORE_TABLE_RATES || (table == STORE_TABLE_GREYLIST && value->row.passed == 0);
    remove_row(&m->rows, table, key);
    make_room(m, now_ms);
    map_put(stranger ? m->strangers : m->known, whole, value);
    m->rulings += table == STORE_TABLE_RULINGS;
    buf_free(&room);
}

static enum got get_row(struct rows *r, enum store_table table, struct str key, struct store_row *out)
{
    const struct stored *s = find(OWNER_OF(r, rows), table, key);
    if (!s)
        return GOT_NOTHING;
    *out = s->row;
    return GOT_ROW;
}

static bool put_row(struct rows *r, enum store_table table, struct str key, const struct store_row *row, uint64_t now_ms)
{
    struct stored *s = xmalloc(sizeof *s);
    s->row = *row;
    put_value(OWNER_OF(r, rows), table, key, s, now_ms);
    return true;
}

static enum got get_rate(struct rows *r, struct str key, struct rate *out)
{
    const struct stored *s = find(OWNER_OF(r, rows), STORE_TABLE_RATES, key);
    if (!s)
        return GOT_NOTHING;
    *out = s->rate[0];
    return GOT_ROW;
}

static bool put_rate(struct rows *r, struct str key, const struct rate *rate, uint64_t now_ms)
{
    struct stored *s = xmalloc(sizeof *s + sizeof *rate);
    s->row = store_rate_row(rate);
    s->rate[0] = *rate;
    put_value(OWNER_OF(r, rows), STORE_TABLE_RATES, key, s, now_ms);
    return true;
}

static bool has_rulings(struct rows *r)
{
    return OWNER_OF(r, rows)->rulings > 0;
}

/* --- walking: the smallest `limit` keys behind `after`, found by looking at all --------------------------------------------- */

struct found {
    struct str key; /* in the map, without the letter of its table */
    const struct stored *value;
};

static void gather(struct map *map, char letter, struct str prefix, struct str after, unsigned limit, struct found *list,
                   size_t *count)
{
    size_t cursor = 0;
    struct str whole;
    void *value;
    while (map_next(map, &cursor, &whole, &value)) {
        struct str key = str_sub(whole, 1, whole.n);
        if (whole.p[0] != letter || !str_starts(key, prefix) || (after.p && str_cmp(key, after) <= 0))
            continue;
        size_t at = *count;
        while (at > 0 && str_cmp(list[at - 1].key, key) > 0)
            at--;
        if (at == limit)
            continue;
        if (*count < limit)
            ++*count;
        memmove(&list[at + 1], &list[at], (*count - at - 1) * sizeof *list);
        list[at] = (struct found){key, value};
    }
}

static bool walk(struct rows *r, enum store_table table, struct str prefix, struct str after, unsigned limit, struct page *page)
{
    struct memory *m = OWNER_OF(r, rows);
    struct found list[STORE_PAGE_MAX];
    size_t count = 0;
    gather(m->strangers, (char)('a' + table), prefix, after, limit, list, &count);
    gather(m->known, (char)('a' + table), prefix, after, limit, list, &count);
    for (size_t i = 0; i < count; i++)
        page_add(page, list[i].key, &list[i].value->row);
    return true;
}

static const struct rows_ops memory_rows = {get_row, put_row, get_rate, put_rate, remove_row, has_rulings, walk};

/* --- requests --------------------------------------------------------------------------------------------------------------- */

static struct memory *memory_of(struct store *s)
{
    return (struct memory *)s;
}

static void dequeue(struct memory *m, struct store_request *r)
{
    *r->place = r->next;
    if (r->next)
        r->next->place = r->place;
    else
        m->last = r->place;
}

static void free_request(struct store_request *r)
{
    page_free(&r->page);
    free(r);
}

static void tell(struct task *t)
{
    struct memory *m = OWNER_OF(t, task);

    while (m->first) {
        struct store_request *r = m->first;
        dequeue(m, r);
        r->done(r->context, &r->result);
        free_request(r);
    }
}

static struct store_request *memory_start(struct store *s, const struct store_operation *op, store_done done, void *context)
{
    struct memory *m = memory_of(s);
    struct store_request *r = xcalloc(1, sizeof *r);
    struct store_operation *copy = store_operation_copy(op);

    *r = (struct store_request){
        .page = store_is_paged(op->kind) ? page_new() : NULL, .done = done, .context = context, .place = m->last};
    store_operate(&m->rows, copy, &r->result, r->page);
    free(copy);
    *m->last = r;
    m->last = &r->next;
    loop_wake(s->loop, &m->task);
    return r;
}

static void memory_cancel(struct store *s, struct store_request *request)
{
    dequeue(memory_of(s), request);
    free_request(request);
}

static void memory_destroy(struct store *s)
{
    struct memory *m = memory_of(s);

    while (m->first)
        memory_cancel(s, m->first);
    loop_unwake(s->loop, &m->task);
    map_free(&m->strangers, free);
    map_free(&m->known, free);
    free(m);
}

struct store *store_memory(struct loop *l, size_t max_entries)
{
    static const struct store_ops ops = {memory_start, memory_cancel, memory_destroy, NULL};
    struct memory *m = xcalloc(1, sizeof *m);

    assert(max_entries > 0);
    *m = (struct memory){.store = {.ops = &ops, .loop = l}, .rows = {&memory_rows}, .strangers = map_new(), .known = map_new(),
                         .max = max_entries, .task = {.run = tell}};
    m->last = &m->first;
    return &m->store;
}
