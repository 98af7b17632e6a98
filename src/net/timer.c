/*
 * timer.c - the heap of timers: a binary heap of pointers into their owners. Setting, moving and cancelling cost O(log n) and no
 * memory of their own; the owner must cancel its timer before it dies. Firing order is (time, order of setting), so a run is
 * repeatable.
 */
#include "postern/net/loop.h"

#include <assert.h>
#include <stdlib.h>

#include "loop_internal.h"
#include "postern/base/str.h"

static bool due_before(const struct timer *a, const struct timer *b)
{
    if (a->at_ms != b->at_ms) {
        return a->at_ms < b->at_ms;
    }
    return a->order < b->order;
}

static void place(struct loop *l, struct timer *t, size_t i)
{
    l->heap[i] = t;
    t->index = i + 1;
}

static void sift_up(struct loop *l, struct timer *t, size_t i)
{
    while (i > 0 && due_before(t, l->heap[(i - 1) / 2])) {
        place(l, l->heap[(i - 1) / 2], i);
        i = (i - 1) / 2;
    }
    place(l, t, i);
}

static void sift_down(struct loop *l, struct timer *t, size_t i)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= l->timer_count) {
            break;
        }
        if (child + 1 < l->timer_count && due_before(l->heap[child + 1], l->heap[child])) {
            child++;
        }
        if (!due_before(l->heap[child], t)) {
            break;
        }
        place(l, l->heap[child], i);
        i = child;
    }
    place(l, t, i);
}

void timer_cancel(struct loop *l, struct timer *t)
{
    if (t->index == 0) {
        return;
    }
    size_t i = t->index - 1;
    assert(i < l->timer_count && l->heap[i] == t);
    struct timer *last = l->heap[--l->timer_count];
    t->index = 0;
    if (last == t) {
        return;
    }
    if (i > 0 && due_before(last, l->heap[(i - 1) / 2])) {
        sift_up(l, last, i);
    } else {
        sift_down(l, last, i);
    }
}

void timer_set(struct loop *l, struct timer *t, uint64_t at_ms)
{
    assert(t->fire);
    timer_cancel(l, t);
    if (l->timer_count == l->timer_room) {
        l->timer_room = l->timer_room ? l->timer_room * 2 : 16;
        l->heap = xrealloc(l->heap, l->timer_room * sizeof *l->heap);
    }
    t->at_ms = at_ms;
    t->order = l->timer_order++;
    sift_up(l, t, l->timer_count++);
}

void timer_set_in(struct loop *l, struct timer *t, uint64_t delay_ms)
{
    uint64_t now = loop_now(l);
    timer_set(l, t, delay_ms > UINT64_MAX - now ? UINT64_MAX : now + delay_ms);
}

uint64_t loop_next_timer(const struct loop *l)
{
    return l->timer_count ? l->heap[0]->at_ms : UINT64_MAX;
}

void timers_fire(struct loop *l)
{
    uint64_t now = loop_now(l);
    uint64_t set_before = l->timer_order;
    while (l->timer_count && l->heap[0]->at_ms <= now && l->heap[0]->order < set_before) {
        struct timer *t = l->heap[0];
        timer_cancel(l, t);
        t->fire(t);
    }
}
