/*
 * world.h - a small world for the tests of this room: simulated loop, DNS from a table (each answer with its delay), memory
 * store, a policy given as text, and a chain of scopes. Questions are counted, so that a test can say what must not have been
 * asked.
 */
#ifndef TESTS_DECIDE_WORLD_H
#define TESTS_DECIDE_WORLD_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/checks/content.h"
#include "postern/checks/rate.h"
#include "postern/decide/decide.h"
#include "postern/decide/record.h"

struct dns_row { /* what the fake DNS says of one name; names without a row are NXDOMAIN at once */
    const char *name;
    unsigned type;
    const char *record; /* NULL: nxdomain; "never": no answer at all; "servfail" */
    uint64_t delay_ms;
};

struct fake_question {
    struct timer timer; /* first: what fires is the question */
    struct fake_dns *dns;
    struct fake_question *next;
    const struct dns_row *row;
    char name[256];
    unsigned type;
    void (*done)(void *context, enum dns_status status, const uint8_t *message, size_t n);
    void *context;
};

struct fake_dns {
    struct dns_transport transport; /* first */
    struct loop *loop;
    const struct dns_row *rows; /* ends with a row without name */
    size_t asked;
    char log[64][256]; /* names asked, in order */
    struct fake_question *questions;
};

struct world {
    struct loop *loop;
    struct settings settings;
    struct fake_dns dns;
    struct resolver *resolver;
    struct evidence_world evidence;
    struct policy *policy;
    struct task owner; /* first woken by answers */
    unsigned woken, budget;
    struct arena arena;
    struct scope *scopes[STAGE_COUNT];
};

static inline struct world *world_of(struct task *t)
{
    return (struct world *)((char *)t - offsetof(struct world, owner));
}

static inline void world_woken(struct task *t)
{
    world_of(t)->woken++;
}

/* --- DNS --- */

static inline void fake_answer(struct timer *t)
{
    struct fake_question *q = (struct fake_question *)t;
    const char *record = q->row ? q->row->record : NULL;
    struct dns_build b = {.answers = 0};
    bool servfail = record && !strcmp(record, "servfail");
    dns_build_begin(&b, str_of(q->name), q->type, servfail ? 2 : record ? 0 : 3);
    if (record && !servfail)
        cr_assert(dns_build_record(&b, str_of(q->name), q->type, 300, str_of(record)), "%s", record);
    if (!record)
        dns_build_soa(&b, 300);
    struct str message = dns_build_end(&b);
    q->done(q->context, DNS_OK, (const uint8_t *)message.p, message.n);
    buf_free(&b.out);
}

static inline void fake_ask(struct dns_transport *t, size_t server, const char *name, unsigned type,
                            void (*done)(void *context, enum dns_status status, const uint8_t *message, size_t n), void *context)
{
    struct fake_dns *dns = (struct fake_dns *)t;
    struct fake_question *q = xcalloc(1, sizeof(*q));
    (void)server;
    *q = (struct fake_question){.timer.fire = fake_answer, .dns = dns, .type = type, .done = done, .context = context, .next = dns->questions};
    snprintf(q->name, sizeof(q->name), "%s", name);
    if (dns->asked < 64)
        snprintf(dns->log[dns->asked], sizeof(dns->log[0]), "%s", name);
    dns->asked++;
    dns->questions = q;
    for (const struct dns_row *row = dns->rows; row && row->name; row++) {
        if (row->type == type && !strcmp(row->name, name))
            q->row = row;
    }
    if (q->row && q->row->record && !strcmp(q->row->record, "never"))
        return;
    timer_set_in(dns->loop, &q->timer, q->row ? q->row->delay_ms : 1);
}

static inline size_t fake_servers(struct dns_transport *t)
{
    (void)t;
    return 1;
}

static inline void fake_destroy(struct dns_transport *t)
{
    struct fake_dns *dns = (struct fake_dns *)t;
    while (dns->questions) {
        struct fake_question *q = dns->questions;
        dns->questions = q->next;
        timer_cancel(dns->loop, &q->timer);
        free(q);
    }
}

static inline bool world_asked(const struct world *w, const char *part)
{
    for (size_t i = 0; i < w->dns.asked && i < 64; i++) {
        if (strstr(w->dns.log[i], part))
            return true;
    }
    return false;
}

/* --- policies --- */

struct text_reader {
    struct source_reader reader; /* first */
    const char *text;
};

static inline struct source *text_read(struct source_reader *r, const char *path, const char **error)
{
    *error = NULL;
    return source_new(path, str_of(((struct text_reader *)r)->text));
}

static inline struct policy *policy_of(const char *text)
{
    struct text_reader reader = {{text_read}, text};
    struct str domains[] = {STR("our.test")};
    struct policy_input input = {.reader = &reader.reader, .domains = domains, .domain_count = 1, .help = STR("help.test")};
    struct diags diags = {.count = 0};
    struct policy *p = policy_load("test.policy", &input, &diags);
    struct buf out = {0};
    diag_print(&diags, &out);
    buf_char(&out, '\0');
    cr_assert(p, "%s", out.p);
    buf_free(&out);
    diag_clear(&diags);
    return p;
}

/* --- the world --- */

