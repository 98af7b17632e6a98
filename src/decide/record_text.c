/*
 * record_text.c - a line of the journal in words. Its members are written in record_write.c; those that are not known here are passed over, so that
 * records of other versions can be read.
 *
 * First the members of the line are looked at, stages and recipients kept as they are written; then each is told, the way `postern explain` tells of a
 * session that has not happened.
 */
#include "postern/decide/record_text.h"

#include <string.h>

#include "postern/base/codec.h"
#include "postern/base/json.h"
#include "postern/facts/facts.h"

struct members {
    struct str id, session, time, client, port, listener, tls, policy, verdict, reply, by, end, backend, ms, inconsistent, shadow, stages, sticky_helo,
        recipients;
};

/* "policy" of the line and of the shadow's part. */
struct policy_name { struct str path, digest; };

struct telling {
    struct arena *arena;
    struct buf *out;
    struct schema *schema; /* which of the built-in facts are durations and sizes */
    struct str why;        /* what is wrong with the line */
    const char *shadow;    /* in front of each heading, when it is the shadow's part that is told */
    struct str last[FACT_COUNT]; /* of facts that each stage takes anew (tls, manners.*): the value told last, as written */
};

/* ---- members ---- */

struct member { const char *name; struct str *out; };

static void fail(struct telling *t, const char *what)
{
    if (!t->why.p)
        t->why = str_of(what);
}

/* The members of an object that are in the table: strings decoded, all else as written; null and missing: STR_NONE. */
static bool read_members(struct str object, struct arena *arena, const struct member *table, size_t count)
{
    struct json_reader r;
    struct json_event e, value;
    json_read_init(&r, object, arena);
    if (json_next(&r).kind != JSON_OBJECT)
        return false;
    while ((e = json_next(&r)).kind == JSON_KEY) {
        size_t from = r.at, i = 0;
        value = json_next(&r);
        if (!json_skip(&r, value))
            return false;
        while (i < count && !str_eq(e.text, str_of(table[i].name)))
            i++;
        if (i < count && value.kind != JSON_NULL)
            *table[i].out = value.kind == JSON_STRING ? value.text : str_trim(str_sub(object, from, r.at));
    }
    return e.kind == JSON_END_OBJECT && json_next(&r).kind == JSON_END;
}

#define READ(object, arena, ...) \
    read_members(object, arena, (const struct member[]){__VA_ARGS__}, sizeof((const struct member[]){__VA_ARGS__}) / sizeof(struct member))

static bool read_line(struct str line, struct arena *arena, struct members *m)
{
    *m = (struct members){.id = STR_NONE};
    return READ(line, arena, {"id", &m->id}, {"session", &m->session}, {"time", &m->time}, {"client", &m->client}, {"port", &m->port},
                {"listener", &m->listener}, {"tls", &m->tls}, {"policy", &m->policy}, {"verdict", &m->verdict}, {"reply", &m->reply}, {"by", &m->by},
                {"end", &m->end}, {"backend", &m->backend}, {"ms", &m->ms}, {"inconsistent", &m->inconsistent}, {"shadow", &m->shadow},
                {"stages", &m->stages}, {"sticky_helo", &m->sticky_helo}, {"recipients", &m->recipients}) &&
           m->id.n > 0 && m->stages.n > 0;
}

bool record_has_id(struct str line, struct str id, struct arena *arena)
{
    struct str own = STR_NONE, session = STR_NONE;
    return READ(line, arena, {"id", &own}, {"session", &session}) && id.n > 0 && (str_eq_nocase(own, id) || str_eq_nocase(session, id));
}

static void put(struct telling *t, struct str foreign)
{
    escape_text(t->out, foreign);
}

static void pad(struct telling *t, size_t line_begin, size_t width)
{
    while (t->out->n - line_begin < width)
        buf_char(t->out, ' ');
}

/* ---- values ---- */

static void put_number(struct telling *t, struct str fact, struct json_event e)
{
    char text[32];
    int id = schema_find(t->schema, fact);
    enum fact_type type = id < 0 ? FACT_INT : schema_fact(t->schema, id)->type;
    if (type == FACT_DURATION && e.number >= 0)
        buf_cstr(t->out, duration_format((uint64_t)e.number, text));
    else if (type == FACT_SIZE && e.number >= 0)
        buf_cstr(t->out, size_format((uint64_t)e.number, text));
    else
        put(t, e.text);
}

