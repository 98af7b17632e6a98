/*
 * backend_client.c - who the client is said to be: the PROXY header in front of a connection, XCLIENT later. Both are read here
 * by themselves, without the rooms that write them, strictly; and what they say must be true: the address is one that a client
 * of this world has come from, mail never comes on a connection that was called LOCAL, and never without what was configured.
 */
#include "backend_internal.h"

#include "postern/base/codec.h"

#include <string.h>

#define VIOLATION(c, ...) ledger_violation(&(c)->backend->world->ledger, __VA_ARGS__)

/* The setting that leads to this backend; NULL: none does, or several that differ. */
static const struct backend_setting *setting_of(const struct sim_backend *b)
{
    const struct settings *set = &b->world->settings;
    const struct addr_port *at = &b->world->script->backends[b->index];
    const struct backend_setting *found = NULL;
    for (size_t i = 0; i < set->backend_count; i++) {
        const struct backend_setting *x = &set->backends[i];
        if (!(x->numeric ? addr_eq(&x->address.addr, &at->addr) && x->address.port == at->port : i == b->index))
            continue;
        if (found && (found->client_address != x->client_address || found->tls != x->tls))
            return NULL;
        found = x;
    }
    return found;
}

bool backend_wants_header(const struct sim_backend *b)
{
    const struct backend_setting *set = setting_of(b);
    return set && set->client_address == CLIENT_ADDRESS_PROXY;
}

/* --- PROXY protocol, version 2 ---------------------------------------------------------------------------------------------- */

enum { HEADER = 16, ADDRESSES_V4 = 12, ADDRESSES_V6 = 36, VERSION_LOCAL = 0x20, VERSION_PROXY = 0x21, TCP4 = 0x11, TCP6 = 0x21 };

static unsigned two_octets(const char *p)
{
    return (unsigned)(unsigned char)p[0] << 8 | (unsigned char)p[1];
}

/* Source, destination, their ports; `n` octets each. */
static void read_addresses(struct backend_conn *c, const char *p, size_t n)
{
    char from[ADDR_TEXT], to[ADDR_TEXT];
    struct addr_port source = {.addr.family = n == 4 ? 4 : 6}, destination = source;
    memcpy(source.addr.b, p, n);
    memcpy(destination.addr.b, p + n, n);
    source.port = (uint16_t)two_octets(p + 2 * n);
    destination.port = (uint16_t)two_octets(p + 2 * n + 2);
    c->told.peer = source;
    backend_note(c->backend, "PROXY TCP%c %s %s %u %u", n == 4 ? '4' : '6', addr_format(&source.addr, from),
                 addr_format(&destination.addr, to), source.port, destination.port);
}

static bool read_header(struct backend_conn *c, const char *p, size_t length)
{
    unsigned version = (unsigned char)p[12], family = (unsigned char)p[13];
    c->told.by_header = true;
    c->told.local = version == VERSION_LOCAL;
    if (c->told.local) {
        backend_note(c->backend, "PROXY LOCAL");
        return family == 0 && length == 0;
    }
    bool v4 = family == TCP4 && length == ADDRESSES_V4, v6 = family == TCP6 && length == ADDRESSES_V6;
    if (version == VERSION_PROXY && (v4 || v6))
        read_addresses(c, p + HEADER, v4 ? 4 : 16);
    return version == VERSION_PROXY && (v4 || v6);
}

enum progress backend_read_header(struct backend_conn *c)
{
    static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";
    struct str in = buf_view(&c->in);
    size_t n = in.n < 12 ? in.n : 12;
    if (n > 0 && memcmp(in.p, signature, n) != 0) {
        VIOLATION(c, "a backend that wants a PROXY header got something else");
        c->reading = READ_NOTHING;
        return NOTHING_WHOLE;
    }
    if (in.n < HEADER || in.n < HEADER + two_octets(in.p + 14))
        return NOTHING_WHOLE;
    size_t length = two_octets(in.p + 14);
    if (!read_header(c, in.p, length))
        VIOLATION(c, "a backend got a PROXY header that is not by the book");
    buf_consume(&c->in, HEADER + length);
    if (c->in.n > 0)
        VIOLATION(c, "a backend got more behind the PROXY header before its greeting");
    c->reading = READ_COMMANDS;
    return backend_react(c, MOMENT_GREETING, STR("")) ? PROGRESS : CONN_GONE;
}

/* --- XCLIENT ---------------------------------------------------------------------------------------------------------------- */

enum shape { SHAPE_NAME, SHAPE_ADDR, SHAPE_PORT, SHAPE_PROTO, SHAPE_HELO };

static const struct attribute {
    const char *name;
    enum shape shape;
} attributes[] = {{"NAME", SHAPE_NAME}, {"ADDR", SHAPE_ADDR},     {"PORT", SHAPE_PORT},    {"PROTO", SHAPE_PROTO},
                  {"HELO", SHAPE_HELO}, {"DESTADDR", SHAPE_ADDR}, {"DESTPORT", SHAPE_PORT}};

