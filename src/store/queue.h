/*
 * queue.h - requests in a line: first in, first out. It owns none of them; a request is in one line at a time, by its first member.
 */
#ifndef STORE_QUEUE_H
#define STORE_QUEUE_H

#include <stddef.h>

struct link { /* first member of what stands in line */
    struct link *next;
};
struct queue {
    struct link *first, **last;
};

static inline void queue_init(struct queue *q)
{
    q->first = NULL;
    q->last = &q->first;
}

static inline void queue_add(struct queue *q, struct link *x)
{
    x->next = NULL;
    *q->last = x;
    q->last = &x->next;
}

/* NULL: nobody is there. */
static inline void *queue_first(const struct queue *q)
{
    return q->first;
}

static inline void *queue_take(struct queue *q)
{
    struct link *x = q->first;
    if (x) {
        q->first = x->next;
        if (!q->first)
            q->last = &q->first;
    }
    return x;
}

#endif
