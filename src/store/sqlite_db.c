/*
 * sqlite_db.c - rows in a file of SQLite: WAL, so that readers and one writer go on side by side; synchronous NORMAL, so that a
 * power failure can lose the last moments but never the file.
 *
 * Keys are blobs without foreign text in SQL: everything is bound. Two tables: `entry` (all kinds of rows) and `rate`, both
 * clustered by their key and indexed by expiry; views show them to people with a shell (sqlite3 postern.db 'select * from
 * greylist').
 *
 * A file from outside may hold anything: numbers are clipped when they are read, and SQLite is told not to trust the schema.
 */
#include "sqlite_db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* --- texts ------------------------------------------------------------------------------------------------------------------ */

static const char *const statement_texts[STATEMENT_COUNT] = {
    [STATEMENT_GET] = "SELECT key, first, last, expires, passed, refused FROM entry WHERE kind = ?1 AND key = ?2",
    [STATEMENT_PUT] = "INSERT INTO entry (kind, key, first, last, expires, passed, refused) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) "
                      "ON CONFLICT (kind, key) DO UPDATE SET first = ?3, last = ?4, expires = ?5, passed = ?6, refused = ?7",
    [STATEMENT_REMOVE] = "DELETE FROM entry WHERE kind = ?1 AND key = ?2",
    [STATEMENT_WALK] = "SELECT key, first, last, expires, passed, refused FROM entry WHERE kind = ?1 AND key >= ?2 ORDER BY key",
    [STATEMENT_RULINGS] = "SELECT EXISTS (SELECT 1 FROM entry WHERE kind = ?1)",
    [STATEMENT_GET_RATE] = "SELECT key, width, newest, slots, expires FROM rate WHERE key = ?2",
    [STATEMENT_PUT_RATE] = "INSERT INTO rate (key, width, newest, slots, expires) VALUES (?2, ?3, ?4, ?5, ?6) "
                           "ON CONFLICT (key) DO UPDATE SET width = ?3, newest = ?4, slots = ?5, expires = ?6",
    [STATEMENT_REMOVE_RATE] = "DELETE FROM rate WHERE key = ?2",
    [STATEMENT_WALK_RATES] = "SELECT key, width, newest, slots, expires FROM rate WHERE key >= ?2 ORDER BY key",
    [STATEMENT_EXPIRED] = "SELECT key, kind FROM entry WHERE expires <= ?1 ORDER BY expires LIMIT ?2",
    [STATEMENT_EXPIRED_RATES] = "SELECT key, 4 FROM rate WHERE expires <= ?1 ORDER BY expires LIMIT ?2",
    [STATEMENT_BEGIN] = "BEGIN",
    [STATEMENT_BEGIN_IMMEDIATE] = "BEGIN IMMEDIATE",
    [STATEMENT_COMMIT] = "COMMIT",
    [STATEMENT_ROLLBACK] = "ROLLBACK",
};

/* How the views show keys and times. */
#define KEY "replace(CAST(key AS TEXT), char(10), ' ') AS key"
#define TIME(column) "datetime(" column " / 1000, 'unixepoch')"

/* Step n leads from version n to n + 1. Never change a step: add one. */
static const char *const steps[DATABASE_VERSION] = {
    "CREATE TABLE entry (kind INTEGER NOT NULL, key BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, "
    "expires INTEGER NOT NULL, passed INTEGER NOT NULL, refused INTEGER NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;"
    "CREATE INDEX entry_expires ON entry (expires);"
    "CREATE TABLE rate (key BLOB NOT NULL PRIMARY KEY, width INTEGER NOT NULL, newest INTEGER NOT NULL, slots BLOB NOT NULL, "
    "expires INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX rate_expires ON rate (expires);",

    "CREATE VIEW greylist AS SELECT " KEY ", " TIME("first") " AS first_seen, " TIME("last") " AS last_seen, "
    TIME("expires") " AS expires, passed FROM entry WHERE kind = 0;"
    "CREATE VIEW client AS SELECT " KEY ", " TIME("last") " AS last_seen, " TIME("expires") " AS expires, passed "
    "FROM entry WHERE kind = 1;"
    "CREATE VIEW mark AS SELECT " KEY ", " TIME("first") " AS first_marked, " TIME("expires") " AS expires "
    "FROM entry WHERE kind = 2;"
    "CREATE VIEW history AS SELECT " KEY ", " TIME("first") " AS first_seen, " TIME("last") " AS last_seen, passed, refused "
    "FROM entry WHERE kind = 3;"
    "CREATE VIEW ruling AS SELECT " KEY ", iif(passed, 'allow', 'deny') AS ruling, " TIME("first") " AS since "
    "FROM entry WHERE kind = 5;",
};

static const char settings[] =
    "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384; "
    "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 67108864";

