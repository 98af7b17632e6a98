/*
 * config_items.c - the items of the settings that are lists: domains, networks, listeners, resolvers (backends: config_backend.c).
 *
 * Each function eats one item, which begins at the current token and ends before a ',' or the end of the line; an item that wants options
 * behind it reads on itself. Good items go to the reading's lists, bad ones are complained of, so that all complaints come at once.
 */
#include "config_table.h"

#include <stdlib.h>
#include <string.h>

/* The words that are left of an item that was complained of, so that the items behind it are still read. */
void config_skip_item(struct lexer *l)
{
    while (l->current.kind == TOKEN_WORD || l->current.kind == TOKEN_STRING)
        lexer_take(l);
}

bool config_take_text(struct config_reading *r, const char *expected, struct token *t)
{
    *t = r->lexer.current;
    if (t->kind == TOKEN_WORD || t->kind == TOKEN_STRING) {
        lexer_take(&r->lexer);
        return true;
    }
    if (t->kind != TOKEN_BAD)
        diag_add(r->diags, DIAG_ERROR, t->span, NULL, "expected %s, not %s", expected, token_name(t->kind));
    return false;
}

/* ---- domains ---- */

static bool is_label_byte(char c)
{
    c = ascii_lower(c);
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* RFC 5321 Domain without address literals; underscores are tolerated, as at RCPT. */
bool config_is_domain(struct str s)
{
    struct str rest = s, label;
    if (s.n == 0 || s.n > 253)
        return false;
    while (str_split(&rest, '.', &label)) {
        if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
            return false;
        for (size_t i = 0; i < label.n; i++) {
            if (!is_label_byte(label.p[i]))
                return false;
        }
    }
    return true;
}

static const char *domain_hint(struct str s)
{
    if (str_starts(s, STR("*.")))
        return "for all names below a domain write it with a dot in front: .example.org";
    if (memchr(s.p, '@', s.n))
        return "write only the part behind the @";
    if (s.n > 1 && s.p[s.n - 1] == '.')
        return "leave out the dot at the end";
    if (s.p[0] == '[')
        return "address literals are never ours; name the domains";
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] >= 0x80)
            return "write an internationalised name in its ASCII form: xn--...";
    }
    return "write a domain: example.org, or .example.org for all names below it";
}

void setting_item_domains(struct config_reading *r)
{
    struct token t;
    if (!config_take_text(r, "a domain", &t))
        return;
    if (str_eq_nocase(t.text, STR("any"))) { /* whether that is safe is judged at the end: config.c */
        r->s->domains_any = r->any_domain = true;
        r->any_span = t.span;
        return;
    }
    config_domain_add(r, &r->domains, &t);
}

void config_domain_add(struct config_reading *r, struct growing *list, const struct token *token)
{
    struct token t = *token;
    struct str name = t.text.n > 0 && t.text.p[0] == '.' ? str_sub(t.text, 1, t.text.n) : t.text;
    struct addr literal;
    if (!config_is_domain(name) || addr_parse(name, &literal)) {
        diag_add(r->diags, DIAG_ERROR, t.span, t.text.n > 0 ? domain_hint(t.text) : NULL, "'%.*s' is not a domain", STR_ARG(t.text));
        return;
    }
    *(struct str *)growing_add(list, sizeof(struct str)) = arena_lower(&r->s->arena, t.text);
}

/* ---- networks ---- */

/* A prefix with host bits set: the network that was probably meant. */
static char *prefix_hint(struct str s)
{
    size_t slash = str_find(s, '/', 0);
    struct addr a;
    uint64_t bits;
    if (slash == s.n || !addr_parse(str_sub(s, 0, slash), &a) || !str_to_u64(str_sub(s, slash + 1, s.n), a.family == 4 ? 32 : 128, &bits))
        return NULL;
    struct prefix network = addr_network(&a, (unsigned)bits, (unsigned)bits);
    char text[PREFIX_TEXT];
    struct buf hint = {0};
    buf_printf(&hint, "it has bits beyond its length; did you mean %s?", prefix_format(&network, text));
    return buf_steal(&hint);
}

void setting_item_relay_from(struct config_reading *r)
{
    struct token t;
    struct prefix p;
    if (!config_take_text(r, "a network", &t))
        return;
    if (!prefix_parse(t.text, &p)) {
        char *hint = prefix_hint(t.text);
        diag_add(r->diags, DIAG_ERROR, t.span, hint ? hint : "write an address or a network: 192.0.2.0/24, 2001:db8::/32",
                 "'%.*s' is not a network", STR_ARG(t.text));
        free(hint);
        return;
    }
    if (p.bits == 0) {
        diag_add(r->diags, DIAG_ERROR, t.span, "name the networks of those who send through here",
                 "relay-from %.*s would be an open relay", STR_ARG(t.text));
        return;
    }
    if (!r->s->relay_from)
        r->s->relay_from = prefix_set_new();
    prefix_set_add(r->s->relay_from, &p);
}

/* ---- listeners ---- */

bool config_is_port(struct str s, uint64_t minimum, uint16_t *out)
{
    uint64_t port;
    if (!str_to_u64(s, 65535, &port) || port < minimum)
        return false;
    *out = (uint16_t)port;
    return true;
}

