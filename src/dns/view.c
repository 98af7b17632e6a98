/*
 * view.c - what one scope asked, with the answers pinned: a check that is run again sees what it saw before, whatever became of
 * the cache.
 *
 * A scope asks a few dozen questions, so they stand in a plain list, newest first.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "resolver_internal.h"
#include "postern/base/counters.h"

struct dns_view {
    struct resolver *resolver;
    struct task *owner;
    unsigned *budget;
    struct dns_wait *first;
    size_t waiting;
};

struct dns_view *dns_view_new(struct resolver *r, struct task *owner, unsigned *budget)
{
    struct dns_view *v = xcalloc(1, sizeof *v);
    v->resolver = r;
    v->owner = owner;
    v->budget = budget;
    return v;
}

void dns_view_free(struct dns_view **view)
{
    struct dns_view *v = *view;
    if (!v) {
        return;
    }
    while (v->first) {
        struct dns_wait *w = v->first;
        v->first = w->next;
        if (w->question) {
            resolver_forget(w);
        }
        dns_answer_unref(&w->answer);
        free(w);
    }
    free(v);
    *view = NULL;
}

void wait_answered(struct dns_wait *w, struct dns_answer *a)
{
    struct dns_view *v = w->view;
    w->answer = dns_answer_ref(a);
    w->question = NULL;
    v->waiting--;
    if (v->owner) {
        loop_wake(resolver_loop(v->resolver), v->owner);
    }
}

const struct dns_answer *dns_view_get(struct dns_view *v, struct str name, unsigned type)
{
    struct dns_key k;
    if (!key_make(&k, name, type)) {
        return resolver_status(v->resolver, DNS_BADNAME);
    }
    for (struct dns_wait *w = v->first; w; w = w->next) {
        if (w->key_n == k.n && memcmp(w->key, k.bytes, k.n) == 0) {
            return w->answer;
        }
    }
    struct dns_wait *w = xcalloc(1, sizeof *w + k.n);
    w->view = v;
    w->key_n = k.n;
    memcpy(w->key, k.bytes, k.n);
    w->next = v->first;
    v->first = w;
    struct dns_answer *known;
    if (v->budget && *v->budget == 0) {
        known = resolver_status(v->resolver, DNS_LIMIT);
        count(COUNTER_DNS_REFUSED);
    } else {
        if (v->budget) {
            --*v->budget; /* also for what the cache knows: what a session may ask does not depend on others */
        }
        known = resolver_ask(v->resolver, &k, w);
    }
    if (known) {
        w->answer = dns_answer_ref(known);
    } else {
        v->waiting++;
    }
    return w->answer;
}

size_t dns_view_waiting(const struct dns_view *v)
{
    return v->waiting;
}

void dns_view_set_owner(struct dns_view *v, struct task *owner)
{
    v->owner = owner;
}
