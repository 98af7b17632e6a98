/*
 * sweep.h - a script again and again, each time perturbed in one way (DESIGN section 8).
 *
 * Two kinds. Where only pieces, windows or the order of answers change, all that the script expects must hold, and every record
 * says the same. Where something is cut, dies or fails, replies may differ, but the promises of the ledger hold.
 */
#ifndef POSTERN_SIM_SWEEP_H
#define POSTERN_SIM_SWEEP_H

#include "postern/sim/runner.h"
#include "script.h"

struct coverage;

struct sweep_totals {
    size_t runs, failed;
    const char *present; /* name of the perturbation under way, for a watchdog */
    struct coverage *coverage; /* what the plain run caused is added here; NULL: nobody asks */
};

/* The plain run first; it alone when options->sweep is not set. True: all as it should be. Failures go to options->out. */
bool sweep_run(const struct sim_options *options, const struct script *script, struct sweep_totals *totals);

#endif
