/*
 * rate.c - rate.NAME: how much of something (policy/rates.def) whoever the rate is counted by has done within its window. Read only: the session
 * counts, after its verdict (src/session/rates.c), so the connection or recipient that is being judged is not in it.
 */
#include "internal.h"

/* The name and the whole definition are in the key: a rate that is declared anew, differently, begins anew. */
static struct str key_of(struct scope *s, const struct declaration *rate, struct arena *arena, const struct value *v)
{
    struct buf key = {0}, who = {0};

    value_format(&who, v);
    buf_printf(&key, "%.*s %.*s\n", STR_ARG(rate->name), STR_ARG(schema_fact(s->facts.schema, rate->fact)->definition));
    buf_str(&key, buf_view(&who));
    buf_free(&who);
    return key_bounded(arena, &key);
}

enum rate_who rate_key(struct scope *s, const struct declaration *rate, struct arena *arena, struct str *key)
{
    const struct value *v = facts_get(&s->facts, rate->key);

    switch ((enum fact_state)v->state) {
    case FACT_UNKNOWN: return RATE_WHO_NOT_YET;
    case FACT_ABSENT: return RATE_NOBODY;
    case FACT_ERROR: return RATE_WHO_ERROR;
    case FACT_KNOWN: break;
    }
    if (v->type == FACT_TEXT && v->v.text.n == 0) /* <>: bounces of the whole world are nobody's */
        return RATE_NOBODY;
    *key = key_of(s, rate, arena, v);
    return RATE_SOMEBODY;
}

enum check_result check_rate(struct scope *s, const struct check_run *run)
{
    const struct declaration *rate = policy_declaration(s->policy, run->instance);
    struct store_operation op = {.kind = STORE_RATE, .mode = STORE_PEEK, .window_ms = rate->window_ms, .now_ms = loop_wall(s->world->loop)};

    switch (rate_key(s, rate, &s->arena, &op.key)) {
    case RATE_WHO_NOT_YET:
        fact_bit_set(&s->needed, rate->key);
        return CHECK_NOT_YET;
    case RATE_NOBODY:
        facts_set_absent(&s->facts, rate->fact);
        return CHECK_DONE;
    case RATE_WHO_ERROR:
        facts_set_error(&s->facts, rate->fact, facts_get(&s->facts, rate->key)->v.text);
        return CHECK_DONE;
    case RATE_SOMEBODY: break;
    }
    const struct store_result *r = scope_store(s, &op);
    if (!r)
        return CHECK_NOT_YET;
    if (r->error)
        facts_set_error(&s->facts, rate->fact, str_of(r->error));
    else
        facts_set_number(&s->facts, rate->fact, r->count < INT64_MAX ? (int64_t)r->count : INT64_MAX);
    return CHECK_DONE;
}
