/* Command lines out of bytes: compared with a plain model over every short input and every way of cutting it. */
#include "postern/smtp/line.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* What was read, written down: "D<text>|b" for a line (b: bare newline), "T" for one too long. */
static void note(struct buf *out, enum line_result result, struct str line, bool bare)
{
    if (result == LINE_NOT_YET)
        return;
    buf_char(out, result == LINE_DONE ? 'D' : 'T');
    buf_str(out, line);
    buf_char(out, '|');
    buf_char(out, bare ? 'b' : '-');
}

static void model(struct str in, size_t max, struct buf *out)
{
    size_t start = 0;
    for (size_t i = 0; i < in.n; i++) {
        if (in.p[i] != '\n')
            continue;
        if (i + 1 - start > max) {
            note(out, LINE_TOO_LONG, STR_NONE, false);
        } else {
            bool crlf = i > start && in.p[i - 1] == '\r';
            struct str line = {in.p + start, i - start - crlf};
            note(out, LINE_DONE, line, !crlf || (line.n && memchr(line.p, '\r', line.n)));
        }
        start = i + 1;
    }
}

static void read_all(struct line_reader *r, struct str in, size_t max, struct buf *out)
{
    char *copy = malloc(in.n ? in.n : 1);
    memcpy(copy, in.p, in.n);
    struct str rest = {copy, in.n}, line;
    bool bare;

    for (;;) {
        enum line_result result = line_take(r, &rest, max, &line, &bare);
        note(out, result, line, bare);
        if (result == LINE_NOT_YET)
            break;
    }
    cr_assert_eq(rest.n, 0);
    free(copy);
}

static void check(struct str in, size_t max)
{
    struct buf expected = {0};
    model(in, max, &expected);
    for (unsigned cuts = 0; cuts < 1u << (in.n ? in.n - 1 : 0); cuts++) { /* a bit: cut behind this byte */
        struct line_reader r = {0};
        struct buf got = {0};
        size_t start = 0;
        for (size_t i = 0; i < in.n; i++) {
            if (i + 1 == in.n || (cuts >> i & 1)) {
                read_all(&r, (struct str){in.p + start, i + 1 - start}, max, &got);
                start = i + 1;
            }
        }
        cr_assert_leq(r.partial.n, max);
        cr_assert(str_eq(buf_view(&got), buf_view(&expected)), "max %zu cuts %u", max, cuts);
        line_clear(&r);
        buf_free(&got);
    }
    buf_free(&expected);
}

Test(line, every_short_input_at_every_cut)
{
    static const char alphabet[] = {'x', '\r', '\n', '\0'};
    char text[6];
    for (size_t n = 0; n <= sizeof text; n++) {
        for (size_t code = 0; code < (size_t)1 << (2 * n); code++) {
            for (size_t i = 0; i < n; i++)
                text[i] = alphabet[code >> (2 * i) & 3];
            check((struct str){text, n}, 3);
            if (n < 6)
                check((struct str){text, n}, 512);
        }
    }
}

Test(line, examples)
{
    static const struct {
        struct str in;
        size_t max;
        struct str expected;
    } table[] = {
        {STR("NOOP\r\n"), 512, STR("DNOOP|-")},
        {STR("NOOP\n"), 512, STR("DNOOP|b")},
        {STR("NO\rOP\r\n"), 512, STR("DNO\rOP|b")},
        {STR("NOOP\r\r\n"), 512, STR("DNOOP\r|b")},
        {STR("\r\n"), 512, STR("D|-")},
        {STR("a\r\nb\nc"), 512, STR("Da|-Db|b")},
        {STR("NOOP\r\n"), 6, STR("DNOOP|-")},
        {STR("NOOP\r\nx\r\n"), 5, STR("T|-Dx|-")},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct line_reader r = {0};
        struct buf got = {0};
        read_all(&r, table[i].in, table[i].max, &got);
        cr_expect(str_eq(buf_view(&got), table[i].expected), "%s", table[i].in.p);
        check(table[i].in, table[i].max);
        line_clear(&r);
        buf_free(&got);
    }
}

/* The tail of a long line is never a command, wherever a buffer happens to end; and nothing of it is kept. */
Test(line, tail_of_a_long_line_is_dropped)
{
    for (size_t chunk = 1; chunk < 5000; chunk += chunk < 10 ? 1 : 511) {
        struct buf in = {0}, got = {0};
        struct line_reader r = {0};
        buf_cstr(&in, "NOOP ");
        for (int i = 0; i < 4089; i++)
            buf_char(&in, 'x');
        buf_cstr(&in, "MAIL FROM:<a@b>\r\nQUIT\r\n");
        for (size_t at = 0; at < in.n; at += chunk) {
            read_all(&r, str_sub(buf_view(&in), at, at + chunk), 512, &got);
            cr_assert_leq(r.partial.n, 512);
        }
        cr_assert(str_eq(buf_view(&got), STR("T|-DQUIT|-")));
        line_clear(&r);
        buf_free(&in);
        buf_free(&got);
    }
}

/* The line returned lives until the next call, also when it was put together; afterwards an idle reader holds nothing. */
Test(line, holds_nothing_when_idle)
{
    struct line_reader r = {0};
    struct str line, in = STR("QU");
    bool bare;

    cr_assert_eq(line_take(&r, &in, 512, &line, &bare), LINE_NOT_YET);
    cr_expect_not_null(r.partial.p);
    in = STR("IT\r\n");
    cr_assert_eq(line_take(&r, &in, 512, &line, &bare), LINE_DONE);
    cr_expect(str_eq(line, STR("QUIT")));
    cr_expect_eq(line_take(&r, &in, 512, &line, &bare), LINE_NOT_YET);
    cr_expect(r.partial.p == NULL && r.done.p == NULL);
    line_clear(&r);
}
