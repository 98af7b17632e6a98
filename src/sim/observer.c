/*
 * observer.c - see observer.h: replies, judged by themselves and by what they answer. Written without the smtp room, which it
 * judges.
 */
#include "observer.h"

#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_OCTETS = 512 }; /* RFC 5321 4.5.3.1.5, with CRLF */

void observer_init(struct observer *o, struct ledger *l)
{
    *o = (struct observer){.ledger = l, .pending.said.what = OBSERVED_GREETING};
}

void observer_sent(struct observer *o, struct str bytes)
{
    if (o->adrift || o->closing)
        return;
    buf_str(&o->sent, bytes);
    said_understand(o);
}

bool observer_waits(const struct observer *o)
{
    return o->pending.said.what != OBSERVED_NOTHING;
}

size_t observer_message(struct observer *o, struct str meant)
{
    for (size_t i = 0; i < o->supposed_count; i++) {
        const struct supposed *s = &o->supposed[i];
        if (s->end == o->understood && str_eq(buf_view(&o->ledger->messages[s->message].content), meant))
            return s->message;
    }
    return ledger_client_sent(o->ledger, meant);
}

/* --- the form of replies ---------------------------------------------------------------------------------------------------- */

static bool enhanced_fits(struct str text, unsigned code)
{
    size_t i = 1, dots = 0;
    if (text.n < 5 || text.p[0] != (char)('0' + code / 100) || text.p[1] != '.')
        return false;
    while (i < text.n && text.p[i] != ' ') {
        dots += text.p[i] == '.';
        if (text.p[i] != '.' && (text.p[i] < '0' || text.p[i] > '9'))
            return false;
        i++;
    }
    return dots == 2;
}

