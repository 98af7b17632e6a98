/*
 * record_judge.c - a record's facts under a policy's rules, compared with what was said then.
 *
 * The stages are walked in the order in which a session decides them, since scores add up: connect, helo (or the refused one
 * that survived), mail, each recipient, data. Only what was decided then is decided again; and stage data is not when every
 * recipient that went on then is refused now, as no message would have come. Under the policy that made the record everything
 * is the same, always; under another one `why` names the first difference. Where that policy asks for a fact that the record
 * lacks, the verdict now is "undecided at STAGE".
 */
#include "postern/decide/record.h"

#include "postern/base/codec.h"
#include "record_read.h"

struct judging {
    struct policy *policy;
    struct arena *arena;
    const struct record_read *record;
    struct stage_verdict verdicts[STAGE_COUNT];
    struct outcome outcome;
    struct buf scratch;
    bool went_on;   /* some recipient, then */
    struct str why; /* first difference */
};

static void differs(struct judging *g, struct str where, struct str difference)
{
    if (difference.n && !g->why.n)
        g->why = arena_printf(g->arena, "%.*s: %.*s", STR_ARG(where), STR_ARG(difference));
}

static void compare(struct judging *g, struct str where, enum stage stage, const struct read_stage *was, const struct walk *now)
{
    struct json j;
    buf_clear(&g->scratch);
    json_init(&j, &g->scratch);
    record_verdict(g->policy, stage, now, &j);
    size_t split = g->scratch.n;
    json_init(&j, &g->scratch);
    record_trace(g->policy, stage, now, &j);
    if (g->why.n) /* one difference is enough */
        return;
    struct str all = buf_view(&g->scratch);
    differs(g, where, record_verdict_difference(was->verdict, str_sub(all, 0, split), g->arena));
    differs(g, where, record_trace_difference(was->trace, str_sub(all, split, all.n), g->arena));
}

static void judge_stage(struct judging *g, struct str where, enum stage stage, const struct read_stage *was)
{
    struct stage_verdict *out = &g->verdicts[stage];
    out->present = false;
    if (!was->verdict.p)
        return;
    const struct record_read *record = g->record;
    struct walk_input in = {.stage = stage, .facts = &was->facts, .score = ruling_score(g->verdicts, stage),
                            .negative = ruling_negative(g->verdicts, stage),
                            .negative_limit = record->negative_limit, .with_monitor = true, .with_trace = true,
                            .help = record->help, .id = stage <= STAGE_HELO ? record->session_id : record->id};
    policy_walk(g->policy, &in, g->arena, &out->walk);
    out->present = out->walk.done;
    if (!out->walk.done && !g->outcome.undecided)
        g->outcome.undecided = stage_names[stage];
    compare(g, where, stage, was, &out->walk);
}

static struct str recipient_name(struct judging *g, const struct read_recipient *to)
{
    buf_clear(&g->scratch);
    escape_text(&g->scratch, str_sub(to->address, 0, 320));
    return arena_printf(g->arena, "rcpt <%.*s>", STR_ARG(buf_view(&g->scratch)));
}

static void judge_recipient(struct judging *g, const struct read_recipient *to)
{
    if (!to->stage.verdict.p && !to->ruling.p) /* refused before any rule was asked */
        return;
    struct str where = recipient_name(g, to);
    judge_stage(g, where, STAGE_RCPT, &to->stage);
    struct ruling ruling = ruling_of(g->verdicts, STAGE_RCPT);
    outcome_recipient(&g->outcome, g->policy, &ruling, g->arena);
    struct str now = ruling_summary(g->policy, &ruling, g->arena), was = record_shown(to->ruling, g->arena);
    g->went_on |= !str_starts(was, STR("reject")) && !str_starts(was, STR("tempfail"));
    if (!str_eq(now, was) && !g->why.n)
        differs(g, where, arena_printf(g->arena, "ruling was %.*s, now %.*s", STR_ARG(was), STR_ARG(now)));
    g->verdicts[STAGE_RCPT].present = false;
}

static void judge_all(struct judging *g)
{
    const struct record_read *record = g->record;
    judge_stage(g, STR("connect"), STAGE_CONNECT, &record->stages[STAGE_CONNECT]);
    if (record->sticky.seen)
        judge_stage(g, STR("helo refused earlier"), STAGE_HELO, &record->sticky);
    else
        judge_stage(g, STR("helo"), STAGE_HELO, &record->stages[STAGE_HELO]);
    judge_stage(g, STR("mail"), STAGE_MAIL, &record->stages[STAGE_MAIL]);
    for (const struct read_recipient *to = record->recipients; to; to = to->next)
        judge_recipient(g, to);
    bool nobody = g->outcome.has_recipients && g->outcome.recipients.action >= ACTION_REJECT;
    if (!nobody || !g->went_on)
        judge_stage(g, STR("data"), STAGE_DATA, &record->stages[STAGE_DATA]);
}

struct record_judgement record_judge(struct str line, struct policy *p, struct arena *arena)
{
    struct record_judgement out = {.readable = false};
    struct record_read record;
    out.why = record_read(line, p, arena, &record);
    if (!out.why.p) {
        struct judging g = {.policy = p, .arena = arena, .record = &record};
        judge_all(&g);
        out.readable = true;
        out.same_policy = str_eq(record.digest, str_of(policy_digest(p)));
        out.was = record_shown(record.verdict, arena);
        out.now = outcome_summary(&g.outcome, p, g.verdicts, arena);
        if (!str_eq(out.was, out.now) && !g.why.n)
            g.why = arena_printf(arena, "was %.*s, now %.*s", STR_ARG(out.was), STR_ARG(out.now));
        if (record.inconsistent && !g.why.n)
            g.why = STR("the record says that its verdict was not what its facts gave");
        out.why = g.why;
        out.same = !g.why.n;
        buf_free(&g.scratch);
    }
    record_read_clear(&record);
    return out;
}
