/*
 * resolver.c - cache, questions in flight, servers.
 *
 * One question object for each (type, name): it is queued, in flight, or cached. Whoever asks while it is on its way joins it. Answers are
 * kept by their TTL (negative ones by RFC 2308), failures for a few seconds, so that a dead zone does not cost every session its whole
 * deadline. Memory is bounded: the least recently used answers go first.
 *
 * Servers: in order, those that timed out lately last. A server that answers SERVFAIL or nonsense is passed over for this question; a time-out
 * goes on to the next server, and round again as often as `tries` says.
 */
#include <stdlib.h>
#include <string.h>

#include "postern/base/counters.h"
#include "resolver_internal.h"

struct resolver {
    struct loop *loop;
    struct dns_transport *transport;
    struct resolver_settings settings;
    struct map *questions;               /* key -> struct question */
    struct question *oldest, *newest;    /* cached ones */
    struct question *queue, **queue_last;
    size_t queued, in_flight, bytes;
    size_t servers;
    uint64_t bad_until[SERVERS_MAX];
};

struct resolver *resolver_new(struct loop *l, struct dns_transport *transport, const struct resolver_settings *settings)
{
    struct resolver *r = xcalloc(1, sizeof *r);
    r->loop = l;
    r->transport = transport;
    r->settings = *settings;
    r->questions = map_new();
    r->queue_last = &r->queue;
    r->servers = transport->server_count(transport);
    if (r->servers > SERVERS_MAX)
        r->servers = SERVERS_MAX;
    return r;
}

struct loop *resolver_loop(const struct resolver *r)
{
    return r->loop;
}

size_t resolver_in_flight(const struct resolver *r)
{
    return r->in_flight;
}

/* --- cache --------------------------------------------------------------------------------------------------------------------- */

static void unlink_cached(struct resolver *r, struct question *q)
{
    *(q->older ? &q->older->newer : &r->oldest) = q->newer;
    *(q->newer ? &q->newer->older : &r->newest) = q->older;
    q->older = q->newer = NULL;
    r->bytes -= q->bytes;
}

static void link_cached(struct resolver *r, struct question *q)
{
    q->older = r->newest;
    q->newer = NULL;
    *(r->newest ? &r->newest->newer : &r->oldest) = q;
    r->newest = q;
    r->bytes += q->bytes;
}

static void forget(struct resolver *r, struct question *q)
{
    map_remove(r->questions, q->key);
    dns_answer_unref(&q->answer);
    free(q);
}

static void drop_cached(struct resolver *r, struct question *q)
{
    unlink_cached(r, q);
    forget(r, q);
}

static size_t weight(const struct question *q)
{
    return sizeof *q + 2 * q->key.n + sizeof *q->answer + q->answer->count * sizeof *q->answer->records + 3 * q->answer->raw.n + 128;
}

static uint64_t seconds_kept(const struct resolver *r, const struct dns_answer *a)
{
    if (dns_failed(a->status))
        return FAILURE_KEPT_S;
    uint32_t most = a->status == DNS_OK ? r->settings.ttl_max : r->settings.negative_ttl_max;
    return a->ttl < most ? a->ttl : most;
}

/* The answer is here: everybody who waits has it, and the cache keeps it for a while. */
static void conclude(struct resolver *r, struct question *q, struct dns_answer *a)
{
    while (q->waiters) {
        struct view_item *item = q->waiters;
        q->waiters = item->wait_next;
        if (q->waiters)
            q->waiters->wait_link = &q->waiters;
        item->waits_for = NULL;
        item->wait_next = NULL;
        item->answer = dns_answer_ref(a);
        dns_view_wake(item->view);
    }
    q->answer = a;
    uint64_t kept = seconds_kept(r, a);
    if (kept == 0 || r->settings.cache_bytes == 0) {
        forget(r, q);
        return;
    }
    q->expires_ms = loop_now(r->loop) + kept * 1000;
    q->bytes = weight(q);
    link_cached(r, q);
    while (r->bytes > r->settings.cache_bytes && r->oldest)
        drop_cached(r, r->oldest);
}

/* --- servers ------------------------------------------------------------------------------------------------------------------- */

/* The next server for q: not yet tried in this round; those that are not bad first. */
static bool choose_server(const struct resolver *r, const struct question *q, size_t *server)
{
    uint64_t now = loop_now(r->loop);
    for (int bad = 0; bad < 2; bad++)
        for (size_t i = 0; i < r->servers; i++)
            if (!(q->tried >> i & 1) && (r->bad_until[i] > now) == bad) {
                *server = i;
                return true;
            }
    return false;
}

static void send_queued(struct resolver *r);
static void answered(void *context, enum dns_status status, const uint8_t *message, size_t n);

static void ask_server(struct resolver *r, struct question *q, size_t server)
{
    q->server = server;
    q->tried |= 1u << server;
    q->attempts++;
    count(COUNTER_DNS_QUESTIONS);
    r->transport->ask(r->transport, server, q->text, q->type, answered, q);
}

