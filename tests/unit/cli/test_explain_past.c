/* `postern explain --id`: which records of which journals, in words and as they are; what the policy of now would say; wrong calls. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli_call.h"

#define RECORD(id, session)                                                                                                                    \
    "{\"v\":1,\"id\":\"" id "\",\"session\":\"" session "\",\"time\":\"2026-11-21T20:00:00.000Z\",\"client\":\"203.0.113.9\",\"port\":40000,"  \
    "\"listener\":\"*:25\",\"esmtp\":true,\"tls\":true,\"policy\":{\"path\":\"old.policy\",\"digest\":\"0123\"},\"declared\":{},"              \
    "\"negative_limit\":10,\"help\":\"\",\"stages\":{\"connect\":{\"facts\":{\"client.ip\":[\"203.0.113.9\",0]},"                              \
    "\"verdict\":{\"action\":\"none\"},\"trace\":[]}},\"recipients\":[],\"verdict\":\"none\",\"reply\":\"\",\"by\":null,"                      \
    "\"end\":\"reset\",\"backend\":\"\",\"ms\":5}\n"

static char directory[48], config[80], policy[80], journal[80], older[80];

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    cr_assert(f);
    fputs(text, f);
    fclose(f);
}

static void set_up(void)
{
    strcpy(directory, "/tmp/postern-past-XXXXXX");
    cr_assert(mkdtemp(directory));
    snprintf(config, sizeof config, "%s/postern.conf", directory);
    snprintf(policy, sizeof policy, "%s/p.policy", directory);
    snprintf(journal, sizeof journal, "%s/journal", directory);
    snprintf(older, sizeof older, "%s/journal.1", directory);
    write_file(config, "hostname mx.our.test\ndomains our.test\nlisten 127.0.0.1:0\nbackend 127.0.0.1:1\npolicy \"p.policy\"\njournal \"journal\"\n");
    write_file(policy, "stage rcpt\n  rule all: tempfail\n");
    write_file(journal, RECORD("AAAAAAAAAA.1", "AAAAAAAAAA") "broken AAAAAAAAAA.1\n" RECORD("AAAAAAAAAA.2", "AAAAAAAAAA") RECORD("BBBBBBBBBB.1", "BBBBBBBBBB"));
    write_file(older, RECORD("CCCCCCCCCC.1", "CCCCCCCCCC"));
}

static void tear_down(void)
{
    unlink(config);
    unlink(policy);
    unlink(journal);
    unlink(older);
    rmdir(directory);
}

TestSuite(explain_past, .init = set_up, .fini = tear_down);

static void expect_call(struct called c, int status, const char *out, const char *error)
{
    cr_expect_eq(c.status, status, "%d: %s%s", c.status, c.out, c.error);
    cr_expect(*out ? strstr(c.out, out) != NULL : !*c.out, "not in the output: %s\n%s", out, c.out);
    cr_expect(*error ? strstr(c.error, error) != NULL : !*c.error, "not in what was complained of: %s\n%s", error, c.error);
    called_clear(&c);
}

Test(explain_past, one_transaction_however_the_id_is_written)
{
    static const char *const ids[] = {"AAAAAAAAAA.2", "[AAAAAAAAAA.2]", " [aaaaaaaaaa.2] "};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        struct called c = CALL("explain", "--config", config, "--id", ids[i]);
        cr_expect_eq(c.status, 0, "%s: %s", ids[i], c.error);
        cr_expect(strstr(c.out, "Transaction AAAAAAAAAA.2 at 2026-11-21T20:00:00.000Z\nClient 203.0.113.9 port 40000 at *:25, TLS\n"), "%s", c.out);
        cr_expect(!strstr(c.out, "AAAAAAAAAA.1") && !strstr(c.out, "----"), "%s", c.out);
        called_clear(&c);
    }
}

Test(explain_past, a_session_is_all_its_transactions)
{
    struct called c = CALL("explain", "--config", config, "--id", "AAAAAAAAAA");
    char *first = strstr(c.out, "Transaction AAAAAAAAAA.1 "), *gap = strstr(c.out, "\n----\n"), *second = strstr(c.out, "Transaction AAAAAAAAAA.2 ");
    cr_expect(first && gap && second && first < gap && gap < second, "%s", c.out);
    cr_expect(!strstr(c.out, "BBBBBBBBBB"), "%s", c.out);
    called_clear(&c);
}

Test(explain_past, what_the_policy_of_now_would_say)
{
    expect_call(CALL("explain", "--config", config, "--id", "BBBBBBBBBB.1"), 0, "none, for the same reasons\n", "");
    write_file(policy, "stage connect\n  rule all: reject\n");
    expect_call(CALL("explain", "--config", config, "--id", "BBBBBBBBBB.1"), 0, "was none, now reject by all; first difference: connect: ", "");
    struct called c = CALL("explain", "--journal", journal, "--id", "BBBBBBBBBB.1");
    cr_expect(c.status == 0 && !strstr(c.out, "policy of now"), "%s", c.out);
    called_clear(&c);
    write_file(policy, "stage connct\n");
    expect_call(CALL("explain", "--config", config, "--id", "BBBBBBBBBB.1"), 1, "", "p.policy:1:7: error: ");
}

Test(explain_past, other_journals_and_json)
{
    expect_call(CALL("explain", "--config", config, "--journal", journal, "--journal", older, "--id", "CCCCCCCCCC"), 0, "Transaction CCCCCCCCCC.1 ", "");
    struct called c = CALL("explain", "--journal", older, "--id", "CCCCCCCCCC.1", "--json");
    cr_expect_str_eq(c.out, RECORD("CCCCCCCCCC.1", "CCCCCCCCCC"));
    called_clear(&c);
}

Test(explain_past, what_is_not_there)
{
    expect_call(CALL("explain", "--config", config, "--id", "CCCCCCCCCC.1"), 1, "", "postern explain: no record of CCCCCCCCCC.1 in ");
    expect_call(CALL("explain", "--journal", "/nonexistent/x", "--id", "A"), 1, "", "cannot read the journal /nonexistent/x: No such file or directory\n");
    expect_call(CALL("explain", "--journal", directory, "--id", "A"), 1, "", "Is a directory\n");
    write_file(config, "hostname mx.our.test\ndomains our.test\nlisten 127.0.0.1:0\nbackend 127.0.0.1:1\npolicy \"p.policy\"\n");
    expect_call(CALL("explain", "--config", config, "--id", "A"), 1, "", "names no journal: nothing was kept; set `journal FILE`\n");
    write_file(config, "hostnam mx.our.test\n");
    expect_call(CALL("explain", "--config", config, "--id", "A"), 1, "", "unknown setting 'hostnam'");
}

Test(explain_past, called_wrongly)
{
    expect_call(CALL("explain", "--id", "A"), 2, "", "--id needs --config FILE, whose journal is read, or --journal FILE\n");
    expect_call(CALL("explain", "--config", config, "--id", "[]"), 2, "", "--id: '[]' is not what stands in brackets behind a refusal");
    expect_call(CALL("explain", "--config", config, "--id", "A", "--client", "192.0.2.1"), 2, "", "only --config, --journal and --json go with it\n");
    expect_call(CALL("explain", "--config", config, "--id", "A", "--assume", "spf=pass"), 2, "", "only --config, --journal and --json go with it\n");
}
