/*
 * resolver.c - the way of one question:
 *
 *     cache? -> the same question on its way? join it -> room? -> a server -> the answer, or the next server ...
 *                                                        |                    -> cache; all who wait are woken
 *                                                        queue, until one comes home (full: DNS_LIMIT)
 *
 * A server that names an alias and does not look where it leads is asked for that, too (RFC 1034 5.3.3, step 4c).
 *
 * Servers: in the order given, but one that did not answer is taken last for a while. A round asks each server once; only a
 * round in which somebody did not answer at all is followed by another. What failed is kept for some seconds too, or a dead zone
 * would cost each session its whole deadline.
 *
 * A question is owned by the map of those on their way, from the asking to the answer; those who wait are linked into it, and
 * leave by themselves.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "postern/base/counters.h"
#include "postern/base/log.h"
#include "resolver_internal.h"

enum { SERVERS_MAX = 32, BAD_SERVER_MS = 30000, FAILURE_KEPT_MS = 3000, ALIASES_MAX = 8, TROUBLE_AFTER = 10, COMPLAIN_MS = 60000 };

struct question {
    struct resolver *resolver;
    struct dns_key key;
    char name[254];               /* that is asked for: the key's, or an alias of it */
    unsigned aliases;             /* followed so far */
    uint32_t ttl;                 /* smallest of theirs */
    struct dns_wait *waiters;     /* in no order: they are woken by their views' owners' places */
    struct question *next;        /* in the queue */
    unsigned round;
    uint32_t asked;               /* servers of this round */
    size_t server;                /* that has it now */
    bool unanswered;              /* in this round, some server did not answer */
    enum dns_status best_failure; /* what to say when all fail */
};

struct resolver {
    struct loop *loop;
    struct dns_transport *transport;
    struct resolver_settings settings;
    struct dns_cache *cache;
    struct map *asking;            /* key to struct question: on their way or queued */
    struct question *first, *last; /* queue */
    size_t in_flight, queued;
    size_t servers;
    uint64_t bad_until[SERVERS_MAX];
    struct dns_answer *bad_name, *limit;
    unsigned failed_in_row;        /* questions without an answer since the last that had one */
    bool trouble;                  /* the log says so */
    uint64_t complained_ms;
};

bool key_make(struct dns_key *k, struct str name, unsigned type)
{
    if (!dns_name_normal(name, k->bytes + 2)) {
        return false;
    }
    k->bytes[0] = (char)(type >> 8);
    k->bytes[1] = (char)type;
    k->n = 2 + strlen(k->bytes + 2);
    k->type = type;
    return true;
}

struct resolver *resolver_new(struct loop *l, struct dns_transport *transport, const struct resolver_settings *settings)
{
    struct resolver *r = xcalloc(1, sizeof *r);
    r->loop = l;
    r->transport = transport;
    r->settings = *settings;
    r->settings.tries += settings->tries == 0;
    r->settings.in_flight += settings->in_flight == 0;
    r->cache = dns_cache_new(settings->cache_bytes);
    r->asking = map_new();
    r->servers = transport->server_count(transport);
    assert(r->servers > 0);
    r->servers = r->servers < SERVERS_MAX ? r->servers : SERVERS_MAX;
    r->bad_name = dns_answer_status(DNS_BADNAME, 0);
    r->limit = dns_answer_status(DNS_LIMIT, 0);
    return r;
}

static void free_question(void *p)
{
    struct question *q = p;
    assert(!q->waiters); /* all views must be gone */
    free(q);
}

void resolver_free(struct resolver **resolver)
{
    struct resolver *r = *resolver;
    if (!r) {
        return;
    }
    r->transport->destroy(r->transport); /* calls nobody back any more */
    map_free(&r->asking, free_question);
    dns_cache_free(&r->cache);
    dns_answer_unref(&r->bad_name);
    dns_answer_unref(&r->limit);
    free(r);
    *resolver = NULL;
}

struct loop *resolver_loop(struct resolver *r)
{
    return r->loop;
}

