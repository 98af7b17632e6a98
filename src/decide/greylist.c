/*
 * greylist.c - greylist.age, .known and .key in stage data, where they speak for all recipients of the message together.
 *
 * Each recipient has its own entry in the store, so the check runs in each recipient's scope (and touches or only reads as that
 * scope says). The content scope holds whether all are known, and the youngest age of those that are not. A recipient never seen
 * decides the age (absent), one not known decides `known`; after that an error does: what could not be found out must not delay
 * mail.
 *
 * Then, for messages with signatures that pass, one more look: may their domains have been allowed or denied? What the recipients'
 * entries say was found out before the content came, when only SPF could speak for a domain.
 */
#include <assert.h>

#include "bits.h"
#include "decide_internal.h"

static bool has_all(const struct facts *facts)
{
    return facts_has(facts, FACT_GREYLIST_AGE) && facts_has(facts, FACT_GREYLIST_KNOWN) && facts_has(facts, FACT_GREYLIST_KEY);
}

/* The unfinished greylist check of a recipient, or NULL. */
static struct check_run *pending(struct scope *recipient, bool start)
{
    if (has_all(&recipient->facts))
        return NULL;
    for (size_t i = 0; i < recipient->run_count; i++) {
        if (recipient->runs[i].check == CHECK_GREYLIST)
            return recipient->runs[i].done ? NULL : &recipient->runs[i];
    }
    return start ? check_start(recipient, CHECK_GREYLIST, 0) : NULL;
}

static bool is_known(const struct facts *facts)
{
    const struct value *v = facts_get(facts, FACT_GREYLIST_KNOWN);
    return v->state == FACT_KNOWN && v->v.number;
}

static bool all_are_known(const struct decide_input *in)
{
    for (size_t i = 0; i < in->recipient_count; i++) {
        if (!is_known(&in->recipients[i]->facts))
            return false;
    }
    return true;
}

/* Of those not known (of all, when all are): the recipient never seen, else one in trouble, else the youngest; NULL: there is none. */
static const struct facts *youngest(const struct decide_input *in)
{
    const struct facts *found = NULL;
    bool anybody = all_are_known(in);
    for (size_t i = 0; i < in->recipient_count; i++) {
        const struct facts *facts = &in->recipients[i]->facts;
        if (!anybody && is_known(facts))
            continue;
        const struct value *v = facts_get(facts, FACT_GREYLIST_AGE), *least = found ? facts_get(found, FACT_GREYLIST_AGE) : NULL;
        if (v->state == FACT_ABSENT)
            return facts;
        if (!least || (v->state != FACT_KNOWN && least->state == FACT_KNOWN) ||
            (v->state == FACT_KNOWN && least->state == FACT_KNOWN && v->v.number < least->v.number))
            found = facts;
    }
    return found;
}

/* Age or key of the content: as the one recipient has it. */
static void take(struct scope *content, const struct facts *from, int fact)
{
    const struct value *v = from ? facts_get(from, fact) : NULL;
    if (!v || v->state == FACT_UNKNOWN)
        facts_set_error(&content->facts, fact, STR("not gathered"));
    else if (v->state == FACT_ERROR)
        facts_set_error(&content->facts, fact, v->v.text);
    else if (v->state == FACT_ABSENT)
        facts_set_absent(&content->facts, fact);
    else if (fact == FACT_GREYLIST_KEY)
        facts_set_text(&content->facts, fact, v->v.text);
    else
        facts_set_number(&content->facts, fact, v->v.number);
}

static void combine_known(struct scope *content, const struct decide_input *in)
{
    const struct value *trouble = NULL;
    for (size_t i = 0; i < in->recipient_count; i++) {
        const struct value *v = facts_get(&in->recipients[i]->facts, FACT_GREYLIST_KNOWN);
        if (v->state == FACT_ABSENT || (v->state == FACT_KNOWN && !v->v.number)) {
            facts_set_bool(&content->facts, FACT_GREYLIST_KNOWN, false);
            return;
        }
        if (v->state != FACT_KNOWN && !trouble)
            trouble = v;
    }
    if (!in->recipient_count || (trouble && trouble->state == FACT_UNKNOWN))
        facts_set_error(&content->facts, FACT_GREYLIST_KNOWN, STR("not gathered"));
    else if (trouble)
        facts_set_error(&content->facts, FACT_GREYLIST_KNOWN, trouble->v.text);
    else
        facts_set_bool(&content->facts, FACT_GREYLIST_KNOWN, true);
}

/* Steps every recipient's check. The earliest deadline of those that wait, 0 when none does. */
static uint64_t step_recipients(const struct decide_input *in, bool start)
{
    uint64_t earliest = 0;
    for (size_t i = 0; i < in->recipient_count; i++) {
        struct scope *recipient = in->recipients[i];
        if (!pending(recipient, start))
            continue;
        decide_gather(recipient);
        const struct check_run *run = pending(recipient, false);
        if (run && (!earliest || run->deadline_ms < earliest))
            earliest = run->deadline_ms;
    }
    return earliest;
}

