/*
 * dns_build.c - makes answer messages from text, for simulation and tests. Names are written uncompressed.
 */
#include <assert.h>
#include <string.h>

#include "dns_wire.h"

static void put16(struct buf *b, unsigned v)
{
    buf_char(b, (char)(v >> 8));
    buf_char(b, (char)v);
}

static void put32(struct buf *b, uint32_t v)
{
    put16(b, v >> 16);
    put16(b, v & 0xffff);
}

/* Any bytes may stand in a label, as they may on the wire; \DDD is one octet. False: a label is empty or too long, or the name
 * is. */
static bool put_name(struct buf *b, struct str name)
{
    size_t start = b->n, label = start; /* where the present label's length goes */
    if (name.n > 0 && name.p[name.n - 1] == '.') {
        name.n--;
    }
    for (size_t i = 0; i <= name.n && name.n > 0; i++) {
        uint64_t octet = i < name.n ? (unsigned char)name.p[i] : '.';
        if (b->n == label) {
            buf_char(b, 0);
        }
        if (octet == '.') {
            size_t n = b->n - label - 1;
            if (n == 0 || n > DNS_LABEL) {
                return false;
            }
            b->p[label] = (char)n;
            label = b->n;
            continue;
        }
        if (octet == '\\' && i + 3 < name.n && str_to_u64(str_sub(name, i + 1, i + 4), 255, &octet)) {
            i += 3;
        }
        buf_char(b, (char)octet);
    }
    buf_char(b, 0);
    return b->n - start <= DNS_NAME_WIRE;
}

static void count_set(struct buf *b, size_t at, unsigned v)
{
    b->p[at] = (char)(v >> 8);
    b->p[at + 1] = (char)v;
}

void dns_build_begin(struct dns_build *b, struct str name, unsigned type, unsigned rcode)
{
    buf_clear(&b->out);
    b->answers = 0;
    put16(&b->out, 0);
    put16(&b->out, 0x8180 | (rcode & 15)); /* an answer, recursion desired and available */
    put16(&b->out, 1);
    put16(&b->out, 0);
    put16(&b->out, 0);
    put16(&b->out, 0);
    size_t start = b->out.n;
    if (!put_name(&b->out, name)) {
        b->out.n = start;
        buf_char(&b->out, 0);
    }
    put16(&b->out, type);
    put16(&b->out, DNS_CLASS_IN);
}

static void put_string(struct buf *out, const struct buf *s)
{
    size_t at = 0;
    do { /* a long one is cut into several */
        size_t n = s->n - at > 255 ? 255 : s->n - at;
        buf_char(out, (char)n);
        buf_put(out, s->p + at, n);
        at += n;
    } while (at < s->n);
}

/* A quoted string at the start of *text: its bytes into s, *text behind it. \DDD is a byte, \X is X. */
static bool take_quoted(struct str *text, struct buf *s)
{
    size_t i = 1;
    buf_clear(s);
    while (i < text->n && text->p[i] != '"') {
        uint64_t byte = (unsigned char)text->p[i];
        if (text->p[i] == '\\') {
            if (str_to_u64(str_sub(*text, i + 1, i + 4), 255, &byte) && i + 3 < text->n) {
                i += 3;
            } else if (++i < text->n) {
                byte = (unsigned char)text->p[i];
            } else {
                return false;
            }
        }
        buf_char(s, (char)byte);
        i++;
    }
    if (i >= text->n) {
        return false;
    }
    *text = str_trim(str_sub(*text, i + 1, text->n));
    return true;
}

static bool put_txt(struct buf *out, struct str text)
{
    struct buf s = {0};
    bool good = true;
    text = str_trim(text);
    if (text.n == 0 || text.p[0] != '"') { /* bare: one string as it stands */
        buf_str(&s, text);
        put_string(out, &s);
        text.n = 0;
    }
    while (good && text.n > 0) {
        good = text.p[0] == '"' && take_quoted(&text, &s);
        if (good) {
            put_string(out, &s);
        }
    }
    buf_free(&s);
    return good;
}

static bool put_addr(struct buf *out, struct str text, unsigned family)
{
    struct addr a;
    if (!addr_parse(str_trim(text), &a) || a.family != family) {
        return false;
    }
    buf_put(out, a.b, family == 4 ? 4 : 16);
    return true;
}

static bool put_mx(struct buf *out, struct str text)
{
    struct str preference;
    uint64_t number;
    text = str_trim(text);
    if (!str_split(&text, ' ', &preference) || !str_to_u64(preference, 65535, &number)) {
        return false;
    }
    put16(out, (unsigned)number);
    text = str_trim(text);
    return text.n > 0 && put_name(out, text);
}

static bool put_data(struct buf *out, unsigned type, struct str text)
{
    switch (type) {
    case DNS_A: return put_addr(out, text, 4);
    case DNS_AAAA: return put_addr(out, text, 6);
    case DNS_MX: return put_mx(out, text);
    case DNS_TXT: return put_txt(out, text);
    case DNS_PTR:
    case DNS_NS:
    case DNS_CNAME: return put_name(out, str_trim(text));
    default: return false;
    }
}

bool dns_build_record(struct dns_build *b, struct str owner, unsigned type, uint32_t ttl, struct str text)
{
    size_t start = b->out.n;
    assert(start > DNS_HEADER && get16((const uint8_t *)b->out.p + 8) == 0); /* begun, and no SOA yet */
    if (!put_name(&b->out, owner)) {
        b->out.n = start;
        return false;
    }
    put16(&b->out, type);
    put16(&b->out, DNS_CLASS_IN);
    put32(&b->out, ttl);
    size_t length = b->out.n;
    put16(&b->out, 0);
    if (!put_data(&b->out, type, text) || b->out.n - length - 2 > 65535) {
        b->out.n = start;
        return false;
    }
    count_set(&b->out, length, (unsigned)(b->out.n - length - 2));
    count_set(&b->out, 6, ++b->answers);
    return true;
}

void dns_build_soa(struct dns_build *b, uint32_t negative_ttl)
{
    put_name(&b->out, STR("."));
    put16(&b->out, DNS_SOA);
    put16(&b->out, DNS_CLASS_IN);
    put32(&b->out, negative_ttl);
    put16(&b->out, 2 + 20);
    put_name(&b->out, STR("."));
    put_name(&b->out, STR("."));
    for (int i = 0; i < 4; i++) { /* serial, refresh, retry, expire */
        put32(&b->out, 1);
    }
    put32(&b->out, negative_ttl);
    count_set(&b->out, 8, get16((const uint8_t *)b->out.p + 8) + 1);
}

struct str dns_build_end(struct dns_build *b)
{
    return buf_view(&b->out);
}
