/* Each disturbance does disturb: the same conversation, expected as it must come out when it is cut, when something dies or
 * fails. */
#include "sim/helper.h"
#include "sweep.h"

#include <stdio.h>
#include <stdlib.h>

#define POLICY                                                                                                                  \
    "policy\nstage connect\n  rule no-name: score 1 when fcrdns = none\nstage rcpt\n  rule old: mark old 1d when marked.old\n"  \
    "  rule new: mark seen 1d when not marked.seen\nend\ndns 9.113.0.203.in-addr.arpa PTR nxdomain delay 5ms\n"
#define HELLO POLICY "S: 220 *\nC: EHLO client.example\nS: 250-*\n"
#define MAIL "C: MAIL FROM:<a@sender.example>\nC: RCPT TO:<u@our.test>\nS: 250 *\nS: 250 *\n"
#define CONTENT "C: DATA\nS: 354 *\nC: Subject: x\nC:\nC: text\nC: .\n"
#define QUIT "C: QUIT\nS: 221 *\nS closed\n"

/* Reactions of the backend: 1 connect, 2 greeting, 3 EHLO, 4 QUIT (the probe); 5 connect, 6 greeting, 7 EHLO, 8 MAIL, 9 RCPT, 10
 * DATA, 11 dot. */
static const struct { const char *name, *text; struct perturbation how; } runs[] = {
    {"nothing", HELLO MAIL CONTENT "S: 250 *\nexpect fact fcrdns none\nexpect delivered 1\n" QUIT, {.name = ""}},
    {"byte by byte", HELLO MAIL CONTENT "S: 250 *\nexpect delivered 1\n" QUIT, {.chunk = 1}},
    {"merged", HELLO "C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<u@our.test>\nS: 250 *\n" CONTENT "S: 250 *\n" QUIT, {.merge = true}},
    {"window", HELLO MAIL CONTENT "S: 250 *\nexpect delivered 1\n" QUIT, {.window = 1}},
    {"client closes at the greeting", POLICY "S: 220 *\nS: 250 *\n", {.cut = CUT_CLOSE, .cut_at_reply = 1}},
    {"client resets in the message", HELLO MAIL CONTENT "expect end client-left\nexpect delivered 0\n",
     {.cut = CUT_RESET, .cut_at_segment = 4, .cut_where = CUT_MIDDLE}},
    {"client leaves behind the dot", HELLO MAIL CONTENT "expect delivered 0\nexpect end client-left\n",
     {.cut = CUT_CLOSE, .cut_at_segment = 4, .cut_where = CUT_BEHIND}},
    {"backend closes at the dot", HELLO MAIL CONTENT "S: 451 4.4.2 *\nexpect delivered 0\n" QUIT,
     {.backend_at = 11, .backend_fault = FAULT_CLOSE}},
    {"backend hangs at the dot", "patience 15m\n" HELLO MAIL CONTENT "S: 451 4.4.2 *\nexpect delivered 0\n" QUIT,
     {.backend_at = 11, .backend_fault = FAULT_HANG}},
    {"backend refuses to be connected to", HELLO "C: MAIL FROM:<>\nC: RCPT TO:<u@our.test>\nS: 250 *\nS: 451 4.4.1 *\n" QUIT,
     {.backend_at = 5, .backend_fault = FAULT_RESET}},
    {"dns servfail", HELLO MAIL "expect fact fcrdns error\n" QUIT, {.dns_at = 1, .dns_status = DNS_SERVFAIL}},
    {"dns malformed", HELLO MAIL "expect fact fcrdns error\n" QUIT, {.dns_at = 1, .dns_status = DNS_MALFORMED}},
    {"dns time-out", HELLO MAIL "expect fact fcrdns error\n" QUIT, {.dns_at = 1, .dns_status = DNS_TIMEOUT}},
    {"answers in another order", HELLO MAIL "expect fact fcrdns none\n" QUIT, {.dns_order = 1}},
    {"store", HELLO MAIL "expect fact marked.old error\nexpect fact marked.seen no\n" QUIT, {.store_at = 1}},
    {"files", HELLO MAIL CONTENT "S: 250 *\nexpect delivered 1\n" QUIT, {.spool_file = true}},
    {"no file", HELLO MAIL CONTENT "S: 452 4.3.1 *\nexpect delivered 0\n" QUIT, {.spool_file = true, .spool_at = 1}},
    {"disk full", HELLO MAIL CONTENT "S: 452 4.3.1 *\nexpect delivered 0\n" QUIT, {.spool_file = true, .spool_at = 2}},
};

Test(perturbation, each_does_what_it_says)
{
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        char *failure = failure_of(runs[i].text, &runs[i].how);
        if (runs[i].how.cut_at_reply == 1) /* the script goes on, the client does not */
            cr_expect_str_eq(failure, "x.transcript:10: expected \"250 *\", the server has closed the connection", "%s: %s",
                             runs[i].name, failure);
        else
            cr_expect_str_eq(failure, "", "%s: %s", runs[i].name, failure);
        free(failure);
    }
}