/* --- rulings by DKIM's domains ------------------------------------------------------------------------------------------------ */

/* The runs of the content scope stand for a wait: for the recipients, then for the ruling. */
enum { WAIT_RECIPIENTS, WAIT_RULING };

static struct check_run *wait_run(struct scope *content, uint16_t what)
{
    for (size_t i = 0; i < content->run_count; i++) {
        if (content->runs[i].check == CHECK_GREYLIST && content->runs[i].instance == what)
            return &content->runs[i];
    }
    return NULL;
}

static struct check_run *wait_for(struct scope *content, uint16_t what, uint64_t deadline_ms)
{
    struct check_run *run = check_start(content, CHECK_GREYLIST, what);
    run->deadline_ms = deadline_ms;
    return run;
}

/* What was ruled on the client's networks and on the domains that speak for this message. NULL: not yet. */
static const struct store_result *ruling(struct scope *content, const struct decide_input *in)
{
    static const struct store_result nothing;
    struct str ruled[STORE_RULED_DOMAINS_MAX];
    if (!facts_has(&content->facts, FACT_DKIM_DOMAINS) && !decide_provide(content, FACT_DKIM_DOMAINS))
        return NULL;
    const struct value *domains = facts_get(&content->facts, FACT_DKIM_DOMAINS);
    if (domains->state == FACT_UNKNOWN)
        return NULL;
    const struct greylist_keys *keys = in->recipient_count ? greylist_keys_of(in->recipients[0]) : NULL;
    if (domains->state != FACT_KNOWN || domains->v.names.count == 0 || !keys)
        return &nothing;
    struct store_operation op = {.kind = STORE_GREYLIST, .mode = STORE_PEEK, .key = keys->row, .now_ms = loop_wall(content->world->loop)};
    greylist_ruled(in->recipients[0], &op, ruled);
    for (size_t i = 0; i < domains->v.names.count; i++)
        greylist_ruled_by_domain(&op, ruled, domains->v.names.list[i]);
    const struct store_result *r = scope_store(content, &op);
    if (!r && !wait_run(content, WAIT_RULING))
        wait_for(content, WAIT_RULING, loop_now(content->world->loop) + content->world->settings->store_deadline);
    return r;
}

/* --- all of it ---------------------------------------------------------------------------------------------------------------- */

static void write_facts(struct scope *content, const struct decide_input *in, const struct store_result *ruled)
{
    struct facts *facts = &content->facts;
    bool denied = ruled->ruling == STORE_DENIED;
    if (!facts_has(facts, FACT_GREYLIST_AGE)) { /* one alone may have been assumed */
        if (denied)
            facts_set_absent(facts, FACT_GREYLIST_AGE);
        else
            take(content, youngest(in), FACT_GREYLIST_AGE);
    }
    if (!facts_has(facts, FACT_GREYLIST_KNOWN)) {
        if (ruled->error)
            facts_set_error(facts, FACT_GREYLIST_KNOWN, str_of(ruled->error));
        else if (ruled->ruling != STORE_NO_RULING)
            facts_set_bool(facts, FACT_GREYLIST_KNOWN, !denied);
        else
            combine_known(content, in);
    }
    if (!facts_has(facts, FACT_GREYLIST_KEY))
        take(content, youngest(in), FACT_GREYLIST_KEY);
}

bool greylist_collect(struct scope *content, const struct decide_input *in, bool start)
{
    assert(content->stage == STAGE_DATA);
    struct check_run *wait = wait_run(content, WAIT_RECIPIENTS);
    if (has_all(&content->facts) || (!start && !wait))
        return false;
    uint64_t deadline = step_recipients(in, true);
    if (deadline || !wait) /* the run stays to the end: it says that somebody wants to know */
        wait = wait_for(content, WAIT_RECIPIENTS, deadline ? deadline : UINT64_MAX);
    if (deadline)
        return false;
    wait->deadline_ms = UINT64_MAX;
    const struct store_result *ruled = ruling(content, in);
    if (!ruled)
        return false;
    write_facts(content, in, ruled);
    for (size_t i = 0; i < content->run_count; i++)
        content->runs[i].done |= content->runs[i].check == CHECK_GREYLIST;
    return true;
}

bool greylist_expire(struct scope *content, struct check_run *wait)
{
    if (loop_now(content->world->loop) < wait->deadline_ms)
        return false;
    facts_set_deadline(&content->facts, FACT_GREYLIST_AGE);
    facts_set_deadline(&content->facts, FACT_GREYLIST_KNOWN);
    facts_set_deadline(&content->facts, FACT_GREYLIST_KEY);
    scope_store_late(content);
    for (size_t i = 0; i < content->run_count; i++)
        content->runs[i].done |= content->runs[i].check == CHECK_GREYLIST;
    return true;
}
