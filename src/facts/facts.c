/*
 * facts.c - the values of one scope, and look-ups along the chain of scopes.
 *
 * A scope holds few facts, so its slots are a short array in the order of arrival; a slot points to a value in the scope's arena, which never
 * moves. `home` says in which scope of the chain a fact lives. Of a shadow policy, a second chain stands beside the first and is read through to
 * it; writing never leaves its own chain.
 */
#include "postern/facts/facts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "postern/base/codec.h"

struct fact_slot {
    const struct value *value;
    uint16_t id;
    bool held; /* given by facts_set_value: later writes are ignored */
};

static const struct value unknown = {.state = FACT_UNKNOWN};

void facts_init(struct facts *f, const struct schema *schema, enum stage stage, struct facts *parent, struct arena *arena,
                const uint64_t *now_ms, uint64_t start_ms)
{
    assert(parent ? parent->stage < stage && parent->schema == schema : stage == STAGE_CONNECT);
    *f = (struct facts){.schema = schema, .parent = parent, .stage = stage, .arena = arena, .now_ms = now_ms, .start_ms = start_ms};
}

void facts_clear(struct facts *f)
{
    free(f->slots);
    f->slots = NULL;
    f->count = f->cap = 0;
}

/* The scope that a fact lives in, seen from f; NULL when the chain has none. */
static const struct facts *home(const struct facts *f, const struct fact_info *info)
{
    if (!fact_readable(info, f->stage))
        return NULL;
    if (info->flags & FACT_SNAPSHOT || (info->flags & FACT_ALSO_DATA && f->stage == STAGE_DATA))
        return f;
    while (f && f->stage != info->stage)
        f = f->parent;
    return f;
}

static struct fact_slot *slot_of(const struct facts *f, int id)
{
    for (uint16_t i = 0; i < f->count; i++) {
        if (f->slots[i].id == id)
            return &f->slots[i];
    }
    return NULL;
}

int facts_beside(const struct facts *f, int id)
{
    const struct fact_info *info = schema_fact(f->schema, id);
    if (!f->beside || info->flags & FACT_OF_POLICY)
        return -1;
    if (id < FACT_COUNT)
        return id;
    int theirs = schema_find(f->beside->schema, info->name);
    bool same = theirs >= FACT_COUNT && str_eq(schema_fact(f->beside->schema, theirs)->definition, info->definition);
    return same ? theirs : -1;
}

const struct value *facts_get(const struct facts *f, int id)
{
    const struct facts *where = home(f, schema_fact(f->schema, id));
    const struct fact_slot *slot = where ? slot_of(where, id) : NULL;
    if (slot || !f->beside)
        return slot ? slot->value : &unknown;
    int theirs = facts_beside(f, id);
    return theirs < 0 ? &unknown : facts_get(f->beside, theirs);
}

bool facts_has(const struct facts *f, int id)
{
    return facts_get(f, id)->state != FACT_UNKNOWN;
}

bool facts_given(const struct facts *f, int id)
{
    const struct facts *where = home(f, schema_fact(f->schema, id));
    const struct fact_slot *slot = where ? slot_of(where, id) : NULL;
    return slot && slot->held;
}

bool facts_next(const struct facts *f, size_t *cursor, int *id, const struct value **v)
{
    if (*cursor >= f->count)
        return false;
    *id = f->slots[*cursor].id;
    *v = f->slots[*cursor].value;
    ++*cursor;
    return true;
}

/* A new slot with a cleared value, or NULL when a held value is there already. */
static struct value *add(struct facts *f, int id, enum fact_state state)
{
    const struct fact_info *info = schema_fact(f->schema, id);
    struct facts *where = (struct facts *)home(f, info); /* f is not const here */
    assert(where);
    const struct fact_slot *before = slot_of(where, id);
    assert(!before || before->held);
    if (before)
        return NULL;
    if (where->count == where->cap) {
        where->cap = where->cap ? where->cap * 2 : 8;
        where->slots = xrealloc(where->slots, where->cap * sizeof(*where->slots));
    }
    struct value *v = arena_zalloc(where->arena, sizeof(*v));
    v->state = state;
    v->type = info->type;
    if (where->now_ms)
        v->at_ms = (uint32_t)(*where->now_ms - where->start_ms);
    where->slots[where->count++] = (struct fact_slot){.value = v, .id = (uint16_t)id};
    return v;
}

static enum fact_type type_of(const struct facts *f, int id)
{
    return schema_fact(f->schema, id)->type;
}

/* A copy in the arena of the scope where fact id lives; bytes that are not UTF-8 become U+FFFD. */
static struct str copy_text(const struct facts *f, int id, struct str s)
{
    struct arena *arena = home(f, schema_fact(f->schema, id))->arena;
    if (utf8_valid(s))
        return arena_str(arena, s);
    struct buf b = {0};
    while (s.n) {
        size_t step = utf8_step(s);
        if (step)
            buf_put(&b, s.p, step);
        else
            buf_cstr(&b, "\xef\xbf\xbd");
        s = str_sub(s, step ? step : 1, s.n);
    }
    struct str copy = arena_str(arena, buf_view(&b));
    buf_free(&b);
    return copy;
}