/* {"error": "why"} or {"unknown": true}. */
static void put_no_value(struct telling *t, struct json_reader *r)
{
    struct json_event key = json_next(r), value = json_next(r);
    buf_char(t->out, '(');
    put(t, key.text);
    if (value.kind == JSON_STRING && value.text.n) {
        buf_cstr(t->out, ": ");
        put(t, value.text);
    }
    buf_char(t->out, ')');
    if (key.kind != JSON_KEY || !json_skip(r, value) || json_next(r).kind != JSON_END_OBJECT)
        fail(t, "a fact's value is not understood");
}

static void put_set(struct telling *t, struct json_reader *r)
{
    struct json_event e;
    bool some = false;
    while ((e = json_next(r)).kind == JSON_STRING) {
        buf_cstr(t->out, some ? "," : "");
        put(t, e.text);
        some = true;
    }
    if (!some)
        buf_cstr(t->out, "(none)");
    if (e.kind != JSON_END_ARRAY)
        fail(t, "a fact's value is not understood");
}

static void put_value(struct telling *t, struct json_reader *r, struct str fact)
{
    struct json_event e = json_next(r);
    switch (e.kind) {
    case JSON_STRING:
        if (e.text.n)
            put(t, e.text);
        else
            buf_cstr(t->out, "(empty)");
        break;
    case JSON_NUMBER: put_number(t, fact, e); break;
    case JSON_NULL: buf_cstr(t->out, "(absent)"); break;
    case JSON_OBJECT: put_no_value(t, r); break;
    case JSON_ARRAY: put_set(t, r); break;
    default: fail(t, "a fact's value is not understood"); break;
    }
}

/* Is this the value of a fact of the moment that an earlier stage has told already? The reader stands before the value. */
static bool told_before(struct telling *t, const struct json_reader *r, struct str fact)
{
    struct json_reader ahead = *r;
    int id = schema_find(t->schema, fact);
    if (id < 0 || !(schema_fact(t->schema, id)->flags & FACT_SNAPSHOT) || !json_skip(&ahead, json_next(&ahead)))
        return false;
    struct str value = str_sub(r->in, r->at, ahead.at);
    bool same = str_eq(t->last[id], value);
    t->last[id] = value;
    return same;
}

/* {NAME:[VALUE,MS], ...} */
static void put_facts(struct telling *t, struct str facts)
{
    struct json_reader r;
    struct json_event key;
    json_read_init(&r, facts, t->arena);
    if (json_next(&r).kind != JSON_OBJECT)
        fail(t, "facts are missing");
    while (!t->why.p && (key = json_next(&r)).kind == JSON_KEY) {
        size_t begin = t->out->n;
        buf_cstr(t->out, "    ");
        put(t, key.text);
        pad(t, begin, 28);
        buf_char(t->out, ' ');
        if (json_next(&r).kind != JSON_ARRAY)
            fail(t, "a fact has no value");
        bool silent = told_before(t, &r, key.text);
        put_value(t, &r, key.text);
        if (json_next(&r).kind != JSON_NUMBER || json_next(&r).kind != JSON_END_ARRAY)
            fail(t, "a fact has no time");
        buf_char(t->out, '\n');
        if (silent)
            t->out->n = begin;
    }
}

/* ---- rules ---- */

static void put_saw(struct telling *t, struct str saw)
{
    struct json_reader r;
    struct json_event key;
    json_read_init(&r, saw, t->arena);
    if (json_next(&r).kind != JSON_OBJECT)
        fail(t, "what a rule saw is missing");
    for (const char *gap = "   "; !t->why.p && (key = json_next(&r)).kind == JSON_KEY; gap = " ") {
        buf_cstr(t->out, gap);
        put(t, key.text);
        buf_char(t->out, '=');
        put_value(t, &r, key.text);
    }
}

