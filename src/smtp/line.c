/*
 * line.c - bytes to command lines. A line that lies whole in the input is returned from there; only one that came in parts is copied.
 */
#include "postern/smtp/line.h"

#include <string.h>

void line_clear(struct line_reader *r)
{
    buf_free(&r->partial);
    buf_free(&r->done);
    *r = (struct line_reader){0};
}

/* All of *in is part of a line whose end has not come. */
static enum line_result keep(struct line_reader *r, struct str *in, size_t max)
{
    if (r->discarding || in->n >= max || r->partial.n >= max - in->n) { /* its end could only make it longer than max */
        buf_free(&r->partial);
        r->discarding = true;
    } else {
        buf_str(&r->partial, *in);
    }
    *in = str_sub(*in, in->n, in->n);
    return LINE_NOT_YET;
}

enum line_result line_take(struct line_reader *r, struct str *in, size_t max, struct str *line, bool *bare_newline)
{
    *line = STR_NONE;
    *bare_newline = false;
    buf_free(&r->done);
    if (in->n == 0)
        return LINE_NOT_YET;
    const char *newline = memchr(in->p, '\n', in->n);
    if (!newline)
        return keep(r, in, max);

    struct str text = str_sub(*in, 0, (size_t)(newline - in->p) + 1);
    *in = str_sub(*in, text.n, in->n);
    if (r->discarding || text.n > max || r->partial.n > max - text.n) {
        buf_free(&r->partial);
        r->discarding = false;
        return LINE_TOO_LONG;
    }
    if (r->partial.n > 0) {
        buf_str(&r->partial, text);
        r->done = r->partial;
        r->partial = (struct buf){0};
        text = buf_view(&r->done);
    }
    text.n--;
    if (text.n > 0 && text.p[text.n - 1] == '\r') /* RFC 5321 2.3.8: CRLF is the line end */
        text.n--;
    else
        *bare_newline = true;
    if (text.n > 0 && memchr(text.p, '\r', text.n))
        *bare_newline = true;
    *line = text;
    return LINE_DONE;
}
