/*
 * upstream.c - one connection to a backend, in use: commands and their replies, matched in order (RFC 2920). How it is opened: upstream_open.c.
 *
 * The owner (a session, a probe) is woken by the stream and calls upstream_run / upstream_reply; nothing is pushed to it. Once READY, a lost
 * connection is the owner's affair.
 */
#include <stdlib.h>
#include <string.h>

#include "upstream_internal.h"

uint64_t upstream_now(const struct upstream *u)
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
    case EXPECT_CHUNK:
    case EXPECT_DOT: return s->backend_dot_timeout;
    case EXPECT_MAIL:
    case EXPECT_RCPT:
    case EXPECT_RSET:
    case EXPECT_OTHER: return s->backend_command_timeout;
    }
    return s->backend_command_timeout;
}

void upstream_drop_stream(struct upstream *u)
{
    if (u->stream)
        stream_close(u->proxy->parts.loop, &u->stream);
    slots_give(u);
    u->tls = u->told = u->in_transaction = false;
    reply_parser_clear(&u->parser);
    u->count = u->first = 0;
    u->in_from = u->in_to = 0;
    u->deadline_ms = UINT64_MAX;
}

/* --- what is awaited ----------------------------------------------------------------------------------------------------------- */

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
    if (kind == EXPECT_MAIL || kind == EXPECT_RSET) {
        u->in_transaction = kind == EXPECT_MAIL;
        u->content_whole = false;
    }
    if (u->count == 1)
        u->deadline_ms = upstream_now(u) + patience(u, kind);
}

struct awaited upstream_take_awaited(struct upstream *u)
{
    struct awaited a = u->awaited[u->first++];
    u->count--;
    if (u->count == 0)
        u->first = 0;
    u->deadline_ms = u->count ? upstream_now(u) + patience(u, u->awaited[u->first].kind) : UINT64_MAX;
    if (a.kind == EXPECT_DOT && u->content_whole) /* a reply before that leaves us in the middle of it */
        u->in_transaction = false;
    if (upstream_is_kept(u))
        slots_kept(u);
    return a;
}

void upstream_forget(struct upstream *u, void *context)
{
    for (size_t i = 0; i < u->count; i++)
        if (u->awaited[u->first + i].context == context)
            u->awaited[u->first + i].context = NULL;
}

/* --- replies ------------------------------------------------------------------------------------------------------------------- */

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
enum reply_parse upstream_next_reply(struct upstream *u, struct arena *arena, struct reply *out)
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
        enum reply_parse r = upstream_next_reply(u, arena, out);
        if (r == REPLY_PARSE_NOT_YET && upstream_now(u) >= u->deadline_ms)
            return REPLY_PARSE_FAILED;
        if (r != REPLY_PARSE_DONE)
            return r;
        struct awaited a = upstream_take_awaited(u);
        if (!a.context)
            continue;
        *kind = a.kind;
        *context = a.context;
        return REPLY_PARSE_DONE;
    }
}

/* --- commands ------------------------------------------------------------------------------------------------------------------ */

void upstream_queue_line(struct upstream *u, struct str command)
{
    stream_put(u->stream, command.p, command.n);
    stream_put(u->stream, "\r\n", 2);
}

void upstream_send(struct upstream *u, struct str command, enum expect kind, void *context)
{
    upstream_queue_line(u, command);
    upstream_expect(u, kind, context);
}

bool upstream_may_send(const struct upstream *u)
{
    return u->state == UPSTREAM_READY && (u->count == 0 || ehlo_has(&u->extensions, EXT_PIPELINING));
}

struct stream *upstream_stream(struct upstream *u)
{
    return u->stream;
}

void upstream_content_progress(struct upstream *u, bool all)
{
    const struct settings *s = u->proxy->parts.settings;
    u->deadline_ms = upstream_now(u) + (all ? s->backend_dot_timeout : s->backend_block_timeout);
    u->content_whole |= all;
}

bool upstream_flush(struct upstream *u)
{
    return u->stream && stream_flush(u->stream) != FLUSH_FAILED;
}

/* --- what it is ---------------------------------------------------------------------------------------------------------------- */

bool upstream_has(const struct upstream *u, enum extension x)
{
    return u->state == UPSTREAM_READY && ehlo_has(&u->extensions, x);
}

bool upstream_lacking(const struct upstream *u)
{
    return u->lacking;
}

static bool has_all(uint32_t have, uint32_t wanted)
{
    return (have & wanted) == wanted;
}

bool upstream_serves(const struct upstream *u, const struct upstream_wish *wish)
{
    return u->wish.route == wish->route && (u->state != UPSTREAM_READY || has_all(u->extensions.set, wish->extensions)) &&
           u->state != UPSTREAM_LEFT &&
           (!u->wish.client || str_eq(u->wish.client->helo, wish->client->helo)); /* a changed HELO needs a new connection */
}

bool upstream_busy(const struct upstream *u)
{
    return u->state == UPSTREAM_NONE && u->busy;
}

bool upstream_is_kept(const struct upstream *u)
{
    return u->state == UPSTREAM_READY && u->count == 0 && !u->in_transaction;
}

struct addr_port upstream_address(const struct upstream *u)
{
    return u->address;
}

uint64_t upstream_deadline(const struct upstream *u)
{
    return u->deadline_ms;
}

/* QUIT is said, its 221 is not awaited: there is nothing left that it could change. */
static void say_quit(struct upstream *u)
{
    if (u->state != UPSTREAM_READY || u->count > 0)
        return;
    upstream_queue_line(u, STR("QUIT"));
    linger_close(u->proxy, &u->stream);
}

void upstream_leave(struct upstream *u)
{
    say_quit(u);
    upstream_drop_stream(u);
    u->state = UPSTREAM_LEFT;
    loop_wake(u->proxy->parts.loop, u->owner);
}

void upstream_close(struct upstream **up, bool quit)
{
    struct upstream *u = *up;
    if (!u)
        return;
    if (quit)
        say_quit(u);
    slots_unwait(u);
    upstream_drop_stream(u);
    arena_clear(&u->arena);
    free(u->awaited);
    free(u);
    *up = NULL;
}
