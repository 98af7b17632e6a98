/*
 * operate.c - what each operation means. See operate.h.
 */
#include "operate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool store_is_paged(enum store_kind kind)
{
    return kind == STORE_LIST || kind == STORE_STATS || kind == STORE_FORGET_ALL;
}

uint64_t store_expiry(const struct store_operation *op)
{
    return op->now_ms >= STORE_FOREVER || op->ttl_ms > STORE_FOREVER - op->now_ms ? STORE_FOREVER : op->now_ms + op->ttl_ms;
}

uint64_t store_rate_width(uint64_t window_ms)
{
    uint64_t longest = STORE_FOREVER / 2; /* then no product of slot and width overflows */
    uint64_t width = ((window_ms < longest ? window_ms : longest) + STORE_RATE_SLOTS - 2) / (STORE_RATE_SLOTS - 1);
    return width ? width : 1;
}

uint64_t store_enough(const struct store_operation *op)
{
    return op->now_ms >= STORE_FOREVER || op->life_ms > STORE_FOREVER - op->now_ms ? STORE_FOREVER : op->now_ms + op->life_ms;
}

/* Its passes do not count, or are enough, and it lives long enough. */
static bool client_is_settled(const struct store_operation *op, const struct store_row *client)
{
    return client->passed > 0 && client->passed >= op->passes_known && client->expires_ms >= store_enough(op);
}

void store_finish(const struct store_operation *op, struct store_result *result)
{
    struct store_row client = {.passed = result->client_passes, .expires_ms = result->client_expires_ms};
    result->first_seen_ms = result->row.first_ms;
    result->settled = op->kind == STORE_GREYLIST && result->row.passed > 0 && result->row.expires_ms >= store_enough(op) &&
                      (!op->client.n || client_is_settled(op, &client));
    if (op->kind == STORE_GREYLIST || op->kind == STORE_PASSED)
        result->known = result->row.passed > 0 || (op->passes_known > 0 && result->client_passes >= op->passes_known);
    else if (op->kind == STORE_ALLOW || op->kind == STORE_DENY)
        result->ruling = op->kind == STORE_ALLOW ? STORE_ALLOWED : STORE_DENIED;
}

/* --- rows ------------------------------------------------------------------------------------------------------------------- */

/* The row as it is now: one that has expired is as if it were not there. A new one is begun in *row. */
static enum got get_live(struct rows *r, const struct store_operation *op, enum store_table table, struct str key,
                         struct store_row *row)
{
    enum got got = r->ops->get(r, table, key, row);
    if (got == GOT_ROW && op->now_ms < row->expires_ms)
        return got;
    *row = (struct store_row){.first_ms = op->now_ms, .last_ms = op->now_ms};
    return got == GOT_FAILURE ? got : GOT_NOTHING;
}

static void seen(struct store_row *row, uint64_t now_ms)
{
    if (now_ms > row->last_ms)
        row->last_ms = now_ms;
}

static void renew(struct store_row *row, uint64_t expires_ms)
{
    if (expires_ms > row->expires_ms)
        row->expires_ms = expires_ms;
}

/* What a touch of this kind does to the row. `fresh`: it was not there. */
static void change(const struct store_operation *op, struct store_row *row, bool fresh)
{
    seen(row, op->now_ms);
    if (fresh || op->kind != STORE_GREYLIST)
        renew(row, store_expiry(op));
    if (op->kind == STORE_PASSED)
        row->passed++;
    if (op->kind == STORE_HISTORY) {
        row->passed += op->amount;
        row->refused += op->refused;
    }
}

static bool find_ruling(struct rows *r, const struct store_operation *op, struct store_result *result)
{
    struct rulings rulings;
    struct arena scratch = {0};
    struct store_row row;
    enum got got = GOT_NOTHING;
    if (op->kind != STORE_GREYLIST || !r->ops->has_rulings(r))
        return true;
    rulings_of(op, &scratch, &rulings);
    for (size_t i = 0; i < rulings.count && got == GOT_NOTHING; i++)
        got = get_live(r, op, STORE_TABLE_RULINGS, rulings.keys[i], &row);
    if (got == GOT_ROW)
        result->ruling = row.passed ? STORE_ALLOWED : STORE_DENIED;
    arena_clear(&scratch);
    return got != GOT_FAILURE;
}

static bool look_at_client(struct rows *r, const struct store_operation *op, struct store_result *result)
{
    struct store_row row;
    if (op->client.n == 0 || (op->kind != STORE_GREYLIST && op->kind != STORE_PASSED))
        return true;
    enum got got = get_live(r, op, STORE_TABLE_CLIENTS, op->client, &row);
    if (got == GOT_FAILURE)
        return false;
    if (op->kind == STORE_PASSED && op->mode == STORE_TOUCH && !client_is_settled(op, &row)) {
        change(op, &row, got == GOT_NOTHING);
        if (!r->ops->put(r, STORE_TABLE_CLIENTS, op->client, &row, op->now_ms))
            return false;
    }
    result->client_passes = row.passed;
    result->client_expires_ms = row.expires_ms;
    return true;
}

