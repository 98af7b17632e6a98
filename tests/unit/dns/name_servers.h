/* name_servers.h - small name servers of our own on loopback, UDP and TCP, honest and otherwise; a resolver over c-ares that asks them. */
#ifndef TESTS_DNS_NAME_SERVERS_H
#define TESTS_DNS_NAME_SERVERS_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "postern/dns/resolver.h"
#include "postern/net/network.h"
#include "postern/net/watch.h"

enum behaviour {
    HONEST,      /* TXT of the name: the name itself */
    SILENT,
    TRUNCATED,   /* over UDP; whole over TCP */
    GARBAGE,     /* first bytes that are no message, an empty datagram, a wrong id, a wrong question; then the answer */
    ONLY_GARBAGE,
    FAILING,     /* SERVFAIL */
    NO_EDNS,     /* FORMERR to questions with EDNS */
    NEVER_EDNS,  /* NOTIMP to them */
    ALWAYS_FORMERR,
    TCP_LIES,    /* TC, and then a TCP message whose length promises more than comes */
};

struct name_server {
    enum behaviour behaviour;
    struct watch watch;
    int udp;
    struct listener *tcp;
    struct stream *stream; /* the one TCP client */
    struct task task;
    struct buf in;
    struct addr_port address;
    unsigned over_udp, over_tcp;
    unsigned edns;
};

static struct loop *l;
static struct name_server server[2];
static struct resolver *r;

/* The question's name as text and where it ends; 0: unreadable. */
static inline size_t question_end(const uint8_t *q, size_t n, char name[256])
{
    size_t at = 12, out = 0;
    while (at < n && q[at] != 0 && at + q[at] + 5 < n) {
        memcpy(name + out, q + at + 1, q[at]);
        out += q[at];
        name[out++] = '.';
        at += q[at] + 1u;
    }
    name[out ? out - 1 : 0] = 0;
    return at + 5 <= n ? at + 5 : 0;
}

static inline void reply_make(struct name_server *s, const uint8_t *q, size_t n, bool tcp, struct buf *out)
{
    char name[256], text[600];
    size_t end = question_end(q, n, name);
    cr_assert_neq(end, 0);
    bool edns = q[11] == 1;
    s->edns += edns;
    struct dns_build b = {0};
    static const unsigned rcodes[] = {[FAILING] = 2, [NO_EDNS] = 1, [NEVER_EDNS] = 4, [ALWAYS_FORMERR] = 1, [TCP_LIES] = 0};
    bool without = s->behaviour == NO_EDNS || s->behaviour == NEVER_EDNS;
    unsigned rcode = without && !edns ? 0 : rcodes[s->behaviour];
    dns_build_begin(&b, str_of(name), DNS_TXT, rcode);
    if (rcode == 0 && (tcp || s->behaviour != TRUNCATED)) {
        snprintf(text, sizeof text, "\"%s\"", name);
        dns_build_record(&b, str_of(name), DNS_TXT, 60, str_of(text));
        for (int i = 0; tcp && i < 40; i++) { /* some 5 KB */
            memset(text, 'x', 120);
            dns_build_record(&b, str_of(name), DNS_TXT, 60, (struct str){text, 120});
        }
    }
    struct str m = dns_build_end(&b);
    buf_put(out, m.p, m.n);
    buf_free(&b.out);
    memcpy(out->p, q, 2);
    if (!tcp && (s->behaviour == TRUNCATED || s->behaviour == TCP_LIES)) {
        out->p[2] |= 0x02;
    }
}

static inline void send_udp(struct name_server *s, const void *bytes, size_t n, const struct sockaddr_storage *to, socklen_t size)
{
    cr_assert_eq(sendto(s->udp, bytes, n, 0, (const struct sockaddr *)to, size), (ssize_t)n);
}

