/*
 * loop_internal.h - the inside of the loop, shared by loop.c (turns), timer.c (the heap) and watch.c (descriptors).
 */
#ifndef NET_LOOP_INTERNAL_H
#define NET_LOOP_INTERNAL_H

#include "postern/net/loop.h"

struct watch;

struct grave {
    void *p;
    void (*destroy)(void *p);
};

struct loop {
    struct clock clock;
    int epoll;               /* -1: simulated */
    struct watch **watches;  /* by descriptor number; NULL: not watched */
    size_t watch_room;
    struct watch **changes;  /* not told to the kernel yet */
    size_t change_count, change_room;
    unsigned generation;     /* of the latest watch */
    uint64_t turn;           /* counts turns */
    struct task *first, *last; /* wake list, FIFO */
    struct grave *graves;
    size_t grave_count, grave_room;
    struct timer **heap;     /* heap[0] is due first; timer.index is the place + 1 */
    size_t timer_count, timer_room;
    uint64_t timer_order;    /* timers set for one moment fire in the order they were set */
    bool stopped;
    uint64_t shortage_quiet_until_ms; /* mono: shortages are logged once a minute */
};

/* timer.c: fires what is due; a timer set while firing waits for the next turn when it is due at once. */
void timers_fire(struct loop *l);

/* watch.c */
void loop_open_descriptors(struct loop *l);
void loop_close_descriptors(struct loop *l);
/* Runs the callbacks of descriptors that are ready; waits for one, or for the first timer, when may_wait. */
void loop_poll(struct loop *l, bool may_wait);

#endif
