/*
 * transport_ares.c - questions over c-ares: UDP with EDNS, TCP when an answer was truncated. One channel a server, since which
 * server is asked next is the resolver's business; each channel tries once.
 *
 * c-ares may call back inside ares_query (a socket that cannot be had) and from inside its own processing, where asking again
 * would be recursion: so an answer is copied into its `struct asked`, and a task of ours hands it over from the wake list. A
 * channel keeps its socket only while questions are out, so that the source port changes. The tick, which runs only then, makes
 * c-ares look at its time-outs. Where a socket cannot be had for want of descriptors or the like, c-ares says that the server refused, and errno why:
 * such a question was not asked (DNS_LIMIT), which is no illness of the server's.
 *
 * A server that does not know EDNS says FORMERR or NOTIMP (RFC 6891 section 7). c-ares asks again without it for the first of the
 * questions that are out, and only after FORMERR. So each is asked again here, through a second channel to the server; once that
 * has helped, through that one only.
 */
#include <ares.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/dns/resolver.h"
#include "postern/net/shortage.h"
#include "postern/net/watch.h"

enum { TICK_MOST_MS = 50, EDNS_SIZE = 1232, RECEIVE_BUFFER = 1 << 20, RCODE_FORMERR = 1, RCODE_NOTIMP = 4 };

struct ares_transport;

struct channel {
    struct ares_transport *transport;
    ares_channel ares;
    struct ares_socket *sockets;
    size_t out; /* questions */
};

struct server {
    struct channel with_edns, plain;
    bool no_edns; /* it answers without only */
};

struct ares_socket {
    struct watch watch;
    struct channel *channel;
    struct ares_socket *next;
};

struct asked {
    struct server *server;
    struct channel *channel; /* that it was asked through last */
    char name[254];
    unsigned type;
    void (*done)(void *context, enum dns_status status, const uint8_t *message, size_t n);
    void *context;
    struct asked *next; /* answered, to be handed over */
    enum dns_status status;
    uint8_t *message;
    size_t n;
};

struct ares_transport {
    struct dns_transport base; /* first */
    struct loop *loop;
    struct server *servers;
    size_t count;
    struct task hand_over;
    struct asked *first, *last;
    struct timer tick;
    uint64_t tick_ms;
    size_t out; /* questions of all servers */
    bool dying;
};

/* --- sockets --- */

static void socket_ready(struct watch *w, unsigned what)
{
    struct ares_socket *s = (struct ares_socket *)(void *)w;
    bool error = (what & (WATCH_ERROR | WATCH_GONE)) != 0;
    ares_socket_t in = what & WATCH_READ || error ? w->fd : ARES_SOCKET_BAD;
    ares_socket_t out = what & WATCH_WRITE ? w->fd : ARES_SOCKET_BAD;
    errno = 0;
    ares_process_fd(s->channel->ares, in, out); /* may close it: s is buried, not freed */
}

static void socket_state(void *context, ares_socket_t fd, int readable, int writable)
{
    struct channel *channel = context;
    struct loop *l = channel->transport->loop;
    unsigned interest = (readable ? WATCH_READ : 0u) | (writable ? WATCH_WRITE : 0u);
    struct ares_socket **link = &channel->sockets;
    while (*link && (*link)->watch.fd != fd) {
        link = &(*link)->next;
    }
    struct ares_socket *s = *link;
    if (interest == 0) {
        if (s) {
            watch_change(l, &s->watch, 0);
            *link = s->next;
            loop_bury(l, s, free);
        }
        return;
    }
    if (s) {
        watch_change(l, &s->watch, interest);
        return;
    }
    s = xcalloc(1, sizeof *s);
    s->channel = channel;
    s->watch.ready = socket_ready;
    s->next = channel->sockets;
    channel->sockets = s;
    watch_start(l, &s->watch, fd, interest);
}

/* --- answers --- */

static void answered(void *context, int status, int timeouts, unsigned char *message, int n);

static void ask_through(struct channel *channel, struct asked *a)
{
    struct ares_transport *t = channel->transport;
    a->channel = channel;
    channel->out++;
    if (t->out++ == 0) {
        timer_set_in(t->loop, &t->tick, t->tick_ms);
    }
    errno = 0;
    ares_query(channel->ares, a->name, 1 /* IN */, (int)a->type, answered, a);
}

/* The server did not understand a question with EDNS: it is asked once more without. False: this is its answer. */
static bool ask_plainly(struct asked *a)
{
    unsigned rcode = a->n >= 4 ? a->message[3] & 15 : 0;
    bool understood = rcode != RCODE_FORMERR && rcode != RCODE_NOTIMP;
    if (a->channel == &a->server->plain) {
        a->server->no_edns |= a->status == DNS_OK && understood;
        return false;
    }
    if (a->status != DNS_OK || understood) {
        return false;
    }
    free(a->message);
    a->message = NULL;
    a->n = 0;
    a->next = NULL;
    ask_through(&a->server->plain, a);
    return true;
}

static void hand_over(struct task *task)
{
    struct ares_transport *t = (struct ares_transport *)(void *)((char *)task - offsetof(struct ares_transport, hand_over));
    struct asked *a = t->first;
    t->first = t->last = NULL;
    while (a) {
        struct asked *next = a->next;
        if (ask_plainly(a)) {
            a = next;
            continue;
        }
        a->done(a->context, a->status, a->message, a->n);
        free(a->message);
        free(a);
        a = next;
    }
}

