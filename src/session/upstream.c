/*
 * upstream.c - one connection to a backend: connecting (one backend after another), greeting, EHLO, then commands and their replies.
 *
 * The owner (a session, a probe) is woken by the stream and calls upstream_run / upstream_reply; nothing is pushed to it. Replies are matched
 * to what is awaited in order (RFC 2920). A refusal of the greeting or of EHLO, a time-out, a lost connection: the backend rests, the next one
 * is tried. Once READY, a lost connection is the owner's affair.
 */
#include <stdlib.h>
#include <string.h>

#include "session.h"

struct awaited {
    enum expect kind;
    void *context; /* NULL: nobody asks any more */
};

struct upstream {
    struct proxy *proxy;
    struct task *owner;
    struct upstream_needs needs;
    struct backend *only;
    struct backend *backend;      /* tried now, or connected */
    struct addr_port address;
    size_t next_backend, next_address;
    enum upstream_state state;
    struct stream *stream;
    struct reply_parser parser;
    struct extensions extensions;
    struct awaited *awaited;
    size_t count, cap, first;
    uint64_t deadline_ms;         /* of what is awaited; UINT64_MAX: nothing */
    bool used;
    char in[4096];                /* read and not yet parsed: replies are short */
    size_t in_from, in_to;
};

static uint64_t now_of(const struct upstream *u)
{
    return loop_now(u->proxy->parts.loop);
}

/* RFC 5321 4.5.3.2: how long each reply may take. */
static uint64_t patience(const struct upstream *u, enum expect kind)
{
    const struct settings *s = u->proxy->parts.settings;
    switch (kind) {
    case EXPECT_GREETING:
    case EXPECT_EHLO: return s->backend_greeting_timeout;
    case EXPECT_DATA: return s->backend_data_timeout;
    case EXPECT_DOT: return s->backend_dot_timeout;
    case EXPECT_MAIL:
    case EXPECT_RCPT:
    case EXPECT_RSET:
    case EXPECT_QUIT: return s->backend_command_timeout;
    }
    return s->backend_command_timeout;
}

static void drop_stream(struct upstream *u)
{
    if (u->stream)
        stream_close(u->proxy->parts.loop, &u->stream);
    reply_parser_clear(&u->parser);
    u->count = u->first = 0;
    u->in_from = u->in_to = 0;
    u->deadline_ms = UINT64_MAX;
}

void upstream_expect(struct upstream *u, enum expect kind, void *context)
{
    if (u->first + u->count == u->cap) {
        if (u->first > 0) {
            memmove(u->awaited, u->awaited + u->first, u->count * sizeof *u->awaited);
            u->first = 0;
        } else {
            u->cap = u->cap ? u->cap * 2 : 4;
            u->awaited = xrealloc(u->awaited, u->cap * sizeof *u->awaited);
        }
    }
    u->awaited[u->first + u->count++] = (struct awaited){kind, context};
    if (u->count == 1)
        u->deadline_ms = now_of(u) + patience(u, kind);
}

/* Begins connecting to the next address of the next backend that does not rest. False: there is none. */
static bool try_next(struct upstream *u)
{
    struct backends *pool = u->proxy->backends;
    for (; u->next_backend < backends_count(pool); u->next_backend++, u->next_address = 0) {
        struct backend *b = backends_at(pool, u->next_backend);
        if (u->only ? b != u->only : backend_rests(b))
            continue;
        if (!backend_address(b, u->next_address, &u->address)) {
            if (u->next_address == 0)
                backend_failed(b, "its name has no address");
            continue;
        }
        u->next_address++;
        u->backend = b;
        count(COUNTER_BACKEND_CONNECTIONS);
        u->stream = u->proxy->parts.network->connect(u->proxy->parts.network, &u->address, u->owner);
        u->deadline_ms = now_of(u) + u->proxy->parts.settings->backend_connect_timeout;
        u->state = UPSTREAM_OPENING;
        return true;
    }
    u->state = UPSTREAM_NONE;
    u->deadline_ms = UINT64_MAX;
    return false;
}

