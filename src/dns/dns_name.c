/*
 * dns_name.c - domain names: from text, from messages (with compression, hostile), back to text; names of types and statuses.
 */
#include <ctype.h>
#include <string.h>

#include "dns_wire.h"

const char *const dns_status_names[] = {"ok", "nodata", "nxdomain", "servfail", "timeout", "malformed", "badname", "limit"};

static const struct {
    unsigned type;
    const char *name;
} types[] = {{DNS_A, "A"},     {DNS_NS, "NS"}, {DNS_CNAME, "CNAME"}, {DNS_SOA, "SOA"},
             {DNS_PTR, "PTR"}, {DNS_MX, "MX"}, {DNS_TXT, "TXT"},     {DNS_AAAA, "AAAA"}};
enum { TYPES = sizeof types / sizeof *types };

const char *dns_type_name(unsigned type)
{
    for (size_t i = 0; i < TYPES; i++) {
        if (types[i].type == type) {
            return types[i].name;
        }
    }
    return "?";
}

bool dns_type_parse(struct str s, unsigned *type)
{
    for (size_t i = 0; i < TYPES; i++) {
        if (str_eq_nocase(s, str_of(types[i].name))) {
            *type = types[i].type;
            return true;
        }
    }
    return false;
}

bool dns_name_normal(struct str name, char out[254])
{
    if (name.n > 0 && name.p[name.n - 1] == '.') {
        name.n--;
    }
    if (name.n == 0 || name.n > DNS_NAME_TEXT) {
        return false;
    }
    size_t label = 0;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (c == '.') {
            if (label == 0) {
                return false;
            }
            label = 0;
        } else if (c < ' ' || c > '~' || c == '\\' || ++label > DNS_LABEL) {
            return false; /* a backslash would be an escape to some and a byte to others */
        }
        out[i] = ascii_lower(c);
    }
    out[name.n] = 0;
    return label > 0;
}

/* A byte that wire_name_text() wrote as \DDD, if it may stand in a question: a dot would part the label. */
static bool escape_read(struct str digits, char *out)
{
    uint64_t byte;
    if (digits.n != 3 || !str_to_u64(digits, 255, &byte) || byte < ' ' || byte >= 0x7f || byte == '.' || byte == '\\') {
        return false;
    }
    *out = (char)byte;
    return true;
}

bool dns_name_of_record(struct str name, char out[254])
{
    size_t n = 0;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (c == '\\' && !escape_read(str_sub(name, i + 1, i + 4), &c)) {
            return false;
        }
        i += name.p[i] == '\\' ? 3 : 0;
        if (n == DNS_NAME_TEXT) {
            return false;
        }
        out[n++] = c;
    }
    out[n] = 0;
    return dns_name_normal((struct str){out, n}, out);
}

void wire_name_from(struct str normal, struct wire_name *out)
{
    struct str label;
    out->n = 0;
    while (str_split(&normal, '.', &label)) {
        out->b[out->n++] = (uint8_t)label.n;
        memcpy(out->b + out->n, label.p, label.n);
        out->n += label.n;
    }
    out->b[out->n++] = 0;
}

bool wire_name_eq(const struct wire_name *a, const struct wire_name *b)
{
    return a->n == b->n && memcmp(a->b, b->b, a->n) == 0;
}

/*
 * Every pointer must point before the place where the piece of the name that it ends began (RFC 1035 4.1.4: to a prior
 * occurrence), so the walk goes strictly backwards and ends; and the name may have 255 octets at most.
 */
bool wire_name_read(const uint8_t *message, size_t n, size_t *at, struct wire_name *out)
{
    size_t i = *at;
    size_t piece = i; /* where this uncompressed piece began */
    bool jumped = false;
    out->n = 0;
    for (;;) {
        if (i >= n) {
            return false;
        }
        unsigned length = message[i];
        if ((length & 0xc0) == 0xc0) {
            if (i + 2 > n) {
                return false;
            }
            size_t to = get16(message + i) & 0x3fff;
            if (!jumped) {
                *at = i + 2;
                jumped = true;
            }
            if (to >= piece || to < DNS_HEADER) {
                return false;
            }
            i = piece = to;
            continue;
        }
        if (length > DNS_LABEL || length + 1 > n - i || out->n + length + 1 > DNS_NAME_WIRE) {
            return false;
        }
        out->b[out->n++] = (uint8_t)length;
        for (unsigned k = 1; k <= length; k++) {
            out->b[out->n++] = (uint8_t)ascii_lower((char)message[i + k]);
        }
        i += length + 1;
        if (length == 0) {
            break;
        }
    }
    if (!jumped) {
        *at = i;
    }
    return true;
}

void wire_name_text(const struct wire_name *name, struct buf *out)
{
    size_t i = 0;
    while (name->b[i] != 0) {
        unsigned length = name->b[i++];
        if (i > 1) {
            buf_char(out, '.');
        }
        for (unsigned k = 0; k < length; k++, i++) {
            uint8_t c = name->b[i];
            if (isalnum(c) || c == '-' || c == '_') {
                buf_char(out, (char)c);
            } else {
                buf_printf(out, "\\%03u", c);
            }
        }
    }
}
