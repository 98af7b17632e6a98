/*
 * record.h - the record of one transaction (or of a connection without one): what the journal holds, and its re-evaluation.
 *
 * A record names the policy, and for each stage the facts with the time each came, the verdict, the trace; for each recipient the
 * same; then the replies and how it ended (its members: src/decide/record_write.c). Texts with {id} get session_id in stages connect and
 * helo, id in later ones: the walks of live stages must say the same. record_judge() reads such a line back, rebuilds the facts, walks
 * the policy's rules again and says whether verdict and trace are the same: under the policy that made it they are, always (DESIGN
 * section 6, MUST).
 */
#ifndef POSTERN_DECIDE_RECORD_H
#define POSTERN_DECIDE_RECORD_H

#include "postern/decide/decide.h"

struct record_recipient {
    struct scope *scope;          /* NULL: refused before any scope (syntax, relay); then only address and reply */
    struct stage_verdict verdict; /* stage rcpt */
    struct str address;
    struct str reply;             /* "550 5.7.1 ..." as spoken to the client */
    const char *by;               /* who decided the reply: "policy", "backend", "postern" */
    bool accepted;
    struct record_recipient *next;
};

/* Borrowed view of everything that goes into one record; whoever fills it owns the parts. */
struct record {
    struct str id, session_id;
    uint64_t start_wall_ms, end_wall_ms;
    struct policy *policy;
    struct addr_port client;
    struct str listener;
    bool esmtp, tls;
    struct scope *scopes[STAGE_COUNT];          /* connect, helo, mail, data; rcpt is per recipient; NULL: never opened */
    struct stage_verdict verdicts[STAGE_COUNT]; /* likewise */
    bool sticky_helo;                           /* verdicts[HELO] is the refusal of an earlier HELO name that survives a changed one */
    struct scope *sticky_scope;                 /* its scope then; its facts are recorded in place of the present helo's for that verdict */
    struct record_recipient *recipients;
    struct str reply;                           /* to the dot (or to what ended it), as spoken */
    const char *reply_by;                       /* "backend", "policy", "postern"; NULL: none */
    const char *end;                            /* "delivered", "refused", "deferred", "failed", "no-recipients", "reset", "client-left", "client-left-after-dot",
                                                   "timeout", "no-transaction" */
    struct str backend;                         /* address it was given to; empty: none */
    int64_t negative_limit;
    struct str help;
    const struct shadow *shadow;                /* what the shadow policy would have done (shadow.h); NULL: there is none */
};

/* Appends one JSON line with \n. Walks again with trace and monitor rules, over the facts as they are now. */
void record_write(const struct record *r, struct buf *out);

struct record_judgement {
    bool readable;            /* false: `why` says what is wrong with the line */
    bool same_policy;         /* digest matches */
    bool same;                /* every verdict and trace is the same */
    struct str why;           /* first difference, in words ("rcpt <u@our.test>: was reject by listed, now none") */
    struct str was, now;      /* overall verdicts, "reject by listed" */
};
/* Reads a journal line and judges it under p: as the policy that was applied, or, when p is the one that was its shadow, as the shadow. Texts
 * live in the arena. */
struct record_judgement record_judge(struct str line, struct policy *p, struct arena *arena);

#endif