/* The backend tried now is no good: it rests when this was its last address, and the next one is tried. */
static void give_up_on(struct upstream *u, const char *why)
{
    struct addr_port more;
    if (!backend_address(u->backend, u->next_address, &more))
        backend_failed(u->backend, why);
    drop_stream(u);
    try_next(u);
}

struct upstream *upstream_new(struct proxy *p, struct task *owner, struct backend *only, struct upstream_needs needs)
{
    struct upstream *u = xcalloc(1, sizeof *u);
    u->proxy = p;
    u->owner = owner;
    u->only = only;
    u->needs = needs;
    u->deadline_ms = UINT64_MAX;
    try_next(u);
    return u;
}

/* More bytes of the backend: DONE something came, NOT_YET, FAILED. */
static enum reply_parse fill(struct upstream *u)
{
    if (u->in_from == u->in_to)
        u->in_from = u->in_to = 0;
    ssize_t n = stream_read(u->stream, u->in + u->in_to, sizeof u->in - u->in_to);
    if (n > 0) {
        u->in_to += (size_t)n;
        return REPLY_PARSE_DONE;
    }
    return n == STREAM_AGAIN ? REPLY_PARSE_NOT_YET : REPLY_PARSE_FAILED;
}

/* One reply, whatever it answers. */
static enum reply_parse next_reply(struct upstream *u, struct arena *arena, struct reply *out)
{
    for (;;) {
        struct str in = {u->in + u->in_from, u->in_to - u->in_from};
        enum reply_parse r = in.n > 0 ? reply_parse(&u->parser, &in, arena, out) : REPLY_PARSE_NOT_YET;
        u->in_from = u->in_to - in.n;
        if (r != REPLY_PARSE_NOT_YET)
            return r;
        r = fill(u);
        if (r != REPLY_PARSE_DONE)
            return r;
    }
}

static struct awaited take_awaited(struct upstream *u)
{
    struct awaited a = u->awaited[u->first++];
    u->count--;
    if (u->count == 0)
        u->first = 0;
    u->deadline_ms = u->count ? now_of(u) + patience(u, u->awaited[u->first].kind) : UINT64_MAX;
    return a;
}

static void queue_line(struct upstream *u, struct str command)
{
    struct iovec line[2] = {{(void *)(uintptr_t)command.p, command.n}, {(void *)(uintptr_t) "\r\n", 2}};
    stream_put(u->stream, line[0].iov_base, line[0].iov_len);
    stream_put(u->stream, line[1].iov_base, line[1].iov_len);
}

static void say_ehlo(struct upstream *u)
{
    struct buf line = {0};
    buf_cstr(&line, "EHLO ");
    buf_str(&line, u->proxy->parts.settings->hostname);
    queue_line(u, buf_view(&line));
    buf_free(&line);
    upstream_expect(u, EXPECT_EHLO, u);
    stream_flush(u->stream);
}

/* The reply to our EHLO: what the backend can do, and whether that is enough for what is to be sent. */
static void learn(struct upstream *u, const struct reply *r, struct arena *scratch)
{
    ehlo_read(r, scratch, &u->extensions);
    u->extensions.xclient = STR_NONE;
    backend_answered(u->backend, &u->extensions);
    if (u->needs.eightbit && !ehlo_has(&u->extensions, EXT_EIGHTBITMIME)) {
        drop_stream(u); /* a parameter in use that it lacks: the next one (it is not ill, so it does not rest) */
        u->next_backend++;
        u->next_address = 0;
        try_next(u);
        return;
    }
    u->state = UPSTREAM_READY;
}

