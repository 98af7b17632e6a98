/* Hex, base64, xtext, UTF-8, escaping. */
#include "postern/base/codec.h"

#include <criterion/criterion.h>
#include <string.h>

typedef bool (*decoder)(struct buf *out, struct str s);

/* Decodes behind text that is there already; on failure that text is all there is. */
static void check_decode(decoder decode, struct str in, const struct str *expected)
{
    struct buf out = {0};
    buf_cstr(&out, "kept");
    bool good = decode(&out, in);
    cr_assert_eq(good, expected != NULL, "%.*s", STR_ARG(in));
    cr_assert(str_starts(buf_view(&out), STR("kept")));
    struct str got = str_sub(buf_view(&out), 4, out.n);
    if (good)
        cr_assert(str_eq(got, *expected), "%.*s", STR_ARG(in));
    else
        cr_assert_eq(got.n, 0, "nothing is added on failure: %.*s", STR_ARG(in));
    buf_free(&out);
}

static void check_good(decoder decode, struct str in, struct str expected)
{
    check_decode(decode, in, &expected);
}

Test(codec, hex)
{
    struct buf out = {0};
    hex_encode(&out, "\x00\xff\x1a", 3);
    hex_encode(&out, NULL, 0);
    cr_assert(str_eq(buf_view(&out), STR("00ff1a")));
    buf_free(&out);
    check_good(hex_decode, STR("00FF1a"), STR("\x00\xff\x1a"));
    check_good(hex_decode, STR(""), STR(""));
    static const char *const bad[] = {"0", "0g", "g0", "00 0", "0x00", "00\n", "--"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_decode(hex_decode, str_of(bad[i]), NULL);
}

Test(codec, base64_vectors)
{
    static const char *const cases[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xfe", "+//+"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out = {0};
        base64_encode(&out, cases[i][0], strlen(cases[i][0]));
        cr_assert(str_eq(buf_view(&out), str_of(cases[i][1])), "%s", cases[i][1]);
        buf_free(&out);
        check_good(base64_decode, str_of(cases[i][1]), str_of(cases[i][0]));
    }
}

Test(codec, base64_strict)
{
    static const char *const bad[] = {"Z", "Zg", "Zg=", "Zg===", "Z===", "====", "Zm9v\n", "Zm 9", "Zh==", "Zm9=", "=Zg=",
                                      "Zg==Zg==", "Z-_v", "Zm9vYg", "Zm=v", "\xc3\xa4==", "Zm9vZg=x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_decode(base64_decode, str_of(bad[i]), NULL);
}

Test(codec, base64_of_all_bytes_and_lengths)
{
    char bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)(i * 7);
    for (size_t n = 0; n <= 256; n++) {
        struct buf text = {0};
        base64_encode(&text, bytes, n);
        cr_assert_eq(text.n, (n + 2) / 3 * 4);
        check_good(base64_decode, buf_view(&text), (struct str){bytes, n});
        buf_free(&text);
    }
}

Test(codec, xtext)
{
    check_good(xtext_decode, STR("rfc822;a+2Bb@example"), STR("rfc822;a+b@example"));
    check_good(xtext_decode, STR(""), STR(""));
    check_good(xtext_decode, STR("+00+3D+FF"), STR("\0=\xff"));
    static const char *const bad[] = {"a b", "a=b", "+", "a+2", "+2b", "+GG", "\x7f", "\xc3\xa4", "a\r\n", "+ 2", "a+2+2B"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_decode(xtext_decode, str_of(bad[i]), NULL);
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    struct buf text = {0};
    xtext_encode(&text, (struct str){all, 256});
    cr_assert(ascii_printable(buf_view(&text)));
    cr_assert_eq(str_find(buf_view(&text), '=', 0), text.n);
    check_good(xtext_decode, buf_view(&text), (struct str){all, 256});
    buf_free(&text);
}

/* Every code point has one sequence, and no other sequence of up to four bytes is taken: compared with a plain decoder. */
Test(codec, utf8_every_code_point)
{
    for (unsigned c = 0; c <= 0x110000; c++) {
        char s[4];
        size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        if (n == 1) {
            s[0] = (char)c;
        } else {
            static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
            s[0] = (char)(lead[n] | c >> (6 * (n - 1)));
            for (size_t i = 1; i < n; i++)
                s[i] = (char)(0x80 | (c >> (6 * (n - 1 - i)) & 0x3f));
        }
        bool good = c < 0x110000 && (c < 0xd800 || c > 0xdfff);
        if (utf8_step((struct str){s, n}) != (good ? n : 0))
            cr_assert_fail("U+%04X", c);
        if (n > 1 && utf8_step((struct str){s, n - 1}) != 0)
            cr_assert_fail("U+%04X cut short", c);
    }
}

Test(codec, utf8_broken)
{
    static const char *const bad[] = {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf",
                                      "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
                                      "\xff", "\xfe", "\xc3", "\xe2\x82", "\xf0\x9f\x98",
                                      "\xc3\x28", "\xe2\x28\xa1", "\xe2\x82\x28", "\xf0\x28\x8c\xbc", "ok\xc3", "\xf8\x88\x80\x80\x80"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_not(utf8_valid(str_of(bad[i])), "case %zu", i);
    cr_assert(utf8_valid(STR("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\0z")));
    cr_assert(utf8_valid(STR_NONE));
    cr_assert_eq(utf8_step(STR_NONE), 0);
}

Test(codec, escape)
{
    struct buf out = {0};
    escape_text(&out, STR("a b\\\"\r\n\t\0\x1b[0m\x7f\xc3\xa4~"));
    cr_assert(str_eq(buf_view(&out), STR("a b\\\\\"\\r\\n\\t\\x00\\x1b[0m\\x7f\\xc3\\xa4~")), "%.*s", STR_ARG(buf_view(&out)));
    for (int c = 0; c < 256; c++) {
        char byte = (char)c;
        buf_clear(&out);
        escape_text(&out, (struct str){&byte, 1});
        cr_assert(out.n >= 1 && ascii_printable(buf_view(&out)));
    }
    buf_free(&out);
}
