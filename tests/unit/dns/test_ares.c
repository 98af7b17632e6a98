/* The c-ares transport and the resolver over it, against name servers on loopback. */
#include "name_servers.h"

#include "../net/descriptors.h"
#include "postern/base/counters.h"

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

/* Without a descriptor a question is not asked: nobody is to blame, nothing is remembered. So for the second one too that TCP needs. */
Test(ares, n_without_descriptors)
{
    static const struct { enum behaviour first; unsigned spare; } cases[] = {{HONEST, 0}, {TRUNCATED, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        open_all(2, cases[i].first, cases[i].first, quick());
        uint64_t before = counters[COUNTER_SHORTAGES];
        take_descriptors(cases[i].spare);
        enum dns_status status = resolve("a.example", NULL);
        give_descriptors();
        cr_expect_eq(status, DNS_LIMIT, "case %zu: %s", i, dns_status_names[status]);
        cr_expect_eq(counters[COUNTER_SHORTAGES], before + 2, "each server would have been asked");
        cr_expect_eq(server[0].over_udp + server[1].over_udp, 2 * cases[i].spare);
        resolves("a.example");
        cr_expect_eq(server[1].over_udp, cases[i].spare, "the first server is as good as before");
        close_all();
    }
}
