/*
 * runner.h - `postern test`: transcripts (*.transcript) and policy cases (*.cases) run in one process and in virtual time; sweeps
 * run each transcript again, perturbed. The notation is described in tests/README.md.
 *
 *     tests/sessions/greylist.transcript:14: expected "451 4.7.1 *", server said "250 2.1.5 OK"
 *     tests/sessions/greylist.transcript: [dns 3 servfail]: 250 after the dot without a backend's 250
 *     131 passed, 2 failed
 */
#ifndef POSTERN_SIM_RUNNER_H
#define POSTERN_SIM_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct sim_options { /* {0} is a plain run */
    bool sweep;       /* --sweep: each transcript also perturbed; the invariants of a safe proxy are asserted */
    bool coverage;    /* --coverage: say which replies, commands and counters no transcript caused; 1 when there are any */
    bool verbose;     /* --verbose: a line for each file or case that passed too, and for a failure all that was said */
    const char *only; /* --only GLOB: names of cases or perturbations to run ("dns *"); NULL: all */
    FILE *out;        /* NULL: stdout */
};

/*
 * Runs files and, recursively and in the order of their names, what directories hold of *.transcript and *.cases. Prints each
 * failure and a last line "N passed, N failed" (with coverage, above it what was never caused). The result is the exit status: 0
 * all passed (and something ran), 1 something failed or could not be read. Random numbers, log, spool and counters of the process
 * are taken over while it runs and given back.
 */
int sim_run(const struct sim_options *options, char *const *paths, size_t count);

#endif
