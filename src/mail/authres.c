/*
 * authres.c - writes Authentication-Results (RFC 8601 2.2) and Received-SPF (RFC 7208 9.1).
 *
 * A field is written word by word; a word is never broken, and a line is folded before a word that would pass the length people
 * like (RFC 5322 2.1.1). Each result begins a line of its own. In an internationalised message (RFC 6532 3.2) characters beyond
 * ASCII stand as they are, in atoms as in quotes; what is no UTF-8, and a control character of either kind, is "?" anywhere.
 */
#include <string.h>

#include "postern/base/codec.h"
#include "postern/mail/authres.h"

enum { LINE_LIKED = 78, VALUE_MAX = 800 }; /* octets of a value, escaped or not: its word still fits a line of 998 */

struct writer {
    struct buf *out;
    bool utf8;       /* characters beyond ASCII may stand in it */
    size_t line;     /* octets of the present line */
    struct buf word;
};

static void begin(struct writer *w, struct buf *out, bool utf8, const char *name)
{
    *w = (struct writer){.out = out, .utf8 = utf8, .line = strlen(name)};
    buf_cstr(out, name);
}

static void end(struct writer *w)
{
    buf_cstr(w->out, "\r\n");
    buf_free(&w->word);
}

static void new_line(struct writer *w)
{
    buf_cstr(w->out, "\r\n\t");
    w->line = 8;
}

/* Puts the word out, behind a space or on a line of its own. */
static void flush(struct writer *w)
{
    if (w->line > 8 && w->line + 1 + w->word.n > LINE_LIKED)
        new_line(w);
    else if (w->line != 8)
        buf_char(w->out, ' ');
    w->line += 1 + w->word.n;
    buf_str(w->out, buf_view(&w->word));
    buf_clear(&w->word);
}

/* --- values ------------------------------------------------------------------------------------------------ */

static bool is_let_dig(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Octets of the character that s begins with, when it is one beyond ASCII that may be shown; else 0. C1 controls may not. */
static size_t international(const struct writer *w, struct str s)
{
    if (!w->utf8 || !s.n || (unsigned char)s.p[0] < 0x80)
        return 0;
    size_t step = utf8_step(s);
    bool control = step == 2 && (unsigned char)s.p[0] == 0xc2 && (unsigned char)s.p[1] < 0xa0;
    return control ? 0 : step;
}

static bool all_of(const struct writer *w, struct str s, const char *others)
{
    size_t step;

    for (size_t i = 0; i < s.n; i += step) {
        step = international(w, str_sub(s, i, s.n));
        if (!step && !is_let_dig(s.p[i]) && !(s.p[i] && strchr(others, s.p[i])))
            return false;
        step += !step;
    }
    return s.n > 0;
}

/* Dots only between: a dot-atom (RFC 5322 3.2.3) of the given characters. */
static bool is_dot_atom(const struct writer *w, struct str s, const char *others)
{
    return all_of(w, s, others) && s.p[0] != '.' && s.p[s.n - 1] != '.' && !memmem(s.p, s.n, "..", 2);
}

/* A token (RFC 2045 5.1) of the plainest kind, or [local-part]@domain: what every reader reads alike. */
static bool is_plain(const struct writer *w, struct str s)
{
    size_t at = str_find(s, '@', 0);

    if (at == s.n)
        return all_of(w, s, "._-+");
    struct str local = str_sub(s, 0, at);
    return is_dot_atom(w, str_sub(s, at + 1, s.n), ".-_") && (local.n == 0 || is_dot_atom(w, local, "._-+=#&'*!$%^~|{}`"));
}

static void put_escaped(struct writer *w, struct str s, const char *specials)
{
    size_t step;

    for (size_t i = 0; i < s.n && i < VALUE_MAX / 2; i += step) {
        step = international(w, str_sub(s, i, s.n));
        if (step) {
            buf_put(&w->word, s.p + i, step);
            continue;
        }
        step = 1;
        char c = s.p[i] >= ' ' && s.p[i] <= '~' ? s.p[i] : '?';
        if (strchr(specials, c))
            buf_char(&w->word, '\\');
        buf_char(&w->word, c);
    }
}

static void put_value(struct writer *w, struct str value, bool plain)
{
    if (plain && value.n <= VALUE_MAX) {
        buf_str(&w->word, value);
        return;
    }
    buf_char(&w->word, '"');
    put_escaped(w, value, "\"\\");
    buf_char(&w->word, '"');
}

static void put_comment(struct writer *w, struct str comment)
{
    if (comment.n == 0)
        return;
    buf_char(&w->word, '(');
    put_escaped(w, comment, "()\\");
    buf_char(&w->word, ')');
    flush(w);
}

/* --- Authentication-Results -------------------------------------------------------------------------------- */

static void put_result(struct writer *w, const struct authres_result *r)
{
    buf_char(w->out, ';'); /* of what stands before */
    new_line(w);
    buf_printf(&w->word, "%s=%s", r->method, r->result);
    flush(w);
    put_comment(w, r->comment);
    if (r->reason.n) {
        buf_cstr(&w->word, "reason=");
        put_value(w, r->reason, false);
        flush(w);
    }
    for (size_t i = 0; i < r->property_count; i++) {
        const struct authres_property *p = &r->properties[i];
        if (p->value.n == 0)
            continue;
        buf_printf(&w->word, "%s.%s=", p->type, p->name);
        put_value(w, p->value, is_plain(w, p->value));
        flush(w);
    }
}

void authres_write(struct buf *out, struct str authserv_id, bool utf8, const struct authres_result *results, size_t count)
{
    struct writer w;

    begin(&w, out, utf8, "Authentication-Results:");
    put_value(&w, authserv_id, all_of(&w, authserv_id, "._-"));
    flush(&w);
    for (size_t i = 0; i < count; i++)
        put_result(&w, &results[i]);
    if (count == 0) {
        buf_char(out, ';');
        buf_cstr(&w.word, "none");
        flush(&w);
    }
    end(&w);
}

/* --- Received-SPF ------------------------------------------------------------------------------------------ */

void received_spf_write(struct buf *out, bool utf8, const struct received_spf *r)
{
    const struct { const char *key; struct str value; } pairs[] = {
        {"identity", r->identity}, {"client-ip", r->client_ip}, {"helo", r->helo}, {"envelope-from", r->envelope_from},
        {"receiver", r->receiver}, {"mechanism", r->mechanism}, {"problem", r->problem},
    };
    struct writer w;

    begin(&w, out, utf8, "Received-SPF:");
    buf_cstr(&w.word, r->result);
    flush(&w);
    put_comment(&w, r->comment);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (pairs[i].value.n == 0)
            continue;
        buf_printf(&w.word, "%s=", pairs[i].key);
        put_value(&w, pairs[i].value, is_dot_atom(&w, pairs[i].value, "._-+=")); /* dot-atom / quoted-string */
        buf_char(&w.word, ';');
        flush(&w);
    }
    end(&w);
}
