/*
 * observer_ahead.c - what may a client have meant by what it said behind the command that waits for its reply?
 *
 * Where chunks end is certain, whatever is answered. Three things are not, and all that they can mean is tried: whether DATA will
 * be answered 354, so that content follows; whether a BDAT that is oddly spelt has octets; and where the transaction of a last
 * chunk began, so that its message is made of all chunks since the last one before, or of the later ones among them. What a
 * backend gets must be one of these, to the octet. That it was the right one is judged when the replies are there.
 */
#include "observer.h"

#include <stdlib.h>

enum { DEPTH_MAX = 6 }; /* uncertainties behind one another; beyond it content and odd octets are only passed over */

struct ahead {
    struct observer *o;
    struct str content;  /* a backend's */
    struct str said;
    struct buf octets;   /* of chunks, one behind the other */
    size_t *starts;      /* of each of them, there */
    size_t count, base;  /* those from `base` on may be of one message */
    unsigned depth;
};

static void add_chunk(struct ahead *a, struct str octets)
{
    a->starts = xrealloc(a->starts, (a->count + 1) * sizeof *a->starts);
    a->starts[a->count++] = a->octets.n;
    buf_str(&a->octets, octets);
}

/* True: it may be what the backend got, and the ledger knows of it. */
static bool fits(struct ahead *a, struct str meant, size_t end)
{
    struct observer *o = a->o;
    struct supposed s = {.end = o->understood + end};
    if (!ledger_alike(o->ledger, a->content, meant))
        return false;
    for (size_t i = 0; i < o->supposed_count; i++) {
        const struct buf *known = &o->ledger->messages[o->supposed[i].message].content;
        if (o->supposed[i].end == s.end && str_eq(buf_view(known), meant))
            return true;
    }
    s.message = ledger_client_sent(o->ledger, meant);
    o->supposed = xrealloc(o->supposed, (o->supposed_count + 1) * sizeof *o->supposed);
    o->supposed[o->supposed_count++] = s;
    return true;
}

/* The longest that fits: anything ends with an empty one. */
static void last_chunk(struct ahead *a, size_t end)
{
    bool found = false;
    for (size_t i = a->base; i < a->count && !found; i++) {
        struct str octets = str_sub(buf_view(&a->octets), a->starts[i], a->octets.n);
        for (int binary = 0; binary < 2 && !found; binary++) {
            struct buf meant = {0};
            chunks_meant(octets, binary, &meant);
            found = fits(a, buf_view(&meant), end);
            buf_free(&meant);
        }
    }
    a->base = a->count;
}

static void walk(struct ahead *a, size_t at);

/* One of two: goes on at `at` with these chunks or none, and comes back as it was. */
static void branch(struct ahead *a, size_t at, bool with_chunks)
{
    size_t count = a->count, base = a->base, n = a->octets.n;
    if (a->depth == DEPTH_MAX)
        return;
    a->depth++;
    a->base = with_chunks ? base : count;
    walk(a, at);
    a->depth--;
    a->count = count;
    a->base = base;
    a->octets.n = n;
}

/* DATA may be answered 354: content, up to its end. */
static void maybe_content(struct ahead *a, size_t at)
{
    struct str rest = str_sub(a->said, at, a->said.n);
    struct buf meant = {0};
    size_t end = said_content_end(rest, 0);
    if (end == 0)
        return;
    content_meant(str_sub(rest, 0, end - 3), &meant);
    fits(a, buf_view(&meant), at + end);
    buf_free(&meant);
    branch(a, at + end, false);
}

/* A command, `at` behind it: where the next one begins. SIZE_MAX: not all of it is there. */
static size_t pass(struct ahead *a, struct said said, size_t at)
{
    bool chunk = said.what == OBSERVED_CHUNK || said.what == OBSERVED_LAST_CHUNK;
    if (said.what == OBSERVED_DATA)
        maybe_content(a, at);
    if (!chunk || said.octets > a->said.n - at) /* nothing behind it can be a message */
        return chunk && !said.odd ? SIZE_MAX : at;
    if (said.odd) {
        branch(a, at + (size_t)said.octets, true);
        return at;
    }
    add_chunk(a, str_sub(a->said, at, at + (size_t)said.octets));
    if (said.what == OBSERVED_LAST_CHUNK)
        last_chunk(a, at + (size_t)said.octets);
    return at + (size_t)said.octets;
}

static void walk(struct ahead *a, size_t at)
{
    while (at < a->said.n) {
        size_t end = str_find(a->said, '\n', at);
        if (end == a->said.n)
            return;
        bool cr = end > at && a->said.p[end - 1] == '\r';
        at = pass(a, said_read(str_sub(a->said, at, end - cr)), end + 1);
    }
}

void observer_suppose(struct observer *o, struct str content)
{
    struct ahead a = {.o = o, .content = content, .said = buf_view(&o->sent)};
    const struct said *waits = &o->pending.said;
    if (o->sent.n == 0)
        return;
    add_chunk(&a, buf_view(&o->chunks.octets));
    if (waits->what == OBSERVED_CHUNK && !waits->odd)
        add_chunk(&a, buf_view(&o->chunks.present));
    bool uncertain = waits->what == OBSERVED_DATA || waits->odd;
    walk(&a, uncertain ? pass(&a, *waits, 0) : 0);
    buf_free(&a.octets);
    free(a.starts);
}
