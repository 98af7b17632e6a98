/*
 * backend.c - a simulated mail server behind Postern. It takes everything, strictly by the book, unless a script or a
 * perturbation makes it misbehave; and it complains (to the ledger) of everything that a real server of any leniency could
 * misread: bare CR or LF, NUL, lines that are no commands, parameters that it did not announce, pipelining that it did not offer.
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum reading { READ_COMMANDS, READ_CONTENT, READ_NOTHING };
enum progress { PROGRESS, NOTHING_WHOLE, CONN_GONE };

struct backend_conn {
    struct task task;
    struct timer timer;          /* a delayed reaction, or a delayed connect */
    struct sim_backend *backend;
    struct stream *stream;
    struct stream *proxy_end;    /* the other end, until it is connected; not ours */
    struct backend_conn *next, **link;
    enum reading reading;
    bool connecting, reacting, mail;
    unsigned recipients;         /* accepted in this transaction */
    struct buf in, content;
    struct buf announced;        /* the EHLO reply */
    /* the reaction under way */
    enum backend_moment moment;
    struct str answer;
    struct buf answer_memory;
    enum backend_fault fault;
    size_t message;              /* of the ledger; SIZE_MAX: none */
};

/* --- which reaction --------------------------------------------------------------------------------------------------------- */

/* Did this connection's EHLO reply list it? What was really said counts, whoever wrote it. */
static bool announces(const struct backend_conn *c, const char *keyword)
{
    struct str rest = buf_view(&c->announced), line, first;
    while (str_split(&rest, '\n', &line)) {
        struct str text = str_sub(line, 4, line.n > 0 && line.p[line.n - 1] == '\r' ? line.n - 1 : line.n);
        if (word_take(&text, &first) && str_eq_nocase(first, str_of(keyword)))
            return true;
    }
    return false;
}

static void ehlo_answer(struct backend_conn *c)
{
    const struct sim_backend *b = c->backend;
    struct buf *out = &c->answer_memory;
    if (!b->keywords) {
        buf_printf(out, "250-backend%u.test\r\n250-PIPELINING\r\n250-SIZE 0\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n",
                   b->index + 1);
        return;
    }
    buf_printf(out, "250%cbackend%u.test\r\n", b->keyword_count ? '-' : ' ', b->index + 1);
    for (size_t i = 0; i < b->keyword_count; i++)
        buf_printf(out, "250%c%.*s\r\n", i + 1 < b->keyword_count ? '-' : ' ', STR_ARG(b->keywords[i]));
}

static void usual_answer(struct backend_conn *c, enum backend_moment moment)
{
    static const char *const answers[MOMENT_COUNT] = {
        [MOMENT_MAIL] = "250 2.1.0 Ok",     [MOMENT_RCPT] = "250 2.1.5 Ok", [MOMENT_DATA] = "354 End data with <CR><LF>.<CR><LF>",
        [MOMENT_DOT] = "250 2.0.0 Ok",      [MOMENT_RSET] = "250 2.0.0 Ok", [MOMENT_QUIT] = "221 2.0.0 Bye",
        [MOMENT_NOOP] = "250 2.0.0 Ok",     [MOMENT_OTHER] = "502 5.5.1 Command not implemented"};
    struct buf *out = &c->answer_memory;
    buf_clear(out);
    if (moment == MOMENT_GREETING)
        buf_printf(out, "220 backend%u.test ESMTP\r\n", c->backend->index + 1);
    else if (moment == MOMENT_EHLO)
        ehlo_answer(c);
    else if (moment == MOMENT_HELO)
        buf_printf(out, "250 backend%u.test\r\n", c->backend->index + 1);
    else if (moment == MOMENT_MAIL && c->mail)
        buf_cstr(out, "503 5.5.1 Nested MAIL command\r\n");
    else if (moment == MOMENT_RCPT && !c->mail)
        buf_cstr(out, "503 5.5.1 Need MAIL command\r\n");
    else if (moment == MOMENT_DATA && c->recipients == 0)
        buf_cstr(out, "554 5.5.1 No valid recipients\r\n");
    else if (answers[moment])
        buf_printf(out, "%s\r\n", answers[moment]);
}

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

