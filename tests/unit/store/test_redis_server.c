/*
 * Where the Redis server is: over TLS (whom it believes, what it shows of itself), and by name, with a resolver of ours.
 */
#include "server.h"

static struct store_result touch(struct store *s)
{
    struct store_operation op = {.kind = STORE_MARK, .mode = STORE_TOUCH, .key = STR("k"), .now_ms = 100, .ttl_ms = 1000};
    return ask_any(s, &op);
}

/* --- TLS ---------------------------------------------------------------------------------------------------------------------- */

Test(tls, who_is_believed, .init = server_begin, .fini = server_end)
{
    static const struct { const char *host, *ca, *name, *server, *trouble; } cases[] = {
        {"localhost", "authority.pem", "", "server.pem", NULL},
        {"127.0.0.1", "authority.pem", "", "server.pem", NULL},
        {"localhost", "authority.pem", "redis.example", "server.pem", NULL},
        {"localhost", "authority.pem", "elsewhere.example", "other.pem", NULL},
        {"localhost", "authority.pem", "elsewhere.example", "server.pem", "hostname mismatch"},
        {"127.0.0.1", "authority.pem", "", "other.pem", "IP address mismatch"},
        {"localhost", "authority.pem", "", "other.pem", "hostname mismatch"},
        {"localhost", "other.pem", "", "server.pem", "certificate verify failed"},
        {"localhost", "", "", "server.pem", "certificate verify failed"}, /* the system's authorities know nothing of it */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char ca[128];
        struct buf address = {0};
        redis_run_as(cases[i].server, "no");
        buf_printf(&address, "rediss://%s:%u", cases[i].host, redis_port);
        buf_clear(&logged);
        struct store *s = redis_open_with(network, &(struct redis_settings){
            .address = buf_view(&address), .ca = cases[i].ca[0] ? str_of(file_in(cases[i].ca, ca)) : STR_NONE,
            .name = str_of(cases[i].name), .deadline_ms = 2000});
        struct store_result r = touch(s);
        if (cases[i].trouble) {
            cr_expect_str_eq(r.error, "the Redis server cannot be reached", "case %zu", i);
            cr_expect(log_has(cases[i].trouble), "case %zu: %s", i, logged.p);
        } else {
            cr_expect_null(r.error, "case %zu: %s: %s", i, r.error, logged.p);
        }
        store_free(&s);
        buf_free(&address);
        redis_end();
    }
}

Test(tls, a_certificate_of_our_own, .init = server_begin, .fini = server_end)
{
    char ca[128], own[128], wrong_key[128], *error = NULL;
    redis_run_as("server.pem", "yes");
    struct redis_settings settings = {.address = buf_view(&redis_address), .ca = str_of(file_in("authority.pem", ca)), .deadline_ms = 2000};
    struct store *s = redis_open_with(network, &settings);
    cr_assert_not_null(touch(s).error, "without one it is not served");
    store_free(&s);
    settings.certificate = str_of(file_in("client.pem", own));
    s = redis_open_with(network, &settings);
    cr_assert_null(touch(s).error);
    store_free(&s);
    settings.key = settings.certificate;
    s = redis_open_with(network, &settings);
    cr_assert_null(touch(s).error);
    store_free(&s);
    settings.key = str_of(file_in("other.pem", wrong_key));
    cr_assert_null(store_redis(loop, network, NULL, &settings, &error));
    cr_assert(strstr(error, "other.pem"), "%s", error);
    free(error);
}

Test(tls, killed_and_started_again, .init = server_begin, .fini = server_end)
{
    char ca[128];
    redis_run();
    struct store *s = redis_open_with(network, &(struct redis_settings){
        .address = buf_view(&redis_address), .ca = str_of(file_in("authority.pem", ca)), .deadline_ms = 2000});
    for (int round = 0; round < 3; round++) {
        struct store_result r = {.error = "none yet"};
        for (int i = 0; i < 200 && r.error; i++) {
            r = touch(s);
            turn_for(r.error ? 20 : 0);
        }
        cr_assert_null(r.error, "round %d: %s", round, r.error);
        redis_end();
        touch(s); /* the connection was idle: a new one is tried, in vain */
        cr_assert_not_null(touch(s).error);
        redis_run();
    }
    store_free(&s);
}

