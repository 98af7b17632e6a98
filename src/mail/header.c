/*
 * header.c - reads a message's header as it flows.
 *
 * The story: octets come cut anywhere. While a field is not known to be complete (the next line decides, RFC 5322 2.2.3) it is held; a field
 * that lies whole in one piece is never copied but to `out`. The first empty line ends the header; so does the first text that cannot be a
 * field, which then is the body's first line (the octets go on unchanged; only our reading of them ends). After that everything is body: one
 * copy to `out`, and slices without the stuffed dots to the taps.
 *
 * What counts towards the limit: every line up to and with the empty one, and the line that turns out to be no field. So the result does not
 * depend on how the octets were cut.
 */
#include <assert.h>
#include <string.h>

#include "postern/mail/header.h"

enum kind { FIELD, NOT_FIELD, PERHAPS }; /* PERHAPS: a name so far, its colon may follow on a folded line */

void header_begin(struct header_reader *h, uint64_t limit, const struct str *remove, size_t remove_count, struct mail_tap *taps)
{
    *h = (struct header_reader){.limit = limit, .remove = remove, .remove_count = remove_count, .taps = taps, .at_line_start = true};
}

void header_clear(struct header_reader *h)
{
    buf_free(&h->held);
    h->held_line = h->held_whole = false;
}

