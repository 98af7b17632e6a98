/*
 * reply.c - the table of our own replies, enhanced status codes, and the one formatter that every reply to a client passes.
 *
 * The formatter trusts nobody: text may be a backend's, a policy's or hold what a client sent. What leaves is lines of at most 512
 * octets of printable ASCII with CRLF, one code on all of them, one enhanced code of the same class. It changes text rather than refuse
 * to speak; only a code that is no reply code at all is a programmer's error.
 */
#include "postern/smtp/reply.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "octets.h"

enum {
    LINE_MAX_OCTETS = 512, /* RFC 5321 4.5.3.1.5, with code and CRLF */
    SUFFIX_MAX = 64,
};

static const struct reply_row {
    unsigned code;
    const char *enhanced, *text, *name;
} reply_rows[REPLY_COUNT] = {
#define REPLY(id, code, enhanced, text) {code, enhanced, text, #id},
#include "postern/smtp/replies.def"
#undef REPLY
};

uint64_t reply_uses[REPLY_COUNT];

const char *reply_name(enum reply_id id)
{
    assert((unsigned)id < REPLY_COUNT);
    return reply_rows[id].name;
}

/* Digits up to c: 1 to 3 of them without a leading zero (RFC 3463 2). Eats them and the dot behind. */
static bool take_number(struct str *rest, uint16_t *out)
{
    struct str part;
    uint64_t n;

    if (!str_split(rest, '.', &part) || part.n > 3 || (part.n > 1 && part.p[0] == '0') || !str_to_u64(part, 999, &n))
        return false;
    *out = (uint16_t)n;
    return true;
}

bool enhanced_parse(struct str s, struct enhanced *out)
{
    uint16_t class;

    *out = (struct enhanced){0};
    if (!take_number(&s, &class) || (class != 2 && class != 4 && class != 5))
        return false;
    if (!take_number(&s, &out->subject) || !take_number(&s, &out->detail) || s.p) {
        *out = (struct enhanced){0};
        return false;
    }
    out->class = (uint8_t)class;
    return true;
}

bool reply_says_unknown(const struct reply *r)
{
    const struct enhanced *e = &r->enhanced;

    if (!reply_is(r, 5))
        return false;
    if (e->class == 0 || (e->subject == 0 && e->detail == 0))
        return r->code == 550;
    if (e->subject == 4) /* "Recipient address rejected: Access denied", as Exchange Online says it */
        return e->detail == 1;
    /* RFC 3463 3.2: other address status, bad mailbox, bad syntax of it, moved without a trace; 10 is Exchange's "RecipientNotFound" */
    return e->subject == 1 && (e->detail == 0 || e->detail == 1 || e->detail == 3 || e->detail == 6 || e->detail == 10);
}

const char *enhanced_format(struct enhanced e, char out[16])
{
    if (e.class == 0)
        out[0] = '\0';
    else
        snprintf(out, 16, "%u.%u.%u", e.class % 10u, e.subject % 1000u, e.detail % 1000u);
    return out;
}

struct reply reply_of(struct arena *arena, unsigned code, const char *enhanced, struct str text)
{
    struct reply r = {.code = (uint16_t)code};

    assert(code >= 200 && code <= 599);
    if (enhanced && enhanced[0]) {
        bool good = enhanced_parse(str_of(enhanced), &r.enhanced);
        assert(good && r.enhanced.class == code / 100); /* RFC 2034 4: the classes agree */
        (void)good;
    }
    r.text = arena_str(arena, text);
    return r;
}

struct reply reply_make(struct arena *arena, enum reply_id id, struct str value)
{
    assert((unsigned)id < REPLY_COUNT);
    const struct reply_row *row = &reply_rows[id];
    const char *hole = strstr(row->text, "%s");

    reply_uses[id]++;
    if (!hole)
        return reply_of(arena, row->code, row->enhanced, str_of(row->text));
    struct buf text = {0};
    buf_put(&text, row->text, (size_t)(hole - row->text));
    buf_str(&text, value);
    buf_cstr(&text, hole + 2);
    struct reply r = reply_of(arena, row->code, row->enhanced, buf_view(&text));
    buf_free(&text);
    return r;
}

static void put_printable(struct buf *out, struct str s)
{
    char *to = buf_room(out, s.n);

    for (size_t i = 0; i < s.n; i++)
        to[i] = s.p[i] >= 0x20 && s.p[i] < 0x7f ? s.p[i] : '?';
    out->n += s.n;
}

/* The enhanced code that goes with r: its own, or x.0.0 when it has none or one of another class; class 0 when there can be none. */
static struct enhanced enhanced_for(const struct reply *r)
{
    unsigned class = r->code / 100;

    if (class != 2 && class != 4 && class != 5)
        return (struct enhanced){0};
    if (r->enhanced.class == class)
        return r->enhanced;
    return (struct enhanced){.class = (uint8_t)class};
}

static void put_code(struct buf *out, unsigned code)
{
    char digits[3] = {(char)('0' + code / 100), (char)('0' + code / 10 % 10), (char)('0' + code % 10)};

    buf_put(out, digits, sizeof digits);
}

static void put_line(struct buf *out, unsigned code, const char *enhanced, struct str text, bool last, struct str suffix)
{
    size_t start = out->n, tail = suffix.n ? suffix.n + 3 : 0;

    put_code(out, code);
    buf_char(out, last ? ' ' : '-'); /* RFC 5321 4.2: the space stands there even when no text follows */
    buf_cstr(out, enhanced);
    if (enhanced[0] && text.n)
        buf_char(out, ' ');
    put_printable(out, str_sub(text, 0, LINE_MAX_OCTETS - 2 - (out->n - start) - tail));
    if (suffix.n) {
        buf_cstr(out, text.n || enhanced[0] ? " [" : "[");
        put_printable(out, suffix);
        buf_char(out, ']');
    }
    buf_put(out, "\r\n", 2);
}

void reply_format(struct buf *out, const struct reply *r, bool with_enhanced, struct str suffix)
{
    char enhanced[16] = "";
    struct str rest = r->text.p ? r->text : STR(""), line;

    assert(r->code >= 200 && r->code <= 599);
    if (with_enhanced)
        enhanced_format(enhanced_for(r), enhanced);
    suffix = r->code >= 400 ? str_sub(suffix, 0, SUFFIX_MAX) : STR_NONE;
    while (str_split(&rest, '\n', &line)) {
        bool last = rest.p == NULL;
        put_line(out, r->code, enhanced, line, last, last ? suffix : STR_NONE);
    }
}

struct str reply_text(struct arena *arena, const struct reply *r)
{
    struct buf out = {0};
    char enhanced[16];
    struct str rest = r->text, line;

    put_code(&out, r->code);
    if (r->enhanced.class) {
        buf_char(&out, ' ');
        buf_cstr(&out, enhanced_format(r->enhanced, enhanced));
    }
    for (bool first = true; str_split(&rest, '\n', &line); first = false) {
        if (!first || line.n)
            buf_cstr(&out, first ? " " : "; ");
        put_printable(&out, line);
    }
    struct str text = arena_str(arena, buf_view(&out));
    buf_free(&out);
    return text;
}
