/* siphash.h - SipHash-2-4 under a given key; other rooms use hash_bytes() of map.h. */
#ifndef POSTERN_BASE_SIPHASH_H
#define POSTERN_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t siphash_2_4(const uint64_t key[2], const void *bytes, size_t n);

#endif
