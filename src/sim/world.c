/*
 * world.c - the parts of a simulated world put together, run, taken apart; and the promises that hold at the end of every run.
 */
#include "world.h"

#include "postern/base/counters.h"
#include "postern/base/log.h"
#include "postern/base/map.h"
#include "postern/base/random.h"
#include "postern/checks/dnsbl.h"
#include "postern/decide/record.h"
#include "postern/decide/record_text.h"
#include "postern/policy/policy.h"
#include "postern/store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RANDOM_SEED = 20261121, DNS_QUEUE = 10000, TTL_MAX = 86400, NEGATIVE_TTL_MAX = 3600 };
#define PATIENCE_MS UINT64_C(120000)          /* of an expectation: below every time-out of a client's */
#define SESSION_END_MS UINT64_C(10800000)     /* all sessions are over three hours after their clients left */

static void seen_log(void *context, enum log_level level, struct str line)
{
    struct world *w = context;
    (void)level;
    if (!ascii_printable(line))
        ledger_violation(&w->ledger, "a log line with bytes that are not printable");
    buf_str(&w->log, line);
    buf_char(&w->log, '\n');
}

static void seen_record(void *context, struct str line)
{
    struct world *w = context;
    if ((w->record_count & (w->record_count - 1)) == 0) {
        size_t room = w->record_count ? w->record_count * 2 : 1;
        struct str *more = arena_alloc(&w->arena, room * sizeof *more);
        if (w->record_count > 0)
            memcpy(more, w->records, w->record_count * sizeof *more);
        w->records = more;
    }
    w->records[w->record_count++] = arena_str(&w->arena, line);
}

static struct stream *network_connect(struct network *n, const struct addr_port *to, struct task *owner)
{
    struct world *w = (struct world *)(void *)((char *)n - offsetof(struct world, network));
    for (unsigned i = 0; i < w->script->backend_count; i++) {
        const struct addr_port *at = &w->script->backends[i];
        if (at->port == to->port && addr_eq(&at->addr, &to->addr))
            return sim_backend_connect(&w->backends[i], owner);
    }
    return stream_dead(w->loop, "Connection refused", owner);
}

static struct resolver *make_resolver(struct world *w)
{
    struct resolver_settings settings = {
        .timeout_ms = w->settings.dns_timeout,
        .tries = (unsigned)w->settings.dns_tries,
        .in_flight = (unsigned)w->settings.dns_in_flight,
        .queue = DNS_QUEUE,
        .cache_bytes = w->settings.dns_cache,
        .ttl_max = TTL_MAX,
        .negative_ttl_max = NEGATIVE_TTL_MAX,
    };
    return resolver_new(w->loop, &w->dns.transport, &settings);
}

void world_begin(struct world *w, const struct script *script, const struct perturbation *how)
{
    *w = (struct world){
        .script = script, .how = how, .settings = script->settings, .policy = script->policy, .patience_ms = PATIENCE_MS};
    random_fix(RANDOM_SEED);
    memset(counters, 0, COUNTER_COUNT * sizeof *counters);
    w->loop = loop_new_simulated(SIM_EPOCH_MS);
    contexts_begin(script->contexts);
    log_set_sink(seen_log, w);
    sim_spool_take(w);
    if (how->spool_file)
        w->settings.spool_memory = 0;
    w->pair.window = how->window;
    w->pair.read_limit = how->read_limit;
    w->network = (struct network){.connect = network_connect, .loop = w->loop};
    w->ledger.fields_removed = policy_header_count(w->policy) > 0;
    sim_dns_init(&w->dns, w);
    for (unsigned i = 0; i < BACKENDS_MAX; i++)
        sim_backend_init(&w->backends[i], w, i);
    for (unsigned i = 0; i < ACTORS_MAX; i++)
        sim_client_init(&w->clients[i], w, i);
    w->resolver = make_resolver(w);
    w->store = sim_store_new(w);
}

