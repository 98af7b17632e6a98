/*
 * path.c - reverse- and forward-paths by the grammar of RFC 5321 4.1.2, widened by RFC 6531 3.3 (UTF-8 in local parts and domains).
 *
 * What a path says is kept as it was written, for it goes on to the backend as it came; only a source route is dropped (RFC 5321 3.3,
 * appendix C). Grammar decides and nothing else: "a..b", "user@other@us", an unquoted space are no paths; user%other@us and
 * other!user@us are paths, and it is the session's business to refuse the tricks in them.
 */
#include "postern/smtp/command.h"

#include <string.h>

#include "octets.h"
#include "postern/base/codec.h"

/*
 * RFC 5321 4.5.3.1.1: 64 octets is the least that must be accepted in a local part, not the most. VERP senders write longer ones; the
 * line's limit bounds them all, and this one keeps keys and logs small.
 */
enum { LOCAL_MAX = 255 };

/* atext of RFC 5322 3.2.3 without the bytes over 127, which the callers judge as UTF-8. */
static bool is_atext(char c)
{
    return is_let_dig(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* Local-part, Dot-string form: atoms with single dots between them. Gives its length, 0 when there is none. */
static size_t dot_string(struct str s)
{
    size_t i = 0;
    bool atom = false; /* the last byte belongs to an atom */

    while (i < s.n) {
        size_t step = 1;
        if (s.p[i] == '.') {
            if (!atom)
                return 0;
            atom = false;
        } else if (is_8bit(s.p[i])) {
            step = utf8_step(str_sub(s, i, s.n));
            if (step == 0)
                return 0;
            atom = true;
        } else if (is_atext(s.p[i])) {
            atom = true;
        } else {
            break;
        }
        i += step;
    }
    return atom ? i : 0;
}

/* Local-part, Quoted-string form; its length with quotes, 0 when it is none. The text without quotes and escapes goes to plain. */
static size_t quoted_string(struct str s, struct arena *arena, struct str *plain)
{
    char *text = arena_alloc(arena, s.n);
    size_t used = 0, i = 1;

    while (i < s.n && s.p[i] != '"') {
        size_t step = 1;
        bool escaped = s.p[i] == '\\';
        if (escaped && ++i >= s.n)
            return 0;
        if (is_8bit(s.p[i])) { /* RFC 6531 3.3: qtextSMTP, but never behind a backslash */
            step = escaped ? 0 : utf8_step(str_sub(s, i, s.n));
            if (step == 0)
                return 0;
        } else if (s.p[i] < 32 || s.p[i] == 127) {
            return 0;
        }
        memcpy(text + used, s.p + i, step);
        used += step;
        i += step;
    }
    if (i >= s.n)
        return 0;
    *plain = (struct str){text, used};
    return i + 1;
}

/* A-d-l ":" (RFC 5321 4.1.2): "@one,@two:". On success *s is what follows the colon. */
static bool skip_source_route(struct str *s)
{
    size_t colon = str_find(*s, ':', 0);
    struct str hops = str_sub(*s, 0, colon), hop;

    if (colon == s->n)
        return false;
    while (str_split(&hops, ',', &hop)) {
        struct str domain = str_sub(hop, 1, hop.n);
        if (hop.n == 0 || hop.p[0] != '@' || !(domain_valid(domain) || (has_8bit(domain) && domain_valid_utf8(domain))))
            return false;
    }
    *s = str_sub(*s, colon + 1, s->n);
    return true;
}

/* General-address-literal: "[" Standardized-tag ":" 1*dcontent "]"; what would trouble a simpler parser behind us is left out (< > "). */
static bool general_literal(struct str s)
{
    struct str inner = str_sub(s, 1, s.n - 1);
    size_t colon = str_find(inner, ':', 0);

    if (colon == 0 || colon + 1 >= inner.n || str_eq_nocase(str_sub(inner, 0, colon), STR("IPv6")))
        return false;
    for (size_t i = 0; i < colon; i++) {
        if (!is_let_dig(inner.p[i]) && (inner.p[i] != '-' || i + 1 == colon))
            return false;
    }
    for (size_t i = colon + 1; i < inner.n; i++) {
        char c = inner.p[i];
        if (c < 33 || c > 126 || strchr("[\\]<>\"", c))
            return false;
    }
    return true;
}

static bool parse_domain(struct str s, struct path *out)
{
    out->domain = s;
    if (s.n > 255)
        return false;
    if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']') {
        out->literal = true;
        return address_literal_parse(s, &out->literal_addr) || general_literal(s);
    }
    return has_8bit(s) ? domain_valid_utf8(s) : domain_valid(s);
}

/* Mailbox: Local-part "@" ( Domain / address-literal ). */
static bool parse_mailbox(struct str s, struct arena *arena, struct path *out)
{
    size_t end;

    out->quoted = s.n > 0 && s.p[0] == '"';
    end = out->quoted ? quoted_string(s, arena, &out->local_plain) : dot_string(s);
    if (end == 0 || end > LOCAL_MAX || end >= s.n || s.p[end] != '@')
        return false;
    out->local = str_sub(s, 0, end);
    if (!out->quoted)
        out->local_plain = out->local;
    return parse_domain(str_sub(s, end + 1, s.n), out);
}

bool path_parse(struct str text, bool allow_null, bool allow_bare_postmaster, struct arena *arena, struct path *out)
{
    bool angle = text.n > 0 && text.p[0] == '<';

    *out = (struct path){0};
    if (angle) {
        if (text.n < 2 || text.p[text.n - 1] != '>')
            return false;
        text = str_sub(text, 1, text.n - 1);
    }
    if (text.n == 0) {
        out->null = angle && allow_null;
        return out->null;
    }
    if (text.p[0] == '@') {
        out->source_route = true;
        if (!skip_source_route(&text))
            return false;
    }
    out->whole = text;
    out->utf8 = has_8bit(text);
    if (allow_bare_postmaster && !out->source_route && str_eq_nocase(text, STR("postmaster"))) { /* RFC 5321 4.1.1.3 */
        out->local = out->local_plain = text;
        return true;
    }
    return parse_mailbox(text, arena, out);
}
