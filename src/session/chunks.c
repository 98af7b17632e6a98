/*
 * chunks.c - BDAT (RFC 3030): content in counted chunks. Whatever the reply, exactly the octets announced are eaten and never taken for commands.
 *
 * Text becomes wire form at once (chunk.h), so that what follows is the same for DATA and BDAT. BODY=BINARYMIME keeps its body as it is: the
 * header goes through the header reader, the octets behind the empty line go to the spool raw, and out by BDAT only (relay.c).
 */
#include "content.h"
#include "postern/smtp/chunk.h"

/* "123" or "123 LAST". *octets is set also when only what stands behind it is wrong: so many octets will come all the same. */
static bool parse_bdat(struct str argument, uint64_t *octets, bool *last)
{
    struct str rest = argument, size;
    *last = false;
    *octets = 0;
    if (!str_split(&rest, ' ', &size) || !str_to_u64(size, UINT64_MAX, octets))
        return false;
    rest = str_trim(rest);
    *last = rest.n > 0;
    return rest.n == 0 || str_eq_nocase(rest, STR("LAST"));
}

/* May a chunk come now? Else the reply, and its octets are discarded. */
static bool chunk_fits(const struct session *s, enum reply_id *id)
{
    const struct transaction *t = s->t;
    if (!t)
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
    struct str value = STR("Syntax: BDAT size [LAST]");
    bool good = parse_bdat(s->command->argument, &octets, &last);
    if (good && chunk_fits(s, &id)) {
        if (!s->t->content) {
            content_begin(s);
            s->t->content->header_end = 2; /* an empty line at once is an empty header */
        }
        struct message *c = s->t->content;
        c->chunked = true;
        c->binary = s->t->extensions >> EXT_BINARYMIME & 1;
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

/* How many of these octets belong to the header, its empty line included. */
static size_t header_part(struct message *c, struct str octets)
{
    static const char end[] = "\r\n\r\n";
    if (c->header_end == 4)
        return 0;
    for (size_t i = 0; i < octets.n; i++) {
        bool fits = octets.p[i] == end[c->header_end];
        c->header_end = fits ? c->header_end + 1 : octets.p[i] == '\r' ? 1 : 0;
        if (c->header_end == 4)
            return i + 1;
    }
    return octets.n;
}

static void take_binary(struct message *c, struct str octets, uint64_t limit)
{
    struct buf plain = {0};
    struct str head = str_sub(octets, 0, header_part(c, octets)), body = str_sub(octets, head.n, octets.n);
    bool start = true;
    if (head.n) {
        chunk_read(&c->data, head, &c->wire);
        header_feed(&c->header, buf_view(&c->wire), &c->kept);
        data_unstuff(buf_view(&c->kept), &start, &plain);
        buf_clear(&c->wire);
        buf_clear(&c->kept);
    }
    for (struct mail_tap *tap = body.n ? c->header.taps : NULL; tap; tap = tap->next)
        if (tap->body)
            tap->body(tap, body);
    c->data.size += body.n;
    buf_str(&plain, body);
    c->refused |= limit && c->data.size > limit;
    if (!c->refused && plain.n)
        c->spool_failed |= !spool_put(&c->spool, buf_view(&plain));
    c->refused |= c->spool_failed || c->header.too_big;
    if (c->refused)
        spool_clear(&c->spool);
    buf_free(&plain);
}

static void take_octets(struct session *s, struct str octets)
{
    struct message *c = s->t->content;
    uint64_t limit = s->proxy->parts.settings->message_size;
    if (c->binary) {
        take_binary(c, octets, limit);
        return;
    }
    chunk_read(&c->data, octets, c->refused ? NULL : &c->wire);
    content_kept(c, limit);
}

static enum step chunk_end_of(struct session *s)
{
    struct message *c = s->t->content;
    s->phase = PHASE_COMMAND;
    if (!c->chunk_last) {
        struct arena scratch = {0};
        speak_id(s, REPLY_CHUNK_TAKEN, arena_printf(&scratch, "%llu", (unsigned long long)c->chunk_size));
        arena_clear(&scratch);
        return STEP_DONE;
    }
    if (!c->binary) {
        chunk_end(&c->data, c->refused ? NULL : &c->wire);
        content_kept(c, s->proxy->parts.settings->message_size);
    }
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
    take_octets(s, octets);
    c->chunk_left -= octets.n;
    session_input_left(s, str_sub(in, octets.n, in.n));
    s->idle_since = session_now(s);
    return STEP_DONE;
}