static void check_line(struct observer *o, struct str line, unsigned code, enum observed to)
{
    struct ledger *l = o->ledger;
    if (line.n + 2 > LINE_MAX_OCTETS)
        ledger_violation(l, "a reply line of %zu octets", line.n + 2);
    if (!ascii_printable(line))
        ledger_violation(l, "a reply line with bytes that are not printable");
    if (code < 200 || code > 599 || (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-'))
        ledger_violation(l, "a line that is no reply: %.*s", STR_ARG(line));
    else if (o->code && o->code != code)
        ledger_violation(l, "one reply with two codes, %u and %u", o->code, code);
    bool bare = to == OBSERVED_GREETING || to == OBSERVED_EHLO || to == OBSERVED_HELO || code / 100 == 3;
    if (o->esmtp && !bare && !enhanced_fits(str_sub(line, 4, line.n), code))
        ledger_violation(l, "no fitting enhanced code (RFC 2034): %.*s", STR_ARG(line));
}

/* --- what they come to ------------------------------------------------------------------------------------------------------ */

/* Refused for its syntax or its place, it has changed nothing; refused by policy or for its size, it has. */
static bool changes_nothing(unsigned code)
{
    return code == 553 || code == 555 || (code >= 500 && code <= 504);
}

/* A transaction begins, or is over. */
static void chunks_reset(struct chunks *c, bool begun, bool binary)
{
    buf_clear(&c->octets);
    c->begun = begun;
    c->binary = binary;
}

/* An odd BDAT: 2xx says that its octets have come, 501 that it was BDAT and wrong, so that they come all the same; 500 that it
 * was no command at all. Another refusal (503 behind a refused greeting, say) does not tell these apart: from here on it cannot
 * be known where commands begin. */
static void odd_accepted(struct observer *o)
{
    o->chunks.left = o->pending.said.octets;
    said_understand(o);
}

static void odd_refused(struct observer *o, const struct said *said, unsigned code)
{
    o->adrift = said->octets > 0 && code != 500 && code != 501;
    o->chunks.left = code == 501 ? said->octets : 0;
}

static void chunk_answered(struct observer *o, const struct pending *to, unsigned code)
{
    struct chunks *c = &o->chunks;
    bool ok = code / 100 == 2, last = to->said.what == OBSERVED_LAST_CHUNK;
    if (ok && (c->left > 0 || (last && to->message == SIZE_MAX)))
        ledger_violation(o->ledger, "%u to a%s chunk whose octets had not come", code, last ? " last" : "");
    if (ok && !c->begun)
        ledger_violation(o->ledger, "%u to a chunk that is of no transaction", code);
    if (last)
        ledger_client_told(o->ledger, to->message, code);
    if (ok && !last)
        buf_str(&c->octets, buf_view(&c->present));
    else if (!changes_nothing(code)) /* RFC 3030 2; but 554 may also mean that no recipient is valid yet */
        chunks_reset(c, code == 554, c->binary);
    buf_clear(&c->present);
}

/* RFC 3207 4.2: what came in clear behind it was never said. */
static void tls_begins(struct observer *o)
{
    o->understood += o->sent.n;
    buf_clear(&o->sent);
    chunks_reset(&o->chunks, false, false);
}

static void follow_transaction(struct observer *o, enum observed what, unsigned code)
{
    bool ok = code / 100 == 2;
    if (what == OBSERVED_MAIL && !changes_nothing(code)) {
        o->transactions++;
        o->open = ok;
    }
    bool ends = what == OBSERVED_LAST_CHUNK || (what == OBSERVED_CHUNK && !ok); /* what was refused out of place ends nothing */
    if (what == OBSERVED_DOT || (ends && !changes_nothing(code)) || o->closing)
        o->open = false;
    bool forgets = what == OBSERVED_EHLO || what == OBSERVED_HELO || what == OBSERVED_RSET || what == OBSERVED_STARTTLS;
    if (forgets && ok)
        o->open = false;
}

/* The last line of the reply to what waits for it. */
static void answered(struct observer *o, unsigned code)
{
    bool ok = code / 100 == 2;
    if (o->pending.said.odd && ok)
        odd_accepted(o);
    struct pending to = o->pending;
    o->pending = (struct pending){.message = SIZE_MAX};
    if (to.said.odd && !ok)
        odd_refused(o, &to.said, code);
    if (code == 354 && to.said.what != OBSERVED_DATA)
        ledger_violation(o->ledger, "354 to what was not DATA");
    switch (to.said.what) {
    case OBSERVED_EHLO:
        o->esmtp |= ok;
        /* fall through */
    case OBSERVED_HELO:
    case OBSERVED_RSET:
        if (ok)
            chunks_reset(&o->chunks, false, false);
        break;
    case OBSERVED_MAIL:
        if (ok)
            chunks_reset(&o->chunks, true, to.said.binary);
        break;
    case OBSERVED_DATA:
        o->in_content = code == 354;
        break;
    case OBSERVED_DOT:
        ledger_client_told(o->ledger, to.message, code);
        chunks_reset(&o->chunks, false, false);
        break;
    case OBSERVED_CHUNK:
    case OBSERVED_LAST_CHUNK:
        chunk_answered(o, &to, code);
        break;
    case OBSERVED_STARTTLS:
        if (ok)
            tls_begins(o);
        break;
    default:
        break;
    }
    o->closing |= (to.said.what == OBSERVED_QUIT && ok) || code == 421 || code == 521;
    follow_transaction(o, to.said.what, code);
}

static void reply_done(struct observer *o, unsigned code)
{
    o->replies++;
    o->last_code = code;
    if (observer_waits(o)) {
        answered(o, code);
        said_understand(o);
        return;
    }
    bool endless = !o->in_content && (o->sent.n >= LINE_MAX_OCTETS || (o->half_closed && o->sent.n > 0));
    if (code == 421 || code == 521) /* unasked: a limit or a time-out; the connection ends */
        o->closing = true;
    else if (endless && !o->answered_early)
        o->answered_early = true;
    else if (!o->adrift)
        ledger_violation(o->ledger, "more replies than commands: an unasked %u", code);
}

static void line_done(struct observer *o, struct str line)
{
    unsigned code = 0;
    o->lines++;
    if (o->closing) {
        ledger_violation(o->ledger, "a line after the one that ended the session: %.*s", (int)(line.n < 80 ? line.n : 80),
                         line.p);
        return;
    }
    for (size_t i = 0; i < 3; i++)
        code = i < line.n && line.p[i] >= '0' && line.p[i] <= '9' ? code * 10 + (unsigned)(line.p[i] - '0') : 1000;
    check_line(o, line, code, o->pending.said.what);
    o->code = code;
    if (line.n > 3 && line.p[3] == '-')
        return;
    o->code = 0;
    reply_done(o, code);
}

void observer_received(struct observer *o, struct str bytes)
{
    buf_str(&o->line, bytes);
    size_t at = 0, end;
    struct str all = buf_view(&o->line);
    while ((end = str_find(all, '\n', at)) < all.n) {
        if (end == at || all.p[end - 1] != '\r')
            ledger_violation(o->ledger, "a reply line that does not end in CRLF");
        line_done(o, str_sub(all, at, end > at ? end - 1 : at));
        at = end + 1;
    }
    buf_consume(&o->line, at);
}

void observer_end(struct observer *o, bool closed)
{
    /* 220 to STARTTLS may be on its way when a handshake fails at once, since the client went on in clear */
    bool at_starttls = o->pending.said.what == OBSERVED_STARTTLS;
    if ((o->line.n > 0 || o->code) && !(closed && at_starttls))
        ledger_violation(o->ledger, "a reply that breaks off");
    if (!closed && observer_waits(o))
        ledger_violation(o->ledger, "a command without a reply");
    if ((o->balancer && o->replies == 0) || o->tls)
        return;
    if (closed && !o->closing && observer_waits(o))
        ledger_violation(o->ledger, "closed without a word, a command without a reply");
}

void observer_clear(struct observer *o)
{
    buf_free(&o->sent);
    buf_free(&o->content);
    buf_free(&o->chunks.present);
    buf_free(&o->chunks.octets);
    buf_free(&o->line);
    free(o->supposed);
    *o = (struct observer){.ledger = o->ledger};
}
