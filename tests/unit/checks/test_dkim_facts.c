/*
 * Facts of DKIM and ARC through the flow of a message: taps, keys from the resolver, deadlines that count from the end of the
 * message, and whose word of a chain is used.
 */
#include "postern/checks/arc.h"
#include "postern/checks/content.h"
#include "signed.h"
#include "world.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* A key record as the world's table wants it: strings in quotes. NUL-terminated, in k's arena. */
static const char *quoted(struct keys *k, struct str record)
{
    struct buf out = {0};
    for (size_t at = 0; at < record.n; at += 200)
        buf_printf(&out, "\"%.*s\" ", STR_ARG(str_sub(record, at, at + 200)));
    const char *text = arena_cstr(&k->arena, str_trim(buf_view(&out)));
    buf_free(&out);
    return text;
}

struct scene {
    struct world w;
    struct keys k;
    struct scope *s;
    struct buf message;
};

static void scene_open(struct scene *e, const char *policy)
{
    world_open(&e->w, policy);
    keys_make(&e->k);
    e->k.now = WORLD_WALL;
    struct subject subject = {0};
    e->s = world_path(&e->w, STAGE_MAIL, world_helo(&e->w, world_connect(&e->w, "203.0.113.9"), "x"), "<a@example.com>");
    struct scope *mail = e->s;
    e->s = world_scope(&e->w, STAGE_DATA, mail, &subject);
    scope_unref(&mail);
}

static void scene_close(struct scene *e)
{
    scope_unref(&e->s);
    keys_free(&e->k);
    world_close(&e->w);
    buf_free(&e->message);
}

/* The message flows through the reader as the session would have it; takes ms of virtual time between the header and the end. */
static void flow(struct scene *e, uint64_t ms, bool ends)
{
    struct header_reader h;
    struct buf kept = {0};
    struct content numbers = {.size = e->message.n};
    struct str whole = buf_view(&e->message);

    header_begin(&h, 0, NULL, 0, content_taps(e->s));
    header_feed(&h, str_sub(whole, 0, whole.n - 3), &kept);
    loop_advance_to(e->w.loop, loop_now(e->w.loop) + ms);
    header_feed(&h, str_sub(whole, whole.n - 3, whole.n), &kept);
    header_end(&h, &kept);
    header_clear(&h);
    buf_free(&kept);
    if (ends)
        content_ended(e->s, &numbers);
}

Test(dkim_facts, pass)
{
    struct scene e = {0};
    scene_open(&e, "stage connect\n");
    answers(&e.w, "sel._domainkey.example.com", DNS_TXT, quoted(&e.k, buf_view(&e.k.rsa_record)));
    sign(&e.k, &e.message, &(struct sign_as){.domain = "Example.COM", .selector = "sel"}, STR("From: a@example.com\r\n"), STR("hello\r\n"));
    check_start(e.s, CHECK_DKIM, 0);
    flow(&e, 60000, true);
    cr_expect_eq(e.w.asked, 1, "the key came while the body flowed");
    cr_expect_eq(world_run(&e.w, e.s, CHECK_DKIM, 0), 0);
    expect(e.s, "dkim", "pass");
    expect(e.s, "dkim.domains", "example.com");
    expect(e.s, "dkim.signatures", "example.com/sel rsa-sha256 2048 pass");
    expect(e.s, "dkim.tail", "no");
    const struct dkim_result *r = dkim_result_of(e.s);
    cr_assert(r && r->count == 1);
    cr_expect(str_eq(r->signatures[0].identity, STR("@example.com")));
    scene_close(&e);
}

Test(dkim_facts, none_and_unread)
{
    struct scene e = {0};
    scene_open(&e, "stage connect\n");
    buf_cstr(&e.message, "From: a@example.com\r\n\r\nhello\r\n");
    check_start(e.s, CHECK_DKIM, 0);
    check_start(e.s, CHECK_ARC, 0);
    flow(&e, 0, true);
    world_run(&e.w, e.s, CHECK_DKIM, 0);
    world_run(&e.w, e.s, CHECK_ARC, 0);
    expect(e.s, "dkim", "none");
    expect(e.s, "dkim.domains", "");
    expect(e.s, "dkim.signatures", "");
    expect(e.s, "dkim.tail", "no");
    expect(e.s, "arc", "none");
    expect(e.s, "arc.sealers", "");
    expect(e.s, "arc.trusted", "no");
    expect(e.s, "arc.dmarc", "(absent)");
    scene_close(&e);

    struct scene missed = {0};
    scene_open(&missed, "stage connect\n");
    buf_cstr(&missed.message, "From: a@example.com\r\n\r\nhello\r\n");
    flow(&missed, 0, true);
    cr_expect_null(dkim_result_of(missed.s));
    world_run(&missed.w, missed.s, CHECK_DKIM, 0);
    world_run(&missed.w, missed.s, CHECK_ARC, 0);
    expect(missed.s, "dkim", "(error: the message was not read)");
    expect(missed.s, "arc.trusted", "(error: the message was not read)");
    scene_close(&missed);
}

