/*
 * explain_json.c - for programs: one document.
 *
 *     {"facts": {NAME: VALUE, ...}, "recipients": [{"address", "verdict", "trace", "facts"}], "trace": [...],
 *      "verdict": {"action", "stage", "rule", "code", "enhanced", "text", "score"}}
 *
 * Values are as in the journal. stage and rule are null when no rule decided, code, enhanced and text when nothing is refused; what Postern itself
 * refuses (relaying, limits) has a stage and no rule. Facts of recipients, and rules of stage rcpt, stand with the recipients.
 */
#include "explain.h"

static void put_facts_of(const struct explain *e, const struct scope *s, enum stage stage, struct json *j)
{
    const struct schema *schema = policy_schema(e->policy);
    for (size_t id = 0; id < schema_count(schema); id++) {
        const struct value *v = explain_fact(e, s, stage, (int)id);
        if (!v)
            continue;
        json_key_str(j, schema_fact(schema, (int)id)->name);
        value_json(j, v);
    }
}

static void put_text_or_null(struct json *j, const char *key, bool there, struct str s)
{
    json_key(j, key);
    if (there)
        json_str(j, s);
    else
        json_null(j);
}

static void put_conclusion(const struct conclusion *c, struct json *j)
{
    bool refused = c->action >= ACTION_REJECT;
    json_object(j);
    json_key(j, "action");
    json_cstr(j, action_names[c->action]);
    put_text_or_null(j, "stage", c->by_rule || c->built_in, str_of(stage_names[c->stage]));
    put_text_or_null(j, "rule", c->by_rule, c->rule);
    json_key(j, "code");
    if (refused)
        json_u64(j, c->code);
    else
        json_null(j);
    put_text_or_null(j, "enhanced", refused, c->enhanced);
    put_text_or_null(j, "text", refused, c->text);
    json_key(j, "score");
    json_i64(j, c->score);
    json_end_object(j);
}

static void put_recipient(const struct explain *e, const struct explain_recipient *r, struct json *j)
{
    json_object(j);
    json_key(j, "address");
    json_str(j, r->path.whole);
    json_key(j, "verdict");
    put_conclusion(&r->conclusion, j);
    json_key(j, "trace");
    json_array(j);
    if (r->verdict.present)
        trace_json(e->policy, STAGE_RCPT, &r->verdict.walk, j);
    json_end_array(j);
    json_key(j, "facts");
    json_object(j);
    put_facts_of(e, r->scope, STAGE_RCPT, j);
    json_end_object(j);
    json_end_object(j);
}

void explain_json(const struct explain *e, struct buf *out)
{
    struct json j;
    json_init(&j, out);
    json_object(&j);
    json_key(&j, "facts");
    json_object(&j);
    for (enum stage stage = 0; stage < STAGE_COUNT; stage++) {
        if (e->scopes[stage])
            put_facts_of(e, e->scopes[stage], stage, &j);
    }
    json_end_object(&j);
    json_key(&j, "recipients");
    json_array(&j);
    for (size_t i = 0; i < e->recipient_count; i++)
        put_recipient(e, &e->recipients[i], &j);
    json_end_array(&j);
    json_key(&j, "trace");
    json_array(&j);
    for (enum stage stage = 0; stage < STAGE_COUNT; stage++) {
        if (e->verdicts[stage].present)
            trace_json(e->policy, stage, &e->verdicts[stage].walk, &j);
    }
    json_end_array(&j);
    json_key(&j, "verdict");
    put_conclusion(&e->conclusion, &j);
    json_end_object(&j);
    buf_char(out, '\n');
}