/* --- statements ------------------------------------------------------------------------------------------------------------- */

static struct database *database_of(struct rows *r)
{
    return (struct database *)r;
}

/* True: it went well, or `rc` is what was hoped for. */
static bool note(struct database *d, int rc)
{
    bool good = rc == SQLITE_OK || rc == SQLITE_DONE || rc == SQLITE_ROW;
    d->failure = good ? SQLITE_OK : rc;
    return good;
}

static bool run(struct database *d, enum statement which)
{
    sqlite3_stmt *s = d->statements[which];
    int rc = sqlite3_step(s);
    sqlite3_reset(s);
    return note(d, rc);
}

static sqlite3_stmt *with_key(struct database *d, enum statement which, enum store_table table, struct str key)
{
    sqlite3_stmt *s = d->statements[which];
    sqlite3_bind_int(s, 1, (int)table);
    if (sqlite3_bind_parameter_count(s) >= 2)
        sqlite3_bind_blob(s, 2, key.n ? key.p : "", (int)key.n, SQLITE_STATIC);
    return s;
}

static uint64_t number_at(sqlite3_stmt *s, int column)
{
    sqlite3_int64 v = sqlite3_column_int64(s, column);
    return v < 0 ? 0 : v > (sqlite3_int64)STORE_FOREVER ? STORE_FOREVER : (uint64_t)v;
}

static struct store_row row_at(sqlite3_stmt *s)
{
    return (struct store_row){.first_ms = number_at(s, 1), .last_ms = number_at(s, 2), .expires_ms = number_at(s, 3),
                              .passed = number_at(s, 4), .refused = number_at(s, 5)};
}

