/*
 * watch.h - one descriptor that the loop watches (real loops only): what the streams, the listeners and the DNS transport stand
 * on.
 *
 * Embedded in its owner. ready() runs from the loop, marks and wakes, and does no other work; it may stop or change any watch,
 * its own too. Starting and changing are told to the kernel before the loop waits again: a watch that comes and goes within one
 * turn costs nothing.
 */
#ifndef POSTERN_NET_WATCH_H
#define POSTERN_NET_WATCH_H

#include "postern/net/loop.h"

enum {
    WATCH_READ = 1,
    WATCH_WRITE = 2,
    WATCH_GONE = 4,  /* the peer has closed its side, or both are closed (EPOLLRDHUP, EPOLLHUP) */
    WATCH_ERROR = 8, /* told, need not be asked for: SO_ERROR has a reason */
    WATCH_EDGE = 16  /* asked for: told once each time it becomes ready, not as long as it is */
};

struct watch { /* zeroed plus `ready` set is ready */
    void (*ready)(struct watch *w, unsigned what);
    int fd;
    unsigned interest;   /* 0: not watched */
    unsigned told;       /* what the kernel knows */
    unsigned generation; /* so that an event meant for an earlier user of the number is not taken for ours */
    size_t pending;      /* place in the loop's list of changes + 1; 0: none */
};

void watch_start(struct loop *l, struct watch *w, int fd, unsigned interest);
void watch_change(struct loop *l, struct watch *w, unsigned interest); /* 0: not any more, while the descriptor stays open */
void watch_stop(struct loop *l, struct watch *w); /* right before its fd is closed: costs nothing; also when it is not watched */

#endif
