/*
 * `postern check` over files of its own: what would keep `postern run` from running is said, with the file that is at fault.
 */
#include "../cli/cli_call.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#include "postern/base/clock.h"
#include "postern/net/tls_make.h"

static char directory[64];

static const char *path_of(const char *name)
{
    static char path[2][96];
    static unsigned turn;
    char *at = path[turn++ % 2];
    snprintf(at, sizeof path[0], "%s/%s", directory, name);
    return at;
}

static void write_file(const char *name, struct str text)
{
    FILE *f = fopen(path_of(name), "w");
    cr_assert(f);
    fwrite(text.p, 1, text.n, f);
    fclose(f);
}

#define CONFIG "hostname mx.our.test\ndomains our.test\nlisten 127.0.0.1:0\nbackend 127.0.0.1:1\npolicy \"p.policy\"\nspool-directory .\n" \
               "resolver 127.0.0.1:53\n"
#define DAY_MS 86400000ull

/* A certificate for NAME.pem with its key, valid until so many days from now. */
static void write_certificate(const char *name, int days)
{
    static const struct str names[] = {{"mx.our.test", 11}};
    struct buf pem = {0}, key = {0};
    struct clock now;
    clock_real(&now);
    struct tls_make how = {.names = names, .count = 1, .from_ms = now.wall_ms - 100 * DAY_MS,
                           .to_ms = days < 0 ? now.wall_ms - (uint64_t)-days * DAY_MS : now.wall_ms + (uint64_t)days * DAY_MS};
    cr_assert(tls_make_certificate(&how, &pem, &key));
    buf_str(&pem, buf_view(&key));
    write_file(name, buf_view(&pem));
    buf_free(&pem);
    buf_free(&key);
}

/* The header of a database whose schema has this version, and nothing else. */
static void write_database(const char *name, char version)
{
    char header[100] = "SQLite format 3";
    header[63] = version;
    write_file(name, (struct str){header, sizeof header});
}

static void set_up(void)
{
    strcpy(directory, "/tmp/postern-check-XXXXXX");
    cr_assert(mkdtemp(directory));
    write_file("p.policy", STR("stage rcpt\n  rule everybody: accept\n"));
    write_file("none.policy", STR("list friends ip { 192.0.2.0/24 }\n"));
    write_file("empty.pem", STR(""));
    write_database("new.db", 99);
    write_database("ours.db", 1);
    write_certificate("good.pem", 90);
    write_certificate("soon.pem", 3);
    write_certificate("old.pem", -3);
}

