/*
 * greylist_key.c - who is asking, for whom, to whom: the key of a greylist row, made so that one sender keeps it from retry to retry.
 *
 * Who: the domain that SPF passes for; else the organizational part of the confirmed host name, unless the name is one of a pool of lines (it
 * holds octets of the address: then each line would vouch for all); else the network. The organizational part is found by rule, not by a list
 * of public suffixes: two labels, or three where the last two read like co.uk. Where that is too wide, strangers below one suffix share
 * rows whose sender and recipient must still agree; where it is too narrow, a pool waits once for each of its parts.
 *
 * The sender: lower case, without what changes from message to message. The tags of BATV (prvs=, msprvs1=, btv1==) and the hash and day of
 * SRS go, the recipient that VERP writes into it goes, digits and long tokens become "#". The null sender is told apart by its HELO name.
 */
#include <stdio.h>
#include <string.h>

#include "internal.h"

/* FNV-1a from a given start. Only keeps long keys apart that share their beginning; a collision lets one's own mail pass earlier. */
static uint64_t fold(struct str s, uint64_t h)
{
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (uint8_t)s.p[i]) * 0x100000001b3;
    return h;
}

static struct str bounded(struct arena *arena, struct buf *key)
{
    struct str lower = arena_lower(arena, buf_view(key));

    buf_free(key);
    if (lower.n <= STORE_KEY_MAX)
        return lower;
    uint64_t a = fold(lower, 0xcbf29ce484222325), b = fold(lower, a ^ 0x9e3779b97f4a7c15);
    return arena_printf(arena, "%.*s#%016llx%016llx", STORE_KEY_MAX - 33, lower.p, (unsigned long long)a, (unsigned long long)b);
}

/* --- the host name ------------------------------------------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f');
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c & 0x80);
}

static bool holds(struct str s, const char *what)
{
    return memmem(s.p, s.n, what, strlen(what)) != NULL;
}

/* Is each of the two last octets in it, as a decimal number of its own ("dsl-113-009", "9.113.pool")? */
static bool holds_decimal(struct str name, const uint8_t b[4])
{
    bool third = false, fourth = false;

    for (size_t i = 0; i < name.n;) {
        size_t end = i;
        uint64_t value = 0;
        while (end < name.n && is_digit(name.p[end]))
            end++;
        if (end > i && end - i <= 3 && str_to_u64(str_sub(name, i, end), 255, &value)) {
            if (value == b[3] && !fourth)
                fourth = true;
            else if (value == b[2])
                third = true;
        }
        i = end > i ? end : i + 1;
    }
    return third && fourth;
}

/* The address in one piece, forward or backward; `solid` is the name without dots and hyphens. */
static bool holds_ipv4(struct str name, struct str solid, const uint8_t b[4])
{
    char text[32];

    if (holds_decimal(name, b))
        return true;
    for (int back = 0; back < 2; back++) {
        unsigned o[4];
        for (int i = 0; i < 4; i++)
            o[i] = b[back ? 3 - i : i];
        snprintf(text, sizeof text, "%02x%02x%02x%02x", o[0], o[1], o[2], o[3]);
        if (holds(solid, text))
            return true;
        snprintf(text, sizeof text, "%03u%03u%03u%03u", o[0], o[1], o[2], o[3]);
        if (holds(solid, text))
            return true;
    }
    snprintf(text, sizeof text, "%lu", (unsigned long)b[0] << 24 | (unsigned long)b[1] << 16 | (unsigned long)b[2] << 8 | b[3]);
    return holds(solid, text);
}

/* Either half in full, or the address as it is written, with hyphens for colons. */
static bool holds_ipv6(struct str name, struct str solid, const struct addr *a)
{
    char text[ADDR_TEXT + 8];

    for (int half = 0; half < 2; half++) {
        for (int i = 0; i < 8; i++)
            snprintf(text + 2 * i, 3, "%02x", a->b[8 * half + i]);
        if (holds(solid, text))
            return true;
    }
    addr_format(a, text);
    for (char *c = text; *c; c++)
        if (*c == ':')
            *c = '-';
    if (holds(name, text))
        return true;
    size_t n = 0;
    for (int i = 0; i < 16; i += 2)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%x", i ? "-" : "", a->b[i] << 8 | a->b[i + 1]);
    return holds(name, text);
}

bool greylist_pool_name(struct arena *arena, struct str name, const struct addr *client)
{
    struct str lower = arena_lower(arena, name);
    char *p = arena_alloc(arena, lower.n + 1);
    struct str solid = {p, 0};

    for (size_t i = 0; i < lower.n; i++)
        if (is_alnum(lower.p[i]))
            p[solid.n++] = lower.p[i];
    return client->family == 6 ? holds_ipv6(lower, solid, client) : holds_ipv4(lower, solid, client->b);
}

