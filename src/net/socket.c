/*
 * socket.c - the raw operations of a stream over a socket, with few system calls.
 *
 *     opened      one epoll_ctl: edge-triggered READ and the peer's end; READ is never disarmed, and an owner that does not read
 *                 (back-pressure) costs nothing, since an edge is told once
 *     reading     one recv; a short read means empty, so there is no second one to see EAGAIN. After the peer's end a read goes on to EOF
 *     writing     tried at once; only when the kernel takes less is WRITE armed, once for the stream's life
 *     connecting  the servers we connect to speak first, so their first bytes say that we are connected and no wait is spent on it.
 *                 WRITE is asked for when the owner has something to say, or when nothing came for a while. An error has its reason
 *                 in SO_ERROR
 *     closing     close alone: the kernel takes a closed descriptor off by itself
 */
#include "socket.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "postern/net/shortage.h"
#include "postern/net/watch.h"
#include "stream_internal.h"

struct socket_stream {
    struct stream s;
    struct watch watch;
    struct timer look; /* CONNECTING: when to ask for WRITE */
};

enum { LOOK_FOR_WRITE_MS = 300 };
enum { OPEN_INTEREST = WATCH_READ | WATCH_GONE | WATCH_EDGE };

static struct socket_stream *socket_of(struct stream *s)
{
    return (struct socket_stream *)(void *)s;
}

static const char *reason(int error)
{
    const char *text = strerrordesc_np(error);
    return text ? text : "unknown error";
}

