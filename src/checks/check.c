/*
 * check.c - the table of checks, which facts each makes, and one step of a run.
 *
 * A step runs the check from its first line. At the deadline it is run a last time (so that an answer which came in the same millisecond
 * counts, and a check may conclude from part of its answers); what it leaves unknown then gets its deadline value.
 */
#include <assert.h>
#include <string.h>

#include "internal.h"
#include "postern/base/counters.h"
#include "postern/checks/content.h"

const struct check checks[CHECK_COUNT] = {
#define CHECK(id, name, stage, deadline, instances, help) \
    [CHECK_##id] = {#name, STAGE_##stage, deadline, CHECK_##instances, check_##name, help},
#include "postern/checks/checks.def"
#undef CHECK
};

/* Which check makes a built-in fact; 1 more than its id, 0: none does (the session's and the policy's facts). */
static const uint8_t made_by[FACT_COUNT] = {
    [FACT_CLIENT_IP] = CHECK_CLIENT + 1,
    [FACT_CLIENT_NET] = CHECK_CLIENT + 1,
    [FACT_LISTENER] = CHECK_CLIENT + 1,
    [FACT_FCRDNS] = CHECK_FCRDNS + 1,
    [FACT_CLIENT_NAME] = CHECK_FCRDNS + 1,
    [FACT_DNSBL_LISTED] = CHECK_DNSBL_LISTED + 1,
    [FACT_DNSWL_LISTED] = CHECK_DNSBL_LISTED + 1,
    [FACT_HISTORY_PASSED] = CHECK_HISTORY + 1,
    [FACT_HISTORY_REFUSED] = CHECK_HISTORY + 1,
    [FACT_HISTORY_FIRST] = CHECK_HISTORY + 1,
    [FACT_HELO_NAME] = CHECK_HELO + 1,
    [FACT_HELO_FORM] = CHECK_HELO + 1,
    [FACT_HELO_OURS] = CHECK_HELO + 1,
    [FACT_HELO_DNS] = CHECK_HELO_DNS + 1,
    [FACT_MAIL_FROM] = CHECK_ENVELOPE + 1,
    [FACT_MAIL_LOCAL] = CHECK_ENVELOPE + 1,
    [FACT_MAIL_DOMAIN] = CHECK_ENVELOPE + 1,
    [FACT_MAIL_NULL] = CHECK_ENVELOPE + 1,
    [FACT_MAIL_DNS] = CHECK_SENDER + 1,
    [FACT_SPF_HELO] = CHECK_SPF_HELO + 1,
    [FACT_SPF] = CHECK_SPF + 1,
    [FACT_SPF_DOMAIN] = CHECK_SPF + 1,
    [FACT_SPF_MECHANISM] = CHECK_SPF + 1,
    [FACT_SPF_EXPLANATION] = CHECK_SPF + 1,
    [FACT_RCPT_ADDRESS] = CHECK_RECIPIENT + 1,
    [FACT_RCPT_LOCAL] = CHECK_RECIPIENT + 1,
    [FACT_RCPT_DOMAIN] = CHECK_RECIPIENT + 1,
    [FACT_GREYLIST_AGE] = CHECK_GREYLIST + 1,
    [FACT_GREYLIST_KNOWN] = CHECK_GREYLIST + 1,
    [FACT_GREYLIST_KEY] = CHECK_GREYLIST + 1,
    [FACT_BARE_NEWLINE] = CHECK_CONTENT + 1,
    [FACT_MSG_SIZE] = CHECK_CONTENT + 1,
    [FACT_MSG_RECEIVED] = CHECK_CONTENT + 1,
    [FACT_MSG_LONGEST_LINE] = CHECK_CONTENT + 1,
    [FACT_FROM_DOMAIN] = CHECK_FROM + 1,
    [FACT_FROM_ERROR] = CHECK_FROM + 1,
    [FACT_DKIM] = CHECK_DKIM + 1,
    [FACT_DKIM_DOMAINS] = CHECK_DKIM + 1,
    [FACT_DKIM_SIGNATURES] = CHECK_DKIM + 1,
    [FACT_DKIM_TAIL] = CHECK_DKIM + 1,
    [FACT_ARC] = CHECK_ARC + 1,
    [FACT_ARC_SEALERS] = CHECK_ARC + 1,
    [FACT_ARC_TRUSTED] = CHECK_ARC + 1,
    [FACT_ARC_DMARC] = CHECK_ARC + 1,
    [FACT_ARC_SPF] = CHECK_ARC + 1,
    [FACT_ARC_DKIM] = CHECK_ARC + 1,
    [FACT_DMARC] = CHECK_DMARC + 1,
    [FACT_DMARC_POLICY] = CHECK_DMARC + 1,
    [FACT_DMARC_DOMAIN] = CHECK_DMARC + 1,
    [FACT_DMARC_ALIGNED] = CHECK_DMARC + 1,
    [FACT_DMARC_TEST] = CHECK_DMARC + 1,
};

enum check_id check_of_fact(const struct policy *p, int fact, uint16_t *instance)
{
    *instance = 0;
    if (fact < FACT_COUNT)
        return made_by[fact] ? (enum check_id)(made_by[fact] - 1) : CHECK_COUNT;
    for (size_t i = 0; i < policy_declaration_count(p); i++) {
        const struct declaration *d = policy_declaration(p, i);
        if (d->fact != fact)
            continue;
        *instance = (uint16_t)i;
        if (d->kind == DECLARE_DNSBL || d->kind == DECLARE_DNSWL)
            return CHECK_DNSBL;
        return d->kind == DECLARE_MARK ? CHECK_MARKED : d->kind == DECLARE_RATE ? CHECK_RATE : CHECK_COUNT;
    }
    return CHECK_COUNT;
}

struct scope *check_home(struct scope *s, enum check_id check)
{
    return checks[check].stage == STAGE_EACH ? s : scope_of(s, checks[check].stage);
}

struct fact_bits check_facts(const struct policy *p, enum check_id check, uint16_t instance)
{
    struct fact_bits bits = {0};

    if (checks[check].instances != CHECK_ONE) {
        fact_bit_set(&bits, policy_declaration(p, instance)->fact);
        return bits;
    }
    for (int i = 0; i < FACT_COUNT; i++)
        if (made_by[i] == check + 1)
            fact_bit_set(&bits, i);
    return bits;
}

/* The time that a sender takes for his message is not the check's: what reads the content counts from its end. */
void check_set_deadline(struct scope *s, struct check_run *run)
{
    uint64_t allowed;

    if (!checks[run->check].deadline_setting || (s->stage == STAGE_DATA && !content_has_ended(s)))
        return;
    memcpy(&allowed, (const char *)s->world->settings + checks[run->check].deadline_setting, sizeof allowed);
    if (run->check == CHECK_DMARC && allowed <= s->world->settings->dkim_deadline)
        allowed = s->world->settings->dkim_deadline + 1; /* it reads what DKIM makes of the keys that came in time */
    run->deadline_ms = loop_now(s->world->loop) + allowed;
}

struct check_run *check_start(struct scope *s, enum check_id check, uint16_t instance)
{
    for (size_t i = 0; i < s->run_count; i++)
        if (s->runs[i].check == check && s->runs[i].instance == instance)
            return &s->runs[i];
    if (s->run_count == s->run_cap) {
        uint16_t cap = s->run_cap ? (uint16_t)(s->run_cap * 2) : 4;
        struct check_run *more = arena_alloc(&s->arena, cap * sizeof *more);
        if (s->run_count)
            memcpy(more, s->runs, s->run_count * sizeof *more);
        s->runs = more;
        s->run_cap = cap;
    }
    struct check_run *run = &s->runs[s->run_count++];
    *run = (struct check_run){.check = (uint8_t)check, .instance = instance, .deadline_ms = UINT64_MAX};
    check_set_deadline(s, run);
    return run;
}

uint64_t scope_deadline(const struct scope *s)
{
    uint64_t earliest = UINT64_MAX;

    for (size_t i = 0; i < s->run_count; i++)
        if (!s->runs[i].done && s->runs[i].deadline_ms < earliest)
            earliest = s->runs[i].deadline_ms;
    return earliest;
}

bool check_is_late(const struct scope *s, const struct check_run *run)
{
    return loop_now(s->world->loop) >= run->deadline_ms;
}

/* Calls f for each fact of the run; true when all said true. */
static bool all_facts(struct scope *s, const struct check_run *run, bool (*f)(struct facts *facts, int id))
{
    bool all = true;

    if (checks[run->check].instances != CHECK_ONE)
        return f(&s->facts, policy_declaration(s->policy, run->instance)->fact);
    for (int id = 0; id < FACT_COUNT; id++)
        if (made_by[id] == run->check + 1)
            all &= f(&s->facts, id);
    return all;
}

static bool fact_is_there(struct facts *facts, int id)
{
    return facts_has(facts, id);
}

static bool fact_is_good(struct facts *facts, int id)
{
    return facts_get(facts, id)->state != FACT_ERROR;
}

static bool fact_out_of_time(struct facts *facts, int id)
{
    facts_set_deadline(facts, id);
    return true;
}

enum check_result check_step(struct scope *s, struct check_run *run)
{
    assert(check_home(s, (enum check_id)run->check) == s);
    if (run->done)
        return CHECK_DONE;
    run->done = all_facts(s, run, fact_is_there);
    if (run->done)
        return CHECK_DONE;
    if (checks[run->check].run(s, run) == CHECK_DONE) {
        assert(all_facts(s, run, fact_is_there));
        if (!all_facts(s, run, fact_is_good))
            count(COUNTER_CHECK_ERRORS);
        run->done = true;
    } else if (check_is_late(s, run)) {
        all_facts(s, run, fact_out_of_time);
        count(COUNTER_CHECK_DEADLINES);
        if (checks[run->check].deadline_setting == offsetof(struct settings, store_deadline))
            scope_store_late(s);
        run->done = true;
    }
    return run->done ? CHECK_DONE : CHECK_NOT_YET;
}
