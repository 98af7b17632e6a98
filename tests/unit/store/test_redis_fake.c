/*
 * The store in Redis with a server of ours that is broken or hostile, in virtual time: whatever it says or leaves unsaid, each
 * operation has one answer within its deadline, memory is bounded, and a good server is found again.
 */
#include "places.h"

#include "redis_internal.h"

#define SHA "$40\r\n0123456789abcdef0123456789abcdef01234567\r\n"
#define ROW(first) "*10\r\n:1\r\n:" first "\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:0\r\n:0\r\n"

static struct fake {
    struct network network;
    struct stream *end; /* the server's */
    int connections;
    size_t window, read_limit;
    bool refuses;
    bool no_sockets; /* ours: the server is not to blame */
} fake;

static struct stream *fake_connect(struct network *n, const struct addr_port *to, struct task *owner)
{
    struct memory_pair_options options = {.read_limit = fake.read_limit, .window = fake.window};
    struct stream *client;
    (void)to;
    fake.connections++;
    if (fake.no_sockets)
        return stream_dead_short(n->loop, "connecting to Redis", EMFILE, owner);
    if (fake.refuses)
        return stream_dead(n->loop, "Connection refused", owner);
    if (fake.end)
        stream_close(n->loop, &fake.end);
    stream_memory_pair(n->loop, &options, &client, &fake.end);
    stream_set_owner(client, owner);
    return client;
}

static struct store *fake_open(void)
{
    char *error = NULL;
    struct redis_settings settings = {.address = STR("192.0.2.1:6379"), .prefix = STR("p:"), .deadline_ms = 200};
    loop = loop_new_simulated(1000000);
    fake = (struct fake){.network = {.connect = fake_connect, .loop = loop}, .window = 1 << 22};
    log_keep();
    struct store *s = store_redis(loop, &fake.network, NULL, &settings, &error);
    cr_assert_not_null(s);
    return s;
}

static void fake_end(struct store **s)
{
    store_free(s);
    if (fake.end)
        stream_close(loop, &fake.end);
    loop_free(&loop);
    log_forget();
}

static void say(const char *text, size_t n)
{
    stream_put(fake.end, text, n);
    stream_flush(fake.end);
    loop_settle(loop);
}

static void say_text(const char *text)
{
    say(text, strlen(text));
}

/* What the client said so far (not kept). */
static size_t hear(char *out, size_t size)
{
    size_t n = 0;
    loop_settle(loop);
    for (ssize_t got; n < size - 1 && (got = stream_read(fake.end, out + n, size - 1 - n)) > 0; n += (size_t)got)
        loop_settle(loop);
    out[n] = '\0';
    return n;
}

static struct answer *start(struct store *s, enum store_kind kind)
{
    struct answer *a = xcalloc(1, sizeof *a);
    struct store_operation op = {
        .kind = kind, .mode = STORE_PEEK, .key = STR("k"), .now_ms = 1, .ttl_ms = 1, .window_ms = 100, .limit = 10};
    s->ops->start(s, &op, take_answer, a);
    loop_settle(loop);
    return a;
}

static void expect_error(struct answer **a, const char *error)
{
    loop_settle(loop);
    cr_assert_eq((*a)->times, 1, "no answer");
    cr_assert_not_null((*a)->result.error, "'%s' was expected", error);
    cr_assert_str_eq((*a)->result.error, error);
    free(*a);
    *a = NULL;
}

/* A good server again: connected, greeted, an operation answered. */
static void expect_recovery(struct store *s, const char *what)
{
    int before = fake.connections;
    for (int i = 0; i < 200 && (fake.connections == before || !fake.end); i++)
        loop_advance_to(loop, loop_now(loop) + 100);
    cr_assert_gt(fake.connections, before, "no new connection after %s", what);
    say_text(SHA);
    struct answer *a = start(s, STORE_GREYLIST);
    say_text(ROW("77"));
    cr_assert_eq(a->times, 1, "%s", what);
    cr_assert(!a->result.error && a->result.first_seen_ms == 77, "after %s: %s", what, a->result.error);
    free(a);
}