static inline void udp_ready(struct watch *w, unsigned what)
{
    struct name_server *s = (struct name_server *)(void *)((char *)w - offsetof(struct name_server, watch));
    uint8_t q[1500];
    struct sockaddr_storage from;
    socklen_t size = sizeof from;
    (void)what;
    ssize_t n = recvfrom(s->udp, q, sizeof q, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
    if (n < 12) {
        return;
    }
    s->over_udp++;
    if (s->behaviour == SILENT) {
        return;
    }
    struct buf reply = {0};
    reply_make(s, q, (size_t)n, false, &reply);
    if (s->behaviour == GARBAGE || s->behaviour == ONLY_GARBAGE) {
        struct buf other = {0};
        send_udp(s, "", 0, &from, size);
        send_udp(s, "x", 1, &from, size);
        send_udp(s, "0123456789abcdefghij", 20, &from, size);
        buf_put(&other, reply.p, reply.n);
        other.p[0] ^= 0x55; /* another id */
        send_udp(s, other.p, other.n, &from, size);
        other.p[0] ^= 0x55;
        other.p[13] ^= 1; /* another name */
        send_udp(s, other.p, other.n, &from, size);
        send_udp(s, other.p, 14, &from, size);
        buf_free(&other);
    }
    if (s->behaviour != ONLY_GARBAGE) {
        send_udp(s, reply.p, reply.n, &from, size);
    }
    buf_free(&reply);
}

static inline void tcp_run(struct task *t)
{
    struct name_server *s = (struct name_server *)(void *)((char *)t - offsetof(struct name_server, task));
    ssize_t got = 0;
    while (s->stream && (got = stream_read(s->stream, buf_room(&s->in, 2000), 2000)) > 0) {
        s->in.n += (size_t)got;
    }
    const uint8_t *p = (const uint8_t *)s->in.p;
    while (s->in.n >= 2 && s->in.n >= 2u + (size_t)(p[0] << 8 | p[1])) {
        size_t n = (size_t)(p[0] << 8 | p[1]);
        struct buf reply = {0};
        s->over_tcp++;
        reply_make(s, p + 2, n, true, &reply);
        size_t claimed = reply.n + (s->behaviour == TCP_LIES ? 10000 : 0);
        uint8_t length[2] = {(uint8_t)(claimed >> 8), (uint8_t)claimed};
        stream_put(s->stream, length, 2);
        stream_put(s->stream, reply.p, reply.n);
        stream_flush(s->stream);
        buf_free(&reply);
        buf_consume(&s->in, n + 2);
    }
    if (s->stream && got < 0) {
        stream_close(l, &s->stream);
    }
}

static inline void tcp_accepted(void *context, struct listener *from, int fd, const struct addr_port *peer)
{
    struct name_server *s = context;
    (void)from;
    (void)peer;
    stream_close(l, &s->stream);
    buf_clear(&s->in);
    s->stream = stream_accepted(l, fd, &s->task);
}

/* UDP and TCP on one port that the system chooses. */
static inline void server_open(struct name_server *s, enum behaviour behaviour)
{
    *s = (struct name_server){.behaviour = behaviour, .watch.ready = udp_ready, .task.run = tcp_run};
    for (int tries = 0; tries < 50 && !s->tcp; tries++) {
        struct sockaddr_storage at;
        char where[ADDR_PORT_TEXT];
        char *error = NULL;
        socklen_t size;
        struct addr_port any = {.port = 0};
        addr_parse(STR("127.0.0.1"), &any.addr);
        size = addr_to_sockaddr(&any, &at);
        s->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(bind(s->udp, (struct sockaddr *)&at, size), 0);
        size = sizeof at;
        getsockname(s->udp, (struct sockaddr *)&at, &size);
        addr_from_sockaddr((struct sockaddr *)&at, &s->address);
        s->tcp = listener_open(l, str_of(addr_port_format(&s->address, where)), tcp_accepted, s, &error);
        free(error);
        if (!s->tcp) {
            close(s->udp);
        }
    }
    cr_assert(s->tcp);
    watch_start(l, &s->watch, s->udp, WATCH_READ);
}

static inline void server_close(struct name_server *s)
{
    if (s->tcp) {
        watch_stop(l, &s->watch);
        close(s->udp);
        listener_close(&s->tcp);
        stream_close(l, &s->stream);
        loop_unwake(l, &s->task);
        buf_free(&s->in);
    }
}

static inline struct resolver_settings quick(void)
{
    return (struct resolver_settings){.timeout_ms = 60, .tries = 2, .in_flight = 100, .queue = 1000, .cache_bytes = 1 << 20,
                                      .ttl_max = 3600, .negative_ttl_max = 600};
}

static inline void open_all(int servers, enum behaviour first, enum behaviour second, struct resolver_settings settings)
{
    struct addr_port addresses[2];
    l = loop_new();
    server_open(&server[0], first);
    addresses[0] = server[0].address;
    if (servers > 1) {
        server_open(&server[1], second);
        addresses[1] = server[1].address;
    }
    r = resolver_new(l, dns_transport_ares(l, addresses, (size_t)servers, &settings), &settings);
}

static inline void close_all(void)
{
    resolver_free(&r);
    server_close(&server[0]);
    server_close(&server[1]);
    loop_turn(l, false);
    loop_free(&l);
}

static inline void guard_fire(struct timer *t)
{
    (void)t;
}

static inline void run_until_answered(struct dns_view *v)
{
    struct timer guard = {.fire = guard_fire};
    uint64_t until = loop_now(l) + 8000;
    timer_set(l, &guard, until);
    while (dns_view_waiting(v) > 0 && loop_now(l) < until) {
        loop_turn(l, true);
    }
    timer_cancel(l, &guard);
    cr_assert_eq(dns_view_waiting(v), 0);
}

static inline enum dns_status resolve(const char *name, struct buf *text)
{
    struct dns_view *v = dns_view_new(r, NULL, NULL);
    dns_view_get(v, str_of(name), DNS_TXT);
    run_until_answered(v);
    const struct dns_answer *a = dns_view_get(v, str_of(name), DNS_TXT);
    enum dns_status status = a->status;
    if (text) {
        buf_clear(text);
        for (size_t i = 0; i < a->count; i++) {
            buf_str(text, a->records[i].text);
        }
    }
    dns_view_free(&v);
    return status;
}

static inline void resolves(const char *name)
{
    struct buf text = {0};
    enum dns_status status = resolve(name, &text);
    cr_assert_eq(status, DNS_OK, "%s: %s", name, dns_status_names[status]);
    cr_assert(str_starts(buf_view(&text), str_of(name)));
    buf_free(&text);
}

#endif
