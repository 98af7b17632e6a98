/*
 * slots.c - the connections that a backend allows at once: who has one, who waits for one.
 *
 * A session that needs a connection to a backend takes a free slot. When all are taken, it takes that of a probe, which learns nothing that the
 * session's own connection would not teach as well; else that of the connection which another session has kept the longest without a
 * transaction on it, which is told QUIT (that session will connect again when it needs to). When there is neither, the session waits, first
 * come first served, until backend-busy-timeout is over.
 *
 * Waiting is data: whoever gives a slot back, or begins to keep a connection, wakes the first that waits for that backend, and no more. The
 * waiter, run again, comes here again and finds out for itself; leaving the queue, it wakes the next. A probe never waits.
 */
#include "upstream_internal.h"

static struct slot_queue *queue_of(const struct upstream *u)
{
    return backends_queue(u->proxy->backends);
}

static void wake(struct upstream *u)
{
    loop_wake(u->proxy->parts.loop, u->owner);
}

static void wake_first(const struct slot_queue *q, const struct backend *b)
{
    for (struct upstream *w = q->first; w; w = w->slot.waiting_next)
        if (upstream_may_use(w, b)) {
            wake(w);
            return;
        }
}

/* Has somebody waited longer than u, which may not wait at all, for this backend? */
static bool others_first(const struct upstream *u, const struct backend *b)
{
    for (const struct upstream *w = queue_of(u)->first; w && w != u; w = w->slot.waiting_next)
        if (upstream_may_use(w, b))
            return true;
    return false;
}

/* Whose slot is needed least; NULL: all are in use. */
static struct upstream *least_needed(const struct slots *s)
{
    struct upstream *kept = NULL;
    for (struct upstream *u = s->holders; u; u = u->slot.next) {
        if (u->wish.only)
            return u;
        if (upstream_is_kept(u) && (!kept || u->slot.kept_since <= kept->slot.kept_since))
            kept = u;
    }
    return kept;
}

bool slots_take(struct upstream *u, struct backend *b)
{
    struct slots *s = backend_slots(b);
    if (s->limit == 0)
        return true;
    if (others_first(u, b))
        return false;
    if (s->taken >= s->limit) {
        struct upstream *other = u->wish.only ? NULL : least_needed(s);
        if (!other)
            return false;
        upstream_leave(other);
    }
    s->taken++;
    u->slot.taken = true;
    u->slot.next = s->holders;
    u->slot.link = &s->holders;
    if (s->holders)
        s->holders->slot.link = &u->slot.next;
    s->holders = u;
    return true;
}

void slots_give(struct upstream *u)
{
    if (!u->slot.taken)
        return;
    *u->slot.link = u->slot.next;
    if (u->slot.next)
        u->slot.next->slot.link = u->slot.link;
    u->slot.taken = false;
    backend_slots(u->backend)->taken--;
    wake_first(queue_of(u), u->backend);
}

void slots_kept(struct upstream *u)
{
    u->slot.kept_since = upstream_now(u);
    if (u->slot.taken)
        wake_first(queue_of(u), u->backend);
}

void slots_wait(struct upstream *u)
{
    struct upstream **last = &queue_of(u)->first;
    if (u->slot.waits)
        return;
    while (*last)
        last = &(*last)->slot.waiting_next;
    u->slot.waits = true;
    u->slot.waiting_next = NULL;
    u->slot.waiting_link = last;
    *last = u;
    count(COUNTER_BACKEND_WAITS);
}

void slots_unwait(struct upstream *u)
{
    if (!u->slot.waits)
        return;
    u->slot.waits = false;
    *u->slot.waiting_link = u->slot.waiting_next;
    if (u->slot.waiting_next)
        u->slot.waiting_next->slot.waiting_link = u->slot.waiting_link;
    for (struct upstream *w = queue_of(u)->first; w; w = w->slot.waiting_next) /* what u was woken for may still be there */
        if (w->wish.route == u->wish.route) {
            wake(w);
            return;
        }
}

void slots_changed(struct slot_queue *q, unsigned route)
{
    for (struct upstream *w = q->first; w; w = w->slot.waiting_next)
        if (w->wish.route == route)
            wake(w);
}
