/*
 * store.c - how fast a store is, and how long it keeps the loop.
 *
 *     bench_store memory|sqlite|redis [rows=1000000] [place=FILE or ADDRESS] [seconds=10] [window=32] [pace=1000]
 *
 * The store is filled with greylist rows (one that holds them from the last run is taken as it is), half of them long expired, so
 * that sweeping goes on while the rest is measured. Then a mix of what a proxy asks (six greylist checks, two passes, two rates in
 * ten) runs twice: with `window` operations always in flight, for checks a second and latency; and at `pace` a second, for the
 * longest turn of the loop that waits for nothing. The same without any store tells what the machine itself does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "postern/store/open.h"

enum { BUCKETS = 64 * 16 };
static const uint64_t DAY_MS = 86400000, START_MS = 1700000000000;

static struct loop *loop;
static struct network *network;
static struct store *store;
static uint64_t rows = 1000000, seconds = 10, window = 32, pace = 1000;
static const char *place;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t pick(uint64_t below)
{
    static uint64_t seed = 88172645463325252ull;
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

/* --- latencies: sixteen buckets for each power of two --- */

static uint64_t buckets[BUCKETS], total, slowest, errors;

static void note(uint64_t ns)
{
    unsigned power = ns < 16 ? 4 : 63 - (unsigned)__builtin_clzll(ns);
    buckets[power * 16 + ((ns >> (power - 4)) & 15)]++;
    total++;
    slowest = ns > slowest ? ns : slowest;
}

static double microseconds_at(double share)
{
    uint64_t wanted = (uint64_t)((double)total * share), seen = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += buckets[i];
        if (seen > wanted)
            return (double)((16 + i % 16) << (i / 16 - 4)) / 1000;
    }
    return (double)slowest / 1000;
}

/* --- operations --- */

static size_t in_flight;
static const char *last_error;

static void done(void *context, const struct store_result *result)
{
    in_flight--;
    note(now_ns() - (uint64_t)(uintptr_t)context);
    if (result->error) {
        errors++;
        last_error = result->error;
    }
}

static struct str key_of(char key[96], uint64_t number)
{
    int n = snprintf(key, 96, "198.51.%llu.0/24 sender%llu@example.com recipient@our.example", (unsigned long long)number % 256,
                     (unsigned long long)number);
    return (struct str){key, (size_t)n};
}

static void begin_one(struct store_operation *op, uint64_t number)
{
    char key[96];
    op->key = key_of(key, number);
    in_flight++;
    store->ops->start(store, op, done, (void *)(uintptr_t)now_ns());
}

static bool is_there;
static void look(void *context, const struct store_result *result)
{
    (void)context;
    in_flight--;
    is_there = result->found;
}

/* Is the last row that lives on there, from an earlier run? */
static bool filled(void)
{
    char key[96];
    struct store_operation op = {.kind = STORE_GREYLIST, .mode = STORE_PEEK, .key = key_of(key, (rows - 1) & ~(uint64_t)1), .now_ms = START_MS};
    in_flight++;
    store->ops->start(store, &op, look, NULL);
    while (in_flight)
        loop_turn(loop, true);
    return is_there;
}

static void fill(void)
{
    uint64_t start = now_ns(), said = start;
    if (filled()) {
        printf("filled already with %llu rows\n", (unsigned long long)rows);
        return;
    }
    for (uint64_t i = 0; i < rows;) {
        while (in_flight < 500 && i < rows) {
            struct store_operation op = {
                .kind = STORE_GREYLIST, .mode = STORE_TOUCH, .now_ms = START_MS, .ttl_ms = i % 2 ? DAY_MS : 36 * DAY_MS};
            begin_one(&op, i++); /* odd ones have expired when the rest is measured */
        }
        loop_turn(loop, true);
        if (now_ns() - said > 5000000000) {
            said = now_ns();
            fprintf(stderr, "filling: %llu\n", (unsigned long long)i);
        }
    }
    while (in_flight)
        loop_turn(loop, true);
    printf("filled with %llu rows: %.0f a second, %llu errors\n", (unsigned long long)rows,
           (double)rows * 1e9 / (double)(now_ns() - start), (unsigned long long)errors);
}

static void begin_any(void)
{
    uint64_t kind = pick(10);
    struct store_operation op = {.kind = kind < 6   ? STORE_GREYLIST
                                         : kind < 8 ? STORE_PASSED
                                                    : STORE_RATE,
                                 .mode = STORE_TOUCH,
                                 .now_ms = START_MS + 2 * DAY_MS,
                                 .ttl_ms = 36 * DAY_MS,
                                 .client = STR("example.com"),
                                 .passes_known = 2,
                                 .window_ms = 3600000,
                                 .amount = 1};
    begin_one(&op, pick(rows * 2));
}

