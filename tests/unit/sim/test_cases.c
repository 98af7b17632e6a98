/* Policy cases: what holds passes, what does not is said with its line. */
#include "cases.h"

#include "sim/helper.h"

#include <stdio.h>
#include <stdlib.h>

#define POLICY                                                                                                                   \
    "policy\ndnsbl zen \"zen.test\"\nstage connect\n  rule bad: score 8 when dnsbl.zen in 127.0.0.2\n"                           \
    "  rule odd monitor: reject when fcrdns = none\nstage rcpt\n  rule postmaster: accept when rcpt.local = postmaster\n"        \
    "  rule listed: reject 550 5.7.9 \"listed by {dnsbl.listed}\" when score >= 8\n  rule slow: tarpit 5s when "                 \
    "manners.early-talk\n"                                                                                                       \
    "stage data\n  rule mark: tag \"seen\" when msg.size > 10\nend\n"

static const struct { const char *name, *text; size_t passed, failed; const char *says;
} cases[] = {
    {"refused",
     POLICY
     "case a\nclient 203.0.113.9\ndnsbl.zen 127.0.0.2\nexpect reject by listed 550 5.7.9 \"listed by z*\"\nexpect score 8\n",
     1, 0, ""},
    {"quiet", POLICY "case a\nexpect none\nexpect score 0\nexpect silent bad\nexpect class normal\n", 1, 0, ""},
    {"lifted", POLICY "case a\ndnsbl.zen 127.0.0.2\nto postmaster@our.test\nexpect accept by postmaster\nexpect fired bad\n", 1,
     0, ""},
    {"stages", POLICY "case a\ndnsbl.zen 127.0.0.2\nexpect at connect none\nexpect at rcpt reject by listed\n", 1, 0, ""},
    {"not reached", POLICY "case a\ndnsbl.zen 127.0.0.2\nexpect at data none\n", 0, 1,
     "x.cases:15: case a: stage data was not reached: reject by listed\n"},
    {"monitor", POLICY "case a\nfcrdns none\nexpect would odd\nexpect none\n", 1, 0, ""},
    {"not yet", POLICY "case a\ndnsbl.zen unknown\nexpect not-yet at\n", 0, 1, NULL},
    {"wanting", POLICY "case a\ndnsbl.zen unknown\nexpect not-yet wanting dnsbl.zen\nexpect at connect not-yet\n", 1, 0, ""},
    {"effects",
     POLICY
     "case a\nmsg.size 1K\nmanners.early-talk yes\nexpect tag seen\nexpect tarpit 5s\nexpect header \"X-Postern-Tag\" \"s*\"\n",
     1, 0, ""},
    {"common", POLICY "dnsbl.zen 127.0.0.2\ncase a\nexpect reject\ncase b\ndnsbl.zen {}\nexpect none\n", 2, 0, ""},
    {"wrong", POLICY "case a\nexpect reject by listed\n", 0, 1,
     "x.cases:14: case a: expected reject by listed, the policy says none\n"},
    {"wrong code", POLICY "case a\ndnsbl.zen 127.0.0.2\nexpect reject 554\n", 0, 1,
     "x.cases:15: case a: expected the code 554, it is 550\n"},
    {"wrong text", POLICY "case a\ndnsbl.zen 127.0.0.2\nexpect reject \"go\"\n", 0, 1,
     "x.cases:15: case a: expected the text \"go\", it is \"listed by zen\"\n"},
    {"no fact", POLICY "case a\nfcrdn pass\nexpect none\n", 0, 1,
     "x.cases:14: case a: there is no fact 'fcrdn'; did you mean 'fcrdns'?\n"},
    {"no value", POLICY "case a\nfcrdns maybe\nexpect none\n", 0, 1, NULL},
    {"no count", POLICY "case a\nmanners.errors -1\nexpect none\n", 0, 1,
     "x.cases:14: case a: manners.errors: expected a number, 0 or more\n"},
    {"no list", POLICY "case a\ndnsbl.listed zem\nexpect none\n", 0, 1,
     "x.cases:14: case a: dnsbl.listed: the policy declares no list `dnsbl zem`; did you mean 'zen'?\n"},
    {"nothing expected", POLICY "case a\n", 0, 1, "x.cases:13: case a: nothing is expected\n"},
    {"no policy", "case a\nexpect none\n", 0, 1, "x.cases:2: case a has no policy\n"},
    {"own policy", "case a\npolicy\nstage connect\n  rule all: reject\nend\nexpect reject by all\n", 1, 0, ""},
    {"bad policy", "policy\nstage nowhere\nend\ncase a\nexpect none\n", 0, 2, NULL},
};

Test(cases, table)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *said = NULL;
        size_t n = 0;
        struct sim_options options = {.out = open_memstream(&said, &n)};
        struct cases_totals totals = {0};
        struct source *source = source_new("x.cases", str_of(cases[i].text));
        cases_run(&options, source, &totals);
        fclose(options.out);
        cr_expect_eq(totals.passed, cases[i].passed, "%s: %s", cases[i].name, said);
        cr_expect_eq(totals.failed, cases[i].failed, "%s: %s", cases[i].name, said);
        if (cases[i].says)
            cr_expect_str_eq(said, cases[i].says, "%s", cases[i].name);
        source_free(&source);
        free(said);
    }
}
