/*
 * session.c - the life of one client connection: the run, the greeting, command lines, time limits, the end. See session.h for the story.
 */
#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "postern/base/random.h"

const char *const hangup_words[HANGUP_COUNT] = {
#define HANGUP(id, word, counter, help) [HANGUP_##id] = word,
#include "hangups.def"
#undef HANGUP
};

enum { COUNTER_NONE = -1, OUTPUT_MAX = 65536, ARRIVAL_MS = 60000 /* for a PROXY header, for a handshake */ };
static const int hangup_counters[HANGUP_COUNT] = {
#define HANGUP(id, word, counter, help) [HANGUP_##id] = COUNTER_##counter,
#include "hangups.def"
#undef HANGUP
};

static void session_run(struct task *t);
static void session_timer(struct timer *t);

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
    s->timer.fire = session_timer;
    s->client = client;
    s->peer = arrival->peer;
    s->local = arrival->local;
    s->listener = arrival->listener;
    s->tells_client = p->tells_client;
    s->policy = policy_ref(p->policy);
    s->snapshots = p->snapshots;
    s->dns_budget = (unsigned)p->parts.settings->dns_questions;
    s->start_ms = s->idle_since = session_now(s);
    s->start_wall_ms = loop_wall(session_loop(s));
    s->greet_at = s->start_ms + p->parts.settings->greet_delay;
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

/* What a transaction that was open is recorded as. */
static const char *cut_short(enum hangup why)
{
    return why == HANGUP_CLIENT || why == HANGUP_QUIT ? "client-left" : hangup_words[why];
}

