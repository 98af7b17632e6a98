/* Rules in order, effects, waiting, greylist, scores and their limit, texts, traces. */
#include "policy/policy_fixture.h"

Test(walk, the_first_rule_that_ends_the_stage_decides)
{
    struct world w;
    world_init(&w, "stage connect\n rule a: score 2 when tls\n rule b: reject 554 5.7.0 \"no\" when score >= 2\n rule c: accept\n");
    world_set(&w, STAGE_CONNECT, "tls", "yes");
    cr_expect_str_eq(world_verdict(&w, STAGE_CONNECT), "reject by b");
    cr_expect_eq(w.walk.action, ACTION_REJECT);
    cr_expect_eq(w.walk.code, 554);
    cr_expect(str_eq(w.walk.enhanced, STR("5.7.0")) && str_eq(w.walk.text, STR("no")));
    cr_expect(!w.walk.now && !w.walk.greylisted && w.walk.rule == 1 && w.walk.score == 2);
    cr_expect_eq(w.walk.trace[2].result, RULE_NOT_REACHED);
    world_reset(&w);
    world_set(&w, STAGE_CONNECT, "tls", "no");
    cr_expect_str_eq(world_verdict(&w, STAGE_CONNECT), "accept by c");
    cr_expect_str_eq(world_verdict(&w, STAGE_HELO), "none");
    cr_expect(w.walk.done && w.walk.rule == -1 && w.walk.trace_count == 0);
    world_clear(&w);
}

