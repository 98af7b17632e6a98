/*
 * backends.c - the pool of backends: their addresses, their health, what they can do.
 *
 * Each backend is probed at start and then every backend-probe: connect, greeting, EHLO, QUIT. Every session's own connection teaches the same.
 * One that fails rests: 1 s, then doubling up to backend-probe; when its rest is over it is probed at once, so that mail need not find out.
 * We announce only what all usable backends have, so that no parameter has to be dropped later.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/net/tls.h"
#include "session.h"

enum { ADDRESSES_MAX = 8, SHORTAGE_MS = 1000 };

struct backend {
    struct backends *pool;
    struct backend_setting setting;
    struct addr_port addresses[ADDRESSES_MAX];
    size_t address_count;
    struct dns_view *names;       /* of the host name, while it is being resolved */
    struct task task;             /* drives the probe */
    struct timer timer;           /* the next probe, or the running probe's deadline */
    struct upstream *probe;
    uint64_t probe_at;            /* mono: not before */
    bool probed;                  /* the first probe has ended, one way or the other */
    bool lives;                   /* its last connection answered */
    bool ever;                    /* it answered at some time: its extensions are known */
    struct extensions extensions;
    struct slots slots;           /* of its connections */
    struct tls_context *tls;      /* NULL: `tls off` */
    uint64_t rests_until;         /* mono */
    uint64_t rest_ms;             /* the last rest; doubles */
};

struct backends {
    struct proxy *proxy;
    struct backend *list;
    size_t count;
    struct task **waiters;
    size_t waiter_count, waiter_cap;
    struct slot_queue queue;
};

static void probe_run(struct task *t);
static void probe_timer(struct timer *t);

/* NULL: it was logged why. `require` verifies as configured, or anyone when nothing was said; a CA file that cannot be read leaves a backend that nobody can reach. */
static struct tls_context *make_tls(const struct backend_setting *set)
{
    struct tls_fingerprint fingerprint;
    struct tls_client_options options = {.verify = TLS_VERIFY_OFF};
    struct arena scratch = {0};
    char *error = NULL;
    if (set->tls_fingerprint.n && tls_fingerprint_parse(set->tls_fingerprint, &fingerprint)) {
        options.verify = TLS_VERIFY_FINGERPRINT;
        options.fingerprints = &fingerprint;
        options.fingerprint_count = 1;
    } else if (set->tls_name.n) {
        options.verify = TLS_VERIFY_NAME;
        options.ca_file = set->tls_ca.n ? arena_cstr(&scratch, set->tls_ca) : NULL;
    }
    struct tls_context *c = tls_context_client(&options, &error);
    if (!c)
        log_note(LOG_ERROR_, "backend-tls", "%.*s: %s", STR_ARG(set->host), error);
    free(error);
    arena_clear(&scratch);
    return c;
}

struct backends *backends_new(struct proxy *p)
{
    const struct settings *s = p->parts.settings;
    struct backends *b = xcalloc(1, sizeof *b);
    b->proxy = p;
    b->count = s->backend_count;
    b->list = xcalloc(b->count ? b->count : 1, sizeof *b->list);
    for (size_t i = 0; i < b->count; i++) {
        struct backend *x = &b->list[i];
        x->pool = b;
        x->setting = s->backends[i];
        x->slots.limit = x->setting.connections ? x->setting.connections : s->backend_connections;
        x->task.run = probe_run;
        x->timer.fire = probe_timer;
        if (x->setting.tls != BACKEND_TLS_OFF) {
            x->tls = make_tls(&x->setting);
            if (!x->tls && x->setting.tls == BACKEND_TLS_MAY)
                x->setting.tls = BACKEND_TLS_OFF;
        }
        if (x->setting.numeric) {
            x->addresses[0] = x->setting.address;
            x->address_count = 1;
        }
    }
    return b;
}

void backends_renew_tls(struct backends *b)
{
    for (size_t i = 0; i < b->count; i++) {
        struct backend *x = &b->list[i];
        struct tls_context *fresh = x->setting.tls_name.n ? make_tls(&x->setting) : NULL;
        if (!fresh)
            continue;
        tls_context_free(&x->tls);
        x->tls = fresh;
    }
}

static void end_probe(struct backend *b)
{
    if (b->probe)
        upstream_close(&b->probe, true);
    dns_view_free(&b->names);
}

