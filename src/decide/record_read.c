/*
 * record_read.c - one line of a journal, read in one pass without a tree.
 *
 * The line is foreign: cut off, edited, written by another version, or hostile. Members may come in any order (those that
 * writers put first, "declared", must come before the facts they speak of to count). Unknown members are skipped; a known one
 * of the wrong kind ends the reading. A fact is taken only into the scope it belongs to, and only once: what the writers of
 * facts assert is checked here first.
 */
#include "record_read.h"

#include "postern/base/codec.h"

struct reading {
    struct json_reader json;
    const struct policy *policy;
    const struct schema *schema;
    struct arena *arena;
    struct record_read *out;
    struct read_recipient **tail;
    bool in_shadow;                 /* what is read is the shadow's part */
    struct read_recipient *facts_of; /* as the shadow: whom the next recipient of the applied policy gives its facts to */
    struct str why; /* p set: reading failed */
};

/* --- values --- */

/* Notes the first failure; a syntax error is said rather than what followed from it. */
static void fail(struct reading *r, const char *what, struct str name)
{
    if (r->why.p)
        return;
    if (r->json.error) {
        r->why = arena_printf(r->arena, "not JSON at byte %zu: %s", r->json.at + 1, r->json.error);
        return;
    }
    struct buf shown = {0};
    escape_text(&shown, str_sub(name, 0, 100));
    r->why = arena_printf(r->arena, "%.*s%s%s", STR_ARG(buf_view(&shown)), shown.n ? ": " : "", what);
    buf_free(&shown);
}

/* The next member of the object that is being read; false at its end or on an error. */
static bool next_member(struct reading *r, struct str *key)
{
    struct json_event e = r->why.p ? (struct json_event){.kind = JSON_ERROR} : json_next(&r->json);
    *key = e.text;
    if (e.kind == JSON_KEY)
        return true;
    if (e.kind != JSON_END_OBJECT)
        fail(r, "a member was expected", STR_NONE);
    return false;
}

static bool open_object(struct reading *r, struct str name)
{
    if (json_next(&r->json).kind == JSON_OBJECT)
        return true;
    fail(r, "an object was expected", name);
    return false;
}

static void skip(struct reading *r)
{
    if (!json_skip(&r->json, json_next(&r->json)))
        fail(r, "not readable", STR_NONE);
}

static void read_text(struct reading *r, struct str name, struct str *out)
{
    struct json_event e = json_next(&r->json);
    if (e.kind == JSON_STRING)
        *out = e.text;
    else if (e.kind != JSON_NULL)
        fail(r, "text was expected", name);
}

/* A value as written; nothing for null. */
static void read_raw(struct reading *r, struct str name, struct str *out)
{
    size_t from = r->json.at;
    struct json_event first = json_next(&r->json);
    *out = STR_NONE;
    if (!json_skip(&r->json, first))
        fail(r, "not readable", name);
    else if (first.kind != JSON_NULL)
        *out = str_trim(str_sub(r->json.in, from, r->json.at));
}

/* --- facts --- */

/* Is this a fact of the scope of `stage`, and the same as the policy's? */
static bool fact_belongs(const struct reading *r, int id, enum stage stage)
{
    const struct fact_info *info = schema_fact(r->schema, id);
    const struct fact_bits *declared = r->in_shadow ? &r->out->shadow_declared : &r->out->declared;
    if (id >= FACT_COUNT && !fact_bit(declared, id))
        return false;
    if (info->flags & FACT_OF_POLICY && r->out->as_shadow && !r->in_shadow)
        return false;
    if (info->flags & FACT_SNAPSHOT)
        return fact_readable(info, stage);
    return info->stage == stage || (info->flags & FACT_ALSO_DATA && stage == STAGE_DATA);
}

/* [VALUE, MS] */
static void read_fact(struct reading *r, struct facts *to, struct str name)
{
    int id = schema_find(r->schema, name);
    bool wanted = id >= 0 && fact_belongs(r, id, to->stage) && !facts_has(to, id);
    struct value v = {.state = FACT_UNKNOWN};
    bool read = json_next(&r->json).kind == JSON_ARRAY;
    if (read) {
        struct json_event first = json_next(&r->json);
        read = wanted ? value_read_json(schema_fact(r->schema, id), &r->json, first, r->arena, &v) : json_skip(&r->json, first);
    }
    struct json_event ms = read ? json_next(&r->json) : (struct json_event){.kind = JSON_ERROR};
    if (ms.kind != JSON_NUMBER || json_next(&r->json).kind != JSON_END_ARRAY) {
        fail(r, "this fact's value is not understood", name);
        return;
    }
    v.at_ms = ms.number > 0 && ms.number <= UINT32_MAX ? (uint32_t)ms.number : 0;
    if (wanted && v.state != FACT_UNKNOWN)
        facts_set_value(to, id, &v);
}

