/*
 * walk.h - verdict = policy(evidence): one pure function, used by live filtering, explain, test, replay.
 *
 * Rules of a stage are read in order; the walk stops at the first rule whose condition is unknown (NOT_YET, and `wanted` says which facts
 * are lacking); a rule fires on true only. A rule whose text shows a fact waits for that fact too; the facts of `greylist` are wanted only
 * when the rule's condition is true, so a check that touches a store should be started by `wanted`, not ahead by policy_needs(). Conditions are true, false, unknown or error: and: false, unknown, error, true win in this order;
 * or: true, unknown, error, false; not swaps true and false only. So a verdict depends on the facts and never on the order in which they came.
 */
#ifndef POSTERN_POLICY_WALK_H
#define POSTERN_POLICY_WALK_H

#include "postern/policy/policy.h"

enum truth { TRUTH_FALSE, TRUTH_TRUE, TRUTH_UNKNOWN, TRUTH_ERROR };

enum action { /* how a stage ended */
    ACTION_NONE,     /* no rule decided: mail goes on */
    ACTION_PASS,     /* leave this stage */
    ACTION_ACCEPT,
    ACTION_REJECT,
    ACTION_TEMPFAIL  /* also what `greylist` becomes */
};
extern const char *const action_names[]; /* "none" "pass" "accept" "reject" "tempfail" */

struct mark { struct str name; uint64_t ms; struct str rule; };
struct tag_header { struct str name, value; struct str rule; }; /* a tag is X-Postern-Tag: WORD */

/* What one rule did, for explain, the journal and tests. */
struct trace_item {
    uint16_t rule;        /* index in its stage */
    uint8_t result;       /* enum rule_result */
    bool monitor;
    struct saw { int fact; const struct value *value; bool has_score; int64_t score; } *saw; /* facts that its condition looked at, first look first */
    uint16_t saw_count;
    struct str effect;    /* fired: what it did ("score 8", "reject 550 5.7.1 ..."), monitor: "would reject ..."; else empty */
};
enum rule_result { RULE_NO, RULE_FIRED, RULE_UNKNOWN, RULE_ERROR, RULE_NOT_REACHED };
extern const char *const rule_result_names[]; /* "no" "fired" "unknown" "error" "not reached" */

struct walk {
    bool done;               /* false: NOT_YET, `wanted` is set and the rest holds what fired before the stop */
    enum action action;
    bool now;                /* reject now, tempfail now */
    bool greylisted;         /* the action came from a greylist effect */
    unsigned code;           /* REJECT, TEMPFAIL: reply code */
    struct str enhanced;     /* "5.7.1" */
    struct str text;         /* facts filled in; 7-bit printable; without the id */
    int rule;                /* index of the deciding rule, -1: none */
    size_t stopped_at;       /* NOT_YET: index of the rule that lacks something */
    int64_t score;           /* this stage's own sum, negative scores as far as the limit lets them count */
    int64_t negative;        /* of it: what negative scores gave, <= 0 */
    struct str class;        /* empty: no rule set one */
    uint64_t tarpit_ms;      /* sum of fired tarpits */
    struct mark *marks; size_t mark_count;
    struct tag_header *headers; size_t header_count;
    struct fact_bits wanted; /* facts that were unknown where the walk stopped; with_monitor: also those that monitor rules lack, which never
                              * stop the walk (so a walk that is done may still want some) */
    struct trace_item *trace; size_t trace_count; /* one a rule, in order, when asked for */
};

struct walk_input {
    enum stage stage;
    const struct facts *facts;   /* of the stage's scope */
    int64_t score;               /* sum of walk.score of the earlier stages that count */
    int64_t negative;            /* sum of walk.negative of the same stages, <= 0 */
    /*
     * What negative scores give in all stages together is at least -negative_limit (a setting, >= 0). Exactly: a fired `score N` with N < 0
     * counts max(N, -(negative_limit + negative so far)), the stage's own so far included; positive scores do not enter into it, so a
     * large positive one buys no more forgiveness and the order of rules changes no total.
     */
    int64_t negative_limit;
    bool with_monitor;           /* also judge monitor rules (never applied; only in the trace) */
    bool with_trace;
    struct str help;             /* {help} in texts */
    struct str id;               /* {id} in texts */
};

/* Runs a stage. Everything in *out lives in the arena (or the policy, or the facts). Pure: the same input gives the same output. */
void policy_walk(const struct policy *p, const struct walk_input *in, struct arena *arena, struct walk *out);

/* "reject by listed", "none" ... for logs and tests. */
struct str walk_summary(const struct policy *p, enum stage stage, const struct walk *w, struct arena *arena);
/* One line of text a rule: "rcpt  listed  fired  reject 550 5.7.1 ...   score=8 dnsbl.listed=zen" (explain). */
void trace_text(const struct policy *p, enum stage stage, const struct walk *w, struct buf *out);
/* JSON array items: {"stage","rule","result","monitor"?,"saw":{fact:value},"effect"?} */
void trace_json(const struct policy *p, enum stage stage, const struct walk *w, struct json *j);

#endif
