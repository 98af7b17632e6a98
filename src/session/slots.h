/*
 * slots.h - the connections that a backend allows at once (`connections N`): who has one, who waits for one.
 */
#ifndef POSTERN_SESSION_SLOTS_H
#define POSTERN_SESSION_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

struct backend;
struct slot_queue;
struct upstream;

struct slots { /* of one backend */
    uint64_t limit;           /* 0: none, and nothing is kept here */
    uint64_t taken;
    struct upstream *holders; /* newest first */
};

struct slot_queue { /* of all backends: those who wait, in the order in which they came */
    struct upstream *first;
};

struct slot { /* an upstream's place in the lists */
    bool taken;               /* one of u->backend's, which has a limit */
    bool waits;
    struct upstream *next, **link;
    struct upstream *waiting_next, **waiting_link;
    uint64_t kept_since;      /* mono */
};

/* One of b's for u: a free one, or one that is not needed as much. False: none can be had now, or others were first; u may wait. */
bool slots_take(struct upstream *u, struct backend *b);
void slots_give(struct upstream *u);   /* also when it has none */
void slots_kept(struct upstream *u);   /* its connection is merely kept from now on: nothing of a transaction is on it */
void slots_wait(struct upstream *u);   /* its owner is woken when it is worth trying to take one again */
void slots_unwait(struct upstream *u); /* also when it does not wait */
/* A backend of this route fell ill or recovered: all who wait look again. */
void slots_changed(struct slot_queue *q, unsigned route);

#endif