static bool is_wsp(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_space(char c)
{
    return is_wsp(c) || c == '\r' || c == '\n';
}

/* ftext: printable ASCII but the colon (RFC 5322 3.6.8). */
static size_t name_length(struct str s)
{
    size_t i = 0;

    while (i < s.n && s.p[i] > ' ' && s.p[i] <= '~' && s.p[i] != ':')
        i++;
    return i;
}

/* "From someone Sat Nov 21 ..." at the very start is a mailbox's separator; mail servers take it for a field, and read on after it. */
static bool is_mailbox_line(struct str s)
{
    while (s.n && s.p[0] == '>')
        s = str_sub(s, 1, s.n);
    return str_starts(s, STR("From "));
}

static enum kind judge(struct str text, bool first)
{
    size_t name = name_length(text), i = name;

    if (first && is_mailbox_line(text))
        return FIELD;
    while (i < text.n && is_space(text.p[i])) /* obs-optional: white space before the colon (RFC 5322 4.5.8), folded too */
        i++;
    if (name == 0)
        return NOT_FIELD;
    if (i == text.n)
        return PERHAPS;
    return text.p[i] == ':' ? FIELD : NOT_FIELD;
}

struct str field_name(struct str field)
{
    if (judge(field, false) != FIELD)
        return STR_NONE;
    return str_sub(field, 0, name_length(field));
}

struct str field_body(struct str field)
{
    if (judge(field, false) != FIELD)
        return STR_NONE;
    return str_sub(field, str_find(field, ':', 0) + 1, field.n);
}

/* A line of the header may start with a stuffed dot; lines that continue a field never do. */
static struct str unstuffed(struct str wire)
{
    return wire.n && wire.p[0] == '.' ? str_sub(wire, 1, wire.n) : wire;
}

static struct str without_line_end(struct str s)
{
    if (s.n && s.p[s.n - 1] == '\n')
        s.n--;
    if (s.n && s.p[s.n - 1] == '\r')
        s.n--;
    return s;
}

static bool must_go(const struct header_reader *h, struct str name, struct str field)
{
    if (name.n == 0)
        return false;
    for (size_t i = 0; i < h->remove_count; i++)
        if (str_eq_nocase(name, h->remove[i]))
            return true;
    return h->remove_field && h->remove_field(field, h->remove_context);
}

static void begin_body(struct header_reader *h)
{
    h->in_body = true;
    for (struct mail_tap *t = h->taps; t; t = t->next)
        if (t->end_of_header)
            t->end_of_header(t);
}

static void tap_body(struct header_reader *h, struct str octets)
{
    if (octets.n == 0)
        return;
    for (struct mail_tap *t = h->taps; t; t = t->next)
        if (t->body)
            t->body(t, octets);
}

/* The first line of s, not counting the one that s begins with, that starts with a dot; s.n: there is none. */
static size_t dotted_line(struct str s)
{
    for (size_t at = str_find(s, '\n', 0); at + 1 < s.n; at = str_find(s, '\n', at + 1))
        if (s.p[at + 1] == '.')
            return at + 1;
    return s.n;
}

static void feed_body(struct header_reader *h, struct str wire, struct buf *out)
{
    if (wire.n == 0)
        return;
    buf_str(out, wire);
    if (!h->taps)
        return;
    if (h->at_line_start && wire.p[0] == '.') /* RFC 5321 4.5.2 */
        wire = str_sub(wire, 1, wire.n);
    for (size_t dot; (dot = dotted_line(wire)) < wire.n;) {
        tap_body(h, str_sub(wire, 0, dot));
        wire = str_sub(wire, dot + 1, wire.n);
    }
    h->at_line_start = wire.n && wire.p[wire.n - 1] == '\n';
    tap_body(h, wire);
}

/* The header's last field (or what looked like one) is complete. False: it was no field, the body has begun with it. */
static bool take_field(struct header_reader *h, struct str wire, struct buf *out)
{
    struct str field = without_line_end(unstuffed(wire));

    if (judge(field, h->header_octets == 0) != FIELD) {
        begin_body(h);
        feed_body(h, wire, out);
        return false;
    }
    struct str name = field_name(field);
    h->header_octets += wire.n;
    if (str_eq_nocase(name, STR("Received")))
        h->received++;
    for (struct mail_tap *t = name.n ? h->taps : NULL; t; t = t->next)
        if (t->field)
            t->field(t, field);
    if (must_go(h, name, field))
        h->removed++;
    else
        buf_str(out, wire);
    return true;
}

static void take_empty_line(struct header_reader *h, struct str line, struct buf *out)
{
    h->header_octets += line.n;
    buf_str(out, line);
    begin_body(h);
}

/* n octets more than what was counted: does the header still fit? */
static bool fits(struct header_reader *h, size_t n)
{
    if (!h->limit || h->header_octets + n <= h->limit)
        return true;
    h->too_big = true;
    header_clear(h);
    return false;
}

static bool is_empty_line(struct str line)
{
    return line.n <= 2 && without_line_end(line).n == 0;
}

/* Appends to the held field what belongs to it, and hands it out when it is complete. Returns what is left of wire. */
static struct str feed_held(struct header_reader *h, struct str wire, struct buf *out)
{
    while (wire.n && h->held.n) {
        if (h->held_whole && !is_wsp(wire.p[0])) {
            take_field(h, buf_view(&h->held), out);
            header_clear(h);
            break;
        }
        const char *end = memchr(wire.p, '\n', wire.n);
        size_t n = end ? (size_t)(end - wire.p) + 1 : wire.n;
        buf_put(&h->held, wire.p, n);
        wire = str_sub(wire, n, wire.n);
        h->held_whole = end != NULL;
        if (!fits(h, h->held.n))
            return STR_NONE;
        if (!end || h->held_line)
            continue;
        h->held_line = true;
        struct str line = buf_view(&h->held);
        if (is_empty_line(line)) {
            take_empty_line(h, line, out);
            header_clear(h);
        } else if (judge(unstuffed(line), h->header_octets == 0) == NOT_FIELD) {
            begin_body(h);
            feed_body(h, line, out);
            header_clear(h);
        }
    }
    return wire;
}

/* One field (or the end of the header) out of wire, which begins at a field's start. Returns what is left; what is not complete is held. */
static struct str feed_field(struct header_reader *h, struct str wire, struct buf *out)
{
    size_t at = 0;

    for (;;) {
        const char *end = memchr(wire.p + at, '\n', wire.n - at);
        size_t next = end ? (size_t)(end - wire.p) + 1 : wire.n;
        if (!fits(h, next))
            return STR_NONE;
        if (end && at == 0) {
            struct str line = str_sub(wire, 0, next);
            if (is_empty_line(line)) {
                take_empty_line(h, line, out);
                return str_sub(wire, next, wire.n);
            }
            if (judge(unstuffed(line), h->header_octets == 0) == NOT_FIELD) {
                begin_body(h);
                return wire;
            }
        }
        at = next;
        if (at == wire.n) {
            buf_put(&h->held, wire.p, wire.n);
            h->held_line = memchr(wire.p, '\n', wire.n) != NULL;
            h->held_whole = end != NULL;
            return STR_NONE;
        }
        if (!is_wsp(wire.p[at])) {
            take_field(h, str_sub(wire, 0, at), out);
            return str_sub(wire, at, wire.n);
        }
    }
}

void header_feed(struct header_reader *h, struct str wire, struct buf *out)
{
    if (h->held.n)
        wire = feed_held(h, wire, out);
    while (wire.n && !h->in_body && !h->too_big)
        wire = feed_field(h, wire, out);
    if (h->in_body)
        feed_body(h, wire, out);
}

void header_end(struct header_reader *h, struct buf *out)
{
    if (h->in_body || h->too_big)
        return;
    if (h->held.n)
        take_field(h, buf_view(&h->held), out);
    header_clear(h);
    if (!h->in_body)
        begin_body(h);
}

/* --- writing ---------------------------------------------------------------------------------------------------------- */

enum { LINE_LIKED = 78, LINE_MAX_OCTETS = 998 }; /* RFC 5322 2.1.1, without CRLF */

static char printable(char c)
{
    if (c == '\t')
        return ' ';
    return c >= ' ' && c <= '~' ? c : '?';
}

void field_write(struct buf *out, struct str name, struct str value)
{
    size_t line; /* octets of the present line */
    bool first = true;

    value = str_trim(value);
    for (size_t i = 0; i < name.n; i++)
        buf_char(out, name.p[i] > ' ' && name.p[i] <= '~' && name.p[i] != ':' ? name.p[i] : '?');
    buf_char(out, ':');
    line = name.n + 1;
    for (size_t at = 0; at < value.n;) {
        size_t word = at, end;
        while (word < value.n && is_wsp(value.p[word]))
            word++;
        for (end = word; end < value.n && !is_wsp(value.p[end]); end++)
            ;
        size_t blanks = first ? 1 : word - at;
        if (blanks > LINE_LIKED / 2)
            blanks = 1;
        if (line + blanks + (end - word) > LINE_LIKED && (!first || blanks + (end - word) <= LINE_LIKED)) {
            buf_cstr(out, "\r\n");
            line = 0;
        }
        for (size_t i = 0; i < blanks; i++)
            buf_char(out, ' ');
        line += blanks;
        for (size_t i = word; i < end; i++) {
            if (line >= LINE_MAX_OCTETS) { /* a word that no line can hold */
                buf_cstr(out, "\r\n ");
                line = 1;
            }
            buf_char(out, printable(value.p[i]));
            line++;
        }
        at = end;
        first = false;
    }
    buf_cstr(out, "\r\n");
}
