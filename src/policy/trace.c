/*
 * trace.c - walks in words: for explain, logs, the journal and tests.
 */
#include "model.h"

#include "postern/base/codec.h"

const char *const action_names[] = {"none", "pass", "accept", "reject", "tempfail"};
const char *const rule_result_names[] = {"no", "fired", "unknown", "error", "not reached"};

void effect_describe(struct buf *out, const struct effect *effect, struct str text, int64_t counts)
{
    char delay[32];
    buf_cstr(out, effect_names[effect->kind]);
    switch (effect->kind) {
    case EFFECT_SCORE:
        buf_printf(out, " %lld", (long long)effect->score);
        if (counts != effect->score)
            buf_printf(out, " (counts as %lld)", (long long)counts);
        break;
    case EFFECT_TAG: case EFFECT_CLASS:
        buf_printf(out, " %.*s", STR_ARG(effect->name));
        break;
    case EFFECT_HEADER:
        buf_printf(out, " %.*s: %.*s", STR_ARG(effect->name), STR_ARG(text));
        break;
    case EFFECT_TARPIT:
        buf_printf(out, " %s", duration_format(effect->ms, delay));
        break;
    case EFFECT_MARK:
        buf_printf(out, " %.*s %s", STR_ARG(effect->name), duration_format(effect->ms, delay));
        break;
    case EFFECT_GREYLIST:
        buf_printf(out, " %s: tempfail", duration_format(effect->ms, delay));
        /* fall through */
    case EFFECT_REJECT: case EFFECT_TEMPFAIL:
        buf_printf(out, "%s %u %.*s %.*s", effect->now ? " now" : "", effect->code, STR_ARG(effect->enhanced), STR_ARG(text));
        break;
    default:
        break;
    }
}

struct str walk_summary(const struct policy *p, enum stage stage, const struct walk *w, struct arena *arena)
{
    if (!w->done)
        return arena_printf(arena, "not yet, at %.*s", STR_ARG(p->rules[stage][w->stopped_at].name));
    if (w->rule < 0)
        return str_of(action_names[w->action]);
    return arena_printf(arena, "%s by %.*s", action_names[w->action], STR_ARG(p->rules[stage][w->rule].name));
}

static void put_seen(const struct policy *p, const struct saw *saw, struct buf *out)
{
    buf_printf(out, "%.*s=", STR_ARG(schema_fact(p->schema, saw->fact)->name));
    if (saw->has_score) {
        buf_printf(out, "%lld", (long long)saw->score);
        return;
    }
    struct buf value = {0};
    value_format(&value, saw->value);
    if (value.n > 0)
        escape_text(out, buf_view(&value));
    else
        buf_cstr(out, saw->value->type == FACT_TEXT ? "(empty)" : "(none)");
    buf_free(&value);
}

void trace_text(const struct policy *p, enum stage stage, const struct walk *w, struct buf *out)
{
    size_t widest = 0;
    for (size_t i = 0; i < w->trace_count; i++) {
        size_t n = p->rules[stage][w->trace[i].rule].name.n;
        widest = n > widest ? n : widest;
    }
    for (size_t i = 0; i < w->trace_count; i++) {
        const struct trace_item *item = &w->trace[i];
        size_t begin = out->n;
        buf_printf(out, "%-8s%-*.*s  %-11s", stage_names[stage], (int)widest, STR_ARG(p->rules[stage][item->rule].name),
                   rule_result_names[item->result]);
        if (item->effect.n)
            buf_printf(out, "  %.*s", STR_ARG(item->effect));
        for (uint16_t k = 0; k < item->saw_count; k++) {
            buf_cstr(out, k ? " " : "   ");
            put_seen(p, &item->saw[k], out);
        }
        while (out->n > begin && out->p[out->n - 1] == ' ')
            out->n--;
        buf_char(out, '\n');
    }
}

void trace_json(const struct policy *p, enum stage stage, const struct walk *w, struct json *j)
{
    for (size_t i = 0; i < w->trace_count; i++) {
        const struct trace_item *item = &w->trace[i];
        json_object(j);
        json_key(j, "stage");
        json_cstr(j, stage_names[stage]);
        json_key(j, "rule");
        json_str(j, p->rules[stage][item->rule].name);
        json_key(j, "result");
        json_cstr(j, rule_result_names[item->result]);
        if (item->monitor) {
            json_key(j, "monitor");
            json_bool(j, true);
        }
        json_key(j, "saw");
        json_object(j);
        for (uint16_t k = 0; k < item->saw_count; k++) {
            json_key_str(j, schema_fact(p->schema, item->saw[k].fact)->name);
            if (item->saw[k].has_score)
                json_i64(j, item->saw[k].score);
            else
                value_json(j, item->saw[k].value);
        }
        json_end_object(j);
        if (item->effect.n) {
            json_key(j, "effect");
            json_str(j, item->effect);
        }
        json_end_object(j);
    }
}