static enum store_table table_of(const struct store_operation *op)
{
    switch (op->kind) {
    case STORE_MARK: return STORE_TABLE_MARKS;
    case STORE_GREYLIST:
    case STORE_PASSED: return STORE_TABLE_GREYLIST;
    case STORE_HISTORY: return STORE_TABLE_HISTORY;
    case STORE_RATE: return STORE_TABLE_RATES;
    case STORE_ALLOW:
    case STORE_DENY: return STORE_TABLE_RULINGS;
    default: return op->table;
    }
}

static bool on_row(struct rows *r, const struct store_operation *op, struct store_result *result)
{
    struct store_row row;
    enum got got = get_live(r, op, table_of(op), op->key, &row);
    if (got == GOT_FAILURE || !find_ruling(r, op, result) || !look_at_client(r, op, result))
        return false;
    result->found = got == GOT_ROW;
    bool client_known = op->passes_known > 0 && result->client_passes >= op->passes_known;
    bool writes = op->mode == STORE_TOUCH && !(op->kind == STORE_GREYLIST && (row.passed > 0 || client_known));
    if (writes) {
        change(op, &row, got == GOT_NOTHING);
        if (!r->ops->put(r, table_of(op), op->key, &row, op->now_ms))
            return false;
    }
    if (got == GOT_ROW || writes)
        result->row = row;
    return true;
}

/* --- rates ------------------------------------------------------------------------------------------------------------------ */

static void rate_add(struct rate *rate, uint64_t slot, uint64_t amount)
{
    if (slot > rate->newest + STORE_RATE_SLOTS) {
        memset(rate->slots, 0, sizeof rate->slots);
        rate->newest = slot;
    }
    while (rate->newest < slot)
        rate->slots[++rate->newest % STORE_RATE_SLOTS] = 0;
    if (rate->newest - slot < STORE_RATE_SLOTS) /* a clock that went back further than the window: too old to count */
        rate->slots[slot % STORE_RATE_SLOTS] += amount;
}

static uint64_t rate_sum(const struct rate *rate, uint64_t slot)
{
    uint64_t sum = 0;
    for (uint64_t back = 0; back < STORE_RATE_SLOTS && back <= rate->newest; back++) {
        if (rate->newest - back + STORE_RATE_SLOTS > slot)
            sum += rate->slots[(rate->newest - back) % STORE_RATE_SLOTS];
    }
    return sum;
}

static bool on_rate(struct rows *r, const struct store_operation *op, struct store_result *result)
{
    struct rate rate;
    uint64_t width = store_rate_width(op->window_ms), slot = op->now_ms / width;
    enum got got = r->ops->get_rate(r, op->key, &rate);
    if (got == GOT_FAILURE)
        return false;
    if (got == GOT_NOTHING || op->now_ms >= rate.expires_ms || rate.width_ms != width) {
        got = GOT_NOTHING;
        rate = (struct rate){.width_ms = width, .newest = slot};
    }
    result->found = got == GOT_ROW;
    if (op->mode == STORE_TOUCH) {
        rate_add(&rate, slot, op->amount);
        rate.expires_ms = (rate.newest + STORE_RATE_SLOTS) * width;
        if (rate.expires_ms > STORE_FOREVER)
            rate.expires_ms = STORE_FOREVER;
        if (!r->ops->put_rate(r, op->key, &rate, op->now_ms))
            return false;
    }
    result->count = rate_sum(&rate, slot);
    if (got == GOT_ROW || op->mode == STORE_TOUCH)
        result->row = store_rate_row(&rate);
    return true;
}

struct store_row store_rate_row(const struct rate *rate)
{
    struct store_row row = {.expires_ms = rate->expires_ms, .last_ms = rate->newest * rate->width_ms};
    row.first_ms = rate->newest < STORE_RATE_SLOTS ? 0 : (rate->newest - STORE_RATE_SLOTS + 1) * rate->width_ms;
    for (size_t i = 0; i < STORE_RATE_SLOTS; i++)
        row.passed += rate->slots[i];
    return row;
}

/* --- administration --------------------------------------------------------------------------------------------------------- */

static bool show(struct rows *r, const struct store_operation *op, struct store_result *result)
{
    struct store_row row = {0};
    enum got got;
    if (op->table == STORE_TABLE_RATES) {
        struct rate rate;
        got = r->ops->get_rate(r, op->key, &rate);
        if (got == GOT_ROW)
            row = store_rate_row(&rate);
    } else {
        got = r->ops->get(r, op->table, op->key, &row);
    }
    if (got == GOT_FAILURE)
        return false;
    result->found = got == GOT_ROW && op->now_ms < row.expires_ms;
    if (result->found)
        result->row = row;
    if (op->kind == STORE_FORGET && op->mode == STORE_TOUCH && got == GOT_ROW)
        return r->ops->remove(r, op->table, op->key);
    return true;
}

