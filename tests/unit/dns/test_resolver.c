/* The resolver: its cache, its queue, its servers. */
#include "asked.h"

#include "postern/base/log.h"

Test(resolver, a_a_question_and_its_answer)
{
    struct waiter w = {.task.run = woken};
    open_resolver(1, usual);
    struct dns_view *v = dns_view_new(r, &w.task, NULL);
    cr_assert_null(dns_view_get(v, STR("X.Example."), DNS_A));
    cr_assert_null(dns_view_get(v, STR("x.example"), DNS_A));
    cr_assert_eq(asked_count, 1, "asked once");
    cr_assert_str_eq(asked[0].name, "x.example");
    cr_assert_eq(dns_view_waiting(v), 1);
    cr_assert_eq(resolver_in_flight(r), 1);
    answer(0, 60);
    cr_assert_eq(w.woken, 0, "nobody is called back");
    cr_assert_eq(dns_view_waiting(v), 0);
    loop_settle(l);
    cr_assert_eq(w.woken, 1);
    const struct dns_answer *a = dns_view_get(v, STR("x.example"), DNS_A);
    cr_assert_eq(status_of(a), DNS_OK);
    cr_assert_eq(a->count, 1);
    cr_assert_null(dns_view_get(v, STR("x.example"), DNS_TXT), "another type is another question");
    cr_assert_eq(asked_count, 2);
    dns_view_free(&v);
    cr_assert_null(v);
    close_resolver();
}

