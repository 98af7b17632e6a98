/*
 * The store in Redis with a real server: killed, restarted, stopped, protected, out of memory; its databases, users and
 * garbage. A broken or hostile one is in test_redis_fake.c.
 */
#include "server.h"

static struct store_operation operation(enum store_mode mode, const char *key)
{
    return (struct store_operation){.kind = STORE_GREYLIST, .mode = mode, .key = str_of(key), .now_ms = 100, .ttl_ms = 1000000};
}

static struct store_result touch(struct store *s, const char *key)
{
    struct store_operation op = operation(STORE_TOUCH, key);
    return ask_any(s, &op);
}

/* Until an operation succeeds again. */
static struct store_result touch_until_good(struct store *s, const char *key)
{
    struct store_result r = {.error = "none yet"};
    for (int i = 0; i < 150 && r.error; i++) {
        turn_for(20);
        r = touch(s, key);
    }
    return r;
}

/* --- a real server ---------------------------------------------------------------------------------------------------------- */

Test(redis, killed_and_started_again, .init = server_begin, .fini = server_end)
{
    redis_run();
    struct store *s = redis_open(network, NULL, NULL, 2000);
    cr_assert_null(touch(s, "k").error);
    redis_end();
    struct store_result r = touch(s, "k"); /* the connection was idle and in order: a new one is tried, in vain */
    cr_assert_not_null(r.error);
    cr_assert_str_eq(touch(s, "k").error, "the Redis server is not connected", "from then on it fails at once");
    redis_run();
    r = touch_until_good(s, "k");
    cr_assert_null(r.error, "it does not come back: %s", r.error);
    cr_assert(!r.found, "the server kept nothing, and its scripts neither");
    cr_assert(touch(s, "k").found);
    store_free(&s);
}

/* A server that hangs: the check that meets it waits its deadline, all others know at once. */
Test(redis, stopped_and_continued, .init = server_begin, .fini = server_end)
{
    enum { MANY = 2000 };
    redis_run();
    struct store *s = redis_open(network, NULL, NULL, 200);
    cr_assert_null(touch(s, "k").error);
    redis_signal(SIGSTOP);
    uint64_t start = loop_now(loop);
    cr_assert_str_eq(touch(s, "k").error, "the Redis server did not answer in time");
    uint64_t waited = loop_now(loop) - start;
    cr_assert(waited >= 200 && waited < 1000, "%lu ms", waited);
    start = loop_now(loop);
    for (int i = 0; i < MANY; i++)
        cr_assert_not_null(touch(s, "k").error);
    cr_assert_lt(loop_now(loop) - start, 5000, "nobody waits for a server that is known to hang");
    redis_signal(SIGCONT);
    struct store_result r = {.error = "none yet"};
    for (int i = 0; i < 60 && r.error; i++) {
        turn_for(200);
        r = touch(s, "k");
    }
    cr_assert_null(r.error, "it does not come back: %s", r.error);
    cr_assert(r.found);
    store_free(&s);
}

Test(redis, scripts_flushed_under_load, .init = server_begin, .fini = server_end)
{
    char reply[64];
    redis_run();
    struct store *s = redis_open(network, NULL, NULL, 5000);
    struct store_operation op = {
        .kind = STORE_RATE, .mode = STORE_TOUCH, .key = STR("sum"), .now_ms = 100, .window_ms = 1000, .amount = 1};
    struct answer *a = xcalloc(1, sizeof *a);
    for (int round = 1; round <= 20; round++) {
        command_to_server("SCRIPT FLUSH\r\n", reply, sizeof reply);
        cr_assert_str_eq(reply, "+OK\r\n");
        for (int i = 0; i < 50; i++)
            s->ops->start(s, &op, take_answer, a);
        wait_for(&a->times, round * 50);
        cr_assert_null(a->result.error, "%s", a->result.error);
    }
    op.mode = STORE_PEEK;
    cr_assert_eq(ask(s, &op).count, 1000, "none was lost and none came twice");
    free(a);
    store_free(&s);
}

Test(redis, users_and_passwords, .init = server_begin, .fini = server_end)
{
    static const struct { const char *user, *password, *error; } cases[] = {
        {"proxy", "a \"secret\"", NULL},
        {"proxy", "wrong", "the Redis server does not take user and password"},
        {"nobody", "a \"secret\"", "the Redis server does not take user and password"},
        {NULL, "the default's", NULL},
        {NULL, NULL, "the Redis server wants a password"},
        {"narrow", "few", "the Redis user may not do this"},
        {"unscripted", "x", NULL}, /* SCRIPT LOAD is forbidden: the script is sent each time */
    };
    redis_run();
    char reply[128];
    redis_add_proxy_user();
    command_to_server("ACL SETUSER narrow on >few ~other:* +@all\r\n", reply, sizeof reply);
    cr_assert_str_eq(reply, "+OK\r\n");
    command_to_server("ACL SETUSER unscripted on >x ~* +@all -script\r\n", reply, sizeof reply);
    cr_assert_str_eq(reply, "+OK\r\n");
    command_to_server("*4\r\n$3\r\nACL\r\n$7\r\nSETUSER\r\n$7\r\ndefault\r\n$14\r\n>the default's\r\n", reply, sizeof reply);
    cr_assert_str_eq(reply, "+OK\r\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct store *s = redis_open(network, cases[i].user, cases[i].password, 2000);
        struct store_result r = touch(s, "k");
        if (cases[i].error)
            cr_expect_str_eq(r.error, cases[i].error, "case %zu", i);
        else
            cr_expect_null(r.error, "case %zu: %s", i, r.error);
        store_free(&s);
    }
}

