/*
 * rates.c - what rates count (policy/rates.def), given to the store when it has happened: nobody waits for that. Reading is checks/rate.c.
 *
 *   connections   stage connect is decided; at the latest the connection's end
 *   errors        the command has been answered
 *   recipients    nothing here refuses the recipient: it goes on to the backend
 *   unknown       the backend's answer to it is known
 *   messages      the backend took the message
 *
 * What is refused here is not counted (save connections), so a limit lets through what it says, however often the rest is tried again. Operations
 * reach the store in the order of events, so what a session asks later sees what it did before; where it is not known yet for whom something counts,
 * when that is known (checks/rate.h), for which closing.c waits.
 */
#include <string.h>

#include "postern/checks/rate.h"
#include "session.h"

/* Is this rate of the shadow's one that the applied policy counts? */
static bool is_counted(const struct scope *scope, const struct declaration *rate)
{
    int theirs = facts_beside(&scope->shadow->facts, rate->fact);
    for (size_t i = 0; theirs >= 0 && i < policy_rate_count(scope->policy, rate->counts); i++)
        if (policy_rate(scope->policy, rate->counts, i)->fact == theirs)
            return true;
    return false;
}

/* `amount` for whomever each of these rates is counted by, seen from this scope. Rates that only the shadow reads are counted, too: by what the
 * applied policy did. */
static void add(struct scope *scope, enum rate_kind kind, uint64_t amount)
{
    size_t n = policy_rate_count(scope->policy, kind);
    for (size_t i = 0; i < n; i++)
        rate_count(scope, policy_rate(scope->policy, kind, i), amount);
    n = scope->shadow ? policy_rate_count(scope->shadow->policy, kind) : 0;
    for (size_t i = 0; i < n; i++)
        if (!is_counted(scope, policy_rate(scope->shadow->policy, kind, i)))
            rate_count(scope->shadow, policy_rate(scope->shadow->policy, kind, i), amount);
}

void rates_connection(struct session *s)
{
    if (s->counted || s->exempt || !s->connect)
        return;
    s->counted = true;
    add(s->connect, RATE_CONNECTIONS, 1);
}

/* A rate by a fact of stage helo has nobody to count for before there is a HELO. */
void rates_errors(struct session *s)
{
    unsigned more = s->errors - s->errors_counted;
    if (!more || !s->connect)
        return;
    s->errors_counted = s->errors;
    if (!s->exempt)
        add(s->helo ? s->helo : s->sticky_helo ? s->sticky_helo : s->connect, RATE_ERRORS, more);
}

void rates_recipient(const struct session *s, const struct recipient *r)
{
    if (!s->exempt && r->scope)
        add(r->scope, RATE_RECIPIENTS, 1);
}

/* A MAIL that the backend refused answers every RCPT, and says nothing about any. */
void rates_answer(const struct session *s, const struct recipient *r)
{
    bool answered = r->scope && reply_is(&s->t->mail_reply, 2) && strcmp(r->by, "backend") == 0;
    if (!s->exempt && answered && reply_says_unknown(&r->reply))
        add(r->scope, RATE_UNKNOWN, 1);
}

void rates_message(const struct transaction *t)
{
    if (t->scopes[STAGE_DATA] && !t->exempt)
        add(t->scopes[STAGE_DATA], RATE_MESSAGES, 1);
}

bool rates_may_be_late(const struct policy *p)
{
    for (int kind = 0; kind < RATE_COUNT; kind++)
        for (size_t i = 0; i < policy_rate_count(p, (enum rate_kind)kind); i++)
            if (rate_is_asked_for(p, policy_rate(p, (enum rate_kind)kind, i)))
                return true;
    return false;
}

/*
 * Does stage rcpt read how many recipients there were? Then those of a pipelined group are decided one after the other, or a limit would not see
 * the ones sent along. What the backend does not know it says too late for that: a group (at most 200) does not see its own unknown recipients.
 */
bool rates_want_turns(const struct policy *p)
{
    struct fact_bits needs = policy_needs(p, STAGE_RCPT, false);
    for (size_t i = 0; i < policy_rate_count(p, RATE_RECIPIENTS); i++)
        if (fact_bit(&needs, policy_rate(p, RATE_RECIPIENTS, i)->fact))
            return true;
    return false;
}
