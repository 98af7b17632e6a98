/*
 * Data transparency. The reader is compared with a model that knows no states: the end is the first CRLF.CRLF in the octets, lines lie
 * between CRLFs, and bare newlines are replaced afterwards. Every string over the octets that matter, cut at every place.
 */
#include "postern/smtp/data.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct outcome {
    struct buf wire, message;
    uint64_t bare_cr, bare_lf, nul, longest_line;
    size_t eaten;
    bool ended;
};

static void outcome_free(struct outcome *o)
{
    buf_free(&o->wire);
    buf_free(&o->message);
}

static void outcome_clear(struct outcome *o)
{
    struct buf wire = o->wire, message = o->message;
    *o = (struct outcome){.wire = wire, .message = message};
    buf_clear(&o->wire);
    buf_clear(&o->message);
}

/* One line of the client, without its CRLF. */
static void model_line(struct str line, struct outcome *o)
{
    bool dot = line.n > 0 && line.p[0] == '.';
    bool made = false; /* the octet before was a bare newline */
    uint64_t length = 0;

    if (dot) {
        line = str_sub(line, 1, line.n);
        if (line.n > 0 && line.p[0] != '\r' && line.p[0] != '\n')
            buf_char(&o->wire, '.');
    }
    for (size_t i = 0; i < line.n; i++) {
        char c = line.p[i];
        bool newline = c == '\r' || c == '\n';
        if (newline) {
            buf_cstr(&o->wire, "\r\n");
            buf_cstr(&o->message, "\r\n");
            length = 0;
        } else {
            if (made && c == '.')
                buf_char(&o->wire, '.');
            buf_char(&o->wire, c);
            buf_char(&o->message, c);
            length++;
        }
        made = newline;
        o->bare_cr += c == '\r';
        o->bare_lf += c == '\n';
        o->nul += c == '\0';
        if (length > o->longest_line)
            o->longest_line = length;
    }
    buf_cstr(&o->wire, "\r\n");
    buf_cstr(&o->message, "\r\n");
}

/* `in` has an end. */
static void model(struct str in, struct outcome *o)
{
    size_t start = 0;

    outcome_clear(o);
    for (;;) {
        const char *crlf = memmem(in.p + start, in.n - start, "\r\n", 2);
        cr_assert_not_null(crlf);
        struct str line = str_sub(in, start, (size_t)(crlf - in.p));
        start += line.n + 2;
        if (line.n == 1 && line.p[0] == '.')
            break;
        model_line(line, o);
    }
    o->eaten = start;
    o->ended = true;
}

static void feed(struct data_reader *r, struct str in, size_t from, size_t to, struct outcome *o, bool keep)
{
    struct str piece = str_sub(in, from, to);
    if (o->ended || piece.n == 0)
        return;
    o->ended = data_read(r, &piece, keep ? &o->wire : NULL) == DATA_END;
    o->eaten = to - piece.n;
    cr_assert(o->ended || piece.n == 0);
}

static void finish(struct data_reader *r, struct outcome *o)
{
    bool start = true;
    o->bare_cr = r->bare_cr;
    o->bare_lf = r->bare_lf;
    o->nul = r->nul;
    o->longest_line = r->longest_line;
    data_unstuff(buf_view(&o->wire), &start, &o->message);
}

static void same(const struct outcome *got, const struct outcome *expected, struct str in, const char *how, size_t at)
{
    bool good = got->ended && got->eaten == expected->eaten && str_eq(buf_view(&got->wire), buf_view(&expected->wire)) &&
                str_eq(buf_view(&got->message), buf_view(&expected->message)) && got->bare_cr == expected->bare_cr &&
                got->bare_lf == expected->bare_lf && got->nul == expected->nul && got->longest_line == expected->longest_line;
    if (good)
        return;
    char text[256] = "";
    for (size_t i = 0; i < in.n && i < 30; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "\\x%02x", (unsigned char)in.p[i]);
    cr_assert_fail("%s %s %zu: wire of %zu octets, expected %zu", text, how, at, got->wire.n, expected->wire.n);
}

/* What leaves has no bare newline, and no end for anyone who takes any of CR, LF, CRLF for a line end on either side of the dot. */
static void harmless(struct str wire)
{
    char before = '\n';
    for (size_t i = 0; i < wire.n; i++) {
        char c = wire.p[i], after = i + 1 < wire.n ? wire.p[i + 1] : 'x';
        cr_assert(c != '\r' || after == '\n');
        cr_assert(c != '\n' || (i > 0 && before == '\r'));
        cr_assert(!(c == '.' && (before == '\r' || before == '\n') && (after == '\r' || after == '\n')));
        before = c;
    }
    cr_assert(wire.n == 0 || wire.p[wire.n - 1] == '\n');
}

