/*
 * data.c - the octets between 354 and CRLF.CRLF (RFC 5321 4.1.1.4, 4.5.2), made safe for a reader of any leniency.
 *
 * The story of the octets. A line that begins behind a true CRLF is the client's own line: a dot at its start is transparency and is kept
 * in the wire form as it came. A line that begins behind a bare CR or LF is one that we made: its first dot is content, so it is stuffed
 * here. A dot at the start of a true line is held back until the next octet tells what it was: the end, transparency, or (in CRLF . LF)
 * transparency of a line that is empty up to a bare newline; RFC 5321 4.5.2 deletes that dot, and so it is not put out: a dot alone
 * between two line ends never leaves here. A CR is held back until the next octet tells whether it was half of a CRLF.
 *
 * Speed: runs of whole clean lines are found with memchr and put out in one piece; an odd octet ends the run and is looked at by itself.
 */
#include "postern/smtp/data.h"

#include <string.h>

enum state {
    LINE_START, /* behind a CRLF, or behind DATA's */
    MIDDLE,
    MADE_START, /* behind a bare CR or LF, where we put a CRLF out */
    CR,         /* a CR not yet put out */
    DOT,        /* LINE_START and a dot not yet put out */
    DOT_CR,     /* the same and a CR */
};

/* One call's walk over the input. */
struct cursor {
    const char *at, *end;
    const char *lf; /* the next LF at or behind `at` (end when there is none); NULL when not looked for */
};

/* Each octet is searched for LF once, however many bare CRs lie before it. */
static const char *next_lf(struct cursor *c)
{
    if (!c->lf || c->lf < c->at) {
        c->lf = memchr(c->at, '\n', (size_t)(c->end - c->at));
        if (!c->lf)
            c->lf = c->end;
    }
    return c->lf;
}

static void count_text(struct data_reader *r, size_t n)
{
    r->size += n;
    r->line += n;
    if (r->line > r->longest_line)
        r->longest_line = r->line;
}

static void count_newline(struct data_reader *r)
{
    r->size += 2;
    r->line = 0;
}

static void put(struct buf *out, const char *p, size_t n)
{
    if (out && n)
        buf_put(out, p, n);
}

static void put_newline(struct data_reader *r, struct buf *out, enum state next)
{
    count_newline(r);
    put(out, "\r\n", 2);
    r->state = next;
}

static void put_run(struct data_reader *r, const char *from, const char *to, struct buf *out)
{
    const char *nul = from;

    while (nul < to && (nul = memchr(nul, '\0', (size_t)(to - nul))) != NULL) {
        r->nul++;
        nul++;
    }
    put(out, from, (size_t)(to - from));
}

/* From LINE_START or MIDDLE: puts out the clean run at c->at and goes past the octet that ended it. */
static void read_run(struct data_reader *r, struct cursor *c, struct buf *out)
{
    const char *from = c->at;

    while (c->at < c->end) {
        if (r->state == LINE_START && *c->at == '.') {
            put_run(r, from, c->at++, out);
            r->state = DOT;
            return;
        }
        const char *lf = next_lf(c);
        const char *cr = memchr(c->at, '\r', (size_t)(lf - c->at));
        const char *text_end = cr ? cr : lf;
        count_text(r, (size_t)(text_end - c->at));
        r->state = MIDDLE;
        if (lf < c->end && cr && cr + 1 == lf) { /* a clean line */
            count_newline(r);
            r->state = LINE_START;
            c->at = lf + 1;
            continue;
        }
        put_run(r, from, text_end, out);
        c->at = text_end;
        if (cr) {
            r->state = CR;
            c->at++;
        } else if (lf < c->end) {
            r->bare_lf++;
            put_newline(r, out, MADE_START);
            c->at++;
        }
        return;
    }
    put_run(r, from, c->at, out);
}

static void read_after_cr(struct data_reader *r, struct cursor *c, struct buf *out)
{
    if (*c->at == '\n') {
        put_newline(r, out, LINE_START);
        c->at++;
        return;
    }
    r->bare_cr++;
    put_newline(r, out, MADE_START);
}

static void read_after_dot(struct data_reader *r, struct cursor *c, struct buf *out)
{
    if (*c->at == '\r') {
        r->state = DOT_CR;
        c->at++;
    } else if (*c->at == '\n') {
        r->bare_lf++;
        put_newline(r, out, MADE_START);
        c->at++;
    } else {
        put(out, ".", 1); /* transparency: it is in the wire form, not in the message */
        r->state = MIDDLE;
    }
}

enum data_result data_read(struct data_reader *r, struct str *in, struct buf *out)
{
    struct cursor c = {in->p, in->p + in->n, NULL};
    enum data_result result = DATA_MORE;

    while (c.at < c.end && result == DATA_MORE) {
        switch ((enum state)r->state) {
        case MADE_START:
            if (*c.at == '.')
                put(out, ".", 1); /* a dot that was not at the start of a line before we made it one */
            r->state = MIDDLE;
            break;
        case LINE_START:
        case MIDDLE:
            read_run(r, &c, out);
            break;
        case CR:
            read_after_cr(r, &c, out);
            break;
        case DOT:
            read_after_dot(r, &c, out);
            break;
        case DOT_CR:
            if (*c.at == '\n') { /* RFC 5321 4.1.1.4: CRLF.CRLF, and nothing else, ends it */
                r->state = LINE_START;
                c.at++;
                result = DATA_END;
                break;
            }
            r->bare_cr++;
            put_newline(r, out, MADE_START);
            break;
        }
    }
    *in = str_sub(*in, (size_t)(c.at - in->p), in->n);
    return result;
}

/* Copies lines, handing over after each LF; skip_dot or add one at line starts. */
static void transcribe(struct str s, bool *at_line_start, struct buf *out, bool stuff)
{
    const char *at = s.p, *end = s.p + s.n, *from = s.p;

    while (at < end) {
        if (*at_line_start && *at == '.') {
            put(out, from, (size_t)(at - from));
            from = stuff ? at : at + 1;
            if (stuff)
                put(out, ".", 1);
        }
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        *at_line_start = lf != NULL;
        at = lf ? lf + 1 : end;
    }
    put(out, from, (size_t)(at - from));
}

void data_unstuff(struct str wire, bool *at_line_start, struct buf *out)
{
    transcribe(wire, at_line_start, out, false);
}

void data_stuff(struct str octets, bool *at_line_start, struct buf *out)
{
    transcribe(octets, at_line_start, out, true);
}
