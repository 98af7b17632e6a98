/*
 * resolver.h - asking: cache, identical questions once, cap on what is in flight, several servers with failover; and the view of
 * one session.
 *
 *     check --> dns_view_get(view, name, type) --> resolver (cache? in flight? queue) --> transport (c-ares, or simulation) -->
 *     answer bytes
 *
 * A view remembers what one scope asked and pins the answers, so that a check that is run again sees the same. When an answer
 * comes, the view's task is woken: nothing else happens in the callback. Freeing a view forgets its interest; the question goes
 * on and fills the cache.
 */
#ifndef POSTERN_DNS_RESOLVER_H
#define POSTERN_DNS_RESOLVER_H

#include "postern/dns/dns.h"
#include "postern/net/loop.h"

/* The seam: one question to one server list, answer bytes or a status. */
struct dns_transport {
    /* done() runs later, from the loop, exactly once for each ask, unless the transport was destroyed. message is NULL when status is not DNS_OK
     * (DNS_TIMEOUT, DNS_SERVFAIL: could not be sent); DNS_OK means that bytes came, whatever they say. `server` counts from 0. */
    void (*ask)(struct dns_transport *t, size_t server, const char *name, unsigned type,
                void (*done)(void *context, enum dns_status status, const uint8_t *message, size_t n), void *context);
    size_t (*server_count)(struct dns_transport *t);
    void (*destroy)(struct dns_transport *t);
};

struct resolver_settings {
    uint64_t timeout_ms;       /* one try at one server */
    unsigned tries;            /* rounds over all servers */
    unsigned in_flight;        /* questions out at once; the rest queue */
    unsigned queue;            /* questions waiting at most; more get DNS_LIMIT */
    size_t cache_bytes;
    uint32_t ttl_max, negative_ttl_max; /* seconds */
};

/* c-ares over the loop; servers as ADDR:PORT. One channel a server, so that failover is ours. */
struct dns_transport *dns_transport_ares(struct loop *l, const struct addr_port *servers, size_t count,
                                         const struct resolver_settings *settings);
/* The nameservers of a resolv.conf (port 53); false when it cannot be read or names none. Appends at most 8 to out. */
bool dns_resolv_conf(const char *path, struct addr_port out[8], size_t *count);

struct resolver;
/* Takes the transport. */
struct resolver *resolver_new(struct loop *l, struct dns_transport *transport, const struct resolver_settings *settings);
void resolver_free(struct resolver **r); /* all views must be gone */
size_t resolver_in_flight(const struct resolver *r);
/* Cached, not yet expired answer with a new reference; or NULL. For counters and tests. */
struct dns_answer *resolver_cached(struct resolver *r, struct str name, unsigned type);

struct dns_view;
/* `budget` is the number of questions that one session may still ask (shared by its views, decremented here); NULL: unlimited. */
struct dns_view *dns_view_new(struct resolver *r, struct task *owner, unsigned *budget);
void dns_view_free(struct dns_view **v);
/* The answer (borrowed: lives as long as the view), or NULL: not yet, the question is remembered and was started, the owner will
 * be woken. A bad name or a used-up budget answers at once. Names are normalised here. */
const struct dns_answer *dns_view_get(struct dns_view *v, struct str name, unsigned type);
size_t dns_view_waiting(const struct dns_view *v); /* questions without an answer */
/* Whom to wake from now on (a record that outlives its session). */
void dns_view_set_owner(struct dns_view *v, struct task *owner);

#endif
