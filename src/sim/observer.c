/*
 * observer.c - see observer.h. Written without the smtp room, which it judges.
 */
#include "observer.h"

#include "script.h"

#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_OCTETS = 512 }; /* RFC 5321 4.5.3.1.5, with CRLF */

void observer_init(struct observer *o, struct ledger *l)
{
    *o = (struct observer){.ledger = l};
    o->pending = xmalloc(sizeof *o->pending);
    o->pending[o->pending_count++] = (struct pending){.what = OBSERVED_GREETING};
}

static void push(struct observer *o, enum observed what, size_t message)
{
    if (o->closing)
        return;
    o->pending = xrealloc(o->pending, (o->pending_count + 1) * sizeof *o->pending);
    o->pending[o->pending_count++] = (struct pending){.what = what, .message = message};
}

/* --- what the client sends -------------------------------------------------------------------------------------------------- */

static enum observed classify(struct str line)
{
    static const struct {
        const char *verb;
        enum observed what;
    } verbs[] = {{"EHLO", OBSERVED_EHLO}, {"HELO", OBSERVED_HELO}, {"MAIL", OBSERVED_MAIL},
                 {"DATA", OBSERVED_DATA}, {"RSET", OBSERVED_RSET}, {"QUIT", OBSERVED_QUIT}};
    while (line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t'))
        line = str_sub(line, 1, line.n);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (str_eq_nocase(str_sub(line, 0, 4), str_of(verbs[i].verb)))
            return verbs[i].what;
    }
    while (line.n > 0 && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == ' '))
        line.n--;
    if (str_eq_nocase(line, STR("STARTTLS")))
        return OBSERVED_STARTTLS;
    if (!str_starts_nocase(line, STR("BDAT ")))
        return OBSERVED_OTHER;
    return str_ends_nocase(line, STR(" LAST")) ? OBSERVED_LAST_CHUNK : OBSERVED_CHUNK;
}

/* --- chunks (RFC 3030): exactly the octets announced are content, whatever the reply ----------------------------------- */

static void chunks_forget(struct chunks *c)
{
    buf_clear(&c->octets);
    c->begun = c->accepted = c->addressed = c->binary = c->last = false;
    c->round++;
}

/* It was refused: its octets are of no message. */
static void chunk_refused(struct chunks *c, const struct pending *p)
{
    if (p->round != c->round || p->length == 0 || p->start + p->length > c->octets.n)
        return;
    char *at = c->octets.p + p->start;
    memmove(at, at + p->length, c->octets.n - p->start - p->length);
    c->octets.n -= p->length;
}

/* A MAIL that was refused for its syntax or place begins nothing; one refused by policy or for its size does. */
static bool begins_transaction(unsigned code)
{
    return code != 553 && code != 555 && (code < 500 || code > 504);
}

/* A chunk that was refused before its octets came: they are of no message; and there is none any more, unless it only came out of
 * place. */
static void chunk_was_refused(struct observer *o)
{
    struct chunks *c = &o->chunks;
    c->octets.n = c->start;
    if (c->meant && begins_transaction(o->last_code))
        chunks_forget(c);
}

static void chunk_done(struct observer *o)
{
    struct chunks *c = &o->chunks;
    struct pending *newest = o->pending_count > 0 ? &o->pending[o->pending_count - 1] : NULL;
    if (!newest || newest->what != (c->last ? OBSERVED_LAST_CHUNK : OBSERVED_CHUNK)) {
        chunk_was_refused(o);
        return;
    }
    if (!c->meant)
        return;
    if (!c->last) {
        newest->start = c->start;
        newest->length = c->octets.n - c->start;
        newest->round = c->round;
        return;
    }
    newest->message = ledger_client_chunks(o->ledger, buf_view(&c->octets), c->binary);
    chunks_forget(c);
}

static void chunk_begin(struct observer *o, struct str line)
{
    struct chunks *c = &o->chunks;
    struct str rest = line, word, last;
    if (!ascii_printable(line)) /* no command at all: nothing is announced by it */
        return;
    if (!word_take(&rest, &word) || !str_eq_nocase(word, STR("BDAT")) || !word_take(&rest, &word) ||
        !str_to_u64(word, UINT64_MAX, &c->left)) {
        c->left = 0;
        return;
    }
    c->last = word_take(&rest, &last) && str_eq_nocase(last, STR("LAST")) && str_trim(rest).n == 0;
    c->meant = c->addressed;
    c->start = c->octets.n;
    if (c->left == 0)
        chunk_done(o);
}

