/*
 * run.h - one run of a script in a world of its own: its steps, its expectations, and what is wrong.
 *
 * A strict run says the first thing that was not as the script expects. A lenient run (perturbed so that replies may rightly
 * differ) drives the conversation as a sensible client would, and only the promises of the ledger count.
 */
#ifndef POSTERN_SIM_RUN_H
#define POSTERN_SIM_RUN_H

#include "world.h"

struct run {
    struct world world;
    const struct script *script;
    const struct perturbation *how;
    size_t at;                   /* step */
    char *failure;               /* heap: "file:line: ..."; NULL: none */
    struct awaited *awaited;     /* expectations of records that are not there yet */
    size_t awaited_count;
    unsigned speaker;            /* the client that said something last */
    struct driver { bool refused, skip_replies; } clients[ACTORS_MAX]; /* lenient: no 354, so no content */
};

/* Runs; r->failure says what was wrong. The world's tally and records stay until run_clear(). */
void run_script(struct run *r, const struct script *script, const struct perturbation *how);
void run_clear(struct run *r);
/* Keeps the first failure. */
void run_fail(struct run *r, const struct step *step, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* --- expect.c --------------------------------------------------------------------------------------------------------------- */
/* A step that is an expectation of records, messages, counters, log. */
bool expect_step(struct run *r, const struct step *step);
/* The transaction that was spoken of is over, or a new connection begins: what waits is judged now. */
void expect_settle(struct run *r);
void expect_record_came(struct run *r);
/* "PORT.N verdict", and that of a shadow behind it; so that records can be put in the order of their transactions. */
struct str record_verdict_line(struct arena *arena, struct str line, bool with_shadow);

#endif
