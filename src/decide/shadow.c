/*
 * shadow.c - the shadow policy's judgement of one transaction: its stages walked over the evidence that its scopes see, combined as those of
 * the applied policy are, and compared with what that one did.
 *
 * It is run again until nothing is lacking; what has been decided stays, since facts are written once. Each stage's turn came when the applied
 * policy had decided it or passed it over (shadow_settle); of stages whose turn never came nothing is said. An `accept` of the shadow's ends
 * the walking of its stages, whatever the applied policy went on to look at.
 *
 * Stage data is judged when some recipient that was accepted goes on here, too. It speaks for those that do, and of several classes for that of
 * the first: the others would have been told to come again. Class "accept" is not judged there.
 */
#include "postern/decide/shadow.h"

#include <string.h>

#include "decide_internal.h"

/* --- while the transaction lasts ------------------------------------------------------------------------------------------------ */

void shadow_open(struct scope *s, struct policy *shadow)
{
    decide_open(scope_shadow_new(s, shadow));
}

void shadow_settle(struct scope *s)
{
    struct scope *shadow = s->shadow;
    if (!shadow || shadow->beside->settled)
        return;
    shadow->beside->settled = true;
    decide_rates(shadow);
}

bool shadow_gather(struct scope *s)
{
    return !s->shadow || decide_gather(s->shadow);
}

/* --- one stage ------------------------------------------------------------------------------------------------------------------ */

struct judging { /* how far it has come; in the shadow's arena */
    const struct record *applied;
    struct shadow *out;
    struct stage_verdict *v;   /* out->record.verdicts; rcpt: of the recipient at hand */
    bool heard;                /* all recipients have been decided, and what follows is known: */
    struct outcome outcome, applied_outcome;
    struct str class;          /* of the message; empty: no recipient of it goes on */
    struct scope **recipients; /* those that do */
    size_t recipient_count;
};

static bool is_settled(const struct scope *shadow)
{
    return shadow && shadow->beside->settled;
}

static enum decide_result decide(struct scope *s, struct str id, struct stage_verdict v[STAGE_COUNT], const struct judging *g)
{
    struct decide_input in = {.score = ruling_score(v, (enum stage)s->stage), .negative = ruling_negative(v, (enum stage)s->stage), .id = id};
    if (s->stage == STAGE_DATA) {
        in.recipients = g->recipients;
        in.recipient_count = g->recipient_count;
    }
    v[s->stage].present = decide_stage(s, &in, &v[s->stage].walk) == DECIDE_DONE;
    return v[s->stage].present ? DECIDE_DONE : DECIDE_NOT_YET;
}

static enum decide_result judge_stage(struct judging *g, struct scope *s)
{
    struct str id = s->stage <= STAGE_HELO ? g->applied->session_id : g->applied->id;
    if (g->v[s->stage].present || decide(s, id, g->v, g) == DECIDE_DONE)
        return DECIDE_DONE;
    if (!g->out->undecided)
        g->out->undecided = stage_names[s->stage];
    return DECIDE_NOT_YET;
}

/* --- an earlier HELO name ------------------------------------------------------------------------------------------------------- */

struct scope *shadow_sticky(const struct scope *helo)
{
    return helo && helo->shadow ? helo->shadow->beside->earlier : NULL;
}

static bool refuses_now(struct scope *connect, struct scope *helo, struct str id)
{
    struct stage_verdict v[STAGE_COUNT] = {{.present = false}};
    if (!is_settled(connect) || !is_settled(helo) || decide(connect, id, v, NULL) == DECIDE_NOT_YET ||
        v[STAGE_CONNECT].walk.action == ACTION_ACCEPT)
        return false;
    return decide(helo, id, v, NULL) == DECIDE_DONE && v[STAGE_HELO].walk.action >= ACTION_REJECT;
}

void shadow_rename(struct scope *before, struct scope *now, struct str id)
{
    if (!before->shadow || !now->shadow)
        return;
    struct scope *earlier = shadow_sticky(before);
    if (!earlier && refuses_now(before->shadow->parent, before->shadow, id))
        earlier = before;
    now->shadow->beside->earlier = earlier ? scope_ref(earlier) : NULL;
}

/* --- the whole ------------------------------------------------------------------------------------------------------------------ */

/* Connect, helo, mail. */
static enum decide_result judge_before(struct judging *g)
{
    struct record *r = &g->out->record;
    for (enum stage stage = STAGE_CONNECT; stage <= STAGE_MAIL; stage++) {
        struct scope *s = stage == STAGE_HELO && r->sticky_helo ? r->sticky_scope : r->scopes[stage];
        if (!is_settled(s) || ruling_of(g->v, stage).action == ACTION_ACCEPT)
            continue;
        if (judge_stage(g, s) == DECIDE_NOT_YET)
            return DECIDE_NOT_YET;
    }
    return DECIDE_DONE;
}

enum fate { GOES_ON, REFUSED, DEFERRED };

static enum fate fate_of(enum action action)
{
    return action == ACTION_REJECT ? REFUSED : action == ACTION_TEMPFAIL ? DEFERRED : GOES_ON;
}

static void differs(struct judging *g, struct str phrase)
{
    g->out->differs = true;
    g->out->difference = phrase;
}

static struct ruling applied_ruling(const struct record *applied, const struct record_recipient *r, struct stage_verdict v[STAGE_COUNT])
{
    memcpy(v, applied->verdicts, sizeof applied->verdicts);
    v[STAGE_RCPT] = r->verdict;
    return ruling_of(v, STAGE_RCPT);
}

