/* What conditions mean: each test against each kind of value, lists, truth tables. */
#include "policy/policy_fixture.h"

struct condition_case {
    const char *when;   /* the condition of the only rule */
    const char *fact, *value; /* one fact; value NULL: unknown */
    char result;        /* y fired, n no, e error, u unknown */
};

static const char preamble[] =
    "dnsbl zen \"zen.example\"\nlist nets ip { 192.0.2.0/24, 2001:db8::/32, 198.51.100.7 }\n"
    "list partners domain { bank.example, .gov.example, Upper.Example. }\n"
    "list people address { Boss@our.test, @all.example, root@ }\n"
    "list words word { one, \"two words\", pass }\n"
    "mark bad\n";

static const struct condition_case cases[] = {
    /* yes or no */
    {"tls", "tls", "yes", 'y'}, {"tls", "tls", "no", 'n'}, {"not tls", "tls", "no", 'y'}, {"tls = no", "tls", "no", 'y'}, {"tls != no", "tls", "no", 'n'},
    {"tls", "tls", "absent", 'n'}, {"tls", "tls", "error", 'e'}, {"tls", "tls", NULL, 'u'}, {"not tls", "tls", "error", 'e'},
    {"not tls", "tls", NULL, 'u'}, {"not tls", "tls", "absent", 'y'}, {"tls != yes", "tls", "absent", 'y'}, {"marked.bad", "marked.bad", "yes", 'y'},
    /* numbers */
    {"manners.errors = 3", "manners.errors", "3", 'y'}, {"manners.errors != 3", "manners.errors", "3", 'n'},
    {"manners.errors < 3", "manners.errors", "3", 'n'}, {"manners.errors < 3", "manners.errors", "2", 'y'},
    {"manners.errors <= 3", "manners.errors", "3", 'y'}, {"manners.errors > 3", "manners.errors", "3", 'n'},
    {"manners.errors > 3", "manners.errors", "4", 'y'}, {"manners.errors >= 3", "manners.errors", "3", 'y'},
    {"manners.errors in 2-4", "manners.errors", "4", 'y'}, {"manners.errors in 2-4", "manners.errors", "5", 'n'},
    {"manners.errors in { 1, 5-6 }", "manners.errors", "5", 'y'}, {"manners.errors in { 1, 5-6 }", "manners.errors", "4", 'n'},
    {"manners.errors in -5-2", "manners.errors", "2", 'y'}, {"manners.errors in -5--2", "manners.errors", "2", 'n'},
    {"manners.errors > 9223372036854775807", "manners.errors", "9223372036854775807", 'n'},
    {"manners.errors < 3", "manners.errors", "absent", 'n'}, {"manners.errors > 3", "manners.errors", "error", 'e'},
    {"manners.errors != 3", "manners.errors", "error", 'e'}, {"manners.errors in 2-4", "manners.errors", NULL, 'u'},
    /* words */
    {"fcrdns = pass", "fcrdns", "pass", 'y'}, {"fcrdns = PASS", "fcrdns", "pass", 'y'}, {"fcrdns != pass", "fcrdns", "none", 'y'},
    {"fcrdns in { none, mismatch }", "fcrdns", "mismatch", 'y'}, {"fcrdns in { none, mismatch }", "fcrdns", "pass", 'n'},
    {"fcrdns in words", "fcrdns", "pass", 'y'}, {"fcrdns != pass", "fcrdns", "absent", 'y'}, {"fcrdns = pass", "fcrdns", "absent", 'n'},
    /* text */
    {"client.name = Host.Example", "client.name", "host.EXAMPLE", 'y'}, {"client.name = \"\"", "client.name", "", 'y'},
    {"client.name in { a, b.example }", "client.name", "B.example", 'y'}, {"client.name in { .b.example }", "client.name", "a.b.example", 'y'},
    {"client.name in { .b.example }", "client.name", "b.example", 'n'}, {"client.name in { .b.example }", "client.name", "ab.example", 'n'},
    {"client.name = .b.example", "client.name", "a.b.example", 'n'}, {"client.name like *.Dyn.*", "client.name", "h1.dyn.example", 'y'},
    {"client.name like \"h?.x\"", "client.name", "h1.x", 'y'}, {"client.name like \"h?.x\"", "client.name", "h.x", 'n'},
    {"client.name like *", "client.name", "absent", 'n'}, {"not client.name like *", "client.name", "absent", 'y'},
    {"client.name in words", "client.name", "Two Words", 'y'}, {"client.name in words", "client.name", "two", 'n'},
    /* lists of domains */
    {"client.name in partners", "client.name", "bank.example", 'y'}, {"client.name in partners", "client.name", "BANK.example.", 'y'},
    {"client.name in partners", "client.name", "www.bank.example", 'n'}, {"client.name in partners", "client.name", "a.gov.example", 'y'},
    {"client.name in partners", "client.name", "a.b.gov.example", 'y'}, {"client.name in partners", "client.name", "gov.example", 'n'},
    {"client.name in partners", "client.name", "xgov.example", 'n'}, {"client.name in partners", "client.name", "upper.example", 'y'},
    {"client.name in partners", "client.name", "", 'n'}, {"client.name in partners", "client.name", ".", 'n'},
    {"client.name in partners", "client.name", "absent", 'n'}, {"client.name in partners", "client.name", "error", 'e'},
    {"client.name in domains", "client.name", "other.test", 'y'}, {"client.name in domains", "client.name", "elsewhere.test", 'n'},
    /* addresses */
    {"client.ip = 192.0.2.1", "client.ip", "192.0.2.1", 'y'}, {"client.ip != 192.0.2.1", "client.ip", "192.0.2.2", 'y'},
    {"client.ip = ::ffff:192.0.2.1", "client.ip", "192.0.2.1", 'y'}, {"client.ip in nets", "client.ip", "192.0.2.77", 'y'},
    {"client.ip in nets", "client.ip", "198.51.100.8", 'n'}, {"client.ip in nets", "client.ip", "2001:db8::5", 'y'},
    {"client.ip in 10.0.0.0/8", "client.ip", "10.255.255.255", 'y'}, {"client.ip in 10.0.0.0/8", "client.ip", "11.0.0.0", 'n'},
    {"client.ip in 10.0.0.0/31", "client.ip", "10.0.0.2", 'n'}, {"client.ip in 2001:db8::/33", "client.ip", "2001:db8:7fff:ffff::", 'y'},
    {"client.ip in 2001:db8::/33", "client.ip", "2001:db8:8000::", 'n'}, {"client.ip in ::/0", "client.ip", "10.0.0.1", 'n'},
    {"client.ip in { 10.0.0.1, 192.0.2.0-192.0.2.9, ::/0 }", "client.ip", "192.0.2.9", 'y'},
    /* sets of addresses: any */
    {"dnsbl.zen in 127.0.0.2-127.0.0.3", "dnsbl.zen", "127.0.0.2, 127.0.0.10", 'y'},
    {"dnsbl.zen in { 127.0.0.4 }", "dnsbl.zen", "127.0.0.2, 127.0.0.10", 'n'}, {"dnsbl.zen in 127.0.0.0/8", "dnsbl.zen", "{}", 'n'},
    {"not dnsbl.zen in 127.0.0.0/8", "dnsbl.zen", "{}", 'y'}, {"dnsbl.zen in 127.0.0.0/8", "dnsbl.zen", "error: timeout", 'e'},
    {"dnsbl.zen in nets", "dnsbl.zen", "127.0.0.1,192.0.2.1", 'y'},
    /* sets of names: any */
    {"dnsbl.listed in { zen }", "dnsbl.listed", "abc, zen", 'y'}, {"dnsbl.listed in { zen }", "dnsbl.listed", "abc", 'n'},
    {"dnsbl.listed like z*", "dnsbl.listed", "abc, zen", 'y'}, {"dnsbl.listed like *", "dnsbl.listed", "{}", 'n'},
    {"dnsbl.listed in words", "dnsbl.listed", "zen,one", 'y'},
    /* is */
    {"fcrdns is error", "fcrdns", "error", 'y'}, {"fcrdns is error", "fcrdns", "none", 'n'}, {"fcrdns is absent", "fcrdns", "absent", 'y'},
    {"fcrdns is absent", "fcrdns", "error", 'n'}, {"fcrdns is known", "fcrdns", "pass", 'y'}, {"fcrdns is known", "fcrdns", "absent", 'n'},
    {"fcrdns is known", "fcrdns", "error", 'n'}, {"fcrdns is known", "fcrdns", NULL, 'u'}, {"not fcrdns is error", "fcrdns", "error", 'n'},
    {"dnsbl.zen is known", "dnsbl.zen", "{}", 'y'}, {"score is known", "tls", "yes", 'y'}, {"score is error", "tls", "yes", 'n'},
    {"score = 0", "tls", "yes", 'y'}, {"score < 0", "tls", "yes", 'n'},
    /* precedence */
    {"tls or fcrdns = pass and not tls", "tls", "yes", 'y'}, {"(tls or fcrdns = pass) and not tls", "tls", "yes", 'n'},
    {"not tls and tls", "tls", "no", 'n'}, {"not (tls and tls)", "tls", "no", 'y'}, {"not not tls", "tls", "yes", 'y'},
};

