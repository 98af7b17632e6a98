/*
 * Messages and records made to cost: what they may cause is counted, in questions to DNS and in octets of header hashed, and the
 * wait for answers that never come ends with the deadline.
 */
#include "postern/checks/arc.h"
#include "postern/checks/content.h"
#include "postern/checks/dkim.h"
#include "signed.h"
#include "world.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))
enum { FILLERS = 2000, SIGNATURES = 200, TRIED = 8 };

static const enum check_id content_checks[] = {CHECK_FROM, CHECK_DKIM, CHECK_ARC, CHECK_DMARC};
#define EMPTY_HASH "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" /* of an empty body, relaxed */

static void put_signatures(struct buf *out, int count, const char *h)
{
    for (int i = 0; i < count; i++)
        buf_printf(out, "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=d%d.example; s=s; h=%s; bh=" EMPTY_HASH "; b=AAAA\r\n", i, h);
}

static void put_chain(struct buf *out, int count, const char *h)
{
    for (int i = count; i > 0; i--)
        buf_printf(out, "ARC-Seal: i=%d; a=rsa-sha256; cv=%s; d=a%d.example; s=s; b=AAAA\r\n"
                        "ARC-Message-Signature: i=%d; a=rsa-sha256; c=relaxed/relaxed; d=a%d.example; s=s; h=%s; bh=" EMPTY_HASH "; b=AAAA\r\n"
                        "ARC-Authentication-Results: i=%d; mx; dmarc=pass\r\n",
                   i, i == 1 ? "none" : "pass", i, i, i, h, i);
}

static void put_fillers(struct buf *out)
{
    for (int i = 0; i < FILLERS; i++)
        buf_cstr(out, "X-Filler: 12345678901234567890123456789012345678901234567890\r\n");
}

static struct scope *content_scope(struct world *w)
{
    struct subject subject = {0};
    struct scope *mail = world_path(w, STAGE_MAIL, world_helo(w, world_connect(w, "203.0.113.9"), "x"), "<>");
    struct scope *s = world_scope(w, STAGE_DATA, mail, &subject);
    scope_unref(&mail);
    return s;
}

/* The message flows in, and all content checks run to their ends; the milliseconds that it took. */
static uint64_t judge(struct world *w, struct scope *s, struct buf *message)
{
    struct header_reader h;
    struct buf kept = {0};
    struct content numbers = {.size = message->n};
    uint64_t start = loop_now(w->loop);

    for (size_t i = 0; i < COUNT(content_checks); i++)
        check_start(s, content_checks[i], 0);
    header_begin(&h, 0, NULL, 0, content_taps(s));
    header_feed(&h, buf_view(message), &kept);
    header_end(&h, &kept);
    header_clear(&h);
    buf_free(&kept), buf_free(message);
    content_ended(s, &numbers);
    world_run(w, scope_of(s, STAGE_MAIL), CHECK_SPF, 0);
    for (bool done = false; !done;) {
        done = true;
        for (size_t i = 0; i < 2 * COUNT(content_checks); i++) /* twice: what one concludes another reads */
            done &= check_step(s, check_start(s, content_checks[i % COUNT(content_checks)], 0)) == CHECK_DONE || i < COUNT(content_checks);
        if (!done) {
            timer_set(w->loop, &w->deadline, scope_deadline(s));
            cr_assert(loop_turn(w->loop, true));
        }
    }
    timer_cancel(w->loop, &w->deadline);
    return loop_now(w->loop) - start;
}

/* Texts for answers() live as long as this. */
static struct arena texts;

static void all_answer(struct world *w, int signatures, int sealers, const char *author_walk, const char *what)
{
    for (int i = 0; i < signatures; i++)
        answers(w, arena_printf(&texts, "s._domainkey.d%d.example", i).p, DNS_TXT, what);
    for (int i = 1; i <= sealers; i++)
        answers(w, arena_printf(&texts, "s._domainkey.a%d.example", i).p, DNS_TXT, what);
    for (const char *name = author_walk; name; name = strchr(name, '.') ? strchr(name, '.') + 1 : NULL)
        answers(w, arena_printf(&texts, "_dmarc.%s", name).p, DNS_TXT, what);
}

/* 2,000 fields, 200 signatures, 50 sealers, an author of eight labels, and DNS that never answers: one question for each key that
 * is tried and each name of the walk, nothing is asked again, and all is over by the last deadline. */
Test(hostile_messages, nobody_ever_answers)
{
    struct world w;
    world_open(&w, "stage connect\n");
    all_answer(&w, TRIED, ARC_SETS_MAX, "a.b.c.d.e.f.g.example", "never");
    struct scope *s = content_scope(&w);
    struct buf message = {0};
    put_signatures(&message, SIGNATURES, "from:x-filler");
    put_chain(&message, ARC_SETS_MAX, "from:x-filler");
    put_fillers(&message);
    buf_cstr(&message, "From: a@a.b.c.d.e.f.g.example\r\n\r\n");
    cr_expect_eq(judge(&w, s, &message), 20001); /* DMARC concludes behind DKIM */
    cr_expect_eq(w.asked, TRIED + ARC_SETS_MAX + 8);
    expect(s, "dkim", "temperror");
    expect(s, "arc", "temperror");
    expect(s, "dmarc", "temperror");
    expect(s, "dmarc.policy", "(absent)");
    const struct dkim_result *dkim = dkim_result_of(s);
    cr_assert(dkim && dkim->count == DKIM_SIGNATURES_KEPT && dkim->untold == SIGNATURES - DKIM_SIGNATURES_KEPT);
    for (size_t i = 0; i < dkim->count; i++)
        cr_expect_eq(dkim->signatures[i].verdict, i < TRIED ? DKIM_TEMPERROR : DKIM_NEUTRAL);
    scope_unref(&s);
    world_close(&w);
    arena_clear(&texts);
}

