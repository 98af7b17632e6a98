/* rooms: smtp */
/*
 * Bytes of a client to command lines to commands. The first octet says how the bytes are cut; cutting changes nothing. What is accepted
 * holds slices of its line without control octets, and a path that means the same when it is read again; what is refused has a reply.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "postern/smtp/command.h"
#include "postern/smtp/line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINE_LIMIT = 512 };

static void within(struct str part, struct str line)
{
    assert(part.n == 0 || (part.p >= line.p && part.p + part.n <= line.p + line.n));
    for (size_t i = 0; i < part.n; i++)
        assert((unsigned char)part.p[i] >= 0x20 || part.p[i] == '\t');
}

static void judge_path(const struct command *c, struct str line, struct arena *arena)
{
    const struct path *p = &c->path;
    struct path again;
    struct buf text = {0};

    within(p->whole, line);
    within(p->local, line);
    within(p->domain, line);
    assert(p->null == (p->whole.n == 0));
    assert(p->local_plain.n <= p->local.n);
    if (!p->quoted) /* the relay trick user@other@us has no unquoted form */
        assert(str_find(p->local, '@', 0) == p->local.n);
    if (p->domain.n)
        assert(p->whole.n == p->local.n + 1 + p->domain.n);
    buf_char(&text, '<');
    buf_str(&text, p->whole);
    buf_char(&text, '>');
    bool good = path_parse(buf_view(&text), true, true, arena, &again);
    assert(good && str_eq(again.local_plain, p->local_plain) && str_eq(again.domain, p->domain));
    assert(again.literal == p->literal && again.quoted == p->quoted && again.utf8 == p->utf8 && !again.source_route);
    (void)good;
    buf_free(&text);
}

static void judge(struct str line)
{
    struct arena arena = {0};
    struct command c;
    struct reply error;
    struct buf wire = {0};

    if (command_parse(line, &arena, &c, &error)) {
        assert(verb_served(c.verb) && error.code == 0);
        within(c.argument, line);
        if (c.verb == VERB_MAIL || c.verb == VERB_RCPT)
            judge_path(&c, line, &arena);
        if (c.verb == VERB_HELO || c.verb == VERB_EHLO)
            assert(helo_acceptable(c.argument));
        assert(c.parameter_count <= PARAMETERS_MAX);
        for (size_t i = 0; i < c.parameter_count; i++) {
            within(c.parameters[i].keyword, line);
            within(c.parameters[i].value, line);
            assert(c.parameters[i].keyword.n > 0);
        }
    } else {
        assert(error.code >= 500 && error.enhanced.class == 5);
        reply_format(&wire, &error, true, STR_NONE);
        assert(wire.n <= 512);
    }
    struct addr literal;
    enum helo_form form = helo_classify(line, &literal);
    assert(form == HELO_INVALID || helo_acceptable(line));
    assert(form != HELO_LITERAL || literal.family != 0);
    (void)form;
    buf_free(&wire);
    arena_clear(&arena);
}

/* Reads all the lines; writes down what came out of it. */
static void read_lines(struct str in, size_t chunk, struct buf *seen, bool judged)
{
    struct line_reader r = {0};
    struct str line;
    bool bare;

    for (size_t at = 0; at < in.n; at += chunk) {
        size_t n = in.n - at < chunk ? in.n - at : chunk;
        char *copy = malloc(n);
        memcpy(copy, in.p + at, n);
        struct str rest = {copy, n};
        for (enum line_result got; (got = line_take(&r, &rest, LINE_LIMIT, &line, &bare)) != LINE_NOT_YET;) {
            buf_char(seen, got == LINE_DONE ? bare ? 'b' : 'D' : 'T');
            buf_str(seen, line);
            assert(line.n <= LINE_LIMIT && (line.n == 0 || !memchr(line.p, '\n', line.n)));
            if (got == LINE_DONE && judged)
                judge(line);
        }
        assert(rest.n == 0 && r.partial.n <= LINE_LIMIT);
        free(copy);
    }
    line_clear(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = {0}, cut = {0};

    if (size < 1)
        return 0;
    struct str in = {(const char *)data + 1, size - 1};
    read_lines(in, size, &whole, true);
    read_lines(in, 1 + data[0] % 64, &cut, false);
    assert(str_eq(buf_view(&whole), buf_view(&cut)));
    judge(in); /* the same without lines: octets that no line can hold */
    buf_free(&whole);
    buf_free(&cut);
    return 0;
}
