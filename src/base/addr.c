/*
 * addr.c - IP addresses, address:port, prefixes and ranges: their text, and which lies in which.
 *
 * Text is parsed strictly (what a person meant by 010.1 is a guess, and guesses let the wrong client in). ::ffff:0:0/96 is IPv4
 * everywhere: an address enters only by addr_parse() and addr_from_sockaddr(), and both map it.
 */
#include "postern/base/addr.h"

#include <arpa/inet.h>
#include <string.h>

static const uint8_t MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void set_v4(struct addr *out, const uint8_t b[4])
{
    memset(out, 0, sizeof *out);
    out->family = 4;
    memcpy(out->b, b, 4);
}

static void set_v6(struct addr *out, const uint8_t b[16])
{
    if (memcmp(b, MAPPED, sizeof MAPPED) == 0) {
        set_v4(out, b + 12);
        return;
    }
    out->family = 6;
    memcpy(out->b, b, 16);
}

static unsigned family_bits(const struct addr *a)
{
    return a->family == 4 ? 32 : a->family == 6 ? 128 : 0;
}

static size_t family_bytes(const struct addr *a)
{
    return family_bits(a) / 8;
}

/* ---- text ----
 *
 * Written by hand: a session formats addresses and networks a hundred times (lists to ask, keys of the store), and with printf
 * that was a sixth of what filtering a message cost.
 */

static char *put_number(char *p, unsigned n, unsigned base)
{
    char digits[10];
    size_t count = 0;
    do
        digits[count++] = "0123456789abcdef"[n % base];
    while (n /= base);
    while (count)
        *p++ = digits[--count];
    return p;
}

static char *put_octet(char *p, unsigned n)
{
    if (n >= 100)
        *p++ = (char)('0' + n / 100);
    if (n >= 10)
        *p++ = (char)('0' + n / 10 % 10);
    *p++ = (char)('0' + n % 10);
    return p;
}

/* Four octets with dots between them, from b on, forward or backward (step -1). Returns where they end. */
static char *put_octets(char *p, const uint8_t *b, int step)
{
    for (int i = 0; i < 4; i++) {
        if (i)
            *p++ = '.';
        p = put_octet(p, b[i * step]);
    }
    return p;
}

/* ---- addresses ---- */

bool addr_parse(struct str s, struct addr *out)
{
    char text[ADDR_TEXT];
    uint8_t b[16];
    if (s.n == 0 || s.n >= sizeof text || memchr(s.p, '\0', s.n))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    if (inet_pton(AF_INET, text, b) == 1) {
        set_v4(out, b);
        return true;
    }
    if (inet_pton(AF_INET6, text, b) == 1) {
        set_v6(out, b);
        return true;
    }
    return false;
}

/* RFC 5952 section 4: lower case, no leading zeros, the first longest run of two or more zero groups becomes "::". */
static char *put_v6(char *p, const uint8_t b[16])
{
    unsigned group[8];
    int best = -1, best_n = 1;
    for (int i = 0; i < 8; i++)
        group[i] = (unsigned)b[2 * i] << 8 | b[2 * i + 1];
    for (int i = 0; i < 8; i++) {
        int n = 0;
        while (i + n < 8 && group[i + n] == 0)
            n++;
        if (n > best_n) {
            best = i;
            best_n = n;
        }
        i += n;
    }
    for (int i = 0; i < 8; i++) {
        if (i == best) {
            *p++ = ':';
            *p++ = ':';
            i += best_n - 1;
            continue;
        }
        if (i > 0 && (best < 0 || i != best + best_n))
            *p++ = ':';
        p = put_number(p, group[i], 16);
    }
    return p;
}

/* Without a NUL; returns where it ends. */
static char *put_addr(char *p, const struct addr *a)
{
    if (a->family == 4)
        return put_octets(p, a->b, 1);
    if (a->family == 6)
        return put_v6(p, a->b);
    memcpy(p, "none", 4);
    return p + 4;
}

const char *addr_format(const struct addr *a, char out[ADDR_TEXT])
{
    *put_addr(out, a) = '\0';
    return out;
}

int addr_cmp(const struct addr *a, const struct addr *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->b, b->b, family_bytes(a));
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
    return addr_cmp(a, b) == 0;
}

bool addr_is_loopback(const struct addr *a)
{
    static const uint8_t one[16] = {[15] = 1};
    if (a->family == 4)
        return a->b[0] == 127;
    return a->family == 6 && memcmp(a->b, one, 16) == 0;
}

bool addr_from_sockaddr(const struct sockaddr *sa, struct addr_port *out)
{
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof in);
        set_v4(&out->addr, (const uint8_t *)&in.sin_addr);
        out->port = ntohs(in.sin_port);
        return true;
    }
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof in6);
        set_v6(&out->addr, in6.sin6_addr.s6_addr);
        out->port = ntohs(in6.sin6_port);
        return true;
    }
    return false;
}