static bool is_unavailable(struct str s)
{
    return str_eq(s, STR("[UNAVAILABLE]")) || str_eq(s, STR("[TEMPUNAVAIL]"));
}

/* "192.0.2.1", "IPV6:2001:db8::1": each family in its own way. */
static bool read_addr(struct str s, struct addr *out)
{
    bool six = str_starts_nocase(s, STR("IPV6:"));
    return addr_parse(six ? str_sub(s, 5, s.n) : s, out) && out->family == (six ? 6 : 4);
}

static size_t leading(struct str s, const char *octets)
{
    size_t n = 0;
    while (n < s.n && s.p[n] && strchr(octets, ascii_lower(s.p[n])))
        n++;
    return n;
}

static bool fits(enum shape shape, struct str s)
{
    static const char host_octets[] = "abcdefghijklmnopqrstuvwxyz0123456789-._";
    struct addr addr;
    uint64_t port;
    switch (shape) {
    case SHAPE_NAME:
        return s.n > 0 && (is_unavailable(s) || leading(s, host_octets) == s.n);
    case SHAPE_ADDR:
        return is_unavailable(s) || read_addr(s, &addr);
    case SHAPE_PORT:
        return is_unavailable(s) || (str_to_u64(s, 65535, &port) && port > 0);
    case SHAPE_PROTO:
        return str_eq(s, STR("SMTP")) || str_eq(s, STR("ESMTP"));
    case SHAPE_HELO:
        return s.n > 0;
    }
    return false;
}

/* xtext (RFC 3461 4): printable, without + and =, but as +XX. */
static bool plain_of(struct str s, struct buf *out)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= 32 || s.p[i] > 126 || s.p[i] == '=')
            return false;
    return xtext_decode(out, s);
}

static bool offered(const struct backend_conn *c, struct str name)
{
    struct str all, one;
    if (!backend_announces(c, "XCLIENT", &all))
        return false;
    while (word_take(&all, &one))
        if (str_eq_nocase(one, name))
            return true;
    return false;
}

static void keep(struct told *told, const struct attribute *a, struct str value)
{
    uint64_t port;
    if (strcmp(a->name, "ADDR") == 0) {
        read_addr(value, &told->peer.addr);
    } else if (strcmp(a->name, "PORT") == 0 && str_to_u64(value, 65535, &port)) {
        told->peer.port = (uint16_t)port;
    } else if (a->shape == SHAPE_HELO && !is_unavailable(value)) {
        told->name_told = true;
        buf_clear(&told->helo);
        buf_str(&told->helo, value);
    }
}

static void judge_attribute(struct backend_conn *c, struct str word, bool last)
{
    size_t equals = str_find(word, '=', 0);
    struct str name = str_sub(word, 0, equals);
    struct buf value = {0};
    const struct attribute *a = NULL;
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes && !a; i++)
        a = str_eq(name, str_of(attributes[i].name)) ? &attributes[i] : NULL;
    if (!a || equals == word.n || !plain_of(str_sub(word, equals + 1, word.n), &value) || !fits(a->shape, buf_view(&value)))
        VIOLATION(c, "a backend got an XCLIENT attribute that is none: %.*s", STR_ARG(word));
    else if (!offered(c, name))
        VIOLATION(c, "a backend got the XCLIENT attribute %.*s, which it had not offered", STR_ARG(name));
    else if (last != str_eq(name, STR("ADDR"))) /* some judge the client when it comes */
        VIOLATION(c, "a backend got XCLIENT with ADDR not as its last attribute");
    else
        keep(&c->told, a, buf_view(&value));
    buf_free(&value);
}

void backend_judge_xclient(struct backend_conn *c, struct str argument)
{
    struct str rest = argument, word;
    if (!backend_announces(c, "XCLIENT", NULL))
        VIOLATION(c, "a backend without XCLIENT got it");
    if (c->mail || c->told.by_xclient)
        VIOLATION(c, "a backend got XCLIENT %s", c->mail ? "in a transaction" : "once more");
    while (word_take(&rest, &word))
        judge_attribute(c, word, str_trim(rest).n == 0);
}

/* --- whose mail is it? ------------------------------------------------------------------------------------------------------ */

void backend_judge_client(struct backend_conn *c)
{
    const struct backend_setting *set = setting_of(c->backend);
    const struct told *told = &c->told;
    if (c->told.local)
        VIOLATION(c, "a backend got mail on a connection that its PROXY header called LOCAL");
    if (!set)
        return;
    if (set->tls == BACKEND_TLS_REQUIRE && !c->tls)
        VIOLATION(c, "a backend got mail in clear, and TLS is required");
    bool by_header = set->client_address == CLIENT_ADDRESS_PROXY, by_xclient = set->client_address == CLIENT_ADDRESS_XCLIENT;
    if ((by_header && !told->by_header) || (by_xclient && !told->by_xclient))
        VIOLATION(c, "a backend got mail and was not told whose");
    else if ((by_header || by_xclient) && !world_has_client(c->backend->world, &told->peer))
        VIOLATION(c, "a backend was told an address that no client came from");
}
