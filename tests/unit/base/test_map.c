/* The hash map, SipHash, and the random numbers behind its seed. */
#include "postern/base/map.h"
#include "postern/base/random.h"
#include "siphash.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The paper's test vectors: key 00..0f, message 00 01 02 ... of n bytes. */
Test(siphash, vectors_of_the_paper)
{
    static const uint64_t expected[] = {0x726fdb47dd0e0e31u, 0x74f839c593dc67fdu, 0x0d6c8009d9a94f5au, 0x85676696d7fb7e2du,
                                        0xcf2794e0277187b7u, 0x18765564cd99a68du, 0xcbc9466e58fee3ceu, 0xab0200f58b01d137u,
                                        0x93f5f5799a932462u, 0x9e0082df0ba9e4b0u};
    static const uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    unsigned char message[16];
    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (unsigned char)i;
    for (size_t n = 0; n < sizeof expected / sizeof expected[0]; n++)
        cr_assert_eq(siphash_2_4(key, message, n), expected[n], "%zu bytes", n);
    cr_assert_eq(siphash_2_4(key, message, 15), 0xa129ca6149be45e5u);
}

Test(map, put_get_remove)
{
    struct map *m = map_new();
    int a, b;
    cr_assert_null(map_get(m, STR("x")));
    cr_assert_null(map_remove(m, STR("x")));
    cr_assert_null(map_put(m, STR("x"), &a));
    cr_assert_eq(map_get(m, STR("x")), &a);
    cr_assert_eq(map_put(m, STR("x"), &b), &a);
    cr_assert_eq(map_count(m), 1);
    cr_assert_eq(map_remove(m, STR("x")), &b);
    cr_assert_null(map_get(m, STR("x")));
    cr_assert_eq(map_count(m), 0);
    map_free(&m, NULL);
    cr_assert_null(m);
    map_free(&m, NULL);
}

Test(map, keys_are_bytes)
{
    struct map *m = map_new();
    int v[5];
    map_put(m, STR(""), &v[0]);
    map_put(m, STR("\0"), &v[1]);
    map_put(m, STR("\0\0"), &v[2]);
    map_put(m, STR("a\0b"), &v[3]);
    map_put(m, STR("A\0b"), &v[4]);
    cr_assert_eq(map_count(m), 5);
    cr_assert_eq(map_get(m, STR_NONE), &v[0]);
    cr_assert_eq(map_get(m, STR("\0\0")), &v[2]);
    cr_assert_eq(map_get(m, STR("a\0b")), &v[3]);
    char key[] = "copied";
    map_put(m, str_of(key), &v[0]);
    memset(key, 'x', 6);
    cr_assert_eq(map_get(m, STR("copied")), &v[0]);
    map_free(&m, NULL);
}

Test(map, frees_values)
{
    struct map *m = map_new();
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        free(map_put(m, str_of(key), xmalloc(10)));
    }
    free(map_remove(m, STR("k7")));
    map_free(&m, free);
}

/* A long pseudo-random mix of puts and removes agrees with a plain array, and the order is that of insertion. */
Test(map, agrees_with_an_array)
{
    enum { KEYS = 500, STEPS = 60000 };
    static unsigned stamp[KEYS]; /* when it was put; 0: not there */
    static char values[KEYS];
    struct map *m = map_new();
    uint32_t x = 7;
    for (unsigned step = 1; step <= STEPS; step++) {
        x = x * 1664525 + 1013904223;
        unsigned k = (x >> 8) % (step < STEPS / 2 ? KEYS : 20); /* large, then small */
        bool put = (x >> 28) < (step % 20000 < 10000 ? 11u : 5u);
        char key[16];
        snprintf(key, sizeof key, "key-%u", k);
        void *before = stamp[k] ? &values[k] : NULL;
        cr_assert_eq(map_get(m, str_of(key)), before);
        if (put) {
            cr_assert_eq(map_put(m, str_of(key), &values[k]), before);
            stamp[k] = before ? stamp[k] : step;
        } else {
            cr_assert_eq(map_remove(m, str_of(key)), before);
            stamp[k] = 0;
        }
        if (step % 997 != 0)
            continue;
        size_t cursor = 0, seen = 0, there = 0;
        unsigned last = 0;
        struct str at;
        void *value;
        while (map_next(m, &cursor, &at, &value)) {
            size_t number = (size_t)((char *)value - values);
            cr_assert_gt(stamp[number], last, "order of insertion");
            last = stamp[number];
            seen++;
        }
        for (size_t i = 0; i < KEYS; i++)
            there += stamp[i] != 0;
        cr_assert_eq(seen, there);
        cr_assert_eq(map_count(m), there);
    }
    map_free(&m, NULL);
}