socklen_t addr_to_sockaddr(const struct addr_port *ap, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (ap->addr.family == 4) {
        struct sockaddr_in *in = (struct sockaddr_in *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(ap->port);
        memcpy(&in->sin_addr, ap->addr.b, 4);
        return sizeof *in;
    }
    if (ap->addr.family == 6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(ap->port);
        memcpy(in6->sin6_addr.s6_addr, ap->addr.b, 16);
        return sizeof *in6;
    }
    return 0;
}

/* ---- address:port ---- */

static bool port_parse(struct str s, uint16_t *out)
{
    uint64_t v;
    if (s.n > 5 || !str_to_u64(s, 65535, &v))
        return false;
    *out = (uint16_t)v;
    return true;
}

/* What stands behind the address: nothing (the default port, when there is one) or ":port". */
static bool port_behind(struct str rest, uint16_t default_port, uint16_t *out)
{
    if (rest.n == 0) {
        *out = default_port;
        return default_port != 0;
    }
    return rest.p[0] == ':' && port_parse(str_sub(rest, 1, rest.n), out);
}

bool addr_port_parse(struct str s, uint16_t default_port, struct addr_port *out)
{
    struct addr_port result = {0};
    if (s.n > 0 && s.p[0] == '[') {
        size_t end = str_find(s, ']', 0);
        struct str inside = str_sub(s, 1, end);
        if (end == s.n || str_find(inside, ':', 0) == inside.n)
            return false;
        if (!addr_parse(inside, &result.addr) || !port_behind(str_sub(s, end + 1, s.n), default_port, &result.port))
            return false;
    } else if (addr_parse(s, &result.addr)) {
        if (default_port == 0)
            return false;
        result.port = default_port;
    } else {
        size_t colon = str_find(s, ':', 0);
        if (!addr_parse(str_sub(s, 0, colon), &result.addr) || !port_behind(str_sub(s, colon, s.n), default_port, &result.port))
            return false;
    }
    *out = result;
    return true;
}

const char *addr_port_format(const struct addr_port *ap, char out[ADDR_PORT_TEXT])
{
    char *p = out;
    if (ap->addr.family == 6)
        *p++ = '[';
    p = put_addr(p, &ap->addr);
    if (ap->addr.family == 6)
        *p++ = ']';
    *p++ = ':';
    *put_number(p, ap->port, 10) = '\0';
    return out;
}

/* ---- prefixes ---- */

static void clear_host_bits(struct addr *a, unsigned bits)
{
    size_t cut = bits / 8; /* the octet that is part network, part host */

    if (cut >= sizeof a->b)
        return;
    a->b[cut] &= (uint8_t)(0xff00u >> bits % 8);
    memset(a->b + cut + 1, 0, sizeof a->b - cut - 1);
}

bool prefix_parse(struct str s, struct prefix *out)
{
    size_t slash = str_find(s, '/', 0);
    struct str address = str_sub(s, 0, slash);
    struct addr a;
    if (!addr_parse(address, &a))
        return false;
    uint64_t bits = family_bits(&a);
    if (slash < s.n) {
        struct str tail = str_sub(s, slash + 1, s.n);
        bool mapped = a.family == 4 && str_find(address, ':', 0) < address.n;
        if (tail.n > 3 || (tail.n > 1 && tail.p[0] == '0') || !str_to_u64(tail, mapped ? 128 : family_bits(&a), &bits))
            return false;
        if (mapped) { /* ::ffff:192.0.2.0/120 is 192.0.2.0/24 */
            if (bits < 96)
                return false;
            bits -= 96;
        }
    }
    struct addr network = a;
    clear_host_bits(&network, (unsigned)bits);
    if (!addr_eq(&network, &a))
        return false;
    *out = (struct prefix){network, (uint8_t)bits};
    return true;
}

const char *prefix_format(const struct prefix *p, char out[PREFIX_TEXT])
{
    char *end = put_addr(out, &p->addr);
    *end++ = '/';
    *put_octet(end, p->bits) = '\0';
    return out;
}

bool prefix_contains(const struct prefix *p, const struct addr *a)
{
    if (a->family == 0 || p->addr.family != a->family)
        return false;
    struct addr network = *a;
    clear_host_bits(&network, p->bits);
    return addr_eq(&network, &p->addr);
}

struct prefix addr_network(const struct addr *a, unsigned v4_bits, unsigned v6_bits)
{
    unsigned bits = a->family == 4 ? v4_bits : v6_bits;
    if (bits > family_bits(a))
        bits = family_bits(a);
    struct prefix p = {*a, (uint8_t)bits};
    clear_host_bits(&p.addr, bits);
    return p;
}

/* ---- ranges ---- */

bool addr_range_parse(struct str s, struct addr_range *out)
{
    struct addr_range r;
    size_t dash = str_find(s, '-', 0);
    if (dash == s.n || !addr_parse(str_sub(s, 0, dash), &r.first) || !addr_parse(str_sub(s, dash + 1, s.n), &r.last))
        return false;
    if (r.first.family != r.last.family || addr_cmp(&r.first, &r.last) > 0)
        return false;
    *out = r;
    return true;
}

bool addr_range_contains(const struct addr_range *r, const struct addr *a)
{
    return a->family != 0 && a->family == r->first.family && addr_cmp(&r->first, a) <= 0 && addr_cmp(a, &r->last) <= 0;
}

/* ---- reverse lookups ---- */

const char *addr_reverse(const struct addr *a, unsigned v6_bits, char out[64])
{
    out[0] = '\0';
    if (a->family == 4) {
        *put_octets(out, a->b + 3, -1) = '\0';
    } else if (a->family == 6) {
        static const char digit[] = "0123456789abcdef";
        struct addr network = *a;
        clear_host_bits(&network, v6_bits > 128 ? 128 : v6_bits);
        char *p = out;
        for (int i = 15; i >= 0; i--) {
            *p++ = digit[network.b[i] & 15];
            *p++ = '.';
            *p++ = digit[network.b[i] >> 4];
            *p++ = i > 0 ? '.' : '\0';
        }
    }
    return out;
}
