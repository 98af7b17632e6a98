/*
 * spf_macro.c - macro-strings of SPF: their grammar and their expansion (RFC 7208 section 7).
 *
 * A macro-string is read element by element: literal text, %% %_ %-, or %{letter digits r delimiters}. Validation and expansion read with the same
 * function. Values are bounded (VALUE_MAX) and so is what is kept of the expansion, whatever the record repeats.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "spf_internal.h"

enum { VALUE_MAX = 1024 };

enum element { ELEMENT_LITERAL, ELEMENT_VALUE, ELEMENT_BAD };

struct macro {
    struct str literal;    /* ELEMENT_LITERAL: what it stands for */
    bool escaped;          /* ... written as %%, %_ or %- */
    char letter;           /* ELEMENT_VALUE, as written: upper case is URL-escaped */
    bool reverse;
    unsigned keep;         /* right-hand parts; 0: all */
    struct str delimiters; /* empty: "." */
};

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "%{" was read: letter [digits] ["r"] *delimiter "}" (7.1). */
static enum element braces_read(struct str text, size_t *at, enum spf_place place, struct macro *m)
{
    const char *letters = place == SPF_IN_TERM ? "slodipvh" : "slodipvhcrt";
    uint64_t keep = 0;
    size_t i = *at, digits;

    if (i == text.n || !ascii_lower(text.p[i]) || !strchr(letters, ascii_lower(text.p[i])))
        return ELEMENT_BAD;
    m->letter = text.p[i++];
    for (digits = i; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++)
        keep = keep > VALUE_MAX ? keep : keep * 10 + (unsigned)(text.p[i] - '0');
    if (i > digits && keep == 0)
        return ELEMENT_BAD; /* 7.1: the number of parts is not zero */
    m->keep = (unsigned)keep;
    if (i < text.n && ascii_lower(text.p[i]) == 'r') {
        m->reverse = true;
        i++;
    }
    size_t delimiters = i;
    while (i < text.n && memchr(".-+,/_=", text.p[i], 7))
        i++;
    m->delimiters = str_sub(text, delimiters, i);
    if (i == text.n || text.p[i] != '}')
        return ELEMENT_BAD;
    *at = i + 1;
    return ELEMENT_VALUE;
}

static enum element percent_read(struct str text, size_t *at, enum spf_place place, struct macro *m)
{
    char c = *at + 1 < text.n ? text.p[*at + 1] : 0;

    *at += 2;
    m->escaped = true;
    switch (c) {
    case '%': m->literal = STR("%"); return ELEMENT_LITERAL;
    case '_': m->literal = STR(" "); return ELEMENT_LITERAL;
    case '-': m->literal = STR("%20"); return ELEMENT_LITERAL;
    case '{': return braces_read(text, at, place, m);
    }
    return ELEMENT_BAD;
}

/* The next element from *at, which is not the end. */
static enum element element_read(struct str text, size_t *at, enum spf_place place, struct macro *m)
{
    size_t start = *at, end = start;
    char least = place == SPF_IN_TERM ? 0x21 : 0x20;

    *m = (struct macro){0};
    if (text.p[start] == '%')
        return percent_read(text, at, place, m);
    while (end < text.n && text.p[end] != '%' && text.p[end] >= least && text.p[end] <= 0x7e)
        end++;
    if (end == start)
        return ELEMENT_BAD;
    m->literal = str_sub(text, start, end);
    *at = end;
    return ELEMENT_LITERAL;
}

bool spf_macro_string_valid(struct str text, enum spf_place place)
{
    struct macro m;

    for (size_t at = 0; at < text.n;)
        if (element_read(text, &at, place, &m) == ELEMENT_BAD)
            return false;
    return true;
}

/* *alphanum ALPHA *alphanum, or alphanum, "-" within, alphanum: what a host name ends in, and an IPv4 address does not. */
static bool toplabel_valid(struct str s)
{
    bool other = false;

    for (size_t i = 0; i < s.n; i++) {
        if (!is_alnum(s.p[i]) && s.p[i] != '-')
            return false;
        other |= s.p[i] < '0' || s.p[i] > '9';
    }
    return other && is_alnum(s.p[0]) && is_alnum(s.p[s.n - 1]);
}

bool spf_domain_spec_valid(struct str text)
{
    struct str tail = STR_NONE; /* the literal text that it ends in */
    struct macro m = {0};

    for (size_t at = 0; at < text.n;) {
        if (element_read(text, &at, SPF_IN_TERM, &m) == ELEMENT_BAD)
            return false;
        tail = m.letter || m.escaped ? STR_NONE : m.literal;
    }
    if (tail.n == 0)
        return text.n > 0;
    if (tail.p[tail.n - 1] == '.')
        tail.n--;
    size_t dot = tail.n;
    while (dot > 0 && tail.p[dot - 1] != '.')
        dot--;
    return dot > 0 && toplabel_valid(str_sub(tail, dot, tail.n));
}

/* Keeps the end of a term's expansion (names are cut from the left) and the beginning of an explanation's. */
static void keep_bounded(struct buf *out, enum spf_place place)
{
    if (out->n <= SPF_EXPANDED_MAX)
        return;
    if (place == SPF_IN_EXPLANATION)
        out->n = SPF_EXPANDED_MAX;
    else
        buf_consume(out, out->n - SPF_EXPANDED_MAX / 2);
}

