/* rooms: smtp */
/*
 * Bytes of a backend to replies, and on to a client. The first octet says how the bytes are cut; cutting changes nothing. A reply that was
 * understood can be said on: lines of at most 512 printable octets, one code, one enhanced code of its class; and it is then understood
 * as the same.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "postern/smtp/ehlo.h"
#include "postern/smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge_wire(struct str wire, unsigned code)
{
    struct str rest = wire, line;

    assert(wire.n >= 6 && wire.p[wire.n - 1] == '\n');
    while (str_split(&rest, '\n', &line) && rest.p) {
        assert(line.n >= 5 && line.n + 1 <= 512 && line.p[line.n - 1] == '\r');
        assert(ascii_printable(str_sub(line, 0, line.n - 1)));
        assert((unsigned)(line.p[0] - '0') * 100 + (unsigned)(line.p[1] - '0') * 10 + (unsigned)(line.p[2] - '0') == code);
        assert(line.p[3] == (rest.n ? '-' : ' '));
    }
    assert(line.n == 0);
}

static void judge(const struct reply *r)
{
    struct arena arena = {0};
    struct reply_parser again_parser = {0};
    struct reply again;
    struct extensions e;
    struct buf wire = {0}, twice = {0};

    assert(r->code >= 200 && r->code <= 599 && r->text.n <= REPLY_BYTES_MAX);
    assert(r->enhanced.class == 0 || r->enhanced.class == r->code / 100);
    assert(r->text.n == 0 || !memchr(r->text.p, '\0', r->text.n));
    reply_format(&wire, r, true, STR_NONE);
    judge_wire(buf_view(&wire), r->code);
    reply_format(&twice, r, true, STR("0123456789abcdef"));
    judge_wire(buf_view(&twice), r->code);
    buf_clear(&twice);
    reply_format(&twice, r, false, STR_NONE);
    judge_wire(buf_view(&twice), r->code);
    struct str text = reply_text(&arena, r);
    assert(ascii_printable(text));
    (void)text;

    if (wire.n <= REPLY_BYTES_MAX) { /* x.0.0 may have made it longer than what a parser takes */
        struct str in = buf_view(&wire);
        enum reply_parse result = reply_parse(&again_parser, &in, &arena, &again);
        assert(result == REPLY_PARSE_DONE && in.n == 0 && again.code == r->code);
        assert(r->enhanced.class == 0 || (again.enhanced.class == r->enhanced.class && again.enhanced.subject == r->enhanced.subject &&
                                          again.enhanced.detail == r->enhanced.detail));
        (void)result;
        reply_parser_clear(&again_parser);
    }
    ehlo_read(r, &arena, &e);
    assert(e.set < UINT32_C(1) << EXT_COUNT);
    buf_free(&wire);
    buf_free(&twice);
    arena_clear(&arena);
}

static void read_replies(struct str in, size_t chunk, struct buf *seen, bool judged)
{
    struct reply_parser p = {0};
    struct arena arena = {0};
    struct reply r;
    bool failed = false;

    for (size_t at = 0; at < in.n && !failed; at += chunk) {
        size_t n = in.n - at < chunk ? in.n - at : chunk;
        char *copy = malloc(n);
        memcpy(copy, in.p + at, n);
        struct str rest = {copy, n};
        while (rest.n && !failed) {
            enum reply_parse result = reply_parse(&p, &rest, &arena, &r);
            assert(p.partial.n <= REPLY_BYTES_MAX);
            failed = result == REPLY_PARSE_FAILED;
            assert(failed == (p.error != NULL));
            if (failed)
                buf_printf(seen, "failed");
            if (result != REPLY_PARSE_DONE)
                continue;
            buf_printf(seen, "%u %u.%u.%u ", r.code, r.enhanced.class, r.enhanced.subject, r.enhanced.detail);
            buf_str(seen, r.text);
            if (judged)
                judge(&r);
        }
        free(copy);
    }
    reply_parser_clear(&p);
    arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = {0}, cut = {0};

    if (size < 1)
        return 0;
    struct str in = {(const char *)data + 1, size - 1};
    read_replies(in, size, &whole, true);
    read_replies(in, 1 + data[0] % 64, &cut, false);
    assert(str_eq(buf_view(&whole), buf_view(&cut)));
    buf_free(&whole);
    buf_free(&cut);
    return 0;
}