Test(resolver, b_ttl)
{
    static const struct {
        unsigned rcode;
        bool record;
        uint32_t ttl;
        uint64_t kept_s; /* 0: not at all */
    } cases[] = {{0, true, 60, 60}, {0, true, 100000, 3600}, {0, true, 0, 0}, {3, false, 60, 60},
                 {3, false, 100000, 600}, {0, false, 5, 5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        open_resolver(1, usual);
        cr_assert_eq(ask_once("x.example"), -1);
        answer_rcode(0, cases[i].rcode, cases[i].record, cases[i].ttl);
        if (cases[i].kept_s > 0) {
            uint64_t until = loop_now(l) + cases[i].kept_s * 1000;
            loop_advance_to(l, until - 1);
            uint64_t hits = counters[COUNTER_DNS_CACHE_HITS];
            cr_assert_eq(ask_once("x.example"), cases[i].record ? DNS_OK : cases[i].rcode ? DNS_NXDOMAIN : DNS_NODATA);
            cr_assert_eq(counters[COUNTER_DNS_CACHE_HITS], hits + 1);
            struct dns_answer *a = resolver_cached(r, STR("X.example"), DNS_A);
            cr_assert_not_null(a);
            dns_answer_unref(&a);
            loop_advance_to(l, until);
            cr_assert_null(resolver_cached(r, STR("x.example"), DNS_A));
        }
        cr_assert_eq(ask_once("x.example"), -1, "case %zu", i);
        cr_assert_eq(asked_count, 2);
        close_resolver();
    }
}

Test(resolver, c_failures_are_kept_a_few_seconds)
{
    open_resolver(1, usual);
    cr_assert_eq(ask_once("x.example"), -1);
    fail(0, DNS_TIMEOUT);
    cr_assert_eq(asked_count, 2, "the second round");
    fail(1, DNS_TIMEOUT);
    cr_assert_eq(asked_count, 2);
    cr_assert_eq(ask_once("x.example"), DNS_TIMEOUT);
    loop_advance_to(l, loop_now(l) + 999);
    cr_assert_eq(ask_once("x.example"), DNS_TIMEOUT);
    loop_advance_to(l, loop_now(l) + 5000);
    cr_assert_eq(ask_once("x.example"), -1);
    answer_rcode(2, 2, false, 60);
    cr_assert_eq(ask_once("x.example"), DNS_SERVFAIL);
    cr_assert_eq(asked_count, 3, "an answered failure is not asked again");
    loop_advance_to(l, loop_now(l) + 5000);
    cr_assert_eq(ask_once("x.example"), -1);
    asked[3].answered = true;
    asked[3].done(asked[3].context, DNS_OK, (const uint8_t *)"garbage", 7);
    cr_assert_null(resolver_cached(r, STR("x.example"), DNS_A), "what is unreadable is never kept");
    close_resolver();
}

Test(resolver, d_identical_questions_once)
{
    enum { N = 5 };
    struct waiter w[N];
    struct dns_view *v[N];
    open_resolver(1, usual);
    uint64_t shared = counters[COUNTER_DNS_SHARED];
    for (int i = 0; i < N; i++) {
        w[i] = (struct waiter){.task.run = woken};
        v[i] = dns_view_new(r, &w[i].task, NULL);
        cr_assert_null(dns_view_get(v[i], i % 2 ? STR("x.example") : STR("X.EXAMPLE"), DNS_A));
    }
    cr_assert_eq(asked_count, 1);
    cr_assert_eq(counters[COUNTER_DNS_SHARED], shared + N - 1);
    dns_view_free(&v[0]); /* first, last and one in the middle leave while it is on its way */
    dns_view_free(&v[2]);
    dns_view_free(&v[4]);
    answer(0, 0);
    loop_settle(l);
    for (int i = 0; i < N; i++) {
        cr_assert_eq(w[i].woken, i % 2 ? 1 : 0);
        if (v[i]) {
            cr_assert_eq(status_of(dns_view_get(v[i], STR("x.example"), DNS_A)), DNS_OK, "pinned, though its TTL is 0");
        }
        dns_view_free(&v[i]);
    }
    close_resolver();
}

Test(resolver, e_cap_queue_and_limit)
{
    struct resolver_settings s = usual;
    char name[32];
    struct dns_view *v[8];
    s.in_flight = 3;
    s.queue = 2;
    open_resolver(1, s);
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "n%d.example", i);
        v[i] = dns_view_new(r, NULL, NULL);
        cr_assert_eq(status_of(dns_view_get(v[i], str_of(name), DNS_A)), i < 5 ? -1 : DNS_LIMIT);
    }
    cr_assert_eq(asked_count, 3);
    cr_assert_eq(resolver_in_flight(r), 3);
    cr_assert_eq(status_of(dns_view_get(v[7], STR("n4.example"), DNS_A)), -1, "joins what is queued");
    answer(1, 60);
    cr_assert_eq(asked_count, 4);
    cr_assert_str_eq(asked[3].name, "n3.example", "first come, first served");
    fail(0, DNS_TIMEOUT); /* is asked again: still in flight */
    cr_assert_eq(asked_count, 5);
    cr_assert_str_eq(asked[4].name, "n0.example");
    cr_assert_eq(resolver_in_flight(r), 3);
    answer(4, 60);
    cr_assert_str_eq(asked[5].name, "n4.example");
    cr_assert_eq(status_of(dns_view_get(v[5], STR("n5.example"), DNS_A)), DNS_LIMIT, "a view sees the same again");
    cr_assert_eq(ask_once("n9.example"), -1, "there is room again");
    for (size_t i = 0; i < asked_count; i++) {
        if (!asked[i].answered) {
            answer(i, 60);
        }
    }
    cr_assert_eq(resolver_in_flight(r), 0);
    for (int i = 0; i < 8; i++) {
        dns_view_free(&v[i]);
    }
    close_resolver();
}

/* Which servers a question went to, as digits; the first `n` are failed with the status. */
static const char *servers_asked(const char *name, enum dns_status status)
{
    static char path[32];
    size_t first = asked_count, n = 0;
    cr_assert_eq(ask_once(name), -1);
    for (size_t i = first; i < asked_count; i++) {
        path[n++] = (char)('0' + asked[i].server);
        if (status != DNS_SERVFAIL) {
            fail(i, status);
        } else {
            answer_rcode(i, 2, false, 0);
        }
    }
    path[n] = 0;
    return path;
}