void facts_set_bool(struct facts *f, int id, bool v)
{
    assert(type_of(f, id) == FACT_BOOL);
    struct value *to = add(f, id, FACT_KNOWN);
    if (to)
        to->v.number = v;
}

void facts_set_number(struct facts *f, int id, int64_t v)
{
    enum fact_type type = type_of(f, id);
    assert(type == FACT_INT || type == FACT_SIZE || type == FACT_DURATION);
    struct value *to = add(f, id, FACT_KNOWN);
    if (to)
        to->v.number = v;
}

void facts_set_text(struct facts *f, int id, struct str v)
{
    const struct fact_info *info = schema_fact(f->schema, id);
    assert(info->type == FACT_TEXT || (info->type == FACT_WORD && fact_has_word(info, v)));
    struct value *to = add(f, id, FACT_KNOWN);
    if (to)
        to->v.text = copy_text(f, id, v);
}

void facts_set_addr(struct facts *f, int id, const struct addr *v)
{
    assert(type_of(f, id) == FACT_ADDR);
    struct value *to = add(f, id, FACT_KNOWN);
    if (to)
        to->v.addr = *v;
}

static int compare_addrs(const void *a, const void *b)
{
    return addr_cmp(a, b);
}

static int compare_names(const void *a, const void *b)
{
    const struct str *x = a, *y = b;
    return str_cmp(*x, *y);
}

static void put_addrs(struct arena *arena, struct value *to, const struct addr *list, size_t count)
{
    if (!count)
        return;
    struct addr *copy = arena_alloc(arena, count * sizeof(*copy));
    memcpy(copy, list, count * sizeof(*copy));
    qsort(copy, count, sizeof(*copy), compare_addrs);
    size_t kept = 1;
    for (size_t i = 1; i < count; i++) {
        if (!addr_eq(&copy[i], &copy[kept - 1]))
            copy[kept++] = copy[i];
    }
    to->v.addrs.list = copy;
    to->v.addrs.count = kept;
}

static void put_names(const struct facts *f, int id, struct value *to, const struct str *list, size_t count)
{
    if (!count)
        return;
    struct str *copy = arena_alloc(home(f, schema_fact(f->schema, id))->arena, count * sizeof(*copy));
    for (size_t i = 0; i < count; i++)
        copy[i] = copy_text(f, id, list[i]);
    qsort(copy, count, sizeof(*copy), compare_names);
    size_t kept = 1;
    for (size_t i = 1; i < count; i++) {
        if (!str_eq(copy[i], copy[kept - 1]))
            copy[kept++] = copy[i];
    }
    to->v.names.list = copy;
    to->v.names.count = kept;
}

void facts_set_addrs(struct facts *f, int id, const struct addr *list, size_t count)
{
    assert(type_of(f, id) == FACT_ADDRS);
    struct value *to = add(f, id, FACT_KNOWN);
    if (to)
        put_addrs(home(f, schema_fact(f->schema, id))->arena, to, list, count);
}

void facts_set_names(struct facts *f, int id, const struct str *list, size_t count)
{
    assert(type_of(f, id) == FACT_NAMES);
    struct value *to = add(f, id, FACT_KNOWN);
    if (to)
        put_names(f, id, to, list, count);
}

void facts_set_absent(struct facts *f, int id)
{
    add(f, id, FACT_ABSENT);
}

void facts_set_error(struct facts *f, int id, struct str why)
{
    struct value *to = add(f, id, FACT_ERROR);
    if (to)
        to->v.text = copy_text(f, id, why);
}

void facts_set_deadline(struct facts *f, int id)
{
    const struct fact_info *info = schema_fact(f->schema, id);
    if (facts_has(f, id))
        return;
    if (info->deadline.n)
        facts_set_text(f, id, info->deadline);
    else
        facts_set_error(f, id, STR("no answer in time"));
}

void facts_set_value(struct facts *f, int id, const struct value *v)
{
    const struct fact_info *info = schema_fact(f->schema, id);
    assert(v->state != FACT_UNKNOWN && (v->state != FACT_KNOWN || v->type == info->type));
    struct value *to = add(f, id, (enum fact_state)v->state);
    if (!to)
        return;
    struct facts *where = (struct facts *)home(f, info);
    where->slots[where->count - 1].held = true;
    if (v->at_ms)
        to->at_ms = v->at_ms;
    if (v->state == FACT_ERROR || (v->state == FACT_KNOWN && (info->type == FACT_WORD || info->type == FACT_TEXT)))
        to->v.text = copy_text(f, id, v->v.text);
    else if (v->state == FACT_KNOWN && info->type == FACT_ADDRS)
        put_addrs(where->arena, to, v->v.addrs.list, v->v.addrs.count);
    else if (v->state == FACT_KNOWN && info->type == FACT_NAMES)
        put_names(f, id, to, v->v.names.list, v->v.names.count);
    else
        to->v = v->v;
}
