/* must.h - what has to be so, however the input: else it is a finding. Not an assert: it must not depend on how the target is built. */
#ifndef TESTS_FUZZ_MUST_H
#define TESTS_FUZZ_MUST_H

#include <stdbool.h>
#include <stdlib.h>

static inline void must(bool good)
{
    if (!good)
        abort();
}

#endif
