/*
 * test_shadow.c - a second policy beside the applied one: what it shares with it and what it asks for itself, what it may not touch, and its part
 * of the record, written, judged again, broken.
 */
#include "world.h"

#include "postern/decide/shadow.h"

struct pair {
    struct world w;
    struct policy *shadow;
    struct record record;
    struct record_recipient recipient;
    struct shadow said;
    struct buf line;
};

static void open_both(struct pair *p, struct scope *s)
{
    decide_open(s);
    shadow_open(s, p->shadow);
    p->record.scopes[s->stage] = s->stage == STAGE_RCPT ? NULL : s;
}

static void decide_applied(struct pair *p, struct scope *s, struct stage_verdict *v)
{
    struct decide_input in = {.score = ruling_score(p->record.verdicts, (enum stage)s->stage), .id = s->stage <= STAGE_HELO ? STR("S1") : STR("T1")};
    world_decide(&p->w, s, &in, &v->walk);
    v->present = true;
    shadow_settle(s);
}

static void begin(struct pair *p, const char *policy, const char *shadow, const struct dns_row *rows)
{
    memset(p, 0, sizeof(*p));
    world_init(&p->w, policy, rows);
    p->shadow = policy_of(shadow);
    p->record = (struct record){.id = STR("T1"), .session_id = STR("S1"), .policy = p->w.policy, .end = "delivered", .negative_limit = 10,
                                .help = STR("help.test"), .listener = STR("*:25")};
    addr_parse(STR("203.0.113.9"), &p->record.client.addr);
    open_both(p, world_connect(&p->w, "203.0.113.9"));
    decide_applied(p, p->w.scopes[STAGE_CONNECT], &p->record.verdicts[STAGE_CONNECT]);
}

/* The other stages, one recipient; the content, unless that one is refused. */
static void go_on(struct pair *p)
{
    open_both(p, world_helo(&p->w, "client.example"));
    decide_applied(p, p->w.scopes[STAGE_HELO], &p->record.verdicts[STAGE_HELO]);
    open_both(p, world_mail(&p->w, "<a@sender.example>"));
    decide_applied(p, p->w.scopes[STAGE_MAIL], &p->record.verdicts[STAGE_MAIL]);
    p->recipient = (struct record_recipient){.scope = world_rcpt(&p->w, "<u@our.test>"), .address = STR("u@our.test")};
    open_both(p, p->recipient.scope);
    decide_applied(p, p->recipient.scope, &p->recipient.verdict);
    p->record.recipients = &p->recipient;
    struct stage_verdict v[STAGE_COUNT];
    memcpy(v, p->record.verdicts, sizeof(v));
    v[STAGE_RCPT] = p->recipient.verdict;
    p->recipient.accepted = ruling_of(v, STAGE_RCPT).action < ACTION_REJECT;
    if (!p->recipient.accepted)
        return;
    open_both(p, world_data(&p->w, 1234));
    content_ended(p->w.scopes[STAGE_DATA], &p->w.scopes[STAGE_DATA]->subject->content);
    decide_applied(p, p->w.scopes[STAGE_DATA], &p->record.verdicts[STAGE_DATA]);
}

static void wait_for_shadow(struct pair *p)
{
    for (int i = 0; i < 1000 && shadow_judge(&p->record, &p->said) == DECIDE_NOT_YET; i++) {
        loop_advance_to(p->w.loop, loop_now(p->w.loop) + 100);
        loop_settle(p->w.loop);
    }
    p->record.shadow = &p->said;
    buf_clear(&p->line);
    record_write(&p->record, &p->line);
}

static void end(struct pair *p)
{
    shadow_clear(&p->said);
    scope_unref(&p->recipient.scope);
    buf_free(&p->line);
    policy_unref(&p->shadow);
    world_clear(&p->w);
}

static bool line_has(const struct pair *p, const char *part)
{
    return memmem(p->line.p, p->line.n, part, strlen(part)) != NULL;
}

static const char two_lists[] = "dnsbl both \"both.test\" no-probe\n"
                                "dnsbl other \"one.test\" no-probe\n"
                                "stage connect\n"
                                "  rule both:  score 2 when dnsbl.both in 127.0.0.2\n"
                                "  rule other: score 4 when dnsbl.other in 127.0.0.2\n"
                                "stage rcpt\n"
                                "  rule six:   reject \"six {id}\" when score >= 6\n";
