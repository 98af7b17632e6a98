/*
 * chunks.c - BDAT (RFC 3030): content in counted chunks. Whatever the reply, exactly the octets announced are eaten and never taken for commands.
 * What becomes of the octets: message.c.
 */
#include "content.h"
#include "postern/smtp/chunk.h"

/* May a chunk come now? Else the reply, and its octets are discarded. */
static bool chunk_fits(const struct session *s, enum reply_id *id)
{
    const struct transaction *t = s->t;
    if (s->greeting_refused)
        *id = REPLY_AFTER_REFUSED_GREETING;
    else if (s->listener->require_tls && !s->tls)
        *id = REPLY_TLS_REQUIRED;
    else if (!t)
        *id = REPLY_NEED_MAIL;
    else if (t->recipient_count == 0)
        *id = REPLY_NEED_RCPT;
    else if (t->accepted == 0)
        *id = REPLY_NO_VALID_RECIPIENTS;
    else
        return true;
    return false;
}

enum step content_chunk(struct session *s)
{
    uint64_t octets;
    bool last;
    enum reply_id id = REPLY_BAD_ARGUMENT;
    struct str value = STR("Syntax: BDAT <size> [LAST]");
    bool good = bdat_parse(s->command->argument, &octets, &last);
    if (good && chunk_fits(s, &id)) {
        if (!s->t->content) {
            content_begin(s);
            message_begin_chunks(s->t->content, s->t->extensions >> EXT_BINARYMIME & 1);
        }
        struct message *c = s->t->content;
        c->chunk_left = c->chunk_size = octets;
        c->chunk_last = last;
        s->phase = PHASE_CHUNK;
        return STEP_DONE;
    }
    s->discard = octets;
    struct reply r = reply_make(&s->command_arena, id, good ? STR_NONE : value);
    speak_wrong(s, &r);
    return STEP_DONE;
}

static enum step chunk_end_of(struct session *s)
{
    struct message *c = s->t->content;
    s->phase = PHASE_COMMAND;
    if (!c->chunk_last && !c->refused) { /* else there is nothing to wait for: this chunk is the one that is refused (RFC 3030 2) */
        struct arena scratch = {0};
        speak_id(s, REPLY_CHUNK_TAKEN, arena_printf(&scratch, "%llu", (unsigned long long)c->chunk_size));
        arena_clear(&scratch);
        return STEP_DONE;
    }
    if (c->chunk_last)
        message_end_chunks(c, s->proxy->parts.settings->message_size);
    content_finish(s, c);
    return STEP_DONE;
}

enum step content_chunk_run(struct session *s)
{
    struct message *c = s->t->content;
    if (c->chunk_left == 0)
        return chunk_end_of(s);
    enum step filled = session_fill(s);
    if (filled != STEP_DONE)
        return filled;
    struct str in = session_input(s);
    struct str octets = str_sub(in, 0, in.n < c->chunk_left ? in.n : (size_t)c->chunk_left);
    message_take_chunk(c, octets, s->proxy->parts.settings->message_size);
    c->chunk_left -= octets.n;
    session_input_left(s, str_sub(in, octets.n, in.n));
    s->idle_since = session_now(s);
    return STEP_DONE;
}
