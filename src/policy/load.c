/*
 * load.c - from a file to a policy: read, parse, compile, check; and what others may ask of a loaded policy.
 *
 * Everything is read before anything is looked up, so the order of declarations does not matter; the order of rules is the order in which
 * they were read, included files standing where their include stands.
 */
#include "loader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Youthful and not known: not (greylist.known or greylist.age >= ms). */
static const struct node *greylist_node(struct loader *l, uint64_t ms)
{
    struct { struct node known, age, any, not; struct number_range yes, old; const struct node *list[2], *one[1]; } *n =
        arena_zalloc(l->arena, sizeof(*n));
    n->yes = (struct number_range){1, 1};
    n->old = (struct number_range){(int64_t)ms, INT64_MAX};
    n->known = (struct node){.kind = NODE_TEST, .match = MATCH_NUMBERS, .fact = FACT_GREYLIST_KNOWN, .count = 1, .u.numbers = &n->yes};
    n->age = (struct node){.kind = NODE_TEST, .match = MATCH_NUMBERS, .fact = FACT_GREYLIST_AGE, .count = 1, .u.numbers = &n->old};
    n->list[0] = &n->known;
    n->list[1] = &n->age;
    n->any = (struct node){.kind = NODE_OR, .count = 2, .u.children = n->list};
    n->one[0] = &n->any;
    n->not = (struct node){.kind = NODE_NOT, .count = 1, .u.children = n->one};
    return &n->not;
}

static void needs_of(const struct loader *l, struct rule *rule)
{
    node_facts(rule->when, &rule->needs);
    node_facts(rule->grey, &rule->needs);
    for (size_t i = 0; i < rule->effect_count; i++) {
        const struct text *text = &rule->effects[i].text;
        for (size_t k = 0; k < text->count; k++) {
            if (text->parts[k].kind == PART_FACT)
                fact_bit_set(&rule->needs, text->parts[k].fact);
        }
    }
    rates_needs(l, rule);
    rule->needs.word[FACT_SCORE / 64] &= ~((uint64_t)1 << (FACT_SCORE % 64)); /* nobody has to find that out */
}

static void compile_rule(struct loader *l, struct parsed_rule *r)
{
    if (r->when) {
        r->rule.when = compile(l, r->when);
        if (r->rule.when)
            check_stage(l, r->when, r->stage);
    }
    for (size_t i = 0; i < r->text_count; i++)
        text_compile(l, r->texts[i].source, r->stage, &r->effects[r->texts[i].effect].text);
    for (size_t i = 0; i < r->rule.effect_count; i++) {
        if (r->effects[i].kind == EFFECT_GREYLIST)
            r->rule.grey = greylist_node(l, r->effects[i].ms);
    }
    needs_of(l, &r->rule);
}

/* The rules of each stage as arrays, in the order in which they were read. */
static void gather_rules(struct loader *l)
{
    struct policy *p = l->policy;
    for (const struct parsed_rule *r = l->rules; r; r = r->next)
        p->rule_count[r->stage]++;
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        p->rules[stage] = arena_alloc(l->arena, (p->rule_count[stage] + 1) * sizeof(struct rule));
    size_t at[STAGE_COUNT] = {0};
    for (const struct parsed_rule *r = l->rules; r; r = r->next)
        p->rules[r->stage][at[r->stage]++] = r->rule;
}

static void load(struct loader *l, const char *path)
{
    struct policy *p = l->policy;
    const char *tried, *error;
    list_domains(l);
    struct source *source = loader_read(l, NULL, str_of(path), &tried, &error);
    if (!source) {
        COMPLAIN(l, CANNOT_READ_POLICY, (struct span){0}, NULL, path, error);
        return;
    }
    p->sources = loader_grow(p->sources, p->source_count, &l->source_cap, sizeof(*p->sources));
    p->sources[p->source_count++] = source;
    l->including[l->depth++] = tried;
    parse_source(l, source);
    for (size_t i = 0; i < l->condition_count; i++)
        compile_condition(l, l->conditions[i]);
    for (struct parsed_rule *r = l->rules; r; r = r->next)
        compile_rule(l, r);
    check_reached(l);
    gather_rules(l);
    rates_gather(l);
    snprintf(p->digest, sizeof(p->digest), "%016llx", (unsigned long long)l->hash);
}

