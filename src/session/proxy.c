/*
 * proxy.c - what all sessions share, the door with its limits, draining.
 */
#include <stdlib.h>

#include "postern/base/log.h"
#include "postern/net/tls.h"
#include "session.h"

struct proxy *proxy_new(const struct proxy_parts *parts, struct policy *policy)
{
    struct proxy *p = xcalloc(1, sizeof *p);
    p->parts = *parts;
    p->world = (struct evidence_world){.loop = parts->loop,
                                       .settings = parts->settings,
                                       .resolver = parts->resolver,
                                       .store = parts->store,
                                       .health = parts->health};
    proxy_set_policy(p, policy);
    p->backends = backends_new(p);
    p->tells_client = backends_want_client(p->backends);
    p->per_client = map_new();
    p->per_network = map_new();
    p->scratch = xmalloc(READ_CHUNK);
    return p;
}

void proxy_start(struct proxy *p)
{
    backends_start(p->backends);
}

void proxy_set_policy(struct proxy *p, struct policy *policy)
{
    struct policy *old = p->policy;
    p->policy = policy_ref(policy);
    p->snapshots = stages_want_snapshots(p, policy);
    p->in_turn = rates_want_turns(policy);
    policy_unref(&old);
}

void proxy_set_shadow(struct proxy *p, struct policy *shadow)
{
    struct policy *old = p->shadow;
    p->shadow = shadow ? policy_ref(shadow) : NULL;
    p->snapshots = stages_want_snapshots(p, p->policy);
    policy_unref(&old);
}

void proxy_set_tls(struct proxy *p, struct tls_context *context)
{
    struct tls_context *old = p->tls;
    p->tls = context ? tls_context_hold(context) : NULL;
    tls_context_free(&old);
}

void proxy_renew_tls(struct proxy *p)
{
    backends_renew_tls(p->backends);
}

bool proxy_wants_local(const struct proxy *p)
{
    return p->tells_client;
}

size_t proxy_sessions(const struct proxy *p)
{
    return p->session_count;
}

/* --- the door ------------------------------------------------------------------------------------------------------------------ */

static struct str client_key(const struct addr *a, char text[ADDR_TEXT])
{
    return str_of(addr_format(a, text));
}

static struct str network_key(const struct addr *a, char text[PREFIX_TEXT])
{
    struct prefix net = addr_network(a, 24, 64);
    return str_of(prefix_format(&net, text));
}

static size_t tally(const struct map *m, struct str key)
{
    return (size_t)(uintptr_t)map_get(m, key);
}

static void tally_add(struct map *m, struct str key, int step)
{
    size_t n = tally(m, key) + (size_t)step;
    if (n == 0)
        map_remove(m, key);
    else
        map_put(m, key, (void *)(uintptr_t)n);
}

/* Refuses at the door: one line and the end, no session. */
static void turn_away(struct proxy *p, struct stream *client, enum reply_id id, bool expects_tls)
{
    struct arena arena = {0};
    struct buf out = {0};
    struct reply r = reply_make(&arena, id, p->parts.settings->hostname);
    reply_format(&out, &r, true, STR_NONE);
    if (!expects_tls) /* nothing can be said in clear to who expects TLS */
        stream_put(client, out.p, out.n);
    linger_close(p, &client);
    buf_free(&out);
    arena_clear(&arena);
    count(COUNTER_CONNECTIONS_REFUSED);
}

/* The first one whom a limit keeps out is named in the log, then one a minute: a flood of connections must not become one of lines. */
static void say_kept_out(struct proxy *p, const struct addr_port *peer, const char *limit)
{
    enum { SAY_MS = 60000 };
    uint64_t now = loop_now(p->parts.loop);
    if (p->door_said_ms != 0 && now - p->door_said_ms < SAY_MS) {
        p->door_unsaid++;
        return;
    }
    struct log_line line;
    log_begin(&line, LOG_WARN_, "connection-refused");
    log_addr(&line, "client", &peer->addr);
    log_cstr(&line, "limit", limit);
    if (p->door_unsaid > 0)
        log_u64(&line, "others-since-last", p->door_unsaid);
    log_end(&line);
    p->door_said_ms = now;
    p->door_unsaid = 0;
}

