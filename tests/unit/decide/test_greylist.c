/*
 * test_greylist.c - the greylist at rcpt and in stage data: who leaves a trace in the store, who waits, and one answer for all
 * recipients.
 */
#include "world.h"

#define MINUTE 60000

static const char at_rcpt[] = "stage rcpt\n  rule grey: greylist 5m when not mail.null\n";
static const char at_data[] = "stage data\n  rule grey: greylist 5m when not mail.null\n";

static void session(struct world *w)
{
    for (int stage = STAGE_COUNT - 1; stage >= 0; stage--)
        scope_unref(&w->scopes[stage]);
    decide_open(world_connect(w, "203.0.113.9"));
    decide_open(world_helo(w, "client.example"));
    decide_open(world_mail(w, "<a@sender.example>"));
    /* who is asking is known at once: nothing but the store takes time here */
    facts_set_value(&w->scopes[STAGE_CONNECT]->facts, FACT_CLIENT_NAME, &(struct value){.state = FACT_ABSENT, .type = FACT_TEXT});
    facts_set_value(&w->scopes[STAGE_MAIL]->facts, FACT_SPF, &(struct value){.state = FACT_KNOWN, .type = FACT_WORD, .v.text = STR("none")});
}

static struct scope *recipient(struct world *w, const char *address, bool touch)
{
    struct scope *s = world_rcpt(w, address);
    s->touch = touch;
    decide_open(s);
    return s;
}

/* One RCPT in a session of its own. */
static enum action deliver(struct world *w, const char *address, bool touch)
{
    struct walk walk;
    session(w);
    struct scope *s = recipient(w, address, touch);
    world_decide(w, s, &(struct decide_input){0}, &walk);
    scope_unref(&s);
    return walk.action;
}

/* One message to two recipients, decided in stage data. */
static struct walk deliver_both(struct world *w, const char *first, const char *second)
{
    struct scope *to[] = {NULL, NULL};
    struct walk walk;
    session(w);
    to[0] = recipient(w, first, true);
    to[1] = recipient(w, second, true);
    struct scope *data = world_data(w, 1000);
    decide_open(data);
    world_decide(w, data, &(struct decide_input){.recipients = to, .recipient_count = 2}, &walk);
    cr_expect(decide_gather(data));
    scope_unref(&to[0]);
    scope_unref(&to[1]);
    return walk;
}

static void wait_for(struct world *w, uint64_t ms)
{
    loop_advance_to(w->loop, loop_now(w->loop) + ms);
}

static void another_policy(struct world *w, const char *text)
{
    for (int stage = STAGE_COUNT - 1; stage >= 0; stage--)
        scope_unref(&w->scopes[stage]);
    policy_unref(&w->policy);
    w->policy = policy_of(text);
}

static void another_store(struct world *w, struct store *store)
{
    store_free(&w->evidence.store);
    w->evidence.store = store;
}

Test(greylist, a_first_contact_waits_and_returns)
{
    struct world w;
    world_init(&w, at_rcpt, NULL);
    cr_expect_eq(deliver(&w, "<u@our.test>", true), ACTION_TEMPFAIL);
    wait_for(&w, 4 * MINUTE);
    cr_expect_eq(deliver(&w, "<u@our.test>", true), ACTION_TEMPFAIL);
    wait_for(&w, MINUTE);
    cr_expect_eq(deliver(&w, "<u@our.test>", true), ACTION_NONE);
    cr_expect_eq(deliver(&w, "<v@our.test>", true), ACTION_TEMPFAIL, "another recipient is another entry");
    world_clear(&w);
}

Test(greylist, b_who_does_not_touch_leaves_no_trace)
{
    struct world w;
    world_init(&w, at_rcpt, NULL);
    cr_expect_eq(deliver(&w, "<u@our.test>", false), ACTION_TEMPFAIL);
    wait_for(&w, 6 * MINUTE);
    cr_expect_eq(deliver(&w, "<u@our.test>", true), ACTION_TEMPFAIL, "only read before");
    world_clear(&w);
}

