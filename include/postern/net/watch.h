/*
 * watch.h - one descriptor that the loop watches (real loops only): what the streams, the listeners and the DNS transport stand on.
 *
 * Embedded in its owner. ready() runs from the loop, marks and wakes, and does no other work; it may stop or change any watch, its own too.
 * Changes are gathered and told to the kernel once, before the loop waits again: start and stop in one turn cost nothing.
 */
#ifndef POSTERN_NET_WATCH_H
#define POSTERN_NET_WATCH_H

#include <stdbool.h>

#include "postern/net/loop.h"

enum {
    WATCH_READ = 1,
    WATCH_WRITE = 2,
    WATCH_GONE = 4, /* the peer has closed its side (EPOLLRDHUP) */
    WATCH_EDGE = 8  /* told once each time it becomes ready, not as long as it is */
};
/* An error on the descriptor is told as WATCH_READ and WATCH_WRITE (of those asked for). */

enum { WATCH_ROOM = 128 }; /* what libevent needs; watch.c asserts it */

struct watch { /* zeroed plus `ready` set is ready */
    void (*ready)(struct watch *w, unsigned what);
    int fd;
    unsigned interest; /* 0: not watched */
    _Alignas(8) unsigned char event[WATCH_ROOM];
};

void watch_start(struct loop *l, struct watch *w, int fd, unsigned interest);
void watch_change(struct loop *l, struct watch *w, unsigned interest); /* 0 stops */
void watch_stop(struct watch *w);                                      /* before its fd is closed; also when it is not watched */

#endif
