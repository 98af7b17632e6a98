/* The c-ares transport and the resolver over it, against small name servers of our own on loopback: UDP and TCP, honest and
 * otherwise. */
#include <criterion/criterion.h>
#include <errno.h>
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
static size_t question_end(const uint8_t *q, size_t n, char name[256])
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

static void reply_make(struct name_server *s, const uint8_t *q, size_t n, bool tcp, struct buf *out)
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

static void send_udp(struct name_server *s, const void *bytes, size_t n, const struct sockaddr_storage *to, socklen_t size)
{
    cr_assert_eq(sendto(s->udp, bytes, n, 0, (const struct sockaddr *)to, size), (ssize_t)n);
}

static void udp_ready(struct watch *w, unsigned what)
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

static void tcp_run(struct task *t)
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

static void tcp_accepted(void *context, struct listener *from, int fd, const struct addr_port *peer)
{
    struct name_server *s = context;
    (void)from;
    (void)peer;
    stream_close(l, &s->stream);
    buf_clear(&s->in);
    s->stream = stream_accepted(l, fd, &s->task);
}

/* UDP and TCP on one port that the system chooses. */
static void server_open(struct name_server *s, enum behaviour behaviour)
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

static void server_close(struct name_server *s)
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

static struct resolver_settings quick(void)
{
    return (struct resolver_settings){.timeout_ms = 60, .tries = 2, .in_flight = 100, .queue = 1000, .cache_bytes = 1 << 20,
                                      .ttl_max = 3600, .negative_ttl_max = 600};
}

static void open_all(int servers, enum behaviour first, enum behaviour second, struct resolver_settings settings)
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

static void close_all(void)
{
    resolver_free(&r);
    server_close(&server[0]);
    server_close(&server[1]);
    loop_turn(l, false);
    loop_free(&l);
}

static void guard_fire(struct timer *t)
{
    (void)t;
}

static void run_until_answered(struct dns_view *v)
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

static enum dns_status resolve(const char *name, struct buf *text)
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

static void resolves(const char *name)
{
    struct buf text = {0};
    enum dns_status status = resolve(name, &text);
    cr_assert_eq(status, DNS_OK, "%s: %s", name, dns_status_names[status]);
    cr_assert(str_starts(buf_view(&text), str_of(name)));
    buf_free(&text);
}

Test(ares, a_honest)
{
    open_all(1, HONEST, HONEST, quick());
    resolves("a.example");
    resolves("_dmarc.b.example");
    resolves("a=b+c/d.example");
    cr_assert_eq(server[0].over_udp, 3);
    cr_assert_eq(server[0].edns, 3);
    cr_assert_eq(loop_next_timer(l), UINT64_MAX, "no tick while no question is out");
    close_all();
}

Test(ares, b_many_at_once)
{
    enum { N = 500 };
    struct resolver_settings s = quick();
    char name[32];
    s.timeout_ms = 3000;
    open_all(1, HONEST, HONEST, s);
    struct dns_view *v = dns_view_new(r, NULL, NULL);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "n%d.example", i);
        cr_assert_null(dns_view_get(v, str_of(name), DNS_TXT));
    }
    cr_assert_eq(resolver_in_flight(r), 100);
    run_until_answered(v);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "n%d.example", i);
        const struct dns_answer *a = dns_view_get(v, str_of(name), DNS_TXT);
        cr_assert_eq(a->status, DNS_OK);
        cr_assert(str_eq(a->records[0].text, str_of(name)));
    }
    cr_assert_eq(server[0].over_udp, N);
    dns_view_free(&v);
    close_all();
}

Test(ares, c_truncated_then_tcp)
{
    struct buf text = {0};
    struct resolver_settings s = quick();
    s.timeout_ms = 2000;
    open_all(1, TRUNCATED, HONEST, s);
    cr_assert_eq(resolve("big.example", &text), DNS_OK);
    cr_assert_eq(text.n, strlen("big.example") + 40 * 120);
    cr_assert_eq(server[0].over_udp, 1);
    cr_assert_eq(server[0].over_tcp, 1);
    buf_free(&text);
    resolves("second.example");
    close_all();
}

Test(ares, d_silence_ends)
{
    open_all(1, SILENT, HONEST, quick());
    uint64_t start = loop_now(l);
    cr_assert_eq(resolve("x.example", NULL), DNS_TIMEOUT);
    cr_assert_eq(server[0].over_udp, 2, "two rounds: %u", server[0].over_udp);
    cr_assert_geq(loop_now(l) - start, 2 * 60);
    cr_assert_lt(loop_now(l) - start, 3000);
    cr_assert_eq(resolver_in_flight(r), 0);
    cr_assert_eq(loop_next_timer(l), UINT64_MAX);
    close_all();
}

Test(ares, e_a_dead_first_server_costs_once)
{
    open_all(2, SILENT, HONEST, quick());
    resolves("a.example");
    resolves("b.example");
    resolves("c.example");
    cr_assert_eq(server[0].over_udp, 1);
    cr_assert_eq(server[1].over_udp, 3);
    close_all();
}

