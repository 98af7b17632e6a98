/*
 * world.h - a small world for checks: virtual time, a real resolver over a transport that answers from a table, a memory store, a policy
 * from text. Included by each test of this folder; everything in it is static.
 *
 *     struct world w;
 *     world_open(&w, "dnsbl zen \"zen.test\"\n");
 *     answers(&w, "9.113.0.203.in-addr.arpa", DNS_PTR, "mail.example");      10 ms later; see answers() for the words
 *     struct scope *s = world_connect(&w, "203.0.113.9");
 *     world_run(&w, s, CHECK_FCRDNS, 0);
 *     expect(s, "fcrdns", "pass");
 *     scope_unref(&s); world_close(&w);
 */
#ifndef TESTS_CHECKS_WORLD_H
#define TESTS_CHECKS_WORLD_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/base/counters.h"
#include "postern/base/log.h"
#include "postern/checks/check.h"
#include "postern/checks/dnsbl.h"

enum { ROWS_MAX = 256, WORLD_WALL = 1795292100 };

struct row { /* what DNS says of one question */
    char name[254];
    unsigned type;
    const char *what;
    uint64_t delay_ms;
    unsigned asked;
};

struct world {
    struct loop *loop;
    struct dns_transport transport;
    struct row rows[ROWS_MAX];
    size_t row_count;
    unsigned asked;              /* questions that reached the transport */
    struct pending *pending;
    struct resolver *resolver;
    struct settings settings;
    struct policy *policy;
    struct evidence_world evidence;
    struct task owner;
    struct timer deadline;
    unsigned woken;
    unsigned budget;
    struct buf log;
};

/* --- the transport --- */

struct pending {
    struct world *w;
    struct timer timer;
    struct row *row;
    void (*done)(void *context, enum dns_status status, const uint8_t *message, size_t n);
    void *context;
    struct pending *next, **place;
};

static inline void pending_unlink(struct pending *p)
{
    *p->place = p->next;
    if (p->next)
        p->next->place = p->place;
}

static inline void pending_answer(struct timer *t)
{
    struct pending *p = (struct pending *)((char *)t - offsetof(struct pending, timer));
    const char *what = p->row->what;
    struct dns_build b = {0};
    bool negative = strcmp(what, "nxdomain") == 0 || strcmp(what, "nodata") == 0;

    pending_unlink(p);
    if (strcmp(what, "timeout") == 0) {
        p->done(p->context, DNS_TIMEOUT, NULL, 0);
    } else if (strcmp(what, "garbage") == 0) {
        p->done(p->context, DNS_OK, (const uint8_t *)"\x00\x01\x81\x80\x00\x01\xff\xff\xc0\x0c\xc0\x0c\xc0", 13);
    } else {
        unsigned rcode = strcmp(what, "nxdomain") == 0 ? 3 : strcmp(what, "servfail") == 0 ? 2 : 0;
        dns_build_begin(&b, str_of(p->row->name), p->row->type, rcode);
        struct str rest = rcode || negative ? STR_NONE : str_of(what), part;
        while (str_split(&rest, '|', &part))
            cr_assert(dns_build_record(&b, str_of(p->row->name), p->row->type, 300, part), "unreadable record [%.*s]", STR_ARG(part));
        if (negative)
            dns_build_soa(&b, 300);
        struct str message = dns_build_end(&b);
        p->done(p->context, DNS_OK, (const uint8_t *)message.p, message.n);
        buf_free(&b.out);
    }
    free(p);
}

static inline void transport_ask(struct dns_transport *t, size_t server, const char *name, unsigned type,
                                 void (*done)(void *context, enum dns_status status, const uint8_t *message, size_t n), void *context)
{
    struct world *w = (struct world *)((char *)t - offsetof(struct world, transport));
    struct row *row = NULL;

    (void)server;
    for (size_t i = 0; i < w->row_count; i++)
        if (w->rows[i].type == type && strcmp(w->rows[i].name, name) == 0)
            row = &w->rows[i];
    cr_assert_not_null(row, "unexpected question: %s %s", dns_type_name(type), name);
    row->asked++;
    w->asked++;
    struct pending *p = xcalloc(1, sizeof *p);
    *p = (struct pending){.w = w, .timer = {.fire = pending_answer}, .row = row, .done = done, .context = context, .next = w->pending,
                          .place = &w->pending};
    if (p->next)
        p->next->place = &p->next;
    w->pending = p;
    if (strcmp(row->what, "never") != 0)
        timer_set_in(w->loop, &p->timer, row->delay_ms);
}

static inline size_t transport_servers(struct dns_transport *t)
{
    (void)t;
    return 1;
}

