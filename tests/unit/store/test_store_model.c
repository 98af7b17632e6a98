/*
 * Random sequences of operations, some at once, with steps of the clock, give the same results in each store as in a small model.
 */
#include "suite.h"

enum { MODEL_KEYS = 4, MODEL_EVENTS = 4096 };
struct model_rate {
    uint64_t width, newest, slot[MODEL_EVENTS], amount[MODEL_EVENTS];
    size_t events;
};
static struct model {
    struct store_row rows[STORE_TABLE_COUNT][MODEL_KEYS];
    struct model_rate rates[MODEL_KEYS];
} model;
static const char *const key_names[MODEL_KEYS] = {"a", "b\n", "c c", "\xff"};

static const char *const ruled_names[MODEL_KEYS] = {"domain a", "domain b\n", "domain c c", "domain \xff"};

static size_t key_number(struct str key)
{
    size_t i = 0;
    key = str_starts(key, STR("domain ")) ? str_sub(key, 7, key.n) : key;
    while (!str_eq(str_of(key_names[i]), key))
        i++;
    return i;
}

/* The row to work on: a dead one is a new one. */
static struct store_row *model_row(enum store_table table, struct str key, uint64_t now, bool *live)
{
    struct store_row *row = &model.rows[table][key_number(key)];
    *live = now < row->expires_ms;
    return row;
}

static struct store_row model_use(struct store_row *row, bool live, const struct store_operation *op, uint64_t expires)
{
    struct store_row next = live ? *row : (struct store_row){.first_ms = op->now_ms, .last_ms = op->now_ms};
    next.last_ms = op->now_ms > next.last_ms ? op->now_ms : next.last_ms;
    next.expires_ms = expires > next.expires_ms ? expires : next.expires_ms;
    next.passed += op->kind == STORE_PASSED ? 1 : op->kind == STORE_HISTORY ? op->amount : 0;
    next.refused += op->kind == STORE_HISTORY ? op->refused : 0;
    return next;
}

static uint64_t model_rate(const struct store_operation *op, bool *found)
{
    struct model_rate *m = &model.rates[key_number(op->key)];
    uint64_t width = (op->window_ms + 15) / 16, slot = op->now_ms / width, sum = 0;
    *found = m->width == width && m->events > 0 && op->now_ms < (m->newest + 17) * width;
    struct model_rate fresh = {.width = width, .newest = slot};
    if (!*found && op->mode == STORE_PEEK)
        return 0;
    if (!*found)
        *m = fresh;
    if (op->mode == STORE_TOUCH) {
        m->newest = slot > m->newest ? slot : m->newest;
        m->slot[m->events] = slot;
        m->amount[m->events] = m->newest - slot < 17 ? op->amount : 0;
        m->events++;
        cr_assert_lt(m->events, MODEL_EVENTS);
    }
    for (size_t i = 0; i < m->events; i++)
        sum += m->slot[i] + 17 > slot && m->slot[i] + 17 > m->newest ? m->amount[i] : 0;
    return sum;
}

static struct store_result model_answer(const struct store_operation *op)
{
    static const enum store_table tables[] = {[STORE_MARK] = STORE_TABLE_MARKS, [STORE_GREYLIST] = STORE_TABLE_GREYLIST,
                                              [STORE_PASSED] = STORE_TABLE_GREYLIST, [STORE_HISTORY] = STORE_TABLE_HISTORY,
                                              [STORE_ALLOW] = STORE_TABLE_RULINGS, [STORE_DENY] = STORE_TABLE_RULINGS};
    struct store_result r = {0};
    uint64_t now = op->now_ms;
    bool live, grey = op->kind == STORE_GREYLIST || op->kind == STORE_PASSED, client_known = false;
    if (op->kind == STORE_RATE) {
        r.count = model_rate(op, &r.found);
        return r;
    }
    if (grey && op->client.n) {
        struct store_row *client = model_row(STORE_TABLE_CLIENTS, op->client, now, &live);
        bool settled = live && client->passed >= op->passes_known && client->expires_ms >= now + op->life_ms;
        if (op->kind == STORE_PASSED && op->mode == STORE_TOUCH && !settled)
            *client = model_use(client, live, op, now + op->ttl_ms), live = client->expires_ms > 0;
        r.client_passes = live ? client->passed : 0;
        r.client_expires_ms = live ? client->expires_ms : 0;
        client_known = op->passes_known && r.client_passes >= op->passes_known;
    }
    struct store_row *row = model_row(op->kind == STORE_SHOW || op->kind == STORE_FORGET ? op->table : tables[op->kind], op->key,
                                      now, &r.found);
    struct store_row next = *row;
    if (op->kind == STORE_ALLOW || op->kind == STORE_DENY) {
        next = model_use(row, r.found, op, 0);
        next.expires_ms = op->ttl_ms ? now + op->ttl_ms : STORE_FOREVER;
        next.passed = op->kind == STORE_ALLOW;
        next.refused = op->kind == STORE_DENY;
    } else if (op->kind == STORE_FORGET) {
        next = (struct store_row){0};
    } else if (op->kind != STORE_SHOW) {
        next = model_use(row, r.found, op, op->kind == STORE_GREYLIST && r.found ? 0 : now + op->ttl_ms);
    }
    bool writes = op->mode == STORE_TOUCH && !(op->kind == STORE_GREYLIST && (client_known || (r.found && row->passed)));
    r.row = op->kind >= STORE_ALLOW || (op->kind < STORE_SHOW && writes) ? next
            : r.found                                                                     ? *row
                                                                                          : (struct store_row){0};
    if (writes)
        *row = next;
    r.known = grey && (r.row.passed > 0 || client_known);
    r.settled = op->kind == STORE_GREYLIST && r.row.passed > 0 && r.row.expires_ms >= now + op->life_ms &&
                (!op->client.n ||
                 (r.client_passes > 0 && r.client_passes >= op->passes_known && r.client_expires_ms >= now + op->life_ms));
    for (size_t i = 0; op->kind == STORE_GREYLIST && i < op->ruled_domain_count && !r.ruling; i++) {
        struct store_row *ruling = model_row(STORE_TABLE_RULINGS, op->ruled_domains[i], now, &live);
        r.ruling = !live ? STORE_NO_RULING : ruling->passed ? STORE_ALLOWED : STORE_DENIED;
    }
    return r;
}

