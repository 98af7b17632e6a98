/*
 * log.c - events as lines of key=value, gathered and written whole.
 *
 * A line is built in its own log_line and handed over by log_end() to the sink. The default sink puts time and level in front
 * and keeps the text in one buffer until log_flush(), a full buffer, an error line, a fork or the end of the process; each
 * flush is one write(2) of whole lines. When nobody reads stderr the buffer fills up to PENDING_MAX; then lines are dropped,
 * and counted.
 */
#include "postern/base/log.h"

#include "postern/base/clock.h"
#include "postern/base/codec.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

enum { FLUSH_AT = 64 * 1024, PENDING_MAX = 1024 * 1024, VALUE_MAX = 4096, LAST_PATIENCE_MS = 500 };

static const char *const LEVEL[] = {"debug", "info", "warn", "error"};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards pending and dropped: the store's thread logs, too */
static struct buf pending;
static uint64_t dropped;
static enum log_level lowest = LOG_INFO_;
static const uint64_t *clock_ms;
static char syslog_ident[64]; /* openlog(3) keeps the pointer */

/* ---- the sink stderr ---- */

static uint64_t now_ms(void)
{
    if (clock_ms)
        return *clock_ms;
    struct clock c;
    clock_real(&c);
    return c.wall_ms;
}

/* Lock held. What could not be written stays, from its exact byte on. A stderr that takes no more holds us up for patience_ms. */
static void write_pending(int patience_ms)
{
    int saved = errno;
    while (pending.n > 0) {
        ssize_t n = write(STDERR_FILENO, pending.p, pending.n);
        if (n > 0) {
            buf_consume(&pending, (size_t)n);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        struct pollfd slow = {.fd = STDERR_FILENO, .events = POLLOUT};
        if (n < 0 && errno == EAGAIN && patience_ms > 0 && poll(&slow, 1, patience_ms) > 0 && (slow.revents & POLLOUT))
            continue;
        if (n < 0 && errno != EAGAIN && errno != ENOSPC)
            buf_clear(&pending); /* stderr is closed or broken: nobody to tell */
        break;
    }
    if (pending.n == 0)
        buf_free(&pending);
    errno = saved;
}

static void lock_and_write(void)
{
    pthread_mutex_lock(&lock);
    write_pending(0);
}

static void unlock(void)
{
    pthread_mutex_unlock(&lock);
}

/* A child must not write our lines a second time: what the parent could not write before the fork is the parent's. */
static void child_begins(void)
{
    buf_clear(&pending);
    dropped = 0;
    unlock();
}

static void write_last(void)
{
    pthread_mutex_lock(&lock);
    write_pending(LAST_PATIENCE_MS);
    unlock();
}

void log_flush(void)
{
    lock_and_write();
    unlock();
}

static void register_handlers(void)
{
    atexit(write_last);
    pthread_atfork(lock_and_write, unlock, child_begins);
}

static void put_front(enum log_level level)
{
    char time[RFC3339_TEXT];
    buf_printf(&pending, "%s %s ", time_rfc3339(now_ms(), time), LEVEL[level]);
}

static void sink_stderr(void *context, enum log_level level, struct str line)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)context;
    pthread_once(&once, register_handlers);
    pthread_mutex_lock(&lock);
    if (pending.n + line.n > PENDING_MAX) {
        dropped++;
    } else {
        if (dropped > 0) {
            put_front(LOG_WARN_);
            buf_printf(&pending, "log-lines-dropped count=%" PRIu64 "\n", dropped);
            dropped = 0;
        }
        put_front(level);
        buf_str(&pending, line);
        buf_char(&pending, '\n');
    }
    if (pending.n >= FLUSH_AT || level == LOG_ERROR_)
        write_pending(0);
    pthread_mutex_unlock(&lock);
}

static void sink_syslog(void *context, enum log_level level, struct str line)
{
    static const int priority[] = {LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERR};
    (void)context;
    syslog(priority[level], "%.*s", STR_ARG(line));
}

static log_sink sink = sink_stderr;
static void *sink_context;

void log_set_sink(log_sink new_sink, void *context)
{
    sink = new_sink ? new_sink : sink_stderr;
    sink_context = new_sink ? context : NULL;
}

void log_to_syslog(const char *ident)
{
    log_flush();
    strncpy(syslog_ident, ident, sizeof syslog_ident - 1);
    openlog(syslog_ident, LOG_PID | LOG_NDELAY, LOG_MAIL);
    log_set_sink(sink_syslog, NULL);
}

void log_set_level(enum log_level level)
{
    lowest = level;
}

void log_set_clock(const uint64_t *wall_ms)
{
    clock_ms = wall_ms;
}

/* ---- lines ---- */

void log_begin(struct log_line *l, enum log_level level, const char *event)
{
    *l = (struct log_line){.level = level, .wanted = level >= lowest};
    if (l->wanted)
        buf_cstr(&l->text, event);
}

static void put_key(struct log_line *l, const char *key)
{
    buf_char(&l->text, ' ');
    buf_cstr(&l->text, key);
    buf_char(&l->text, '=');
}

static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c <= 0x20 || c > 0x7e || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return s.n > 0;
}

static void put_quoted(struct buf *out, struct str s)
{
    buf_char(out, '"');
    while (s.n > 0) {
        size_t quote = str_find(s, '"', 0);
        escape_text(out, str_sub(s, 0, quote));
        if (quote < s.n)
            buf_cstr(out, "\\\"");
        s = str_sub(s, quote + 1, s.n);
    }
    buf_char(out, '"');
}

void log_str(struct log_line *l, const char *key, struct str value)
{
    if (!l->wanted)
        return;
    bool cut = value.n > VALUE_MAX;
    value = str_sub(value, 0, VALUE_MAX);
    put_key(l, key);
    if (is_plain(value))
        buf_str(&l->text, value);
    else
        put_quoted(&l->text, value);
    if (cut)
        buf_cstr(&l->text, "...");
}

void log_cstr(struct log_line *l, const char *key, const char *value)
{
    log_str(l, key, str_of(value));
}

void log_u64(struct log_line *l, const char *key, uint64_t value)
{
    if (!l->wanted)
        return;
    put_key(l, key);
    buf_printf(&l->text, "%" PRIu64, value);
}

void log_i64(struct log_line *l, const char *key, int64_t value)
{
    if (!l->wanted)
        return;
    put_key(l, key);
    buf_printf(&l->text, "%" PRId64, value);
}

void log_addr(struct log_line *l, const char *key, const struct addr *value)
{
    char text[ADDR_TEXT];
    if (l->wanted)
        log_cstr(l, key, addr_format(value, text));
}

void log_end(struct log_line *l)
{
    if (l->wanted)
        sink(sink_context, l->level, buf_view(&l->text));
    buf_free(&l->text);
    l->wanted = false;
}

void log_note(enum log_level level, const char *event, const char *format, ...)
{
    struct log_line line;
    log_begin(&line, level, event);
    if (line.wanted) {
        struct buf text = {0};
        va_list args;
        va_start(args, format);
        buf_vprintf(&text, format, args);
        va_end(args);
        log_str(&line, "note", buf_view(&text));
        buf_free(&text);
    }
    log_end(&line);
}
