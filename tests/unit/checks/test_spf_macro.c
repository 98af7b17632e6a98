/*
 * Macros: the RFC's examples (7208 section 7.4), transformers, escapes, bounds, and names that are cut.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "spf_internal.h"

static struct str validated(void *context, struct str domain)
{
    (void)domain;
    return *(struct str *)context;
}

static struct spf_macros values(const char *client, struct str *name)
{
    struct spf_macros m = {.local = STR("strong-bad"), .sender_domain = STR("email.example.com"), .domain = STR("email.example.com"),
                           .helo = STR("mail.client.example"), .receiver = STR("mx.our.test"), .time = 1234567890, .validated = validated, .context = name};
    cr_assert(addr_parse(str_of(client), &m.client));
    return m;
}

static const struct {
    const char *text, *four, *six; /* six: NULL the same */
} examples[] = {
    {"%{s}", "strong-bad@email.example.com", NULL},
    {"%{o}", "email.example.com", NULL},
    {"%{d}", "email.example.com", NULL},
    {"%{d4}", "email.example.com", NULL},
    {"%{d3}", "email.example.com", NULL},
    {"%{d2}", "example.com", NULL},
    {"%{d1}", "com", NULL},
    {"%{dr}", "com.example.email", NULL},
    {"%{d2r}", "example.email", NULL},
    {"%{l}", "strong-bad", NULL},
    {"%{l-}", "strong.bad", NULL},
    {"%{lr}", "strong-bad", NULL},
    {"%{lr-}", "bad.strong", NULL},
    {"%{l1r-}", "strong", NULL},
    {"%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com",
     "1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6._spf.example.com"},
    {"%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com", NULL},
    {"%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com",
     "bad.strong.lp.1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6._spf.example.com"},
    {"%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com",
     "1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6.strong.lp._spf.example.com"},
    {"%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net", NULL},
    {"%{p2}.trusted", "example.org.trusted", NULL},
    /* more of the same kind */
    {"%{p}", "mx.example.org", NULL},
    {"%{h}", "mail.client.example", NULL},
    {"%{hr2}", NULL, NULL}, /* not valid: filtered below */
    {"%{h2r}", "client.mail", NULL},
    {"%{D2R}", "example.email", NULL},
    {"%{i1}", "3", "1"},
    {"%{d127}", "email.example.com", NULL},
    {"%{d18446744073709551617}", "email.example.com", NULL},
    {"%{s.@}", NULL, NULL},
    {"%{s-.}", "strong.bad@email.example.com", NULL},
    {"%{l3r-}", "bad.strong", NULL},
    {"a%%b%_c%-d", "a%b c%20d", NULL},
    {"%{S}", "strong-bad%40email.example.com", NULL},
    {"%{d.}%{d+}", "email.example.comemail.example.com", NULL},
    {"plain", "plain", NULL},
    {"", "", NULL},
};

Test(spf_macro, examples)
{
    struct str name = STR("mx.example.org");
    struct spf_macros four = values("192.0.2.3", &name), six = values("2001:db8::cb01", &name);
    struct buf out = {0};

    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        struct str text = str_of(examples[i].text);
        cr_expect_eq(spf_macro_string_valid(text, SPF_IN_TERM), examples[i].four != NULL, "%s", examples[i].text);
        if (!examples[i].four)
            continue;
        buf_clear(&out);
        cr_assert(spf_expand(&out, text, SPF_IN_TERM, &four));
        cr_expect(str_eq(buf_view(&out), str_of(examples[i].four)), "%s: %.*s", examples[i].text, STR_ARG(buf_view(&out)));
        buf_clear(&out);
        cr_assert(spf_expand(&out, text, SPF_IN_TERM, &six));
        cr_expect(str_eq(buf_view(&out), str_of(examples[i].six ? examples[i].six : examples[i].four)), "%s: %.*s", examples[i].text,
                  STR_ARG(buf_view(&out)));
    }
    buf_clear(&out);
    cr_assert(spf_expand(&out, STR("%{c} %{R} %{r2} %{t} %{c1r}"), SPF_IN_EXPLANATION, &six));
    cr_expect(str_eq(buf_view(&out), STR("2001:db8::cb01 mx.our.test our.test 1234567890 2001:db8::cb01")), "%.*s", STR_ARG(buf_view(&out)));
    buf_free(&out);
}