static void read_facts(struct reading *r, struct facts *to)
{
    struct str name;
    if (!open_object(r, STR("facts")))
        return;
    while (next_member(r, &name))
        read_fact(r, to, name);
}

static void read_declared(struct reading *r)
{
    struct str name;
    if (!open_object(r, STR("declared")))
        return;
    while (next_member(r, &name)) {
        struct str definition = STR_NONE;
        read_text(r, name, &definition);
        int id = schema_find(r->schema, name);
        if (id >= FACT_COUNT && str_eq(schema_fact(r->schema, id)->definition, definition))
            fact_bit_set(r->in_shadow ? &r->out->shadow_declared : &r->out->declared, id);
    }
}

/* --- stages --- */

/* One member of a stage or recipient; false: not one to be read. As the shadow, of the applied policy's part only facts are. */
static bool read_stage_member(struct reading *r, struct str key, struct read_stage *to)
{
    if (str_eq(key, STR("facts")))
        read_facts(r, &to->facts);
    else if (r->out->as_shadow && !r->in_shadow)
        return false;
    else if (str_eq(key, STR("verdict")))
        read_raw(r, key, &to->verdict);
    else if (str_eq(key, STR("trace")))
        read_raw(r, key, &to->trace);
    else
        return false;
    return true;
}

static void read_stage(struct reading *r, struct str name, struct read_stage *to)
{
    struct str key;
    to->seen = true;
    if (!open_object(r, name))
        return;
    while (next_member(r, &key)) {
        if (!read_stage_member(r, key, to))
            skip(r);
    }
}

static void read_stages(struct reading *r)
{
    struct str key;
    enum stage stage;
    if (!open_object(r, STR("stages")))
        return;
    while (next_member(r, &key)) {
        if (stage_parse(key, &stage) && stage != STAGE_RCPT)
            read_stage(r, key, &r->out->stages[stage]);
        else
            skip(r);
    }
}

static void init_facts(struct reading *r, struct read_stage *s, enum stage stage, struct facts *parent)
{
    facts_init(&s->facts, r->schema, stage, parent, r->arena, NULL, 0);
}

static struct read_recipient *new_recipient(struct reading *r)
{
    struct read_recipient *to = arena_zalloc(r->arena, sizeof(*to));
    init_facts(r, &to->stage, STAGE_RCPT, &r->out->stages[STAGE_MAIL].facts);
    *r->tail = to;
    r->tail = &to->next;
    return to;
}

/* As the shadow: facts of the one at the same place in the list. */
static void read_facts_of_recipient(struct reading *r)
{
    struct read_recipient *to = r->facts_of;
    struct str key;
    r->facts_of = to ? to->next : NULL;
    while (next_member(r, &key)) {
        if (!to || !read_stage_member(r, key, &to->stage))
            skip(r);
    }
}

static void read_recipient(struct reading *r)
{
    struct read_recipient *to = new_recipient(r);
    struct str key;
    while (next_member(r, &key)) {
        if (str_eq(key, STR("address")))
            read_text(r, key, &to->address);
        else if (str_eq(key, STR("ruling")))
            read_text(r, key, &to->ruling);
        else if (!read_stage_member(r, key, &to->stage))
            skip(r);
    }
}

static void read_recipients(struct reading *r)
{
    if (json_next(&r->json).kind != JSON_ARRAY) {
        fail(r, "a list was expected", STR("recipients"));
        return;
    }
    while (!r->why.p) {
        struct json_event e = json_next(&r->json);
        if (e.kind == JSON_END_ARRAY)
            return;
        if (e.kind != JSON_OBJECT)
            fail(r, "an object was expected", STR("recipients"));
        else if (r->out->as_shadow && !r->in_shadow)
            read_facts_of_recipient(r);
        else
            read_recipient(r);
    }
}

static void read_sticky(struct reading *r)
{
    if (r->out->as_shadow && !r->in_shadow)
        skip(r);
    else
        read_stage(r, STR("sticky_helo"), &r->out->sticky);
}

/* --- the line --- */

static struct str read_digest(struct reading *r)
{
    struct str key, digest = STR_NONE;
    if (!open_object(r, STR("policy")))
        return digest;
    while (next_member(r, &key)) {
        if (str_eq(key, STR("digest")))
            read_text(r, key, &digest);
        else
            skip(r);
    }
    return digest;
}

static void read_policy(struct reading *r)
{
    r->out->digest = read_digest(r);
}

/* --- the shadow's part --- */

