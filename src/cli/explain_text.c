/*
 * explain_text.c - for people: facts by stage, every rule with what it saw, and what would be answered. No foreign byte goes to the terminal as it came.
 */
#include "explain.h"

#include "postern/base/codec.h"

static const char *const without[STAGE_COUNT] = {
    "", "left out: no --helo", "left out: no --from", "left out: no --to", "left out: no --message",
};

const struct value *explain_fact(const struct explain *e, const struct scope *s, enum stage stage, int fact)
{
    const struct fact_info *info = schema_fact(policy_schema(e->policy), fact);
    if (info->stage != stage || (!e->given[stage] && !fact_bit(&e->assumed, fact)))
        return NULL;
    const struct value *v = facts_get(&s->facts, fact);
    return v->state == FACT_UNKNOWN ? NULL : v;
}

static void put_facts(const struct explain *e, const struct scope *s, enum stage stage, struct buf *out)
{
    const struct schema *schema = policy_schema(e->policy);
    for (size_t id = 0; id < schema_count(schema); id++) {
        const struct value *v = explain_fact(e, s, stage, (int)id);
        if (!v)
            continue;
        struct buf text = {0};
        value_format(&text, v);
        buf_printf(out, "    %-24.*s ", STR_ARG(schema_fact(schema, (int)id)->name));
        if (text.n > 0)
            escape_text(out, buf_view(&text));
        else
            buf_cstr(out, v->type == FACT_TEXT ? "(empty)" : "(none)");
        buf_cstr(out, fact_bit(&e->assumed, (int)id) ? "  (assumed)\n" : "\n");
        buf_free(&text);
    }
}

/* The lines of trace_text(), indented. */
static void put_trace(const struct explain *e, enum stage stage, const struct walk *walk, struct buf *out)
{
    struct buf text = {0};
    trace_text(e->policy, stage, walk, &text);
    struct str rest = buf_view(&text), line;
    while (str_split(&rest, '\n', &line)) {
        if (line.n > 0)
            buf_printf(out, "  %.*s\n", STR_ARG(line));
    }
    if (!walk->done)
        buf_printf(out, "  %-8s undecided: a fact that this rule asks for did not come\n", stage_names[stage]);
    buf_free(&text);
}

static void put_reply(const struct conclusion *c, struct buf *out)
{
    buf_printf(out, "    %u %.*s ", c->code, STR_ARG(c->enhanced));
    escape_text(out, c->text);
    buf_char(out, '\n');
}

static void put_conclusion(const struct conclusion *c, struct buf *out)
{
    buf_cstr(out, "  ");
    if (c->action == ACTION_NONE)
        buf_cstr(out, "none: mail goes on, the answer is the backend's");
    else
        buf_cstr(out, action_names[c->action]);
    if (c->by_rule)
        buf_printf(out, " by rule %.*s of stage %s", STR_ARG(c->rule), stage_names[c->stage]);
    if (c->built_in)
        buf_cstr(out, " by Postern itself, whatever the rules say");
    if (c->action == ACTION_ACCEPT)
        buf_cstr(out, ": mail goes on, the answer is the backend's");
    buf_printf(out, " (score %lld)\n", (long long)c->score);
    if (c->action >= ACTION_REJECT)
        put_reply(c, out);
}

static void put_stage_facts(const struct explain *e, struct buf *out)
{
    for (enum stage stage = 0; stage < STAGE_COUNT; stage++) {
        if (stage == STAGE_RCPT && e->given[stage])
            continue; /* with each recipient */
        buf_printf(out, "  %s\n", stage_names[stage]);
        if (!e->given[stage])
            buf_printf(out, "    %s\n", without[stage]);
        if (e->scopes[stage])
            put_facts(e, e->scopes[stage], stage, out);
    }
}

static void put_rules(const struct explain *e, struct buf *out)
{
    for (enum stage stage = 0; stage < STAGE_COUNT; stage++) {
        if (e->verdicts[stage].present)
            put_trace(e, stage, &e->verdicts[stage].walk, out);
        else if (e->given[stage] && stage != STAGE_RCPT && e->accepted_by.p)
            buf_printf(out, "  %-8s not asked: accepted by %.*s\n", stage_names[stage], STR_ARG(e->accepted_by));
        else if (e->given[stage] && stage == STAGE_DATA)
            buf_printf(out, "  %-8s not asked: %s\n", stage_names[stage],
                       e->conclusion.action < ACTION_REJECT ? "the recipient was accepted" : "no recipient is left");
    }
}

static void put_recipient(const struct explain *e, const struct explain_recipient *r, struct buf *out)
{
    buf_cstr(out, "\nRecipient <");
    escape_text(out, r->path.whole);
    buf_cstr(out, ">\n");
    put_facts(e, r->scope, STAGE_RCPT, out);
    if (r->verdict.present)
        put_trace(e, STAGE_RCPT, &r->verdict.walk, out);
    else if (r->conclusion.built_in)
        buf_printf(out, "  %-8s not asked: no rule can allow this\n", stage_names[STAGE_RCPT]);
    else
        buf_printf(out, "  %-8s not asked: accepted by %.*s\n", stage_names[STAGE_RCPT], STR_ARG(e->accepted_by));
    put_conclusion(&r->conclusion, out);
}

void explain_text(const struct explain *e, struct buf *out)
{
    char client[ADDR_TEXT], time[RFC3339_TEXT];
    buf_printf(out, "Client %s at %s, policy %s (%s)\n", addr_format(&e->subjects[STAGE_CONNECT].client.addr, client),
               time_rfc3339(e->wall_ms, time), policy_path(e->policy), policy_digest(e->policy));
    if (!e->options.config)
        buf_cstr(out, "No configuration was given: default settings; which domains are ours is not known, so relaying is not judged.\n");
    buf_cstr(out, "\nFacts\n");
    put_stage_facts(e, out);
    buf_cstr(out, "\nRules\n");
    put_rules(e, out);
    for (size_t i = 0; i < e->recipient_count; i++)
        put_recipient(e, &e->recipients[i], out);
    buf_cstr(out, "\nVerdict\n");
    put_conclusion(&e->conclusion, out);
}
