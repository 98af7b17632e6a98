/*
 * upstream_open.c - opening a connection to a backend: one backend after another, one address after another.
 *
 *   connect [PROXY header] -> greeting -> EHLO -> [STARTTLS, handshake, EHLO] -> [XCLIENT, greeting, EHLO with the client's name] -> READY
 *
 * Whatever goes wrong on this way (a refusal, a time-out, a promise of the configuration that the backend does not keep) means: this backend
 * rests, the next one is tried. So a client's address or TLS that was asked for is never silently left out. An extension that is in use and
 * lacks at this backend is no illness: it is only passed over.
 */
#include <stdlib.h>
#include <string.h>

#include "postern/base/codec.h"
#include "postern/net/proxy_protocol.h"
#include "postern/net/tls.h"
#include "upstream_internal.h"

/* --- choosing ------------------------------------------------------------------------------------------------------------------ */

static bool eligible(const struct upstream *u, struct backend *b)
{
    if (u->wish.only)
        return b == u->wish.only;
    return backend_setting_of(b)->route == u->wish.route && !backend_rests(b) && backend_has_room(b);
}

static void put_proxy_header(struct upstream *u)
{
    struct buf header = {0};
    const struct upstream_client *c = u->wish.client;
    if (c && c->peer.addr.family)
        proxy_protocol_put(&header, &c->peer, c->local.addr.family ? &c->local : &u->address);
    else
        proxy_protocol_put_local(&header); /* a probe speaks for itself */
    stream_put(u->stream, header.p, header.n);
    stream_flush(u->stream);
    buf_free(&header);
}

bool upstream_try_next(struct upstream *u)
{
    struct backends *pool = u->proxy->backends;
    for (; u->next_backend < backends_count(pool); u->next_backend++, u->next_address = 0) {
        struct backend *b = backends_at(pool, u->next_backend);
        if (!eligible(u, b))
            continue;
        if (!backend_address(b, u->next_address, &u->address)) {
            if (u->next_address == 0)
                backend_failed(b, "its name has no address");
            continue;
        }
        u->next_address++;
        u->backend = b;
        backend_connection(b, 1);
        u->counted = true;
        count(COUNTER_BACKEND_CONNECTIONS);
        u->stream = u->proxy->parts.network->connect(u->proxy->parts.network, &u->address, u->owner);
        u->deadline_ms = upstream_now(u) + u->proxy->parts.settings->backend_connect_timeout;
        u->state = UPSTREAM_OPENING;
        u->opening = OPENING_CONNECT;
        if (backend_setting_of(b)->client_address == CLIENT_ADDRESS_PROXY)
            put_proxy_header(u);
        return true;
    }
    u->state = UPSTREAM_NONE;
    u->deadline_ms = UINT64_MAX;
    return false;
}

/* The backend tried now is no good: it rests when this was its last address, and the next one is tried. */
static void give_up_on(struct upstream *u, const char *why)
{
    struct addr_port more;
    if (!backend_address(u->backend, u->next_address, &more))
        backend_failed(u->backend, why);
    upstream_drop_stream(u);
    upstream_try_next(u);
}

static struct upstream_client *copy_client(struct arena *arena, const struct upstream_client *c)
{
    if (!c)
        return NULL;
    struct upstream_client *copy = arena_alloc(arena, sizeof *copy);
    *copy = *c;
    copy->name = arena_str(arena, c->name);
    copy->helo = arena_str(arena, c->helo);
    return copy;
}

struct upstream *upstream_new(struct proxy *p, struct task *owner, const struct upstream_wish *wish)
{
    struct upstream *u = xcalloc(1, sizeof *u);
    u->proxy = p;
    u->owner = owner;
    u->wish = *wish;
    u->wish.client = copy_client(&u->arena, wish->client);
    u->deadline_ms = UINT64_MAX;
    upstream_try_next(u);
    return u;
}

/* --- the dialogue -------------------------------------------------------------------------------------------------------------- */

static void say(struct upstream *u, enum opening next, const char *format, struct str value)
{
    struct buf line = {0};
    buf_cstr(&line, format);
    buf_str(&line, value);
    upstream_queue_line(u, buf_view(&line));
    buf_free(&line);
    upstream_expect(u, EXPECT_EHLO, u);
    u->opening = next;
    stream_flush(u->stream);
}

static void say_ehlo(struct upstream *u)
{
    struct str name = u->told && u->wish.client->helo.n ? u->wish.client->helo : u->proxy->parts.settings->hostname;
    say(u, OPENING_EHLO, "EHLO ", name);
}

static void attribute(struct upstream *u, struct buf *line, const char *name, struct str value)
{
    struct str rest = u->extensions.xclient, offered;
    while (str_split(&rest, ' ', &offered))
        if (str_eq_nocase(offered, str_of(name))) { /* only what is offered may be sent */
            buf_printf(line, " %s=", name);
            xtext_encode(line, value.n ? value : STR("[UNAVAILABLE]"));
            return;
        }
}

static struct str addr_value(struct arena *arena, const struct addr *a)
{
    char text[ADDR_TEXT];
    return arena_printf(arena, "%s%s", a->family == 6 ? "IPV6:" : "", addr_format(a, text));
}

