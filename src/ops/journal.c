/*
 * journal.c - lines gathered in memory, written whole.
 *
 * A line waits at most 100 ms or until 64 KB are together; then one write(2) on an O_APPEND descriptor takes them all. What the file does not take
 * (disk full, a slow pipe) waits for the next try, once a second, from its exact byte on, so that lines stay whole; beyond 1 MB new lines are dropped
 * and counted. What waits at a reopening goes to the new file, less the rest of a line whose front is in the old one.
 */
#include "postern/ops/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "postern/base/counters.h"
#include "postern/base/log.h"

enum { FLUSH_AT = 64 * 1024, PENDING_MAX = 1024 * 1024, FLUSH_MS = 100, RETRY_MS = 1000, COMPLAIN_MS = 60000 };

struct journal { /* owned by who opened it */
    struct loop *loop;
    struct timer timer;    /* set while lines wait */
    char *path;
    int fd;
    struct buf pending;
    bool mid_line;         /* the file ends in a part of pending's first line */
    int error;             /* errno of the last write when it failed; 0: it went well */
    uint64_t lost;         /* lines dropped since the last complaint */
    uint64_t complained_ms; /* mono time of that; 0: never */
};

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
}

static void complain(struct journal *j, const char *what, int error)
{
    uint64_t now = loop_now(j->loop);
    if (j->complained_ms != 0 && now - j->complained_ms < COMPLAIN_MS)
        return;
    struct log_line line;
    log_begin(&line, LOG_ERROR_, "journal-failed");
    log_cstr(&line, "path", j->path);
    log_cstr(&line, "step", what);
    log_cstr(&line, "error", strerrordesc_np(error));
    log_u64(&line, "lost", j->lost);
    log_end(&line);
    j->complained_ms = now;
    j->lost = 0;
}

static uint64_t count_lines(struct str s)
{
    uint64_t n = 0;
    for (size_t i = str_find(s, '\n', 0); i < s.n; i = str_find(s, '\n', i + 1))
        n++;
    return n;
}

/* Writes what the file takes. False: something is left, errno says why. */
static bool write_pending(struct journal *j)
{
    while (j->pending.n > 0) {
        ssize_t n = write(j->fd, j->pending.p, j->pending.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        struct str done = {j->pending.p, (size_t)n};
        counters[COUNTER_JOURNAL_RECORDS] += count_lines(done);
        j->mid_line = done.p[done.n - 1] != '\n';
        buf_consume(&j->pending, done.n);
    }
    buf_free(&j->pending);
    return true;
}

void journal_flush(struct journal *j)
{
    timer_cancel(j->loop, &j->timer);
    if (write_pending(j)) {
        j->error = 0;
        return;
    }
    j->error = errno;
    complain(j, "write", j->error);
    timer_set_in(j->loop, &j->timer, RETRY_MS);
}

static void flush_due(struct timer *t)
{
    journal_flush((struct journal *)((char *)t - offsetof(struct journal, timer)));
}

void journal_write(struct journal *j, struct str line)
{
    if (j->pending.n + line.n > PENDING_MAX && j->pending.n > 0 && j->error == 0)
        journal_flush(j); /* else nobody hears of a transaction that is made big enough */
    if (j->pending.n + line.n > PENDING_MAX && j->pending.n > 0) {
        count(COUNTER_JOURNAL_ERRORS);
        j->lost++;
        return;
    }
    buf_str(&j->pending, line);
    if (j->pending.n >= FLUSH_AT && j->error == 0)
        journal_flush(j);
    else if (!timer_is_set(&j->timer))
        timer_set_in(j->loop, &j->timer, FLUSH_MS);
}

/* The end: what is pending now is lost. */
static void drop_pending(struct journal *j)
{
    uint64_t lines = count_lines(buf_view(&j->pending));
    counters[COUNTER_JOURNAL_ERRORS] += lines;
    j->lost += lines;
    buf_free(&j->pending);
}

struct journal *journal_open(struct loop *l, const char *path, char **error)
{
    int fd = open_file(path);
    if (fd < 0) {
        struct buf text = {0};
        buf_printf(&text, "cannot open the journal %s: %s", path, strerrordesc_np(errno));
        *error = buf_steal(&text);
        return NULL;
    }
    struct journal *j = xcalloc(1, sizeof *j);
    j->loop = l;
    j->timer.fire = flush_due;
    j->path = xstrndup(path, strlen(path));
    j->fd = fd;
    return j;
}

/* Whole lines that wait go to the new file; the rest of a torn one would be rubbish there. */
static void drop_torn_line(struct journal *j)
{
    if (!j->mid_line)
        return;
    struct str pending = buf_view(&j->pending);
    size_t end = str_find(pending, '\n', 0);
    buf_consume(&j->pending, end < pending.n ? end + 1 : pending.n);
    count(COUNTER_JOURNAL_ERRORS);
    j->lost++;
    j->mid_line = false;
}

void journal_reopen(struct journal *j)
{
    journal_flush(j);
    int fd = open_file(j->path);
    if (fd < 0) {
        complain(j, "reopen", errno);
        return;
    }
    close(j->fd);
    j->fd = fd;
    drop_torn_line(j);
    if (j->pending.n > 0)
        journal_flush(j);
}

void journal_close(struct journal **j)
{
    if (!*j)
        return;
    journal_flush(*j);
    timer_cancel((*j)->loop, &(*j)->timer);
    if ((*j)->pending.n > 0) {
        drop_pending(*j);
        (*j)->complained_ms = 0; /* the last chance to say it */
        complain(*j, "close", (*j)->error);
    }
    close((*j)->fd);
    free((*j)->path);
    free(*j);
    *j = NULL;
}
