/* Addresses, ports, prefixes, ranges, reverse names, prefix sets. */
#include "postern/base/addr.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct addr addr_of(const char *text)
{
    struct addr a;
    cr_assert(addr_parse(str_of(text), &a), "%s", text);
    return a;
}

static struct prefix prefix_of(const char *text)
{
    struct prefix p;
    cr_assert(prefix_parse(str_of(text), &p), "%s", text);
    return p;
}

Test(addr, text_there_and_back)
{
    static const char *const cases[][2] = {
        {"0.0.0.0", "0.0.0.0"}, {"192.0.2.1", "192.0.2.1"}, {"255.255.255.255", "255.255.255.255"}, {"::", "::"}, {"::1", "::1"},
        {"2001:DB8::1", "2001:db8::1"}, {"2001:db8:0:0:0:0:0:1", "2001:db8::1"}, {"1::", "1::"}, {"1:0:0:0:0:0:0:0", "1::"},
        {"::ffff:192.0.2.1", "192.0.2.1"}, {"::ffff:c000:201", "192.0.2.1"}, {"::192.0.2.1", "::c000:201"},
        /* RFC 5952 section 4.2: one zero group is not shortened; the longest run is, and of two equal ones the first */
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"}, {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"}, {"0:1:2:3:4:5:6:7", "0:1:2:3:4:5:6:7"},
        {"0:0:2:3:4:5:6:7", "::2:3:4:5:6:7"},
        {"1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"}, {"1:2:3:4:5:6:7:0", "1:2:3:4:5:6:7:0"}, {"1:0:0:4:0:0:0:8", "1:0:0:4::8"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
        {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[ADDR_TEXT];
        struct addr a = addr_of(cases[i][0]);
        cr_assert_str_eq(addr_format(&a, out), cases[i][1]);
        struct addr again = addr_of(out);
        cr_assert(addr_eq(&a, &again));
    }
}

Test(addr, refuses_what_is_not_one)
{
    static const char *const cases[] = {
        "", " ", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.010", "0x7f.0.0.1", "1.2.3.4 ", " 1.2.3.4",
        "1.2.3.-4",
        "1.2.3.4/32", "127.1", "2130706433", ":", ":::", "1::2::3", "fe80::1%eth0", "[::1]", "12345::", "1:2:3:4:5:6:7", "g::",
        "::1.2.3",
        "1:2:3:4:5:6:7:8:9", "::ffff:999.0.0.1", "1.2.3.4\n", "example.org",
        "999999999999999999999999999999999999999999999999999999",
    };
    struct addr a = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_assert_not(addr_parse(str_of(cases[i]), &a), "%s", cases[i]);
    cr_assert_not(addr_parse(STR("1.2.3.4\0"), &a));
    cr_assert_not(addr_parse(STR_NONE, &a));
    cr_assert_eq(a.family, 0, "untouched on failure");
}

Test(addr, slice_end_is_respected)
{
    static const char text[] = "192.0.2.123";
    for (size_t n = 0; n <= 11; n++) {
        struct addr a;
        cr_assert_eq(addr_parse((struct str){text, n}, &a), n >= 9, "%zu bytes", n);
    }
}

Test(addr, sockaddr_there_and_back)
{
    static const char *const cases[] = {"192.0.2.1", "2001:db8::5", "0.0.0.0", "::"};
    for (size_t i = 0; i < 4; i++) {
        struct addr_port in = {addr_of(cases[i]), 2525}, out = {0};
        struct sockaddr_storage ss;
        socklen_t n = addr_to_sockaddr(&in, &ss);
        cr_assert_eq(n, in.addr.family == 4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        cr_assert(addr_from_sockaddr((struct sockaddr *)&ss, &out));
        cr_assert(addr_eq(&in.addr, &out.addr));
        cr_assert_eq(out.port, 2525);
    }
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6};
    memcpy(mapped.sin6_addr.s6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1", 16);
    struct addr_port out;
    cr_assert(addr_from_sockaddr((struct sockaddr *)&mapped, &out));
    struct addr v4 = addr_of("192.0.2.1");
    cr_assert(addr_eq(&out.addr, &v4), "a mapped address is IPv4 at once");
    struct sockaddr other = {.sa_family = AF_UNIX};
    cr_assert_not(addr_from_sockaddr(&other, &out));
    struct sockaddr_storage ss;
    cr_assert_eq(addr_to_sockaddr(&(struct addr_port){{0}, 1}, &ss), 0);
}

Test(addr, with_port)
{
    static const struct {
        const char *text;
        uint16_t port;
        const char *expected; /* NULL: refused */
    } cases[] = {
        {"192.0.2.1:25", 0, "192.0.2.1:25"}, {"192.0.2.1", 53, "192.0.2.1:53"}, {"192.0.2.1", 0, NULL}, {"192.0.2.1:", 53, NULL},
        {"192.0.2.1:0", 25, "192.0.2.1:0"}, {"192.0.2.1:65535", 0, "192.0.2.1:65535"}, {"192.0.2.1:65536", 0, NULL},
        {"192.0.2.1:000025", 0, NULL}, {"192.0.2.1:x", 0, NULL}, {"192.0.2.1:-1", 0, NULL}, {"192.0.2.1:25:25", 0, NULL},
        {"[2001:db8::1]:25", 0, "[2001:db8::1]:25"}, {"[2001:db8::1]", 53, "[2001:db8::1]:53"}, {"[2001:db8::1]", 0, NULL},
        {"2001:db8::1", 53, "[2001:db8::1]:53"}, {"2001:db8::1", 0, NULL}, {"[::ffff:192.0.2.1]:25", 0, "192.0.2.1:25"},
        {"[192.0.2.1]:25", 0, NULL}, {"[::1", 53, NULL}, {"[::1]x", 53, NULL}, {"[]:25", 0, NULL}, {"", 53, NULL},
        {":25", 0, NULL},
        {"[::1]:", 53, NULL}, {"host:25", 0, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct addr_port ap;
        char out[ADDR_PORT_TEXT];
        bool good = addr_port_parse(str_of(cases[i].text), cases[i].port, &ap);
        cr_assert_eq(good, cases[i].expected != NULL, "%s", cases[i].text);
        if (good)
            cr_assert_str_eq(addr_port_format(&ap, out), cases[i].expected);
    }
    struct addr_port longest = {addr_of("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 65535};
    char out[ADDR_PORT_TEXT];
    cr_assert_str_eq(addr_port_format(&longest, out), "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

/* Numbers of every width, against printf and against the C library's address text. */
Test(addr, text_of_all_numbers)
{
    char out[ADDR_PORT_TEXT], expected[128];
    for (unsigned n = 0; n < 65536; n++) {
        struct addr_port v4 = {{4, {n & 255, n >> 8, 255 - (n & 255), n % 7}}, (uint16_t)n};
        struct addr v6 = {6, {0x20, 0x01, 0, 0, n >> 8, n & 255, [13] = n & 15, [14] = n & 255, [15] = n >> 8}};
        const uint8_t *b = v4.addr.b;
        snprintf(expected, sizeof expected, "%u.%u.%u.%u:%u", b[0], b[1], b[2], b[3], n);
        cr_assert_str_eq(addr_port_format(&v4, out), expected);
        snprintf(expected, sizeof expected, "%u.%u.%u.%u", b[3], b[2], b[1], b[0]);
        cr_assert_str_eq(addr_reverse(&v4.addr, 128, (char[64]){0}), expected);
        inet_ntop(AF_INET6, v6.b, expected, sizeof expected);
        cr_assert_str_eq(addr_format(&v6, out), expected);
    }
    for (unsigned bits = 0; bits <= 128; bits++) {
        struct prefix p = {{6, {0}}, (uint8_t)bits};
        snprintf(expected, sizeof expected, "::/%u", bits);
        cr_assert_str_eq(prefix_format(&p, out), expected);
    }
}

Test(addr, prefixes)
{
    static const char *const cases[][2] = {
        {"192.0.2.0/24", "192.0.2.0/24"}, {"192.0.2.7", "192.0.2.7/32"}, {"0.0.0.0/0", "0.0.0.0/0"},
        {"10.128.0.0/9", "10.128.0.0/9"},
        {"2001:db8::/32", "2001:db8::/32"}, {"::/0", "::/0"}, {"::1", "::1/128"}, {"2001:db8::/33", "2001:db8::/33"},
        {"::ffff:192.0.2.0/120", "192.0.2.0/24"}, {"::ffff:0:0/96", "0.0.0.0/0"},
        {"192.0.2.1/24", NULL}, {"10.128.0.0/8", NULL}, {"192.0.2.0/33", NULL}, {"2001:db8::/129", NULL},
        {"2001:db8::1/64", NULL},
        {"192.0.2.0/", NULL}, {"/24", NULL}, {"192.0.2.0/ 24", NULL}, {"192.0.2.0/024", NULL}, {"192.0.2.0/24/24", NULL},
        {"192.0.2/24", NULL}, {"192.0.2.0/-1", NULL}, {"::ffff:192.0.2.0/24", NULL}, {"::ffff:0:0/95", NULL}, {"", NULL},
        {"192.0.2.0/99999999999999999999", NULL}, {"192.0.2.0/255.255.255.0", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct prefix p;
        char out[PREFIX_TEXT];
        cr_assert_eq(prefix_parse(str_of(cases[i][0]), &p), cases[i][1] != NULL, "%s", cases[i][0]);
        if (cases[i][1])
            cr_assert_str_eq(prefix_format(&p, out), cases[i][1]);
    }
}

Test(addr, prefix_holds)
{
    static const struct {
        const char *prefix, *addr;
        bool inside;
    } cases[] = {
        {"192.0.2.0/24", "192.0.2.255", true}, {"192.0.2.0/24", "192.0.3.0", false}, {"192.0.2.128/25", "192.0.2.127", false},
        {"0.0.0.0/0", "8.8.8.8", true}, {"0.0.0.0/0", "::1", false}, {"::/0", "1.2.3.4", false}, {"::/0", "::1", true},
        {"2001:db8::/33", "2001:db8:8000::", false}, {"2001:db8::/33", "2001:db8:7fff::", true}, {"::1/128", "::2", false},
        {"192.0.2.1/32", "192.0.2.1", true}, {"192.0.2.1/32", "::ffff:192.0.2.1", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct prefix p = prefix_of(cases[i].prefix);
        struct addr a = addr_of(cases[i].addr);
        cr_assert_eq(prefix_contains(&p, &a), cases[i].inside, "%s in %s", cases[i].addr, cases[i].prefix);
    }
    struct prefix zero = {0};
    struct addr none = {0};
    cr_assert_not(prefix_contains(&zero, &none));
}

Test(addr, networks)
{
    char out[PREFIX_TEXT];
    struct addr v4 = addr_of("203.0.113.200"), v6 = addr_of("2001:db8:1:2:3:4:5:6"), none = {0};
    struct prefix p = addr_network(&v4, 24, 64);
    cr_assert_str_eq(prefix_format(&p, out), "203.0.113.0/24");
    p = addr_network(&v6, 24, 64);
    cr_assert_str_eq(prefix_format(&p, out), "2001:db8:1:2::/64");
    p = addr_network(&v4, 99, 999);
    cr_assert_str_eq(prefix_format(&p, out), "203.0.113.200/32");
    p = addr_network(&none, 24, 64);
    cr_assert_eq(p.bits, 0);
}

Test(addr, ranges)
{
    static const struct {
        const char *range, *in, *out;
    } cases[] = {
        {"127.0.0.2-127.0.0.3", "127.0.0.3", "127.0.0.4"}, {"127.0.0.10-127.0.0.11", "127.0.0.10", "127.0.0.9"},
        {"127.0.0.2-127.0.0.2", "127.0.0.2", "127.0.0.3"}, {"2001:db8::1-2001:db8::ff", "2001:db8::80", "2001:db8::100"},
        {"0.0.0.0-255.255.255.255", "1.2.3.4", "::1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct addr_range r;
        struct addr in = addr_of(cases[i].in), out = addr_of(cases[i].out);
        cr_assert(addr_range_parse(str_of(cases[i].range), &r));
        cr_assert(addr_range_contains(&r, &in), "%s", cases[i].range);
        cr_assert_not(addr_range_contains(&r, &out), "%s", cases[i].range);
    }
    static const char *const bad[] = {"127.0.0.3-127.0.0.2", "127.0.0.2-", "-127.0.0.2", "127.0.0.2", "127.0.0.2-::1",
                                      "1.2.3.4-5",
                                      "1.2.3.4 - 1.2.3.5", "", "-", "1.2.3.4--1.2.3.5"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct addr_range r;
        cr_assert_not(addr_range_parse(str_of(bad[i]), &r), "%s", bad[i]);
    }
}

Test(addr, reverse_names)
{
    char out[64];
    struct addr v4 = addr_of("203.0.113.9"), v6 = addr_of("2001:db8:1:2:3:4:567:89ab");
    cr_assert_str_eq(addr_reverse(&v4, 128, out), "9.113.0.203");
    cr_assert_str_eq(addr_reverse(&v4, 64, out), "9.113.0.203");
    cr_assert_str_eq(addr_reverse(&v6, 128, out), "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2");
    cr_assert_str_eq(addr_reverse(&v6, 64, out), "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2");
    struct addr none = {0};
    cr_assert_str_eq(addr_reverse(&none, 64, out), "");
    cr_assert_str_eq(addr_format(&none, (char[ADDR_TEXT]){0}), "none");
}

Test(addr, loopback_and_order)
{
    struct addr a = addr_of("127.9.9.9"), b = addr_of("::1"), c = addr_of("::ffff:127.0.0.1"), d = addr_of("128.0.0.1"), e = addr_of("::2");
    cr_assert(addr_is_loopback(&a) && addr_is_loopback(&b) && addr_is_loopback(&c));
    cr_assert_not(addr_is_loopback(&d) || addr_is_loopback(&e));
    cr_assert_lt(addr_cmp(&a, &d), 0);
    cr_assert_lt(addr_cmp(&d, &b), 0, "IPv4 before IPv6");
    cr_assert_gt(addr_cmp(&e, &b), 0);
}

Test(prefix_set, empty_and_default_route)
{
    struct prefix_set *set = prefix_set_new();
    struct addr v4 = addr_of("192.0.2.1"), v6 = addr_of("2001:db8::1"), none = {0};
    cr_assert_not(prefix_set_has(set, &v4) || prefix_set_has(set, &v6) || prefix_set_has(set, &none));
    struct prefix all = prefix_of("0.0.0.0/0");
    prefix_set_add(set, &all);
    cr_assert(prefix_set_has(set, &v4));
    cr_assert_not(prefix_set_has(set, &v6), "families are apart");
    cr_assert_not(prefix_set_has(set, &none));
    prefix_set_free(&set);
    cr_assert_null(set);
    prefix_set_free(&set);
}

Test(prefix_set, counts_different_prefixes)
{
    struct prefix_set *set = prefix_set_new();
    static const char *const texts[] = {"10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "2001:db8::1",
                                        "::/128"};
    for (size_t i = 0; i < 7; i++) {
        struct prefix p = prefix_of(texts[i]);
        prefix_set_add(set, &p);
    }
    cr_assert_eq(prefix_set_count(set), 6);
    prefix_set_free(&set);
}

/* The set and a plain list of prefixes agree on pseudo-random addresses from a small space. */
Test(prefix_set, agrees_with_a_list)
{
    enum { N = 300 };
    static struct prefix list[N];
    struct prefix_set *set = prefix_set_new();
    uint32_t x = 12345;
    for (size_t i = 0; i < N; i++) {
        struct addr a = {.family = i % 2 ? 4 : 6};
        for (size_t k = 0; k < (i % 2 ? 4 : 16); k++) {
            x = x * 1664525 + 1013904223;
            a.b[k] = (uint8_t)(x >> 24 & 0x83);
        }
        x = x * 1664525 + 1013904223;
        list[i] = addr_network(&a, 8 + (x >> 16) % 25, 16 + (x >> 16) % 113);
        prefix_set_add(set, &list[i]);
    }
    size_t hits = 0;
    for (size_t i = 0; i < 20000; i++) {
        struct addr a = {.family = i % 2 ? 4 : 6};
        for (size_t k = 0; k < (i % 2 ? 4 : 16); k++) {
            x = x * 1664525 + 1013904223;
            a.b[k] = (uint8_t)(x >> 24 & 0x83);
        }
        bool expected = false;
        for (size_t k = 0; k < N && !expected; k++)
            expected = prefix_contains(&list[k], &a);
        hits += expected;
        cr_assert_eq(prefix_set_has(set, &a), expected);
    }
    cr_assert(hits > 100 && hits < 19900, "the sample says something: %zu", hits);
    prefix_set_free(&set);
}
