/*
 * store.c - the store of a simulated world: the memory store, and in front of it whatever goes wrong.
 *
 * Each operation is passed to one of two stores: to memory, or to one that fails or is slow. What was written before a failure is
 * there after it.
 */
#include "world.h"

#include "postern/store/store.h"

#include <stdlib.h>

struct sim_store {
    struct store store;
    struct world *world;
    struct store *memory, *failing, *slow; /* slow: NULL until asked for */
    enum store_mood mood;
    struct store_request *requests; /* under way */
};

struct store_request { /* ours: which store has it */
    struct store *inner_store;
    struct store_request *inner;
    store_done done;
    void *context;
    struct store_request *next, **link;
};

static void forget(struct store_request *r)
{
    *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
    free(r);
}

static void answered(void *context, const struct store_result *result)
{
    struct store_request r = *(struct store_request *)context;
    forget(context);
    r.done(r.context, result);
}

static struct store_request *start(struct store *s, const struct store_operation *op, store_done done, void *context)
{
    struct sim_store *x = (struct sim_store *)(void *)s;
    bool fails = ++x->world->tally.operations == x->world->how->store_at || x->mood == MOOD_FAILING;
    struct store_request *r = xmalloc(sizeof *r);
    *r = (struct store_request){.inner_store = fails                  ? x->failing
                                               : x->mood == MOOD_SLOW ? x->slow
                                                                      : x->memory,
                                .done = done,
                                .context = context,
                                .next = x->requests,
                                .link = &x->requests};
    if (r->next)
        r->next->link = &r->next;
    x->requests = r;
    r->inner = r->inner_store->ops->start(r->inner_store, op, answered, r);
    return r;
}

static void cancel(struct store *s, struct store_request *r)
{
    (void)s;
    r->inner_store->ops->cancel(r->inner_store, r->inner);
    forget(r);
}

static void destroy(struct store *s)
{
    struct sim_store *x = (struct sim_store *)(void *)s;
    while (x->requests) /* what nobody waits for: a slow store may still have it */
        cancel(s, x->requests);
    store_free(&x->memory);
    store_free(&x->failing);
    store_free(&x->slow);
    free(x);
}

struct store *sim_store_new(struct world *w)
{
    static const struct store_ops ops = {start, cancel, destroy, NULL};
    struct sim_store *x = xcalloc(1, sizeof *x);
    x->store = (struct store){.ops = &ops, .loop = w->loop};
    x->world = w;
    x->memory = store_memory(w->loop, 100000);
    x->failing = store_failing(w->loop, "the store is down", 0);
    return &x->store;
}

void sim_store_mood(struct store *s, enum store_mood mood, uint64_t delay_ms)
{
    struct sim_store *x = (struct sim_store *)(void *)s;
    x->mood = mood;
    if (mood == MOOD_SLOW && !x->slow) /* the first delay stays: operations may be under way */
        x->slow = store_failing(s->loop, NULL, delay_ms);
}
