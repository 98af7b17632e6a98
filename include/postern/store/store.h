/*
 * store.h - what outlives a connection: marks, greylist rows, known clients, rates, history, and what the administrator allowed
 * or denied. One interface for memory, SQLite and Redis; the same operations give the same results in each.
 *
 * Each operation is atomic, one round trip, takes `now` (milliseconds since 1970) and runs in mode TOUCH (may write) or PEEK
 * (must not). Expiry is logical: a row is there while now < expires; the store's own sweeping only collects garbage. How long
 * things live, and how many passes make a client known, come with the operation: the store has no settings of that kind. Using
 * a row can only make its life longer, never shorter.
 *
 * Asynchronous: store_start() never calls back before it returned; done() is called exactly once from the loop, or never after
 * store_cancel(). A failure is a result with `error` set: the check becomes an error and mail goes on. Deadlines are the
 * caller's (the check's): who waits no longer cancels, and a late answer is dropped.
 */
#ifndef POSTERN_STORE_STORE_H
#define POSTERN_STORE_STORE_H

#include "postern/base/addr.h"
#include "postern/base/arena.h"
#include "postern/base/str.h"
#include "postern/net/loop.h"

enum store_kind {
    /* key; TOUCH sets it until now + ttl_ms, PEEK reads: result.found */
    STORE_MARK,
    /* key; TOUCH inserts when absent (it lives ttl_ms, the retry window; touching again does not make that longer) and notes
     * last_seen; a row that has passed is only read. With `client` also looks at the known client, who leaves no new row, and
     * at what was allowed or denied (ruled_...). result.settled: a pass of this message would tell the store nothing worth writing */
    STORE_GREYLIST,
    /* key (a greylist key): the recipient was accepted by the backend: known from now on, until now + ttl_ms at least; one more
     * pass for it, and for `client` when that is given, unless it has passes_known and lives for life_ms more. PEEK reads both */
    STORE_PASSED,
    /* key; TOUCH adds `amount`; result.count: sum over the sliding window_ms (see STORE_RATE_SLOTS) */
    STORE_RATE,
    /* key; TOUCH adds `amount` to passed and `refused` to refused, and renews the life; result.row */
    STORE_HISTORY,
    /* --- administration; `table` says of what --- */
    STORE_SHOW,       /* key: result.found, result.row; expired rows are shown as not found */
    STORE_LIST,       /* rows whose key begins with `key`, at most `limit`, from `cursor` on: result.entries, result.cursor */
    STORE_STATS,      /* as LIST, but only counts: result.stats; the caller goes on with the cursor and adds up */
    STORE_FORGET,     /* TOUCH: removes the row of exactly this key: result.found */
    STORE_FORGET_ALL, /* TOUCH: as LIST, but removes, expired rows too: result.count; go on with the cursor */
    STORE_ALLOW,      /* TOUCH: key is allowed from now on, for ttl_ms (0: for ever); table is not looked at */
    STORE_DENY        /* TOUCH: key is denied likewise; the later of the two holds */
};
enum store_mode { STORE_PEEK, STORE_TOUCH };
enum store_table { /* what a row belongs to */
    STORE_TABLE_GREYLIST,
    STORE_TABLE_CLIENTS,
    STORE_TABLE_MARKS,
    STORE_TABLE_HISTORY,
    STORE_TABLE_RATES,
    STORE_TABLE_RULINGS,
    STORE_TABLE_COUNT
};
enum store_ruling { STORE_NO_RULING, STORE_ALLOWED, STORE_DENIED };

enum {
    STORE_KEY_MAX = 512,    /* octets of a key; callers hash what is longer */
    STORE_RULED_DOMAINS_MAX = 16,
    STORE_PAGE_MAX = 500,   /* rows in one page */
    /* A rate's window is 16 slots and the one that runs: what is counted is forgotten after the window, at most 1/16 late. */
    STORE_RATE_SLOTS = 17
};
#define STORE_FOREVER ((uint64_t)9007199254740991) /* 2^53 - 1: the last time there is, and exact in every store */

struct store_operation {
    enum store_kind kind;
    enum store_mode mode;
    struct str key;       /* any bytes; at most STORE_KEY_MAX, callers hash what is longer */
    uint64_t now_ms;      /* wall clock */
    uint64_t ttl_ms;      /* how long what is written lives */
    /* GREYLIST, PASSED */
    struct str client;           /* key of the client (who is asking, and the domain) whose passes count; STR_NONE: none */
    uint64_t passes_known;       /* passes after which the client is known; 0: never */
    uint64_t life_ms;            /* how long who passes now is to live at least */
    /* GREYLIST: on whom the administrator may have ruled. The most precise word holds: the narrowest network that the client is
     * in, then the first of the domains, each before those above it */
    struct addr ruled_client;         /* family 0: nobody */
    const struct str *ruled_domains;  /* that have authenticated this message; each at most 255 octets, or it is not looked for */
    size_t ruled_domain_count;        /* at most STORE_RULED_DOMAINS_MAX */
    /* RATE, HISTORY */
    uint64_t amount, refused;
    uint64_t window_ms;
    /* administration */
    enum store_table table;
    struct str cursor;    /* STR_NONE: from the beginning; else as it came with the page before */
    unsigned limit;       /* 1 to STORE_PAGE_MAX */
};

