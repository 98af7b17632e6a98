/*
 * from_address.c - reads an address list (RFC 5322 3.4; obsolete forms of section 4.4; groups as RFC 6854 allows them in From).
 *
 * The story: a lexer gives words, specials and literals and passes over white space and comments wherever they stand; the reader
 * takes one mailbox at a time. Nothing is decoded: a display name may hold encoded words, whatever they say; an address may not
 * (RFC 2047 section 5). No recursion: comments nest by counting, groups do not nest. What is not in the grammar is ADDRESS_BAD,
 * and nothing more is read.
 */
#include <string.h>

#include "from_address.h"

/* Kinds of tokens: a special stands for itself. */
enum { END = 0, ATOM = 'a', QUOTED = 'q', LITERAL = 'l', BAD = '!' };

/* --- the lexer --------------------------------------------------------------------------------------------- */

static bool is_atext(char c) /* RFC 5322 3.2.3, RFC 6532 3.2 */
{
    static const char others[] = "!#$%&'*+-/=?^_`{|}~";

    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c > 127 ||
           (c && memchr(others, c, sizeof others - 1));
}

static bool is_text(char c) /* may stand in a quoted string, a comment or a literal */
{
    return c == '\t' || ((unsigned char)c >= ' ' && c != 0x7f);
}

/* Length of the folding at i (CRLF and then white space): 0 when there is none. */
static size_t fold_length(struct str s, size_t i)
{
    bool fold = i + 2 < s.n && s.p[i] == '\r' && s.p[i + 1] == '\n' && (s.p[i + 2] == ' ' || s.p[i + 2] == '\t');
    return fold ? 2 : 0;
}

/* The index behind what opens at s.p[0] and ends with `close`; 0: it never ends, or holds what it must not. `open` nests (0:
 * nothing does). */
static size_t enclosed(struct str s, char open, char close)
{
    size_t depth = 1;

    for (size_t i = 1; i < s.n; i++) {
        size_t fold = fold_length(s, i);
        if (fold) {
            i += fold - 1;
        } else if (s.p[i] == '\\') {
            if (++i == s.n || !is_text(s.p[i]))
                return 0;
        } else if (s.p[i] == close) {
            if (--depth == 0)
                return i + 1;
        } else if (open && s.p[i] == open) {
            depth++;
        } else if (!is_text(s.p[i])) {
            return 0;
        }
    }
    return 0;
}

/* Passes over white space and comments. False: a comment is not closed. */
static bool skip_cfws(struct str *s)
{
    size_t n;

    while (s->n) {
        if (s->p[0] == ' ' || s->p[0] == '\t')
            n = 1;
        else if (s->p[0] == '(')
            n = enclosed(*s, '(', ')');
        else
            n = fold_length(*s, 0);
        if (n == 0)
            return s->p[0] != '(';
        *s = str_sub(*s, n, s->n);
    }
    return true;
}

static void advance(struct address_reader *r)
{
    static const char specials[] = "<>@,:;.";
    struct str s = r->rest;
    size_t n = 1;
    char kind;

    if (r->token.kind == BAD)
        return;
    if (!skip_cfws(&s)) {
        r->token = (struct address_token){.kind = BAD};
        return;
    }
    if (s.n == 0) {
        kind = END;
        n = 0;
    } else if (s.p[0] == '"') {
        n = enclosed(s, 0, '"');
        kind = n ? QUOTED : BAD;
    } else if (s.p[0] == '[') {
        n = enclosed(s, 0, ']');
        kind = n && !memchr(s.p + 1, '[', n - 1) ? LITERAL : BAD;
    } else if (is_atext(s.p[0])) {
        while (n < s.n && is_atext(s.p[n]))
            n++;
        kind = ATOM;
    } else {
        kind = s.p[0] && memchr(specials, s.p[0], sizeof specials - 1) ? s.p[0] : BAD;
    }
    r->token = (struct address_token){kind, str_sub(s, 0, n)};
    r->rest = str_sub(s, n, s.n);
}

static bool take(struct address_reader *r, char kind)
{
    if (r->token.kind != kind)
        return false;
    advance(r);
    return true;
}

/* --- addresses --------------------------------------------------------------------------------------------- */

/* Part of an encoded word, which some would decode and others not. */
static bool looks_encoded(struct str atom)
{
    return str_starts(atom, STR("=?")) || str_ends_nocase(atom, STR("?="));
}

static void put_domain(struct address_reader *r, struct str text)
{
    if (r->domain_n + text.n > ADDRESS_DOMAIN_MAX) {
        r->domain_n = ADDRESS_DOMAIN_MAX + 1;
        return;
    }
    memcpy(r->domain + r->domain_n, text.p, text.n);
    r->domain_n += text.n;
}

