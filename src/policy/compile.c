/*
 * compile.c - syntax trees into nodes: names are looked up, values (literal.c) are read as their fact's type wants them, everything that
 * cannot mean anything is said. Runs when all files are read, so a rule may name what is declared below it.
 */
#include "loader.h"

#include <string.h>

enum { COMPILE_MAX = 4 * NEST_MAX }; /* levels on our own stack; a syntax tree has at most NEST_MAX, conditions by name come on top */

static const char *const type_says[] = {"a yes or no", "a number", "a size", "a duration", "one of a few words",
                                        "a text", "an address", "a set of addresses", "a set of names"};
static const char *const list_says[] = {"addresses", "domains", "mail addresses", "words"};

static const struct fact_info *fact_named(struct loader *l, const struct expr *e, int *id)
{
    *id = schema_find(l->policy->schema, e->name);
    return *id < 0 ? NULL : schema_fact(l->policy->schema, *id);
}

static bool is_number(enum fact_type type)
{
    return type == FACT_INT || type == FACT_SIZE || type == FACT_DURATION;
}

/* The nearest of all facts and conditions. */
static struct str suggest_name(struct loader *l, struct str name)
{
    size_t facts = schema_count(l->policy->schema), count = facts + l->condition_count;
    struct str *all = arena_alloc(&l->scratch, count * sizeof(*all));
    for (size_t i = 0; i < facts; i++)
        all[i] = schema_fact(l->policy->schema, (int)i)->name;
    for (size_t i = 0; i < l->condition_count; i++)
        all[facts + i] = l->conditions[i]->name;
    return str_suggest(name, all, count);
}

static const char *hint_fact(struct loader *l, struct str name)
{
    struct str suggestion = suggest_name(l, name);
    const char *otherwise = NULL;
    if (str_starts(name, STR("dnsbl.")) || str_starts(name, STR("dnswl.")))
        otherwise = "declare it, as in: dnsbl NAME \"zone.example\"";
    else if (str_starts(name, STR("rate.")))
        otherwise = "declare it, as in: rate NAME recipients by client.net over 1h";
    else if (str_starts(name, STR("marked.")))
        otherwise = "declare it (mark NAME), or let a rule mark it";
    return hint_meant(l, suggestion, otherwise);
}

static struct node *node_new(struct loader *l, enum node_kind kind)
{
    struct node *n = arena_zalloc(l->arena, sizeof(*n));
    n->kind = (uint8_t)kind;
    n->depth = 1;
    n->tests = kind == NODE_TEST;
    return n;
}

/* --- tests --- */

static struct node *words_node(struct loader *l, const struct fact_info *info, int fact, const struct expr *e, bool below)
{
    struct node *n = node_new(l, NODE_TEST);
    struct str *words = arena_alloc(l->arena, e->value_count * sizeof(*words));
    bool good = true;
    for (size_t i = 0; i < e->value_count; i++)
        good = literal_word(l, &e->values[i], info, fact, &words[i]) && good;
    n->match = below ? MATCH_SET : MATCH_WORDS;
    n->u.words = (struct word_set){words, e->value_count};
    return good ? n : NULL;
}

static struct node *numbers_node(struct loader *l, int64_t first, int64_t last)
{
    struct node *n = node_new(l, NODE_TEST);
    struct number_range *range = arena_alloc(l->arena, sizeof(*range));
    *range = (struct number_range){first, last};
    n->match = MATCH_NUMBERS;
    n->u.numbers = range;
    n->count = 1;
    return n;
}

static struct node *compare_bool(struct loader *l, const struct expr *e)
{
    struct str s = e->values->text;
    if (str_eq(s, STR("yes")) || str_eq(s, STR("no"))) {
        int64_t want = str_eq(s, STR("yes"));
        return numbers_node(l, want, want);
    }
    literal_wrong(l, e->values, FACT_BOOL, "a yes-or-no fact may also stand alone");
    return NULL;
}

static struct node *compare_number(struct loader *l, const struct fact_info *info, const struct expr *e)
{
    int64_t n;
    if (!literal_number(l, e->values, info->type, &n))
        return NULL;
    switch (e->compare) {
    case TOKEN_LT:
        return n == INT64_MIN ? numbers_node(l, 1, 0) : numbers_node(l, INT64_MIN, n - 1);
    case TOKEN_LE:
        return numbers_node(l, INT64_MIN, n);
    case TOKEN_GT:
        return n == INT64_MAX ? numbers_node(l, 1, 0) : numbers_node(l, n + 1, INT64_MAX);
    case TOKEN_GE:
        return numbers_node(l, n, INT64_MAX);
    default:
        return numbers_node(l, n, n);
    }
}

