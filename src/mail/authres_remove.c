/*
 * authres_remove.c - finds Authentication-Results fields of strangers that say to be ours (RFC 8601 section 5).
 *
 * The beginning of the field is read as the grammar has it: white space and comments, then a token or a quoted string, which is
 * the authserv-id; a version and all that follows is not looked at. What does not begin so is broken, and readers of broken
 * fields guess: such a field is ours when the id is found in it anywhere.
 */
#include <string.h>

#include "postern/mail/authres.h"
#include "postern/mail/from.h"
#include "postern/mail/header.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Passes over white space and comments. False: a comment is not closed. */
static bool skip_cfws(struct str *s)
{
    size_t depth = 0, i = 0;

    for (; i < s->n; i++) {
        char c = s->p[i];
        if (depth && c == '\\' && i + 1 < s->n)
            i++;
        else if (c == '(')
            depth++;
        else if (depth && c == ')')
            depth--;
        else if (!depth && !is_blank(c))
            break;
    }
    *s = str_sub(*s, i, s->n);
    return depth == 0;
}

/* RFC 2045 5.1, and octets over 127 (RFC 6532). */
static bool is_token(char c)
{
    return (unsigned char)c > ' ' && c != 0x7f && !strchr("()<>@,;:\\\"/[]?=", c);
}

/* The authserv-id at the start of a field's body, unquoted and without any white space, appended to id. False: there is none
 * that can be read. */
static bool read_id(struct str body, struct buf *id)
{
    size_t i;

    if (!skip_cfws(&body) || body.n == 0)
        return false;
    if (body.p[0] != '"') {
        for (i = 0; i < body.n && is_token(body.p[i]); i++)
            ;
        buf_put(id, body.p, i);
        return i > 0;
    }
    for (i = 1; i < body.n && body.p[i] != '"'; i++) {
        if (body.p[i] == '\\' && i + 1 < body.n)
            i++;
        if (!is_blank(body.p[i]))
            buf_char(id, body.p[i]);
    }
    return i < body.n;
}

static struct str without_dots(struct str s)
{
    while (s.n && s.p[s.n - 1] == '.')
        s.n--;
    return s;
}

static bool same_id(struct str a, struct str b)
{
    struct arena arena = {0};
    struct str x, y;

    if (str_eq_nocase(a, b))
        return true;
    bool same = domain_ascii(a, &arena, &x) && domain_ascii(b, &arena, &y) && str_eq(x, y);
    arena_clear(&arena);
    return same;
}

/* Is the id in the text, ignoring case and what could be put between its octets: white space, quotes, backslashes? */
static bool holds(struct str text, struct str id)
{
    for (size_t from = 0; id.n && from < text.n; from++) {
        size_t i = from, n = 0;
        if (ascii_lower(text.p[from]) != ascii_lower(id.p[0]))
            continue;
        for (; i < text.n && n < id.n; i++) {
            if (ascii_lower(text.p[i]) == ascii_lower(id.p[n]))
                n++;
            else if (!is_blank(text.p[i]) && text.p[i] != '"' && text.p[i] != '\\')
                break;
        }
        if (n == id.n)
            return true;
    }
    return false;
}

bool authres_claims(struct str field, struct str authserv_id)
{
    struct buf id = {0};
    bool claims;

    if (!str_eq_nocase(field_name(field), STR("Authentication-Results")))
        return false;
    authserv_id = without_dots(authserv_id);
    if (read_id(field_body(field), &id))
        claims = same_id(without_dots(buf_view(&id)), authserv_id);
    else
        claims = holds(field_body(field), authserv_id);
    buf_free(&id);
    return claims;
}

bool authres_remove(struct str field, void *context)
{
    return authres_claims(field, *(const struct str *)context);
}
