/*
 * decide.c - from evidence to a verdict: starting the checks that somebody needs, stepping them, walking the rules.
 *
 * Who needs a fact: the rules of this stage and of later ones (monitor rules too), known when a scope opens; a check that reads
 * what another makes (it marks scope->needed and returns NOT_YET); a walk that stopped (wanted). In each case the check that
 * makes the fact is started, in the scope of its own stage. Starting adds a check_run to that scope; stepping runs every one
 * that is not done, until nothing moves any more.
 *
 * A deadline is counted from when the inputs of a check were known: a check that waits for another's fact has none yet.
 *
 * The greylist check writes to the store, so it is started only when a walk wants its facts: who is not doubtful leaves no
 * trace there. A policy in which only monitor rules ask for it gets it at once, reading only. In stage data it speaks for all
 * recipients: see greylist.c.
 *
 * A rate is a snapshot of the moment in which a rule asks for it, so it too is started when a walk wants it; one that only
 * monitor rules of the stage read, when the stage has been decided without them.
 *
 * Nobody is called back here. When an answer arrives, the owner of the scope is woken and calls decide_stage() again.
 */
#include "postern/decide/decide.h"

#include <assert.h>
#include <string.h>

#include "bits.h"
#include "decide_internal.h"
#include "postern/checks/rate.h"

/* --- starting --- */

static struct check_run *find_run(const struct scope *s, enum check_id check, uint16_t instance)
{
    for (size_t i = 0; i < s->run_count; i++) {
        if (s->runs[i].check == check && s->runs[i].instance == instance)
            return &s->runs[i];
    }
    return NULL;
}

/* Of a shadow's scope: has the applied policy's evidence this fact, or a check that is at work on it? */
static bool comes_from_beside(const struct scope *s, int fact)
{
    int theirs = s->beside ? facts_beside(&s->facts, fact) : -1;
    if (theirs < 0 || facts_has(&s->facts, fact))
        return theirs >= 0;
    uint16_t instance = 0;
    enum check_id check = check_of_fact(s->beside->applied->policy, theirs, &instance);
    const struct scope *home = check == CHECK_COUNT ? NULL : check_home(s->beside->applied, check);
    const struct check_run *run = home ? find_run(home, check, instance) : NULL;
    return run && !run->done;
}

/* A fact that nobody is going to give. False: there is no scope to write it to. */
static bool set_not_gathered(struct scope *s, int fact)
{
    const struct fact_info *info = schema_fact(s->facts.schema, fact);
    bool own = info->flags & FACT_SNAPSHOT || (info->flags & FACT_ALSO_DATA && s->stage == STAGE_DATA);
    if (!fact_readable(info, s->stage) || (!own && !scope_of(s, info->stage)))
        return false;
    facts_set_error(&s->facts, fact, STR("not gathered"));
    return true;
}

/*
 * Sees to it that an unknown fact, read from s, gets a value: starts the check that makes it, or says that nobody does. True
 * when something was started or written, false when it is on its way already.
 */
bool decide_provide(struct scope *s, int fact)
{
    uint16_t instance = 0;
    if (comes_from_beside(s, fact))
        return false;
    enum check_id check = check_of_fact(s->policy, fact, &instance);
    struct scope *home = check == CHECK_COUNT ? NULL : check_home(s, check);
    if (!home)
        return set_not_gathered(s, fact);
    const struct check_run *run = find_run(home, check, instance);
    if (!run) {
        check_start(home, check, instance);
        return true;
    }
    return run->done && set_not_gathered(s, fact);
}

/* --- stepping --- */

static bool any_unknown(const struct scope *s, const struct fact_bits *facts)
{
    for (int id = bits_next(facts, 0); id >= 0; id = bits_next(facts, id + 1)) {
        if (!facts_has(&s->facts, id))
            return true;
    }
    return false;
}

static bool provide_all(struct scope *s, const struct fact_bits *facts)
{
    bool moved = false;
    for (int id = bits_next(facts, 0); id >= 0; id = bits_next(facts, id + 1)) {
        if (!facts_has(&s->facts, id))
            moved |= decide_provide(s, id);
    }
    return moved;
}

/* Of a check whose inputs are known from now on. */
static uint64_t run_deadline(const struct scope *s, enum check_id check)
{
    size_t offset = checks[check].deadline_setting;
    if (!offset)
        return UINT64_MAX;
    uint64_t ms;
    memcpy(&ms, (const char *)s->world->settings + offset, sizeof(ms));
    return loop_now(s->world->loop) + ms;
}

