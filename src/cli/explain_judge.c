/*
 * explain_judge.c - what the policy makes of the evidence, stage by stage, as a session would ask it; and what no policy can lift.
 */
#include "explain.h"


static struct decide_input input_of(const struct explain *e, enum stage stage)
{
    return (struct decide_input){.score = ruling_score(e->verdicts, stage), .negative = ruling_negative(e->verdicts, stage),
                                 .with_monitor = true, .with_trace = true};
}

static void conclude(const struct explain *e, const struct ruling *ruling, struct conclusion *c)
{
    *c = (struct conclusion){.action = ruling->action, .stage = ruling->stage};
    if (ruling->action == ACTION_NONE)
        return;
    c->by_rule = ruling->walk->rule >= 0;
    if (c->by_rule)
        c->rule = policy_rule(e->policy, ruling->stage, (size_t)ruling->walk->rule).name;
    if (ruling->action == ACTION_ACCEPT)
        return;
    c->code = ruling->walk->code;
    c->enhanced = ruling->walk->enhanced;
    c->text = ruling->walk->text;
}

static void refuse(struct explain *e, struct conclusion *c, enum stage stage, enum reply_id id)
{
    char enhanced[16];
    struct reply r = reply_make(&e->arena, id, STR_NONE);
    *c = (struct conclusion){.action = r.code / 100 == 4 ? ACTION_TEMPFAIL : ACTION_REJECT, .stage = stage, .built_in = true, .code = r.code};
    c->enhanced = arena_str(&e->arena, str_of(enhanced_format(r.enhanced, enhanced)));
    c->text = r.text;
}

/* ---- connect, helo, mail ---- */

static void note_accept(struct explain *e, enum stage stage, const struct walk *walk)
{
    if (walk->action != ACTION_ACCEPT || e->accepted_by.p)
        return;
    struct str rule = policy_rule(e->policy, stage, (size_t)walk->rule).name;
    e->accepted_by = arena_printf(&e->arena, "%.*s in stage %s", STR_ARG(rule), stage_names[stage]);
}

static void judge_stage(struct explain *e, enum stage stage, const struct decide_input *in)
{
    struct stage_verdict *v = &e->verdicts[stage];
    explain_stage(e, e->scopes[stage], in, &v->walk);
    v->present = true;
    note_accept(e, stage, &v->walk);
}

/* ---- recipients ---- */

/* Never an open relay: what the session refuses before any rule is asked (DESIGN section 3). True: refused. */
static bool refused_relay(struct explain *e, struct explain_recipient *r)
{
    const struct path *path = &r->path;
    for (size_t i = 0; i < path->local_plain.n; i++) {
        char c = path->local_plain.p[i];
        if (c == '%' || c == '!' || c == '@') {
            refuse(e, &r->conclusion, STAGE_RCPT, REPLY_PERCENT_HACK);
            return true;
        }
    }
    bool ours = path->domain.n == 0 || settings_domain_is_ours(&e->settings, path->domain);
    bool may_relay = e->settings.relay_from && prefix_set_has(e->settings.relay_from, &e->subjects[STAGE_CONNECT].client.addr);
    if (!e->options.config || ours || may_relay)
        return false;
    refuse(e, &r->conclusion, STAGE_RCPT, path->source_route ? REPLY_SOURCE_ROUTE : REPLY_RELAY_DENIED);
    return true;
}

static void judge_recipient(struct explain *e, struct explain_recipient *r)
{
    struct stage_verdict v[STAGE_COUNT];
    for (enum stage stage = 0; stage < STAGE_COUNT; stage++)
        v[stage] = e->verdicts[stage];
    int64_t score = ruling_score(v, STAGE_RCPT);
    struct ruling ruling = ruling_of(v, STAGE_MAIL);
    bool relay = refused_relay(e, r);
    r->class = STR("accept");
    if (!ruling.skip_rest && !relay) {
        struct decide_input in = input_of(e, STAGE_RCPT);
        explain_stage(e, r->scope, &in, &r->verdict.walk);
        r->verdict.present = true;
        v[STAGE_RCPT] = r->verdict;
        ruling = ruling_of(v, STAGE_RCPT);
        struct str class = r->verdict.walk.class;
        r->class = ruling.action == ACTION_ACCEPT ? STR("accept") : class.n > 0 ? class : STR("normal");
        score += r->verdict.walk.score;
    }
    if (!relay)
        conclude(e, &ruling, &r->conclusion);
    r->conclusion.score = score;
    r->mail_goes_on = r->conclusion.action < ACTION_REJECT;
}

