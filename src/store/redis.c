/*
 * redis.c - the store in a server of Redis that many proxies share: one connection, pipelined, over a stream of ours.
 *
 *     down      the timer of the back-off runs; operations fail at once, unless there is hope: right after the start, or when a
 *               connection that was in order ended by itself, until the first has waited in vain
 *     greeting  the server's name is looked up, it is connected, TLS is agreed on (redis_server.c); AUTH, SELECT and SCRIPT LOAD
 *               are on their way in one write, their answers are awaited. Operations wait if there is hope
 *     ready     an operation is one command, written at the end of the loop's turn with all others of that turn; replies come
 *               in order
 *
 * A server that does not answer the oldest operation within the deadline, closes, or says what is not our protocol, loses the
 * connection: all that was in flight fails, and connecting is tried again after a back-off (100 ms, doubled up to 10 s, until
 * an operation was answered). So a hanging server costs each check its deadline once, and then nothing. NOSCRIPT (the server
 * was restarted, or its scripts flushed) repeats that operation once with the whole script: one that was answered NOSCRIPT was
 * not carried out. Likewise RULINGS: what an administrator ruled may stand under sixty keys, so they are named only once there
 * is any ruling at all. (What is repeated comes behind what was sent meanwhile.) What is in flight or waiting is capped; beyond it operations fail at once.
 *
 * A cancelled request keeps its place in the line, since its reply will come.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "postern/base/log.h"
#include "postern/store/open.h"
#include "queue.h"
#include "redis_internal.h"

enum {
    IN_FLIGHT_MAX = 4096,
    BACK_OFF_MIN_MS = 100,
    BACK_OFF_MAX_MS = 10000,
    GREETING_MS = 3000,
    QUIET_MS = 60 * 1000,
    READ_SIZE = 16384,
    READS_A_RUN = 64,
    SHA_TEXT = 41
};

struct store_request {
    struct link link;
    struct store_operation *op; /* owned */
    store_done done;
    void *context;
    uint64_t deadline_ms;       /* mono */
    const char *error;          /* in the list of the failed: why */
    bool cancelled;
    bool whole_script;          /* it was sent with EVAL */
    bool rulings;               /* it was sent with the keys of rulings */
};

enum state { DOWN, GREETING, READY };
enum greeting { GREETING_AUTH, GREETING_SELECT, GREETING_SCRIPT, GREETING_DONE };

struct redis {
    struct store store;
    struct redis_settings settings; /* texts in the arena; those for the server alone are in `server` */
    struct arena arena;
    struct redis_server server;
    enum state state;
    enum greeting greeting;         /* whose answer comes next */
    bool hope;                      /* operations may wait for the connection */
    bool useful;                    /* this connection has answered an operation */
    bool rulings;                   /* there are some, as far as we know */
    struct stream *stream;          /* NULL: down */
    struct redis_bytes reader;
    char sha[SHA_TEXT];             /* of the script; empty: the server did not tell, EVAL is used */
    struct queue in_flight, waiting, failed;
    size_t count;                   /* of all three */
    uint64_t back_off_ms;
    uint64_t connected_by_ms;       /* GREETING: mono, until when */
    uint64_t detail_quiet_until_ms; /* mono: what happened in detail is logged once a minute */
    struct timer reconnect, deadline;
    struct task task;
};

static void request_free(struct redis *x, struct store_request *r)
{
    x->count--;
    free(r->op);
    free(r);
}

static void log_detail(struct redis *x, const char *what, struct str detail)
{
    struct log_line line;
    uint64_t now = loop_now(x->store.loop);
    if (now < x->detail_quiet_until_ms)
        return;
    x->detail_quiet_until_ms = now + QUIET_MS;
    log_begin(&line, LOG_WARN_, "redis-trouble");
    log_str(&line, "server", x->settings.address);
    log_cstr(&line, "what", what);
    if (detail.n)
        log_str(&line, "detail", str_sub(detail, 0, 200));
    log_end(&line);
}

/* --- connecting ------------------------------------------------------------------------------------------------------------- */

/* A request fails: it is told from the task. */
static void fail(struct redis *x, struct store_request *r, const char *why)
{
    r->error = why;
    queue_add(&x->failed, &r->link);
    loop_wake(x->store.loop, &x->task);
}

static void fail_all(struct redis *x, struct queue *q, const char *why)
{
    for (struct store_request *r; (r = queue_take(q));)
        fail(x, r, why);
}

/* Gives the connection up. idle: it was in order and nothing was in flight, so nothing speaks against a new one; nor does it while
 * the server has addresses that were not tried yet. */
