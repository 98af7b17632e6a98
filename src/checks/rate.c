/*
 * rate.c - rate.NAME: how much of something (policy/rates.def) whoever the rate is counted by has done within its window. Read only: the session
 * counts, after its verdict (src/session/rates.c), so the connection or recipient that is being judged is not in it.
 *
 * A rate by a set of names is counted for each of them, and reads as the highest of theirs: a limit holds for each.
 */
#include "internal.h"
#include "rate_turns.h"

/* The name and the whole definition are in the key: a rate that is declared anew, differently, begins anew. */
static struct str key_of(struct scope *s, const struct declaration *rate, struct arena *arena, struct str who)
{
    struct buf key = {0};

    buf_printf(&key, "%.*s %.*s\n", STR_ARG(rate->name), STR_ARG(schema_fact(s->facts.schema, rate->fact)->definition));
    buf_str(&key, who);
    return key_bounded(arena, &key);
}

static void key_of_one(struct scope *s, const struct declaration *rate, struct arena *arena, const struct value *v, struct rate_keys *out)
{
    struct buf who = {0};

    value_format(&who, v);
    *out = (struct rate_keys){arena_alloc(arena, sizeof *out->list), 1};
    out->list[0] = key_of(s, rate, arena, buf_view(&who));
    buf_free(&who);
}

enum rate_who rate_keys(struct scope *s, const struct declaration *rate, struct arena *arena, struct rate_keys *out)
{
    const struct value *v = facts_get(&s->facts, rate->key);

    *out = (struct rate_keys){0};
    switch ((enum fact_state)v->state) {
    case FACT_UNKNOWN: return RATE_WHO_NOT_YET;
    case FACT_ABSENT: return RATE_NOBODY;
    case FACT_ERROR: return RATE_WHO_ERROR;
    case FACT_KNOWN: break;
    }
    if (v->type == FACT_TEXT && v->v.text.n == 0) /* <>: bounces of the whole world are nobody's */
        return RATE_NOBODY;
    if (v->type != FACT_NAMES) {
        key_of_one(s, rate, arena, v, out);
        return RATE_SOMEBODY;
    }
    out->list = arena_alloc(arena, (v->v.names.count + 1) * sizeof *out->list);
    for (; out->count < v->v.names.count; out->count++)
        out->list[out->count] = key_of(s, rate, arena, v->v.names.list[out->count]);
    return out->count ? RATE_SOMEBODY : RATE_NOBODY;
}

bool rate_is_asked_for(const struct policy *p, const struct declaration *rate)
{
    uint16_t instance;
    enum check_id check = check_of_fact(p, rate->key, &instance);

    return check != CHECK_COUNT && checks[check].deadline_setting;
}

/* --- counting ------------------------------------------------------------------------------------------------------------------ */

static struct store_operation operation(const struct scope *s, const struct declaration *rate, enum store_mode mode, uint64_t amount)
{
    return (struct store_operation){.kind = STORE_RATE, .mode = mode, .amount = amount, .window_ms = rate->window_ms,
                                    .now_ms = loop_wall(s->world->loop)};
}

bool rate_turn_take(struct scope *home, struct scope *reader, const struct declaration *rate, uint64_t amount)
{
    struct arena arena = {0};
    struct store_operation op = operation(home, rate, reader ? STORE_PEEK : STORE_TOUCH, amount);
    struct rate_keys keys;
    enum rate_who who = rate_keys(home, rate, &arena, &keys);

    for (size_t i = 0; i < keys.count; i++) {
        op.key = keys.list[i];
        if (reader)
            scope_store(reader, &op); /* check_rate() takes the answer */
        else
            store_record(home->world->store, &op);
    }
    arena_clear(&arena);
    return who != RATE_WHO_NOT_YET;
}

void rate_count(struct scope *s, const struct declaration *rate, uint64_t amount)
{
    if (!rate_turn_take(s, NULL, rate, amount))
        rate_turn_count(s, rate, amount);
}

/* --- reading ------------------------------------------------------------------------------------------------------------------- */

/* All are asked for at once; the error that the first of them has stands for all. */
static enum check_result look(struct scope *s, const struct declaration *rate, const struct rate_keys *keys)
{
    struct store_operation op = operation(s, rate, STORE_PEEK, 0);
    const char *error = NULL;
    uint64_t most = 0;
    bool waiting = false;

    for (size_t i = 0; i < keys->count; i++) {
        op.key = keys->list[i];
        const struct store_result *r = scope_store(s, &op);
        if (!r)
            waiting = true;
        else if (r->error)
            error = error ? error : r->error;
        else if (r->count > most)
            most = r->count;
    }
    if (waiting)
        return CHECK_NOT_YET;
    if (error)
        facts_set_error(&s->facts, rate->fact, str_of(error));
    else
        facts_set_number(&s->facts, rate->fact, most < INT64_MAX ? (int64_t)most : INT64_MAX);
    return CHECK_DONE;
}

enum check_result check_rate(struct scope *s, const struct check_run *run)
{
    const struct declaration *rate = policy_declaration(s->policy, run->instance);
    struct rate_keys keys;

    switch (rate_keys(s, rate, &s->arena, &keys)) {
    case RATE_WHO_NOT_YET:
        fact_bit_set(&s->needed, rate->key);
        rate_turn_look(s, rate);
        return CHECK_NOT_YET;
    case RATE_NOBODY:
        facts_set_absent(&s->facts, rate->fact);
        return CHECK_DONE;
    case RATE_WHO_ERROR:
        facts_set_error(&s->facts, rate->fact, facts_get(&s->facts, rate->key)->v.text);
        return CHECK_DONE;
    case RATE_SOMEBODY: break;
    }
    return look(s, rate, &keys);
}
