/* rooms: session */
/*
 * What a hostile backend says while a connection to it is opened: greeting, EHLO list, answer to STARTTLS and to XCLIENT. The real opening
 * (upstream_open.c) runs against the input over a memory pair; a reading of its own says which lines must have been sent and whether the
 * connection is good in the end. The first octet says how the bytes are cut (cutting changes nothing), the second what is configured and wanted.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "postern/policy/policy.h"
#include "session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { XCLIENT = 1, PROBE = 2, TLS = 4, WANT_8BIT = 8, WANT_UTF8 = 16, BYE = 32 };

static struct source *read_nothing(struct source_reader *r, const char *path, const char **error)
{
    (void)r, (void)error;
    return source_new(path, STR(""));
}

static void log_nothing(void *context, enum log_level level, struct str line)
{
    (void)context, (void)level;
    assert(ascii_printable(line));
}

struct world {
    struct network network;
    struct loop *loop;
    struct settings settings;
    struct backend_setting backend;
    struct policy *policy;
    struct proxy *proxy;
    struct task task;
    struct upstream *upstream;
    struct stream *far; /* the backend's end */
    struct buf sent;    /* what came to it */
};

static struct stream *connect_far(struct network *n, const struct addr_port *to, struct task *owner)
{
    struct world *w = (struct world *)(void *)n;
    struct memory_pair_options options = {0};
    struct stream *near;
    (void)to;
    assert(!w->far); /* one backend with one address: there is no second try */
    stream_memory_pair(w->loop, &options, &near, &w->far);
    stream_set_owner(near, owner);
    return near;
}

static void run_upstream(struct task *t)
{
    struct world *w = (struct world *)(void *)((char *)t - offsetof(struct world, task));
    upstream_run(w->upstream);
}

static const struct xclient *client_of(unsigned how)
{
    static struct xclient client;
    client = (struct xclient){.peer = {.port = 40000}, .name = STR("mail.example"), .helo = STR("client.example"), .esmtp = true};
    addr_parse(STR("203.0.113.9"), &client.peer.addr);
    return how & PROBE ? NULL : &client;
}

static uint32_t wanted(unsigned how)
{
    return (how & WANT_8BIT ? UINT32_C(1) << EXT_EIGHTBITMIME : 0) | (how & WANT_UTF8 ? UINT32_C(1) << EXT_SMTPUTF8 : 0);
}

static void world_begin(struct world *w, unsigned how)
{
    static struct source_reader reader = {.read = read_nothing};
    struct policy_input input = {.reader = &reader};
    struct diags diags = {0};
    *w = (struct world){.task.run = run_upstream};
    w->loop = loop_new_simulated(1795291200000);
    w->network = (struct network){.connect = connect_far, .loop = w->loop};
    settings_defaults(&w->settings);
    w->settings.hostname = STR("mx.test");
    w->backend = (struct backend_setting){.host = STR("198.18.0.1"), .numeric = true, .address = {.port = 25}};
    addr_parse(w->backend.host, &w->backend.address.addr);
    w->backend.client_address = how & XCLIENT ? CLIENT_ADDRESS_XCLIENT : CLIENT_ADDRESS_NONE;
    w->backend.tls = how & TLS ? BACKEND_TLS_MAY : BACKEND_TLS_OFF;
    w->settings.backends = &w->backend;
    w->settings.backend_count = 1;
    w->policy = policy_load("nothing.policy", &input, &diags);
    assert(w->policy);
    struct proxy_parts parts = {.loop = w->loop, .network = &w->network, .settings = &w->settings};
    w->proxy = proxy_new(&parts, w->policy);
    struct upstream_wish wish = {.extensions = wanted(how), .client = client_of(how)};
    w->upstream = upstream_new(w->proxy, &w->task, &wish);
    loop_settle(w->loop);
}

static void world_end(struct world *w)
{
    upstream_close(&w->upstream, false);
    if (w->far)
        stream_close(w->loop, &w->far);
    proxy_free(&w->proxy);
    policy_unref(&w->policy);
    w->settings.backends = NULL;
    w->settings.backend_count = 0;
    settings_clear(&w->settings);
    buf_free(&w->sent);
    loop_settle(w->loop);
    loop_free(&w->loop);
}

static void hear(struct world *w)
{
    char bytes[4096];
    for (ssize_t n; (n = stream_read(w->far, bytes, sizeof bytes)) > 0;)
        buf_put(&w->sent, bytes, (size_t)n);
}

