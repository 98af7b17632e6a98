/* Command lines: every verb, arguments, parameters, and the reply that each kind of nonsense earns. */
#include "postern/smtp/command.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The line in heap memory of its exact size, so that a read past its end is seen. */
static bool parse(struct str line, struct arena *arena, char **copy, struct command *c, struct reply *error)
{
    *copy = malloc(line.n ? line.n : 1);
    if (line.n)
        memcpy(*copy, line.p, line.n);
    return command_parse((struct str){*copy, line.n}, arena, c, error);
}

Test(command, every_verb_in_any_case)
{
    static const struct {
        const char *argument;
        bool group_end, served;
    } expected[VERB_COUNT] = {
        [VERB_HELO] = {"client.example", true, true},
        [VERB_EHLO] = {"[192.0.2.1]", true, true},
        [VERB_MAIL] = {"FROM:<a@b.example>", false, true},
        [VERB_RCPT] = {"TO:<a@b.example>", false, true},
        [VERB_DATA] = {"", true, true},
        [VERB_BDAT] = {"10 LAST", false, true},
        [VERB_RSET] = {"", false, true},
        [VERB_NOOP] = {"", true, true},
        [VERB_QUIT] = {"", true, true},
        [VERB_VRFY] = {"someone", true, true},
        [VERB_EXPN] = {"list", true, false},
        [VERB_HELP] = {"", true, true},
        [VERB_STARTTLS] = {"", true, true},
        [VERB_AUTH] = {"PLAIN", true, false},
        [VERB_ETRN] = {"b.example", true, true},
        [VERB_ATRN] = {"", true, false},
        [VERB_TURN] = {"", true, false},
        [VERB_SEND] = {"FROM:<a@b>", false, false},
        [VERB_SOML] = {"FROM:<a@b>", false, false},
        [VERB_SAML] = {"FROM:<a@b>", false, false},
    };
    for (int v = 0; v < VERB_COUNT; v++) {
        cr_expect_eq(verb_ends_group(v), expected[v].group_end, "%s", verb_names[v]);
        cr_expect_eq(verb_served(v), expected[v].served, "%s", verb_names[v]);
        for (int spelling = 0; spelling < 3; spelling++) {
            struct arena arena = {0};
            struct command c;
            struct reply error;
            char line[128], *copy;
            snprintf(line, sizeof line, "%s%s%s%s", verb_names[v], expected[v].argument[0] ? " " : "", expected[v].argument,
                     spelling == 2 ? " \t " : "");
            for (size_t i = 0; line[i] && line[i] != ' ' && spelling == 1; i++)
                line[i] = ascii_lower(line[i]);
            bool good = parse(str_of(line), &arena, &copy, &c, &error);
            cr_expect_eq(good, expected[v].served, "<%s>", line);
            cr_expect_eq((int)c.verb, v, "<%s>", line);
            cr_expect(str_eq(c.argument, str_of(expected[v].argument)), "<%s>", line);
            cr_expect(str_eq_nocase(c.verb_text, str_of(verb_names[v])));
            if (!good) {
                cr_expect_eq(error.code, 502);
                cr_expect(str_starts(error.text, str_of(verb_names[v])));
            }
            free(copy);
            arena_clear(&arena);
        }
    }
    cr_expect(!verb_ends_group(VERB_UNKNOWN));
    cr_expect(!verb_served(VERB_UNKNOWN));
}

#define LONG_64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SIXTEEN "A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15 A16"

