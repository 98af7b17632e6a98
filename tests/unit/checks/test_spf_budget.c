/*
 * What an SPF evaluation costs, counted: round trips, questions, passes, bytes. Ordinary policies are as many round trips as they are deep; hostile
 * ones end within fixed bounds, and in the same verdict whatever order the answers come in.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "checks/spf_zone.h"

static struct zone zone;

static void line(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void line(const char *format, ...)
{
    struct buf text = {0};
    va_list args;

    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    cr_assert(zone_line(&zone, buf_view(&text)), "%.*s", STR_ARG(buf_view(&text)));
    buf_free(&text);
}

struct cost {
    struct spf_result result;
    size_t questions; /* different ones */
    unsigned rounds, passes;
};

static struct cost cost_of(const char *client, const char *sender, enum zone_order order, uint64_t seed)
{
    struct zone_run *run = zone_run_new(&zone, seed);
    struct spf_input in = zone_input(str_of(client), STR("helo.example"), str_of(sender));
    struct cost c = {0};

    cr_assert(zone_evaluate(run, &in, order, &c.result), "it never ends");
    c.questions = run->count;
    c.rounds = run->rounds;
    c.passes = run->passes;
    c.result.mechanism = c.result.explanation = c.result.problem = STR_NONE; /* they die with the run */
    zone_run_free(&run);
    return c;
}

/* Whatever the order: this verdict, and no more than so many questions and passes. */
static struct cost hostile(const char *client, const char *sender, enum spf_verdict verdict, size_t questions)
{
    struct cost all = cost_of(client, sender, ZONE_ALL, 0), one;

    cr_expect_eq(all.result.verdict, verdict, "%s: %s", sender, spf_verdict_names[all.result.verdict]);
    cr_expect_leq(all.questions, questions, "%s: %zu questions", sender, all.questions);
    cr_expect_leq(all.passes, SPF_LOOKUPS_MAX + 4, "%s: %u passes", sender, all.passes);
    for (uint64_t seed = 0; seed < 6; seed++) {
        one = cost_of(client, sender, seed == 0 ? ZONE_FIRST : seed == 1 ? ZONE_LAST : ZONE_RANDOM, seed);
        cr_expect_eq(one.result.verdict, verdict, "%s: %s", sender, spf_verdict_names[one.result.verdict]);
        cr_expect_leq(one.questions, questions * 2, "%s: %zu questions", sender, one.questions);
    }
    return all;
}

/* The policy of which LIBRARIES speaks: three includes, one of them with three more, a, and an mx with two hosts: 11 names. */
static void ordinary(void)
{
    line("sender.example TXT v=spf1 a mx include:one.example include:two.example include:three.example ip4:192.0.2.99 -all");
    line("sender.example A 192.0.2.1");
    line("sender.example MX 10 mx1.sender.example");
    line("sender.example MX 20 mx2.sender.example");
    line("mx1.sender.example A 192.0.2.2");
    line("mx2.sender.example A 192.0.2.3");
    line("one.example TXT v=spf1 ip4:198.51.100.0/25 ~all");
    line("two.example TXT v=spf1 ip4:198.51.100.128/25 ~all");
    line("three.example TXT v=spf1 include:a.three.example include:b.three.example include:c.three.example ~all");
    line("a.three.example TXT v=spf1 ip4:203.0.113.1 ~all");
    line("b.three.example TXT v=spf1 ip4:203.0.113.2 ~all");
    line("c.three.example TXT v=spf1 ip4:203.0.113.3 ~all");
}

