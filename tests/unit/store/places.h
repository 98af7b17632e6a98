/*
 * places.h - for tests of stores: a loop with a real clock, asking and waiting, a directory of its own, what was logged.
 */
#ifndef TESTS_STORE_PLACES_H
#define TESTS_STORE_PLACES_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "postern/base/log.h"
#include "postern/store/open.h"

enum { PATIENCE_MS = 20000 };

static struct loop *loop;
static char directory[] = "/tmp/postern-store-XXXXXX";

/* --- waiting --- */

struct answer {
    struct store_result result;
    struct store_entry entries[STORE_PAGE_MAX]; /* copies, their keys on the heap */
    char *cursor;
    size_t cursor_n;
    int times;
};

static inline void answer_clear(struct answer *a)
{
    for (size_t i = 0; i < a->result.entry_count; i++)
        free((char *)(uintptr_t)a->entries[i].key.p);
    free(a->cursor);
    *a = (struct answer){0};
}

static inline void take_answer(void *context, const struct store_result *result)
{
    struct answer *a = context;
    a->result = *result;
    a->times++;
    for (size_t i = 0; i < result->entry_count; i++) {
        a->entries[i] = result->entries[i];
        a->entries[i].key.p = xstrndup(result->entries[i].key.p, result->entries[i].key.n);
    }
    if (result->cursor.p) {
        a->cursor = xstrndup(result->cursor.p, result->cursor.n);
        a->cursor_n = result->cursor.n;
    }
}

static bool out_of_patience;
static inline void patience_over(struct timer *t)
{
    (void)t;
    out_of_patience = true;
}

/* Turns the loop until *times is `wanted`. */
static inline void wait_for(const int *times, int wanted)
{
    struct timer guard = {.fire = patience_over};
    out_of_patience = false;
    timer_set_in(loop, &guard, PATIENCE_MS);
    while (*times < wanted && !out_of_patience)
        loop_turn(loop, true);
    timer_cancel(loop, &guard);
    cr_assert_eq(*times, wanted, "no answer came");
}

static inline void turn_for(uint64_t ms)
{
    struct timer guard = {.fire = patience_over};
    out_of_patience = false;
    timer_set_in(loop, &guard, ms);
    while (!out_of_patience)
        loop_turn(loop, true);
}

/* The answer, errors too. */
static inline struct store_result ask_any(struct store *s, const struct store_operation *op)
{
    struct answer *a = xcalloc(1, sizeof *a);
    s->ops->start(s, op, take_answer, a);
    cr_assert_eq(a->times, 0, "called back before start returned");
    wait_for(&a->times, 1);
    struct store_result result = a->result;
    answer_clear(a);
    free(a);
    return result;
}

static inline struct store_result ask(struct store *s, const struct store_operation *op)
{
    struct store_result result = ask_any(s, op);
    cr_assert_null(result.error, "%s", result.error);
    return result;
}

/* --- a directory --- */

static inline void directory_make(void)
{
    cr_assert_not_null(mkdtemp(directory));
}

static inline int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static inline void directory_remove(void)
{
    nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline const char *file_in(const char *name, char out[128])
{
    snprintf(out, 128, "%s/%s", directory, name);
    return out;
}

static inline void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* --- the log --- */

static struct buf logged; /* every line, as a string */

static inline void keep_line(void *context, enum log_level level, struct str line)
{
    (void)context, (void)level;
    buf_str(&logged, line);
    buf_put(&logged, "\n", 2);
    logged.n--;
}

static inline void log_keep(void)
{
    log_set_sink(keep_line, NULL);
}

static inline void log_forget(void)
{
    log_set_sink(NULL, NULL);
    buf_free(&logged);
}

static inline int log_lines(void)
{
    int lines = 0;
    for (size_t i = 0; i < logged.n; i++)
        lines += logged.p[i] == '\n';
    return lines;
}

static inline bool log_has(const char *text)
{
    return logged.n > 0 && strstr(logged.p, text);
}

#endif