static const struct {
    struct str line;
    int code; /* 0: good */
    const char *enhanced;
    int verb;
    const char *text; /* start of the reply's text; NULL: any */
} lines[] = {
    {STR(""), 500, "5.5.2", VERB_UNKNOWN, "Syntax error"},
    {STR("   "), 500, "5.5.2", VERB_UNKNOWN, NULL},
    {STR(" NOOP"), 500, "5.5.2", VERB_UNKNOWN, NULL},
    {STR("FOO"), 500, "5.5.1", VERB_UNKNOWN, "Command not recognised"},
    {STR("NOO"), 500, "5.5.1", VERB_UNKNOWN, NULL},
    {STR("NOOPX"), 500, "5.5.1", VERB_UNKNOWN, NULL},
    {STR("MAILFROM:<a@b>"), 500, "5.5.1", VERB_UNKNOWN, NULL},
    {STR("HELO:x"), 500, "5.5.1", VERB_UNKNOWN, NULL},
    {STR("POST / HTTP/1.1"), 500, "5.5.1", VERB_UNKNOWN, NULL},
    {STR("\x16\x03\x01\x02"), 500, "5.5.2", VERB_UNKNOWN, NULL},
    /* arguments that are missing or too many */
    {STR("HELO"), 501, "5.5.4", VERB_HELO, "Syntax: HELO <your name>"},
    {STR("EHLO  \t"), 501, "5.5.4", VERB_EHLO, "Syntax: EHLO <your name>"},
    {STR("EHLO a b"), 501, "5.5.4", VERB_EHLO, "Invalid name"},
    {STR("HELO x) by trusted;X-Injected:1"), 501, "5.5.4", VERB_HELO, NULL},
    {STR("HELO _weird-but-printable_"), 0, "", VERB_HELO, NULL},
    {STR("HELO \xe9t\xe9.example"), 500, "5.5.2", VERB_HELO, NULL},
    {STR("DATA now"), 501, "5.5.4", VERB_DATA, "Syntax: DATA"},
    {STR("RSET x"), 501, "5.5.4", VERB_RSET, "Syntax: RSET"},
    {STR("QUIT x"), 501, "5.5.4", VERB_QUIT, NULL},
    {STR("VRFY"), 501, "5.5.4", VERB_VRFY, "Syntax: VRFY <address>"},
    {STR("NOOP any thing at\tall"), 0, "", VERB_NOOP, NULL},
    {STR("HELP MAIL"), 0, "", VERB_HELP, NULL},
    /* bytes (CR, LF, NUL in commands) */
    {STR("NOOP\0x"), 500, "5.5.2", VERB_UNKNOWN, "Command with a control or 8-bit character"},
    {STR("NOOP \0x"), 500, "5.5.2", VERB_NOOP, NULL},
    {STR("NOOP x\ry"), 500, "5.5.2", VERB_NOOP, NULL},
    {STR("NOOP \x7f"), 500, "5.5.2", VERB_NOOP, NULL},
    {STR("NOOP \xc3\xa9"), 500, "5.5.2", VERB_NOOP, NULL},
    {STR("MAIL FROM:<a\rRCPT TO:<b@c>"), 500, "5.5.2", VERB_MAIL, NULL},
    {STR("MAIL FROM:<a\r@b.example>"), 500, "5.5.2", VERB_MAIL, NULL},
    {STR("MAIL FROM:<a@b.example\0>"), 500, "5.5.2", VERB_MAIL, NULL},
    {STR("MAIL FROM:<\"a\tb\"@b.example>"), 501, "5.1.7", VERB_MAIL, NULL},
    {STR("MAIL FROM:<a@b.example> X=\xc3\xa9"), 500, "5.5.2", VERB_MAIL, NULL},
    {STR("MAIL FROM:<\xc3\xa9@b.example>"), 0, "", VERB_MAIL, NULL},
    {STR("MAIL FROM:<\xc3@b.example>"), 501, "5.1.7", VERB_MAIL, NULL},
    /* MAIL and RCPT */
    {STR("MAIL"), 501, "5.5.4", VERB_MAIL, "Syntax: MAIL FROM:<reverse-path> [parameters]"},
    {STR("RCPT"), 501, "5.5.4", VERB_RCPT, "Syntax: RCPT TO:<forward-path> [parameters]"},
    {STR("MAIL TO:<a@b>"), 501, "5.5.4", VERB_MAIL, NULL},
    {STR("MAIL FROM <a@b>"), 501, "5.5.4", VERB_MAIL, NULL},
    {STR("RCPT <a@b>"), 501, "5.5.4", VERB_RCPT, NULL},
    {STR("MAIL FROM:"), 501, "5.1.7", VERB_MAIL, "Bad sender"},
    {STR("RCPT TO:"), 501, "5.1.3", VERB_RCPT, "Bad recipient"},
    {STR("mail from:<a@b>"), 0, "", VERB_MAIL, NULL},
    {STR("MAIL  \t From: \t<a@b>\t "), 0, "", VERB_MAIL, NULL},
    {STR("MAIL FROM:a@b"), 0, "", VERB_MAIL, NULL},
    {STR("MAIL FROM:a@b SIZE=1"), 0, "", VERB_MAIL, NULL},
    {STR("MAIL FROM:a b@c"), 501, "5.1.7", VERB_MAIL, NULL},
    {STR("MAIL FROM:<a@b"), 501, "5.1.7", VERB_MAIL, NULL},
    {STR("MAIL FROM:a@b>"), 501, "5.1.7", VERB_MAIL, NULL},
    {STR("MAIL FROM:<a@b>SIZE=1"), 501, "5.1.7", VERB_MAIL, NULL},
    {STR("MAIL FROM:<a@b>>"), 501, "5.1.7", VERB_MAIL, NULL},
    {STR("MAIL FROM:<<a@b>>"), 501, "5.1.7", VERB_MAIL, NULL},
    {STR("MAIL FROM:<any@legit.example(.evil.example>"), 501, "5.1.7", VERB_MAIL, NULL},
    {STR("MAIL FROM:<;sleep 1;>"), 501, "5.1.7", VERB_MAIL, NULL},
    {STR("MAIL FROM:<${run{/bin/x}}@x.example>"), 0, "", VERB_MAIL, NULL}, /* all of it is atext: data, never a template */
    {STR("MAIL FROM:<${run{..}}@x.example>"), 501, "5.1.7", VERB_MAIL, NULL},
    {STR("MAIL FROM:<%s%n@x.example>"), 0, "", VERB_MAIL, NULL},
    {STR("MAIL FROM:<>"), 0, "", VERB_MAIL, NULL},
    {STR("RCPT TO:<>"), 501, "5.1.3", VERB_RCPT, NULL},
    {STR("RCPT TO:<postmaster>"), 0, "", VERB_RCPT, NULL},
    {STR("RCPT TO:PostMaster"), 0, "", VERB_RCPT, NULL},
    {STR("MAIL FROM:<postmaster>"), 501, "5.1.7", VERB_MAIL, NULL},
    {STR("RCPT TO:<\"a>b\"@x.example> NOTIFY=NEVER"), 0, "", VERB_RCPT, NULL},
    {STR("RCPT TO:\"a b\"@x.example NOTIFY=NEVER"), 0, "", VERB_RCPT, NULL},
    {STR("RCPT TO:<\"a\\\"> b\"@x.example>"), 0, "", VERB_RCPT, NULL},
    {STR("RCPT TO:<\"a@x.example>"), 501, "5.1.3", VERB_RCPT, NULL},
    {STR("RCPT TO:<\"a\\"), 501, "5.1.3", VERB_RCPT, NULL},
    /* parameters */
    {STR("MAIL FROM:<a@b> SIZE=1000  BODY=8BITMIME\tSMTPUTF8 "), 0, "", VERB_MAIL, NULL},
    {STR("MAIL FROM:<a@b> SIZE="), 501, "5.5.4", VERB_MAIL, "Bad value of parameter SIZE"},
    {STR("MAIL FROM:<a@b> SIZE=1=2"), 501, "5.5.4", VERB_MAIL, "Bad value of parameter SIZE"},
    {STR("MAIL FROM:<a@b> =1"), 501, "5.5.4", VERB_MAIL, "Syntax: MAIL"},
    {STR("MAIL FROM:<a@b> -A=1"), 501, "5.5.4", VERB_MAIL, NULL},
    {STR("MAIL FROM:<a@b> A_B=1"), 501, "5.5.4", VERB_MAIL, NULL},
    {STR("MAIL FROM:<a@b> <c@d>"), 501, "5.5.4", VERB_MAIL, NULL},
    {STR("MAIL FROM:<a@b> SIZE=1 size=2"), 501, "5.5.4", VERB_MAIL, "Parameter given twice"},
    {STR("MAIL FROM:<a@b> AUTH=<>"), 0, "", VERB_MAIL, NULL},
    {STR("MAIL FROM:<a@b> " SIXTEEN), 0, "", VERB_MAIL, NULL},
    {STR("MAIL FROM:<a@b> " SIXTEEN " A17"), 501, "5.5.4", VERB_MAIL, "Too many parameters"},
    {STR("MAIL FROM:<" LONG_64 "@b.example>"), 0, "", VERB_MAIL, NULL},
};