/* Each signature names each of 2,000 fields, or one field 1,000 times, and so does each message signature of a chain: of a chain
 * the newest is hashed and no other; what is hashed over all is within its budget. */
Test(hostile_messages, signatures_over_everything)
{
    struct buf names = {0};
    buf_cstr(&names, "from");
    for (int i = 0; i < DKIM_NAMES_MAX - 1; i++)
        buf_cstr(&names, ":x-filler");
    buf_char(&names, 0);
    for (int sets = 0; sets <= ARC_SETS_MAX; sets += ARC_SETS_MAX / 2) {
        struct world w;
        world_open(&w, "stage connect\n");
        all_answer(&w, TRIED, sets, "author.example", "nxdomain");
        struct scope *s = content_scope(&w);
        struct buf message = {0};
        put_signatures(&message, SIGNATURES, names.p);
        put_chain(&message, sets, names.p);
        size_t chain = message.n;
        put_fillers(&message);
        buf_cstr(&message, "From: a@author.example\r\n\r\n");
        judge(&w, s, &message);
        const struct dkim_result *dkim = dkim_result_of(s);
        const struct arc_result *arc = arc_result_of(s);
        cr_assert(dkim && arc);
        cr_expect_leq(dkim->work, 2 * (uint64_t)DKIM_WORK_MAX);
        cr_expect_leq(dkim->octets, DKIM_OCTETS_MAX);
        cr_expect_leq(arc->octets, DKIM_OCTETS_MAX + 2 * chain);
        cr_expect_eq(w.asked, TRIED + sets + 2);
        expect(s, "dkim", "permerror");
        expect(s, "arc", sets ? "fail" : "none");
        expect(s, "dmarc", "none");
        scope_unref(&s);
        world_close(&w);
    }
    buf_free(&names);
    arena_clear(&texts);
}

/* A header of tiny fields: up to a number of them they are held to be verified; one more, and nothing is, nor are keys asked for. */
Test(hostile_messages, fields_without_number)
{
    enum { OTHERS = 5 };
    for (int more = 0; more <= 1; more++) {
        struct world w;
        struct buf message = {0};
        world_open(&w, "stage connect\n");
        all_answer(&w, 1, 1, "author.example", "nxdomain");
        struct scope *s = content_scope(&w);
        put_signatures(&message, 1, "from");
        put_chain(&message, 1, "from");
        buf_cstr(&message, "From: a@author.example\r\n");
        for (int i = OTHERS; i < 10000 + more; i++)
            buf_cstr(&message, "A:\r\n");
        buf_cstr(&message, "\r\n");
        judge(&w, s, &message);
        cr_expect_eq(w.asked, more ? 2 : 4);
        expect(s, "dkim", more ? "policy" : "permerror");
        expect(s, "arc", "fail");
        expect(s, "dmarc", "none");
        const struct arc_result *arc = arc_result_of(s);
        cr_assert(arc);
        cr_expect_eq(str_eq(arc->reason, STR("too many header fields")), more == 1, "%.*s", STR_ARG(arc->reason));
        scope_unref(&s);
        world_close(&w);
    }
    arena_clear(&texts);
}

/* Key and policy records of 8 KB and more. */
static const struct { const char *begin, *repeated; int times; const char *dkim, *dmarc; } records[] = {
    {"v=DKIM1; p=", "AAAA", 2048, "permerror", "none"},
    {"v=DKIM1; ", "x=; ", 2048, "permerror", "none"},
    {"v=DKIM1; p=", " ", 8192, "permerror", "none"},
    {"", ";", 8192, "permerror", "none"},
    {"v=DMARC1; p=reject", "; x=y", 1640, "permerror", "fail"},
    {"v=DMARC1; p=reject", "; p=none", 1024, "permerror", "fail"},
    {"v=DMARC1; p=reject; rua=", "mailto:a@b.example,", 430, "permerror", "fail"},
    {"v=DMARC1; p=nothing; rua=", ",", 8192, "permerror", "none"},
    {"v=DMARC1", " ", 8192, "permerror", "none"},
};

Test(hostile_messages, records_of_8_kb)
{
    for (size_t i = 0; i < COUNT(records); i++) {
        struct world w;
        struct buf text = {0}, quoted = {0}, message = {0};
        buf_cstr(&text, records[i].begin);
        for (int n = 0; n < records[i].times; n++)
            buf_cstr(&text, records[i].repeated);
        cr_assert_geq(text.n, 8192);
        for (size_t at = 0; at < text.n; at += 250)
            buf_printf(&quoted, "\"%.*s\" ", STR_ARG(str_sub(buf_view(&text), at, at + 250)));
        const char *answer = arena_cstr(&texts, str_trim(buf_view(&quoted)));
        world_open(&w, "stage connect\n");
        all_answer(&w, 1, 1, "author.example", answer);
        answers(&w, "_dmarc.example", DNS_TXT, "nxdomain");
        struct scope *s = content_scope(&w);
        put_signatures(&message, 1, "from");
        put_chain(&message, 1, "from");
        buf_cstr(&message, "From: a@author.example\r\n\r\n");
        judge(&w, s, &message);
        cr_expect_eq(w.asked, 4);
        expect_for(records[i].begin, s, "dkim", records[i].dkim);
        expect_for(records[i].begin, s, "arc", "fail");
        expect_for(records[i].begin, s, "dmarc", records[i].dmarc);
        scope_unref(&s);
        world_close(&w);
        buf_free(&text), buf_free(&quoted);
    }
    arena_clear(&texts);
}
