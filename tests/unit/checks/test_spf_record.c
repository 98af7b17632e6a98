/*
 * SPF records: which texts are records at all, how each term is read, and what is refused; macro-strings and domain-specs.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "spf_internal.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

Test(spf_record, version)
{
    static const char *const good[] = {"v=spf1", "v=spf1 ", "v=spf1 -all", "V=SPF1 -all"};
    static const char *const bad[] = {"", "v", "v=spf", "v=spf10", "v=spf1-all", "v=spf1\t-all", " v=spf1", "v=spf2.0/pra", "\"v=spf1", "v=spf1,"};

    for (size_t i = 0; i < COUNT(good); i++)
        cr_expect(spf_record_version(str_of(good[i])), "%s", good[i]);
    for (size_t i = 0; i < COUNT(bad); i++)
        cr_expect(!spf_record_version(str_of(bad[i])), "%s", bad[i]);
    cr_expect(!spf_record_version(STR_NONE));
    cr_expect(!spf_record_version((struct str){"v=spf1\0", 7}));
}

static const struct {
    const char *text;
    enum spf_kind kind;
    char qualifier;
    unsigned bits4, bits6;
    const char *domain;
} terms[] = {
    {"all", SPF_KIND_ALL, '+', 32, 128, ""},
    {"-ALL", SPF_KIND_ALL, '-', 32, 128, ""},
    {"?include:x.example", SPF_KIND_INCLUDE, '?', 32, 128, "x.example"},
    {"~a", SPF_KIND_A, '~', 32, 128, ""},
    {"+a:x.example", SPF_KIND_A, '+', 32, 128, "x.example"},
    {"a/24", SPF_KIND_A, '+', 24, 128, ""},
    {"a/0", SPF_KIND_A, '+', 0, 128, ""},
    {"a//64", SPF_KIND_A, '+', 32, 64, ""},
    {"a//0", SPF_KIND_A, '+', 32, 0, ""},
    {"a/24//64", SPF_KIND_A, '+', 24, 64, ""},
    {"a:x.example/24//64", SPF_KIND_A, '+', 24, 64, "x.example"},
    {"a:x.example./32//128", SPF_KIND_A, '+', 32, 128, "x.example."},
    {"a:%{d}/24", SPF_KIND_A, '+', 24, 128, "%{d}"},
    {"a:%{d/}/24", SPF_KIND_A, '+', 24, 128, "%{d/}"},
    {"a:a/b:c/1.x.example", SPF_KIND_A, '+', 32, 128, "a/b:c/1.x.example"},
    {"mx", SPF_KIND_MX, '+', 32, 128, ""},
    {"MX:x.example//48", SPF_KIND_MX, '+', 32, 48, "x.example"},
    {"ptr", SPF_KIND_PTR, '+', 32, 128, ""},
    {"-ptr:x.example", SPF_KIND_PTR, '-', 32, 128, "x.example"},
    {"ip4:192.0.2.0/24", SPF_KIND_IP4, '+', 24, 128, ""},
    {"ip4:192.0.2.1", SPF_KIND_IP4, '+', 32, 128, ""},
    {"ip6:2001:db8::/32", SPF_KIND_IP6, '+', 32, 32, ""},
    {"ip6:::", SPF_KIND_IP6, '+', 32, 128, ""},
    {"ip6:::ffff:192.0.2.1/96", SPF_KIND_IP6, '+', 32, 96, ""},
    {"exists:%{ir}.x.example", SPF_KIND_EXISTS, '+', 32, 128, "%{ir}.x.example"},
    {"exists:x.%{d}", SPF_KIND_EXISTS, '+', 32, 128, "x.%{d}"},
    {"redirect=x.example", SPF_KIND_REDIRECT, 0, 32, 128, "x.example"},
    {"ExP=%{d}", SPF_KIND_EXP, 0, 32, 128, "%{d}"},
    {"moo=", SPF_KIND_UNKNOWN, 0, 32, 128, ""},
    {"a.b-c_d9=%{l}%%:/", SPF_KIND_UNKNOWN, 0, 32, 128, ""},
    {"include=x", SPF_KIND_UNKNOWN, 0, 32, 128, ""},
};

Test(spf_record, terms)
{
    for (size_t i = 0; i < COUNT(terms); i++) {
        char text[128];
        snprintf(text, sizeof text, "  %s  -x", terms[i].text);
        struct str rest = str_of(text);
        struct spf_term t;
        const char *error;
        cr_assert(spf_term_next(&rest, &t, &error));
        cr_assert_null(error, "%s: %s", terms[i].text, error);
        cr_expect(str_eq(t.written, str_of(terms[i].text)));
        cr_expect_eq(t.kind, terms[i].kind, "%s", terms[i].text);
        cr_expect_eq(t.qualifier, terms[i].qualifier, "%s", terms[i].text);
        cr_expect_eq(t.bits4, terms[i].bits4, "%s", terms[i].text);
        cr_expect_eq(t.bits6, terms[i].bits6, "%s", terms[i].text);
        cr_expect(str_eq(t.domain, str_of(terms[i].domain)), "%s", terms[i].text);
        cr_expect_eq(t.network.family, t.kind == SPF_KIND_IP4 ? 4 : t.kind == SPF_KIND_IP6 ? 6 : 0, "%s", terms[i].text);
        cr_assert(spf_term_next(&rest, &t, &error) && error && str_eq(t.written, STR("-x")));
        cr_assert(!spf_term_next(&rest, &t, &error));
    }
}

static const struct {
    const char *term, *error;
} wrong[] = {
    {"+", "not a mechanism"}, {"--all", "not a mechanism"}, {"1a", "not a mechanism"}, {"foo", "not a mechanism"}, {"foo:x.example", "not a mechanism"},
    {"a.b", "not a mechanism"}, {"-redirect=x.example", "not a mechanism"}, {"=x", "not a mechanism"}, {"\xc3\xa4", "not a mechanism"},
    {"all:x", "nothing may follow all"}, {"all/8", "nothing may follow all"}, {"all:", "nothing may follow all"},
    {"include", "a domain is missing"}, {"include:", "a domain is missing"}, {"exists", "a domain is missing"}, {"a:", "a domain is missing"},
    {"mx:/24", "a domain is missing"}, {"redirect=", "a domain is missing"}, {"exp=", "a domain is missing"}, {"ptr/24", "a domain is missing"},
    {"include:x", "not a domain"}, {"include:x.", "not a domain"}, {"a:x.example/", "not a domain"}, {"a:x.1", "not a domain"}, {"a:x.-a", "not a domain"},
    {"a:x.a-", "not a domain"}, {"a:x.a_b", "not a domain"}, {"a:%{d}x", "not a domain"}, {"a:%", "not a domain"}, {"a:%{d", "not a domain"},
    {"a:%{c}", "not a domain"}, {"a:x.\x7f.example", "not a domain"}, {"exp=%{r}.x.example", "not a domain"}, {"a:x..", "not a domain"},
    {"a/33", "not a prefix length"}, {"a//129", "not a prefix length"}, {"a/00", "not a prefix length"}, {"a/024", "not a prefix length"},
    {"mx:x.example/99999999999999999999999", "not a prefix length"}, {"a/24//064", "not a prefix length"}, {"ip4:192.0.2.1/", "not a prefix length"},
    {"ip4:192.0.2.1/33", "not a prefix length"}, {"ip6:::/129", "not a prefix length"}, {"ip6:::/x", "not a prefix length"},
    {"ip4", "an address is missing"}, {"ip6", "an address is missing"}, {"ip4/8", "an address is missing"}, {"ip4:", "not an IPv4 address"},
    {"ip4:1.2.3", "not an IPv4 address"}, {"ip4:1.2.3.04", "not an IPv4 address"}, {"ip4:::1", "not an IPv4 address"},
    {"ip4:::ffff:1.2.3.4", "not an IPv4 address"}, {"ip6:", "not an IPv6 address"}, {"ip6:1.2.3.4", "not an IPv6 address"},
    {"ip6:::1::", "not an IPv6 address"}, {"ip6:fe80::1%1", "not an IPv6 address"}, {"moo=%", "not a macro-string"}, {"moo=%{d", "not a macro-string"},
    {"moo=\x01", "not a macro-string"}, {"moo=%{t}", "not a macro-string"},
};

Test(spf_record, mistakes_anywhere_are_found)
{
    for (size_t i = 0; i < COUNT(wrong); i++)
        for (int place = 0; place < 3; place++) {
            static const char *const around[] = {"v=spf1 %s", "v=spf1 %s +all", "v=spf1 +all %s"};
            struct buf text = {0};
            struct spf_record r;
            struct str pattern = str_of(around[place]);
            size_t hole = str_find(pattern, '%', 0);
            buf_str(&text, str_sub(pattern, 0, hole));
            buf_cstr(&text, wrong[i].term);
            buf_str(&text, str_sub(pattern, hole + 2, pattern.n));
            cr_expect(!spf_record_parse(buf_view(&text), &r), "%s", wrong[i].term);
            cr_expect_str_eq(r.error, wrong[i].error, "%s", wrong[i].term);
            cr_expect(str_eq(r.culprit, str_of(wrong[i].term)), "%s", wrong[i].term);
            buf_free(&text);
        }
}

Test(spf_record, modifiers_and_size)
{
    struct spf_record r;
    static char big[SPF_RECORD_MAX + 2];

    cr_assert(spf_record_parse(STR("v=spf1 exp=a.example redirect=b.example moo=1 moo=2"), &r));
    cr_expect(str_eq(r.exp.domain, STR("a.example")) && str_eq(r.redirect.domain, STR("b.example")) && !r.has_all);
    cr_assert(spf_record_parse(STR("v=spf1 redirect=b.example ?all"), &r) && r.has_all);
    cr_expect(!spf_record_parse(STR("v=spf1 redirect=b.example REDIRECT=b.example"), &r));
    cr_expect_str_eq(r.error, "given twice");
    cr_expect(!spf_record_parse(STR("v=spf1 exp=b.example -all Exp=b.example"), &r));
    cr_expect(!spf_record_parse((struct str){"v=spf1 a:x.example\0 -all", 24}, &r));
    memset(big, ' ', sizeof big);
    memcpy(big, "v=spf1", 6);
    cr_expect(spf_record_parse((struct str){big, SPF_RECORD_MAX}, &r));
    cr_expect(!spf_record_parse((struct str){big, SPF_RECORD_MAX + 1}, &r));
    cr_expect_str_eq(r.error, "the record is too long");
}

/* Every prefix of a record, and every record with one byte changed, is read without a step outside it (the sanitizer looks on). */
Test(spf_record, cut_and_bent)
{
    static const char text[] = "v=spf1 a:x.example/24//64 ip6:2001:db8::/32 ~exists:%{l1r+-}._spf.%{d} include:%{d2} exp=e.%{d} redirect=%{o}";
    struct spf_record r;

    cr_assert(spf_record_parse(str_of(text), &r));
    for (size_t n = 6; n < sizeof text; n++) {
        char *copy = xstrndup(text, n);
        char *exact = xmalloc(n);
        memcpy(exact, copy, n);
        spf_record_parse((struct str){exact, n}, &r);
        for (int c = 0; c < 256; c += 3) {
            exact[n - 1] = (char)c;
            if (spf_record_version((struct str){exact, n}))
                spf_record_parse((struct str){exact, n}, &r);
        }
        free(exact);
        free(copy);
    }
}

Test(spf_record, domain_specs)
{
    static const char *const good[] = {"a.b", "a.b.", "%{d}", "x%{d}", "%%", "a.%_", ".com", "a..b", "a.0x", "a.x0", "a.1-1", "A.B", "a!#$&'()*.b", "%{d}.b"};
    static const char *const bad[] = {"", "a", "a.", ".", "a.1", "a.-1", "a.1-", "a b.c", "a.b c", "%{d}b", "%{d}.", "%d", "a.%", "a.b%{", "a.b\x80"};

    for (size_t i = 0; i < COUNT(good); i++)
        cr_expect(spf_domain_spec_valid(str_of(good[i])), "%s", good[i]);
    for (size_t i = 0; i < COUNT(bad); i++)
        cr_expect(!spf_domain_spec_valid(str_of(bad[i])), "%s", bad[i]);
}