static struct node *addrs_node(struct loader *l, const struct addr_range *ranges, size_t count)
{
    struct node *n = node_new(l, NODE_TEST);
    struct addr_range *copy = arena_alloc(l->arena, count * sizeof(*copy));
    memcpy(copy, ranges, count * sizeof(*copy));
    n->match = MATCH_ADDRS;
    n->u.addrs = copy;
    n->count = (uint16_t)count;
    return n;
}

static struct node *compare_addr(struct loader *l, const struct expr *e)
{
    struct addr_range range;
    const struct literal *v = e->values;
    if (addr_parse(v->text, &range.first)) {
        range.last = range.first;
        return addrs_node(l, &range, 1);
    }
    if (literal_addrs(v->text, &range))
        COMPLAIN(l, PREFIX_COMPARED, v->span, NULL, STR_ARG(v->text));
    else
        literal_wrong(l, v, FACT_ADDR, NULL);
    return NULL;
}

static struct node *compile_compare(struct loader *l, const struct fact_info *info, int fact, const struct expr *e)
{
    struct node *n = NULL;
    if (e->compare != TOKEN_EQ && e->compare != TOKEN_NE && !is_number(info->type)) {
        COMPLAIN(l, NOT_ORDERED, e->span, "compare it with '=' or '!='", STR_ARG(e->name), type_says[info->type]);
        return NULL;
    }
    switch (info->type) {
    case FACT_BOOL:
        n = compare_bool(l, e);
        break;
    case FACT_INT: case FACT_SIZE: case FACT_DURATION:
        n = compare_number(l, info, e);
        break;
    case FACT_WORD: case FACT_TEXT:
        n = words_node(l, info, fact, e, false);
        break;
    case FACT_ADDR:
        n = compare_addr(l, e);
        break;
    case FACT_ADDRS: case FACT_NAMES:
        COMPLAIN(l, SET_COMPARED, e->span,
                 arena_cstr(&l->scratch, arena_printf(&l->scratch, "write %.*s in { %.*s }", STR_ARG(e->name), STR_ARG(e->values->text))),
                 STR_ARG(e->name), type_says[info->type]);
        break;
    }
    if (n)
        n->negate = e->compare == TOKEN_NE;
    return n;
}

/* Which lists may a fact be looked up in? */
static bool list_fits(const struct list *list, const struct fact_info *info, int fact)
{
    bool mail_address = fact == FACT_MAIL_FROM || fact == FACT_RCPT_ADDRESS;
    switch (list->kind) {
    case LIST_IP:
        return info->type == FACT_ADDR || info->type == FACT_ADDRS;
    case LIST_DOMAIN:
        return (info->type == FACT_TEXT && !mail_address) || info->type == FACT_NAMES;
    case LIST_ADDRESS:
        return mail_address;
    case LIST_WORD:
        return info->type == FACT_TEXT || info->type == FACT_WORD || info->type == FACT_NAMES;
    }
    return false;
}

static struct node *in_list(struct loader *l, const struct fact_info *info, int fact, const struct expr *e)
{
    const struct literal *v = e->values;
    struct list *list = v->quoted ? NULL : loader_find(l, "list", v->text);
    if (!list) {
        struct policy *p = l->policy;
        struct str *names = arena_alloc(&l->scratch, (p->list_count + 1) * sizeof(*names));
        for (size_t i = 0; i < p->list_count; i++)
            names[i] = p->lists[i]->name;
        struct str meant = str_suggest(v->text, names, p->list_count);
        const char *otherwise = arena_cstr(&l->scratch, arena_printf(&l->scratch, "for a set write { %.*s }", STR_ARG(v->text)));
        COMPLAIN(l, UNKNOWN_LIST, v->span, hint_meant(l, meant, otherwise), STR_ARG(v->text));
        return NULL;
    }
    if (!list_fits(list, info, fact)) {
        bool mail_address = fact == FACT_MAIL_FROM || fact == FACT_RCPT_ADDRESS;
        COMPLAIN(l, WRONG_LIST, v->span, mail_address && list->kind == LIST_DOMAIN ? "test mail.domain or rcpt.domain" : NULL,
                 STR_ARG(list->name), list_says[list->kind], STR_ARG(info->name), mail_address ? "a mail address" : type_says[info->type]);
        return NULL;
    }
    struct node *n = node_new(l, NODE_TEST);
    n->match = list->kind == LIST_IP ? MATCH_ADDR_LIST : MATCH_TEXT_LIST;
    n->u.list = list;
    return n;
}

