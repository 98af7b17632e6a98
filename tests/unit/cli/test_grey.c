/* `postern grey`: what it shows and changes in a store of SQLite, of whom; stores that cannot be used; wrong calls. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli_call.h"
#include "postern/store/open.h"

struct place { char directory[32], config[64], policy[64], db[64]; };

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
}

static void place_make(struct place *p)
{
    char text[400];
    strcpy(p->directory, "/tmp/postern-grey-XXXXXX");
    cr_assert_not_null(mkdtemp(p->directory));
    snprintf(p->config, sizeof p->config, "%s/postern.conf", p->directory);
    snprintf(p->policy, sizeof p->policy, "%s/x.policy", p->directory);
    snprintf(p->db, sizeof p->db, "%s/x.db", p->directory);
    write_file(p->policy, "stage rcpt\n  rule all: greylist 5m\n");
    snprintf(text, sizeof text, "hostname mx.test\ndomains our.test\nlisten 127.0.0.1:2525\nbackend 127.0.0.1:2526\npolicy \"%s\"\nstore sqlite\nstore-path \"%s\"\n",
             p->policy, p->db);
    write_file(p->config, text);
}

static void place_remove(struct place *p)
{
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", p->directory);
    cr_assert_eq(system(command), 0);
}

static void says(const struct place *p, const char *what, const char *operand, int status, const char *out, const char *error)
{
    struct called c = operand ? CALL("grey", "--config", p->config, what, operand) : CALL("grey", "--config", p->config, what);
    cr_expect_eq(c.status, status, "%s %s: %d %s", what, operand ? operand : "", c.status, c.error);
    cr_expect(*out ? strstr(c.out, out) != NULL : !*c.out, "%s %s: %s", what, operand ? operand : "", c.out);
    cr_expect(strstr(c.error, error), "%s %s: %s", what, operand ? operand : "", c.error);
    called_clear(&c);
}

/* A store of the proxy's, with what it knows: rows of who, sender, recipient, and clients that have passed. */
static void place_fill(const struct place *p)
{
    static const struct { const char *row, *client; } known[] = {
        {"203.0.113.0/24 a@one.example u@our.test", "203.0.113.0/24 one.example"},
        {"203.0.113.0/24 <>client.example u@our.test", NULL},
        {"2001:db8:1:2::/64 b@two.example u@our.test", "2001:db8:1:2::/64 two.example"},
        {"bank.example #@bank.example u@our.test", "bank.example bank.example"},
        {"mail.bank.example #@news.bank.example v@our.test", "mail.bank.example news.bank.example"},
        {"198.51.100.0/24 x@bank.example u@our.test", "198.51.100.0/24 bank.example"},
        {"notbank.example y@other.example u@our.test", "notbank.example other.example"},
    };
    struct loop *l = loop_new();
    struct store *s = store_sqlite(l, p->db);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct store_operation op = {.kind = STORE_PASSED, .mode = STORE_TOUCH, .key = str_of(known[i].row), .client = str_of(known[i].client),
                                     .passes_known = 2, .now_ms = loop_wall(l), .ttl_ms = 3600000};
        store_record(s, &op);
    }
    store_free(&s); /* waits until all is written */
    loop_free(&l);
}

/* The keys that `list` prints, one a line. */
static void lists(const struct place *p, const char *operand, const char *keys)
{
    struct called c = operand ? CALL("grey", "--config", p->config, "list", operand) : CALL("grey", "--config", p->config, "list");
    struct buf got = {0};
    struct str rest = str_of(c.out), line;
    while (str_split(&rest, '\n', &line)) {
        if (!line.n || line.p[0] == ' ')
            continue;
        buf_str(&got, line);
        buf_char(&got, '\n');
    }
    cr_expect_eq(c.status, 0, "%s", c.error);
    cr_expect(str_eq(buf_view(&got), str_of(keys)), "list %s: %.*s", operand ? operand : "", STR_ARG(buf_view(&got)));
    buf_free(&got);
    called_clear(&c);
}

