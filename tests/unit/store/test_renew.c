/*
 * Files that a store reads anew while it runs (HUP): Redis's authority, our certificate there, the password. What is no good is complained of and
 * changes nothing; what is in flight is not touched; who waits out a back-off tries again at once.
 */
#include "server.h"

static struct settings settings;

static void begin(void)
{
    server_begin();
    settings_defaults(&settings);
    settings.store = STORE_REDIS;
    settings.store_deadline = 2000;
}

static void end(void)
{
    settings_clear(&settings);
    server_end();
}

static const struct store_operation mark = {.kind = STORE_MARK, .mode = STORE_TOUCH, .key = {"k", 1}, .now_ms = 1, .ttl_ms = 10};

static struct store *open_it(void)
{
    char *error = NULL;
    struct store *s = store_open(loop, network, NULL, &settings, &error);
    cr_assert_not_null(s, "%s", error);
    return s;
}

static void renew(struct store *s)
{
    char *error = NULL;
    cr_assert(store_renew(s, &settings, &error), "%s", error);
}

static void cannot_renew(struct store *s, const char *why)
{
    char *error = NULL;
    cr_assert_not(store_renew(s, &settings, &error));
    cr_assert(strstr(error, why), "%s", error);
    free(error);
}

/* It is there, or comes back soon. */
static void works(struct store *s, const char *when)
{
    const char *error = "none yet";
    for (int i = 0; i < 200 && error; i++) {
        error = ask_any(s, &mark).error;
        turn_for(error ? 20 : 0);
    }
    cr_assert_null(error, "%s: %s: %s", when, error, logged.n ? logged.p : "");
}

static void copy(const char *from, const char *to)
{
    char bytes[16384], path[128];
    FILE *f = fopen(file_in(from, path), "r");
    size_t n = fread(bytes, 1, sizeof bytes - 1, f);
    bytes[n] = '\0';
    fclose(f);
    write_text(file_in(to, path), bytes);
}

static void restart(const char *server_file, const char *clients)
{
    redis_end();
    redis_run_as(server_file, clients);
}

Test(renew, an_authority, .init = begin, .fini = end)
{
    char ca[128];
    redis_run();
    settings.redis = buf_view(&redis_address);
    settings.redis_ca = str_of(file_in("ca.pem", ca));
    copy("other.pem", "ca.pem");
    struct store *s = open_it();
    cr_assert_str_eq(ask_any(s, &mark).error, "the Redis server cannot be reached");
    cr_assert(log_has("certificate verify failed"), "%s", logged.p);
    copy("authority.pem", "ca.pem");
    renew(s);
    works(s, "the new authority");

    write_text(ca, "-----BEGIN CERTIFICATE-----\nno\n");
    cannot_renew(s, "redis: TLS cannot be used: ");
    cannot_renew(s, "ca.pem");
    works(s, "a broken file");
    restart("server.pem", "no");
    works(s, "a new connection with what was read before");
    unlink(ca);
    cannot_renew(s, "ca.pem");
    works(s, "no file");
    store_free(&s);
}

Test(renew, our_own_certificate, .init = begin, .fini = end)
{
    char ca[128], own[128], key[128];
    redis_run_as("server.pem", "yes");
    settings.redis = buf_view(&redis_address);
    settings.redis_ca = str_of(file_in("authority.pem", ca));
    settings.redis_certificate = str_of(file_in("own.pem", own));
    settings.redis_key = str_of(file_in("own.key", key));
    copy("client.pem", "own.pem");
    copy("client.pem", "own.key");
    struct store *s = open_it();
    works(s, "the first certificate");
    copy("other.pem", "own.pem"); /* a renewal of which only the first half is done */
    cannot_renew(s, "own.key");
    restart("server.pem", "yes");
    works(s, "certificate and key as they were read before");
    copy("other.pem", "own.key");
    renew(s);
    works(s, "the connection that runs");
    restart("server.pem", "yes");
    works(s, "the new pair");
    store_free(&s);
}

Test(renew, nothing_in_flight_is_lost, .init = begin, .fini = end)
{
    char ca[128];
    enum { ROUNDS = 20, EACH = 50 };
    static struct answer answers[ROUNDS * EACH];
    redis_run();
    settings.redis = buf_view(&redis_address);
    settings.redis_ca = str_of(file_in("authority.pem", ca));
    struct store *s = open_it();
    works(s, "the first connection");
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < EACH; i++)
            s->ops->start(s, &mark, take_answer, &answers[round * EACH + i]);
        for (int turn = 0; turn < round % 4; turn++)
            loop_turn(loop, false);
        renew(s);
    }
    wait_for(&answers[ROUNDS * EACH - 1].times, 1);
    for (int i = 0; i < ROUNDS * EACH; i++)
        cr_assert(answers[i].times == 1 && !answers[i].result.error, "operation %d: %d answers, %s", i, answers[i].times, answers[i].result.error);
    cr_assert_eq(logged.n, 0, "%s", logged.p);
    store_free(&s);
}

Test(renew, a_password, .init = begin, .fini = end)
{
    char path[128], file[128];
    redis_run();
    redis_add_proxy_user();
    settings.redis = str_of(file_in("redis.sock", path));
    settings.redis_prefix = STR("te*st:");
    settings.redis_user = STR("proxy");
    settings.redis_password_file = str_of(file_in("password", file));
    write_text(file, "old\n");
    struct store *s = open_it();
    cr_assert_str_eq(ask_any(s, &mark).error, "the Redis server does not take user and password");
    write_text(file, "\n");
    cannot_renew(s, "the first line of ");
    write_text(file, "a \"secret\"\n");
    renew(s);
    works(s, "the new password");
    cr_assert_not(log_has("secret"), "%s", logged.p);
    store_free(&s);
}

/* --- in virtual time ---------------------------------------------------------------------------------------------------------- */

static int connections;

static struct stream *refuse(struct network *n, const struct addr_port *to, struct task *owner)
{
    (void)to;
    connections++;
    return stream_dead(n->loop, "Connection refused", owner);
}

Test(renew, who_waits_out_a_back_off_tries_at_once)
{
    char *error = NULL;
    loop = loop_new_simulated(1000000);
    struct network none = {.connect = refuse, .loop = loop};
    struct redis_settings redis = {.address = STR("192.0.2.1:6379"), .deadline_ms = 200};
    log_keep();
    struct store *s = store_redis(loop, &none, NULL, &redis, &error);
    turn_for(60000);
    int before = connections;
    turn_for(5000);
    cr_assert_leq(connections, before + 1, "the back-off is long by now");
    before = connections;
    cr_assert(store_redis_renew(s, &redis, &error));
    turn_for(10);
    cr_assert_eq(connections, before + 1);
    turn_for(1000);
    cr_assert_geq(connections, before + 3, "and it begins to grow anew");
    store_free(&s);
    log_forget();
    loop_free(&loop);
}

Test(renew, other_stores_have_no_files)
{
    loop = loop_new_simulated(0);
    settings_defaults(&settings);
    settings.store = STORE_MEMORY;
    struct store *s = store_memory(loop, 10);
    renew(s);
    store_free(&s);
    settings_clear(&settings);
    loop_free(&loop);
}
