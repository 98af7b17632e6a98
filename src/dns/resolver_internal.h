/*
 * resolver_internal.h - one question, shared by everybody who asks it; the views' items wait in its list.
 */
#ifndef POSTERN_DNS_RESOLVER_INTERNAL_H
#define POSTERN_DNS_RESOLVER_INTERNAL_H

#include "postern/base/map.h"
#include "postern/dns/resolver.h"

enum { SERVERS_MAX = 8, BAD_SERVER_MS = 30000, FAILURE_KEPT_S = 3 };

struct view_item { /* one question of a view */
    struct view_item *next;       /* in the view */
    struct dns_view *view;
    struct dns_answer *answer;    /* reference; NULL: waiting */
    struct question *waits_for;   /* NULL: answered */
    struct view_item *wait_next, **wait_link;
    unsigned type;
    char name[];
};

struct question {
    struct resolver *resolver;
    struct dns_answer *answer;    /* cached; NULL: in flight or queued */
    uint64_t expires_ms;          /* mono */
    struct view_item *waiters;
    struct question *older, *newer; /* cached: by last use */
    struct question *queue_next;
    size_t bytes;
    unsigned attempts;
    uint32_t tried;               /* bit a server: asked in this round */
    bool refused;                 /* a server answered, but not usefully */
    size_t server;                /* asked now */
    unsigned type;
    struct str key;               /* "A name" */
    char text[];                  /* type byte pair, then the name, NUL */
};

/* The question, cached (*answer set), or joined or started (*answer NULL): then `waiter` is woken through its view. False: the queue is full. */
struct loop *resolver_loop(const struct resolver *r);
void dns_view_wake(struct dns_view *v); /* one of its answers came */
bool resolver_ask(struct resolver *r, const char *name, unsigned type, struct view_item *waiter, struct dns_answer **answer);

#endif
