/* Reading sources, and complaints that show the place. */
#include "postern/base/source.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The text of one complaint about the n bytes at `at`. */
static char *complaint(const char *name, struct str text, size_t at, size_t n, const char *hint, const char *message)
{
    struct source *s = source_new(name, text);
    struct diags d = {0};
    diag_add(&d, DIAG_ERROR, (struct span){s, at, n}, hint, "%s", message);
    char *copy = xstrndup(d.list[0].text, strlen(d.list[0].text));
    diag_clear(&d);
    source_free(&s);
    return copy;
}

static void check(const char *text, size_t at, size_t n, const char *expected)
{
    char *got = complaint("f", str_of(text), at, n, NULL, "m");
    cr_assert_str_eq(got, expected, "at %zu:\n%s", at, got);
    free(got);
}

Test(diag, the_form_in_the_header)
{
    static const char text[] = "stage connect\n  rule zen-sbl: score 8 when dnsbl.zem in 127.0.0.2\n";
    size_t at = (size_t)(strstr(text, "dnsbl.zem") - text);
    char *got = complaint("default.policy", str_of(text), at, 9, "did you mean 'dnsbl.zen'?", "unknown fact 'dnsbl.zem'");
    cr_assert_str_eq(got, "default.policy:2:30: error: unknown fact 'dnsbl.zem'\n"
                          "  rule zen-sbl: score 8 when dnsbl.zem in 127.0.0.2\n"
                          "                             ^~~~~~~~~\n"
                          "did you mean 'dnsbl.zen'?\n");
    free(got);
}

Test(diag, places)
{
    check("abc", 0, 1, "f:1:1: error: m\n  abc\n  ^\n");
    check("abc", 1, 2, "f:1:2: error: m\n  abc\n   ^~\n");
    check("abc", 1, 99, "f:1:2: error: m\n  abc\n   ^~\n");
    check("abc", 1, SIZE_MAX, "f:1:2: error: m\n  abc\n   ^~\n");
    check("abc", 1, 0, "f:1:2: error: m\n  abc\n   ^\n");
    check("abc", 3, 1, "f:1:4: error: m\n  abc\n     ^\n");      /* behind the end */
    check("abc\n", 3, 1, "f:1:4: error: m\n  abc\n     ^\n");    /* at the newline */
    check("abc\n", 4, 1, "f:2:1: error: m\n");                   /* an empty line is not shown */
    check("abc", 99, 5, "f:1:4: error: m\n  abc\n     ^\n");
    check("", 0, 1, "f:1:1: error: m\n");
    check("a\nbc\nd", 2, 2, "f:2:1: error: m\n  bc\n  ^~\n");
    check("a\nbc\nd", 3, 99, "f:2:2: error: m\n  bc\n   ^\n");   /* a span over lines shows the first */
    check("a\r\nbc\r\n", 3, 2, "f:2:1: error: m\n  bc\n  ^~\n"); /* no CR at the end */
    check("    abc", 5, 1, "f:1:6: error: m\n  abc\n   ^\n");
    check("    abc", 2, 1, "f:1:3: error: m\n    abc\n  ^\n");
}

Test(diag, carets_align_under_tabs_utf8_and_control_bytes)
{
    check("\t\tab\tcd", 5, 2, "f:1:6: error: m\n  ab    cd\n        ^~\n");
    check("a\tb", 1, 1, "f:1:2: error: m\n  a    b\n   ^~~~\n");
    check("\xc3\xa4\xe2\x82\xac=x", 6, 1, "f:1:4: error: m\n  \xc3\xa4\xe2\x82\xac=x\n     ^\n");
    check("\xc3\xa4\xc3\xb6x", 0, 4, "f:1:1: error: m\n  \xc3\xa4\xc3\xb6x\n  ^~\n");
    check("a\x1b[31mb", 6, 1, "f:1:7: error: m\n  a\\x1b[31mb\n           ^\n");
    check("a\x1b" "b", 1, 1, "f:1:2: error: m\n  a\\x1b" "b\n   ^~~~\n");
    check("\xff" "b", 1, 1, "f:1:2: error: m\n  \\xff" "b\n      ^\n");
    check("\xc2\x9b" "b", 2, 1, "f:1:2: error: m\n  \\xc2\\x9b" "b\n          ^\n");       /* a C1 control */
    check("\xe2\x80\xae" "b", 3, 1, "f:1:2: error: m\n  \\xe2\\x80\\xae" "b\n              ^\n"); /* right-to-left override */
}