static void drop(struct redis *x, const char *why, struct str detail, bool idle)
{
    bool at_once = idle || (x->state == GREETING && redis_server_next(&x->server));
    bool short_of_sockets = x->stream && stream_is_short(x->stream); /* it says nothing about the server */
    log_detail(x, why, detail);
    if (x->stream)
        stream_close(x->store.loop, &x->stream);
    redis_server_forget(&x->server);
    redis_bytes_close(&x->reader);
    x->hope = idle || (at_once && x->hope);
    x->state = DOWN;
    fail_all(x, &x->in_flight, why);
    if (!x->hope)
        fail_all(x, &x->waiting, why);
    timer_set_in(x->store.loop, &x->reconnect, at_once ? 0 : x->back_off_ms);
    if (!at_once && !short_of_sockets)
        x->back_off_ms = x->back_off_ms * 2 > BACK_OFF_MAX_MS ? BACK_OFF_MAX_MS : x->back_off_ms * 2;
}

static void put_command(struct redis *x, const struct str *words, size_t count)
{
    struct buf command = {0};
    redis_format(&command, words, count);
    stream_put(x->stream, command.p, command.n);
    buf_free(&command);
}

static void greet(struct redis *x)
{
    char number[24];
    struct buf text = {0};
    if (x->settings.password.n && x->settings.user.n)
        put_command(x, (struct str[]){STR("AUTH"), x->settings.user, x->settings.password}, 3);
    else if (x->settings.password.n)
        put_command(x, (struct str[]){STR("AUTH"), x->settings.password}, 2);
    if (x->settings.database) {
        buf_printf(&text, "%llu", (unsigned long long)x->settings.database);
        memcpy(number, text.p, text.n);
        put_command(x, (struct str[]){STR("SELECT"), {number, text.n}}, 2);
        buf_free(&text);
    }
    put_command(x, (struct str[]){STR("SCRIPT"), STR("LOAD"), str_of(redis_script)}, 3);
    x->greeting = x->settings.password.n ? GREETING_AUTH : x->settings.database ? GREETING_SELECT : GREETING_SCRIPT;
}

/* Says the greeting as soon as there is somebody to say it to: the name may not have been looked up yet. */
static void try_to_greet(struct redis *x)
{
    x->stream = redis_server_connect(&x->server, &x->task);
    if (x->stream)
        greet(x);
}

static void connect_now(struct redis *x)
{
    x->sha[0] = '\0';
    x->useful = false;
    x->state = GREETING;
    x->connected_by_ms = loop_now(x->store.loop) + GREETING_MS;
    redis_bytes_open(&x->reader);
    loop_wake(x->store.loop, &x->task);
}

static void send_request(struct redis *x, struct store_request *r)
{
    struct buf command = {0};
    r->whole_script = x->sha[0] == '\0' || r->whole_script;
    x->rulings = x->rulings || r->op->kind == STORE_ALLOW || r->op->kind == STORE_DENY;
    r->rulings = x->rulings;
    redis_format_operation(&command, r->op, x->settings.prefix, r->rulings, r->whole_script ? NULL : x->sha);
    stream_put(x->stream, command.p, command.n);
    buf_free(&command);
    queue_add(&x->in_flight, &r->link);
}

static void become_ready(struct redis *x)
{
    x->state = READY;
    x->hope = true;
    for (struct store_request *r; (r = queue_take(&x->waiting));) {
        if (r->cancelled)
            request_free(x, r);
        else
            send_request(x, r);
    }
}

static bool is_sha(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!memchr("0123456789abcdef", s.p[i], 16))
            return false;
    }
    return s.n == SHA_TEXT - 1;
}

/* One answer to the greeting. A script that may not be loaded (ACL) is sent whole each time. */
static bool greeting_answered(struct redis *x, const struct redis_said *reply)
{
    if (x->greeting == GREETING_SCRIPT) {
        if (reply->type == SAID_TEXT && is_sha(reply->text))
            memcpy(x->sha, reply->text.p, SHA_TEXT - 1);
        else if (reply->type != SAID_ERROR || str_starts(reply->text, STR("NOAUTH")))
            goto wrong;
        else
            log_detail(x, "the script cannot be loaded, it is sent each time", reply->text);
        x->sha[SHA_TEXT - 1] = '\0';
        x->greeting = GREETING_DONE;
        become_ready(x);
        return true;
    }
    if (reply->type == SAID_STATUS && str_eq(reply->text, STR("OK"))) {
        x->greeting = x->greeting == GREETING_AUTH && x->settings.database ? GREETING_SELECT : GREETING_SCRIPT;
        return true;
    }
wrong:
    drop(x, reply->type == SAID_ERROR ? redis_error_text(reply->text) : "the server does not speak as Redis does", reply->text,
         false);
    return false;
}

/* --- replies ---------------------------------------------------------------------------------------------------------------- */

static void tell(struct redis *x, struct store_request *r, const struct store_result *result)
{
    if (!r->cancelled)
        r->done(r->context, result);
    request_free(x, r);
}