static char result_letter(const struct walk *w)
{
    static const char letters[] = {[RULE_NO] = 'n', [RULE_FIRED] = 'y', [RULE_UNKNOWN] = 'u', [RULE_ERROR] = 'e', [RULE_NOT_REACHED] = '-'};
    return letters[w->trace[0].result];
}

static char judge(const char *when, const char *fact, const char *value, enum stage stage)
{
    struct world w;
    struct buf text = {0};
    buf_printf(&text, "%sstage %s\n rule r: score 1 when %s\n%c", preamble, stage_names[stage], when, '\0');
    world_init(&w, text.p);
    if (value)
        world_set(&w, stage, fact, value);
    char result = result_letter(world_walk(&w, stage));
    cr_expect_eq(w.walk.done, result != 'u', "%s", when);
    world_clear(&w);
    buf_free(&text);
    return result;
}

Test(conditions, each_test_against_each_kind_of_value)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char have = judge(cases[i].when, cases[i].fact, cases[i].value, STAGE_CONNECT);
        cr_expect_eq(have, cases[i].result, "%s with %s=%s: expected %c, got %c", cases[i].when, cases[i].fact,
                     cases[i].value ? cases[i].value : "(unknown)", cases[i].result, have);
    }
}

Test(conditions, lists_of_mail_addresses_sizes_and_durations)
{
    static const struct condition_case later[] = {
        {"rcpt.address in people", "rcpt.address", "boss@OUR.test", 'y'}, {"rcpt.address in people", "rcpt.address", "other@our.test", 'n'},
        {"rcpt.address in people", "rcpt.address", "x@all.example", 'y'}, {"rcpt.address in people", "rcpt.address", "x@sub.all.example", 'n'},
        {"rcpt.address in people", "rcpt.address", "ROOT@any.example", 'y'}, {"rcpt.address in people", "rcpt.address", "\"a@b\"@all.example", 'y'},
        {"rcpt.address in people", "rcpt.address", "root", 'n'}, {"rcpt.address in people", "rcpt.address", "", 'n'},
        {"rcpt.address in people", "rcpt.address", "@", 'n'}, {"rcpt.address in { boss@our.test }", "rcpt.address", "BOSS@our.test", 'y'},
        {"rcpt.address in words", "rcpt.address", "one", 'y'},
        {"greylist.age >= 5m", "greylist.age", "5m", 'y'}, {"greylist.age < 1h30m", "greylist.age", "1h", 'y'}, {"greylist.age in 1m-2m", "greylist.age", "90s", 'y'},
    };
    for (size_t i = 0; i < sizeof(later) / sizeof(*later); i++)
        cr_expect_eq(judge(later[i].when, later[i].fact, later[i].value, STAGE_RCPT), later[i].result, "%s with %s", later[i].when, later[i].value);
    cr_expect_eq(judge("msg.size > 10M", "msg.size", "10485760", STAGE_DATA), 'n');
    cr_expect_eq(judge("msg.size > 10M", "msg.size", "10485761", STAGE_DATA), 'y');
    cr_expect_eq(judge("msg.size in { 1K-2K, 1G }", "msg.size", "2048", STAGE_DATA), 'y');
}

