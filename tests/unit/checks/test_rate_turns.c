/*
 * Turns: whom a rate is about is known late, an error, or nobody, and counts and looks came before. Sequences of events give the numbers that they
 * give when it is known from the start.
 */
#include "postern/checks/rate.h"
#include "world.h"

#define RATES "rate a errors by client.name over 1h\nrate b connections by client.name over 1h\nrate s messages by dkim.domains over 1h\n" \
              "stage connect\n"
enum { READERS = 4, RATES_READ = 2 };
static const char *const rate_names[RATES_READ] = {"rate.a", "rate.b"};

static uint16_t instance_of(struct world *w, const char *fact)
{
    uint16_t instance;
    cr_assert_eq(check_of_fact(w->policy, schema_find(policy_schema(w->policy), str_of(fact)), &instance), CHECK_RATE, "%s", fact);
    return instance;
}

static void count_some(struct world *w, struct scope *s, const char *fact, uint64_t amount)
{
    rate_count(s, policy_declaration(w->policy, instance_of(w, fact)), amount);
}

static enum check_result look(struct world *w, struct scope *s, const char *fact)
{
    return check_step(s, check_start(s, CHECK_RATE, instance_of(w, fact)));
}

static void name_is(struct scope *connect, const char *name)
{
    if (strcmp(name, "error") == 0)
        facts_set_error(&connect->facts, FACT_CLIENT_NAME, STR("DNS timeout (PTR)"));
    else if (strcmp(name, "absent") == 0)
        facts_set_absent(&connect->facts, FACT_CLIENT_NAME);
    else
        facts_set_text(&connect->facts, FACT_CLIENT_NAME, str_of(name));
    rate_turns_go(connect);
}

/* What somebody else of that name reads. */
static void total(struct world *w, const char *name, const char *fact, struct buf *out)
{
    struct scope *s = world_connect(w, "192.0.2.1");
    name_is(s, name);
    world_run(w, s, CHECK_RATE, instance_of(w, fact));
    value_format(out, facts_get(&s->facts, fact_of(s, fact)));
    scope_unref(&s);
}

struct scene {
    struct world w;
    struct scope *connect, *readers[READERS];
    bool looked[READERS][RATES_READ];
};

static void scene_open(struct scene *x)
{
    *x = (struct scene){0};
    world_open(&x->w, RATES);
    x->connect = world_connect(&x->w, "203.0.113.9");
    for (int i = 0; i < READERS; i++)
        x->readers[i] = world_helo(&x->w, scope_ref(x->connect), "client.example");
}

/* "a", "b": one is counted of that rate; "2a": reader 2 looks at rate a; "x2": reader 2 is gone. */
static void play(struct scene *x, const char *events)
{
    for (const char *e = events; *e; e++) {
        if (*e == ' ')
            continue;
        if (*e == 'x') {
            int reader = *++e - '0';
            if (x->readers[reader])
                scope_unref(&x->readers[reader]);
        } else if (*e >= '0' && *e < '0' + READERS) {
            int reader = *e++ - '0', rate = *e - 'a';
            if (x->readers[reader]) {
                look(&x->w, x->readers[reader], rate_names[rate]);
                x->looked[reader][rate] = true;
            }
        } else {
            count_some(&x->w, x->connect, rate_names[*e - 'a'], 1);
        }
    }
}

/* All that was read, and what is in the store: "0a=1 3b=2 a=3 b=2 ". */
static void result(struct scene *x, const char *name, struct buf *out)
{
    for (int i = 0; i < READERS; i++) {
        for (int r = 0; r < RATES_READ; r++) {
            if (!x->readers[i] || !x->looked[i][r])
                continue;
            world_run(&x->w, x->readers[i], CHECK_RATE, instance_of(&x->w, rate_names[r]));
            buf_printf(out, "%d%c=", i, 'a' + r);
            value_format(out, facts_get(&x->readers[i]->facts, fact_of(x->readers[i], rate_names[r])));
            buf_char(out, ' ');
        }
    }
    for (int r = 0; r < RATES_READ; r++) {
        buf_printf(out, "%c=", 'a' + r);
        total(&x->w, name, rate_names[r], out);
        buf_char(out, ' ');
    }
}

static void scene_close(struct scene *x)
{
    for (int i = 0; i < READERS; i++)
        if (x->readers[i])
            scope_unref(&x->readers[i]);
    scope_unref(&x->connect);
    world_close(&x->w);
}