/* One step of opening. True: something moved, look again. */
static bool open_step(struct upstream *u)
{
    if (stream_state(u->stream) == STREAM_DEAD) {
        give_up_on(u, stream_error(u->stream));
        return true;
    }
    if (now_of(u) >= u->deadline_ms) {
        give_up_on(u, "timed out");
        return true;
    }
    if (stream_state(u->stream) == STREAM_CONNECTING)
        return false;
    if (u->count == 0) {
        upstream_expect(u, EXPECT_GREETING, u);
        return true;
    }
    struct arena scratch = {0};
    struct reply r;
    enum reply_parse result = next_reply(u, &scratch, &r);
    if (result == REPLY_PARSE_DONE) {
        enum expect kind = take_awaited(u).kind;
        if (!reply_is(&r, 2))
            give_up_on(u, kind == EXPECT_GREETING ? "its greeting was a refusal" : "it refused EHLO");
        else if (kind == EXPECT_GREETING)
            say_ehlo(u);
        else
            learn(u, &r, &scratch);
    } else if (result == REPLY_PARSE_FAILED) {
        give_up_on(u, u->parser.error ? u->parser.error : "it closed the connection");
    }
    arena_clear(&scratch);
    return result != REPLY_PARSE_NOT_YET;
}

enum upstream_state upstream_run(struct upstream *u)
{
    while (u->state == UPSTREAM_OPENING && open_step(u))
        ;
    return u->state;
}

enum reply_parse upstream_reply(struct upstream *u, struct arena *arena, enum expect *kind, void **context, struct reply *out)
{
    if (u->state != UPSTREAM_READY)
        return REPLY_PARSE_NOT_YET;
    for (;;) {
        if (u->count == 0) {
            /* Nothing is awaited: anything but silence means that this connection is finished (an idle time-out's 421, a close). */
            enum reply_parse r = u->in_from < u->in_to ? REPLY_PARSE_FAILED : fill(u);
            return r == REPLY_PARSE_NOT_YET ? r : REPLY_PARSE_FAILED;
        }
        enum reply_parse r = next_reply(u, arena, out);
        if (r == REPLY_PARSE_NOT_YET && now_of(u) >= u->deadline_ms)
            return REPLY_PARSE_FAILED;
        if (r != REPLY_PARSE_DONE)
            return r;
        struct awaited a = take_awaited(u);
        if (!a.context)
            continue;
        *kind = a.kind;
        *context = a.context;
        return REPLY_PARSE_DONE;
    }
}

void upstream_forget(struct upstream *u, void *context)
{
    for (size_t i = 0; i < u->count; i++)
        if (u->awaited[u->first + i].context == context)
            u->awaited[u->first + i].context = NULL;
}

bool upstream_has(const struct upstream *u, enum extension x)
{
    return u->state == UPSTREAM_READY && ehlo_has(&u->extensions, x);
}

struct backend *upstream_backend(const struct upstream *u)
{
    return u->backend;
}

struct addr_port upstream_address(const struct upstream *u)
{
    return u->address;
}

bool upstream_may_send(const struct upstream *u)
{
    return u->state == UPSTREAM_READY && (u->count == 0 || ehlo_has(&u->extensions, EXT_PIPELINING));
}

void upstream_send(struct upstream *u, struct str command, enum expect kind, void *context)
{
    queue_line(u, command);
    upstream_expect(u, kind, context);
    u->used = true;
}

struct stream *upstream_stream(struct upstream *u)
{
    return u->stream;
}

size_t upstream_awaited(const struct upstream *u)
{
    return u->count;
}

uint64_t upstream_deadline(const struct upstream *u)
{
    return u->deadline_ms;
}

void upstream_content_progress(struct upstream *u, bool all)
{
    const struct settings *s = u->proxy->parts.settings;
    u->deadline_ms = now_of(u) + (all ? s->backend_dot_timeout : s->backend_block_timeout);
}

bool upstream_flush(struct upstream *u)
{
    return u->stream && stream_flush(u->stream) != FLUSH_FAILED;
}

bool upstream_used(const struct upstream *u)
{
    return u->used;
}

void upstream_close(struct upstream **up, bool quit)
{
    struct upstream *u = *up;
    if (!u)
        return;
    /* QUIT is said, its 221 is not awaited: there is nothing left that it could change. */
    if (quit && u->state == UPSTREAM_READY && u->count == 0) {
        queue_line(u, STR("QUIT"));
        linger_close(u->proxy, &u->stream);
    }
    drop_stream(u);
    free(u->awaited);
    free(u);
    *up = NULL;
}
