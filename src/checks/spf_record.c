/*
 * spf_record.c - SPF records, to the letter of the grammar (RFC 7208 sections 4.5, 4.6.1, 5, 6 and 12).
 *
 * Two passes, no memory: the first reads every term, since a mistake anywhere makes the record a permerror before anything is evaluated (4.6); the
 * second is the evaluation's, which reads term after term again. Terms are slices of the record.
 *
 * Where the grammar is ambiguous to the eye: "/" and ":" may be in a domain-spec, so prefix lengths are taken from the end of a and mx, and the rest
 * must end in a macro or a top label, which holds neither. "a=b" is a modifier that nobody knows, not a mechanism.
 */
#include <arpa/inet.h>
#include <string.h>

#include "spf_internal.h"

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_byte(char c)
{
    return is_alpha(c) || is_digit(c) || c == '-' || c == '_' || c == '.';
}

bool spf_record_version(struct str text)
{
    return str_starts_nocase(text, STR("v=spf1")) && (text.n == 6 || text.p[6] == ' ');
}

/* "0", or digits without a leading zero, at most max. */
static bool length_parse(struct str s, uint8_t max, uint8_t *out)
{
    uint64_t n;

    if ((s.n > 1 && s.p[0] == '0') || !str_to_u64(s, max, &n))
        return false;
    *out = (uint8_t)n;
    return true;
}

/* Is there "/digits" (with two slashes when `slashes` is 2, and no more than one else) at the end of s? *digits is the number as written. */
static bool ends_in_length(struct str s, size_t slashes, struct str *digits)
{
    size_t at = s.n;

    while (at > 0 && is_digit(s.p[at - 1]))
        at--;
    if (at == s.n || at < slashes || s.p[at - 1] != '/')
        return false;
    bool twice = at >= 2 && s.p[at - 2] == '/';
    if (twice != (slashes == 2))
        return false;
    *digits = str_sub(s, at, s.n);
    return true;
}

/* dual-cidr-length (5): takes it from the end of *s. False: a number that is none. */
static bool take_dual_length(struct str *s, struct spf_term *term)
{
    struct str digits;

    if (ends_in_length(*s, 2, &digits)) {
        if (!length_parse(digits, 128, &term->bits6))
            return false;
        s->n -= digits.n + 2;
    }
    if (ends_in_length(*s, 1, &digits)) {
        if (!length_parse(digits, 32, &term->bits4))
            return false;
        s->n -= digits.n + 1;
    }
    return true;
}

static const char *domain_spec(struct str s, struct spf_term *term)
{
    if (s.n == 0)
        return "a domain is missing";
    if (!spf_domain_spec_valid(s))
        return "not a domain";
    term->domain = s;
    return NULL;
}

/* all: nothing follows (5.1). */
static const char *parse_all(struct str rest, struct spf_term *term)
{
    (void)term;
    return rest.n ? "nothing may follow all" : NULL;
}

/* include, exists: ":" domain-spec (5.2, 5.7). */
static const char *parse_domain_needed(struct str rest, struct spf_term *term)
{
    if (rest.n == 0 || rest.p[0] != ':')
        return "a domain is missing";
    return domain_spec(str_sub(rest, 1, rest.n), term);
}

/* ptr: [ ":" domain-spec ] (5.5). */
static const char *parse_domain_allowed(struct str rest, struct spf_term *term)
{
    return rest.n ? parse_domain_needed(rest, term) : NULL;
}

/* a, mx: [ ":" domain-spec ] [ dual-cidr-length ] (5.3, 5.4). */
static const char *parse_host(struct str rest, struct spf_term *term)
{
    if (!take_dual_length(&rest, term))
        return "not a prefix length";
    return parse_domain_allowed(rest, term);
}

/* The network of ip4 and ip6: *address without "/length"; *bits as it was when there is none. */
static bool take_length(struct str *s, uint8_t max, uint8_t *bits)
{
    size_t slash = str_find(*s, '/', 0);

    if (slash == s->n)
        return true;
    struct str digits = str_sub(*s, slash + 1, s->n);
    s->n = slash;
    return digits.n > 0 && length_parse(digits, max, bits);
}

/* ip4: ":" ip4-network [ ip4-cidr-length ] (5.6). */
static const char *parse_ip4(struct str rest, struct spf_term *term)
{
    if (rest.n == 0 || rest.p[0] != ':')
        return "an address is missing";
    rest = str_sub(rest, 1, rest.n);
    if (!take_length(&rest, 32, &term->bits4))
        return "not a prefix length";
    if (!addr_parse(rest, &term->network) || term->network.family != 4 || str_find(rest, ':', 0) < rest.n)
        return "not an IPv4 address";
    return NULL;
}

