/*
 * log.h - one readable key=value line per event.
 *
 *     2026-11-21T20:15:00.123Z info refused id=4F2K.. client=203.0.113.9 rule=listed reply="550 5.7.1 ..."
 *
 * Values are escaped: no foreign byte reaches the log unescaped; a value with a space, quote, = or an escape is quoted.
 * Lines are gathered and written whole (log_flush, called by the loop each 100 ms and at exit).
 */
#ifndef POSTERN_BASE_LOG_H
#define POSTERN_BASE_LOG_H

#include "postern/base/addr.h"
#include "postern/base/str.h"

enum log_level { LOG_DEBUG_, LOG_INFO_, LOG_WARN_, LOG_ERROR_ };

struct log_line {
    struct buf text;
    enum log_level level;
    bool wanted; /* false: below the level; the adders do nothing */
};

void log_begin(struct log_line *l, enum log_level level, const char *event);
void log_str(struct log_line *l, const char *key, struct str value);
void log_cstr(struct log_line *l, const char *key, const char *value);
void log_u64(struct log_line *l, const char *key, uint64_t value);
void log_i64(struct log_line *l, const char *key, int64_t value);
void log_addr(struct log_line *l, const char *key, const struct addr *value);
void log_end(struct log_line *l); /* hands the line over; frees l */

/* Where lines go. The default sink is stderr with a time in front. */
typedef void (*log_sink)(void *context, enum log_level level, struct str line); /* line without newline */
void log_set_sink(log_sink sink, void *context); /* NULL: back to stderr */
void log_set_level(enum log_level level);
void log_to_syslog(const char *ident);           /* facility mail */
void log_set_clock(const uint64_t *wall_ms);     /* where the time in front comes from; NULL: the real clock */
void log_flush(void);
/* Short form for a line with text only; the text is ours, not foreign. */
void log_note(enum log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