static bool listen_valid(struct str s)
{
    struct addr_port parsed;
    uint16_t port;
    if (str_starts(s, STR("*:")))
        return config_is_port(str_sub(s, 2, s.n), 0, &port);
    if (str_starts(s, STR(":")))
        return config_is_port(str_sub(s, 1, s.n), 0, &port);
    return addr_port_parse(s, 0, &parsed);
}

static const char *listen_hint(struct str s)
{
    struct addr a;
    if (str_eq(s, STR("*")) || (addr_parse(s, &a) && a.family == 4))
        return "a listener needs a port: *:25, 192.0.2.1:25";
    if (addr_parse(s, &a))
        return "write an IPv6 address in brackets, with its port: [2001:db8::1]:25";
    return "write ADDRESS:PORT: *:25, 192.0.2.1:25 or [2001:db8::1]:25";
}

static bool read_proxy_from(struct config_reading *r, struct listener_setting *x)
{
    struct token t;
    struct prefix p;
    if (!config_take_text(r, "the network of the balancer", &t))
        return false;
    if (!prefix_parse(t.text, &p) || p.bits == 0) {
        diag_add(r->diags, DIAG_ERROR, t.span, "write the addresses of your balancers: 192.0.2.10 or 192.0.2.0/29",
                 "'%.*s' is not a network of balancers", STR_ARG(t.text));
        return false;
    }
    if (!x->proxy_from)
        x->proxy_from = prefix_set_new();
    prefix_set_add(x->proxy_from, &p);
    return true;
}

static bool listen_option(struct config_reading *r, struct listener_setting *x)
{
    struct token t = lexer_take(&r->lexer);
    if (str_eq_nocase(t.text, STR("proxy-from")))
        return read_proxy_from(r, x);
    x->tls |= str_eq_nocase(t.text, STR("tls"));
    x->require_tls |= str_eq_nocase(t.text, STR("require-tls"));
    if (str_eq_nocase(t.text, STR("tls")) || str_eq_nocase(t.text, STR("require-tls"))) {
        r->tls_wanted = true;
        r->tls_span = t.span;
        return true;
    }
    diag_add(r->diags, DIAG_ERROR, t.span, "the options are tls, require-tls and proxy-from NETWORK; between two listeners stands a ','",
             "a listener has no option '%.*s'", STR_ARG(t.text));
    return false;
}

void setting_item_listen(struct config_reading *r)
{
    struct token t;
    if (!config_take_text(r, "ADDRESS:PORT", &t))
        return;
    if (!listen_valid(t.text)) {
        diag_add(r->diags, DIAG_ERROR, t.span, listen_hint(t.text), "'%.*s' is not an address to listen at", STR_ARG(t.text));
        config_skip_item(&r->lexer);
        return;
    }
    const struct listener_setting *list = r->listen.items;
    bool any_port = str_ends_nocase(t.text, STR(":0")); /* the system chooses: two are two */
    for (size_t i = 0; i < r->listen.count && !any_port; i++) {
        if (str_eq(list[i].address, t.text)) {
            diag_add(r->diags, DIAG_ERROR, t.span, NULL, "'%.*s' is listened at twice", STR_ARG(t.text));
            return;
        }
    }
    struct listener_setting x = {.address = arena_str(&r->s->arena, t.text)};
    bool good = true;
    while (good && r->lexer.current.kind == TOKEN_WORD)
        good = listen_option(r, &x);
    if (!good)
        config_skip_item(&r->lexer);
    *(struct listener_setting *)growing_add(&r->listen, sizeof x) = x;
}

/* ---- certificates ---- */

static struct str file_name(struct config_reading *r, struct str text)
{
    struct buf name = {0};
    buf_str(&name, text);
    char *relative = buf_steal(&name), *path = source_path(r->source->name, relative);
    struct str out = arena_str(&r->s->arena, str_of(path));
    free(relative);
    free(path);
    return out;
}

void setting_item_certificate(struct config_reading *r)
{
    struct token t;
    if (!config_take_text(r, "a PEM file", &t))
        return;
    struct certificate_setting *c = growing_add(&r->certificates, sizeof *c);
    c->file = c->key_file = file_name(r, t.text);
    if (r->lexer.current.kind == TOKEN_WORD || r->lexer.current.kind == TOKEN_STRING)
        c->key_file = file_name(r, lexer_take(&r->lexer).text);
}

/* ---- resolvers ---- */

void setting_item_resolver(struct config_reading *r)
{
    struct token t;
    struct addr_port server = {.port = 53};
    if (!config_take_text(r, "ADDRESS:PORT", &t))
        return;
    if (addr_parse(t.text, &server.addr) || (addr_port_parse(t.text, 53, &server) && server.port != 0)) {
        *(struct addr_port *)growing_add(&r->resolvers, sizeof server) = server;
        return;
    }
    bool name = config_is_domain(str_sub(t.text, 0, str_find(t.text, ':', 0)));
    diag_add(r->diags, DIAG_ERROR, t.span,
             name ? "a resolver is given by its address, as there is nobody yet to look up its name"
                  : "write ADDRESS or ADDRESS:PORT: 127.0.0.1, 127.0.0.1:5353, [::1]:53",
             "'%.*s' is not the address of a resolver", STR_ARG(t.text));
}
