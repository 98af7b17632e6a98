/*
 * speak.c - the one door through which replies to a client leave: formatted, counted, given their id.
 *
 * Replies are put into the stream's queue; the session flushes once at the end of its run, so that the answers to a pipelined group
 * leave together.
 */
#include "session.h"

struct str session_record_id(const struct session *s)
{
    return str_of(s->t ? s->t->id : s->id);
}

/* The greeting and the reply to EHLO or HELO carry no enhanced code unless they were given one (RFC 2034 4). */
static bool wants_enhanced(const struct session *s, const struct reply *r)
{
    bool hello = s->command && (s->command->verb == VERB_EHLO || s->command->verb == VERB_HELO);
    return r->enhanced.class != 0 || (s->phase != PHASE_GREET && !hello);
}

void speak(struct session *s, const struct reply *r, bool refusal_with_id)
{
    struct buf out = {0};
    bool refusal = r->code >= 400;
    reply_format(&out, r, wants_enhanced(s, r), refusal && refusal_with_id ? session_record_id(s) : STR_NONE);
    stream_put(s->client, out.p, out.n);
    buf_free(&out);
    s->idle_since = session_now(s);
    s->hang_up |= refusal_with_id && (r->code == 421 || r->code == 521);
}

void speak_id(struct session *s, enum reply_id id, struct str value)
{
    struct arena arena = {0};
    struct reply r = reply_make(&arena, id, value.p ? value : s->proxy->parts.settings->hostname);
    speak(s, &r, false);
    arena_clear(&arena);
}

void speak_wrong(struct session *s, const struct reply *r)
{
    s->errors++;
    speak(s, r, false);
}

struct reply refusal_of(const struct walk *w, struct arena *arena)
{
    char enhanced[16];
    size_t n = w->enhanced.n < sizeof enhanced - 1 ? w->enhanced.n : sizeof enhanced - 1;
    for (size_t i = 0; i < n; i++)
        enhanced[i] = w->enhanced.p[i];
    enhanced[n] = 0;
    return reply_of(arena, w->code, enhanced, w->text);
}