static inline void transport_destroy(struct dns_transport *t)
{
    struct world *w = (struct world *)((char *)t - offsetof(struct world, transport));

    while (w->pending) {
        struct pending *p = w->pending;
        pending_unlink(p);
        timer_cancel(w->loop, &p->timer);
        free(p);
    }
}

/* What DNS says from now on: "nxdomain", "nodata", "servfail", "timeout", "garbage" (bytes that are no answer), "never" (the question stays
 * open), or records separated by '|'. */
static inline void answers_after(struct world *w, const char *name, unsigned type, const char *what, uint64_t delay_ms)
{
    struct row *row = NULL;

    for (size_t i = 0; i < w->row_count && !row; i++)
        if (w->rows[i].type == type && strcmp(w->rows[i].name, name) == 0)
            row = &w->rows[i];
    if (!row) {
        cr_assert(w->row_count < ROWS_MAX);
        row = &w->rows[w->row_count++];
    }
    snprintf(row->name, sizeof row->name, "%s", name);
    row->type = type;
    row->what = what;
    row->delay_ms = delay_ms;
}

static inline void answers(struct world *w, const char *name, unsigned type, const char *what)
{
    answers_after(w, name, type, what, 10);
}

/* --- the world --- */

static const char *policy_text; /* what the reader gives */
static inline struct source *read_policy(struct source_reader *r, const char *path, const char **error)
{
    (void)r, (void)error;
    return source_new(path, str_of(policy_text));
}

static inline struct policy *policy_of(const char *text)
{
    struct source_reader reader = {read_policy};
    struct policy_input input = {.reader = &reader};
    struct diags diags = {0};
    struct buf complaints = {0};

    policy_text = text;
    struct policy *p = policy_load("test.policy", &input, &diags);
    diag_print(&diags, &complaints);
    cr_assert_not_null(p, "%.*s", STR_ARG(buf_view(&complaints)));
    buf_free(&complaints);
    diag_clear(&diags);
    return p;
}

static inline void owner_run(struct task *t)
{
    ((struct world *)((char *)t - offsetof(struct world, owner)))->woken++;
}

static inline void deadline_fire(struct timer *t)
{
    (void)t; /* the loop has moved on: that is all */
}

static inline void keep_line(void *context, enum log_level level, struct str line)
{
    struct buf *log = context;
    (void)level;
    buf_str(log, line);
    buf_char(log, '\n');
}

static inline void world_open(struct world *w, const char *policy)
{
    struct resolver_settings rs = {.timeout_ms = 2500, .tries = 1, .in_flight = 100, .queue = 100, .cache_bytes = 1 << 20,
                                   .ttl_max = 86400, .negative_ttl_max = 3600};

    *w = (struct world){.transport = {transport_ask, transport_servers, transport_destroy}, .owner = {.run = owner_run},
                        .deadline = {.fire = deadline_fire}, .budget = 1000};
    log_set_sink(keep_line, &w->log);
    w->loop = loop_new_simulated((uint64_t)WORLD_WALL * 1000);
    w->resolver = resolver_new(w->loop, &w->transport, &rs);
    settings_defaults(&w->settings);
    w->settings.hostname = STR("mx.our.test");
    w->policy = policy_of(policy);
    w->evidence = (struct evidence_world){.loop = w->loop, .settings = &w->settings, .resolver = w->resolver,
                                          .store = store_memory(w->loop, 1000)};
}

static inline void world_close(struct world *w)
{
    timer_cancel(w->loop, &w->deadline);
    list_health_free(&w->evidence.health);
    store_free(&w->evidence.store);
    resolver_free(&w->resolver);
    loop_unwake(w->loop, &w->owner);
    policy_unref(&w->policy);
    settings_clear(&w->settings);
    loop_free(&w->loop);
    log_set_sink(NULL, NULL);
    buf_free(&w->log);
}

static inline struct addr address_of(const char *text)
{
    struct addr a;
    cr_assert(addr_parse(str_of(text), &a), "%s", text);
    return a;
}

static inline struct scope *world_scope(struct world *w, enum stage stage, struct scope *parent, const struct subject *subject)
{
    return scope_new(&w->evidence, w->policy, stage, parent, subject, &w->owner, &w->budget, loop_now(w->loop));
}

static inline struct scope *world_connect(struct world *w, const char *client)
{
    struct subject subject = {.client = {address_of(client), 4711}, .listener = STR("*:25")};
    return world_scope(w, STAGE_CONNECT, NULL, &subject);
}

