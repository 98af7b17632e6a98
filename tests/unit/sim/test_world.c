/* Whole runs: what a transcript expects is checked, in words; the simulated backend and DNS do as they are told. */
#include "sim/helper.h"

#define HELLO "S: 220 *\nC: EHLO client.example\nS: 250-*\n"
#define MAIL "C: MAIL FROM:<a@sender.example>\nC: RCPT TO:<u@our.test>\nS: 250 *\nS: 250 *\n"
#define MESSAGE "C: DATA\nS: 354 *\nC: Subject: x\nC:\nC: text\nC: .\n"
#define QUIT "C: QUIT\nS: 221 *\nS closed\n"

static const struct { const char *name, *text, *failure;
} runs[] = {
    {"whole", HELLO MAIL MESSAGE "S: 250 2.0.0 Ok\nexpect delivered 1\nexpect none\nexpect end delivered\n" QUIT, ""},
    {"wrong line", "S: 221 *\n", "x.transcript:1: expected \"221 *\", the server said \"220 mx.test ESMTP\""},
    {"too little expected", "S: 220 *\nC: NOOP\nS: 250 *\nC: NOOP\n",
     "x.transcript:4: the server said \"250 2.0.0 OK\", which is not expected"},
    {"too much expected", "S: 220 *\nS: 250 *\n", "x.transcript:2: expected \"250 *\", the server said nothing"},
    {"closed", HELLO QUIT "S: 250 *\n", "x.transcript:7: expected \"250 *\", the server has closed the connection"},
    {"not closed", "S: 220 *\nS closed\n", "x.transcript:2: expected the server to close the connection"},
    {"not nothing", "settle\nS nothing\n", "x.transcript:2: the server said \"220 mx.test ESMTP\", which is not expected"},
    {"id left out", HELLO "C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<u@x.test>\nS: 550 5.7.1 Relaying denied\n" QUIT, ""},
    {"id matched", HELLO "C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<u@x.test>\nS: 550 5.7.1 Relaying denied [*]\n" QUIT, ""},
    {"delivered", HELLO "expect delivered 1\n", "x.transcript:4: expected delivered 1, it is 0"},
    {"verdict", HELLO MAIL "expect reject by x\n" QUIT, "x.transcript:8: expected reject by x, the record says none"},
    {"verdict of all", HELLO "expect reject\n" QUIT, "x.transcript:4: expected reject, the record says none"},
    {"fact", HELLO MAIL "expect fact mail.domain \"other.example\"\n" QUIT,
     "x.transcript:8: expected mail.domain \"other.example\", the record says sender.example"},
    {"unknown fact", HELLO "expect fact mail.dns unknown\nexpect fact client.ip 203.0.113.9\n" QUIT, ""},
    {"no fact", HELLO "expect fact spam yes\n" QUIT, "x.transcript:4: there is no fact 'spam'"},
    {"end", HELLO MAIL "expect end delivered\n" QUIT, "x.transcript:8: expected end delivered, the record says client-left"},
    {"journal", HELLO QUIT "expect journal 2\n", "x.transcript:7: expected journal 2, it is 1"},
    {"counter", HELLO "expect counter connections 2\n", "x.transcript:4: expected connections 2, it is 1"},
    {"backend got", HELLO MAIL "B: RCPT TO:<v@*\n",
     "x.transcript:8: expected the backend to get \"RCPT TO:<v@*\", it got \"EHLO mx.test\" ..."},
    {"backend next", HELLO MAIL "B: MAIL*\nB= DATA\n",
     "x.transcript:9: expected the backend to get \"DATA\", it got \"RCPT TO:<u@our.test>\" ..."},
    {"backend never", HELLO MAIL "B! RCPT*\n", "x.transcript:8: the backend got \"RCPT TO:<u@our.test>\""},
    {"backend nothing", HELLO MAIL "B: MAIL*\nB nothing\n",
     "x.transcript:9: the backend got \"RCPT TO:<u@our.test>\", which is not expected"},
    {"message",
     HELLO MAIL MESSAGE
     "S: 250 *\nexpect message has \"text\\r\\n\"\nexpect message ends \"text\\r\\n\"\nexpect message lacks \"zzz\"\n" QUIT,
     ""},
    {"message lacks", HELLO MAIL MESSAGE "S: 250 *\nexpect message lacks \"Subject\"\n", NULL},
    {"again", HELLO "C: NOOP\nS: 250 *\nagain\nS: 251 *\n",
     "x.transcript:7: expected \"251 *\", the server said \"250 2.0.0 OK\""},
    {"again before",
     "S: 220 *\nconnect\nS: 220 *\nC: EHLO x.example\nS: 250-*\nC: NOOP\nS: 250 *\nbackend down\nagain\nS: 250 *\n", ""},
    {"time", "patience 1s\nset greet-delay 5s\nS: 220 *\n", "x.transcript:3: expected \"220 *\", the server said nothing"},
    {"time passes", "patience 1s\nset greet-delay 5s\nS nothing\nwait 4s\nS nothing\nS: 220 *\n", ""},
    {"two clients", "S: 220 *\nS2: 220 *\nC2: QUIT\nC: NOOP\nS2: 221 *\nS2 closed\nS: 250 *\n", ""},
    {"backend reply",
     "backend on RCPT 550-5.1.1 no | 550 5.1.1 never\n" HELLO
     "C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<u@our.test>\nS: 550-5.1.1 no\nS: 550 5.1.1 never\n" QUIT,
     ""},
    {"backend nth",
     "backend on RCPT #2 450 4.1.1 no\n" HELLO MAIL
     "C: RCPT TO:<v@our.test>\nS: 450 4.1.1 no\nC: RCPT TO:<w@our.test>\nS: 250 *\n" QUIT,
     ""},
    {"backend glob", "backend on RCPT \"TO:<v@*\" 450 4.1.1 no\n" HELLO MAIL "C: RCPT TO:<v@our.test>\nS: 450 4.1.1 no\n" QUIT,
     ""},
    {"backend delay",
     "backend on RCPT delay 5s\n" HELLO
     "C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<u@our.test>\nS nothing\nwait 4s\nS nothing\nwait 1s\nS: 250 *\n" QUIT,
     ""},
};