/* Runs run i of s once. True when anything moved. */
static bool step(struct scope *s, size_t i)
{
    struct check_run *run = &s->runs[i];
    struct fact_bits before = s->needed;
    s->needed = (struct fact_bits){0};
    enum check_result result = check_step(s, run);
    struct fact_bits asked = s->needed;
    bits_add(&s->needed, &before);
    if (result == CHECK_DONE) {
        run->done = true;
        if (s->turns) /* before anybody else looks at, or counts by, what is known now */
            rate_turns_go(s);
        return true;
    }
    if (any_unknown(s, &asked)) {
        run->deadline_ms = UINT64_MAX;
        return provide_all(s, &asked);
    }
    if (run->deadline_ms == UINT64_MAX) /* its inputs are known now: from here on the time counts */
        run->deadline_ms = run_deadline(s, (enum check_id)run->check);
    return false;
}

static bool gather_once(struct scope *s)
{
    bool moved = s->parent && gather_once(s->parent);
    if (s->beside && s->turns) /* what they wait for may have come beside */
        rate_turns_go(s);
    for (size_t i = 0; i < s->run_count; i++) { /* the count grows while checks ask for more */
        if (s->runs[i].done)
            continue;
        if (check_home(s, (enum check_id)s->runs[i].check) != s) /* it stands for the recipients' checks */
            moved |= greylist_expire(s, &s->runs[i]);
        else
            moved |= step(s, i);
    }
    return moved;
}

bool decide_gather(struct scope *s)
{
    while (gather_once(s))
        ;
    for (const struct scope *it = s; it; it = it->parent) {
        for (size_t i = 0; i < it->run_count; i++) {
            if (!it->runs[i].done)
                return false;
        }
    }
    return true;
}

/* --- opening --- */

static struct fact_bits needs_from(const struct policy *p, enum stage first, bool with_monitor)
{
    struct fact_bits needs = {0};
    for (int stage = first; stage < STAGE_COUNT; stage++) {
        struct fact_bits more = policy_needs(p, (enum stage)stage, with_monitor);
        bits_add(&needs, &more);
    }
    return needs;
}

/* A recipient's greylist facts: left until a walk wants them; read only when no applied rule could. */
static bool leave_greylist(struct scope *s)
{
    struct fact_bits applied = needs_from(s->policy, STAGE_RCPT, false);
    if (fact_bit(&applied, FACT_GREYLIST_AGE) || fact_bit(&applied, FACT_GREYLIST_KNOWN) || fact_bit(&applied, FACT_GREYLIST_KEY))
        return true;
    s->touch = false;
    return false;
}

void decide_open(struct scope *s)
{
    assert(s->parent ? s->parent->stage == (s->stage == STAGE_DATA ? STAGE_MAIL : s->stage - 1) : s->stage == STAGE_CONNECT);
    struct fact_bits needs = needs_from(s->policy, s->stage, true);
    for (int id = bits_next(&needs, 0); id >= 0; id = bits_next(&needs, id + 1)) {
        uint16_t instance = 0;
        enum check_id check = check_of_fact(s->policy, id, &instance);
        if (check == CHECK_GREYLIST && s->stage == STAGE_DATA && !comes_from_beside(s, FACT_DKIM_DOMAINS)) { /* greylist.c will ask for whom DKIM passes, and DKIM must see the content */
            fact_bit_set(&s->needed, FACT_DKIM_DOMAINS);
            check_start(s, CHECK_DKIM, 0);
        }
        if (check == CHECK_COUNT || checks[check].stage != s->stage || facts_has(&s->facts, id) || comes_from_beside(s, id))
            continue;
        if (check == CHECK_GREYLIST && leave_greylist(s))
            continue;
        fact_bit_set(&s->needed, id);
        check_start(s, check, instance);
    }
    decide_gather(s);
}

void decide_rates(struct scope *s)
{
    struct fact_bits needs = policy_needs(s->policy, (enum stage)s->stage, true);
    for (int id = bits_next(&needs, FACT_COUNT); id >= 0; id = bits_next(&needs, id + 1)) {
        uint16_t instance = 0;
        if (check_of_fact(s->policy, id, &instance) == CHECK_RATE && !facts_has(&s->facts, id))
            decide_provide(s, id);
    }
    decide_gather(s);
}