static void put_escaped(struct buf *out, struct str s, bool escape)
{
    for (size_t i = 0; i < s.n; i++)
        if (!escape || is_alnum(s.p[i]) || (s.p[i] && strchr("-._~", s.p[i]))) /* RFC 3986 2.3 */
            buf_char(out, s.p[i]);
        else
            buf_printf(out, "%%%02X", (unsigned char)s.p[i]);
}

/* The parts of a value, those kept, in their order, joined with dots (7.3). */
static void put_parts(struct buf *out, struct str value, const struct macro *m)
{
    struct str delimiters = m->delimiters.n ? m->delimiters : STR(".");
    uint16_t ends[VALUE_MAX + 1];
    size_t count = 0;
    bool escape = m->letter < 'a';

    for (size_t i = 0; i < value.n; i++)
        if (memchr(delimiters.p, value.p[i], delimiters.n))
            ends[count++] = (uint16_t)i;
    ends[count++] = (uint16_t)value.n;
    size_t keep = m->keep && m->keep < count ? m->keep : count;
    for (size_t i = 0; i < keep; i++) {
        size_t part = m->reverse ? keep - 1 - i : count - keep + i;
        size_t start = part ? ends[part - 1] + 1u : 0;
        if (i)
            buf_char(out, '.');
        put_escaped(out, str_sub(value, start, ends[part]), escape);
    }
}

/* %{i}: dotted; IPv6 as 32 nibbles (7.3). In names their case is nothing. In explanations it shows: 7.4 has lower case, RFC 4408 8.2 and the tests that
 * implementations are commonly held to have upper case.
 */
static void put_ip(struct buf *out, const struct addr *a)
{
    if (a->family == 4) {
        char text[ADDR_TEXT];
        buf_cstr(out, addr_format(a, text));
        return;
    }
    for (int i = 0; i < 32; i++) {
        if (i)
            buf_char(out, '.');
        buf_char(out, "0123456789ABCDEF"[i % 2 ? a->b[i / 2] & 15 : a->b[i / 2] >> 4]);
    }
}

/* What the letter stands for, into value. False: not known yet. */
static bool value_put(struct buf *value, char letter, const struct spf_macros *m)
{
    struct str local = m->local.n ? m->local : STR("postmaster"); /* 4.3 */
    char text[ADDR_TEXT];

    switch (letter) {
    case 's':
        buf_str(value, local);
        buf_char(value, '@');
        buf_str(value, m->sender_domain);
        break;
    case 'l': buf_str(value, local); break;
    case 'o': buf_str(value, m->sender_domain); break;
    case 'd': buf_str(value, m->domain); break;
    case 'i': put_ip(value, &m->client); break;
    case 'p': {
        struct str name = m->validated(m->context, m->domain);
        if (!name.p)
            return false;
        buf_str(value, name);
        break;
    }
    case 'v': buf_cstr(value, m->client.family == 6 ? "ip6" : "in-addr"); break;
    case 'h': buf_str(value, m->helo); break;
    case 'c': buf_cstr(value, addr_format(&m->client, text)); break;
    case 'r': buf_str(value, m->receiver.n ? m->receiver : STR("unknown")); break;
    case 't': buf_printf(value, "%llu", (unsigned long long)m->time); break;
    }
    if (value->n > VALUE_MAX)
        value->n = VALUE_MAX;
    return true;
}

bool spf_expand(struct buf *out, struct str text, enum spf_place place, const struct spf_macros *m)
{
    struct buf value = {0};
    struct macro macro;
    bool known = true;

    for (size_t at = 0; known && at < text.n; keep_bounded(out, place)) {
        switch (element_read(text, &at, place, &macro)) {
        case ELEMENT_LITERAL:
            buf_str(out, macro.literal);
            break;
        case ELEMENT_VALUE:
            buf_clear(&value);
            known = value_put(&value, ascii_lower(macro.letter), m);
            if (macro.keep || macro.reverse || macro.delimiters.n)
                put_parts(out, buf_view(&value), &macro);
            else
                put_escaped(out, buf_view(&value), macro.letter < 'a');
            break;
        case ELEMENT_BAD:
            assert(!"validated before");
        }
    }
    buf_free(&value);
    return known;
}

bool spf_target_name(struct str *name)
{
    size_t start = 0, label = 0;

    if (name->n && name->p[name->n - 1] == '.')
        name->n--;
    while (name->n - start > 253) {
        size_t dot = str_find(*name, '.', start);
        if (dot == name->n)
            return false;
        start = dot + 1;
    }
    *name = str_sub(*name, start, name->n);
    for (size_t i = 0; i <= name->n; i++)
        if (i < name->n && name->p[i] != '.') {
            if (++label > 63 || name->p[i] & 0x80 || name->p[i] == 0)
                return false;
        } else {
            if (label == 0)
                return false;
            label = 0;
        }
    return true;
}

bool spf_domain_valid(struct str *name)
{
    if (name->n > 254 || !spf_target_name(name) || str_find(*name, '.', 0) == name->n)
        return false;
    for (size_t i = 0; i < name->n; i++)
        if (name->p[i] < ' ' || name->p[i] == 0x7f)
            return false;
    return name->p[0] != '['; /* an address literal */
}
