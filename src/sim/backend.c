/*
 * backend.c - a simulated mail server behind Postern. It takes everything, strictly by the book, unless a script or a
 * perturbation makes it misbehave; and it complains (to the ledger) of everything that a real server of any leniency could
 * misread: bare CR or LF, NUL, lines that are no commands, parameters that it did not announce, pipelining that it did not offer.
 *
 * Here: connecting, reacting, the end, and the backend as a whole. What it reads: backend_internal.h names the files.
 */
#include "backend_internal.h"

#include "postern/net/tls.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const struct backend_rule *find_rule(const struct sim_backend *b, enum backend_moment moment, struct str argument)
{
    for (size_t i = b->rule_count; i > 0; i--) {
        const struct backend_rule *r = b->rules[i - 1];
        if (r->moment == moment && (r->nth == 0 || r->nth == b->seen[moment]) &&
            (r->glob.n == 0 || pattern_match(r->glob, argument)))
            return r;
    }
    return NULL;
}

/* --- what it does ----------------------------------------------------------------------------------------------------------- */

void backend_conn_free(struct backend_conn *c)
{
    struct world *w = c->backend->world;
    timer_cancel(w->loop, &c->timer);
    loop_unwake(w->loop, &c->task);
    if (c->stream)
        stream_close(w->loop, &c->stream);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    wire_clear(&c->wire);
    backend_transaction_over(c);
    buf_free(&c->in);
    buf_free(&c->announced);
    buf_free(&c->told.helo);
    buf_free(&c->chunk.argument);
    buf_free(&c->answer_memory);
    free(c);
}

/* The code of the first reply in these bytes; 0 when it is not whole, or a reader could not be sure of it. */
static unsigned answer_code(struct str s)
{
    unsigned code = 0;
    for (size_t at = 0, end; (end = str_find(s, '\n', at)) < s.n; at = end + 1) {
        struct str line = str_sub(s, at, end);
        uint64_t digits;
        if (line.n < 3 || !str_to_u64(str_sub(line, 0, 3), 999, &digits) || (code && code != digits))
            return 0;
        code = (unsigned)digits;
        if (line.n == 3 || line.p[3] != '-')
            return code;
    }
    return 0;
}

/* It ends now, unless what it said must still leave (short writes). False: the connection is gone. */
static bool end_now(struct backend_conn *c, enum backend_fault fault)
{
    if (fault == FAULT_RESET)
        stream_memory_break(stream_below(c->stream), true);
    if (fault == FAULT_CLOSE && stream_queued(c->stream) > 0) {
        c->reading = READ_NOTHING;
        c->fault = FAULT_CLOSE;
        return true;
    }
    backend_conn_free(c);
    return false;
}

/* Answers, then does what was to be done afterwards. False: the connection is gone. */
static bool react_now(struct backend_conn *c)
{
    unsigned code = answer_code(c->answer);
    c->reacting = false;
    if (c->answer.n > 0) {
        backend_follow(c, code);
        stream_put(c->stream, c->answer.p, c->answer.n);
        stream_flush(c->stream);
    }
    enum backend_fault fault = c->fault;
    if (c->moment == MOMENT_QUIT && fault == FAULT_NONE)
        fault = FAULT_CLOSE;
    if (fault == FAULT_HANG || (c->moment == MOMENT_HANDSHAKE && c->answer.n > 0)) /* something else than a handshake */
        c->reading = READ_NOTHING;
    if (fault == FAULT_CLOSE || fault == FAULT_RESET)
        return end_now(c, fault);
    if (c->moment == MOMENT_STARTTLS && code == 220 && fault == FAULT_NONE)
        return backend_react(c, MOMENT_HANDSHAKE, STR(""));
    if (c->moment == MOMENT_HANDSHAKE && c->answer.n == 0 && fault == FAULT_NONE)
        backend_start_tls(c);
    loop_wake(c->backend->world->loop, &c->task);
    return true;
}

bool backend_react(struct backend_conn *c, enum backend_moment moment, struct str argument)
{
    struct sim_backend *b = c->backend;
    struct world *w = b->world;
    b->seen[moment]++;
    const struct backend_rule *r = find_rule(b, moment, argument);
    c->moment = moment;
    c->fault = r ? r->fault : FAULT_NONE;
    c->answer = r ? r->answer : STR_NONE;
    if (!r || r->normal) {
        backend_usual_answer(c, moment, argument);
        c->answer = buf_view(&c->answer_memory);
    }
    if (++w->tally.reactions == w->how->backend_at) {
        c->fault = w->how->backend_fault;
        c->answer = STR_NONE;
    }
    c->reacting = true;
    uint64_t delay_ms = (r ? r->delay_ms : 0) + w->how->slow_ms;
    if (delay_ms > 0) {
        timer_set_in(w->loop, &c->timer, delay_ms);
        return true;
    }
    return react_now(c);
}

void backend_note(struct sim_backend *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buf_vprintf(&b->lines, format, args);
    va_end(args);
    buf_char(&b->lines, '\n');
}

/* --- what it reads ---------------------------------------------------------------------------------------------------------- */

static enum progress read_next(struct backend_conn *c)
{
    switch (c->reading) {
    case READ_HEADER:
        return backend_read_header(c);
    case READ_COMMANDS:
        return backend_read_command(c);
    case READ_CONTENT:
        return backend_read_content(c);
    case READ_CHUNK:
        return backend_read_chunk(c);
    case READ_HANDSHAKE:
        return backend_handshake(c);
    case READ_NOTHING:
        break;
    }
    return NOTHING_WHOLE;
}

