/* asked.h - a resolver over a transport that answers when the test says so, in virtual time. */
#ifndef TESTS_DNS_ASKED_H
#define TESTS_DNS_ASKED_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/base/counters.h"
#include "postern/dns/resolver.h"

enum { ASKED_MAX = 2000 };

struct asked {
    size_t server;
    char name[254];
    unsigned type;
    void (*done)(void *context, enum dns_status status, const uint8_t *message, size_t n);
    void *context;
    bool answered;
};

struct fake {
    struct dns_transport base;
    size_t servers;
    bool destroyed;
};

static struct asked asked[ASKED_MAX];
static size_t asked_count;
static struct fake fake;
static struct loop *l;
static struct resolver *r;

static inline void fake_ask(struct dns_transport *t, size_t server, const char *name, unsigned type,
                     void (*done)(void *context, enum dns_status status, const uint8_t *message, size_t n), void *context)
{
    cr_assert_lt(server, ((struct fake *)(void *)t)->servers);
    struct asked *a = &asked[asked_count++];
    *a = (struct asked){.server = server, .type = type, .done = done, .context = context};
    snprintf(a->name, sizeof a->name, "%s", name);
}

static inline size_t fake_count(struct dns_transport *t)
{
    return ((struct fake *)(void *)t)->servers;
}

static inline void fake_destroy(struct dns_transport *t)
{
    ((struct fake *)(void *)t)->destroyed = true;
}

static const struct resolver_settings usual = {
    .timeout_ms = 1000, .tries = 2, .in_flight = 100, .queue = 100, .cache_bytes = 1 << 20,
    .ttl_max = 3600, .negative_ttl_max = 600};

static inline void open_resolver(size_t servers, struct resolver_settings settings)
{
    l = loop_new_simulated(0);
    fake = (struct fake){{fake_ask, fake_count, fake_destroy}, servers, false};
    asked_count = 0;
    r = resolver_new(l, &fake.base, &settings);
}

static inline void close_resolver(void)
{
    resolver_free(&r);
    cr_assert(fake.destroyed);
    loop_free(&l);
}

/* Question number i is answered: an A record with this TTL, or a status with a negative TTL. */
static inline void answer_rcode(size_t i, unsigned rcode, bool record, uint32_t ttl)
{
    struct dns_build b = {0};
    struct str name = str_of(asked[i].name);
    cr_assert_not(asked[i].answered);
    asked[i].answered = true;
    dns_build_begin(&b, name, asked[i].type, rcode);
    if (record) {
        cr_assert(dns_build_record(&b, name, asked[i].type, ttl, STR("192.0.2.1")));
    } else {
        dns_build_soa(&b, ttl);
    }
    struct str m = dns_build_end(&b);
    asked[i].done(asked[i].context, DNS_OK, (const uint8_t *)m.p, m.n);
    buf_free(&b.out);
}

static inline void answer(size_t i, uint32_t ttl)
{
    answer_rcode(i, 0, true, ttl);
}

static inline void fail(size_t i, enum dns_status status)
{
    cr_assert_not(asked[i].answered);
    asked[i].answered = true;
    asked[i].done(asked[i].context, status, NULL, 0);
}

struct waiter {
    struct task task;
    unsigned woken;
};

static inline void woken(struct task *t)
{
    ((struct waiter *)(void *)t)->woken++;
}

static inline int status_of(const struct dns_answer *a)
{
    return a ? (int)a->status : -1;
}

/* The status a fresh view gets at once; -1: it has to wait. */
static inline int ask_once(const char *name)
{
    struct dns_view *v = dns_view_new(r, NULL, NULL);
    int status = status_of(dns_view_get(v, str_of(name), DNS_A));
    dns_view_free(&v);
    return status;
}

#endif
