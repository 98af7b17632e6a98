/* Paths: the grammar of RFC 5321 4.1.2 and the addresses with which it is attacked. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/smtp/command.h"

enum { QUOTED = 1, LITERAL = 2, ROUTE = 4, UTF8 = 8 };

static const struct {
    const char *text, *local, *plain, *domain, *whole; /* local NULL: no path; whole NULL: local@domain */
    int flags;
} paths[] = {
    {"<a@b.example>", "a", "a", "b.example", NULL, 0},
    {"a@b.example", "a", "a", "b.example", NULL, 0},
    {"<A.b+c@B.Example>", "A.b+c", "A.b+c", "B.Example", NULL, 0},
    {"<a@localhost>", "a", "a", "localhost", NULL, 0},
    {"<!#$%&'*+-/=?^_`{|}~@b.example>", "!#$%&'*+-/=?^_`{|}~", "!#$%&'*+-/=?^_`{|}~", "b.example", NULL, 0},
    {"<user%other@us.example>", "user%other", "user%other", "us.example", NULL, 0},
    {"<other!user@us.example>", "other!user", "other!user", "us.example", NULL, 0},
    {"<a@_tcp.b_c.example>", "a", "a", "_tcp.b_c.example", NULL, 0},
    /* quoted local parts */
    {"<\"a b\"@c.example>", "\"a b\"", "a b", "c.example", NULL, QUOTED},
    {"<\"user@other\"@us.example>", "\"user@other\"", "user@other", "us.example", NULL, QUOTED},
    {"<\"a>b\"@x.example>", "\"a>b\"", "a>b", "x.example", NULL, QUOTED},
    {"<\"a\\\"b\\\\\"@x.example>", "\"a\\\"b\\\\\"", "a\"b\\", "x.example", NULL, QUOTED},
    {"<\"\\a\\b\"@x.example>", "\"\\a\\b\"", "ab", "x.example", NULL, QUOTED},
    {"<\"\\\\\xc3\xa9\"@x.example>", "\"\\\\\xc3\xa9\"", "\\\xc3\xa9", "x.example", NULL, QUOTED | UTF8},
    {"<\"\"@x.example>", "\"\"", "", "x.example", NULL, QUOTED},
    {"<\"a..b\"@x.example>", "\"a..b\"", "a..b", "x.example", NULL, QUOTED},
    {"<\"a\\\xc3\xa9\"@x.example>", NULL, NULL, NULL, NULL, 0}, /* quoted-pairSMTP is ASCII */
    {"<\"a\"b@x.example>", NULL, NULL, NULL, NULL, 0},
    {"<\"a\".b@x.example>", NULL, NULL, NULL, NULL, 0},
    {"<a\"b\"@x.example>", NULL, NULL, NULL, NULL, 0},
    {"<\"a@x.example>", NULL, NULL, NULL, NULL, 0},
    {"<\"a\\\"@x.example>", NULL, NULL, NULL, NULL, 0},
    {"<\"a\tb\"@x.example>", NULL, NULL, NULL, NULL, 0},
    {"<\"a\\\tb\"@x.example>", NULL, NULL, NULL, NULL, 0},
    {"<\"", NULL, NULL, NULL, NULL, 0},
    {"<\">", NULL, NULL, NULL, NULL, 0},
    {"\"", NULL, NULL, NULL, NULL, 0},
    /* literals */
    {"<a@[192.0.2.1]>", "a", "a", "[192.0.2.1]", NULL, LITERAL},
    {"<a@[IPv6:2001:db8::1]>", "a", "a", "[IPv6:2001:db8::1]", NULL, LITERAL},
    {"<a@[ipv6:::ffff:192.0.2.1]>", "a", "a", "[ipv6:::ffff:192.0.2.1]", NULL, LITERAL},
    {"<a@[x400:c=us.x]>", "a", "a", "[x400:c=us.x]", NULL, LITERAL},
    {"<a@[x-y:z]>", "a", "a", "[x-y:z]", NULL, LITERAL},
    {"<a@[]>", NULL, NULL, NULL, NULL, 0},
    {"<a@[192.0.2]>", NULL, NULL, NULL, NULL, 0},
    {"<a@[192.0.2.256]>", NULL, NULL, NULL, NULL, 0},
    {"<a@[192.0.2.1>", NULL, NULL, NULL, NULL, 0},
    {"<a@192.0.2.1]>", NULL, NULL, NULL, NULL, 0},
    {"<a@[IPv6:192.0.2.1]>", NULL, NULL, NULL, NULL, 0},
    {"<a@[IPv6:2001:db8::1::2]>", NULL, NULL, NULL, NULL, 0},
    {"<a@[IPv6:]>", NULL, NULL, NULL, NULL, 0},
    {"<a@[x:]>", NULL, NULL, NULL, NULL, 0},
    {"<a@[:x]>", NULL, NULL, NULL, NULL, 0},
    {"<a@[x-:y]>", NULL, NULL, NULL, NULL, 0},
    {"<a@[x:y z]>", NULL, NULL, NULL, NULL, 0},
    {"<a@[x:y]z]>", NULL, NULL, NULL, NULL, 0},
    {"<a@[x:y>z]>", NULL, NULL, NULL, NULL, 0},
    {"<a@[x:y].b.example>", NULL, NULL, NULL, NULL, 0},
    /* source routes: dropped */
    {"<@one.example,@two.example:a@b.example>", "a", "a", "b.example", NULL, ROUTE},
    {"<@us.example:user@other.example>", "user", "user", "other.example", NULL, ROUTE},
    {"<@us.example:\"x:y\"@other.example>", "\"x:y\"", "x:y", "other.example", NULL, ROUTE | QUOTED},
    {"<@us.example:@two.example:a@b.example>", NULL, NULL, NULL, NULL, 0},
    {"<@one.example,two.example:a@b.example>", NULL, NULL, NULL, NULL, 0},
    {"<@one.example,:a@b.example>", NULL, NULL, NULL, NULL, 0},
    {"<@:a@b.example>", NULL, NULL, NULL, NULL, 0},
    {"<@one..example:a@b.example>", NULL, NULL, NULL, NULL, 0},
    {"<@one.example a@b.example>", NULL, NULL, NULL, NULL, 0},
    {"<@one.example:>", NULL, NULL, NULL, NULL, 0},
    {"<@one.example:postmaster>", NULL, NULL, NULL, NULL, 0},
    {"<@b.example>", NULL, NULL, NULL, NULL, 0},
    /* UTF-8 (RFC 6531 3.3) */
    {"<\xc3\xa9t\xc3\xa9@b.example>", "\xc3\xa9t\xc3\xa9", "\xc3\xa9t\xc3\xa9", "b.example", NULL, UTF8},
    {"<a@b\xc3\xbc" "cher.example>", "a", "a", "b\xc3\xbc" "cher.example", NULL, UTF8},
    {"<a@b\xc3.example>", NULL, NULL, NULL, NULL, 0},
    {"<\xff@b.example>", NULL, NULL, NULL, NULL, 0},
    {"<\xc0\xaf@b.example>", NULL, NULL, NULL, NULL, 0},
    /* no paths */
    {"", NULL, NULL, NULL, NULL, 0},
    {"<", NULL, NULL, NULL, NULL, 0},
    {">", NULL, NULL, NULL, NULL, 0},
    {"<a>", NULL, NULL, NULL, NULL, 0},
    {"<a@>", NULL, NULL, NULL, NULL, 0},
    {"<@>", NULL, NULL, NULL, NULL, 0},
    {"< a@b.example>", NULL, NULL, NULL, NULL, 0},
    {"<a@b.example >", NULL, NULL, NULL, NULL, 0},
    {"<a b@c.example>", NULL, NULL, NULL, NULL, 0},
    {"<a..b@c.example>", NULL, NULL, NULL, NULL, 0},
    {"<.a@c.example>", NULL, NULL, NULL, NULL, 0},
    {"<a.@c.example>", NULL, NULL, NULL, NULL, 0},
    {"<.@c.example>", NULL, NULL, NULL, NULL, 0},
    {"<a@b@c.example>", NULL, NULL, NULL, NULL, 0},
    {"<a@c.example.>", NULL, NULL, NULL, NULL, 0},
    {"<a@.c.example>", NULL, NULL, NULL, NULL, 0},
    {"<a@c..example>", NULL, NULL, NULL, NULL, 0},
    {"<a@-c.example>", NULL, NULL, NULL, NULL, 0},
    {"<a@c-.example>", NULL, NULL, NULL, NULL, 0},
    {"<a@1.2.3.4>", NULL, NULL, NULL, NULL, 0},
    {"<a(x)@c.example>", NULL, NULL, NULL, NULL, 0},
    {"<a,b@c.example>", NULL, NULL, NULL, NULL, 0},
    {"<a:b@c.example>", NULL, NULL, NULL, NULL, 0},
    {"<a;b@c.example>", NULL, NULL, NULL, NULL, 0},
    {"<a\\b@c.example>", NULL, NULL, NULL, NULL, 0},
    {"<a@b.example> ", NULL, NULL, NULL, NULL, 0},
    {"<a@b.example", NULL, NULL, NULL, NULL, 0},
};