void backends_free(struct backends **bp)
{
    struct backends *b = *bp;
    if (!b)
        return;
    for (size_t i = 0; i < b->count; i++) {
        end_probe(&b->list[i]);
        tls_context_free(&b->list[i].tls);
        timer_cancel(b->proxy->parts.loop, &b->list[i].timer);
        loop_unwake(b->proxy->parts.loop, &b->list[i].task);
    }
    free(b->waiters);
    free(b->list);
    free(b);
    *bp = NULL;
}

void backends_start(struct backends *b)
{
    for (size_t i = 0; i < b->count; i++)
        loop_wake(b->proxy->parts.loop, &b->list[i].task);
}

/* --- names --------------------------------------------------------------------------------------------------------------------- */

static void take_addresses(struct backend *b, const struct dns_answer *a)
{
    for (size_t i = 0; a->status == DNS_OK && i < a->count && b->address_count < ADDRESSES_MAX; i++)
        b->addresses[b->address_count++] = (struct addr_port){a->records[i].addr, b->setting.address.port};
}

/* Looks the host name up anew; false: not yet. "localhost" needs no DNS (RFC 6761 6.3). A failed look-up keeps the addresses known so far. */
static bool resolve(struct backend *b)
{
    if (b->setting.numeric)
        return true;
    struct proxy *p = b->pool->proxy;
    if (str_eq_nocase(b->setting.host, STR("localhost"))) {
        b->address_count = 2;
        addr_parse(STR("127.0.0.1"), &b->addresses[0].addr);
        addr_parse(STR("::1"), &b->addresses[1].addr);
        b->addresses[0].port = b->addresses[1].port = b->setting.address.port;
        return true;
    }
    if (!b->names)
        b->names = dns_view_new(p->parts.resolver, &b->task, NULL);
    const struct dns_answer *a4 = dns_view_get(b->names, b->setting.host, DNS_A);
    const struct dns_answer *a6 = dns_view_get(b->names, b->setting.host, DNS_AAAA);
    if (!a4 || !a6)
        return false;
    if (a4->status == DNS_OK || a6->status == DNS_OK) {
        b->address_count = 0;
        take_addresses(b, a4);
        take_addresses(b, a6);
    }
    dns_view_free(&b->names);
    return true;
}

bool backend_address(struct backend *b, size_t k, struct addr_port *out)
{
    if (k >= b->address_count)
        return false;
    *out = b->addresses[k];
    return true;
}

/* --- probes -------------------------------------------------------------------------------------------------------------------- */

static void first_probe_over(struct backend *b)
{
    struct backends *pool = b->pool;
    if (b->probed)
        return;
    b->probed = true;
    if (!backends_probed(pool))
        return;
    for (size_t i = 0; i < pool->waiter_count; i++)
        loop_wake(pool->proxy->parts.loop, pool->waiters[i]);
    pool->waiter_count = 0;
}

static void probe_next(struct backend *b, uint64_t after_ms)
{
    uint64_t now = loop_now(b->pool->proxy->parts.loop);
    b->probe_at = b->rests_until > now ? b->rests_until : now + after_ms;
    timer_set(b->pool->proxy->parts.loop, &b->timer, b->probe_at);
}

static void probe_run(struct task *t)
{
    struct backend *b = (struct backend *)((char *)t - offsetof(struct backend, task));
    struct loop *l = b->pool->proxy->parts.loop;
    if (!b->probe) {
        if (loop_now(l) < b->probe_at || !resolve(b)) /* a stream that is gone may have woken us */
            return;
        b->probe = upstream_new(b->pool->proxy, &b->task, &(struct upstream_wish){.only = b});
    }
    if (upstream_run(b->probe) == UPSTREAM_OPENING) {
        timer_set(l, &b->timer, upstream_deadline(b->probe));
        return;
    }
    bool soon = upstream_busy(b->probe); /* a shortage: it learnt nothing */
    end_probe(b); /* backend_answered or backend_failed was called on the way, or its slot is needed by mail */
    first_probe_over(b);
    probe_next(b, soon ? SHORTAGE_MS : b->pool->proxy->parts.settings->backend_probe);
}