size_t resolver_in_flight(const struct resolver *r)
{
    return r->in_flight;
}

struct dns_answer *resolver_status(struct resolver *r, enum dns_status status)
{
    return status == DNS_BADNAME ? r->bad_name : r->limit;
}

struct dns_answer *resolver_cached(struct resolver *r, struct str name, unsigned type)
{
    struct dns_key k;
    struct dns_answer *a = key_make(&k, name, type) ? dns_cache_get(r->cache, &k, loop_now(r->loop)) : NULL;
    return a ? dns_answer_ref(a) : NULL;
}

/* --- servers --- */

static void came(void *context, enum dns_status status, const uint8_t *message, size_t n);

/* A server that this round has not asked, the healthy ones first; false: all were asked. */
static bool pick_server(struct question *q)
{
    struct resolver *r = q->resolver;
    uint64_t now = loop_now(r->loop);
    for (int bad = 0; bad < 2; bad++) {
        for (size_t i = 0; i < r->servers; i++) {
            if (!(q->asked & 1u << i) && (r->bad_until[i] > now) == bad) {
                q->server = i;
                q->asked |= 1u << i;
                return true;
            }
        }
    }
    return false;
}

/* Asks the next server, when there is one to ask. */
static bool ask_next(struct question *q)
{
    struct resolver *r = q->resolver;
    if (!pick_server(q)) {
        if (!q->unanswered || ++q->round >= r->settings.tries) {
            return false;
        }
        q->asked = 0;
        q->unanswered = false;
        pick_server(q);
    }
    count(COUNTER_DNS_QUESTIONS);
    r->transport->ask(r->transport, q->server, q->name, q->key.type, came, q);
    return true;
}

/* --- questions --- */

static void start(struct question *q)
{
    q->resolver->in_flight++;
    bool asked = ask_next(q);
    assert(asked);
}

static void start_queued(struct resolver *r)
{
    while (r->first && r->in_flight < r->settings.in_flight) {
        struct question *q = r->first;
        r->first = q->next;
        r->last = r->first ? r->last : NULL;
        r->queued--;
        q->next = NULL;
        start(q);
    }
}

static void keep(struct resolver *r, const struct dns_key *k, struct dns_answer *a)
{
    uint64_t now = loop_now(r->loop);
    uint64_t seconds = a->ttl;
    if (a->status == DNS_SERVFAIL || a->status == DNS_TIMEOUT) {
        dns_cache_put(r->cache, k, a, now + FAILURE_KEPT_MS);
        return;
    }
    uint64_t most = a->status == DNS_OK ? r->settings.ttl_max : r->settings.negative_ttl_max;
    seconds = seconds < most ? seconds : most;
    if (seconds > 0 && !dns_failed(a->status)) {
        dns_cache_put(r->cache, k, a, now + seconds * 1000);
    }
}

/* Without DNS mail goes on, and nothing is known of it: that must not stay unnoticed. One dead zone is no trouble of the servers, many questions in
 * a row are. */
static void watch_servers(struct resolver *r, enum dns_status status)
{
    if (!dns_failed(status)) {
        if (r->trouble) {
            log_note(LOG_INFO_, "dns-answers", "questions to DNS are answered again");
        }
        r->failed_in_row = 0;
        r->trouble = false;
        return;
    }
    uint64_t now = loop_now(r->loop);
    if (status == DNS_LIMIT || ++r->failed_in_row < TROUBLE_AFTER || (r->trouble && now - r->complained_ms < COMPLAIN_MS)) {
        return;
    }
    r->trouble = true;
    r->complained_ms = now;
    log_note(LOG_WARN_, "dns-fails", "the last %u questions to DNS had no answer (%s): lists, SPF, DKIM and host names are not known, and mail goes on "
             "without them; is the resolver running, and does it serve us?", r->failed_in_row, dns_status_names[status]);
}

