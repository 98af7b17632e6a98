/*
 * redis_command.c - an operation as a command. What can be computed here is (expiry, slots), so that the script stays small.
 */
#include <assert.h>
#include <hiredis/hiredis.h>
#include <string.h>

#include "redis_internal.h"

enum { WORDS_MAX = 3 + 3 + RULINGS_MAX + 17 };

static const char letters[] = {
    [STORE_MARK] = 'm', [STORE_GREYLIST] = 'g', [STORE_PASSED] = 'p', [STORE_RATE] = 'r', [STORE_HISTORY] = 'h',
    [STORE_SHOW] = 's', [STORE_LIST] = 'l', [STORE_STATS] = 't', [STORE_FORGET] = 'f', [STORE_FORGET_ALL] = 'x',
    [STORE_ALLOW] = 'a', [STORE_DENY] = 'd',
};

void redis_format(struct buf *out, const struct str *words, size_t count)
{
    const char *texts[WORDS_MAX];
    size_t sizes[WORDS_MAX];
    char *command = NULL;
    assert(count <= WORDS_MAX);
    for (size_t i = 0; i < count; i++) {
        texts[i] = words[i].n ? words[i].p : "";
        sizes[i] = words[i].n;
    }
    int n = redisFormatCommandArgv(&command, (int)count, texts, sizes);
    assert(n > 0);
    buf_put(out, command, (size_t)n);
    redisFreeCommand(command);
}

static enum store_table table_of(const struct store_operation *op)
{
    switch (op->kind) {
    case STORE_MARK: return STORE_TABLE_MARKS;
    case STORE_GREYLIST:
    case STORE_PASSED: return STORE_TABLE_GREYLIST;
    case STORE_RATE: return STORE_TABLE_RATES;
    case STORE_HISTORY: return STORE_TABLE_HISTORY;
    case STORE_ALLOW:
    case STORE_DENY: return STORE_TABLE_RULINGS;
    default: return op->table;
    }
}

static struct str key_in(struct arena *a, struct str prefix, enum store_table table, struct str key)
{
    char *whole = arena_alloc(a, prefix.n + 1 + key.n);
    if (prefix.n)
        memcpy(whole, prefix.p, prefix.n);
    whole[prefix.n] = "abcdefg"[table];
    if (key.n)
        memcpy(whole + prefix.n + 1, key.p, key.n);
    return (struct str){whole, prefix.n + 1 + key.n};
}

/* For MATCH: what begins with s, whatever bytes are in it. */
static struct str pattern_of(struct arena *a, struct str s)
{
    char *pattern = arena_alloc(a, 2 * s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '*' || s.p[i] == '?' || s.p[i] == '[' || s.p[i] == ']' || s.p[i] == '\\')
            pattern[n++] = '\\';
        pattern[n++] = s.p[i];
    }
    pattern[n++] = '*';
    return (struct str){pattern, n};
}

static struct str number_in(struct arena *a, uint64_t v)
{
    return arena_printf(a, "%llu", (unsigned long long)v);
}

static size_t add_keys(struct arena *a, const struct store_operation *op, struct str prefix, bool rulings, struct str *words)
{
    size_t n = 0;
    struct rulings ruled = {.count = 0};
    if (store_is_paged(op->kind))
        return 0;
    words[n++] = key_in(a, prefix, table_of(op), op->key);
    if (op->kind == STORE_GREYLIST || op->kind == STORE_ALLOW || op->kind == STORE_DENY)
        words[n++] = key_in(a, prefix, STORE_TABLE_COUNT, STR_NONE);
    if (op->client.n && (op->kind == STORE_GREYLIST || op->kind == STORE_PASSED))
        words[n++] = key_in(a, prefix, STORE_TABLE_CLIENTS, op->client);
    if (op->kind == STORE_GREYLIST && rulings)
        rulings_of(op, a, &ruled);
    for (size_t i = 0; i < ruled.count; i++)
        words[n++] = key_in(a, prefix, STORE_TABLE_RULINGS, ruled.keys[i]);
    return n;
}

static size_t add_arguments(struct arena *a, const struct store_operation *op, struct str prefix, bool rulings, struct str *words)
{
    uint64_t width = store_rate_width(op->window_ms), expires = store_expiry(op);
    bool asks_client = op->client.n && (op->kind == STORE_GREYLIST || op->kind == STORE_PASSED);
    size_t n = 0;
    if ((op->kind == STORE_ALLOW || op->kind == STORE_DENY) && op->ttl_ms == 0)
        expires = STORE_FOREVER;
    words[n++] = (struct str){&letters[op->kind], 1};
    words[n++] = op->mode == STORE_TOUCH ? STR("1") : STR("0");
    words[n++] = number_in(a, op->now_ms);
    words[n++] = number_in(a, expires);
    words[n++] = asks_client ? STR("1") : STR("0");
    words[n++] = number_in(a, op->amount);
    words[n++] = number_in(a, op->refused);
    words[n++] = number_in(a, width);
    words[n++] = number_in(a, op->now_ms / width);
    words[n++] = op->table == STORE_TABLE_RATES && op->kind >= STORE_SHOW && table_of(op) == op->table ? STR("1") : STR("0");
    words[n++] = number_in(a, op->passes_known);
    words[n++] = number_in(a, store_enough(op));
    words[n++] = op->kind == STORE_GREYLIST && !rulings ? STR("1") : STR("0");
    if (!store_is_paged(op->kind))
        return n;
    struct str whole = key_in(a, prefix, op->table, op->key);
    words[n++] = op->cursor.p ? op->cursor : STR("0");
    words[n++] = number_in(a, (op->limit + 1) / 2); /* COUNT is a wish: now and then there are more */
    words[n++] = pattern_of(a, whole);
    words[n++] = number_in(a, prefix.n + 1);
    return n;
}

void redis_format_operation(struct buf *out, const struct store_operation *op, struct str prefix, bool rulings, const char *sha)
{
    struct arena a = {0};
    struct str words[WORDS_MAX];
    words[0] = sha ? STR("EVALSHA") : STR("EVAL");
    words[1] = str_of(sha ? sha : redis_script);
    size_t keys = add_keys(&a, op, prefix, rulings, words + 3);
    words[2] = number_in(&a, keys);
    size_t count = 3 + keys + add_arguments(&a, op, prefix, rulings, words + 3 + keys);
    assert(count <= WORDS_MAX);
    redis_format(out, words, count);
    arena_clear(&a);
}