static void clear(void)
{
    memset(buckets, 0, sizeof buckets);
    total = slowest = errors = 0;
}

static void measure_speed(void)
{
    clear();
    uint64_t start = now_ns(), end = start + seconds * 1000000000;
    while (now_ns() < end) {
        while (in_flight < window)
            begin_any();
        loop_turn(loop, true);
    }
    printf(
        "%llu in flight: %.0f operations a second; latency p50 %.0f us, p99 %.0f us, p99.9 %.0f us, longest %.1f ms; "
        "%llu errors%s%s\n",
        (unsigned long long)window, (double)total * 1e9 / (double)(now_ns() - start), microseconds_at(0.5), microseconds_at(0.99),
        microseconds_at(0.999), (double)slowest / 1e6, (unsigned long long)errors, last_error ? ": " : "",
        last_error ? last_error : "");
    while (in_flight)
        loop_turn(loop, true);
}

/* How long single turns take that wait for nothing: wall time, and time of our own processor (which the machine's other work
 * does not disturb). */
static void measure_turns(bool with_store)
{
    uint64_t start = now_ns(), end = start + seconds * 1000000000, next = start, longest = 0, longest_cpu = 0, late[3] = {0};
    clear();
    while (now_ns() < end) {
        struct timespec a, b;
        for (; with_store && now_ns() >= next; next += 1000000000 / pace)
            begin_any();
        uint64_t from = now_ns();
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
        loop_turn(loop, false);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
        uint64_t took = now_ns() - from;
        uint64_t cpu = (uint64_t)(b.tv_sec - a.tv_sec) * 1000000000 + (uint64_t)b.tv_nsec - (uint64_t)a.tv_nsec;
        longest = took > longest ? took : longest;
        longest_cpu = cpu > longest_cpu ? cpu : longest_cpu;
        late[0] += took > 500000;
        late[1] += took > 1000000;
        late[2] += took > 2000000;
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL); /* the store's thread wants a processor too */
    }
    if (with_store)
        printf("turns of the loop with %llu operations a second: ", (unsigned long long)pace);
    else
        printf("turns of the loop without a store: ");
    printf("longest %.2f ms (%.2f ms of processor time); over 0.5 ms: %llu, over 1 ms: %llu, over 2 ms: %llu", (double)longest / 1e6, (double)longest_cpu / 1e6,
        (unsigned long long)late[0], (unsigned long long)late[1], (unsigned long long)late[2]);
    if (with_store)
        printf("; latency p50 %.0f us, p99 %.0f us, p99.9 %.0f us, longest %.1f ms", microseconds_at(0.5), microseconds_at(0.99),
               microseconds_at(0.999), (double)slowest / 1e6);
    printf("\n");
    while (in_flight)
        loop_turn(loop, true);
}

/* --- beginning --- */

static bool argument(const char *a)
{
    const struct {
        const char *name;
        uint64_t *value;
    } numbers[] = {{"rows=", &rows}, {"seconds=", &seconds}, {"window=", &window}, {"pace=", &pace}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct str value = str_of(a);
        if (str_starts(value, str_of(numbers[i].name)))
            return str_to_u64(str_sub(value, strlen(numbers[i].name), value.n), 1000000000, numbers[i].value) &&
                   *numbers[i].value > 0;
    }
    place = strncmp(a, "place=", 6) == 0 ? a + 6 : place;
    return strncmp(a, "place=", 6) == 0;
}

static bool open_store(const char *kind)
{
    char *error = NULL;
    if (strcmp(kind, "memory") == 0)
        store = store_memory(loop, rows * 4);
    else if (strcmp(kind, "sqlite") == 0)
        store = store_sqlite(loop, place ? place : "bench-store.db");
    else if (strcmp(kind, "redis") == 0)
        store = store_redis(loop, network, NULL,
                            &(struct redis_settings){.address = str_of(place ? place : "127.0.0.1:6379"),
                                                     .prefix = STR("bench:"),
                                                     .deadline_ms = 5000},
                            &error);
    if (error)
        fprintf(stderr, "%s\n", error);
    free(error);
    return store != NULL;
}

int main(int argc, char **argv)
{
    bool good = argc > 1;
    for (int i = 2; i < argc; i++)
        good = good && argument(argv[i]);
    loop = loop_new();
    network = network_real(loop);
    if (!good || !open_store(argv[1])) {
        fprintf(stderr, "usage: bench_store memory|sqlite|redis [rows=N] [place=FILE or ADDRESS] [seconds=N] [window=N] [pace=N]\n");
        return 2;
    }
    fill();
    measure_speed();
    measure_turns(true);
    measure_turns(false);
    store_free(&store);
    free(network);
    loop_free(&loop);
    return 0;
}
