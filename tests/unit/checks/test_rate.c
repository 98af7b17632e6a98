/*
 * rate.NAME: by whom it is counted, in every stage that asks, through the memory store and through stores that fail or are slow.
 */
#include "postern/checks/rate.h"
#include "world.h"

#define RATES "rate ip connections by client.ip over 1h\nrate net recipients by client.net over 1h\nrate name errors by helo.name over 1h\n" \
              "rate sender messages by mail.from over 1h\nrate domain messages by mail.domain over 1h\nrate to unknown by rcpt.address over 1h\n" \
              "stage connect\n"

static uint16_t instance_of(struct world *w, const char *fact)
{
    uint16_t instance;
    cr_assert_eq(check_of_fact(w->policy, schema_find(policy_schema(w->policy), str_of(fact)), &instance), CHECK_RATE, "%s", fact);
    return instance;
}

/* What it is counted by is made by checks that wait for nothing; a session has run them when it opened the scope. */
static void run_at_hand(struct world *w, struct scope *s)
{
    for (; s; s = s->parent)
        for (int check = 0; check < CHECK_COUNT; check++)
            if (checks[check].stage == s->stage && !checks[check].deadline_setting && s->stage != STAGE_DATA)
                world_run(w, s, (enum check_id)check, 0);
}

static struct scope *chain(struct world *w, enum stage until, const char *client, const char *helo, const char *from, const char *to)
{
    struct scope *s = world_connect(w, client);
    if (until >= STAGE_HELO)
        s = world_helo(w, s, helo);
    if (until >= STAGE_MAIL)
        s = world_path(w, STAGE_MAIL, s, from);
    if (until >= STAGE_RCPT)
        s = world_path(w, STAGE_RCPT, s, to);
    run_at_hand(w, s);
    return s;
}

static void count_once(struct world *w, struct scope *s, const char *fact)
{
    rate_count(s, policy_declaration(w->policy, instance_of(w, fact)), 1);
}

static void reads(struct world *w, struct scope *s, const char *fact, const char *value)
{
    world_run(w, s, CHECK_RATE, instance_of(w, fact));
    expect_for(fact, s, fact, value);
}

