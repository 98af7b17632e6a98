/*
 * mail.*, rcpt.*, msg.*, client.*: what the commands and the message itself say.
 */
#include "postern/checks/content.h"
#include "world.h"

static const struct {
    const char *path, *from, *local, *domain, *null;
} senders[] = {
    {"<a@Example.ORG>", "a@Example.ORG", "a", "example.org", "no"},
    {"<>", "", "(absent)", "(absent)", "yes"},
    {"<\"a b\\\"c\"@example.org>", "\"a b\\\"c\"@example.org", "a b\"c", "example.org", "no"},
    {"<@relay.example,@other.example:a@example.org>", "a@example.org", "a", "example.org", "no"},
    {"<A+tag@[192.0.2.1]>", "A+tag@[192.0.2.1]", "A+tag", "[192.0.2.1]", "no"},
};

Test(envelope, senders)
{
    for (size_t i = 0; i < sizeof senders / sizeof *senders; i++) {
        struct world w;
        world_open(&w, "stage connect\n");
        struct scope *s = world_path(&w, STAGE_MAIL, world_helo(&w, world_connect(&w, "203.0.113.9"), "x"), senders[i].path);
        world_run(&w, s, CHECK_ENVELOPE, 0);
        expect_for(senders[i].path, s, "mail.from", senders[i].from);
        expect_for(senders[i].path, s, "mail.local", senders[i].local);
        expect_for(senders[i].path, s, "mail.domain", senders[i].domain);
        expect_for(senders[i].path, s, "mail.null", senders[i].null);
        scope_unref(&s);
        world_close(&w);
    }
}

static const struct {
    const char *path, *address, *local, *domain;
} recipients[] = {
    {"<U@Our.Test>", "U@Our.Test", "U", "our.test"},
    {"<Postmaster>", "Postmaster", "Postmaster", "(absent)"},
    {"<\"postmaster\"@our.test>", "\"postmaster\"@our.test", "postmaster", "our.test"},
};

Test(envelope, recipients)
{
    for (size_t i = 0; i < sizeof recipients / sizeof *recipients; i++) {
        struct world w;
        world_open(&w, "stage connect\n");
        struct scope *s = world_path(&w, STAGE_MAIL, world_helo(&w, world_connect(&w, "203.0.113.9"), "x"), "<a@b.example>");
        s = world_path(&w, STAGE_RCPT, s, recipients[i].path);
        world_run(&w, s, CHECK_RECIPIENT, 0);
        expect_for(recipients[i].path, s, "rcpt.address", recipients[i].address);
        expect_for(recipients[i].path, s, "rcpt.local", recipients[i].local);
        expect_for(recipients[i].path, s, "rcpt.domain", recipients[i].domain);
        scope_unref(&s);
        world_close(&w);
    }
}

Test(envelope, client)
{
    struct world w;
    world_open(&w, "stage connect\n");
    struct scope *four = world_connect(&w, "203.0.113.9"), *six = world_connect(&w, "2001:db8:1:2:3:4:5:6");
    world_run(&w, four, CHECK_CLIENT, 0);
    world_run(&w, six, CHECK_CLIENT, 0);
    expect(four, "client.ip", "203.0.113.9");
    expect(four, "client.net", "203.0.113.0/24");
    expect(four, "listener", "*:25");
    expect(six, "client.ip", "2001:db8:1:2:3:4:5:6");
    expect(six, "client.net", "2001:db8:1:2::/64");
    scope_unref(&four);
    scope_unref(&six);
    world_close(&w);
}

Test(envelope, content)
{
    struct world w;
    struct subject subject = {.content = {.size = 5000000000, .longest_line = 1200, .received = 3, .bare_newline = true}};
    world_open(&w, "stage connect\n");
    struct scope *mail = world_path(&w, STAGE_MAIL, world_helo(&w, world_connect(&w, "203.0.113.9"), "x"), "<a@b.example>");
    struct scope *s = world_scope(&w, STAGE_DATA, mail, &subject);
    cr_assert_eq(check_step(s, check_start(s, CHECK_CONTENT, 0)), CHECK_NOT_YET);
    content_ended(s, &subject.content);
    scope_unref(&mail);
    world_run(&w, s, CHECK_CONTENT, 0);
    cr_assert_eq(facts_get(&s->facts, FACT_MSG_SIZE)->v.number, 5000000000);
    cr_assert_eq(facts_get(&s->facts, FACT_MSG_LONGEST_LINE)->v.number, 1200);
    expect(s, "msg.received", "3");
    expect(s, "manners.bare-newline", "yes");
    scope_unref(&s);
    world_close(&w);
}