Test(resolver, f_failover_and_stickiness)
{
    open_resolver(3, usual);
    cr_assert_str_eq(servers_asked("all.refuse.example", DNS_SERVFAIL), "012");
    cr_assert_eq(ask_once("a.example"), -1);
    cr_assert_eq(asked[3].server, 0, "a server that answers SERVFAIL is not a bad one");
    fail(3, DNS_TIMEOUT);
    cr_assert_eq(asked[4].server, 1);
    answer(4, 60);
    cr_assert_eq(ask_once("b.example"), -1);
    cr_assert_eq(asked[5].server, 1, "the silent one is taken last");
    answer_rcode(5, 5, false, 0);
    cr_assert_eq(asked[6].server, 2);
    answer_rcode(6, 2, false, 0);
    cr_assert_eq(asked[7].server, 0);
    fail(7, DNS_TIMEOUT);
    cr_assert_eq(asked[8].server, 1, "somebody was silent: another round");
    answer(8, 60);
    cr_assert_eq(ask_once("b.example"), DNS_OK);
    loop_advance_to(l, loop_now(l) + 30000);
    cr_assert_eq(ask_once("c.example"), -1);
    cr_assert_eq(asked[9].server, 0, "after 30 s it has another chance");
    answer(9, 60);
    cr_assert_str_eq(servers_asked("silent.example", DNS_TIMEOUT), "012012");
    cr_assert_eq(ask_once("silent.example"), DNS_TIMEOUT);
    cr_assert_str_eq(servers_asked("unsent.example", DNS_SERVFAIL), "012");
    cr_assert_eq(ask_once("unsent.example"), DNS_SERVFAIL);
    close_resolver();
}

Test(resolver, g_an_answer_from_any_server_wins_over_failures)
{
    open_resolver(2, usual);
    cr_assert_eq(ask_once("x.example"), -1);
    fail(0, DNS_SERVFAIL); /* could not be sent */
    answer_rcode(1, 2, false, 0);
    fail(2, DNS_TIMEOUT); /* the second round begins with the one that spoke, here 1 */
    cr_assert_eq(asked[2].server, 1);
    fail(3, DNS_TIMEOUT);
    cr_assert_eq(ask_once("x.example"), DNS_SERVFAIL, "it was heard once: more than silence");
    close_resolver();
}

/* The transport had nothing to ask with: neither is the server taken last for it, nor is there another round, nor is anything kept. */
Test(resolver, h_what_was_not_asked)
{
    open_resolver(2, usual);
    uint64_t refused = counters[COUNTER_DNS_REFUSED], failed = counters[COUNTER_DNS_FAILURES];
    cr_assert_eq(ask_once("x.example"), -1);
    fail(0, DNS_LIMIT);
    cr_assert_eq(asked[1].server, 1);
    fail(1, DNS_LIMIT);
    cr_assert_eq(asked_count, 2, "no other round");
    cr_assert_eq(counters[COUNTER_DNS_REFUSED], refused + 1);
    cr_assert_eq(counters[COUNTER_DNS_FAILURES], failed);
    cr_assert_eq(ask_once("x.example"), -1, "nothing was kept");
    cr_assert_eq(asked[2].server, 0, "the first is not a bad one");
    answer(2, 60);
    cr_assert_eq(ask_once("x.example"), DNS_OK);
    close_resolver();
}

/* Question number i is answered with an alias and nothing else. */
static void answer_alias(size_t i, const char *alias, uint32_t ttl)
{
    struct dns_build b = {0};
    struct str name = str_of(asked[i].name);
    asked[i].answered = true;
    dns_build_begin(&b, name, asked[i].type, 0);
    cr_assert(dns_build_record(&b, name, DNS_CNAME, ttl, str_of(alias)));
    struct str m = dns_build_end(&b);
    asked[i].done(asked[i].context, DNS_OK, (const uint8_t *)m.p, m.n);
    buf_free(&b.out);
}

Test(resolver, i_an_alias_left_open_is_followed)
{
    open_resolver(2, usual);
    cr_assert_eq(ask_once("x.example"), -1);
    answer_alias(0, "Y.Example", 60);
    cr_assert_eq(asked_count, 2);
    cr_assert_str_eq(asked[1].name, "y.example");
    fail(1, DNS_TIMEOUT); /* the other server is asked for the alias, too */
    cr_assert_eq(asked_count, 3);
    cr_assert_neq(asked[2].server, asked[1].server);
    answer_alias(2, "z\\058.example", 600);
    cr_assert_str_eq(asked[3].name, "z:.example");
    cr_assert_eq(resolver_in_flight(r), 1);
    answer(3, 300);
    cr_assert_eq(resolver_in_flight(r), 0);
    struct dns_answer *a = resolver_cached(r, STR("x.example"), DNS_A);
    cr_assert_eq(status_of(a), DNS_OK);
    cr_assert_eq(a->count, 1);
    cr_assert_eq(a->ttl, 60, "the smallest of the chain");
    dns_answer_unref(&a);
    cr_assert_eq(ask_once("y.example"), -1, "only what was asked for is kept");
    answer_rcode(4, 3, false, 60);
    close_resolver();

    open_resolver(1, usual); /* what is not there at the end */
    cr_assert_eq(ask_once("x.example"), -1);
    answer_alias(0, "y.example", 60);
    answer_rcode(1, 3, false, 600);
    cr_assert_eq(ask_once("x.example"), DNS_NXDOMAIN);
    close_resolver();

    open_resolver(1, usual); /* in a circle */
    cr_assert_eq(ask_once("x.example"), -1);
    size_t i = 0;
    for (; i < asked_count; i++) {
        cr_assert_lt(i, 10);
        answer_alias(i, i % 2 ? "x.example" : "y.example", 60);
    }
    cr_assert_eq(i, 9);
    cr_assert_eq(resolver_in_flight(r), 0);
    cr_assert_eq(ask_once("x.example"), -1, "an answer that makes no sense is not kept");
    fail(asked_count - 1, DNS_TIMEOUT);
    fail(asked_count - 1, DNS_TIMEOUT);
    close_resolver();
}

