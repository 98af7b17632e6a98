/*
 * backend_content.c - a message at a simulated backend: what DATA brings up to the dot, what BDAT brings by count. It is judged
 * as the strictest server would, and given to the ledger, which knows what a client had meant.
 */
#include "backend_internal.h"

#include <string.h>

static void judge_content(struct backend_conn *c, struct str content)
{
    struct ledger *l = &c->backend->world->ledger;
    if (c->binary) /* RFC 3030 3: any octets */
        return;
    if (content.n > 0 && memchr(content.p, '\0', content.n))
        ledger_violation(l, "a backend got a NUL in a message");
    for (size_t i = 0; i < content.n; i++) {
        const char *next = memchr(content.p + i, '\r', content.n - i);
        const char *feed = memchr(content.p + i, '\n', (next ? (size_t)(next - content.p) : content.n) - i);
        if (feed) {
            ledger_violation(l, "a backend got a bare LF in a message");
            return;
        }
        if (!next)
            return;
        i = (size_t)(next - content.p) + 1;
        if (i == content.n || content.p[i] != '\n') {
            ledger_violation(l, "a backend got a bare CR in a message");
            return;
        }
    }
}

void backend_transaction_over(struct backend_conn *c)
{
    c->mail = c->binary = c->utf8 = c->chunked = c->chunk_refused = false;
    c->recipients = 0;
    c->message = SIZE_MAX;
    buf_free(&c->content);
}

enum progress backend_read_content(struct backend_conn *c)
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
    c->message = world_backend_dot(w, buf_view(&w->last_message));
    buf_free(&c->content);
    backend_note(c->backend, ".");
    c->reading = READ_COMMANDS;
    if (c->in.n > 0)
        ledger_violation(&w->ledger, "a backend got more behind the final dot without having been waited for");
    return backend_react(c, MOMENT_DOT, STR("")) ? PROGRESS : CONN_GONE;
}

/* --- chunks ----------------------------------------------------------------------------------------------------------------- */

void backend_chunk_begin(struct backend_conn *c, struct str argument)
{
    struct ledger *l = &c->backend->world->ledger;
    struct str rest = argument, size, last = STR_NONE;
    bool good = str_split(&rest, ' ', &size) && size.n > 0 && str_to_u64(size, UINT64_MAX, &c->chunk.left);
    if (good && rest.n > 0)
        good = str_eq(rest, last = STR("LAST"));
    if (!good) {
        ledger_violation(l, "a backend got BDAT %.*s", STR_ARG(argument));
        c->chunk.left = 0;
    }
    if (!backend_announces(c, "CHUNKING", NULL))
        ledger_violation(l, "a backend without CHUNKING got BDAT %.*s", STR_ARG(argument));
    c->chunk.last = last.n > 0;
    buf_clear(&c->chunk.argument);
    buf_str(&c->chunk.argument, argument);
    c->chunked = true;
    c->reading = READ_CHUNK;
}

/* All octets of LAST are here: the message is whole, when no chunk before was refused. */
static void message_whole(struct backend_conn *c)
{
    struct world *w = c->backend->world;
    struct str content = buf_view(&c->content);
    if (c->chunk_refused || c->recipients == 0)
        return;
    judge_content(c, content);
    buf_clear(&w->last_message);
    buf_str(&w->last_message, content);
    c->message = world_backend_dot(w, content);
}

enum progress backend_read_chunk(struct backend_conn *c)
{
    struct str in = buf_view(&c->in), octets = str_sub(in, 0, c->chunk.left < in.n ? (size_t)c->chunk.left : in.n);
    buf_str(&c->content, octets);
    c->chunk.left -= octets.n;
    buf_consume(&c->in, octets.n);
    if (c->chunk.left > 0)
        return NOTHING_WHOLE;
    c->reading = READ_COMMANDS;
    if (c->in.n > 0 && (c->chunk.last || !backend_announces(c, "PIPELINING", NULL)))
        ledger_violation(&c->backend->world->ledger, "a backend got more behind a chunk without having been waited for");
    if (c->chunk.last)
        message_whole(c);
    return backend_react(c, MOMENT_BDAT, buf_view(&c->chunk.argument)) ? PROGRESS : CONN_GONE;
}