/* domain = dot-atom / domain-literal / obs-domain; the token is behind the "@". */
static enum address_kind domain(struct address_reader *r)
{
    r->domain_n = 0;
    if (take(r, LITERAL))
        return ADDRESS_LITERAL;
    for (;;) {
        if (r->token.kind != ATOM || looks_encoded(r->token.text))
            return ADDRESS_BAD;
        put_domain(r, r->token.text);
        advance(r);
        if (!take(r, '.'))
            return ADDRESS_DOMAIN;
        put_domain(r, STR("."));
    }
}

/* What was read so far of words and dots. */
struct words {
    size_t count;
    bool local;   /* it may be a local part: words with single dots between them (obs-local-part) */
    bool phrase;  /* it may be a phrase: a word first */
    bool encoded; /* an encoded word is in it, or what looks like a part of one */
};

static struct words read_words(struct address_reader *r)
{
    struct words w = {.local = true, .phrase = true};
    bool dot = true;

    for (; r->token.kind == ATOM || r->token.kind == QUOTED || r->token.kind == '.'; advance(r)) {
        bool is_dot = r->token.kind == '.';
        if (is_dot == dot)
            w.local = false;
        if (is_dot && w.count == 0)
            w.phrase = false;
        if (r->token.kind == ATOM && looks_encoded(r->token.text))
            w.encoded = true;
        dot = is_dot;
        w.count++;
    }
    if (dot)
        w.local = false;
    return w;
}

/* obs-route = obs-domain-list ":", which is to be ignored (RFC 5322 4.4). */
static bool skip_route(struct address_reader *r)
{
    while (r->token.kind == ',' || r->token.kind == '@') {
        if (take(r, ','))
            continue;
        advance(r);
        if (domain(r) == ADDRESS_BAD)
            return false;
    }
    return take(r, ':');
}

/* Behind "<" up to and with ">". */
static enum address_kind angle(struct address_reader *r)
{
    if (take(r, '>'))
        return ADDRESS_BARE;
    if ((r->token.kind == '@' || r->token.kind == ',') && !skip_route(r))
        return ADDRESS_BAD;
    struct words w = read_words(r);
    if (!w.local || w.encoded)
        return ADDRESS_BAD;
    if (take(r, '>'))
        return ADDRESS_BARE;
    if (!take(r, '@'))
        return ADDRESS_BAD;
    enum address_kind kind = domain(r);
    return take(r, '>') ? kind : ADDRESS_BAD;
}

/* After a mailbox: the next one, the group's end or the list's. */
static bool at_end(const struct address_reader *r)
{
    return r->token.kind == ',' || r->token.kind == END || (r->in_group && r->token.kind == ';');
}

static enum address_kind mailbox(struct address_reader *r)
{
    enum address_kind kind;

    if (r->before_angle) {
        r->before_angle = false;
        advance(r);
        kind = angle(r);
        return at_end(r) ? kind : ADDRESS_BAD;
    }
    struct words w = read_words(r);
    if (take(r, '<')) {
        kind = w.count == 0 || w.phrase ? angle(r) : ADDRESS_BAD;
        return at_end(r) ? kind : ADDRESS_BAD;
    }
    if (w.count == 0)
        return ADDRESS_BAD;
    if (take(r, '@')) {
        kind = w.local && !w.encoded ? domain(r) : ADDRESS_BAD;
        if (kind == ADDRESS_BAD)
            return kind;
        r->before_angle = r->token.kind == '<';
        return r->before_angle || at_end(r) ? kind : ADDRESS_BAD;
    }
    if (!r->in_group && w.phrase && take(r, ':')) {
        r->in_group = true;
        return ADDRESS_END;
    }
    return w.phrase && at_end(r) ? ADDRESS_BARE : ADDRESS_BAD;
}

void address_begin(struct address_reader *r, struct str body)
{
    r->rest = body;
    r->token = (struct address_token){0};
    r->in_group = r->before_angle = false;
    r->domain_n = 0;
    advance(r);
}

enum address_kind address_next(struct address_reader *r, struct str *domain_text)
{
    enum address_kind kind = ADDRESS_END;

    *domain_text = STR_NONE;
    while (kind == ADDRESS_END) {
        if (take(r, ',')) /* obs-mbox-list: empty places */
            continue;
        if (r->in_group && take(r, ';')) {
            r->in_group = false;
            if (r->token.kind != ',' && r->token.kind != END)
                return ADDRESS_BAD;
            continue;
        }
        if (r->token.kind == END)
            return r->in_group ? ADDRESS_BAD : ADDRESS_END; /* a group that nothing closes */
        kind = mailbox(r); /* END: a group has begun */
    }
    if (kind == ADDRESS_DOMAIN && r->domain_n <= ADDRESS_DOMAIN_MAX)
        *domain_text = (struct str){r->domain, r->domain_n};
    return kind;
}
