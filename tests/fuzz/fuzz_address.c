/* rooms: smtp */
/*
 * Everything that is called an address: paths (RFC 5321 4.1.2), domains, literals, HELO names, IP addresses, prefixes, ranges, HOST:PORT. What is
 * taken can be written and read again and is the same; what a path lets through holds nothing that could end it or a command.
 */
#include "must.h"

#include <string.h>

#include "postern/smtp/command.h"

static void paths(struct str s, struct arena *arena)
{
    struct path p, again;
    if (!path_parse(s, true, true, arena, &p))
        return;
    for (size_t i = 0; i < p.whole.n; i++)
        must((unsigned char)p.whole.p[i] >= ' ' && p.whole.p[i] != 127);
    must(p.null == (p.whole.n == 0));
    must(p.domain.n <= 255 && p.local.n <= 255);
    if (p.null)
        return;
    struct str written = arena_printf(arena, "<%.*s>", (int)p.whole.n, p.whole.p);
    must(path_parse(written, true, true, arena, &again));
    must(str_eq(again.whole, p.whole) && str_eq(again.domain, p.domain) && str_eq(again.local_plain, p.local_plain));
    must(!again.source_route);
}

static void numbers(struct str s)
{
    struct addr a, b;
    struct addr_port ap, bp;
    struct prefix p, q;
    struct addr_range r;
    char text[ADDR_TEXT], with_port[ADDR_PORT_TEXT], with_bits[PREFIX_TEXT], reverse[64];
    if (addr_parse(s, &a)) {
        must(addr_parse(str_of(addr_format(&a, text)), &b) && addr_eq(&a, &b));
        must(strlen(addr_reverse(&a, 64, reverse)) < sizeof reverse);
    }
    if (addr_port_parse(s, 25, &ap))
        must(addr_port_parse(str_of(addr_port_format(&ap, with_port)), 0, &bp) && addr_eq(&ap.addr, &bp.addr) && ap.port == bp.port);
    if (prefix_parse(s, &p)) {
        must(prefix_contains(&p, &p.addr));
        must(prefix_parse(str_of(prefix_format(&p, with_bits)), &q) && addr_eq(&p.addr, &q.addr) && p.bits == q.bits);
    }
    if (addr_range_parse(s, &r))
        must(addr_cmp(&r.first, &r.last) <= 0 && addr_range_contains(&r, &r.first) && addr_range_contains(&r, &r.last));
}

static void names(struct str s)
{
    struct addr literal;
    must(!domain_valid(s) || (s.n > 0 && s.n <= 255 && domain_valid_utf8(s)));
    enum helo_form form = helo_classify(s, &literal);
    must(form != HELO_NAME || domain_valid(s));
    must(!helo_acceptable(s) || (s.n <= 255 && ascii_printable(s) && !memchr(s.p, ' ', s.n)));
    if (address_literal_parse(s, &literal))
        must(s.p[0] == '[' && s.p[s.n - 1] == ']' && literal.family);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    struct str s = {(const char *)data, size};
    if (size == 0 || size > 4096)
        return 0;
    paths(s, &arena);
    numbers(s);
    names(s);
    arena_clear(&arena);
    return 0;
}
