/*
 * coverage.h - what the transcripts of a run caused: which replies of the table were made, which verbs were said, which counters
 * moved.
 *
 * A reply that no transcript ever heard is one that nobody knows to be right. Reasons to hang up have a counter each, or a reply
 * of their own (src/session/hangups.def), so they are covered with these.
 */
#ifndef POSTERN_SIM_COVERAGE_H
#define POSTERN_SIM_COVERAGE_H

#include "postern/base/counters.h"
#include "postern/smtp/command.h"

#include <stdio.h>

struct coverage { /* {0} is none */
    uint64_t replies[REPLY_COUNT], verbs[VERB_COUNT], counters[COUNTER_COUNT];
};

/* Before a run: what was counted until now does not belong to it. The run itself sets its counters to 0. */
void coverage_begin(void);
/* After it: what it caused is added. */
void coverage_add(struct coverage *c);
/* Prints what was never caused, one a line; how many these are. */
size_t coverage_report(const struct coverage *c, FILE *out);

#endif