Test(world, what_a_transcript_expects_is_checked)
{
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        char *failure = failure_of(runs[i].text, NULL);
        if (runs[i].failure)
            cr_expect_str_eq(failure, runs[i].failure, "%s: %s", runs[i].name, failure);
        else
            cr_expect(failure[0] != '\0', "%s", runs[i].name);
        free(failure);
    }
}

/* Two runs of one script leave the same records, to the byte. */
Test(world, runs_are_repeatable)
{
    static const struct perturbation none;
    struct diags diags = {0};
    struct script *s = script_from(HELLO MAIL MESSAGE "S: 250 *\n" QUIT, &diags);
    struct run a, b;
    cr_assert(s);
    run_script(&a, s, &none);
    run_script(&b, s, &none);
    cr_assert_eq(a.world.record_count, 1);
    cr_assert_eq(b.world.record_count, 1);
    cr_expect(str_eq(a.world.records[0], b.world.records[0]));
    cr_expect(str_eq(buf_view(&a.world.log), buf_view(&b.world.log)));
    run_clear(&a);
    run_clear(&b);
    script_free(&s);
}

Test(world, what_there_is_to_perturb_is_counted)
{
    static const struct perturbation none;
    struct diags diags = {0};
    struct script *s = script_from(
        "policy\ndnsbl bl \"bl.test\" no-probe\nstage connect\n  rule r: score 1 when dnsbl.bl in 127.0.0.2\nend\n" HELLO MAIL
            MESSAGE "S: 250 *\n" QUIT,
        &diags);
    struct run r;
    cr_assert(s, "%s", diags.count ? diags.list[0].text : "");
    run_script(&r, s, &none);
    cr_expect_null(r.failure, "%s", r.failure);
    cr_expect_eq(r.world.tally.segments, 5);
    cr_expect_eq(r.world.tally.replies, 7);
    cr_expect_geq(r.world.tally.questions, 1);
    cr_expect_geq(r.world.tally.reactions, 10);
    run_clear(&r);
    script_free(&s);
}

static enum dns_status ask(struct sim_dns *d, const char *name, unsigned type, struct dns_answer **answer)
{
    struct buf message = {0};
    uint64_t delay;
    enum dns_status status = sim_dns_answer(d, str_of(name), type, &message, &delay);
    *answer = NULL;
    if (status == DNS_OK) {
        *answer = dns_answer_parse((const uint8_t *)message.p, message.n, str_of(name), type);
        status = (*answer)->status;
    }
    buf_free(&message);
    return status;
}

Test(world, dns)
{
    static const struct { const char *name; unsigned type; enum dns_status status; size_t count; } questions[] = {
        {"a.test", DNS_A, DNS_OK, 2},          {"a.test", DNS_AAAA, DNS_NODATA, 0},   {"b.test", DNS_A, DNS_NXDOMAIN, 0},
        {"c.test", DNS_A, DNS_OK, 2},          {"loop.test", DNS_A, DNS_SERVFAIL, 0}, {"x.wild.test", DNS_TXT, DNS_OK, 1},
        {"y.wild.test", DNS_TXT, DNS_TIMEOUT, 0}, {"gone.test", DNS_MX, DNS_NXDOMAIN, 0}, {"bad.test", DNS_A, DNS_MALFORMED, 0},
        {"m.test", DNS_MX, DNS_OK, 2},         {"fail.test", DNS_A, DNS_SERVFAIL, 0}, {"none.test", DNS_A, DNS_NODATA, 0},
    };
    struct diags diags = {0};
    struct script *s =
        script_from("dns a.test A 192.0.2.1, 192.0.2.2\ndns c.test CNAME a.test\ndns loop.test CNAME loop.test\n"
                    "dns *.wild.test TXT \"one, two\"\ndns y.wild.test TXT timeout\ndns gone.test any nxdomain\n"
                    "dns bad.test A malformed\ndns m.test MX 10 a.test, 20 b.test ttl 60\ndns fail.test A servfail\n"
                    "dns none.test A nodata\n",
                    &diags);
    struct world w = {.script = s};
    struct sim_dns d;
    cr_assert(s, "%s", diags.count ? diags.list[0].text : "");
    sim_dns_init(&d, &w);
    for (size_t i = 0; i < s->count; i++)
        sim_dns_add(&d, s->steps[i].dns);
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        struct dns_answer *answer;
        enum dns_status status = ask(&d, questions[i].name, questions[i].type, &answer);
        cr_expect_eq(status, questions[i].status, "%s: %s", questions[i].name, dns_status_names[status]);
        cr_expect_eq(answer ? answer->count : 0, questions[i].count, "%s", questions[i].name);
        dns_answer_unref(&answer);
    }
    sim_dns_clear(&d);
    script_free(&s);
}
