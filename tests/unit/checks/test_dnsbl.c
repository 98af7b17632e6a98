/*
 * dnsbl.NAME, dnswl.NAME, dnsbl.listed: judging, query names, families, keys, lists that rest, many lists, orders of answers.
 */
#include "world.h"

static const struct {
    const char *what, *codes;
} block[] = {
    {"nxdomain", ""}, {"nodata", ""}, {"127.0.0.2", "127.0.0.2"}, {"127.0.0.10|127.0.0.4|127.0.0.10", "127.0.0.4, 127.0.0.10"},
    {"127.1.2.3", "127.1.2.3"}, {"127.0.0.255", "127.0.0.255"}, {"127.255.0.1", "127.255.0.1"},
    {"127.255.255.252", "(error: the list says that its name is wrong (127.255.255.252))"},
    {"127.255.255.254", "(error: the list does not answer to this resolver (127.255.255.254))"},
    {"127.255.255.255", "(error: the list has been asked too much (127.255.255.255))"},
    {"127.255.255.1", "(error: the list answered with an error code (127.255.255.0/24))"},
    {"192.0.2.80", "(error: the list answered with an address outside 127.0.0.0/8)"},
    {"0.0.0.0", "(error: the list answered with an address outside 127.0.0.0/8)"},
    {"127.0.0.2|127.255.255.254", "127.0.0.2"},
    {"servfail", "(error: the list's name servers failed)"}, {"timeout", "(error: the list did not answer)"},
    {"garbage", "(error: the list's *"},
};

Test(dnsbl, answers)
{
    for (int allow = 0; allow < 2; allow++)
        for (size_t i = 0; i < sizeof block / sizeof *block; i++) {
            struct world w;
            world_open(&w, allow ? "dnswl zen \"zen.test\"\nstage connect\n" : "dnsbl zen \"zen.test\"\nstage connect\n");
            answers(&w, "9.113.0.203.zen.test", DNS_A, block[i].what);
            struct scope *s = world_connect(&w, "203.0.113.9");
            world_run(&w, s, CHECK_DNSBL, 0);
            world_run(&w, s, CHECK_DNSBL_LISTED, 0);
            const char *codes = block[i].codes;
            if (allow && strcmp(codes, "127.0.0.255") == 0)
                codes = "(error: the allow list does not answer to this resolver (127.0.0.255))";
            expect_for(block[i].what, s, allow ? "dnswl.zen" : "dnsbl.zen", codes);
            expect_for(block[i].what, s, allow ? "dnswl.listed" : "dnsbl.listed", codes[0] == '(' ? "(error: no list could be asked)" : codes[0] ? "zen" : "");
            expect_for(block[i].what, s, allow ? "dnsbl.listed" : "dnswl.listed", "");
            cr_assert_eq(w.asked, 1, "one question for both facts");
            scope_unref(&s);
            world_close(&w);
        }
}

Test(dnsbl, judge_keeps_the_smallest_in_any_order)
{
    struct dns_record records[6] = {0};
    struct dns_answer a = {.status = DNS_OK, .records = records, .count = 6};
    struct addr codes[3];
    size_t count;
    const char *why;

    for (int shift = 0; shift < 6; shift++) {
        for (int i = 0; i < 6; i++)
            records[(i + shift) % 6].addr = (struct addr){4, {127, 0, 0, (uint8_t)(i == 5 ? 4 : i + 2)}};
        cr_assert(dnsbl_judge(&a, false, codes, 3, &count, &why));
        cr_assert_eq(count, 3);
        for (size_t i = 0; i < 3; i++)
            cr_assert_eq(codes[i].b[3], i + 2);
    }
}

static const struct {
    const char *declared, *client, *name; /* name NULL: not asked */
} names[] = {
    {"dnsbl z \"zen.test\"", "203.0.113.9", "9.113.0.203.zen.test"},
    {"dnsbl z \"Zen.Test.\"", "203.0.113.9", "9.113.0.203.zen.test"},
    {"dnsbl z \"zen.test\"", "2001:db8:1:2:3:4:5:6", "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.zen.test"},
    {"dnsbl z \"zen.test\" whole-ipv6", "2001:db8:1:2:3:4:5:6", "6.0.0.0.5.0.0.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.zen.test"},
    {"dnsbl z \"zen.test\" ipv4", "2001:db8::1", NULL},
    {"dnsbl z \"zen.test\" ipv6", "203.0.113.9", NULL},
    {"dnsbl z \"zen.test\" ipv4", "203.0.113.9", "9.113.0.203.zen.test"},
    {"dnsbl z \"{key}.zen.test\" key \"s3cret\"", "203.0.113.9", "9.113.0.203.s3cret.zen.test"},
};

