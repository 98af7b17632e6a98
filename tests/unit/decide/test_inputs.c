/*
 * test_inputs.c - a check that reads another's fact: it says so in scope->needed, the maker is started, and its own time counts
 * from when the input is known. The checks here are played: decide.c is compiled into this test with a check_step() of the
 * test's own.
 */
#define check_step played_step
#include "../../../src/decide/decide.c"
#undef check_step

#include "world.h"

/* helo.dns reads fcrdns (another scope's); fcrdns answers when it may; helo.dns answers `lasts` after it knows its input. */
static struct played {
    bool fcrdns_may;
    uint64_t lasts, known_at;
    unsigned ran_before_input;
} played;

enum check_result played_step(struct scope *s, struct check_run *run)
{
    uint64_t now = loop_now(s->world->loop);
    if (run->check == CHECK_FCRDNS && played.fcrdns_may) {
        facts_set_text(&s->facts, FACT_FCRDNS, STR("pass"));
        facts_set_absent(&s->facts, FACT_CLIENT_NAME);
        return CHECK_DONE;
    }
    if (run->check == CHECK_HELO_DNS && now >= run->deadline_ms) {
        facts_set_deadline(&s->facts, FACT_HELO_DNS);
        return CHECK_DONE;
    }
    if (run->check != CHECK_HELO_DNS)
        return CHECK_NOT_YET;
    if (!facts_has(&s->facts, FACT_FCRDNS)) {
        fact_bit_set(&s->needed, FACT_FCRDNS);
        played.ran_before_input++;
        return CHECK_NOT_YET;
    }
    if (!played.known_at)
        played.known_at = now;
    if (now < played.known_at + played.lasts)
        return CHECK_NOT_YET;
    facts_set_text(&s->facts, FACT_HELO_DNS, STR("match"));
    return CHECK_DONE;
}

static struct scope *begin(struct world *w, uint64_t lasts)
{
    played = (struct played){.lasts = lasts};
    world_init(w, "stage helo\n  rule r: reject when helo.dns = match\n  rule s: tempfail when helo.dns is error\n", NULL);
    decide_open(world_connect(w, "203.0.113.9"));
    cr_assert_eq(w->scopes[STAGE_CONNECT]->run_count, 0, "no rule reads fcrdns");
    struct scope *s = world_helo(w, "client.example");
    decide_open(s);
    cr_expect_eq(w->scopes[STAGE_CONNECT]->run_count, 1, "a check does");
    return s;
}

Test(inputs, a_maker_is_started_in_its_own_scope)
{
    struct world w;
    struct walk walk;
    struct scope *s = begin(&w, 0);
    cr_expect_eq(decide_stage(s, &(struct decide_input){0}, &walk), DECIDE_NOT_YET);
    cr_expect(played.ran_before_input > 0);
    played.fcrdns_may = true;
    cr_expect_eq(decide_stage(s, &(struct decide_input){0}, &walk), DECIDE_DONE, "both in one call");
    cr_expect_eq(walk.action, ACTION_REJECT);
    cr_expect(fact_bit(&s->needed, FACT_FCRDNS) && fact_bit(&s->needed, FACT_HELO_DNS));
    world_clear(&w);
}

Test(inputs, b_time_counts_from_the_input)
{
    struct world w;
    struct walk walk;
    struct scope *s = begin(&w, 60000);
    uint64_t start = loop_now(w.loop);
    cr_expect_eq(decide_next_deadline(s), start + w.settings.fcrdns_deadline, "its own does not run yet");
    loop_advance_to(w.loop, start + 9000);
    played.fcrdns_may = true;
    cr_expect_eq(decide_stage(s, &(struct decide_input){0}, &walk), DECIDE_NOT_YET);
    cr_expect_eq(decide_next_deadline(s), start + 9000 + w.settings.helo_deadline);
    loop_advance_to(w.loop, start + 9000 + w.settings.helo_deadline);
    cr_expect_eq(decide_stage(s, &(struct decide_input){0}, &walk), DECIDE_DONE);
    cr_expect_eq(walk.action, ACTION_TEMPFAIL);
    world_clear(&w);
}

Test(inputs, c_expiry_closes_both)
{
    struct world w;
    struct walk walk;
    struct scope *s = begin(&w, 60000);
    decide_expire(s);
    cr_expect_eq(facts_get(&s->facts, FACT_FCRDNS)->state, FACT_ERROR);
    cr_expect_eq(decide_stage(s, &(struct decide_input){0}, &walk), DECIDE_DONE);
    cr_expect_eq(walk.action, ACTION_TEMPFAIL);
    world_clear(&w);
}
