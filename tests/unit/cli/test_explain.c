/*
 * `postern explain` in one process: a policy and a configuration in files of its own, facts assumed so that nothing is asked of the network, and once a
 * resolver that never answers.
 */
#include "../cli/cli_call.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "postern/base/json.h"

static char directory[64], config[96], policy[96], message[96];

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    cr_assert(f);
    fputs(text, f);
    fclose(f);
}

#define CONFIG "hostname mx.our.test\ndomains our.test\nlisten 127.0.0.1:0\nbackend 127.0.0.1:1\npolicy \"p.policy\"\nspool-directory .\n"
#define POLICY                                                                              \
    "rate hourly recipients by client.net over 1h\n"                                        \
    "rate daily messages by mail.domain over 1d\n"                                          \
    "stage connect\n"                                                                       \
    "  rule friend:      accept                       when client.ip in 192.0.2.77\n"       \
    "  rule no-reverse:  score 2                      when fcrdns != pass\n"                \
    "stage helo\n"                                                                          \
    "  rule liar:        score 3                      when helo.ours\n"                     \
    "stage mail\n"                                                                          \
    "  rule nowhere:     reject \"no such domain\"    when mail.dns = none\n"               \
    "stage rcpt\n"                                                                          \
    "  rule postmaster:  accept                       when rcpt.local = postmaster\n"       \
    "  rule slow-lane:   class slow                   when rcpt.local = slow\n"             \
    "  rule much:        tempfail \"{rate.hourly} an hour\"  when rate.hourly >= 100\n"     \
    "  rule listed:      reject 550 5.7.9 \"bad {client.ip}\"  when score >= 5\n"           \
    "  rule strict monitor: reject                    when score >= 2\n"                    \
    "stage data\n"                                                                          \
    "  rule big:         tempfail                     when msg.size > 1K\n"

static void set_up(void)
{
    strcpy(directory, "/tmp/postern-explain-XXXXXX");
    cr_assert(mkdtemp(directory));
    snprintf(config, sizeof config, "%s/postern.conf", directory);
    snprintf(policy, sizeof policy, "%s/p.policy", directory);
    snprintf(message, sizeof message, "%s/message", directory);
    write_file(config, CONFIG);
    write_file(policy, POLICY);
    write_file(message, "Received: a\nSubject: x\n\n.body\n");
}

static void tear_down(void)
{
    unlink(config);
    unlink(policy);
    unlink(message);
    rmdir(directory);
}

TestSuite(explain, .init = set_up, .fini = tear_down);

/* Everything that would need DNS. */
#define BASE "explain", "--config", config, "--resolver", "127.0.0.1:9", "--assume", "fcrdns=pass", "--assume", "client.name=absent"

static void expect_in(const struct called *c, const char *text)
{
    cr_expect(strstr(c->out, text), "not in the output: %s\n%s%s", text, c->out, c->error);
}

Test(explain, a_client_alone)
{
    struct called c = CALL(BASE, "--client", "192.0.2.1", "--time", "2026-11-21T20:15:00Z");
    cr_expect_eq(c.status, 0);
    expect_in(&c, "Client 192.0.2.1 at 2026-11-21T20:15:00.000Z, policy ");
    expect_in(&c, "    fcrdns                   pass  (assumed)\n");
    expect_in(&c, "    left out: no --helo\n");
    expect_in(&c, "    left out: no --message\n");
    expect_in(&c, "  connect no-reverse");
    expect_in(&c, "Verdict\n  none: mail goes on, the answer is the backend's (score 0)\n");
    called_clear(&c);
}

