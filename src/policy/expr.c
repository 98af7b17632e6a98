/*
 * expr.c - conditions as written: tests joined by and, or, not and parentheses. What names and values mean is compile.c's business.
 *
 *     expr = and { "or" and }    and = not { "and" not }    not = "not" not | "(" expr ")" | test
 *     test = NAME [ ( = != < <= > >= ) VALUE | "in" ( WORD | "{" VALUE, ... "}" ) | "like" VALUE | "is" ( error | absent | known ) ]
 */
#include "loader.h"

#include <string.h>

struct depth { /* of the parser's own stack */
    struct parser *p;
    unsigned levels, tests;
};

static struct expr *parse_or(struct depth *d);

static struct expr *expr_new(struct parser *p, enum expr_kind kind, struct token at)
{
    struct expr *e = arena_zalloc(&p->l->scratch, sizeof(*e));
    e->kind = kind;
    e->name = at.text;
    e->span = at.span;
    return e;
}

static bool is_value(const struct token *t)
{
    return t->kind == TOKEN_WORD || t->kind == TOKEN_STRING;
}

static bool parse_value(struct parser *p, struct literal *out)
{
    const struct token *t = &p->lexer.current;
    if (!is_value(t))
        return parse_expected(p, "a value");
    *out = (struct literal){t->text, t->kind == TOKEN_STRING, t->span};
    lexer_take(&p->lexer);
    return true;
}

static bool parse_one_value(struct parser *p, struct expr *e)
{
    e->values = arena_alloc(&p->l->scratch, sizeof(*e->values));
    e->value_count = 1;
    return parse_value(p, e->values);
}

/* { a, b, c } - a comma behind the last is allowed. */
static bool parse_set(struct parser *p, struct expr *e)
{
    struct token open = lexer_take(&p->lexer);
    struct buf values = {0};
    bool good = true;
    e->braces = true;
    while (good && p->lexer.current.kind != TOKEN_CLOSE_BRACE) {
        struct literal one;
        good = parse_value(p, &one);
        if (!good)
            break;
        buf_put(&values, &one, sizeof(one));
        if (!lexer_accept(&p->lexer, TOKEN_COMMA) && p->lexer.current.kind != TOKEN_CLOSE_BRACE)
            good = parse_expected(p, "',' or '}'");
    }
    e->value_count = values.n / sizeof(struct literal);
    e->values = arena_alloc(&p->l->scratch, values.n + 1);
    if (values.n)
        memcpy(e->values, values.p, values.n);
    buf_free(&values);
    if (!good)
        return false;
    lexer_take(&p->lexer);
    if (!e->value_count) {
        COMPLAIN(p->l, EMPTY_SET, open.span, NULL);
        return false;
    }
    return true;
}

static bool parse_state(struct parser *p, struct expr *e)
{
    static const char *const words[] = {"error", "absent", "known"};
    static const enum fact_state states[] = {FACT_ERROR, FACT_ABSENT, FACT_KNOWN};
    struct token t = p->lexer.current;
    if (t.kind != TOKEN_WORD)
        return parse_expected(p, "error, absent or known");
    for (size_t i = 0; i < 3; i++) {
        if (str_eq(t.text, str_of(words[i]))) {
            e->state = states[i];
            lexer_take(&p->lexer);
            return true;
        }
    }
    COMPLAIN(p->l, NOT_A_STATE, t.span, "to compare a value write '=' instead of 'is'", STR_ARG(t.text));
    return false;
}

static bool parse_operator(struct parser *p, struct expr *e)
{
    enum token_kind kind = p->lexer.current.kind;
    if (kind >= TOKEN_EQ && kind <= TOKEN_GE) {
        lexer_take(&p->lexer);
        e->kind = EXPR_COMPARE;
        e->compare = kind;
        return parse_one_value(p, e);
    }
    if (lexer_accept_word(&p->lexer, "in")) {
        e->kind = EXPR_IN;
        return p->lexer.current.kind == TOKEN_OPEN_BRACE ? parse_set(p, e) : parse_one_value(p, e);
    }
    if (lexer_accept_word(&p->lexer, "like")) {
        e->kind = EXPR_LIKE;
        return parse_one_value(p, e);
    }
    if (lexer_accept_word(&p->lexer, "is")) {
        e->kind = EXPR_IS;
        return parse_state(p, e);
    }
    return true; /* it stands alone */
}

static bool is_joint(struct str s)
{
    return str_eq(s, STR("and")) || str_eq(s, STR("or")) || str_eq(s, STR("in")) || str_eq(s, STR("is")) || str_eq(s, STR("like")) ||
           str_eq(s, STR("when"));
}

static bool too_large(struct depth *d, struct span where)
{
    if (++d->tests <= TESTS_MAX)
        return false;
    COMPLAIN(d->p->l, TOO_LARGE, where, "put long enumerations into a list", TESTS_MAX);
    return true;
}

static struct expr *parse_test(struct depth *d)
{
    struct parser *p = d->p;
    struct token t = p->lexer.current;
    if (t.kind != TOKEN_WORD || is_joint(t.text)) {
        parse_expected(p, "a test");
        return NULL;
    }
    if (too_large(d, t.span))
        return NULL;
    lexer_take(&p->lexer);
    struct expr *e = expr_new(p, EXPR_ALONE, t);
    return parse_operator(p, e) ? e : NULL;
}

static struct expr *parse_not(struct depth *d)
{
    struct parser *p = d->p;
    struct token t = p->lexer.current;
    struct expr *e = NULL;
    if (++d->levels > NEST_MAX) {
        COMPLAIN(p->l, TOO_DEEP, t.span, "give parts of it names with 'condition'", NEST_MAX);
    } else if (lexer_accept_word(&p->lexer, "not")) {
        struct expr *inner = parse_not(d);
        if (inner) {
            e = expr_new(p, EXPR_NOT, t);
            e->left = inner;
        }
    } else if (lexer_accept(&p->lexer, TOKEN_OPEN_PAREN)) {
        e = parse_or(d);
        if (e && !lexer_accept(&p->lexer, TOKEN_CLOSE_PAREN)) {
            parse_expected(p, "'and', 'or' or ')'");
            e = NULL;
        }
    } else {
        e = parse_test(d);
    }
    d->levels--;
    return e;
}

/* A chain of one operator, leaning to the left. */
static struct expr *parse_chain(struct depth *d, const char *word, enum expr_kind kind, struct expr *(*next)(struct depth *))
{
    struct expr *e = next(d);
    while (e && lexer_is_word(&d->p->lexer, word)) {
        struct token t = lexer_take(&d->p->lexer);
        struct expr *right = next(d), *both = expr_new(d->p, kind, t);
        both->left = e;
        both->right = right;
        e = right ? both : NULL;
    }
    return e;
}

static struct expr *parse_and(struct depth *d)
{
    return parse_chain(d, "and", EXPR_AND, parse_not);
}

static struct expr *parse_or(struct depth *d)
{
    return parse_chain(d, "or", EXPR_OR, parse_and);
}

struct expr *parse_expr(struct parser *p)
{
    struct depth d = {.p = p};
    struct expr *e = parse_or(&d);
    if (e && p->lexer.current.kind != TOKEN_EOL) {
        parse_expected(p, "'and', 'or' or end of line");
        return NULL;
    }
    return e;
}
