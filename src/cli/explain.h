/*
 * explain.h - `postern explain`, in pieces: explain.c reads what is asked and what is needed, explain_gather.c opens scopes and waits for evidence,
 * explain_judge.c lets the policy speak, explain_text.c and explain_json.c show it.
 * explain_past.c tells of what has been judged already (--id), and needs none of these. Private to cli.
 *
 * The chain of scopes has no holes: a stage without input between two with input (a sender but no HELO name) gets a scope whose facts are all errors, "not
 * given"; its rules are not walked and its facts not shown.
 */
#ifndef POSTERN_CLI_EXPLAIN_H
#define POSTERN_CLI_EXPLAIN_H

#include "cli.h"
#include "postern/checks/dnsbl.h"
#include "postern/decide/decide.h"

enum { EXPLAIN_MANY = 64 }; /* --to, --assume, --resolver, --journal: each at most so often */

struct explain_options {
    const char *config, *client, *helo, *from, *message, *time, *id;
    const char *to[EXPLAIN_MANY], *assume[EXPLAIN_MANY], *resolver[EXPLAIN_MANY], *journal[EXPLAIN_MANY];
    size_t to_count, assume_count, resolver_count, journal_count;
    bool json;
};

struct assumption { int fact; struct value value; };

/* What would be answered, and who says so. Texts are borrowed from walks or the arena. */
struct conclusion {
    enum action action;
    bool by_rule;          /* a rule decided: stage and rule are set */
    enum stage stage;
    struct str rule;
    bool built_in;         /* Postern itself refuses, whatever the policy says */
    unsigned code;         /* REJECT, TEMPFAIL */
    struct str enhanced, text;
    int64_t score;         /* in all */
};

struct explain_recipient {
    struct path path;
    struct scope *scope;   /* reference */
    struct stage_verdict verdict; /* stage rcpt; not present when an earlier stage accepted */
    struct str class;
    bool mail_goes_on;
    struct conclusion conclusion;
};

struct explain {
    const struct cli_args *args;
    struct explain_options options;
    struct arena arena;              /* texts of this call */
    struct settings settings;
    struct policy *policy;
    struct loop *loop;
    uint64_t wall_ms;                /* the time that is explained */
    struct resolver *resolver;
    struct network *network;         /* to a Redis server; NULL: none */
    struct store *store;
    struct list_health *health;
    struct evidence_world world;
    struct task task;                /* woken by evidence */
    struct timer timer;              /* next deadline */
    unsigned dns_budget;
    struct subject subjects[STAGE_COUNT]; /* what is given; recipients have theirs below */
    bool given[STAGE_COUNT];
    enum stage deepest;              /* last stage with input */
    struct buf content;              /* the message, in wire form */
    bool nul_byte;                   /* of the message */
    struct assumption assumptions[EXPLAIN_MANY];
    size_t assumption_count;
    struct fact_bits assumed;
    struct scope *scopes[STAGE_COUNT]; /* references; not rcpt */
    struct stage_verdict verdicts[STAGE_COUNT];
    struct explain_recipient recipients[EXPLAIN_MANY];
    size_t recipient_count;
    struct str accepted_by;          /* stage and rule that made later stages needless; empty: none */
    struct conclusion conclusion;
};

/* Opens every scope that has input, starts every check and waits until all have ended, at their deadlines at the latest. */
void explain_gather(struct explain *e);
/* decide_stage(), waiting for what it still wants. */
void explain_stage(struct explain *e, struct scope *s, const struct decide_input *in, struct walk *walk);
void explain_judge(struct explain *e);
void explain_text(const struct explain *e, struct buf *out);
void explain_json(const struct explain *e, struct buf *out);
/* Is this fact of scope s to be shown as one of `stage`: known, and gathered or assumed? */
const struct value *explain_fact(const struct explain *e, const struct scope *s, enum stage stage, int fact);
/* Reads the message of --message into the subject. False: *error says why (static text or the system's). */
bool explain_read_message(struct explain *e, const char **error);

/* --id: from the journal. The exit status. */
int explain_past(const struct cli_args *args, const struct explain_options *options);

#endif
