/*
 * suite.h - the stores that one suite runs against: memory, SQLite in a file, Redis in a server that the test starts.
 */
#ifndef TESTS_STORE_SUITE_H
#define TESTS_STORE_SUITE_H

#include "places.h"

enum { MEMORY, SQLITE, REDIS, KINDS };
static const char *const names[KINDS] = {"memory", "SQLite", "Redis"};

static struct network *network;

static inline void begin(void)
{
    loop = loop_new();
    network = network_real(loop);
    directory_make();
    redis_run();
}

static inline void end(void)
{
    redis_end();
    directory_remove();
    free(network);
    loop_free(&loop);
}

static inline struct store *open_kind(int kind)
{
    char path[128];
    switch (kind) {
    case MEMORY: return store_memory(loop, 100000);
    case SQLITE: return store_sqlite(loop, file_in("postern.db", path));
    default: return redis_open(network, NULL, NULL, 10000);
    }
}

#endif
