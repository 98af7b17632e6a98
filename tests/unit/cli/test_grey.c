/* `postern grey`: what it shows and changes in a store of SQLite; wrong calls. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "cli_call.h"

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

Test(grey, rulings_come_and_go)
{
    struct place p;
    place_make(&p);
    says(&p, "list", NULL, 0, "", "");
    says(&p, "show", "203.0.113.9", 1, "", "nothing is known of '203.0.113.9'");
    says(&p, "allow", "203.0.113.9", 0, "", "");
    says(&p, "deny", "Bank.Example", 0, "", "");
    says(&p, "list", NULL, 0, "net 203.0.113.9/32\n    first ", "");
    says(&p, "list", "domain", 0, "domain bank.example\n", "");
    says(&p, "show", "203.0.113.9/32", 0, "for ever, passed 1\n", "");
    says(&p, "show", "domain bank.example", 0, "for ever, passed 0, denied 1\n", "");
    says(&p, "stats", NULL, 0, "greylist: 0 rows, 0 expired, 0 passed\nclients: 0 rows", "");
    says(&p, "stats", NULL, 0, "allowed or denied: 2 rows", "");
    says(&p, "forget", "203.0.113.9", 0, "", "");
    says(&p, "forget", "203.0.113.9", 1, "", "nothing is known");
    says(&p, "list", "net", 0, "", "");
    place_remove(&p);
}

Test(grey, wrong_calls)
{
    struct place p;
    place_make(&p);
    says(&p, "allow", "203.0.113.0/3", 1, "", "is no address, domain or network");
    says(&p, "allow", NULL, 2, "", "is needed");
    says(&p, "flush", NULL, 2, "", "is needed");
    says(&p, "stats", "all", 2, "", "is needed");
    struct called c = CALL("grey", "list");
    cr_expect(c.status == 2 && strstr(c.error, "--config FILE is needed"));
    called_clear(&c);
    place_remove(&p);
}
