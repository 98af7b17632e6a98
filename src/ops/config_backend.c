/*
 * config_backend.c - backends and routes: HOST:PORT with options behind it.
 *
 *     backend 10.0.0.2:25 client-address xclient tls may, 10.0.0.3:25
 *     route   lists.example.org, .lists.example.org  backend 10.0.0.9:25 connections 20
 *
 * An option is a word and its value; options end at a ',' or at the end of the line.
 */
#include "config_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/base/codec.h"

/* "name", "name:port", "192.0.2.1:25", "[2001:db8::1]:25", and bare addresses of both families. */
static bool backend_parse(struct arena *arena, struct str s, struct backend_setting *out, const char **hint)
{
    const uint16_t smtp = 25;
    size_t colon = str_find(s, ':', 0);
    *hint = "write HOST:PORT: 127.0.0.1:10025, [2001:db8::1]:25 or mail.example.org:25";
    *out = (struct backend_setting){.numeric = true, .address.port = smtp};
    if (addr_parse(s, &out->address.addr) || addr_port_parse(s, smtp, &out->address)) {
        char text[ADDR_TEXT];
        out->host = arena_str(arena, str_of(addr_format(&out->address.addr, text)));
        *hint = "a port is a number from 1 to 65535";
        return out->address.port != 0;
    }
    out->numeric = false;
    if (s.n > 0 && s.p[0] != '[' && str_find(s, ':', colon + 1) < s.n)
        *hint = "write an IPv6 address with a port in brackets: [2001:db8::1]:25";
    if (colon < s.n && config_is_domain(str_sub(s, 0, colon)) && !config_is_port(str_sub(s, colon + 1, s.n), 1, &out->address.port)) {
        *hint = "a port is a number from 1 to 65535";
        return false;
    }
    struct str host = str_sub(s, 0, colon);
    struct str last = str_sub(host, host.n, host.n);
    for (struct str rest = host, part; str_split(&rest, '.', &part);)
        last = part;
    uint64_t number;
    if (!config_is_domain(host) || str_to_u64(last, UINT64_MAX, &number)) /* 192.0.2 or 1.2.3.4.5 is no name */
        return false;
    out->host = arena_lower(arena, host);
    return true;
}

/* ---- options ---- */

/* One of the words of an option: its place in the list, or -1 complained of. */
static int take_word_of(struct config_reading *r, const char *option, const char *const *words, size_t count)
{
    struct token t;
    if (!config_take_text(r, option, &t))
        return -1;
    struct str list[4];
    for (size_t i = 0; i < count; i++) {
        list[i] = str_of(words[i]);
        if (str_eq_nocase(t.text, list[i]))
            return (int)i;
    }
    struct str near = str_suggest(t.text, list, count);
    struct buf hint = {0};
    if (near.n)
        buf_printf(&hint, "did you mean '%.*s'?", STR_ARG(near));
    else
        buf_printf(&hint, "write one of: %s, %s, %s", words[0], words[1], words[2]);
    char *text = buf_steal(&hint);
    diag_add(r->diags, DIAG_ERROR, t.span, text, "%s cannot be '%.*s'", option, STR_ARG(t.text));
    free(text);
    return -1;
}

static bool option_client_address(struct config_reading *r, struct backend_setting *b)
{
    static const char *const words[] = {"none", "xclient", "proxy"};
    int i = take_word_of(r, "client-address", words, 3);
    if (i >= 0)
        b->client_address = (enum client_address)i;
    return i >= 0;
}

static bool option_tls(struct config_reading *r, struct backend_setting *b)
{
    static const char *const words[] = {"off", "may", "require"};
    int i = take_word_of(r, "tls", words, 3);
    if (i >= 0)
        b->tls = (enum backend_tls)i;
    return i >= 0;
}

static bool option_verify(struct config_reading *r, struct backend_setting *b)
{
    struct token t;
    if (!config_take_text(r, "the name in its certificate", &t))
        return false;
    b->tls_name = arena_lower(&r->s->arena, t.text);
    if (config_is_domain(t.text))
        return true;
    diag_add(r->diags, DIAG_ERROR, t.span, "write the host name that its certificate names", "'%.*s' is not a host name", STR_ARG(t.text));
    return false;
}

static bool option_ca(struct config_reading *r, struct backend_setting *b)
{
    struct token t;
    if (!config_take_text(r, "a file of CA certificates", &t))
        return false;
    struct buf name = {0};
    buf_str(&name, t.text);
    char *relative = buf_steal(&name), *path = source_path(r->source->name, relative);
    b->tls_ca = arena_str(&r->s->arena, str_of(path));
    free(relative);
    free(path);
    return true;
}

static bool option_fingerprint(struct config_reading *r, struct backend_setting *b)
{
    struct token t;
    struct buf hex = {0}, bytes = {0};
    if (!config_take_text(r, "a SHA-256 fingerprint", &t))
        return false;
    for (size_t i = 0; i < t.text.n; i++)
        if (t.text.p[i] != ':')
            buf_char(&hex, ascii_lower(t.text.p[i]));
    bool good = hex_decode(&bytes, buf_view(&hex)) && bytes.n == 32;
    if (good)
        b->tls_fingerprint = arena_str(&r->s->arena, buf_view(&hex));
    else
        diag_add(r->diags, DIAG_ERROR, t.span, "openssl x509 -noout -fingerprint -sha256 -in cert.pem prints it",
                 "a fingerprint is 64 hexadecimal digits");
    buf_free(&hex);
    buf_free(&bytes);
    return good;
}