static void tear_down(void)
{
    static const char *const files[] = {"p.policy", "none.policy", "empty.pem", "good.pem", "soon.pem", "old.pem", "new.db", "ours.db", "postern.conf"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlink(path_of(files[i]));
    rmdir(directory);
}

static struct called check_with(const char *lines)
{
    struct buf text = {0};
    buf_printf(&text, CONFIG "%s%s\n", strncmp(lines, "store ", 6) ? "store memory\n" : "", lines);
    write_file("postern.conf", buf_view(&text));
    buf_free(&text);
    return CALL("check", "--config", path_of("postern.conf"));
}

TestSuite(check, .init = set_up, .fini = tear_down);

static const struct { const char *lines; int status; const char *out, *error; } cases[] = {
    {"", 0, "postern.conf: good\n", ""},
    {"certificate \"good.pem\"", 0, "postern.conf: good\n", ""},
    {"certificate \"nowhere.pem\"", 1, "", "/nowhere.pem: No such file or directory"},
    {"certificate \"empty.pem\"", 1, "", "/empty.pem: "},
    {"certificate \"good.pem\" \"old.pem\"", 1, "", "error: certificate: "},
    {"certificate \"good.pem\", \"old.pem\"", 0, ": good, with warnings\n", "warning: certificate: one ended at "},
    {"certificate \"soon.pem\"", 0, ": good\n", "advice: certificate: one ends at "},
    {"backend mx.our.test:25 tls require verify mx.our.test ca \"good.pem\"", 0, ": good\n", ""},
    {"backend mx.our.test:25 tls require verify mx.our.test ca \"nowhere.pem\"", 1, "", "error: backend: ca: "},
    {"journal \"journal\"", 0, ": good\n", ""},
    {"journal \".\"", 1, "", "error: journal: "},
    {"journal \"nowhere/journal\"", 1, "", "/nowhere: No such file or directory\nmake it, writable for the user"},
    {"store sqlite\nstore-path \".\"", 1, "", "is a directory; write the name of a file in it"},
    {"store sqlite\nstore-path \"x.db\"", 0, ": good\n", ""},
    {"store sqlite\nstore-path \"old.pem\"", 0, ": good, with warnings\n", "old.pem: it is no database of SQLite: mail will go on without greylist"},
    {"store sqlite\nstore-path \"empty.pem\"", 0, ": good\n", ""},
    {"store sqlite\nstore-path \"new.db\"", 0, ": good, with warnings\n", "new.db: it was made by a newer version of Postern"},
    {"store sqlite\nstore-path \"ours.db\"", 0, ": good\n", ""},
    {"authserv-id \"our.test!inbound\"", 0, ": good\n", ""},
    {"authserv-id \"our test\"", 1, "", "authserv-id: 'our test' is not one word"},
    {"authserv-id \"our.test;\"", 1, "", "authserv-id: 'our.test;' is not one word"},
    {"store redis\nredis \"redis://user:sesame@[::1]:6379/0\"", 1, "", "'redis://***********@[::1]:6379/0' is not the address of a server"},
};

Test(check, a_policy_without_rules)
{
    write_file("postern.conf", STR("hostname mx.our.test\ndomains our.test\nlisten 127.0.0.1:0\nbackend 127.0.0.1:1\npolicy \"none.policy\"\n"
                                   "spool-directory .\nresolver 127.0.0.1:53\nstore memory\n"));
    struct called c = CALL("check", "--config", path_of("postern.conf"));
    cr_expect_eq(c.status, 0);
    cr_expect(strstr(c.error, "advice: policy: it has no rules"), "%s", c.error);
    called_clear(&c);
}

Test(check, a_policy_that_is_not_there)
{
    write_file("postern.conf", STR("hostname mx.our.test\ndomains our.test\nlisten 127.0.0.1:0\nbackend 127.0.0.1:1\npolicy \"nowhere.policy\"\n"
                                   "spool-directory .\nresolver 127.0.0.1:53\nstore memory\n"));
    struct called c = CALL("check", "--config", path_of("postern.conf"));
    cr_expect_eq(c.status, 1);
    cr_expect(strstr(c.error, "error: policy: cannot read '"), "%s", c.error);
    cr_expect(strstr(c.error, "/nowhere.policy': No such file or directory\nthe policy as shipped is /"), "%s", c.error);
    called_clear(&c);
}

Test(check, help_that_is_missing_is_said_once)
{
    write_file("none.policy", STR("stage rcpt\n  rule a: reject \"see {help}\" when rcpt.local = a\n  rule b: reject \"see {help}\" when rcpt.local = b\n"));
    write_file("postern.conf", STR("hostname mx.our.test\ndomains our.test\nlisten 127.0.0.1:0\nbackend 127.0.0.1:1\npolicy \"none.policy\"\n"
                                   "spool-directory .\nresolver 127.0.0.1:53\nstore memory\n"));
    struct called c = CALL("check", "--config", path_of("postern.conf"));
    cr_expect_eq(c.status, 0);
    char *first = strstr(c.error, "the setting 'help' is empty");
    cr_expect(first && !strstr(first + 1, "the setting 'help' is empty"), "%s", c.error);
    cr_expect(strstr(c.error, "for example: help \"postmaster@example.org\""), "%s", c.error);
    called_clear(&c);
}

Test(check, every_file_that_a_run_needs)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct called c = check_with(cases[i].lines);
        cr_expect_eq(c.status, cases[i].status, "%s: %d", cases[i].lines, c.status);
        cr_expect(cases[i].out[0] ? strstr(c.out, cases[i].out) != NULL : c.out[0] == '\0', "%s prints\n%s", cases[i].lines, c.out);
        cr_expect(cases[i].error[0] ? strstr(c.error, cases[i].error) != NULL : c.error[0] == '\0', "%s complains\n%s", cases[i].lines, c.error);
        called_clear(&c);
    }
}
