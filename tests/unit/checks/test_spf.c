/*
 * spf and spf.helo as facts: identities, the deadline, what stands beside the verdict, answers in any order.
 */
#include "world.h"

static struct scope *mail(struct world *w, const char *client, const char *helo, const char *from)
{
    return world_path(w, STAGE_MAIL, world_helo(w, world_connect(w, client), helo), from);
}

static void records(struct world *w)
{
    answers(w, "sender.example", DNS_TXT, "\"v=spf1 a mx include:other.example \" \"-all exp=why.example\"");
    answers(w, "sender.example", DNS_A, "192.0.2.1");
    answers(w, "sender.example", DNS_MX, "10 mx.sender.example");
    answers(w, "mx.sender.example", DNS_A, "192.0.2.2");
    answers(w, "other.example", DNS_TXT, "\"v=spf1 ip4:192.0.2.3 ~all\"");
    answers(w, "why.example", DNS_TXT, "\"not from %{i}, by %{r} at %{t}\"");
    answers(w, "helo.example", DNS_TXT, "\"v=spf1 ip4:192.0.2.4 -all\"");
    answers(w, "xn--bcher-kva.example", DNS_TXT, "\"v=spf1 -all\"");
    answers(w, "local.example", DNS_TXT, "\"v=spf1 exists:%{l}.any.example ~all\"");
    answers(w, "none.example", DNS_TXT, "\"something else\"");
    answers(w, "broken.example", DNS_TXT, "\"v=spf1 nonsense\"");
    answers(w, "slow.example", DNS_TXT, "timeout");
}

static const struct {
    const char *client, *helo, *from, *spf, *domain, *mechanism, *explanation;
} senders[] = {
    {"192.0.2.1", "helo.example", "<a@sender.example>", "pass", "sender.example", "a", "(absent)"},
    {"192.0.2.2", "helo.example", "<a@Sender.EXAMPLE>", "pass", "sender.example", "mx", "(absent)"},
    {"192.0.2.3", "helo.example", "<a@sender.example>", "pass", "sender.example", "include:other.example", "(absent)"},
    {"192.0.2.4", "helo.example", "<a@sender.example>", "fail", "sender.example", "-all", "not from 192.0.2.4, by mx.our.test at 1795292100"},
    {"192.0.2.4", "helo.example", "<>", "pass", "helo.example", "ip4:192.0.2.4", "(absent)"},
    {"192.0.2.5", "Helo.example", "<>", "fail", "helo.example", "-all", "(absent)"},
    {"192.0.2.5", "helo.example.", "<>", "fail", "helo.example", "-all", "(absent)"},
    {"192.0.2.5", "helo.example..", "<>", "none", "helo.example..", "(absent)", "(absent)"},
    {"192.0.2.5", "[192.0.2.5]", "<>", "none", "(absent)", "(absent)", "(absent)"},
    {"192.0.2.5", "localhost", "<>", "none", "localhost", "(absent)", "(absent)"},
    {"192.0.2.5", "helo.example", "<a@[192.0.2.5]>", "none", "(absent)", "(absent)", "(absent)"},
    {"192.0.2.5", "helo.example", "<a@b\xc3\xbc" "cher.example>", "fail", "xn--bcher-kva.example", "-all", "(absent)"},
    {"192.0.2.5", "helo.example", "<\xc3\xa4@local.example>", "softfail", "local.example", "~all", "(absent)"},
    {"192.0.2.5", "helo.example", "<a@none.example>", "none", "none.example", "(absent)", "(absent)"},
    {"192.0.2.5", "helo.example", "<a@broken.example>", "permerror", "broken.example", "(absent)", "(absent)"},
    {"192.0.2.5", "helo.example", "<a@slow.example>", "temperror", "slow.example", "(absent)", "(absent)"},
};

Test(spf, of_the_reverse_path)
{
    for (size_t i = 0; i < sizeof senders / sizeof *senders; i++) {
        struct world w;
        world_open(&w, "stage connect\n");
        records(&w);
        struct scope *s = mail(&w, senders[i].client, senders[i].helo, senders[i].from);
        world_run(&w, s, CHECK_SPF, 0);
        expect_for(senders[i].from, s, "spf", senders[i].spf);
        expect_for(senders[i].from, s, "spf.domain", senders[i].domain);
        expect_for(senders[i].from, s, "spf.mechanism", senders[i].mechanism);
        expect_for(senders[i].from, s, "spf.explanation", senders[i].explanation);
        scope_unref(&s);
        world_close(&w);
    }
}