Test(explain, b_every_stage_in_text)
{
    struct called c = CALL(BASE, "--client", "192.0.2.1", "--helo", "mx.our.test", "--assume", "helo.dns=none", "--from", "a@b.example", "--assume",
                           "mail.dns=mx", "--to", "u@our.test", "--to", "Postmaster", "--to", "x@elsewhere.example", "--to", "a%b@our.test",
                           "--message", message);
    cr_expect_eq(c.status, 0, "%s", c.error);
    expect_in(&c, "    helo.ours                yes\n");
    expect_in(&c, "    mail.domain              b.example\n");
    expect_in(&c, "Recipient <u@our.test>\n");
    expect_in(&c, "    rcpt.domain              our.test\n");
    expect_in(&c, "would reject");
    expect_in(&c, "    dnsbl.listed             (none)\n");
    expect_in(&c, "  rcpt     not asked: no rule can allow this\n");
    expect_in(&c, "  reject by Postern itself, whatever the rules say (score 3)\n    550 5.7.1 Relaying denied\n");
    expect_in(&c, "550 5.7.1 Relaying denied: routing characters in local part\n");
    expect_in(&c, "    msg.received             1\n");
    expect_in(&c, "452 4.5.3 Send this recipient in another message");
    called_clear(&c);
}

/* The text of "verdict" at the end, and of member `name` of the first recipient. */
static void expect_verdict(const struct called *c, const char *verdict)
{
    struct arena arena = {0};
    struct json_reader r;
    struct json_event first;
    json_read_init(&r, str_of(c->out), &arena);
    first = json_next(&r);
    cr_expect(json_skip(&r, first), "not JSON: %s", c->out);
    cr_expect_eq(json_next(&r).kind, JSON_END);
    const char *at = strstr(c->out, "\"trace\":[");
    for (const char *next = at; next; next = strstr(next + 1, "\"verdict\":"))
        at = next;
    cr_expect(at && strncmp(at, "\"verdict\":", 10) == 0 && strncmp(at + 10, verdict, strlen(verdict)) == 0, "%s", c->out);
    arena_clear(&arena);
}

#define MAIL "--helo", "h.example", "--assume", "helo.dns=match", "--from", "a@b.example"

Test(explain, c_json)
{
    struct called c = CALL(BASE, "--client", "2001:db8::1", MAIL, "--assume", "mail.dns=mx", "--to", "u@our.test", "--json");
    cr_expect_eq(c.status, 0);
    cr_expect(strncmp(c.out, "{\"facts\":{\"client.ip\":\"2001:db8::1\",\"client.net\":\"2001:db8::/64\",\"client.name\":null,", 80) == 0, "%s", c.out);
    expect_in(&c, "\"recipients\":[{\"address\":\"u@our.test\",\"verdict\":{\"action\":\"none\",\"stage\":null,\"rule\":null,\"code\":null,");
    expect_in(&c, "{\"stage\":\"connect\",\"rule\":\"no-reverse\",\"result\":\"no\",\"saw\":{\"fcrdns\":\"pass\"}}");
    expect_verdict(&c, "{\"action\":\"none\",\"stage\":null,\"rule\":null,\"code\":null,\"enhanced\":null,\"text\":null,\"score\":0}}");
    called_clear(&c);
}

Test(explain, d_verdicts)
{
    struct called c = CALL(BASE, "--client", "192.0.2.1", MAIL, "--assume", "mail.dns=none", "--to", "u@our.test", "--json");
    expect_verdict(&c, "{\"action\":\"reject\",\"stage\":\"mail\",\"rule\":\"nowhere\",\"code\":550,\"enhanced\":\"5.7.1\",\"text\":\"no such domain\"");
    called_clear(&c);
    c = CALL(BASE, "--client", "192.0.2.1", MAIL, "--assume", "mail.dns=none", "--to", "postmaster@our.test", "--json");
    expect_verdict(&c, "{\"action\":\"accept\",\"stage\":\"rcpt\",\"rule\":\"postmaster\",\"code\":null");
    called_clear(&c);
    c = CALL(BASE, "--client", "192.0.2.77", MAIL, "--assume", "mail.dns=none", "--to", "u@our.test", "--message", message, "--json");
    expect_verdict(&c, "{\"action\":\"accept\",\"stage\":\"connect\",\"rule\":\"friend\",\"code\":null");
    called_clear(&c);
    c = CALL(BASE, "--client", "192.0.2.1", MAIL, "--assume", "mail.dns=mx", "--to", "u@our.test", "--assume", "msg.size=2K", "--message", message, "--json");
    expect_verdict(&c, "{\"action\":\"tempfail\",\"stage\":\"data\",\"rule\":\"big\",\"code\":451,\"enhanced\":\"4.7.1\"");
    called_clear(&c);
    c = CALL(BASE, "--client", "192.0.2.1", MAIL, "--assume", "mail.dns=mx", "--to", "u@elsewhere.example", "--json");
    expect_verdict(&c, "{\"action\":\"reject\",\"stage\":\"rcpt\",\"rule\":null,\"code\":550,\"enhanced\":\"5.7.1\",\"text\":\"Relaying denied\"");
    called_clear(&c);
}