Test(ares, f_a_closed_port_is_found_out_at_once)
{
    struct resolver_settings s = quick();
    s.timeout_ms = 5000;
    open_all(2, HONEST, HONEST, s);
    watch_stop(l, &server[0].watch);
    close(server[0].udp);
    listener_close(&server[0].tcp);
    uint64_t start = loop_now(l);
    resolves("a.example");
    cr_assert_lt(loop_now(l) - start, 3000, "not by its time-out");
    resolves("b.example");
    close_all();
}

Test(ares, g_garbage_before_the_answer)
{
    struct resolver_settings s = quick();
    s.timeout_ms = 2000;
    open_all(1, GARBAGE, HONEST, s);
    resolves("a.example");
    resolves("b.example");
    close_all();
}

Test(ares, h_nothing_but_garbage)
{
    open_all(1, ONLY_GARBAGE, HONEST, quick());
    cr_assert(dns_failed(resolve("a.example", NULL)));
    cr_assert_eq(resolver_in_flight(r), 0);
    close_all();
}

Test(ares, i_servfail_goes_to_the_next_server)
{
    open_all(2, FAILING, HONEST, quick());
    resolves("a.example");
    cr_assert_eq(server[0].over_udp, 1);
    close_all();
    open_all(2, FAILING, FAILING, quick());
    cr_assert_eq(resolve("a.example", NULL), DNS_SERVFAIL);
    cr_assert_eq(server[0].over_udp + server[1].over_udp, 2);
    close_all();
}

Test(ares, j_a_server_without_edns)
{
    struct resolver_settings s = quick();
    s.timeout_ms = 2000;
    open_all(1, NO_EDNS, HONEST, s);
    resolves("a.example");
    resolves("b.example");
    cr_assert_eq(server[0].edns, 1);
    close_all();
    open_all(1, NEVER_EDNS, HONEST, s);
    resolves("a.example");
    resolves("b.example");
    cr_assert_eq(server[0].edns, 1, "it is remembered");
    close_all();
    open_all(2, ALWAYS_FORMERR, HONEST, s);
    resolves("a.example");
    cr_assert_eq(server[1].over_udp, 1, "the next server");
    close_all();
}

/* Each question that was out when the server said that it does not know EDNS is asked again. */
Test(ares, j2_a_server_without_edns_and_many_questions)
{
    enum { N = 50 };
    static const enum behaviour of[] = {NO_EDNS, NEVER_EDNS};
    struct resolver_settings s = quick();
    char name[32];
    s.timeout_ms = 3000;
    for (size_t k = 0; k < sizeof of / sizeof *of; k++) {
        open_all(1, of[k], HONEST, s);
        struct dns_view *v = dns_view_new(r, NULL, NULL);
        for (int i = 0; i < N; i++) {
            snprintf(name, sizeof name, "n%d.example", i);
            cr_assert_null(dns_view_get(v, str_of(name), DNS_TXT));
        }
        run_until_answered(v);
        for (int i = 0; i < N; i++) {
            snprintf(name, sizeof name, "n%d.example", i);
            cr_assert_eq(dns_view_get(v, str_of(name), DNS_TXT)->status, DNS_OK, "%s", name);
        }
        cr_assert_leq(server[0].over_udp, 2 * N);
        dns_view_free(&v);
        close_all();
    }
}

Test(ares, k_tcp_that_lies_about_its_length)
{
    open_all(1, TCP_LIES, HONEST, quick());
    cr_assert(dns_failed(resolve("a.example", NULL)));
    cr_assert_geq(server[0].over_tcp, 1);
    close_all();
}

/* Names that c-ares itself refuses, synchronously, must be answered like all others: later. */
static unsigned done_count;
static enum dns_status done_status;

static void done(void *context, enum dns_status status, const uint8_t *message, size_t n)
{
    (void)context;
    (void)message;
    (void)n;
    done_count++;
    done_status = status;
}

Test(ares, l_never_called_back_before_ask_returned)
{
    struct resolver_settings s = quick();
    l = loop_new();
    server_open(&server[0], HONEST);
    struct dns_transport *t = dns_transport_ares(l, &server[0].address, 1, &s);
    cr_assert_eq(t->server_count(t), 1);
    t->ask(t, 0, "a..b", DNS_TXT, done, NULL);
    cr_assert_eq(done_count, 0);
    loop_turn(l, false);
    cr_assert_eq(done_count, 1);
    cr_assert(done_status == DNS_SERVFAIL);
    t->ask(t, 0, "a..b", DNS_TXT, done, NULL);
    t->ask(t, 0, "never.example", DNS_TXT, done, NULL);
    t->destroy(t); /* one answered and not handed over, one out */
    loop_turn(l, false);
    cr_assert_eq(done_count, 1);
    server_close(&server[0]);
    loop_free(&l);
}

Test(ares, m_freed_while_questions_are_out)
{
    open_all(2, SILENT, SILENT, quick());
    struct dns_view *v = dns_view_new(r, NULL, NULL);
    dns_view_get(v, STR("a.example"), DNS_TXT);
    dns_view_get(v, STR("b.example"), DNS_TXT);
    loop_turn(l, false);
    dns_view_free(&v);
    close_all();
}
