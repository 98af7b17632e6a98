/*
 * The view: one question once, answers through the loop, waking, freeing while waiting; failing and slow stores; records.
 */
#include "places.h"

#include "postern/base/counters.h"

static int woken;

static void run(struct task *t)
{
    (void)t;
    woken++;
}
static struct task owner = {.run = run};

static void begin(void)
{
    loop = loop_new_simulated(1000000);
    log_keep();
}

static void end(void)
{
    loop_unwake(loop, &owner);
    loop_free(&loop);
    log_forget();
}

static struct store_operation operation(enum store_kind kind, enum store_mode mode, const char *key)
{
    return (struct store_operation){.kind = kind, .mode = mode, .key = str_of(key), .now_ms = loop_wall(loop), .ttl_ms = 10000};
}

Test(view, asks_once_and_wakes, .init = begin, .fini = end)
{
    struct store *s = store_memory(loop, 10);
    struct store_view *v = store_view_new(s, &owner);
    struct store_operation a = operation(STORE_GREYLIST, STORE_TOUCH, "a"), peek = operation(STORE_GREYLIST, STORE_PEEK, "a");

    cr_assert_null(store_view_get(v, &a));
    cr_assert_null(store_view_get(v, &a));
    cr_assert_null(store_view_get(v, &peek));
    cr_assert_eq(store_view_waiting(v), 2);
    cr_assert_eq(woken, 0);
    loop_settle(loop);
    cr_assert_eq(woken, 1, "two answers in one turn wake once");
    cr_assert_eq(store_view_waiting(v), 0);
    const struct store_result *r = store_view_get(v, &a);
    cr_assert(r && !r->found && !r->error);
    loop_advance_to(loop, loop_now(loop) + 500);
    a.now_ms = loop_wall(loop);
    cr_assert_eq(store_view_get(v, &a), r, "the answer stays what it was");
    cr_assert(!r->found);
    cr_assert(store_view_get(v, &peek)->found, "the second operation came after the first");
    store_view_free(&v);
    cr_assert_null(v);
    store_free(&s);
}

Test(view, freed_while_waiting, .init = begin, .fini = end)
{
    struct store *stores[] = {store_memory(loop, 10), store_failing(loop, "down", 50), store_failing(loop, NULL, 0)};

    for (int i = 0; i < 3; i++) {
        struct store_view *v = store_view_new(stores[i], &owner);
        struct store_operation a = operation(STORE_MARK, STORE_PEEK, "a"), b = operation(STORE_MARK, STORE_PEEK, "b");
        store_view_get(v, &a);
        store_view_get(v, &b);
        store_view_free(&v);
        loop_advance_to(loop, loop_now(loop) + 100);
        cr_assert_eq(woken, 0);
        store_free(&stores[i]);
    }
}

Test(view, other_owner, .init = begin, .fini = end)
{
    struct store *s = store_memory(loop, 10);
    struct store_view *v = store_view_new(s, &owner);
    struct store_operation a = operation(STORE_MARK, STORE_PEEK, "a");

    store_view_get(v, &a);
    store_view_set_owner(v, NULL);
    loop_settle(loop);
    cr_assert_eq(woken, 0);
    cr_assert_not_null(store_view_get(v, &a));
    store_view_free(&v);
    store_free(&s);
}

Test(view, failing_store, .init = begin, .fini = end)
{
    struct store *s = store_failing(loop, "down", 50);
    struct store_view *v = store_view_new(s, &owner);
    struct store_operation a = operation(STORE_MARK, STORE_TOUCH, "a");
    uint64_t start = loop_now(loop), errors = counters[COUNTER_STORE_ERRORS];

    cr_assert_null(store_view_get(v, &a));
    loop_advance_to(loop, start + 49);
    cr_assert_null(store_view_get(v, &a));
    loop_advance_to(loop, start + 50);
    cr_assert_eq(woken, 1);
    cr_assert_str_eq(store_view_get(v, &a)->error, "down");
    cr_assert_eq(counters[COUNTER_STORE_ERRORS], errors + 1);
    store_view_free(&v);
    store_free(&s);
}

Test(view, slow_store, .init = begin, .fini = end)
{
    struct store *s = store_failing(loop, NULL, 5000);
    struct store_view *v = store_view_new(s, &owner);
    struct store_operation a = operation(STORE_GREYLIST, STORE_TOUCH, "a");
    uint64_t start = loop_now(loop);

    store_view_get(v, &a);
    loop_advance_to(loop, start + 4999);
    cr_assert_null(store_view_get(v, &a));
    loop_advance_to(loop, start + 5000);
    const struct store_result *r = store_view_get(v, &a);
    cr_assert(r && !r->error && !r->found);
    store_view_free(&v);
    store_free(&s);
}

Test(record, writes, .init = begin, .fini = end)
{
    struct store *s = store_memory(loop, 10);
    struct store_view *v = store_view_new(s, &owner);
    struct store_operation mark = operation(STORE_MARK, STORE_TOUCH, "a"), peek = operation(STORE_MARK, STORE_PEEK, "a");

    store_record(s, &mark);
    store_view_get(v, &peek);
    loop_settle(loop);
    cr_assert(store_view_get(v, &peek)->found);
    store_record(s, &mark); /* on its way when the store goes */
    store_view_free(&v);
    store_free(&s);
}

Test(record, failures_are_counted_and_logged_once_a_minute, .init = begin, .fini = end)
{
    struct store *s = store_failing(loop, "down", 1);
    struct store_operation mark = operation(STORE_MARK, STORE_TOUCH, "a");
    uint64_t errors = counters[COUNTER_STORE_ERRORS];

    for (int i = 0; i < 10; i++)
        store_record(s, &mark);
    loop_advance_to(loop, loop_now(loop) + 10);
    cr_assert_eq(counters[COUNTER_STORE_ERRORS], errors + 10);
    cr_assert_eq(log_lines(), 1);
    loop_advance_to(loop, loop_now(loop) + 60001);
    store_record(s, &mark);
    loop_advance_to(loop, loop_now(loop) + 10);
    cr_assert_eq(log_lines(), 2);
    store_free(&s);
}