static void put_rule(struct telling *t, struct str item)
{
    struct str stage = STR_NONE, rule = STR_NONE, result = STR_NONE, saw = STR_NONE, effect = STR_NONE, monitor = STR_NONE;
    if (!READ(item, t->arena, {"stage", &stage}, {"rule", &rule}, {"result", &result}, {"saw", &saw}, {"effect", &effect}, {"monitor", &monitor}))
        fail(t, "a trace is not understood");
    bool only_watched = str_eq(monitor, STR("true")) && str_eq(result, STR("fired"));
    size_t begin = t->out->n;
    buf_cstr(t->out, "  ");
    put(t, stage);
    pad(t, begin, 10);
    put(t, rule);
    pad(t, begin, 28);
    buf_cstr(t->out, "  ");
    put(t, only_watched ? STR("would fire") : result);
    pad(t, begin, 41);
    if (effect.n) {
        buf_cstr(t->out, "  ");
        put(t, effect);
    }
    put_saw(t, saw);
    while (t->out->n > begin && t->out->p[t->out->n - 1] == ' ')
        t->out->n--;
    buf_char(t->out, '\n');
}

/* For each element of an array, as it is written. */
static void each(struct telling *t, struct str array, void (*tell)(struct telling *, struct str))
{
    struct json_reader r;
    json_read_init(&r, array, t->arena);
    if (json_next(&r).kind != JSON_ARRAY)
        fail(t, "an array is missing");
    while (!t->why.p) {
        size_t from = r.at;
        struct json_event e = json_next(&r);
        if (e.kind == JSON_END_ARRAY)
            return;
        if (!json_skip(&r, e))
            fail(t, "an array is not understood");
        struct str element = str_trim(str_sub(array, from, r.at));
        tell(t, element.n && element.p[0] == ',' ? str_trim(str_sub(element, 1, element.n)) : element);
    }
}

static void put_judged(struct telling *t, struct str facts, struct str trace, const char *stage)
{
    if (facts.n)
        put_facts(t, facts);
    if (trace.n)
        each(t, trace, put_rule);
    else
        buf_printf(t->out, "  %-8snot asked\n", stage);
}

/* ---- parts of the line ---- */

static void put_stage(struct telling *t, const char *name, struct str stage, const char *note)
{
    struct str facts = STR_NONE, trace = STR_NONE;
    if (!stage.n)
        return;
    if (!READ(stage, t->arena, {"facts", &facts}, {"trace", &trace}))
        fail(t, "a stage is not understood");
    buf_printf(t->out, "\n%sStage %s%s\n", t->shadow, name, note);
    put_judged(t, facts, trace, name);
}

static void put_reply(struct telling *t, struct str reply, struct str by)
{
    if (!reply.n)
        return;
    buf_cstr(t->out, "    ");
    put(t, reply);
    if (by.n) {
        buf_cstr(t->out, "  (said by ");
        put(t, str_eq(by, STR("backend")) ? STR("the mail server behind") : str_eq(by, STR("policy")) ? STR("the policy") : STR("Postern itself"));
        buf_char(t->out, ')');
    }
    buf_char(t->out, '\n');
}

static void put_recipient(struct telling *t, struct str recipient)
{
    struct str address = STR_NONE, facts = STR_NONE, trace = STR_NONE, ruling = STR_NONE, reply = STR_NONE, by = STR_NONE;
    if (!READ(recipient, t->arena, {"address", &address}, {"facts", &facts}, {"trace", &trace}, {"ruling", &ruling}, {"reply", &reply}, {"by", &by}))
        fail(t, "a recipient is not understood");
    buf_printf(t->out, "\n%sRecipient <", t->shadow);
    put(t, address);
    buf_cstr(t->out, ">\n");
    put_judged(t, facts, trace, "rcpt");
    if (ruling.n) {
        buf_cstr(t->out, "  ");
        put(t, ruling);
        buf_char(t->out, '\n');
    }
    put_reply(t, reply, by);
}

static void put_policy(struct telling *t, const char *what, struct str policy)
{
    struct policy_name name = {STR_NONE, STR_NONE};
    if (policy.n && !READ(policy, t->arena, {"path", &name.path}, {"digest", &name.digest}))
        fail(t, "policy is not understood");
    buf_cstr(t->out, what);
    put(t, name.path);
    buf_cstr(t->out, " (");
    put(t, name.digest);
    buf_char(t->out, ')');
}