/* Second labels below which countries register: co.uk, com.au, or.jp ... */
static bool is_second_level(struct str label)
{
    static const char *const words[] = {"ac", "co", "com", "edu", "gob", "gouv", "gov", "go", "gv", "id", "ltd", "me", "mil", "ne", "net",
                                        "nhs", "nom", "or", "org", "plc", "sch"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (str_eq_nocase(label, str_of(words[i])))
            return true;
    return false;
}

struct str greylist_organization(struct str name)
{
    size_t dots[3], count = 0;

    for (size_t i = name.n; i-- > 0 && count < 3;)
        if (name.p[i] == '.')
            dots[count++] = i;
    if (count < 2)
        return name;
    bool country = name.n - dots[0] - 1 == 2 && is_second_level(str_sub(name, dots[1] + 1, dots[0]));
    if (!country)
        return str_sub(name, dots[1] + 1, name.n);
    return count < 3 ? name : str_sub(name, dots[2] + 1, name.n);
}

struct str greylist_who(struct arena *arena, const struct addr *client, struct str spf_domain, struct str name)
{
    struct prefix network = addr_network(client, 24, 64);
    char text[PREFIX_TEXT];

    if (spf_domain.n)
        return arena_lower(arena, spf_domain);
    if (name.n && !greylist_pool_name(arena, name, client))
        return arena_lower(arena, greylist_organization(name));
    return arena_str(arena, str_of(prefix_format(&network, text)));
}

/* --- the sender ---------------------------------------------------------------------------------------------------------------- */

/* "prvs=" KEY SSSSSS "=" local, or the other way round as some write it. What is left; s itself when it is no tag. */
static struct str without_batv(struct str s)
{
    static const char *const tags[] = {"prvs=", "msprvs1=", "btv1=="};

    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        if (!str_starts(s, str_of(tags[i])))
            continue;
        struct str rest = str_sub(s, strlen(tags[i]), s.n);
        size_t equals = str_find(rest, '=', 0), hex = 0;
        if (equals == rest.n)
            return s;
        while (equals + 1 + hex < rest.n && is_hex(rest.p[equals + 1 + hex]))
            hex++;
        if (hex == 10 && equals + 1 + hex == rest.n && equals != 10)
            return str_sub(rest, 0, equals);
        while (equals < rest.n && rest.p[equals] == '=')
            equals++;
        return str_sub(rest, equals, rest.n);
    }
    return s;
}

/* SRS0=HHH=TT=domain=user, SRS1=HHH=forwarder==HHH=TT=domain=user: what was forwarded, from `domain=` on. STR_NONE: it is none of these. */
static struct str within_srs(struct str s)
{
    bool second = str_starts(s, STR("srs1"));

    if ((!second && !str_starts(s, STR("srs0"))) || s.n < 6 || !strchr("=+-", s.p[4]))
        return STR_NONE;
    struct str rest = str_sub(s, 5, s.n), part;
    if (second) { /* its hash, the forwarder, and the separator of the SRS0 within */
        if (!str_split(&rest, '=', &part) || !str_split(&rest, '=', &part) || rest.n == 0 || !strchr("=+-", rest.p[0]))
            return STR_NONE;
        rest = str_sub(rest, 1, rest.n);
    }
    if (!str_split(&rest, '=', &part) || !str_split(&rest, '=', &part) || rest.n == 0)
        return STR_NONE;
    return rest;
}

/* list-bounces+user=example.net: the part before the recipient that VERP wrote into it; s itself when there is none. */
static struct str without_verp(struct str s)
{
    size_t equals = str_find(s, '=', 0), cut = 0;

    if (equals == s.n || str_find(s, '.', equals) == s.n)
        return s;
    while (cut < equals && s.p[cut] != '+' && s.p[cut] != '-')
        cut++;
    return str_sub(s, 0, cut < equals ? cut + 1 : 0);
}

/* Numbers, and tokens that are made by machine, become "#". */
static void without_numbers(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n;) {
        size_t end = i, digits = 0, hex = 0;
        for (; end < s.n && is_alnum(s.p[end]); end++) {
            digits += is_digit(s.p[end]);
            hex += is_hex(s.p[end]);
        }
        size_t n = end - i;
        if (digits && (n >= 16 || (hex == n && n >= 6))) {
            buf_char(out, '#');
            i = end;
            continue;
        }
        for (; i < end; i++)
            if (!is_digit(s.p[i]))
                buf_char(out, s.p[i]);
            else if (i + 1 == end || !is_digit(s.p[i + 1]))
                buf_char(out, '#');
        if (i < s.n)
            buf_char(out, s.p[i] == ' ' ? '_' : s.p[i]); /* a space parts the parts of the key */
        i++;
    }
}