static const struct {
    const char *client, *helo, *spf;
} helos[] = {
    {"192.0.2.4", "helo.example", "pass"},   {"192.0.2.5", "helo.example", "fail"}, {"192.0.2.5", "none.example", "none"},
    {"192.0.2.5", "[192.0.2.5]", "none"},    {"192.0.2.5", "localhost", "none"},    {"192.0.2.5", "broken.example", "permerror"},
    {"192.0.2.5", "slow.example", "temperror"}, {"192.0.2.5", "", "none"},
};

Test(spf, of_helo)
{
    for (size_t i = 0; i < sizeof helos / sizeof *helos; i++) {
        struct world w;
        world_open(&w, "stage connect\n");
        records(&w);
        struct scope *s = world_helo(&w, world_connect(&w, helos[i].client), helos[i].helo);
        world_run(&w, s, CHECK_SPF_HELO, 0);
        expect_for(helos[i].helo, s, "spf.helo", helos[i].spf);
        scope_unref(&s);
        world_close(&w);
    }
}

/* A whole level is asked for at once: record; a, mx and include; the mx's host; the explanation. */
Test(spf, a_level_is_one_round_trip)
{
    struct world w;
    world_open(&w, "stage connect\n");
    records(&w);
    struct scope *s = mail(&w, "192.0.2.3", "helo.example", "<a@sender.example>");
    cr_assert_eq(world_run(&w, s, CHECK_SPF, 0), 30);
    cr_assert_eq(w.asked, 5);
    scope_unref(&s);
    s = mail(&w, "192.0.2.5", "helo.example", "<a@sender.example>");
    cr_assert_eq(world_run(&w, s, CHECK_SPF, 0), 10, "all but exp= is in the cache");
    scope_unref(&s);
    world_close(&w);
}

Test(spf, at_the_deadline_it_is_a_temperror)
{
    struct world w;
    world_open(&w, "stage connect\n");
    records(&w);
    answers(&w, "other.example", DNS_TXT, "never");
    struct scope *s = mail(&w, "192.0.2.3", "helo.example", "<a@sender.example>");
    cr_assert_eq(world_run(&w, s, CHECK_SPF, 0), 20000);
    expect(s, "spf", "temperror");
    expect(s, "spf.domain", "sender.example");
    expect(s, "spf.mechanism", "(absent)");
    expect(s, "spf.explanation", "(absent)");
    scope_unref(&s);
    answers(&w, "helo.example", DNS_TXT, "never");
    s = world_helo(&w, world_connect(&w, "192.0.2.3"), "helo.example");
    cr_assert_eq(world_run(&w, s, CHECK_SPF_HELO, 0), 20000);
    expect(s, "spf.helo", "temperror");
    scope_unref(&s);
    world_close(&w);
}

static struct scope *any_order(struct world *w)
{
    answers(w, "sender.example", DNS_A, "192.0.2.1");
    answers(w, "sender.example", DNS_MX, "10 mx.sender.example");
    answers(w, "mx.sender.example", DNS_A, "192.0.2.2");
    answers(w, "other.example", DNS_TXT, "\"v=spf1 a:third.example ~all\"");
    answers(w, "third.example", DNS_A, "servfail");
    answers(w, "sender.example", DNS_TXT, "\"v=spf1 a mx include:other.example -all\"");
    return mail(w, "192.0.2.9", "helo.example", "<a@sender.example>");
}

Test(spf, the_order_of_answers_changes_nothing)
{
    permute("stage connect\n", any_order, CHECK_SPF, 0);
}

/* The session's limit of questions ends in temperror, not in a wrong word. */
Test(spf, no_more_questions)
{
    struct world w;
    world_open(&w, "stage connect\n");
    records(&w);
    w.budget = 2;
    struct scope *s = mail(&w, "192.0.2.3", "helo.example", "<a@sender.example>");
    world_run(&w, s, CHECK_SPF, 0);
    expect(s, "spf", "temperror");
    scope_unref(&s);
    world_close(&w);
}