static void check(struct str in, bool every_split, struct outcome *expected, struct outcome *got)
{
    model(in, expected);
    harmless(buf_view(&expected->wire));
    for (size_t cut = 0; cut < (every_split ? in.n : 1); cut++) {
        struct data_reader r = {0};
        outcome_clear(got);
        feed(&r, in, 0, cut, got, true);
        feed(&r, in, cut, in.n, got, true);
        finish(&r, got);
        same(got, expected, in, "cut at", cut);
        cr_assert_eq(r.size, expected->message.n);
    }
    struct data_reader r = {0}, counting = {0};
    outcome_clear(got);
    for (size_t i = 0; i < in.n; i++)
        feed(&r, in, i, i + 1, got, true);
    finish(&r, got);
    same(got, expected, in, "byte by byte", 0);
    outcome_clear(got);
    feed(&counting, in, 0, in.n, got, false); /* the reader that discards obeys the same end */
    cr_assert(got->ended && got->eaten == expected->eaten && counting.size == r.size && counting.nul == r.nul);
    cr_assert(r.state == 0 && r.line == 0);
}

static void check_all(size_t length, bool every_split)
{
    static const char alphabet[] = {'\r', '\n', '.', 'x', '\0'};
    struct outcome expected = {0}, got = {0};
    char text[20];
    size_t count = 1;

    for (size_t i = 0; i < length; i++)
        count *= sizeof alphabet;
    for (size_t code = 0; code < count; code++) {
        size_t rest = code;
        for (size_t i = 0; i < length; i++, rest /= sizeof alphabet)
            text[i] = alphabet[rest % sizeof alphabet];
        memcpy(text + length, "\r\n.\r\nQ", 6); /* some end comes, and something behind it */
        check((struct str){text, length + 6}, every_split, &expected, &got);
    }
    outcome_free(&expected);
    outcome_free(&got);
}

Test(data, every_string_to_length_7_at_every_cut)
{
    for (size_t length = 0; length <= 7; length++)
        check_all(length, true);
}

Test(data, every_string_of_length_8)
{
    check_all(8, false);
}

/* The same with true lines, long ones and short ones, so that runs are copied in one piece. */
Test(data, random_messages_at_random_cuts)
{
    static const char *const parts[] = {"\r\n", "\r\n", "\r\n", "\n", "\r", ".", "..", "\r\n.", "\n.\r\n", "\r\n.\n", "\r.\r", "\0", "word ",
                                        "a longer piece of text that goes on for a while without an end "};
    struct outcome expected = {0}, got = {0};
    struct buf in = {0};
    srand(20261121);
    for (int round = 0; round < 3000; round++) {
        buf_clear(&in);
        for (int i = rand() % 60; i > 0; i--) {
            const char *part = parts[(size_t)rand() % (sizeof parts / sizeof parts[0])];
            buf_put(&in, part, *part ? strlen(part) : 1);
        }
        buf_cstr(&in, "\r\n.\r\nNOOP\r\n");
        check(buf_view(&in), false, &expected, &got);
        struct data_reader r = {0};
        outcome_clear(&got);
        for (size_t at = 0, next; at < in.n; at = next) {
            next = at + 1 + (size_t)rand() % 40;
            feed(&r, buf_view(&in), at, next < in.n ? next : in.n, &got, true);
        }
        finish(&r, &got);
        same(&got, &expected, buf_view(&in), "random cuts, round", (size_t)round);
    }
    buf_free(&in);
    outcome_free(&expected);
    outcome_free(&got);
}