Test(greylist, c_only_whom_a_walk_doubts_is_looked_up)
{
    struct world w;
    world_init(&w, "stage rcpt\n  rule grey: greylist 5m when mail.null\n", NULL);
    cr_expect_eq(deliver(&w, "<u@our.test>", true), ACTION_NONE);
    wait_for(&w, 6 * MINUTE);
    another_policy(&w, at_rcpt);
    cr_expect_eq(deliver(&w, "<u@our.test>", true), ACTION_TEMPFAIL, "never seen: the rule did not ask before");
    world_clear(&w);
}

Test(greylist, d_a_monitor_rule_alone_only_reads)
{
    struct world w;
    struct walk walk;
    world_init(&w, "stage rcpt\n  rule grey monitor: greylist 5m when not mail.null\n", NULL);
    session(&w);
    struct scope *s = recipient(&w, "<u@our.test>", true);
    cr_expect_eq(decide_stage(s, &(struct decide_input){0}, &walk), DECIDE_DONE, "it holds nothing up");
    loop_settle(w.loop);
    while (!decide_gather(s))
        cr_assert(loop_turn(w.loop, true));
    cr_expect_eq(facts_get(&s->facts, FACT_GREYLIST_AGE)->state, FACT_ABSENT);
    scope_unref(&s);
    wait_for(&w, 6 * MINUTE);
    another_policy(&w, at_rcpt);
    cr_expect_eq(deliver(&w, "<u@our.test>", true), ACTION_TEMPFAIL);
    world_clear(&w);
}

Test(greylist, e_in_data_the_youngest_decides)
{
    struct world w;
    world_init(&w, at_data, NULL);
    struct walk walk = deliver_both(&w, "<u@our.test>", "<v@our.test>");
    cr_expect_eq(walk.action, ACTION_TEMPFAIL);
    cr_expect(walk.greylisted);
    cr_expect_eq(facts_get(&w.scopes[STAGE_DATA]->facts, FACT_GREYLIST_AGE)->state, FACT_ABSENT);
    wait_for(&w, 3 * MINUTE);
    cr_expect_eq(deliver_both(&w, "<x@our.test>", "<v@our.test>").action, ACTION_TEMPFAIL);
    wait_for(&w, 3 * MINUTE);
    cr_expect_eq(deliver_both(&w, "<v@our.test>", "<x@our.test>").action, ACTION_TEMPFAIL, "x is three minutes old");
    const struct value *age = facts_get(&w.scopes[STAGE_DATA]->facts, FACT_GREYLIST_AGE);
    cr_expect_eq(age->v.number, 3 * MINUTE);
    cr_expect_eq(facts_get(&w.scopes[STAGE_DATA]->facts, FACT_GREYLIST_KNOWN)->v.number, 0);
    cr_expect_eq(deliver_both(&w, "<u@our.test>", "<v@our.test>").action, ACTION_NONE);
    world_clear(&w);
}

Test(greylist, f_in_data_nobody_is_touched_unless_a_walk_asks)
{
    struct world w;
    world_init(&w, "stage data\n  rule grey: greylist 5m when mail.null\n", NULL);
    cr_expect_eq(deliver_both(&w, "<u@our.test>", "<v@our.test>").action, ACTION_NONE);
    cr_expect(!facts_has(&w.scopes[STAGE_DATA]->facts, FACT_GREYLIST_AGE));
    world_clear(&w);
}

Test(greylist, g_trouble_with_the_store_delays_nobody)
{
    struct world w;
    world_init(&w, at_rcpt, NULL);
    another_store(&w, store_failing(w.loop, "disk full", 0));
    cr_expect_eq(deliver(&w, "<u@our.test>", true), ACTION_NONE);
    another_policy(&w, at_data);
    cr_expect_eq(deliver_both(&w, "<u@our.test>", "<v@our.test>").action, ACTION_NONE);
    cr_expect_eq(facts_get(&w.scopes[STAGE_DATA]->facts, FACT_GREYLIST_AGE)->state, FACT_ERROR);
    world_clear(&w);
}