/* NAME, PORT, PROTO, HELO, DESTADDR, DESTPORT and, last, ADDR: some backends judge the client when ADDR comes. */
static void say_xclient(struct upstream *u)
{
    const struct upstream_client *c = u->wish.client;
    struct arena scratch = {0};
    struct buf line = {0};
    attribute(u, &line, "NAME", c->name.n ? c->name : c->name_pending ? STR("[TEMPUNAVAIL]") : STR("[UNAVAILABLE]"));
    attribute(u, &line, "PORT", arena_printf(&scratch, "%u", c->peer.port));
    attribute(u, &line, "PROTO", c->esmtp ? STR("ESMTP") : STR("SMTP"));
    attribute(u, &line, "HELO", c->helo);
    if (c->local.addr.family) {
        attribute(u, &line, "DESTADDR", addr_value(&scratch, &c->local.addr));
        attribute(u, &line, "DESTPORT", arena_printf(&scratch, "%u", c->local.port));
    }
    attribute(u, &line, "ADDR", addr_value(&scratch, &c->peer.addr));
    say(u, OPENING_XCLIENT, "XCLIENT", buf_view(&line));
    buf_free(&line);
    arena_clear(&scratch);
}

static bool offers_addr(const struct upstream *u)
{
    struct str rest = u->extensions.xclient, offered;
    while (str_split(&rest, ' ', &offered))
        if (str_eq_nocase(offered, STR("ADDR")))
            return true;
    return false;
}

static void ready(struct upstream *u)
{
    backend_answered(u->backend, &u->extensions);
    if ((u->extensions.set & u->wish.extensions) == u->wish.extensions) {
        u->state = UPSTREAM_READY;
        u->opening = OPENING_DONE;
        return;
    }
    u->lacking = true;
    upstream_drop_stream(u);
    u->next_backend++;
    u->next_address = 0;
    upstream_try_next(u);
}

/* Its list of extensions is known: what has still to be done before mail? */
static void after_ehlo(struct upstream *u, const struct reply *r)
{
    const struct backend_setting *set = backend_setting_of(u->backend);
    ehlo_read(r, &u->arena, &u->extensions);
    bool offered = ehlo_has(&u->extensions, EXT_STARTTLS);
    if (set->tls == BACKEND_TLS_REQUIRE && !backend_tls_context(u->backend))
        give_up_on(u, "its certificate cannot be verified: see the log of the start");
    else if (!u->tls && set->tls != BACKEND_TLS_OFF && offered)
        say(u, OPENING_STARTTLS, "STARTTLS", STR(""));
    else if (!u->tls && set->tls == BACKEND_TLS_REQUIRE)
        give_up_on(u, "it does not offer STARTTLS");
    else if (set->client_address == CLIENT_ADDRESS_XCLIENT && !u->told && !offers_addr(u))
        give_up_on(u, "it does not offer XCLIENT with ADDR to us");
    else if (set->client_address == CLIENT_ADDRESS_XCLIENT && !u->told && u->wish.client)
        say_xclient(u);
    else
        ready(u);
}

/* 220 to STARTTLS. Bytes behind it came before the handshake: nobody knows from whom (RFC 3207 6; CVE-2021-38371). */
static void begin_tls(struct upstream *u)
{
    const struct backend_setting *set = backend_setting_of(u->backend);
    if (u->in_from < u->in_to) {
        give_up_on(u, "it spoke between STARTTLS and the handshake");
        return;
    }
    struct str name = set->tls_name.n ? set->tls_name : set->numeric ? STR("") : set->host;
    stream_start_tls(&u->stream, backend_tls_context(u->backend), name);
    u->tls = true;
    u->opening = OPENING_HANDSHAKE;
    u->deadline_ms = upstream_now(u) + u->proxy->parts.settings->backend_greeting_timeout;
}

static void take_opening_reply(struct upstream *u, const struct reply *r)
{
    if (!reply_is(r, 2)) {
        give_up_on(u, u->opening == OPENING_GREETING   ? "its greeting was a refusal"
                      : u->opening == OPENING_EHLO     ? "it refused EHLO"
                      : u->opening == OPENING_STARTTLS ? "it refused STARTTLS"
                                                       : "it refused XCLIENT");
        return;
    }
    switch (u->opening) {
    case OPENING_GREETING: say_ehlo(u); break;
    case OPENING_EHLO: after_ehlo(u, r); break;
    case OPENING_STARTTLS: begin_tls(u); break;
    case OPENING_XCLIENT: /* its reply is a new greeting */
        u->told = true;
        say_ehlo(u);
        break;
    case OPENING_CONNECT:
    case OPENING_HANDSHAKE:
    case OPENING_DONE: break;
    }
}

/* One step of opening. True: something moved, look again. */
static bool open_step(struct upstream *u)
{
    if (stream_state(u->stream) == STREAM_DEAD) {
        give_up_on(u, stream_error(u->stream) ? stream_error(u->stream) : "it closed the connection");
        return true;
    }
    if (upstream_now(u) >= u->deadline_ms) {
        give_up_on(u, "timed out");
        return true;
    }
    if (stream_state(u->stream) == STREAM_CONNECTING)
        return false;
    if (u->opening == OPENING_CONNECT) {
        upstream_expect(u, EXPECT_GREETING, u);
        u->opening = OPENING_GREETING;
        return true;
    }
    if (u->opening == OPENING_HANDSHAKE) {
        say_ehlo(u);
        return true;
    }
    struct arena scratch = {0};
    struct reply r;
    enum reply_parse result = upstream_next_reply(u, &scratch, &r);
    if (result == REPLY_PARSE_DONE) {
        upstream_take_awaited(u);
        take_opening_reply(u, &r);
    } else if (result == REPLY_PARSE_FAILED) {
        give_up_on(u, u->parser.error ? u->parser.error : "it closed the connection");
    }
    arena_clear(&scratch);
    return result != REPLY_PARSE_NOT_YET;
}

enum upstream_state upstream_run(struct upstream *u)
{
    while (u->state == UPSTREAM_OPENING && open_step(u))
        ;
    return u->state;
}
