/*
 * ares.c - the transport: c-ares over the loop, one channel a server, so that failover is the resolver's and one dead server delays nobody else.
 *
 * c-ares calls back when it likes: synchronously inside ares_query (bad names), from ares_process_fd, and with EDESTRUCTION from ares_destroy. What comes
 * is put into a letter; letters are opened by a task of the loop, so nobody is called back before his ask() returned, and none after destroy().
 * A channel is looked after (time-outs, TCP) by a tick of 50 ms, set only while it has questions out.
 */
#include <ares.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/dns/resolver.h"
#include "postern/net/watch.h"

enum { TICK_MS = 50, SOCKETS_MAX = ARES_GETSOCK_MAXNUM, CLASS_IN = 1, UDP_SIZE = 1232, RECEIVE_BUFFER = 1 << 20 };

struct ares_transport;

struct channel {
    struct ares_transport *transport;
    ares_channel ares;
    struct socket_watch {
        struct watch watch;
        struct channel *channel;
        bool used;
    } sockets[SOCKETS_MAX];
    size_t out;          /* questions without an answer */
};

struct letter { /* one question, and later its answer */
    struct letter *next;
    struct channel *channel;
    void (*done)(void *context, enum dns_status status, const uint8_t *message, size_t n);
    void *context;
    enum dns_status status;
    uint8_t *message;
    size_t n;
};

struct ares_transport {
    struct dns_transport base;
    struct loop *loop;
    struct channel *channels;
    size_t count;
    struct letter *post, **post_last; /* answered, to be opened */
    struct task task;
    struct timer tick;
    bool dying;
};

/* --- answers coming in --------------------------------------------------------------------------------------------------------- */

static enum dns_status status_of(int ares_status, int n)
{
    switch (ares_status) {
    case ARES_SUCCESS:
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
    case ARES_ESERVFAIL:
    case ARES_EREFUSED:
    case ARES_EFORMERR:
    case ARES_ENOTIMP: return n > 0 ? DNS_OK : DNS_SERVFAIL; /* the parser reads what it says */
    case ARES_ETIMEOUT: return DNS_TIMEOUT;
    case ARES_EBADNAME: return DNS_BADNAME;
    default: return DNS_SERVFAIL; /* refused by ICMP, no socket, unreadable */
    }
}

static void arrived(void *arg, int status, int timeouts, unsigned char *message, int n)
{
    struct letter *letter = arg;
    struct ares_transport *t = letter->channel->transport;
    (void)timeouts;
    letter->channel->out--;
    if (t->dying) {
        free(letter);
        return;
    }
    letter->status = status_of(status, message ? n : 0);
    if (letter->status == DNS_OK) {
        letter->message = xmalloc((size_t)n);
        letter->n = (size_t)n;
        memcpy(letter->message, message, letter->n);
    }
    *t->post_last = letter;
    t->post_last = &letter->next;
    loop_wake(t->loop, &t->task);
}

static void free_letter(struct letter *letter)
{
    free(letter->message);
    free(letter);
}

static void open_post(struct task *task)
{
    struct ares_transport *t = (struct ares_transport *)((char *)task - offsetof(struct ares_transport, task));
    struct letter *letter = t->post;
    t->post = NULL;
    t->post_last = &t->post;
    while (letter) {
        struct letter *next = letter->next;
        letter->done(letter->context, letter->status, letter->message, letter->n);
        free_letter(letter);
        letter = next;
    }
}

/* --- sockets and time ---------------------------------------------------------------------------------------------------------- */

static void socket_ready(struct watch *w, unsigned what)
{
    struct socket_watch *s = (struct socket_watch *)((char *)w - offsetof(struct socket_watch, watch));
    bool read = what & (WATCH_READ | WATCH_GONE | WATCH_ERROR), write = what & WATCH_WRITE;
    ares_process_fd(s->channel->ares, read ? w->fd : ARES_SOCKET_BAD, write ? w->fd : ARES_SOCKET_BAD);
}

static struct socket_watch *find_socket(struct channel *c, int fd)
{
    struct socket_watch *unused = NULL;
    for (size_t i = 0; i < SOCKETS_MAX; i++) {
        if (c->sockets[i].used && c->sockets[i].watch.fd == fd)
            return &c->sockets[i];
        if (!c->sockets[i].used && !unused)
            unused = &c->sockets[i];
    }
    return unused;
}

static void socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
    struct channel *c = data;
    struct socket_watch *s = find_socket(c, fd);
    unsigned interest = (readable ? WATCH_READ : 0) | (writable ? WATCH_WRITE : 0);
    if (!s)
        return;
    if (!interest) {
        if (s->used)
            watch_stop(c->transport->loop, &s->watch);
        s->used = false;
    } else if (s->used) {
        watch_change(c->transport->loop, &s->watch, interest);
    } else {
        *s = (struct socket_watch){.channel = c, .used = true, .watch = {.ready = socket_ready}};
        watch_start(c->transport->loop, &s->watch, fd, interest);
    }
}

