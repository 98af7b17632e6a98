/* clock.c - the clocks of this machine. */
#include "postern/base/clock.h"

#include <stdlib.h>
#include <time.h>

static uint64_t read_ms(clockid_t id)
{
    struct timespec t;
    if (clock_gettime(id, &t) != 0)
        abort(); /* EINVAL only: no such clock */
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void read_both(struct clock *c)
{
    c->mono_ms = read_ms(CLOCK_MONOTONIC);
    c->wall_ms = read_ms(CLOCK_REALTIME);
}

void clock_real(struct clock *c)
{
    c->read = read_both;
    read_both(c);
}
