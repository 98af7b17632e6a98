/*
 * network.c - the real network: connecting and listening.
 *
 * A listener takes one connection each time the kernel says that there is one; while it is said turn after turn (a burst) it
 * takes twice as many each turn, so that neither a lone client costs a useless accept nor a burst a turn each. TCP_NODELAY is
 * set on the listening socket: accepted ones inherit it.
 */
#include "postern/net/network.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "postern/net/shortage.h"
#include "postern/net/watch.h"
#include "loop_internal.h"
#include "socket.h"

enum { BACKLOG = 1024, BURST_MAX = 64, REST_MS = 100 };

static struct stream *real_connect(struct network *n, const struct addr_port *to, struct task *owner)
{
    return socket_connect(n->loop, to, owner);
}

static struct stream *real_connect_unix(struct network *n, struct str path, struct task *owner)
{
    return socket_connect_unix(n->loop, path, owner);
}

struct network *network_real(struct loop *l)
{
    struct network *n = xcalloc(1, sizeof *n);
    n->connect = real_connect;
    n->connect_unix = real_connect_unix;
    n->loop = l;
    return n;
}

struct listener {
    struct loop *loop;
    struct watch watch;
    struct timer rest;         /* out of descriptors: no accepting until then */
    struct addr_port address;
    char *name;
    listener_accepted accepted;
    void *context;
    uint64_t last_turn;        /* of the loop in which it was last ready and had more */
    unsigned burst;            /* connections to take this time */
    bool paused;
    bool *closed;              /* set while accepted() runs: tells that it closed the listener */
};

static void watch_as_wanted(struct listener *x)
{
    watch_change(x->loop, &x->watch, x->paused || timer_is_set(&x->rest) ? 0 : WATCH_READ);
}

static void rest_over(struct timer *t)
{
    watch_as_wanted((struct listener *)(void *)((char *)t - offsetof(struct listener, rest)));
}

/* One connection; false when there is none to take now. */
static bool accept_one(struct listener *x)
{
    struct sockaddr_storage from;
    socklen_t size = sizeof from;
    int fd = accept4(x->watch.fd, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        int error = errno;
        if (shortage_is(error)) {
            shortage_note(x->loop, "accepting a client", error);
            timer_set_in(x->loop, &x->rest, REST_MS);
            watch_as_wanted(x);
        }
        return error == ECONNABORTED || error == EINTR || error == EPROTO;
    }
    struct addr_port peer;
    if (!addr_from_sockaddr((struct sockaddr *)&from, &peer)) {
        close(fd);
        return true;
    }
    x->accepted(x->context, x, fd, &peer);
    return true;
}

static void listener_ready(struct watch *w, unsigned what)
{
    struct listener *x = (struct listener *)(void *)((char *)w - offsetof(struct listener, watch));
    (void)what;
    bool busy = x->last_turn + 1 == x->loop->turn;
    x->last_turn = x->loop->turn;
    x->burst = !busy ? 1 : x->burst * 2 > BURST_MAX ? BURST_MAX : x->burst * 2;
    bool closed = false;
    x->closed = &closed;
    for (unsigned i = 0; i < x->burst; i++) {
        bool more = accept_one(x);
        if (closed) {
            return;
        }
        if (!more) {
            x->burst = 1;
            break;
        }
        if (x->watch.interest == 0) { /* paused by accepted() */
            break;
        }
    }
    x->closed = NULL;
}

static char *failed(struct str where, const char *what, int error)
{
    struct buf text = {0};
    buf_printf(&text, "cannot listen on %.*s: %s%s%s", STR_ARG(where), what, error ? ": " : "", error ? strerror(error) : "");
    if (error == EADDRINUSE)
        buf_cstr(&text, "; `ss -ltnp` says which program has the port");
    else if (error == EACCES)
        buf_cstr(&text, "; a port below 1024 needs root or CAP_NET_BIND_SERVICE");
    else if (error == EADDRNOTAVAIL)
        buf_cstr(&text, "; it is no address of this machine (`ip address` lists them)");
    return buf_steal(&text);
}

/* "*:25" and ":25" are every address of both families. */
static bool where_parse(struct str where, struct addr_port *out, bool *any)
{
    struct str rest = where;
    if (str_starts(rest, STR("*"))) {
        rest = str_sub(rest, 1, rest.n);
    }
    uint64_t port;
    *any = str_starts(rest, STR(":")) && str_to_u64(str_sub(rest, 1, rest.n), 65535, &port);
    if (*any) {
        *out = (struct addr_port){{.family = 6}, (uint16_t)port};
        return true;
    }
    return addr_port_parse(where, 0, out);
}

static int listening_socket(const struct addr_port *at, bool any, const char **what)
{
    struct sockaddr_storage address;
    socklen_t size = addr_to_sockaddr(at, &address);
    int on = 1;
    int only = !any;
    *what = "socket";
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (address.ss_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    }
    *what = "bind";
    if (bind(fd, (struct sockaddr *)&address, size) < 0) {
        goto out;
    }
    *what = "listen";
    if (listen(fd, BACKLOG) == 0) {
        return fd;
    }
out:;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

struct listener *listener_from_socket(struct loop *l, int fd, struct str name, listener_accepted accepted, void *context)
{
    struct listener *x = xcalloc(1, sizeof *x);
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof bound;
    if (getsockname(fd, (struct sockaddr *)&bound, &size) == 0) {
        addr_from_sockaddr((struct sockaddr *)&bound, &x->address);
    }
    x->loop = l;
    x->name = xstrndup(name.p, name.n);
    x->accepted = accepted;
    x->context = context;
    x->burst = 1;
    x->rest.fire = rest_over;
    x->watch.ready = listener_ready;
    watch_start(l, &x->watch, fd, WATCH_READ);
    return x;
}

struct listener *listener_open(struct loop *l, struct str where, listener_accepted accepted, void *context, char **error)
{
    struct addr_port at;
    bool any;
    if (!where_parse(where, &at, &any)) {
        *error = failed(where, "write ADDRESS:PORT, or *:PORT for every address", 0);
        return NULL;
    }
    const char *what;
    int fd = listening_socket(&at, any, &what);
    if (fd < 0 && any && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) { /* a machine without IPv6 */
        at.addr = (struct addr){.family = 4};
        fd = listening_socket(&at, false, &what);
    }
    if (fd < 0) {
        *error = failed(where, what, errno);
        return NULL;
    }
    return listener_from_socket(l, fd, where, accepted, context);
}

struct addr_port listener_address(const struct listener *x)
{
    return x->address;
}

struct str listener_name(const struct listener *x)
{
    return str_of(x->name);
}

void listener_pause(struct listener *x, bool paused)
{
    x->paused = paused;
    watch_as_wanted(x);
}

void listener_close(struct listener **x)
{
    struct listener *y = *x;
    if (!y) {
        return;
    }
    if (y->closed) {
        *y->closed = true;
    }
    timer_cancel(y->loop, &y->rest);
    watch_change(y->loop, &y->watch, 0); /* a supervisor may hold the socket too: the kernel must be told */
    close(y->watch.fd);
    free(y->name);
    free(y);
    *x = NULL;
}