struct str greylist_sender(struct arena *arena, const struct path *sender, struct str helo)
{
    struct buf out = {0};

    if (sender->null) {
        buf_printf(&out, "<>%.*s", STR_ARG(helo));
    } else {
        struct str local = without_batv(arena_lower(arena, sender->local)), forwarded = within_srs(local);
        if (forwarded.n) { /* the domain stays as it is written, its user is treated like any */
            size_t equals = str_find(forwarded, '=', 0);
            buf_printf(&out, "srs=%.*s=", (int)equals, forwarded.p);
            local = without_batv(str_sub(forwarded, equals < forwarded.n ? equals + 1 : equals, forwarded.n));
        }
        struct str kept = without_verp(local);
        without_numbers(&out, kept);
        if (kept.n < local.n)
            buf_char(&out, '=');
        buf_printf(&out, "@%.*s", STR_ARG(sender->domain));
    }
    struct str result = arena_lower(arena, buf_view(&out));
    buf_free(&out);
    return result;
}

/* --- the key ------------------------------------------------------------------------------------------------------------------- */

struct str greylist_key(struct arena *arena, struct str who, struct str sender, struct str recipient)
{
    struct buf key = {0};

    buf_printf(&key, "%.*s %.*s ", STR_ARG(who), STR_ARG(sender));
    buf_str(&key, recipient);
    return bounded(arena, &key);
}

/* The text of a fact that another check makes; asked for, and *missing, while it is not there. Empty when it has no value. */
static struct str text_of(struct scope *s, int fact, bool *missing)
{
    const struct value *v = facts_get(&s->facts, fact);

    if (v->state == FACT_UNKNOWN) {
        fact_bit_set(&s->needed, fact);
        *missing = true;
    }
    return v->state == FACT_KNOWN ? v->v.text : STR_NONE;
}

/* --- what the administrator allowed or denied ------------------------------------------------------------------------------------ */

static bool is_looked_up(const struct prefix *p)
{
    return p->addr.family == 4 ? p->bits >= 8 : p->bits == 128 || (p->bits >= 32 && p->bits <= 64 && p->bits % 8 == 0);
}

struct str greylist_ruling_key(struct arena *arena, struct str whom)
{
    struct prefix network;
    char text[PREFIX_TEXT];

    if (prefix_parse(whom, &network))
        return is_looked_up(&network) ? arena_printf(arena, "net %s", prefix_format(&network, text)) : STR_NONE;
    return domain_valid(whom) ? arena_printf(arena, "domain %.*s", STR_ARG(arena_lower(arena, whom))) : STR_NONE;
}

/* Narrowest first; a domain stands for all below it. */
static void add_rulings(struct arena *arena, const struct addr *client, struct str domain, struct greylist_keys *out)
{
    enum { LABELS = 8 };
    char text[PREFIX_TEXT];

    for (unsigned bits = client->family == 4 ? 32 : 128; bits >= 8; bits--) {
        struct prefix network = addr_network(client, bits < 32 ? bits : 32, bits);
        if (is_looked_up(&network))
            out->rulings[out->ruling_count++] = arena_printf(arena, "net %s", prefix_format(&network, text));
    }
    for (int i = 0; domain.n && i < LABELS; i++) {
        out->rulings[out->ruling_count++] = arena_printf(arena, "domain %.*s", STR_ARG(domain));
        size_t dot = str_find(domain, '.', 0);
        domain = str_sub(domain, dot + 1, domain.n);
    }
}

bool greylist_keys_of(struct scope *recipient, struct arena *arena, struct greylist_keys *out)
{
    const struct path *sender = &scope_of(recipient, STAGE_MAIL)->subject->sender;
    const struct scope *helo = scope_of(recipient, STAGE_HELO);
    bool missing = false;
    struct str spf = text_of(recipient, FACT_SPF, &missing), name = STR_NONE;
    struct str domain = str_eq(spf, STR("pass")) ? text_of(recipient, FACT_SPF_DOMAIN, &missing) : STR_NONE;

    if (!missing && !domain.n)
        name = text_of(recipient, FACT_CLIENT_NAME, &missing);
    if (missing)
        return false;
    struct str who = greylist_who(arena, scope_client(recipient), domain, name);
    struct str from = greylist_sender(arena, sender, helo ? helo->subject->helo : STR_NONE);
    *out = (struct greylist_keys){.row = greylist_key(arena, who, from, recipient->subject->recipient.whole)};
    add_rulings(arena, scope_client(recipient), domain, out);
    if (!sender->null) {
        struct buf client = {0};
        buf_printf(&client, "%.*s %.*s", STR_ARG(who), STR_ARG(sender->domain));
        out->client = bounded(arena, &client);
    }
    return true;
}