Test(map, removing_while_iterating)
{
    struct map *m = map_new();
    static int values[100];
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        values[i] = i;
        map_put(m, str_of(key), &values[i]);
    }
    size_t cursor = 0;
    struct str key;
    void *value;
    int seen = 0;
    while (map_next(m, &cursor, &key, &value)) {
        cr_assert_eq(*(int *)value, seen);
        if (seen % 3 != 0)
            map_remove(m, key);
        seen++;
    }
    cr_assert_eq(seen, 100);
    cr_assert_eq(map_count(m), 34);
    cursor = 0;
    for (int i = 0; map_next(m, &cursor, NULL, &value); i++)
        cr_assert_eq(*(int *)value, 3 * i);
    map_free(&m, NULL);
}

/* A queue in a map: in at the end, out at the front; must not become slower with each round. */
Test(map, oldest_first_out)
{
    struct map *m = map_new();
    int v;
    for (unsigned i = 0; i < 200000; i++) {
        char key[16];
        struct str oldest;
        size_t cursor = 0;
        snprintf(key, sizeof key, "%u", i);
        map_put(m, str_of(key), &v);
        if (map_count(m) <= 1000)
            continue;
        cr_assert(map_next(m, &cursor, &oldest, NULL));
        map_remove(m, oldest);
    }
    cr_assert_eq(map_count(m), 1000);
    map_free(&m, NULL);
}

Test(map, hash_is_one_function_per_process)
{
    uint64_t h = hash_bytes("abc", 3);
    cr_assert_eq(hash_bytes("abc", 3), h);
    random_fix(5);
    cr_assert_eq(hash_bytes("abc", 3), h, "the key is drawn once");
    cr_assert_neq(hash_bytes("abd", 3), h);
    cr_assert_neq(hash_bytes("abc", 2), h);
}

Test(random, fixed_repeats)
{
    unsigned char a[100], b[100];
    random_fix(42);
    random_bytes(a, sizeof a);
    random_fix(42);
    hash_bytes("x", 1); /* the first use of the hash draws its key: that must not be seen here */
    random_bytes(b, sizeof b);
    cr_assert_arr_eq(a, b, sizeof a);
    random_bytes(b, sizeof b);
    cr_assert(memcmp(a, b, sizeof a) != 0);
    random_fix(43);
    random_bytes(b, sizeof b);
    cr_assert(memcmp(a, b, sizeof a) != 0);
    random_fix(42);
    uint64_t first = random_u64();
    cr_assert(memcmp(&first, a, sizeof first) == 0);
}

Test(random, system_does_not_repeat)
{
    random_fix(1);
    random_u64();
    random_fix(0);
    uint64_t seen[64];
    for (size_t i = 0; i < 64; i++) {
        seen[i] = random_u64();
        for (size_t k = 0; k < i; k++)
            cr_assert_neq(seen[i], seen[k]);
    }
    unsigned char all[4096] = {0};
    random_bytes(all, sizeof all);
    size_t zeros = 0;
    for (size_t i = 0; i < sizeof all; i++)
        zeros += all[i] == 0;
    cr_assert_lt(zeros, 100);
    random_bytes(NULL, 0);
}