static void put_head(struct telling *t, const struct members *m)
{
    buf_cstr(t->out, "Transaction ");
    put(t, m->id);
    buf_cstr(t->out, " at ");
    put(t, m->time);
    buf_cstr(t->out, "\nClient ");
    put(t, m->client);
    buf_cstr(t->out, " port ");
    put(t, m->port);
    buf_cstr(t->out, " at ");
    put(t, m->listener);
    buf_cstr(t->out, str_eq(m->tls, STR("true")) ? ", TLS\n" : ", no TLS\n");
    put_policy(t, "Policy ", m->policy);
    buf_char(t->out, '\n');
}

static void put_shadow(struct telling *t, struct str shadow)
{
    struct str policy = STR_NONE, verdict = STR_NONE, undecided = STR_NONE, differs = STR_NONE;
    if (!shadow.n)
        return;
    if (!READ(shadow, t->arena, {"policy", &policy}, {"verdict", &verdict}, {"undecided", &undecided}, {"differs", &differs}))
        fail(t, "shadow is not understood");
    put_policy(t, "  the shadow policy ", policy);
    buf_cstr(t->out, verdict.n ? ": " : ": undecided at ");
    put(t, verdict.n ? verdict : undecided);
    buf_cstr(t->out, str_eq(differs, STR("true")) ? "; a recipient or the message would have fared otherwise\n" : "\n");
}

static void put_end(struct telling *t, const struct members *m)
{
    buf_cstr(t->out, "\nVerdict\n  ");
    put(t, m->verdict);
    buf_cstr(t->out, "; ended: ");
    put(t, m->end);
    buf_cstr(t->out, ", after ");
    put(t, m->ms);
    buf_cstr(t->out, " ms");
    if (m->backend.n) {
        buf_cstr(t->out, ", given to ");
        put(t, m->backend);
    }
    buf_char(t->out, '\n');
    put_reply(t, m->reply, m->by);
    put_shadow(t, m->shadow);
    if (str_eq(m->inconsistent, STR("true")))
        buf_cstr(t->out, "  the rules, read again when this was written, said something else than was applied: a fault of Postern's, please report it\n");
}

static void put_stages(struct telling *t, struct str all, struct str sticky_helo, struct str recipients)
{
    struct str stages[STAGE_COUNT] = {STR_NONE};
    struct member table[STAGE_COUNT];
    for (int i = 0; i < STAGE_COUNT; i++)
        table[i] = (struct member){stage_names[i], &stages[i]};
    if (!read_members(all, t->arena, table, STAGE_COUNT))
        fail(t, "stages are not understood");
    put_stage(t, "connect", stages[STAGE_CONNECT], "");
    put_stage(t, "helo", sticky_helo, ", of an earlier name, whose refusal stands");
    put_stage(t, "helo", stages[STAGE_HELO], "");
    put_stage(t, "mail", stages[STAGE_MAIL], "");
    if (recipients.n)
        each(t, recipients, put_recipient);
    put_stage(t, "data", stages[STAGE_DATA], "");
}

/* Behind all else, what its rules did and the facts that only it has. */
static void put_shadow_stages(struct telling *t, struct str shadow)
{
    struct str stages = STR_NONE, sticky_helo = STR_NONE, recipients = STR_NONE;
    if (!shadow.n || t->why.p)
        return;
    if (!READ(shadow, t->arena, {"stages", &stages}, {"sticky_helo", &sticky_helo}, {"recipients", &recipients}))
        fail(t, "shadow is not understood");
    t->shadow = "Shadow: ";
    memset(t->last, 0, sizeof t->last);
    if (stages.n)
        put_stages(t, stages, sticky_helo, recipients);
}

bool record_text(struct str line, struct arena *arena, struct buf *out, struct str *why)
{
    struct members m;
    struct telling t = {.arena = arena, .out = out, .shadow = ""};
    *why = STR_NONE;
    if (!read_line(line, arena, &m)) {
        *why = STR("it is no record of a transaction");
        return false;
    }
    t.schema = schema_new();
    put_head(&t, &m);
    put_stages(&t, m.stages, m.sticky_helo, m.recipients);
    put_end(&t, &m);
    put_shadow_stages(&t, m.shadow);
    schema_unref(&t.schema);
    *why = t.why;
    return !t.why.p;
}
