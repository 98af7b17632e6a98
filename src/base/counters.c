/* counters.c - the tables made of counters.def, and the memory that is counted in until a supervisor gives another. */
#include "postern/base/counters.h"

static uint64_t own[COUNTER_COUNT];
uint64_t *counters = own;

const char *const counter_names[COUNTER_COUNT] = {
#define COUNTER(id, name, help) name,
#include "postern/base/counters.def"
#undef COUNTER
};

const char *const counter_help[COUNTER_COUNT] = {
#define COUNTER(id, name, help) help,
#include "postern/base/counters.def"
#undef COUNTER
};