static const char two_others[] = "dnsbl both \"both.test\" no-probe\n"
                                 "dnsbl other \"two.test\" no-probe\n"
                                 "rate  often recipients by client.net over 1h\n"
                                 "stage connect\n"
                                 "  rule both:  score 2 when dnsbl.both in 127.0.0.2\n"
                                 "  rule other: score 4 when dnsbl.other in 127.0.0.2\n"
                                 "stage rcpt\n"
                                 "  rule six:   reject \"six {id}\" when score >= 6\n"
                                 "  rule often: tempfail when rate.often > 100\n"
                                 "  rule young: greylist 5m\n"
                                 "stage data\n"
                                 "  rule small: tag \"small\" when class = normal and msg.size < 5000\n"
                                 "  rule watch monitor: reject when dnsbl.listed in { other }\n";

static size_t times_asked(const struct world *w, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < w->dns.asked; i++)
        n += !strcmp(w->dns.log[i], name);
    return n;
}

Test(shadow, a_fact_with_one_name_and_definition_is_one_fact)
{
    static const struct dns_row rows[] = {{"9.113.0.203.both.test", DNS_A, "127.0.0.2", 10}, {"9.113.0.203.two.test", DNS_A, "127.0.0.2", 50}, {0}};
    struct pair p;
    begin(&p, two_lists, two_others, rows);
    const struct scope *applied = p.w.scopes[STAGE_CONNECT], *shadow = applied->shadow;
    int both = schema_find(policy_schema(p.shadow), STR("dnsbl.both")), other = schema_find(policy_schema(p.shadow), STR("dnsbl.other"));
    go_on(&p);
    wait_for_shadow(&p);
    cr_expect_eq(times_asked(&p.w, "9.113.0.203.both.test"), 1);
    cr_expect_eq(times_asked(&p.w, "9.113.0.203.one.test"), 1);
    cr_expect_eq(times_asked(&p.w, "9.113.0.203.two.test"), 1);
    cr_expect_eq(facts_get(&shadow->facts, both), facts_get(&applied->facts, schema_find(policy_schema(p.w.policy), STR("dnsbl.both"))));
    cr_expect_eq(facts_get(&shadow->facts, other)->v.addrs.count, 1);
    cr_expect_eq(facts_get(&applied->facts, schema_find(policy_schema(p.w.policy), STR("dnsbl.other")))->v.addrs.count, 0);
    cr_expect(str_eq(p.said.verdict, STR("reject by six")) && p.said.differs && p.said.judged, "%.*s", STR_ARG(p.said.verdict));
    end(&p);
}

Test(shadow, b_nothing_is_spent_or_written_for_it)
{
    static const struct dns_row rows[] = {{0}};
    struct pair p;
    begin(&p, "stage rcpt\n  rule all: accept\n", two_others, rows);
    unsigned left = p.w.budget;
    go_on(&p);
    wait_for_shadow(&p);
    cr_expect_eq(p.w.budget, left, "its questions are not the session's");
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        cr_expect(!p.w.scopes[stage] || !p.w.scopes[stage]->run_count, "no check runs in the applied policy's scope of %s", stage_names[stage]);
    cr_expect(str_eq(p.said.verdict, STR("tempfail by young")), "%.*s", STR_ARG(p.said.verdict));
    const struct value *age = facts_get(&p.recipient.scope->shadow->facts, FACT_GREYLIST_AGE);
    cr_expect_eq(age->state, FACT_ABSENT);
    cr_expect_eq(facts_get(&p.recipient.scope->facts, FACT_GREYLIST_AGE)->state, FACT_UNKNOWN);
    struct store_view *view = store_view_new(p.w.evidence.store, &p.w.owner);
    struct str key = facts_get(&p.recipient.scope->shadow->facts, FACT_GREYLIST_KEY)->v.text;
    struct store_operation op = {.kind = STORE_GREYLIST, .mode = STORE_PEEK, .key = key, .now_ms = loop_wall(p.w.loop)};
    cr_assert(key.n);
    while (!store_view_get(view, &op))
        loop_settle(p.w.loop);
    cr_expect(!store_view_get(view, &op)->found, "it has left no trace");
    store_view_free(&view);
    end(&p);
}