static void read_shadow_member(struct reading *r, struct str key)
{
    const struct { struct str key; void (*read)(struct reading *r); } parts[] = {
        {STR("declared"), read_declared}, {STR("stages"), read_stages}, {STR("sticky_helo"), read_sticky}, {STR("recipients"), read_recipients}};
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        if (str_eq(key, parts[i].key)) {
            parts[i].read(r);
            return;
        }
    }
    if (str_eq(key, STR("verdict")))
        read_text(r, key, &r->out->verdict);
    else if (str_eq(key, STR("inconsistent")))
        r->out->inconsistent = json_next(&r->json).kind == JSON_TRUE;
    else
        skip(r);
}

/* Read when the given policy is not the one that was applied but the one that was its shadow, and "policy" says so first. */
static void read_shadow(struct reading *r)
{
    struct str key, ours = str_of(policy_digest(r->policy)), digest = STR_NONE;
    if (!open_object(r, STR("shadow")))
        return;
    while (next_member(r, &key)) {
        if (str_eq(key, STR("policy"))) {
            digest = read_digest(r);
            r->in_shadow = r->out->as_shadow = str_eq(digest, ours) && !str_eq(r->out->digest, ours);
        } else if (r->in_shadow) {
            if (str_eq(key, STR("undecided")))
                r->in_shadow = r->out->as_shadow = false;
            read_shadow_member(r, key);
        } else {
            skip(r);
        }
    }
    if (r->in_shadow)
        r->out->digest = digest;
    r->in_shadow = false;
    r->facts_of = r->out->recipients;
}

static void read_limit(struct reading *r)
{
    enum { LIMIT_MAX = 1000000 }; /* as the setting's */
    struct json_event e = json_next(&r->json);
    if (e.kind != JSON_NUMBER || e.number < 0 || e.number > LIMIT_MAX)
        fail(r, "a number from 0 to 1000000 was expected", STR("negative_limit"));
    r->out->negative_limit = e.number;
}

static void read_version(struct reading *r)
{
    struct json_event e = json_next(&r->json);
    if (e.kind != JSON_NUMBER || !str_eq(e.text, STR("1")))
        fail(r, "only version 1 of records is known", STR("v"));
    r->out->version_1 = true;
}

static void read_member(struct reading *r, struct str key)
{
    const struct { struct str key; struct str *to; } texts[] = {
        {STR("id"), &r->out->id}, {STR("session"), &r->out->session_id}, {STR("help"), &r->out->help},
        {STR("verdict"), &r->out->verdict}};
    const struct { struct str key; void (*read)(struct reading *r); } parts[] = {
        {STR("v"), read_version}, {STR("policy"), read_policy}, {STR("declared"), read_declared},
        {STR("negative_limit"), read_limit}, {STR("shadow"), read_shadow}, {STR("stages"), read_stages},
        {STR("sticky_helo"), read_sticky}, {STR("recipients"), read_recipients}};
    bool replaced = r->out->as_shadow && (str_eq(key, STR("policy")) || str_eq(key, STR("verdict")) || str_eq(key, STR("inconsistent")));
    if (replaced) { /* by what the shadow's part says */
        skip(r);
        return;
    }
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        if (str_eq(key, texts[i].key)) {
            read_text(r, key, texts[i].to);
            return;
        }
    }
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        if (str_eq(key, parts[i].key)) {
            parts[i].read(r);
            return;
        }
    }
    if (str_eq(key, STR("inconsistent")))
        r->out->inconsistent = json_next(&r->json).kind == JSON_TRUE;
    else
        skip(r);
}

struct str record_read(struct str line, const struct policy *p, struct arena *arena, struct record_read *out)
{
    *out = (struct record_read){.version_1 = false};
    struct reading r = {.policy = p, .schema = policy_schema(p), .arena = arena, .out = out, .tail = &out->recipients};
    struct facts *parent = NULL;
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        if (stage == STAGE_RCPT)
            continue;
        init_facts(&r, &out->stages[stage], (enum stage)stage, parent);
        parent = &out->stages[stage].facts;
    }
    init_facts(&r, &out->sticky, STAGE_HELO, &out->stages[STAGE_CONNECT].facts);
    json_read_init(&r.json, line, arena);
    struct str key;
    if (open_object(&r, STR_NONE)) {
        while (next_member(&r, &key))
            read_member(&r, key);
    }
    if (!r.why.p && json_next(&r.json).kind != JSON_END)
        fail(&r, "text behind the record", STR_NONE);
    if (!r.why.p && !out->version_1)
        fail(&r, "not a record: it has no version", STR_NONE);
    return r.why;
}

void record_read_clear(struct record_read *out)
{
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        facts_clear(&out->stages[stage].facts);
    facts_clear(&out->sticky.facts);
    for (struct read_recipient *it = out->recipients; it; it = it->next)
        facts_clear(&it->stage.facts);
}
