/*
 * open.h - the store that the settings ask for, and the two that come from outside: a file of SQLite, a server of Redis.
 *
 * Open a store after a worker was forked and after privileges were dropped: neither a connection to SQLite nor the thread that
 * owns it survives a fork(), and the files beside the database must be writable for who runs on.
 */
#ifndef POSTERN_STORE_OPEN_H
#define POSTERN_STORE_OPEN_H

#include "postern/base/settings.h"
#include "postern/dns/resolver.h"
#include "postern/net/network.h"
#include "postern/store/store.h"

enum { STORE_SQLITE, STORE_MEMORY, STORE_REDIS }; /* settings.store */

#define STORE_DEFAULT_PATH "/var/lib/postern/postern.db"

/* NULL with *error (heap text for the administrator): a setting is wrong, or a directory named in `store-path` cannot be
 * written. A server or a file that does not work now is no error: its operations fail until it does. Where store is sqlite
 * and no store-path is set, the file is STORE_DEFAULT_PATH when its directory is there and can be written; else the store is
 * in memory, and a line of the log says so. `names` (may be NULL: then none is found) looks up the host name of a Redis server;
 * it outlives the store. */
struct store *store_open(struct loop *l, struct network *n, struct resolver *names, const struct settings *s, char **error);
/* What store_open() would complain of, without connecting to anything: for `postern check`. */
bool store_settings_good(const struct settings *s, char **error);
/* Without store-path: can STORE_DEFAULT_PATH be used? False with *why (heap text): the store will be in memory. */
bool store_default_good(char **why);
/* Why the file that is there cannot be used, as its header says; NULL: nothing speaks against it. The store would run, and each operation fail. */
const char *store_file_trouble(const struct settings *s);

/* Reads the files that the settings name (Redis: those for TLS, the password) anew, for connections from now on; the one that runs, and what is in
 * flight on it, goes on. s was opened with the same settings. False with *error (heap text): one of them is no good; all stays as it was. */
bool store_renew(struct store *s, const struct settings *settings, char **error);

/* The file at path (copied), made when it is not there, also when it is removed (with -wal and -shm beside it) while it is used.
 * Needs a real loop. Freeing it waits (at most 5 s) for what was recorded to be written. */
struct store *store_sqlite(struct loop *l, const char *path);

struct redis_settings { /* texts are copied */
    /* "192.0.2.1:6379", "[2001:db8::1]:6379", "redis.example:6379", the same with "redis://" or, for TLS, "rediss://" in front,
     * "/run/redis/redis.sock". Without a port it is 6379. */
    struct str address;
    /* TLS: the server is always verified (a chain to a CA, and its name) */
    struct str ca;            /* file of CA certificates; empty: the system's */
    struct str name;          /* among the certificate's names; empty: the host of the address */
    struct str certificate;   /* file of our own certificate, its chain behind it; empty: none is shown */
    struct str key;           /* file of its key; empty: in the file of the certificate */
    struct str user;          /* ACL user; empty: the default one */
    struct str password;      /* empty: no AUTH */
    struct str prefix;        /* in front of each key */
    uint64_t database;
    uint64_t deadline_ms;     /* of one operation: the oldest one without an answer ends the connection */
};
/* NULL with *error: the address is none, or a file for TLS cannot be used. */
struct store *store_redis(struct loop *l, struct network *n, struct resolver *names, const struct redis_settings *settings,
                          char **error);
/* As store_renew(). */
bool store_redis_renew(struct store *s, const struct redis_settings *settings, char **error);

#endif
