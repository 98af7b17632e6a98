/* Domains, address literals, the argument of HELO. */
#include <criterion/criterion.h>
#include <string.h>

#include "postern/smtp/command.h"

#define LABEL_63 "a23456789012345678901234567890123456789012345678901234567890123"

Test(domain, valid)
{
    static const struct {
        struct str text;
        bool ascii, utf8;
    } table[] = {
        {STR("b.example"), true, true},
        {STR("B.EXAMPLE"), true, true},
        {STR("localhost"), true, true},
        {STR("x"), true, true},
        {STR("a-b.c--d.example"), true, true},
        {STR("xn--bcher-kva.example"), true, true},
        {STR("3com.example"), true, true},
        {STR("1.2.3.4.in-addr.arpa"), true, true},
        {STR("_dmarc.b.example"), true, true},
        {STR("a_b.example"), true, true},
        {STR(LABEL_63 ".example"), true, true},
        {STR(LABEL_63 "4.example"), false, false},
        {STR(""), false, false},
        {STR("."), false, false},
        {STR("b.example."), false, false},
        {STR(".b.example"), false, false},
        {STR("b..example"), false, false},
        {STR("-b.example"), false, false},
        {STR("b-.example"), false, false},
        {STR("b.-"), false, false},
        {STR("192.0.2.1"), false, false},
        {STR("192"), false, false},
        {STR("1.2"), false, false},
        {STR("b example"), false, false},
        {STR("b.example\0"), false, false},
        {STR("b\n.example"), false, false},
        {STR("b,example"), false, false},
        {STR("b:25"), false, false},
        {STR("[192.0.2.1]"), false, false},
        {STR("a@b.example"), false, false},
        {STR("b\xc3\xbc" "cher.example"), false, true},
        {STR("\xe4\xbe\x8b.\xe4\xbe\x8b"), false, true},
        {STR("b\xc3.example"), false, false},
        {STR("b\xed\xa0\x80.example"), false, false}, /* a surrogate */
        {STR("\xbc.example"), false, false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        cr_expect_eq(domain_valid(table[i].text), table[i].ascii, "%s", table[i].text.p);
        cr_expect_eq(domain_valid_utf8(table[i].text), table[i].utf8, "%s", table[i].text.p);
    }
}

Test(domain, length_255_in_all)
{
    char text[257];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 2 ? '.' : 'x';
    cr_expect(domain_valid((struct str){text, 255}));
    cr_expect(!domain_valid((struct str){text, 257}));
    text[254] = text[255] = 'x';
    cr_expect(!domain_valid((struct str){text, 256}));
}

Test(domain, address_literal)
{
    static const struct {
        const char *text, *address;
    } table[] = {
        {"[192.0.2.1]", "192.0.2.1"},
        {"[255.255.255.255]", "255.255.255.255"},
        {"[IPv6:2001:db8::1]", "2001:db8::1"},
        {"[IPV6:2001:DB8::1]", "2001:db8::1"},
        {"[ipv6:::1]", "::1"},
        {"[IPv6:::ffff:192.0.2.1]", "192.0.2.1"},
        {"192.0.2.1", NULL},
        {"[192.0.2.1", NULL},
        {"192.0.2.1]", NULL},
        {"[]", NULL},
        {"[", NULL},
        {"", NULL},
        {"[192.0.2]", NULL},
        {"[192.0.2.1.]", NULL},
        {"[192.0.2.999]", NULL},
        {"[ 192.0.2.1]", NULL},
        {"[192.0.2.1/24]", NULL},
        {"[IPv6:192.0.2.1]", NULL},
        {"[IPv6:]", NULL},
        {"[IPv6:fe80::1%eth0]", NULL},
        {"[2001:db8::1]", NULL},
        {"[IPv7:2001:db8::1]", NULL},
        {"[x:y]", NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct addr a;
        char text[ADDR_TEXT];
        bool good = address_literal_parse(str_of(table[i].text), &a);
        cr_expect_eq(good, table[i].address != NULL, "%s", table[i].text);
        if (good)
            cr_expect_str_eq(addr_format(&a, text), table[i].address);
        else
            cr_expect_eq(a.family, 0, "%s", table[i].text);
    }
}

Test(helo, forms)
{
    static const struct {
        const char *text;
        enum helo_form form;
        const char *address;
    } table[] = {
        {"mail.example.com", HELO_NAME, NULL},
        {"a_b.example", HELO_NAME, NULL},
        {"[192.0.2.1]", HELO_LITERAL, "192.0.2.1"},
        {"[IPv6:2001:db8::1]", HELO_LITERAL, "2001:db8::1"},
        {"localhost", HELO_BARE, NULL},
        {"WIN-ABC123", HELO_BARE, NULL},
        {"192.0.2.1", HELO_BARE, "192.0.2.1"},
        {"2001:db8::1", HELO_BARE, "2001:db8::1"},
        {"[2001:db8::1]", HELO_INVALID, NULL},
        {"[192.0.2.256]", HELO_INVALID, NULL},
        {"192.0.2.256", HELO_INVALID, NULL},
        {"mail.example.com.", HELO_INVALID, NULL},
        {"mail..example", HELO_INVALID, NULL},
        {"-x.example", HELO_INVALID, NULL},
        {"mail(x).example", HELO_INVALID, NULL},
        {"*", HELO_INVALID, NULL},
        {"", HELO_INVALID, NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct addr a;
        char text[ADDR_TEXT];
        cr_expect_eq(helo_classify(str_of(table[i].text), &a), table[i].form, "%s", table[i].text);
        if (table[i].address)
            cr_expect_str_eq(addr_format(&a, text), table[i].address);
        else
            cr_expect_eq(a.family, 0, "%s", table[i].text);
    }
}

Test(helo, acceptable)
{
    char text[256];
    memset(text, 'x', sizeof text);
    cr_expect(helo_acceptable((struct str){text, 255}));
    cr_expect(!helo_acceptable((struct str){text, 256}));
    cr_expect(!helo_acceptable(STR("")));
    cr_expect(helo_acceptable(STR("x)(y;z:1")));
    cr_expect(!helo_acceptable(STR("a b")));
    cr_expect(!helo_acceptable(STR("a\tb")));
    cr_expect(!helo_acceptable(STR("a\0b")));
    cr_expect(!helo_acceptable(STR("a\xe9" "b")));
    cr_expect(!helo_acceptable(STR("a\x7f")));
}