static void take_octets(struct observer *o)
{
    struct chunks *c = &o->chunks;
    struct str octets = buf_view(&o->sent);
    octets = str_sub(octets, 0, c->left < octets.n ? (size_t)c->left : octets.n);
    if (c->meant)
        buf_str(&c->octets, octets);
    c->left -= octets.n;
    buf_consume(&o->sent, octets.n);
    if (c->left == 0)
        chunk_done(o);
}

static void mail_seen(struct observer *o, struct str line)
{
    struct chunks *c = &o->chunks;
    struct pending *newest = o->pending_count > 0 ? &o->pending[o->pending_count - 1] : NULL;
    bool binary = memmem(line.p, line.n, "BODY=BINARYMIME", 15) != NULL;
    if (newest) {
        newest->binary = binary;
        newest->round = c->round;
    }
    if (c->accepted)
        return;
    c->begun = true;
    c->binary = binary;
}

static bool ends_transaction(enum observed what)
{
    return what == OBSERVED_RSET || what == OBSERVED_EHLO || what == OBSERVED_HELO;
}

/* What a command means for the chunks behind it. That it is obeyed is believed: its reply comes later than what follows it. */
static void chunks_follow(struct observer *o, enum observed what, struct str line)
{
    struct chunks *c = &o->chunks;
    if (ends_transaction(what))
        o->state = OBSERVE_WAITING; /* unless it is refused, for its syntax or by the policy: what follows is read when that is known */
    else if (what == OBSERVED_MAIL)
        mail_seen(o, line);
    else if (str_starts_nocase(line, STR("RCPT")))
        c->addressed = c->begun;
    else
        chunk_begin(o, line);
}

/* --- commands --------------------------------------------------------------------------------------------------------------- */

/* A balancer's header is no command: version 1 is a line, version 2 says its own length. False: more of it must come. */
static bool take_header(struct observer *o, bool *taken)
{
    static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";
    struct str all = buf_view(&o->sent);
    size_t n = all.n < 12 ? all.n : 12;
    *taken = false;
    if (!o->balancer || o->replies > 0 || o->headed || n == 0)
        return true;
    if (memcmp(all.p, signature, n) != 0) {
        size_t end = str_find(all, '\n', 0);
        o->headed = end < all.n && str_starts(all, STR("PROXY "));
        *taken = o->headed;
        buf_consume(&o->sent, o->headed ? end + 1 : 0);
        return true;
    }
    size_t length = all.n < 16 ? SIZE_MAX : 16 + ((size_t)(unsigned char)all.p[14] << 8 | (unsigned char)all.p[15]);
    if (all.n < length)
        return false;
    o->headed = *taken = true;
    buf_consume(&o->sent, length);
    return true;
}

static bool take_command(struct observer *o)
{
    bool header;
    if (o->chunks.left > 0 && o->sent.n > 0) {
        take_octets(o);
        return o->sent.n > 0;
    }
    if (!take_header(o, &header) || header)
        return header && o->sent.n > 0;
    struct str all = buf_view(&o->sent);
    size_t end = str_find(all, '\n', 0);
    if (end == all.n)
        return false;
    struct str line = str_sub(all, 0, end > 0 && all.p[end - 1] == '\r' ? end - 1 : end);
    enum observed what = classify(line);
    o->tls |= what == OBSERVED_STARTTLS;
    if (o->answered_early)
        o->answered_early = false;
    else
        push(o, what, what == OBSERVED_LAST_CHUNK ? SIZE_MAX : 0);
    if (what == OBSERVED_DATA && !o->chunks.binary) /* for that one it is refused (RFC 3030 3): no content comes */
        o->state = OBSERVE_WAITING;
    chunks_follow(o, what, line);
    buf_consume(&o->sent, end + 1);
    return true;
}

/* Where the content ends: behind the dot's CRLF; 0: not yet. `from`: nothing before it can begin the end. */
static size_t content_end(struct str s, size_t from)
{
    if (str_starts(s, STR(".\r\n"))) /* the CRLF before it is DATA's own */
        return 3;
    const char *at = s.n > from ? memmem(s.p + from, s.n - from, "\r\n.\r\n", 5) : NULL;
    return at ? (size_t)(at - s.p) + 5 : 0;
}

static bool take_content(struct observer *o)
{
    size_t before = o->content.n > 4 ? o->content.n - 4 : 0; /* the end may lie across */
    buf_str(&o->content, buf_view(&o->sent));
    size_t end = content_end(buf_view(&o->content), before);
    size_t had = o->content.n - o->sent.n;
    if (end == 0) {
        buf_clear(&o->sent);
        return false;
    }
    buf_consume(&o->sent, end - had);
    push(o, OBSERVED_DOT, ledger_client_dot(o->ledger, str_sub(buf_view(&o->content), 0, end - 3)));
    buf_clear(&o->content);
    chunks_forget(&o->chunks);
    o->state = OBSERVE_COMMANDS;
    return true;
}