static struct node *in_numbers(struct loader *l, const struct fact_info *info, const struct expr *e)
{
    struct node *n = node_new(l, NODE_TEST);
    struct number_range *ranges = arena_alloc(l->arena, e->value_count * sizeof(*ranges));
    bool good = true;
    for (size_t i = 0; i < e->value_count; i++)
        good = literal_numbers(l, &e->values[i], info->type, &ranges[i]) && good;
    n->match = MATCH_NUMBERS;
    n->u.numbers = ranges;
    n->count = (uint16_t)e->value_count;
    return good ? n : NULL;
}

static struct node *in_addrs(struct loader *l, const struct fact_info *info, int fact, const struct expr *e)
{
    struct addr_range *ranges = arena_alloc(&l->scratch, e->value_count * sizeof(*ranges));
    bool good = true;
    for (size_t i = 0; i < e->value_count; i++) {
        const struct literal *v = &e->values[i];
        if (literal_addrs(v->text, &ranges[i]))
            continue;
        bool digits = v->text.n && ((v->text.p[0] >= '0' && v->text.p[0] <= '9') || str_find(v->text, ':', 0) < v->text.n);
        if (!e->braces && !digits)
            return in_list(l, info, fact, e);
        const char *hint = loader_find(l, "list", v->text) ? "a list stands alone behind 'in', without braces"
                                                           : "such as 192.0.2.1, 192.0.2.0/24 or 127.0.0.2-127.0.0.9";
        literal_wrong(l, v, FACT_ADDRS, hint);
        good = false;
    }
    return good ? addrs_node(l, ranges, e->value_count) : NULL;
}

static struct node *compile_in(struct loader *l, const struct fact_info *info, int fact, const struct expr *e)
{
    if (e->value_count > TESTS_MAX) {
        COMPLAIN(l, TOO_LARGE, e->span, "put long enumerations into a list", TESTS_MAX);
        return NULL;
    }
    switch (info->type) {
    case FACT_BOOL:
        COMPLAIN(l, NOT_IN, e->span, "it stands alone, or is compared with yes or no", STR_ARG(e->name), type_says[info->type]);
        return NULL;
    case FACT_INT: case FACT_SIZE: case FACT_DURATION:
        return in_numbers(l, info, e);
    case FACT_WORD: case FACT_TEXT: case FACT_NAMES:
        return e->braces ? words_node(l, info, fact, e, info->type != FACT_WORD) : in_list(l, info, fact, e);
    case FACT_ADDR: case FACT_ADDRS:
        return in_addrs(l, info, fact, e);
    }
    return NULL;
}

static struct node *compile_like(struct loader *l, const struct fact_info *info, const struct expr *e)
{
    if (info->type != FACT_TEXT && info->type != FACT_NAMES) {
        COMPLAIN(l, NOT_LIKE, e->span, NULL, STR_ARG(e->name), type_says[info->type]);
        return NULL;
    }
    struct node *n = node_new(l, NODE_TEST);
    n->match = MATCH_GLOB;
    n->u.glob = arena_str(l->arena, e->values->text);
    return n;
}

static const struct node *compile_test(struct loader *l, const struct expr *e)
{
    int fact;
    const struct fact_info *info = fact_named(l, e, &fact);
    struct node *n = NULL;
    if (!info && loader_find(l, "condition", e->name)) {
        COMPLAIN(l, CONDITION_COMPARED, e->span, NULL, STR_ARG(e->name));
        return NULL;
    }
    if (!info) {
        COMPLAIN(l, UNKNOWN_FACT, e->span, hint_fact(l, e->name), STR_ARG(e->name));
        return NULL;
    }
    if (e->kind == EXPR_COMPARE) {
        n = compile_compare(l, info, fact, e);
    } else if (e->kind == EXPR_IN) {
        n = compile_in(l, info, fact, e);
    } else if (e->kind == EXPR_LIKE) {
        n = compile_like(l, info, e);
    } else {
        n = node_new(l, NODE_TEST);
        n->match = MATCH_STATE;
        n->state = (uint8_t)e->state;
    }
    if (n)
        n->fact = (uint16_t)fact;
    return n;
}

