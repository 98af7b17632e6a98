/*
 * stream_internal.h - the inside of a stream: raw operations below, queue and flags above. A TLS stream will be one more set of
 * operations that calls those of the stream it lies over.
 *
 * Raw operations never wake anybody and keep no bytes back. What becomes possible later is reported by whoever serves the
 * descriptor through stream_readable() and stream_writable().
 */
#ifndef NET_STREAM_INTERNAL_H
#define NET_STREAM_INTERNAL_H

#include "postern/base/str.h"
#include "postern/net/stream.h"

struct stream_ops {
    /* As stream_read(); called only when `readable` or `gone` is set. Clears `readable` when nothing more is there for now. */
    ssize_t (*read)(struct stream *s, void *out, size_t n);
    /* Bytes taken (0: none now; less than all: none now for the rest), or STREAM_FAILED after stream_set_error(). When it took
     * less than all, stream_writable() will be called once there is room. Also called while CONNECTING: having taken something
     * it is OPEN. */
    ssize_t (*writev)(struct stream *s, const struct iovec *iov, int n);
    void (*close)(struct stream *s);   /* no event after this; descriptors are given back */
    void (*destroy)(struct stream *s); /* frees the memory; runs from the graveyard */
};

struct stream { /* first member of each kind of stream */
    const struct stream_ops *ops;
    struct loop *loop;
    struct task *owner;
    const char *error;    /* static text; NULL: none */
    struct buf out;       /* queued; no memory while empty */
    size_t out_sent;      /* bytes of `out` that were taken */
    uint8_t state;        /* enum stream_state */
    bool readable;        /* a read may give something */
    bool gone;            /* the peer closed its side, or all of it */
    bool end_read;        /* EOF was read */
    bool blocked;         /* the kernel took less than all; stream_writable() will come */
    bool is_short;        /* it died of a shortage of ours */
    bool write_failed;    /* what was queued is lost; what came before may still be read */
};

void stream_setup(struct stream *s, struct loop *l, const struct stream_ops *ops, struct task *owner, enum stream_state state);
/* Past the queue, which goes first: bytes taken (0: none now, stream_writable() will come), or STREAM_FAILED. For what lies
 * over a stream. */
ssize_t stream_write_now(struct stream *s, const void *bytes, size_t n);
void stream_notify(struct stream *s);                             /* wakes the owner */
void stream_set_error(struct stream *s, const char *why);         /* the first reason stays */
void stream_die(struct stream *s, const char *why);               /* DEAD, queue dropped, owner woken */
void stream_die_short(struct stream *s, const char *what, int error); /* of a shortage, which is noted */
void stream_opened(struct stream *s);                             /* CONNECTING to OPEN; sends what was queued, wakes the owner */
void stream_readable(struct stream *s, bool gone);                /* something to read, or the peer's end */
void stream_writable(struct stream *s);            /* room again: sends the rest; wakes the owner when the queue is empty */

#endif
