/*
 * suite.h - the stores that one suite runs against: memory, SQLite in a file, Redis in a server that the test starts, over its Unix
 * socket, and over TLS as a user with a password in a database of its own.
 */
#ifndef TESTS_STORE_SUITE_H
#define TESTS_STORE_SUITE_H

#include "server.h"

enum { MEMORY, SQLITE, REDIS, REDIS_TLS, KINDS };
static const char *const names[KINDS] = {"memory", "SQLite", "Redis", "Redis over TLS"};

static inline void begin(void)
{
    server_begin();
    redis_run();
    redis_add_proxy_user();
}

static inline struct store *open_kind(int kind)
{
    char path[128];
    switch (kind) {
    case MEMORY: return store_memory(loop, 100000);
    case SQLITE: return store_sqlite(loop, file_in("postern.db", path));
    case REDIS_TLS: return redis_open_tls(network, 10000);
    default: return redis_open(network, NULL, NULL, 10000);
    }
}

#endif