static void probe_timer(struct timer *t)
{
    struct backend *b = (struct backend *)((char *)t - offsetof(struct backend, timer));
    loop_wake(b->pool->proxy->parts.loop, &b->task);
}

static void log_backend(struct backend *b, enum log_level level, const char *event, const char *why)
{
    struct log_line l;
    char port[8];
    snprintf(port, sizeof port, "%u", b->setting.address.port);
    log_begin(&l, level, event);
    log_str(&l, "backend", b->setting.host);
    log_cstr(&l, "port", port);
    if (why)
        log_cstr(&l, "why", why);
    log_end(&l);
}

void backend_answered(struct backend *b, const struct extensions *e)
{
    if (!b->lives)
        log_backend(b, LOG_INFO_, "backend-up", NULL);
    b->lives = b->ever = true;
    b->extensions = *e;
    b->extensions.xclient = STR_NONE; /* it lives no longer than its connection */
    if (b->rest_ms > 0)
        slots_changed(&b->pool->queue, b->setting.route);
    b->rests_until = 0;
    b->rest_ms = 0;
}

void backend_failed(struct backend *b, const char *why)
{
    struct proxy *p = b->pool->proxy;
    uint64_t longest = p->parts.settings->backend_probe;
    count(COUNTER_BACKEND_FAILURES);
    if (b->lives || !b->ever)
        log_backend(b, LOG_WARN_, "backend-down", why);
    b->lives = false;
    b->rest_ms = b->rest_ms == 0 ? 1000 : b->rest_ms * 2;
    if (b->rest_ms > longest)
        b->rest_ms = longest;
    b->rests_until = loop_now(p->parts.loop) + b->rest_ms;
    slots_changed(&b->pool->queue, b->setting.route);
    if (!b->probe)
        probe_next(b, longest);
}

bool backend_rests(const struct backend *b)
{
    return b->rests_until > loop_now(b->pool->proxy->parts.loop);
}

bool backends_probed(const struct backends *b)
{
    for (size_t i = 0; i < b->count; i++)
        if (!b->list[i].probed)
            return false;
    return true;
}

bool backends_ever(const struct backends *b)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->list[i].ever)
            return true;
    return false;
}

void backends_wait(struct backends *b, struct task *waiter)
{
    if (b->waiter_count == b->waiter_cap) {
        b->waiter_cap = b->waiter_cap ? b->waiter_cap * 2 : 16;
        b->waiters = xrealloc(b->waiters, b->waiter_cap * sizeof *b->waiters);
    }
    b->waiters[b->waiter_count++] = waiter;
}

void backends_unwait(struct backends *b, struct task *waiter)
{
    for (size_t i = 0; i < b->waiter_count; i++)
        if (b->waiters[i] == waiter)
            b->waiters[i--] = b->waiters[--b->waiter_count];
}

struct slots *backend_slots(struct backend *b)
{
    return &b->slots;
}

struct slot_queue *backends_queue(struct backends *b)
{
    return &b->queue;
}

size_t backend_number(const struct backend *b)
{
    return (size_t)(b - b->pool->list);
}

const struct backend_setting *backend_setting_of(const struct backend *b)
{
    return &b->setting;
}

struct tls_context *backend_tls_context(struct backend *b)
{
    return b->tls;
}

bool backends_want_client(const struct backends *b)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->list[i].setting.client_address != CLIENT_ADDRESS_NONE)
            return true;
    return false;
}

/* Usable: it lives. When all are dead just now, what those that ever answered had. */
struct extensions backends_extensions(const struct backends *b)
{
    struct extensions all = {.set = ~0u};
    bool any_lives = false, any = false;
    for (size_t i = 0; i < b->count; i++)
        any_lives |= b->list[i].lives;
    for (size_t i = 0; i < b->count; i++) {
        const struct backend *x = &b->list[i];
        if (!x->ever || (any_lives && !x->lives))
            continue;
        any = true;
        all.set &= x->extensions.set;
        if (x->extensions.size_limit && (!all.size_limit || x->extensions.size_limit < all.size_limit))
            all.size_limit = x->extensions.size_limit;
    }
    if (!any)
        all.set = 0;
    return all;
}

size_t backends_count(const struct backends *b)
{
    return b->count;
}

struct backend *backends_at(struct backends *b, size_t i)
{
    return &b->list[i];
}