Test(explain, e_classes_and_null_senders)
{
    struct called c = CALL(BASE, "--client", "192.0.2.1", MAIL, "--assume", "mail.dns=mx", "--to", "u@our.test", "--to", "slow@our.test", "--json");
    expect_in(&c, "{\"address\":\"slow@our.test\",\"verdict\":{\"action\":\"tempfail\",\"stage\":\"rcpt\",\"rule\":null,\"code\":452,\"enhanced\":\"4.5.3\"");
    called_clear(&c);
    c = CALL(BASE, "--client", "192.0.2.1", "--from", "<>", "--to", "u@our.test", "--to", "v@our.test", "--json");
    expect_in(&c, "{\"address\":\"v@our.test\",\"verdict\":{\"action\":\"tempfail\",\"stage\":\"rcpt\",\"rule\":null,\"code\":452,\"enhanced\":\"4.5.3\"");
    called_clear(&c);
}

/* A sender without a HELO name: the rules of later stages are asked, what they would know of the name is an error. */
Test(explain, f_a_hole_in_the_chain)
{
    write_file(policy, "stage rcpt\n  rule name: reject when helo.name = x\n  rule good: accept when helo.dns is error\n");
    struct called c = CALL(BASE, "--client", "192.0.2.1", "--to", "u@our.test", "--json");
    cr_expect_eq(c.status, 0, "%s", c.error);
    cr_expect_null(strstr(c.out, "\"facts\":{\"helo"));
    expect_verdict(&c, "{\"action\":\"accept\",\"stage\":\"rcpt\",\"rule\":\"good\"");
    called_clear(&c);
}

/* What if? A rate is seen where it is first known, and where the rule reads it. */
Test(explain, rates)
{
    struct called c = CALL(BASE, "--client", "192.0.2.1", MAIL, "--assume", "mail.dns=mx", "--to", "u@our.test", "--assume", "rate.hourly=120");
    cr_expect_eq(c.status, 0, "%s", c.error);
    expect_in(&c, "    rate.hourly              120  (assumed)\n");
    expect_in(&c, "    rate.daily               0\n");
    expect_in(&c, "tempfail by rule much of stage rcpt");
    expect_in(&c, "    451 4.7.1 120 an hour\n");
    called_clear(&c);
    c = CALL(BASE, "--client", "192.0.2.1", MAIL, "--assume", "mail.dns=mx", "--to", "u@our.test");
    expect_in(&c, "    rate.hourly              0\n");
    expect_in(&c, "Verdict\n  none");
    called_clear(&c);
    c = CALL(BASE, "--client", "192.0.2.1", MAIL, "--assume", "mail.dns=mx", "--to", "u@our.test", "--assume", "rate.hourly=error");
    expect_in(&c, "Verdict\n  none");
    called_clear(&c);
    c = CALL(BASE, "--client", "192.0.2.1", "--helo", "h.example", "--assume", "helo.dns=match", "--from", "<>", "--to", "u@our.test");
    expect_in(&c, "    rate.daily               (absent)\n");
    called_clear(&c);
}

