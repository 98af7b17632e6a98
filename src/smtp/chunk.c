/*
 * chunk.c - octets of BDAT chunks (RFC 3030) to wire form: as DATA would have brought them. There is no end in the octets themselves, so a dot alone on
 * a line is content like any other and is stuffed.
 */
#include "postern/smtp/chunk.h"

#include <string.h>

enum { LINE_START, IN_LINE, AFTER_CR }; /* data_reader.state */

bool bdat_parse(struct str argument, uint64_t *octets, bool *last)
{
    struct str rest = argument, size;
    *last = false;
    *octets = 0;
    if (!str_split(&rest, ' ', &size) || !str_to_u64(size, UINT64_MAX, octets))
        return false;
    rest = str_trim(rest);
    *last = rest.n > 0;
    return rest.n == 0 || str_eq_nocase(rest, STR("LAST"));
}

static void end_line(struct data_reader *r, struct buf *out)
{
    if (out)
        buf_put(out, "\r\n", 2);
    r->size += 2;
    if (r->line > r->longest_line)
        r->longest_line = r->line;
    r->line = 0;
    r->state = LINE_START;
}

static void put_text(struct data_reader *r, const char *p, size_t n, struct buf *out)
{
    if (n == 0)
        return;
    if (out && r->state == LINE_START && *p == '.')
        buf_char(out, '.');
    if (out)
        buf_put(out, p, n);
    for (const char *at = p; (at = memchr(at, 0, n - (size_t)(at - p))) != NULL; at++)
        r->nul++;
    r->size += n;
    r->line += n;
    r->state = IN_LINE;
}

/* Octets up to the next CR or LF, or the end. */
static size_t text_length(struct str s)
{
    const char *lf = memchr(s.p, '\n', s.n);
    size_t n = lf ? (size_t)(lf - s.p) : s.n;
    const char *cr = memchr(s.p, '\r', n);
    return cr ? (size_t)(cr - s.p) : n;
}

void chunk_read(struct data_reader *r, struct str octets, struct buf *out)
{
    while (octets.n > 0) {
        if (r->state == AFTER_CR) { /* the line ends either way: with LF as it should, without it as a bare CR */
            bool whole = octets.p[0] == '\n';
            r->bare_cr += !whole;
            end_line(r, out);
            octets = str_sub(octets, whole, octets.n);
            continue;
        }
        size_t n = text_length(octets);
        put_text(r, octets.p, n, out);
        if (n < octets.n && octets.p[n] == '\r') {
            r->state = AFTER_CR;
            n++;
        } else if (n < octets.n) {
            r->bare_lf++;
            end_line(r, out);
            n++;
        }
        octets = str_sub(octets, n, octets.n);
    }
}

void chunk_end(struct data_reader *r, struct buf *out)
{
    r->bare_cr += r->state == AFTER_CR;
    if (r->state != LINE_START)
        end_line(r, out);
}