static void tick(struct timer *timer)
{
    struct ares_transport *t = (struct ares_transport *)((char *)timer - offsetof(struct ares_transport, tick));
    bool again = false;
    for (size_t i = 0; i < t->count; i++)
        if (t->channels[i].out) {
            ares_process_fd(t->channels[i].ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
            again |= t->channels[i].out > 0;
        }
    if (again)
        timer_set_in(t->loop, &t->tick, TICK_MS);
}

/* --- the seam ------------------------------------------------------------------------------------------------------------------ */

static void ask(struct dns_transport *base, size_t server, const char *name, unsigned type,
                void (*done)(void *context, enum dns_status status, const uint8_t *message, size_t n), void *context)
{
    struct ares_transport *t = (struct ares_transport *)base;
    struct channel *c = &t->channels[server];
    struct letter *letter = xcalloc(1, sizeof *letter);
    letter->channel = c;
    letter->done = done;
    letter->context = context;
    c->out++;
    ares_query(c->ares, name, CLASS_IN, (int)type, arrived, letter);
    if (!timer_is_set(&t->tick))
        timer_set_in(t->loop, &t->tick, TICK_MS);
}

static size_t server_count(struct dns_transport *base)
{
    return ((struct ares_transport *)base)->count;
}

static void destroy(struct dns_transport *base)
{
    struct ares_transport *t = (struct ares_transport *)base;
    t->dying = true;
    for (size_t i = 0; i < t->count; i++)
        ares_destroy(t->channels[i].ares);
    timer_cancel(t->loop, &t->tick);
    loop_unwake(t->loop, &t->task);
    while (t->post) {
        struct letter *next = t->post->next;
        free_letter(t->post);
        t->post = next;
    }
    free(t->channels);
    free(t);
    ares_library_cleanup();
}

static bool open_channel(struct channel *c, const struct addr_port *server, uint64_t timeout_ms)
{
    struct ares_options o = {0};
    char lookups[] = "b", no_file[] = "/dev/null", text[ADDR_PORT_TEXT];
    o.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_EDNS | ARES_FLAG_NOCHECKRESP | ARES_FLAG_STAYOPEN;
    o.timeout = (int)timeout_ms;
    o.tries = 1;
    o.ndots = 0;
    o.ednspsz = UDP_SIZE;
    o.lookups = lookups;
    o.resolvconf_path = no_file;
    o.socket_receive_buffer_size = RECEIVE_BUFFER;
    o.sock_state_cb = socket_state;
    o.sock_state_cb_data = c;
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_EDNSPSZ | ARES_OPT_LOOKUPS |
               ARES_OPT_RESOLVCONF | ARES_OPT_SOCK_RCVBUF | ARES_OPT_SOCK_STATE_CB;
    if (ares_init_options(&c->ares, &o, mask) != ARES_SUCCESS)
        return false;
    return ares_set_servers_ports_csv(c->ares, addr_port_format(server, text)) == ARES_SUCCESS;
}

struct dns_transport *dns_transport_ares(struct loop *l, const struct addr_port *servers, size_t count, const struct resolver_settings *settings)
{
    struct ares_transport *t = xcalloc(1, sizeof *t);
    ares_library_init(ARES_LIB_INIT_ALL);
    t->base = (struct dns_transport){.ask = ask, .server_count = server_count, .destroy = destroy};
    t->loop = l;
    t->post_last = &t->post;
    t->task.run = open_post;
    t->tick.fire = tick;
    t->channels = xcalloc(count ? count : 1, sizeof *t->channels);
    for (size_t i = 0; i < count; i++) {
        struct channel *c = &t->channels[t->count];
        c->transport = t;
        if (open_channel(c, &servers[i], settings->timeout_ms))
            t->count++;
        else if (c->ares)
            ares_destroy(c->ares);
    }
    return &t->base;
}

bool dns_resolv_conf(const char *path, struct addr_port out[8], size_t *count)
{
    FILE *f = fopen(path, "re");
    char line[512];
    bool any = false;
    while (f && fgets(line, sizeof line, f) && *count < 8) {
        struct str rest = str_trim((struct str){line, strcspn(line, "\r\n#;")}), word;
        if (!str_starts(rest, STR("nameserver")))
            continue;
        word = str_trim(str_sub(rest, 10, rest.n));
        if (addr_parse(word, &out[*count].addr)) {
            out[(*count)++].port = 53;
            any = true;
        }
    }
    if (f)
        fclose(f);
    return any;
}
