/*
 * client.c - a simulated client: it says what it is told to, keeps what the server says until somebody looks, and is watched by
 * an observer.
 *
 * A perturbation may make it say it byte by byte, or leave in the middle. A client that was cut is silent until it connects
 * again.
 */
#include "world.h"

#include "postern/net/tls.h"

#include <stdlib.h>
#include <string.h>

enum { NOTIFY_TRIES = 100, CHUNKS_MAX = 1500 }; /* pieces of one segment; long ones get longer pieces in their middle */

static void client_gone(struct sim_client *c)
{
    if (c->stream)
        stream_close(c->world->loop, &c->stream);
}

static void note_replies(struct sim_client *c, size_t before)
{
    struct world *w = c->world;
    for (size_t i = before; i < c->observer.replies; i++) {
        uint16_t code = (uint16_t)c->observer.last_code;
        buf_put(&c->codes, &code, sizeof code);
        if (++w->tally.replies == w->how->cut_at_reply)
            sim_client_hang_up(c, w->how->cut);
    }
}

/* Line by line, so that each reply is seen by itself. */
static void client_hears(struct sim_client *c, struct str bytes)
{
    buf_str(&c->unread, bytes);
    while (bytes.n > 0) {
        size_t end = str_find(bytes, '\n', 0);
        struct str line = str_sub(bytes, 0, end + 1);
        size_t before = c->observer.replies;
        observer_received(&c->observer, line);
        note_replies(c, before);
        if (!c->stream)
            return;
        bytes = str_sub(bytes, line.n, bytes.n);
    }
}

static void client_run(struct task *t)
{
    struct sim_client *c = (struct sim_client *)(void *)t;
    char room[8192];
    ssize_t n = STREAM_AGAIN;
    while (c->stream && (n = stream_read(c->stream, room, sizeof room)) > 0)
        client_hears(c, (struct str){room, (size_t)n});
    if (!c->stream || n == STREAM_AGAIN)
        return;
    c->closed = true;
    if (!c->cut && n == STREAM_EOF)
        observer_end(&c->observer, true);
    client_gone(c);
}

/* The wire to the proxy was disturbed: whatever this client says from now on counts for nothing. */
static void client_broken(struct wire *wire, enum record_fault fault)
{
    struct sim_client *c = (struct sim_client *)(void *)((char *)wire - offsetof(struct sim_client, wire));
    c->cut = true;
    if (!c->stream || (fault != RECORD_CLOSES && fault != RECORD_RESETS))
        return;
    stream_memory_break(stream_below(c->stream), fault == RECORD_RESETS);
    client_gone(c);
    c->closed = true;
}

void sim_client_init(struct sim_client *c, struct world *w, unsigned index)
{
    *c = (struct sim_client){.task = {.run = client_run}, .world = w, .index = index};
    c->address = (struct addr_port){.addr = {4, {203, 0, 113, (uint8_t)(9 + index)}}, .port = 40000};
}

/* What was said and not answered may be with a backend only later. */
static void keep_observer(struct sim_client *c)
{
    struct world *w = c->world;
    if (c->observer.sent.n == 0) {
        observer_clear(&c->observer);
        return;
    }
    w->earlier = xrealloc(w->earlier, (w->earlier_count + 1) * sizeof *w->earlier);
    w->earlier[w->earlier_count++] = c->observer;
}

void sim_client_connect(struct sim_client *c)
{
    struct world *w = c->world;
    struct stream *theirs;
    sim_client_hang_up(c, CUT_CLOSE);
    keep_observer(c);
    observer_init(&c->observer, &w->ledger);
    buf_clear(&c->unread);
    buf_clear(&c->codes);
    c->replies_taken = 0;
    c->connected = true;
    c->closed = c->cut = c->clear = false;
    wire_clear(&c->wire);
    wire_init(&c->wire, w, client_broken);
    struct memory_pair_options options = w->pair;
    options.wire = &c->wire.hook;
    stream_memory_pair(w->loop, &options, &c->stream, &theirs);
    stream_set_owner(c->stream, &c->task);
    static const struct listener_setting anywhere = {.address = {"*:25", 4}};
    struct arrival arrival = {.peer = c->address, .listener = w->settings.listen_count ? &w->settings.listen[0] : &anywhere};
    if (proxy_wants_local(w->proxy)) /* where it came to, as a listener finds out only when somebody asks */
        addr_port_parse(c->address.addr.family == 4 ? STR("192.0.2.25:25") : STR("[2001:db8::25]:25"), 25, &arrival.local);
    c->observer.balancer = arrival.listener->proxy_from && prefix_set_has(arrival.listener->proxy_from, &c->address.addr);
    c->observer.tls = arrival.listener->tls;
    w->connections += !c->observer.balancer; /* one without a header has no client, and so no record */
    proxy_accept(w->proxy, theirs, &arrival);
    buf_put(&w->arrivals, &c->address, sizeof c->address);
    w->balancers |= c->observer.balancer;
    c->port = c->address.port++;
}