/* A server that takes connections and says nothing of TLS: the operation has its deadline, the greeting its own. */
Test(tls, a_handshake_without_answer, .init = server_begin, .fini = server_end)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    char address[64];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 5) == 0 && getsockname(fd, (struct sockaddr *)&at, &n) == 0);
    snprintf(address, sizeof address, "rediss://127.0.0.1:%u", ntohs(at.sin_port));
    struct store *s = redis_open_with(network, &(struct redis_settings){.address = str_of(address), .deadline_ms = 200});
    uint64_t start = loop_now(loop);
    cr_assert_str_eq(touch(s).error, "the Redis server could not be connected in time");
    cr_assert_lt(loop_now(loop) - start, 2000);
    store_free(&s);
    close(fd);
}

/* --- names -------------------------------------------------------------------------------------------------------------------- */

struct answer_later {
    struct timer timer;
    char name[256];
    unsigned type;
    void (*done)(void *context, enum dns_status status, const uint8_t *message, size_t n);
    void *context;
};
static struct names {
    struct dns_transport transport;
    const char *a, *b;   /* the addresses of redis.example; NULL: none */
    enum dns_status status;
    uint64_t delay_ms;
    int asked;
    struct answer_later waiting[64];
} names;

static void answer_now(struct timer *t)
{
    struct answer_later *w = (struct answer_later *)(void *)t;
    struct dns_build b = {0};
    struct str name = str_of(w->name);
    if (names.status != DNS_OK) {
        w->done(w->context, names.status, NULL, 0);
        return;
    }
    bool known = strcmp(w->name, "redis.example") == 0;
    dns_build_begin(&b, name, w->type, known ? 0 : 3);
    if (known && w->type == DNS_A && names.a)
        dns_build_record(&b, name, DNS_A, 0, str_of(names.a));
    if (known && w->type == DNS_A && names.b)
        dns_build_record(&b, name, DNS_A, 0, str_of(names.b));
    dns_build_soa(&b, 0);
    struct str message = dns_build_end(&b);
    w->done(w->context, DNS_OK, (const uint8_t *)message.p, message.n);
    buf_free(&b.out);
}

static void names_ask(struct dns_transport *t, size_t server, const char *name, unsigned type,
                      void (*done)(void *context, enum dns_status status, const uint8_t *message, size_t n), void *context)
{
    (void)t, (void)server;
    struct answer_later *w = &names.waiting[names.asked++ % 64];
    timer_cancel(loop, &w->timer);
    *w = (struct answer_later){.timer = {.fire = answer_now}, .type = type, .done = done, .context = context};
    snprintf(w->name, sizeof w->name, "%s", name);
    timer_set_in(loop, &w->timer, names.delay_ms);
}

static size_t names_servers(struct dns_transport *t)
{
    (void)t;
    return 1;
}

static void names_destroy(struct dns_transport *t)
{
    (void)t;
    for (size_t i = 0; i < 64; i++)
        timer_cancel(loop, &names.waiting[i].timer);
}

static struct resolver *resolver_of_ours(const char *a, const char *b)
{
    struct resolver_settings settings = {.timeout_ms = 1000, .tries = 1, .in_flight = 10, .queue = 10, .cache_bytes = 1 << 16,
                                         .ttl_max = 300, .negative_ttl_max = 300};
    names = (struct names){.transport = {.ask = names_ask, .server_count = names_servers, .destroy = names_destroy},
                           .a = a, .b = b, .status = DNS_OK};
    return resolver_new(loop, &names.transport, &settings);
}

