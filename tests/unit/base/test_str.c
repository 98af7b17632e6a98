/* Slices, globs, suggestions and the growable buffer. */
#include "postern/base/str.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Test(str, none_is_empty_everywhere)
{
    struct str part;
    struct str none = STR_NONE;
    cr_assert(str_eq(none, STR("")));
    cr_assert(str_eq(str_of(NULL), none));
    cr_assert(str_starts(none, none) && str_starts(STR("a"), none) && str_ends_nocase(STR("a"), none));
    cr_assert_eq(str_cmp(none, STR("")), 0);
    cr_assert_eq(str_cmp(none, STR("a")), -1);
    cr_assert_eq(str_find(none, 'a', 0), 0);
    cr_assert_eq(str_trim(none).n, 0);
    cr_assert_eq(str_sub(none, 2, 9).n, 0);
    cr_assert_not(str_split(&none, ',', &part));
    cr_assert(str_glob(none, none) && str_glob(STR("*"), none));
    cr_assert(ascii_printable(none));
}

Test(str, case_is_ascii_only)
{
    cr_assert(str_eq_nocase(STR("MaIl"), STR("mail")));
    cr_assert_not(str_eq_nocase(STR("mail"), STR("mails")));
    cr_assert_not(str_eq_nocase(STR("\xc3\xa4"), STR("\xc3\x84")));
    cr_assert_not(str_eq_nocase(STR("["), STR("{"))); /* differ in the bit that makes case */
    cr_assert_not(str_eq_nocase(STR("@"), STR("`")));
    cr_assert(str_starts_nocase(STR("RCPT TO:<a>"), STR("rcpt to:")));
    cr_assert_not(str_starts(STR("RCPT"), STR("rcpt")));
    cr_assert(str_ends_nocase(STR("a.Example.ORG"), STR(".example.org")));
    cr_assert_not(str_ends_nocase(STR("rg"), STR("org")));
    for (int c = 0; c < 256; c++)
        cr_assert_eq(ascii_lower((char)c), (char)(c >= 'A' && c <= 'Z' ? c + 32 : c));
}

Test(str, order_is_bytewise)
{
    cr_assert_lt(str_cmp(STR("a"), STR("ab")), 0);
    cr_assert_gt(str_cmp(STR("b"), STR("ab")), 0);
    cr_assert_gt(str_cmp(STR("\x80"), STR("\x7f")), 0);
    cr_assert_eq(str_cmp(STR("x\0y"), STR("x\0y")), 0);
    cr_assert_lt(str_cmp(STR("x\0y"), STR("x\0z")), 0);
}

Test(str, sub_clips)
{
    struct str s = STR("abcdef");
    cr_assert(str_eq(str_sub(s, 1, 3), STR("bc")));
    cr_assert(str_eq(str_sub(s, 4, 99), STR("ef")));
    cr_assert(str_eq(str_sub(s, 5, 2), STR("")));
    cr_assert(str_eq(str_sub(s, 99, 100), STR("")));
    cr_assert(str_eq(str_sub(s, 0, SIZE_MAX), s));
    cr_assert_eq(str_find(s, 'c', 0), 2);
    cr_assert_eq(str_find(s, 'c', 3), 6);
    cr_assert_eq(str_find(s, 'a', 100), 6);
    cr_assert(str_eq(str_trim(STR(" \t a b\t ")), STR("a b")));
    cr_assert(str_eq(str_trim(STR(" \t ")), STR("")));
}

static void joined_parts(struct str s, char *out)
{
    struct str part;
    out[0] = '\0';
    while (str_split(&s, ',', &part)) {
        strncat(out, part.p, part.n);
        strcat(out, "|");
    }
}