/* A name that stands alone: a condition, or a yes-or-no fact. */
static const struct node *compile_alone(struct loader *l, const struct expr *e)
{
    int fact;
    struct condition *c = loader_find(l, "condition", e->name);
    if (c) {
        compile_condition(l, c);
        if (!c->node)
            return NULL;
        struct node *copy = arena_alloc(l->arena, sizeof(*copy));
        *copy = *c->node;
        copy->depth++; /* so that chains of names are bounded like everything else */
        return copy;
    }
    const struct fact_info *info = fact_named(l, e, &fact);
    if (!info) {
        COMPLAIN(l, UNKNOWN_NAME, e->span, hint_fact(l, e->name), STR_ARG(e->name));
        return NULL;
    }
    if (info->type != FACT_BOOL) {
        COMPLAIN(l, FACT_ALONE, e->span, "compare it with a value", STR_ARG(e->name), type_says[info->type]);
        return NULL;
    }
    struct node *n = numbers_node(l, 1, 1);
    n->fact = (uint16_t)fact;
    return n;
}

/* --- trees --- */

/* A node over its children, or a complaint when it has become too much. */
static const struct node *joined(struct loader *l, enum node_kind kind, const struct node **children, size_t count, struct span where)
{
    unsigned depth = 0, tests = 0;
    for (size_t i = 0; i < count; i++) {
        depth = children[i]->depth > depth ? children[i]->depth : depth;
        tests += children[i]->tests;
    }
    if (depth >= NEST_MAX) {
        COMPLAIN(l, TOO_DEEP, where, NULL, NEST_MAX);
        return NULL;
    }
    if (tests > TESTS_MAX) {
        COMPLAIN(l, TOO_LARGE, where, "put long enumerations into a list", TESTS_MAX);
        return NULL;
    }
    struct node *n = node_new(l, kind);
    const struct node **copy = arena_alloc(l->arena, count * sizeof(*copy));
    memcpy(copy, children, count * sizeof(*copy));
    n->u.children = copy;
    n->count = (uint16_t)count;
    n->depth = (uint8_t)(depth + 1);
    n->tests = (uint16_t)tests;
    return n;
}

/* a and b and c is one node with three children: the tree leans to the left, so the spine is walked without recursion. */
static const struct node *compile_chain(struct loader *l, const struct expr *e)
{
    size_t count = 1;
    for (const struct expr *at = e; at->kind == e->kind; at = at->left)
        count++;
    const struct expr **parts = arena_alloc(&l->scratch, count * sizeof(*parts)), *at = e;
    for (size_t i = count; i-- > 0; at = at->left)
        parts[i] = i ? at->right : at;
    const struct node **children = arena_alloc(&l->scratch, count * sizeof(*children));
    bool good = true;
    for (size_t i = 0; i < count; i++) { /* all, so that all mistakes are shown */
        children[i] = compile(l, parts[i]);
        good = good && children[i];
    }
    return good ? joined(l, e->kind == EXPR_AND ? NODE_AND : NODE_OR, children, count, e->span) : NULL;
}

const struct node *compile(struct loader *l, const struct expr *e)
{
    const struct node *n = NULL;
    if (l->compiling >= COMPILE_MAX) {
        COMPLAIN(l, TOO_DEEP, e->span, NULL, NEST_MAX);
        return NULL;
    }
    l->compiling++;
    if (e->kind == EXPR_AND || e->kind == EXPR_OR) {
        n = compile_chain(l, e);
    } else if (e->kind == EXPR_NOT) {
        const struct node *inner = compile(l, e->left);
        n = inner ? joined(l, NODE_NOT, &inner, 1, e->span) : NULL;
    } else if (e->kind == EXPR_ALONE) {
        n = compile_alone(l, e);
    } else {
        n = compile_test(l, e);
    }
    l->compiling--;
    if (n && n->depth > NEST_MAX) {
        COMPLAIN(l, TOO_DEEP, e->span, NULL, NEST_MAX);
        return NULL;
    }
    return n;
}

void compile_condition(struct loader *l, struct condition *c)
{
    if (c->progress == CONDITION_BUSY) {
        COMPLAIN(l, CONDITION_CYCLE, c->span, NULL, STR_ARG(c->name));
        return;
    }
    if (c->progress == CONDITION_DONE || !c->expr)
        return;
    c->progress = CONDITION_BUSY;
    c->node = compile(l, c->expr);
    c->progress = CONDITION_DONE;
}

void node_facts(const struct node *node, struct fact_bits *bits)
{
    if (!node)
        return;
    if (node->kind == NODE_TEST) {
        fact_bit_set(bits, node->fact);
        return;
    }
    for (size_t i = 0; i < node->count; i++)
        node_facts(node->u.children[i], bits);
}