Test(resolver, j_the_cache_is_bounded_and_forgets_the_oldest)
{
    struct resolver_settings s = usual;
    char name[32];
    s.cache_bytes = 20000;
    open_resolver(1, s);
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "n%d.example", i);
        cr_assert_eq(ask_once(name), -1);
        answer((size_t)i, 600);
        cr_assert_eq(ask_once("n0.example"), DNS_OK, "what is used stays");
    }
    int kept = 0;
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "n%d.example", i);
        struct dns_answer *a = resolver_cached(r, str_of(name), DNS_A);
        cr_assert(kept == 0 || i == 0 || a || kept == 1, "the newest are kept: %d", i);
        kept += a != NULL;
        dns_answer_unref(&a);
    }
    cr_assert_gt(kept, 10);
    cr_assert_lt(kept, 100);
    close_resolver();
    s.cache_bytes = 0; /* none at all */
    open_resolver(1, s);
    cr_assert_eq(ask_once("x.example"), -1);
    answer(0, 600);
    cr_assert_eq(ask_once("x.example"), -1);
    close_resolver();
}

/* --- a resolver that answers nothing --- */

static unsigned fails_said, answers_said;
static struct buf said_last;

static void listen_to_log(void *context, enum log_level level, struct str line)
{
    (void)context;
    (void)level;
    bool fails = memmem(line.p, line.n, "dns-fails", 9) != NULL;
    fails_said += fails;
    answers_said += memmem(line.p, line.n, "dns-answers", 11) != NULL;
    if (fails) {
        buf_clear(&said_last);
        buf_str(&said_last, line);
    }
}

static void ask_and_fail(unsigned n)
{
    char name[32];
    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof name, "n%zu.example", asked_count);
        cr_assert_eq(ask_once(name), -1);
        answer_rcode(asked_count - 1, 2, false, 60);
    }
    log_flush();
}

static void ask_and_hear(void)
{
    char name[32];
    snprintf(name, sizeof name, "n%zu.example", asked_count);
    cr_assert_eq(ask_once(name), -1);
    answer_rcode(asked_count - 1, 3, false, 60);
    log_flush();
}

Test(resolver, z_trouble_is_said_once_a_minute)
{
    open_resolver(1, usual);
    log_set_sink(listen_to_log, NULL);
    ask_and_fail(9);
    cr_expect_eq(fails_said, 0, "dead zones");
    ask_and_hear();
    ask_and_fail(9);
    cr_expect_eq(fails_said, 0, "an answer in between, though there is no such name");
    ask_and_fail(1);
    cr_expect_eq(fails_said, 1);
    cr_expect(memmem(said_last.p, said_last.n, "the last 10 questions to DNS had no answer (servfail)", 53), "%.*s", STR_ARG(buf_view(&said_last)));
    ask_and_fail(5);
    loop_advance_to(l, loop_now(l) + 59999);
    ask_and_fail(1);
    cr_expect_eq(fails_said, 1);
    loop_advance_to(l, loop_now(l) + 1);
    ask_and_fail(1);
    cr_expect_eq(fails_said, 2);
    cr_expect_eq(answers_said, 0);
    ask_and_hear();
    ask_and_hear();
    cr_expect_eq(answers_said, 1, "once");
    ask_and_fail(9);
    cr_expect_eq(fails_said, 2, "counted anew");
    log_set_sink(NULL, NULL);
    buf_free(&said_last);
    close_resolver();
}
