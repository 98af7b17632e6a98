/*
 * Health of lists: the three kinds of wrong answers, no answer, recovery, intervals, families, a policy loaded anew.
 */
#include "world.h"

#define LISTED "2.0.0.127.zen.test"
#define UNLISTED "1.0.0.127.zen.test"

static const struct {
    const char *listed, *unlisted;
    const char *why; /* NULL: does not rest */
} cases[] = {
    {"127.0.0.2", "nxdomain", NULL},
    {"127.0.0.2|127.0.0.4|127.0.0.10", "nodata", NULL},
    {"127.0.0.2", "127.0.0.2", "everything"},
    {"timeout", "127.0.0.2", "everything"},
    {"nxdomain", "nxdomain", "nothing"},
    {"nodata", "timeout", "nothing"},
    {"127.255.255.254", "127.255.255.254", "error codes"},
    {"127.255.255.254", "nxdomain", "error codes"},
    {"127.0.0.2", "192.0.2.1", "error codes"},
    {"192.0.2.1", "192.0.2.1", "error codes"},
    {"timeout", "timeout", NULL},
    {"servfail", "nxdomain", NULL},
    {"127.0.0.2", "servfail", NULL},
    {"garbage", "garbage", NULL},
};

static void begin(struct world *w, const char *policy)
{
    world_open(w, policy);
    w->evidence.health = list_health_new(w->loop, w->resolver);
    list_health_watch(w->evidence.health, w->policy, NULL);
}

static void later(struct world *w, uint64_t ms)
{
    loop_advance_to(w->loop, loop_now(w->loop) + ms);
}

Test(health, outcomes)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world w;
        uint64_t rested = counters[COUNTER_DNSBL_RESTED];
        begin(&w, "dnsbl zen \"zen.test\"\nstage connect\n");
        answers(&w, LISTED, DNS_A, cases[i].listed);
        answers(&w, UNLISTED, DNS_A, cases[i].unlisted);
        cr_assert(!list_rests(w.evidence.health, STR("zen.test")), "until it is known better");
        later(&w, 100);
        const char *why = list_rests_why(w.evidence.health, STR("zen.test"));
        cr_assert_eq(why != NULL, cases[i].why != NULL, "%s, %s: %s", cases[i].listed, cases[i].unlisted, why ? why : "does not rest");
        cr_assert_eq(list_rests(w.evidence.health, STR("zen.test")), why != NULL);
        cr_assert(!why || strstr(why, cases[i].why), "%s, %s: %s", cases[i].listed, cases[i].unlisted, why ? why : "");
        cr_assert_eq(counters[COUNTER_DNSBL_RESTED] - rested, why != NULL);
        cr_assert_eq(w.log.n > 0, why != NULL);
        cr_assert(!list_rests(w.evidence.health, STR("other.test")));
        struct scope *s = world_connect(&w, "203.0.113.9");
        if (!why)
            answers(&w, "9.113.0.203.zen.test", DNS_A, "127.0.0.2");
        world_run(&w, s, CHECK_DNSBL, 0);
        world_run(&w, s, CHECK_DNSBL_LISTED, 0);
        cr_assert_eq(facts_get(&s->facts, fact_of(s, "dnsbl.zen"))->state, why ? FACT_ERROR : FACT_KNOWN);
        cr_assert_eq(facts_get(&s->facts, FACT_DNSBL_LISTED)->state, why ? FACT_ERROR : FACT_KNOWN);
        scope_unref(&s);
        world_close(&w);
    }
    cr_assert(!list_rests(NULL, STR("zen.test")));
}

Test(health, rests_and_comes_back)
{
    struct world w;
    begin(&w, "dnsbl zen \"zen.test\"\nstage connect\n");
    answers(&w, LISTED, DNS_A, "127.0.0.2");
    answers(&w, UNLISTED, DNS_A, "nxdomain");
    later(&w, 1000);
    cr_assert_eq(w.asked, 2);
    later(&w, 3500 * 1000);
    cr_assert_eq(w.asked, 2, "not before an hour");
    answers(&w, LISTED, DNS_A, "nxdomain");
    later(&w, 100 * 1000);
    cr_assert_eq(w.asked, 4);
    cr_assert(list_rests(w.evidence.health, STR("zen.test")));
    answers(&w, LISTED, DNS_A, "timeout");
    later(&w, 600 * 1000);
    cr_assert_eq(w.asked, 6, "every ten minutes while it rests");
    cr_assert(list_rests(w.evidence.health, STR("zen.test")), "no answer changes nothing");
    answers(&w, LISTED, DNS_A, "127.0.0.2");
    later(&w, 600 * 1000);
    cr_assert(!list_rests(w.evidence.health, STR("zen.test")));
    buf_char(&w.log, 0);
    cr_assert_not_null(strstr(w.log.p, "list-rests"));
    cr_assert_not_null(strstr(w.log.p, "list-used-again"));
    unsigned asked = w.asked;
    later(&w, 3000 * 1000);
    cr_assert_eq(w.asked, asked, "every hour again");
    world_close(&w);
}