Test(data, examples)
{
    static const struct {
        struct str in, wire, message;
        unsigned bare_cr, bare_lf;
        struct str rest;
    } table[] = {
        {STR(".\r\n"), STR(""), STR(""), 0, 0, STR("")},
        {STR(".\r\nQUIT\r\n"), STR(""), STR(""), 0, 0, STR("QUIT\r\n")},
        {STR("a\r\nb\r\n.\r\n"), STR("a\r\nb\r\n"), STR("a\r\nb\r\n"), 0, 0, STR("")},
        {STR("..\r\n.\r\n"), STR("..\r\n"), STR(".\r\n"), 0, 0, STR("")},
        {STR("..a\r\n.b\r\n.\r\n"), STR("..a\r\n.b\r\n"), STR(".a\r\nb\r\n"), 0, 0, STR("")},
        /* smuggling: none of these ends the message, and none leaves as it came */
        {STR("x\n.\r\nMAIL FROM:<s@x>\r\n.\r\n"), STR("x\r\n..\r\nMAIL FROM:<s@x>\r\n"), STR("x\r\n.\r\nMAIL FROM:<s@x>\r\n"), 0, 1, STR("")},
        {STR("x\n.\nMAIL\r\n.\r\n"), STR("x\r\n..\r\nMAIL\r\n"), STR("x\r\n.\r\nMAIL\r\n"), 0, 2, STR("")},
        {STR("x\r\n.\nMAIL\r\n.\r\n"), STR("x\r\n\r\nMAIL\r\n"), STR("x\r\n\r\nMAIL\r\n"), 0, 1, STR("")},
        {STR("x\r.\rMAIL\r\n.\r\n"), STR("x\r\n..\r\nMAIL\r\n"), STR("x\r\n.\r\nMAIL\r\n"), 2, 0, STR("")},
        {STR("x\r\n.\rMAIL\r\n.\r\n"), STR("x\r\n\r\nMAIL\r\n"), STR("x\r\n\r\nMAIL\r\n"), 1, 0, STR("")},
        {STR("x\r\r\n.\r\r\nMAIL\r\n.\r\n"), STR("x\r\n\r\n\r\n\r\nMAIL\r\n"), STR("x\r\n\r\n\r\n\r\nMAIL\r\n"), 2, 0, STR("")},
        {STR("x\r\n\0.\r\n.\r\n"), STR("x\r\n\0.\r\n"), STR("x\r\n\0.\r\n"), 0, 0, STR("")},
        {STR("x\n\n.\r\n.\r\n"), STR("x\r\n\r\n..\r\n"), STR("x\r\n\r\n.\r\n"), 0, 2, STR("")},
        {STR("\n.\r\n.\r\n"), STR("\r\n..\r\n"), STR("\r\n.\r\n"), 0, 1, STR("")},
        {STR("x\r\n.\r\n.\r\n"), STR("x\r\n"), STR("x\r\n"), 0, 0, STR(".\r\n")},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct data_reader r = {0};
        struct buf wire = {0}, message = {0};
        struct str in = table[i].in;
        bool start = true;
        cr_expect_eq((int)data_read(&r, &in, &wire), (int)DATA_END, "%zu", i);
        cr_expect(str_eq(buf_view(&wire), table[i].wire), "%zu: %.*s", i, STR_ARG(buf_view(&wire)));
        data_unstuff(buf_view(&wire), &start, &message);
        cr_expect(str_eq(buf_view(&message), table[i].message), "%zu", i);
        cr_expect_eq(r.bare_cr, table[i].bare_cr, "%zu", i);
        cr_expect_eq(r.bare_lf, table[i].bare_lf, "%zu", i);
        cr_expect(str_eq(in, table[i].rest), "%zu", i);
        harmless(buf_view(&wire));
        buf_free(&wire);
        buf_free(&message);
    }
}

Test(data, stuffing_there_and_back_at_every_cut)
{
    static const struct {
        struct str octets, wire;
    } table[] = {
        {STR(""), STR("")},
        {STR("a\r\n"), STR("a\r\n")},
        {STR(".\r\n"), STR("..\r\n")},
        {STR(".a\r\n..\r\n\r\n.\r\nb.\r\n"), STR("..a\r\n...\r\n\r\n..\r\nb.\r\n")},
        {STR("no end ."), STR("no end .")},
        {STR("\r\n."), STR("\r\n..")},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (size_t cut = 0; cut <= table[i].wire.n; cut++) {
            struct buf wire = {0}, octets = {0};
            bool start = true;
            data_stuff(str_sub(table[i].octets, 0, cut), &start, &wire);
            data_stuff(str_sub(table[i].octets, cut, table[i].octets.n), &start, &wire);
            cr_expect(str_eq(buf_view(&wire), table[i].wire), "%zu cut %zu", i, cut);
            start = true;
            data_unstuff(str_sub(table[i].wire, 0, cut), &start, &octets);
            data_unstuff(str_sub(table[i].wire, cut, table[i].wire.n), &start, &octets);
            cr_expect(str_eq(buf_view(&octets), table[i].octets), "%zu cut %zu", i, cut);
            buf_free(&wire);
            buf_free(&octets);
        }
    }
}

Test(data, line_lengths_are_the_messages)
{
    struct data_reader r = {0};
    struct str first = STR("..234\r\n1234"), second = STR("5678\r\n1\r\n.\r\n");

    cr_assert_eq(data_read(&r, &first, NULL), DATA_MORE);
    cr_expect_eq(r.line, 4);
    cr_expect_eq(r.longest_line, 4, "the stuffed dot is not of the message");
    cr_assert_eq(data_read(&r, &second, NULL), DATA_END);
    cr_expect_eq(r.longest_line, 8);
    cr_expect_eq(r.size, 6 + 10 + 3);
}