/* The message is for it, if the first's class is its own. */
static void goes_on(struct judging *g, struct scope *s, struct str class)
{
    if (g->recipient_count > 0 && !str_eq(class, g->class))
        return;
    g->class = class;
    g->recipients[g->recipient_count++] = s;
}

static bool passes_rcpt(const struct judging *g)
{
    return ruling_of(g->v, STAGE_MAIL).skip_rest;
}

/* Stage rcpt of one; behind an accept there is nothing to decide. */
static enum decide_result judge_recipient(struct judging *g, struct record_recipient *to)
{
    g->v[STAGE_RCPT] = to->verdict;
    enum decide_result result = !to->scope || passes_rcpt(g) ? DECIDE_DONE : judge_stage(g, to->scope);
    to->verdict = g->v[STAGE_RCPT];
    g->v[STAGE_RCPT].present = false;
    return result;
}

/* What a recipient that has been decided makes of the whole. */
static void hear_recipient(struct judging *g, const struct record_recipient *was, const struct record_recipient *to)
{
    struct shadow *out = g->out;
    struct stage_verdict v[STAGE_COUNT];
    struct ruling then = applied_ruling(g->applied, was, v);
    if (was->scope)
        outcome_recipient(&g->applied_outcome, g->applied->policy, &then, &out->arena);
    if (!to->scope)
        return;
    g->v[STAGE_RCPT] = to->verdict;
    struct ruling ruling = ruling_of(g->v, STAGE_RCPT);
    struct str class = to->verdict.walk.class;
    outcome_recipient(&g->outcome, out->record.policy, &ruling, &out->arena);
    if (!out->differs && fate_of(then.action) != fate_of(ruling.action))
        differs(g, ruling_summary(out->record.policy, &ruling, &out->arena));
    if (was->accepted && ruling.action < ACTION_REJECT)
        goes_on(g, to->scope, ruling.action == ACTION_ACCEPT ? STR("accept") : class.n ? class : STR("normal"));
    g->v[STAGE_RCPT].present = false;
}

static enum decide_result judge_recipients(struct judging *g)
{
    enum decide_result result = DECIDE_DONE;
    if (g->heard)
        return result;
    for (struct record_recipient *to = g->out->record.recipients; to; to = to->next)
        if (judge_recipient(g, to) == DECIDE_NOT_YET) /* the next ones may ask meanwhile */
            result = DECIDE_NOT_YET;
    if (result == DECIDE_NOT_YET)
        return result;
    const struct record_recipient *was = g->applied->recipients;
    for (const struct record_recipient *to = g->out->record.recipients; to; to = to->next, was = was->next)
        hear_recipient(g, was, to);
    g->heard = true;
    return result;
}

static enum decide_result judge_data(struct judging *g)
{
    struct scope *s = g->out->record.scopes[STAGE_DATA];
    if (!is_settled(s) || g->recipient_count == 0)
        return DECIDE_DONE;
    if (!facts_has(&s->facts, FACT_CLASS))
        facts_set_text(&s->facts, FACT_CLASS, g->class);
    return str_eq(g->class, STR("accept")) ? DECIDE_DONE : judge_stage(g, s);
}

static void add_recipients(struct judging *g)
{
    struct record_recipient **last = &g->out->record.recipients;
    size_t count = 0;
    for (const struct record_recipient *was = g->applied->recipients; was; was = was->next, count++) {
        struct record_recipient *to = arena_zalloc(&g->out->arena, sizeof *to);
        to->address = was->address;
        to->scope = was->scope && is_settled(was->scope->shadow) ? was->scope->shadow : NULL;
        *last = to;
        last = &to->next;
    }
    g->recipients = arena_alloc(&g->out->arena, (count + 1) * sizeof *g->recipients);
}

/* The record of the same transaction under the shadow, nothing judged yet. */
static struct judging *begin(const struct record *applied, struct shadow *out)
{
    struct record *r = &out->record;
    struct judging *g = arena_zalloc(&out->arena, sizeof *g);
    *g = (struct judging){.applied = applied, .out = out, .v = r->verdicts};
    *r = (struct record){.id = applied->id, .session_id = applied->session_id, .negative_limit = applied->negative_limit, .help = applied->help,
                         .policy = applied->scopes[STAGE_CONNECT]->shadow->policy};
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        r->scopes[stage] = applied->scopes[stage] ? applied->scopes[stage]->shadow : NULL;
    struct scope *earlier = shadow_sticky(applied->scopes[STAGE_HELO]);
    r->sticky_helo = earlier != NULL;
    r->sticky_scope = earlier ? earlier->shadow : NULL;
    add_recipients(g);
    return g;
}

static bool has_judged(const struct shadow *s)
{
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        if (s->record.verdicts[stage].present)
            return true;
    return false;
}

enum decide_result shadow_judge(const struct record *applied, struct shadow *out)
{
    if (!out->judging)
        out->judging = begin(applied, out);
    struct judging *g = out->judging;
    out->undecided = NULL;
    if (judge_before(g) == DECIDE_NOT_YET || judge_recipients(g) == DECIDE_NOT_YET || judge_data(g) == DECIDE_NOT_YET)
        return DECIDE_NOT_YET;
    if (out->verdict.p)
        return DECIDE_DONE;
    out->judged = has_judged(out);
    out->verdict = outcome_summary(&g->outcome, out->record.policy, g->v, &out->arena);
    bool same = fate_of(outcome_action(&g->applied_outcome, applied->verdicts)) == fate_of(outcome_action(&g->outcome, g->v));
    if (out->judged && !out->differs && !same)
        differs(g, out->verdict);
    return DECIDE_DONE;
}

void shadow_clear(struct shadow *s)
{
    arena_clear(&s->arena);
    *s = (struct shadow){.judged = false};
}
