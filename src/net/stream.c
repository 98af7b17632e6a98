/*
 * stream.c - what all streams share: the queue of bytes to be sent, state, waking the owner. Moving bytes is the business of the
 * raw operations (socket.c, memory.c).
 *
 * A failed write does not kill the stream at once: a peer that says "421 ..." and closes resets us when we write, but its words
 * are still to be read. So the stream stays open for reading until the read side ends; its end is then STREAM_FAILED with the
 * reason of the write.
 */
#include "postern/net/stream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "postern/net/shortage.h"
#include "stream_internal.h"

enum { IOV_MAX_OURS = 64 };

void stream_setup(struct stream *s, struct loop *l, const struct stream_ops *ops, struct task *owner, enum stream_state state)
{
    s->ops = ops;
    s->loop = l;
    s->owner = owner;
    s->state = (uint8_t)state;
}

enum stream_state stream_state(const struct stream *s)
{
    return s->state;
}

const char *stream_error(const struct stream *s)
{
    return s->error ? s->error : "";
}

void stream_notify(struct stream *s)
{
    if (s->owner) {
        loop_wake(s->loop, s->owner);
    }
}

void stream_set_owner(struct stream *s, struct task *owner)
{
    s->owner = owner;
    if (s->readable || s->gone || s->state == STREAM_DEAD) {
        stream_notify(s);
    }
}

void stream_set_error(struct stream *s, const char *why)
{
    if (!s->error) {
        s->error = why;
    }
}

static void queue_drop(struct stream *s)
{
    buf_free(&s->out);
    s->out_sent = 0;
    s->blocked = false;
}

void stream_die(struct stream *s, const char *why)
{
    stream_set_error(s, why);
    s->state = STREAM_DEAD;
    s->gone = true;
    queue_drop(s);
    stream_notify(s);
}

void stream_die_short(struct stream *s, const char *what, int error)
{
    shortage_note(s->loop, what, error);
    s->is_short = true;
    stream_die(s, strerrordesc_np(error));
}

bool stream_is_short(const struct stream *s)
{
    return s->is_short;
}

bool stream_peer_gone(const struct stream *s)
{
    return s->gone || s->write_failed;
}

size_t stream_queued(const struct stream *s)
{
    return s->out.n - s->out_sent;
}

ssize_t stream_read(struct stream *s, void *out, size_t n)
{
    assert(n > 0);
    if (s->state == STREAM_DEAD) {
        return STREAM_FAILED;
    }
    if (s->end_read) {
        return STREAM_EOF;
    }
    if (s->state == STREAM_CONNECTING || !(s->readable || s->gone)) {
        return STREAM_AGAIN;
    }
    ssize_t got = s->ops->read(s, out, n);
    if (got == STREAM_FAILED || (got == STREAM_EOF && s->write_failed)) {
        s->state = STREAM_DEAD;
        s->gone = true;
        queue_drop(s);
        return STREAM_FAILED;
    }
    if (got == STREAM_EOF) {
        s->end_read = s->gone = true;
    }
    return got;
}

void stream_put(struct stream *s, const void *bytes, size_t n)
{
    if (s->state != STREAM_DEAD && !s->write_failed && n > 0) {
        buf_put(&s->out, bytes, n);
    }
}

static enum flush write_failed(struct stream *s)
{
    if (s->state == STREAM_CONNECTING) {
        stream_die(s, s->error);
        return FLUSH_FAILED;
    }
    s->write_failed = true;
    s->readable = true; /* what came before, or the end */
    queue_drop(s);
    return FLUSH_FAILED;
}

/* The queue's first `taken` bytes have left. */
static enum flush queue_taken(struct stream *s, size_t taken)
{
    s->out_sent += taken;
    assert(s->out_sent <= s->out.n);
    if (s->out_sent == s->out.n) {
        queue_drop(s);
        return FLUSH_DONE;
    }
    if (s->out_sent >= 65536 && s->out_sent >= s->out.n / 2) {
        buf_consume(&s->out, s->out_sent);
        s->out_sent = 0;
    }
    s->blocked = true;
    return FLUSH_NOT_YET;
}

