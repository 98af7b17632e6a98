/*
 * mail.dns: mx, a, null-mx, none; literals; failures.
 */
#include "world.h"

static const struct {
    const char *path, *mx, *a, *aaaa; /* NULL: not asked */
    const char *dns;
} cases[] = {
    {"<a@d.example>", "10 mx.d.example", NULL, NULL, "mx"},
    {"<a@D.Example>", "10 mx.d.example|20 mx2.d.example", NULL, NULL, "mx"},
    {"<a@d.example>", "0 .", NULL, NULL, "null-mx"},
    {"<a@d.example>", "10 .", NULL, NULL, "null-mx"},
    {"<a@d.example>", "0 .|10 mx.d.example", NULL, NULL, "mx"},
    {"<a@d.example>", "nodata", "192.0.2.1", "nodata", "a"},
    {"<a@d.example>", "nodata", "nodata", "2001:db8::1", "a"},
    {"<a@d.example>", "nodata", "servfail", "2001:db8::1", "a"},
    {"<a@d.example>", "nodata", "192.0.2.1", "timeout", "a"},
    {"<a@d.example>", "nodata", "nodata", "nodata", "none"},
    {"<a@d.example>", "nodata", "nxdomain", "nxdomain", "none"},
    {"<a@d.example>", "nodata", "timeout", "nodata", "(error: DNS timeout (A))"},
    {"<a@d.example>", "nodata", "nodata", "servfail", "(error: DNS servfail (AAAA))"},
    {"<a@d.example>", "nxdomain", NULL, NULL, "none"},
    {"<a@d.example>", "servfail", NULL, NULL, "(error: DNS servfail (MX))"},
    {"<a@d.example>", "timeout", NULL, NULL, "(error: DNS timeout (MX))"},
    {"<a@d.example>", "garbage", NULL, NULL, "(error: DNS *"},
    {"<a@[192.0.2.1]>", NULL, NULL, NULL, "a"},
    {"<a@[IPv6:2001:db8::1]>", NULL, NULL, NULL, "a"},
    {"<>", NULL, NULL, NULL, "(absent)"},
};

Test(sender, outcomes)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int slow = 0; slow < 2; slow++) {
            struct world w;
            world_open(&w, "stage connect\n");
            if (cases[i].mx)
                answers(&w, "d.example", DNS_MX, cases[i].mx);
            if (cases[i].a) {
                answers_after(&w, "d.example", DNS_A, cases[i].a, slow ? 30 : 10);
                answers_after(&w, "d.example", DNS_AAAA, cases[i].aaaa, 20);
            }
            struct scope *s = world_path(&w, STAGE_MAIL, world_helo(&w, world_connect(&w, "203.0.113.9"), "x"), cases[i].path);
            world_run(&w, s, CHECK_SENDER, 0);
            expect_for(cases[i].mx ? cases[i].mx : cases[i].path, s, "mail.dns", cases[i].dns);
            scope_unref(&s);
            world_close(&w);
        }
}

Test(sender, a_domain_that_cannot_be_asked)
{
    struct world w;
    struct subject subject = {.sender = {.whole = STR("a@b..example"), .local = STR("a"), .local_plain = STR("a"), .domain = STR("b..example")}};
    world_open(&w, "stage connect\n");
    struct scope *helo = world_helo(&w, world_connect(&w, "203.0.113.9"), "x"), *s = world_scope(&w, STAGE_MAIL, helo, &subject);
    world_run(&w, s, CHECK_SENDER, 0);
    expect(s, "mail.dns", "none");
    scope_unref(&s);
    subject.sender.domain = STR("b\xc3\xbc" "cher.example");
    s = world_scope(&w, STAGE_MAIL, helo, &subject);
    world_run(&w, s, CHECK_SENDER, 0);
    expect(s, "mail.dns", "(error: internationalised domains are not looked up)");
    scope_unref(&s);
    scope_unref(&helo);
    world_close(&w);
}
