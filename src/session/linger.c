/*
 * linger.c - connections that are over for us while our last words have not left yet: a 221 or 421 waits in the queue of a client that reads slowly,
 * a QUIT in that of a backend.
 * Each waits until the queue is empty or for a while, then it is closed.
 */
#include <stdlib.h>

#include "session.h"

enum { LINGER_MS = 30000 };

struct farewell {
    struct task task;
    struct timer timer;
    struct proxy *proxy;
    struct stream *stream;
    struct farewell *next, **link;
};

static void bury(void *p)
{
    free(p);
}

static void linger_end(struct farewell *x)
{
    struct loop *l = x->proxy->parts.loop;
    stream_close(l, &x->stream);
    timer_cancel(l, &x->timer);
    loop_unwake(l, &x->task);
    *x->link = x->next;
    if (x->next)
        x->next->link = x->link;
    x->proxy->linger_count--;
    proxy_check_drained(x->proxy);
    loop_bury(l, x, bury);
}

static void linger_run(struct task *t)
{
    struct farewell *x = (struct farewell *)((char *)t - offsetof(struct farewell, task));
    if (stream_flush(x->stream) != FLUSH_NOT_YET)
        linger_end(x);
}

static void linger_timeout(struct timer *t)
{
    linger_end((struct farewell *)((char *)t - offsetof(struct farewell, timer)));
}

void linger_close(struct proxy *p, struct stream **stream)
{
    if (p->ending || stream_flush(*stream) != FLUSH_NOT_YET) {
        stream_close(p->parts.loop, stream);
        return;
    }
    struct farewell *x = xcalloc(1, sizeof *x);
    x->proxy = p;
    x->stream = *stream;
    *stream = NULL;
    x->task.run = linger_run;
    x->timer.fire = linger_timeout;
    x->next = p->lingering;
    x->link = &p->lingering;
    if (x->next)
        x->next->link = &x->next;
    p->lingering = x;
    p->linger_count++;
    stream_set_owner(x->stream, &x->task);
    timer_set_in(p->parts.loop, &x->timer, LINGER_MS);
}

void linger_end_all(struct proxy *p)
{
    while (p->lingering)
        linger_end(p->lingering);
}