/* A store that answers after the deadline: 200 ms and no more, at rcpt and in data. */
Test(greylist, h_a_slow_store_is_not_waited_for)
{
    struct world w;
    world_init(&w, at_rcpt, NULL);
    another_store(&w, store_failing(w.loop, "too late", 5000));
    uint64_t start = loop_now(w.loop);
    cr_expect_eq(deliver(&w, "<u@our.test>", true), ACTION_NONE);
    cr_expect_eq(loop_now(w.loop) - start, w.settings.store_deadline);
    another_policy(&w, at_data);
    start = loop_now(w.loop);
    cr_expect_eq(deliver_both(&w, "<u@our.test>", "<v@our.test>").action, ACTION_NONE);
    cr_expect_eq(loop_now(w.loop) - start, w.settings.store_deadline);
    world_clear(&w);
}

static void ruled_done(void *context, const struct store_result *result)
{
    (void)context;
    cr_assert_null(result->error);
}

static void rule_on(struct world *w, enum store_kind kind, const char *key)
{
    struct store_operation op = {.kind = kind, .mode = STORE_TOUCH, .key = str_of(key), .now_ms = loop_wall(w->loop)};
    w->evidence.store->ops->start(w->evidence.store, &op, ruled_done, NULL);
    loop_settle(w->loop);
}

static void signed_by(struct scope *data, const struct str *domains, size_t count)
{
    struct value v = {.state = FACT_KNOWN, .type = FACT_NAMES, .v.names = {domains, count}};
    facts_set_value(&data->facts, FACT_DKIM_DOMAINS, &v);
}

/* A message to two recipients, with signatures of these domains that pass. */
static struct walk deliver_signed(struct world *w, const struct str *domains, size_t count)
{
    struct scope *to[] = {NULL, NULL};
    struct walk walk;
    session(w);
    to[0] = recipient(w, "<u@our.test>", true);
    to[1] = recipient(w, "<v@our.test>", true);
    struct scope *data = world_data(w, 1000);
    signed_by(data, domains, count);
    decide_open(data);
    world_decide(w, data, &(struct decide_input){.recipients = to, .recipient_count = 2}, &walk);
    cr_expect(decide_gather(data));
    scope_unref(&to[0]);
    scope_unref(&to[1]);
    return walk;
}

/* SPF does not pass here: a domain that is allowed counts in stage data when DKIM passes for it, or for one below it. */
Test(greylist, j_a_domain_is_allowed_for_whom_dkim_passes)
{
    static const struct str sender[] = {STR("sender.example")}, below[] = {STR("a.example"), STR("mail.sender.example")}, other[] = {STR("sender2.example")};
    struct world w;
    world_init(&w, at_data, NULL);
    rule_on(&w, STORE_ALLOW, "domain sender.example");
    cr_expect_eq(deliver_signed(&w, NULL, 0).action, ACTION_TEMPFAIL, "whoever writes it into MAIL FROM");
    cr_expect_eq(deliver_signed(&w, other, 1).action, ACTION_TEMPFAIL);
    cr_expect_eq(deliver_signed(&w, sender, 1).action, ACTION_NONE);
    cr_expect_eq(facts_get(&w.scopes[STAGE_DATA]->facts, FACT_GREYLIST_KNOWN)->v.number, 1);
    cr_expect_eq(deliver_signed(&w, below, 2).action, ACTION_NONE);
    rule_on(&w, STORE_DENY, "net 203.0.113.9/32");
    cr_expect_eq(deliver_signed(&w, sender, 1).action, ACTION_TEMPFAIL, "what is said of its address is more precise");
    world_clear(&w);
}

Test(greylist, k_a_domain_is_denied_for_whom_dkim_passes)
{
    static const struct str sender[] = {STR("sender.example")};
    struct world w;
    world_init(&w, at_data, NULL);
    cr_expect_eq(deliver_signed(&w, sender, 1).action, ACTION_TEMPFAIL);
    wait_for(&w, 6 * MINUTE);
    rule_on(&w, STORE_DENY, "domain example");
    cr_expect_eq(deliver_signed(&w, sender, 1).action, ACTION_TEMPFAIL, "it never grows old enough");
    cr_expect_eq(facts_get(&w.scopes[STAGE_DATA]->facts, FACT_GREYLIST_AGE)->state, FACT_ABSENT);
    cr_expect_eq(deliver_signed(&w, NULL, 0).action, ACTION_NONE);
    world_clear(&w);
}

