/*
 * test.c - `postern test`: transcripts and policy cases, by the runner that also tests Postern itself.
 */
#include "cli.h"
#include "postern/sim/runner.h"

int command_test(struct cli_args *a)
{
    struct sim_options options = {0};
    enum cli_option option;
    while ((option = cli_next(a)) != CLI_OPERANDS) {
        switch (option) {
        case OPTION_TEST_SWEEP: options.sweep = true; break;
        case OPTION_TEST_COVERAGE: options.coverage = true; break;
        case OPTION_TEST_VERBOSE: options.verbose = true; break;
        case OPTION_TEST_ONLY: options.only = a->value; break;
        default: return a->status;
        }
    }
    if (a->operand_count == 0)
        return cli_wrong(a, "name the files or directories to run");
    return sim_run(&options, a->operands, a->operand_count);
}
