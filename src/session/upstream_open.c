/*
 * upstream_open.c - opening a connection to a backend: one backend after another, one address after another.
 *
 *   [slot] -> connect [PROXY header] -> greeting -> EHLO -> [STARTTLS, handshake, EHLO] -> [XCLIENT, greeting, EHLO with the client's name] -> READY
 *
 * Whatever goes wrong on this way (a refusal, a time-out, a promise of the configuration that the backend does not keep) means: this backend
 * rests, the next one is tried. (Not when it was for want of a socket of our own: that is no illness of the backend's.) So a client's address or TLS that was asked for is never silently left out. An extension that is in use and
 * lacks at this backend is no illness: it is only passed over.
 */
#include <stdlib.h>
#include <string.h>

#include "postern/net/proxy_protocol.h"
#include "postern/net/tls.h"
#include "upstream_internal.h"

/* --- choosing ------------------------------------------------------------------------------------------------------------------ */

bool upstream_may_use(const struct upstream *u, const struct backend *b)
{
    if (u->done[backend_number(b)])
        return false;
    if (u->wish.only)
        return b == u->wish.only;
    return backend_setting_of(b)->route == u->wish.route && !backend_rests(b);
}

static void put_proxy_header(struct upstream *u)
{
    struct buf header = {0};
    const struct xclient *c = u->wish.client;
    if (c && c->peer.addr.family)
        proxy_protocol_put(&header, &c->peer, c->local.addr.family ? &c->local : &u->address);
    else
        proxy_protocol_put_local(&header); /* a probe speaks for itself */
    stream_put(u->stream, header.p, header.n);
    stream_flush(u->stream);
    buf_free(&header);
}

static void connect_to_address(struct upstream *u)
{
    count(COUNTER_BACKEND_CONNECTIONS);
    u->next_address++;
    u->stream = u->proxy->parts.network->connect(u->proxy->parts.network, &u->address, u->owner);
    u->deadline_ms = upstream_now(u) + u->proxy->parts.settings->backend_connect_timeout;
    u->opening = OPENING_CONNECT;
    if (backend_setting_of(u->backend)->client_address == CLIENT_ADDRESS_PROXY)
        put_proxy_header(u);
}

enum attempt { ATTEMPT_BEGUN, ATTEMPT_FULL, ATTEMPT_NO };

/* Connects to b, if it may be used: to the next of its addresses. FULL: it would, but for a slot. */
static enum attempt try_backend(struct upstream *u, struct backend *b)
{
    if (!upstream_may_use(u, b))
        return ATTEMPT_NO;
    if (u->backend != b) {
        u->next_address = 0;
        u->ill = false;
    }
    u->backend = b;
    if (!backend_address(b, u->next_address, &u->address)) {
        if (u->next_address == 0)
            backend_failed(b, "its name has no address");
        u->done[backend_number(b)] = true;
        return ATTEMPT_NO;
    }
    if (!slots_take(u, b))
        return ATTEMPT_FULL;
    connect_to_address(u);
    return ATTEMPT_BEGUN;
}

/* Some backend would do, but all its connections are in use. False: it has waited long enough. */
static bool wait_for_slot(struct upstream *u)
{
    if (!u->slot.waits) {
        slots_wait(u);
        u->opening = OPENING_SLOT;
        u->deadline_ms = upstream_now(u) + u->proxy->parts.settings->backend_busy_timeout;
    }
    if (upstream_now(u) < u->deadline_ms)
        return true;
    u->busy = true;
    return false;
}

/* The first backend in order that can be connected to now; else one that has to be waited for; else there is none. */
static void try_next(struct upstream *u)
{
    struct backends *pool = u->proxy->backends;
    enum attempt best = ATTEMPT_NO;
    for (size_t i = 0; i < backends_count(pool) && best != ATTEMPT_BEGUN; i++) {
        enum attempt attempt = try_backend(u, backends_at(pool, i));
        best = attempt < best ? attempt : best;
    }
    if (best == ATTEMPT_FULL && !u->wish.only && wait_for_slot(u))
        return;
    slots_unwait(u);
    if (best == ATTEMPT_BEGUN)
        return;
    u->state = UPSTREAM_NONE;
    u->deadline_ms = UINT64_MAX;
}

/* The address tried now is no good, or could not be tried. When it was the backend's last one that rests, and the next is tried. */
static void give_up_address(struct upstream *u, const char *why, bool ill)
{
    struct addr_port more;
    u->ill |= ill;
    if (!backend_address(u->backend, u->next_address, &more)) {
        u->done[backend_number(u->backend)] = true;
        if (u->ill)
            backend_failed(u->backend, why);
        else
            u->busy = true;
    }
    upstream_drop_stream(u);
    try_next(u);
}

static void give_up_on(struct upstream *u, const char *why)
{
    give_up_address(u, why, true);
}

static struct xclient *copy_client(struct arena *arena, const struct xclient *c)
{
    if (!c)
        return NULL;
    struct xclient *copy = arena_alloc(arena, sizeof *copy);
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
    u->done = arena_zalloc(&u->arena, backends_count(p->backends));
    u->state = UPSTREAM_OPENING;
    try_next(u);
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

static void say_xclient(struct upstream *u)
{
    struct buf line = {0};
    xclient_write(&line, u->extensions.xclient, u->wish.client);
    say(u, OPENING_XCLIENT, "", buf_view(&line));
    buf_free(&line);
}

static void ready(struct upstream *u)
{
    backend_answered(u->backend, &u->extensions);
    if ((u->extensions.set & u->wish.extensions) == u->wish.extensions) {
        u->state = UPSTREAM_READY;
        u->opening = OPENING_DONE;
        slots_kept(u); /* until it is used, soon */
        return;
    }
    u->lacking = true;
    u->done[backend_number(u->backend)] = true;
    upstream_drop_stream(u);
    try_next(u);
}

/* Its list of extensions is known: what has still to be done before mail? */
static void after_ehlo(struct upstream *u, const struct reply *r)
{
    const struct backend_setting *set = backend_setting_of(u->backend);
    ehlo_read(r, &u->arena, &u->extensions);
    bool offered = ehlo_has(&u->extensions, EXT_STARTTLS);
    if (set->tls == BACKEND_TLS_REQUIRE && !backend_tls_context(u->backend))
        give_up_on(u, "its certificate cannot be verified: the log says why (backend-tls)");
    else if (!u->tls && set->tls != BACKEND_TLS_OFF && offered)
        say(u, OPENING_STARTTLS, "STARTTLS", STR(""));
    else if (!u->tls && set->tls == BACKEND_TLS_REQUIRE)
        give_up_on(u, "it does not offer STARTTLS");
    else if (set->client_address == CLIENT_ADDRESS_XCLIENT && !u->told && !xclient_offers(u->extensions.xclient, STR("ADDR")))
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
    case OPENING_SLOT:
    case OPENING_CONNECT:
    case OPENING_HANDSHAKE:
    case OPENING_DONE: break;
    }
}

/* One step of opening. True: something moved, look again. */
static bool open_step(struct upstream *u)
{
    if (u->opening == OPENING_SLOT) {
        try_next(u);
        return u->opening != OPENING_SLOT;
    }
    if (stream_state(u->stream) == STREAM_DEAD) {
        const char *why = stream_error(u->stream);
        give_up_address(u, *why ? why : "it closed the connection", !stream_is_short(u->stream));
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