static uint64_t read_slot(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

/* False: not what we write. */
static bool rate_at(sqlite3_stmt *s, struct rate *rate)
{
    const uint8_t *slots = sqlite3_column_blob(s, 3);
    if (!slots || sqlite3_column_bytes(s, 3) != STORE_RATE_SLOTS * 8)
        return false;
    *rate = (struct rate){.width_ms = number_at(s, 1), .newest = number_at(s, 2), .expires_ms = number_at(s, 4)};
    for (size_t i = 0; i < STORE_RATE_SLOTS; i++)
        rate->slots[i] = read_slot(slots + i * 8);
    return true;
}

/* --- rows ------------------------------------------------------------------------------------------------------------------- */

static enum got get_row(struct rows *r, enum store_table table, struct str key, struct store_row *out)
{
    struct database *d = database_of(r);
    sqlite3_stmt *s = with_key(d, STATEMENT_GET, table, key);
    int rc = sqlite3_step(s);
    if (rc == SQLITE_ROW)
        *out = row_at(s);
    sqlite3_reset(s);
    return !note(d, rc) ? GOT_FAILURE : rc == SQLITE_ROW ? GOT_ROW : GOT_NOTHING;
}

static bool put_row(struct rows *r, enum store_table table, struct str key, const struct store_row *row, uint64_t now_ms)
{
    struct database *d = database_of(r);
    sqlite3_stmt *s = with_key(d, STATEMENT_PUT, table, key);
    (void)now_ms;
    sqlite3_bind_int64(s, 3, (sqlite3_int64)row->first_ms);
    sqlite3_bind_int64(s, 4, (sqlite3_int64)row->last_ms);
    sqlite3_bind_int64(s, 5, (sqlite3_int64)row->expires_ms);
    sqlite3_bind_int64(s, 6, (sqlite3_int64)row->passed);
    sqlite3_bind_int64(s, 7, (sqlite3_int64)row->refused);
    return run(d, STATEMENT_PUT);
}

static enum got get_rate(struct rows *r, struct str key, struct rate *out)
{
    struct database *d = database_of(r);
    sqlite3_stmt *s = with_key(d, STATEMENT_GET_RATE, STORE_TABLE_RATES, key);
    int rc = sqlite3_step(s);
    bool there = rc == SQLITE_ROW && rate_at(s, out);
    sqlite3_reset(s);
    return !note(d, rc) ? GOT_FAILURE : there ? GOT_ROW : GOT_NOTHING;
}

static bool put_rate(struct rows *r, struct str key, const struct rate *rate, uint64_t now_ms)
{
    struct database *d = database_of(r);
    sqlite3_stmt *s = with_key(d, STATEMENT_PUT_RATE, STORE_TABLE_RATES, key);
    uint8_t slots[STORE_RATE_SLOTS * 8];
    (void)now_ms;
    for (size_t i = 0; i < sizeof slots; i++)
        slots[i] = (uint8_t)(rate->slots[i / 8] >> i % 8 * 8);
    sqlite3_bind_int64(s, 3, (sqlite3_int64)rate->width_ms);
    sqlite3_bind_int64(s, 4, (sqlite3_int64)rate->newest);
    sqlite3_bind_blob(s, 5, slots, sizeof slots, SQLITE_TRANSIENT);
    sqlite3_bind_int64(s, 6, (sqlite3_int64)rate->expires_ms);
    return run(d, STATEMENT_PUT_RATE);
}

static bool remove_row(struct rows *r, enum store_table table, struct str key)
{
    struct database *d = database_of(r);
    enum statement which = table == STORE_TABLE_RATES ? STATEMENT_REMOVE_RATE : STATEMENT_REMOVE;
    with_key(d, which, table, key);
    return run(d, which);
}

static bool has_rulings(struct rows *r)
{
    struct database *d = database_of(r);
    sqlite3_stmt *s = with_key(d, STATEMENT_RULINGS, STORE_TABLE_RULINGS, STR_NONE);
    bool some = sqlite3_step(s) != SQLITE_ROW || sqlite3_column_int(s, 0) != 0; /* in doubt, yes: who looks meets the failure */
    sqlite3_reset(s);
    return some;
}

static bool walk(struct rows *r, enum store_table table, struct str prefix, struct str after, unsigned limit, struct page *page)
{
    struct database *d = database_of(r);
    bool rates = table == STORE_TABLE_RATES;
    struct buf from = {0};
    buf_str(&from, after.p ? after : prefix);
    if (after.p)
        buf_char(&from, '\0'); /* the least key that is greater */
    sqlite3_stmt *s = with_key(d, rates ? STATEMENT_WALK_RATES : STATEMENT_WALK, table, buf_view(&from));
    int rc = SQLITE_DONE;
    while (page->count < limit && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        struct str key = {sqlite3_column_blob(s, 0), (size_t)sqlite3_column_bytes(s, 0)};
        if (!str_starts(key, prefix))
            break;
        struct rate rate = {0};
        struct store_row row = {0};
        if (!rates)
            row = row_at(s);
        else if (rate_at(s, &rate))
            row = store_rate_row(&rate);
        page_add(page, key, &row);
    }
    sqlite3_reset(s);
    buf_free(&from);
    return note(d, rc);
}

static const struct rows_ops database_rows = {get_row, put_row, get_rate, put_rate, remove_row, has_rulings, walk};

/* --- transactions ----------------------------------------------------------------------------------------------------------- */

static uint64_t mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Another process has the lock: its transactions take a few milliseconds, so ask again soon. */
static int busy(void *context, int times)
{
    struct database *d = context;
    if (times == 0)
        d->busy_since_ms = mono_ms();
    if (mono_ms() - d->busy_since_ms >= DATABASE_BUSY_MS)
        return 0;
    struct timespec pause = {.tv_nsec = times < 5 ? 200000 : 1000000};
    nanosleep(&pause, NULL);
    return 1;
}

bool database_begin(struct database *d, bool touch)
{
    return run(d, touch ? STATEMENT_BEGIN_IMMEDIATE : STATEMENT_BEGIN);
}

void database_rollback(struct database *d)
{
    int failure = d->failure;
    if (d->db && !sqlite3_get_autocommit(d->db))
        run(d, STATEMENT_ROLLBACK);
    d->failure = failure;
}

bool database_commit(struct database *d)
{
    if (run(d, STATEMENT_COMMIT))
        return true;
    database_rollback(d);
    return false;
}

/* First all keys, then each by its key: a DELETE with a subquery of pairs makes SQLite look at every row of a kind. */
static bool sweep_step(struct database *d, enum statement which, uint64_t before, size_t *removed)
{
    struct { int table; struct str key; } expired[DATABASE_SWEEP_ROWS];
    struct arena arena = {0};
    size_t count = 0;
    sqlite3_stmt *s = d->statements[which];
    int rc;
    sqlite3_bind_int64(s, 1, (sqlite3_int64)before);
    sqlite3_bind_int(s, 2, DATABASE_SWEEP_ROWS);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW && count < DATABASE_SWEEP_ROWS) {
        struct str key = {sqlite3_column_blob(s, 0), (size_t)sqlite3_column_bytes(s, 0)};
        expired[count].table = sqlite3_column_int(s, 1);
        expired[count++].key = arena_str(&arena, key);
    }
    sqlite3_reset(s);
    bool good = note(d, rc);
    for (size_t i = 0; good && i < count; i++)
        good = remove_row(&d->rows, (enum store_table)expired[i].table, expired[i].key);
    arena_clear(&arena);
    if (count > *removed)
        *removed = count;
    return good;
}

