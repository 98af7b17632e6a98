/*
 * commands.c - command lines: taken from the input one at a time, parsed, their turn awaited, handed to their verb.
 *
 * RCPT behind MAIL goes in flight at once and the next line is taken up; every other verb is a barrier: it runs when all RCPTs before it
 * have been answered (RFC 2920 3.1). What is not SMTP at all (HTTP, a TLS client hello) ends the session.
 */
#include "session.h"

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

enum step command_step(struct session *s)
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
