/*
 * dns.c - the simulated DNS: a table of answers behind the seam of dns/resolver.h. Answers are real messages.
 *
 * Rules are looked through from the last to the first; * in a name is any run. A name with rules for other types only has no
 * data; a name without rules does not exist. CNAMEs are followed.
 */
#include "world.h"

#include "postern/base/map.h"
#include "postern/dns/resolver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHAIN_MAX = 8, RCODE_NXDOMAIN = 3, NEGATIVE_TTL = 300, SHUFFLE_MS = 60 };

struct sim_question {
    struct timer timer;
    struct sim_dns *dns;
    struct sim_question *next, **link;
    enum dns_status status;
    struct buf message;
    void (*done)(void *context, enum dns_status status, const uint8_t *message, size_t n);
    void *context;
};

/* The last rule for this name and type (0 stands for any type in a rule). *exists: some rule names it. */
static const struct dns_rule *find(const struct sim_dns *d, struct str name, unsigned type, bool *exists)
{
    *exists = false;
    for (size_t i = d->count; i > 0; i--) {
        const struct dns_rule *r = d->rules[i - 1];
        if (!pattern_match(r->name, name))
            continue;
        if (r->status != DNS_NXDOMAIN)
            *exists = true;
        if (r->type == type || r->type == 0)
            return r;
    }
    return NULL;
}

static enum dns_status negative(struct dns_build *b, struct str name, unsigned type, bool exists, const struct str *chain,
                                size_t links)
{
    dns_build_begin(b, name, type, exists ? 0 : RCODE_NXDOMAIN);
    for (size_t i = 0; i < links; i++)
        dns_build_record(b, i == 0 ? name : chain[i - 1], DNS_CNAME, NEGATIVE_TTL, chain[i]);
    dns_build_soa(b, NEGATIVE_TTL);
    dns_build_end(b);
    return DNS_OK;
}

static enum dns_status positive(struct dns_build *b, struct str name, unsigned type, const struct dns_rule *r,
                                const struct str *chain, size_t links)
{
    dns_build_begin(b, name, type, 0);
    for (size_t i = 0; i < links; i++)
        dns_build_record(b, i == 0 ? name : chain[i - 1], DNS_CNAME, r->ttl, chain[i]);
    for (size_t i = 0; i < r->count; i++)
        dns_build_record(b, links ? chain[links - 1] : name, type, r->ttl, r->records[i]);
    dns_build_end(b);
    return DNS_OK;
}

/* Bytes that are no message: the header promises an answer that breaks off. */
static enum dns_status malformed(struct dns_build *b, struct str name, unsigned type)
{
    dns_build_begin(b, name, type, 0);
    dns_build_record(b, name, DNS_TXT, 60, STR("\"cut off\""));
    dns_build_end(b);
    b->out.n -= 5;
    return DNS_OK;
}

enum dns_status sim_dns_answer(const struct sim_dns *d, struct str name, unsigned type, struct buf *out, uint64_t *delay_ms)
{
    struct str chain[CHAIN_MAX], at = name;
    size_t links = 0;
    struct dns_build b = {0};
    enum dns_status status = DNS_SERVFAIL; /* of a chain without end */
    bool exists;
    *delay_ms = 0;
    while (links < CHAIN_MAX) {
        const struct dns_rule *r = find(d, at, type, &exists);
        const struct dns_rule *alias = r ? NULL : find(d, at, DNS_CNAME, &exists);
        if (alias && alias->type == DNS_CNAME && alias->count > 0) {
            *delay_ms += alias->delay_ms;
            at = chain[links++] = alias->records[0];
            continue;
        }
        if (r)
            *delay_ms += r->delay_ms;
        if (r && r->status == DNS_OK)
            status = positive(&b, name, type, r, chain, links);
        else if (r && r->status == DNS_MALFORMED)
            status = malformed(&b, name, type);
        else if (r && (r->status == DNS_SERVFAIL || r->status == DNS_TIMEOUT))
            status = r->status;
        else
            status = negative(&b, name, type, exists && (!r || r->status == DNS_NODATA), chain, links);
        break;
    }
    *out = b.out;
    return status;
}