Test(walk, defaults_of_refusals)
{
    static const struct { const char *effect; enum action action; bool now; unsigned code; const char *enhanced, *text; } cases[] = {
        {"reject", ACTION_REJECT, false, 550, "5.7.1", "Refused by local policy"},
        {"reject now", ACTION_REJECT, true, 550, "5.7.1", "Refused by local policy"},
        {"reject 521 \"x\"", ACTION_REJECT, false, 521, "5.7.1", "x"},
        {"reject now 554 5.3.2", ACTION_REJECT, true, 554, "5.3.2", "Refused by local policy"},
        {"tempfail", ACTION_TEMPFAIL, false, 451, "4.7.1", "Not accepted now, please try again later"},
        {"tempfail 421 4.3.2 \"later\"", ACTION_TEMPFAIL, false, 421, "4.3.2", "later"},
        {"tempfail \"id {id} {{x} {help}\"", ACTION_TEMPFAIL, false, 451, "4.7.1", "id ID7 {x} https://our.test/help"},
        {"pass", ACTION_PASS, false, 0, "", ""}, {"accept", ACTION_ACCEPT, false, 0, "", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct world w;
        struct buf text = {0};
        buf_printf(&text, "stage mail\n rule r: %s\n%c", cases[i].effect, '\0');
        world_init(&w, text.p);
        world_walk(&w, STAGE_MAIL);
        cr_expect_eq(w.walk.action, cases[i].action, "%s", cases[i].effect);
        cr_expect_eq(w.walk.now, cases[i].now, "%s", cases[i].effect);
        cr_expect_eq(w.walk.code, cases[i].code, "%s", cases[i].effect);
        cr_expect(str_eq(w.walk.enhanced, str_of(cases[i].enhanced)), "%s", cases[i].effect);
        cr_expect(str_eq(w.walk.text, str_of(cases[i].text)), "%s: %.*s", cases[i].effect, STR_ARG(w.walk.text));
        world_clear(&w);
        buf_free(&text);
    }
}

Test(walk, effects_that_let_the_walk_go_on)
{
    struct world w;
    world_init(&w, "stage rcpt\n"
                   " rule a: tag one, header \"X-Seen\" \"from {client.ip} as {client.name}\", tarpit 5s, score 3\n"
                   " rule b: tag \"two\", mark bad 1h, class vip, tarpit 500ms\n"
                   " rule c: class other, mark worse 7d\n"
                   " rule d: tag three, pass\n");
    world_set(&w, STAGE_CONNECT, "client.ip", "192.0.2.1");
    world_set(&w, STAGE_CONNECT, "client.name", "absent");
    cr_expect_str_eq(world_verdict(&w, STAGE_RCPT), "pass by d");
    static const char *const headers[][3] = {{"X-Postern-Tag", "one", "a"}, {"X-Seen", "from 192.0.2.1 as none", "a"},
                                             {"X-Postern-Tag", "two", "b"}, {"X-Postern-Tag", "three", "d"}};
    cr_assert_eq(w.walk.header_count, 4);
    for (size_t i = 0; i < 4; i++) {
        cr_expect(str_eq(w.walk.headers[i].name, str_of(headers[i][0])) && str_eq(w.walk.headers[i].rule, str_of(headers[i][2])));
        cr_expect(str_eq(w.walk.headers[i].value, str_of(headers[i][1])), "%.*s", STR_ARG(w.walk.headers[i].value));
    }
    cr_assert_eq(w.walk.mark_count, 2);
    cr_expect(str_eq(w.walk.marks[0].name, STR("bad")) && w.walk.marks[0].ms == 3600000 && str_eq(w.walk.marks[0].rule, STR("b")));
    cr_expect(str_eq(w.walk.marks[1].name, STR("worse")) && w.walk.marks[1].ms == 7 * 86400000ull);
    cr_expect_eq(w.walk.tarpit_ms, 5500);
    cr_expect_eq(w.walk.score, 3);
    cr_expect(str_eq(w.walk.class, STR("other")), "the last one wins");
    world_clear(&w);
}

Test(walk, it_stops_at_what_it_does_not_know)
{
    struct world w;
    world_init(&w, "stage connect\n rule a: score 1 when tls\n rule b: score 2 when fcrdns = pass and client.name like *.x\n rule c: reject\n");
    world_set(&w, STAGE_CONNECT, "tls", "yes");
    cr_expect_str_eq(world_verdict(&w, STAGE_CONNECT), "not yet, at b");
    cr_expect(!w.walk.done && w.walk.stopped_at == 1 && w.walk.score == 1 && w.walk.action == ACTION_NONE);
    cr_expect(fact_bit(&w.walk.wanted, FACT_FCRDNS) && fact_bit(&w.walk.wanted, FACT_CLIENT_NAME));
    cr_expect_not(fact_bit(&w.walk.wanted, FACT_TLS));
    world_set(&w, STAGE_CONNECT, "client.name", "h.y");
    cr_expect_str_eq(world_verdict(&w, STAGE_CONNECT), "reject by c", "false wins over unknown");
    cr_expect_eq(w.walk.score, 1);
    for (size_t i = 0; i < 8; i++)
        cr_expect_eq(w.walk.wanted.word[i], 0);
    world_clear(&w);
}

Test(walk, errors_refuse_nobody)
{
    struct world w;
    world_init(&w, "dnsbl zen \"zen.example\"\nstage connect\n rule a: reject when dnsbl.zen in 127.0.0.0/8\n rule b: reject when not fcrdns = pass\n"
                   " rule c: tag \"odd\" when dnsbl.zen is error\n");
    world_set(&w, STAGE_CONNECT, "dnsbl.zen", "error: timeout");
    world_set(&w, STAGE_CONNECT, "fcrdns", "error: timeout");
    cr_expect_str_eq(world_verdict(&w, STAGE_CONNECT), "none");
    cr_expect(w.walk.trace[0].result == RULE_ERROR && w.walk.trace[1].result == RULE_ERROR && w.walk.trace[2].result == RULE_FIRED);
    world_clear(&w);
}

Test(walk, texts_wait_for_the_facts_they_show)
{
    struct world w;
    world_init(&w, "dnsbl zen \"zen.example\"\nstage connect\n rule a: score 8 when tls\n"
                   " rule b: reject \"listed by {dnsbl.listed}, {score} points\" when score >= 8\n");
    world_set(&w, STAGE_CONNECT, "tls", "yes");
    cr_expect_str_eq(world_verdict(&w, STAGE_CONNECT), "not yet, at b");
    cr_expect(fact_bit(&w.walk.wanted, FACT_DNSBL_LISTED));
    world_set(&w, STAGE_CONNECT, "dnsbl.listed", "abc,zen");
    world_walk(&w, STAGE_CONNECT);
    cr_expect(str_eq(w.walk.text, STR("listed by abc, zen, 8 points")), "%.*s", STR_ARG(w.walk.text));
    world_reset(&w);
    world_set(&w, STAGE_CONNECT, "tls", "yes");
    world_set(&w, STAGE_CONNECT, "dnsbl.listed", "error: no answer");
    world_walk(&w, STAGE_CONNECT);
    cr_expect(str_eq(w.walk.text, STR("listed by unavailable, 8 points")));
    world_reset(&w);
    world_set(&w, STAGE_CONNECT, "tls", "yes");
    world_set(&w, STAGE_CONNECT, "dnsbl.listed", "{}");
    world_walk(&w, STAGE_CONNECT);
    cr_expect(str_eq(w.walk.text, STR("listed by none, 8 points")));
    world_clear(&w);
}

Test(walk, foreign_bytes_in_texts_are_harmless_and_bounded)
{
    struct world w;
    world_init(&w, "stage helo\n rule a: reject \"no {helo.name}{helo.name}{helo.name}{helo.name}\"\n");
    world_set(&w, STAGE_HELO, "helo.name", "a\r\n250 ok\x1b[0m\xc3\xa9");
    world_walk(&w, STAGE_HELO);
    cr_expect(ascii_printable(w.walk.text));
    cr_expect(str_starts(w.walk.text, STR("no a??250 ok?[0m??a??250")), "%.*s", STR_ARG(w.walk.text));
    world_reset(&w);
    char name[5000];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    world_set(&w, STAGE_HELO, "helo.name", name);
    world_walk(&w, STAGE_HELO);
    cr_expect_eq(w.walk.text.n, 400);
    cr_expect(str_eq(str_sub(w.walk.text, 3 + 125, 3 + 129), STR("...x")));
    world_clear(&w);
}

struct grey_case { const char *known, *age, *verdict; bool wants; };

Test(walk, greylist_defers_the_young_and_unknown)
{
    static const struct grey_case cases[] = {
        {"no", "absent", "tempfail by g", false}, {"no", "4m", "tempfail by g", false}, {"no", "5m", "accept by rest", false},
        {"yes", "absent", "accept by rest", false}, {"yes", NULL, "accept by rest", false}, {NULL, "6m", "accept by rest", false},
        {NULL, "1m", "not yet, at g", true}, {"no", NULL, "not yet, at g", true}, {NULL, NULL, "not yet, at g", true},
        {"error", "error", "accept by rest", false}, {"no", "error", "accept by rest", false}, {"error", "6m", "accept by rest", false},
    };
    static const enum stage stages[] = {STAGE_RCPT, STAGE_DATA};
    for (size_t k = 0; k < 2; k++) {
        struct world w;
        world_init(&w, stages[k] == STAGE_RCPT ? "stage rcpt\n rule g: score 3, greylist 5m when tls\n rule rest: accept\n"
                                               : "stage data\n rule g: score 3, greylist 5m when tls\n rule rest: accept\n");
        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
            world_reset(&w);
            world_set(&w, stages[k], "tls", "yes");
            if (cases[i].known)
                world_set(&w, stages[k], "greylist.known", cases[i].known);
            if (cases[i].age)
                world_set(&w, stages[k], "greylist.age", cases[i].age);
            cr_expect_str_eq(world_verdict(&w, stages[k]), cases[i].verdict, "known %s, age %s: %s", cases[i].known, cases[i].age,
                             world_verdict(&w, stages[k]));
            bool deferred = w.walk.action == ACTION_TEMPFAIL;
            cr_expect_eq(w.walk.greylisted, deferred);
            cr_expect_eq(w.walk.score, deferred ? 3 : 0);
            cr_expect_eq(fact_bit(&w.walk.wanted, FACT_GREYLIST_KNOWN) || fact_bit(&w.walk.wanted, FACT_GREYLIST_AGE), cases[i].wants);
            if (deferred) {
                cr_expect(w.walk.code == 451 && str_eq(w.walk.enhanced, STR("4.7.1")));
                cr_expect(str_eq(w.walk.text, STR("Greylisted, try again in 5m")));
            }
        }
        world_clear(&w);
    }
}

