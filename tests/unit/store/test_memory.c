/*
 * The memory store: each kind in each mode, expiry, the cap, order of answers, cancelling. What the operations mean is held
 * against a model in test_store_suite.c.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/store/store.h"

static struct loop *loop;
static struct store *store;

static void open_store(void)
{
    loop = loop_new_simulated(0);
    store = store_memory(loop, 1000);
}

static void close_store(void)
{
    store_free(&store);
    loop_free(&loop);
}

struct answer {
    struct store_result result;
    int times;
};

static void take(void *context, const struct store_result *result)
{
    struct answer *a = context;
    a->result = *result;
    a->times++;
}

static struct store_result ask(struct store *s, enum store_kind kind, enum store_mode mode, const char *key, uint64_t now,
                               uint64_t ttl)
{
    struct answer a = {0};
    struct store_operation op = {.kind = kind, .mode = mode, .key = str_of(key), .now_ms = now, .ttl_ms = ttl};

    s->ops->start(s, &op, take, &a);
    cr_assert_eq(a.times, 0, "called back before start returned");
    loop_settle(loop);
    cr_assert_eq(a.times, 1);
    cr_assert_null(a.result.error);
    return a.result;
}

Test(memory, marks, .init = open_store, .fini = close_store)
{
    cr_assert(!ask(store, STORE_MARK, STORE_PEEK, "k", 100, 50).found);
    cr_assert(!ask(store, STORE_MARK, STORE_PEEK, "k", 100, 50).found, "a peek writes nothing");
    cr_assert(!ask(store, STORE_MARK, STORE_TOUCH, "k", 100, 50).found);
    cr_assert(ask(store, STORE_MARK, STORE_PEEK, "k", 149, 0).found);
    cr_assert(!ask(store, STORE_MARK, STORE_PEEK, "k", 150, 0).found, "there while now < expires");
    cr_assert(!ask(store, STORE_MARK, STORE_PEEK, "K", 110, 0).found);
    ask(store, STORE_MARK, STORE_TOUCH, "k", 140, 50);
    cr_assert(ask(store, STORE_MARK, STORE_PEEK, "k", 189, 0).found, "marked again, it lives longer");
    cr_assert(!ask(store, STORE_GREYLIST, STORE_PEEK, "k", 141, 0).found, "a mark is no greylist row");
}

Test(memory, greylist, .init = open_store, .fini = close_store)
{
    cr_assert(!ask(store, STORE_GREYLIST, STORE_PEEK, "k", 100, 50).found);
    struct store_result r = ask(store, STORE_GREYLIST, STORE_TOUCH, "k", 100, 50);
    cr_assert(!r.found && r.first_seen_ms == 100 && !r.known);
    r = ask(store, STORE_GREYLIST, STORE_TOUCH, "k", 130, 50);
    cr_assert(r.found && r.first_seen_ms == 100 && !r.known);
    r = ask(store, STORE_GREYLIST, STORE_PEEK, "k", 149, 50);
    cr_assert(r.found && r.first_seen_ms == 100);
    r = ask(store, STORE_GREYLIST, STORE_TOUCH, "k", 150, 50);
    cr_assert(!r.found && r.first_seen_ms == 150, "touching does not make it live longer: it has expired and begins anew");
}

Test(memory, passed, .init = open_store, .fini = close_store)
{
    ask(store, STORE_GREYLIST, STORE_TOUCH, "k", 100, 50);
    ask(store, STORE_PASSED, STORE_TOUCH, "k", 120, 1000);
    struct store_result r = ask(store, STORE_GREYLIST, STORE_PEEK, "k", 1119, 0);
    cr_assert(r.found && r.known && r.first_seen_ms == 100);
    cr_assert(!ask(store, STORE_GREYLIST, STORE_PEEK, "k", 1120, 0).found);
    ask(store, STORE_PASSED, STORE_TOUCH, "new", 5, 10);
    r = ask(store, STORE_GREYLIST, STORE_TOUCH, "new", 6, 1);
    cr_assert(r.found && r.known && r.first_seen_ms == 5);
    ask(store, STORE_PASSED, STORE_TOUCH, "ever", 5, UINT64_MAX);
    cr_assert(ask(store, STORE_GREYLIST, STORE_PEEK, "ever", STORE_FOREVER - 1, 0).known);
}

Test(memory, cap_drops_expired_then_oldest, .init = open_store, .fini = close_store)
{
    struct store *small = store_memory(loop, 4);

    ask(small, STORE_MARK, STORE_TOUCH, "a", 0, 1000);
    ask(small, STORE_MARK, STORE_TOUCH, "b", 1, 5);
    ask(small, STORE_MARK, STORE_TOUCH, "c", 2, 1000);
    ask(small, STORE_MARK, STORE_TOUCH, "d", 3, 1000);
    ask(small, STORE_MARK, STORE_TOUCH, "e", 10, 1000); /* b has expired */
    cr_assert(ask(small, STORE_MARK, STORE_PEEK, "a", 10, 0).found);
    cr_assert(!ask(small, STORE_MARK, STORE_PEEK, "b", 10, 0).found);
    ask(small, STORE_MARK, STORE_TOUCH, "a", 11, 1000); /* the youngest now */
    ask(small, STORE_MARK, STORE_TOUCH, "f", 12, 1000); /* c is the oldest */
    cr_assert(!ask(small, STORE_MARK, STORE_PEEK, "c", 12, 0).found);
    for (const char *left = "adef"; *left; left++)
        cr_assert(ask(small, STORE_MARK, STORE_PEEK, (char[]){*left, 0}, 12, 0).found, "%c", *left);
    store_free(&small);
}

