/* Replies of a backend: good, odd and hostile; each whole, byte by byte, and cut once at every place. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "postern/smtp/reply.h"

/* Feeds `in` in pieces (cut: the first piece's length, then all; 0: single bytes). *rest is what was left of it. */
static enum reply_parse feed(struct str in, size_t cut, struct arena *arena, struct reply *out, size_t *rest)
{
    struct reply_parser p = {0};
    enum reply_parse result = REPLY_PARSE_NOT_YET;
    size_t at = 0;

    while (result == REPLY_PARSE_NOT_YET && at < in.n) {
        size_t n = cut == 0 ? 1 : at == 0 && cut < in.n ? cut : in.n - at;
        char *copy = malloc(n); /* of its exact size, so that a read past it is seen */
        memcpy(copy, in.p + at, n);
        struct str piece = {copy, n};
        result = reply_parse(&p, &piece, arena, out);
        if (result != REPLY_PARSE_FAILED)
            cr_assert(result == REPLY_PARSE_DONE || piece.n == 0);
        at += n - piece.n;
        free(copy);
    }
    *rest = in.n - at;
    cr_assert_eq(result == REPLY_PARSE_FAILED, p.error != NULL);
    if (result == REPLY_PARSE_FAILED) { /* stays failed */
        struct str more = STR("250 OK\r\n");
        struct reply again;
        cr_assert_eq(reply_parse(&p, &more, arena, &again), REPLY_PARSE_FAILED);
    }
    if (result == REPLY_PARSE_DONE)
        cr_assert(p.partial.p == NULL && p.lines == 0, "nothing is held after a reply");
    reply_parser_clear(&p);
    cr_assert_null(p.error);
    return result;
}