/* What the configured store remembers is read, and nothing is written to it; one that cannot be used is an error, not an empty one. */
Test(explain, store)
{
    char path[128], text[512];
    snprintf(path, sizeof path, "%s/postern.db", directory);
    snprintf(text, sizeof text, CONFIG "store-path \"%s\"\n", path);
    write_file(config, text);
    write_file(policy, "rate hourly recipients by client.net over 1h\nstage rcpt\n  rule new: greylist 5m when rate.hourly = 0\n");
    struct called c = CALL(BASE, "--client", "192.0.2.1", MAIL, "--assume", "spf=none", "--to", "u@our.test");
    expect_in(&c, "    greylist.known           no\n");
    cr_expect_neq(access(path, F_OK), 0, "no file is made");
    called_clear(&c);
    c = CALL("grey", "--config", config, "allow", "192.0.2.0/24");
    cr_expect_eq(c.status, 0, "%s", c.error);
    called_clear(&c);
    c = CALL(BASE, "--client", "192.0.2.1", MAIL, "--assume", "spf=none", "--to", "u@our.test");
    expect_in(&c, "    greylist.known           yes\n");
    expect_in(&c, "    rate.hourly              0\n");
    expect_in(&c, "Verdict\n  none");
    called_clear(&c);
    c = CALL(BASE, "--client", "192.0.3.1", MAIL, "--assume", "spf=none", "--to", "u@our.test");
    expect_in(&c, "Verdict\n  tempfail by rule new");
    called_clear(&c);
    c = CALL("grey", "--config", config, "stats");
    cr_expect(strstr(c.out, "greylist: 0 rows"), "who is explained leaves no trace: %s%s", c.out, c.error);
    called_clear(&c);
    static const char *const files[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char file[160];
        snprintf(file, sizeof file, "%s%s", path, files[i]);
        unlink(file);
    }
    write_file(path, "this is no database, and long enough that nobody can take it for an empty one: it has no header, nor pages");
    c = CALL(BASE, "--client", "192.0.2.1", MAIL, "--assume", "spf=none", "--to", "u@our.test");
    expect_in(&c, "    greylist.known           (error: ");
    expect_in(&c, "    rate.hourly              (error: ");
    expect_in(&c, "Verdict\n  none");
    called_clear(&c);
    unlink(path);
}

static const struct { const char *more[4]; const char *error; } wrong[] = {
    {{"--client", "300.1.1.1"}, "--client: '300.1.1.1' is not an IP address"},
    {{"--client", "192.0.2.1", "--to", "<>"}, "--to: '<>' is not an address"},
    {{"--client", "192.0.2.1", "--time", "noon"}, "--time: 'noon' is not a time"},
    {{"--client", "192.0.2.1", "--assume", "fcrdns"}, "--assume: write FACT=VALUE, not 'fcrdns'"},
    {{"--client", "192.0.2.1", "--assume", "fcrdsn=pass"}, "--assume: unknown fact 'fcrdsn'; did you mean 'fcrdns'?"},
    {{"--client", "192.0.2.1", "--assume", "zzzzzzzzzzzz=1"}, "--assume: unknown fact 'zzzzzzzzzzzz'\n"},
    {{"--client", "192.0.2.1", "--assume", "tls=perhaps"}, "--assume: tls: expected "},
    {{"--client", "192.0.2.1", "--assume", "fcrdns=none"}, "--assume: fcrdns is assumed twice"},
    {{"--client", "192.0.2.1", "--assume", "score=5"}, "--assume: the score is counted by the rules"},
    {{"--client", "192.0.2.1", "--assume", "mail.dns=mx"}, "--assume: mail.dns is of stage mail, which is left out without --from"},
    {{"--client", "192.0.2.1", "--assume", "rate.daily=1"}, "--assume: rate.daily is of stage mail, which is left out without --from"},
    {{"--client", "192.0.2.1", "--assume", "rate.hourley=1"}, "--assume: unknown fact 'rate.hourley'; did you mean 'rate.hourly'?"},
    {{"--client", "192.0.2.1", "--assume", "rate.hourly=many"}, "--assume: rate.hourly: expected a number, 0 or more\n"},
    {{"--client", "192.0.2.1", "--assume", "rate.hourly=-1"}, "--assume: rate.hourly: expected a number, 0 or more\n"},
    {{"--client", "192.0.2.1", "--assume", "manners.errors=-1"}, "--assume: manners.errors: expected a number, 0 or more\n"},
    {{"--client", "192.0.2.1", "--assume", "dnsbl.listed=zen"}, "--assume: dnsbl.listed: the policy declares no list `dnsbl zen`\n"},
    {{"--client", "192.0.2.1", "--message", "/nonexistent"}, "cannot read the message /nonexistent: No such file or directory"},
    {{"--client", "192.0.2.1", "--resolver", "127.0.0.1:0"}, "--resolver: '127.0.0.1:0' is not HOST:PORT"},
};