static uint64_t seed;
static uint64_t pick(uint64_t below)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (seed >> 33) % below;
}

static struct str any_key(void)
{
    return str_of(key_names[pick(MODEL_KEYS)]);
}

static struct store_operation any_operation(uint64_t now, const struct str domains[2])
{
    static const enum store_kind kinds[] = {STORE_MARK,   STORE_GREYLIST, STORE_GREYLIST, STORE_GREYLIST, STORE_PASSED,
                                            STORE_PASSED, STORE_RATE,     STORE_RATE,     STORE_HISTORY,  STORE_HISTORY,
                                            STORE_SHOW,   STORE_FORGET,   STORE_ALLOW,    STORE_DENY};
    static const enum store_table tables[] = {STORE_TABLE_GREYLIST, STORE_TABLE_CLIENTS, STORE_TABLE_MARKS, STORE_TABLE_HISTORY,
                                              STORE_TABLE_RULINGS};
    struct store_operation op = {.kind = kinds[pick(sizeof kinds / sizeof kinds[0])],
                                 .mode = pick(3) ? STORE_TOUCH : STORE_PEEK,
                                 .key = any_key(),
                                 .now_ms = now,
                                 .ttl_ms = pick(40),
                                 .client = pick(3) ? any_key() : STR_NONE,
                                 .passes_known = pick(4),
                                 .life_ms = pick(40),
                                 .ruled_domains = domains,
                                 .ruled_domain_count = pick(3),
                                 .amount = pick(5),
                                 .refused = pick(3),
                                 .window_ms = pick(8) ? 64 : 100,
                                 .table = tables[pick(5)]};
    if (op.kind >= STORE_ALLOW || (op.kind >= STORE_SHOW && op.table == STORE_TABLE_RULINGS))
        op.key = str_of(ruled_names[pick(MODEL_KEYS)]);
    return op;
}

static void compare(const char *name, int step, const struct store_operation *op, const struct store_result *got,
                    const struct store_result *want)
{
#define SAME(field)                                                                                                              \
    cr_assert_eq(got->field, want->field, "%s: step %d, operation %d %s: " #field " is %llu, the model says %llu", name, step,   \
                 op->kind, op->mode == STORE_TOUCH ? "touch" : "peek", (unsigned long long)got->field,                           \
                 (unsigned long long)want->field)
    cr_assert_null(got->error, "%s: step %d: %s", name, step, got->error);
    SAME(found);
    if (op->kind == STORE_RATE) {
        SAME(count);
        return;
    }
    SAME(known);
    SAME(row.first_ms);
    SAME(row.last_ms);
    SAME(row.expires_ms);
    SAME(row.passed);
    SAME(row.refused);
    SAME(client_passes);
    if (op->kind == STORE_GREYLIST) {
        SAME(settled);
        SAME(client_expires_ms);
        SAME(ruling);
    }
}

/* Random operations, some at once, with a clock that goes on, jumps and now and then goes back. */
static void hold_against_model(struct store *s, const char *name, uint64_t from, int steps)
{
    enum { AT_ONCE = 12 };
    struct answer *answers = xcalloc(AT_ONCE, sizeof *answers);
    uint64_t now = 1700000000000;
    seed = from;
    memset(&model, 0, sizeof model);
    for (int step = 0; step < steps;) {
        struct store_operation ops[AT_ONCE];
        struct str domains[AT_ONCE][2];
        struct store_result want[AT_ONCE];
        int n = 1 + (int)pick(AT_ONCE);
        for (int i = 0; i < n; i++) {
            now += pick(50) == 0 ? pick(200) : pick(6);
            now -= pick(60) == 0 ? pick(30) : 0;
            domains[i][0] = any_key(), domains[i][1] = any_key();
            ops[i] = any_operation(now, domains[i]);
            want[i] = model_answer(&ops[i]);
            s->ops->start(s, &ops[i], take_answer, &answers[i]);
        }
        for (int i = 0; i < n; i++) {
            wait_for(&answers[i].times, 1);
            compare(name, step + i, &ops[i], &answers[i].result, &want[i]);
            answer_clear(&answers[i]);
        }
        step += n;
    }
    free(answers);
}

Test(suite, memory_against_the_model, .init = begin, .fini = server_end)
{
    for (uint64_t i = 1; i <= 10; i++) {
        struct store *s = open_kind(MEMORY);
        hold_against_model(s, names[MEMORY], i, 3000);
        store_free(&s);
    }
}

Test(suite, sqlite_against_the_model, .init = begin, .fini = server_end)
{
    struct store *s = open_kind(SQLITE);
    hold_against_model(s, names[SQLITE], 11, 6000);
    store_free(&s);
}

Test(suite, redis_against_the_model, .init = begin, .fini = server_end)
{
    struct store *s = open_kind(REDIS);
    hold_against_model(s, names[REDIS], 12, 6000);
    store_free(&s);
}
