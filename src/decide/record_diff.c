/*
 * record_diff.c - the first difference between what was recorded and what is said now, in words that name the rule.
 *
 * Both sides are JSON texts that record_write.c made, one of them perhaps long ago or touched since: they are compared as
 * streams of events, and nothing in them is trusted.
 */
#include "record_read.h"

#include "postern/base/codec.h"

bool record_json_same(struct str a, struct str b, struct arena *arena)
{
    if (str_eq(a, b))
        return true;
    struct json_reader x, y;
    json_read_init(&x, a, arena);
    json_read_init(&y, b, arena);
    for (;;) {
        struct json_event e = json_next(&x), f = json_next(&y);
        if (e.kind != f.kind || e.kind == JSON_ERROR || !str_eq(e.text, f.text))
            return false;
        if (e.kind == JSON_END)
            return true;
    }
}

struct str record_shown(struct str s, struct arena *arena)
{
    struct buf b = {0};
    escape_text(&b, str_sub(s, 0, 120));
    struct str copy = arena_str(arena, buf_view(&b));
    buf_free(&b);
    return copy;
}

/* --- objects, one member at a time --- */

struct members {
    struct json_reader json;
    bool ended;
};

static void members_init(struct members *m, struct str object, struct arena *arena)
{
    json_read_init(&m->json, object, arena);
    m->ended = json_next(&m->json).kind != JSON_OBJECT;
}

/* Next member with its value as written. False at the end and at anything unreadable. */
static bool members_next(struct members *m, struct str *key, struct str *value)
{
    *key = *value = STR_NONE;
    struct json_event e = m->ended ? (struct json_event){.kind = JSON_END} : json_next(&m->json);
    m->ended = e.kind != JSON_KEY;
    if (m->ended)
        return false;
    *key = e.text;
    size_t from = m->json.at;
    m->ended = !json_skip(&m->json, json_next(&m->json));
    *value = str_trim(str_sub(m->json.in, from, m->json.at));
    return !m->ended;
}

/* The text of a member, or its value as written; STR_NONE when there is no such member. */
static struct str member(struct str object, struct str name, struct arena *arena)
{
    struct members m;
    struct str key, value;
    members_init(&m, object, arena);
    while (members_next(&m, &key, &value)) {
        if (!str_eq(key, name))
            continue;
        struct json_reader one;
        json_read_init(&one, value, arena);
        struct json_event e = json_next(&one);
        return e.kind == JSON_STRING ? e.text : value;
    }
    return STR_NONE;
}

struct str record_verdict_phrase(struct str verdict, struct arena *arena)
{
    struct str action = record_shown(member(verdict, STR("action"), arena), arena);
    struct str rule = record_shown(member(verdict, STR("rule"), arena), arena);
    if (!action.n)
        return STR("not decided");
    return rule.n ? arena_printf(arena, "%.*s by %.*s", STR_ARG(action), STR_ARG(rule)) : action;
}

/* The first member in which two objects differ: "KEY was A, now B". */
static struct str member_difference(struct str was, struct str now, struct arena *arena)
{
    struct members before, after;
    struct str key, value, other_key, other;
    members_init(&before, was, arena);
    members_init(&after, now, arena);
    for (;;) {
        bool more = members_next(&before, &key, &value), other_more = members_next(&after, &other_key, &other);
        if (!more && !other_more)
            return STR_NONE;
        if (more && other_more && str_eq(key, other_key) && record_json_same(value, other, arena))
            continue;
        struct str name = more ? key : other_key; /* looked up again by name: one side may not have it */
        struct str k = record_shown(name, arena);
        struct str a = record_shown(member(was, name, arena), arena), b = record_shown(member(now, name, arena), arena);
        return arena_printf(arena, "%.*s was %.*s, now %.*s", STR_ARG(k), STR_ARG(a.n ? a : STR("none")),
                            STR_ARG(b.n ? b : STR("none")));
    }
}

struct str record_verdict_difference(struct str was, struct str now, struct arena *arena)
{
    if (record_json_same(was, now, arena))
        return STR_NONE;
    struct str before = record_verdict_phrase(was, arena), after = record_verdict_phrase(now, arena);
    if (!str_eq(before, after))
        return arena_printf(arena, "was %.*s, now %.*s", STR_ARG(before), STR_ARG(after));
    struct str difference = member_difference(was, now, arena);
    if (!difference.n)
        return STR("the recorded verdict is not readable");
    return arena_printf(arena, "%.*s, but %.*s", STR_ARG(before), STR_ARG(difference));
}

/* --- traces: lists of objects, one a rule --- */

static bool next_item(struct json_reader *r, struct str *item)
{
    size_t from = r->at;
    struct json_event e = json_next(r);
    *item = STR_NONE;
    if (e.kind != JSON_OBJECT || !json_skip(r, e))
        return false;
    struct str text = str_sub(r->in, from, r->at);
    size_t start = str_find(text, '{', 0);
    *item = str_sub(text, start, text.n);
    return true;
}

struct str record_trace_difference(struct str was, struct str now, struct arena *arena)
{
    if (record_json_same(was, now, arena))
        return STR_NONE;
    struct json_reader before, after;
    json_read_init(&before, was, arena);
    json_read_init(&after, now, arena);
    if (json_next(&before).kind != JSON_ARRAY || json_next(&after).kind != JSON_ARRAY)
        return STR("the recorded trace is not readable");
    for (;;) {
        struct str a, b;
        bool more = next_item(&before, &a), other_more = next_item(&after, &b);
        if (!more && !other_more)
            return STR("the recorded trace is not readable");
        if (more && other_more && record_json_same(a, b, arena))
            continue;
        struct str rule = record_shown(member(more ? a : b, STR("rule"), arena), arena);
        struct str other = record_shown(member(b, STR("rule"), arena), arena);
        if (!other_more)
            return arena_printf(arena, "rule %.*s is gone", STR_ARG(rule));
        if (!more || !str_eq(rule, other))
            return arena_printf(arena, "rule %.*s was not there", STR_ARG(other));
        struct str difference = member_difference(a, b, arena);
        return arena_printf(arena, "rule %.*s: %.*s", STR_ARG(rule), STR_ARG(difference));
    }
}