Test(rate_turns, in_the_order_of_events)
{
    static const struct { const char *events, *name, *result; } table[] = {
        {"", "mail.example", "a=0 b=0 "},
        {"aaa", "mail.example", "a=3 b=0 "},
        {"0a", "mail.example", "0a=0 a=0 b=0 "},
        {"a 0a a 1a aa 2a", "mail.example", "0a=1 1a=2 2a=4 a=4 b=0 "},
        {"0a a", "mail.example", "0a=0 a=1 b=0 "},
        {"0a 0b ab 1a 1b ba 2a 2b", "mail.example", "0a=0 0b=0 1a=1 1b=1 2a=2 2b=2 a=2 b=2 "},
        {"a 0a b 1b a b 0a 1b", "mail.example", "0a=1 1b=1 a=2 b=2 "},
        {"0a a 1a ba x1 ba 2a", "mail.example", "0a=0 2a=3 a=3 b=2 "},
        {"0a x0", "mail.example", "a=0 b=0 "},
        {"a 0a ab 1b ab x0 x1 2a 2b", "mail.example", "2a=3 2b=2 a=3 b=2 "},
        {"a 0a b", "error", "0a=(error: DNS timeout (PTR)) a=(error: DNS timeout (PTR)) b=(error: DNS timeout (PTR)) "},
        {"a 0a b", "absent", "0a=(absent) a=(absent) b=(absent) "},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct scene x;
        struct buf got = {0};
        scene_open(&x);
        play(&x, table[i].events);
        name_is(x.connect, table[i].name);
        cr_assert_null(x.connect->turns, "case %zu", i);
        result(&x, table[i].name, &got);
        cr_assert(str_eq(buf_view(&got), str_of(table[i].result)), "case %zu: %.*s", i, STR_ARG(buf_view(&got)));
        buf_free(&got);
        scene_close(&x);
    }
}

/* Known from the start, at the end, or somewhere between: the same numbers. */
Test(rate_turns, whenever_it_is_known)
{
    unsigned random = 1;
    for (int round = 0; round < 300; round++) {
        char events[64] = "";
        for (int i = 0; i < 15; i++) {
            char one[8];
            random = random * 1103515245 + 12345;
            unsigned r = random >> 16;
            unsigned kind = r % 8, reader = r / 8 % READERS, rate = r / 32 % RATES_READ;
            snprintf(one, sizeof one, kind < 4 ? "%c" : kind < 7 ? "%u%c" : "x%u", kind < 4 ? 'a' + rate : reader, 'a' + rate);
            strcat(events, one);
        }
        struct buf first = {0};
        for (size_t known = 0; known <= strlen(events); known += 1 + strlen(events) / 4) {
            while (known && (events[known - 1] == 'x' || (events[known - 1] >= '0' && events[known - 1] <= '9' && (known < 2 || events[known - 2] != 'x'))))
                known--; /* not within one event */
            struct scene x;
            struct buf got = {0};
            char before[64];
            snprintf(before, sizeof before, "%.*s", (int)known, events);
            scene_open(&x);
            play(&x, before);
            name_is(x.connect, "mail.example");
            play(&x, events + known);
            result(&x, "mail.example", &got);
            if (!first.n)
                buf_str(&first, buf_view(&got));
            cr_assert(str_eq(buf_view(&first), buf_view(&got)), "%s known after %zu: %.*s, not %.*s", events, known, STR_ARG(buf_view(&got)),
                      STR_ARG(buf_view(&first)));
            buf_free(&got);
            scene_close(&x);
        }
        buf_free(&first);
    }
}

/* Looks that are gone leave one count behind, however many there were. */
Test(rate_turns, a_ring_does_not_grow_with_those_who_left)
{
    struct world w;
    world_open(&w, RATES);
    struct scope *connect = world_connect(&w, "203.0.113.9");
    for (int i = 0; i < 1000; i++) {
        struct scope *reader = world_helo(&w, scope_ref(connect), "client.example");
        count_some(&w, connect, "rate.a", 1);
        cr_assert_eq(look(&w, reader, "rate.a"), CHECK_NOT_YET);
        cr_assert(fact_bit(&reader->needed, FACT_CLIENT_NAME), "asked for");
        cr_assert_eq(look(&w, reader, "rate.b"), CHECK_NOT_YET);
        count_some(&w, connect, "rate.b", 1);
        scope_unref(&reader);
        cr_assert_not_null(connect->turns);
    }
    unsigned turns = 0;
    struct scope *last = world_helo(&w, scope_ref(connect), "client.example");
    look(&w, last, "rate.a");
    for (const struct rate_turn *t = connect->turns; turns == 0 || t != connect->turns; t = *(struct rate_turn *const *)t)
        turns++; /* its first member is the next one */
    cr_expect_eq(turns, 3);
    name_is(connect, "mail.example");
    world_run(&w, last, CHECK_RATE, instance_of(&w, "rate.a"));
    expect(last, "rate.a", "1000");
    scope_unref(&last);
    scope_unref(&connect);
    world_close(&w);
}

