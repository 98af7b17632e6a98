/*
 * ruling.c - what the stages say together (DESIGN section 3, "Refusals").
 *
 * A refusal decided before RCPT is pending: the stages go on, and the earliest one is spoken at each RCPT, unless an accept of
 * a later stage lifts it (accept at rcpt: for that recipient). An accept ends the walking of stages: what comes after it is not
 * asked. `pass` leaves one stage only.
 */
#include "postern/decide/decide.h"

struct ruling ruling_of(const struct stage_verdict v[STAGE_COUNT], enum stage until)
{
    struct ruling out = {.action = ACTION_NONE};
    for (int stage = 0; stage <= (int)until && stage < STAGE_COUNT; stage++) {
        if (!v[stage].present)
            continue;
        const struct walk *walk = &v[stage].walk;
        if (walk->action == ACTION_ACCEPT)
            return (struct ruling){.action = ACTION_ACCEPT, .stage = (enum stage)stage, .walk = walk, .skip_rest = true};
        bool refuses = walk->action == ACTION_REJECT || walk->action == ACTION_TEMPFAIL;
        if (refuses && out.action == ACTION_NONE)
            out = (struct ruling){.action = walk->action, .stage = (enum stage)stage, .walk = walk};
    }
    return out;
}

int64_t ruling_score(const struct stage_verdict v[STAGE_COUNT], enum stage stage)
{
    int64_t score = 0;
    for (int before = STAGE_CONNECT; before <= STAGE_MAIL && before < (int)stage; before++) {
        if (v[before].present)
            score += v[before].walk.score;
    }
    return score;
}

int64_t ruling_negative(const struct stage_verdict v[STAGE_COUNT], enum stage stage)
{
    int64_t negative = 0;
    for (int before = STAGE_CONNECT; before <= STAGE_MAIL && before < (int)stage; before++) {
        if (v[before].present)
            negative += v[before].walk.negative;
    }
    return negative;
}