Test(redis, out_of_memory_is_an_error_and_the_connection_stays, .init = server_begin, .fini = server_end)
{
    char reply[64];
    redis_run();
    struct store *s = redis_open(network, NULL, NULL, 2000);
    cr_assert_null(touch(s, "k").error);
    command_to_server("CONFIG SET maxmemory 1\r\n", reply, sizeof reply);
    cr_assert_str_eq(touch(s, "k").error, "the Redis server is out of memory");
    command_to_server("CONFIG SET maxmemory 0\r\n", reply, sizeof reply);
    cr_assert_null(touch(s, "k").error);
    store_free(&s);
}

Test(redis, somebody_elses_key, .init = server_begin, .fini = server_end)
{
    char reply[64];
    redis_run();
    struct store *s = redis_open(network, NULL, NULL, 2000);
    command_to_server("LPUSH te*st:ak 1\r\n", reply, sizeof reply);
    cr_assert_str_eq(touch(s, "k").error, "the Redis server answered with an error");
    command_to_server("SET te*st:al \"1 2 three\"\r\n", reply, sizeof reply);
    struct store_result r = touch(s, "l");
    cr_assert(!r.error && !r.found && r.first_seen_ms == 100, "what is no row is replaced");
    store_free(&s);
}

Test(redis, databases_prefixes_and_garbage, .init = server_begin, .fini = server_end)
{
    char path[128], *error = NULL;
    redis_run();
    struct redis_settings settings = {
        .address = str_of(file_in("redis.sock", path)), .prefix = STR("one:"), .database = 3, .deadline_ms = 2000};
    struct store *one = store_redis(loop, network, NULL, &settings, &error);
    settings.prefix = STR("two:");
    struct store *two = store_redis(loop, network, NULL, &settings, &error);
    settings.database = 4;
    struct store *three = store_redis(loop, network, NULL, &settings, &error);
    cr_assert(!touch(one, "k").found && !touch(two, "k").found && !touch(three, "k").found);
    cr_assert(touch(one, "k").found && touch(two, "k").found && touch(three, "k").found);
    settings.database = 1000;
    struct store *none = store_redis(loop, network, NULL, &settings, &error);
    cr_assert_str_eq(touch(none, "k").error, "the Redis server answered with an error", "there is no such database");
    store_free(&one);
    store_free(&two);
    store_free(&three);
    store_free(&none);
}

Test(redis, rows_leave_the_server_by_themselves, .init = server_begin, .fini = server_end)
{
    char reply[64];
    redis_run();
    struct store *s = redis_open(network, NULL, NULL, 2000);
    cr_assert_null(touch(s, "k").error);
    command_to_server("PTTL te*st:ak\r\n", reply, sizeof reply);
    long ttl = strtol(reply + 1, NULL, 10);
    cr_assert(ttl > 1000000 && ttl <= 1000000 + 3600000, "%ld", ttl);
    struct store_operation op = {.kind = STORE_ALLOW, .mode = STORE_TOUCH, .key = STR("k"), .now_ms = 100};
    cr_assert_null(ask_any(s, &op).error);
    command_to_server("PTTL te*st:fk\r\n", reply, sizeof reply);
    cr_assert_str_eq(reply, ":-1\r\n", "what is allowed for ever stays");
    store_free(&s);
}

Test(redis, addresses, .init = server_begin, .fini = server_end)
{
    static const char *const good[] = {"127.0.0.1:6379", "127.0.0.1", "::1", "[::1]:6380", "/run/redis.sock", "redis.example",
                                       "redis.example:6380", "redis://redis.example", "redis://127.0.0.1:1", "redis_1", "1a.example:1"};
    static const char *const bad[] = {"", "127.0.0.1:0", "127.0.0.1:x", "run/redis.sock", "[::1", "redis.example:", "redis.example:0",
                                      "redis.example:65536", "redis..example", "10.0.0.256", "redis://", "rediss://", "rediss:///run/r",
                                      "redis://u:p@redis.example", "http://redis.example", "redis.example/1", "redis example"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char *error = NULL;
        struct redis_settings settings = {.address = str_of(good[i]), .deadline_ms = 100};
        struct store *s = store_redis(loop, network, NULL, &settings, &error);
        cr_assert(s && !error, "%s: %s", good[i], error);
        store_free(&s);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char *error = NULL;
        struct redis_settings settings = {.address = str_of(bad[i]), .deadline_ms = 100};
        cr_assert_null(store_redis(loop, network, NULL, &settings, &error), "%s", bad[i]);
        cr_assert(strstr(error, "is not the address of a server"), "%s", error);
        free(error);
    }
}
