/*
 * view.c - the questions of one scope and their answers, pinned: a check that is run again sees what it saw before.
 */
#include <stdlib.h>
#include <string.h>

#include "postern/base/counters.h"
#include "resolver_internal.h"

struct dns_view {
    struct resolver *resolver;
    struct loop *loop;
    struct task *owner;
    unsigned *budget;
    struct view_item *items;
    size_t waiting;
};

struct dns_view *dns_view_new(struct resolver *r, struct task *owner, unsigned *budget)
{
    struct dns_view *v = xcalloc(1, sizeof *v);
    v->resolver = r;
    v->loop = resolver_loop(r);
    v->owner = owner;
    v->budget = budget;
    return v;
}

void dns_view_wake(struct dns_view *v)
{
    v->waiting--;
    if (v->owner)
        loop_wake(v->loop, v->owner);
}

void dns_view_set_owner(struct dns_view *v, struct task *owner)
{
    v->owner = owner;
}

size_t dns_view_waiting(const struct dns_view *v)
{
    return v->waiting;
}

static void leave(struct view_item *item)
{
    if (!item->waits_for)
        return;
    *item->wait_link = item->wait_next;
    if (item->wait_next)
        item->wait_next->wait_link = item->wait_link;
}

void dns_view_free(struct dns_view **vp)
{
    struct dns_view *v = *vp;
    if (!v)
        return;
    while (v->items) {
        struct view_item *item = v->items;
        v->items = item->next;
        leave(item);
        dns_answer_unref(&item->answer);
        free(item);
    }
    free(v);
    *vp = NULL;
}

static struct view_item *add_item(struct dns_view *v, struct str name, unsigned type)
{
    struct view_item *item = xcalloc(1, sizeof *item + name.n + 1);
    memcpy(item->name, name.p, name.n);
    item->type = type;
    item->view = v;
    item->next = v->items;
    v->items = item;
    return item;
}

const struct dns_answer *dns_view_get(struct dns_view *v, struct str name, unsigned type)
{
    char normal[254];
    bool good = dns_name_normal(name, normal);
    struct str text = good ? str_of(normal) : name;
    for (struct view_item *item = v->items; item; item = item->next)
        if (item->type == type && str_eq(str_of(item->name), text))
            return item->answer;
    struct view_item *item = add_item(v, text, type);
    if (!good) {
        item->answer = dns_answer_status(DNS_BADNAME, 0);
        return item->answer;
    }
    if (v->budget && *v->budget == 0) {
        count(COUNTER_DNS_REFUSED);
        item->answer = dns_answer_status(DNS_LIMIT, 0);
        return item->answer;
    }
    if (v->budget)
        --*v->budget;
    if (!resolver_ask(v->resolver, item->name, type, item, &item->answer)) {
        count(COUNTER_DNS_REFUSED);
        item->answer = dns_answer_status(DNS_LIMIT, 0);
    }
    v->waiting += item->answer == NULL;
    return item->answer;
}