Test(path, grammar)
{
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct arena arena = {0};
        struct path p;
        char *copy = strdup(paths[i].text);
        struct str text = {copy, strlen(copy)};
        bool good = path_parse(text, true, true, &arena, &p);

        cr_expect_eq(good, paths[i].local != NULL, "%s", paths[i].text);
        if (good && paths[i].local) {
            char whole[256];
            snprintf(whole, sizeof whole, "%s@%s", paths[i].local, paths[i].domain);
            cr_expect(str_eq(p.local, str_of(paths[i].local)), "%s", paths[i].text);
            cr_expect(str_eq(p.local_plain, str_of(paths[i].plain)), "%s", paths[i].text);
            cr_expect(str_eq(p.domain, str_of(paths[i].domain)), "%s", paths[i].text);
            cr_expect(str_eq(p.whole, str_of(whole)), "%s", paths[i].text);
            cr_expect_eq(p.quoted, (paths[i].flags & QUOTED) != 0, "%s", paths[i].text);
            cr_expect_eq(p.literal, (paths[i].flags & LITERAL) != 0, "%s", paths[i].text);
            cr_expect_eq(p.source_route, (paths[i].flags & ROUTE) != 0, "%s", paths[i].text);
            cr_expect_eq(p.utf8, (paths[i].flags & UTF8) != 0, "%s", paths[i].text);
            cr_expect(!p.null);
        }
        free(copy);
        arena_clear(&arena);
    }
}

