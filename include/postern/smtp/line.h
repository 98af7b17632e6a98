/*
 * line.h - bytes to command lines. CRLF ends a line; a bare LF ends one too (RFC 5321 2.3.8 forbids sending it; it is told to the caller,
 * so that it becomes a fact). A line over the limit is discarded to its end and reported once: its tail is never parsed as a command.
 */
#ifndef POSTERN_SMTP_LINE_H
#define POSTERN_SMTP_LINE_H

#include "postern/base/str.h"

enum line_result { LINE_DONE, LINE_NOT_YET, LINE_TOO_LONG };

struct line_reader { /* {0} is ready */
    struct buf partial; /* a line begun in earlier input */
    bool discarding;
    struct buf done;    /* holds the line returned when it was put together from parts */
};

/*
 * Takes one line from *in (which moves on). LINE_DONE: *line is the text without its end, valid until the next call; *bare_newline is set
 * when it ended in a bare LF or holds a bare CR. NOT_YET: all of *in was eaten. max counts the line end.
 */
enum line_result line_take(struct line_reader *r, struct str *in, size_t max, struct str *line, bool *bare_newline);
void line_clear(struct line_reader *r);

#endif