Test(str, split_keeps_empty_parts)
{
    static const char *const cases[][2] = {
        {"a,b,c", "a|b|c|"}, {"a", "a|"}, {"", "|"}, {",", "||"}, {"a,,b,", "a||b||"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[64];
        joined_parts(str_of(cases[i][0]), out);
        cr_assert_str_eq(out, cases[i][1], "\"%s\" gave %s", cases[i][0], out);
    }
}

Test(str, numbers)
{
    static const struct {
        const char *text;
        uint64_t max;
        bool good;
        uint64_t value;
    } cases[] = {
        {"0", 0, true, 0}, {"1", 0, false, 0}, {"65535", 65535, true, 65535}, {"65536", 65535, false, 0}, {"007", 9, true, 7},
        {"18446744073709551615", UINT64_MAX, true, UINT64_MAX}, {"18446744073709551616", UINT64_MAX, false, 0},
        {"99999999999999999999999", UINT64_MAX, false, 0}, {"", 9, false, 0}, {"-1", 9, false, 0}, {"+1", 9, false, 0},
        {" 1", 9, false, 0}, {"1 ", 9, false, 0}, {"0x1", 99, false, 0}, {"1e3", 9999, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t v = 0;
        cr_assert_eq(str_to_u64(str_of(cases[i].text), cases[i].max, &v), cases[i].good, "%s", cases[i].text);
        cr_assert_eq(v, cases[i].value, "%s", cases[i].text);
    }
}

Test(str, printable)
{
    for (int c = 0; c < 256; c++) {
        char byte = (char)c;
        cr_assert_eq(ascii_printable((struct str){&byte, 1}), c >= 0x20 && c <= 0x7e, "%d", c);
    }
}

Test(str, globs)
{
    static const struct {
        const char *pattern, *text;
        bool match;
    } cases[] = {
        {"", "", true}, {"", "a", false}, {"*", "", true}, {"**", "", true}, {"?", "", false}, {"?", "a", true}, {"a", "A", true},
        {"*.example", "mail.example", true}, {"*.example", ".example", true}, {"*.example", "example", false},
        {"mail*", "mail", true}, {"*mail*", "xmailx", true}, {"a*b*c", "aXbXbc", true}, {"a*b*c", "aXbXbd", false},
        {"*ab", "aab", true}, {"*aab", "aaaab", true}, {"a?c", "abc", true}, {"a?c", "ac", false}, {"a*", "b", false},
        {"*a", "ab", false}, {"????", "abc", false}, {"*?", "a", true}, {"*?*?*", "a", false}, {"[a]", "a", false},
        {"[a]", "[A]", true},
        {"dyn-*-*.isp.*", "DYN-12-34.isp.example", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_assert_eq(str_glob(str_of(cases[i].pattern), str_of(cases[i].text)), cases[i].match, "%s ~ %s",
        cases[i].pattern, cases[i].text);
}

Test(str, stars_alone_with_regard_to_case)
{
    static const struct { const char *pattern, *text; bool match; } cases[] = {
        {"", "", true}, {"*", "", true}, {"a*c", "abbc", true}, {"a*c", "aBbC", false}, {"a?c", "abc", false}, {"a?c", "a?c", true},
        {"*b*", "abc", true}, {"ab", "abc", false}, {"a**", "a", true}, {"250 *", "250 2.1.0 ok", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(str_stars(str_of(cases[i].pattern), str_of(cases[i].text)), cases[i].match, "%s %s", cases[i].pattern, cases[i].text);
}

Test(str, hostile_glob_ends_soon)
{
    enum { N = 20000 };
    char *text = malloc(N);
    memset(text, 'a', N);
    cr_assert_not(str_glob(STR("*a*a*a*a*a*a*a*a*a*a*b"), (struct str){text, N}));
    cr_assert(str_glob(STR("*a*a*a*a*a*a*a*a*a*a*"), (struct str){text, N}));
    free(text);
}

Test(str, suggestions)
{
    static const struct str names[] = {{"accept", 6}, {"reject", 6}, {"tempfail", 8}, {"greylist", 8}, {"pass", 4}, {"tag", 3},
                                       {"dnsbl.zen", 9}, {"helo.name", 9}, {"in", 2}};
    static const char *const cases[][2] = {
        {"acept", "accept"}, {"ACCEPT", "accept"}, {"rejcet", "reject"}, {"dnsbl.zem", "dnsbl.zen"}, {"greylsit", "greylist"},
        {"graylist", "greylist"}, {"pas", "pass"}, {"psas", "pass"}, {"helo.nmae", "helo.name"}, {"in", "in"}, {"i", NULL},
        {"xy", NULL}, {"score", NULL}, {"quarantine", NULL}, {"", NULL}, {"a", NULL}, {"helo.", NULL}, {"ta", "tag"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str got = str_suggest(str_of(cases[i][0]), names, sizeof names / sizeof names[0]);
        cr_assert(str_eq(got, str_of(cases[i][1])), "%s gave %.*s", cases[i][0], STR_ARG(got));
    }
}

Test(str, suggestion_takes_the_nearest_and_bears_long_words)
{
    static char longest[1000];
    memset(longest, 'x', sizeof longest);
    struct str names[] = {{"greylister", 10}, {"greylists", 9}, {"greylist", 8}, {longest, sizeof longest}};
    cr_assert(str_eq(str_suggest(STR("greylst"), names, 4), STR("greylist")));
    cr_assert_eq(str_suggest((struct str){longest, sizeof longest}, names, 4).n, 0);
    cr_assert_eq(str_suggest((struct str){longest, 64}, names, 4).n, 0);
}

Test(buf, grows_and_shrinks)
{
    struct buf b = {0};
    cr_assert_eq(buf_view(&b).n, 0);
    cr_assert_not_null(buf_view(&b).p);
    for (int i = 0; i < 1000; i++) {
        buf_printf(&b, "%d,", i % 10);
        buf_char(&b, 'x');
    }
    cr_assert_eq(b.n, 3000);
    cr_assert(str_starts(buf_view(&b), STR("0,x1,x2,x")));
    buf_consume(&b, 2997);
    cr_assert(str_eq(buf_view(&b), STR("9,x")));
    buf_consume(&b, 3);
    buf_consume(&b, 0);
    cr_assert_eq(b.n, 0);
    buf_cstr(&b, NULL);
    buf_str(&b, STR_NONE);
    buf_put(&b, NULL, 0);
    cr_assert_eq(b.n, 0);
    buf_cstr(&b, "abc");
    buf_clear(&b);
    cr_assert_eq(b.n, 0);
    cr_assert_gt(b.cap, 0);
    buf_free(&b);
    cr_assert_null(b.p);
    cr_assert_eq(b.cap, 0);
}

Test(buf, printf_of_every_length_around_the_capacity)
{
    for (int n = 0; n < 300; n++) {
        struct buf b = {0};
        buf_cstr(&b, "<");
        buf_printf(&b, "%*s", n, n > 0 ? "!" : "");
        buf_cstr(&b, ">");
        cr_assert_eq(b.n, (size_t)n + 2);
        cr_assert_eq(b.p[b.n - 1], '>');
        cr_assert(n == 0 || b.p[b.n - 2] == '!');
        buf_free(&b);
    }
}

Test(buf, numbers)
{
    char expected[32];
    uint64_t edge = 1;
    for (int digits = 0; digits <= 20; digits++, edge *= 10) {
        for (int step = -1; step <= 1; step++) {
            struct buf b = {0};
            uint64_t n = digits == 20 ? UINT64_MAX + (uint64_t)step : edge + (uint64_t)step;
            snprintf(expected, sizeof expected, "<%llu>", (unsigned long long)n);
            buf_char(&b, '<');
            buf_u64(&b, n);
            buf_char(&b, '>');
            cr_assert(str_eq(buf_view(&b), str_of(expected)), "%s", expected);
            buf_free(&b);
        }
    }
}

Test(buf, room_is_given_and_steal_terminates)
{
    struct buf b = {0};
    char *at = buf_room(&b, 100000);
    memset(at, 'z', 100000);
    b.n += 100000;
    char *text = buf_steal(&b);
    cr_assert_eq(strlen(text), 100000);
    cr_assert_null(b.p);
    free(text);
    text = buf_steal(&b);
    cr_assert_str_eq(text, "");
    free(text);
    text = xstrndup("ab\0cd", 5);
    cr_assert_arr_eq(text, "ab\0cd", 6);
    free(text);
}