static void policy_free(struct policy *p)
{
    for (size_t i = 0; i < p->list_count; i++)
        list_free(&p->lists[i]);
    for (size_t i = 0; i < p->source_count; i++)
        source_free(&p->sources[i]);
    free(p->lists);
    free(p->sources);
    free(p->declarations);
    free(p->headers);
    free(p->path);
    schema_unref(&p->schema);
    arena_clear(&p->arena);
    free(p);
}

struct policy *policy_load(const char *path, const struct policy_input *input, struct diags *diags)
{
    static const struct policy_input nothing;
    struct policy *p = xcalloc(1, sizeof(*p));
    p->references = 1;
    p->path = xstrndup(path, strlen(path));
    p->schema = schema_new();
    struct loader l = {.policy = p, .input = input ? input : &nothing, .diags = diags, .arena = &p->arena, .names = map_new(),
                       .hash = 0xcbf29ce484222325u};
    l.reader = l.input->reader ? l.input->reader : &source_files;
    l.rules_end = &l.rules;
    size_t errors = diags->errors;
    load(&l, path);
    map_free(&l.names, NULL);
    free(l.conditions);
    arena_clear(&l.scratch);
    if (diags->errors == errors)
        return p;
    policy_free(p);
    return NULL;
}

struct policy *policy_ref(struct policy *p)
{
    p->references++;
    return p;
}

void policy_unref(struct policy **p)
{
    struct policy *it = *p;
    *p = NULL;
    if (it && !--it->references)
        policy_free(it);
}

/* --- what others may ask --- */

struct schema *policy_schema(const struct policy *p)
{
    return p->schema;
}

const char *policy_path(const struct policy *p)
{
    return p->path;
}

const char *policy_digest(const struct policy *p)
{
    return p->digest;
}

size_t policy_declaration_count(const struct policy *p)
{
    return p->declaration_count;
}

const struct declaration *policy_declaration(const struct policy *p, size_t i)
{
    return &p->declarations[i];
}

const struct declaration *policy_declaration_of_fact(const struct policy *p, int fact)
{
    for (size_t i = 0; i < p->declaration_count; i++) {
        if (fact >= 0 && p->declarations[i].fact == fact)
            return &p->declarations[i];
    }
    return NULL;
}

size_t policy_rule_count(const struct policy *p, enum stage stage)
{
    return p->rule_count[stage];
}

struct rule_info policy_rule(const struct policy *p, enum stage stage, size_t i)
{
    const struct rule *r = &p->rules[stage][i];
    return (struct rule_info){.name = r->name, .text = r->text, .monitor = r->monitor, .file = r->file, .line = r->line};
}

struct fact_bits policy_needs(const struct policy *p, enum stage stage, bool with_monitor_rules)
{
    struct fact_bits bits = {{0}};
    for (size_t i = 0; i < p->rule_count[stage]; i++) {
        const struct rule *r = &p->rules[stage][i];
        for (size_t w = 0; w < sizeof(bits.word) / sizeof(*bits.word) && (with_monitor_rules || !r->monitor); w++)
            bits.word[w] |= r->needs.word[w];
    }
    return bits;
}

bool policy_may_speak(const struct policy *p, enum stage stage, size_t from)
{
    for (size_t i = from; i < p->rule_count[stage] && stage < STAGE_RCPT; i++) {
        if (p->rules[stage][i].may_speak && !p->rules[stage][i].monitor)
            return true;
    }
    return false;
}

size_t policy_header_count(const struct policy *p)
{
    return p->header_count;
}

struct str policy_header(const struct policy *p, size_t i)
{
    return p->headers[i];
}