Test(explain, g_wrong_calls)
{
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *const arguments[] = {BASE, wrong[i].more[0], wrong[i].more[1], wrong[i].more[2], wrong[i].more[3], NULL};
        struct called c = call_program(arguments);
        cr_expect_neq(c.status, 0, "%zu", i);
        cr_expect_str_eq(c.out, "", "%zu", i);
        cr_expect(strstr(c.error, wrong[i].error), "%zu: %s", i, c.error);
        called_clear(&c);
    }
}

Test(explain, h_errors_of_files)
{
    write_file(policy, "stage connect\n  rule x: reject when fcrdsn = pass\n");
    write_file(message, "");
    struct called c = CALL(BASE, "--client", "192.0.2.1", "--json");
    cr_expect_eq(c.status, 1);
    cr_expect_str_eq(c.out, "");
    cr_expect(strstr(c.error, "p.policy:2:"), "%s", c.error);
    called_clear(&c);
    write_file(config, "hostname x.example\n");
    c = CALL(BASE, "--client", "192.0.2.1", "--json");
    cr_expect_eq(c.status, 1);
    cr_expect(strstr(c.error, "'domains' is not set"), "%s", c.error);
    called_clear(&c);
}

/* What no session would take as a sender is judged all the same, and named on the error stream without its bytes going to a terminal. */
static const struct { const char *from, *mail_from, *spf_domain, *said; } senders[] = {
    {"", "\"mail.from\":\"\",", "\"spf.domain\":\"h.example\",", ""},
    {"<>", "\"mail.from\":\"\",", "\"spf.domain\":\"h.example\",", ""},
    {"<a@b.example>", "\"mail.from\":\"a@b.example\",", "\"spf.domain\":\"b.example\",", ""},
    {"\xc3\xa4@b\xc3\xbc" "cher.example", "\"mail.from\":\"\xc3\xa4@b\xc3\xbc" "cher.example\",", "\"spf.domain\":\"xn--bcher-kva.example\",", ""},
    {"@b.example", "\"mail.from\":\"@b.example\",", "\"spf.domain\":\"b.example\",", "refuses '@b.example' with 501"},
    {"b.example", "\"mail.from\":\"b.example\",", "\"spf.domain\":\"b.example\",", "refuses 'b.example' with 501"},
    {"a@b.example.", "\"mail.from\":\"a@b.example.\",", "\"spf.domain\":\"b.example\",", "refuses 'a@b.example.' with 501"},
    {"\x1b[2J@b.example", "\"mail.from\":\"\\u001b[2J@b.example\",", "\"spf.domain\":\"b.example\",", "refuses '\\x1b[2J@b.example' with 501"},
    {"\xff@b.example", "@b.example\",", "\"spf.domain\":\"b.example\",", "refuses '\\xff@b.example' with 501"},
};

