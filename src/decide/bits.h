/*
 * bits.h - sets of facts, as deciding needs them: union, membership in order.
 */
#ifndef POSTERN_DECIDE_BITS_H
#define POSTERN_DECIDE_BITS_H

#include "postern/facts/facts.h"

enum { FACT_BITS_WORDS = sizeof(struct fact_bits) / sizeof(uint64_t) };

static inline void bits_add(struct fact_bits *to, const struct fact_bits *from)
{
    for (int i = 0; i < FACT_BITS_WORDS; i++)
        to->word[i] |= from->word[i];
}

/* The first member at or after id, or -1. */
static inline int bits_next(const struct fact_bits *b, int id)
{
    for (int i = id / 64; i < FACT_BITS_WORDS; i++) {
        uint64_t word = b->word[i];
        if (i == id / 64)
            word &= ~(uint64_t)0 << (id % 64);
        if (word)
            return i * 64 + __builtin_ctzll(word);
    }
    return -1;
}

#endif
