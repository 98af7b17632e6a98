/*
 * view.c - what one scope asked the store. Each operation is started once and its result kept, so that a check that is run
 * again sees the same. An answer stores the result and wakes the owner; nothing else happens in the callback. Freeing the view
 * cancels what is under way.
 *
 * A store that hangs costs those who were waiting when it began to their deadline. Those who come later are told at once, until
 * it has answered the first of them.
 */
#include <assert.h>
#include <stdlib.h>

#include "postern/store/store.h"

struct asked {
    struct store_view *view;
    enum store_kind kind;
    enum store_mode mode;
    char *key; /* owned */
    size_t key_n;
    struct store_request *request; /* NULL: answered */
    bool late;                     /* given up: the failure was told */
    struct store_result result;
    struct asked *next;
};

struct store_view {
    struct store *store;
    struct task *owner;
    struct asked *asked;
    size_t waiting;
};

struct store_view *store_view_new(struct store *s, struct task *owner)
{
    struct store_view *v = xcalloc(1, sizeof *v);

    v->store = s;
    v->owner = owner;
    return v;
}

void store_view_free(struct store_view **v)
{
    if (!*v)
        return;
    while ((*v)->asked) {
        struct asked *a = (*v)->asked;
        (*v)->asked = a->next;
        if (a->request)
            (*v)->store->ops->cancel((*v)->store, a->request);
        free(a->key);
        free(a);
    }
    free(*v);
    *v = NULL;
}

static void answered(void *context, const struct store_result *result)
{
    struct asked *a = context;

    a->request = NULL;
    a->result = *result;
    a->view->waiting--;
    if (result->error && !a->late)
        store_failed(a->view->store, result->error);
    if (a->view->owner)
        loop_wake(a->view->store->loop, a->view->owner);
}

static struct asked *find(const struct store_view *v, const struct store_operation *op)
{
    struct asked *a = v->asked;

    while (a && !(a->kind == op->kind && a->mode == op->mode && str_eq((struct str){a->key, a->key_n}, op->key)))
        a = a->next;
    return a;
}

const struct store_result *store_view_get(struct store_view *v, const struct store_operation *op)
{
    static const char stalled[] = "it has not answered others for too long";
    struct asked *a = find(v, op);

    assert(op->kind < STORE_SHOW);
    if (a)
        return a->request ? NULL : &a->result;
    a = xcalloc(1, sizeof *a);
    *a = (struct asked){.view = v, .kind = op->kind, .mode = op->mode, .key = xstrndup(op->key.p, op->key.n), .key_n = op->key.n,
                        .next = v->asked};
    v->asked = a;
    if (v->store->ops->stalled && v->store->ops->stalled(v->store)) {
        a->result.error = stalled;
        store_failed(v->store, stalled);
        return &a->result;
    }
    v->waiting++;
    a->request = v->store->ops->start(v->store, op, answered, a);
    return NULL;
}

void store_view_late(struct store_view *v)
{
    for (struct asked *a = v->asked; a; a = a->next) {
        if (a->request && !a->late) {
            a->late = true;
            store_failed(v->store, "it did not answer in time");
        }
    }
}

size_t store_view_waiting(const struct store_view *v)
{
    return v->waiting;
}

void store_view_set_owner(struct store_view *v, struct task *owner)
{
    v->owner = owner;
}