Test(explain, h_senders_of_every_kind)
{
    for (size_t i = 0; i < sizeof senders / sizeof senders[0]; i++) {
        struct called c = CALL(BASE, "--client", "192.0.2.1", "--helo", "h.example", "--from", senders[i].from, "--json");
        cr_expect_eq(c.status, 0);
        expect_verdict(&c, "{\"action\":\"none\"");
        expect_in(&c, senders[i].mail_from);
        expect_in(&c, senders[i].spf_domain);
        expect_in(&c, "\"spf\":\"temperror\"");
        cr_expect(senders[i].said[0] ? strstr(c.error, senders[i].said) != NULL : c.error[0] == '\0', "%zu: %s", i, c.error);
        called_clear(&c);
    }
}

/* Asked, never answered: errors in the facts, in time. */
Test(explain, i_a_resolver_that_never_answers, .timeout = 60)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    char where[64];
    cr_assert_eq(bind(fd, (struct sockaddr *)&at, size), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    snprintf(where, sizeof where, "127.0.0.1:%u", ntohs(at.sin_port));
    write_file(config, CONFIG "fcrdns-deadline 150ms\nhelo-deadline 150ms\ndnsbl-deadline 150ms\nsender-deadline 150ms\nspf-deadline 150ms\n"
               "dns-timeout 100ms\ndns-tries 1\n");
    write_file(policy, "dnsbl zen \"zen.example\"\n" POLICY);
    struct called c = CALL("explain", "--config", config, "--resolver", where, "--client", "192.0.2.1", "--helo", "h.example", "--from", "a@b.example", "--json");
    cr_expect_eq(c.status, 0, "%s", c.error); /* that it ends at all is the point: the test has a time limit */
    expect_in(&c, "\"fcrdns\":{\"error\":");
    expect_in(&c, "\"dnsbl.zen\":{\"error\":");
    expect_in(&c, "\"helo.dns\":{\"error\":");
    expect_in(&c, "\"mail.dns\":{\"error\":");
    expect_in(&c, "\"spf\":\"temperror\"");
    expect_in(&c, "\"spf.helo\":\"temperror\"");
    expect_verdict(&c, "{\"action\":\"none\"");
    called_clear(&c);
    close(fd);
}

/* dnsbl.listed is a set of the policy's own lists. */
Test(explain, j_lists_that_are_assumed)
{
    static const struct { const char *assumed, *error; } cases[] = {
        {"dnsbl.listed=zen, zem", "--assume: dnsbl.listed: the policy declares no list `dnsbl zem`; did you mean 'zen'?\n"},
        {"dnsbl.listed=listed", "--assume: dnsbl.listed: the policy declares no list `dnsbl listed`\n"},
        {"dnswl.listed=zen", "--assume: dnswl.listed: the policy declares no list `dnswl zen`\n"},
        {"dnsbl.listed=good", "--assume: dnsbl.listed: the policy declares no list `dnsbl good`\n"},
        {"dnsbl.listed={}", NULL}, {"dnsbl.listed=absent", NULL}, {"dnsbl.listed=error: why", NULL}, {"dnsbl.listed=zen", NULL},
    };
    write_file(policy, "dnsbl zen \"zen.example\"\ndnswl good \"good.example\"\nstage connect\n"
                       "  rule listed: reject when dnsbl.listed in { zen }\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct called c = CALL(BASE, "--client", "192.0.2.1", "--assume", "dnsbl.zen={}", "--assume", "dnswl.good={}", "--assume", cases[i].assumed);
        if (cases[i].error)
            cr_expect(strstr(c.error, cases[i].error), "%s: %s", cases[i].assumed, c.error);
        cr_expect_eq(c.status, cases[i].error ? 2 : 0, "%s: %s", cases[i].assumed, c.error);
        cr_expect_eq(strstr(c.out, "reject by rule listed") != NULL, i + 1 == sizeof cases / sizeof cases[0], "%s", c.out);
        called_clear(&c);
    }
}
