/*
 * dkim.c - dkim, dkim.domains, dkim.signatures, dkim.tail: which domains answer for this message (RFC 6376).
 *
 * The tap feeds the verifier and asks for the keys as soon as the header has ended, so that they come while the body flows. The
 * check waits for the end of the message and for the keys. At its deadline what has no key is temperror, the rest counts.
 */
#include "content_taps.h"
#include "internal.h"
#include "postern/checks/dkim.h"

struct dkim_tap {
    struct mail_tap tap;
    struct scope *scope;
    struct dkim_verifier *verifier;
    bool header_ended;
    struct dkim_result *result; /* in the scope's arena; NULL: not yet */
};

static const struct dns_answer *ask(void *context, struct str name, unsigned type)
{
    return scope_dns(context, name, type);
}

static void see_field(struct mail_tap *t, struct str field)
{
    dkim_verifier_field(((struct dkim_tap *)t)->verifier, field);
}

static void see_end(struct mail_tap *t)
{
    struct dkim_tap *d = (struct dkim_tap *)t;

    d->header_ended = true;
    dkim_verifier_end_of_header(d->verifier);
    dkim_verifier_ask(d->verifier, ask, d->scope);
}

static void see_body(struct mail_tap *t, struct str octets)
{
    dkim_verifier_body(((struct dkim_tap *)t)->verifier, octets);
}

struct mail_tap *dkim_tap_new(struct scope *s)
{
    struct dkim_tap *d = arena_zalloc(&s->arena, sizeof *d);

    *d = (struct dkim_tap){
        .tap = {.field = see_field, .end_of_header = see_end, .body = see_body},
        .scope = s,
        .verifier = dkim_verifier_new(s->world->settings->dkim_signatures, loop_wall(s->world->loop) / 1000),
    };
    return &d->tap;
}

void dkim_tap_end(struct mail_tap *t)
{
    dkim_verifier_free(&((struct dkim_tap *)t)->verifier);
}

const struct dkim_result *dkim_result_of(const struct scope *data_scope)
{
    struct mail_tap *tap;

    if (content_tap_of(data_scope, CHECK_DKIM, &tap) == CONTENT_TAPPED)
        return ((const struct dkim_tap *)tap)->result;
    return data_scope->beside ? dkim_result_of(data_scope->beside->applied) : NULL;
}

static enum check_result set_facts(struct scope *s, const struct dkim_result *r)
{
    struct str *domains = arena_alloc(&s->arena, (r->count + 1) * sizeof *domains);
    struct str *texts = arena_alloc(&s->arena, (r->count + 1) * sizeof *texts);
    size_t passing = 0, told = 0;

    for (size_t i = 0; i < r->count; i++) {
        texts[told++] = dkim_signature_text(&r->signatures[i], &s->arena);
        if (r->signatures[i].verdict == DKIM_PASS)
            domains[passing++] = r->signatures[i].domain;
    }
    if (r->untold)
        texts[told++] = arena_printf(&s->arena, "%zu more not tried", r->untold);
    facts_set_text(&s->facts, FACT_DKIM, str_of(dkim_verdict_names[r->verdict]));
    facts_set_names(&s->facts, FACT_DKIM_DOMAINS, domains, passing);
    facts_set_names(&s->facts, FACT_DKIM_SIGNATURES, texts, told);
    facts_set_bool(&s->facts, FACT_DKIM_TAIL, r->tail);
    return CHECK_DONE;
}

static enum check_result not_read(struct scope *s)
{
    static const int made[] = {FACT_DKIM, FACT_DKIM_DOMAINS, FACT_DKIM_SIGNATURES, FACT_DKIM_TAIL};

    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        facts_set_error(&s->facts, made[i], STR("the message was not read"));
    return CHECK_DONE;
}

enum check_result check_dkim(struct scope *s, const struct check_run *run)
{
    struct mail_tap *tap;
    enum content_flow flow = content_tap_of(s, CHECK_DKIM, &tap);
    struct dkim_tap *d = (struct dkim_tap *)tap;

    if (flow == CONTENT_MISSED)
        return not_read(s);
    if (flow == CONTENT_TO_COME)
        return CHECK_NOT_YET;
    if (d->header_ended)
        dkim_verifier_ask(d->verifier, ask, s);
    if (!content_has_ended(s))
        return CHECK_NOT_YET;
    dkim_verifier_end_of_header(d->verifier);
    struct dkim_result *result = arena_alloc(&s->arena, sizeof *result);
    if (!dkim_verifier_finish(d->verifier, ask, s, check_is_late(s, run), &s->arena, result))
        return CHECK_NOT_YET;
    d->result = result;
    return set_facts(s, result);
}