Test(fake, broken_answers, .timeout = 120)
{
    static const char *const none = "the Redis server gave an answer that is none",
                             *const protocol = "the Redis server does not keep to the protocol";
    const struct { const char *reply; enum store_kind kind; const char *error;
    } cases[] = {
        {"*4294967297\r\n", STORE_GREYLIST, protocol},
        {"*2147483647\r\n", STORE_GREYLIST, protocol},
        {"*4096\r\n", STORE_GREYLIST, protocol},
        {"*-2\r\n", STORE_GREYLIST, protocol},
        {"*99999999999999999999\r\n", STORE_GREYLIST, protocol},
        {"*x\r\n", STORE_GREYLIST, protocol},
        {"$99999999999999999999\r\n", STORE_GREYLIST, protocol},
        {"$-7\r\n", STORE_GREYLIST, protocol},
        {"!nonsense\r\n", STORE_GREYLIST, protocol},
        {"HTTP/1.1 400 Bad Request\r\n\r\n", STORE_GREYLIST, protocol},
        {":12x\r\n", STORE_GREYLIST, protocol},
        {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", STORE_GREYLIST, protocol},
        {"*1000\r\n*1000\r\n*1000\r\n*1000\r\n*4000\r\n", STORE_GREYLIST, "the Redis server did not answer in time"},
        {"+OK\r\n", STORE_GREYLIST, none},
        {":1\r\n", STORE_GREYLIST, none},
        {"$-1\r\n", STORE_GREYLIST, none},
        {"$2\r\nOK\r\n", STORE_GREYLIST, none},
        {"*-1\r\n", STORE_GREYLIST, none},
        {"*0\r\n", STORE_GREYLIST, none},
        {"*9\r\n:1\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:0\r\n", STORE_GREYLIST, none},
        {"*11\r\n:1\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:0\r\n:0\r\n:0\r\n", STORE_GREYLIST, none},
        {"*10\r\n:2\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:0\r\n:0\r\n", STORE_GREYLIST, none},
        {"*10\r\n:1\r\n:-1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:0\r\n:0\r\n", STORE_GREYLIST, none},
        {"*10\r\n:1\r\n:9223372036854775807\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:0\r\n:0\r\n", STORE_GREYLIST, none},
        {"*10\r\n:1\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:3\r\n:0\r\n", STORE_GREYLIST, none},
        {"*10\r\n:1\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:1\r\n:0\r\n", STORE_PASSED,
         none}, /* a ruling that was not asked for */
        {"+RULINGS\r\n", STORE_PASSED, none},
        {"+RULINGS\r\n+RULINGS\r\n+RULINGS\r\n", STORE_GREYLIST, none}, /* each once, and it has been told them */
        {"*10\r\n:1\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n$1\r\n6\r\n:7\r\n:0\r\n:0\r\n", STORE_GREYLIST, none},
        {"*10\r\n:1\r\n:1\r\n:2\r\n:3\r\n:4\r\n*0\r\n:6\r\n:7\r\n:0\r\n:0\r\n", STORE_GREYLIST, none},
        {"*0\r\n", STORE_LIST, none},
        {"*1\r\n:0\r\n", STORE_LIST, none},
        {"*1\r\n$1\r\nx\r\n", STORE_LIST, none},
        {"*1\r\n$21\r\n999999999999999999999\r\n", STORE_LIST, none},
        {"*2\r\n$1\r\n0\r\n$1\r\nk\r\n", STORE_LIST, none},
        {"*3\r\n$1\r\n0\r\n$1\r\nk\r\n$7\r\n1 2 3 4\r\n", STORE_LIST, none},
        {"*3\r\n$1\r\n0\r\n$1\r\nk\r\n$11\r\n1 2 3 4 5 6\r\n", STORE_LIST, none},
        {"*3\r\n$1\r\n0\r\n$1\r\nk\r\n$10\r\n1 2 3 4 -5\r\n", STORE_LIST, none},
        {"*3\r\n$1\r\n0\r\n:1\r\n$9\r\n1 2 3 4 5\r\n", STORE_LIST, none},
        {"*3\r\n$1\r\n0\r\n$1\r\nk\r\n$-1\r\n", STORE_LIST, none},
        {"*3\r\n$1\r\n0\r\n:1\r\n:1\r\n", STORE_STATS, none},
        {"*4\r\n$1\r\n0\r\n:1\r\n:1\r\n+1\r\n", STORE_STATS, none},
        {"*1\r\n$1\r\n0\r\n", STORE_FORGET_ALL, none},
        {"*2\r\n$1\r\n0\r\n$1\r\n1\r\n", STORE_FORGET_ALL, none},
    };
    for (size_t read_limit = 0; read_limit < 2; read_limit++) { /* whole, and byte by byte */
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            struct store *s = fake_open();
            fake.read_limit = read_limit;
            struct answer *a = start(s, cases[i].kind), *behind = start(s, STORE_GREYLIST);
            say_text(SHA);
            say_text(cases[i].reply);
            if (a->times == 0)
                loop_advance_to(loop, loop_now(loop) + 300);
            cr_assert_eq(a->times, 1, "case %zu: no answer", i);
            cr_assert(a->result.error, "case %zu is taken for an answer", i);
            cr_assert_str_eq(a->result.error, cases[i].error, "case %zu: %s", i, a->result.error);
            cr_assert(behind->times == 1 && behind->result.error, "case %zu: who came behind is lost with the connection", i);
            free(a);
            free(behind);
            expect_recovery(s, cases[i].reply);
            fake_end(&s);
        }
    }
}

