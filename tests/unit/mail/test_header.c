/*
 * Header reader: what is kept, what taps see and what is counted, whole, byte by byte and split at every position; field_write.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "postern/mail/header.h"

struct seen { /* a tap that writes down all that it sees */
    struct mail_tap tap;
    struct buf text;
};

static void see_field(struct mail_tap *t, struct str field)
{
    struct seen *s = (struct seen *)t;
    buf_cstr(&s->text, "{");
    buf_str(&s->text, field);
    buf_cstr(&s->text, "}");
}

static void see_end(struct mail_tap *t)
{
    buf_cstr(&((struct seen *)t)->text, "|");
}

static void see_body(struct mail_tap *t, struct str octets)
{
    cr_assert(octets.n > 0);
    buf_str(&((struct seen *)t)->text, octets);
}

struct outcome {
    struct buf kept, seen;
    unsigned received, removed;
    bool in_body, too_big;
    uint64_t octets;
};

static const struct str forged[] = {{"Authentication-Results", 22}, {"X-Postern-Tag", 13}};

static void feed(struct header_reader *h, struct str s, struct buf *out)
{
    char *copy = xstrndup(s.p, s.n); /* so that a view kept beyond the call is seen by the sanitizer */
    header_feed(h, (struct str){copy, s.n}, out);
    free(copy);
}

/* step 0: whole; else cut after `cut` octets and then every `step`. */
static struct outcome run(struct str wire, uint64_t limit, size_t cut, size_t step, bool with_tap)
{
    struct seen seen = {.tap = {.field = see_field, .end_of_header = see_end, .body = see_body}};
    struct outcome o = {0};
    struct header_reader h;

    header_begin(&h, limit, forged, 2, with_tap ? &seen.tap : NULL);
    if (step == 0)
        feed(&h, wire, &o.kept);
    for (size_t at = 0, n = cut; step && at < wire.n; at += n, n = step)
        feed(&h, str_sub(wire, at, at + n), &o.kept);
    header_end(&h, &o.kept);
    o.seen = seen.text;
    o.received = h.received;
    o.removed = h.removed;
    o.in_body = h.in_body;
    o.too_big = h.too_big;
    o.octets = h.header_octets;
    header_clear(&h);
    return o;
}

static void outcome_free(struct outcome *o)
{
    buf_free(&o->kept);
    buf_free(&o->seen);
}

static void same(const struct outcome *a, const struct outcome *b, const char *what, size_t cut)
{
    cr_assert(str_eq(buf_view(&a->kept), buf_view(&b->kept)), "%s, cut %zu: kept [%.*s], whole [%.*s]", what, cut,
              STR_ARG(buf_view(&b->kept)), STR_ARG(buf_view(&a->kept)));
    cr_assert(str_eq(buf_view(&a->seen), buf_view(&b->seen)), "%s, cut %zu: seen [%.*s], whole [%.*s]", what, cut,
              STR_ARG(buf_view(&b->seen)), STR_ARG(buf_view(&a->seen)));
    cr_assert_eq(a->received, b->received);
    cr_assert_eq(a->removed, b->removed);
    cr_assert_eq(a->in_body, b->in_body);
    cr_assert_eq(a->too_big, b->too_big, "%s, cut %zu", what, cut);
    cr_assert_eq(a->octets, b->octets, "%s, cut %zu", what, cut);
}