/* This server gave nothing: another one, another round, or the end with a failure. */
static void next_server(struct resolver *r, struct question *q, enum dns_status failure)
{
    size_t server;
    bool more = q->attempts < r->settings.tries * r->servers;
    if (more && !choose_server(r, q, &server) && !q->refused) {
        q->tried = 0; /* time-outs only: another round */
        more = choose_server(r, q, &server);
    } else {
        more = more && choose_server(r, q, &server);
    }
    if (more) {
        ask_server(r, q, server);
        return;
    }
    enum dns_status status = q->refused ? DNS_SERVFAIL : failure;
    count(status == DNS_TIMEOUT ? COUNTER_DNS_TIMEOUTS : COUNTER_DNS_FAILURES);
    r->in_flight--;
    conclude(r, q, dns_answer_status(status, 0));
    send_queued(r);
}

static void answered(void *context, enum dns_status status, const uint8_t *message, size_t n)
{
    struct question *q = context;
    struct resolver *r = q->resolver;
    if (status == DNS_BADNAME) {
        r->in_flight--;
        conclude(r, q, dns_answer_status(DNS_BADNAME, FAILURE_KEPT_S));
        send_queued(r);
        return;
    }
    if (status != DNS_OK) {
        if (status == DNS_TIMEOUT)
            r->bad_until[q->server] = loop_now(r->loop) + BAD_SERVER_MS;
        else
            q->refused = true;
        next_server(r, q, status);
        return;
    }
    r->bad_until[q->server] = 0;
    struct dns_answer *a = dns_answer_parse(message, n, str_of(q->text), q->type);
    if (dns_failed(a->status)) {
        q->refused = true;
        dns_answer_unref(&a);
        next_server(r, q, DNS_SERVFAIL);
        return;
    }
    r->in_flight--;
    conclude(r, q, a);
    send_queued(r);
}

static void send_queued(struct resolver *r)
{
    while (r->queue && r->in_flight < r->settings.in_flight) {
        struct question *q = r->queue;
        size_t server = 0;
        r->queue = q->queue_next;
        if (!r->queue)
            r->queue_last = &r->queue;
        q->queue_next = NULL;
        r->queued--;
        r->in_flight++;
        choose_server(r, q, &server);
        ask_server(r, q, server);
    }
}

/* --- asking -------------------------------------------------------------------------------------------------------------------- */

static struct str make_key(char out[260], const char *name, unsigned type)
{
    size_t n = strlen(name);
    out[0] = (char)(type >> 8);
    out[1] = (char)type;
    memcpy(out + 2, name, n);
    return (struct str){out, n + 2};
}

static void join(struct question *q, struct view_item *item)
{
    item->waits_for = q;
    item->wait_next = q->waiters;
    item->wait_link = &q->waiters;
    if (q->waiters)
        q->waiters->wait_link = &item->wait_next;
    q->waiters = item;
}

static struct question *lookup(struct resolver *r, struct str key)
{
    struct question *q = map_get(r->questions, key);
    if (!q || !q->answer)
        return q;
    if (loop_now(r->loop) >= q->expires_ms) {
        drop_cached(r, q);
        return NULL;
    }
    unlink_cached(r, q);
    link_cached(r, q);
    return q;
}

static struct question *question_new(struct resolver *r, struct str key, const char *name, unsigned type)
{
    size_t n = strlen(name) + 1;
    struct question *q = xcalloc(1, sizeof *q + n + key.n);
    q->resolver = r;
    q->type = type;
    memcpy(q->text, name, n);
    memcpy(q->text + n, key.p, key.n);
    q->key = (struct str){q->text + n, key.n};
    map_put(r->questions, q->key, q);
    return q;
}

bool resolver_ask(struct resolver *r, const char *name, unsigned type, struct view_item *waiter, struct dns_answer **answer)
{
    char text[260];
    struct str key = make_key(text, name, type);
    struct question *q = lookup(r, key);
    *answer = NULL;
    if (q && q->answer) {
        count(COUNTER_DNS_CACHE_HITS);
        *answer = dns_answer_ref(q->answer);
        return true;
    }
    if (q) {
        count(COUNTER_DNS_SHARED);
    } else {
        if (r->servers == 0 || (r->in_flight >= r->settings.in_flight && r->queued >= r->settings.queue))
            return false;
        q = question_new(r, key, name, type);
        *r->queue_last = q;
        r->queue_last = &q->queue_next;
        r->queued++;
    }
    join(q, waiter);
    send_queued(r);
    return true;
}

struct dns_answer *resolver_cached(struct resolver *r, struct str name, unsigned type)
{
    char normal[254], text[260];
    if (!dns_name_normal(name, normal))
        return NULL;
    struct question *q = lookup(r, make_key(text, normal, type));
    return q && q->answer ? dns_answer_ref(q->answer) : NULL;
}

static void free_question(void *p)
{
    struct question *q = p;
    dns_answer_unref(&q->answer);
    free(q);
}

void resolver_free(struct resolver **rp)
{
    struct resolver *r = *rp;
    if (!r)
        return;
    r->transport->destroy(r->transport);
    map_free(&r->questions, free_question);
    free(r);
    *rp = NULL;
}