bool proxy_admit(struct proxy *p, const struct addr_port *peer, enum reply_id *refusal)
{
    const struct settings *set = p->parts.settings;
    char address[ADDR_TEXT], network[PREFIX_TEXT];
    struct str by_client = client_key(&peer->addr, address), by_network = network_key(&peer->addr, network);
    *refusal = REPLY_TOO_MANY_CONNECTIONS;
    bool client_full = tally(p->per_client, by_client) >= set->max_per_client;
    if (client_full || tally(p->per_network, by_network) >= set->max_per_network) {
        say_kept_out(p, peer, client_full ? "max-per-client" : "max-per-network");
        return false;
    }
    tally_add(p->per_client, by_client, 1);
    tally_add(p->per_network, by_network, 1);
    return true;
}

static bool from_balancer(const struct arrival *a)
{
    return a->listener->proxy_from && prefix_set_has(a->listener->proxy_from, &a->peer.addr);
}

void proxy_accept(struct proxy *p, struct stream *client, const struct arrival *arrival)
{
    enum reply_id refusal = REPLY_SHUTDOWN;
    bool welcome = !p->draining;
    if (welcome && p->session_count >= p->parts.settings->max_sessions) {
        say_kept_out(p, &arrival->peer, "max-sessions");
        refusal = REPLY_TOO_BUSY;
        welcome = false;
    }
    if (welcome && !from_balancer(arrival)) /* whose client is counted when it is known */
        welcome = proxy_admit(p, &arrival->peer, &refusal);
    if (!welcome) {
        turn_away(p, client, refusal, arrival->listener->tls);
        return;
    }
    p->session_count++;
    session_new(p, client, arrival);
}

void proxy_session_gone(struct proxy *p, const struct addr_port *peer)
{
    char address[ADDR_TEXT], network[PREFIX_TEXT];
    if (peer) {
        tally_add(p->per_client, client_key(&peer->addr, address), -1);
        tally_add(p->per_network, network_key(&peer->addr, network), -1);
    }
    p->session_count--;
    proxy_check_drained(p);
}

/* --- the end ------------------------------------------------------------------------------------------------------------------- */

static void drain_done(struct task *t)
{
    struct proxy *p = (struct proxy *)((char *)t - offsetof(struct proxy, drain_task));
    if (p->drained)
        p->drained(p->drained_context);
}

void proxy_check_drained(struct proxy *p)
{
    if (!p->draining || p->session_count > 0 || p->closing_count > 0 || p->linger_count > 0 || p->ending)
        return;
    loop_wake(p->parts.loop, &p->drain_task);
}

void proxy_drain(struct proxy *p, void (*drained)(void *context), void *context)
{
    p->draining = true;
    p->drained = drained;
    p->drained_context = context;
    p->drain_task.run = drain_done;
    for (struct session *s = p->sessions, *next; s; s = next) {
        next = s->next;
        session_drain(s);
    }
    while (p->closing) /* the evidence that is still missing will not be waited for */
        closing_expire(p->closing);
    proxy_check_drained(p);
}

void proxy_free(struct proxy **pp)
{
    struct proxy *p = *pp;
    if (!p)
        return;
    p->ending = true;
    while (p->sessions) {
        if (p->sessions->phase >= PHASE_GREET)
            speak_id(p->sessions, REPLY_SHUTDOWN, STR_NONE);
        session_end(p->sessions, HANGUP_SHUTDOWN);
    }
    while (p->closing)
        closing_expire(p->closing);
    linger_end_all(p);
    loop_unwake(p->parts.loop, &p->drain_task);
    backends_free(&p->backends);
    policy_unref(&p->policy);
    policy_unref(&p->shadow);
    tls_context_free(&p->tls);
    map_free(&p->per_client, NULL);
    map_free(&p->per_network, NULL);
    free(p->scratch);
    free(p);
    *pp = NULL;
}
