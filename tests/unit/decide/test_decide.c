/*
 * test_decide.c - needs, waiting, deadlines: what is asked, when a stage is decided, and that the order of answers changes
 * nothing.
 */
#include "world.h"

#define ZEN "9.113.0.203.zen.test"
#define ALPHA "9.113.0.203.alpha.test"
#define BETA "9.113.0.203.beta.test"
#define CLIENT "203.0.113.9"

static const char three_lists[] =
    "dnsbl zen \"zen.test\" no-probe\n"
    "dnsbl alpha \"alpha.test\" no-probe\n"
    "dnsbl beta \"beta.test\" no-probe\n";

static char *with_lists(const char *rules)
{
    struct buf b = {0};
    buf_cstr(&b, three_lists);
    buf_cstr(&b, rules);
    return buf_steal(&b);
}

static void start(struct world *w, const char *rules, const struct dns_row *rows)
{
    char *text = with_lists(rules);
    world_init(w, text, rows);
    free(text);
}

static const char *said(struct world *w, enum stage stage, const struct walk *walk)
{
    return arena_cstr(&w->arena, walk_summary(w->policy, stage, walk, &w->arena));
}

/* --- what is asked --- */

Test(decide, a_only_what_rules_read_is_asked)
{
    static const struct { const char *rules; const char *asked[3], *not_asked[6]; } cases[] = {
        {"stage connect\n  rule r: reject when dnsbl.zen in 127.0.0.2\n", {"zen.test"}, {"alpha.test", "beta.test", "in-addr.arpa"}},
        {"stage connect\n  rule r: reject when fcrdns = none\n", {"in-addr.arpa"}, {"zen.test", "alpha.test", "beta.test"}},
        /* a later stage's rule is enough, and so is a monitor rule or a text */
        {"stage rcpt\n  rule r: reject when dnsbl.alpha in 127.0.0.2\n", {"alpha.test"}, {"zen.test", "beta.test", "in-addr.arpa"}},
        {"stage data\n  rule r monitor: reject when dnsbl.beta in 127.0.0.2\n", {"beta.test"}, {"zen.test", "alpha.test"}},
        {"stage rcpt\n  rule r: reject \"you are {client.name}\" when rcpt.local = u\n", {"in-addr.arpa"}, {"zen.test"}},
        {"stage connect\n  rule r: reject when client.ip in 192.0.2.1\n", {NULL}, {"test", "arpa"}},
        {"stage rcpt\n  rule r: reject when dnsbl.listed is known\n", {"zen.test", "alpha.test", "beta.test"}, {"arpa"}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct world w;
        start(&w, cases[i].rules, NULL);
        decide_open(world_connect(&w, CLIENT));
        loop_settle(w.loop);
        for (size_t n = 0; n < 3 && cases[i].asked[n]; n++)
            cr_expect(world_asked(&w, cases[i].asked[n]), "case %zu: %s was not asked", i, cases[i].asked[n]);
        for (size_t n = 0; n < 6 && cases[i].not_asked[n]; n++)
            cr_expect(!world_asked(&w, cases[i].not_asked[n]), "case %zu: %s was asked", i, cases[i].not_asked[n]);
        world_clear(&w);
    }
}

Test(decide, b_each_scope_starts_its_own_checks)
{
    struct world w;
    start(&w, "stage data\n  rule r: reject when helo.dns = none and mail.dns = none and mail.null\n", NULL);
    decide_open(world_connect(&w, CLIENT));
    loop_settle(w.loop);
    cr_expect_eq(w.dns.asked, 0);
    decide_open(world_helo(&w, "client.example"));
    loop_settle(w.loop);
    cr_expect(world_asked(&w, "client.example"));
    size_t before = w.dns.asked;
    decide_open(world_mail(&w, "<a@sender.example>"));
    loop_settle(w.loop);
    cr_expect(w.dns.asked > before && world_asked(&w, "sender.example"));
    world_clear(&w);
}

Test(decide, c_open_all_asks_everything_of_its_scope)
{
    struct world w;
    start(&w, "stage connect\n  rule r: reject when client.ip in 192.0.2.1\n", NULL);
    struct scope *s = world_connect(&w, CLIENT);
    decide_open_all(s);
    loop_settle(w.loop);
    cr_expect(world_asked(&w, "zen.test") && world_asked(&w, "alpha.test") && world_asked(&w, "beta.test") && world_asked(&w, "in-addr.arpa"));
    while (!decide_gather(s))
        cr_assert(loop_turn(w.loop, true));
    cr_expect(facts_has(&s->facts, FACT_FCRDNS) && facts_has(&s->facts, FACT_DNSBL_LISTED) && facts_has(&s->facts, FACT_CLIENT_IP));
    cr_expect_eq(decide_next_deadline(s), UINT64_MAX);
    decide_open_all(s);
    cr_expect(decide_gather(s), "opening again starts nothing new");
    world_clear(&w);
}

Test(decide, d_an_assumed_fact_is_not_asked_for)
{
    struct world w;
    struct walk walk;
    start(&w, "stage connect\n  rule r: reject when fcrdns = none\n", NULL);
    struct scope *s = world_connect(&w, CLIENT);
    struct value none = {.state = FACT_KNOWN, .type = FACT_WORD, .v.text = STR("none")};
    facts_set_value(&s->facts, FACT_FCRDNS, &none);
    decide_open(s);
    cr_expect_eq(decide_stage(s, &(struct decide_input){0}, &walk), DECIDE_DONE);
    cr_expect_str_eq(said(&w, STAGE_CONNECT, &walk), "reject by r");
    cr_expect_eq(w.dns.asked, 0);
    world_clear(&w);
}

/* --- waiting --- */

Test(decide, e_not_yet_then_done)
{
    static const struct dns_row rows[] = {{ZEN, DNS_A, "127.0.0.2", 300}, {0}};
    struct world w;
    struct walk walk;
    struct decide_input in = {0};
    start(&w, "stage connect\n  rule r: reject when dnsbl.zen in 127.0.0.2\n", rows);
    struct scope *s = world_connect(&w, CLIENT);
    decide_open(s);
    cr_expect_eq(decide_stage(s, &in, &walk), DECIDE_NOT_YET);
    cr_expect(!walk.done && walk.stopped_at == 0);
    cr_expect(fact_bit(&walk.wanted, schema_find(policy_schema(w.policy), STR("dnsbl.zen"))));
    cr_expect_eq(decide_next_deadline(s), loop_now(w.loop) + w.settings.dnsbl_deadline);
    cr_expect_eq(decide_stage(s, &in, &walk), DECIDE_NOT_YET, "nothing came, nothing changed");
    cr_expect_eq(w.dns.asked, 1, "asked once");
    cr_expect_eq(world_decide(&w, s, &in, &walk), 300);
    cr_expect_str_eq(said(&w, STAGE_CONNECT, &walk), "reject by r");
    cr_expect_eq(walk.code, 550);
    cr_expect_eq(decide_next_deadline(s), UINT64_MAX);
    world_clear(&w);
}

/* What decides must not wait for what does not matter any more. */
Test(decide, f_decided_before_everything_is_known)
{
    static const struct dns_row rows[] = {{ZEN, DNS_A, "never", 0}, {ALPHA, DNS_A, "never", 0}, {0}};
    static const struct { const char *rules, *said; } cases[] = {
        {"stage connect\n  rule ok: accept when client.ip in 203.0.113.0/24\n  rule r: reject when dnsbl.zen in 127.0.0.2\n", "accept by ok"},
        {"stage connect\n  rule r: reject when dnsbl.zen in 127.0.0.2 and client.ip in 192.0.2.1\n", "none"},
        {"stage connect\n  rule r: reject when dnsbl.zen in 127.0.0.2 or client.ip in 203.0.113.9\n", "reject by r"},
        {"stage connect\n  rule m monitor: reject when dnsbl.zen in 127.0.0.2\n", "none"},
        {"stage rcpt\n  rule r: reject when dnsbl.zen in 127.0.0.2\n", "none"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct world w;
        struct walk walk;
        start(&w, cases[i].rules, rows);
        struct scope *s = world_connect(&w, CLIENT);
        decide_open(s);
        cr_expect_eq(decide_stage(s, &(struct decide_input){0}, &walk), DECIDE_DONE, "case %zu", i);
        cr_expect_str_eq(said(&w, STAGE_CONNECT, &walk), cases[i].said, "case %zu: %s", i, said(&w, STAGE_CONNECT, &walk));
        world_clear(&w);
    }
}

Test(decide, g_deadlines_in_virtual_time)
{
    static const struct dns_row rows[] = {{ZEN, DNS_A, "never", 0}, {"9.113.0.203.in-addr.arpa", DNS_PTR, "never", 0},
                                          {"client.example", DNS_A, "never", 0}, {0}};
    static const struct { const char *rules; enum stage stage; uint64_t ms; } cases[] = {
        {"stage connect\n  rule r: score 1 when dnsbl.zen is error\n", STAGE_CONNECT, 5000},
        {"stage connect\n  rule r: score 1 when fcrdns is error\n", STAGE_CONNECT, 10000},
        {"stage connect\n  rule r: score 1 when fcrdns is error and dnsbl.zen is error\n", STAGE_CONNECT, 10000},
        {"stage helo\n  rule r: score 1 when helo.dns is error\n", STAGE_HELO, 10000},
        /* trouble refuses nothing by accident */
        {"stage connect\n  rule bad: reject when dnsbl.zen in 127.0.0.2\n  rule worse: reject when not dnsbl.zen in 127.0.0.2\n"
         "  rule r: score 1 when dnsbl.zen is error\n", STAGE_CONNECT, 5000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct world w;
        struct walk walk;
        start(&w, cases[i].rules, rows);
        struct scope *s = world_connect(&w, CLIENT);
        decide_open(s);
        if (cases[i].stage == STAGE_HELO) {
            s = world_helo(&w, "client.example");
            decide_open(s);
        }
        cr_expect_eq(world_decide(&w, s, &(struct decide_input){0}, &walk), cases[i].ms, "case %zu", i);
        cr_expect_eq(walk.score, 1, "case %zu", i);
        cr_expect_eq(walk.action, ACTION_NONE, "case %zu", i);
        world_clear(&w);
    }
}

Test(decide, h_expire_closes_what_is_open)
{
    static const struct dns_row rows[] = {{ZEN, DNS_A, "never", 0}, {"client.example", DNS_A, "never", 0}, {"client.example", DNS_AAAA, "never", 0}, {0}};
    struct world w;
    struct walk walk;
    start(&w, "stage helo\n  rule r: reject when dnsbl.zen is error and helo.dns is error\n", rows);
    decide_open(world_connect(&w, CLIENT));
    struct scope *s = world_helo(&w, "client.example");
    decide_open(s);
    cr_expect_eq(decide_stage(s, &(struct decide_input){0}, &walk), DECIDE_NOT_YET);
    decide_expire(s);
    cr_expect(decide_gather(s));
    cr_expect_eq(decide_next_deadline(s), UINT64_MAX);
    cr_expect_eq(decide_stage(s, &(struct decide_input){0}, &walk), DECIDE_DONE);
    cr_expect_str_eq(said(&w, STAGE_HELO, &walk), "reject by r");
    world_clear(&w);
}

/* All answers, in every order of arrival: one verdict, one trace. */
Test(decide, i_order_of_answers_changes_nothing)
{
    static const uint64_t orders[][3] = {{1, 2, 3}, {1, 3, 2}, {2, 1, 3}, {2, 3, 1}, {3, 1, 2}, {3, 2, 1}, {1, 1, 1}};
    static const char *const answers[][3] = {
        {"127.0.0.2", "127.0.0.4", NULL}, {NULL, NULL, NULL}, {"127.0.0.2", "servfail", "127.0.0.3"}, {"servfail", "servfail", "servfail"},
        {NULL, "127.0.0.4", "servfail"}, {"127.255.255.254", NULL, "127.0.0.2"}};
    static const char rules[] =
        "stage connect\n"
        "  rule a: score 3 when dnsbl.zen in 127.0.0.2\n"
        "  rule b: score 2 when dnsbl.alpha in 127.0.0.4 or dnsbl.beta is error\n"
        "  rule c: tag \"odd\" when not dnsbl.beta in 127.0.0.0/8 and dnsbl.alpha is known\n"
        "  rule d: reject \"listed by {dnsbl.listed}\" when score >= 5\n"
        "  rule e: tempfail when dnsbl.listed is error and dnsbl.zen is error\n";
    for (size_t a = 0; a < sizeof(answers) / sizeof(*answers); a++) {
        struct buf first = {0};
        for (size_t o = 0; o < sizeof(orders) / sizeof(*orders); o++) {
            struct dns_row rows[] = {{ZEN, DNS_A, answers[a][0], 100 * orders[o][0]}, {ALPHA, DNS_A, answers[a][1], 100 * orders[o][1]},
                                     {BETA, DNS_A, answers[a][2], 100 * orders[o][2]}, {0}};
            struct world w;
            struct walk walk;
            struct buf text = {0};
            start(&w, rules, rows);
            struct scope *s = world_connect(&w, CLIENT);
            decide_open(s);
            world_decide(&w, s, &(struct decide_input){.with_trace = true}, &walk);
            buf_cstr(&text, said(&w, STAGE_CONNECT, &walk));
            buf_char(&text, '\n');
            trace_text(w.policy, STAGE_CONNECT, &walk, &text);
            if (!first.n)
                buf_str(&first, buf_view(&text));
            cr_expect(str_eq(buf_view(&first), buf_view(&text)), "answers %zu, order %zu:\n%.*s\nbut first:\n%.*s", a, o,
                      STR_ARG(buf_view(&text)), STR_ARG(buf_view(&first)));
            buf_free(&text);
            world_clear(&w);
        }
        buf_free(&first);
    }
}

Test(decide, j_a_snapshot_nobody_wrote_is_an_error_not_a_wait)
{
    struct world w;
    struct walk walk;
    start(&w, "stage connect\n  rule r: reject when tls or manners.errors > 3\n  rule s: score 1 when tls is error and manners.errors is error\n", NULL);
    struct subject subject = {.client.addr.family = 4};
    struct scope *s = w.scopes[STAGE_CONNECT] = world_scope(&w, STAGE_CONNECT, NULL, &subject);
    decide_open(s);
    cr_expect_eq(decide_stage(s, &(struct decide_input){0}, &walk), DECIDE_DONE);
    cr_expect_eq(walk.score, 1);
    cr_expect(str_eq(facts_get(&s->facts, FACT_TLS)->v.text, STR("not gathered")));
    world_clear(&w);
}

Test(decide, k_holds_the_reply)
{
    static const struct dns_row rows[] = {{ZEN, DNS_A, "never", 0}, {0}};
    static const struct { const char *rules; bool holds; } cases[] = {
        {"stage connect\n  rule r: reject now when dnsbl.zen in 127.0.0.2\n", true},
        {"stage connect\n  rule r: tarpit 5s when dnsbl.zen in 127.0.0.2\n", true},
        {"stage connect\n  rule r: reject when dnsbl.zen in 127.0.0.2\n", false},
        {"stage connect\n  rule r: reject when dnsbl.zen in 127.0.0.2\n  rule s: tempfail now when dnsbl.zen in 127.0.0.3\n", true},
        /* what could have spoken did not, and what waits cannot */
        {"stage connect\n  rule r: reject now when client.ip in 192.0.2.1\n  rule s: reject when dnsbl.zen in 127.0.0.2\n", false},
        {"stage connect\n  rule r monitor: reject now when dnsbl.zen in 127.0.0.2\n  rule s: reject when dnsbl.zen in 127.0.0.2\n", false},
        {"stage connect\n  rule r: reject now when client.ip in 203.0.113.9\n", false}, /* decided */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct world w;
        struct walk walk;
        start(&w, cases[i].rules, rows);
        struct scope *s = world_connect(&w, CLIENT);
        decide_open(s);
        decide_stage(s, &(struct decide_input){0}, &walk);
        cr_expect_eq(decide_holds_reply(w.policy, STAGE_CONNECT, &walk), cases[i].holds, "case %zu", i);
        world_clear(&w);
    }
}

Test(decide, l_scores_of_earlier_stages_count)
{
    struct world w;
    struct stage_verdict v[STAGE_COUNT] = {0};
    start(&w, "stage connect\n  rule c: score 3 when client.ip is known\n"
              "stage helo\n  rule h: score -20 when helo.name = good.example\n"
              "stage mail\n  rule m: score 2 when mail.null\n"
              "stage rcpt\n  rule r: reject \"score {score}\" when score >= 5\n", NULL);
    decide_open(world_connect(&w, CLIENT));
    decide_stage(w.scopes[STAGE_CONNECT], &(struct decide_input){0}, &v[STAGE_CONNECT].walk);
    v[STAGE_CONNECT].present = true;
    decide_open(world_helo(&w, "client.example"));
    decide_open(world_mail(&w, "<>"));
    decide_stage(w.scopes[STAGE_MAIL], &(struct decide_input){.score = ruling_score(v, STAGE_MAIL)}, &v[STAGE_MAIL].walk);
    v[STAGE_MAIL].present = true;
    cr_expect_eq(ruling_score(v, STAGE_RCPT), 5);
    struct scope *to = world_rcpt(&w, "<u@our.test>");
    decide_open(to);
    struct walk walk;
    cr_expect_eq(decide_stage(to, &(struct decide_input){.score = ruling_score(v, STAGE_RCPT)}, &walk), DECIDE_DONE);
    cr_expect_str_eq(said(&w, STAGE_RCPT, &walk), "reject by r");
    cr_expect(str_eq(walk.text, STR("score 5")), "%.*s", STR_ARG(walk.text));
    struct walk without;
    struct scope *other = world_rcpt(&w, "<v@our.test>");
    decide_open(other);
    decide_stage(other, &(struct decide_input){.score = 4}, &without);
    cr_expect_eq(without.action, ACTION_NONE);
    scope_unref(&to);
    scope_unref(&other);
    world_clear(&w);
}

/* One limit for what negative scores give in all stages together. */
Test(decide, m_negative_scores_have_one_limit)
{
    struct world w;
    struct stage_verdict v[STAGE_COUNT] = {0};
    start(&w, "stage connect\n  rule c: score -8 when client.ip is known\n"
              "stage helo\n  rule h: score 5 when helo.name is known\n  rule i: score -8 when helo.name is known\n", NULL);
    struct scope *s = world_connect(&w, CLIENT);
    decide_open(s);
    decide_stage(s, &(struct decide_input){0}, &v[STAGE_CONNECT].walk);
    v[STAGE_CONNECT].present = true;
    s = world_helo(&w, "client.example");
    decide_open(s);
    struct decide_input in = {.score = ruling_score(v, STAGE_HELO), .negative = ruling_negative(v, STAGE_HELO)};
    decide_stage(s, &in, &v[STAGE_HELO].walk);
    v[STAGE_HELO].present = true;
    cr_expect_eq(w.settings.negative_score_limit, 10);
    cr_expect_eq(ruling_negative(v, STAGE_HELO), -8);
    cr_expect_eq(ruling_negative(v, STAGE_DATA), -10);
    cr_expect_eq(ruling_score(v, STAGE_DATA), -5, "%lld", (long long)ruling_score(v, STAGE_DATA));
    world_clear(&w);
}

/* --- rates: snapshots of the moment in which a rule asks --- */

static void count_recipients(struct world *w, struct scope *s, uint64_t amount)
{
    rate_count(s, policy_rate(w->policy, RATE_RECIPIENTS, 0), amount);
}

static const char *rate_seen(struct world *w, struct scope *s)
{
    struct buf text = {0};
    value_format(&text, facts_get(&s->facts, schema_find(policy_schema(w->policy), STR("rate.r"))));
    const char *seen = arena_cstr(&w->arena, buf_view(&text));
    buf_free(&text);
    return seen;
}

#define RATE "rate r recipients by client.net over 1h\n"

Test(decide, n_a_rate_is_asked_for_when_a_rule_comes_to_it)
{
    struct world w;
    struct walk walk;
    world_init(&w, RATE "stage connect\n  rule friend: accept when client.ip in 192.0.2.1\n  rule many: reject \"{rate.r}\" when rate.r >= 3\n"
                        "stage helo\n  rule more: score 1 when rate.r >= 5\n", NULL);
    struct scope *s = world_connect(&w, "192.0.2.1");
    decide_open(s);
    cr_expect(facts_has(&s->facts, FACT_CLIENT_NET), "what it is counted by is known before anybody counts");
    cr_expect_eq(world_decide(&w, s, &(struct decide_input){0}, &walk), 0);
    cr_expect_str_eq(said(&w, STAGE_CONNECT, &walk), "accept by friend");
    cr_expect_str_eq(rate_seen(&w, s), "(unknown)");
    cr_expect(decide_gather(s));
    scope_unref(&w.scopes[STAGE_CONNECT]);

    s = world_connect(&w, CLIENT);
    decide_open(s);
    loop_settle(w.loop);
    count_recipients(&w, s, 4); /* after the scope was opened, before the stage is decided */
    cr_expect_eq(world_decide(&w, s, &(struct decide_input){0}, &walk), 0);
    cr_expect_str_eq(said(&w, STAGE_CONNECT, &walk), "reject by many");
    cr_expect(str_eq(walk.text, STR("4")));
    count_recipients(&w, s, 1);
    struct scope *helo = world_helo(&w, "client.example");
    decide_open(helo);
    world_decide(&w, helo, &(struct decide_input){0}, &walk);
    cr_expect_eq(walk.score, 1);
    cr_expect_str_eq(rate_seen(&w, helo), "5");
    cr_expect_str_eq(rate_seen(&w, s), "4");
    world_clear(&w);
}

/* A monitor rule alone: the verdict is there at once, the rate comes behind it; in a stage whose rules do not ask, nothing. */
Test(decide, o_a_rate_for_monitor_rules_holds_nothing_up)
{
    struct world w;
    struct walk walk;
    world_init(&w, RATE "stage connect\n  rule watch monitor: reject when rate.r >= 3\n", NULL);
    struct scope *s = world_connect(&w, CLIENT);
    decide_open(s);
    count_recipients(&w, s, 3);
    cr_expect_eq(decide_stage(s, &(struct decide_input){0}, &walk), DECIDE_DONE);
    cr_expect_eq(walk.action, ACTION_NONE);
    cr_expect_str_eq(rate_seen(&w, s), "(unknown)");
    cr_expect_not(decide_gather(s), "it is on its way");
    loop_settle(w.loop);
    cr_expect(decide_gather(s));
    cr_expect_str_eq(rate_seen(&w, s), "3");
    struct scope *helo = world_helo(&w, "client.example");
    decide_open(helo);
    world_decide(&w, helo, &(struct decide_input){0}, &walk);
    cr_expect_str_eq(rate_seen(&w, helo), "(unknown)");
    world_clear(&w);
}

Test(decide, p_explain_gathers_a_rate_in_every_stage_that_can_read_it)
{
    struct world w;
    world_init(&w, "rate r messages by mail.domain over 1h\nstage data\n  rule d: tag x when rate.r >= 1\n", NULL);
    struct scope *s = world_connect(&w, CLIENT);
    decide_open_all(s);
    struct scope *helo = world_helo(&w, "client.example");
    decide_open_all(helo);
    struct scope *mail = world_mail(&w, "a@b.example");
    decide_open_all(mail);
    struct scope *to = world_rcpt(&w, "u@our.test");
    decide_open_all(to);
    while (!decide_gather(to)) {
        loop_settle(w.loop);
        uint64_t next = loop_next_timer(w.loop);
        if (next != UINT64_MAX && !decide_gather(to))
            loop_advance_to(w.loop, next);
    }
    cr_expect_str_eq(rate_seen(&w, s), "(unknown)");
    cr_expect_str_eq(rate_seen(&w, helo), "(unknown)");
    cr_expect_str_eq(rate_seen(&w, mail), "0");
    cr_expect_str_eq(rate_seen(&w, to), "0");
    scope_unref(&to);
    world_clear(&w);
}