/* ip6: ":" ip6-network [ ip6-cidr-length ] (5.6). addr_parse() would make a mapped address IPv4, and then it would match what it must not. */
static const char *parse_ip6(struct str rest, struct spf_term *term)
{
    char text[INET6_ADDRSTRLEN];

    if (rest.n == 0 || rest.p[0] != ':')
        return "an address is missing";
    rest = str_sub(rest, 1, rest.n);
    if (!take_length(&rest, 128, &term->bits6))
        return "not a prefix length";
    if (rest.n >= sizeof text || memchr(rest.p, 0, rest.n))
        return "not an IPv6 address";
    memcpy(text, rest.p, rest.n);
    text[rest.n] = 0;
    term->network.family = 6;
    return inet_pton(AF_INET6, text, term->network.b) == 1 ? NULL : "not an IPv6 address";
}

static const struct mechanism {
    struct str name;
    enum spf_kind kind;
    const char *(*parse)(struct str rest, struct spf_term *term);
} mechanisms[] = {
    {{"all", 3}, SPF_KIND_ALL, parse_all},
    {{"include", 7}, SPF_KIND_INCLUDE, parse_domain_needed},
    {{"a", 1}, SPF_KIND_A, parse_host},
    {{"mx", 2}, SPF_KIND_MX, parse_host},
    {{"ptr", 3}, SPF_KIND_PTR, parse_domain_allowed},
    {{"ip4", 3}, SPF_KIND_IP4, parse_ip4},
    {{"ip6", 3}, SPF_KIND_IP6, parse_ip6},
    {{"exists", 6}, SPF_KIND_EXISTS, parse_domain_needed},
};

/* name "=" macro-string, of redirect and exp a domain-spec (6, 6.1, 6.2). */
static const char *parse_modifier(struct str name, struct str value, struct spf_term *term)
{
    term->kind = SPF_KIND_UNKNOWN;
    if (str_eq_nocase(name, STR("redirect")))
        term->kind = SPF_KIND_REDIRECT;
    if (str_eq_nocase(name, STR("exp")))
        term->kind = SPF_KIND_EXP;
    if (term->kind == SPF_KIND_UNKNOWN)
        return spf_macro_string_valid(value, SPF_IN_TERM) ? NULL : "not a macro-string";
    return domain_spec(value, term);
}

static const char *parse_term(struct str text, struct spf_term *term)
{
    size_t start = memchr("+-?~", text.p[0], 4) ? 1 : 0, end = start;

    *term = (struct spf_term){.written = text, .qualifier = start ? text.p[0] : '+', .bits4 = 32, .bits6 = 128};
    if (start == text.n || !is_alpha(text.p[start]))
        return "not a mechanism";
    while (end < text.n && is_name_byte(text.p[end]))
        end++;
    struct str name = str_sub(text, start, end);
    if (end < text.n && text.p[end] == '=' && start == 0) {
        term->qualifier = 0;
        return parse_modifier(name, str_sub(text, end + 1, text.n), term);
    }
    for (size_t i = 0; i < sizeof mechanisms / sizeof *mechanisms; i++)
        if (str_eq_nocase(name, mechanisms[i].name)) {
            term->kind = mechanisms[i].kind;
            return mechanisms[i].parse(str_sub(text, end, text.n), term);
        }
    return "not a mechanism";
}

bool spf_term_next(struct str *rest, struct spf_term *term, const char **error)
{
    size_t start = 0;

    while (start < rest->n && rest->p[start] == ' ')
        start++;
    if (start == rest->n)
        return false;
    size_t end = str_find(*rest, ' ', start);
    struct str text = str_sub(*rest, start, end);
    *rest = str_sub(*rest, end, rest->n);
    *error = parse_term(text, term);
    return true;
}

static bool fail(struct spf_record *r, const char *error, struct str culprit)
{
    r->error = error;
    r->culprit = culprit;
    return false;
}

bool spf_record_parse(struct str text, struct spf_record *r)
{
    struct spf_term term;
    const char *error;

    *r = (struct spf_record){.terms = str_sub(text, 6, text.n)};
    if (text.n > SPF_RECORD_MAX)
        return fail(r, "the record is too long", STR_NONE);
    struct str rest = r->terms;
    while (spf_term_next(&rest, &term, &error)) {
        if (error)
            return fail(r, error, term.written);
        if (term.kind == SPF_KIND_ALL)
            r->has_all = true;
        if (term.kind != SPF_KIND_REDIRECT && term.kind != SPF_KIND_EXP)
            continue;
        struct spf_term *slot = term.kind == SPF_KIND_EXP ? &r->exp : &r->redirect;
        if (slot->written.n)
            return fail(r, "given twice", term.written); /* 6: each of the two at most once */
        *slot = term;
    }
    return true;
}
