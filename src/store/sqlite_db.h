/*
 * sqlite_db.h - one connection to a database file: rows in it, transactions, schema, sweeping. Blocks; knows no loop and no
 * thread.
 *
 * A connection belongs to the thread that opened it, and must never cross a fork(): SQLite's locks are the process's, and a
 * child that closes a descriptor of the file drops them. So a worker opens its own after it was forked (and after privileges
 * were dropped: the files it makes beside the database must be writable for who runs on).
 *
 * Errors are static text.
 */
#ifndef STORE_SQLITE_DB_H
#define STORE_SQLITE_DB_H

#include <sqlite3.h>

#include "operate.h"

enum { DATABASE_VERSION = 2 }; /* of the schema, kept in PRAGMA user_version */

enum statement {
    STATEMENT_GET, STATEMENT_PUT, STATEMENT_REMOVE, STATEMENT_WALK, STATEMENT_RULINGS,
    STATEMENT_GET_RATE, STATEMENT_PUT_RATE, STATEMENT_REMOVE_RATE, STATEMENT_WALK_RATES,
    STATEMENT_EXPIRED, STATEMENT_EXPIRED_RATES,
    STATEMENT_BEGIN, STATEMENT_BEGIN_IMMEDIATE, STATEMENT_COMMIT, STATEMENT_ROLLBACK,
    STATEMENT_COUNT
};

struct database { /* {0} and a path: closed */
    struct rows rows;
    const char *path;
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    int failure;               /* of SQLite: why the last thing failed; SQLITE_OK: nothing did */
    uint64_t busy_since_ms;    /* mono; while waiting for a lock */
};
enum {
    DATABASE_BUSY_MS = 1000, /* how long a lock that another process holds is waited for */
    DATABASE_SWEEP_ROWS = 100
};
/* Garbage is kept this long, so that a clock set back finds what it left. */
#define DATABASE_SWEEP_GRACE_MS ((uint64_t)3600 * 1000)

/* Makes the file and its tables, or brings an older schema up to date. */
bool database_open(struct database *d, const char **error);
void database_close(struct database *d);                    /* also when it is not open */
/* touch: takes the write lock at once, waiting for who has it; else with the first write. What fails leaves no transaction open. */
bool database_begin(struct database *d, bool touch);
bool database_commit(struct database *d);
void database_rollback(struct database *d);
/* Removes at most DATABASE_SWEEP_ROWS rows of each kind that expired long before now; *removed is the larger of the two
 * numbers. */
bool database_sweep(struct database *d, uint64_t now_ms, size_t *removed);
/* Another process was faster: it has the lock, or wrote since this transaction began to read. */
bool database_is_busy(const struct database *d);
/* The file cannot be trusted, or not be reached, with what is open now: close it and try again later. */
bool database_is_broken(const struct database *d);
/* What is open is not what stands at the path any more. (To put another file there, stop who uses it: SQLite would take the log
 * beside it, which belongs to the first, for its own.) */
bool database_has_moved(struct database *d);
const char *database_error(const struct database *d);
/* Brings the schema to a version of at least `version` (tests make old ones). */
bool database_migrate(struct database *d, int version);

#endif
