/*
 * resolver_internal.h - between resolver.c (questions), cache.c (answers kept) and view.c (who waits).
 */
#ifndef DNS_RESOLVER_INTERNAL_H
#define DNS_RESOLVER_INTERNAL_H

#include "postern/base/map.h"
#include "postern/dns/resolver.h"

struct dns_key { /* a question as a map key: two bytes of type, then the normal name */
    char bytes[2 + 254];
    size_t n;
    unsigned type;
};

static inline struct str key_str(const struct dns_key *k)
{
    return (struct str){k->bytes, k->n};
}

static inline const char *key_name(const struct dns_key *k)
{
    return k->bytes + 2;
}

bool key_make(struct dns_key *k, struct str name, unsigned type); /* false: cannot be asked */

/* --- cache.c: least recently used goes first when it is full. An entry pins its answer with a reference. --- */
struct dns_cache;
struct dns_cache *dns_cache_new(size_t bytes);
void dns_cache_free(struct dns_cache **c);
struct dns_answer *dns_cache_get(struct dns_cache *c, const struct dns_key *k, uint64_t now_ms); /* borrowed; NULL */
void dns_cache_put(struct dns_cache *c, const struct dns_key *k, struct dns_answer *a, uint64_t until_ms);

/* --- view.c: what one scope asked --- */
struct dns_wait { /* one question of a view */
    struct dns_wait *next;             /* in the view */
    struct dns_view *view;
    struct dns_answer *answer;         /* NULL: not yet */
    struct question *question;         /* that it waits for */
    struct dns_wait *waiter, **link;   /* in the question's list of waiters */
    size_t key_n;
    char key[];
};
void wait_answered(struct dns_wait *w, struct dns_answer *a); /* takes a reference, wakes the view's owner */

/* --- resolver.c --- */
/* The answer, borrowed, when it is known at once (cache, limits); else NULL, and w waits. */
struct dns_answer *resolver_ask(struct resolver *r, const struct dns_key *k, struct dns_wait *w);
void resolver_forget(struct dns_wait *w); /* w does not wait any more */
struct loop *resolver_loop(struct resolver *r);
/* One shared answer each for DNS_BADNAME and DNS_LIMIT; borrowed. */
struct dns_answer *resolver_status(struct resolver *r, enum dns_status status);

#endif