static const struct {
    struct str wire;
    enum reply_parse result;
    unsigned code;
    const char *enhanced;
    struct str text;
    size_t rest;
} table[] = {
    {STR("250 OK\r\n"), REPLY_PARSE_DONE, 250, "", STR("OK"), 0},
    {STR("250 OK\n"), REPLY_PARSE_DONE, 250, "", STR("OK"), 0},
    {STR("250\r\n"), REPLY_PARSE_DONE, 250, "", STR(""), 0},
    {STR("250\n"), REPLY_PARSE_DONE, 250, "", STR(""), 0},
    {STR("250 \r\n"), REPLY_PARSE_DONE, 250, "", STR(""), 0},
    {STR("250-\r\n250\r\n"), REPLY_PARSE_DONE, 250, "", STR("\n"), 0},
    {STR("250 2.1.5 OK\r\nmore"), REPLY_PARSE_DONE, 250, "2.1.5", STR("OK"), 4},
    {STR("550 5.7.2\r\n"), REPLY_PARSE_DONE, 550, "5.7.2", STR(""), 0},
    {STR("550 5.7.2 \r\n"), REPLY_PARSE_DONE, 550, "5.7.2", STR(""), 0},
    {STR("550-5.7.2\r\n550 5.7.2\r\n"), REPLY_PARSE_DONE, 550, "5.7.2", STR("\n"), 0},
    {STR("550 5.7.2text\r\n"), REPLY_PARSE_DONE, 550, "", STR("5.7.2text"), 0},
    {STR("550 2.7.2 other class\r\n"), REPLY_PARSE_DONE, 550, "", STR("other class"), 0},
    {STR("550 5.1 short\r\n"), REPLY_PARSE_DONE, 550, "", STR("5.1 short"), 0},
    {STR("550 5.1.1000 long\r\n"), REPLY_PARSE_DONE, 550, "", STR("5.1.1000 long"), 0},
    {STR("354 go ahead\r\n"), REPLY_PARSE_DONE, 354, "", STR("go ahead"), 0},
    {STR("354 2.0.0 go ahead\r\n"), REPLY_PARSE_DONE, 354, "", STR("go ahead"), 0},
    {STR("250-a\r\n250-b\n250 c\r\n"), REPLY_PARSE_DONE, 250, "", STR("a\nb\nc"), 0},
    {STR("550-5.1.1 one\r\n550 5.1.1 two\r\n"), REPLY_PARSE_DONE, 550, "5.1.1", STR("one\ntwo"), 0},
    {STR("550-one\r\n550 5.1.1 two\r\n"), REPLY_PARSE_DONE, 550, "5.1.1", STR("one\ntwo"), 0},
    {STR("550-4.1.1 one\r\n550 5.1.2 two\r\n"), REPLY_PARSE_DONE, 550, "5.1.2", STR("one\ntwo"), 0},
    {STR("250 a\rb\r\n"), REPLY_PARSE_DONE, 250, "", STR("a\rb"), 0},
    {STR("250 a\r\r\n"), REPLY_PARSE_DONE, 250, "", STR("a\r"), 0},
    {STR("250 one\r\n250 two\r\n"), REPLY_PARSE_DONE, 250, "", STR("one"), 9},
    {STR("599 x\r\n"), REPLY_PARSE_DONE, 599, "", STR("x"), 0},
    /* not the end of it */
    {STR("25"), REPLY_PARSE_NOT_YET, 0, "", STR(""), 0},
    {STR("250 OK"), REPLY_PARSE_NOT_YET, 0, "", STR(""), 0},
    {STR("250 OK\r"), REPLY_PARSE_NOT_YET, 0, "", STR(""), 0},
    {STR("250-OK\r\n"), REPLY_PARSE_NOT_YET, 0, "", STR(""), 0},
    {STR("250-OK\r\n250"), REPLY_PARSE_NOT_YET, 0, "", STR(""), 0},
    {STR("250-"), REPLY_PARSE_NOT_YET, 0, "", STR(""), 0},
    /* not to be trusted */
    {STR("25\r\n"), REPLY_PARSE_FAILED, 0, "", STR(""), 0},
    {STR("\r\n"), REPLY_PARSE_FAILED, 0, "", STR(""), 0},
    {STR("\n"), REPLY_PARSE_FAILED, 0, "", STR(""), 0},
    {STR("OK\r\n"), REPLY_PARSE_FAILED, 0, "", STR(""), 0},
    {STR(" 250 OK\r\n"), REPLY_PARSE_FAILED, 0, "", STR(""), 0},
    {STR("2500 OK\r\n"), REPLY_PARSE_FAILED, 0, "", STR(""), 0},
    {STR("250\tOK\r\n"), REPLY_PARSE_FAILED, 0, "", STR(""), 0},
    {STR("250_OK\r\n"), REPLY_PARSE_FAILED, 0, "", STR(""), 0},
    {STR("2x0 OK\r\n"), REPLY_PARSE_FAILED, 0, "", STR(""), 0},
    {STR("100 OK\r\n"), REPLY_PARSE_FAILED, 0, "", STR(""), 0},
    {STR("199 OK\r\n"), REPLY_PARSE_FAILED, 0, "", STR(""), 0},
    {STR("600 OK\r\n"), REPLY_PARSE_FAILED, 0, "", STR(""), 0},
    {STR("000 OK\r\n"), REPLY_PARSE_FAILED, 0, "", STR(""), 0},
    {STR("250-OK\r\n550 no\r\n"), REPLY_PARSE_FAILED, 0, "", STR(""), 0},
    {STR("550-no\r\n250 OK\r\n"), REPLY_PARSE_FAILED, 0, "", STR(""), 0},
    {STR("250-OK\r\nhello\r\n"), REPLY_PARSE_FAILED, 0, "", STR(""), 0},
    {STR("250-OK\r\n\r\n"), REPLY_PARSE_FAILED, 0, "", STR(""), 0},
    {STR("250 O\0K\r\n"), REPLY_PARSE_FAILED, 0, "", STR(""), 0},
    {STR("25\0 OK\r\n"), REPLY_PARSE_FAILED, 0, "", STR(""), 0},
    {STR("250 OK\0\r\n"), REPLY_PARSE_FAILED, 0, "", STR(""), 0},
    {STR("HTTP/1.1 400 Bad Request\r\n"), REPLY_PARSE_FAILED, 0, "", STR(""), 0},
};