Test(grey, rulings_come_and_go)
{
    struct place p;
    place_make(&p);
    says(&p, "allow", "203.0.113.9", 0, "net 203.0.113.9/32\n    allowed for ever, since ", "");
    says(&p, "deny", "Bank.Example", 0, "domain bank.example\n    denied for ever, since ", "");
    says(&p, "list", NULL, 0, "net 203.0.113.9/32\n    allowed for ever", "");
    says(&p, "list", "domain", 0, "domain bank.example\n", "");
    says(&p, "show", "203.0.113.9/32", 0, "    allowed for ever, since ", "");
    says(&p, "show", "domain bank.example", 0, ", where SPF or, in stage data, DKIM passes for it\n", "");
    says(&p, "show", "203.0.113.8", 1, "", "nothing was allowed or denied that holds for '203.0.113.8'");
    says(&p, "stats", NULL, 0, "greylist: 0 rows, 0 expired, 0 passed\nclients: 0 rows", "");
    says(&p, "stats", NULL, 0, "allowed or denied: 2 rows, 0 expired, 1 allowed\n", "");
    says(&p, "forget", "203.0.113.9", 0, "forgotten: net 203.0.113.9/32\n", "");
    says(&p, "forget", "203.0.113.9", 1, "", "nothing is known of '203.0.113.9'");
    says(&p, "show", "b c d", 1, "", "nothing is known of 'b c d'; keys are written as `list` shows them");
    says(&p, "list", "net", 0, "", "");
    place_remove(&p);
}

/* What holds for somebody: the most precise first; what is narrower or beside it does not. */
Test(grey, show_says_what_holds)
{
    static const struct { const char *whom, *rulings; } table[] = {
        {"203.0.113.9", "net 203.0.113.9/32 net 203.0.113.0/24 net 203.0.0.0/8 "},
        {"203.0.113.10", "net 203.0.113.0/24 net 203.0.0.0/8 "},
        {"203.0.113.0/25", "net 203.0.113.0/24 net 203.0.0.0/8 "},
        {"2001:db8:1:2::9", "net 2001:db8:1::/48 net 2001:db8::/32 "},
        {"2001:db8:2::/64", "net 2001:db8::/32 "},
        {"bank.example", "domain bank.example "},
        {"a.mail.Bank.Example.", "domain mail.bank.example domain bank.example "},
        {"net 203.0.113.0/24", "net 203.0.113.0/24 "},
    };
    static const char *const allowed[] = {"203.0.113.9", "203.0.113.0/24", "203.0.0.0/8", "2001:db8::/32", "2001:db8:1::/48", "bank.example", "mail.bank.example"};
    struct place p;
    place_make(&p);
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        struct called c = CALL("grey", "--config", p.config, "allow", allowed[i]);
        cr_assert_eq(c.status, 0, "%s", c.error);
        called_clear(&c);
    }
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct called c = CALL("grey", "--config", p.config, "show", table[i].whom);
        struct buf got = {0};
        struct str rest = str_of(c.out), line;
        while (str_split(&rest, '\n', &line))
            if (line.n && line.p[0] != ' ')
                buf_printf(&got, "%.*s ", STR_ARG(line));
        cr_expect(str_eq(buf_view(&got), str_of(table[i].rulings)), "%s: %.*s", table[i].whom, STR_ARG(buf_view(&got)));
        buf_free(&got);
        called_clear(&c);
    }
    place_remove(&p);
}

