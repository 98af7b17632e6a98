/*
 * outcome.c - what a whole record says, in one phrase: "reject by listed", "none", "undecided at mail".
 *
 * Stage data speaks for the message. Without it (all refused, the client left) a recipient speaks: one whose mail goes on if
 * there is any, else the first that was refused. Without recipients the stages before them speak. Writer and judge use the same
 * rule, so that both can be compared.
 */
#include "decide_internal.h"

struct str ruling_summary(const struct policy *p, const struct ruling *r, struct arena *arena)
{
    return r->action == ACTION_NONE ? STR("none") : walk_summary(p, r->stage, r->walk, arena);
}

void outcome_recipient(struct outcome *o, const struct policy *p, const struct ruling *r, struct arena *arena)
{
    bool goes_on = r->action == ACTION_NONE || r->action == ACTION_ACCEPT;
    bool spoken_for = o->recipients.action == ACTION_NONE || o->recipients.action == ACTION_ACCEPT;
    if (o->has_recipients && (spoken_for || !goes_on))
        return;
    o->recipients = *r;
    o->has_recipients = true;
    o->summary = ruling_summary(p, r, arena);
}

/* What the stages of the message say; the walk that it points to is the copy's. */
static struct ruling without_recipients(const struct stage_verdict v[STAGE_COUNT], struct stage_verdict copy[STAGE_COUNT])
{
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        copy[stage] = v[stage];
    copy[STAGE_RCPT].present = false;
    return ruling_of(copy, STAGE_DATA);
}

struct str outcome_summary(const struct outcome *o, const struct policy *p, const struct stage_verdict v[STAGE_COUNT],
                           struct arena *arena)
{
    if (o->undecided)
        return arena_printf(arena, "undecided at %s", o->undecided);
    if (o->has_recipients && !v[STAGE_DATA].present)
        return o->summary;
    struct stage_verdict message[STAGE_COUNT];
    struct ruling all = without_recipients(v, message);
    return ruling_summary(p, &all, arena);
}

enum action outcome_action(const struct outcome *o, const struct stage_verdict v[STAGE_COUNT])
{
    struct stage_verdict message[STAGE_COUNT];
    return o->has_recipients && !v[STAGE_DATA].present ? o->recipients.action : without_recipients(v, message).action;
}
