/*
 * A database file that does not answer (somebody else holds its lock), and one that is taken away: nobody waits behind who waits in
 * vain, and a file that is gone is made anew.
 */
#include "places.h"

#include <sqlite3.h>

#include "postern/base/counters.h"

static char path[128];
static int woken;

static void wake(struct task *t)
{
    (void)t;
    woken++;
}
static struct task owner = {.run = wake};

static void begin(void)
{
    loop = loop_new();
    directory_make();
    file_in("postern.db", path);
    log_keep();
}

static void end(void)
{
    loop_unwake(loop, &owner);
    directory_remove();
    loop_free(&loop);
    log_forget();
}

static struct store_operation touch(const char *key)
{
    return (struct store_operation){.kind = STORE_MARK, .mode = STORE_TOUCH, .key = str_of(key), .now_ms = 100, .ttl_ms = 1000};
}

/* Who asks while the store is stalled is told at once; records still queue, and are written when it goes on. */
Test(stalled, nobody_waits_behind, .init = begin, .fini = end)
{
    struct store *s = store_sqlite(loop, path);
    struct store_operation a = touch("a"), b = touch("b"), recorded = touch("recorded");
    sqlite3 *other;
    s->patience_ms = 50;
    cr_assert_null(ask_any(s, &a).error);
    cr_assert_eq(sqlite3_open(path, &other), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    struct store_view *v = store_view_new(s, &owner);
    cr_assert_null(store_view_get(v, &a), "the first waits");
    turn_for(20);
    cr_assert_null(store_view_get(v, &b), "so does who comes soon after");
    turn_for(50);
    struct store_view *w = store_view_new(s, &owner);
    const struct store_result *r = store_view_get(w, &a);
    cr_assert(r && r->error, "who comes now is told at once");
    cr_assert_eq(store_view_get(w, &a), r, "and told the same when asking again");
    cr_assert_eq(store_view_waiting(w), 0);
    store_record(s, &recorded);
    cr_assert_eq(log_lines(), 1);
    sqlite3_exec(other, "COMMIT", NULL, NULL, NULL);
    sqlite3_close(other);
    for (int i = 0; i < 1000 && store_view_waiting(v) > 0; i++)
        turn_for(10);
    cr_assert(!store_view_get(v, &a)->error && !store_view_get(v, &b)->error, "those who waited have their answers");
    cr_assert(ask_any(s, &recorded).found, "the record was not lost");
    struct store_view *x = store_view_new(s, &owner);
    cr_assert_null(store_view_get(x, &a), "it is asked again");
    store_view_free(&x);
    store_view_free(&w);
    store_view_free(&v);
    store_free(&s);
}

/* Given up: told once, and an error that comes later is not told a second time. */
Test(stalled, who_is_late_is_told_once, .init = begin, .fini = end)
{
    struct store *s = store_failing(loop, "down", 50);
    struct store_view *v = store_view_new(s, &owner);
    struct store_operation a = touch("a"), b = touch("b");
    uint64_t before = counters[COUNTER_STORE_ERRORS];
    store_view_late(v);
    cr_assert_null(store_view_get(v, &a));
    store_view_late(v);
    store_view_late(v);
    cr_assert_eq(counters[COUNTER_STORE_ERRORS] - before, 1);
    cr_assert_null(store_view_get(v, &b));
    turn_for(100);
    cr_assert_eq(store_view_waiting(v), 0);
    cr_assert_eq(counters[COUNTER_STORE_ERRORS] - before, 2);
    store_view_late(v);
    cr_assert_eq(counters[COUNTER_STORE_ERRORS] - before, 2);
    cr_assert_eq(log_lines(), 1);
    store_view_free(&v);
    store_free(&s);
}

Test(stalled, a_file_that_is_taken_away, .init = begin, .fini = end)
{
    struct store *s = store_sqlite(loop, path);
    struct store_operation a = touch("a");
    cr_assert_null(ask_any(s, &a).error);
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < 3; i++) {
        char name[160];
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        unlink(name);
    }
    struct store_result r = ask_any(s, &a);
    cr_assert(!r.error && !r.found, "a new file, at once");
    cr_assert_eq(access(path, F_OK), 0);
    store_free(&s);
}