Test(grey, list_whom)
{
    static const struct { const char *whom, *keys; } table[] = {
        {"203.0.113.9", "203.0.113.0/24 one.example\n203.0.113.0/24 <>client.example u@our.test\n203.0.113.0/24 a@one.example u@our.test\n"},
        {"203.0.112.0/20", "203.0.113.0/24 one.example\n203.0.113.0/24 <>client.example u@our.test\n203.0.113.0/24 a@one.example u@our.test\n"},
        {"203.0.114.9", ""},
        {"2001:db8:1:2:3::4", "2001:db8:1:2::/64 two.example\n2001:db8:1:2::/64 b@two.example u@our.test\n"},
        {"client.example", "203.0.113.0/24 <>client.example u@our.test\n"},
        {"mail.bank.example", "mail.bank.example news.bank.example\nmail.bank.example #@news.bank.example v@our.test\n"},
        {"bank.example", "198.51.100.0/24 bank.example\nbank.example bank.example\nmail.bank.example news.bank.example\n"
                         "198.51.100.0/24 x@bank.example u@our.test\nbank.example #@bank.example u@our.test\n"
                         "mail.bank.example #@news.bank.example v@our.test\n"},
        {"203.0.113.0/24 a", "203.0.113.0/24 a@one.example u@our.test\n"}, /* the beginning of a key */
        {"notb", "notbank.example other.example\nnotbank.example y@other.example u@our.test\n"},
    };
    struct place p;
    place_make(&p);
    place_fill(&p);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        lists(&p, table[i].whom, table[i].keys);
    says(&p, "list", "bank.example", 0, "bank.example bank.example\n    client: first ", "");
    says(&p, "stats", "bank.example", 0, "greylist: 3 rows, 0 expired, 3 passed\nclients: 3 rows, 0 expired, 3 passed\nallowed or denied: 0 rows", "");
    says(&p, "stats", NULL, 0, "greylist: 7 rows, 0 expired, 7 passed\nclients: 6 rows, 0 expired, 6 passed\n", "");
    place_remove(&p);
}

/* A key is one row; whom is all of them, and what was allowed of just him. */
Test(grey, forget)
{
    struct place p;
    place_make(&p);
    place_fill(&p);
    says(&p, "allow", "203.0.113.9", 0, "allowed", "");
    says(&p, "allow", "203.0.113.0/24", 0, "allowed", "");
    says(&p, "forget", "203.0.113.0/24 a@one.example u@our.test", 0,
         "forgotten: 203.0.113.0/24 a@one.example u@our.test\nstill there: the client '203.0.113.0/24 one.example', passed 1\n", "");
    says(&p, "forget", "203.0.113.0/24 a@one.example u@our.test", 1, "", "nothing is known of");
    says(&p, "forget", "203.0.113.0/24 <>client.example u@our.test", 0, "forgotten: ", "");
    says(&p, "forget", "203.0.113.9", 0, "forgotten: net 203.0.113.9/32\nforgotten: 203.0.113.0/24 one.example\n", "");
    lists(&p, "203.0.113.9", "net 203.0.113.0/24\n");
    says(&p, "forget", "net 203.0.113.0/24", 0, "forgotten: net 203.0.113.0/24\n", "");
    says(&p, "deny", "bank.example", 0, "denied", "");
    says(&p, "forget", "BANK.example", 0, "forgotten: domain bank.example\n", "");
    lists(&p, NULL, "2001:db8:1:2::/64 two.example\nnotbank.example other.example\n2001:db8:1:2::/64 b@two.example u@our.test\n"
                    "notbank.example y@other.example u@our.test\n");
    says(&p, "forget", "bank.example", 1, "", "nothing is known of 'bank.example'");
    place_remove(&p);
}