/* Recipients were answered, then the store hangs: the ruling has the same deadline, and the message goes on. */
Test(greylist, l_a_ruling_that_does_not_come)
{
    static const struct str sender[] = {STR("sender.example")};
    struct world w;
    struct walk walk;
    world_init(&w, "stage rcpt\n  rule look: tag \"x\" when greylist.known\nstage data\n  rule grey: greylist 5m\n", NULL);
    session(&w);
    struct scope *to[] = {recipient(&w, "<u@our.test>", true)};
    world_decide(&w, to[0], &(struct decide_input){0}, &walk);
    another_store(&w, store_failing(w.loop, "too late", 5000));
    struct scope *data = world_data(&w, 1000);
    signed_by(data, sender, 1);
    decide_open(data);
    uint64_t start = loop_now(w.loop);
    world_decide(&w, data, &(struct decide_input){.recipients = to, .recipient_count = 1}, &walk);
    cr_expect_eq(walk.action, ACTION_NONE);
    cr_expect_eq(loop_now(w.loop) - start, w.settings.store_deadline);
    cr_expect_eq(facts_get(&data->facts, FACT_GREYLIST_KNOWN)->state, FACT_ERROR);
    cr_expect(decide_gather(data));
    scope_unref(&to[0]);
    world_clear(&w);
}

/* Postmaster is known from the start: it neither holds up the other recipient nor lets it pass. */
Test(greylist, m_postmaster_is_always_heard)
{
    struct world w;
    world_init(&w, at_rcpt, NULL);
    cr_expect_eq(deliver(&w, "<PostMaster@our.test>", true), ACTION_NONE);
    cr_expect_eq(deliver(&w, "<abuse@our.test>", true), ACTION_NONE);
    cr_expect_eq(deliver(&w, "<abuse2@our.test>", true), ACTION_TEMPFAIL);
    another_policy(&w, at_data);
    cr_expect_eq(deliver_both(&w, "<abuse@our.test>", "<postmaster@our.test>").action, ACTION_NONE);
    cr_expect_eq(deliver_both(&w, "<abuse@our.test>", "<v@our.test>").action, ACTION_TEMPFAIL);
    wait_for(&w, 6 * MINUTE);
    cr_expect_eq(deliver_both(&w, "<v@our.test>", "<abuse@our.test>").action, ACTION_NONE);
    world_clear(&w);
}

/* The client left while stage data waited: the record closes without the recipients. */
Test(greylist, i_expired_while_waiting_in_data)
{
    for (int by_time = 0; by_time < 2; by_time++) {
        struct world w;
        struct walk walk;
        world_init(&w, at_data, NULL);
        another_store(&w, store_failing(w.loop, "too late", 5000));
        session(&w);
        struct scope *to[] = {recipient(&w, "<u@our.test>", true)};
        struct scope *data = world_data(&w, 1000);
        decide_open(data);
        struct decide_input in = {.recipients = to, .recipient_count = 1};
        cr_expect_eq(decide_stage(data, &in, &walk), DECIDE_NOT_YET);
        cr_expect_eq(decide_next_deadline(data), loop_now(w.loop) + w.settings.store_deadline);
        cr_expect(!decide_gather(data));
        if (by_time)
            wait_for(&w, w.settings.store_deadline);
        else
            decide_expire(data);
        cr_expect(decide_gather(data));
        cr_expect_eq(facts_get(&data->facts, FACT_GREYLIST_AGE)->state, FACT_ERROR);
        cr_expect_eq(facts_get(&data->facts, FACT_GREYLIST_KNOWN)->state, FACT_ERROR);
        scope_unref(&to[0]);
        world_clear(&w);
    }
}
