/*
 * The store in a file, when things go wrong: another schema, a disk that takes no writes, a process that is killed, several processes at once, a
 * queue that is full; and what grows old is swept. (Damaged files: test_sqlite_damaged.c.)
 */
#include "sqlite_file.h"

#include <sys/resource.h>

#include "sqlite_db.h"

/* --- what stays ------------------------------------------------------------------------------------------------------------- */

Test(sqlite, what_was_written_is_there_next_time, .init = file_begin, .fini = file_end)
{
    struct stat st;
    struct store *s = store_sqlite(loop, path);
    for (int i = 0; i < 200; i++) { /* recorded, nobody waits; the end of the store does */
        struct store_operation op = operation(STORE_HISTORY, STORE_TOUCH, "k", 100);
        store_record(s, &op);
    }
    cr_assert_null(touch(s, "k", 100).error);
    store_free(&s);
    s = store_sqlite(loop, path);
    struct store_result r = touch(s, "k", 200);
    cr_assert(!r.error && r.found && r.first_seen_ms == 100, "%s", r.error);
    struct store_operation op = operation(STORE_HISTORY, STORE_PEEK, "k", 100);
    cr_assert_eq(ask_any(s, &op).row.passed, 200);
    store_free(&s);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 0007, 0, "addresses of people are not for everybody");
}

/* Only what was answered counts: the child tells the parent after each answer, and is killed while it goes on. */
Test(sqlite, kill_9_loses_nothing_that_was_answered, .init = file_begin, .fini = file_end)
{
    for (int round = 0; round < 5; round++) {
        int tell[2];
        char key[32], byte;
        int answered = 0;
        cr_assert_eq(pipe(tell), 0);
        pid_t child = fork();
        if (child == 0) {
            loop = loop_new();
            struct store *s = store_sqlite(loop, path);
            for (int i = 0;; i++) {
                struct answer *a = xcalloc(1, sizeof *a);
                snprintf(key, sizeof key, "%d-%d", round, i);
                struct store_operation op = operation(STORE_GREYLIST, STORE_TOUCH, key, 100);
                s->ops->start(s, &op, take_answer, a);
                while (a->times == 0)
                    loop_turn(loop, true);
                if (a->result.error || write(tell[1], "+", 1) != 1)
                    _exit(1);
                free(a);
            }
        }
        close(tell[1]);
        for (; answered < 50 + 37 * round; answered++)
            cr_assert_eq(read(tell[0], &byte, 1), 1, "the child failed");
        kill(child, SIGKILL);
        while (read(tell[0], &byte, 1) == 1)
            answered++;
        close(tell[0]);
        waitpid(child, NULL, 0);
        struct store *s = store_sqlite(loop, path);
        for (int i = 0; i < answered; i++) {
            snprintf(key, sizeof key, "%d-%d", round, i);
            struct store_result r = peek(s, key, 100);
            cr_assert(!r.error && r.found, "round %d: %d of %d is lost (%s)", round, i, answered, r.error);
        }
        store_free(&s);
    }
}

Test(sqlite, several_processes_on_one_file, .init = file_begin, .fini = file_end)
{
    enum { CHILDREN = 4, EACH = 300 };
    pid_t children[CHILDREN];
    for (int c = 0; c < CHILDREN; c++) {
        children[c] = fork();
        if (children[c] == 0) {
            loop = loop_new();
            struct store *s = store_sqlite(loop, path);
            int errors = 0;
            for (int i = 0; i < EACH; i++) {
                struct answer *a = xcalloc(1, sizeof *a);
                struct store_operation op = operation(STORE_RATE, STORE_TOUCH, "sum", 100);
                s->ops->start(s, &op, take_answer, a);
                while (a->times == 0)
                    loop_turn(loop, true);
                errors += a->result.error != NULL;
                free(a);
            }
            store_free(&s);
            _exit(errors > 0);
        }
    }
    for (int c = 0; c < CHILDREN; c++) {
        int status;
        cr_assert_eq(waitpid(children[c], &status, 0), children[c]);
        cr_assert_eq(status, 0, "a child had errors");
    }
    struct store *s = store_sqlite(loop, path);
    struct store_operation op = operation(STORE_RATE, STORE_PEEK, "sum", 100);
    cr_assert_eq(ask_any(s, &op).count, CHILDREN * EACH);
    store_free(&s);
}

