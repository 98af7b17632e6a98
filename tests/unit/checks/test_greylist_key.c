/*
 * The parts of the greylist's key: host names with and without octets of the address, their organizations, senders with the marks that
 * mailers put into them, and who is asking as the facts say.
 */
#include "world.h"

Test(greylist_key, names_of_pools)
{
    static const struct { const char *address, *name; bool pool; } cases[] = {
        {"203.0.113.9", "9.113.0.203.dsl.isp.example", true}, {"203.0.113.9", "host-203-0-113-9.isp.example", true},
        {"203.0.113.9", "dsl-113-9.isp.example", true}, {"203.0.113.9", "p113x009.isp.example", true},
        {"203.0.113.9", "203000113009.isp.example", true}, {"203.0.113.9", "ip203-000-113-009.isp.example", true},
        {"203.0.113.9", "cb007109.isp.example", true}, {"203.0.113.9", "CB-00-71-09.isp.example", true}, {"203.0.113.9", "097100cb.isp.example", true},
        {"203.0.113.9", "3405803785.isp.example", true}, {"203.0.113.113", "a113-113.isp.example", true},
        {"203.0.113.9", "mail9.example.com", false}, {"203.0.113.9", "mx113.example.com", false}, {"203.0.113.113", "mx113.example.com", false},
        {"203.0.113.9", "mail.example.com", false}, {"203.0.113.9", "m1139.example.com", false}, {"203.0.113.9", "m1130009.example.com", false},
        {"209.85.218.45", "mail-ej1-f45.google.com", false}, {"203.0.113.9", "", false},
        {"2001:db8:1:2:3::9", "2001-db8-1-2-3--9.isp.example", true}, {"2001:db8:1:2:3::9", "2001-DB8-1-2-3-0-0-9.isp.example", true},
        {"2001:db8:1:2:3::9", "20010db8000100020003000000000009.isp.example", true}, {"2001:db8:1:2:3::9", "2001-0db8-0001-0002.isp.example", true},
        {"2001:db8:1:2:3::9", "0003-0000-0000-0009.isp.example", true}, {"2001:db8:1:2:3::9", "mail9.example.com", false},
        {"2001:db8:1:2:3::9", "2001-db8.example.com", false},
    };
    struct arena arena = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct addr a = address_of(cases[i].address);
        cr_expect_eq(greylist_pool_name(&arena, str_of(cases[i].name), &a), cases[i].pool, "%s %s", cases[i].address, cases[i].name);
    }
    arena_clear(&arena);
}

