/*
 * policy.h - the policy language, loaded: declarations, conditions, stages of rules (DESIGN section 5; policy/README.md is the reference).
 *
 * A policy is immutable after loading and reference counted. Loading is lex, parse, validate; every complaint carries a place and a caret.
 */
#ifndef POSTERN_POLICY_POLICY_H
#define POSTERN_POLICY_POLICY_H

#include "postern/base/source.h"
#include "postern/facts/facts.h"

enum declaration_kind { DECLARE_DNSBL, DECLARE_DNSWL, DECLARE_LIST, DECLARE_RATE, DECLARE_MARK, DECLARE_CONDITION };

enum rate_kind { /* what a rate counts */
#define RATE(id, word, stage, help) RATE_##id,
#include "postern/policy/rates.def"
#undef RATE
    RATE_COUNT
};

/* What checks need to know of a declaration that makes a fact. */
struct declaration {
    enum declaration_kind kind;
    struct str name;
    int fact;          /* id of dnsbl.NAME, dnswl.NAME, rate.NAME, marked.NAME; -1: makes none */
    /* DNSBL, DNSWL: */
    struct str zone;   /* lower case, without a trailing dot */
    bool ipv4, ipv6;   /* address families the list knows; default both */
    unsigned v6_bits;  /* 64: host bits zeroed before asking (default); 128: whole address */
    struct str hide;   /* part of the zone that replies, logs and records never show (the key of a private mirror); empty: none */
    bool probe;        /* RFC 5782 section 5 test points are asked (default) */
    /* RATE: */
    enum rate_kind counts;
    int key;           /* the fact by which it is counted */
    uint64_t window_ms;
    struct span span;
};

/*
 * Syntax of the declarations that make facts:
 *     dnsbl NAME "zone" [ipv4] [ipv6] [whole-ipv6] [no-probe] [key "secret"]
 * `key "secret"`: the zone may hold {key}; the secret stands there when asking and "<key>" is shown instead anywhere else.
 *     rate NAME connections|errors|messages|recipients|unknown by FACT over DURATION
 * marked.NAME comes into being by a rule's `mark NAME DURATION` effect anywhere in the policy, or by `mark NAME` as a declaration.
 */

struct policy_input { /* what a load needs from outside */
    struct source_reader *reader;      /* NULL: source_files */
    const struct str *domains;         /* the built-in list `domains` */
    size_t domain_count;
    struct str help;                   /* {help} in texts: the setting of that name */
};

struct policy;
/* NULL when there are errors (in diags); warnings alone do not stop it. One reference is returned. */
struct policy *policy_load(const char *path, const struct policy_input *input, struct diags *diags);
struct policy *policy_ref(struct policy *p);
void policy_unref(struct policy **p);

struct schema *policy_schema(const struct policy *p);
const char *policy_path(const struct policy *p);
/* A digest of all texts it was read from, list files and the built-in list `domains` included (FNV-1a, 64 bits; hex, 16 digits; the same on
 * every machine): records name the policy that made them. */
const char *policy_digest(const struct policy *p);
size_t policy_declaration_count(const struct policy *p);
const struct declaration *policy_declaration(const struct policy *p, size_t i);
const struct declaration *policy_declaration_of_fact(const struct policy *p, int fact); /* NULL: none */

/* The rates that count this and that some rule reads, monitor rules included: the others are not counted. */
size_t policy_rate_count(const struct policy *p, enum rate_kind kind);
const struct declaration *policy_rate(const struct policy *p, enum rate_kind kind, size_t i);
bool policy_monitors_rates(const struct policy *p, enum stage stage); /* does a monitor rule of the stage read one? */

/* Is text in the list of this name (domain, address or word lists)? False when there is no such list. */
bool policy_list_has(const struct policy *p, struct str name, struct str text);

/* --- rules as others see them --- */
size_t policy_rule_count(const struct policy *p, enum stage stage);
struct rule_info {
    struct str name;
    struct str text;      /* the rule as written, one line */
    bool monitor;
    const char *file;
    unsigned line;
};
struct rule_info policy_rule(const struct policy *p, enum stage stage, size_t i);
/* The facts that the rules of a stage read (conditions and texts; conditions by name resolved; greylist's own facts and what a rate is counted
 * by included). `score` is not among them: the walk makes it. */
struct fact_bits policy_needs(const struct policy *p, enum stage stage, bool with_monitor_rules);
/* Could a rule at index >= from of this stage speak before RCPT (`reject now`, `tempfail now`, tarpit)? False for stages
 * rcpt and data. */
bool policy_may_speak(const struct policy *p, enum stage stage, size_t from);
/* Names that our tags and headers use: incoming fields of these names are removed. "X-Postern-Tag" is among them when a rule tags. Monitor
 * rules write nothing and do not count. */
size_t policy_header_count(const struct policy *p);
struct str policy_header(const struct policy *p, size_t i);

#endif