static size_t sweep(const char *text, const char *only, size_t *failed, char **said)
{
    size_t n = 0;
    struct diags diags = {0};
    struct sim_options options = {.sweep = true, .only = only, .out = open_memstream(said, &n)};
    struct sweep_totals totals = {0};
    struct script *s = script_from(text, &diags);
    cr_assert(s, "%s", diags.count ? diags.list[0].text : "");
    sweep_run(&options, s, &totals);
    fclose(options.out);
    script_free(&s);
    *failed = totals.failed;
    return totals.runs;
}

Test(perturbation, a_sweep_runs_them_all)
{
    char *said;
    size_t failed, runs_of_all = sweep(HELLO MAIL CONTENT "S: 250 *\n" QUIT, NULL, &failed, &said);
    cr_expect_eq(failed, 0, "%s", said);
    cr_expect_gt(runs_of_all, 90, "%zu runs", runs_of_all);
    free(said);
    size_t chosen = sweep(HELLO MAIL CONTENT "S: 250 *\n" QUIT, "spool*", &failed, &said);
    cr_expect(chosen >= 3 && chosen < runs_of_all / 4, "%zu runs: plain, in files, each write", chosen);
    free(said);
}

#define FRONT_TLS "set certificate \"mx.pem\"\nS: 220 *\nC: EHLO client.example\nS: 250-*\nC: STARTTLS\nS: 220 *\ntls\n"
#define BACKEND_TLS "set backend 198.18.0.1:25 tls require\nbackend ehlo PIPELINING, STARTTLS\n"

/* Records: 1 the client's hello, 2 the server's. */
static const struct { const char *name, *text; struct perturbation how; } records[] = {
    {"whole", FRONT_TLS "C: NOOP\nS: 250 *\nC: QUIT\nS: 221 *\nS closed\n", {.read_limit = 1}},
    {"hello cut", FRONT_TLS "S closed\nexpect counter hangup-tls 1\n",
     {.record_at = 1, .record_fault = RECORD_CLOSES, .record_where = RECORD_IN}},
    {"reset behind the hello", FRONT_TLS "S closed\nexpect counter hangup-tls 1\n",
     {.record_at = 1, .record_fault = RECORD_RESETS}},
    {"hello damaged", FRONT_TLS "S closed\nexpect counter hangup-tls 1\n", {.record_at = 1, .record_fault = RECORD_DAMAGED}},
    {"hello never whole", FRONT_TLS "S nothing\nwait 61s\nexpect counter hangup-timeout 1\n",
     {.record_at = 1, .record_fault = RECORD_STALLS, .record_where = RECORD_IN}},
    {"answer cut", FRONT_TLS "S closed\nexpect counter hangup-tls 1\n", {.record_at = 2, .record_fault = RECORD_CLOSES}},
    {"in clear nothing is cut", HELLO QUIT, {.record_at = 1, .record_fault = RECORD_CLOSES}},
    {"probe cut", BACKEND_TLS "S: 421 4.3.2 *\nS closed\n", {.record_at = 1, .record_fault = RECORD_CLOSES}},
    {"probe damaged", BACKEND_TLS "S: 421 4.3.2 *\nS closed\nexpect log has \"TLS handshake\"\n",
     {.record_at = 2, .record_fault = RECORD_DAMAGED}},
};

Test(perturbation, records_of_tls)
{
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        char *failure = failure_of(records[i].text, &records[i].how);
        cr_expect_str_eq(failure, "", "%s: %s", records[i].name, failure);
        free(failure);
    }
}

/* Each record of both sides is a point to cut at: more with TLS to the backend too. */
Test(perturbation, a_sweep_cuts_at_each_record)
{
    char *said;
    size_t failed, clear, front, both;
    clear = sweep("S: 220 *\nC: QUIT\nS: 221 *\n", "wire closes behind*", &failed, &said);
    cr_expect_eq(clear, 1, "the plain run alone");
    cr_expect_eq(failed, 0, "%s", said);
    free(said);
    front = sweep(FRONT_TLS QUIT, "wire closes behind*", &failed, &said);
    cr_expect_gt(front, 8, "%zu runs", front);
    cr_expect_eq(failed, 0, "%s", said);
    free(said);
    both = sweep(BACKEND_TLS FRONT_TLS QUIT, "wire closes behind*", &failed, &said);
    cr_expect_gt(both, front + 8, "%zu runs, %zu without TLS behind", both, front);
    cr_expect_eq(failed, 0, "%s", said);
    free(said);
}

/* A plain run that is wrong is said once, and nothing is built on it. */
Test(perturbation, no_sweep_over_what_is_wrong)
{
    char *said;
    size_t failed;
    cr_expect_eq(sweep("S: 221 *\n", NULL, &failed, &said), 1);
    cr_expect_eq(failed, 1);
    cr_expect_str_eq(said, "x.transcript:1: expected \"221 *\", the server said \"220 mx.test ESMTP\"\n");
    free(said);
}