/* What has come is added to `in`. Says how the reading ended. */
static ssize_t take_in(struct backend_conn *c)
{
    ssize_t n;
    do {
        char *room = buf_room(&c->in, 16384);
        n = stream_read(c->stream, room, 16384);
        if (n > 0)
            c->in.n += (size_t)n;
    } while (n > 0);
    return n;
}

static void conn_run(struct task *t)
{
    struct backend_conn *c = (struct backend_conn *)(void *)t;
    if (c->connecting) {
        if (stream_peer_gone(c->stream))
            backend_conn_free(c);
        return;
    }
    if (c->reading == READ_NOTHING || c->reacting) {
        bool sent = c->fault == FAULT_CLOSE && !c->reacting && stream_queued(c->stream) == 0;
        if (sent || stream_peer_gone(c->stream))
            backend_conn_free(c);
        return;
    }
    if (c->reading == READ_HANDSHAKE && backend_handshake(c) != PROGRESS)
        return;
    ssize_t n = take_in(c);
    enum progress progress = PROGRESS;
    while (progress == PROGRESS && !c->reacting)
        progress = read_next(c);
    if (progress != CONN_GONE && (n == STREAM_EOF || n == STREAM_FAILED) && !c->reacting)
        backend_conn_free(c);
}

/* The wire between us and the proxy was disturbed. */
static void conn_broken(struct wire *wire, enum record_fault fault)
{
    struct backend_conn *c = (struct backend_conn *)(void *)((char *)wire - offsetof(struct backend_conn, wire));
    if (fault != RECORD_CLOSES && fault != RECORD_RESETS)
        return;
    stream_memory_break(stream_below(c->stream), fault == RECORD_RESETS);
    backend_conn_free(c);
}

/* --- connecting ------------------------------------------------------------------------------------------------------------- */

static void conn_fire(struct timer *t)
{
    struct backend_conn *c = (struct backend_conn *)(void *)((char *)t - offsetof(struct backend_conn, timer));
    if (!c->connecting) {
        react_now(c);
        return;
    }
    bool refused = c->fault == FAULT_CLOSE || c->fault == FAULT_RESET;
    if (refused || stream_peer_gone(c->stream)) {
        if (refused)
            stream_memory_break(c->stream, false);
        backend_conn_free(c);
        return;
    }
    c->connecting = false;
    stream_memory_connected(c->proxy_end);
    if (backend_wants_header(c->backend))
        c->reading = READ_HEADER;
    else
        backend_react(c, MOMENT_GREETING, STR(""));
}

struct stream *sim_backend_connect(struct sim_backend *b, struct task *owner)
{
    struct world *w = b->world;
    b->seen[MOMENT_CONNECT]++;
    const struct backend_rule *r = find_rule(b, MOMENT_CONNECT, STR(""));
    enum backend_fault fault = r ? r->fault : FAULT_NONE;
    if (++w->tally.reactions == w->how->backend_at)
        fault = w->how->backend_fault;
    if (fault == FAULT_SHORTAGE)
        return stream_dead_short(w->loop, "connecting to a backend", EMFILE, owner);
    if (b->down || ((fault == FAULT_CLOSE || fault == FAULT_RESET) && !(r && r->delay_ms)))
        return stream_dead(w->loop, "Connection refused", owner);
    struct backend_conn *c = xcalloc(1, sizeof *c);
    struct memory_pair_options options = w->pair;
    struct stream *ours, *theirs;
    options.connecting = true;
    options.wire = &c->wire.hook;
    stream_memory_pair(w->loop, &options, &theirs, &ours);
    stream_set_owner(theirs, owner);
    *c = (struct backend_conn){.task = {.run = conn_run},
                               .timer = {.fire = conn_fire},
                               .backend = b,
                               .stream = ours,
                               .proxy_end = theirs,
                               .reading = READ_COMMANDS,
                               .connecting = true,
                               .fault = fault,
                               .message = SIZE_MAX};
    wire_init(&c->wire, w, conn_broken);
    stream_set_owner(ours, &c->task);
    c->next = b->connections;
    c->link = &b->connections;
    if (c->next)
        c->next->link = &c->next;
    b->connections = c;
    if (fault != FAULT_HANG)
        timer_set_in(w->loop, &c->timer, r ? r->delay_ms : 0);
    return theirs;
}

/* --- the backend as a whole ------------------------------------------------------------------------------------------------- */

void sim_backend_init(struct sim_backend *b, struct world *w, unsigned index)
{
    *b = (struct sim_backend){.world = w, .index = index};
}

void sim_backend_change(struct sim_backend *b, const struct backend_step *change)
{
    switch (change->change) {
    case BACKEND_RULE:
        b->rules = xrealloc(b->rules, (b->rule_count + 1) * sizeof *b->rules);
        b->rules[b->rule_count++] = &change->rule;
        break;
    case BACKEND_EHLO:
        b->keywords = change->keywords;
        b->keyword_count = change->keyword_count;
        break;
    case BACKEND_DOWN:
    case BACKEND_UP:
        b->down = change->change == BACKEND_DOWN;
        break;
    case BACKEND_FORGET:
        b->rule_count = 0;
        b->keywords = NULL;
        b->down = false;
        break;
    case BACKEND_CERTIFICATE:
        b->credentials = change->credentials;
        break;
    }
}

size_t sim_backend_open(const struct sim_backend *b)
{
    size_t open = 0;
    for (const struct backend_conn *c = b->connections; c; c = c->next)
        open += c->stream && !stream_peer_gone(c->stream);
    return open;
}

void sim_backend_clear(struct sim_backend *b)
{
    while (b->connections)
        backend_conn_free(b->connections);
    free(b->rules);
    buf_free(&b->lines);
}
