/*
 * clock.h - the two clocks, behind one seam.
 *
 * `mono` counts milliseconds from an arbitrary start and never goes back: deadlines use it. `wall` is milliseconds since 1970 UTC:
 * records, headers and the store use it. Real clocks call clock_gettime(2); simulation moves both by hand.
 */
#ifndef POSTERN_BASE_CLOCK_H
#define POSTERN_BASE_CLOCK_H

#include <stdint.h>

struct clock {
    void (*read)(struct clock *c); /* refreshes the two fields; NULL: they move by hand only */
    uint64_t mono_ms;
    uint64_t wall_ms;
};

void clock_real(struct clock *c); /* a clock of this machine, read once */

#endif
