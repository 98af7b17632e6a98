/*
 * random.h - the one source of random numbers (a seam: simulation replaces it, so that a run is repeatable).
 */
#ifndef POSTERN_BASE_RANDOM_H
#define POSTERN_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Fills out with n random bytes: getrandom(2), or the generator that random_fix() seeded. */
void random_bytes(void *out, size_t n);
uint64_t random_u64(void);
/* From now on random_bytes() is a repeatable generator started at seed; 0 goes back to getrandom(2). */
void random_fix(uint64_t seed);

#endif