void session_end(struct session *s, enum hangup why)
{
    struct proxy *p = s->proxy;
    struct loop *l = session_loop(s);
    if (hangup_counters[why] != COUNTER_NONE)
        count((enum counter)hangup_counters[why]);
    if (s->t) {
        relay_abandon(s);
        transaction_end(s, cut_short(why));
    } else if (!s->had_transaction && s->connect) {
        closing_connection(s, why);
    }
    closing_session_ends(s);
    relay_quit(s);
    linger_close(p, &s->client);
    backends_unwait(p->backends, &s->task);
    timer_cancel(l, &s->timer);
    loop_unwake(l, &s->task);
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

enum step session_fill(struct session *s)
{
    if (session_input(s).n > 0)
        return STEP_DONE;
    ssize_t n = stream_read(s->client, s->proxy->scratch, READ_CHUNK);
    if (n > 0) {
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
    if (session_now(s) < s->greet_at)
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

/* --- commands ------------------------------------------------------------------------------------------------------------------ */

static bool is_http(struct str line)
{
    static const char *const methods[] = {"GET ", "POST ", "HEAD ", "PUT ", "DELETE ", "OPTIONS ", "CONNECT ", "TRACE ", "PATCH ", "PRI "};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (str_starts(line, str_of(methods[i])))
            return true;
    return false;
}

/* A TLS record with a client hello begins with 22, and no command does. */
static bool is_tls_hello(struct str in)
{
    return in.n > 0 && in.p[0] == 0x16;
}

static enum step hang_up_http(struct session *s)
{
    s->http = true;
    speak_id(s, REPLY_HTTP, STR_NONE);
    session_end(s, HANGUP_HTTP);
    return STEP_END;
}

static void forget_command(struct session *s)
{
    s->command = NULL;
    s->command_error = NULL;
    s->command_begun = s->command_sent = false;
    s->relayed = NULL;
    arena_clear(&s->command_arena);
}

/* Commands behind one that must end its group, or pipelining without having been offered it (RFC 2920 3.1). */
static void judge_pipelining(struct session *s, enum verb verb)
{
    bool early = session_input(s).n > 0 && verb != VERB_QUIT && (verb_ends_group(verb) || (!s->esmtp && s->helo));
    if (!early || s->early_pipelining)
        return;
    s->early_pipelining = true;
    count(COUNTER_EARLY_PIPELINING);
}

static enum step take_line(struct session *s)
{
    if (stream_queued(s->client) > OUTPUT_MAX && stream_flush(s->client) != FLUSH_DONE)
        return STEP_NOT_YET; /* it asks and does not listen: its next command waits until it has read the replies */
    enum step filled = session_fill(s);
    if (filled != STEP_DONE)
        return filled;
    struct str in = session_input(s), line;
    bool bare = false;
    if (s->lines.partial.n == 0 && !s->lines.discarding && !s->tls && is_tls_hello(in))
        return hang_up_http(s);
    enum line_result r = line_take(&s->lines, &in, s->proxy->parts.settings->line_length, &line, &bare);
    session_input_left(s, in);
    if (r == LINE_NOT_YET)
        return STEP_DONE; /* look for more */
    arena_clear(&s->command_arena);
    s->command = arena_zalloc(&s->command_arena, sizeof *s->command);
    struct reply error;
    bool good = false;
    if (r == LINE_TOO_LONG) {
        error = reply_make(&s->command_arena, REPLY_LINE_TOO_LONG, STR_NONE);
        s->command->verb = VERB_UNKNOWN;
    } else {
        if (is_http(line))
            return hang_up_http(s);
        good = command_parse(arena_str(&s->command_arena, line), &s->command_arena, s->command, &error);
    }
    if (!good) {
        s->command_error = arena_alloc(&s->command_arena, sizeof error);
        *s->command_error = error;
    }
    judge_pipelining(s, s->command->verb);
    return STEP_DONE;
}

static enum step discard_chunk(struct session *s)
{
    enum step filled = session_fill(s);
    if (filled != STEP_DONE)
        return filled;
    struct str in = session_input(s);
    size_t n = in.n < s->discard ? in.n : (size_t)s->discard;
    s->discard -= n;
    session_input_left(s, (struct str){in.p + n, in.n - n});
    s->idle_since = session_now(s);
    return STEP_DONE;
}

static enum step too_many_errors(struct session *s)
{
    speak_id(s, REPLY_TOO_MANY_ERRORS, STR_NONE);
    session_end(s, HANGUP_ERRORS);
    return STEP_END;
}

static enum step command_step(struct session *s)
{
    if (!s->command) {
        if (s->discard)
            return discard_chunk(s);
        if (recipients_full(s))
            return STEP_NOT_YET;
        if (recipients_settled(s) && s->errors > s->proxy->parts.settings->error_limit)
            return too_many_errors(s);
        if (s->proxy->draining && !s->t) {
            session_drain(s);
            return STEP_END;
        }
        return take_line(s);
    }
    if (!s->command_error && s->command->verb == VERB_RCPT && s->t) {
        recipient_add(s, s->command);
        forget_command(s);
        return STEP_DONE;
    }
    if (!recipients_settled(s))
        return STEP_NOT_YET;
    if (s->hold_until > session_now(s) && !s->command_begun)
        return STEP_NOT_YET;
    enum step r = STEP_DONE;
    if (s->command_error && !s->greeting_refused)
        speak_wrong(s, s->command_error);
    else
        r = verb_run(s);
    if (r == STEP_DONE)
        forget_command(s);
    return r;
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
            s->stirred |= r == STEP_DONE;
        } while (r == STEP_DONE);
    } while (r != STEP_END && s->stirred);
    return r != STEP_END;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
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

static void arm_timer(struct session *s)
{
    uint64_t now = session_now(s), at = patience_ends(s);
    at = earlier(at, relay_deadline(s));
    if (s->phase == PHASE_GREET && s->greet_at > now)
        at = earlier(at, s->greet_at);
    if (s->hold_until > now)
        at = earlier(at, s->hold_until);
    if (s->t && s->t->next_spoken && s->t->next_spoken->hold_until > now)
        at = earlier(at, s->t->next_spoken->hold_until);
    if (s->awaits_evidence)
        at = earlier(at, evidence_deadline(s));
    if (at == UINT64_MAX)
        timer_cancel(session_loop(s), &s->timer);
    else if (at != s->timer.at_ms || !timer_is_set(&s->timer))
        timer_set(session_loop(s), &s->timer, at);
}

static bool out_of_patience(struct session *s)
{
    uint64_t now = session_now(s);
    if (now < patience_ends(s))
        return false;
    if (s->phase == PHASE_BALANCER || s->phase == PHASE_HANDSHAKE) { /* there is nobody yet to speak to */
        session_end(s, HANGUP_TIMEOUT);
        return true;
    }
    bool message = now >= message_deadline(s);
    bool session = s->phase == PHASE_COMMAND && !s->t && now >= s->start_ms + s->proxy->parts.settings->session_time;
    speak_id(s, message ? REPLY_MESSAGE_TIMEOUT : session ? REPLY_SESSION_LIMIT : REPLY_TIMEOUT, STR_NONE);
    session_end(s, HANGUP_TIMEOUT);
    return true;
}

static void session_run(struct task *task)
{
    struct session *s = (struct session *)((char *)task - offsetof(struct session, task));
    s->awaits_evidence = false;
    closing_session_runs(s);
    if (!run_steps(s))
        return;
    if (out_of_patience(s))
        return;
    s->run_before = true;
    keep_input(s);
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
    arm_timer(s);
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