Test(path, literals_give_addresses)
{
    static const struct {
        const char *text, *address;
    } table[] = {
        {"<a@[192.0.2.1]>", "192.0.2.1"},
        {"<a@[IPv6:2001:db8:0:0::1]>", "2001:db8::1"},
        {"<a@[IPv6:::ffff:192.0.2.1]>", "192.0.2.1"},
        {"<a@[tag:content]>", NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct arena arena = {0};
        struct path p;
        char text[ADDR_TEXT];
        cr_assert(path_parse(str_of(table[i].text), false, false, &arena, &p));
        if (table[i].address)
            cr_expect_str_eq(addr_format(&p.literal_addr, text), table[i].address);
        else
            cr_expect_eq(p.literal_addr.family, 0);
        arena_clear(&arena);
    }
}

Test(path, null_and_postmaster_only_where_allowed)
{
    struct arena arena = {0};
    struct path p;

    cr_expect(path_parse(STR("<>"), true, false, &arena, &p));
    cr_expect(p.null);
    cr_expect_eq(p.whole.n + p.local.n + p.domain.n, 0);
    cr_expect(!path_parse(STR("<>"), false, true, &arena, &p));
    cr_expect(!path_parse(STR(""), true, true, &arena, &p), "nothing at all is not the null path");
    cr_expect(path_parse(STR("<PostMaster>"), false, true, &arena, &p));
    cr_expect(str_eq(p.whole, STR("PostMaster")));
    cr_expect(str_eq(p.local_plain, STR("PostMaster")));
    cr_expect_eq(p.domain.n, 0);
    cr_expect(!path_parse(STR("<postmaster>"), true, false, &arena, &p));
    cr_expect(!path_parse(STR("<postmaster@>"), true, true, &arena, &p));
    cr_expect(!path_parse(STR("<\"postmaster\">"), true, true, &arena, &p));
    cr_expect(path_parse(STR("<postmaster@b.example>"), false, true, &arena, &p));
    cr_expect(str_eq(p.domain, STR("b.example")));
    arena_clear(&arena);
}

/* n octets of domain, with labels of 63 and less. */
static void fill_domain(char *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = i % 64 == 63 && i + 1 < n ? '.' : 'd';
    out[n] = '\0';
}

Test(path, lengths)
{
    static const struct {
        size_t local, domain;
        bool good;
    } table[] = {
        {64, 9, true},   {65, 9, true}, /* 64 is what must be taken, not what may be (RFC 5321 4.5.3.1.1) */
        {255, 9, true},  {256, 9, false}, {1, 255, true}, {1, 256, false}, {64, 255, true},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (int quoted = 0; quoted < 2; quoted++) {
            struct arena arena = {0};
            struct path p;
            char local[300], domain[300], text[700];
            memset(local, 'l', table[i].local);
            local[table[i].local] = '\0';
            if (quoted && table[i].local > 1)
                local[0] = local[table[i].local - 1] = '"';
            fill_domain(domain, table[i].domain);
            snprintf(text, sizeof text, "<%s@%s>", local, domain);
            cr_expect_eq(path_parse(str_of(text), false, false, &arena, &p), table[i].good, "%zu %zu", table[i].local, table[i].domain);
            arena_clear(&arena);
        }
    }
}