static const struct {
    const char *name, *wire, *kept, *seen;
    unsigned received, removed;
} cases[] = {
    {"nothing", "", "", "|", 0, 0},
    {"plain", "A: 1\r\nB: 2\r\n\r\nbody\r\n", "A: 1\r\nB: 2\r\n\r\nbody\r\n", "{A: 1}{B: 2}|body\r\n", 0, 0},
    {"no body", "A: 1\r\n\r\n", "A: 1\r\n\r\n", "{A: 1}|", 0, 0},
    {"no empty line", "A: 1\r\nB: 2\r\n", "A: 1\r\nB: 2\r\n", "{A: 1}{B: 2}|", 0, 0},
    {"no header", "\r\nA: 1\r\n", "\r\nA: 1\r\n", "|A: 1\r\n", 0, 0},
    {"folded", "A: 1\r\n 2\r\n\t3\r\nB: 4\r\n\r\n", "A: 1\r\n 2\r\n\t3\r\nB: 4\r\n\r\n", "{A: 1\r\n 2\r\n\t3}{B: 4}|", 0, 0},
    {"received", "Received: a\r\nRECEIVED : b\r\n c\r\nReceived-SPF: x\r\nX-Received: y\r\n\r\nReceived: z\r\n",
     "Received: a\r\nRECEIVED : b\r\n c\r\nReceived-SPF: x\r\nX-Received: y\r\n\r\nReceived: z\r\n",
     "{Received: a}{RECEIVED : b\r\n c}{Received-SPF: x}{X-Received: y}|Received: z\r\n", 2, 0},
    {"removed", "Authentication-Results: x\r\n y\r\nA: 1\r\nauthentication-RESULTS \t: z\r\n\r\nX-Postern-Tag: body\r\n",
     "A: 1\r\n\r\nX-Postern-Tag: body\r\n",
     "{Authentication-Results: x\r\n y}{A: 1}{authentication-RESULTS \t: z}|X-Postern-Tag: body\r\n", 0, 2},
    {"removed, last without an empty line", "A: 1\r\nX-Postern-Tag: x\r\n", "A: 1\r\n", "{A: 1}{X-Postern-Tag: x}|", 0, 1},
    {"name folded before the colon", "X-Postern-Tag\r\n : x\r\nA: 1\r\n\r\n", "A: 1\r\n\r\n", "{X-Postern-Tag\r\n : x}{A: 1}|", 0, 1},
    {"name folded twice", "X-Postern-Tag\r\n \r\n\t: x\r\n\r\n", "\r\n", "{X-Postern-Tag\r\n \r\n\t: x}|", 0, 1},
    {"near misses stay", "X-Postern-Tags: x\r\nX-Postern-Ta: y\r\n\r\n", "X-Postern-Tags: x\r\nX-Postern-Ta: y\r\n\r\n",
     "{X-Postern-Tags: x}{X-Postern-Ta: y}|", 0, 0},
    {"name alone is body", "Hello\r\nX-Postern-Tag: x\r\n", "Hello\r\nX-Postern-Tag: x\r\n", "|Hello\r\nX-Postern-Tag: x\r\n", 0, 0},
    {"name alone, folded, is body", "A: 1\r\nHello\r\n world\r\nB: 2\r\n", "A: 1\r\nHello\r\n world\r\nB: 2\r\n",
     "{A: 1}|Hello\r\n world\r\nB: 2\r\n", 0, 0},
    {"words are body", "A: 1\r\nHello there: x\r\n\r\n", "A: 1\r\nHello there: x\r\n\r\n", "{A: 1}|Hello there: x\r\n\r\n", 0, 0},
    {"leading blank is body", " A: 1\r\nB: 2\r\n", " A: 1\r\nB: 2\r\n", "| A: 1\r\nB: 2\r\n", 0, 0},
    {"colon first is body", ": 1\r\nB: 2\r\n", ": 1\r\nB: 2\r\n", "|: 1\r\nB: 2\r\n", 0, 0},
    {"8-bit name is body", "\xc3\xa9: 1\r\n", "\xc3\xa9: 1\r\n", "|\xc3\xa9: 1\r\n", 0, 0},
    {"no value", "A:\r\nB:\r\n\r\n", "A:\r\nB:\r\n\r\n", "{A:}{B:}|", 0, 0},
    {"dots", "..a: 1\r\nA: 2\r\n ..x\r\n\r\n..b\r\nc.\r\n...\r\n..\r\n", "..a: 1\r\nA: 2\r\n ..x\r\n\r\n..b\r\nc.\r\n...\r\n..\r\n",
     "{.a: 1}{A: 2\r\n ..x}|.b\r\nc.\r\n..\r\n.\r\n", 0, 0},
    {"dots where the body begins at once", "..a b\r\n..\r\n", "..a b\r\n..\r\n", "|.a b\r\n.\r\n", 0, 0},
    {"mailbox line first", "From x Sat Nov 21\r\nX-Postern-Tag: x\r\n\r\n", "From x Sat Nov 21\r\n\r\n", "{X-Postern-Tag: x}|", 0, 1},
    {"quoted mailbox line first", ">>From x Sat\r\nX-Postern-Tag: x\r\n\r\n", ">>From x Sat\r\n\r\n", "{X-Postern-Tag: x}|", 0, 1},
    {"mailbox line later", "A: 1\r\nFrom x Sat\r\nB: 2\r\n\r\n", "A: 1\r\nFrom x Sat\r\nB: 2\r\n\r\n", "{A: 1}|From x Sat\r\nB: 2\r\n\r\n", 0, 0},
    {"line without an end", "A: 1\r\nB: 2", "A: 1\r\nB: 2", "{A: 1}{B: 2}|", 0, 0},
    {"body without an end", "A: 1\r\n\r\nx\r\n.", "A: 1\r\n\r\nx\r\n.", "{A: 1}|x\r\n", 0, 0},
    {"half an empty line", "A: 1\r\n\r", "A: 1\r\n\r", "{A: 1}|\r", 0, 0},
};

