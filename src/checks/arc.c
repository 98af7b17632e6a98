/*
 * arc.c - arc, arc.sealers, arc.trusted and arc.dmarc, arc.spf, arc.dkim: the message's way as its sealers vouch for it (RFC
 * 8617).
 *
 * Who seals is asked for in the policy's list `arc-trusted`. From the outermost sealer inward as long as they are listed, the
 * last one's word is used: it saw the message nearest to its origin, and everybody after it is trusted to have passed it on.
 * So one sealer that is not listed ends the trust in all that it claims to have seen before; and is the outermost one not
 * listed, nobody's word counts: arc.dmarc and the like are absent.
 */
#include "postern/checks/arc.h"
#include "content_taps.h"
#include "internal.h"

struct arc_tap {
    struct mail_tap tap;
    struct scope *scope;
    struct arc_verifier *verifier;
    bool header_ended;
    struct arc_result *result; /* in the scope's arena; NULL: not yet */
};

static const struct dns_answer *ask(void *context, struct str name, unsigned type)
{
    return scope_dns(context, name, type);
}

static void see_field(struct mail_tap *t, struct str field)
{
    arc_verifier_field(((struct arc_tap *)t)->verifier, field);
}

static void see_end(struct mail_tap *t)
{
    struct arc_tap *a = (struct arc_tap *)t;

    a->header_ended = true;
    arc_verifier_end_of_header(a->verifier);
    arc_verifier_ask(a->verifier, ask, a->scope);
}

static void see_body(struct mail_tap *t, struct str octets)
{
    arc_verifier_body(((struct arc_tap *)t)->verifier, octets);
}

struct mail_tap *arc_tap_new(struct scope *s)
{
    struct arc_tap *a = arena_zalloc(&s->arena, sizeof *a);

    *a = (struct arc_tap){
        .tap = {.field = see_field, .end_of_header = see_end, .body = see_body},
        .scope = s,
        .verifier = arc_verifier_new(loop_wall(s->world->loop) / 1000),
    };
    return &a->tap;
}

void arc_tap_end(struct mail_tap *t)
{
    arc_verifier_free(&((struct arc_tap *)t)->verifier);
}

const struct arc_result *arc_result_of(const struct scope *data_scope)
{
    struct mail_tap *tap;

    return content_tap_of(data_scope, CHECK_ARC, &tap) == CONTENT_TAPPED ? ((const struct arc_tap *)tap)->result : NULL;
}

/* The sealer whose word is used; NULL: nobody's is. Nor is it when From could have been anything. */
static const struct arc_hop *trusted_hop(const struct scope *s, const struct arc_result *r)
{
    const struct arc_hop *trusted = NULL;

    if (!r->from_signed)
        return NULL;
    for (size_t i = r->count; i-- > 0 && policy_list_has(s->policy, STR("arc-trusted"), r->hops[i].sealer);)
        trusted = &r->hops[i];
    return trusted;
}

static void set_word(struct scope *s, int fact, struct str word)
{
    if (word.n)
        facts_set_text(&s->facts, fact, word);
    else
        facts_set_absent(&s->facts, fact);
}

static enum check_result set_facts(struct scope *s, const struct arc_result *r)
{
    struct str *sealers = arena_alloc(&s->arena, (r->count + 1) * sizeof *sealers);
    const struct arc_hop *trusted = trusted_hop(s, r);
    struct arc_says says = trusted ? trusted->says : (struct arc_says){0};

    for (size_t i = 0; i < r->count; i++)
        sealers[i] = r->hops[i].sealer;
    scope_note(s, FACT_ARC, r->reason);
    facts_set_text(&s->facts, FACT_ARC, str_of(arc_verdict_names[r->verdict]));
    facts_set_names(&s->facts, FACT_ARC_SEALERS, sealers, r->count);
    facts_set_bool(&s->facts, FACT_ARC_TRUSTED, trusted != NULL);
    set_word(s, FACT_ARC_DMARC, says.dmarc);
    set_word(s, FACT_ARC_SPF, says.spf);
    set_word(s, FACT_ARC_DKIM, says.dkim);
    return CHECK_DONE;
}

static enum check_result not_read(struct scope *s)
{
    static const int made[] = {FACT_ARC, FACT_ARC_SEALERS, FACT_ARC_TRUSTED, FACT_ARC_DMARC, FACT_ARC_SPF, FACT_ARC_DKIM};

    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        facts_set_error(&s->facts, made[i], STR("the message was not read"));
    return CHECK_DONE;
}

enum check_result check_arc(struct scope *s, const struct check_run *run)
{
    struct mail_tap *tap;
    enum content_flow flow = content_tap_of(s, CHECK_ARC, &tap);
    struct arc_tap *a = (struct arc_tap *)tap;

    if (flow == CONTENT_MISSED)
        return not_read(s);
    if (flow == CONTENT_TO_COME)
        return CHECK_NOT_YET;
    if (a->header_ended)
        arc_verifier_ask(a->verifier, ask, s);
    if (!content_has_ended(s))
        return CHECK_NOT_YET;
    arc_verifier_end_of_header(a->verifier);
    struct arc_result *result = arena_alloc(&s->arena, sizeof *result);
    if (!arc_verifier_finish(a->verifier, ask, s, check_is_late(s, run), &s->arena, result))
        return CHECK_NOT_YET;
    a->result = result;
    return set_facts(s, result);
}