Test(command, lines)
{
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct arena arena = {0};
        struct command c;
        struct reply error;
        char *copy, enhanced[16];
        bool good = parse(lines[i].line, &arena, &copy, &c, &error);

        cr_expect_eq(good, lines[i].code == 0, "%zu <%s>", i, lines[i].line.p);
        cr_expect_eq((int)c.verb, lines[i].verb, "%zu <%s>", i, lines[i].line.p);
        cr_expect_eq((int)error.code, lines[i].code, "%zu <%s>: %d", i, lines[i].line.p, error.code);
        cr_expect_str_eq(enhanced_format(error.enhanced, enhanced), lines[i].enhanced, "%zu <%s>", i, lines[i].line.p);
        if (lines[i].text)
            cr_expect(str_starts(error.text, str_of(lines[i].text)), "%zu <%.*s>", i, STR_ARG(error.text));
        free(copy);
        arena_clear(&arena);
    }
}

Test(command, parameters_are_slices_as_written)
{
    struct arena arena = {0};
    struct command c;
    struct reply error;
    struct str line = STR("RCPT TO:<U@b.Example>  Notify=SUCCESS,failure ORCPT=rfc822;U+2Bx@b.Example X");

    cr_assert(command_parse(line, &arena, &c, &error));
    cr_assert_eq(c.parameter_count, 3);
    cr_expect(str_eq(c.parameters[0].keyword, STR("Notify")));
    cr_expect(str_eq(c.parameters[0].value, STR("SUCCESS,failure")));
    cr_expect(str_eq(c.parameters[1].keyword, STR("ORCPT")));
    cr_expect(str_eq(c.parameters[1].value, STR("rfc822;U+2Bx@b.Example")));
    cr_expect(str_eq(c.parameters[2].keyword, STR("X")));
    cr_expect_null(c.parameters[2].value.p);
    cr_expect(str_eq(c.path.whole, STR("U@b.Example")));
    cr_expect(c.path.whole.p > line.p && c.path.whole.p < line.p + line.n, "a slice of the line");
    arena_clear(&arena);
}

/* Any octet in any place of a good line: never a crash, never a control byte in what comes out. */
Test(command, one_octet_changed)
{
    const char *const good[] = {"EHLO client.example",
                                "MAIL FROM:<\"a b\"@c.example> SIZE=10",
                                "RCPT TO:<@x,@y:u@[IPv6:::1]> A=b", "NOOP x"};
    for (size_t g = 0; g < sizeof good / sizeof good[0]; g++) {
        for (size_t at = 0; at < strlen(good[g]); at++) {
            for (int octet = 0; octet < 256; octet++) {
                struct arena arena = {0};
                struct command c;
                struct reply error;
                char line[64];
                size_t n = strlen(good[g]);
                memcpy(line, good[g], n);
                line[at] = (char)octet;
                bool accepted = command_parse((struct str){line, n}, &arena, &c, &error);
                cr_assert_eq(accepted, error.code == 0);
                if (accepted && (octet < 0x20 || octet == 0x7f) && octet != '\t')
                    cr_assert_fail("control octet %d accepted in %s", octet, good[g]);
                if (!accepted)
                    cr_assert(error.code == 500 || error.code == 501 || error.code == 502);
                arena_clear(&arena);
            }
        }
    }
}