static bool would_block(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

static ssize_t socket_read(struct stream *s, void *out, size_t n)
{
    ssize_t got = recv(socket_of(s)->watch.fd, out, n, MSG_DONTWAIT);
    if (got > 0) {
        if ((size_t)got < n) {
            s->readable = false;
        }
        return got;
    }
    if (got == 0) {
        return STREAM_EOF;
    }
    if (would_block(errno)) {
        s->readable = false;
        return STREAM_AGAIN;
    }
    stream_set_error(s, reason(errno));
    return STREAM_FAILED;
}

static size_t iov_total(const struct iovec *iov, int n)
{
    size_t total = 0;
    for (int i = 0; i < n; i++) {
        total += iov[i].iov_len;
    }
    return total;
}

static ssize_t socket_writev(struct stream *s, const struct iovec *iov, int n)
{
    struct socket_stream *x = socket_of(s);
    struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
    if (s->state == STREAM_CONNECTING) {
        timer_cancel(s->loop, &x->look);
    }
    ssize_t taken = sendmsg(x->watch.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (taken < 0 && !would_block(errno)) {
        stream_set_error(s, reason(errno));
        return STREAM_FAILED;
    }
    taken = taken < 0 ? 0 : taken;
    if ((size_t)taken < iov_total(iov, n)) {
        watch_change(s->loop, &x->watch, OPEN_INTEREST | WATCH_WRITE);
    }
    return taken;
}

static void socket_close(struct stream *s)
{
    struct socket_stream *x = socket_of(s);
    if (x->watch.fd < 0) {
        return;
    }
    watch_stop(s->loop, &x->watch);
    timer_cancel(s->loop, &x->look);
    if (s->readable && !s->end_read && s->state == STREAM_OPEN && !s->write_failed) {
        /* Closing with unread bytes resets the connection, and a reset may overtake our last reply: read away what came. */
        ssize_t dropped = recv(x->watch.fd, NULL, 1 << 20, MSG_TRUNC | MSG_DONTWAIT);
        (void)dropped;
    }
    close(x->watch.fd);
    x->watch.fd = -1;
}

static void socket_destroy(struct stream *s)
{
    free(socket_of(s));
}

static const struct stream_ops socket_ops = {socket_read, socket_writev, socket_close, socket_destroy};

static void connect_ended(struct socket_stream *x, unsigned what)
{
    int error = 0;
    socklen_t size = sizeof error;
    timer_cancel(x->s.loop, &x->look);
    if ((what & WATCH_ERROR) && getsockopt(x->watch.fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) {
        error = errno;
    }
    if (error) {
        stream_die(&x->s, reason(error));
    } else {
        stream_opened(&x->s);
    }
}

static void look_for_write(struct timer *t)
{
    struct socket_stream *x = (struct socket_stream *)(void *)((char *)t - offsetof(struct socket_stream, look));
    if (x->s.state == STREAM_CONNECTING) {
        watch_change(x->s.loop, &x->watch, OPEN_INTEREST | WATCH_WRITE);
    }
}

static void socket_ready(struct watch *w, unsigned what)
{
    struct socket_stream *x = (struct socket_stream *)(void *)((char *)w - offsetof(struct socket_stream, watch));
    struct stream *s = &x->s;
    if (s->state == STREAM_CONNECTING) {
        connect_ended(x, what);
    }
    if (s->state != STREAM_OPEN) {
        return;
    }
    if (what & ~(unsigned)WATCH_WRITE) {
        stream_readable(s, (what & (WATCH_GONE | WATCH_ERROR)) != 0);
    }
    if (what & WATCH_WRITE) {
        stream_writable(s);
    }
}

static struct socket_stream *socket_new(struct loop *l, struct task *owner, enum stream_state state)
{
    struct socket_stream *x = xcalloc(1, sizeof *x);
    stream_setup(&x->s, l, &socket_ops, owner, state);
    x->watch.ready = socket_ready;
    x->look.fire = look_for_write;
    x->watch.fd = -1;
    return x;
}

static void no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails harmlessly on sockets that are not TCP */
}

struct stream *stream_accepted(struct loop *l, int fd, struct task *owner)
{
    struct socket_stream *x = socket_new(l, owner, STREAM_OPEN);
    watch_start(l, &x->watch, fd, OPEN_INTEREST);
    return &x->s;
}

struct stream *stream_from_socket(struct loop *l, int fd, struct task *owner)
{
    no_delay(fd);
    return stream_accepted(l, fd, owner);
}

static struct stream *not_connected(struct socket_stream *x, const struct sockaddr *to, int error)
{
    char what[ADDR_PORT_TEXT + 16] = "connecting";
    char text[ADDR_PORT_TEXT];
    struct addr_port at;
    if (addr_from_sockaddr(to, &at))
        snprintf(what, sizeof what, "connecting to %s", addr_port_format(&at, text));
    if (shortage_is(error))
        stream_die_short(&x->s, what, error);
    else
        stream_die(&x->s, reason(error));
    return &x->s;
}

static struct stream *connect_to(struct loop *l, const struct sockaddr *address, socklen_t size, struct task *owner)
{
    struct socket_stream *x = socket_new(l, owner, STREAM_CONNECTING);
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return not_connected(x, address, errno);
    if (address->sa_family != AF_UNIX)
        no_delay(fd);
    if (connect(fd, address, size) < 0 && errno != EINPROGRESS) { /* a Unix socket whose queue is full says EAGAIN: as good as refused */
        int error = errno;
        close(fd);
        return not_connected(x, address, error);
    }
    watch_start(l, &x->watch, fd, OPEN_INTEREST);
    timer_set_in(l, &x->look, LOOK_FOR_WRITE_MS);
    return &x->s;
}

struct stream *socket_connect(struct loop *l, const struct addr_port *to, struct task *owner)
{
    struct sockaddr_storage address;
    socklen_t size = addr_to_sockaddr(to, &address);
    return connect_to(l, (struct sockaddr *)&address, size, owner);
}

struct stream *socket_connect_unix(struct loop *l, struct str path, struct task *owner)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path.n >= sizeof address.sun_path)
        return stream_dead(l, "the path of the socket is too long", owner);
    memcpy(address.sun_path, path.p, path.n);
    return connect_to(l, (struct sockaddr *)&address, sizeof address, owner);
}
