/*
 * store.h - what outlives a connection: marks and greylist entries now; rates, history later. One interface for memory, SQLite, Redis.
 *
 * Each operation is atomic, takes `now` (milliseconds since 1970) and runs in mode TOUCH (may write) or PEEK (must not). Expiry is logical:
 * an entry is there while now < expires; the store's own sweeping only collects garbage.
 * Asynchronous: store_start() never calls back before it returned; done() is called exactly once from the loop, or never after
 * store_cancel(). A failure is a result with `error` set: the check becomes an error and mail goes on.
 */
#ifndef POSTERN_STORE_STORE_H
#define POSTERN_STORE_STORE_H

#include "postern/base/str.h"
#include "postern/net/loop.h"

enum store_kind {
    STORE_MARK,     /* key; TOUCH sets it until now + ttl_ms, PEEK reads: result.found */
    STORE_GREYLIST, /* key; TOUCH inserts when absent; result.first_seen, result.known */
    STORE_PASSED    /* key (a greylist key): the recipient was accepted by the backend: known from now on, until now + ttl_ms */
};
enum store_mode { STORE_PEEK, STORE_TOUCH };

struct store_operation {
    enum store_kind kind;
    enum store_mode mode;
    struct str key;       /* any bytes; at most STORE_KEY_MAX, callers hash what is longer */
    uint64_t now_ms;      /* wall clock */
    uint64_t ttl_ms;      /* how long what is written lives */
};
enum { STORE_KEY_MAX = 512 };

struct store_result {
    const char *error;    /* NULL: none; static text */
    bool found;           /* it was there, not expired, before this operation: a TOUCH that inserts says false */
    bool known;
    uint64_t first_seen_ms; /* wall clock; with found, or inserted now */
};

struct store;
struct store_request;
typedef void (*store_done)(void *context, const struct store_result *result);

struct store_ops { /* one implementation */
    struct store_request *(*start)(struct store *s, const struct store_operation *op, store_done done, void *context); /* op is copied */
    void (*cancel)(struct store *s, struct store_request *request);
    void (*destroy)(struct store *s);
};
struct store {
    const struct store_ops *ops;
    struct loop *loop;
    uint64_t quiet_until_ms; /* mono: failures are logged once a minute */
};

struct store *store_memory(struct loop *l, size_t max_entries); /* oldest expired first, then oldest, are dropped beyond max */
static inline void store_free(struct store **s)
{
    if (*s)
        (*s)->ops->destroy(*s);
    *s = NULL;
}
/* Fire and forget: marks and passes that the session records after the verdict. Failures are counted and logged. */
void store_record(struct store *s, const struct store_operation *op);
void store_failed(struct store *s, const char *error); /* counts a failure, and logs one a minute; for views and implementations */
/* A store of which every operation fails with `error` after delay_ms, or, with error NULL, finds nothing after delay_ms (simulation). */
struct store *store_failing(struct loop *l, const char *error, uint64_t delay_ms);

/* --- the view of one scope: as dns_view --- */
struct store_view;
struct store_view *store_view_new(struct store *s, struct task *owner);
void store_view_free(struct store_view **v);
/* The result (lives as long as the view), or NULL: not yet, started, the owner will be woken. The same operation is started once: its identity
 * is (kind, mode, key). */
const struct store_result *store_view_get(struct store_view *v, const struct store_operation *op);
size_t store_view_waiting(const struct store_view *v);
void store_view_set_owner(struct store_view *v, struct task *owner);

#endif