/* Nobody's first contact is recorded before the policy doubts them. */
Test(walk, greylist_facts_are_wanted_only_of_the_doubtful)
{
    struct world w;
    world_init(&w, "stage rcpt\n rule g: greylist 90s \"come back\" when fcrdns != pass\n");
    world_walk(&w, STAGE_RCPT);
    cr_expect(!w.walk.done && fact_bit(&w.walk.wanted, FACT_FCRDNS));
    cr_expect_not(fact_bit(&w.walk.wanted, FACT_GREYLIST_KNOWN));
    world_set(&w, STAGE_RCPT, "fcrdns", "none");
    world_walk(&w, STAGE_RCPT);
    cr_expect(!w.walk.done && fact_bit(&w.walk.wanted, FACT_GREYLIST_KNOWN) && fact_bit(&w.walk.wanted, FACT_GREYLIST_AGE));
    world_set(&w, STAGE_RCPT, "greylist.known", "no");
    world_set(&w, STAGE_RCPT, "greylist.age", "absent");
    world_walk(&w, STAGE_RCPT);
    cr_expect(str_eq(w.walk.text, STR("come back")));
    world_reset(&w);
    world_set(&w, STAGE_RCPT, "fcrdns", "pass");
    cr_expect_str_eq(world_verdict(&w, STAGE_RCPT), "none");
    world_clear(&w);
}