struct store_row {
    uint64_t first_ms, last_ms; /* first and last seen */
    uint64_t expires_ms;
    uint64_t passed, refused;   /* a rate: passed is what is in its slots. A ruling: passed 1 is allowed, refused 1 is denied */
};
struct store_entry {
    struct str key;
    struct store_row row;
};
struct store_stats { /* of the rows looked at */
    uint64_t rows;
    uint64_t expired;
    uint64_t passed; /* not expired, and passed at least once */
};

struct store_result {
    const char *error;    /* NULL: none; static text */
    bool found;           /* it was there, not expired, before this operation: a TOUCH that inserts says false */
    bool known;           /* GREYLIST, PASSED: the row has passed, or the client often enough */
    bool settled;         /* GREYLIST: the row has passed, the client (if any) often enough, and both live for life_ms more */
    uint64_t first_seen_ms; /* wall clock; with found, or inserted now: row.first_ms */
    struct store_row row; /* as it is after the operation; zero when there is none */
    uint64_t client_passes, client_expires_ms;
    enum store_ruling ruling;
    uint64_t count;       /* RATE: the sum, with what was added now; FORGET_ALL: rows removed */
    /* LIST, STATS, FORGET_ALL: valid only while done() runs. In SQLite and memory rows come in order of their keys; in Redis
     * in none, and a row that is written meanwhile may come twice. */
    const struct store_entry *entries;
    size_t entry_count;
    struct str cursor;    /* STR_NONE: that was all */
    struct store_stats stats;
};

/* The key of ALLOW and DENY, and of rows of STORE_TABLE_RULINGS. STR_NONE: networks of this length are never looked for (they are: IPv4 /8
 * to /32; IPv6 /32, /40, /48, /56, /64 and /128). */
struct str store_ruling_on_network(struct arena *arena, const struct prefix *network);
struct str store_ruling_on_domain(struct arena *arena, struct str domain); /* and on all below it */

struct store;
struct store_request;
typedef void (*store_done)(void *context, const struct store_result *result);

struct store_ops { /* one implementation */
    /* op is copied */
    struct store_request *(*start)(struct store *s, const struct store_operation *op, store_done done, void *context);
    void (*cancel)(struct store *s, struct store_request *request);
    void (*destroy)(struct store *s);
    /* Has somebody waited for longer than s->patience_ms? Then nobody else should wait behind him. NULL: it sees to that itself. */
    bool (*stalled)(const struct store *s);
};
struct store {
    const struct store_ops *ops;
    struct loop *loop;
    uint64_t patience_ms;    /* 0: endless */
    uint64_t quiet_until_ms; /* mono: failures are logged once a minute */
};

/* What has expired is dropped along the way; beyond max rows the oldest greylist rows that never passed go, then the oldest. */
struct store *store_memory(struct loop *l, size_t max_entries);
static inline void store_free(struct store **s)
{
    if (*s)
        (*s)->ops->destroy(*s);
    *s = NULL;
}
/* Fire and forget: marks and passes that the session records after the verdict. Failures are counted and logged. */
void store_record(struct store *s, const struct store_operation *op);
/* Counts a failure, and logs one a minute; for views and implementations. */
void store_failed(struct store *s, const char *error);
/* A store of which every operation fails with `error` after delay_ms, or, with error NULL, finds nothing after delay_ms
 * (simulation). */
struct store *store_failing(struct loop *l, const char *error, uint64_t delay_ms);

/* --- the view of one scope: as dns_view --- */
struct store_view;
struct store_view *store_view_new(struct store *s, struct task *owner);
void store_view_free(struct store_view **v);
/* The result (lives as long as the view), or NULL: not yet, started, the owner will be woken. The same operation is started
 * once: its identity is (kind, mode, key). Not for administration. While the store is stalled it is not started: an error at once. */
const struct store_result *store_view_get(struct store_view *v, const struct store_operation *op);
/* Whoever waits has waited long enough: what has no answer yet is a failure of the store, counted and logged. */
void store_view_late(struct store_view *v);
size_t store_view_waiting(const struct store_view *v);
void store_view_set_owner(struct store_view *v, struct task *owner);

#endif