static void understand(struct observer *o)
{
    bool more = true;
    while (more && o->state != OBSERVE_WAITING)
        more = o->state == OBSERVE_CONTENT ? take_content(o) : take_command(o);
}

void observer_sent(struct observer *o, struct str bytes)
{
    buf_str(&o->sent, bytes);
    understand(o);
}

/* --- what the server answers ------------------------------------------------------------------------------------------------ */

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

static void forget_pending(struct observer *o)
{
    memmove(o->pending, o->pending + 1, (o->pending_count - 1) * sizeof *o->pending);
    o->pending_count--;
}

static void follow_transaction(struct observer *o, enum observed what, unsigned code)
{
    bool ok = code / 100 == 2;
    if (what == OBSERVED_MAIL && begins_transaction(code)) {
        o->transactions++;
        o->open = ok;
    }
    bool ends = what == OBSERVED_LAST_CHUNK || (what == OBSERVED_CHUNK && !ok); /* what was refused out of place ends nothing */
    if (what == OBSERVED_DOT || (ends && begins_transaction(code)) || o->closing)
        o->open = false;
    bool forgets = what == OBSERVED_EHLO || what == OBSERVED_HELO || what == OBSERVED_RSET || what == OBSERVED_STARTTLS;
    if (forgets && ok)
        o->open = false;
}

/* The last line of a reply to the oldest command. */
static void answered(struct observer *o, struct pending to, unsigned code)
{
    bool ok = code / 100 == 2;
    if (to.what == OBSERVED_EHLO && ok)
        o->esmtp = true;
    if (to.what == OBSERVED_DOT || to.what == OBSERVED_LAST_CHUNK)
        ledger_client_told(o->ledger, to.message, code);
    if (to.what == OBSERVED_LAST_CHUNK && ok && to.message == SIZE_MAX)
        ledger_violation(o->ledger, "%u to a last chunk whose octets had not come", code);
    if (to.what == OBSERVED_STARTTLS && ok) { /* RFC 3207 4.2: what came in clear behind it was never said */
        o->pending_count = 0;
        buf_clear(&o->sent);
        chunks_forget(&o->chunks);
        o->chunks.left = 0;
    }
    if (ends_transaction(to.what)) {
        o->state = OBSERVE_COMMANDS;
        if (ok)
            chunks_forget(&o->chunks);
    }
    if (to.what == OBSERVED_MAIL && ok && to.round == o->chunks.round) {
        o->chunks.accepted = true;
        o->chunks.binary = to.binary;
    }
    if (to.what == OBSERVED_CHUNK && !ok)
        chunk_refused(&o->chunks, &to);
    if (to.what == OBSERVED_DATA) {
        o->state = code == 354 ? OBSERVE_CONTENT : OBSERVE_COMMANDS;
    } else if (code == 354) {
        ledger_violation(o->ledger, "354 to what was not DATA");
    }
    if ((to.what == OBSERVED_QUIT && ok) || code == 421 || code == 521)
        o->closing = true;
    follow_transaction(o, to.what, code);
}

static void reply_done(struct observer *o, unsigned code)
{
    o->replies++;
    o->last_code = code;
    if (o->pending_count > 0) {
        struct pending to = o->pending[0];
        forget_pending(o);
        answered(o, to, code);
        if (o->closing)
            o->pending_count = 0;
        understand(o);
        return;
    }
    bool endless = o->state == OBSERVE_COMMANDS && (o->sent.n >= 512 || (o->half_closed && o->sent.n > 0));
    if (code == 421 || code == 521) /* unasked: a limit or a time-out; the connection ends */
        o->closing = true;
    else if (endless && !o->answered_early)
        o->answered_early = true;
    else
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
    enum observed to = o->pending_count > 0 ? o->pending[0].what : OBSERVED_OTHER;
    check_line(o, line, code, to);
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
    bool at_starttls = o->pending_count > 0 && o->pending[0].what == OBSERVED_STARTTLS;
    if ((o->line.n > 0 || o->code) && !(closed && at_starttls))
        ledger_violation(o->ledger, "a reply that breaks off");
    if (!closed && o->pending_count > 0)
        ledger_violation(o->ledger, "%zu commands without a reply", o->pending_count);
    if ((o->balancer && o->replies == 0) || o->tls)
        return;
    if (closed && !o->closing && o->pending_count > 0)
        ledger_violation(o->ledger, "closed without a word, %zu commands without a reply", o->pending_count);
}

void observer_clear(struct observer *o)
{
    buf_free(&o->sent);
    buf_free(&o->content);
    buf_free(&o->chunks.octets);
    buf_free(&o->line);
    free(o->pending);
    o->pending = NULL;
    o->pending_count = 0;
}