Test(walk, negative_scores_count_up_to_the_limit)
{
    static const struct { int64_t limit, score, negative, want, want_negative; } cases[] = {
        {100, 0, 0, 1, -14}, {10, 0, 0, 5, -10}, {0, 0, 0, 15, 0}, {10, 5, -8, 13, -2}, {10, 5, -10, 15, 0}, {10, 5, -20, 15, 0}, {14, 0, 0, 1, -14},
        {13, 0, 0, 2, -13},
    };
    struct world w;
    world_init(&w, "stage connect\n rule a: score -4\n rule b: score 10\n rule c: score -10\n rule d: score 5\n");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        w.input.negative_limit = cases[i].limit;
        w.input.score = cases[i].score;
        w.input.negative = cases[i].negative;
        world_walk(&w, STAGE_CONNECT);
        cr_expect_eq(w.walk.score, cases[i].want, "case %zu: %lld", i, (long long)w.walk.score);
        cr_expect_eq(w.walk.negative, cases[i].want_negative, "case %zu", i);
    }
    w.input.negative_limit = 10;
    w.input.score = w.input.negative = 0;
    world_walk(&w, STAGE_CONNECT);
    cr_expect(str_eq(w.walk.trace[2].effect, STR("score -10 (counts as -6)")), "%.*s", STR_ARG(w.walk.trace[2].effect));
    world_clear(&w);
}

Test(walk, scores_of_earlier_stages_count)
{
    struct world w;
    world_init(&w, "stage data\n rule a: score 1\n rule b: reject when score >= 8\n");
    w.input.score = 6;
    cr_expect_str_eq(world_verdict(&w, STAGE_DATA), "none");
    w.input.score = 7;
    cr_expect_str_eq(world_verdict(&w, STAGE_DATA), "reject by b");
    cr_expect_eq(w.walk.score, 1);
    cr_expect(w.walk.trace[1].saw_count == 1 && w.walk.trace[1].saw[0].has_score && w.walk.trace[1].saw[0].score == 8);
    world_clear(&w);
}

Test(walk, monitor_rules_do_nothing_and_hold_nothing_up)
{
    struct world w;
    world_init(&w, "stage connect\n rule a monitor: score 9, tag x, reject \"no\"\n rule b monitor: reject when fcrdns = none\n rule c: accept when score = 0\n"
                   " rule d monitor: reject\n");
    cr_expect_str_eq(world_verdict(&w, STAGE_CONNECT), "accept by c");
    cr_expect(w.walk.score == 0 && w.walk.header_count == 0);
    cr_expect(str_eq(w.walk.trace[0].effect, STR("would score 9, tag x, reject 550 5.7.1 no")), "%.*s", STR_ARG(w.walk.trace[0].effect));
    cr_expect(w.walk.trace[0].monitor && w.walk.trace[0].result == RULE_FIRED);
    cr_expect(w.walk.trace[1].result == RULE_UNKNOWN && fact_bit(&w.walk.wanted, FACT_FCRDNS) && w.walk.done);
    cr_expect_eq(w.walk.trace[3].result, RULE_NOT_REACHED);
    w.input.with_monitor = false;
    cr_expect_str_eq(world_verdict(&w, STAGE_CONNECT), "accept by c");
    cr_expect_eq(w.walk.trace[0].result, RULE_NOT_REACHED);
    cr_expect_not(fact_bit(&w.walk.wanted, FACT_FCRDNS));
    w.input.with_trace = false;
    cr_expect_str_eq(world_verdict(&w, STAGE_CONNECT), "accept by c");
    cr_expect(!w.walk.trace && !w.walk.trace_count);
    world_clear(&w);
}