Test(dnsbl, names_and_families)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct world w;
        struct buf text = {0};
        buf_printf(&text, "%s\nstage connect\n", names[i].declared);
        char *policy = buf_steal(&text);
        world_open(&w, policy);
        if (names[i].name)
            answers(&w, names[i].name, DNS_A, "127.0.0.2");
        struct scope *s = world_connect(&w, names[i].client);
        world_run(&w, s, CHECK_DNSBL, 0);
        expect_for(names[i].declared, s, "dnsbl.z", names[i].name ? "127.0.0.2" : "");
        scope_unref(&s);
        world_close(&w);
        free(policy);
    }
}

Test(dnsbl, the_key_is_shown_nowhere)
{
    static const char *const whats[] = {"servfail", "timeout", "127.255.255.255", "garbage", "192.0.2.1"};

    for (size_t i = 0; i < 5; i++) {
        struct world w;
        struct buf text = {0};
        world_open(&w, "dnsbl z \"{key}.zen.test\" key \"s3cret\"\nstage connect\n");
        answers(&w, "9.113.0.203.s3cret.zen.test", DNS_A, whats[i]);
        answers(&w, "2.0.0.127.s3cret.zen.test", DNS_A, "nxdomain");
        answers(&w, "1.0.0.127.s3cret.zen.test", DNS_A, "nxdomain");
        struct scope *s = world_connect(&w, "203.0.113.9");
        world_run(&w, s, CHECK_DNSBL, 0);
        world_run(&w, s, CHECK_DNSBL_LISTED, 0);
        facts_text(s, &text);
        dnsbl_zone_shown(policy_declaration(w.policy, 0), &text);
        w.evidence.health = list_health_new(w.loop, w.resolver);
        list_health_watch(w.evidence.health, w.policy, NULL);
        loop_advance_to(w.loop, loop_now(w.loop) + 100);
        cr_assert(w.log.n > 0, "the list rests, and that is logged");
        buf_str(&text, buf_view(&w.log));
        buf_char(&text, 0);
        cr_assert_null(strstr(text.p, "s3cret"), "%s", text.p);
        cr_assert_not_null(strstr(text.p, "<key>.zen.test"));
        buf_free(&text);
        scope_unref(&s);
        world_close(&w);
    }
}

Test(dnsbl, a_name_that_does_not_fit)
{
    char zone[300], out[254];
    struct addr client = address_of("2001:db8::1");
    struct declaration list = {.kind = DECLARE_DNSBL, .zone = {zone, 0}};

    memset(zone, 'a', sizeof zone);
    for (size_t i = 39; i < sizeof zone; i += 40)
        zone[i] = '.';
    for (list.zone.n = 1; list.zone.n < sizeof zone; list.zone.n++) {
        bool fits = list.zone.n + 64 <= 253 && zone[list.zone.n - 1] != '.'; /* 32 nibbles, their dots, the zone */
        if (zone[list.zone.n - 1] != '.') /* one trailing dot is no label */
            cr_assert_eq(dnsbl_query_name(&list, &client, 128, out), fits, "%zu", list.zone.n);
    }
    list.zone = STR("{key}.b.example");
    list.hide = (struct str){zone, 39};
    cr_assert(dnsbl_query_name(&list, &client, 128, out));
    memset(zone, 'a', sizeof zone);
    list.hide.n = 64;
    cr_assert(!dnsbl_query_name(&list, &client, 128, out), "a label over 63");
}