/* The last who could have told is gone: what waited is forgotten with it, and nothing is left over. */
Test(rate_turns, a_scope_ends_without_its_fact)
{
    struct scene x;
    struct buf got = {0};
    scene_open(&x);
    play(&x, "a 0a b 1b");
    look(&x.w, x.connect, "rate.a");
    play(&x, "a");
    for (int i = 0; i < READERS; i++)
        scope_unref(&x.readers[i]);
    scope_unref(&x.connect);
    x.connect = world_connect(&x.w, "203.0.113.9");
    total(&x.w, "mail.example", "rate.a", &got);
    cr_assert(str_eq(buf_view(&got), STR("0")));
    buf_free(&got);
    scene_close(&x);
}

/* --- sets: each name is somebody --- */

static struct scope *content_of(struct world *w, const char *names)
{
    struct subject content = {.content = {0}};
    struct scope *s = world_connect(w, "203.0.113.9");
    s = world_path(w, STAGE_MAIL, world_helo(w, s, "client.example"), "<a@sender.example>");
    struct scope *data = world_scope(w, STAGE_DATA, s, &content);
    scope_unref(&s);
    struct value v;
    struct str error;
    if (names) {
        cr_assert(value_parse(schema_fact(data->facts.schema, FACT_DKIM_DOMAINS), str_of(names), &data->arena, &v, &error), "%s", names);
        facts_set_value(&data->facts, FACT_DKIM_DOMAINS, &v);
    }
    return data;
}

Test(rate_turns, of_a_set_the_highest)
{
    static const struct { const char *counted[3], *read, *value; } table[] = {
        {{"one.example"}, "one.example", "1"},
        {{"one.example"}, "two.example", "0"},
        {{"one.example, esp.example", "two.example, esp.example"}, "one.example, esp.example", "2"},
        {{"one.example, esp.example", "two.example, esp.example"}, "two.example", "1"},
        {{"one.example, esp.example", "two.example, esp.example", "esp.example"}, "esp.example", "3"},
        {{"{}", "one.example"}, "{}", "(absent)"},
        {{"error: no keys"}, "one.example", "0"},
        {{"one.example"}, "error: no keys", "(error: no keys)"},
        {{"absent"}, "absent", "(absent)"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (int late = 0; late < 2; late++) {
            struct world w;
            world_open(&w, RATES);
            for (int k = 0; k < 3 && table[i].counted[k]; k++) {
                struct scope *s = content_of(&w, late ? NULL : table[i].counted[k]), *known = content_of(&w, table[i].counted[k]);
                count_some(&w, s, "rate.s", 1);
                if (late)
                    facts_set_value(&s->facts, FACT_DKIM_DOMAINS, facts_get(&known->facts, FACT_DKIM_DOMAINS));
                rate_turns_go(s);
                cr_assert_null(s->turns);
                scope_unref(&known);
                scope_unref(&s);
            }
            struct scope *s = content_of(&w, table[i].read);
            world_run(&w, s, CHECK_RATE, instance_of(&w, "rate.s"));
            expect_for(table[i].read, s, "rate.s", table[i].value);
            scope_unref(&s);
            world_close(&w);
        }
    }
}

Test(rate_turns, a_set_and_a_store_that_fails)
{
    struct world w;
    world_open(&w, RATES);
    store_free(&w.evidence.store);
    w.evidence.store = store_failing(w.loop, "the store is down", 5);
    struct scope *s = content_of(&w, "one.example, two.example");
    cr_assert_eq(world_run(&w, s, CHECK_RATE, instance_of(&w, "rate.s")), 5);
    expect(s, "rate.s", "(error: the store is down)");
    scope_unref(&s);
    world_close(&w);
}

/* Who has to be asked: session/closing.c waits for them. */
Test(rate_turns, who_is_asked)
{
    static const struct { const char *key, *counts; bool asked; } table[] = {
        {"client.ip", "messages", false}, {"client.name", "messages", true}, {"helo.name", "messages", false}, {"spf.domain", "recipients", true},
        {"rcpt.domain", "recipients", false}, {"from.domain", "messages", false}, {"dkim.domains", "messages", true}, {"dmarc.domain", "messages", true},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct buf text = {0};
        buf_printf(&text, "rate r %s by %s over 1h\nstage connect\n", table[i].counts, table[i].key);
        buf_char(&text, 0);
        struct world w;
        world_open(&w, text.p);
        cr_expect_eq(rate_is_asked_for(w.policy, policy_declaration(w.policy, 0)), table[i].asked, "%s", table[i].key);
        world_close(&w);
        buf_free(&text);
    }
}
