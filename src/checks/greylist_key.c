/*
 * greylist_key.c - who is asking, for whom, to whom: the key of a greylist row, made so that one sender keeps it from retry to retry.
 *
 * Who: the domain that SPF passes for; else the organizational part of the confirmed host name, unless the name is one of a pool of lines (it
 * holds octets of the address: then each line would vouch for all); else the network. The organizational part is what was registered below
 * a public suffix (libpsl's list): hosts below co.uk, or the tenants of one hoster, do not share a key. DMARC's tree walk would need DNS for
 * what is only a key; where the list is too old a pool waits once for each of its parts.
 *
 * The sender: lower case, without what changes from message to message. The tags of BATV (prvs=, msprvs1=, btv1==) and the hash and day of
 * SRS go, the recipient that VERP writes into it goes, digits and long tokens become "#". The null sender is told apart by its HELO name.
 */
#include <libpsl.h>
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

struct str key_bounded(struct arena *arena, struct buf *key)
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

/* The longest piece of hexadecimal digits. */
static size_t longest_hex(struct str s)
{
    size_t longest = 0;

    for (size_t i = 0, run = 0; i < s.n; i++) {
        run = is_hex(s.p[i]) ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest;
}

static char *put_hex(char *p, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        *p++ = "0123456789abcdef"[b[i] >> 4];
        *p++ = "0123456789abcdef"[b[i] & 15];
    }
    *p = '\0';
    return p;
}

/* The address in one piece, forward or backward; `solid` is the name without dots and hyphens. Each such piece has eight digits at least. */
static bool holds_ipv4(struct str name, struct str solid, const uint8_t b[4])
{
    enum { SHORTEST = 8 };
    char text[32];

    if (holds_decimal(name, b))
        return true;
    if (longest_hex(solid) < SHORTEST)
        return false;
    for (int back = 0; back < 2; back++) {
        uint8_t o[4];
        for (int i = 0; i < 4; i++)
            o[i] = b[back ? 3 - i : i];
        put_hex(text, o, 4);
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
    enum { HALF = 16 };
    char text[ADDR_TEXT + 8];

    for (int half = 0; half < 2 && longest_hex(solid) >= HALF; half++) {
        put_hex(text, a->b + 8 * half, 8);
        if (holds(solid, text))
            return true;
    }
    if (!memchr(name.p, '-', name.n))
        return false;
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

/* The name that was registered: one label below a public suffix, whoever hands names out below it (co.uk, com.br, github.io). A name
 * without such a part stands for itself. The list is that of the library, compiled in: no file to be read, the same in every process. */
struct str greylist_organization(struct str name)
{
    enum { NAME_MAX_OCTETS = 253 };
    char lower[NAME_MAX_OCTETS + 1];
    struct addr literal;

    if (name.n == 0 || name.n > NAME_MAX_OCTETS || addr_parse(name, &literal) || !psl_builtin())
        return name;
    for (size_t i = 0; i < name.n; i++)
        lower[i] = ascii_lower(name.p[i]);
    lower[name.n] = '\0';
    const char *registered = psl_registrable_domain(psl_builtin(), lower);
    return registered ? str_sub(name, (size_t)(registered - lower), name.n) : name;
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
        buf_cstr(&out, "<>");
        buf_str(&out, helo);
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
        buf_char(&out, '@');
        buf_str(&out, sender->domain);
    }
    struct str result = arena_lower(arena, buf_view(&out));
    buf_free(&out);
    return result;
}

/* --- the key ------------------------------------------------------------------------------------------------------------------- */

struct str greylist_key(struct arena *arena, struct str who, struct str sender, struct str recipient)
{
    struct buf key = {0};

    buf_str(&key, who);
    buf_char(&key, ' ');
    buf_str(&key, sender);
    buf_char(&key, ' ');
    buf_str(&key, recipient);
    return key_bounded(arena, &key);
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

const struct greylist_keys *greylist_keys_of(struct scope *recipient)
{
    const struct path *sender = &scope_of(recipient, STAGE_MAIL)->subject->sender;
    const struct scope *helo = scope_of(recipient, STAGE_HELO);
    struct arena *arena = &recipient->arena;
    bool missing = false;

    if (recipient->greylist)
        return recipient->greylist;
    struct str spf = text_of(recipient, FACT_SPF, &missing), name = STR_NONE;
    struct str domain = str_eq(spf, STR("pass")) ? text_of(recipient, FACT_SPF_DOMAIN, &missing) : STR_NONE;
    if (!missing && !domain.n)
        name = text_of(recipient, FACT_CLIENT_NAME, &missing);
    if (missing)
        return NULL;
    struct str who = greylist_who(arena, scope_client(recipient), domain, name);
    struct str from = greylist_sender(arena, sender, helo ? helo->subject->helo : STR_NONE);
    struct greylist_keys *keys = arena_zalloc(arena, sizeof *keys);
    *keys = (struct greylist_keys){.row = greylist_key(arena, who, from, recipient->subject->recipient.whole), .domain = domain};
    if (!sender->null) {
        struct buf client = {0};
        buf_str(&client, who);
        buf_char(&client, ' ');
        buf_str(&client, sender->domain);
        keys->client = key_bounded(arena, &client);
    }
    recipient->greylist = keys;
    return keys;
}
