/*
 * counters.h - events that are counted, from counters.def. Plain memory; a supervisor may point `counters` at shared memory.
 */
#ifndef POSTERN_BASE_COUNTERS_H
#define POSTERN_BASE_COUNTERS_H

#include <stdint.h>

enum counter {
#define COUNTER(id, name, help) COUNTER_##id,
#include "postern/base/counters.def"
#undef COUNTER
    COUNTER_COUNT
};

extern uint64_t *counters; /* COUNTER_COUNT values */
extern const char *const counter_names[COUNTER_COUNT];
extern const char *const counter_help[COUNTER_COUNT];

static inline void count(enum counter c)
{
    counters[c]++;
}

#endif