bool database_sweep(struct database *d, uint64_t now_ms, size_t *removed)
{
    *removed = 0;
    if (now_ms <= DATABASE_SWEEP_GRACE_MS)
        return true;
    uint64_t before = now_ms - DATABASE_SWEEP_GRACE_MS;
    if (!database_begin(d, true))
        return false;
    if (sweep_step(d, STATEMENT_EXPIRED, before, removed) && sweep_step(d, STATEMENT_EXPIRED_RATES, before, removed))
        return database_commit(d);
    database_rollback(d);
    return false;
}

bool database_is_busy(const struct database *d)
{
    return (d->failure & 0xff) == SQLITE_BUSY;
}

bool database_is_broken(const struct database *d)
{
    switch (d->failure & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_SCHEMA:
    case SQLITE_READONLY: /* also when the file was taken away under us */
    case SQLITE_PROTOCOL: return true;
    default: return false;
    }
}

bool database_has_moved(struct database *d)
{
    int moved = 0;
    return sqlite3_file_control(d->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved;
}

const char *database_error(const struct database *d)
{
    return sqlite3_errstr(d->failure ? d->failure & 0xff : SQLITE_ERROR);
}

/* --- opening ---------------------------------------------------------------------------------------------------------------- */

static bool execute(struct database *d, const char *text)
{
    return note(d, sqlite3_exec(d->db, text, NULL, NULL, NULL));
}

/* The first number that a query gives; false: failed. */
static bool query_number(struct database *d, const char *text, int *out)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(d->db, text, -1, &s, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    *out = rc == SQLITE_ROW ? sqlite3_column_int(s, 0) : 0;
    sqlite3_finalize(s);
    return note(d, rc);
}

/* Asking for WAL answers with the mode that it is. */
static bool set_wal(struct database *d)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(d->db, "PRAGMA journal_mode = WAL", -1, &s, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    const char *mode = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL;
    if (rc == SQLITE_ROW && (!mode || strcmp(mode, "wal") != 0))
        rc = SQLITE_BUSY;
    sqlite3_finalize(s);
    return note(d, rc);
}

static bool step_to(struct database *d, int version)
{
    char text[64];
    sqlite3_snprintf(sizeof text, text, "PRAGMA user_version = %d", version);
    return execute(d, steps[version - 1]) && execute(d, text);
}

bool database_migrate(struct database *d, int version)
{
    int now, tables;
    if (!query_number(d, "PRAGMA user_version", &now) || now >= version)
        return d->failure == SQLITE_OK;
    if (!execute(d, "BEGIN IMMEDIATE"))
        return false;
    bool good = query_number(d, "PRAGMA user_version", &now) && query_number(d, "SELECT count(*) FROM sqlite_schema", &tables);
    if (good && now <= 0 && tables > 0) {
        d->failure = SQLITE_MISMATCH; /* somebody else's database */
        good = false;
    }
    for (now = now < 0 ? 0 : now; good && now < version; now++)
        good = step_to(d, now + 1);
    int failure = d->failure;
    if (good && execute(d, "COMMIT"))
        return true;
    failure = good ? d->failure : failure;
    sqlite3_exec(d->db, "ROLLBACK", NULL, NULL, NULL);
    d->failure = failure;
    return false;
}

static bool prepare_all(struct database *d)
{
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        int rc = sqlite3_prepare_v3(d->db, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT, &d->statements[i], NULL);
        if (!note(d, rc))
            return false;
    }
    return true;
}

/* Addresses of people are in it: not for everybody. Who opens an existing file must not close a descriptor of it (see
 * sqlite_db.h). */
static void create_file(const char *path)
{
    int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0640);
    if (fd >= 0)
        close(fd);
}

bool database_open(struct database *d, const char **error)
{
    int version = 0;
    d->rows.ops = &database_rows;
    create_file(d->path);
    int rc = sqlite3_open_v2(d->path, &d->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    bool good = note(d, rc);
    if (good) {
        sqlite3_busy_handler(d->db, busy, d);
        sqlite3_db_config(d->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        sqlite3_db_config(d->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        good = execute(d, settings) && set_wal(d) && query_number(d, "PRAGMA user_version", &version);
    }
    *error = NULL;
    if (good && version > DATABASE_VERSION) {
        *error = "the database was made by a newer version of Postern: run that one, or name another file";
        good = false;
    } else if (good) {
        good = database_migrate(d, DATABASE_VERSION) && prepare_all(d);
    }
    if (good)
        return true;
    if (!*error)
        *error = d->failure == SQLITE_MISMATCH ? "the file is another program's database" : database_error(d);
    int failure = d->failure;
    database_close(d);
    d->failure = failure;
    return false;
}

void database_close(struct database *d)
{
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        sqlite3_finalize(d->statements[i]);
        d->statements[i] = NULL;
    }
    sqlite3_close_v2(d->db); /* open or not: even a failed opening leaves a handle */
    d->db = NULL;
}