/* The backend says it all, in pieces, and closes its side. Returns what became of the connection. */
static enum upstream_state play(struct world *w, unsigned how, struct str says, size_t cut)
{
    world_begin(w, how);
    for (size_t at = 0; at < says.n; at += cut) {
        struct str piece = str_sub(says, at, at + cut);
        stream_put(w->far, piece.p, piece.n);
        stream_flush(w->far);
        loop_settle(w->loop);
    }
    hear(w);
    if (how & BYE) {
        stream_memory_half_close(w->far);
        loop_settle(w->loop);
    }
    return upstream_run(w->upstream);
}

/* --- a reading of its own --- */

struct reading {
    struct reply_parser parser;
    struct arena arena;
    struct str rest;
    struct extensions extensions;
    struct buf lines;
};

/* DONE: a reply of class 2. NOT_YET: it ended before. FAILED: a refusal, or no reply. */
static enum reply_parse next(struct reading *m, struct reply *r)
{
    enum reply_parse result = m->rest.n > 0 ? reply_parse(&m->parser, &m->rest, &m->arena, r) : REPLY_PARSE_NOT_YET;
    return result == REPLY_PARSE_DONE && !reply_is(r, 2) ? REPLY_PARSE_FAILED : result;
}

static enum reply_parse say(struct reading *m, const char *line, struct str argument)
{
    struct reply r;
    buf_printf(&m->lines, "%s%.*s\r\n", line, STR_ARG(argument));
    enum reply_parse result = next(m, &r);
    if (result == REPLY_PARSE_DONE && str_eq(str_of(line), STR("EHLO ")))
        ehlo_read(&r, &m->arena, &m->extensions);
    return result;
}

/* The whole conversation. DONE: it is good for mail. */
static enum reply_parse read_opening(struct reading *m, unsigned how, bool *tls)
{
    struct reply r;
    struct buf command = {0};
    enum reply_parse result = next(m, &r);
    if (result == REPLY_PARSE_DONE)
        result = say(m, "EHLO ", STR("mx.test"));
    if (result != REPLY_PARSE_DONE)
        return result;
    if ((how & TLS) && ehlo_has(&m->extensions, EXT_STARTTLS)) {
        result = say(m, "STARTTLS", STR(""));
        *tls = result == REPLY_PARSE_DONE;
        return result;
    }
    if (how & XCLIENT) {
        if (!xclient_offers(m->extensions.xclient, STR("ADDR")))
            return REPLY_PARSE_FAILED;
        if (!(how & PROBE)) {
            xclient_write(&command, m->extensions.xclient, client_of(how));
            result = say(m, "", buf_view(&command));
            buf_free(&command);
            if (result == REPLY_PARSE_DONE)
                result = say(m, "EHLO ", STR("client.example"));
            if (result != REPLY_PARSE_DONE)
                return result;
        }
    }
    return (m->extensions.set & wanted(how)) == wanted(how) ? REPLY_PARSE_DONE : REPLY_PARSE_FAILED;
}

static void judge(struct world *w, enum upstream_state state, unsigned how, struct str says)
{
    struct reading m = {.rest = says};
    bool tls = false;
    enum reply_parse expected = read_opening(&m, how, &tls);
    struct str sent = buf_view(&w->sent), lines = buf_view(&m.lines);
    if (tls) { /* nobody finishes a handshake by chance: what is said behind the 220 is no TLS, or was said too early */
        assert(str_starts(sent, lines) && state != UPSTREAM_READY);
    } else {
        assert(str_eq(sent, lines) || sent.n + lines.n == 0);
        assert(expected != REPLY_PARSE_DONE || state == UPSTREAM_READY);
        assert(expected != REPLY_PARSE_FAILED || state == UPSTREAM_NONE);
        assert(expected != REPLY_PARSE_NOT_YET || state == (how & BYE ? UPSTREAM_NONE : UPSTREAM_OPENING));
        assert(state != UPSTREAM_READY || upstream_has(w->upstream, EXT_DSN) == ehlo_has(&m.extensions, EXT_DSN));
    }
    reply_parser_clear(&m.parser);
    arena_clear(&m.arena);
    buf_free(&m.lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w;
    if (size < 3 || size > 32768)
        return 0;
    struct str says = {(const char *)data + 2, size - 2};
    log_set_sink(log_nothing, NULL);
    judge(&w, play(&w, data[1], says, says.n), data[1], says);
    world_end(&w);
    judge(&w, play(&w, data[1], says, 1 + data[0] % 64), data[1], says);
    world_end(&w);
    return 0;
}
