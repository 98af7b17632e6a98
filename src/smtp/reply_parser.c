/*
 * reply_parser.c - replies of a backend (RFC 5321 4.2), as bytes come.
 *
 * The parser keeps the raw lines of one reply until its last one, judging each line when its end has come: shape, code, the same code on
 * all. Then the text is cut out: codes dropped, the enhanced code of each line split off (RFC 2034 4 puts it on every line). The first
 * enhanced code of the right class is the reply's. Memory is held only while a reply is under way, and never more than REPLY_BYTES_MAX.
 * A failed parser stays failed until it is cleared: who sent such bytes is out of step with us.
 */
#include "postern/smtp/reply.h"

#include <assert.h>
#include <string.h>

#include "octets.h"

static enum reply_parse fail(struct reply_parser *p, const char *error)
{
    buf_free(&p->partial);
    p->error = error;
    return REPLY_PARSE_FAILED;
}

void reply_parser_clear(struct reply_parser *p)
{
    buf_free(&p->partial);
    *p = (struct reply_parser){0};
}

static struct str without_line_end(struct str line)
{
    if (line.n && line.p[line.n - 1] == '\n')
        line.n--;
    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    return line;
}

/* The line that ends p->partial, without its end. */
static struct str last_line(const struct reply_parser *p)
{
    const char *before = memrchr(p->partial.p, '\n', p->partial.n - 1);
    size_t start = before ? (size_t)(before - p->partial.p) + 1 : 0;

    return without_line_end(str_sub(buf_view(&p->partial), start, p->partial.n));
}

/* Judges a whole line; NULL is good, else what is wrong with it. *more: a hyphen says that another one follows. */
static const char *judge_line(struct reply_parser *p, struct str line, bool *more)
{
    unsigned code;

    if (str_find(line, '\0', 0) < line.n)
        return "NUL in a reply";
    if (line.n < 3 || !is_digit(line.p[0]) || !is_digit(line.p[1]) || !is_digit(line.p[2]))
        return "no reply code";
    if (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-')
        return "no space or hyphen behind the reply code";
    code = (unsigned)(line.p[0] - '0') * 100 + (unsigned)(line.p[1] - '0') * 10 + (unsigned)(line.p[2] - '0');
    if (code < 200 || code > 599)
        return "reply code out of range";
    if (p->lines > 0 && code != p->code) /* RFC 5321 4.2.1: all lines carry the same code */
        return "reply with more than one code";
    if (++p->lines > REPLY_LINES_MAX)
        return "reply of too many lines";
    p->code = code;
    *more = line.n > 3 && line.p[3] == '-';
    return NULL;
}

/* The text behind the code of a line; an enhanced code at its start is taken off and, when it is of the class, kept in r. */
static struct str line_text(struct str line, struct reply *r)
{
    struct str text = str_sub(line, 4, line.n);
    size_t end = str_find(text, ' ', 0);
    struct enhanced e;

    if (!enhanced_parse(str_sub(text, 0, end), &e))
        return text;
    if (r->enhanced.class == 0 && e.class == r->code / 100)
        r->enhanced = e;
    return str_sub(text, end + 1, text.n); /* nothing may follow ("550 5.7.2") */
}

static struct reply assemble(const struct reply_parser *p, struct arena *arena)
{
    struct reply r = {.code = (uint16_t)p->code};
    struct str rest = buf_view(&p->partial), line;
    struct buf text = {0};

    for (unsigned i = 0; i < p->lines && str_split(&rest, '\n', &line); i++) {
        if (i > 0)
            buf_char(&text, '\n');
        buf_str(&text, line_text(without_line_end(line), &r));
    }
    r.text = arena_str(arena, buf_view(&text));
    buf_free(&text);
    return r;
}

enum reply_parse reply_parse(struct reply_parser *p, struct str *in, struct arena *arena, struct reply *out)
{
    *out = (struct reply){0};
    if (p->error)
        return REPLY_PARSE_FAILED;
    while (in->n > 0) {
        const char *newline = memchr(in->p, '\n', in->n);
        size_t n = newline ? (size_t)(newline - in->p) + 1 : in->n;
        bool more = false;

        if (n > REPLY_BYTES_MAX - p->partial.n)
            return fail(p, "reply too long");
        buf_put(&p->partial, in->p, n);
        *in = str_sub(*in, n, in->n);
        if (!newline)
            break;
        const char *error = judge_line(p, last_line(p), &more);
        if (error)
            return fail(p, error);
        if (!more) {
            *out = assemble(p, arena);
            reply_parser_clear(p);
            return REPLY_PARSE_DONE;
        }
    }
    return REPLY_PARSE_NOT_YET;
}