static bool option_connections(struct config_reading *r, struct backend_setting *b)
{
    struct token t;
    if (!config_take_text(r, "a number of connections", &t))
        return false;
    if (str_to_u64(t.text, 100000, &b->connections) && b->connections > 0)
        return true;
    diag_add(r->diags, DIAG_ERROR, t.span, "write a number from 1 to 100000; without the option backend-connections holds",
             "'%.*s' is not a number of connections", STR_ARG(t.text));
    return false;
}

static const struct option {
    const char *name;
    bool (*read)(struct config_reading *r, struct backend_setting *b);
} options[] = {
    {"client-address", option_client_address}, {"tls", option_tls},
    {"verify", option_verify},                 {"ca", option_ca},
    {"fingerprint", option_fingerprint},       {"connections", option_connections},
};
enum { OPTIONS = sizeof options / sizeof *options };

static bool unknown_option(struct config_reading *r, const struct token *t)
{
    struct str names[OPTIONS];
    for (size_t i = 0; i < OPTIONS; i++)
        names[i] = str_of(options[i].name);
    struct str near = str_suggest(t->text, names, OPTIONS);
    char hint[96] = "write a ',' between two backends, or each on a line of its own";
    if (near.n)
        snprintf(hint, sizeof hint, "did you mean '%.*s'?", STR_ARG(near));
    diag_add(r->diags, DIAG_ERROR, t->span, hint, "a backend has no option '%.*s'", STR_ARG(t->text));
    return false;
}

static bool read_option(struct config_reading *r, struct backend_setting *b)
{
    struct token t = lexer_take(&r->lexer);
    for (size_t i = 0; i < OPTIONS; i++)
        if (str_eq_nocase(t.text, str_of(options[i].name)))
            return options[i].read(r, b);
    return unknown_option(r, &t);
}

/* Options that make no sense together. */
static void judge_options(struct config_reading *r, const struct backend_setting *b, struct span where)
{
    bool verifies = b->tls_name.n || b->tls_ca.n || b->tls_fingerprint.n;
    if (verifies && b->tls != BACKEND_TLS_REQUIRE)
        diag_add(r->diags, DIAG_ERROR, where, "write `tls require`: what may be left out cannot be verified",
                 "verify, ca and fingerprint need `tls require`");
    if (b->tls_ca.n && !b->tls_name.n)
        diag_add(r->diags, DIAG_ERROR, where, "write `verify NAME` as well", "a certificate of a CA is verified by name");
}

static void read_backend(struct config_reading *r, unsigned route)
{
    struct token t;
    const char *hint;
    struct backend_setting backend;
    if (!config_take_text(r, "HOST:PORT", &t))
        return;
    if (!backend_parse(&r->s->arena, t.text, &backend, &hint)) {
        diag_add(r->diags, DIAG_ERROR, t.span, hint, "'%.*s' is not a backend", STR_ARG(t.text));
        config_skip_item(&r->lexer);
        return;
    }
    backend.route = route;
    while (r->lexer.current.kind == TOKEN_WORD)
        if (!read_option(r, &backend)) {
            config_skip_item(&r->lexer);
            return;
        }
    judge_options(r, &backend, t.span);
    const struct backend_setting *list = r->backends.items;
    for (size_t i = 0; i < r->backends.count; i++) {
        if (list[i].route == route && str_eq(list[i].host, backend.host) && list[i].address.port == backend.address.port)
            diag_add(r->diags, DIAG_WARNING, t.span, NULL, "backend '%.*s' is named twice", STR_ARG(t.text));
    }
    *(struct backend_setting *)growing_add(&r->backends, sizeof backend) = backend;
}

void setting_item_backend(struct config_reading *r)
{
    read_backend(r, 0);
}

/* ---- routes ---- */

/* "DOMAIN, DOMAIN backend HOST:PORT ..., HOST:PORT": the whole line at once. */
void setting_item_route(struct config_reading *r)
{
    struct growing domains = {0};
    struct token t;
    while (!lexer_is_word(&r->lexer, "backend")) {
        if (!config_take_text(r, "a domain, or `backend` behind the domains", &t)) {
            free(domains.items);
            return;
        }
        config_domain_add(r, &domains, &t);
        lexer_accept(&r->lexer, TOKEN_COMMA);
    }
    struct token keyword = lexer_take(&r->lexer);
    if (domains.count == 0)
        diag_add(r->diags, DIAG_ERROR, keyword.span, "write: route example.org backend 10.0.0.2:25", "a route begins with its domains");
    struct route_setting *route = growing_add(&r->routes, sizeof *route);
    route->domain_count = domains.count;
    route->domains = arena_alloc(&r->s->arena, (domains.count + 1) * sizeof *route->domains);
    memcpy(route->domains, domains.items ? domains.items : (void *)route->domains, domains.count * sizeof *route->domains);
    free(domains.items);
    unsigned number = (unsigned)(r->s->route_count + r->routes.count);
    do
        read_backend(r, number);
    while (lexer_accept(&r->lexer, TOKEN_COMMA));
}