Test(greylist_key, organizations)
{
    static const char *const cases[][2] = {
        {"example", "example"}, {"example.com", "example.com"}, {"mx1.example.com", "example.com"}, {"a.b.mx1.example.com", "example.com"},
        {"example.co.uk", "example.co.uk"}, {"mx.example.co.uk", "example.co.uk"}, {"a.mx.example.CO.UK", "example.CO.UK"}, {"co.uk", "co.uk"},
        {"mx.gmx.de", "gmx.de"}, {"mx.example.or.jp", "example.or.jp"}, {"mx.co.example", "co.example"}, {"", ""},
        {"mx.co.com", "mx.co.com"}, {"a.mx.co.com", "mx.co.com"}, {"uk", "uk"}, {"gov.br", "gov.br"}, {"mx.prefeitura.sp.gov.br", "prefeitura.sp.gov.br"},
        {"mx.school.k12.ca.us", "school.k12.ca.us"}, {"a.tenant.github.io", "tenant.github.io"}, {"www.city.kawasaki.jp", "city.kawasaki.jp"},
        {"mx.a.other.kawasaki.jp", "a.other.kawasaki.jp"}, {"mx.xn--55qx5d.cn", "mx.xn--55qx5d.cn"}, {"a.b.test", "b.test"}, {"192.0.2.1", "192.0.2.1"},
        {"2001:db8::1", "2001:db8::1"}, {".", "."}, {"a..b.example", "b.example"}, {"mx1.\\001b.com", "\\001b.com"}, {"localhost", "localhost"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect(str_eq(greylist_organization(str_of(cases[i][0])), str_of(cases[i][1])), "%s: not %.*s", cases[i][0],
                  STR_ARG(greylist_organization(str_of(cases[i][0]))));
}

/* Longer than any name: it stands for itself; so does one of which nothing but dots is left. */
Test(greylist_key, names_that_are_none)
{
    char text[600];
    memset(text, 'a', sizeof text);
    for (size_t i = 9; i < sizeof text; i += 10)
        text[i] = '.';
    cr_expect_eq(greylist_organization((struct str){text, 254}).n, 254);
    cr_expect_lt(greylist_organization((struct str){text, 253}).n, 30);
    memset(text, '.', sizeof text);
    struct str dots = greylist_organization((struct str){text, 200});
    cr_expect(dots.p >= text && dots.p + dots.n == text + 200);
}

Test(greylist_key, senders)
{
    static const char *const cases[][2] = {
        {"<A.User@Sender.Example>", "a.user@sender.example"}, {"<>", "<>Out1.Pool.example"}, {"<user7@x.example>", "user#@x.example"},
        {"<user2027.01@x9.example>", "user#.#@x9.example"}, {"<\"a b\"@x.example>", "\"a_b\"@x.example"},
        /* VERP: as qmail, Mailman, and with numbers only */
        {"<list-return-17-user=our.test@lists.example>", "list-=@lists.example"}, {"<list-return-18-other=our.test@lists.example>", "list-=@lists.example"},
        {"<news-bounces+user=our.test@lists.example>", "news-=@lists.example"}, {"<user=our.test@lists.example>", "=@lists.example"},
        {"<bounce-1234567-89@lists.example>", "bounce-#-#@lists.example"}, {"<a=b@lists.example>", "a=b@lists.example"},
        /* machines */
        {"<0102018f3c5b9d7e-3f2a11bc-000000@mail.example>", "#-#-#@mail.example"}, {"<bounces_x8fk29dkqpwm31zz@m.example>", "bounces_#@m.example"},
        {"<deadbeef@x.example>", "deadbeef@x.example"}, {"<face1@x.example>", "face#@x.example"},
        /* BATV */
        {"<prvs=4210ab3c4d=user@x.example>", "user@x.example"}, {"<prvs=user=4210ab3c4d@x.example>", "user@x.example"},
        {"<PRVS=1234567890=User@x.example>", "user@x.example"}, {"<msprvs1=19000abcdef=bounces-77@x.example>", "bounces-#@x.example"},
        {"<btv1==1234567890a==user@x.example>", "user@x.example"}, {"<prvs=user@x.example>", "prvs=user@x.example"},
        /* SRS */
        {"<SRS0=ab1C=XY=origin.example=user@fwd.example>", "srs=origin.example=user@fwd.example"},
        {"<srs0+zz9z=q7=origin.example=user7@fwd.example>", "srs=origin.example=user#@fwd.example"},
        {"<SRS1=hash=first.example==ab1C=XY=origin.example=user@second.example>", "srs=origin.example=user@second.example"},
        {"<SRS0=ab1C=XY=origin.example=prvs=4210ab3c4d=user@fwd.example>", "srs=origin.example=user@fwd.example"},
        {"<srs0=ab@fwd.example>", "srs#=ab@fwd.example"}, {"<srs0=@fwd.example>", "srs#=@fwd.example"}, {"<srs1=a=b=@fwd.example>", "srs#=a=b=@fwd.example"},
        {"<srs0=a=b=c@fwd.example>", "srs=c=@fwd.example"},
    };
    struct arena arena = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct path p;
        cr_assert(path_parse(str_of(cases[i][0]), true, false, &arena, &p), "%s", cases[i][0]);
        struct str got = greylist_sender(&arena, &p, STR("Out1.Pool.example"));
        struct str expected = arena_lower(&arena, str_of(cases[i][1]));
        cr_expect(str_eq(got, expected), "%s: %.*s", cases[i][0], STR_ARG(got));
    }
    arena_clear(&arena);
}

/* Any bytes that a path may hold, in any arrangement of the words that mean something: it ends, and stays in the key's alphabet. */
Test(greylist_key, arrangements)
{
    static const char *const words[] = {"srs0", "srs1", "prvs=", "btv1==", "=", "==", "+", "-", "a.b", "1234567890", "ab"};
    enum { WORDS = sizeof words / sizeof words[0] };
    for (size_t code = 0; code < WORDS * WORDS * WORDS * WORDS; code++) {
        struct arena arena = {0};
        char local[64] = "";
        for (size_t k = 0, c = code; k < 4; k++, c /= WORDS)
            strcat(local, words[c % WORDS]);
        struct path p = {.local = str_of(local), .domain = STR("x.example")};
        struct str got = greylist_sender(&arena, &p, STR_NONE);
        for (size_t i = 0; i < got.n; i++)
            cr_assert(got.p[i] > ' ', "%s: %.*s", local, STR_ARG(got));
        cr_assert(str_ends_nocase(got, STR("@x.example")));
        arena_clear(&arena);
    }
}

static void key_is(const char *spf, const char *spf_domain, const char *name, const char *expected)
{
    struct world w;
    world_open(&w, "stage connect\n");
    struct scope *s = world_path(&w, STAGE_MAIL, world_helo(&w, world_connect(&w, "203.0.113.9"), "x"), "<a@b.example>");
    facts_set_text(&s->facts, FACT_SPF, str_of(spf));
    facts_set_text(&s->facts, FACT_SPF_DOMAIN, str_of(spf_domain));
    if (name && !*name)
        facts_set_error(&s->facts, FACT_CLIENT_NAME, STR("DNS timeout (PTR)"));
    else if (name)
        facts_set_text(&s->facts, FACT_CLIENT_NAME, str_of(name));
    s = world_path(&w, STAGE_RCPT, s, "<U@our.test>");
    const struct greylist_keys *keys = greylist_keys_of(s);
    cr_expect_eq(keys != NULL, expected != NULL);
    if (expected) {
        cr_expect(str_eq(keys->row, str_of(expected)), "%.*s", STR_ARG(keys->row));
        cr_expect_eq(greylist_keys_of(s), keys, "made once");
    }
    else
        cr_expect(fact_bit(&s->needed, FACT_CLIENT_NAME), "it is asked for");
    scope_unref(&s);
    world_close(&w);
}

/* Which domain could be allowed or denied: that of SPF's pass, and none else. */
static void ruled_by_domain(const char *spf, const char *expected)
{
    struct world w;
    world_open(&w, "stage connect\n");
    struct scope *s = world_path(&w, STAGE_MAIL, world_helo(&w, world_connect(&w, "203.0.113.9"), "x"), "<a@m.b.example>");
    struct store_operation op = {.kind = STORE_GREYLIST};
    struct str domains[STORE_RULED_DOMAINS_MAX];
    char address[ADDR_TEXT];
    facts_set_text(&s->facts, FACT_SPF, str_of(spf));
    facts_set_text(&s->facts, FACT_SPF_DOMAIN, STR("m.b.example"));
    facts_set_text(&s->facts, FACT_CLIENT_NAME, STR("mx.b.example"));
    s = world_path(&w, STAGE_RCPT, s, "<u@our.test>");
    greylist_ruled(s, &op, domains);
    cr_expect_str_eq(addr_format(&op.ruled_client, address), "203.0.113.9");
    cr_expect_eq(op.ruled_domain_count, expected ? 1 : 0, "%s", spf);
    if (expected && op.ruled_domain_count)
        cr_expect(op.ruled_domains == domains && str_eq(domains[0], str_of(expected)), "%s: %.*s", spf, STR_ARG(domains[0]));
    for (int i = 0; i < 2 * STORE_RULED_DOMAINS_MAX; i++) /* there is an end */
        greylist_ruled_by_domain(&op, domains, STR("x.example"));
    cr_expect_eq(op.ruled_domain_count, STORE_RULED_DOMAINS_MAX);
    scope_unref(&s);
    world_close(&w);
}

Test(greylist_key, rulings)
{
    ruled_by_domain("pass", "m.b.example");
    ruled_by_domain("softfail", NULL);
    ruled_by_domain("none", NULL);
}

Test(greylist_key, who_is_asking)
{
    key_is("pass", "b.example", NULL, "b.example a@b.example u@our.test");
    key_is("fail", "b.example", NULL, NULL);
    key_is("fail", "b.example", "mx3.mail.example", "mail.example a@b.example u@our.test");
    key_is("none", "b.example", "dsl-113-9.mail.example", "203.0.113.0/24 a@b.example u@our.test");
    key_is("temperror", "b.example", "", "203.0.113.0/24 a@b.example u@our.test");
}
