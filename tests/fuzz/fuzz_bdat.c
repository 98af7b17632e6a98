/* rooms: session */
/*
 * What a client says by BDAT: command lines, each with the octets that it announced behind it (also when the rest of the line is wrong: those are
 * dropped, as are lines that are no BDAT).
 * The input's first octet says how the bytes are cut (cutting changes nothing), the second whether the message is binary and which limits hold.
 * What is held in the end is what a reader makes of all octets at once: text with its newlines made CRLF and its dots stuffed; of a binary message
 * the header so, and what stands behind it untouched; nothing of a message over a limit. The taps see the same octets.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "content.h"
#include "postern/smtp/chunk.h"
#include "postern/smtp/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINE_LIMIT = 512, BINARY = 1, SMALL = 2, SHORT_HEADER = 4, TAPPED = 8 };

struct seen { /* a tap, and what it saw */
    struct mail_tap tap;
    struct buf fields, body;
    bool ended;
};

static void see_field(struct mail_tap *t, struct str field)
{
    struct seen *s = (struct seen *)(void *)t;
    assert(!s->ended);
    buf_str(&s->fields, field);
    buf_cstr(&s->fields, "\r\n");
}

static void see_end(struct mail_tap *t)
{
    struct seen *s = (struct seen *)(void *)t;
    assert(!s->ended);
    s->ended = true;
}

static void see_body(struct mail_tap *t, struct str octets)
{
    struct seen *s = (struct seen *)(void *)t;
    assert(s->ended && octets.n > 0);
    buf_str(&s->body, octets);
}

struct stream_of_chunks {
    struct message message;
    struct seen seen;
    struct line_reader lines;
    struct buf content; /* the octets of all chunks, as they came */
    uint64_t left, limit;
    bool begun, discards, last, over; /* the chunk at hand: its octets come, in vain; it is the last, and they have all come */
};

static void begin(struct stream_of_chunks *x, unsigned how)
{
    *x = (struct stream_of_chunks){.seen = {.tap = {.field = see_field, .end_of_header = see_end, .body = see_body}},
                                   .limit = how & SMALL ? 60 : 0};
    x->message.spool = (struct spool){.memory_max = SIZE_MAX, .directory = "/nonexistent"};
    header_begin(&x->message.header, how & SHORT_HEADER ? 40 : 0, NULL, 0, how & TAPPED ? &x->seen.tap : NULL);
    message_begin_chunks(&x->message, how & BINARY);
}

static void end(struct stream_of_chunks *x)
{
    message_end_chunks(&x->message, x->limit);
    message_end(&x->message);
    x->over = true;
}

/* A line of the client: does it announce a chunk? */
static void take_line(struct stream_of_chunks *x, struct str line)
{
    struct arena arena = {0};
    struct command c;
    struct reply error;
    bool last;
    if (command_parse(line, &arena, &c, &error) && c.verb == VERB_BDAT) {
        x->discards = !bdat_parse(c.argument, &x->left, &last);
        x->begun = true;
        x->last = !x->discards && last;
        assert(!x->last || str_ends_nocase(c.argument, STR(" LAST")) || str_ends_nocase(c.argument, STR("\tLAST")));
    }
    arena_clear(&arena);
}

static void take(struct stream_of_chunks *x, struct str in)
{
    struct str line;
    bool bare;
    while (!x->over) {
        if (x->begun && x->left == 0) {
            x->begun = false;
            if (x->last)
                end(x);
        } else if (x->begun && in.n > 0) {
            struct str octets = str_sub(in, 0, in.n < x->left ? in.n : (size_t)x->left);
            if (!x->discards) {
                message_take_chunk(&x->message, octets, x->limit);
                buf_str(&x->content, octets);
            }
            x->left -= octets.n;
            in = str_sub(in, octets.n, in.n);
        } else if (x->begun || line_take(&x->lines, &in, LINE_LIMIT, &line, &bare) == LINE_NOT_YET) {
            return;
        } else {
            take_line(x, line);
        }
    }
}

static void run(struct stream_of_chunks *x, unsigned how, struct str in, size_t cut)
{
    begin(x, how);
    for (size_t at = 0; at < in.n; at += cut) {
        size_t n = in.n - at < cut ? in.n - at : cut;
        char *copy = malloc(n); /* of exactly this size: reading past it is seen */
        assert(copy);
        memcpy(copy, in.p + at, n);
        take(x, (struct str){copy, n});
        free(copy);
    }
}

