/*
 * loader.h - what is there while a policy is being loaded, and no longer.
 *
 * parse.c reads lines into declarations and syntax trees (struct expr), effects.c the effects of a rule, compile.c turns trees into nodes
 * when all declarations are known, literal.c reads the values in them, lists.c fills lists, load.c is the story. All complain through
 * COMPLAIN and go on, so that one load shows every mistake.
 */
#ifndef POSTERN_POLICY_LOADER_H
#define POSTERN_POLICY_LOADER_H

#include "model.h"
#include "postern/base/lexer.h"

#define MESSAGE(id, text) static const char MSG_##id[] __attribute__((unused)) = text;
#include "messages.def"
#undef MESSAGE

/* hint: a C string or NULL */
#define COMPLAIN(l, id, where, hint, ...) diag_add((l)->diags, DIAG_ERROR, (where), (hint), MSG_##id, ##__VA_ARGS__)

/* --- syntax trees --- */

enum expr_kind { EXPR_AND, EXPR_OR, EXPR_NOT, EXPR_ALONE, EXPR_COMPARE, EXPR_IN, EXPR_LIKE, EXPR_IS };

struct literal { /* a value as written */
    struct str text;
    bool quoted;
    struct span span;
};

struct expr {
    enum expr_kind kind;
    struct expr *left, *right; /* AND, OR: chains to the left; NOT: left */
    struct str name;           /* the fact or condition tested */
    struct span span;          /* where the name stands */
    enum token_kind compare;   /* COMPARE: TOKEN_EQ .. TOKEN_GE */
    struct literal *values;    /* COMPARE, LIKE: one; IN: those of the set, or one word */
    size_t value_count;
    bool braces;               /* IN: the values stood in { } */
    enum fact_state state;     /* IS */
};

struct condition {
    struct str name;
    struct span span;
    struct expr *expr;         /* NULL: it had errors */
    const struct node *node;
    enum { CONDITION_NEW, CONDITION_BUSY, CONDITION_DONE } progress;
};

struct parsed_rule {
    enum stage stage;
    struct rule rule;          /* needs, when, grey: set by load.c */
    struct expr *when;
    struct span name_span;
    struct parsed_text { size_t effect; struct literal source; } *texts; /* compiled when all facts are declared */
    size_t text_count;
    struct effect *effects;
    struct parsed_rule *next;
};

struct loader {
    struct policy *policy;
    const struct policy_input *input;
    struct source_reader *reader;
    struct diags *diags;
    struct arena *arena;       /* the policy's */
    struct arena scratch;      /* syntax trees, hints */
    uint64_t hash;             /* FNV-1a over all texts */
    struct map *names;         /* "list trusted", "dnsbl zen", "rule x" ... -> not NULL; lists and conditions -> themselves */
    struct parsed_rule *rules, **rules_end;
    size_t rule_count;
    struct condition **conditions;
    size_t condition_count, condition_cap;
    size_t declaration_cap, list_cap, source_cap, header_cap;
    unsigned compiling;        /* levels of compile() on the stack */
    const char *including[INCLUDE_MAX + 1]; /* paths, outermost first */
    unsigned depth, includes;
    bool help_missed;          /* it was said that {help} is empty */
};

/* A line being read. */
struct parser {
    struct loader *l;
    struct lexer lexer;
    bool in_stage;
    enum stage stage;
    size_t counted;            /* bytes whose line ends are in `line` */
    unsigned line;
};

/* parse.c */
void parse_source(struct loader *l, const struct source *source);
bool parse_expected(struct parser *p, const char *what);  /* complains of the current token; false */
bool parse_name(struct parser *p, const char *what, struct token *out);
bool parse_string(struct parser *p, const char *what, struct token *out);
/* From least to most milliseconds; `of` takes it, in the words of a complaint. */
bool parse_duration(struct parser *p, const char *of, uint64_t least, uint64_t most, uint64_t *ms);
struct span span_join(struct span from, struct span to);
const char *hint_meant(struct loader *l, struct str suggestion, const char *otherwise); /* "did you mean 'x'?" or otherwise */
const char *hint_words(struct loader *l, struct str word, const char *const *words, size_t count); /* did you mean, or "one of: ..." */
void *loader_grow(void *list, size_t count, size_t *cap, size_t item);
/* Enters "KIND NAME" into the names; complains and gives false when it is there. */
bool loader_claim(struct loader *l, const char *kind, struct str name, struct span span, void *value);
void *loader_find(const struct loader *l, const char *kind, struct str name);
void loader_hash(struct loader *l, struct str text);
/* Reads a file as seen from where `span` stands. NULL with *error. The text enters the digest; *path (scratch) is the path tried. */
struct source *loader_read(struct loader *l, const char *from, struct str name, const char **path, const char **error);
struct declaration *loader_declare(struct loader *l, enum declaration_kind kind, struct str name, struct span span);
/* Declares fact "PREFIX.NAME" of a declaration. */
void loader_fact(struct loader *l, struct declaration *d, const char *prefix, struct fact_info info);

/* expr.c */
struct expr *parse_expr(struct parser *p); /* NULL: complained */

/* declare.c */
bool parse_dns_list(struct parser *p, enum declaration_kind kind);
bool parse_mark(struct parser *p);
void declare_mark(struct loader *l, struct str name, struct span span);

/* rates.c */
bool parse_rate(struct parser *p);
void rates_needs(const struct loader *l, struct rule *rule); /* what the rates that it reads are counted by */
void rates_gather(struct loader *l);                         /* those that some rule reads */

/* lists.c */
bool parse_list(struct parser *p);
void list_domains(struct loader *l); /* the built-in list */
void list_free(struct list **list);

/* effects.c */
bool parse_effects(struct parser *p, struct parsed_rule *rule);

/* literal.c: false: complained (save literal_addrs, which only tries) */
bool literal_number(struct loader *l, const struct literal *v, enum fact_type type, int64_t *out);
bool literal_numbers(struct loader *l, const struct literal *v, enum fact_type type, struct number_range *out); /* one, or FIRST-LAST */
bool literal_addrs(struct str s, struct addr_range *out); /* an address, a prefix or FIRST-LAST */
bool literal_word(struct loader *l, const struct literal *v, const struct fact_info *info, int fact, struct str *out); /* lower case */
void literal_wrong(struct loader *l, const struct literal *v, enum fact_type type, const char *hint); /* says what was expected */

/* compile.c */
const struct node *compile(struct loader *l, const struct expr *expr);  /* NULL: complained */
void compile_condition(struct loader *l, struct condition *c);

/* stages.c */
/* Complains of facts that this stage cannot read. expr has compiled. */
void check_stage(struct loader *l, const struct expr *expr, enum stage stage);
bool check_stage_fact(struct loader *l, const struct fact_info *info, enum stage stage, struct span where, const struct condition *via);
void check_reached(struct loader *l);

/* text.c */
bool text_compile(struct loader *l, struct literal source, enum stage stage, struct text *out);

#endif