Test(health, test_points_of_ipv6_lists)
{
    struct world w;
    begin(&w, "dnsbl six \"six.test\" ipv6\nstage connect\n");
    answers(&w, "2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.six.test", DNS_A, "127.0.0.2");
    answers(&w, "1.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.six.test", DNS_A, "nxdomain");
    later(&w, 100);
    cr_assert_eq(w.asked, 2);
    cr_assert(!list_rests(w.evidence.health, STR("six.test")));
    world_close(&w);
}

Test(health, no_probe)
{
    struct world w;
    begin(&w, "dnsbl zen \"zen.test\" no-probe\nstage connect\n");
    later(&w, 4000 * 1000);
    cr_assert_eq(w.asked, 0);
    world_close(&w);
}

Test(health, another_policy)
{
    struct world w;
    begin(&w, "dnsbl zen \"zen.test\"\ndnsbl gone \"gone.test\"\nstage connect\n");
    answers(&w, LISTED, DNS_A, "nxdomain");
    answers(&w, UNLISTED, DNS_A, "nxdomain");
    answers(&w, "2.0.0.127.gone.test", DNS_A, "nxdomain");
    answers(&w, "1.0.0.127.gone.test", DNS_A, "never");
    later(&w, 100);
    cr_assert(list_rests(w.evidence.health, STR("zen.test")));
    struct policy *next = policy_of("dnsbl zen \"zen.test\"\ndnsbl fresh \"fresh.test\"\nstage connect\n");
    answers(&w, "2.0.0.127.fresh.test", DNS_A, "127.0.0.2");
    answers(&w, "1.0.0.127.fresh.test", DNS_A, "127.0.0.2");
    unsigned asked = w.asked;
    list_health_watch(w.evidence.health, next, NULL);
    cr_assert(list_rests(w.evidence.health, STR("zen.test")), "what is known of a list stays");
    later(&w, 100);
    cr_assert_eq(w.asked, asked + 2, "only the new one is probed at once");
    cr_assert(list_rests(w.evidence.health, STR("fresh.test")));
    cr_assert(!list_rests(w.evidence.health, STR("gone.test")));
    policy_unref(&next);
    world_close(&w);
}

/* A process that has just begun: the client and the test points are asked for side by side, and the list is believed when both are known; a probe without
 * an answer holds it up until the given time at most. */
Test(health, awaited)
{
    static const struct {
        const char *listed;
        uint64_t probe_ms, until_ms, took_ms;
        const char *fact;
    } rows[] = {
        {"127.0.0.2", 300, 1000, 300, "127.0.0.2"},
        {"nxdomain", 300, 1000, 300, "(error: the list rests*"},
        {"127.0.0.2", 10, 1000, 50, "127.0.0.2"}, /* the client's answer is the later one */
        {"never", 0, 5000, 5000, "127.0.0.2"},    /* the list's deadline */
        {"nxdomain", 300, 0, 50, "127.0.0.2"},    /* not awaited: believed until it is known better */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct world w;
        begin(&w, "dnsbl zen \"zen.test\"\nstage connect\n");
        if (rows[i].until_ms)
            list_health_await(w.evidence.health, loop_now(w.loop) + rows[i].until_ms);
        answers_after(&w, LISTED, DNS_A, rows[i].listed, rows[i].probe_ms);
        answers(&w, UNLISTED, DNS_A, "nxdomain");
        answers_after(&w, "9.113.0.203.zen.test", DNS_A, "127.0.0.2", 50);
        struct scope *s = world_connect(&w, "203.0.113.9");
        uint64_t took = world_run(&w, s, CHECK_DNSBL, 0);
        cr_assert_eq(took, rows[i].took_ms, "case %zu: %llu ms", i, (unsigned long long)took);
        cr_assert_eq(list_is_awaited(w.evidence.health, STR("zen.test")), false);
        expect(s, "dnsbl.zen", rows[i].fact);
        scope_unref(&s);
        world_close(&w);
    }
    cr_assert(!list_is_awaited(NULL, STR("zen.test")));
}

Test(health, freed_while_probing)
{
    struct world w;
    begin(&w, "dnsbl zen \"zen.test\"\nstage connect\n");
    answers_after(&w, LISTED, DNS_A, "127.0.0.2", 500);
    answers(&w, UNLISTED, DNS_A, "nxdomain");
    later(&w, 100);
    list_health_free(&w.evidence.health);
    later(&w, 1000);
    world_close(&w);
}