Test(fake, errors_that_keep_the_connection)
{
    const struct { const char *reply, *error; } cases[] = {
        {"-LOADING Redis is loading the dataset in memory\r\n", "the Redis server is still loading its data"},
        {"-ERR unknown\r\n", "the Redis server answered with an error"},
        {"-\r\n", "the Redis server answered with an error"},
        {"-MISCONF x\r\n", "the Redis server cannot save its data and takes no writes"},
        {"-BUSY x\r\n", "the Redis server is busy with a script"},
    };
    struct store *s = fake_open();
    loop_settle(loop);
    say_text(SHA);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct answer *a = start(s, STORE_GREYLIST);
        say_text(cases[i].reply);
        expect_error(&a, cases[i].error);
    }
    cr_assert_eq(fake.connections, 1);
    cr_assert_eq(log_lines(), 1, "details are logged once a minute");
    fake_end(&s);
}

Test(fake, endless_replies_are_cut_off)
{
    static char chunk[16384];
    static const char *const beginnings[] = {
        "+", "-", ":", "*10\r\n:1\r\n:1\r\n$600000000\r\n", "$536870911\r\n", "*3\r\n$1\r\n0\r\n$900000\r\n"};
    memset(chunk, '1', sizeof chunk);
    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++) {
        struct store *s = fake_open();
        struct answer *a = start(s, STORE_LIST);
        say_text(SHA);
        say_text(beginnings[i]);
        for (int n = 0; n < 200 && a->times == 0; n++)
            say(chunk, sizeof chunk);
        expect_error(&a, "the Redis server does not keep to the protocol");
        expect_recovery(s, beginnings[i]);
        fake_end(&s);
    }
}

Test(fake, many_small_objects_are_cut_off)
{
    struct store *s = fake_open();
    struct answer *a = start(s, STORE_LIST);
    say_text(SHA "*2000\r\n");
    for (int i = 0; i < 3 && a->times == 0; i++) {
        say_text("*2000\r\n");
        for (int n = 0; n < 2000 && a->times == 0; n++)
            say_text("$-1\r\n");
    }
    expect_error(&a, "the Redis server does not keep to the protocol");
    expect_recovery(s, "many small objects");
    fake_end(&s);
}

Test(fake, half_a_reply_and_silence_and_the_end)
{
    struct store *s = fake_open();
    loop_settle(loop);
    say_text(SHA);
    struct answer *a = start(s, STORE_GREYLIST);
    say_text("*10\r\n:1\r\n:1");
    loop_advance_to(loop, loop_now(loop) + 199);
    cr_assert_eq(a->times, 0);
    loop_advance_to(loop, loop_now(loop) + 2);
    expect_error(&a, "the Redis server did not answer in time");
    expect_recovery(s, "half a reply");
    a = start(s, STORE_GREYLIST);
    say_text("*10\r\n:1\r\n:1");
    stream_close(loop, &fake.end);
    expect_error(&a, "the connection to the Redis server ended");
    expect_recovery(s, "an end in a reply");
    fake_end(&s);
}

