/* chunk.c: every string over a small alphabet, at every cut, against a model that knows the whole string. */
#include "postern/smtp/chunk.h"

#include <criterion/criterion.h>
#include <string.h>

/* Lines by CRLF, CR or LF; each stuffed and ended by CRLF. */
static void model(const char *s, size_t n, struct buf *out, unsigned *bare)
{
    *bare = 0;
    for (size_t i = 0; i < n;) {
        if (s[i] == '.')
            buf_char(out, '.');
        while (i < n && s[i] != '\r' && s[i] != '\n')
            buf_char(out, s[i++]);
        buf_cstr(out, "\r\n");
        if (i == n)
            break;
        bool crlf = s[i] == '\r' && i + 1 < n && s[i + 1] == '\n';
        *bare += !crlf;
        i += crlf ? 2 : 1;
    }
}

static void run(const char *s, size_t n, size_t cut, size_t step, struct buf *out, struct data_reader *r)
{
    *r = (struct data_reader){0};
    for (size_t i = 0; i < n;) {
        size_t piece = step ? step : i < cut ? cut - i : n - i;
        piece = piece < n - i ? piece : n - i;
        chunk_read(r, (struct str){s + i, piece}, out);
        i += piece;
    }
    chunk_end(r, out);
}

static void compare(const char *s, size_t n, size_t cut, size_t step)
{
    struct buf expected = {0}, got = {0}, octets = {0};
    struct data_reader r;
    unsigned bare;
    bool start = true;
    model(s, n, &expected, &bare);
    run(s, n, cut, step, &got, &r);
    cr_assert(str_eq(buf_view(&got), buf_view(&expected)), "length %zu cut %zu", n, cut);
    cr_assert_eq(r.bare_cr + r.bare_lf, bare);
    data_unstuff(buf_view(&got), &start, &octets);
    cr_assert_eq(r.size, octets.n, "the size counts octets, dots unstuffed");
    buf_free(&expected);
    buf_free(&got);
    buf_free(&octets);
}

Test(chunk, a_every_string_at_every_cut)
{
    static const char alphabet[] = "\r\n.x";
    char s[7];
    for (size_t n = 0; n <= 6; n++) {
        size_t all = (size_t)1 << (2 * n);
        for (size_t code = 0; code < all; code++) {
            for (size_t i = 0; i < n; i++)
                s[i] = alphabet[code >> (2 * i) & 3];
            for (size_t cut = 0; cut <= n; cut++)
                compare(s, n, cut, 0);
            compare(s, n, 0, 1);
        }
    }
}

Test(chunk, b_nothing_that_comes_out_ends_a_message)
{
    struct buf out = {0};
    struct data_reader r;
    static const char smuggled[] = "x\r\n.\r\nMAIL FROM:<a@b>\n.\n.\r.\r";
    run(smuggled, sizeof smuggled - 1, 0, 0, &out, &r);
    buf_cstr(&out, ".\r\nNEXT");
    struct str in = buf_view(&out);
    struct data_reader reader = {0};
    cr_expect(data_read(&reader, &in, NULL) == DATA_END);
    cr_expect(str_eq(in, STR("NEXT")), "the first end is the real one");
    buf_free(&out);
}

Test(chunk, c_counts_nul_and_long_lines)
{
    struct data_reader r = {0};
    chunk_read(&r, (struct str){"ab\0c\r\n\0", 7}, NULL);
    chunk_end(&r, NULL);
    cr_expect_eq(r.nul, 2);
    cr_expect_eq(r.longest_line, 4);
}

Test(chunk, d_what_bdat_announces)
{
    static const struct {
        const char *argument;
        bool good;
        uint64_t octets;
        bool last;
    } table[] = {
        {"0", true, 0, false},
        {"123", true, 123, false},
        {"123 LAST", true, 123, true},
        {"0 last", true, 0, true},
        {"7  \tLAST ", true, 7, true},
        {"7 ", true, 7, false},
        {"18446744073709551615", true, UINT64_MAX, false},
        {"18446744073709551616", false, 0, false},
        {"7 LASTS", false, 7, true}, /* the octets will come all the same */
        {"7 8", false, 7, true},
        {"-1", false, 0, false},
        {"x LAST", false, 0, false},
        {"", false, 0, false},
        {"7LAST", false, 0, false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        uint64_t octets = 99;
        bool last = true;
        bool good = bdat_parse(str_of(table[i].argument), &octets, &last);
        cr_expect_eq(good, table[i].good, "%s", table[i].argument);
        cr_expect_eq(octets, table[i].octets, "%s: %llu", table[i].argument, (unsigned long long)octets);
        cr_expect(!good || last == table[i].last, "%s", table[i].argument);
    }
}