Test(trace, as_text_and_as_json)
{
    struct world w;
    world_init(&w, "dnsbl zen \"zen.example\"\ncondition odd: helo.form = bare or fcrdns != pass\n"
                   "stage helo\n rule zen: score 6 when dnsbl.zen in 127.0.0.0/24\n rule odd-one: score 2, tag odd when odd\n"
                   " rule watch monitor: reject when score >= 5\n rule name: score 1 when helo.name like *.x\n rule err: pass when client.name = x\n"
                   " rule listed: reject \"see {help}\" when score >= 8\n rule rest: accept\n");
    world_set(&w, STAGE_HELO, "dnsbl.zen", "127.0.0.4,127.0.0.2");
    world_set(&w, STAGE_HELO, "helo.form", "name");
    world_set(&w, STAGE_HELO, "fcrdns", "absent");
    world_set(&w, STAGE_HELO, "helo.name", "a\nb");
    world_set(&w, STAGE_HELO, "client.name", "error: timeout");
    world_walk(&w, STAGE_HELO);
    struct buf text = {0}, json = {0};
    trace_text(w.policy, STAGE_HELO, &w.walk, &text);
    struct str want = STR("helo    zen      fired        score 6   dnsbl.zen=127.0.0.2, 127.0.0.4\n"
                          "helo    odd-one  fired        score 2, tag odd   helo.form=name fcrdns=(absent)\n"
                          "helo    watch    fired        would reject 550 5.7.1 Refused by local policy   score=8\n"
                          "helo    name     no            helo.name=a\\nb\n"
                          "helo    err      error         client.name=(error: timeout)\n"
                          "helo    listed   fired        reject 550 5.7.1 see https://our.test/help   score=8\n"
                          "helo    rest     not reached\n");
    cr_expect(str_eq(buf_view(&text), want), "%.*s", STR_ARG(buf_view(&text)));
    struct json j;
    json_init(&j, &json);
    json_array(&j);
    trace_json(w.policy, STAGE_HELO, &w.walk, &j);
    json_end_array(&j);
    want = STR("[{\"stage\":\"helo\",\"rule\":\"zen\",\"result\":\"fired\",\"saw\":{\"dnsbl.zen\":[\"127.0.0.2\",\"127.0.0.4\"]},\"effect\":\"score 6\"},"
               "{\"stage\":\"helo\",\"rule\":\"odd-one\",\"result\":\"fired\",\"saw\":{\"helo.form\":\"name\",\"fcrdns\":null},\"effect\":\"score 2, tag odd\"},"
               "{\"stage\":\"helo\",\"rule\":\"watch\",\"result\":\"fired\",\"monitor\":true,\"saw\":{\"score\":8},\"effect\":\"would reject 550 5.7.1 Refused by local policy\"},"
               "{\"stage\":\"helo\",\"rule\":\"name\",\"result\":\"no\",\"saw\":{\"helo.name\":\"a\\nb\"}},"
               "{\"stage\":\"helo\",\"rule\":\"err\",\"result\":\"error\",\"saw\":{\"client.name\":{\"error\":\"timeout\"}}},"
               "{\"stage\":\"helo\",\"rule\":\"listed\",\"result\":\"fired\",\"saw\":{\"score\":8},\"effect\":\"reject 550 5.7.1 see https://our.test/help\"},"
               "{\"stage\":\"helo\",\"rule\":\"rest\",\"result\":\"not reached\",\"saw\":{}}]");
    cr_expect(str_eq(buf_view(&json), want), "%.*s", STR_ARG(buf_view(&json)));
    buf_free(&text);
    buf_free(&json);
    world_clear(&w);
}

Test(trace, what_was_not_looked_at_is_not_shown)
{
    struct world w;
    world_init(&w, "stage connect\n rule a: score 1 when tls and fcrdns = pass and tls\n");
    world_set(&w, STAGE_CONNECT, "tls", "no");
    world_set(&w, STAGE_CONNECT, "fcrdns", "pass");
    world_walk(&w, STAGE_CONNECT);
    cr_expect(w.walk.trace[0].saw_count == 1 && w.walk.trace[0].saw[0].fact == FACT_TLS);
    world_reset(&w);
    world_set(&w, STAGE_CONNECT, "tls", "yes");
    world_set(&w, STAGE_CONNECT, "fcrdns", "pass");
    world_walk(&w, STAGE_CONNECT);
    cr_expect_eq(w.walk.trace[0].saw_count, 2, "each fact once");
    world_clear(&w);
}

Test(trace, effects_in_words)
{
    static const char *const cases[][2] = {
        {"tarpit 10s, mark bad 7d, class vip", "tarpit 10s, mark bad 1w, class vip"},
        {"header \"X-A\" \"is {rcpt.local}\", pass", "header X-A: is bob, pass"},
        {"greylist 5m", "greylist 5m: tempfail 451 4.7.1 Greylisted, try again in 5m"},
        {"tempfail 450 4.2.0 \"x\"", "tempfail 450 4.2.0 x"},
        {"accept", "accept"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct world w;
        struct buf text = {0};
        buf_printf(&text, "stage rcpt\n rule r: %s\n%c", cases[i][0], '\0');
        world_init(&w, text.p);
        world_set(&w, STAGE_RCPT, "rcpt.local", "bob");
        world_set(&w, STAGE_RCPT, "greylist.known", "no");
        world_set(&w, STAGE_RCPT, "greylist.age", "absent");
        world_walk(&w, STAGE_RCPT);
        cr_expect(str_eq(w.walk.trace[0].effect, str_of(cases[i][1])), "%.*s", STR_ARG(w.walk.trace[0].effect));
        world_clear(&w);
        buf_free(&text);
    }
}