static void say(struct sim_client *c, struct str bytes)
{
    if (!c->stream || bytes.n == 0)
        return;
    struct stream *to = c->clear ? stream_below(c->stream) : c->stream;
    if (!c->clear) /* what is said in clear behind close_notify is never heard */
        observer_sent(&c->observer, bytes);
    stream_put(to, bytes.p, bytes.n);
    stream_flush(to);
}

/* In pieces, the world running between them. */
static void say_in_pieces(struct sim_client *c, struct str bytes, size_t piece)
{
    size_t edge = CHUNKS_MAX / 3, middle = bytes.n / edge + 1;
    for (size_t at = 0; at < bytes.n && c->stream;) {
        bool long_middle = bytes.n > CHUNKS_MAX && at >= edge && at + edge < bytes.n;
        size_t n = long_middle && middle > piece ? middle : piece;
        say(c, str_sub(bytes, at, at + n));
        world_settle(c->world);
        at += n;
    }
}

void sim_client_send(struct sim_client *c, struct str bytes)
{
    struct world *w = c->world;
    const struct perturbation *how = w->how;
    w->tally.octets += bytes.n;
    if (++w->tally.segments == how->cut_at_segment) {
        size_t part = how->cut_where == CUT_BEFORE ? 0 : how->cut_where == CUT_MIDDLE ? bytes.n / 2 : bytes.n;
        say(c, str_sub(bytes, 0, part));
        if (how->cut_after_ms)
            world_advance(w, how->cut_after_ms);
        sim_client_hang_up(c, how->cut);
        return;
    }
    if (how->chunk && !c->cut)
        say_in_pieces(c, bytes, how->chunk);
    else if (!c->cut)
        say(c, bytes);
}

void sim_client_tls(struct sim_client *c, struct str server_name, enum tls_asked asked)
{
    struct tls_context *context = c->stream && !c->cut ? contexts_client(c->world->script->contexts, asked) : NULL;
    if (!context)
        return;
    wire_encrypted(&c->wire);
    stream_start_tls(&c->stream, context, server_name);
}

void sim_client_notify(struct sim_client *c)
{
    if (!c->stream || c->cut || !stream_is_tls(c->stream))
        return;
    for (int i = 0; i < NOTIFY_TRIES && c->stream && !stream_tls_finish(c->stream); i++)
        world_settle(c->world); /* short writes */
    c->clear = true;
}

void sim_client_hang_up(struct sim_client *c, enum cut how)
{
    c->cut = true;
    if (!c->stream)
        return;
    if (how == CUT_HALF) {
        c->observer.half_closed = true;
        stream_memory_half_close(stream_below(c->stream));
        return;
    }
    if (how == CUT_RESET)
        stream_memory_break(stream_below(c->stream), true);
    client_gone(c);
    c->closed = true;
}

bool sim_client_line(struct sim_client *c, struct str *line)
{
    struct str all = buf_view(&c->unread);
    size_t end = str_find(all, '\n', 0);
    if (end == all.n)
        return false;
    *line = str_sub(all, 0, end > 0 && all.p[end - 1] == '\r' ? end - 1 : end);
    return true;
}

void sim_client_line_taken(struct sim_client *c)
{
    buf_consume(&c->unread, str_find(buf_view(&c->unread), '\n', 0) + 1);
}

size_t sim_client_replies(const struct sim_client *c)
{
    return c->codes.n / sizeof(uint16_t);
}

unsigned sim_client_code(const struct sim_client *c, size_t reply)
{
    uint16_t code = 0;
    if (reply < sim_client_replies(c))
        memcpy(&code, c->codes.p + reply * sizeof code, sizeof code);
    return code;
}

void sim_client_clear(struct sim_client *c)
{
    if (c->stream) {
        loop_unwake(c->world->loop, &c->task);
        client_gone(c);
    }
    wire_clear(&c->wire);
    observer_clear(&c->observer);
    buf_free(&c->unread);
    buf_free(&c->codes);
}