/* A key that never comes: temperror after the deadline, which counts from the end of the message; another signature passes all
 * the same. */
Test(dkim_facts, deadline)
{
    for (int both = 0; both < 2; both++) {
        struct scene e = {0};
        scene_open(&e, "stage connect\n");
        answers(&e.w, "sel._domainkey.never.example", DNS_TXT, "never");
        answers(&e.w, "sel._domainkey.good.example", DNS_TXT, quoted(&e.k, buf_view(&e.k.rsa_record)));
        struct buf first = {0};
        sign(&e.k, &first, &(struct sign_as){.domain = "good.example", .selector = "sel"}, STR("From: a@example.com\r\n"), STR("hello\r\n"));
        struct str header = both ? str_sub(buf_view(&first), 0, first.n - 9) : STR("From: a@example.com\r\n");
        sign(&e.k, &e.message, &(struct sign_as){.domain = "never.example", .selector = "sel"}, header, STR("hello\r\n"));
        buf_free(&first);
        check_start(e.s, CHECK_DKIM, 0);
        flow(&e, 300000, true);
        cr_expect_eq(world_run(&e.w, e.s, CHECK_DKIM, 0), 20000);
        expect(e.s, "dkim", both ? "pass" : "temperror");
        expect(e.s, "dkim.domains", both ? "good.example" : "");
        expect(e.s, "dkim.signatures", both ? "good.example/sel rsa-sha256 2048 pass, never.example/sel rsa-sha256 0 temperror (no answer in time for the key)"
                                            : "never.example/sel rsa-sha256 0 temperror (no answer in time for the key)");
        scene_close(&e);
    }
}

/* DMARC reads what DKIM concludes at its deadline from the keys that came: it is never the one that is late first. */
Test(dkim_facts, dmarc_waits_for_dkim)
{
    struct scene e = {0};
    struct buf first = {0};
    scene_open(&e, "stage connect\n");
    answers(&e.w, "sel._domainkey.never.example", DNS_TXT, "never");
    answers(&e.w, "sel._domainkey.good.example", DNS_TXT, quoted(&e.k, buf_view(&e.k.rsa_record)));
    answers(&e.w, "_dmarc.good.example", DNS_TXT, "\"v=DMARC1; p=reject\"");
    answers(&e.w, "_dmarc.example", DNS_TXT, "nxdomain");
    answers(&e.w, "example.com", DNS_TXT, "nxdomain");
    struct str from = STR("From: a@good.example\r\n");
    sign(&e.k, &first, &(struct sign_as){.domain = "good.example", .selector = "sel"}, from, STR("hello\r\n"));
    struct str header = str_sub(buf_view(&first), 0, first.n - 9);
    sign(&e.k, &e.message, &(struct sign_as){.domain = "never.example", .selector = "sel"}, header, STR("hello\r\n"));
    buf_free(&first);
    static const enum check_id in_order[] = {CHECK_DMARC, CHECK_FROM, CHECK_DKIM};
    for (size_t i = 0; i < COUNT(in_order); i++)
        check_start(e.s, in_order[i], 0);
    flow(&e, 0, true);
    world_run(&e.w, scope_of(e.s, STAGE_MAIL), CHECK_SPF, 0);
    for (bool done = false; !done;) {
        done = true;
        for (size_t i = 0; i < 2 * COUNT(in_order); i++) /* twice: what one concludes another reads */
            done &= check_step(e.s, check_start(e.s, in_order[i % COUNT(in_order)], 0)) == CHECK_DONE || i < COUNT(in_order);
        if (!done) {
            timer_set(e.w.loop, &e.w.deadline, scope_deadline(e.s));
            cr_assert(loop_turn(e.w.loop, true));
        }
    }
    timer_cancel(e.w.loop, &e.w.deadline);
    expect(e.s, "dkim", "pass");
    expect(e.s, "dmarc", "pass");
    expect(e.s, "dmarc.aligned", "dkim");
    scene_close(&e);
}