/* Lines end by CRLF, CR or LF; each comes out with CRLF, also a last one without an end. */
static void normalise(struct str in, struct buf *out)
{
    for (size_t i = 0; i < in.n; i++) {
        while (i < in.n && in.p[i] != '\r' && in.p[i] != '\n')
            buf_char(out, in.p[i++]);
        buf_cstr(out, "\r\n");
        i += i + 1 < in.n && in.p[i] == '\r' && in.p[i + 1] == '\n';
    }
}

static void model(struct str content, bool binary, struct buf *out)
{
    struct buf whole = {0};
    bool start = true;
    if (!binary) {
        normalise(content, &whole);
        data_stuff(buf_view(&whole), &start, out);
        buf_free(&whole);
        return;
    }
    buf_cstr(&whole, "\r\n"); /* an empty line at once is an empty header */
    buf_str(&whole, content);
    const char *found = memmem(whole.p, whole.n, "\r\n\r\n", 4);
    size_t head = found ? (size_t)(found - whole.p) + 4 - 2 : content.n;
    normalise(str_sub(content, 0, head), out);
    buf_str(out, str_sub(content, head, content.n));
    buf_free(&whole);
}

/* A mailbox's "From " line at the start, with what is folded behind it, is no field: taps may not be told of it (header.h). */
static struct str without_mailbox_line(struct str plain)
{
    struct str rest = plain;
    while (rest.n > 0 && rest.p[0] == '>')
        rest = str_sub(rest, 1, rest.n);
    if (!str_starts(rest, STR("From ")))
        return plain;
    do {
        size_t end = str_find(rest, '\n', 0);
        rest = str_sub(rest, end < rest.n ? end + 1 : end, rest.n);
    } while (rest.n > 0 && (rest.p[0] == ' ' || rest.p[0] == '\t'));
    return rest;
}

/* Fields, the empty line that no tap is shown, body: are they `plain`? */
static bool is_tapped(const struct seen *seen, struct str plain)
{
    struct buf tapped = {0};
    buf_str(&tapped, buf_view(&seen->fields));
    if (plain.n >= tapped.n + 2 && memcmp(plain.p + tapped.n, "\r\n", 2) == 0)
        buf_cstr(&tapped, "\r\n");
    buf_str(&tapped, buf_view(&seen->body));
    bool same = seen->ended && str_eq(buf_view(&tapped), plain);
    buf_free(&tapped);
    return same;
}

static void judge(struct stream_of_chunks *x, unsigned how)
{
    struct buf expected = {0}, plain = {0}, scratch = {0};
    const struct message *c = &x->message;
    bool start = true;
    model(buf_view(&x->content), how & BINARY, &expected);
    if (how & BINARY)
        buf_str(&plain, buf_view(&expected));
    else
        data_unstuff(buf_view(&expected), &start, &plain);
    assert(c->data.size == plain.n && !c->spool_failed);
    assert(c->refused == (c->header.too_big || (x->limit && plain.n > x->limit)));
    struct str held = spool_read(&x->message.spool, 0, SIZE_MAX, &scratch);
    assert(c->refused ? held.n == 0 : str_eq(held, buf_view(&expected)));
    if ((how & TAPPED) && !c->refused)
        assert(is_tapped(&x->seen, buf_view(&plain)) || is_tapped(&x->seen, without_mailbox_line(buf_view(&plain))));
    buf_free(&expected);
    buf_free(&plain);
    buf_free(&scratch);
}

static void finish(struct stream_of_chunks *x)
{
    header_clear(&x->message.header);
    spool_clear(&x->message.spool);
    buf_free(&x->message.wire);
    buf_free(&x->message.kept);
    buf_free(&x->seen.fields);
    buf_free(&x->seen.body);
    buf_free(&x->content);
    line_clear(&x->lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stream_of_chunks whole, cut;
    if (size < 3)
        return 0;
    struct str in = {(const char *)data + 2, size - 2};
    run(&whole, data[1], in, in.n);
    run(&cut, data[1], in, 1 + data[0] % 64);
    assert(whole.over == cut.over && whole.left == cut.left && str_eq(buf_view(&whole.content), buf_view(&cut.content)));
    assert(whole.message.data.bare_cr == cut.message.data.bare_cr && whole.message.data.bare_lf == cut.message.data.bare_lf);
    assert(whole.message.data.nul == cut.message.data.nul && whole.message.refused == cut.message.refused);
    assert(whole.message.refused || whole.message.header.received == cut.message.header.received); /* what is refused is not read on */
    if (whole.over) {
        judge(&whole, data[1]);
        judge(&cut, data[1]);
    }
    finish(&whole);
    finish(&cut);
    return 0;
}