/* In place: tasks and timers point into it. */
static inline void world_init(struct world *w, const char *policy, const struct dns_row *rows)
{
    memset(w, 0, sizeof(*w));
    w->loop = loop_new_simulated(1800000000000);
    settings_defaults(&w->settings);
    w->settings.hostname = STR("mx.our.test");
    w->settings.help = STR("help.test");
    w->dns = (struct fake_dns){.transport = {.ask = fake_ask, .server_count = fake_servers, .destroy = fake_destroy}, .loop = w->loop, .rows = rows};
    struct resolver_settings resolver = {.timeout_ms = 60000, .tries = 1, .in_flight = 100, .queue = 100, .cache_bytes = 1 << 20,
                                         .ttl_max = 86400, .negative_ttl_max = 3600};
    w->resolver = resolver_new(w->loop, &w->dns.transport, &resolver);
    w->evidence = (struct evidence_world){.loop = w->loop, .settings = &w->settings, .resolver = w->resolver, .store = store_memory(w->loop, 1000)};
    w->policy = policy_of(policy);
    w->owner.run = world_woken;
    w->budget = 500;
}

static inline void world_clear(struct world *w)
{
    for (int stage = STAGE_COUNT - 1; stage >= 0; stage--)
        scope_unref(&w->scopes[stage]);
    loop_unwake(w->loop, &w->owner);
    policy_unref(&w->policy);
    resolver_free(&w->resolver);
    store_free(&w->evidence.store);
    loop_free(&w->loop);
    settings_clear(&w->settings);
    arena_clear(&w->arena);
}

static inline struct scope *world_scope(struct world *w, enum stage stage, struct scope *parent, const struct subject *subject)
{
    return scope_new(&w->evidence, w->policy, stage, parent, subject, &w->owner, &w->budget, loop_now(w->loop));
}

static inline struct path world_path(struct world *w, const char *text)
{
    struct path path;
    cr_assert(path_parse(str_of(text), true, true, &w->arena, &path), "%s", text);
    return path;
}

/* The snapshots of a session, as it writes them before each evaluation. */
static inline void world_snapshots(struct scope *s)
{
    facts_set_bool(&s->facts, FACT_TLS, false);
    facts_set_bool(&s->facts, FACT_EARLY_TALK, false);
    facts_set_bool(&s->facts, FACT_EARLY_PIPELINING, false);
    facts_set_bool(&s->facts, FACT_HTTP, false);
    facts_set_number(&s->facts, FACT_ERRORS, 0);
    if (s->stage == STAGE_RCPT)
        facts_set_number(&s->facts, FACT_RCPT_COUNT, 1);
    if (s->stage == STAGE_DATA)
        facts_set_text(&s->facts, FACT_CLASS, STR("normal"));
}

static inline struct scope *world_connect(struct world *w, const char *client)
{
    struct subject subject = {.listener = STR("*:25"), .client.port = 40000};
    cr_assert(addr_parse(str_of(client), &subject.client.addr));
    w->scopes[STAGE_CONNECT] = world_scope(w, STAGE_CONNECT, NULL, &subject);
    world_snapshots(w->scopes[STAGE_CONNECT]);
    return w->scopes[STAGE_CONNECT];
}

static inline struct scope *world_helo(struct world *w, const char *name)
{
    struct subject subject = {.helo = str_of(name)};
    w->scopes[STAGE_HELO] = world_scope(w, STAGE_HELO, w->scopes[STAGE_CONNECT], &subject);
    world_snapshots(w->scopes[STAGE_HELO]);
    return w->scopes[STAGE_HELO];
}

static inline struct scope *world_mail(struct world *w, const char *from)
{
    struct subject subject = {.sender = world_path(w, from)};
    w->scopes[STAGE_MAIL] = world_scope(w, STAGE_MAIL, w->scopes[STAGE_HELO], &subject);
    world_snapshots(w->scopes[STAGE_MAIL]);
    return w->scopes[STAGE_MAIL];
}

/* Owned by the caller: there are many. */
static inline struct scope *world_rcpt(struct world *w, const char *to)
{
    struct subject subject = {.recipient = world_path(w, to)};
    struct scope *s = world_scope(w, STAGE_RCPT, w->scopes[STAGE_MAIL], &subject);
    world_snapshots(s);
    return s;
}

static inline struct scope *world_data(struct world *w, uint64_t size)
{
    struct subject subject = {.content = {.size = size, .longest_line = 78}};
    w->scopes[STAGE_DATA] = world_scope(w, STAGE_DATA, w->scopes[STAGE_MAIL], &subject);
    content_ended(w->scopes[STAGE_DATA], &subject.content);
    world_snapshots(w->scopes[STAGE_DATA]);
    return w->scopes[STAGE_DATA];
}

/* Decides a stage, letting time pass from answer to answer and deadline to deadline, as a session does. Returns how long it took. */
static inline uint64_t world_decide(struct world *w, struct scope *s, const struct decide_input *in, struct walk *out)
{
    uint64_t start = loop_now(w->loop);
    while (decide_stage(s, in, out) == DECIDE_NOT_YET) {
        unsigned before = w->woken;
        uint64_t deadline = decide_next_deadline(s);
        loop_settle(w->loop);
        while (w->woken == before && loop_now(w->loop) < deadline) {
            uint64_t next = loop_next_timer(w->loop);
            cr_assert(next != UINT64_MAX || deadline != UINT64_MAX, "it waits for nothing");
            loop_advance_to(w->loop, next < deadline ? next : deadline);
            loop_settle(w->loop);
        }
    }
    return loop_now(w->loop) - start;
}

#endif
