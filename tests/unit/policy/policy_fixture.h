/*
 * policy_fixture.h - policies from texts in memory, and a chain of scopes to judge them with.
 */
#ifndef POSTERN_TESTS_POLICY_FIXTURE_H
#define POSTERN_TESTS_POLICY_FIXTURE_H

#include <criterion/criterion.h>
#include <string.h>

#include "postern/policy/walk.h"

struct memory_file { const char *path, *text; };

struct memory_reader { /* the file system of a test */
    struct source_reader base;
    const struct memory_file *files;
    size_t count;
};

static inline struct source *memory_read(struct source_reader *r, const char *path, const char **error)
{
    const struct memory_reader *m = (const struct memory_reader *)r;
    for (size_t i = 0; i < m->count; i++) {
        if (!strcmp(m->files[i].path, path))
            return source_new(path, str_of(m->files[i].text));
    }
    *error = "No such file";
    return NULL;
}

static inline struct policy *load_files(const struct memory_file *files, size_t count, struct diags *diags)
{
    static const struct str domains[] = {{"our.test", 8}, {"Other.Test", 10}};
    struct memory_reader reader = {{memory_read}, files, count};
    struct policy_input input = {.reader = &reader.base, .domains = domains, .domain_count = 2, .help = STR("https://our.test/help")};
    return policy_load(files[0].path, &input, diags);
}

/* A policy that must load. */
static inline struct policy *load_text(const char *text)
{
    struct diags diags = {0};
    struct memory_file file = {"test.policy", text};
    struct policy *p = load_files(&file, 1, &diags);
    struct buf out = {0};
    diag_print(&diags, &out);
    cr_assert(p, "%.*s", STR_ARG(buf_view(&out)));
    buf_free(&out);
    diag_clear(&diags);
    return p;
}

struct world { /* one scope of each kind over one policy's facts */
    struct policy *policy;
    struct arena arena;
    struct facts scope[STAGE_COUNT];
    struct walk walk;
    struct walk_input input;
};

static inline void world_scopes(struct world *w)
{
    for (int i = 0; i < STAGE_COUNT; i++) {
        struct facts *parent = i == 0 ? NULL : &w->scope[i == STAGE_DATA ? STAGE_MAIL : i - 1];
        facts_init(&w->scope[i], policy_schema(w->policy), (enum stage)i, parent, &w->arena, NULL, 0);
    }
}

static inline void world_init(struct world *w, const char *text)
{
    *w = (struct world){.policy = load_text(text)};
    w->input = (struct walk_input){.negative_limit = 100, .with_trace = true, .with_monitor = true, .help = STR("https://our.test/help"),
                                   .id = STR("ID7")};
    world_scopes(w);
}

/* Forgets all facts. */
static inline void world_reset(struct world *w)
{
    for (int i = STAGE_COUNT; i-- > 0;)
        facts_clear(&w->scope[i]);
    arena_clear(&w->arena);
    world_scopes(w);
}

static inline void world_clear(struct world *w)
{
    for (int i = STAGE_COUNT; i-- > 0;)
        facts_clear(&w->scope[i]);
    arena_clear(&w->arena);
    policy_unref(&w->policy);
}

/* Sets "fcrdns", "pass" and the like, seen from the scope of a stage. */
static inline void world_set(struct world *w, enum stage stage, const char *fact, const char *text)
{
    struct value v;
    struct str error = STR_NONE;
    int id = schema_find(policy_schema(w->policy), str_of(fact));
    cr_assert(id >= 0, "%s", fact);
    cr_assert(value_parse(schema_fact(policy_schema(w->policy), id), str_of(text), &w->arena, &v, &error), "%s=%s: %.*s", fact, text,
              STR_ARG(error));
    facts_set_value(&w->scope[stage], id, &v);
}

static inline const struct walk *world_walk(struct world *w, enum stage stage)
{
    w->input.stage = stage;
    w->input.facts = &w->scope[stage];
    policy_walk(w->policy, &w->input, &w->arena, &w->walk);
    return &w->walk;
}

/* "reject by listed" after a walk. */
static inline const char *world_verdict(struct world *w, enum stage stage)
{
    world_walk(w, stage);
    return arena_cstr(&w->arena, walk_summary(w->policy, stage, &w->walk, &w->arena));
}

#endif