static bool rule(struct rows *r, const struct store_operation *op, struct store_result *result)
{
    struct store_row row;
    enum got got = get_live(r, op, STORE_TABLE_RULINGS, op->key, &row);
    if (got == GOT_FAILURE)
        return false;
    result->found = got == GOT_ROW;
    row.passed = op->kind == STORE_ALLOW;
    row.refused = op->kind == STORE_DENY;
    row.expires_ms = op->ttl_ms ? store_expiry(op) : STORE_FOREVER;
    seen(&row, op->now_ms);
    result->row = row;
    return op->mode == STORE_PEEK || r->ops->put(r, STORE_TABLE_RULINGS, op->key, &row, op->now_ms);
}

static bool walk(struct rows *r, const struct store_operation *op, struct store_result *result, struct page *page)
{
    assert(page && page->count == 0 && op->limit > 0 && op->limit <= STORE_PAGE_MAX);
    if (!r->ops->walk(r, op->table, op->key, op->cursor, op->limit, page))
        return false;
    if (page->count == op->limit)
        page->cursor = page->entries[page->count - 1].key;
    result->cursor = page->cursor;
    for (size_t i = 0; i < page->count && op->kind == STORE_STATS; i++) {
        bool live = op->now_ms < page->entries[i].row.expires_ms;
        result->stats.rows++;
        result->stats.expired += !live;
        result->stats.passed += live && page->entries[i].row.passed > 0;
    }
    for (size_t i = 0; i < page->count && op->kind == STORE_FORGET_ALL && op->mode == STORE_TOUCH; i++) {
        if (!r->ops->remove(r, op->table, page->entries[i].key))
            return false;
        result->count++;
    }
    if (op->kind != STORE_LIST)
        return true;
    size_t live = 0;
    for (size_t i = 0; i < page->count; i++) {
        if (op->now_ms < page->entries[i].row.expires_ms)
            page->entries[live++] = page->entries[i];
    }
    result->entries = page->entries;
    result->entry_count = page->count = live;
    return true;
}

bool store_operate(struct rows *r, const struct store_operation *op, struct store_result *result, struct page *page)
{
    struct store_result fresh = {0};
    bool good;
    switch (op->kind) {
    case STORE_RATE: good = on_rate(r, op, &fresh); break;
    case STORE_SHOW:
    case STORE_FORGET: good = show(r, op, &fresh); break;
    case STORE_ALLOW:
    case STORE_DENY: good = rule(r, op, &fresh); break;
    case STORE_LIST:
    case STORE_STATS:
    case STORE_FORGET_ALL: good = walk(r, op, &fresh, page); break;
    default: good = on_row(r, op, &fresh);
    }
    if (!good)
        return false;
    store_finish(op, &fresh);
    *result = fresh;
    return true;
}

/* --- pages and copies ------------------------------------------------------------------------------------------------------- */

struct page *page_new(void)
{
    return xcalloc(1, sizeof(struct page));
}

void page_free(struct page **p)
{
    if (*p)
        arena_clear(&(*p)->arena);
    free(*p);
    *p = NULL;
}

void page_add(struct page *p, struct str key, const struct store_row *row)
{
    assert(p->count < STORE_PAGE_MAX);
    p->entries[p->count++] = (struct store_entry){arena_str(&p->arena, key), *row};
}

static struct str take_copy(char **at, struct str s)
{
    if (!s.p)
        return STR_NONE;
    if (s.n)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return (struct str){*at - s.n, s.n};
}

static void clip(uint64_t *v, uint64_t most)
{
    if (*v > most)
        *v = most;
}

struct store_operation *store_operation_copy(const struct store_operation *op)
{
    assert(op->key.n <= STORE_KEY_MAX && op->client.n <= STORE_KEY_MAX && op->ruled_domain_count <= STORE_RULED_DOMAINS_MAX);
    size_t n = sizeof *op + op->ruled_domain_count * sizeof *op->ruled_domains + op->key.n + op->client.n + op->cursor.n;
    for (size_t i = 0; i < op->ruled_domain_count; i++)
        n += op->ruled_domains[i].n;
    struct store_operation *copy = xmalloc(n);
    struct str *domains = (struct str *)(void *)(copy + 1);
    char *at = (char *)(domains + op->ruled_domain_count);
    *copy = *op;
    copy->key = take_copy(&at, op->key);
    copy->client = take_copy(&at, op->client);
    copy->cursor = take_copy(&at, op->cursor);
    for (size_t i = 0; i < op->ruled_domain_count; i++)
        domains[i] = take_copy(&at, op->ruled_domains[i]);
    copy->ruled_domains = domains;
    clip(&copy->now_ms, STORE_FOREVER);
    clip(&copy->amount, UINT32_MAX);
    clip(&copy->refused, UINT32_MAX);
    return copy;
}