Test(header, cases_whole_and_cut_everywhere)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str wire = str_of(cases[i].wire);
        struct outcome whole = run(wire, 0, 0, 0, true), quiet = run(wire, 0, 0, 0, false);
        cr_assert(str_eq(buf_view(&whole.kept), str_of(cases[i].kept)), "%s: kept [%.*s]", cases[i].name, STR_ARG(buf_view(&whole.kept)));
        cr_assert(str_eq(buf_view(&whole.seen), str_of(cases[i].seen)), "%s: seen [%.*s]", cases[i].name, STR_ARG(buf_view(&whole.seen)));
        cr_assert(str_eq(buf_view(&whole.kept), buf_view(&quiet.kept)), "%s: a tap changed what is kept", cases[i].name);
        cr_assert_eq(whole.received, cases[i].received, "%s", cases[i].name);
        cr_assert_eq(whole.removed, cases[i].removed, "%s", cases[i].name);
        cr_assert(whole.in_body && !whole.too_big, "%s", cases[i].name);
        for (size_t cut = 1; cut <= wire.n; cut++) {
            struct outcome two = run(wire, 0, cut, wire.n, true), bytes = run(wire, 0, cut, 1, true);
            same(&whole, &two, cases[i].name, cut);
            same(&whole, &bytes, cases[i].name, cut);
            outcome_free(&two);
            outcome_free(&bytes);
        }
        outcome_free(&whole);
        outcome_free(&quiet);
    }
}

/* Every limit on every case: too big exactly when the header does not fit, however it is cut. */
Test(header, limits_do_not_depend_on_cuts)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str wire = str_of(cases[i].wire);
        for (uint64_t limit = 1; limit <= wire.n; limit++) {
            struct outcome whole = run(wire, limit, 0, 0, true);
            for (size_t cut = 1; cut <= wire.n; cut++) {
                struct outcome two = run(wire, limit, cut, wire.n, true), bytes = run(wire, limit, cut, 1, true);
                same(&whole, &two, cases[i].name, cut);
                same(&whole, &bytes, cases[i].name, cut);
                outcome_free(&two);
                outcome_free(&bytes);
            }
            outcome_free(&whole);
        }
    }
}

Test(header, limit)
{
    struct str wire = STR("A: 1\r\nB: 2\r\n\r\na body that is not counted\r\n");
    struct outcome fits = run(wire, 14, 0, 0, true), big = run(wire, 13, 0, 0, true);

    cr_assert(!fits.too_big);
    cr_assert_eq(fits.octets, 14);
    cr_assert(str_eq(buf_view(&fits.kept), wire));
    cr_assert(big.too_big && !big.in_body);
    cr_assert(str_eq(buf_view(&big.seen), STR("{A: 1}{B: 2}")), "after the limit nothing is handed out");
    outcome_free(&fits);
    outcome_free(&big);
}

Test(header, limit_bounds_what_is_held)
{
    struct header_reader h;
    struct buf out = {0};
    char piece[1000];

    memset(piece, 'a', sizeof piece);
    header_begin(&h, 65536, NULL, 0, NULL);
    header_feed(&h, STR("X: "), &out);
    for (int i = 0; i < 10000; i++) {
        header_feed(&h, (struct str){piece, sizeof piece}, &out);
        cr_assert(h.held.cap < 4 * 65536);
    }
    header_end(&h, &out);
    cr_assert(h.too_big);
    cr_assert_eq(out.n, 0);
    header_clear(&h);
    buf_free(&out);
}

Test(header, body_without_taps_is_one_copy)
{
    struct str wire = STR("A: 1\r\n\r\n..x\r\ny\r\n");
    struct outcome o = run(wire, 0, 0, 0, false);

    cr_assert(str_eq(buf_view(&o.kept), wire));
    cr_assert_eq(o.seen.n, 0);
    outcome_free(&o);
}

