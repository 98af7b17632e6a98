/*
 * The checks that read the message: taps, from.domain and from.error, and DMARC's facts out of those of others.
 */
#include "postern/checks/content.h"
#include "world.h"

static struct scope *data_scope(struct world *w)
{
    struct scope *mail = world_path(w, STAGE_MAIL, world_helo(w, world_connect(w, "203.0.113.9"), "c.example"),
                                    "<a@example.com>");
    struct subject subject = {0};
    struct scope *s = world_scope(w, STAGE_DATA, mail, &subject);
    scope_unref(&mail);
    return s;
}

/* The message through the taps, a few octets at a time. */
static void flow(struct scope *s, const char *message)
{
    struct header_reader reader;
    struct buf kept = {0};
    struct str wire = str_of(message);

    header_begin(&reader, 0, NULL, 0, content_taps(s));
    for (size_t at = 0; at < wire.n; at += 7)
        header_feed(&reader, str_sub(wire, at, at + 7), &kept);
    header_end(&reader, &kept);
    header_clear(&reader);
    buf_free(&kept);
}

static void ended(struct scope *s)
{
    content_ended(s, &(struct content){.size = 100});
}

static void assume(struct scope *s, const char *fact, const char *text)
{
    struct arena arena = {0};
    struct value v;
    struct str error;
    int id = fact_of(s, fact);

    cr_assert(value_parse(schema_fact(s->facts.schema, id), str_of(text), &arena, &v, &error), "%s: %.*s", fact, STR_ARG(error));
    facts_set_value(&s->facts, id, &v);
    arena_clear(&arena);
}

static enum check_result step(struct scope *s, enum check_id check)
{
    return check_step(s, check_start(s, check, 0));
}

/* --- from --- */

static const struct {
    const char *message, *domain, *error;
} messages[] = {
    {"From: a@good.example\r\n\r\nbody", "good.example", "none"},
    {"Subject: x\r\nfROM : A <a@Good.Example>\r\nTo: b@other.example\r\n\r\n", "good.example", "none"},
    {"From: a@good.example\r\nFrom: a@good.example\r\n\r\n", "(absent)", "multiple-fields"},
    {"From: a@good.example\r\nFrom : a@evil.example\r\n\r\n", "(absent)", "multiple-fields"},
    {"From: a@good.example\r\nFrom\r\n : a@evil.example\r\n\r\n", "(absent)", "multiple-fields"},
    {"Subject: x\r\n\r\nFrom: a@good.example\r\n", "(absent)", "missing"},
    {"Resent-From: a@good.example\r\n\r\n", "(absent)", "missing"},
    {"", "(absent)", "missing"},
    {"no field\r\nFrom: a@good.example\r\n\r\n", "(absent)", "missing"},
    {" From: a@good.example\r\nFrom: b@evil.example\r\n\r\n", "(absent)", "missing"},
    {"From: a@good.example, b@evil.example\r\n\r\n", "(absent)", "multiple-domains"},
    {"From: a@good.example", "good.example", "none"},
};

Test(from, fields_of_messages)
{
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        struct world w;
        world_open(&w, "stage connect\n");
        struct scope *s = data_scope(&w);
        cr_assert_eq(step(s, CHECK_FROM), CHECK_NOT_YET);
        cr_assert_not_null(content_taps(s));
        cr_assert_eq(step(s, CHECK_FROM), CHECK_NOT_YET);
        flow(s, messages[i].message);
        cr_assert_eq(step(s, CHECK_FROM), CHECK_DONE); /* before the message has ended */
        ended(s);
        expect_for(messages[i].message, s, "from.domain", messages[i].domain);
        expect_for(messages[i].message, s, "from.error", messages[i].error);
        scope_unref(&s);
        world_close(&w);
    }
}

Test(from, a_check_that_comes_too_late)
{
    struct world w;
    world_open(&w, "stage connect\n");
    struct scope *s = data_scope(&w);
    cr_assert_null(content_taps(s)); /* none was started */
    check_start(s, CHECK_FROM, 0);
    cr_assert_null(content_taps(s));
    cr_assert_eq(step(s, CHECK_FROM), CHECK_DONE);
    expect(s, "from.error", "(error: the header was not read)");
    scope_unref(&s);

    s = data_scope(&w); /* never a tap */
    ended(s);
    cr_assert_null(content_taps(s));
    cr_assert_eq(step(s, CHECK_FROM), CHECK_DONE);
    expect(s, "from.domain", "(error: the header was not read)");
    scope_unref(&s);

    s = data_scope(&w); /* a message that broke off in its header */
    check_start(s, CHECK_FROM, 0);
    struct mail_tap *t = content_taps(s);
    t->field(t, STR("From: a@good.example"));
    cr_assert_eq(step(s, CHECK_FROM), CHECK_NOT_YET);
    ended(s);
    cr_assert_eq(step(s, CHECK_FROM), CHECK_DONE);
    expect(s, "from.domain", "(error: the header was not read)");
    scope_unref(&s);
    world_close(&w);
}

