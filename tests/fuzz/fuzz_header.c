/* rooms: mail */
/*
 * The header reader on any octets: cut anywhere it does the same as whole; with nothing to remove it puts out what it ate. Our own fields
 * made of any octets stay one field. The first octet chooses the limit, the second the cuts.
 */
#include "must.h"

#include <string.h>

#include "postern/mail/header.h"
#include "postern/mail/received.h"

struct seen {
    struct mail_tap tap;
    struct buf text;
};

static void see_field(struct mail_tap *t, struct str field)
{
    buf_char(&((struct seen *)t)->text, '{');
    buf_str(&((struct seen *)t)->text, field);
    buf_char(&((struct seen *)t)->text, '}');
}

static void see_end(struct mail_tap *t)
{
    buf_char(&((struct seen *)t)->text, '|');
}

static void see_body(struct mail_tap *t, struct str octets)
{
    buf_str(&((struct seen *)t)->text, octets);
}

static const struct str remove_names[] = {{"a", 1}, {"X-Postern-Tag", 13}, {"Authentication-Results", 22}};

struct outcome {
    struct buf kept, seen;
    struct header_reader h;
};

static struct outcome run(struct str wire, uint64_t limit, size_t names, size_t step)
{
    struct seen seen = {.tap = {.field = see_field, .end_of_header = see_end, .body = see_body}};
    struct outcome o = {0};

    header_begin(&o.h, limit, remove_names, names, &seen.tap);
    for (size_t at = 0, n = step; at < wire.n; at += n)
        header_feed(&o.h, str_sub(wire, at, at + n), &o.kept);
    header_end(&o.h, &o.kept);
    header_clear(&o.h);
    o.seen = seen.text;
    return o;
}

static void release(struct outcome *o)
{
    buf_free(&o->kept);
    buf_free(&o->seen);
}

static void write_fields(struct str s)
{
    struct buf out = {0};
    struct received r = {.helo = s, .name = s, .hostname = s, .protocol = "ESMTP", .id = s, .recipient = s};

    field_write(&out, s, s);
    struct str rest = buf_view(&out), line;
    while (str_split(&rest, '\n', &line) && rest.p)
        must(line.n >= 1 && line.n <= 999 + s.n && ascii_printable(str_sub(line, 0, line.n - 1)));
    buf_clear(&out);
    received_write(&out, &r);
    size_t lines = 0;
    for (size_t i = 0; i < out.n; i++)
        lines += out.p[i] == '\n';
    must(lines == 3);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct str wire = {(const char *)data + 2, size - 2};
    uint64_t limit = data[0] >= 128 ? data[0] - 127 : 0;
    struct outcome whole = run(wire, limit, 3, wire.n + 1), cut = run(wire, limit, 3, 1 + data[1] % 16), all = run(wire, 0, 0, 1 + data[1] % 5);

    must(str_eq(buf_view(&whole.kept), buf_view(&cut.kept)) && str_eq(buf_view(&whole.seen), buf_view(&cut.seen)));
    must(whole.h.too_big == cut.h.too_big && whole.h.removed == cut.h.removed && whole.h.received == cut.h.received);
    must(whole.h.header_octets == cut.h.header_octets && whole.h.in_body == cut.h.in_body);
    must(str_eq(buf_view(&all.kept), wire) && all.h.removed == 0);
    write_fields(wire);
    release(&whole);
    release(&cut);
    release(&all);
    return 0;
}