Test(header, several_taps_see_the_same)
{
    struct seen a = {.tap = {.field = see_field, .end_of_header = see_end, .body = see_body}}, b = a;
    struct mail_tap deaf = {0};
    struct header_reader h;
    struct buf out = {0};

    a.tap.next = &deaf;
    deaf.next = &b.tap;
    header_begin(&h, 0, forged, 2, &a.tap);
    header_feed(&h, STR("X-Postern-Tag: 1\r\n\r\n..x\r\n"), &out);
    header_end(&h, &out);
    cr_assert(str_eq(buf_view(&a.text), STR("{X-Postern-Tag: 1}|.x\r\n")));
    cr_assert(str_eq(buf_view(&a.text), buf_view(&b.text)));
    cr_assert(str_eq(buf_view(&out), STR("\r\n..x\r\n")));
    header_clear(&h);
    buf_free(&a.text);
    buf_free(&b.text);
    buf_free(&out);
}

Test(field, name_and_body)
{
    static const struct { const char *field, *name, *body; } table[] = {
        {"Subject: x", "Subject", " x"}, {"Subject : x", "Subject", " x"}, {"Subject\t \t:x", "Subject", "x"}, {"Subject:", "Subject", ""},
        {"Subject: a: b", "Subject", " a: b"}, {"Subject:\r\n x", "Subject", "\r\n x"}, {"Subject\r\n : x", "Subject", " x"},
        {"Subject", "", ""}, {"", "", ""}, {":", "", ""}, {" Subject: x", "", ""}, {"Sub ject: x", "", ""}, {"S\x7f: x", "", ""},
        {"From a Sat Nov 21 20:15:00", "", ""}, {"!#$%: x", "!#$%", " x"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct str field = str_of(table[i].field);
        cr_assert(str_eq(field_name(field), str_of(table[i].name)), "[%s]: [%.*s]", table[i].field, STR_ARG(field_name(field)));
        cr_assert(str_eq(field_body(field), str_of(table[i].body)), "[%s]: [%.*s]", table[i].field, STR_ARG(field_body(field)));
    }
}

Test(field, write_table)
{
    static const struct { const char *name, *value, *written; } table[] = {
        {"A", "b", "A: b\r\n"},
        {"A", "", "A:\r\n"},
        {"A", "  b  c ", "A: b  c\r\n"},
        {"A", "b\r\nX-Injected: 1", "A: b??X-Injected: 1\r\n"},
        {"A", "b\tc", "A: b c\r\n"},
        {"A", "\xc3\xa9\x7f\x01", "A: ????\r\n"},
        {"A b:\r\nC", "d", "A?b???C: d\r\n"},
        {"Subject", "aaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbbbbb ccccccccccccccccccccccccccccc ddd",
         "Subject: aaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n ccccccccccccccccccccccccccccc ddd\r\n"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct buf out = {0};
        field_write(&out, str_of(table[i].name), str_of(table[i].value));
        cr_assert(str_eq(buf_view(&out), str_of(table[i].written)), "[%s]: [%.*s]", table[i].value, STR_ARG(buf_view(&out)));
        buf_free(&out);
    }
}

/* Whatever goes in: one field comes out, in printable lines of at most 998, none of them blank, and folding takes nothing away. */
Test(field, write_any)
{
    unsigned seed = 1;

    for (int round = 0; round < 3000; round++) {
        struct buf value = {0}, out = {0}, words = {0};
        size_t n = round % 3000;
        for (size_t i = 0; i < n; i++) {
            seed = seed * 1103515245 + 12345;
            unsigned r = seed >> 16;
            buf_char(&value, r % 100 < (unsigned)(round % 40) ? ' ' : (char)(r >> 7));
        }
        field_write(&out, STR("X-Any"), buf_view(&value));
        struct str rest = buf_view(&out), line;
        cr_assert(str_starts(rest, STR("X-Any:")));
        for (bool first = true; str_split(&rest, '\n', &line); first = false) {
            if (!rest.p || line.n == 0)
                break;
            cr_assert_eq(line.p[line.n - 1], '\r');
            line.n--;
            cr_assert(line.n <= 998, "line of %zu", line.n);
            cr_assert(ascii_printable(line));
            cr_assert(first || line.p[0] == ' ');
            cr_assert(str_trim(line).n > 0);
            for (size_t i = first ? 6 : 0; i < line.n; i++)
                if (line.p[i] != ' ')
                    buf_char(&words, line.p[i]);
        }
        size_t expected = 0, value_at = 0;
        for (struct str v = str_trim(buf_view(&value)); value_at < v.n; value_at++)
            expected += v.p[value_at] != ' ' && v.p[value_at] != '\t';
        cr_assert_eq(words.n, expected);
        buf_free(&value);
        buf_free(&out);
        buf_free(&words);
    }
}