/* --- whose word of a chain is used --- */

/* A chain of three by python3-dkim 1.1.4: a.example saw pass, b.example saw fail, c.example says nothing of dmarc. */
#include "chain.h"

static const struct { const char *list, *trusted, *dmarc, *spf, *dkim; } lists[] = {
    {"", "no", "(absent)", "(absent)", "(absent)"},
    {"list other domain { a.example, b.example, c.example }\n", "no", "(absent)", "(absent)", "(absent)"},
    {"list arc-trusted domain { a.example }\n", "no", "(absent)", "(absent)", "(absent)"},
    {"list arc-trusted domain { a.example, b.example }\n", "no", "(absent)", "(absent)", "(absent)"},
    {"list arc-trusted domain { c.example }\n", "yes", "(absent)", "none", "(absent)"},
    {"list arc-trusted domain { c.example, a.example }\n", "yes", "(absent)", "none", "(absent)"},
    {"list arc-trusted domain { c.example, b.example }\n", "yes", "fail", "fail", "fail"},
    {"list arc-trusted domain { a.example, b.example, c.example }\n", "yes", "pass", "pass", "pass"},
    {"list arc-trusted domain { .example }\n", "yes", "pass", "pass", "pass"},
};

Test(arc_facts, whose_word)
{
    for (size_t i = 0; i < COUNT(lists); i++) {
        struct scene e = {0};
        struct buf policy = {0};
        buf_printf(&policy, "%sstage connect\n", lists[i].list);
        buf_char(&policy, 0);
        scene_open(&e, policy.p);
        answers(&e.w, "arc._domainkey.a.example", DNS_TXT, "\"" CHAIN_KEY_1 "\" \"" CHAIN_KEY_2 "\"");
        answers(&e.w, "arc._domainkey.b.example", DNS_TXT, "\"" CHAIN_KEY_1 "\" \"" CHAIN_KEY_2 "\"");
        answers(&e.w, "arc._domainkey.c.example", DNS_TXT, "\"" CHAIN_KEY_1 "\" \"" CHAIN_KEY_2 "\"");
        buf_cstr(&e.message, CHAIN);
        check_start(e.s, CHECK_ARC, 0);
        flow(&e, 1000, true);
        cr_expect_eq(world_run(&e.w, e.s, CHECK_ARC, 0), 0);
        expect(e.s, "arc", "pass");
        expect(e.s, "arc.sealers", "a.example, b.example, c.example");
        expect_for(lists[i].list, e.s, "arc.trusted", lists[i].trusted);
        expect_for(lists[i].list, e.s, "arc.dmarc", lists[i].dmarc);
        expect_for(lists[i].list, e.s, "arc.spf", lists[i].spf);
        expect_for(lists[i].list, e.s, "arc.dkim", lists[i].dkim);
        cr_assert_not_null(arc_result_of(e.s));
        scene_close(&e);
        buf_free(&policy);
    }
}

/* A chain that is broken is nobody's word, whoever is listed. */
Test(arc_facts, broken)
{
    struct scene e = {0};
    scene_open(&e, "list arc-trusted domain { .example }\nstage connect\n");
    answers(&e.w, "arc._domainkey.a.example", DNS_TXT, "nxdomain");
    answers(&e.w, "arc._domainkey.b.example", DNS_TXT, "\"" CHAIN_KEY_1 "\" \"" CHAIN_KEY_2 "\"");
    answers(&e.w, "arc._domainkey.c.example", DNS_TXT, "\"" CHAIN_KEY_1 "\" \"" CHAIN_KEY_2 "\"");
    buf_cstr(&e.message, CHAIN);
    check_start(e.s, CHECK_ARC, 0);
    flow(&e, 0, true);
    world_run(&e.w, e.s, CHECK_ARC, 0);
    expect(e.s, "arc", "fail");
    expect(e.s, "arc.sealers", "");
    expect(e.s, "arc.trusted", "no");
    expect(e.s, "arc.dmarc", "(absent)");
    cr_expect(str_eq(arc_result_of(e.s)->reason, STR("seal 1: no key")));
    scene_close(&e);
}