static void question_free(struct sim_question *q)
{
    *q->link = q->next;
    if (q->next)
        q->next->link = q->link;
    buf_free(&q->message);
    free(q);
}

static void question_answer(struct timer *t)
{
    struct sim_question *q = (struct sim_question *)(void *)t;
    struct sim_question taken = *q;
    q->message = (struct buf){0};
    question_free(q);
    bool bytes = taken.status == DNS_OK;
    taken.done(taken.context, taken.status, bytes ? (const uint8_t *)taken.message.p : NULL, bytes ? taken.message.n : 0);
    buf_free(&taken.message);
}

/* Which question this is, from 1: asked again (another try, another server) it is the same one. */
static size_t ordinal_of(struct sim_dns *d, struct str name, unsigned type)
{
    struct tally *tally = &d->world->tally;
    char key[300];
    snprintf(key, sizeof key, "%u %.*s", type, STR_ARG(name));
    if (!d->asked)
        d->asked = map_new();
    size_t known = (size_t)(uintptr_t)map_get(d->asked, str_of(key));
    if (known)
        return known;
    map_put(d->asked, str_of(key), (void *)(uintptr_t)++tally->questions);
    return tally->questions;
}

/* What this run does to the answer. */
static uint64_t perturb(struct sim_question *q, struct str name, unsigned type, uint64_t delay)
{
    struct world *w = q->dns->world;
    size_t ordinal = ordinal_of(q->dns, name, type);
    const struct perturbation *how = w->how;
    if (how->dns_at == ordinal) {
        q->status = how->dns_status;
        if (q->status == DNS_MALFORMED) {
            struct dns_build b = {0};
            q->status = malformed(&b, name, type);
            buf_free(&q->message);
            q->message = b.out;
        }
    }
    if (q->status == DNS_TIMEOUT && delay < w->settings.dns_timeout)
        return w->settings.dns_timeout;
    if (how->dns_order == 1)
        return delay + (ordinal < SHUFFLE_MS ? SHUFFLE_MS - ordinal : 0);
    return how->dns_order > 1 ? delay + (ordinal * 2654435761u * how->dns_order >> 7) % SHUFFLE_MS : delay;
}

static void sim_dns_ask(struct dns_transport *t, size_t server, const char *name, unsigned type,
                        void (*done)(void *context, enum dns_status status, const uint8_t *message, size_t n), void *context)
{
    struct sim_dns *d = (struct sim_dns *)(void *)t;
    struct sim_question *q = xcalloc(1, sizeof *q);
    uint64_t delay;
    (void)server;
    q->timer.fire = question_answer;
    q->dns = d;
    q->done = done;
    q->context = context;
    q->status = sim_dns_answer(d, str_of(name), type, &q->message, &delay);
    q->next = d->open;
    q->link = &d->open;
    if (d->open)
        d->open->link = &q->next;
    d->open = q;
    timer_set_in(d->world->loop, &q->timer, perturb(q, str_of(name), type, delay));
}

static size_t sim_dns_servers(struct dns_transport *t)
{
    (void)t;
    return 1;
}

/* The resolver is going: what is open is never answered. Rules stay. */
static void sim_dns_destroy(struct dns_transport *t)
{
    struct sim_dns *d = (struct sim_dns *)(void *)t;
    while (d->open) {
        timer_cancel(d->world->loop, &d->open->timer);
        question_free(d->open);
    }
}

void sim_dns_init(struct sim_dns *d, struct world *w)
{
    *d = (struct sim_dns){.transport = {sim_dns_ask, sim_dns_servers, sim_dns_destroy}, .world = w};
}

void sim_dns_add(struct sim_dns *d, const struct dns_rule *r)
{
    d->rules = xrealloc(d->rules, (d->count + 1) * sizeof *d->rules);
    d->rules[d->count++] = r;
}

void sim_dns_clear(struct sim_dns *d)
{
    free(d->rules);
    map_free(&d->asked, NULL);
    d->rules = NULL;
    d->count = 0;
}
