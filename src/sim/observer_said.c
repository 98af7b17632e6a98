/*
 * observer_said.c - what a client says, understood command by command: lines, content, chunks, a balancer's header.
 *
 * The octets of a chunk follow its command whatever the reply (RFC 3030 2), so they are counted off at once; of a message they
 * are only when they were accepted. Content follows a 354 alone. All else waits until the command before it is answered.
 */
#include "observer.h"
#include "script.h"

#include <string.h>

enum { LINE_MAX_OCTETS = 512 }; /* RFC 5321 4.5.3.1.4, with CRLF */

/* --- lines ------------------------------------------------------------------------------------------------------------------ */

/* What stands behind the path of MAIL: a quoted local part may look like a parameter. */
static struct str parameters_of(struct str line)
{
    bool quoted = false;
    for (size_t i = 0; i < line.n; i++) {
        if (quoted && line.p[i] == '\\')
            i++;
        else if (line.p[i] == '"')
            quoted = !quoted;
        else if (line.p[i] == '>' && !quoted)
            return str_sub(line, i + 1, line.n);
    }
    return line;
}

static bool says_binary(struct str line)
{
    struct str rest = parameters_of(line), word;
    while (word_take(&rest, &word)) {
        if (str_eq_nocase(word, STR("BODY=BINARYMIME")))
            return true;
    }
    return false;
}

/* BDAT SP size [SP LAST]; `rest` is behind the verb. A size that can be read announces octets also when the line is odd. */
static struct said read_chunk(struct str line, struct str rest)
{
    struct said said = {.what = OBSERVED_CHUNK};
    struct str word;
    bool good = line.n + 2 <= LINE_MAX_OCTETS && ascii_printable(line);
    if (!word_take(&rest, &word) || !str_to_u64(word, UINT64_MAX, &said.octets)) {
        said.octets = 0;
        good = false;
    }
    if (word_take(&rest, &word) && str_eq_nocase(word, STR("LAST")))
        said.what = OBSERVED_LAST_CHUNK;
    else
        good = good && word.n == 0;
    said.odd = !good || str_trim(rest).n > 0;
    return said;
}

struct said said_read(struct str line)
{
    static const struct {
        const char *verb;
        enum observed what;
    } verbs[] = {{"EHLO", OBSERVED_EHLO}, {"HELO", OBSERVED_HELO}, {"MAIL", OBSERVED_MAIL},        {"DATA", OBSERVED_DATA},
                 {"RSET", OBSERVED_RSET}, {"QUIT", OBSERVED_QUIT}, {"STARTTLS", OBSERVED_STARTTLS}};
    struct said said = {.what = OBSERVED_OTHER};
    struct str rest = line, verb = STR_NONE;
    word_take(&rest, &verb);
    if (str_eq_nocase(verb, STR("BDAT")))
        return read_chunk(line, rest);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (str_eq_nocase(verb, str_of(verbs[i].verb)))
            said.what = verbs[i].what;
    }
    said.binary = said.what == OBSERVED_MAIL && says_binary(rest);
    return said;
}

static void take(struct observer *o, size_t n)
{
    buf_consume(&o->sent, n);
    o->understood += n;
}

/* --- chunks ----------------------------------------------------------------------------------------------------------------- */

/* All octets of a chunk are here. Refused before, they are of no message. */
static void chunk_whole(struct observer *o)
{
    struct chunks *c = &o->chunks;
    struct buf all = {0}, meant = {0};
    if (o->pending.said.what != OBSERVED_LAST_CHUNK)
        return;
    buf_str(&all, buf_view(&c->octets));
    buf_str(&all, buf_view(&c->present));
    chunks_meant(buf_view(&all), c->binary, &meant);
    o->pending.message = observer_message(o, buf_view(&meant));
    buf_free(&all);
    buf_free(&meant);
}

static void take_octets(struct observer *o)
{
    struct chunks *c = &o->chunks;
    struct str octets = buf_view(&o->sent);
    octets = str_sub(octets, 0, c->left < octets.n ? (size_t)c->left : octets.n);
    buf_str(&c->present, octets);
    c->left -= octets.n;
    take(o, octets.n);
    if (c->left == 0)
        chunk_whole(o);
}

/* --- commands --------------------------------------------------------------------------------------------------------------- */

/* A balancer's header is no command: version 1 is a line, version 2 says its own length. False: more of it must come. */
static bool take_header(struct observer *o)
{
    static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";
    struct str all = buf_view(&o->sent);
    size_t n = all.n < 12 ? all.n : 12;
    if (!o->balancer || o->replies > 0 || o->headed || n == 0)
        return true;
    if (memcmp(all.p, signature, n) != 0) {
        size_t end = str_find(all, '\n', 0);
        o->headed = end < all.n && str_starts(all, STR("PROXY "));
        take(o, o->headed ? end + 1 : 0);
        return true;
    }
    size_t length = all.n < 16 ? SIZE_MAX : 16 + ((size_t)(unsigned char)all.p[14] << 8 | (unsigned char)all.p[15]);
    if (all.n < length)
        return false;
    o->headed = true;
    take(o, length);
    return true;
}

/* False: no whole line is there. */
static bool take_command(struct observer *o)
{
    struct str all = buf_view(&o->sent);
    size_t end = str_find(all, '\n', 0);
    if (end == all.n)
        return false;
    struct said said = said_read(str_sub(all, 0, end > 0 && all.p[end - 1] == '\r' ? end - 1 : end));
    take(o, end + 1);
    if (o->answered_early) {
        o->answered_early = false;
        return true;
    }
    o->tls |= said.what == OBSERVED_STARTTLS;
    o->pending = (struct pending){.said = said, .message = SIZE_MAX};
    if (said.what != OBSERVED_CHUNK && said.what != OBSERVED_LAST_CHUNK)
        return true;
    buf_clear(&o->chunks.present);
    o->chunks.left = said.odd ? 0 : said.octets;
    if (o->chunks.left == 0 && !said.odd)
        chunk_whole(o);
    return true;
}

size_t said_content_end(struct str s, size_t from)
{
    if (str_starts(s, STR(".\r\n"))) /* the CRLF before it is DATA's own */
        return 3;
    const char *at = s.n > from ? memmem(s.p + from, s.n - from, "\r\n.\r\n", 5) : NULL;
    return at ? (size_t)(at - s.p) + 5 : 0;
}

/* False: its end is not there. */
static bool take_content(struct observer *o)
{
    size_t had = o->content.n, before = had > 4 ? had - 4 : 0; /* the end may lie across */
    buf_str(&o->content, buf_view(&o->sent));
    size_t end = said_content_end(buf_view(&o->content), before);
    if (end == 0) {
        take(o, o->sent.n);
        return false;
    }
    struct buf meant = {0};
    take(o, end - had);
    content_meant(str_sub(buf_view(&o->content), 0, end - 3), &meant);
    o->pending = (struct pending){.said.what = OBSERVED_DOT, .message = observer_message(o, buf_view(&meant))};
    o->in_content = false;
    buf_clear(&o->content);
    buf_free(&meant);
    return true;
}

void said_understand(struct observer *o)
{
    bool more = !o->closing && !o->adrift && take_header(o);
    while (more && o->sent.n > 0) {
        if (o->chunks.left > 0)
            take_octets(o);
        else if (o->pending.said.what != OBSERVED_NOTHING)
            return;
        else
            more = o->in_content ? take_content(o) : take_command(o);
    }
}
