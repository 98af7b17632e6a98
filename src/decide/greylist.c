/*
 * greylist.c - greylist.age, .known and .key in stage data, where they speak for all recipients of the message together.
 *
 * Each recipient has its own entry in the store, so the check runs in each recipient's scope (and touches or only reads as that
 * scope says). The content scope holds the youngest age and whether all are known. A recipient never seen decides the age
 * (absent), one not known decides `known`; after that an error does: what could not be found out must not delay mail.
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

/* The recipient never seen, else one in trouble, else the youngest; NULL when there is none. */
static const struct facts *youngest(const struct decide_input *in)
{
    const struct facts *found = NULL;
    for (size_t i = 0; i < in->recipient_count; i++) {
        const struct facts *facts = &in->recipients[i]->facts;
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

static bool all_known(const struct decide_input *in)
{
    for (size_t i = 0; i < in->recipient_count; i++) {
        if (!has_all(&in->recipients[i]->facts))
            return false;
    }
    return in->recipient_count > 0;
}

static struct check_run *wait_run(struct scope *content)
{
    for (size_t i = 0; i < content->run_count; i++) {
        if (content->runs[i].check == CHECK_GREYLIST)
            return &content->runs[i];
    }
    return NULL;
}

bool greylist_collect(struct scope *content, const struct decide_input *in, bool start)
{
    assert(content->stage == STAGE_DATA);
    if (has_all(&content->facts))
        return false;
    struct check_run *wait = wait_run(content);
    start |= wait != NULL;
    uint64_t deadline = start ? step_recipients(in, true) : 0;
    if (deadline) {
        if (!wait)
            wait = check_start(content, CHECK_GREYLIST, 0);
        wait->deadline_ms = deadline;
        return false;
    }
    if (!start && !all_known(in))
        return false;
    if (!facts_has(&content->facts, FACT_GREYLIST_AGE)) /* one alone may have been assumed */
        take(content, youngest(in), FACT_GREYLIST_AGE);
    if (!facts_has(&content->facts, FACT_GREYLIST_KNOWN))
        combine_known(content, in);
    if (!facts_has(&content->facts, FACT_GREYLIST_KEY))
        take(content, youngest(in), FACT_GREYLIST_KEY);
    if (wait)
        wait->done = true;
    return true;
}

bool greylist_expire(struct scope *content, struct check_run *wait)
{
    if (loop_now(content->world->loop) < wait->deadline_ms)
        return false;
    facts_set_deadline(&content->facts, FACT_GREYLIST_AGE);
    facts_set_deadline(&content->facts, FACT_GREYLIST_KNOWN);
    facts_set_deadline(&content->facts, FACT_GREYLIST_KEY);
    wait->done = true;
    return true;
}
