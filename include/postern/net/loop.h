/*
 * loop.h - the event loop: a wake list, a timer heap of ours, a graveyard; epoll only tells which descriptors are ready.
 *
 * One turn: wait for descriptors (real loop) or move the clock to the next timer (simulated loop); callbacks only mark and wake;
 * then due timers fire (they too only wake or do a few instructions); then the woken tasks run, in the order they were woken,
 * until the list is empty (bounded per turn so that descriptors are not starved); then the graveyard is emptied. So nothing is
 * freed while it may be on the stack, and nobody calls back before it returned. The clock is read once a turn.
 *
 * A simulated loop has no descriptors: time moves only when nothing else is left to do.
 */
#ifndef POSTERN_NET_LOOP_H
#define POSTERN_NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>

#include "postern/base/clock.h"

struct loop;

/* Whoever waits for something: embedded in a session, a resolver, a client. Zeroed plus `run` set is ready. */
struct task {
    void (*run)(struct task *t);
    struct task *next; /* in the wake list */
    bool woken;
};

/* Embedded. Zeroed plus `fire` set is ready. Firing happens from the loop only, never from timer_set. */
struct timer {
    void (*fire)(struct timer *t);
    uint64_t at_ms;
    uint64_t order; /* of setting: timers of one moment fire in this order */
    size_t index;   /* place in the heap + 1; 0: not set */
};

struct loop *loop_new(void);                   /* real clock and descriptors */
struct loop *loop_new_simulated(uint64_t wall_ms); /* virtual time starting at mono 1000, wall_ms */
void loop_free(struct loop **l);               /* empties the graveyard first */
const struct clock *loop_clock(const struct loop *l);
static inline uint64_t loop_now(const struct loop *l) { return loop_clock(l)->mono_ms; }
static inline uint64_t loop_wall(const struct loop *l) { return loop_clock(l)->wall_ms; }
const uint64_t *loop_now_pointer(const struct loop *l); /* for facts.h: always the present mono_ms */
bool loop_is_simulated(const struct loop *l);  /* then descriptors cannot be watched (watch.h) */

void loop_wake(struct loop *l, struct task *t);  /* t runs later in this turn or in the next; idempotent until it runs */
void loop_unwake(struct loop *l, struct task *t); /* takes it off the list (its owner is dying) */
void loop_bury(struct loop *l, void *p, void (*destroy)(void *p)); /* destroy(p) at the end of the turn */

void timer_set(struct loop *l, struct timer *t, uint64_t at_ms);       /* sets or moves; a time that is past fires in this or the next turn */
void timer_set_in(struct loop *l, struct timer *t, uint64_t delay_ms);
void timer_cancel(struct loop *l, struct timer *t);                    /* also when it is not set */
static inline bool timer_is_set(const struct timer *t) { return t->index != 0; }

void loop_run(struct loop *l);                 /* until loop_stop() */
void loop_stop(struct loop *l);
bool loop_turn(struct loop *l, bool may_wait); /* one turn; simulated: false when nothing was left to do (no woken task and no timer) */
/* Simulated: runs until no task is awake, without moving the clock. */
void loop_settle(struct loop *l);
/* Simulated: runs and moves the clock up to mono time at_ms, firing what is due on the way. */
void loop_advance_to(struct loop *l, uint64_t at_ms);
uint64_t loop_next_timer(const struct loop *l); /* mono time of the earliest timer; UINT64_MAX: none */

/* Signals (real loop only): fire() runs from the loop. */
struct signal_watch;
struct signal_watch *signal_watch_new(struct loop *l, int signo, void (*fire)(int signo, void *context), void *context);
void signal_watch_free(struct signal_watch **w);

#endif