/* Whatever the place in a line of 1000 bytes: the shown part is short, and the caret stands under the byte that is meant. */
Test(diag, long_lines_are_cut_around_the_caret)
{
    char text[1001];
    for (size_t i = 0; i < 1000; i++)
        text[i] = (char)('a' + i % 26);
    text[1000] = '\0';
    for (size_t at = 0; at < 1000; at++) {
        char *got = complaint("f", str_of(text), at, 1, NULL, "m");
        char *line = strchr(got, '\n') + 1, *caret = strchr(line, '\n') + 1;
        size_t column = (size_t)(strchr(caret, '^') - caret);
        cr_assert_lt((size_t)(caret - line), 140);
        cr_assert_eq(line[column], text[at], "at %zu:\n%s", at, got);
        cr_assert_eq(strncmp(line, "  ...", 5) == 0, at > 60);
        cr_assert_eq(strncmp(caret - 4, "...\n", 4) == 0, at < 940);
        free(got);
    }
}

Test(diag, any_place_in_any_bytes_is_safe)
{
    uint32_t x = 1;
    for (int round = 0; round < 300; round++) {
        char bytes[400];
        size_t n = (size_t)(round % 400);
        for (size_t i = 0; i < n; i++) {
            x = x * 1664525 + 1013904223;
            bytes[i] = (x >> 30) ? (char)(x >> 16) : (char)(0x80 | (x >> 16 & 0x7f));
        }
        for (size_t at = 0; at <= n + 1; at += 7) {
            char *got = complaint("f", (struct str){bytes, n}, at, x >> 24, NULL, "m");
            for (char *p = got; *p; p++)
                cr_assert((unsigned char)*p >= 0x20 || *p == '\n');
            free(got);
        }
    }
}

/* The line that is shown for a complaint about the first byte of the last line. */
static void check_shown(const char *text, const char *expected)
{
    const char *last = strrchr(text, '\n');
    char *got = complaint("f", str_of(text), last ? (size_t)(last + 1 - text) : 0, 1, NULL, "m");
    char *line = strchr(got, '\n') + 3;
    *strchr(line, '\n') = 0;
    cr_expect_str_eq(line, expected, "%s\nis shown as %s", text, line);
    free(got);
}

Test(diag, secrets_are_not_shown)
{
    check_shown("dnsbl zen \"{key}.zen.example\" key \"s3cr3t\"", "dnsbl zen \"{key}.zen.example\" key \"******\"");
    check_shown("dnsbl zen \"{key}.zen.example\" ipv4 key \"s3cr3t\" no-prob", "dnsbl zen \"{key}.zen.example\" ipv4 key \"******\" no-prob");
    check_shown("dnsbl zen \"{key}.zen.example\" key s3cr3t ipv6", "dnsbl zen \"{key}.zen.example\" key ****** ipv6");
    check_shown("dnsbl zen \"{key}.zen.example\" KEY=s3cr3t", "dnsbl zen \"{key}.zen.example\" KEY=******");
    check_shown("dnsbl zen \"{key}.zen.example\" kee \"s3cr3t\"", "dnsbl zen \"{key}.zen.example\" kee \"******\"");
    check_shown("dnswl zen key \"s3cr3t\" \"{key}.zen.example\"", "dnswl zen key \"******\" \"*****************\"");
    check_shown("  dnsbl zen \"{key}.zen.example\" key \"s3c\\\"r3t", "  dnsbl zen \"{key}.zen.example\" key \"***\\****");
    check_shown("dnsbk zen \"{key}.zen.example\" key \"s3cr3t\" # x", "dnsbk zen \"{key}.zen.example\" key \"******\" # x");
    check_shown("bnsbl zen \"{key}.zen.example\" key \"s3cr3t\"", "bnsbl zen \"{key}.zen.example\" key \"******\"");
    check_shown("dnsbl zen \"{key}.zen.example\" key \\\n  \"s3cr3t\" x", "  \"******\" x");
    check_shown("dnsbl zen \\\r\n  \"{key}.zen.example\" key \\\r\n  \"s3cr3t\" x", "  \"******\" x");
    check_shown("redis-password s3cr3t", "redis-password ******");
    check_shown("redis-password = \"s3 cr3t\"", "redis-password * *** *****");
    check_shown("redis redis://user:s3cr3t@redis.example:6379", "redis redis://***********@redis.example:6379");
    /* and what is no secret stays */
    check_shown("redis-password-file \"/etc/postern/redis\"", "redis-password-file \"/etc/postern/redis\"");
    check_shown("rule secret: reject \"no key\" when client.ip in list", "rule secret: reject \"no key\" when client.ip in list");
    check_shown("list key domain from \"keys\"", "list key domain from \"keys\"");
    check_shown("header \"Name\" \"value\"", "header \"Name\" \"value\"");
    check_shown("dnsbl zen \"zen.example\"\nhelp https://mx.example/a@b", "help https://************@b");
}

