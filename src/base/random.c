/*
 * random.c - getrandom(2), or a repeatable generator (splitmix64) in its place.
 *
 * The generator's state is one number per process; simulation is single-threaded.
 */
#include "postern/base/random.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "random_seed.h"

static bool fixed;
static uint64_t state;

static uint64_t step(uint64_t *s)
{
    uint64_t z = *s += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void system_random(char *out, size_t n)
{
    while (n > 0) {
        ssize_t got = getrandom(out, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            fputs("postern: no random numbers from the system\n", stderr);
            abort();
        }
        out += got;
        n -= (size_t)got;
    }
}

void random_bytes(void *out, size_t n)
{
    char *p = out;
    if (!fixed) {
        system_random(p, n);
        return;
    }
    while (n > 0) {
        uint64_t word = step(&state);
        size_t take = n < sizeof word ? n : sizeof word;
        memcpy(p, &word, take);
        p += take;
        n -= take;
    }
}

uint64_t random_u64(void)
{
    uint64_t v;
    random_bytes(&v, sizeof v);
    return v;
}

void random_fix(uint64_t seed)
{
    fixed = seed != 0;
    state = seed;
}

void random_hash_seed(uint64_t key[2])
{
    if (!fixed) {
        system_random((char *)key, 2 * sizeof key[0]);
        return;
    }
    uint64_t apart = 0x706f737465726eu;
    key[0] = step(&apart);
    key[1] = step(&apart);
}