/* --- schema ----------------------------------------------------------------------------------------------------------------- */

static void execute(const char *text)
{
    sqlite3 *db;
    char *error = NULL;
    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, text, NULL, NULL, &error), SQLITE_OK, "%s", error);
    sqlite3_close(db);
}

Test(sqlite, an_older_schema_is_brought_up_to_date, .init = file_begin, .fini = file_end)
{
    struct database d = {.path = path};
    cr_assert_eq(sqlite3_open(path, &d.db), SQLITE_OK);
    cr_assert(database_migrate(&d, 1));
    database_close(&d);
    execute("INSERT INTO entry VALUES (0, CAST('old' AS BLOB), 50, 60, 5000, 3, 0)");
    struct store *s = store_sqlite(loop, path);
    struct store_result r = touch(s, "old", 100);
    cr_assert(!r.error && r.found && r.known && r.first_seen_ms == 50 && r.row.passed == 3, "%s", r.error);
    store_free(&s);
    execute(
        "SELECT key, first_seen, passed FROM greylist; SELECT * FROM client; SELECT * FROM mark; "
            "SELECT * FROM history; SELECT * FROM ruling");
}

Test(sqlite, a_newer_schema_and_other_databases_are_left_alone, .init = file_begin, .fini = file_end)
{
    static const struct { const char *make, *error; } cases[] = {
        {"CREATE TABLE t (a); PRAGMA user_version = 3", "the database was made by a newer version of Postern: run that one, or name another file"},
        {"CREATE TABLE t (a)", "the file is another program's database"},
        {"CREATE TABLE t (a); PRAGMA user_version = -5", "the file is another program's database"},
        {"CREATE TABLE entry (other); PRAGMA user_version = 2", "SQL logic error"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        forget_files();
        execute(cases[i].make);
        struct store *s = store_sqlite(loop, path);
        cr_assert_str_eq(touch(s, "k", 1).error, cases[i].error);
        cr_assert_str_eq(peek(s, "k", 1).error, cases[i].error);
        store_free(&s);
    }
}

/* --- a disk that takes no more ---------------------------------------------------------------------------------------------- */

Test(sqlite, failed_writes_are_errors_and_pass, .init = file_begin, .fini = file_end)
{
    struct store *s = store_sqlite(loop, path);
    struct rlimit before, none;
    char key[400];
    cr_assert_null(touch(s, "k", 1).error);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    none = before;
    none.rlim_cur = 200000;
    setrlimit(RLIMIT_FSIZE, &none);
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    int errors = 0;
    for (int i = 0; i < 3000 && errors == 0; i++) {
        snprintf(key, 8, "%07d", i);
        key[7] = 'k';
        errors += touch(s, key, 2).error != NULL;
    }
    cr_assert_eq(errors, 1, "the limit was never met");
    setrlimit(RLIMIT_FSIZE, &before);
    struct store_result r = {.error = "none yet"};
    for (int i = 0; i < 30 && r.error; i++) {
        turn_for(100);
        r = touch(s, "after", 3);
    }
    cr_assert_null(r.error, "it does not come back: %s", r.error);
    cr_assert(peek(s, "k", 4).found, "what was there is there");
    store_free(&s);
}

/* One whose row has no room must not fail those that were queued with it. */
Test(sqlite, a_full_file_fails_only_who_writes, .init = file_begin, .fini = file_end)
{
    struct database d = {.path = path};
    const char *error;
    cr_assert(database_open(&d, &error), "%s", error);
    struct store_operation op = operation(STORE_GREYLIST, STORE_TOUCH, "k", 1);
    struct store_result result;
    cr_assert(database_begin(&d, true) && store_operate(&d.rows, &op, &result, NULL) && database_commit(&d));
    sqlite3_exec(d.db, "PRAGMA max_page_count = 8", NULL, NULL, NULL);
    char key[STORE_KEY_MAX + 1] = "";
    bool good = true;
    for (int i = 0; good && i < 1000; i++) {
        memset(key, 'a' + i % 26, STORE_KEY_MAX - 1);
        snprintf(key, 8, "%06d", i);
        op.key = (struct str){key, STORE_KEY_MAX - 1};
        good = database_begin(&d, true) && store_operate(&d.rows, &op, &result, NULL) && database_commit(&d);
        database_rollback(&d);
    }
    cr_assert(!good);
    cr_assert_str_eq(database_error(&d), "database or disk is full");
    cr_assert(!database_is_broken(&d), "a full disk is no reason to close the file");
    op = operation(STORE_GREYLIST, STORE_PEEK, "k", 2);
    cr_assert(database_begin(&d, false) && store_operate(&d.rows, &op, &result, NULL) && database_commit(&d));
    cr_assert(result.found);
    database_close(&d);
}

/* --- waiting ---------------------------------------------------------------------------------------------------------------- */

Test(sqlite, a_locked_file_is_waited_for_and_given_up, .init = file_begin, .fini = file_end)
{
    struct store *s = store_sqlite(loop, path);
    sqlite3 *other;
    cr_assert_null(touch(s, "k", 1).error);
    cr_assert_eq(sqlite3_open(path, &other), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    cr_assert(peek(s, "k", 2).found, "reading goes on beside a writer");
    uint64_t start = loop_now(loop);
    struct answer *a = xcalloc(1, sizeof *a);
    struct store_operation op = operation(STORE_GREYLIST, STORE_TOUCH, "l", 1);
    s->ops->start(s, &op, take_answer, a);
    turn_for(50);
    cr_assert_eq(a->times, 0, "it waits for the lock");
    sqlite3_exec(other, "COMMIT", NULL, NULL, NULL);
    wait_for(&a->times, 1);
    cr_assert_null(a->result.error);
    cr_assert_lt(loop_now(loop) - start, DATABASE_BUSY_MS);
    free(a);
    cr_assert_eq(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    cr_assert_str_eq(touch(s, "m", 1).error, "database is locked");
    sqlite3_exec(other, "COMMIT", NULL, NULL, NULL);
    cr_assert_null(touch(s, "m", 1).error);
    sqlite3_close(other);
    store_free(&s);
}

Test(sqlite, the_queue_is_bounded, .init = file_begin, .fini = file_end)
{
    enum { MANY = 6000 };
    struct store *s = store_sqlite(loop, path);
    sqlite3 *other;
    cr_assert_null(touch(s, "k", 1).error);
    cr_assert_eq(sqlite3_open(path, &other), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    struct small { int times; const char *error; };
    struct answer *a = xcalloc(1, sizeof *a);
    struct store_operation op = operation(STORE_RATE, STORE_TOUCH, "r", 1);
    for (int i = 0; i < MANY; i++)
        s->ops->start(s, &op, take_answer, a);
    loop_turn(loop, false);
    loop_turn(loop, false);
    cr_assert_geq(a->times, MANY - 4096 - 100, "who finds no room is told at once");
    cr_assert_str_eq(a->result.error, "too many operations are waiting for the disk");
    sqlite3_exec(other, "COMMIT", NULL, NULL, NULL);
    sqlite3_close(other);
    wait_for(&a->times, MANY);
    cr_assert_null(touch(s, "k", 1).error);
    free(a);
    store_free(&s);
}

/* --- sweeping --------------------------------------------------------------------------------------------------------------- */

Test(sqlite, what_expired_long_ago_is_swept_in_small_steps, .init = file_begin, .fini = file_end)
{
    struct database d = {.path = path};
    const char *error;
    char key[32];
    size_t removed, steps = 0;
    struct store_result result;
    struct page *page = page_new();
    cr_assert(database_open(&d, &error), "%s", error);
    cr_assert(database_begin(&d, true));
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "%d", i);
        struct store_operation op = operation(i % 2 ? STORE_GREYLIST : STORE_RATE, STORE_TOUCH, key, 100);
        op.ttl_ms = i % 20 == 1 ? 100000000 : 1500;
        cr_assert(store_operate(&d.rows, &op, &result, NULL));
    }
    cr_assert(database_commit(&d));
    cr_assert(database_sweep(&d, 2000, &removed) && removed == 0, "an hour's grace");
    do {
        cr_assert(database_sweep(&d, 2000 + DATABASE_SWEEP_GRACE_MS, &removed));
        cr_assert_leq(removed, DATABASE_SWEEP_ROWS);
        steps++;
    } while (removed > 0);
    cr_assert_eq(steps, 6);
    struct store_operation op = {.kind = STORE_STATS, .table = STORE_TABLE_GREYLIST, .limit = STORE_PAGE_MAX, .now_ms = 2000};
    cr_assert(store_operate(&d.rows, &op, &result, page));
    cr_assert_eq(result.stats.rows, 50, "the living stay");
    page_free(&page);
    database_close(&d);
}

/* Counted in steps of SQLite's machine: what is not touched costs nothing, however much of it there is. */
Test(sqlite, no_operation_looks_at_all_rows, .init = file_begin, .fini = file_end)
{
    struct database d = {.path = path};
    const char *error;
    char key[32];
    size_t removed;
    struct store_result result;
    cr_assert(database_open(&d, &error), "%s", error);
    cr_assert(database_begin(&d, true));
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "%d", i);
        struct store_operation op = operation(i % 4 ? STORE_GREYLIST : STORE_RATE, STORE_TOUCH, key, 100);
        op.ttl_ms = i % 200 == 1 ? 1500 : 100000000;
        cr_assert(store_operate(&d.rows, &op, &result, NULL));
    }
    cr_assert(database_commit(&d));
    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_stmt_status(d.statements[i], SQLITE_STMTSTATUS_VM_STEP, 1);
    cr_assert(database_sweep(&d, 1600 + DATABASE_SWEEP_GRACE_MS, &removed));
    cr_assert_eq(removed, DATABASE_SWEEP_ROWS);
    struct str domain = STR("none.example");
    for (int kind = STORE_MARK; kind <= STORE_DENY; kind++) {
        struct page *page = store_is_paged((enum store_kind)kind) ? page_new() : NULL;
        struct store_operation op = operation((enum store_kind)kind, STORE_TOUCH, "7777", 100);
        op.client = op.key, op.ruled_domains = &domain, op.ruled_domain_count = 1, op.limit = 10;
        cr_assert(store_operate(&d.rows, &op, &result, page));
        page_free(&page);
    }
    int steps = 0;
    for (int i = 0; i < STATEMENT_COUNT; i++)
        steps += sqlite3_stmt_status(d.statements[i], SQLITE_STMTSTATUS_VM_STEP, 0);
    cr_assert_lt(steps, 20000, "%d steps", steps);
    database_close(&d);
}

Test(sqlite, the_store_sweeps_by_itself, .init = file_begin, .fini = file_end)
{
    const uint64_t day = 86400000;
    char key[32];
    struct store *s = store_sqlite(loop, path);
    for (int i = 0; i < 450; i++) {
        snprintf(key, sizeof key, "%d", i);
        struct store_operation op = operation(STORE_MARK, STORE_TOUCH, key, 100);
        op.ttl_ms = 10;
        store_record(s, &op);
    }
    cr_assert_null(touch(s, "now", day).error);
    struct store_operation op = {.kind = STORE_STATS, .table = STORE_TABLE_MARKS, .limit = STORE_PAGE_MAX, .now_ms = day};
    struct store_stats stats = {.rows = 1};
    for (int i = 0; i < 50 && stats.rows > 0; i++) {
        turn_for(100);
        stats = ask_any(s, &op).stats;
    }
    cr_assert_eq(stats.rows, 0, "%lu rows are left", stats.rows);
    cr_assert(peek(s, "now", day).found);
    store_free(&s);
}