Test(diag, users_of_urls_are_not_shown_in_messages)
{
    static const struct { const char *text, *expected; } cases[] = {
        {"'redis://u:p@h:1' is no address", "f:1:1: error: 'redis://***@h:1' is no address\n  x\n  ^\n"},
        {"'redis://u:p@w@h' and 'a://b' and ://@ :/", "f:1:1: error: 'redis://*****@h' and 'a://b' and ://@ :/\n  x\n  ^\n"},
        {"://", "f:1:1: error: ://\n  x\n  ^\n"},
        {":", "f:1:1: error: :\n  x\n  ^\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *got = complaint("f", STR("x"), 0, 1, NULL, cases[i].text);
        cr_expect_str_eq(got, cases[i].expected, "%s", got);
        free(got);
    }
}

Test(diag, message_name_and_hint_are_cleaned)
{
    char *got = complaint("ev\x1bil", STR("x"), 0, 1, "first\nsecond\x07", "bad '\x1b]0;\n'");
    cr_assert_str_eq(got, "ev\\x1bil:1:1: error: bad '\\x1b]0;\\n'\n  x\n  ^\nfirst\nsecond\\x07\n");
    free(got);
}

Test(diag, without_a_place)
{
    struct diags d = {0};
    diag_add(&d, DIAG_WARNING, (struct span){0}, "write one", "no %s", "domains");
    cr_assert_str_eq(d.list[0].text, "warning: no domains\nwrite one\n");
    cr_assert_str_eq(d.list[0].message, "no domains");
    cr_assert_eq(d.list[0].line, 0);
    cr_assert_eq(d.list[0].column, 0);
    cr_assert_eq(d.warnings, 1);
    cr_assert_eq(d.errors, 0);
    diag_clear(&d);
    cr_assert_eq(d.count, 0);
}

Test(diag, twenty_are_kept_and_the_rest_counted)
{
    struct diags d = {0};
    struct buf out = {0};
    for (int i = 0; i < 23; i++)
        diag_add(&d, DIAG_ERROR, (struct span){0}, NULL, "number %d", i);
    diag_add(&d, DIAG_WARNING, (struct span){0}, NULL, "late");
    diag_print(&d, &out);
    cr_assert_eq(d.count, DIAG_MAX);
    cr_assert_eq(d.errors, 23);
    buf_char(&out, '\0');
    cr_assert_null(strstr(out.p, "number 20"));
    cr_assert_not_null(strstr(out.p, "error: number 19\n3 more errors\n1 more warning\n"));
    buf_free(&out);
    diag_clear(&d);
}

Test(diag, errors_push_warnings_out)
{
    struct diags d = {0};
    struct buf out = {0};
    for (int i = 0; i < 25; i++)
        diag_add(&d, i % 2 ? DIAG_ADVICE : DIAG_WARNING, (struct span){0}, NULL, "mild %d", i);
    diag_add(&d, DIAG_ERROR, (struct span){0}, NULL, "first error");
    diag_add(&d, DIAG_ERROR, (struct span){0}, NULL, "second error");
    cr_assert_eq(d.count, DIAG_MAX);
    cr_assert_str_eq(d.list[18].message, "first error");
    cr_assert_str_eq(d.list[19].message, "second error");
    cr_assert_str_eq(d.list[0].text, "warning: mild 0\n");
    cr_assert_str_eq(d.list[1].text, "advice: mild 1\n");
    diag_print(&d, &out);
    buf_char(&out, '\0');
    cr_assert_not_null(strstr(out.p, "second error\n4 more warnings\n"));
    buf_free(&out);
    diag_clear(&d);
}

Test(source, spans)
{
    struct source *s = source_new("f", STR("ab\n\xc3\xa4xyz\n"));
    unsigned line, column;
    span_position((struct span){s, 5, 2}, &line, &column);
    cr_assert_eq(line, 2);
    cr_assert_eq(column, 2, "columns are characters");
    cr_assert(str_eq(span_text((struct span){s, 5, 2}), STR("xy")));
    cr_assert(str_eq(span_text((struct span){s, 7, 99}), STR("z\n")));
    cr_assert(str_eq(span_text((struct span){s, 99, 1}), STR("")));
    cr_assert(str_eq(span_text((struct span){s, 7, SIZE_MAX}), STR("z\n")));
    cr_assert_eq(span_text((struct span){0}).n, 0);
    span_position((struct span){s, SIZE_MAX, 1}, &line, &column);
    cr_assert_eq(line, 3);
    source_free(&s);
    cr_assert_null(s);
    source_free(&s);
}

Test(source, paths)
{
    static const char *const cases[][3] = {
        {"policy/default.policy", "lists/a.cidr", "policy/lists/a.cidr"}, {"default.policy", "lists/a", "lists/a"},
        {"/etc/postern/postern.conf", "../x", "/etc/postern/../x"}, {"/etc/postern.conf", "/var/x", "/var/x"}, {"/a", "b", "/b"},
        {"", "b", "b"}, {NULL, "b", "b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *path = source_path(cases[i][0], cases[i][1]);
        cr_assert_str_eq(path, cases[i][2]);
        free(path);
    }
}

static char directory[] = "/tmp/postern-source-XXXXXX";

static char *in_directory(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void write_file(const char *name, const char *text, size_t n)
{
    FILE *f = fopen(in_directory(name), "w");
    cr_assert(f && fwrite(text, 1, n, f) == n && fclose(f) == 0);
}

static const char *error_of(const char *name)
{
    const char *error = NULL;
    struct source *s = source_files.read(&source_files, in_directory(name), &error);
    cr_assert_null(s);
    return error;
}

Test(source, files)
{
    cr_assert_not_null(mkdtemp(directory));
    const char *error = NULL;
    char *big = malloc(300000);
    memset(big, 'x', 300000);
    write_file("good", big, 300000);
    write_file("empty", "", 0);
    write_file("nul", "a\0b", 3);
    write_file("huge", "x", 1);
    cr_assert_eq(truncate(in_directory("huge"), 64 * 1024 * 1024 + 1), 0);
    cr_assert_eq(mkfifo(in_directory("fifo"), 0600), 0);

    struct source *s = source_files.read(&source_files, in_directory("good"), &error);
    cr_assert_not_null(s);
    cr_assert_eq(s->n, 300000);
    cr_assert_eq(s->text[300000], '\0');
    cr_assert_str_eq(s->name, in_directory("good"));
    source_free(&s);
    s = source_files.read(&source_files, in_directory("empty"), &error);
    cr_assert(s && s->n == 0);
    source_free(&s);
    cr_assert_str_eq(error_of("nothing"), "No such file or directory");
    cr_assert_str_eq(error_of("."), "is a directory");
    cr_assert_str_eq(error_of("fifo"), "not a regular file");
    cr_assert_str_eq(error_of("nul"), "has a NUL byte; not a text file");
    cr_assert_str_eq(error_of("huge"), "larger than 64 MB");

    static const char *const names[] = {"good", "empty", "nul", "huge", "fifo"};
    for (size_t i = 0; i < 5; i++)
        unlink(in_directory(names[i]));
    rmdir(directory);
    free(big);
}