Test(spf_macro, strange_local_parts)
{
    static const struct {
        const char *local, *text, *expansion;
    } cases[] = {
        {"", "%{l}", "postmaster"},
        {"", "%{s}", "postmaster@email.example.com"},
        {"a.b.c", "%{l2}", "b.c"},
        {"..", "%{lr}", ".."},
        {"-", "%{l-}", "."},
        {"a--b", "%{lr-}", "b..a"},
        {"~jack&jill=up-a_b3.c", "%{L}", "~jack%26jill%3Dup-a_b3.c"},
        {"\"a b\"", "%{L}", "%22a%20b%22"},
        {"\xc3\xa4", "%{L}", "%C3%A4"},
        {"a+b=c,d/e_f-g.h", "%{lr.+-,/_=}", "h.g.f.e.d.c.b.a"},
        {"a+b=c,d/e_f-g.h", "%{l1+}", "b=c,d/e_f-g.h"},
    };
    struct str name = STR("");
    struct spf_macros m = values("192.0.2.3", &name);
    struct buf out = {0};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        m.local = str_of(cases[i].local);
        buf_clear(&out);
        cr_assert(spf_expand(&out, str_of(cases[i].text), SPF_IN_TERM, &m));
        cr_expect(str_eq(buf_view(&out), str_of(cases[i].expansion)), "%s: %.*s", cases[i].text, STR_ARG(buf_view(&out)));
    }
    buf_free(&out);
}

Test(spf_macro, an_unknown_name_stops_the_expansion)
{
    struct str name = STR_NONE;
    struct spf_macros m = values("192.0.2.3", &name);
    struct buf out = {0};

    cr_expect(!spf_expand(&out, STR("a.%{p}.b"), SPF_IN_TERM, &m));
    cr_expect(spf_expand(&out, STR("a.b"), SPF_IN_TERM, &m));
    buf_free(&out);
}

Test(spf_macro, valid_macro_strings)
{
    static const char *const bad[] = {"%", "%a", "%(d)", "%{", "%{}", "%{d", "%{x}", "%{d0}", "%{d00r}", "%{dr2}", "%{d-r}", "%{d:}", "%{dd}", "%{ d}", "%{d }",
                                      "a%", "a b", "\x01", "\x7f", "\x80", "%{d\xff}"};
    struct str nul = {"a\0b", 3};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect(!spf_macro_string_valid(str_of(bad[i]), SPF_IN_TERM), "%s", bad[i]);
    cr_expect(!spf_macro_string_valid(nul, SPF_IN_TERM) && !spf_macro_string_valid(nul, SPF_IN_EXPLANATION));
    cr_expect(spf_macro_string_valid(STR("a b %{t}"), SPF_IN_EXPLANATION));
    cr_expect(!spf_macro_string_valid(STR("a\tb"), SPF_IN_EXPLANATION));
}

/* 7.3: cut from the left, label by label, to 253 bytes. */
Test(spf_macro, names_are_cut_from_the_left)
{
    char text[600];
    struct str name;

    for (size_t n = 1; n < sizeof text; n++) {
        for (size_t i = 0; i < n; i++)
            text[i] = i % 10 == 9 ? '.' : 'a';
        name = (struct str){text, n};
        bool trailing = n % 10 == 0;
        cr_assert(spf_target_name(&name), "%zu", n);
        cr_expect(name.n <= 253 && name.n + trailing <= n);
        cr_expect(n - trailing <= 253 ? name.n == n - trailing : name.n > 253 - 10, "%zu of %zu", name.n, n);
        cr_expect(name.p[0] == 'a' && name.p + name.n + trailing == text + n);
    }
    memset(text, 'a', 300);
    name = (struct str){text, 300};
    cr_expect(!spf_target_name(&name));
    name = (struct str){text, 63};
    cr_expect(spf_target_name(&name));
    name = (struct str){text, 64};
    cr_expect(!spf_target_name(&name));
    static const char *const bad[] = {"", ".", "a..b", ".a", "a..", "a.\x80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        name = str_of(bad[i]);
        cr_expect(!spf_target_name(&name), "%s", bad[i]);
    }
}

/* An 8 KB record of nothing but macros: the expansion stays small, and its end is right. */
Test(spf_macro, expansions_are_bounded)
{
    struct str name = STR("mx.example.org");
    struct spf_macros m = values("192.0.2.3", &name);
    struct buf text = {0}, out = {0};

    for (int i = 0; i < 2000; i++)
        buf_cstr(&text, "%{s}");
    buf_cstr(&text, ".end.example");
    cr_assert(spf_expand(&out, buf_view(&text), SPF_IN_TERM, &m));
    cr_expect(out.n <= SPF_EXPANDED_MAX && str_ends_nocase(buf_view(&out), STR("@email.example.com.end.example")));
    buf_clear(&out);
    cr_assert(spf_expand(&out, buf_view(&text), SPF_IN_EXPLANATION, &m));
    cr_expect(out.n <= SPF_EXPANDED_MAX && str_starts(buf_view(&out), STR("strong-bad@email.example.comstrong-bad@")));
    buf_free(&text);
    buf_free(&out);
    static char huge[5000];
    memset(huge, '-', sizeof huge);
    m.local = (struct str){huge, sizeof huge};
    cr_assert(spf_expand(&out, STR("%{lr-}"), SPF_IN_TERM, &m));
    cr_expect(out.n <= SPF_EXPANDED_MAX);
    buf_free(&out);
}