/* It was not carried out: the server lacks something that it shall have the next time. */
static bool must_be_repeated(struct redis *x, struct store_request *r, const struct redis_said *reply)
{
    if (reply->type == SAID_ERROR && str_starts(reply->text, STR("NOSCRIPT")) && !r->whole_script)
        return r->whole_script = true;
    if (reply->type == SAID_STATUS && str_eq(reply->text, STR("RULINGS")) && r->op->kind == STORE_GREYLIST && !r->rulings)
        return x->rulings = true;
    return false;
}

/* False: the connection was dropped. */
static bool request_answered(struct redis *x, const struct redis_said *reply)
{
    struct store_request *r = queue_first(&x->in_flight);
    struct store_result result = {0};
    if (!r) {
        drop(x, "the Redis server said something unasked", reply->text, false);
        return false;
    }
    if (must_be_repeated(x, r, reply)) {
        queue_take(&x->in_flight);
        if (r->cancelled)
            request_free(x, r);
        else
            send_request(x, r);
        return true;
    }
    struct page *page = store_is_paged(r->op->kind) ? page_new() : NULL;
    if (reply->type == SAID_ERROR) {
        result.error = redis_error_text(reply->text);
        log_detail(x, result.error, reply->text);
    } else if (!redis_understand(r->op, reply, &result, page)) {
        page_free(&page);
        drop(x, "the Redis server gave an answer that is none", STR_NONE, false);
        return false;
    }
    x->useful = true;
    x->back_off_ms = BACK_OFF_MIN_MS;
    queue_take(&x->in_flight);
    tell(x, r, &result);
    page_free(&page);
    return true;
}

/* False: the connection was dropped. */
static bool take_replies(struct redis *x)
{
    struct redis_said *reply;
    for (;;) {
        if (!redis_bytes_next(&x->reader, &reply)) {
            drop(x, "the Redis server does not keep to the protocol", str_of(x->reader.reader->errstr), false);
            return false;
        }
        if (!reply)
            return true;
        bool good = x->state == GREETING ? greeting_answered(x, reply) : request_answered(x, reply);
        redis_said_free(reply);
        if (!good)
            return false;
    }
}

static void connection_ended(struct redis *x, const char *why)
{
    bool was_good = x->state == READY && !x->in_flight.first && x->useful;
    drop(x, "the connection to the Redis server ended", str_of(why), was_good);
}

static void read_all(struct redis *x)
{
    char bytes[READ_SIZE];
    for (int i = 0; i < READS_A_RUN; i++) {
        ssize_t n = stream_read(x->stream, bytes, sizeof bytes);
        if (n == STREAM_AGAIN)
            return;
        if (n < 0) {
            connection_ended(x, n == STREAM_EOF ? "it was closed" : stream_error(x->stream));
            return;
        }
        if (!redis_bytes_feed(&x->reader, bytes, (size_t)n)) {
            drop(x, "the Redis server does not keep to the protocol", STR("a reply without end"), false);
            return;
        }
        if (!take_replies(x))
            return;
    }
    loop_wake(x->store.loop, &x->task); /* others first */
}

/* --- the task: all that happens --------------------------------------------------------------------------------------------- */

/* When the first of the line loses patience. */
static uint64_t first_deadline(const struct queue *q)
{
    const struct store_request *r = queue_first(q);
    return r ? r->deadline_ms : UINT64_MAX;
}

/* Once one has waited in vain nobody else does: until there is a connection operations fail at once. */
static void expire_waiting(struct redis *x, uint64_t now)
{
    if (now < first_deadline(&x->waiting))
        return;
    x->hope = false;
    fail_all(x, &x->waiting, "the Redis server could not be connected in time");
}

static void look_at_deadlines(struct redis *x)
{
    uint64_t now = loop_now(x->store.loop);
    expire_waiting(x, now);
    if (now >= first_deadline(&x->in_flight))
        drop(x, "the Redis server did not answer in time", STR_NONE, false);
    if (x->state == GREETING && now >= x->connected_by_ms)
        drop(x, "the Redis server did not answer in time", STR("to the greeting"), false);
    uint64_t next = first_deadline(&x->in_flight), waiting = first_deadline(&x->waiting);
    next = waiting < next ? waiting : next;
    next = x->state == GREETING && x->connected_by_ms < next ? x->connected_by_ms : next;
    if (next == UINT64_MAX)
        timer_cancel(x->store.loop, &x->deadline);
    else if (!timer_is_set(&x->deadline) || x->deadline.at_ms > next)
        timer_set(x->store.loop, &x->deadline, next); /* one that fires early finds nothing: cheaper than moving it each time */
}

