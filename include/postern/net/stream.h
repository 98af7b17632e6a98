/*
 * stream.h - a connection of bytes with one owner: plain socket, memory pair (simulation, tests); TLS
 * (tls.h) goes over either.
 *
 * The owner is a task: it is woken when bytes can be read, when queued bytes have left, when a connect finished or failed, when
 * the peer closed. It then asks; nothing is pushed. Reading goes into the caller's memory, so an idle stream holds no buffer.
 * READ interest stays armed. Writing: stream_put() queues, stream_flush() writes at once what the peer takes and waits for the
 * rest by itself (and wakes the owner when the queue became empty). The session puts all replies of one run and flushes once.
 */
#ifndef POSTERN_NET_STREAM_H
#define POSTERN_NET_STREAM_H

#include <sys/types.h>
#include <sys/uio.h>

#include "postern/base/addr.h"
#include "postern/net/loop.h"

struct stream;

enum { STREAM_AGAIN = 0, STREAM_EOF = -1, STREAM_FAILED = -2 };
/* A connection that was made may still count as CONNECTING until the peer's first bytes came or ours were taken, for 300 ms at
 * most: saves a wait. */
enum stream_state { STREAM_CONNECTING, STREAM_OPEN, STREAM_DEAD };

enum stream_state stream_state(const struct stream *s);
/* DEAD from the start for want of a descriptor, a port, memory (shortage.h): nothing speaks against the peer. */
bool stream_is_short(const struct stream *s);
const char *stream_error(const struct stream *s); /* DEAD: why ("Connection refused", "timed out" ...), static or owned by s */
void stream_set_owner(struct stream *s, struct task *owner); /* wakes it when something is already waiting to be read */
/* Bytes read (> 0), STREAM_AGAIN: nothing now (the owner will be woken), STREAM_EOF: the peer closed its side, STREAM_FAILED.
 * After a short read no second system call is made: the next call answers AGAIN until the loop says ready again. */
ssize_t stream_read(struct stream *s, void *out, size_t n);
void stream_put(struct stream *s, const void *bytes, size_t n);
/* Gives `n` slices after what is queued, without copying what the peer takes at once; the rest is copied to the queue. One
 * system call. */
void stream_put_iov(struct stream *s, const struct iovec *iov, int n);
enum flush { FLUSH_DONE, FLUSH_NOT_YET, FLUSH_FAILED };
enum flush stream_flush(struct stream *s);
size_t stream_queued(const struct stream *s); /* bytes not yet taken by the kernel */
/* The peer has closed or reset, seen without reading (EPOLLRDHUP or a failed write); bytes may still be readable. */
bool stream_peer_gone(const struct stream *s);
/* A failed write loses the queue; what the peer said before can still be read, and reading then ends in STREAM_FAILED. An owner
 * that leaves bytes unread is not woken for them again: it comes back by itself (stream_set_owner tells it too). */
/* Closes and buries it; bytes queued and not yet flushed are tried once more, then dropped. Owner will not be woken any more. */
void stream_close(struct loop *l, struct stream **s);

/* --- plain sockets --- */
struct stream *stream_from_socket(struct loop *l, int fd, struct task *owner); /* takes fd: connected, TCP_NODELAY set by it */
/* The same for a descriptor from a listener, which has TCP_NODELAY already. */
struct stream *stream_accepted(struct loop *l, int fd, struct task *owner);

/* --- memory: both ends live in one loop. What one end writes the other reads, with a window (bytes in flight) that can be set
 * small. --- */
/* What lies between the two ends, when somebody wants to see or to disturb it. */
struct memory_wire {
    /* `n` octets are on their way to end b, or to end a: it may change them, and says how many of them arrive. When it is fewer,
     * the writer waits as it does for room; who stopped it breaks the pair later. Must not touch the streams. */
    size_t (*pass)(struct memory_wire *wire, bool to_b, char *octets, size_t n);
};
struct memory_pair_options {
    size_t window;      /* 0: 64 KB; how much may be unread before the writer is told "not now" (short writes come from this) */
    size_t read_limit;  /* 0: none; bytes that one stream_read gives at most (1: byte at a time) */
    bool connecting;    /* end a starts CONNECTING (end b may already write): see stream_memory_connected */
    struct memory_wire *wire; /* NULL: none; lives until one end is closed */
};
void stream_memory_pair(struct loop *l, const struct memory_pair_options *options, struct stream **a, struct stream **b);
/* From now on reads give EOF (after what is in flight), or FAILED at once when reset; the other end likewise. */
void stream_memory_break(struct stream *s, bool reset);
void stream_memory_connected(struct stream *s); /* CONNECTING to OPEN; a refusal is stream_memory_break while it is CONNECTING */
/* Dead from the start; reason is static text. */
struct stream *stream_dead(struct loop *l, const char *reason, struct task *owner);
/* The same for a shortage (an errno of shortage.h), which is noted; `what` as there. */
struct stream *stream_dead_short(struct loop *l, const char *what, int error, struct task *owner);
void stream_memory_half_close(struct stream *s);        /* the other end reads EOF; this one can still read */

#endif
