/*
 * fcrdns and client.name: each outcome, both families, several names, hostile names, failures, orders of answers, the deadline.
 */
#include "world.h"

#define V4 "9.113.0.203.in-addr.arpa"
#define V6 "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"

static const struct {
    const char *what, *client, *ptr;
    struct { const char *name; unsigned type; const char *what; } forward[12];
    const char *fcrdns, *name;
} cases[] = {
    {"confirmed", "203.0.113.9", "mail.example", {{"mail.example", DNS_A, "203.0.113.9"}}, "pass", "mail.example"},
    {"confirmed, IPv6", "2001:db8::1", "mail.example", {{"mail.example", DNS_AAAA, "2001:db8::1"}}, "pass", "mail.example"},
    {"one of several addresses", "203.0.113.9", "mail.example", {{"mail.example", DNS_A, "192.0.2.1|203.0.113.9|192.0.2.2"}}, "pass", "mail.example"},
    {"leads elsewhere", "203.0.113.9", "mail.example", {{"mail.example", DNS_A, "192.0.2.1"}}, "mismatch", "(absent)"},
    {"leads nowhere", "203.0.113.9", "mail.example", {{"mail.example", DNS_A, "nxdomain"}}, "mismatch", "(absent)"},
    {"no such record", "203.0.113.9", "mail.example", {{"mail.example", DNS_A, "nodata"}}, "mismatch", "(absent)"},
    {"no name", "203.0.113.9", "nxdomain", {{0}}, "none", "(absent)"},
    {"no name, other records", "203.0.113.9", "nodata", {{0}}, "none", "(absent)"},
    {"name fails", "203.0.113.9", "servfail", {{0}}, "(error: DNS servfail (PTR))", "(error: DNS servfail (PTR))"},
    {"name times out", "203.0.113.9", "timeout", {{0}}, "(error: DNS timeout (PTR))", "(error: DNS timeout (PTR))"},
    {"name unreadable", "203.0.113.9", "garbage", {{0}}, "(error: DNS *", "(error: DNS *"},
    {"forward fails", "203.0.113.9", "mail.example", {{"mail.example", DNS_A, "servfail"}}, "(error: DNS servfail (A))", "(error: DNS servfail (A))"},
    {"one fails, one confirms", "203.0.113.9", "a.example|b.example", {{"a.example", DNS_A, "timeout"}, {"b.example", DNS_A, "203.0.113.9"}}, "pass",
     "b.example"},
    {"one fails, one leads elsewhere", "203.0.113.9", "a.example|b.example", {{"a.example", DNS_A, "192.0.2.1"}, {"b.example", DNS_A, "timeout"}},
     "(error: DNS timeout (A))", "(error: DNS timeout (A))"},
    {"the first that confirms", "203.0.113.9", "a.example|b.example|c.example",
     {{"a.example", DNS_A, "192.0.2.1"}, {"b.example", DNS_A, "203.0.113.9"}, {"c.example", DNS_A, "203.0.113.9"}}, "pass", "b.example"},
    {"what is no host name is not asked", "203.0.113.9", "a b.example|x(y.example|203.0.113.9|.|-a.example", {{0}}, "mismatch", "(absent)"},
    {"hostile names beside a good one", "203.0.113.9", "<script>.example|mail.example", {{"mail.example", DNS_A, "203.0.113.9"}}, "pass", "mail.example"},
    {"ten names at most", "203.0.113.9",
     "n1.example|n2.example|n3.example|n4.example|n5.example|n6.example|n7.example|n8.example|n9.example|n10.example|n11.example",
     {{"n1.example", DNS_A, "nxdomain"}, {"n2.example", DNS_A, "nxdomain"}, {"n3.example", DNS_A, "nxdomain"}, {"n4.example", DNS_A, "nxdomain"},
      {"n5.example", DNS_A, "nxdomain"}, {"n6.example", DNS_A, "nxdomain"}, {"n7.example", DNS_A, "nxdomain"}, {"n8.example", DNS_A, "nxdomain"},
      {"n9.example", DNS_A, "nxdomain"}, {"n10.example", DNS_A, "nxdomain"}}, "mismatch", "(absent)"},
};

Test(fcrdns, outcomes)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world w;
        world_open(&w, "stage connect\n");
        answers(&w, cases[i].client[0] == '2' && cases[i].client[3] == '1' ? V6 : V4, DNS_PTR, cases[i].ptr);
        for (int k = 0; k < 12 && cases[i].forward[k].name; k++)
            answers(&w, cases[i].forward[k].name, cases[i].forward[k].type, cases[i].forward[k].what);
        struct scope *s = world_connect(&w, cases[i].client);
        uint64_t took = world_run(&w, s, CHECK_FCRDNS, 0);
        expect_for(cases[i].what, s, "fcrdns", cases[i].fcrdns);
        expect_for(cases[i].what, s, "client.name", cases[i].name);
        cr_assert(took <= 20, "%s: names are asked together, not one after the other (%d ms)", cases[i].what, (int)took);
        scope_unref(&s);
        world_close(&w);
    }
}

static struct scope *several_names(struct world *w)
{
    answers(w, V4, DNS_PTR, "a.example|b.example|c.example|d.example");
    answers(w, "a.example", DNS_A, "timeout");
    answers(w, "b.example", DNS_A, "203.0.113.9");
    answers(w, "c.example", DNS_A, "203.0.113.9|192.0.2.1");
    answers(w, "d.example", DNS_A, "servfail");
    return world_connect(w, "203.0.113.9");
}

Test(fcrdns, any_order_of_answers)
{
    permute("stage connect\n", several_names, CHECK_FCRDNS, 0);
}

Test(fcrdns, deadline)
{
    struct world w;
    world_open(&w, "stage connect\n");
    uint64_t before = counters[COUNTER_CHECK_DEADLINES];
    w.settings.fcrdns_deadline = 700;
    answers(&w, V4, DNS_PTR, "a.example|b.example");
    answers(&w, "a.example", DNS_A, "never");
    answers(&w, "b.example", DNS_A, "192.0.2.1");
    struct scope *s = world_connect(&w, "203.0.113.9");
    cr_assert_eq(world_run(&w, s, CHECK_FCRDNS, 0), 700);
    expect(s, "fcrdns", "(error: no answer in time)");
    expect(s, "client.name", "(error: no answer in time)");
    cr_assert_eq(counters[COUNTER_CHECK_DEADLINES], before + 1);
    scope_unref(&s);
    world_close(&w);
}

Test(fcrdns, at_the_deadline_a_later_name_will_do)
{
    struct world w;
    world_open(&w, "stage connect\n");
    w.settings.fcrdns_deadline = 700;
    answers(&w, V4, DNS_PTR, "a.example|b.example");
    answers(&w, "a.example", DNS_A, "never");
    answers(&w, "b.example", DNS_A, "203.0.113.9");
    struct scope *s = world_connect(&w, "203.0.113.9");
    cr_assert_eq(world_run(&w, s, CHECK_FCRDNS, 0), 700);
    expect(s, "fcrdns", "pass");
    expect(s, "client.name", "b.example");
    scope_unref(&s);
    world_close(&w);
}