/* helo, mail, rcpt below a connection; the caller's reference on the parent is given up. NULL skips to the next. */
static inline struct scope *world_helo(struct world *w, struct scope *parent, const char *helo)
{
    struct subject subject = {.helo = str_of(helo)};
    struct scope *s = world_scope(w, STAGE_HELO, parent, &subject);
    scope_unref(&parent);
    return s;
}

static inline struct scope *world_path(struct world *w, enum stage stage, struct scope *parent, const char *path)
{
    struct subject subject = {0};
    struct arena arena = {0};
    struct path *p = stage == STAGE_MAIL ? &subject.sender : &subject.recipient;

    cr_assert(path_parse(str_of(path), stage == STAGE_MAIL, stage == STAGE_RCPT, &arena, p), "%s", path);
    struct scope *s = world_scope(w, stage, parent, &subject);
    arena_clear(&arena);
    scope_unref(&parent);
    return s;
}

/* Runs one check to its end, stepping again at every turn of the loop whether woken or not. Returns the milliseconds it took. */
static inline uint64_t world_run(struct world *w, struct scope *s, enum check_id check, uint16_t instance)
{
    uint64_t start = loop_now(w->loop);

    check_start(s, check, instance);
    for (;;) {
        if (check_step(s, check_start(s, check, instance)) == CHECK_DONE)
            break;
        timer_set(w->loop, &w->deadline, scope_deadline(s));
        cr_assert(loop_turn(w->loop, true), "%s waits, and nothing is left to happen", checks[check].name);
    }
    timer_cancel(w->loop, &w->deadline);
    cr_assert_eq(check_step(s, check_start(s, check, instance)), CHECK_DONE);
    return loop_now(w->loop) - start;
}

static inline int fact_of(struct scope *s, const char *name)
{
    int id = schema_find(s->facts.schema, str_of(name));
    cr_assert(id >= 0, "no fact %s", name);
    return id;
}

/* value: as value_format() writes it; one that ends in '*' is compared up to there. */
static inline void expect_at(struct scope *s, const char *name, const char *value, const char *what, int line)
{
    struct buf text = {0};

    value_format(&text, facts_get(&s->facts, fact_of(s, name)));
    struct str wanted = str_of(value);
    bool open = wanted.n && wanted.p[wanted.n - 1] == '*';
    bool good = open ? str_starts(buf_view(&text), str_sub(wanted, 0, wanted.n - 1)) : str_eq(buf_view(&text), wanted);
    cr_assert(good, "line %d, %s: %s is [%.*s], not [%s]", line, what, name, STR_ARG(buf_view(&text)), value);
    buf_free(&text);
}
#define expect(s, name, value) expect_at(s, name, value, "", __LINE__)
#define expect_for(what, s, name, value) expect_at(s, name, value, what, __LINE__)

/* All facts of s as text, in order of their ids. */
static inline void facts_text(struct scope *s, struct buf *out)
{
    for (int id = 0; id < (int)schema_count(s->facts.schema); id++) {
        if (schema_fact(s->facts.schema, id)->stage != s->stage || !facts_has(&s->facts, id))
            continue;
        buf_str(out, schema_fact(s->facts.schema, id)->name);
        buf_char(out, '=');
        value_format(out, facts_get(&s->facts, id));
        buf_char(out, '\n');
    }
}

/*
 * The same facts in whatever order the answers come: builds the scene anew for each permutation of its first rows' delays (at most 5), runs
 * the check, and compares all facts. scene() fills the world and gives the scope.
 */
static inline void permute(const char *policy, struct scope *(*scene)(struct world *w), enum check_id check, uint16_t instance)
{
    struct buf first = {0};
    unsigned orders = 0;

    for (unsigned code = 0; code < 3125; code++) { /* 5 digits to base 5: the place of each row */
        unsigned place[5], used = 0, rest = code;
        for (int i = 0; i < 5; i++, rest /= 5)
            used |= 1u << (place[i] = rest % 5);
        if (used != 31)
            continue;
        struct world w;
        struct buf text = {0};
        world_open(&w, policy);
        struct scope *s = scene(&w);
        for (size_t i = 0; i < 5 && i < w.row_count; i++)
            w.rows[i].delay_ms = 10 * (1 + place[i]);
        world_run(&w, s, check, instance);
        facts_text(s, &text);
        if (orders++ == 0)
            buf_str(&first, buf_view(&text));
        cr_assert(str_eq(buf_view(&first), buf_view(&text)), "order %u gives\n%.*swhere the first gave\n%.*s", code, STR_ARG(buf_view(&text)),
                  STR_ARG(buf_view(&first)));
        scope_unref(&s);
        world_close(&w);
        buf_free(&text);
    }
    cr_assert_eq(orders, 120);
    buf_free(&first);
}

#endif
