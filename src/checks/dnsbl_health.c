/*
 * dnsbl_health.c - probes of lists at their test points (RFC 5782 section 5), and the rest of those that answer wrongly.
 *
 * Each zone of the policy that wants probing has an entry: a timer, and a DNS view while a probe is under way. Both test points are asked
 * together; when both answers are there the list is judged: error codes, everything listed, nothing listed, or sound. An answer that could not
 * be had changes nothing. Watching another policy keeps what is known of zones that both declare.
 */
#include <stdlib.h>
#include <string.h>

#include "postern/base/counters.h"
#include "postern/base/log.h"
#include "postern/base/map.h"
#include "postern/checks/dnsbl.h"

enum { EVERY_MS = 60 * 60 * 1000, RESTING_EVERY_MS = 10 * 60 * 1000 };

struct watched {
    struct list_health *health;
    struct timer timer;
    struct task task;
    struct dns_view *view;         /* a probe is under way */
    bool allow_list;
    bool probed;                   /* at least once, whatever came of it */
    char listed[254], unlisted[254]; /* names of the two test points */
    struct buf shown;              /* the zone without its secret, for the log */
    const char *rests_why;         /* NULL: it does not rest */
};

struct list_health {
    struct loop *loop;
    struct resolver *resolver;
    struct map *lists; /* zone -> struct watched */
    uint64_t await_until_ms;
};

struct list_health *list_health_new(struct loop *l, struct resolver *r)
{
    struct list_health *h = xcalloc(1, sizeof *h);

    *h = (struct list_health){.loop = l, .resolver = r, .lists = map_new()};
    return h;
}

static void watched_free(void *value)
{
    struct watched *w = value;

    timer_cancel(w->health->loop, &w->timer);
    loop_unwake(w->health->loop, &w->task);
    dns_view_free(&w->view);
    buf_free(&w->shown);
    free(w);
}

void list_health_free(struct list_health **h)
{
    if (!*h)
        return;
    map_free(&(*h)->lists, watched_free);
    free(*h);
    *h = NULL;
}

static const struct watched *find(const struct list_health *h, struct str zone)
{
    return h ? map_get(h->lists, zone) : NULL;
}

bool list_rests(const struct list_health *h, struct str zone)
{
    return list_rests_why(h, zone) != NULL;
}

const char *list_rests_why(const struct list_health *h, struct str zone)
{
    const struct watched *w = find(h, zone);

    return w ? w->rests_why : NULL;
}

void list_health_await(struct list_health *h, uint64_t until_ms)
{
    h->await_until_ms = until_ms;
}

bool list_is_awaited(const struct list_health *h, struct str zone)
{
    const struct watched *w = find(h, zone);

    return w && !w->probed && loop_now(h->loop) < h->await_until_ms;
}

static void say(const struct watched *w, enum log_level level, const char *event, const char *why)
{
    struct log_line line;

    log_begin(&line, level, event);
    log_str(&line, "zone", buf_view(&w->shown));
    if (why)
        log_cstr(&line, "why", why);
    log_end(&line);
}

/* What the two answers say: NULL sound, else why the list must rest; *certain is false when too little is known to change anything. */
static const char *judge(const struct watched *w, const struct dns_answer *listed, const struct dns_answer *unlisted, bool *certain)
{
    struct addr codes[8];
    const char *why;
    size_t count;

    *certain = true;
    bool known = dnsbl_judge(unlisted, w->allow_list, codes, 8, &count, &why);
    if (known && count > 0)
        return "the list rests: it lists everything (127.0.0.1, RFC 5782 section 5)";
    bool error_code = !known && unlisted->status == DNS_OK;
    bool sound = known;
    known = dnsbl_judge(listed, w->allow_list, codes, 8, &count, &why);
    if (error_code || (!known && listed->status == DNS_OK))
        return "the list rests: it answers with error codes";
    if (known && count == 0)
        return "the list rests: it lists nothing (127.0.0.2, RFC 5782 section 5)";
    *certain = sound && known;
    return NULL;
}

/* Woken when an answer came. */
static void look(struct task *t)
{
    struct watched *w = (struct watched *)((char *)t - offsetof(struct watched, task));

    if (!w->view)
        return;
    const struct dns_answer *listed = dns_view_get(w->view, str_of(w->listed), DNS_A);
    const struct dns_answer *unlisted = dns_view_get(w->view, str_of(w->unlisted), DNS_A);
    if (!listed || !unlisted)
        return;
    bool certain;
    w->probed = true;
    const char *why = judge(w, listed, unlisted, &certain);
    if (certain && why && !w->rests_why) {
        count(COUNTER_DNSBL_RESTED);
        say(w, LOG_WARN_, "list-rests", why);
    } else if (certain && !why && w->rests_why) {
        say(w, LOG_INFO_, "list-used-again", NULL);
    }
    if (certain)
        w->rests_why = why;
    dns_view_free(&w->view);
    timer_set_in(w->health->loop, &w->timer, w->rests_why ? RESTING_EVERY_MS : EVERY_MS);
}

static void probe(struct timer *t)
{
    struct watched *w = (struct watched *)((char *)t - offsetof(struct watched, timer));

    w->view = dns_view_new(w->health->resolver, &w->task, NULL);
    dns_view_get(w->view, str_of(w->listed), DNS_A);
    dns_view_get(w->view, str_of(w->unlisted), DNS_A);
    loop_wake(w->health->loop, &w->task); /* both may have been in the cache */
}

/* 127.0.0.N, for a list of IPv6 alone ::FFFF:7F00:N; made by hand, because an address of this form read from text is IPv4. */
static struct addr test_point(bool ipv6, uint8_t last)
{
    if (ipv6)
        return (struct addr){.family = 6, .b = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = last}};
    return (struct addr){.family = 4, .b = {127, 0, 0, last}};
}

static struct watched *watched_new(struct list_health *h, const struct declaration *d)
{
    struct addr listed = test_point(!d->ipv4, 2), unlisted = test_point(!d->ipv4, 1);
    struct watched *w = xcalloc(1, sizeof *w);

    *w = (struct watched){.health = h, .timer = {.fire = probe}, .task = {.run = look}, .allow_list = d->kind == DECLARE_DNSWL};
    dnsbl_zone_shown(d, &w->shown);
    w->probed = !dnsbl_query_name(d, &listed, 128, w->listed) || !dnsbl_query_name(d, &unlisted, 128, w->unlisted);
    if (!w->probed)
        timer_set_in(h->loop, &w->timer, 0);
    return w;
}

/* before: those watched so far, of which it takes what it can use. */
static void watch(struct list_health *h, const struct policy *p, struct map *before)
{
    for (size_t i = 0; i < policy_declaration_count(p); i++) {
        const struct declaration *d = policy_declaration(p, i);
        if ((d->kind != DECLARE_DNSBL && d->kind != DECLARE_DNSWL) || !d->probe || map_get(h->lists, d->zone))
            continue;
        struct watched *w = watched_new(h, d), *known = map_remove(before, d->zone);
        if (known && strcmp(known->listed, w->listed) == 0) { /* also the same key and kind of address */
            watched_free(w);
            w = known;
        } else if (known) {
            watched_free(known);
        }
        map_put(h->lists, d->zone, w);
    }
}

void list_health_watch(struct list_health *h, const struct policy *p, const struct policy *shadow)
{
    struct map *before = h->lists;

    h->lists = map_new();
    watch(h, p, before);
    if (shadow)
        watch(h, shadow, before);
    map_free(&before, watched_free);
}
