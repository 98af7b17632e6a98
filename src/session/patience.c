/*
 * patience.c - how long a session waits for whom, and what happens when that time is over (RFC 5321 4.5.3.2).
 *
 * A session has one timer, set at the end of each run to the first moment at which it must look again by itself: the client owes a command,
 * data, the rest of its message; the backend owes a reply (relay_deadline); a check's evidence is given up (only when this run stopped for
 * lack of it); a greet-delay or a tarpit is over. The timer does nothing but wake the session; the next run finds out what the hour is.
 */
#include "session.h"

enum { ARRIVAL_MS = 60000 }; /* for a PROXY header, for a handshake */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t patience_greeting(const struct session *s)
{
    return s->start_ms + s->proxy->parts.settings->greet_delay;
}

/* All of a message must have come by then, the time between its chunks included. */
static uint64_t message_deadline(const struct session *s)
{
    return s->t && s->t->content ? s->t->content->deadline_ms : UINT64_MAX;
}

/* When does somebody owe us something, and since when? */
static uint64_t patience_ends(const struct session *s)
{
    const struct settings *set = s->proxy->parts.settings;
    if (s->phase == PHASE_BALANCER || s->phase == PHASE_HANDSHAKE)
        return s->idle_since + (set->command_timeout < ARRIVAL_MS ? set->command_timeout : ARRIVAL_MS);
    if (s->phase == PHASE_CONTENT || s->phase == PHASE_CHUNK)
        return earlier(s->idle_since + set->data_timeout, message_deadline(s));
    if (s->phase == PHASE_COMMAND && !s->command && recipients_settled(s)) {
        uint64_t command = s->idle_since + (s->discard ? set->data_timeout : set->command_timeout);
        uint64_t session = s->start_ms + set->session_time;
        if (s->discard) /* of these there is no end, and they are no message */
            command = earlier(command, session);
        return earlier(command, s->t ? message_deadline(s) : session);
    }
    return UINT64_MAX;
}

/* Of a scope and its parents. One that has passed is of a check that nobody waits for: it is seen to when its scope's turn comes. */
static uint64_t deadline_to_come(const struct session *s, const struct scope *scope)
{
    uint64_t at = UINT64_MAX;
    for (; scope; scope = scope->parent)
        if (scope_deadline(scope) > session_now(s))
            at = earlier(at, scope_deadline(scope));
    return at;
}

static uint64_t evidence_deadline(const struct session *s)
{
    uint64_t at = deadline_to_come(s, s->helo ? s->helo : s->connect);
    if (s->sticky_helo)
        at = earlier(at, deadline_to_come(s, s->sticky_helo));
    if (!s->t)
        return at;
    if (s->t->scopes[STAGE_DATA])
        at = earlier(at, deadline_to_come(s, s->t->scopes[STAGE_DATA]));
    else if (s->t->scopes[STAGE_MAIL])
        at = earlier(at, deadline_to_come(s, s->t->scopes[STAGE_MAIL]));
    for (const struct recipient *r = s->t->recipients; r; r = r->next)
        if (r->scope && (r->state == RECIPIENT_DECIDING || s->phase == PHASE_DOT))
            at = earlier(at, deadline_to_come(s, r->scope));
    return at;
}

void patience_arm(struct session *s)
{
    uint64_t now = session_now(s), at = patience_ends(s);
    at = earlier(at, relay_deadline(s));
    if (s->phase == PHASE_GREET && patience_greeting(s) > now)
        at = earlier(at, patience_greeting(s));
    if (s->hold_until > now)
        at = earlier(at, s->hold_until);
    if (s->t && s->t->next_spoken && s->t->next_spoken->hold_until > now)
        at = earlier(at, s->t->next_spoken->hold_until);
    if (s->awaits_evidence)
        at = earlier(at, evidence_deadline(s));
    if (session_gives_way(s))
        at = now;
    if (at == UINT64_MAX)
        timer_cancel(session_loop(s), &s->timer);
    else if (at != s->timer.at_ms || !timer_is_set(&s->timer))
        timer_set(session_loop(s), &s->timer, at);
}

bool patience_out(struct session *s)
{
    uint64_t now = session_now(s);
    if (now < patience_ends(s))
        return false;
    if (s->phase == PHASE_BALANCER || s->phase == PHASE_HANDSHAKE) { /* there is nobody yet to speak to */
        session_end(s, HANGUP_TIMEOUT);
        return true;
    }
    bool message = now >= message_deadline(s);
    bool session = s->phase == PHASE_COMMAND && (!s->t || s->discard) && now >= s->start_ms + s->proxy->parts.settings->session_time;
    speak_id(s, message ? REPLY_MESSAGE_TIMEOUT : session ? REPLY_SESSION_LIMIT : REPLY_TIMEOUT, STR_NONE);
    session_end(s, HANGUP_TIMEOUT);
    return true;
}
