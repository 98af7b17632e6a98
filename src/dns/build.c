/*
 * build.c - answer messages made, for simulation and tests: what a server would say, from records written as text.
 */
#include <string.h>

#include "postern/base/arena.h"
#include "postern/dns/dns.h"

enum { CLASS_IN = 1, ANSWER_COUNT_AT = 6, AUTHORITY_COUNT_AT = 8 };

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

static void set16(struct buf *b, size_t at, unsigned v)
{
    b->p[at] = (char)(v >> 8);
    b->p[at + 1] = (char)v;
}

/* A name in wire form, uncompressed; \DDD is one octet. False: a label is empty or too long. */
static bool put_name(struct buf *b, struct str name)
{
    if (name.n && name.p[name.n - 1] == '.')
        name.n--;
    struct str rest = name, label;
    while (name.n && str_split(&rest, '.', &label)) {
        size_t length_at = b->n;
        buf_char(b, 0);
        for (size_t i = 0; i < label.n; i++) {
            if (label.p[i] == '\\' && i + 3 < label.n) {
                uint64_t code = 0;
                str_to_u64(str_sub(label, i + 1, i + 4), 255, &code);
                buf_char(b, (char)code);
                i += 3;
            } else {
                buf_char(b, label.p[i]);
            }
        }
        size_t length = b->n - length_at - 1;
        if (length == 0 || length > 63)
            return false;
        b->p[length_at] = (char)length;
    }
    buf_char(b, 0);
    return true;
}

void dns_build_begin(struct dns_build *b, struct str name, unsigned type, unsigned rcode)
{
    buf_clear(&b->out);
    b->answers = 0;
    put16(&b->out, 0);
    put16(&b->out, 0x8180 | (rcode & 15)); /* answer, recursion desired and available */
    put16(&b->out, 1);
    put16(&b->out, 0);
    put16(&b->out, 0);
    put16(&b->out, 0);
    put_name(&b->out, name);
    put16(&b->out, type);
    put16(&b->out, CLASS_IN);
}

static bool put_addr(struct buf *b, struct str text, uint8_t family)
{
    struct addr a;
    if (!addr_parse(text, &a) || a.family != family)
        return false;
    buf_put(b, a.b, family == 4 ? 4 : 16);
    return true;
}

static bool put_mx(struct buf *b, struct str text)
{
    struct str rest = text, preference;
    uint64_t n;
    if (!str_split(&rest, ' ', &preference) || !str_to_u64(preference, 65535, &n) || !rest.p)
        return false;
    put16(b, (unsigned)n);
    return put_name(b, str_trim(rest));
}

static void put_string(struct buf *b, struct str s)
{
    do {
        size_t n = s.n < 255 ? s.n : 255;
        buf_char(b, (char)n);
        buf_put(b, s.p, n);
        s = str_sub(s, n, s.n);
    } while (s.n);
}

/* "one" "two" ..., or text without quotes; \" \\ and \DDD inside quotes. */
static bool put_txt(struct buf *b, struct str text)
{
    if (!text.n || text.p[0] != '"') {
        put_string(b, text);
        return true;
    }
    size_t i = 0;
    struct buf one = {0};
    bool good = true;
    while (good && i < text.n) {
        buf_clear(&one);
        good = text.p[i++] == '"';
        while (good && i < text.n && text.p[i] != '"') {
            uint64_t code = 0;
            if (text.p[i] == '\\' && i + 3 < text.n && str_to_u64(str_sub(text, i + 1, i + 4), 255, &code)) {
                buf_char(&one, (char)code);
                i += 4;
                continue;
            }
            if (text.p[i] == '\\' && i + 1 < text.n)
                i++;
            buf_char(&one, text.p[i++]);
        }
        good = good && i < text.n;
        i++;
        while (i < text.n && text.p[i] == ' ')
            i++;
        if (good)
            put_string(b, buf_view(&one));
    }
    buf_free(&one);
    return good;
}

static bool put_data(struct buf *b, unsigned type, struct str text)
{
    switch (type) {
    case DNS_A: return put_addr(b, text, 4);
    case DNS_AAAA: return put_addr(b, text, 6);
    case DNS_MX: return put_mx(b, text);
    case DNS_TXT: return put_txt(b, text);
    case DNS_PTR:
    case DNS_NS:
    case DNS_CNAME: return put_name(b, text);
    default: return false;
    }
}

bool dns_build_record(struct dns_build *b, struct str owner, unsigned type, uint32_t ttl, struct str text)
{
    size_t start = b->out.n;
    bool good = put_name(&b->out, owner);
    put16(&b->out, type);
    put16(&b->out, CLASS_IN);
    put32(&b->out, ttl);
    size_t length_at = b->out.n;
    put16(&b->out, 0);
    good = good && put_data(&b->out, type, text) && b->out.n - length_at - 2 <= 65535;
    if (!good) {
        b->out.n = start;
        return false;
    }
    set16(&b->out, length_at, (unsigned)(b->out.n - length_at - 2));
    set16(&b->out, ANSWER_COUNT_AT, ++b->answers);
    return true;
}

void dns_build_soa(struct dns_build *b, uint32_t negative_ttl)
{
    struct buf *o = &b->out;
    buf_char(o, 0); /* the root's: any owner will do for a negative TTL */
    put16(o, DNS_SOA);
    put16(o, CLASS_IN);
    put32(o, negative_ttl);
    put16(o, 22);
    buf_char(o, 0);
    buf_char(o, 0);
    for (int i = 0; i < 4; i++)
        put32(o, 1);
    put32(o, negative_ttl);
    set16(o, AUTHORITY_COUNT_AT, 1);
}

struct str dns_build_end(struct dns_build *b)
{
    return buf_view(&b->out);
}
