/*
 * cases.h - policy cases: given facts, what the policy says. No session, no clock, no network (notation: tests/README.md).
 */
#ifndef POSTERN_SIM_CASES_H
#define POSTERN_SIM_CASES_H

#include "postern/base/source.h"
#include "postern/sim/runner.h"

struct cases_totals { size_t passed, failed; };

/* Reads and runs; failures go to options->out. Borrows the source. */
void cases_run(const struct sim_options *options, const struct source *source, struct cases_totals *totals);

#endif
