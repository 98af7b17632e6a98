/* Replies: the table, enhanced status codes, the formatter. */
#include "postern/smtp/reply.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct {
    unsigned code;
    const char *enhanced, *text, *name;
} rows[] = {
#define REPLY(id, code, enhanced, text) {code, enhanced, text, #id},
#include "postern/smtp/replies.def"
#undef REPLY
};

/* Every line of the table is a reply that the formatter lets pass as it stands. */
Test(reply, table)
{
    for (int id = 0; id < REPLY_COUNT; id++) {
        struct arena arena = {0};
        struct buf wire = {0};
        struct reply r = reply_make(&arena, id, STR("value.example"));
        const char *hole = strstr(rows[id].text, "%s");
        char expected[600], text[500];

        cr_expect_str_eq(reply_name(id), rows[id].name);
        cr_expect_eq(r.code, rows[id].code);
        if (rows[id].enhanced[0])
            cr_expect_eq(r.enhanced.class, rows[id].code / 100, "%s", rows[id].name);
        else
            cr_expect_eq(r.enhanced.class, 0);
        cr_expect(!hole || !strstr(hole + 1, "%"), "%s: one value at most", rows[id].name);
        if (hole)
            snprintf(text, sizeof text, "%.*svalue.example%s", (int)(hole - rows[id].text), rows[id].text, hole + 2);
        else
            snprintf(text, sizeof text, "%s", rows[id].text);
        cr_expect(ascii_printable(str_of(text)));
        snprintf(expected, sizeof expected, "%u %s\r\n", rows[id].code, text);
        reply_format(&wire, &r, false, STR_NONE);
        cr_expect(str_eq(buf_view(&wire), str_of(expected)), "%s", rows[id].name);
        cr_expect_leq(wire.n, 200, "%s is short", rows[id].name);
        if (rows[id].enhanced[0]) {
            snprintf(expected, sizeof expected, "%u %s %s\r\n", rows[id].code, rows[id].enhanced, text);
            buf_clear(&wire);
            reply_format(&wire, &r, true, STR_NONE);
            cr_expect(str_eq(buf_view(&wire), str_of(expected)), "%s", rows[id].name);
        }
        buf_free(&wire);
        arena_clear(&arena);
    }
}

