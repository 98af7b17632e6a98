/*
 * schema.c - which facts there are: those of facts.def and those that a policy declared.
 *
 * A schema is built by one owner (a policy being loaded), then shared and never changed: records of sessions that outlive a reload still
 * hold a reference to the schema that names their facts. Not thread-safe; one process, one loop.
 */
#include "postern/facts/facts.h"

#include <assert.h>
#include <stdlib.h>

#include "postern/base/map.h"

enum { FACTS_MAX = 512 }; /* bits of struct fact_bits */

struct schema {
    unsigned references;
    size_t count;
    const struct fact_info *facts[FACTS_MAX];
    struct map *ids; /* name -> its fact_info */
    struct arena arena;
};

const char *const stage_names[STAGE_COUNT] = {"connect", "helo", "mail", "rcpt", "data"};

const char *const fact_type_names[] = {"yes or no", "number",  "size",  "duration", "word",
                                       "text",      "address", "set of addresses", "set of names"};

enum { SNAPSHOT = FACT_SNAPSHOT, ALSO_DATA = FACT_ALSO_DATA, KEY = FACT_KEY, OF_POLICY = FACT_OF_POLICY, SIGNED = FACT_SIGNED }; /* as facts.def spells them */

#define DEADLINE(word) {sizeof(#word) == sizeof("ERROR") && #word[0] == 'E' ? "" : #word, \
                        sizeof(#word) == sizeof("ERROR") && #word[0] == 'E' ? 0 : sizeof(#word) - 1}
static const struct fact_info built_in[FACT_COUNT] = {
#define FACT(id, fact_name, fact_type, fact_stage, fact_flags, fact_deadline, fact_maker, fact_values, fact_help) \
    {.name = {fact_name, sizeof(fact_name) - 1}, .type = FACT_##fact_type, .stage = STAGE_##fact_stage, .flags = fact_flags, \
     .deadline = DEADLINE(fact_deadline), .maker = {fact_maker, sizeof(fact_maker) - 1}, \
     .values = {fact_values, sizeof(fact_values) - 1}, .help = {fact_help, sizeof(fact_help) - 1}, .definition = {"", 0}},
#include "postern/facts/facts.def"
#undef FACT
};

bool stage_parse(struct str s, enum stage *out)
{
    for (int i = 0; i < STAGE_COUNT; i++) {
        if (str_eq(s, str_of(stage_names[i]))) {
            *out = (enum stage)i;
            return true;
        }
    }
    return false;
}

static void add(struct schema *s, const struct fact_info *info)
{
    void *before = map_put(s->ids, info->name, (void *)(uintptr_t)(s->count + 1));
    assert(!before);
    s->facts[s->count++] = info;
}

struct schema *schema_new(void)
{
    struct schema *s = xcalloc(1, sizeof(*s));
    s->references = 1;
    s->ids = map_new();
    for (int i = 0; i < FACT_COUNT; i++)
        add(s, &built_in[i]);
    return s;
}

int schema_declare(struct schema *s, const struct fact_info *info)
{
    if (s->count == FACTS_MAX || schema_find(s, info->name) >= 0)
        return -1;
    struct fact_info *copy = arena_alloc(&s->arena, sizeof(*copy));
    *copy = *info;
    copy->name = arena_str(&s->arena, info->name);
    copy->deadline = arena_str(&s->arena, info->deadline);
    copy->maker = arena_str(&s->arena, info->maker);
    copy->values = arena_str(&s->arena, info->values);
    copy->help = arena_str(&s->arena, info->help);
    copy->definition = arena_str(&s->arena, info->definition);
    add(s, copy);
    return (int)s->count - 1;
}

struct schema *schema_ref(struct schema *s)
{
    s->references++;
    return s;
}

void schema_unref(struct schema **s)
{
    struct schema *it = *s;
    *s = NULL;
    if (!it || --it->references)
        return;
    map_free(&it->ids, NULL);
    arena_clear(&it->arena);
    free(it);
}

size_t schema_count(const struct schema *s)
{
    return s->count;
}

const struct fact_info *schema_fact(const struct schema *s, int id)
{
    assert(id >= 0 && (size_t)id < s->count);
    return s->facts[id];
}

int schema_find(const struct schema *s, struct str name)
{
    return (int)(uintptr_t)map_get(s->ids, name) - 1;
}

struct str schema_suggest(const struct schema *s, struct str name)
{
    struct str names[FACTS_MAX];
    for (size_t i = 0; i < s->count; i++)
        names[i] = s->facts[i]->name;
    return str_suggest(name, names, s->count);
}

bool fact_readable(const struct fact_info *info, enum stage stage)
{
    if (info->stage == STAGE_RCPT && stage == STAGE_DATA)
        return info->flags & FACT_ALSO_DATA;
    return info->stage <= stage;
}

bool fact_has_word(const struct fact_info *info, struct str word)
{
    struct str rest = info->values, one;
    while (str_split(&rest, ' ', &one)) {
        if (one.n && str_eq(one, word))
            return true;
    }
    return false;
}