Test(shadow, c_when_it_differs)
{
    static const struct { const char *applied, *shadow, *verdict; bool differs; } cases[] = {
        {"stage rcpt\n  rule a: accept\n", "stage rcpt\n  rule b: pass\n", "none", false},
        {"stage rcpt\n  rule a: accept\n", "stage connect\n  rule b: reject now\n", "reject by b", true},
        {"stage rcpt\n  rule a: reject\n", "stage mail\n  rule b: reject 554 5.7.9\n", "reject by b", false},
        {"stage rcpt\n  rule a: reject\n", "stage rcpt\n  rule b: tempfail\n", "tempfail by b", true},
        {"stage data\n  rule a: tempfail\n", "stage data\n  rule b: greylist 5m\n", "tempfail by b", false},
        {"stage data\n  rule a: reject\n", "stage rcpt\n  rule b: accept\nstage data\n  rule c: reject\n", "accept by b", true},
        {"stage connect\n  rule a: accept\n", "stage data\n  rule b: reject when class = normal\n", "reject by b", true},
        {"stage connect\n  rule a: reject\nstage rcpt\n  rule b: accept\n", "stage connect\n  rule a: reject\n", "reject by a", true},
        {"stage rcpt\n  rule a: class x\n", "stage rcpt\n  rule a: class y\nstage data\n  rule b: reject when class = y\n", "reject by b", true},
        {"stage rcpt\n  rule a: accept\n", "stage data\n  rule a: tag \"x\"\n  rule b monitor: reject\n", "none", false},
    };
    static const struct dns_row rows[] = {{0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct pair p;
        begin(&p, cases[i].applied, cases[i].shadow, rows);
        go_on(&p);
        wait_for_shadow(&p);
        cr_expect(str_eq(p.said.verdict, str_of(cases[i].verdict)), "case %zu: %.*s", i, STR_ARG(p.said.verdict));
        cr_expect_eq(p.said.differs, cases[i].differs, "case %zu", i);
        cr_expect_eq(line_has(&p, "\"differs\":true"), cases[i].differs, "case %zu", i);
        end(&p);
    }
}

/* --- its part of the record --- */

static void expect_judged(struct pair *p, struct policy *policy, const char *verdict)
{
    struct record_judgement out = record_judge(buf_view(&p->line), policy, &p->w.arena);
    cr_expect(out.readable && out.same_policy && out.same, "%.*s\n%.*s", STR_ARG(out.why), STR_ARG(buf_view(&p->line)));
    cr_expect(str_eq(out.was, str_of(verdict)) && str_eq(out.now, str_of(verdict)), "was %.*s, now %.*s", STR_ARG(out.was), STR_ARG(out.now));
}

static const struct dns_row listed[] = {
    {"9.113.0.203.both.test", DNS_A, "127.0.0.2", 10}, {"9.113.0.203.one.test", DNS_A, "127.0.0.2", 1}, {"9.113.0.203.two.test", DNS_A, "127.0.0.4", 50}, {0}};

Test(shadow, d_judged_again_the_same_under_either_policy)
{
    struct pair p;
    begin(&p, two_lists, two_others, listed);
    go_on(&p);
    wait_for_shadow(&p);
    expect_judged(&p, p.w.policy, "reject by six");
    expect_judged(&p, p.shadow, "tempfail by young");
    cr_expect(line_has(&p, "\"dnsbl.other\":[[\"127.0.0.4\"]"));
    cr_expect(!line_has(&p, "inconsistent"));
    struct policy *third = policy_of("stage rcpt\n  rule all: reject\n");
    struct record_judgement out = record_judge(buf_view(&p.line), third, &p.w.arena);
    cr_expect(out.readable && !out.same_policy && str_eq(out.was, STR("reject by six")), "to others it is the applied policy's record");
    policy_unref(&third);
    end(&p);
}

Test(shadow, d2_a_message_that_no_recipient_would_have_had)
{
    struct pair p;
    begin(&p, "stage data\n  rule fine: tag \"fine\"\n", two_lists, listed);
    go_on(&p);
    wait_for_shadow(&p);
    expect_judged(&p, p.w.policy, "none");
    expect_judged(&p, p.shadow, "reject by six");
    struct policy *third = policy_of("stage rcpt\n  rule all: reject\n");
    struct record_judgement out = record_judge(buf_view(&p.line), third, &p.w.arena);
    cr_expect(str_eq(out.was, STR("none")) && str_eq(out.now, STR("reject by all")), "was %.*s, now %.*s", STR_ARG(out.was), STR_ARG(out.now));
    policy_unref(&third);
    end(&p);
}

Test(shadow, e_what_was_given_up_is_not_judged_again)
{
    static const struct dns_row rows[] = {{"9.113.0.203.two.test", DNS_A, "never", 0}, {0}};
    struct pair p;
    begin(&p, two_lists, two_others, rows);
    go_on(&p);
    cr_assert_eq(shadow_judge(&p.record, &p.said), DECIDE_NOT_YET);
    p.record.shadow = &p.said;
    record_write(&p.record, &p.line);
    cr_expect(line_has(&p, "\"undecided\":\"connect\"") && !line_has(&p, "differs"));
    expect_judged(&p, p.w.policy, "none");
    struct record_judgement out = record_judge(buf_view(&p.line), p.shadow, &p.w.arena);
    cr_expect(out.readable && !out.same_policy);
    end(&p);
}

Test(shadow, f_another_verdict_is_noticed)
{
    struct pair p;
    begin(&p, two_lists, two_others, listed);
    go_on(&p);
    wait_for_shadow(&p);
    char *rule = memmem(p.line.p, p.line.n, "\"rule\":\"young\"", 14);
    cr_assert(rule);
    rule[8] = 'Y';
    struct record_judgement out = record_judge(buf_view(&p.line), p.shadow, &p.w.arena);
    cr_expect(out.readable && out.same_policy && !out.same && out.why.n);
    out = record_judge(buf_view(&p.line), p.w.policy, &p.w.arena);
    cr_expect(out.same, "the applied policy's part is as it was: %.*s", STR_ARG(out.why));
    end(&p);
}

Test(shadow, g_every_beginning_of_a_line)
{
    struct pair p;
    begin(&p, two_lists, two_others, listed);
    go_on(&p);
    wait_for_shadow(&p);
    for (size_t n = 0; n + 1 < p.line.n; n++) {
        struct arena arena = {0};
        char *exact = malloc(n + 1);
        memcpy(exact, p.line.p, n);
        struct record_judgement out = record_judge((struct str){exact, n}, p.shadow, &arena);
        cr_assert(!out.readable && !out.same && out.why.n, "%zu bytes", n);
        free(exact);
        arena_clear(&arena);
    }
    end(&p);
}

Test(shadow, h_every_byte_changed)
{
    static const char bytes[] = {'"', '{', ']', ',', '0', 'x', '\\', ' ', '\0', '\xff'};
    struct pair p;
    begin(&p, two_lists, two_others, listed);
    go_on(&p);
    wait_for_shadow(&p);
    size_t different = 0;
    for (size_t i = 0; i < p.line.n; i++) {
        for (size_t b = 0; b < sizeof(bytes); b++) {
            struct arena arena = {0};
            char was = p.line.p[i];
            p.line.p[i] = bytes[b];
            struct record_judgement out = record_judge(buf_view(&p.line), p.shadow, &arena);
            different += out.readable && !out.same;
            cr_assert(out.readable || (!out.same && out.why.n));
            cr_assert(ascii_printable(out.why), "%.*s", STR_ARG(out.why));
            p.line.p[i] = was;
            arena_clear(&arena);
        }
    }
    cr_expect(different > 0);
    end(&p);
}

/* Members in another order, twice, of other kinds: read or refused, without harm. */
Test(shadow, i_hostile_parts)
{
    static const char *const parts[] = {
        "\"shadow\":null", "\"shadow\":[]", "\"shadow\":{}", "\"shadow\":{\"policy\":{\"digest\":\"%s\"},\"recipients\":[{},{},{}]}",
        "\"shadow\":{\"stages\":{\"connect\":{\"verdict\":{}}},\"policy\":{\"digest\":\"%s\"},\"policy\":{\"digest\":\"x\"}}",
        "\"shadow\":{\"policy\":{\"digest\":\"%s\"},\"undecided\":\"rcpt\",\"stages\":{\"connect\":{\"facts\":{\"score\":[1,0]}}}}",
        "\"shadow\":{\"policy\":{\"digest\":\"%s\"},\"stages\":{\"connect\":{\"facts\":{\"dnsbl.both\":[[\"127.0.0.2\"],0]},\"verdict\":{},\"trace\":[]}}},"
        "\"shadow\":{\"policy\":{\"digest\":\"%s\"},\"declared\":{\"dnsbl.both\":\"dnsbl both.test ipv4 ipv6\"},\"sticky_helo\":{\"verdict\":{}}}",
    };
    struct pair p;
    begin(&p, two_lists, two_others, listed);
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        struct arena arena = {0};
        struct buf line = {0}, part = {0};
        for (const char *at = parts[i]; *at; at++) {
            if (at[0] == '%')
                buf_cstr(&part, policy_digest(p.shadow)), at++;
            else
                buf_char(&part, *at);
        }
        buf_printf(&line, "{%.*s,\"v\":1,\"policy\":{\"digest\":\"0\"},\"recipients\":[{\"address\":\"a\",\"facts\":{}},{},{},{}],%.*s}",
                   STR_ARG(buf_view(&part)), STR_ARG(buf_view(&part)));
        struct record_judgement out = record_judge(buf_view(&line), p.shadow, &arena);
        cr_expect(ascii_printable(out.why), "%zu", i);
        buf_free(&line);
        buf_free(&part);
        arena_clear(&arena);
    }
    end(&p);
}