Test(spf_budget, an_ordinary_policy)
{
    zone_clear(&zone);
    ordinary();
    struct cost c = cost_of("203.0.113.3", "a@sender.example", ZONE_ALL, 0);
    cr_expect_eq(c.result.verdict, SPF_PASS);
    cr_expect_eq(c.rounds, 3);
    cr_expect_eq(c.questions, 11);
    cr_expect_eq(c.result.lookups, 8);
    c = cost_of("203.0.113.4", "a@sender.example", ZONE_ALL, 0);
    cr_expect_eq(c.result.verdict, SPF_FAIL);
    cr_expect_eq(c.rounds, 3);
    cr_expect_eq(c.questions, 11);
    c = cost_of("192.0.2.1", "a@sender.example", ZONE_ALL, 0);
    cr_expect_eq(c.result.verdict, SPF_PASS);
    cr_expect_eq(c.rounds, 2, "a match needs nothing behind it");
    zone_clear(&zone);
}

Test(spf_budget, include_bomb)
{
    zone_clear(&zone);
    for (int level = 0; level < 7; level++) {
        struct buf text = {0};
        for (int i = 0; i < 10; i++)
            buf_printf(&text, " include:l%d.bomb.example", level + 1);
        line("l%d.bomb.example TXT v=spf1%.*s -all", level, STR_ARG(buf_view(&text)));
        buf_free(&text);
    }
    line("l7.bomb.example TXT v=spf1 -all");
    struct cost c = hostile("192.0.2.1", "a@l0.bomb.example", SPF_PERMERROR, 12);
    cr_expect_eq(c.result.lookups, SPF_LOOKUPS_MAX);
    zone_clear(&zone);
    /* ten different names at each of ten levels */
    for (int level = 0; level < 10; level++)
        for (int n = 0; n < 10; n++) {
            struct buf text = {0};
            for (int i = 0; i < 10; i++)
                buf_printf(&text, " include:l%dn%d.bomb.example", level + 1, (n + i) % 10);
            line("l%dn%d.bomb.example TXT v=spf1%.*s -all", level, n, STR_ARG(buf_view(&text)));
            buf_free(&text);
        }
    hostile("192.0.2.1", "a@l0n0.bomb.example", SPF_PERMERROR, 70);
    zone_clear(&zone);
    line("self.example TXT v=spf1 include:self.example redirect=self.example");
    hostile("192.0.2.1", "a@self.example", SPF_PERMERROR, 2);
    zone_clear(&zone);
}

Test(spf_budget, mx_and_ptr_bombs)
{
    zone_clear(&zone);
    struct buf text = {0};
    for (int i = 0; i < 20; i++) {
        buf_printf(&text, " mx:m%d.bomb.example", i);
        for (int j = 0; j < 10; j++) {
            line("m%d.bomb.example MX 10 h%d.m%d.bomb.example", i, j, i);
            line("h%d.m%d.bomb.example A 198.51.100.%d", j, i, j + 1);
        }
    }
    line("bomb.example TXT v=spf1%.*s -all", STR_ARG(buf_view(&text)));
    hostile("192.0.2.1", "a@bomb.example", SPF_PERMERROR, 1 + 10 + 100);
    buf_free(&text);
    for (int i = 0; i < 500; i++)
        line("1.2.0.192.in-addr.arpa PTR n%d.ptr.example", i);
    line("n0.ptr.example A 198.51.100.1");
    line("ptr.example TXT v=spf1 ptr ptr:ptr.example ptr:%%{p}.example exists:%%{p}.%%{d}.%%{p2} -all");
    hostile("192.0.2.1", "a@ptr.example", SPF_FAIL, 1 + 1 + 10 + 1);
    for (int i = 0; i < 500; i++)
        line("500.mx.example MX 10 n%d.mx.example", i);
    line("mx.example TXT v=spf1 mx:500.mx.example -all");
    hostile("192.0.2.1", "a@mx.example", SPF_PERMERROR, 2);
    zone_clear(&zone);
}

