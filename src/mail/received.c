/*
 * received.c - our trace field (RFC 5321 4.4). What the client said of itself is repeated with every octet replaced that could end a word, a
 * comment or a line, so that a HELO name cannot write a clause, a comment or a field of its own.
 */
#include <string.h>

#include "postern/base/codec.h"
#include "postern/mail/received.h"

enum { NAME_MAX_OCTETS = 255 };

static bool is_let_dig(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Domain or address literal; only a literal may hold colons and brackets. */
static void put_name(struct buf *out, struct str name)
{
    bool literal = name.n > 2 && name.p[0] == '[' && name.p[name.n - 1] == ']';
    size_t n = name.n < NAME_MAX_OCTETS ? name.n : NAME_MAX_OCTETS;

    if (n == 0)
        buf_cstr(out, "unknown");
    for (size_t i = 0; i < n; i++) {
        char c = name.p[i];
        bool edge = literal && (i == 0 || i == name.n - 1);
        bool good = is_let_dig(c) || c == '.' || c == '-' || c == '_' || (literal && c == ':') || edge;
        buf_char(out, good ? c : '?');
    }
}

/* The path is repeated only when it needs no quoting: the clause is optional, and readers of Received fields parse badly. */
static bool path_is_plain(struct str path)
{
    static const char good[] = "!#$%&'*+-/=?^_`{|}~.@[]:";

    if (path.n == 0 || path.n > NAME_MAX_OCTETS + 1)
        return false;
    for (size_t i = 0; i < path.n; i++)
        if (!is_let_dig(path.p[i]) && !memchr(good, path.p[i], sizeof good - 1))
            return false;
    return true;
}

void received_write(struct buf *out, const struct received *r)
{
    char address[ADDR_TEXT], date[RFC5322_DATE_TEXT];

    buf_cstr(out, "Received: from ");
    put_name(out, r->helo);
    buf_cstr(out, " (");
    put_name(out, r->name);
    /* TCP-info: an address literal (RFC 5321 4.1.3, 4.4) */
    buf_printf(out, " [%s%s])\r\n\tby ", r->client.family == 6 ? "IPv6:" : "", addr_format(&r->client, address));
    put_name(out, r->hostname);
    buf_printf(out, " (Postern) with %s id ", r->protocol);
    put_name(out, r->id);
    if (path_is_plain(r->recipient)) {
        buf_cstr(out, "\r\n\tfor <");
        buf_str(out, r->recipient);
        buf_char(out, '>');
    }
    if (r->tls)
        buf_printf(out, "\r\n\ttls %s", r->tls);
    buf_cstr(out, path_is_plain(r->recipient) || r->tls ? "; " : ";\r\n\t");
    buf_printf(out, "%s\r\n", time_rfc5322(r->wall_ms, date));
}
