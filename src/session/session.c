/*
 * session.c - the life of one client connection: its input, the greeting, the run, the end. See session.h for the story.
 */
#include "session.h"

#include <stdlib.h>

#include "postern/base/random.h"

const char *const hangup_words[HANGUP_COUNT] = {
#define HANGUP(id, word, counter, help) [HANGUP_##id] = word,
#include "hangups.def"
#undef HANGUP
};

enum { COUNTER_NONE = -1 };
static const int hangup_counters[HANGUP_COUNT] = {
#define HANGUP(id, word, counter, help) [HANGUP_##id] = COUNTER_##counter,
#include "hangups.def"
#undef HANGUP
};

_Static_assert(sizeof(struct session) <= 504, "a session that waits is small: what only a transaction needs lies there");

static void session_run(struct task *t);
static void session_timer(struct timer *t);
static void evidence_arrived(struct task *t);

static void make_id(char id[12])
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; /* without I, L, O, U: it is read aloud on the telephone */
    uint64_t r = random_u64();
    for (int i = 0; i < 10; i++, r >>= 5)
        id[i] = digits[r & 31];
    id[10] = 0;
}

void session_meet(struct session *s)
{
    stages_open_connect(s, s->listener->address);
}

void session_new(struct proxy *p, struct stream *client, const struct arrival *arrival)
{
    struct session *s = xcalloc(1, sizeof *s);
    s->proxy = p;
    s->task.run = session_run;
    s->evidence.run = evidence_arrived;
    s->timer.fire = session_timer;
    s->client = client;
    s->peer = arrival->peer;
    s->local = arrival->local;
    s->listener = arrival->listener;
    s->tells_client = p->tells_client;
    s->policy = policy_ref(p->policy);
    s->snapshots = p->snapshots;
    s->in_turn = p->in_turn;
    s->dns_budget = (unsigned)p->parts.settings->dns_questions;
    s->start_ms = s->idle_since = session_now(s);
    s->start_wall_ms = loop_wall(session_loop(s));
    make_id(s->id);
    s->next = p->sessions;
    s->link = &p->sessions;
    if (s->next)
        s->next->link = &s->next;
    p->sessions = s;
    count(COUNTER_CONNECTIONS);
    stream_set_owner(client, &s->task);
    s->phase = PHASE_GREET;
    if (s->listener->proxy_from && prefix_set_has(s->listener->proxy_from, &s->peer.addr)) {
        s->phase = PHASE_BALANCER;
    } else {
        s->admitted = true;
        session_meet(s);
        if (s->listener->tls)
            session_start_tls(s);
    }
    loop_wake(session_loop(s), &s->task);
}

static void bury(void *p)
{
    struct session *s = p;
    line_clear(&s->lines);
    buf_free(&s->input);
    arena_clear(&s->command_arena);
    free(s);
}

/* What a transaction that was open is recorded as. Who has no recipient has nothing to stay for: QUIT is then what RSET is. */
static const char *cut_short(const struct session *s, enum hangup why)
{
    if (why == HANGUP_QUIT)
        return s->t->accepted ? "client-left" : "no-recipients";
    return why == HANGUP_CLIENT ? "client-left" : hangup_words[why];
}

void session_end(struct session *s, enum hangup why)
{
    struct proxy *p = s->proxy;
    struct loop *l = session_loop(s);
    if (hangup_counters[why] != COUNTER_NONE)
        count((enum counter)hangup_counters[why]);
    rates_errors(s);
    rates_connection(s);
    if (s->t) {
        relay_abandon(s);
        transaction_end(s, cut_short(s, why));
    } else if (!s->had_transaction) {
        closing_connection(s, why);
    }
    closing_session_ends(s);
    relay_quit(s);
    linger_close(p, &s->client);
    backends_unwait(p->backends, &s->task);
    timer_cancel(l, &s->timer);
    loop_unwake(l, &s->task);
    loop_unwake(l, &s->evidence);
    /* Scopes that a closing record holds live on; they must not count on this session any more. */
    scope_unref(&s->helo);
    scope_unref(&s->sticky_helo);
    scope_unref(&s->connect);
    policy_unref(&s->policy);
    if (s->tarpitted)
        p->tarpitted--;
    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    proxy_session_gone(p, s->admitted ? &s->peer : NULL);
    loop_bury(l, s, bury);
}

/* --- input --------------------------------------------------------------------------------------------------------------------- */

struct str session_input(const struct session *s)
{
    if (s->input.n > s->input_at)
        return (struct str){s->input.p + s->input_at, s->input.n - s->input_at};
    return s->fresh;
}

void session_input_left(struct session *s, struct str rest)
{
    if (s->input.n > s->input_at)
        s->input_at = s->input.n - rest.n;
    else
        s->fresh = rest;
}

/* Who sends, or is sent to, faster than we look would else keep everybody waiting for as long as it likes. The timer goes on at once
 * (patience_arm), behind all that happened meanwhile. */
bool session_gives_way(const struct session *s)
{
    return s->proxy->moved >= RUN_OCTETS;
}

enum step session_fill(struct session *s)
{
    if (session_input(s).n > 0)
        return STEP_DONE;
    if (session_gives_way(s))
        return STEP_NOT_YET;
    ssize_t n = stream_read(s->client, s->proxy->scratch, READ_CHUNK);
    if (n > 0) {
        s->proxy->moved += (size_t)n;
        s->fresh = (struct str){s->proxy->scratch, (size_t)n};
        return STEP_DONE;
    }
    if (n == STREAM_AGAIN)
        return STEP_NOT_YET;
    session_end(s, HANGUP_CLIENT);
    return STEP_END;
}

