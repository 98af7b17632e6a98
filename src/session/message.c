/*
 * message.c - one message's content as it comes, by DATA or in chunks, to header, taps and spool. Knows no session.
 *
 * Text is held in wire form whichever way it came, so that what follows is the same. A message of BODY=BINARYMIME is held as the octets that
 * it is: its header, up to the first empty line, is text and read as such; what stands behind goes to the spool untouched (RFC 3030 3).
 */
#include "content.h"
#include "postern/smtp/chunk.h"

/* What goes on of the message: wire form; of a binary one the octets that it stands for. */
static void store(struct message *c, struct str wire)
{
    struct buf plain = {0};
    if (c->binary) {
        data_unstuff(wire, &c->at_line_start, &plain);
        wire = buf_view(&plain);
    }
    c->spool_failed |= wire.n > 0 && !spool_put(&c->spool, wire);
    buf_free(&plain);
}

static void keep(struct message *c, struct str wire)
{
    if (wire.n == 0 || c->refused)
        return;
    if (!c->header.in_body || c->header.taps) {
        header_feed(&c->header, wire, &c->kept);
        wire = buf_view(&c->kept);
    }
    store(c, wire);
    buf_clear(&c->kept);
}

/* Refused once, it is held no longer: the rest is counted and forgotten. */
static void judge(struct message *c, uint64_t limit)
{
    c->refused |= (limit && c->data.size > limit) || c->spool_failed || c->header.too_big;
    if (c->refused)
        spool_clear(&c->spool);
}

void message_take_wire(struct message *c, uint64_t limit)
{
    judge(c, limit);
    keep(c, buf_view(&c->wire));
    judge(c, limit);
    buf_clear(&c->wire);
}

void message_end(struct message *c)
{
    if (!c->refused) {
        header_end(&c->header, &c->kept);
        store(c, buf_view(&c->kept));
        judge(c, 0);
    }
    buf_free(&c->kept);
    buf_free(&c->wire);
}

/* --- chunks -------------------------------------------------------------------------------------------------------------------- */

enum { HEADER_OVER = 4 }; /* header_end: all of CRLFCRLF has come */

void message_begin_chunks(struct message *c, bool binary)
{
    c->chunked = true;
    c->binary = binary;
    c->header_end = 2; /* an empty line at once is an empty header */
    c->at_line_start = true;
}

/* How many of these octets belong to the header, its empty line included. */
static size_t header_part(struct message *c, struct str octets)
{
    static const char end[] = "\r\n\r\n";
    if (c->header_end == HEADER_OVER)
        return 0;
    for (size_t i = 0; i < octets.n; i++) {
        bool fits = octets.p[i] == end[c->header_end];
        c->header_end = fits ? c->header_end + 1 : octets.p[i] == '\r' ? 1 : 0;
        if (c->header_end == HEADER_OVER)
            return i + 1;
    }
    return octets.n;
}

static void take_text(struct message *c, struct str octets, uint64_t limit)
{
    chunk_read(&c->data, octets, c->refused ? NULL : &c->wire);
    message_take_wire(c, limit);
}

static void take_raw(struct message *c, struct str octets, uint64_t limit)
{
    for (struct mail_tap *tap = c->refused ? NULL : c->header.taps; tap; tap = tap->next)
        if (tap->body)
            tap->body(tap, octets);
    c->data.size += octets.n;
    judge(c, limit);
    if (!c->refused)
        c->spool_failed |= !spool_put(&c->spool, octets);
    judge(c, limit);
}

void message_take_chunk(struct message *c, struct str octets, uint64_t limit)
{
    size_t text = c->binary ? header_part(c, octets) : octets.n;
    if (text > 0)
        take_text(c, str_sub(octets, 0, text), limit);
    if (text < octets.n)
        take_raw(c, str_sub(octets, text, octets.n), limit);
}

void message_end_chunks(struct message *c, uint64_t limit)
{
    if (c->binary && c->header_end == HEADER_OVER)
        return;
    chunk_end(&c->data, c->refused ? NULL : &c->wire);
    message_take_wire(c, limit);
}