Test(content, counts_wait_for_the_end)
{
    struct world w;
    world_open(&w, "stage connect\n");
    struct scope *s = data_scope(&w);
    cr_assert_not(content_has_ended(s));
    cr_assert_eq(step(s, CHECK_CONTENT), CHECK_NOT_YET);
    ended(s);
    cr_assert(content_has_ended(s));
    cr_assert_eq(step(s, CHECK_CONTENT), CHECK_DONE);
    expect(s, "msg.size", "100");
    scope_unref(&s);
    world_close(&w);
}

/* --- dmarc --- */

#define GOOD "From: a@example.com\r\n\r\n"
#define NOT_APPLIED "(absent)", "(absent)", "(absent)", "(absent)"

static const struct {
    const char *message;
    const char *spf, *spf_domain;             /* NULL: absent */
    const char *dkim, *dkim_domains;          /* NULL: none and {} */
    const char *own, *top;                    /* TXT of _dmarc.example.com and _dmarc.com; NULL: not to be asked */
    const char *dmarc, *policy, *domain, *aligned, *test;
} scenes[] = {
    {GOOD, "pass", "example.com", NULL, NULL, "\"v=DMARC1; p=reject\"", "nxdomain", "pass", "reject", "example.com", "spf", "no"},
    {GOOD, "pass", "Bounce.Example.COM", NULL, NULL, "\"v=DMARC1; p=reject; t=y; psd=n\"", "nxdomain", "pass", "quarantine",
     "example.com", "spf",
     "yes"},
    {GOOD, "pass", "evil.net", NULL, NULL, "\"v=DMARC1; p=quarantine\"", "nxdomain", "fail", "quarantine", "example.com", "none",
     "no"},
    {GOOD, "fail", "example.com", NULL, NULL, "\"v=DMARC1; p=none\"", "nodata", "fail", "none", "example.com", "none", "no"},
    {GOOD, "softfail", "example.com", NULL, NULL, "\"v=DMARC1; \" \"p=none\"", "nodata", "fail", "none", "example.com", "none",
     "no"},
    {GOOD, "permerror", "example.com", NULL, NULL, "\"v=DMARC1; p=none\"", "nodata", "fail", "none", "example.com", "none", "no"},
    {GOOD, "none", NULL, NULL, NULL, "nxdomain", "nxdomain", "none", NOT_APPLIED},
    {GOOD, "temperror", "example.com", NULL, NULL, "\"v=DMARC1; p=reject\"", "nodata", "temperror", "reject", "example.com",
     "(absent)", "no"},
    {GOOD, "temperror", "example.com", NULL, NULL, "nodata", "nodata", "none", NOT_APPLIED},
    {GOOD, "error", "example.com", NULL, NULL, "\"v=DMARC1; p=reject\"", "nodata", "temperror", "reject", "example.com",
     "(absent)", "no"},
    {GOOD, "pass", "example.com", NULL, NULL, "timeout", "nodata", "temperror", NOT_APPLIED},
    {GOOD, "fail", "example.com", NULL, NULL, "never", "nodata", "temperror", NOT_APPLIED},
    {GOOD, "pass", "b\xc3\xbc" "cher.example.com", NULL, NULL, "\"v=DMARC1; p=reject\"", "nodata", "pass", "reject",
     "example.com", "spf", "no"},
    {"From: a@example.com\r\nFrom: a@example.com\r\n\r\n", "pass", "example.com", NULL, NULL, NULL, NULL, "permerror",
     NOT_APPLIED},
    {"Subject: x\r\n\r\n", "pass", "example.com", NULL, NULL, NULL, NULL, "permerror", NOT_APPLIED},
    {"From: a@example.com, b@evil.net\r\n\r\n", "pass", "example.com", NULL, NULL, NULL, NULL, "permerror", NOT_APPLIED},
    {GOOD, "fail", "example.com", "pass", "example.com", "\"v=DMARC1; p=reject\"", "nodata", "pass", "reject", "example.com",
     "dkim", "no"},
    {GOOD, "pass", "example.com", "pass", "evil.net,mail.example.com", "\"v=DMARC1; p=reject\"", "nodata", "pass", "reject",
     "example.com", "both", "no"},
    {GOOD, "temperror", "example.com", "pass", "example.com", "\"v=DMARC1; p=reject\"", "nodata", "pass", "reject",
     "example.com", "dkim", "no"},
    {GOOD, "fail", "example.com", "temperror", "{}", "\"v=DMARC1; p=reject\"", "nodata", "temperror", "reject", "example.com",
     "(absent)", "no"},
    {GOOD, "fail", "example.com", "fail", "{}", "\"v=DMARC1; p=reject\"", "nodata", "fail", "reject", "example.com", "none",
     "no"},
};