Test(reply_parser, table)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (size_t cut = 0; cut <= table[i].wire.n; cut++) {
            struct arena arena = {0};
            struct reply r;
            size_t rest;
            char enhanced[16];
            enum reply_parse result = feed(table[i].wire, cut, &arena, &r, &rest);

            cr_expect_eq((int)result, (int)table[i].result, "%s cut %zu", table[i].wire.p, cut);
            cr_expect_eq((unsigned)r.code, table[i].code, "%s cut %zu", table[i].wire.p, cut);
            cr_expect_str_eq(enhanced_format(r.enhanced, enhanced), table[i].enhanced, "%s cut %zu", table[i].wire.p, cut);
            cr_expect(str_eq(r.text, table[i].text), "%s cut %zu", table[i].wire.p, cut);
            if (table[i].result == REPLY_PARSE_DONE)
                cr_expect_eq(rest, table[i].rest, "%s cut %zu", table[i].wire.p, cut);
            arena_clear(&arena);
        }
    }
}

static void repeat(struct buf *out, const char *line, size_t times)
{
    for (size_t i = 0; i < times; i++)
        buf_cstr(out, line);
}

Test(reply_parser, bounds)
{
    static const struct {
        const char *what, *head, *line;
        size_t times;
        const char *tail;
        enum reply_parse result;
    } bounds[] = {
        {"128 lines", "", "250-x\r\n", REPLY_LINES_MAX - 1, "250 x\r\n", REPLY_PARSE_DONE},
        {"129 lines", "", "250-x\r\n", REPLY_LINES_MAX, "250 x\r\n", REPLY_PARSE_FAILED},
        {"4000 lines", "", "250-x\r\n", 3999, "250 x\r\n", REPLY_PARSE_FAILED},
        {"a line of 10 KB", "250 ", "x", 10240, "\r\n", REPLY_PARSE_DONE},
        {"just fits", "250 ", "x", REPLY_BYTES_MAX - 6, "\r\n", REPLY_PARSE_DONE},
        {"one too many", "250 ", "x", REPLY_BYTES_MAX - 5, "\r\n", REPLY_PARSE_FAILED},
        {"no end at all", "250 ", "x", 3 * REPLY_BYTES_MAX, "", REPLY_PARSE_FAILED},
        {"many long lines", "", "250-01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"
                                "890123456789012345678901234567890123456789012345678901234567890123456789\r\n",
         120, "250 x\r\n", REPLY_PARSE_FAILED},
    };
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        struct buf wire = {0};
        buf_cstr(&wire, bounds[i].head);
        repeat(&wire, bounds[i].line, bounds[i].times);
        buf_cstr(&wire, bounds[i].tail);
        const size_t cuts[] = {0, 1, 5, 4096, wire.n};
        for (size_t c = 0; c < sizeof cuts / sizeof cuts[0]; c++) {
            struct arena arena = {0};
            struct reply r;
            size_t rest;
            cr_expect_eq((int)feed(buf_view(&wire), cuts[c], &arena, &r, &rest), (int)bounds[i].result, "%s, %zu", bounds[i].what, cuts[c]);
            if (r.code) { /* what a backend says can always be said on */
                struct buf out = {0};
                reply_format(&out, &r, true, STR_NONE);
                cr_expect_gt(out.n, 0);
                buf_free(&out);
            }
            arena_clear(&arena);
        }
        buf_free(&wire);
    }
}

Test(reply_parser, replies_in_a_row)
{
    struct reply_parser p = {0};
    struct arena arena = {0};
    struct reply r;
    struct str in = STR("250 2.1.0 a\r\n250-b\r\n250 c\r\n354 d\r\n2");

    cr_assert_eq(reply_parse(&p, &in, &arena, &r), REPLY_PARSE_DONE);
    cr_expect(str_eq(r.text, STR("a")));
    cr_assert_eq(reply_parse(&p, &in, &arena, &r), REPLY_PARSE_DONE);
    cr_expect(str_eq(r.text, STR("b\nc")));
    cr_assert_eq(reply_parse(&p, &in, &arena, &r), REPLY_PARSE_DONE);
    cr_expect_eq(r.code, 354);
    cr_assert_eq(reply_parse(&p, &in, &arena, &r), REPLY_PARSE_NOT_YET);
    cr_expect_eq(in.n, 0);
    cr_assert_eq(reply_parse(&p, &in, &arena, &r), REPLY_PARSE_NOT_YET, "no input, no change");
    in = STR("20 e\r\n");
    cr_assert_eq(reply_parse(&p, &in, &arena, &r), REPLY_PARSE_DONE);
    cr_expect_eq(r.code, 220);
    reply_parser_clear(&p);
    arena_clear(&arena);
}