/* The scratch is everybody's: what is left of it is kept, and memory that is not needed any more given back. */
static void keep_input(struct session *s)
{
    if (s->input_at >= s->input.n) {
        buf_free(&s->input);
        s->input_at = 0;
    }
    if (s->fresh.n)
        buf_str(&s->input, s->fresh);
    s->fresh = STR_NONE;
}

/* --- the greeting -------------------------------------------------------------------------------------------------------------- */

/* Bytes before the greeting: a fact for the policy (they stay and are commands in their turn). */
static enum step listen_early(struct session *s)
{
    if (s->early_talk || !s->run_before)
        return STEP_DONE;
    enum step got = session_fill(s);
    if (got == STEP_DONE) {
        s->early_talk = true;
        count(COUNTER_EARLY_TALK);
    }
    return got == STEP_END ? STEP_END : STEP_DONE;
}

static enum step wait_for_backends(struct session *s)
{
    struct backends *b = s->proxy->backends;
    if (backends_ever(b))
        return STEP_DONE;
    if (!backends_probed(b)) {
        if (!s->probe_waited)
            backends_wait(b, &s->task);
        s->probe_waited = true;
        return STEP_NOT_YET;
    }
    speak_id(s, REPLY_NO_BACKEND_YET, STR_NONE);
    session_end(s, HANGUP_LIMIT);
    return STEP_END;
}

/* `reject now` at connect: 554 and then only QUIT (RFC 5321 3.1), or 521 and the end (RFC 7504); `tempfail now`: 421 and the end. */
static enum step greet_refused(struct session *s, const struct reply *refusal)
{
    struct reply r = *refusal;
    r.enhanced = (struct enhanced){0};
    r.code = reply_is(refusal, 4) ? 421 : refusal->code == 521 ? 521 : 554;
    speak(s, &r, true);
    s->greeting_refused = true;
    s->phase = PHASE_COMMAND;
    return STEP_DONE;
}

static enum step greet(struct session *s)
{
    enum step ready = wait_for_backends(s);
    if (ready == STEP_DONE)
        ready = listen_early(s);
    if (ready != STEP_DONE)
        return ready;
    if (session_now(s) < patience_greeting(s))
        return STEP_NOT_YET;
    struct reply refusal;
    bool refused;
    if (stages_reply(s, STAGE_CONNECT, &refusal, &refused) == STEP_NOT_YET)
        return STEP_NOT_YET;
    if (refused)
        return greet_refused(s, &refusal);
    speak_id(s, REPLY_GREETING, STR_NONE);
    s->phase = PHASE_COMMAND;
    return STEP_DONE;
}

/* --- the run ------------------------------------------------------------------------------------------------------------------- */

static enum step one_step(struct session *s)
{
    if (s->hang_up) {
        session_end(s, HANGUP_POLICY);
        return STEP_END;
    }
    switch (s->phase) {
    case PHASE_BALANCER: return arrival_balancer(s);
    case PHASE_HANDSHAKE: return arrival_handshake(s);
    case PHASE_GREET: return greet(s);
    case PHASE_COMMAND: return command_step(s);
    case PHASE_CONTENT: return content_run(s);
    case PHASE_CHUNK: return content_chunk_run(s);
    case PHASE_DOT: return content_dot(s);
    }
    return STEP_NOT_YET;
}

/* Steps until something is lacking. False: the session is over. */
static bool run_steps(struct session *s)
{
    enum step r;
    do {
        s->stirred = false;
        relay_run(s);
        do {
            recipients_run(s);
            r = one_step(s);
            if (r == STEP_DONE)
                rates_errors(s);
            s->stirred |= r == STEP_DONE;
        } while (r == STEP_DONE);
    } while (r != STEP_END && s->stirred);
    return r != STEP_END;
}

static void session_run(struct task *task)
{
    struct session *s = (struct session *)((char *)task - offsetof(struct session, task));
    s->awaits_evidence = false;
    s->proxy->moved = 0;
    if (!run_steps(s))
        return;
    if (patience_out(s))
        return;
    s->run_before = true;
    keep_input(s);
    stages_gather_shadow(s);
    /* Answers of a pipelined group leave together: who has sent RCPT behind MAIL is not waiting for MAIL's (RFC 2920 3.2). */
    bool hold = !recipients_settled(s) && stream_queued(s->client) < OUTPUT_MAX;
    if ((!hold && stream_flush(s->client) == FLUSH_FAILED) || stream_state(s->client) == STREAM_DEAD) {
        bool reading = s->phase == PHASE_COMMAND || s->phase == PHASE_CONTENT || s->phase == PHASE_CHUNK ||
                       s->phase < PHASE_COMMAND;
        if (reading || !s->t->data_sent) { /* a message that is at the backend already gets its outcome recorded */
            session_end(s, HANGUP_CLIENT);
            return;
        }
    }
    patience_arm(s);
}

/* Not with each run: who ends transactions one after the other would have all of them looked at for each recipient. */
static void evidence_arrived(struct task *t)
{
    struct session *s = (struct session *)((char *)t - offsetof(struct session, evidence));
    loop_wake(session_loop(s), &s->task);
    closing_look_again(s);
}

static void session_timer(struct timer *t)
{
    struct session *s = (struct session *)((char *)t - offsetof(struct session, timer));
    loop_wake(session_loop(s), &s->task);
}

void session_drain(struct session *s)
{
    bool idle = s->phase < PHASE_COMMAND || (s->phase == PHASE_COMMAND && !s->command && !s->t);
    if (!idle)
        return;
    if (s->phase >= PHASE_GREET)
        speak_id(s, REPLY_SHUTDOWN, STR_NONE);
    session_end(s, HANGUP_SHUTDOWN);
}
