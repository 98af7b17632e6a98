/*
 * watch.c - the only file that knows libevent: descriptors, the wait itself, signals.
 *
 * The base gathers changes of interest and applies them before it waits (EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST): a change is one epoll_ctl,
 * a watch that comes and goes within one turn is none. libevent's own timers are not used, save one: the moment our heap's first is due.
 */
#include "postern/net/watch.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

#include "loop_internal.h"
#include "postern/base/str.h"

static_assert(sizeof(struct event) <= WATCH_ROOM, "WATCH_ROOM is too small for libevent");

static struct event *event_of(struct watch *w)
{
    return (struct event *)(void *)w->event;
}

static void alarm_rang(evutil_socket_t fd, short what, void *context)
{
    struct loop *l = context;
    (void)fd;
    (void)what;
    l->alarm_at = UINT64_MAX;
}

void loop_open_base(struct loop *l)
{
    struct event_config *config = event_config_new();
    assert(config);
    event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
    l->base = event_base_new_with_config(config);
    event_config_free(config);
    assert(l->base);
    l->alarm = evtimer_new(l->base, alarm_rang, l);
    assert(l->alarm);
    l->alarm_at = UINT64_MAX;
}

void loop_close_base(struct loop *l)
{
    event_free(l->alarm);
    event_base_free(l->base);
    l->base = NULL;
}

static void alarm_update(struct loop *l)
{
    uint64_t next = loop_next_timer(l);
    if (next == l->alarm_at) {
        return;
    }
    l->alarm_at = next;
    if (next == UINT64_MAX) {
        event_del(l->alarm);
        return;
    }
    uint64_t now = loop_now(l);
    uint64_t wait = next > now ? next - now : 0;
    if (wait > 86400000) { /* a day: the alarm is a wake-up, the heap is the truth */
        wait = 86400000;
        l->alarm_at = now + wait;
    }
    struct timeval tv = {.tv_sec = (time_t)(wait / 1000), .tv_usec = (suseconds_t)(wait % 1000 * 1000)};
    event_add(l->alarm, &tv);
}

void loop_poll(struct loop *l, bool may_wait)
{
    if (may_wait) {
        alarm_update(l);
    }
    event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY | EVLOOP_ONCE | (may_wait ? 0 : EVLOOP_NONBLOCK));
}

static void descriptor_ready(evutil_socket_t fd, short what, void *context)
{
    struct watch *w = context;
    (void)fd;
    w->ready(w, (what & EV_READ ? WATCH_READ : 0) | (what & EV_WRITE ? WATCH_WRITE : 0) | (what & EV_CLOSED ? WATCH_GONE : 0));
}

void watch_start(struct loop *l, struct watch *w, int fd, unsigned interest)
{
    assert(l->base && w->ready && w->interest == 0 && interest != 0);
    short what = EV_PERSIST;
    what |= interest & WATCH_READ ? EV_READ : 0;
    what |= interest & WATCH_WRITE ? EV_WRITE : 0;
    what |= interest & WATCH_GONE ? EV_CLOSED : 0;
    what |= interest & WATCH_EDGE ? EV_ET : 0;
    w->fd = fd;
    w->interest = interest;
    event_assign(event_of(w), l->base, fd, what, descriptor_ready, w);
    int failed = event_add(event_of(w), NULL);
    assert(!failed);
}

void watch_stop(struct watch *w)
{
    if (w->interest != 0) {
        event_del(event_of(w));
        w->interest = 0;
    }
}

void watch_change(struct loop *l, struct watch *w, unsigned interest)
{
    if (w->interest == interest) {
        return;
    }
    watch_stop(w);
    if (interest != 0) {
        watch_start(l, w, w->fd, interest);
    }
}

/* --- signals --- */

struct signal_watch {
    struct event *event;
    void (*fire)(int signo, void *context);
    void *context;
};

static void signal_came(evutil_socket_t signo, short what, void *context)
{
    struct signal_watch *w = context;
    (void)what;
    w->fire((int)signo, w->context);
}

struct signal_watch *signal_watch_new(struct loop *l, int signo, void (*fire)(int signo, void *context), void *context)
{
    assert(l->base);
    struct signal_watch *w = xcalloc(1, sizeof *w);
    w->fire = fire;
    w->context = context;
    w->event = evsignal_new(l->base, signo, signal_came, w);
    assert(w->event);
    int failed = event_add(w->event, NULL);
    assert(!failed);
    return w;
}

void signal_watch_free(struct signal_watch **w)
{
    if (*w) {
        event_free((*w)->event);
        free(*w);
        *w = NULL;
    }
}
