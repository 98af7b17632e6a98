/*
 * loop.c - one turn of the loop: descriptors or the clock, timers, woken tasks, graveyard. See loop.h for the story.
 *
 * The wake list holds tasks by pointers inside their owners; the graveyard holds (pointer, destroyer). A simulated loop differs
 * in one place only: instead of waiting it moves the clock to the next timer, and only when nobody is awake.
 */
#include "postern/net/loop.h"

#include <assert.h>
#include <stdlib.h>

#include "loop_internal.h"
#include "postern/base/str.h"

/* Tasks run in one turn at most, so that tasks which wake each other cannot keep the loop from its descriptors. */
enum { TASKS_A_TURN = 1000, SIMULATED_START_MS = 1000 };

struct loop *loop_new(void)
{
    struct loop *l = xcalloc(1, sizeof *l);
    clock_real(&l->clock);
    loop_open_descriptors(l);
    return l;
}

struct loop *loop_new_simulated(uint64_t wall_ms)
{
    struct loop *l = xcalloc(1, sizeof *l);
    l->epoll = -1;
    l->clock.mono_ms = SIMULATED_START_MS;
    l->clock.wall_ms = wall_ms;
    return l;
}

static void graveyard_empty(struct loop *l)
{
    while (l->grave_count > 0) { /* in order of burial; a destroyer may bury more */
        size_t count = l->grave_count;
        struct grave *graves = l->graves;
        l->graves = NULL;
        l->grave_count = l->grave_room = 0;
        for (size_t i = 0; i < count; i++) {
            graves[i].destroy(graves[i].p);
        }
        free(graves);
    }
}

void loop_free(struct loop **l)
{
    struct loop *x = *l;
    if (!x) {
        return;
    }
    graveyard_empty(x);
    if (!loop_is_simulated(x)) {
        loop_close_descriptors(x);
    }
    free(x->heap);
    free(x);
    *l = NULL;
}

const struct clock *loop_clock(const struct loop *l)
{
    return &l->clock;
}

const uint64_t *loop_now_pointer(const struct loop *l)
{
    return &l->clock.mono_ms;
}

bool loop_is_simulated(const struct loop *l)
{
    return l->epoll < 0;
}

void loop_wake(struct loop *l, struct task *t)
{
    if (t->woken) {
        return;
    }
    assert(t->run);
    t->woken = true;
    t->next = NULL;
    if (l->last) {
        l->last->next = t;
    } else {
        l->first = t;
    }
    l->last = t;
}

void loop_unwake(struct loop *l, struct task *t)
{
    if (!t->woken) {
        return;
    }
    struct task *before = NULL;
    for (struct task *x = l->first; x != t; x = x->next) {
        assert(x);
        before = x;
    }
    if (before) {
        before->next = t->next;
    } else {
        l->first = t->next;
    }
    if (l->last == t) {
        l->last = before;
    }
    t->next = NULL;
    t->woken = false;
}

void loop_bury(struct loop *l, void *p, void (*destroy)(void *p))
{
    if (l->grave_count == l->grave_room) {
        l->grave_room = l->grave_room ? l->grave_room * 2 : 8;
        l->graves = xrealloc(l->graves, l->grave_room * sizeof *l->graves);
    }
    l->graves[l->grave_count++] = (struct grave){p, destroy};
}

static void tasks_run(struct loop *l)
{
    for (unsigned n = 0; l->first && n < TASKS_A_TURN; n++) {
        struct task *t = l->first;
        loop_unwake(l, t); /* it is the first: no search */
        t->run(t);
    }
}

/* What every turn does once descriptors or the clock have been seen to. */
static void turn_rest(struct loop *l)
{
    timers_fire(l);
    tasks_run(l);
    if (l->grave_count) {
        graveyard_empty(l);
    }
}

static void clock_move(struct loop *l, uint64_t at_ms)
{
    if (at_ms > l->clock.mono_ms) {
        l->clock.wall_ms += at_ms - l->clock.mono_ms;
        l->clock.mono_ms = at_ms;
    }
}

static bool turn_simulated(struct loop *l, bool may_wait)
{
    uint64_t next = loop_next_timer(l);
    if (!l->first && next == UINT64_MAX) {
        if (l->grave_count) {
            graveyard_empty(l);
        }
        return false;
    }
    if (may_wait && !l->first) {
        clock_move(l, next);
    }
    turn_rest(l);
    return true;
}

bool loop_turn(struct loop *l, bool may_wait)
{
    l->turn++;
    if (loop_is_simulated(l)) {
        return turn_simulated(l, may_wait);
    }
    loop_poll(l, may_wait && !l->first);
    turn_rest(l);
    return true;
}

void loop_run(struct loop *l)
{
    l->stopped = false;
    while (!l->stopped && loop_turn(l, true)) {
    }
}

void loop_stop(struct loop *l)
{
    l->stopped = true;
}

void loop_settle(struct loop *l)
{
    assert(loop_is_simulated(l));
    while (l->first || loop_next_timer(l) <= loop_now(l)) {
        turn_rest(l);
    }
    graveyard_empty(l);
}

void loop_advance_to(struct loop *l, uint64_t at_ms)
{
    loop_settle(l);
    while (loop_next_timer(l) <= at_ms) {
        clock_move(l, loop_next_timer(l));
        loop_settle(l);
    }
    clock_move(l, at_ms);
}
