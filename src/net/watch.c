/*
 * watch.c - descriptors by epoll(7), and the wait itself.
 *
 * epoll directly, since an event library cannot leave out the EPOLL_CTL_DEL before a close (the kernel forgets closed
 * descriptors by itself) and folds errors into readiness: two to three system calls of a session's forty-odd.
 *
 * The kernel is given (generation, fd), never a pointer: what it says about a descriptor that is no longer watched finds no
 * watch, or one of another generation, and is dropped. Two processes can share an open socket (a listener inherited from a
 * supervisor), so that closing it here does not end the kernel's interest; such an event without a watch is taken off.
 */
#include "postern/net/watch.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "loop_internal.h"
#include "postern/base/str.h"

enum { EVENTS_A_TURN = 128 };

void loop_open_descriptors(struct loop *l)
{
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    assert(l->epoll >= 0);
}

void loop_close_descriptors(struct loop *l)
{
    close(l->epoll);
    free(l->watches);
    free(l->changes);
}

/* --- changes of interest --- */

static uint32_t epoll_events(unsigned interest)
{
    return (interest & WATCH_READ ? EPOLLIN : 0u) | (interest & WATCH_WRITE ? EPOLLOUT : 0u) |
           (interest & WATCH_GONE ? EPOLLRDHUP : 0u) | (interest & WATCH_EDGE ? EPOLLET : 0u);
}

static void tell_kernel(struct loop *l, struct watch *w)
{
    struct epoll_event event = {.events = epoll_events(w->interest), .data.u64 = (uint64_t)w->generation << 32 | (uint32_t)w->fd};
    int failed = epoll_ctl(l->epoll, w->told ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, w->fd, &event);
    if (failed && errno == EEXIST) { /* a shared socket that was closed here and came back under its old number */
        failed = epoll_ctl(l->epoll, EPOLL_CTL_MOD, w->fd, &event);
    }
    assert(!failed);
    w->told = w->interest;
}

static void change_add(struct loop *l, struct watch *w)
{
    if (w->pending) {
        return;
    }
    if (l->change_count == l->change_room) {
        l->change_room = l->change_room ? l->change_room * 2 : 16;
        l->changes = xrealloc(l->changes, l->change_room * sizeof *l->changes);
    }
    l->changes[l->change_count++] = w;
    w->pending = l->change_count;
}

static void change_remove(struct loop *l, struct watch *w)
{
    if (w->pending) {
        struct watch *last = l->changes[--l->change_count];
        l->changes[w->pending - 1] = last;
        last->pending = w->pending;
        w->pending = 0;
    }
}

static void changes_tell(struct loop *l)
{
    for (size_t i = 0; i < l->change_count; i++) {
        struct watch *w = l->changes[i];
        w->pending = 0;
        if (w->told != w->interest) {
            tell_kernel(l, w);
        }
    }
    l->change_count = 0;
}

void watch_start(struct loop *l, struct watch *w, int fd, unsigned interest)
{
    assert(!loop_is_simulated(l) && w->ready && w->interest == 0 && interest != 0 && fd >= 0);
    if ((size_t)fd >= l->watch_room) {
        size_t room = (size_t)fd + 64 > l->watch_room * 2 ? (size_t)fd + 64 : l->watch_room * 2;
        l->watches = xrealloc(l->watches, room * sizeof *l->watches);
        memset(l->watches + l->watch_room, 0, (room - l->watch_room) * sizeof *l->watches);
        l->watch_room = room;
    }
    assert(!l->watches[fd]);
    l->watches[fd] = w;
    w->fd = fd;
    w->interest = interest;
    w->told = 0;
    w->generation = ++l->generation;
    change_add(l, w);
}

void watch_stop(struct loop *l, struct watch *w)
{
    if (w->interest != 0) {
        change_remove(l, w);
        l->watches[w->fd] = NULL;
        w->interest = w->told = 0;
    }
}

void watch_change(struct loop *l, struct watch *w, unsigned interest)
{
    if (w->interest == interest) {
        return;
    }
    if (interest == 0) {
        if (w->told) {
            epoll_ctl(l->epoll, EPOLL_CTL_DEL, w->fd, NULL);
        }
        watch_stop(l, w);
    } else if (w->interest == 0) {
        watch_start(l, w, w->fd, interest);
    } else {
        w->interest = interest;
        change_add(l, w);
    }
}

/* --- the wait --- */

static void deliver(struct loop *l, const struct epoll_event *event)
{
    uint32_t fd = (uint32_t)event->data.u64;
    struct watch *w = fd < l->watch_room ? l->watches[fd] : NULL;
    if (!w) { /* closed meanwhile; when it is still told, the socket lives on elsewhere */
        epoll_ctl(l->epoll, EPOLL_CTL_DEL, (int)fd, NULL);
        return;
    }
    if (w->generation != (uint32_t)(event->data.u64 >> 32)) {
        return;
    }
    uint32_t e = event->events;
    unsigned what = (e & EPOLLIN ? WATCH_READ : 0u) | (e & EPOLLOUT ? WATCH_WRITE : 0u) | (e & EPOLLERR ? WATCH_ERROR : 0u) |
                    (e & (EPOLLRDHUP | EPOLLHUP) ? WATCH_GONE : 0u);
    w->ready(w, what);
}

static int wait_ms(const struct loop *l, bool may_wait)
{
    uint64_t next = loop_next_timer(l);
    if (!may_wait || next <= loop_now(l)) {
        return 0;
    }
    if (next == UINT64_MAX) {
        return -1;
    }
    uint64_t wait = next - loop_now(l);
    return wait > INT_MAX ? INT_MAX : (int)wait;
}

void loop_poll(struct loop *l, bool may_wait)
{
    struct epoll_event events[EVENTS_A_TURN];
    changes_tell(l);
    int n = epoll_wait(l->epoll, events, EVENTS_A_TURN, wait_ms(l, may_wait));
    assert(n >= 0 || errno == EINTR);
    l->clock.read(&l->clock); /* before anybody sets a timer: the wait may have been long */
    for (int i = 0; i < n; i++) {
        deliver(l, &events[i]);
    }
}
