/*
 * declare.c - the declarations that make facts: block and allow lists of DNS, marks.
 *
 *     dnsbl NAME "zone" [ipv4] [ipv6] [whole-ipv6] [no-probe] [key "secret"]
 *     mark NAME
 */
#include "loader.h"

#include <string.h>

/* A name that can be asked with an address in front of it: 64 bytes are left for that (RFC 1035 2.3.4). */
static bool is_zone(struct str s)
{
    struct str rest = s, label;
    while (str_split(&rest, '.', &label)) {
        if (!label.n || label.n > 63)
            return false;
        for (size_t i = 0; i < label.n; i++) {
            char c = ascii_lower(label.p[i]);
            if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
                return false;
        }
    }
    return s.n && s.n <= 180;
}

static const char *const dns_options[] = {"ipv4", "ipv6", "whole-ipv6", "no-probe", "key"};

/* Reads the options; `key` is filled when there is one. */
static bool parse_dns_options(struct parser *p, struct declaration *d, struct token *key)
{
    bool ipv4 = false, ipv6 = false;
    while (p->lexer.current.kind == TOKEN_WORD) {
        struct token t = lexer_take(&p->lexer);
        if (str_eq(t.text, STR("ipv4"))) {
            ipv4 = true;
        } else if (str_eq(t.text, STR("ipv6"))) {
            ipv6 = true;
        } else if (str_eq(t.text, STR("whole-ipv6"))) {
            d->v6_bits = 128;
        } else if (str_eq(t.text, STR("no-probe"))) {
            d->probe = false;
        } else if (str_eq(t.text, STR("key"))) {
            if (!parse_string(p, "the key in quotes", key))
                return false;
        } else {
            COMPLAIN(p->l, UNKNOWN_LIST_OPTION, t.span, hint_words(p->l, t.text, dns_options, sizeof(dns_options) / sizeof(*dns_options)),
                     STR_ARG(t.text), d->kind == DECLARE_DNSBL ? "dnsbl" : "dnswl");
            return false;
        }
    }
    d->ipv4 = ipv4 || !ipv6;
    d->ipv6 = ipv6 || !ipv4;
    return true;
}

/* The zone with `with` in place of {key}, lower case, without a trailing dot. */
static struct str zone_with(struct loader *l, struct str zone, size_t place, struct str with)
{
    struct str s = zone;
    if (place < zone.n) {
        struct str after = str_sub(zone, place + sizeof("{key}") - 1, zone.n);
        s = arena_printf(l->arena, "%.*s%.*s%.*s", (int)place, zone.p, STR_ARG(with), STR_ARG(after));
    }
    if (s.n && s.p[s.n - 1] == '.')
        s.n--;
    return arena_lower(l->arena, s);
}

static size_t place_of_key(struct str zone)
{
    for (size_t i = 0; i + 5 <= zone.n; i++) {
        if (!memcmp(zone.p + i, "{key}", 5))
            return i;
    }
    return zone.n;
}

/* The zone and its key into d; *shown: the zone as others may see it. */
static bool judge_zone(struct loader *l, struct declaration *d, struct token zone, const struct token *key, struct str *shown)
{
    size_t place = place_of_key(zone.text);
    bool has_key = key->kind == TOKEN_STRING;
    if (place < zone.text.n && !has_key) {
        COMPLAIN(l, PLACE_WITHOUT_KEY, zone.span, "add: key \"secret\"");
        return false;
    }
    if (place == zone.text.n && has_key) {
        COMPLAIN(l, KEY_WITHOUT_PLACE, zone.span, "write {key} where it belongs, as in \"{key}.zen.example\"");
        return false;
    }
    if (has_key && (!is_zone(key->text) || str_find(key->text, '.', 0) < key->text.n)) {
        COMPLAIN(l, BAD_KEY, key->span, NULL);
        return false;
    }
    d->zone = zone_with(l, zone.text, place, key->text);
    *shown = zone_with(l, zone.text, place, STR("<key>"));
    if (has_key)
        d->hide = arena_lower(l->arena, key->text);
    if (is_zone(d->zone))
        return true;
    COMPLAIN(l, BAD_ZONE, zone.span, "such as \"zen.example.org\": labels of letters, digits, - and _; at most 180 bytes", STR_ARG(zone.text));
    return false;
}

bool parse_dns_list(struct parser *p, enum declaration_kind kind)
{
    struct loader *l = p->l;
    const char *word = kind == DECLARE_DNSBL ? "dnsbl" : "dnswl";
    struct token name, zone, key = {.kind = TOKEN_END};
    struct declaration d = {.kind = kind, .fact = -1, .v6_bits = 64, .probe = true};
    struct str shown;
    if (!parse_name(p, "the list's name", &name) || !parse_string(p, "the list's zone in quotes", &zone))
        return false;
    bool claimed = loader_claim(l, word, name.text, name.span, l);
    if (!parse_dns_options(p, &d, &key) || !judge_zone(l, &d, zone, &key, &shown))
        return false;
    if (!claimed)
        return true;
    d.name = name.text;
    d.span = name.span;
    struct declaration *kept = loader_declare(l, kind, name.text, name.span);
    *kept = d;
    struct fact_info info = {.type = FACT_ADDRS, .stage = STAGE_CONNECT, .maker = STR("dnsbl"), .deadline = STR(""), .values = STR("")};
    info.help = arena_printf(&l->scratch, "what %.*s answers for the client; empty: not listed", STR_ARG(shown));
    info.definition = arena_printf(&l->scratch, "%s %.*s%s%s%s", word, STR_ARG(shown), d.ipv4 ? " ipv4" : "", d.ipv6 ? " ipv6" : "",
                                   d.v6_bits == 128 ? " whole-ipv6" : "");
    loader_fact(l, kept, word, info);
    return true;
}

void declare_mark(struct loader *l, struct str name, struct span span)
{
    if (loader_find(l, "marked", name))
        return;
    loader_claim(l, "marked", name, span, l);
    struct declaration *d = loader_declare(l, DECLARE_MARK, name, span);
    struct fact_info info = {.type = FACT_BOOL, .stage = STAGE_CONNECT, .maker = STR("marks"), .deadline = STR(""), .values = STR("")};
    info.help = STR("a rule has marked the client so, and the time of that mark is not over");
    info.definition = arena_printf(&l->scratch, "mark %.*s", STR_ARG(name));
    loader_fact(l, d, "marked", info);
}

bool parse_mark(struct parser *p)
{
    struct token name;
    if (!parse_name(p, "the mark's name", &name))
        return false;
    if (loader_claim(p->l, "mark", name.text, name.span, p->l))
        declare_mark(p->l, name.text, name.span);
    return true;
}
