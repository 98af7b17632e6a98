/*
 * memory.c - a pair of streams inside one process: what one end writes the other reads. For simulation and tests, deterministic.
 *
 * Each end owns the bytes that are in flight to it. A writer that met a full window is served by a task of its own once the
 * reader made room, so nothing happens inside the reader's call. An end that was closed leaves its peer with what was in flight,
 * then EOF.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "stream_internal.h"

enum { WINDOW_DEFAULT = 65536 };

struct memory_stream {
    struct stream s;
    struct memory_stream *peer; /* NULL: closed */
    struct task pump;           /* of the writer that waits for room */
    struct buf in;              /* in flight to this end */
    size_t in_read;
    size_t window, read_limit;
    struct memory_wire *wire;   /* all that goes to this end passes it; NULL: none, or an end was closed */
    bool is_b;
    bool in_ended;              /* nothing more will come */
    bool out_ended;             /* nothing more may be sent */
};

static struct memory_stream *memory_of(struct stream *s)
{
    return (struct memory_stream *)(void *)s;
}

static size_t in_flight(const struct memory_stream *x)
{
    return x->in.n - x->in_read;
}

static ssize_t memory_read(struct stream *s, void *out, size_t n)
{
    struct memory_stream *x = memory_of(s);
    size_t give = in_flight(x) < n ? in_flight(x) : n;
    if (x->read_limit && give > x->read_limit) {
        give = x->read_limit;
    }
    if (give == 0) {
        s->readable = false;
        return x->in_ended ? STREAM_EOF : STREAM_AGAIN;
    }
    memcpy(out, x->in.p + x->in_read, give);
    x->in_read += give;
    if (in_flight(x) == 0) {
        buf_free(&x->in);
        x->in_read = 0;
        s->readable = x->in_ended;
    }
    if (x->peer && x->peer->s.blocked) {
        loop_wake(s->loop, &x->peer->pump);
    }
    return (ssize_t)give;
}

/* Octets on their way to x. Fewer arrive than were given: the wire stopped them. */
static size_t arrive(struct memory_stream *x, const void *octets, size_t n)
{
    buf_put(&x->in, octets, n);
    if (!x->wire || n == 0) {
        return n;
    }
    size_t passed = x->wire->pass(x->wire, x->is_b, x->in.p + x->in.n - n, n);
    assert(passed <= n);
    x->in.n -= n - passed;
    return passed;
}

static ssize_t memory_writev(struct stream *s, const struct iovec *iov, int n)
{
    struct memory_stream *x = memory_of(s);
    if (!x->peer || x->out_ended) {
        stream_set_error(s, "Broken pipe");
        return STREAM_FAILED;
    }
    if (s->state == STREAM_CONNECTING) {
        return 0;
    }
    struct memory_stream *to = x->peer;
    size_t taken = 0;
    for (int i = 0; i < n; i++) {
        size_t room = to->window > in_flight(to) ? to->window - in_flight(to) : 0;
        size_t part = arrive(to, iov[i].iov_base, iov[i].iov_len < room ? iov[i].iov_len : room);
        taken += part;
        if (part < iov[i].iov_len) {
            break;
        }
    }
    if (taken > 0) {
        stream_readable(&to->s, false);
    }
    return (ssize_t)taken;
}

static void pump_run(struct task *t)
{
    struct memory_stream *x = (struct memory_stream *)(void *)((char *)t - offsetof(struct memory_stream, pump));
    stream_writable(&x->s);
}

/* Nothing more will come to x: what is in flight may be read, then EOF. */
static void end_input(struct memory_stream *x)
{
    if (!x->in_ended) {
        x->in_ended = true;
        stream_readable(&x->s, true);
    }
}

static void memory_close(struct stream *s)
{
    struct memory_stream *x = memory_of(s);
    loop_unwake(s->loop, &x->pump);
    if (x->peer) {
        x->wire = x->peer->wire = NULL;
        x->peer->peer = NULL;
        if (x->peer->s.blocked) { /* its rest can never be taken: let it find out */
            loop_wake(s->loop, &x->peer->pump);
        }
        end_input(x->peer);
        x->peer = NULL;
    }
}

static void memory_destroy(struct stream *s)
{
    buf_free(&memory_of(s)->in);
    free(memory_of(s));
}

static const struct stream_ops memory_ops = {memory_read, memory_writev, memory_close, memory_destroy};

static struct memory_stream *memory_new(struct loop *l, const struct memory_pair_options *options)
{
    struct memory_stream *x = xcalloc(1, sizeof *x);
    stream_setup(&x->s, l, &memory_ops, NULL, STREAM_OPEN);
    x->pump.run = pump_run;
    x->window = options && options->window ? options->window : WINDOW_DEFAULT;
    x->read_limit = options ? options->read_limit : 0;
    x->wire = options ? options->wire : NULL;
    return x;
}

void stream_memory_pair(struct loop *l, const struct memory_pair_options *options, struct stream **a, struct stream **b)
{
    struct memory_stream *x = memory_new(l, options);
    struct memory_stream *y = memory_new(l, options);
    x->peer = y;
    y->peer = x;
    y->is_b = true;
    if (options && options->connecting) {
        x->s.state = STREAM_CONNECTING;
    }
    *a = &x->s;
    *b = &y->s;
}

void stream_memory_connected(struct stream *s)
{
    assert(s->ops == &memory_ops);
    if (s->state == STREAM_CONNECTING) {
        stream_opened(s);
    }
}

struct stream *stream_dead(struct loop *l, const char *reason, struct task *owner)
{
    struct memory_stream *x = memory_new(l, NULL);
    x->s.owner = owner;
    x->in_ended = x->out_ended = true;
    stream_die(&x->s, reason);
    return &x->s;
}

struct stream *stream_dead_short(struct loop *l, const char *what, int error, struct task *owner)
{
    struct memory_stream *x = memory_new(l, NULL);
    x->s.owner = owner;
    x->in_ended = x->out_ended = true;
    stream_die_short(&x->s, what, error);
    return &x->s;
}

static void break_end(struct memory_stream *x, bool reset, const char *why)
{
    x->out_ended = true;
    if (reset || x->s.state == STREAM_CONNECTING) {
        buf_free(&x->in);
        x->in_read = 0;
        stream_die(&x->s, why);
        return;
    }
    if (x->s.blocked) {
        loop_wake(x->s.loop, &x->pump);
    }
    end_input(x);
}

void stream_memory_break(struct stream *s, bool reset)
{
    assert(s->ops == &memory_ops);
    struct memory_stream *x = memory_of(s);
    struct memory_stream *peer = x->peer;
    const char *why = reset ? "Connection reset by peer" : "Connection refused";
    if (s->state != STREAM_DEAD) {
        break_end(x, reset, why);
    }
    if (peer && peer->s.state != STREAM_DEAD) {
        break_end(peer, reset, why);
    }
}

void stream_memory_half_close(struct stream *s)
{
    assert(s->ops == &memory_ops);
    struct memory_stream *x = memory_of(s);
    x->out_ended = true;
    if (x->peer) {
        end_input(x->peer);
    }
}