/* One class a message, one recipient for the null sender: the others are asked to come again. */
static void judge_classes(struct explain *e)
{
    const struct explain_recipient *first = NULL;
    for (size_t i = 0; i < e->recipient_count; i++) {
        struct explain_recipient *r = &e->recipients[i];
        if (!r->mail_goes_on)
            continue;
        if (!first) {
            first = r;
            continue;
        }
        bool null_sender = e->given[STAGE_MAIL] && e->subjects[STAGE_MAIL].sender.null;
        if (!null_sender && str_eq(r->class, first->class))
            continue;
        int64_t score = r->conclusion.score;
        refuse(e, &r->conclusion, STAGE_RCPT, null_sender ? REPLY_NULL_SENDER_RECIPIENTS : REPLY_OTHER_CLASS);
        r->conclusion.score = score;
        r->mail_goes_on = false;
    }
}

/* ---- the message ---- */

static const struct explain_recipient *first_that_goes_on(const struct explain *e)
{
    for (size_t i = 0; i < e->recipient_count; i++) {
        if (e->recipients[i].mail_goes_on)
            return &e->recipients[i];
    }
    return NULL;
}

/* Limits that no rule lifts. True: refused. */
static bool refused_content(struct explain *e)
{
    const struct settings *s = &e->settings;
    const struct content *c = &e->subjects[STAGE_DATA].content;
    enum reply_id id = REPLY_COUNT;
    if (e->nul_byte)
        id = REPLY_NUL_BYTE;
    else if (s->message_size > 0 && c->size > s->message_size)
        id = REPLY_SIZE_COUNTED;
    else if (s->bare_newline == BARE_NEWLINE_REFUSE && c->bare_newline)
        id = REPLY_BARE_NEWLINE;
    else if (c->received > s->received_limit)
        id = REPLY_LOOP;
    if (id != REPLY_COUNT)
        refuse(e, &e->conclusion, STAGE_DATA, id);
    return id != REPLY_COUNT;
}

static void judge_data(struct explain *e, const struct explain_recipient *first)
{
    struct scope *recipients[EXPLAIN_MANY];
    struct decide_input in = input_of(e, STAGE_DATA);
    struct scope *s = e->scopes[STAGE_DATA];
    in.recipients = recipients;
    for (size_t i = 0; i < e->recipient_count; i++) {
        if (e->recipients[i].mail_goes_on)
            recipients[in.recipient_count++] = e->recipients[i].scope;
    }
    if (!facts_has(&s->facts, FACT_CLASS))
        facts_set_text(&s->facts, FACT_CLASS, first ? first->class : STR("normal"));
    judge_stage(e, STAGE_DATA, &in);
}

static void conclude_message(struct explain *e, const struct explain_recipient *first)
{
    if (e->recipient_count > 0 && !first) { /* all refused: the first of them speaks */
        e->conclusion = e->recipients[0].conclusion;
        return;
    }
    struct stage_verdict v[STAGE_COUNT] = {0};
    v[STAGE_DATA] = e->verdicts[STAGE_DATA];
    for (enum stage stage = 0; stage < STAGE_RCPT && !first; stage++) /* refusals of these stages were lifted for who goes on */
        v[stage] = e->verdicts[stage];
    struct ruling ruling = ruling_of(v, STAGE_DATA);
    conclude(e, &ruling, &e->conclusion);
    if (first && ruling.action == ACTION_NONE)
        e->conclusion = first->conclusion;
    int64_t score = ruling_score(e->verdicts, STAGE_DATA) + (v[STAGE_DATA].present ? v[STAGE_DATA].walk.score : 0);
    if (e->given[STAGE_DATA])
        refused_content(e);
    e->conclusion.score = score;
}

void explain_judge(struct explain *e)
{
    for (enum stage stage = STAGE_CONNECT; stage <= STAGE_MAIL; stage++) {
        struct decide_input in = input_of(e, stage);
        if (e->given[stage] && !e->accepted_by.p)
            judge_stage(e, stage, &in);
    }
    for (size_t i = 0; i < e->recipient_count; i++)
        judge_recipient(e, &e->recipients[i]);
    judge_classes(e);
    const struct explain_recipient *first = first_that_goes_on(e);
    bool reached = e->given[STAGE_DATA] && !e->accepted_by.p && (first || e->recipient_count == 0);
    if (reached && !(first && str_eq(first->class, STR("accept"))))
        judge_data(e, first);
    conclude_message(e, first);
}