static void give_certificates(struct world *w)
{
    struct str name = STR_NONE;
    struct tls_context *context = contexts_proxy(w->script->contexts, &w->settings, &name);
    if (context)
        proxy_set_tls(w->proxy, context);
    else
        ledger_violation(&w->ledger, "no certificate can be made for %.*s", STR_ARG(name));
}

void world_start(struct world *w)
{
    if (w->proxy)
        return;
    struct proxy_parts parts = {
        .loop = w->loop,
        .network = &w->network,
        .settings = &w->settings,
        .resolver = w->resolver,
        .store = w->store,
        .health = w->health,
        .journal = seen_record,
        .journal_context = w,
    };
    w->proxy = proxy_new(&parts, w->policy);
    w->shadow = w->script->shadow ? w->script->shadow : w->how->shadow;
    proxy_set_shadow(w->proxy, w->shadow);
    if (w->settings.certificate_count > 0)
        give_certificates(w);
    proxy_start(w->proxy);
    loop_settle(w->loop);
}

bool world_wait(struct world *w, uint64_t limit_ms, world_condition condition, const void *what)
{
    uint64_t until = loop_now(w->loop) + limit_ms;
    loop_settle(w->loop);
    while (!condition(w, what)) {
        uint64_t next = loop_next_timer(w->loop);
        if (next > until)
            return false;
        loop_advance_to(w->loop, next);
    }
    return true;
}

void world_advance(struct world *w, uint64_t ms)
{
    loop_advance_to(w->loop, loop_now(w->loop) + ms);
    loop_settle(w->loop);
}

void world_settle(struct world *w)
{
    loop_settle(w->loop);
}

size_t world_backend_dot(struct world *w, struct str content)
{
    for (size_t i = 0; i < ACTORS_MAX; i++)
        observer_suppose(&w->clients[i].observer, content);
    for (size_t i = 0; i < w->earlier_count; i++)
        observer_suppose(&w->earlier[i], content);
    return ledger_backend_dot(&w->ledger, content);
}

bool world_has_client(const struct world *w, const struct addr_port *peer)
{
    struct addr_port one;
    bool found = w->balancers;
    for (size_t at = 0; at < w->arrivals.n && !found; at += sizeof one) {
        memcpy(&one, w->arrivals.p + at, sizeof one);
        found = addr_eq(&one.addr, &peer->addr) && (one.port == peer->port || peer->port == 0);
    }
    return found;
}

void world_policy(struct world *w, struct policy *policy)
{
    w->policy = policy;
    w->ledger.fields_removed = w->ledger.fields_removed || policy_header_count(policy) > 0;
    proxy_set_policy(w->proxy, policy);
    if (w->health)
        list_health_watch(w->health, w->policy, w->shadow);
}

void world_shadow(struct world *w, struct policy *shadow)
{
    w->shadow = shadow;
    proxy_set_shadow(w->proxy, shadow);
    if (w->health)
        list_health_watch(w->health, w->policy, w->shadow);
}

void world_probe_lists(struct world *w)
{
    if (!w->health)
        w->health = list_health_new(w->loop, w->resolver);
    list_health_watch(w->health, w->policy, w->shadow);
    loop_settle(w->loop);
}

static bool no_sessions(struct world *w, const void *what)
{
    (void)what;
    return proxy_sessions(w->proxy) == 0;
}

void world_close(struct world *w)
{
    for (unsigned i = 0; i < ACTORS_MAX; i++)
        sim_client_hang_up(&w->clients[i], CUT_CLOSE);
    if (w->proxy && !world_wait(w, SESSION_END_MS, no_sessions, NULL))
        ledger_violation(&w->ledger, "%zu sessions have not ended three hours after their clients had left",
                         proxy_sessions(w->proxy));
}

/* The policy that made a record. */
static bool judge_under(struct world *w, struct str line, struct policy *policy, struct record_judgement *out,
                        struct arena *arena)
{
    *out = record_judge(line, policy, arena);
    (void)w;
    return out->readable && out->same_policy;
}