/* Twenty lists: all asked at once; the slow ones cost only themselves. */
Test(dnsbl, many_lists_in_parallel)
{
    struct world w;
    struct buf policy = {0};
    char name[64];

    for (int i = 0; i < 20; i++)
        buf_printf(&policy, "dnsbl l%02d \"l%02d.test\"\n", i, i);
    buf_cstr(&policy, "stage connect\n");
    char *text = buf_steal(&policy);
    world_open(&w, text);
    w.settings.dnsbl_deadline = 1000;
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "9.113.0.203.l%02d.test", i);
        answers_after(&w, name, DNS_A, i % 5 == 0 ? "127.0.0.2" : i % 5 == 1 ? "never" : i % 5 == 2 ? "servfail" : "nxdomain", 100);
    }
    struct scope *s = world_connect(&w, "203.0.113.9");
    for (uint16_t i = 0; i < 20; i++)
        cr_assert_eq(check_step(s, check_start(s, CHECK_DNSBL, i)), CHECK_NOT_YET);
    cr_assert_eq(world_run(&w, s, CHECK_DNSBL_LISTED, 0), 1000, "it waits for all until its deadline");
    expect(s, "dnsbl.listed", "l00, l05, l10, l15");
    for (uint16_t i = 0; i < 20; i++) {
        check_step(s, check_start(s, CHECK_DNSBL, i));
        snprintf(name, sizeof name, "dnsbl.l%02d", i);
        expect(s, name, i % 5 == 0 ? "127.0.0.2" : i % 5 == 1 ? "(error: no answer in time)" : i % 5 == 2 ? "(error: the list's name servers failed)" : "");
    }
    cr_assert_eq(w.asked, 20);
    scope_unref(&s);
    world_close(&w);
    free(text);
}

Test(dnsbl, listed_without_lists_is_empty)
{
    struct world w;
    world_open(&w, "stage connect\n");
    struct scope *s = world_connect(&w, "203.0.113.9");
    cr_assert_eq(world_run(&w, s, CHECK_DNSBL_LISTED, 0), 0);
    expect(s, "dnsbl.listed", "");
    expect(s, "dnswl.listed", "");
    scope_unref(&s);
    world_close(&w);
}

/* A fact that was given (--assume) speaks for its list; the list is not asked. */
Test(dnsbl, listed_believes_given_facts)
{
    struct world w;
    world_open(&w, "dnsbl a \"a.test\"\ndnsbl b \"b.test\"\ndnsbl c \"c.test\"\nstage connect\n");
    struct addr code = address_of("127.0.0.2");
    struct scope *s = world_connect(&w, "203.0.113.9");
    struct value listed = {.state = FACT_KNOWN, .type = FACT_ADDRS}, error = {.state = FACT_ERROR, .v.text = STR("why")};
    listed.v.addrs.list = &code;
    listed.v.addrs.count = 1;
    facts_set_value(&s->facts, fact_of(s, "dnsbl.a"), &listed);
    facts_set_value(&s->facts, fact_of(s, "dnsbl.b"), &error);
    answers(&w, "9.113.0.203.c.test", DNS_A, "nxdomain");
    world_run(&w, s, CHECK_DNSBL_LISTED, 0);
    expect(s, "dnsbl.listed", "a");
    cr_assert_eq(w.asked, 1);
    scope_unref(&s);
    world_close(&w);
}

static struct scope *five_lists(struct world *w)
{
    answers(w, "9.113.0.203.a.test", DNS_A, "127.0.0.2");
    answers(w, "9.113.0.203.b.test", DNS_A, "timeout");
    answers(w, "9.113.0.203.c.test", DNS_A, "127.255.255.254");
    answers(w, "9.113.0.203.d.test", DNS_A, "nxdomain");
    answers(w, "9.113.0.203.e.test", DNS_A, "127.0.0.9|127.0.0.3");
    struct scope *s = world_connect(w, "203.0.113.9");
    for (uint16_t i = 0; i < 5; i++)
        check_step(s, check_start(s, CHECK_DNSBL, i));
    return s;
}

Test(dnsbl, any_order_of_answers)
{
    permute("dnsbl a \"a.test\"\ndnsbl b \"b.test\"\ndnswl c \"c.test\"\ndnsbl d \"d.test\"\ndnsbl e \"e.test\"\nstage connect\n", five_lists,
            CHECK_DNSBL_LISTED, 0);
}
