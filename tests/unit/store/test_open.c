/*
 * The settings' store: which one it is, what is complained of at once and what is left to time, the password file.
 */
#include "server.h"

#include <sys/stat.h>

static struct settings settings;

static void begin(void)
{
    server_begin();
    settings_defaults(&settings);
}

static void end(void)
{
    settings_clear(&settings);
    server_end();
}

static struct store *open_good(void)
{
    char *error = NULL;
    cr_assert(store_settings_good(&settings, &error), "%s", error);
    struct store *s = store_open(loop, network, NULL, &settings, &error);
    cr_assert_not_null(s, "%s", error);
    return s;
}

static void expect_complaint(const char *part)
{
    char *error = NULL;
    cr_assert(!store_settings_good(&settings, &error));
    cr_assert(strstr(error, part), "%s", error);
    free(error);
    error = NULL;
    cr_assert_null(store_open(loop, network, NULL, &settings, &error));
    cr_assert(strstr(error, part), "%s", error);
    free(error);
}

static bool is_kept(struct store *s)
{
    struct store_operation op = {.kind = STORE_MARK, .mode = STORE_TOUCH, .key = STR("k"), .now_ms = 1, .ttl_ms = 10};
    ask(s, &op);
    return ask(s, &op).found;
}

Test(open, memory, .init = begin, .fini = end)
{
    settings.store = STORE_MEMORY;
    struct store *s = open_good();
    cr_assert(is_kept(s));
    store_free(&s);
    cr_assert_eq(logged.n, 0);
}

Test(open, a_file, .init = begin, .fini = end)
{
    char path[128];
    settings.store_path = str_of(file_in("postern.db", path));
    struct store *s = open_good();
    cr_assert(is_kept(s));
    store_free(&s);
    cr_assert_eq(access(path, F_OK), 0);
    write_text(path, "this is no database at all, and long enough not to be taken for an empty one");
    s = open_good(); /* it starts, with errors: mail goes on */
    struct store_operation op = {.kind = STORE_MARK, .mode = STORE_TOUCH, .key = STR("k"), .now_ms = 1, .ttl_ms = 10};
    for (int i = 0; i < 20; i++)
        store_record(s, &op);
    cr_assert_str_eq(ask_any(s, &op).error, "file is not a database");
    store_free(&s);
    cr_assert(log_has("store-failed"));
    cr_assert_null(strstr(strchr(logged.p, '\n') + 1, "\n"), "one line a minute: %s", logged.p);
}

Test(open, a_file_that_cannot_be, .init = begin, .fini = end)
{
    char path[160];
    snprintf(path, sizeof path, "%s/no/such/postern.db", directory);
    settings.store_path = str_of(path);
    expect_complaint("store-path: cannot write to the directory");
}

/* Unset, the place is the default one when it can be written, else memory, and the log says so. */
Test(open, the_default, .init = begin, .fini = end)
{
    bool writable = access("/var/lib/postern", W_OK | X_OK) == 0;
    if (writable)
        cr_skip_test("a proxy is installed on this machine: its database is not for tests");
    struct store *s = open_good();
    cr_assert(is_kept(s));
    store_free(&s);
    cr_assert(log_has("store-in-memory"));
    cr_assert_neq(access(STORE_DEFAULT_PATH, F_OK), 0);
}

Test(open, redis, .init = begin, .fini = end)
{
    char socket_path[128], password_file[128];
    settings.store = STORE_REDIS;
    settings.redis = str_of(file_in("redis.sock", socket_path));
    settings.store_deadline = 2000;
    redis_run();
    struct store *s = open_good();
    cr_assert(is_kept(s));
    store_free(&s);

    settings.redis_user = STR("proxy");
    expect_complaint("redis-user: a user needs a password");
    settings.redis_password_file = str_of(file_in("password", password_file));
    expect_complaint("redis-password-file: cannot read");
    write_text(password_file, "\n");
    expect_complaint("is empty");
    write_text(password_file, "sesame-1\n");
    s = open_good();
    struct store_operation op = {.kind = STORE_MARK, .mode = STORE_TOUCH, .key = STR("k"), .now_ms = 1, .ttl_ms = 10};
    cr_assert_str_eq(ask_any(s, &op).error, "the Redis server does not take user and password");
    store_free(&s);
    cr_assert(!log_has("sesame"), "passwords are not logged: %s", logged.p);
    settings.redis_user = STR("default"); /* takes any password as long as none is set */
    s = open_good();
    cr_assert(is_kept(s));
    store_free(&s);
}

Test(open, a_redis_that_is_nowhere, .init = begin, .fini = end)
{
    settings.store = STORE_REDIS;
    settings.redis = STR("redis example");
    expect_complaint("is not the address of a server");
    settings.redis = STR("redis://user:sesame-1@redis.example/0");
    expect_complaint("redis: 'redis://*************@redis.example/0' is not the address of a server");
    settings.redis = STR("redis.example");
    settings.redis_ca = STR("/nowhere/ca.pem");
    expect_complaint("are for TLS; write rediss://redis.example");
    settings.redis = STR("rediss://redis.example");
    expect_complaint("/nowhere/ca.pem: ");
    settings.redis_ca = STR("");
    settings.redis_certificate = STR("/nowhere/own.pem");
    expect_complaint("/nowhere/own.pem: ");
    settings.redis_certificate = STR("");
    settings.redis = STR("/nowhere/redis.sock");
    struct store *s = open_good();
    struct store_operation op = {.kind = STORE_MARK, .mode = STORE_TOUCH, .key = STR("k"), .now_ms = 1, .ttl_ms = 10};
    cr_assert_str_eq(ask_any(s, &op).error, "the Redis server cannot be reached");
    store_free(&s);
    char longest[151];
    memset(longest, '/', sizeof longest);
    settings.redis = (struct str){longest, sizeof longest};
    s = open_good();
    cr_assert_str_eq(ask_any(s, &op).error, "the Redis server cannot be reached");
    store_free(&s);
}