static struct store *open_by_name(struct resolver *resolver, const char *host)
{
    char ca[128], *error = NULL;
    struct buf address = {0};
    buf_printf(&address, "rediss://%s:%u", host, redis_port);
    struct redis_settings settings = {.address = buf_view(&address), .ca = str_of(file_in("authority.pem", ca)), .deadline_ms = 2000};
    struct store *s = store_redis(loop, network, resolver, &settings, &error);
    cr_assert_not_null(s, "%s", error);
    buf_free(&address);
    return s;
}

Test(names, looked_up_and_tried_in_order, .init = server_begin, .fini = server_end)
{
    static const struct { const char *a, *b; bool good; } cases[] = {
        {"127.0.0.1", NULL, true}, {"127.0.0.2", "127.0.0.1", true}, {"127.0.0.1", "127.0.0.2", true}, {"127.0.0.2", NULL, false}, {NULL, NULL, false},
    };
    redis_run();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct resolver *resolver = resolver_of_ours(cases[i].a, cases[i].b);
        struct store *s = open_by_name(resolver, "redis.example");
        struct store_result r = touch(s);
        cr_expect_eq(r.error == NULL, cases[i].good, "case %zu: %s", i, r.error);
        if (!cases[i].good)
            cr_expect_str_eq(r.error, "the Redis server cannot be reached");
        store_free(&s);
        resolver_free(&resolver);
    }
    cr_assert(log_has("its name has no address"), "%s", logged.p);
}

Test(names, a_name_that_is_none, .init = server_begin, .fini = server_end)
{
    redis_run();
    struct resolver *resolver = resolver_of_ours("127.0.0.1", NULL);
    struct store *s = open_by_name(resolver, "other.example");
    cr_assert_str_eq(touch(s).error, "the Redis server cannot be reached");
    store_free(&s);
    resolver_free(&resolver);
}

/* The loop goes on, the operation has its deadline; when the name is there, so is the store. It is looked up anew each time. */
Test(names, a_resolver_that_is_slow_or_down, .init = server_begin, .fini = server_end)
{
    redis_run();
    struct resolver *resolver = resolver_of_ours("127.0.0.1", NULL);
    names.delay_ms = 2500;
    struct store *s = open_by_name(resolver, "redis.example");
    uint64_t start = loop_now(loop);
    cr_assert_str_eq(touch(s).error, "the Redis server could not be connected in time");
    uint64_t waited = loop_now(loop) - start;
    cr_assert(waited >= 2000 && waited < 2450, "%llu", (unsigned long long)waited);
    names.delay_ms = 0;
    struct store_result r = {.error = "none yet"};
    for (int i = 0; i < 200 && r.error; i++) {
        turn_for(20);
        r = touch(s);
    }
    cr_assert_null(r.error, "%s", r.error);
    names.status = DNS_SERVFAIL; /* the address known so far is good enough */
    int asked = names.asked;
    redis_end();
    touch(s);
    redis_run();
    r.error = "none yet";
    for (int i = 0; i < 200 && r.error; i++) {
        turn_for(20);
        r = touch(s);
    }
    cr_assert_null(r.error, "%s", r.error);
    cr_assert_gt(names.asked, asked);
    store_free(&s);
    resolver_free(&resolver);
}

/* The store goes while its server's name is being looked up, or its handshake runs. */
Test(names, given_up_on_the_way, .init = server_begin, .fini = server_end)
{
    redis_run();
    for (int turns = 0; turns < 40; turns++) {
        struct resolver *resolver = resolver_of_ours("127.0.0.1", NULL);
        struct store *s = open_by_name(resolver, "redis.example");
        store_record(s, &(struct store_operation){.kind = STORE_MARK, .mode = STORE_TOUCH, .key = STR("k"), .now_ms = 1, .ttl_ms = 1});
        for (int i = 0; i < turns; i++)
            loop_turn(loop, false);
        store_free(&s);
        resolver_free(&resolver);
    }
}
