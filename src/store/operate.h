/*
 * operate.h - what each operation means, over any place that can get and put rows: memory.c and sqlite_db.c are such places.
 *
 * Redis has the same meaning a second time, in redis_script.c; the suite of store tests holds all of them against one model.
 */
#ifndef STORE_OPERATE_H
#define STORE_OPERATE_H

#include "postern/base/arena.h"
#include "postern/store/store.h"

struct rate { /* counts in slots of the window; a slot's number is time / width */
    uint64_t width_ms;
    uint64_t newest;                    /* the highest number of a slot that was written */
    uint64_t slots[STORE_RATE_SLOTS];   /* slot n stands at n % STORE_RATE_SLOTS */
    uint64_t expires_ms;
};

struct page { /* rows found by walking; owns their keys */
    struct arena arena;
    struct store_entry entries[STORE_PAGE_MAX];
    size_t count;
    struct str cursor; /* in the arena; STR_NONE: no more rows */
};

enum got { GOT_NOTHING, GOT_ROW, GOT_FAILURE };

struct rows { /* first member of a place */
    const struct rows_ops *ops;
};
struct rows_ops { /* expired rows are rows too: who asks looks at expires_ms. false and GOT_FAILURE: the place knows why */
    enum got (*get)(struct rows *r, enum store_table table, struct str key, struct store_row *out);
    bool (*put)(struct rows *r, enum store_table table, struct str key, const struct store_row *row, uint64_t now_ms);
    enum got (*get_rate)(struct rows *r, struct str key, struct rate *out);
    bool (*put_rate)(struct rows *r, struct str key, const struct rate *rate, uint64_t now_ms);
    bool (*remove)(struct rows *r, enum store_table table, struct str key);
    bool (*has_rulings)(struct rows *r); /* false: certainly none, so that nobody looks for sixty */
    /* The first `limit` rows in key order that begin with prefix and are greater than after (p NULL: from the beginning),
     * into the page. */
    bool (*walk)(struct rows *r, enum store_table table, struct str prefix, struct str after, unsigned limit, struct page *page);
};

enum { RULINGS_MAX = 64 };
struct rulings { /* keys under which a ruling may be found, the most precise first: the first that is there holds */
    struct str keys[RULINGS_MAX];
    size_t count;
};
void rulings_of(const struct store_operation *op, struct arena *arena, struct rulings *out); /* see rulings.c */

bool store_is_paged(enum store_kind kind); /* LIST, STATS, FORGET_ALL: store_operate() needs a page */
/* Carries out one operation. page: fresh, for paged kinds; what the result points at lies in it. False: the place failed,
 * result is as it was. */
bool store_operate(struct rows *r, const struct store_operation *op, struct store_result *result, struct page *page);

/* Also for Redis: what follows from the numbers of a row. */
uint64_t store_expiry(const struct store_operation *op); /* now + ttl, at most STORE_FOREVER */
uint64_t store_rate_width(uint64_t window_ms);
uint64_t store_enough(const struct store_operation *op); /* what lives so long need not be made to live longer */
void store_finish(const struct store_operation *op, struct store_result *result); /* sets known, settled, first_seen_ms */
struct store_row store_rate_row(const struct rate *rate); /* how a rate looks in a list */

struct page *page_new(void);
void page_free(struct page **p);
/* Adds a row with a copy of its key; the page has room (limit is at most STORE_PAGE_MAX). */
void page_add(struct page *p, struct str key, const struct store_row *row);

/* An operation whose keys are its own, with its numbers clipped to what every store can hold exactly: one heap block, free()
 * it. */
struct store_operation *store_operation_copy(const struct store_operation *op);

#endif