/* A text longer than any entry is in no list, and nothing is read past it. */
Test(conditions, very_long_texts_are_in_no_list)
{
    struct buf value = {0};
    for (int i = 0; i < 1000; i++)
        buf_cstr(&value, "a.");
    buf_cstr(&value, "gov.example");
    buf_char(&value, '\0');
    cr_expect_eq(judge("client.name in partners", "client.name", value.p, STAGE_CONNECT), 'n');
    cr_expect_eq(judge("client.name in { .gov.example }", "client.name", value.p, STAGE_CONNECT), 'y');
    buf_free(&value);
}

/* fcrdns, tls, manners.http and manners.early-talk stand for the operands. */
Test(conditions, truth_tables)
{
    static const char *const values[] = {"no", NULL, "error", "yes"}; /* false, unknown, error, true */
    static const char and_table[] = "nnnn" "nuuu" "nuee" "nuey";
    static const char or_table[] = "nuey" "uuuy" "euey" "yyyy";
    for (size_t a = 0; a < 4; a++) {
        for (size_t b = 0; b < 4; b++) {
            for (int is_or = 0; is_or < 2; is_or++) {
                struct world w;
                world_init(&w, is_or ? "stage connect\n rule r: score 1 when tls or manners.http\n"
                                     : "stage connect\n rule r: score 1 when tls and manners.http\n");
                if (values[a])
                    world_set(&w, STAGE_CONNECT, "tls", values[a]);
                if (values[b])
                    world_set(&w, STAGE_CONNECT, "manners.http", values[b]);
                char want = is_or ? or_table[a * 4 + b] : and_table[a * 4 + b];
                cr_expect_eq(result_letter(world_walk(&w, STAGE_CONNECT)), want, "%s %s %s: expected %c", values[a] ? values[a] : "unknown",
                             is_or ? "or" : "and", values[b] ? values[b] : "unknown", want);
                world_clear(&w);
            }
        }
    }
}

Test(conditions, by_name_and_large_lists)
{
    struct buf text = {0};
    buf_cstr(&text, "condition good: name-ok and not tls\ncondition name-ok: client.name in many\nlist many domain {\n");
    for (int i = 0; i < 20000; i++)
        buf_printf(&text, "host%d.example,\n", i);
    buf_cstr(&text, "}\nstage connect\n rule a: pass when good\n");
    buf_char(&text, '\0');
    struct world w;
    world_init(&w, text.p);
    world_set(&w, STAGE_CONNECT, "client.name", "host19999.example");
    world_set(&w, STAGE_CONNECT, "tls", "no");
    cr_expect_str_eq(world_verdict(&w, STAGE_CONNECT), "pass by a");
    world_reset(&w);
    world_set(&w, STAGE_CONNECT, "client.name", "host20000.example");
    cr_expect_str_eq(world_verdict(&w, STAGE_CONNECT), "none");
    world_clear(&w);
    buf_free(&text);
}