Test(fake, what_nobody_asked_for)
{
    struct store *s = fake_open();
    loop_settle(loop);
    say_text(SHA);
    say_text(":1\r\n");
    struct answer *a = start(s, STORE_GREYLIST);
    expect_error(&a, "the Redis server is not connected");
    expect_recovery(s, "something unasked");
    fake_end(&s);
}

Test(fake, greetings_that_fail)
{
    static const struct { const char *reply, *error; } cases[] = {
        {"+OK\r\n", "the server does not speak as Redis does"},
        {"$3\r\nabc\r\n", "the server does not speak as Redis does"},
        {"$40\r\n0123456789ABCDEF0123456789abcdef01234567\r\n", "the server does not speak as Redis does"},
        {"220 mx.example ESMTP\r\n", "the Redis server does not keep to the protocol"},
        {"-NOAUTH Authentication required.\r\n", "the Redis server wants a password"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct store *s = fake_open();
        struct answer *a = start(s, STORE_GREYLIST);
        say_text(cases[i].reply);
        expect_error(&a, cases[i].error);
        expect_recovery(s, cases[i].reply);
        fake_end(&s);
    }
}

/* Who cannot wait for the greeting is told at his deadline; the greeting goes on until its own, then the back-off grows. */
Test(fake, a_greeting_without_answer)
{
    struct store *s = fake_open();
    struct answer *a = start(s, STORE_GREYLIST);
    loop_advance_to(loop, loop_now(loop) + 201);
    expect_error(&a, "the Redis server could not be connected in time");
    cr_assert_eq(fake.connections, 1);
    a = start(s, STORE_GREYLIST);
    expect_error(&a, "the Redis server is not connected"); /* at once: one has waited in vain */
    cr_assert_eq(fake.connections, 1);
    loop_advance_to(loop, loop_now(loop) + 60000);
    int first_minute = fake.connections;
    cr_assert(first_minute > 4 && first_minute < 20, "%d connections in a minute", first_minute);
    a = start(s, STORE_GREYLIST);
    expect_error(&a, "the Redis server is not connected");
    cr_assert_leq(log_lines(), 2);
    fake_end(&s);
}

Test(fake, a_server_that_refuses_is_asked_with_growing_pauses)
{
    struct store *s = fake_open();
    fake.refuses = true;
    struct answer *a = start(s, STORE_GREYLIST);
    expect_error(&a, "the Redis server cannot be reached");
    loop_advance_to(loop, loop_now(loop) + 60000);
    cr_assert(fake.connections > 5 && fake.connections < 16, "%d", fake.connections);
    cr_assert_leq(log_lines(), 2);
    fake.refuses = false;
    expect_recovery(s, "refusals");
    fake_end(&s);
}

/* A server that greets and then ends the connection, again and again, must not make us spin. */
Test(fake, a_server_that_greets_and_leaves)
{
    struct store *s = fake_open();
    for (int i = 0; i < 10000 && loop_now(loop) < 61000; i++) {
        loop_advance_to(loop, loop_now(loop) + 10);
        if (!fake.end)
            continue;
        say_text(SHA);
        stream_close(loop, &fake.end);
    }
    cr_assert(fake.connections > 5 && fake.connections < 20, "%d", fake.connections);
    fake_end(&s);
}

/* A connection that served and was closed while idle (the server's own time-out) is made anew at once: nobody sees an error. */
Test(fake, an_idle_connection_that_ends)
{
    struct store *s = fake_open();
    loop_settle(loop);
    say_text(SHA);
    struct answer *a = start(s, STORE_GREYLIST);
    say_text(ROW("5"));
    cr_assert(a->times == 1 && !a->result.error);
    free(a);
    stream_close(loop, &fake.end);
    loop_settle(loop);
    a = start(s, STORE_GREYLIST);
    loop_advance_to(loop, loop_now(loop) + 1);
    cr_assert_eq(fake.connections, 2);
    say_text(SHA ROW("6"));
    cr_assert(a->times == 1 && !a->result.error && a->result.first_seen_ms == 6);
    free(a);
    fake_end(&s);
}

Test(fake, noscript_is_answered_once_with_the_whole_script)
{
    char heard[65536];
    struct store *s = fake_open();
    hear(heard, sizeof heard);
    cr_assert(strstr(heard, "$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n"));
    say_text(SHA);
    struct answer *a = start(s, STORE_GREYLIST);
    hear(heard, sizeof heard);
    cr_assert(strstr(heard, "$7\r\nEVALSHA\r\n$40\r\n0123456789abcdef"));
    say_text("-NOSCRIPT No matching script.\r\n");
    hear(heard, sizeof heard);
    cr_assert(strstr(heard, "$4\r\nEVAL\r\n"));
    cr_assert(strstr(heard, "local op, touch"));
    cr_assert_eq(a->times, 0);
    say_text("-NOSCRIPT No matching script.\r\n");
    expect_error(&a, "the Redis server answered with an error");
    cr_assert_eq(hear(heard, sizeof heard), 0, "not a third time");
    cr_assert_eq(fake.connections, 1);
    fake_end(&s);
}

Test(fake, what_is_in_flight_is_capped_and_the_cancelled_count)
{
    enum { CAP = 4096 };
    struct store *s = fake_open();
    loop_settle(loop);
    say_text(SHA);
    struct answer *a = xcalloc(1, sizeof *a), *over = xcalloc(1, sizeof *over);
    struct store_operation op = {.kind = STORE_MARK, .mode = STORE_PEEK, .key = STR("k"), .now_ms = 1};
    for (int i = 0; i < CAP; i++) {
        struct store_request *r = s->ops->start(s, &op, take_answer, a);
        if (i % 2)
            s->ops->cancel(s, r);
    }
    s->ops->start(s, &op, take_answer, over);
    loop_settle(loop);
    cr_assert_eq(over->times, 1);
    cr_assert_str_eq(over->result.error, "too many operations are waiting for the Redis server");
    cr_assert_eq(a->times, 0);
    for (int i = 0; i < CAP; i++)
        say_text(ROW("1"));
    cr_assert_eq(a->times, CAP / 2, "replies to the cancelled are dropped");
    s->ops->start(s, &op, take_answer, over);
    say_text(ROW("9"));
    cr_assert(over->times == 2 && !over->result.error && over->result.first_seen_ms == 9,
              "there is room again, and the order is kept");
    free(a);
    free(over);
    fake_end(&s);
}

/* The reader by itself: every reply whole and split at every place. */
Test(reader, split_anywhere)
{
    static const char text[] = "+OK\r\n" ROW("123") "-ERR x\r\n$5\r\na\r\nbc\r\n*2\r\n*1\r\n$-1\r\n:7\r\n*0\r\n$0\r\n\r\n";
    const size_t n = sizeof text - 1;
    for (size_t split = 0; split <= n; split++) {
        struct redis_bytes r;
        struct redis_said *reply;
        int replies = 0;
        redis_bytes_open(&r);
        for (int part = 0; part < 2; part++) {
            cr_assert(redis_bytes_feed(&r, part ? text + split : text, part ? n - split : split));
            while (redis_bytes_next(&r, &reply) && reply) {
                static const enum redis_said_type types[] = {SAID_STATUS, SAID_ARRAY, SAID_ERROR, SAID_TEXT,
                                                        SAID_ARRAY,  SAID_ARRAY, SAID_TEXT};
                cr_assert_eq(reply->type, types[replies], "split at %zu, reply %d", split, replies);
                if (replies == 1)
                    cr_assert(reply->count == 10 && reply->items[1]->number == 123);
                if (replies == 3)
                    cr_assert(str_eq(reply->text, STR("a\r\nbc")));
                replies++;
                redis_said_free(reply);
            }
        }
        cr_assert_eq(replies, 7);
        redis_bytes_close(&r);
    }
}

/* Without descriptors connecting is tried again every 100 ms, not ever more rarely: nothing speaks against the server. */
Test(fake, a_shortage_of_sockets_soon_passes)
{
    struct store *s = fake_open();
    fake.no_sockets = true;
    turn_for(60000);
    cr_assert(fake.connections > 500 && fake.connections < 700, "%d connections in a minute", fake.connections);
    cr_assert(log_has("Too many open files"), "%s", logged.p);
    cr_assert_leq(log_lines(), 4, "%s", logged.p);
    fake.no_sockets = false;
    int before = fake.connections;
    turn_for(150);
    cr_assert_eq(fake.connections, before + 1);
    fake_end(&s);
}