void decide_open_at_hand(struct scope *s)
{
    for (int check = 0; check < CHECK_COUNT; check++) {
        if (checks[check].stage == s->stage && checks[check].instances == CHECK_ONE && !checks[check].deadline_setting)
            check_start(s, (enum check_id)check, 0);
    }
}

void decide_open_recorded(struct scope *s)
{
    decide_open_at_hand(s);
    decide_open(s);
}

void decide_open_all(struct scope *s)
{
    for (int check = 0; check < CHECK_COUNT; check++) {
        if (checks[check].stage == s->stage && checks[check].instances == CHECK_ONE)
            check_start(s, (enum check_id)check, 0);
    }
    for (size_t id = FACT_COUNT; id < schema_count(s->facts.schema); id++) {
        uint16_t instance = 0;
        enum check_id check = check_of_fact(s->policy, (int)id, &instance);
        if (check != CHECK_COUNT && fact_readable(schema_fact(s->facts.schema, (int)id), s->stage) && check_home(s, check) == s)
            check_start(s, check, instance);
    }
    decide_gather(s);
}

/* --- deciding --- */

static struct walk_input input_of_walk(const struct scope *s, const struct decide_input *in)
{
    const struct settings *settings = s->world->settings;
    return (struct walk_input){.stage = s->stage, .facts = &s->facts, .score = in->score, .negative = in->negative,
                               .help = settings->help, .id = in->id,
                               .negative_limit = (int64_t)settings->negative_score_limit, .with_monitor = in->with_monitor,
                               .with_trace = in->with_trace};
}

/* No walk stops for a monitor rule: the rates that those lack which were come by are asked for behind it. */
void decide_monitored(struct scope *s, const struct decide_input *in)
{
    struct walk_input input = input_of_walk(s, in);
    struct walk walk;
    if (!policy_monitors_rates(s->policy, s->stage))
        return;
    input.with_monitor = true;
    policy_walk(s->policy, &input, &s->arena, &walk);
    for (int id = bits_next(&walk.wanted, FACT_COUNT); id >= 0; id = bits_next(&walk.wanted, id + 1)) {
        uint16_t instance;
        if (check_of_fact(s->policy, id, &instance) == CHECK_RATE)
            decide_provide(s, id);
    }
    decide_gather(s);
}

/* What the walk stopped for: its makers are started, or it is declared not to come. True: worth walking again. */
static bool provide_wanted(struct scope *s, const struct fact_bits *wanted, const struct decide_input *in)
{
    bool moved = false, greylist = false;
    for (int id = bits_next(wanted, 0); id >= 0; id = bits_next(wanted, id + 1)) {
        if (facts_has(&s->facts, id))
            continue;
        if (s->stage == STAGE_DATA && schema_fact(s->facts.schema, id)->flags & FACT_ALSO_DATA)
            greylist = true;
        else
            moved |= decide_provide(s, id);
    }
    return (greylist && greylist_collect(s, in, true)) || moved;
}

enum decide_result decide_stage(struct scope *s, const struct decide_input *in, struct walk *out)
{
    struct walk_input walk = input_of_walk(s, in);
    do {
        if (s->stage == STAGE_DATA) /* before gathering, which ends the wait on its deadline: recipients are heard first */
            greylist_collect(s, in, false);
        decide_gather(s);
        policy_walk(s->policy, &walk, &s->arena, out);
        if (out->done) {
            if (!in->monitors_later)
                decide_monitored(s, in);
            return DECIDE_DONE;
        }
    } while (provide_wanted(s, &out->wanted, in));
    return DECIDE_NOT_YET;
}

void decide_expire(struct scope *s)
{
    for (; s; s = s->parent) {
        for (size_t i = 0; i < s->run_count; i++) {
            struct check_run *run = &s->runs[i];
            if (run->done)
                continue;
            struct fact_bits made = check_facts(s->policy, (enum check_id)run->check, run->instance);
            for (int id = bits_next(&made, 0); id >= 0; id = bits_next(&made, id + 1))
                facts_set_deadline(&s->facts, id);
            run->done = true;
        }
    }
}

uint64_t decide_next_deadline(const struct scope *s)
{
    uint64_t next = UINT64_MAX;
    for (; s; s = s->parent) {
        uint64_t deadline = scope_deadline(s);
        if (deadline < next)
            next = deadline;
    }
    return next;
}

bool decide_holds_reply(const struct policy *p, enum stage stage, const struct walk *undecided)
{
    return !undecided->done && policy_may_speak(p, stage, undecided->stopped_at);
}
