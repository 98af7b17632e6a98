/*
 * memory.c - the store that forgets when the process ends. Two kinds of rows in one map: marks, and greylist rows (which PASSED makes known).
 *
 * An operation is carried out when it is started, in one piece; its result waits in a queue and is told from the loop, so that nobody is called
 * back before start returned. Rows expire logically: one whose time is past is as if it were not there, and is dropped when room is needed.
 */
#include <assert.h>
#include <stdlib.h>

#include "postern/base/map.h"
#include "postern/store/store.h"

struct row {
    uint64_t first_seen_ms, expires_ms;
    bool known;
};

struct store_request {
    struct store_result result;
    store_done done;
    void *context;
    struct store_request *next, **place; /* in the queue of results; place points at what points at it */
};

struct memory {
    struct store store;
    struct map *rows;
    size_t max;
    size_t inserts;          /* since the last sweep */
    uint64_t soonest_expiry; /* no row expires before */
    struct task task;
    struct store_request *first, **last;
};

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

static void tell(struct task *t)
{
    struct memory *m = (struct memory *)((char *)t - offsetof(struct memory, task));

    while (m->first) {
        struct store_request *r = m->first;
        dequeue(m, r);
        r->done(r->context, &r->result);
        free(r);
    }
}

/* Drops what has expired; when the map is swept too often for that, or nothing has, the oldest row goes. */
static void make_room(struct memory *m, uint64_t now_ms)
{
    size_t cursor = 0;
    struct str key;
    void *value;

    if (map_count(m->rows) < m->max)
        return;
    if (now_ms >= m->soonest_expiry && m->inserts >= m->max / 16) {
        m->soonest_expiry = UINT64_MAX;
        m->inserts = 0;
        while (map_next(m->rows, &cursor, &key, &value)) {
            struct row *row = value;
            if (now_ms >= row->expires_ms)
                free(map_remove(m->rows, key));
            else if (row->expires_ms < m->soonest_expiry)
                m->soonest_expiry = row->expires_ms;
        }
    }
    cursor = 0;
    if (map_count(m->rows) >= m->max && map_next(m->rows, &cursor, &key, &value))
        free(map_remove(m->rows, key));
}

/* Puts a row as the youngest one. */
static void put(struct memory *m, struct str key, const struct row *row, uint64_t now_ms)
{
    struct row *copy = xmalloc(sizeof *copy);

    *copy = *row;
    free(map_remove(m->rows, key));
    make_room(m, now_ms);
    m->inserts++;
    if (row->expires_ms < m->soonest_expiry)
        m->soonest_expiry = row->expires_ms;
    map_put(m->rows, key, copy);
}

static struct store_result carry_out(struct memory *m, const struct store_operation *op, struct str key)
{
    const struct row *row = map_get(m->rows, key);
    uint64_t expires_ms = op->ttl_ms > UINT64_MAX - op->now_ms ? UINT64_MAX : op->now_ms + op->ttl_ms;
    struct store_result result = {0};

    if (row && op->now_ms >= row->expires_ms)
        row = NULL;
    struct row next = row ? *row : (struct row){.first_seen_ms = op->now_ms, .expires_ms = expires_ms};
    result.found = row != NULL;
    if (op->mode == STORE_TOUCH) {
        if (op->kind != STORE_GREYLIST)
            next.expires_ms = expires_ms;
        if (op->kind == STORE_PASSED)
            next.known = true;
        if (!row || op->kind != STORE_GREYLIST)
            put(m, key, &next, op->now_ms);
    }
    if (row || op->mode == STORE_TOUCH) {
        result.first_seen_ms = next.first_seen_ms;
        result.known = next.known;
    }
    return result;
}

static struct store_request *memory_start(struct store *s, const struct store_operation *op, store_done done, void *context)
{
    struct memory *m = memory_of(s);
    struct store_request *r = xcalloc(1, sizeof *r);
    struct buf key = {0};

    assert(op->key.n <= STORE_KEY_MAX);
    buf_char(&key, op->kind == STORE_MARK ? 'm' : 'g');
    buf_str(&key, op->key);
    *r = (struct store_request){.result = carry_out(m, op, buf_view(&key)), .done = done, .context = context, .place = m->last};
    buf_free(&key);
    *m->last = r;
    m->last = &r->next;
    loop_wake(s->loop, &m->task);
    return r;
}

static void memory_cancel(struct store *s, struct store_request *request)
{
    dequeue(memory_of(s), request);
    free(request);
}

static void memory_destroy(struct store *s)
{
    struct memory *m = memory_of(s);

    while (m->first)
        memory_cancel(s, m->first);
    loop_unwake(s->loop, &m->task);
    map_free(&m->rows, free);
    free(m);
}

struct store *store_memory(struct loop *l, size_t max_entries)
{
    static const struct store_ops ops = {memory_start, memory_cancel, memory_destroy};
    struct memory *m = xcalloc(1, sizeof *m);

    assert(max_entries > 0);
    *m = (struct memory){.store = {.ops = &ops, .loop = l}, .rows = map_new(), .max = max_entries, .soonest_expiry = UINT64_MAX,
                         .task = {.run = tell}};
    m->last = &m->first;
    return &m->store;
}
