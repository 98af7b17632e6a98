/*
 * model.h - a loaded policy as its own room sees it.
 *
 * Everything hangs in the policy's arena, save maps and prefix sets (freed by policy_unref) and the sources that spans point into.
 * `struct node` is the compiled condition: compact, immutable, shared by all rules that use a condition by name.
 */
#ifndef POSTERN_POLICY_MODEL_H
#define POSTERN_POLICY_MODEL_H

#include "postern/base/map.h"
#include "postern/policy/policy.h"
#include "postern/policy/walk.h"

enum {
    RULES_MAX = 10000,       /* of all stages together; a trace has 16 bits for an index */
    NEST_MAX = 32,           /* depth of a condition, conditions by name followed */
    TESTS_MAX = 1000,        /* tests of a condition, conditions by name followed: bounds the work of one rule */
    INCLUDE_MAX = 8,         /* depth of includes */
    INCLUDE_FILES_MAX = 100, /* includes of a policy, one file counted as often as it is read */
    TEXT_MAX = 400,          /* bytes of a reply text or header value, facts filled in */
    TEXT_FACT_MAX = 128,     /* bytes that one fact may give to a text */
    ENTRY_MAX = 320,         /* bytes of a list's entry: an address at its longest (RFC 5321 4.5.3.1) */
};

/* --- sets and lists --- */

enum list_kind { LIST_IP, LIST_DOMAIN, LIST_ADDRESS, LIST_WORD };

struct list {
    struct str name;
    enum list_kind kind;
    struct map *entries;        /* DOMAIN, ADDRESS, WORD: lower-case entries; the values say nothing */
    struct prefix_set *prefixes; /* IP */
};

bool list_has_addr(const struct list *list, const struct addr *a);
bool list_has_text(const struct list *list, struct str s);

/* Words of a condition. below: a word that begins with a dot stands for every name below it. */
struct word_set {
    const struct str *words;
    size_t count;
};
bool word_set_has(const struct word_set *set, struct str s, bool below);

/* --- compiled conditions --- */

enum node_kind { NODE_AND, NODE_OR, NODE_NOT, NODE_TEST };

enum match {
    MATCH_STATE,     /* is error, absent, known */
    MATCH_NUMBERS,   /* BOOL, INT, SIZE, DURATION: in one of the ranges */
    MATCH_ADDRS,     /* ADDR, ADDRS: in one of the ranges */
    MATCH_ADDR_LIST, /* ADDR, ADDRS */
    MATCH_WORDS,     /* WORD, TEXT, NAMES: one of these words */
    MATCH_SET,       /* TEXT, NAMES: one of these words, or a name below one that begins with a dot */
    MATCH_TEXT_LIST, /* TEXT, WORD, NAMES */
    MATCH_GLOB,      /* TEXT, NAMES */
};

struct number_range { int64_t first, last; };

struct node {
    uint8_t kind;    /* enum node_kind */
    uint8_t match;   /* TEST: enum match */
    uint8_t state;   /* MATCH_STATE: enum fact_state */
    bool negate;     /* TEST: != */
    uint8_t depth;   /* levels below and including this one */
    uint16_t fact;   /* TEST */
    uint16_t tests;  /* TEST nodes below and including this one, counted as often as they are evaluated */
    uint16_t count;  /* children or ranges */
    union {
        const struct node *const *children;
        const struct number_range *numbers;
        const struct addr_range *addrs;
        const struct list *list;
        struct word_set words;
        struct str glob;
    } u;
};

/* --- texts with facts in them --- */

enum part_kind { PART_LITERAL, PART_FACT, PART_HELP, PART_ID };
struct text_part {
    enum part_kind kind;
    int fact;
    struct str literal;
};
struct text {
    const struct text_part *parts;
    size_t count;
};

/* --- rules --- */

enum effect_kind {
#define EFFECT(id, name, ends, syntax, help) EFFECT_##id,
#include "effects.def"
#undef EFFECT
    EFFECT_COUNT
};
extern const char *const effect_names[EFFECT_COUNT];
extern const bool effect_ends[EFFECT_COUNT];
/* The tables of effects and of what rates count in Markdown, as in README.md. */
void effects_markdown(struct buf *out);
void rates_markdown(struct buf *out);

struct effect {
    enum effect_kind kind;
    int64_t score;
    uint64_t ms;          /* TARPIT, MARK, GREYLIST */
    struct str name;      /* TAG: the word; HEADER: field name; MARK, CLASS: name */
    struct text text;     /* HEADER: value; REJECT, TEMPFAIL, GREYLIST: text */
    unsigned code;        /* REJECT, TEMPFAIL, GREYLIST */
    struct str enhanced;
    bool now;
};

struct rule {
    struct str name;
    struct str text;
    bool monitor;
    bool may_speak;            /* reject now, tempfail now, tarpit */
    const struct node *when;   /* NULL: always */
    const struct node *grey;   /* greylist: young and not known; judged only when `when` is true */
    const struct effect *effects;
    size_t effect_count;
    struct fact_bits needs;
    const char *file;
    unsigned line;
};

struct policy {
    unsigned references;
    struct arena arena;
    char *path;
    char digest[17];
    struct schema *schema;
    struct source **sources;
    size_t source_count;
    struct declaration *declarations;
    size_t declaration_count;
    struct list **lists;
    size_t list_count;
    struct rule *rules[STAGE_COUNT];
    size_t rule_count[STAGE_COUNT];
    const uint16_t *rates[RATE_COUNT]; /* indexes of declarations that some rule reads */
    size_t rate_count[RATE_COUNT];
    bool monitors_rates[STAGE_COUNT];  /* a monitor rule reads one */
    struct str *headers;
    size_t header_count;
};

/* Facts that a node reads, added to *bits. */
void node_facts(const struct node *node, struct fact_bits *bits);

/* Fills a text in: printable 7-bit, at most TEXT_MAX bytes. look() gives the values. */
struct text_values {
    const struct value *(*look)(struct text_values *v, int fact);
    int64_t score;
    struct str help, id;
};
struct str text_render(const struct text *text, struct text_values *values, struct arena *arena);

/* One effect in words: "score 8", "reject 550 5.7.1 text". text: filled in; counts: what a score gave after the limit. */
void effect_describe(struct buf *out, const struct effect *effect, struct str text, int64_t counts);

#endif