/* Counted by one, read by another: the same somebody or not? */
Test(rate, who_is_the_same)
{
    static const struct { const char *fact; enum stage stage; const char *one[4], *other[4], *reads; } table[] = {
        {"rate.ip", STAGE_CONNECT, {"203.0.113.9"}, {"203.0.113.9"}, "1"},
        {"rate.ip", STAGE_CONNECT, {"203.0.113.9"}, {"203.0.113.10"}, "0"},
        {"rate.ip", STAGE_CONNECT, {"2001:db8::1"}, {"2001:db8:0:0::1"}, "1"},
        {"rate.ip", STAGE_CONNECT, {"2001:db8::1"}, {"2001:db8::2"}, "0"},
        {"rate.net", STAGE_RCPT, {"203.0.113.9", "a", "<a@b.example>", "<u@our.test>"}, {"203.0.113.250", "b", "<>", "<v@our.test>"}, "1"},
        {"rate.net", STAGE_RCPT, {"203.0.113.9", "a", "<>", "<u@our.test>"}, {"203.0.114.9", "a", "<>", "<u@our.test>"}, "0"},
        {"rate.net", STAGE_RCPT, {"2001:db8::1", "a", "<>", "<u@our.test>"}, {"2001:db8::ffff:1", "a", "<>", "<u@our.test>"}, "1"},
        {"rate.net", STAGE_RCPT, {"2001:db8::1", "a", "<>", "<u@our.test>"}, {"2001:db8:0:1::1", "a", "<>", "<u@our.test>"}, "0"},
        {"rate.name", STAGE_HELO, {"203.0.113.9", "Name.Example"}, {"192.0.2.1", "name.example"}, "1"},
        {"rate.name", STAGE_HELO, {"203.0.113.9", "name.example"}, {"203.0.113.9", "names.example"}, "0"},
        {"rate.sender", STAGE_MAIL, {"203.0.113.9", "x", "<A@b.example>"}, {"192.0.2.1", "y", "<a@B.example>"}, "1"},
        {"rate.sender", STAGE_MAIL, {"203.0.113.9", "x", "<a@b.example>"}, {"203.0.113.9", "x", "<b@b.example>"}, "0"},
        {"rate.sender", STAGE_MAIL, {"203.0.113.9", "x", "<a@b.example>"}, {"203.0.113.9", "x", "<>"}, "(absent)"},
        {"rate.domain", STAGE_MAIL, {"203.0.113.9", "x", "<a@b.example>"}, {"192.0.2.1", "y", "<z@B.EXAMPLE>"}, "1"},
        {"rate.domain", STAGE_MAIL, {"203.0.113.9", "x", "<a@b.example>"}, {"203.0.113.9", "x", "<>"}, "(absent)"},
        {"rate.to", STAGE_RCPT, {"203.0.113.9", "x", "<>", "<u@our.test>"}, {"192.0.2.1", "y", "<a@b.example>", "<U@OUR.test>"}, "1"},
        {"rate.to", STAGE_RCPT, {"203.0.113.9", "x", "<>", "<u@our.test>"}, {"203.0.113.9", "x", "<>", "<v@our.test>"}, "0"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct world w;
        world_open(&w, RATES);
        struct scope *one = chain(&w, table[i].stage, table[i].one[0], table[i].one[1], table[i].one[2], table[i].one[3]);
        struct scope *other = chain(&w, table[i].stage, table[i].other[0], table[i].other[1], table[i].other[2], table[i].other[3]);
        count_once(&w, one, table[i].fact);
        reads(&w, other, table[i].fact, table[i].reads);
        scope_unref(&one);
        scope_unref(&other);
        world_close(&w);
    }
}

/* Each stage has its own: what is counted in between shows in the later one, and the earlier one keeps what it saw. */
Test(rate, a_snapshot_a_stage)
{
    struct world w;
    world_open(&w, RATES);
    struct scope *rcpt = chain(&w, STAGE_RCPT, "203.0.113.9", "x", "<a@b.example>", "<u@our.test>");
    struct scope *connect = scope_of(rcpt, STAGE_CONNECT), *mail = scope_of(rcpt, STAGE_MAIL);
    reads(&w, connect, "rate.net", "0");
    count_once(&w, connect, "rate.net");
    reads(&w, mail, "rate.net", "1");
    count_once(&w, rcpt, "rate.net");
    count_once(&w, mail, "rate.net");
    reads(&w, rcpt, "rate.net", "3");
    expect(connect, "rate.net", "0");
    expect(mail, "rate.net", "1");
    scope_unref(&rcpt);
    world_close(&w);
}

/* Sixteen slots and the one that runs: nothing is forgotten before its hour, everything a sixteenth later. */
Test(rate, the_window_slides)
{
    struct world w;
    world_open(&w, RATES);
    uint64_t width = 3600000 / 16, start = loop_now(w.loop);
    struct scope *s = world_connect(&w, "203.0.113.9");
    run_at_hand(&w, s);
    count_once(&w, s, "rate.ip");
    loop_advance_to(w.loop, start + 1800000);
    count_once(&w, s, "rate.ip");
    scope_unref(&s);
    static const struct { uint64_t slots16; int64_t add; const char *value; } table[] = {
        {16, -1, "2"}, {17, 0, "1"}, {24, -1, "1"}, {25, 0, "0"}, {100, 0, "0"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        loop_advance_to(w.loop, start + table[i].slots16 * width + (uint64_t)table[i].add);
        s = world_connect(&w, "203.0.113.9");
        run_at_hand(&w, s);
        reads(&w, s, "rate.ip", table[i].value);
        scope_unref(&s);
    }
    world_close(&w);
}

Test(rate, what_it_is_counted_by_has_no_answer)
{
    struct world w;
    world_open(&w, RATES);
    struct scope *s = world_connect(&w, "203.0.113.9");
    facts_set_error(&s->facts, FACT_CLIENT_NET, STR("not given"));
    reads(&w, s, "rate.net", "(error: not given)");
    cr_assert_eq(check_step(s, check_start(s, CHECK_RATE, instance_of(&w, "rate.ip"))), CHECK_NOT_YET);
    cr_assert(fact_bit(&s->needed, FACT_CLIENT_IP), "asked for, and waited for");
    scope_unref(&s);
    world_close(&w);
}

Test(rate, store_down_slow_or_none)
{
    struct world w;
    world_open(&w, RATES);
    store_free(&w.evidence.store);
    struct store *const stores[] = {store_failing(w.loop, "the store is down", 5), store_failing(w.loop, NULL, 5000), NULL};
    static const uint64_t took[] = {5, 200, 0};
    static const char *const whats[] = {"(error: the store is down)", "(error: no answer in time)", "(error: no store)"};
    for (int i = 0; i < 3; i++) {
        w.evidence.store = stores[i];
        struct scope *s = world_connect(&w, "203.0.113.9");
        run_at_hand(&w, s);
        cr_assert_eq(world_run(&w, s, CHECK_RATE, instance_of(&w, "rate.ip")), took[i]);
        expect_for(whats[i], s, "rate.ip", whats[i]);
        scope_unref(&s);
        store_free(&w.evidence.store);
    }
    world_close(&w);
}

/* A long address is as good a key as a short one. */
Test(rate, long_keys_stay_apart)
{
    struct world w;
    char one[400], other[400];
    world_open(&w, RATES);
    struct arena arena = {0};
    struct rate_keys a, b;
    snprintf(one, sizeof one, "<%064d@%063d.%063d.%055d.example>", 7, 1, 1, 1);
    snprintf(other, sizeof other, "<%064d@%063d.%063d.%055d.example>", 8, 1, 1, 1);
    struct scope *x = chain(&w, STAGE_MAIL, "203.0.113.9", "x", one, NULL), *y = chain(&w, STAGE_MAIL, "203.0.113.9", "x", other, NULL);
    const struct declaration *rate = policy_declaration(w.policy, instance_of(&w, "rate.sender"));
    cr_assert_eq(rate_keys(x, rate, &arena, &a), RATE_SOMEBODY);
    cr_assert_eq(rate_keys(y, rate, &arena, &b), RATE_SOMEBODY);
    cr_assert(a.count == 1 && b.count == 1 && !str_eq(a.list[0], b.list[0]) && a.list[0].n <= STORE_KEY_MAX);
    cr_assert(str_starts(a.list[0], STR("sender rate messages by mail.from over 1h\n0")), "%.*s", STR_ARG(a.list[0]));
    arena_clear(&arena);
    scope_unref(&x);
    scope_unref(&y);
    world_close(&w);
}