/* The end of a question: takes the answer over. */
static void finish(struct question *q, struct dns_answer *a)
{
    struct resolver *r = q->resolver;
    if (dns_failed(a->status)) {
        count(a->status == DNS_TIMEOUT ? COUNTER_DNS_TIMEOUTS : a->status == DNS_LIMIT ? COUNTER_DNS_REFUSED : COUNTER_DNS_FAILURES);
    }
    watch_servers(r, a->status);
    keep(r, &q->key, a);
    map_remove(r->asking, key_str(&q->key));
    for (struct dns_wait *w = q->waiters, *next; w; w = next) {
        next = w->waiter;
        wait_answered(w, a);
    }
    r->in_flight--;
    free(q);
    dns_answer_unref(&a);
    start_queued(r);
}

static unsigned weight(enum dns_status failure)
{
    return failure == DNS_SERVFAIL ? 3 : failure == DNS_MALFORMED ? 2 : 1;
}

/* The answer ends in an alias that its server left open: asks for what is there, beginning anew with the servers. */
static bool follow_alias(struct question *q, const struct dns_answer *a)
{
    if (!dns_name_of_record(a->alias, q->name) || q->aliases++ == ALIASES_MAX) {
        return false;
    }
    q->ttl = a->ttl < q->ttl ? a->ttl : q->ttl;
    q->asked = 0;
    q->round = 0;
    q->unanswered = false;
    return ask_next(q);
}

/* The transport's answer about one server. */
static void came(void *context, enum dns_status status, const uint8_t *message, size_t n)
{
    struct question *q = context;
    struct resolver *r = q->resolver;
    struct dns_answer *a = NULL;
    if (status == DNS_OK) {
        a = dns_answer_parse(message, n, str_of(q->name), q->key.type);
        status = a->status;
        r->bad_until[q->server] = 0;
    } else if (status != DNS_LIMIT) {
        q->unanswered = true;
        r->bad_until[q->server] = loop_now(r->loop) + BAD_SERVER_MS;
    }
    if (a && a->alias.n > 0) {
        if (follow_alias(q, a)) {
            dns_answer_unref(&a);
            return;
        }
        status = DNS_MALFORMED; /* a loop, or a name that cannot be asked for */
    }
    if (a && !dns_failed(status)) {
        a->ttl = a->ttl < q->ttl ? a->ttl : q->ttl;
        finish(q, a);
        return;
    }
    dns_answer_unref(&a);
    if (q->best_failure == DNS_OK || weight(status) > weight(q->best_failure)) {
        q->best_failure = status;
    }
    if (!ask_next(q)) {
        finish(q, dns_answer_status(q->best_failure, 0));
    }
}

static void join(struct question *q, struct dns_wait *w)
{
    w->question = q;
    w->waiter = q->waiters;
    w->link = &q->waiters;
    if (w->waiter) {
        w->waiter->link = &w->waiter;
    }
    q->waiters = w;
}

void resolver_forget(struct dns_wait *w)
{
    *w->link = w->waiter;
    if (w->waiter) {
        w->waiter->link = w->link;
    }
    w->question = NULL;
}

struct dns_answer *resolver_ask(struct resolver *r, const struct dns_key *k, struct dns_wait *w)
{
    struct dns_answer *a = dns_cache_get(r->cache, k, loop_now(r->loop));
    if (a) {
        count(COUNTER_DNS_CACHE_HITS);
        return a;
    }
    struct question *q = map_get(r->asking, key_str(k));
    if (q) {
        count(COUNTER_DNS_SHARED);
        join(q, w);
        return NULL;
    }
    bool room = r->in_flight < r->settings.in_flight;
    if (!room && r->queued >= r->settings.queue) {
        count(COUNTER_DNS_REFUSED);
        return r->limit;
    }
    q = xcalloc(1, sizeof *q);
    q->resolver = r;
    q->key = *k;
    memcpy(q->name, key_name(k), strlen(key_name(k)) + 1);
    q->ttl = UINT32_MAX;
    join(q, w);
    map_put(r->asking, key_str(k), q);
    if (room) {
        start(q);
        return NULL;
    }
    *(r->last ? &r->last->next : &r->first) = q;
    r->last = q;
    r->queued++;
    return NULL;
}