Test(dmarc, facts_out_of_facts)
{
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
        struct world w;
        world_open(&w, "stage connect\n");
        struct scope *s = data_scope(&w);
        if (scenes[i].own) {
            answers_after(&w, "_dmarc.example.com", DNS_TXT, scenes[i].own, 30);
            answers_after(&w, "_dmarc.com", DNS_TXT, scenes[i].top, 10);
            answers(&w, "_dmarc.bounce.example.com", DNS_TXT, "nxdomain");
            answers(&w, "_dmarc.mail.example.com", DNS_TXT, "nxdomain");
            answers(&w, "_dmarc.xn--bcher-kva.example.com", DNS_TXT, "nxdomain");
        }
        check_start(s, CHECK_FROM, 0);
        cr_assert_eq(step(s, CHECK_DMARC), CHECK_NOT_YET);
        cr_assert(fact_bit(&s->needed, FACT_FROM_DOMAIN) && fact_bit(&s->needed, FACT_SPF));
        flow(s, scenes[i].message);
        ended(s);
        cr_assert_eq(step(s, CHECK_FROM), CHECK_DONE);
        if (scenes[i].own) { /* the questions are out before SPF is known */
            unsigned before = w.asked;
            cr_assert_eq(step(s, CHECK_DMARC), CHECK_NOT_YET);
            loop_turn(w.loop, false);
            cr_assert_eq(w.asked, before + 2);
        }
        assume(s, "spf", scenes[i].spf);
        assume(s, "spf.domain", scenes[i].spf_domain ? scenes[i].spf_domain : "absent");
        assume(s, "dkim", scenes[i].dkim ? scenes[i].dkim : "none");
        assume(s, "dkim.domains", scenes[i].dkim_domains ? scenes[i].dkim_domains : "{}");
        world_run(&w, s, CHECK_DMARC, 0);
        char what[32];
        snprintf(what, sizeof what, "scene %zu", i);
        expect_for(what, s, "dmarc", scenes[i].dmarc);
        expect_for(what, s, "dmarc.policy", scenes[i].policy);
        expect_for(what, s, "dmarc.domain", scenes[i].domain);
        expect_for(what, s, "dmarc.aligned", scenes[i].aligned);
        expect_for(what, s, "dmarc.test", scenes[i].test);
        scope_unref(&s);
        world_close(&w);
    }
}

Test(dmarc, an_author_whom_nobody_read)
{
    struct world w;
    world_open(&w, "stage connect\n");
    struct scope *s = data_scope(&w);
    ended(s);
    step(s, CHECK_FROM);
    cr_assert_eq(step(s, CHECK_DMARC), CHECK_DONE);
    expect(s, "dmarc", "temperror");
    expect(s, "dmarc.policy", "(absent)");
    scope_unref(&s);
    world_close(&w);
}

/* A signature whose key cannot be asked for: a doubt where its domain is the author's, none where it is a stranger's. */
Test(dmarc, signatures_without_a_key)
{
    static const struct {
        const char *domain, *dkim_domains, *dmarc;
    } doubts[] = {{"example.com", NULL, "temperror"}, {"evil.net", NULL, "fail"}, {"example.com", "{}", "fail"}};

    for (size_t i = 0; i < sizeof doubts / sizeof *doubts; i++) {
        struct world w;
        char key[64], message[600];
        world_open(&w, "stage connect\n");
        struct scope *s = data_scope(&w);
        snprintf(key, sizeof key, "s._domainkey.%s", doubts[i].domain);
        snprintf(message, sizeof message,
                 "DKIM-Signature: v=1; a=rsa-sha256; d=%s; s=s; h=from;\r\n"
                 " bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n"
                 "From: a@example.com\r\n\r\n",
                 doubts[i].domain);
        answers(&w, key, DNS_TXT, "timeout");
        answers(&w, "_dmarc.example.com", DNS_TXT, "\"v=DMARC1; p=reject\"");
        answers(&w, "_dmarc.com", DNS_TXT, "nxdomain");
        assume(s, "spf", "fail");
        assume(s, "spf.domain", "example.com");
        if (doubts[i].dkim_domains) /* told that none passes: judged on that */
            assume(s, "dkim.domains", doubts[i].dkim_domains);
        check_start(s, CHECK_FROM, 0);
        check_start(s, CHECK_DKIM, 0);
        flow(s, message);
        ended(s);
        step(s, CHECK_FROM);
        world_run(&w, s, CHECK_DKIM, 0);
        world_run(&w, s, CHECK_DMARC, 0);
        expect_for(key, s, "dkim", "temperror");
        expect_for(key, s, "dmarc", doubts[i].dmarc);
        scope_unref(&s);
        world_close(&w);
    }
}
