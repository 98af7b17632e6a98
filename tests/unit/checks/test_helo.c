/*
 * helo.name, helo.form, helo.ours, helo.dns.
 */
#include "world.h"

static struct str our_domains[] = {{"our.test", 8}, {".wide.test", 10}};
static struct listener_setting our_listen[] = {{.address = {"*:25", 4}}, {.address = {"192.0.2.25:25", 13}},
                                               {.address = {"[2001:db8::25]:2525", 19}}};

static void ours(struct world *w)
{
    w->settings.domains = our_domains;
    w->settings.domain_count = 2;
    w->settings.listen = our_listen;
    w->settings.listen_count = 3;
}

static const struct {
    const char *helo, *form, *is_ours;
} forms[] = {
    {"mail.example", "name", "no"}, {"MX.our.TEST", "name", "yes"}, {"our.test", "name", "yes"}, {"x.our.test", "name", "no"},
    {"a.wide.test", "name", "yes"}, {"wide.test", "name", "no"}, {"awide.test", "name", "no"}, {"localhost", "bare", "no"},
    {"192.0.2.1", "bare", "no"}, {"192.0.2.25", "bare", "yes"}, {"[192.0.2.25]", "literal", "yes"}, {"[192.0.2.1]", "literal", "no"},
    {"[IPv6:2001:db8::25]", "literal", "yes"}, {"[IPv6:2001:DB8:0::25]", "literal", "yes"}, {"[0.0.0.0]", "literal", "no"},
    {"x)(y", "invalid", "no"}, {"-a.example", "invalid", "no"}, {"a..example", "invalid", "no"}, {"\xff.example", "invalid", "no"},
    {"", "(absent)", "(absent)"},
};

Test(helo, form_and_ours)
{
    struct world w;
    world_open(&w, "stage connect\n");
    ours(&w);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct scope *s = world_helo(&w, world_connect(&w, "203.0.113.9"), forms[i].helo);
        cr_assert_eq(world_run(&w, s, CHECK_HELO, 0), 0);
        expect_for(forms[i].helo, s, "helo.form", forms[i].form);
        expect_for(forms[i].helo, s, "helo.ours", forms[i].is_ours);
        expect_for(forms[i].helo, s, "helo.name", forms[i].helo[0] == '\0' ? "(absent)" : forms[i].helo[0] == '\xff' ? "\xef\xbf\xbd.example" : forms[i].helo);
        scope_unref(&s);
    }
    w.settings.domains = NULL;
    w.settings.listen = NULL;
    w.settings.domain_count = w.settings.listen_count = 0;
    world_close(&w);
}

static const struct {
    const char *helo, *client, *a, *aaaa, *dns;
} lookups[] = {
    {"mail.example", "203.0.113.9", "203.0.113.9", "nodata", "match"},
    {"mail.example", "203.0.113.9", "192.0.2.1|203.0.113.9", "servfail", "match"},
    {"mail.example", "203.0.113.9", "192.0.2.1", "timeout", "other"},
    {"mail.example", "203.0.113.9", "nodata", "2001:db8::1", "other"},
    {"mail.example", "203.0.113.9", "nodata", "nodata", "none"},
    {"mail.example", "203.0.113.9", "nxdomain", "nxdomain", "none"},
    {"mail.example", "203.0.113.9", "nodata", "servfail", "(error: DNS servfail (AAAA))"},
    {"mail.example", "203.0.113.9", "timeout", "2001:db8::1", "(error: DNS timeout (A))"},
    {"mail.example", "203.0.113.9", "garbage", "nodata", "(error: DNS *"},
    {"mail.example", "2001:db8::1", "203.0.113.9", "2001:db8::1", "match"},
    {"mail.example", "2001:db8::1", "203.0.113.9", "nodata", "other"},
    {"MAIL.Example", "203.0.113.9", "203.0.113.9", "nodata", "match"},
    {"[203.0.113.9]", "203.0.113.9", NULL, NULL, "match"},
    {"203.0.113.9", "203.0.113.9", NULL, NULL, "match"},
    {"[203.0.113.8]", "203.0.113.9", NULL, NULL, "other"},
    {"[IPv6:2001:db8::1]", "2001:db8::1", NULL, NULL, "match"},
    {"localhost", "203.0.113.9", NULL, NULL, "none"},
    {"x)y", "203.0.113.9", NULL, NULL, "none"},
    {"", "203.0.113.9", NULL, NULL, "(absent)"},
};

Test(helo, dns)
{
    for (size_t i = 0; i < sizeof lookups / sizeof *lookups; i++)
        for (uint64_t slow = 0; slow < 2; slow++) { /* either answer first */
            struct world w;
            world_open(&w, "stage connect\n");
            if (lookups[i].a) {
                answers_after(&w, "mail.example", DNS_A, lookups[i].a, slow ? 30 : 10);
                answers_after(&w, "mail.example", DNS_AAAA, lookups[i].aaaa, 20);
            }
            struct scope *s = world_helo(&w, world_connect(&w, lookups[i].client), lookups[i].helo);
            world_run(&w, s, CHECK_HELO_DNS, 0);
            expect_for(lookups[i].helo, s, "helo.dns", lookups[i].dns);
            scope_unref(&s);
            world_close(&w);
        }
}

Test(helo, dns_deadline)
{
    struct world w;
    world_open(&w, "stage connect\n");
    w.settings.helo_deadline = 300;
    answers(&w, "mail.example", DNS_A, "nodata");
    answers(&w, "mail.example", DNS_AAAA, "never");
    struct scope *s = world_helo(&w, world_connect(&w, "203.0.113.9"), "mail.example");
    cr_assert_eq(world_run(&w, s, CHECK_HELO_DNS, 0), 300);
    expect(s, "helo.dns", "(error: no answer in time)");
    scope_unref(&s);
    world_close(&w);
}