static void conn_free(struct backend_conn *c)
{
    struct world *w = c->backend->world;
    timer_cancel(w->loop, &c->timer);
    loop_unwake(w->loop, &c->task);
    if (c->stream)
        stream_close(w->loop, &c->stream);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    buf_free(&c->in);
    buf_free(&c->content);
    buf_free(&c->announced);
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

static void state_after(struct backend_conn *c, unsigned code)
{
    struct world *w = c->backend->world;
    bool ok = code / 100 == 2;
    switch (c->moment) {
    case MOMENT_MAIL:
        c->mail = c->mail || ok;
        break;
    case MOMENT_RCPT:
        c->recipients += ok;
        break;
    case MOMENT_DATA:
        c->reading = code == 354 ? READ_CONTENT : c->reading;
        break;
    case MOMENT_DOT:
        if (ok) {
            w->delivered++;
            ledger_backend_took(&w->ledger, c->message);
        }
        /* fall through */
    case MOMENT_EHLO:
    case MOMENT_HELO:
    case MOMENT_RSET:
        if (c->moment == MOMENT_EHLO || c->moment == MOMENT_HELO)
            buf_clear(&c->announced);
        if (c->moment == MOMENT_EHLO && ok)
            buf_str(&c->announced, c->answer);
        c->mail = false;
        c->recipients = 0;
        break;
    default:
        break;
    }
}

/* Answers, then does what was to be done afterwards. False: the connection is gone. */
static bool react_now(struct backend_conn *c)
{
    struct loop *l = c->backend->world->loop;
    c->reacting = false;
    if (c->answer.n > 0) {
        state_after(c, answer_code(c->answer));
        stream_put(c->stream, c->answer.p, c->answer.n);
        stream_flush(c->stream);
    }
    enum backend_fault fault = c->fault;
    if (c->moment == MOMENT_QUIT && fault == FAULT_NONE)
        fault = FAULT_CLOSE;
    if (fault == FAULT_HANG)
        c->reading = READ_NOTHING;
    if (fault == FAULT_RESET)
        stream_memory_break(c->stream, true);
    if (fault == FAULT_CLOSE || fault == FAULT_RESET) {
        if (stream_queued(c->stream) > 0 && fault == FAULT_CLOSE) { /* short writes: the rest must still leave */
            c->reading = READ_NOTHING;
            c->fault = FAULT_CLOSE;
            return true;
        }
        conn_free(c);
        return false;
    }
    loop_wake(l, &c->task);
    return true;
}

/* Decides how to react. False: the connection is gone. */
static bool react(struct backend_conn *c, enum backend_moment moment, struct str argument)
{
    struct sim_backend *b = c->backend;
    struct world *w = b->world;
    b->seen[moment]++;
    const struct backend_rule *r = find_rule(b, moment, argument);
    c->moment = moment;
    c->fault = r ? r->fault : FAULT_NONE;
    c->answer = r ? r->answer : STR_NONE;
    if (!r || r->normal) {
        usual_answer(c, moment);
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

/* --- what it reads ---------------------------------------------------------------------------------------------------------- */

static enum backend_moment moment_of(struct str line)
{
    struct str verb = str_sub(line, 0, str_find(line, ' ', 0));
    for (int m = MOMENT_EHLO; m < MOMENT_OTHER; m++) {
        if (m != MOMENT_DOT && str_eq_nocase(verb, str_of(moment_names[m])))
            return (enum backend_moment)m;
    }
    return MOMENT_OTHER;
}

static void judge_parameters(struct backend_conn *c, struct str line)
{
    static const struct { const char *keyword, *extension;
    } needs[] = {{"SIZE=", "SIZE"}, {"BODY=", "8BITMIME"}, {"SMTPUTF8", "SMTPUTF8"}, {"RET=", "DSN"},
                 {"ENVID=", "DSN"}, {"NOTIFY=", "DSN"},    {"ORCPT=", "DSN"}};
    struct str rest = str_sub(line, str_find(line, '>', 0) + 1, line.n), word;
    while (word_take(&rest, &word)) {
        for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
            if (str_starts_nocase(word, str_of(needs[i].keyword)) && !announces(c, needs[i].extension))
                ledger_violation(&c->backend->world->ledger, "a backend without %s got %.*s", needs[i].extension, STR_ARG(line));
        }
    }
}

static void judge_command(struct backend_conn *c, struct str line, enum backend_moment moment)
{
    struct ledger *l = &c->backend->world->ledger;
    bool utf8 = announces(c, "SMTPUTF8");
    for (size_t i = 0; i < line.n; i++) {
        unsigned char byte = (unsigned char)line.p[i];
        if (byte < 32 || byte == 127 || (byte > 127 && !utf8))
            ledger_violation(l, "a backend got a command with byte 0x%02x", byte);
    }
    if (line.n + 2 > 2048)
        ledger_violation(l, "a backend got a command line of %zu octets", line.n + 2);
    bool known = str_starts_nocase(line, STR("XCLIENT ")) || str_eq_nocase(line, STR("STARTTLS")) ||
                 str_starts_nocase(line, STR("VRFY ")) || str_starts_nocase(line, STR("ETRN "));
    if (moment == MOMENT_OTHER && !known)
        ledger_violation(l, "a backend got a line that is no command: %.*s", (int)(line.n < 60 ? line.n : 60), line.p);
    bool ends_group = moment == MOMENT_EHLO || moment == MOMENT_HELO || moment == MOMENT_DATA || moment == MOMENT_QUIT;
    if (c->in.n > 0 && (ends_group || !announces(c, "PIPELINING")))
        ledger_violation(l, "a backend got more behind %.*s without having been waited for", (int)(line.n < 60 ? line.n : 60),
                         line.p);
    if (moment == MOMENT_MAIL || moment == MOMENT_RCPT)
        judge_parameters(c, line);
}

static enum progress read_command(struct backend_conn *c)
{
    struct sim_backend *b = c->backend;
    struct str all = buf_view(&c->in);
    size_t end = str_find(all, '\n', 0);
    if (end == all.n)
        return NOTHING_WHOLE;
    if (end == 0 || all.p[end - 1] != '\r')
        ledger_violation(&b->world->ledger, "a backend got a bare LF in a command");
    struct buf copy = {0};
    buf_put(&copy, all.p, end > 0 && all.p[end - 1] == '\r' ? end - 1 : end);
    buf_consume(&c->in, end + 1);
    struct str line = buf_view(&copy);
    buf_str(&b->lines, line);
    buf_char(&b->lines, '\n');
    enum backend_moment moment = moment_of(line);
    judge_command(c, line, moment);
    bool alive = react(c, moment, str_trim(str_sub(line, str_find(line, ' ', 0), line.n)));
    buf_free(&copy);
    return alive ? PROGRESS : CONN_GONE;
}

static void judge_content(struct backend_conn *c, struct str wire)
{
    struct ledger *l = &c->backend->world->ledger;
    if (wire.n > 0 && memchr(wire.p, '\0', wire.n))
        ledger_violation(l, "a backend got a NUL in a message");
    for (size_t i = 0; i < wire.n; i++) {
        const char *next = memchr(wire.p + i, '\r', wire.n - i);
        const char *feed = memchr(wire.p + i, '\n', (next ? (size_t)(next - wire.p) : wire.n) - i);
        if (feed) {
            ledger_violation(l, "a backend got a bare LF in a message");
            return;
        }
        if (!next)
            return;
        i = (size_t)(next - wire.p) + 1;
        if (i == wire.n || wire.p[i] != '\n') {
            ledger_violation(l, "a backend got a bare CR in a message");
            return;
        }
    }
}

static enum progress read_content(struct backend_conn *c)
{
    struct world *w = c->backend->world;
    size_t before = c->content.n > 4 ? c->content.n - 4 : 0, had = c->content.n;
    buf_str(&c->content, buf_view(&c->in));
    struct str all = buf_view(&c->content);
    const char *at = str_starts(all, STR(".\r\n")) ? all.p - 2
                     : all.n > before             ? memmem(all.p + before, all.n - before, "\r\n.\r\n", 5)
                                                  : NULL;
    if (!at) {
        buf_clear(&c->in);
        return NOTHING_WHOLE;
    }
    size_t end = (size_t)(at + 2 - all.p); /* of the content: the dot */
    buf_consume(&c->in, end + 3 - had);
    struct str wire = str_sub(all, 0, end);
    judge_content(c, wire);
    buf_clear(&w->last_message);
    content_meant(wire, &w->last_message);
    c->message = ledger_backend_dot(&w->ledger, buf_view(&w->last_message));
    buf_free(&c->content);
    buf_cstr(&c->backend->lines, ".\n");
    c->reading = READ_COMMANDS;
    if (c->in.n > 0)
        ledger_violation(&w->ledger, "a backend got more behind the final dot without having been waited for");
    return react(c, MOMENT_DOT, STR("")) ? PROGRESS : CONN_GONE;
}

static void conn_run(struct task *t)
{
    struct backend_conn *c = (struct backend_conn *)(void *)t;
    if (c->connecting) {
        if (stream_peer_gone(c->stream))
            conn_free(c);
        return;
    }
    if (c->reading == READ_NOTHING || c->reacting) {
        bool sent = c->fault == FAULT_CLOSE && !c->reacting && stream_queued(c->stream) == 0;
        if (sent || stream_peer_gone(c->stream))
            conn_free(c);
        return;
    }
    ssize_t n;
    do {
        char *room = buf_room(&c->in, 16384);
        n = stream_read(c->stream, room, 16384);
        if (n > 0)
            c->in.n += (size_t)n;
    } while (n > 0);
    enum progress progress = PROGRESS;
    while (progress == PROGRESS && !c->reacting && c->reading != READ_NOTHING)
        progress = c->reading == READ_CONTENT ? read_content(c) : read_command(c);
    if (progress != CONN_GONE && (n == STREAM_EOF || n == STREAM_FAILED) && !c->reacting)
        conn_free(c);
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
        conn_free(c);
        return;
    }
    c->connecting = false;
    stream_memory_connected(c->proxy_end);
    react(c, MOMENT_GREETING, STR(""));
}

struct stream *sim_backend_connect(struct sim_backend *b, struct task *owner)
{
    struct world *w = b->world;
    const struct backend_rule *r = find_rule(b, MOMENT_CONNECT, STR(""));
    enum backend_fault fault = r ? r->fault : FAULT_NONE;
    b->seen[MOMENT_CONNECT]++;
    if (++w->tally.reactions == w->how->backend_at)
        fault = w->how->backend_fault;
    if (b->down || ((fault == FAULT_CLOSE || fault == FAULT_RESET) && !(r && r->delay_ms)))
        return stream_dead(w->loop, "Connection refused", owner);
    struct memory_pair_options options = w->pair;
    options.connecting = true;
    struct backend_conn *c = xcalloc(1, sizeof *c);
    struct stream *ours, *theirs;
    stream_memory_pair(w->loop, &options, &theirs, &ours);
    stream_set_owner(theirs, owner);
    *c = (struct backend_conn){.task = {.run = conn_run},
                               .timer = {.fire = conn_fire},
                               .backend = b,
                               .stream = ours,
                               .proxy_end = theirs,
                               .connecting = true,
                               .fault = fault,
                               .message = SIZE_MAX};
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
        conn_free(b->connections);
    free(b->rules);
    buf_free(&b->lines);
}
