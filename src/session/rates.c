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
 * reach the store in the order of events, so what a session asks later sees what it did before.
 */
#include <string.h>

#include "session.h"

/* `amount` for whomever each of these rates is counted by, seen from this scope. */
static void add(struct scope *scope, enum rate_kind kind, uint64_t amount)
{
    struct arena arena = {0};
    size_t n = policy_rate_count(scope->policy, kind);
    for (size_t i = 0; i < n; i++) {
        const struct declaration *rate = policy_rate(scope->policy, kind, i);
        struct store_operation op = {.kind = STORE_RATE,
                                     .mode = STORE_TOUCH,
                                     .amount = amount,
                                     .window_ms = rate->window_ms,
                                     .now_ms = loop_wall(scope->world->loop)};
        if (rate_key(scope, rate, &arena, &op.key) == RATE_SOMEBODY)
            store_record(scope->world->store, &op);
    }
    arena_clear(&arena);
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
    if (t->scopes[STAGE_MAIL])
        add(t->scopes[STAGE_MAIL], RATE_MESSAGES, 1);
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