enum flush stream_flush(struct stream *s)
{
    if (s->state == STREAM_DEAD || s->write_failed) {
        return FLUSH_FAILED;
    }
    if (stream_queued(s) == 0) {
        return FLUSH_DONE;
    }
    if (s->blocked) {
        return FLUSH_NOT_YET;
    }
    struct iovec iov = {s->out.p + s->out_sent, stream_queued(s)};
    ssize_t taken = s->ops->writev(s, &iov, 1);
    if (taken < 0) {
        return write_failed(s);
    }
    if (taken > 0 && s->state == STREAM_CONNECTING) {
        s->state = STREAM_OPEN;
        stream_notify(s);
    }
    return queue_taken(s, (size_t)taken);
}

void stream_put_iov(struct stream *s, const struct iovec *iov, int n)
{
    if (s->state == STREAM_DEAD || s->write_failed) {
        return;
    }
    struct iovec all[IOV_MAX_OURS];
    size_t queued = stream_queued(s);
    bool direct = s->state == STREAM_OPEN && !s->blocked && n < IOV_MAX_OURS;
    size_t taken = 0;
    if (direct) {
        int count = 0;
        if (queued) {
            all[count++] = (struct iovec){s->out.p + s->out_sent, queued};
        }
        for (int i = 0; i < n; i++) {
            if (iov[i].iov_len > 0) {
                all[count++] = iov[i];
            }
        }
        if (count == 0) {
            return;
        }
        ssize_t r = s->ops->writev(s, all, count);
        if (r < 0) {
            write_failed(s);
            return;
        }
        taken = (size_t)r;
    }
    size_t from_queue = taken < queued ? taken : queued;
    size_t skip = taken - from_queue; /* bytes of iov that have left */
    for (int i = 0; i < n; i++) {
        size_t gone = skip < iov[i].iov_len ? skip : iov[i].iov_len;
        skip -= gone;
        if (iov[i].iov_len > gone) {
            buf_put(&s->out, (const char *)iov[i].iov_base + gone, iov[i].iov_len - gone);
        }
    }
    if (direct) {
        queue_taken(s, from_queue);
    } else {
        stream_flush(s); /* too many slices for one call */
    }
}

ssize_t stream_write_now(struct stream *s, const void *bytes, size_t n)
{
    enum flush queue = stream_flush(s);
    if (queue == FLUSH_FAILED) {
        return STREAM_FAILED;
    }
    if (queue == FLUSH_NOT_YET || s->blocked) {
        return 0;
    }
    struct iovec iov = {(void *)bytes, n};
    ssize_t taken = s->ops->writev(s, &iov, 1);
    if (taken < 0) {
        write_failed(s);
        return STREAM_FAILED;
    }
    if (taken > 0 && s->state == STREAM_CONNECTING) {
        s->state = STREAM_OPEN;
    }
    s->blocked = (size_t)taken < n;
    return taken;
}

/* --- told by the kinds of streams --- */

void stream_readable(struct stream *s, bool gone)
{
    s->readable = true;
    s->gone |= gone;
    stream_notify(s);
}

void stream_writable(struct stream *s)
{
    if (s->state != STREAM_OPEN || !s->blocked) {
        return;
    }
    s->blocked = false;
    if (stream_flush(s) != FLUSH_NOT_YET) { /* all gone, or all lost */
        stream_notify(s);
    }
}

void stream_opened(struct stream *s)
{
    s->state = STREAM_OPEN;
    s->blocked = false;
    stream_flush(s);
    stream_notify(s);
}

static void destroy(void *p)
{
    struct stream *s = p;
    buf_free(&s->out);
    s->ops->destroy(s);
}

void stream_close(struct loop *l, struct stream **s)
{
    struct stream *x = *s;
    if (!x) {
        return;
    }
    x->owner = NULL;
    stream_flush(x);
    queue_drop(x);
    x->ops->close(x);
    x->state = STREAM_DEAD;
    loop_bury(l, x, destroy);
    *s = NULL;
}
