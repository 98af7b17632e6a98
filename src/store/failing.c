/*
 * failing.c - a store that is down, or slow, for simulation: each operation answers after a delay, with an error or with
 * nothing found.
 */
#include <stdlib.h>

#include "postern/store/store.h"

struct failing {
    struct store store;
    const char *error;
    uint64_t delay_ms;
    struct store_request *requests; /* not yet answered */
};

struct store_request {
    struct timer timer;
    struct failing *store;
    struct store_result result;
    store_done done;
    void *context;
    struct store_request *next, *before;
};

static void forget(struct store_request *r)
{
    struct failing *f = r->store;

    timer_cancel(f->store.loop, &r->timer);
    if (r->before)
        r->before->next = r->next;
    else
        f->requests = r->next;
    if (r->next)
        r->next->before = r->before;
    free(r);
}

static void answer(struct timer *t)
{
    struct store_request *r = (struct store_request *)((char *)t - offsetof(struct store_request, timer));
    struct store_result result = r->result;
    store_done done = r->done;
    void *context = r->context;

    forget(r);
    done(context, &result);
}

static struct store_request *failing_start(struct store *s, const struct store_operation *op, store_done done, void *context)
{
    struct failing *f = (struct failing *)s;
    struct store_request *r = xcalloc(1, sizeof *r);

    *r = (struct store_request){.timer = {.fire = answer},
                                .store = f,
                                .result = {.error = f->error},
                                .done = done,
                                .context = context,
                                .next = f->requests};
    if (!f->error && op->mode == STORE_TOUCH)
        r->result.first_seen_ms = op->now_ms;
    if (r->next)
        r->next->before = r;
    f->requests = r;
    timer_set_in(s->loop, &r->timer, f->delay_ms);
    return r;
}

static void failing_cancel(struct store *s, struct store_request *request)
{
    (void)s;
    forget(request);
}

static void failing_destroy(struct store *s)
{
    struct failing *f = (struct failing *)s;

    while (f->requests)
        forget(f->requests);
    free(f);
}

struct store *store_failing(struct loop *l, const char *error, uint64_t delay_ms)
{
    static const struct store_ops ops = {failing_start, failing_cancel, failing_destroy, NULL};
    struct failing *f = xcalloc(1, sizeof *f);

    *f = (struct failing){.store = {.ops = &ops, .loop = l}, .error = error, .delay_ms = delay_ms};
    return &f->store;
}
