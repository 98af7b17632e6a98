/*
 * record_read.h - a record read back from its line: the chain of facts, and what was recorded of each stage.
 *
 * Facts are read under a given policy's schema. A declared fact is the same fact only when name and definition agree; others
 * are left out, and so are facts that the schema does not have. Texts live in the line or the arena, which outlive this.
 *
 * Under the policy that was the record's shadow, verdicts and traces are those of the shadow, and of each fact its own comes before that of the
 * applied policy.
 */
#ifndef POSTERN_DECIDE_RECORD_READ_H
#define POSTERN_DECIDE_RECORD_READ_H

#include "decide_internal.h"

struct read_stage {
    bool seen;
    struct facts facts;         /* slots on the heap: record_read_clear() */
    struct str verdict, trace;  /* JSON as written; p NULL: null or missing */
};

struct read_recipient {
    struct str address, ruling;
    struct read_stage stage;
    struct read_recipient *next;
};

struct record_read {
    bool version_1, inconsistent;
    bool as_shadow;                        /* the given policy was the shadow, and had judged */
    struct str id, session_id, digest, help, verdict;
    int64_t negative_limit;
    struct read_stage stages[STAGE_COUNT]; /* rcpt is not used */
    struct read_stage sticky;              /* an earlier HELO whose refusal survived; seen: there was one */
    struct read_recipient *recipients;
    struct fact_bits declared;             /* declared facts that are the same in both */
    struct fact_bits shadow_declared;      /* and in the given policy and the shadow's part */
};

/* STR_NONE when the line could be read, else what is wrong with it (in the arena). *out is to be cleared in either case. */
struct str record_read(struct str line, const struct policy *p, struct arena *arena, struct record_read *out);
void record_read_clear(struct record_read *out);

/* --- record_diff.c --- */
struct str record_shown(struct str s, struct arena *arena); /* foreign text as part of a message: short and printable */
/* The same values in the same order; white space and escapes do not count. */
bool record_json_same(struct str a, struct str b, struct arena *arena);
struct str record_verdict_phrase(struct str verdict, struct arena *arena); /* "reject by listed" of a recorded verdict */
/* The first thing in which the verdict or the trace of a stage differs, in words; STR_NONE: they are the same. */
struct str record_verdict_difference(struct str was, struct str now, struct arena *arena);
struct str record_trace_difference(struct str was, struct str now, struct arena *arena);

#endif
