/*
 * delivery.c - the message at the backend: DATA, the content and the dot, or chunks (RFC 3030), and what became of it.
 *
 * Runs when the content is whole and the policy has let it go on, again and again until there is an outcome. Progress is in the transaction
 * (data_sent, data_ok, dot_sent) and the message (front_sent, sent); relay.c takes in the replies, and starts over with a second connection
 * when the first is lost before the dot. Once the dot may have been sent there is no second try: an unclear outcome is 4xx.
 */
#include "session.h"

enum { CONTENT_CHUNK = 65536 };

static char data_context, chunk_context, dot_context; /* their addresses say what a reply belongs to */

/* What we hold cannot be read back: break off before the end. */
static void content_unreadable(struct session *s)
{
    count(COUNTER_SPOOL_ERRORS);
    s->t->data_reply = reply_make(&s->t->arena, REPLY_SPOOL_FAILED, STR_NONE);
    s->t->unclear = true;
    upstream_close(&s->upstream, false);
}

/* One piece of the content for DATA: as it lies in the spool, the dot right behind the last. */
static void put_lines(struct session *s, struct message *c, struct str piece, bool last)
{
    struct iovec iov[3];
    int n = 0;
    if (!c->front_sent) {
        upstream_expect(s->upstream, EXPECT_DOT, &dot_context);
        iov[n++] = (struct iovec){c->front.p, c->front.n};
    }
    iov[n++] = (struct iovec){(void *)(uintptr_t)piece.p, piece.n};
    if (last)
        iov[n++] = (struct iovec){(void *)(uintptr_t) ".\r\n", 3};
    s->t->dot_sent |= last; /* from here on it may have been sent */
    stream_put_iov(upstream_stream(s->upstream), iov, n);
}

/* One piece for BDAT: its octets, with their count in front (RFC 3030 2). */
static void put_chunk(struct session *s, struct message *c, struct str piece, bool last)
{
    struct buf octets = {0}, command = {0};
    if (!c->front_sent) {
        buf_put(&octets, c->front.p, c->front.n);
        c->at_line_start = true;
    }
    if (c->binary)
        buf_str(&octets, piece);
    else
        data_unstuff(piece, &c->at_line_start, &octets);
    buf_printf(&command, "BDAT %zu%s\r\n", octets.n, last ? " LAST" : "");
    upstream_expect(s->upstream, last ? EXPECT_DOT : EXPECT_CHUNK, last ? &dot_context : &chunk_context);
    struct iovec iov[2] = {{command.p, command.n}, {octets.p, octets.n}};
    s->t->dot_sent |= last;
    stream_put_iov(upstream_stream(s->upstream), iov, 2);
    buf_free(&octets);
    buf_free(&command);
}

/* Puts as much of the content as the backend takes. */
static void send_content(struct session *s)
{
    struct transaction *t = s->t;
    struct message *c = t->content;
    struct buf scratch = {0};
    while (!t->dot_sent && !t->data_reply.code && !session_gives_way(s)) {
        if (stream_queued(upstream_stream(s->upstream)) > 0 && stream_flush(upstream_stream(s->upstream)) != FLUSH_DONE)
            break;
        if (t->by_chunks && !upstream_may_send(s->upstream))
            break;
        struct str piece = spool_read(&c->spool, c->sent, CONTENT_CHUNK, &scratch);
        if (!piece.p && c->sent < c->spool.size) {
            content_unreadable(s);
            break;
        }
        bool last = c->sent + piece.n >= c->spool.size;
        (t->by_chunks ? put_chunk : put_lines)(s, c, piece, last);
        c->front_sent = true;
        c->sent += piece.n;
        s->proxy->moved += piece.n;
        upstream_content_progress(s->upstream, last);
    }
    buf_free(&scratch);
}

static void begin_content(struct session *s)
{
    struct transaction *t = s->t;
    t->by_chunks = t->content->chunked && upstream_has(s->upstream, EXT_CHUNKING);
    t->data_sent = true;
    if (t->by_chunks) {
        t->data_ok = true;
        return;
    }
    upstream_send(s->upstream, STR("DATA"), EXPECT_DATA, &data_context);
    upstream_flush(s->upstream);
}

static bool delivery_step(struct session *s, struct reply *outcome)
{
    struct transaction *t = s->t;
    if (t->dot_reply.code || t->data_reply.code) { /* a refused chunk is a refused message, whatever LAST is told */
        *outcome = t->data_reply.code ? t->data_reply : t->dot_reply;
        return true;
    }
    if (t->recipient_lost || !relay_any(t, RELAY_OK)) {
        bool waiting = relay_any(t, RELAY_QUEUED) || relay_any(t, RELAY_SENT);
        if (waiting && !t->recipient_lost)
            return false;
        *outcome = reply_make(&t->arena, REPLY_BACKEND_LOST, STR_NONE);
        return true;
    }
    if (relay_any(t, RELAY_QUEUED) || relay_any(t, RELAY_SENT) || !s->upstream)
        return false;
    if (!t->data_sent)
        begin_content(s);
    if (t->data_ok && !t->dot_sent)
        send_content(s);
    return t->data_reply.code != 0 && (*outcome = t->data_reply, true);
}

enum step delivery_run(struct session *s, struct reply *outcome)
{
    if (delivery_step(s, outcome))
        return STEP_DONE;
    relay_run(s); /* the connection may have been lost on the way, or the reply may be here already */
    return delivery_step(s, outcome) ? STEP_DONE : STEP_NOT_YET;
}