/* What `postern explain --id` says of a record: it understands all of it, and no foreign byte comes out. */
static void tell_record(struct world *w, struct str line, struct arena *arena)
{
    struct buf text = {0};
    struct str why;
    if (!record_text(line, arena, &text, &why))
        ledger_violation(&w->ledger, "a record that cannot be told in words: %.*s", STR_ARG(why));
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '\n' && !ascii_printable((struct str){text.p + i, 1})) {
            ledger_violation(&w->ledger, "a record told in words holds the byte %02x", (unsigned char)text.p[i]);
            break;
        }
    }
    buf_free(&text);
}

/* A record evaluated again gives the same verdict and trace (DESIGN section 6, MUST): under the policy that was applied, and under the shadow. */
static void judge_line(struct world *w, struct str line)
{
    struct record_judgement judgement = {.readable = false};
    struct arena arena = {0};
    bool found = false;
    for (size_t i = 0; i <= w->script->policy_count; i++) {
        struct policy *policy = i < w->script->policy_count ? w->script->policies[i] : w->how->shadow;
        if (!policy || !judge_under(w, line, policy, &judgement, &arena))
            continue;
        found = true;
        if (!judgement.same)
            ledger_violation(&w->ledger, "a record judged again is not the same: %.*s", STR_ARG(judgement.why));
    }
    if (!judgement.readable)
        ledger_violation(&w->ledger, "a record that cannot be read: %.*s", STR_ARG(judgement.why));
    else if (!found)
        ledger_violation(&w->ledger, "a record of no policy of this script");
    if (memmem(line.p, line.n, "\"inconsistent\":true", 19))
        ledger_violation(&w->ledger, "a record calls itself inconsistent");
    if (str_find(line, '\n', 0) + 1 != line.n)
        ledger_violation(&w->ledger, "a record that is not one line");
    tell_record(w, line, &arena);
    arena_clear(&arena);
}

/* That depends on the line and the script's policies alone: what was judged well in one run is not judged again in the others. */
static void judge_record(struct world *w, struct str line)
{
    struct map *judged = w->script->judged;
    if (!w->how->shadow && map_get(judged, line))
        return;
    judge_line(w, line);
    if (!w->how->shadow && !w->ledger.violation)
        map_put(judged, line, judged);
}

static void backends_left(struct world *w)
{
    for (unsigned i = 0; i < BACKENDS_MAX; i++) {
        size_t open = sim_backend_open(&w->backends[i]);
        if (open > 0)
            ledger_violation(&w->ledger, "%zu connections to backend %u were left open", open, i + 1);
    }
}

void world_end(struct world *w)
{
    world_close(w);
    if (w->proxy) {
        proxy_free(&w->proxy);
        loop_settle(w->loop);
        backends_left(w);
    }
    log_flush();
    for (size_t i = 0; i < w->record_count; i++)
        judge_record(w, w->records[i]);
    if (w->record_count + counters[COUNTER_CONNECTIONS_REFUSED] < w->connections)
        ledger_violation(&w->ledger, "%zu connections left only %zu records", w->connections, w->record_count);
    for (unsigned i = 0; i < ACTORS_MAX; i++)
        sim_client_clear(&w->clients[i]);
    for (size_t i = 0; i < w->earlier_count; i++)
        observer_clear(&w->earlier[i]);
    free(w->earlier);
    for (unsigned i = 0; i < BACKENDS_MAX; i++)
        sim_backend_clear(&w->backends[i]);
    list_health_free(&w->health);
    resolver_free(&w->resolver);
    store_free(&w->store);
    loop_free(&w->loop);
    sim_dns_clear(&w->dns);
    sim_spool_give_back();
    log_set_sink(NULL, NULL);
    random_fix(0);
}

void world_clear(struct world *w)
{
    ledger_clear(&w->ledger);
    buf_free(&w->last_message);
    buf_free(&w->arrivals);
    buf_free(&w->log);
    arena_clear(&w->arena);
}
