/* rooms: smtp */
/*
 * Octets behind 354. The first octet says how they are cut; cutting changes nothing. The end is the first CRLF.CRLF and no other; what
 * comes out has no bare CR or LF and no dot alone on a line, for a reader of any leniency; and stuffing what was unstuffed gives a message
 * that is read as the same again.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "postern/smtp/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_newline(char c)
{
    return c == '\r' || c == '\n';
}

/* The size of the input up to and with its end, by looking for CRLF.CRLF behind DATA's own CRLF; 0 when there is none. */
static size_t find_end(struct str in)
{
    struct buf text = {0};
    buf_cstr(&text, "\r\n");
    buf_str(&text, in);
    const char *end = memmem(text.p, text.n, "\r\n.\r\n", 5);
    size_t n = end ? (size_t)(end - text.p) + 5 - 2 : 0;
    buf_free(&text);
    return n;
}

static bool read_in_pieces(struct str in, size_t chunk, struct data_reader *r, struct buf *out, size_t *eaten)
{
    for (size_t at = 0; at < in.n; at += chunk) {
        size_t n = in.n - at < chunk ? in.n - at : chunk;
        char *copy = malloc(n);
        memcpy(copy, in.p + at, n);
        struct str rest = {copy, n};
        bool ended = data_read(r, &rest, out) == DATA_END;
        *eaten = at + n - rest.n;
        assert(ended || rest.n == 0);
        free(copy);
        if (ended)
            return true;
    }
    return false;
}

static void judge_wire(struct str wire)
{
    char before = '\n';

    for (size_t i = 0; i < wire.n; i++) {
        char c = wire.p[i], after = i + 1 < wire.n ? wire.p[i + 1] : 'x';
        assert(c != '\r' || after == '\n');
        assert(c != '\n' || (i > 0 && before == '\r'));
        assert(c != '.' || !is_newline(before) || !is_newline(after));
        before = c;
    }
}

static void judge_message(const struct data_reader *r, struct str wire, bool ended)
{
    struct buf message = {0}, stuffed = {0}, again = {0};
    struct data_reader second = {0};
    bool start = true;

    data_unstuff(wire, &start, &message);
    assert(message.n == r->size && r->longest_line <= r->size);
    start = true;
    data_stuff(buf_view(&message), &start, &stuffed);
    judge_wire(buf_view(&stuffed));
    if (ended) {
        assert(wire.n == 0 || wire.p[wire.n - 1] == '\n');
        buf_cstr(&stuffed, ".\r\n");
        struct str in = buf_view(&stuffed);
        enum data_result result = data_read(&second, &in, &again);
        assert(result == DATA_END && in.n == 0 && again.n == stuffed.n - 3 && memcmp(again.p ? again.p : "", stuffed.p, again.n) == 0);
        assert(second.size == r->size && second.bare_cr + second.bare_lf == 0 && second.longest_line == r->longest_line);
        (void)result;
    }
    buf_free(&message);
    buf_free(&stuffed);
    buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct data_reader one = {0}, two = {0}, three = {0};
    struct buf whole = {0}, cut = {0};
    size_t eaten_one = 0, eaten_two = 0, eaten_three = 0;

    if (size < 1)
        return 0;
    struct str in = {(const char *)data + 1, size - 1};
    bool ended = read_in_pieces(in, size, &one, &whole, &eaten_one);
    bool ended_two = read_in_pieces(in, 1 + data[0] % 64, &two, &cut, &eaten_two);
    bool ended_three = read_in_pieces(in, size, &three, NULL, &eaten_three); /* discarding, as over the size limit */
    size_t end = find_end(in);

    assert(ended == (end > 0) && ended_two == ended && ended_three == ended);
    assert(!ended || (eaten_one == end && eaten_two == end && eaten_three == end));
    assert(str_eq(buf_view(&whole), buf_view(&cut)));
    assert(one.size == two.size && one.size == three.size && one.nul == two.nul && one.bare_cr == two.bare_cr);
    assert(one.bare_lf == two.bare_lf && one.state == two.state && one.line == two.line && one.longest_line == two.longest_line);
    judge_wire(buf_view(&whole));
    judge_message(&one, buf_view(&whole), ended);
    (void)end, (void)ended_two, (void)ended_three;
    buf_free(&whole);
    buf_free(&cut);
    return 0;
}