static void answered(void *context, int status, int timeouts, unsigned char *message, int n)
{
    struct asked *a = context;
    struct ares_transport *t = a->channel->transport;
    (void)timeouts;
    if (t->dying) {
        free(a);
        return;
    }
    a->channel->out--;
    if (--t->out == 0) {
        timer_cancel(t->loop, &t->tick);
    }
    if (message && n > 0) {
        a->status = DNS_OK;
        a->message = xmalloc((size_t)n);
        a->n = (size_t)n;
        memcpy(a->message, message, a->n);
    } else if (status == ARES_ECONNREFUSED && shortage_is(errno)) {
        shortage_note(t->loop, "asking a resolver", errno);
        a->status = DNS_LIMIT;
    } else {
        a->status = status == ARES_ETIMEOUT ? DNS_TIMEOUT : DNS_SERVFAIL;
    }
    *(t->last ? &t->last->next : &t->first) = a;
    t->last = a;
    loop_wake(t->loop, &t->hand_over);
}

static void look_at_time(struct channel *channel)
{
    if (channel->out > 0) {
        errno = 0;
        ares_process_fd(channel->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    }
}

static void tick(struct timer *timer)
{
    struct ares_transport *t = (struct ares_transport *)(void *)((char *)timer - offsetof(struct ares_transport, tick));
    for (size_t i = 0; i < t->count; i++) {
        look_at_time(&t->servers[i].with_edns);
        look_at_time(&t->servers[i].plain);
    }
    if (t->out > 0) {
        timer_set_in(t->loop, &t->tick, t->tick_ms);
    }
}

static void ask(struct dns_transport *base, size_t server, const char *name, unsigned type,
                void (*done)(void *context, enum dns_status status, const uint8_t *message, size_t n), void *context)
{
    struct ares_transport *t = (struct ares_transport *)(void *)base;
    assert(server < t->count);
    struct asked *a = xcalloc(1, sizeof *a);
    a->server = &t->servers[server];
    a->done = done;
    a->context = context;
    a->type = type;
    snprintf(a->name, sizeof a->name, "%s", name);
    ask_through(a->server->no_edns ? &a->server->plain : &a->server->with_edns, a);
}

static size_t server_count(struct dns_transport *base)
{
    return ((struct ares_transport *)(void *)base)->count;
}

/* --- life --- */

static void destroy(struct dns_transport *base)
{
    struct ares_transport *t = (struct ares_transport *)(void *)base;
    t->dying = true; /* what is out is freed by its callback */
    for (size_t i = 0; i < t->count; i++) {
        ares_destroy(t->servers[i].with_edns.ares);
        ares_destroy(t->servers[i].plain.ares);
    }
    while (t->first) {
        struct asked *a = t->first;
        t->first = a->next;
        free(a->message);
        free(a);
    }
    loop_unwake(t->loop, &t->hand_over);
    timer_cancel(t->loop, &t->tick);
    free(t->servers);
    free(t);
    ares_library_cleanup();
}

static void open_channel(struct channel *channel, struct ares_transport *t, const struct addr_port *address,
                         const struct resolver_settings *settings, bool edns)
{
    channel->transport = t;
    char text[ADDR_PORT_TEXT];
    struct ares_options options = {
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | (edns ? ARES_FLAG_EDNS : 0) | ARES_FLAG_NOCHECKRESP,
        .timeout = settings->timeout_ms > INT32_MAX ? INT32_MAX : (int)settings->timeout_ms,
        .tries = 1,
        .ndots = 0,
        .ednspsz = EDNS_SIZE,
        .socket_receive_buffer_size = RECEIVE_BUFFER,
        .sock_state_cb = socket_state,
        .sock_state_cb_data = channel,
        .lookups = (char *)"b",
        .resolvconf_path = (char *)"/dev/null",
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_EDNSPSZ | ARES_OPT_SOCK_RCVBUF |
               ARES_OPT_SOCK_STATE_CB | ARES_OPT_LOOKUPS | ARES_OPT_RESOLVCONF;
    int failed = ares_init_options(&channel->ares, &options, mask);
    assert(failed == ARES_SUCCESS);
    failed = ares_set_servers_ports_csv(channel->ares, addr_port_format(address, text));
    assert(failed == ARES_SUCCESS);
}

struct dns_transport *dns_transport_ares(struct loop *l, const struct addr_port *servers, size_t count,
                                         const struct resolver_settings *settings)
{
    assert(count > 0 && settings->timeout_ms > 0);
    int failed = ares_library_init(ARES_LIB_INIT_ALL);
    assert(failed == ARES_SUCCESS);
    struct ares_transport *t = xcalloc(1, sizeof *t);
    t->base = (struct dns_transport){ask, server_count, destroy};
    t->loop = l;
    t->count = count;
    t->servers = xcalloc(count, sizeof *t->servers);
    t->hand_over.run = hand_over;
    t->tick.fire = tick;
    t->tick_ms = settings->timeout_ms / 4 < TICK_MOST_MS ? settings->timeout_ms / 4 + 1 : TICK_MOST_MS;
    for (size_t i = 0; i < count; i++) {
        open_channel(&t->servers[i].with_edns, t, &servers[i], settings, true);
        open_channel(&t->servers[i].plain, t, &servers[i], settings, false);
    }
    return &t->base;
}