Test(grey, whom_cannot_be_ruled_on)
{
    static const struct { const char *whom, *advice; } table[] = {
        {"203.0.113.9/24", "there are bits set behind its length; did you mean 203.0.113.0/24?"},
        {"203.0.0.0/7", "networks are IPv4 /8 to /32 and IPv6 /32"},
        {"2001:db8::/33", "networks are IPv4 /8 to /32 and IPv6 /32"},
        {"203.0.113.0/33", "write an address (203.0.113.9), a network"},
        {".bank.example", "write bank.example, which is the domain and all below it"},
        {"*.bank.example", "write bank.example, which is the domain and all below it"},
        {"a@bank.example", "for mail addresses there are lists in the policy"},
        {"203.0.113", "write an address (203.0.113.9), a network"},
        {"", "write an address (203.0.113.9), a network"},
    };
    struct place p;
    place_make(&p);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        says(&p, "allow", table[i].whom, 1, "", table[i].advice);
        says(&p, "deny", table[i].whom, 1, "", "cannot be allowed or denied");
    }
    says(&p, "allow", "m\xc3\xbcnchen.example", 0, "domain xn--mnchen-3ya.example\n", "");
    place_remove(&p);
}

/* Nothing is made where one only looks; what root makes belongs to the directory's owner. */
Test(grey, no_store_yet)
{
    static const char *const looks[] = {"list", "show", "forget", "stats"};
    struct place p;
    struct stat made;
    place_make(&p);
    for (size_t i = 0; i < sizeof looks / sizeof looks[0]; i++)
        says(&p, looks[i], "203.0.113.9", 1, "", "yet: the proxy makes it when it starts with this configuration");
    cr_expect_neq(access(p.db, F_OK), 0);
    bool root = geteuid() == 0;
    if (root)
        cr_assert_eq(chown(p.directory, 65534, 65534), 0);
    says(&p, "allow", "203.0.113.9", 0, "allowed", "");
    cr_assert_eq(stat(p.db, &made), 0);
    cr_expect_eq(made.st_uid, root ? 65534 : geteuid());
    cr_expect_eq(made.st_mode & 07777, 0640);
    says(&p, "show", "203.0.113.9", 0, "allowed", "");
    place_remove(&p);
}

Test(grey, a_store_that_cannot_be_used)
{
    static const struct { const char *store, *error; } table[] = {
        {"store memory\n", "`store memory` is the proxy's own, nobody else can look into it"},
        {"store sqlite\nstore-path \"/nonexistent/x.db\"\n", "there is no store /nonexistent/x.db yet"},
        {"store redis\nredis 127.0.0.1:1\n", "the store 127.0.0.1:1: the Redis server cannot be reached"},
        {"store redis\nredis unclear:port:9\n", "redis"},
    };
    struct place p;
    char text[400];
    place_make(&p);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        snprintf(text, sizeof text, "hostname mx.test\ndomains our.test\nlisten 127.0.0.1:2525\nbackend 127.0.0.1:2526\npolicy \"%s\"\n%s", p.policy, table[i].store);
        write_file(p.config, text);
        says(&p, "list", NULL, 1, "", table[i].error);
    }
    place_remove(&p);
    place_make(&p);
    write_file(p.db, "this is no database, and long enough that nobody can take it for an empty one: it has no header, nor pages");
    says(&p, "list", NULL, 1, "", "x.db: file is not a database");
    write_file(p.config, "hostnme mx.test\n");
    says(&p, "list", NULL, 1, "", "");
    place_remove(&p);
}

Test(grey, wrong_calls)
{
    struct place p;
    place_make(&p);
    says(&p, "allow", NULL, 2, "", "is needed");
    says(&p, "deny", NULL, 2, "", "is needed");
    says(&p, "show", NULL, 2, "", "is needed");
    says(&p, "forget", NULL, 2, "", "is needed");
    says(&p, "flush", NULL, 2, "", "is needed");
    says(&p, "allow", "203.0.113.9", 0, "allowed", "");
    says(&p, "stats", "all of them", 2, "", "write an address");
    struct called c = CALL("grey", "list");
    cr_expect(c.status == 2 && strstr(c.error, "--config FILE is needed"));
    called_clear(&c);
    c = CALL("grey", "--config", p.config, "list", "a", "b");
    cr_expect(c.status == 2 && strstr(c.error, "is needed"));
    called_clear(&c);
    place_remove(&p);
}