Test(spf_budget, hostile_texts)
{
    struct buf text = {0};

    zone_clear(&zone);
    /* CVE-2023-42118: it must not reach libspf2, and it is no record anyway: it does not end in a top label, or is too long. */
    buf_cstr(&text, "v=spf1 exists:");
    for (int i = 0; i < 127; i++)
        buf_cstr(&text, "%{d}");
    for (int i = 0; i < 8000; i++)
        buf_char(&text, 'A');
    line("cve.example TXT %.*s", STR_ARG(buf_view(&text)));
    hostile("192.0.2.1", "a@cve.example", SPF_PERMERROR, 1);
    buf_clear(&text);
    buf_cstr(&text, "v=spf1 foo=");
    for (int i = 0; i < 127; i++)
        buf_cstr(&text, "%{d}");
    for (int i = 0; i < 7000; i++)
        buf_char(&text, 'A');
    buf_cstr(&text, " -all");
    line("cve2.example TXT %.*s", STR_ARG(buf_view(&text)));
    hostile("192.0.2.1", "a@cve2.example", SPF_FAIL, 1);
    /* macros from end to end, in a name and in an explanation */
    buf_clear(&text);
    buf_cstr(&text, "v=spf1 exists:");
    while (buf_view(&text).n < 8000)
        buf_cstr(&text, "%{S99r.-+,/_=}%{ir}%{p}");
    buf_cstr(&text, ".x.example -all");
    line("macros.example TXT %.*s", STR_ARG(buf_view(&text)));
    hostile("192.0.2.1", "a-b+c=d@macros.example", SPF_FAIL, 3);
    buf_clear(&text);
    while (buf_view(&text).n < 8000)
        buf_cstr(&text, "%{s}%{S99r.-+,/_=}%{ir}%{p}%{t}");
    line("why.example TXT %.*s", STR_ARG(buf_view(&text)));
    line("exp.example TXT v=spf1 -all exp=why.example");
    hostile("192.0.2.1", "a@exp.example", SPF_FAIL, 3);
    /* 8 KB of terms */
    buf_clear(&text);
    buf_cstr(&text, "v=spf1");
    while (buf_view(&text).n < 8170)
        buf_cstr(&text, " a");
    line("terms.example TXT %.*s", STR_ARG(buf_view(&text)));
    line("terms.example A 198.51.100.1");
    hostile("192.0.2.1", "a@terms.example", SPF_PERMERROR, 2);
    buf_clear(&text);
    buf_cstr(&text, "v=spf1");
    while (buf_view(&text).n < 8160)
        buf_cstr(&text, " ip4:1.2.3.4");
    buf_cstr(&text, " -all");
    line("nets.example TXT %.*s", STR_ARG(buf_view(&text)));
    hostile("192.0.2.1", "a@nets.example", SPF_FAIL, 1);
    buf_free(&text);
    zone_clear(&zone);
}

/* The explanation is cut and printable, whatever the sender's local part holds. */
Test(spf_budget, explanations_are_harmless)
{
    zone_clear(&zone);
    line("exp.example TXT v=spf1 -all exp=why.example");
    line("why.example TXT %%{l} refused, %%{s}%%{s}%%{s}%%{s}%%{s}%%{s}%%{s}%%{s}%%{s}%%{s}%%{s}%%{s}%%{s}%%{s}%%{s}%%{s}%%{s}%%{s}%%{s}%%{s}%%{s}%%{s}");
    struct zone_run *run = zone_run_new(&zone, 0);
    struct spf_input in = zone_input(STR("192.0.2.1"), STR("h.example"), STR("x@exp.example"));
    struct spf_result r;
    in.local = (struct str){"a\r\n550 \x1b[2J\xff long enough to fill it all", 40};
    cr_assert(zone_evaluate(run, &in, ZONE_ALL, &r));
    cr_expect(r.verdict == SPF_FAIL && r.explanation.n == SPF_EXPLANATION_MAX && ascii_printable(r.explanation));
    cr_expect(str_starts(r.explanation, STR("a??550 ?[2J? long enough")), "%.*s", STR_ARG(r.explanation));
    zone_run_free(&run);
    zone_clear(&zone);
}