Test(reply, enhanced_codes)
{
    static const struct {
        const char *text;
        bool good;
    } table[] = {
        {"2.0.0", true},  {"4.7.1", true},   {"5.7.26", true}, {"5.999.999", true}, {"5.7.0", true},  {"3.0.0", false},
        {"1.0.0", false}, {"6.0.0", false},  {"5", false},     {"5.", false},       {"5.7", false},   {"5.7.", false},
        {"5..1", false},  {".7.1", false},   {"5.7.1.", false}, {"5.7.1.1", false}, {"5.07.1", false}, {"5.7.01", false},
        {"05.7.1", false}, {"5.1000.1", false}, {"5.7.1000", false}, {"5.7.1 ", false}, {"5.7.x", false}, {"5.-7.1", false},
        {"", false},      {"25.7.1", false}, {"5.7.99999999999999999999", false}, {"+5.7.1", false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct enhanced e;
        char text[16];
        bool good = enhanced_parse(str_of(table[i].text), &e);
        cr_expect_eq(good, table[i].good, "%s", table[i].text);
        cr_expect_str_eq(enhanced_format(e, text), good ? table[i].text : "", "%s", table[i].text);
    }
}

#define X100 "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"

Test(reply, formatter)
{
    static const struct {
        unsigned code;
        struct enhanced enhanced;
        struct str text;
        bool with_enhanced;
        struct str suffix;
        const char *wire;
    } table[] = {
        {250, {2, 1, 0}, STR("OK"), true, STR_NONE, "250 2.1.0 OK\r\n"},
        {250, {2, 1, 0}, STR("OK"), false, STR_NONE, "250 OK\r\n"},
        {250, {0, 0, 0}, STR("OK"), true, STR_NONE, "250 2.0.0 OK\r\n"},
        {550, {0, 0, 0}, STR("no"), true, STR_NONE, "550 5.0.0 no\r\n"},
        {450, {5, 1, 1}, STR("classes disagree"), true, STR_NONE, "450 4.0.0 classes disagree\r\n"},
        {354, {0, 0, 0}, STR("go"), true, STR_NONE, "354 go\r\n"},
        {250, {0, 0, 0}, STR("host\nSIZE 10\nDSN"), false, STR_NONE, "250-host\r\n250-SIZE 10\r\n250 DSN\r\n"},
        {550, {5, 7, 1}, STR("one\n\nthree"), true, STR_NONE, "550-5.7.1 one\r\n550-5.7.1\r\n550 5.7.1 three\r\n"},
        {550, {5, 7, 1}, STR("one\ntwo"), true, STR("id7"), "550-5.7.1 one\r\n550 5.7.1 two [id7]\r\n"},
        {451, {4, 7, 1}, STR("later"), false, STR("id7"), "451 later [id7]\r\n"},
        {250, {2, 0, 0}, STR("fine"), true, STR("id7"), "250 2.0.0 fine\r\n"},
        {550, {5, 7, 1}, STR(""), true, STR("id7"), "550 5.7.1 [id7]\r\n"},
        {550, {0, 0, 0}, STR(""), false, STR("id7"), "550 [id7]\r\n"},
        {550, {5, 7, 1}, STR(""), true, STR_NONE, "550 5.7.1\r\n"},
        {250, {0, 0, 0}, STR(""), false, STR_NONE, "250 \r\n"},
        {250, {0, 0, 0}, STR_NONE, false, STR_NONE, "250 \r\n"},
        {550, {5, 0, 0}, STR("a\rb\tc\0d\x7f" "e\xc3\xa9%s%n"), true, STR("i\r\nd"), "550 5.0.0 a?b?c?d?e??%s%n [i??d]\r\n"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct buf wire = {0};
        struct reply r = {(uint16_t)table[i].code, table[i].enhanced, table[i].text};
        reply_format(&wire, &r, table[i].with_enhanced, table[i].suffix);
        cr_expect(str_eq(buf_view(&wire), str_of(table[i].wire)), "%zu: %.*s", i, STR_ARG(buf_view(&wire)));
        buf_free(&wire);
    }
}

/* As mail servers say that they do not know a recipient, and as they say something else. */
Test(reply, unknown_recipients)
{
    static const struct { const char *reply; bool unknown; } table[] = {
        {"550 5.1.1 <u@our.test>: Recipient address rejected: User unknown in local recipient table", true}, /* Postfix */
        {"550 5.1.1 <u@our.test>... User unknown", true},                                                   /* Sendmail */
        {"550 Unrouteable address", true},                                                                  /* Exim */
        {"550 5.1.1 Invalid recipient", true},
        {"550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", true}, /* Exchange */
        {"550 5.4.1 Recipient address rejected: Access denied", true},                                    /* Exchange Online */
        {"551 5.1.6 Moved", true},
        {"553 5.1.3 Bad recipient address syntax", true},
        {"550 5.0.0 No such user", true},
        {"550 5.1.0 Address rejected", true},
        {"550", true},
        {"450 4.1.1 Recipient address rejected: unverified address", false},
        {"550 5.7.1 Relaying denied", false},
        {"554 5.7.1 Client host rejected", false},
        {"550 5.2.1 Mailbox disabled", false},
        {"552 5.2.2 Mailbox full", false},
        {"553 5.1.8 Domain of sender does not exist", false},
        {"550 5.1.7 Bad sender address", false},
        {"550 5.1.2 Bad destination system", false},
        {"501 Syntax", false},
        {"553 sorry, that domain is not in my list", false},
        {"250 2.1.5 Ok", false},
        {"250 2.1.1 Ok", false},
        {"421 4.3.2 Shutting down", false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct reply_parser parser = {.lines = 0};
        struct arena arena = {0};
        struct reply r;
        char line[200];
        snprintf(line, sizeof line, "%s\r\n", table[i].reply);
        struct str in = str_of(line);
        cr_assert_eq(reply_parse(&parser, &in, &arena, &r), REPLY_PARSE_DONE);
        cr_expect_eq(reply_says_unknown(&r), table[i].unknown, "%s", table[i].reply);
        reply_parser_clear(&parser);
        arena_clear(&arena);
    }
}

/* No line over 512 octets with CRLF, the suffix always whole (RFC 5321 4.5.3.1.5). */
Test(reply, lengths)
{
    char text[1200];
    memset(text, 'x', sizeof text);
    for (size_t n = 480; n < 1200; n += n < 520 ? 1 : 97) {
        for (int lines = 1; lines <= 2; lines++) {
            struct buf wire = {0};
            char save = text[n / 2];
            struct reply r = {550, {5, 999, 999}, {text, n}};
            if (lines == 2)
                text[n / 2] = '\n';
            reply_format(&wire, &r, true, STR("0123456789abcdef"));
            struct str rest = buf_view(&wire), line;
            while (str_split(&rest, '\n', &line) && rest.p) {
                cr_assert_leq(line.n + 1, 512);
                cr_assert(str_starts(line, STR("550")));
            }
            cr_assert(str_ends_nocase(buf_view(&wire), STR("x [0123456789abcdef]\r\n")));
            text[n / 2] = save;
            buf_free(&wire);
        }
    }
    struct buf wire = {0};
    struct reply r = {550, {0, 0, 0}, STR("x")};
    reply_format(&wire, &r, true, (struct str){text, sizeof text});
    cr_assert_leq(wire.n, 512);
    buf_free(&wire);
}

Test(reply, as_text)
{
    static const struct {
        struct reply r;
        const char *text;
    } table[] = {
        {{550, {5, 7, 1}, STR("one\ntwo")}, "550 5.7.1 one; two"},
        {{250, {0, 0, 0}, STR("fine")}, "250 fine"},
        {{250, {0, 0, 0}, STR("")}, "250"},
        {{250, {0, 0, 0}, STR("\nx")}, "250; x"},
        {{451, {4, 0, 0}, STR("a\x1b[31m")}, "451 4.0.0 a?[31m"},
        {{250, {0, 0, 0}, STR_NONE}, "250"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct arena arena = {0};
        struct str text = reply_text(&arena, &table[i].r);
        cr_expect(str_eq(text, str_of(table[i].text)), "%zu: %.*s", i, STR_ARG(text));
        arena_clear(&arena);
    }
}

Test(reply, free_parts)
{
    struct arena arena = {0};
    char text[] = "gone";
    struct reply r = reply_of(&arena, 550, "5.7.1", str_of(text));
    text[0] = 'X';
    cr_expect(str_eq(r.text, STR("gone")), "the text is a copy");
    cr_expect_eq(r.enhanced.detail, 1);
    cr_expect(reply_is(&r, 5));
    r = reply_of(&arena, 354, "", STR("go"));
    cr_expect_eq(r.enhanced.class, 0);
    arena_clear(&arena);
}

Test(reply, classes_that_disagree_are_a_programmers_error, .signal = SIGABRT)
{
    struct arena arena = {0};
    reply_of(&arena, 550, "4.7.1", STR("x"));
}

Test(reply, a_code_that_is_none_is_never_spoken, .signal = SIGABRT)
{
    struct buf wire = {0};
    struct reply r = {0};
    reply_format(&wire, &r, true, STR_NONE);
}