static void run(struct task *t)
{
    struct redis *x = (struct redis *)(void *)((char *)t - offsetof(struct redis, task));
    if (x->state == GREETING && !x->stream)
        try_to_greet(x);
    if (x->stream && stream_state(x->stream) == STREAM_DEAD) {
        const char *why = stream_error(x->stream);
        drop(x, "the Redis server cannot be reached", str_of(why), false);
    }
    if (x->stream)
        read_all(x);
    look_at_deadlines(x);
    if (x->stream && stream_queued(x->stream) > 0 && stream_flush(x->stream) == FLUSH_FAILED)
        loop_wake(x->store.loop, &x->task); /* reading tells what the server said last, and why */
    struct queue failed = x->failed;
    queue_init(&x->failed);
    for (struct store_request *r; (r = queue_take(&failed));)
        tell(x, r, &(struct store_result){.error = r->error});
}

static void reconnect_now(struct timer *t)
{
    connect_now((struct redis *)(void *)((char *)t - offsetof(struct redis, reconnect)));
}

static void deadline_over(struct timer *t)
{
    struct redis *x = (struct redis *)(void *)((char *)t - offsetof(struct redis, deadline));
    loop_wake(x->store.loop, &x->task);
}

/* --- the store -------------------------------------------------------------------------------------------------------------- */

static struct store_request *redis_start(struct store *s, const struct store_operation *op, store_done done, void *context)
{
    struct redis *x = (struct redis *)(void *)s;
    struct store_request *r = xcalloc(1, sizeof *r);
    *r = (struct store_request){.op = store_operation_copy(op), .done = done, .context = context,
                                .deadline_ms = loop_now(s->loop) + x->settings.deadline_ms};
    if (x->count++ >= IN_FLIGHT_MAX)
        fail(x, r, "too many operations are waiting for the Redis server");
    else if (x->state == READY)
        send_request(x, r);
    else if (x->hope)
        queue_add(&x->waiting, &r->link);
    else
        fail(x, r, "the Redis server is not connected");
    loop_wake(s->loop, &x->task);
    return r;
}

static void redis_cancel(struct store *s, struct store_request *request)
{
    (void)s;
    request->cancelled = true;
}

static void requests_free(struct redis *x, struct queue *q)
{
    for (struct store_request *r; (r = queue_take(q));)
        request_free(x, r);
}

/* What was recorded a moment ago is still given to the kernel. */
static void redis_destroy(struct store *s)
{
    struct redis *x = (struct redis *)(void *)s;
    if (x->stream)
        stream_close(s->loop, &x->stream);
    timer_cancel(s->loop, &x->reconnect);
    timer_cancel(s->loop, &x->deadline);
    loop_unwake(s->loop, &x->task);
    requests_free(x, &x->in_flight);
    requests_free(x, &x->waiting);
    requests_free(x, &x->failed);
    redis_bytes_close(&x->reader);
    redis_server_clear(&x->server);
    arena_clear(&x->arena);
    free(x);
}

struct store *store_redis(struct loop *l, struct network *n, struct resolver *names, const struct redis_settings *settings,
                          char **error)
{
    static const struct store_ops ops = {redis_start, redis_cancel, redis_destroy, NULL};
    struct redis *x = xcalloc(1, sizeof *x);
    x->store = (struct store){.ops = &ops, .loop = l};
    x->server = (struct redis_server){.network = n, .resolver = names, .loop = l};
    x->settings = *settings;
    x->settings.address = arena_str(&x->arena, settings->address);
    x->settings.user = arena_str(&x->arena, settings->user);
    x->settings.password = arena_str(&x->arena, settings->password);
    x->settings.prefix = arena_str(&x->arena, settings->prefix);
    if (!redis_server_set_up(&x->server, settings, &x->arena, error)) {
        redis_server_clear(&x->server);
        arena_clear(&x->arena);
        free(x);
        return NULL;
    }
    queue_init(&x->in_flight);
    queue_init(&x->waiting);
    queue_init(&x->failed);
    x->task.run = run;
    x->reconnect.fire = reconnect_now;
    x->deadline.fire = deadline_over;
    x->hope = true;
    x->back_off_ms = BACK_OFF_MIN_MS;
    timer_set_in(l, &x->reconnect, 0);
    return &x->store;
}

/* Who waits for the end of a back-off may have waited for just this. */
bool store_redis_renew(struct store *s, const struct redis_settings *settings, char **error)
{
    struct redis *x = (struct redis *)(void *)s;
    if (!redis_server_renew(&x->server, settings, error))
        return false;
    if (!str_eq(x->settings.password, settings->password))
        x->settings.password = arena_str(&x->arena, settings->password);
    if (x->state != READY)
        x->back_off_ms = BACK_OFF_MIN_MS;
    if (x->state == DOWN)
        timer_set_in(s->loop, &x->reconnect, 0);
    return true;
}