Test(memory, cap_holds_under_a_flood, .init = open_store, .fini = close_store)
{
    char key[32];

    for (int i = 0; i < 50000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        ask(store, STORE_GREYLIST, STORE_TOUCH, key, (uint64_t)i, 20000);
    }
    int found = 0;
    for (int i = 0; i < 50000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        bool here = ask(store, STORE_GREYLIST, STORE_PEEK, key, 50000, 0).found;
        cr_assert(!here || i >= 49000, "an older row stayed");
        found += here;
    }
    cr_assert_eq(found, 1000);
}

static int order[3], told;
static void note(void *context, const struct store_result *result)
{
    (void)result;
    order[told++] = *(int *)context;
}

Test(memory, answers_in_order_and_cancel, .init = open_store, .fini = close_store)
{
    int one = 1, two = 2, three = 3;
    struct store_operation op = {.kind = STORE_MARK, .mode = STORE_TOUCH, .key = STR("k"), .now_ms = 1, .ttl_ms = 10};

    store->ops->start(store, &op, note, &one);
    struct store_request *r = store->ops->start(store, &op, note, &two);
    store->ops->start(store, &op, note, &three);
    store->ops->cancel(store, r);
    loop_settle(loop);
    cr_assert(told == 2 && order[0] == 1 && order[1] == 3);
    r = store->ops->start(store, &op, note, &two);
    store->ops->cancel(store, r);
    loop_settle(loop);
    cr_assert_eq(told, 2);
    store->ops->start(store, &op, note, &two); /* never told: the store goes first */
}

Test(memory, key_is_copied, .init = open_store, .fini = close_store)
{
    char *key = xstrndup("key", 3);
    struct answer a = {0};
    struct store_operation op = {.kind = STORE_MARK, .mode = STORE_TOUCH, .key = {key, 3}, .now_ms = 1, .ttl_ms = 10};

    store->ops->start(store, &op, take, &a);
    memset(key, 'x', 3);
    free(key);
    loop_settle(loop);
    cr_assert(ask(store, STORE_MARK, STORE_PEEK, "key", 2, 0).found);
}

/* Strangers that never come back do not push out who is known, whoever came first. */
Test(memory, a_flood_of_strangers_leaves_the_known, .init = open_store, .fini = close_store)
{
    char key[32];

    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "good%d", i);
        ask(store, STORE_GREYLIST, STORE_TOUCH, key, 1, 100000);
        ask(store, STORE_PASSED, STORE_TOUCH, key, 2, 1000000);
    }
    for (int i = 0; i < 200000; i++) {
        struct store_operation op = {
            .kind = i % 3 ? STORE_GREYLIST : STORE_RATE, .mode = STORE_TOUCH, .now_ms = 10, .ttl_ms = 1000, .window_ms = 100};
        op.key = (struct str){key, (size_t)snprintf(key, sizeof key, "junk%d", i)};
        store_record(store, &op);
        if (i % 1000 == 0)
            loop_settle(loop);
    }
    loop_settle(loop);
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "good%d", i);
        cr_assert(ask(store, STORE_GREYLIST, STORE_PEEK, key, 20, 0).known, "%s", key);
    }
}
