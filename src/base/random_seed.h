/*
 * random_seed.h - the key of hash_bytes(); for map.c only.
 *
 * It is drawn beside the repeatable generator, not from it: whether a map was used before must not change the numbers that a
 * simulated run sees. Under random_fix() it is one constant.
 */
#ifndef POSTERN_BASE_RANDOM_SEED_H
#define POSTERN_BASE_RANDOM_SEED_H

#include <stdint.h>

void random_hash_seed(uint64_t key[2]);

#endif
