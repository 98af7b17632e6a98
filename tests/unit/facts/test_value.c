/* Values as text and JSON, there and back. */
#include "postern/facts/facts.h"

#include "source_tree.h"

/* A fact of each type; words for WORD. */
static struct fact_info info_of(enum fact_type type)
{
    return (struct fact_info){.name = STR("x"), .type = type, .values = STR("pass fail null-mx")};
}

struct text_case { enum fact_type type; const char *in, *text, *json; }; /* text NULL: refused */

static const struct text_case cases[] = {
    {FACT_BOOL, "yes", "yes", "\"yes\""}, {FACT_BOOL, "No", "no", "\"no\""}, {FACT_BOOL, "true", "yes", "\"yes\""},
    {FACT_BOOL, "maybe", NULL, NULL}, {FACT_BOOL, "", NULL, NULL},
    {FACT_INT, "12", "12", "12"}, {FACT_INT, "0", "0", "0"}, {FACT_INT, "-3", NULL, NULL}, {FACT_INT, "", NULL, NULL}, {FACT_INT, "-", NULL, NULL},
    {FACT_INT, "1x", NULL, NULL}, {FACT_INT, "99999999999999999999", NULL, NULL},
    {FACT_INT, "9223372036854775807", "9223372036854775807", "9223372036854775807"},
    {FACT_SIZE, "64K", "64K", "65536"}, {FACT_SIZE, "1000", "1000", "1000"}, {FACT_SIZE, "big", NULL, NULL},
    {FACT_DURATION, "5m", "5m", "300000"}, {FACT_DURATION, "1h30m", "1h30m", "5400000"}, {FACT_DURATION, "5", NULL, NULL},
    {FACT_WORD, "pass", "pass", "\"pass\""}, {FACT_WORD, "NULL-MX", "null-mx", "\"null-mx\""}, {FACT_WORD, "mx", NULL, NULL},
    {FACT_WORD, "", NULL, NULL}, {FACT_WORD, "pass fail", NULL, NULL},
    {FACT_TEXT, "a@b.example", "a@b.example", "\"a@b.example\""}, {FACT_TEXT, "", "", "\"\""}, {FACT_TEXT, "\"absent\"", "absent", "\"absent\""},
    {FACT_TEXT, "\xff", NULL, NULL},
    {FACT_ADDR, "192.0.2.1", "192.0.2.1", "\"192.0.2.1\""}, {FACT_ADDR, "2001:DB8::1", "2001:db8::1", "\"2001:db8::1\""},
    {FACT_ADDR, "192.0.2", NULL, NULL},
    {FACT_ADDRS, "127.0.0.4, 127.0.0.2,127.0.0.4", "127.0.0.2, 127.0.0.4", "[\"127.0.0.2\",\"127.0.0.4\"]"},
    {FACT_ADDRS, "{127.0.0.2}", "127.0.0.2", "[\"127.0.0.2\"]"}, {FACT_ADDRS, "{}", "", "[]"}, {FACT_ADDRS, "", "", "[]"},
    {FACT_ADDRS, "127.0.0.2,", NULL, NULL}, {FACT_ADDRS, ",", NULL, NULL}, {FACT_ADDRS, "zen", NULL, NULL},
    {FACT_NAMES, "{zen, b}", "b, zen", "[\"b\",\"zen\"]"}, {FACT_NAMES, "zen", "zen", "[\"zen\"]"}, {FACT_NAMES, "a,,b", NULL, NULL},
    {FACT_NAMES, "a,\xff", NULL, NULL},
    {FACT_INT, "absent", "(absent)", "null"}, {FACT_TEXT, "absent", "(absent)", "null"}, {FACT_ADDRS, "absent", "(absent)", "null"},
    {FACT_WORD, "error", "(error: assumed)", "{\"error\":\"assumed\"}"},
    {FACT_NAMES, "error: no answer", "(error: no answer)", "{\"error\":\"no answer\"}"}, {FACT_BOOL, "error:\xff", NULL, NULL},
};

static bool read_json(const struct fact_info *info, const char *text, struct arena *arena, struct value *out)
{
    struct json_reader r;
    json_read_init(&r, str_of(text), arena);
    struct json_event first = json_next(&r);
    return value_read_json(info, &r, first, arena, out) && json_next(&r).kind == JSON_END;
}

Test(value, text_and_json_there_and_back)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct arena arena = {0};
        struct fact_info info = info_of(cases[i].type);
        struct value v, again;
        struct str error = STR_NONE;
        bool ok = value_parse(&info, str_of(cases[i].in), &arena, &v, &error);
        cr_expect_eq(ok, cases[i].text != NULL, "%s '%s'", fact_type_names[info.type], cases[i].in);
        if (!ok) {
            cr_expect(str_starts(error, STR("expected ")), "%s", cases[i].in);
            arena_clear(&arena);
            continue;
        }
        struct buf text = {0}, json = {0};
        value_format(&text, &v);
        cr_expect(str_eq(buf_view(&text), str_of(cases[i].text)), "'%s' gave '%.*s'", cases[i].in, STR_ARG(buf_view(&text)));
        struct json j;
        json_init(&j, &json);
        value_json(&j, &v);
        cr_expect(str_eq(buf_view(&json), str_of(cases[i].json)), "'%s' gave %.*s", cases[i].in, STR_ARG(buf_view(&json)));
        cr_expect(read_json(&info, cases[i].json, &arena, &again), "%s", cases[i].json);
        cr_expect(value_eq(&v, &again), "%s", cases[i].json);
        buf_free(&text);
        buf_free(&json);
        arena_clear(&arena);
    }
}

Test(value, foreign_json_is_refused)
{
    static const struct { enum fact_type type; const char *json; } bad[] = {
        {FACT_BOOL, "1"}, {FACT_BOOL, "\"perhaps\""}, {FACT_BOOL, "[]"}, {FACT_INT, "\"1\""}, {FACT_INT, "-1"}, {FACT_INT, "1.5"}, {FACT_INT, "1e3"},
        {FACT_INT, "true"}, {FACT_SIZE, "-1"}, {FACT_DURATION, "-5"}, {FACT_DURATION, "\"5m\""}, {FACT_WORD, "\"none\""}, {FACT_WORD, "[\"pass\"]"},
        {FACT_TEXT, "7"}, {FACT_TEXT, "[\"x\"]"}, {FACT_ADDR, "\"1.2.3\""}, {FACT_ADDRS, "\"127.0.0.2\""}, {FACT_ADDRS, "[\"x\"]"},
        {FACT_ADDRS, "[1]"}, {FACT_ADDRS, "[[\"127.0.0.2\"]]"}, {FACT_NAMES, "[\"a\",null]"}, {FACT_TEXT, "{}"}, {FACT_TEXT, "{\"error\":1}"},
        {FACT_TEXT, "{\"error\":\"a\",\"b\":1}"}, {FACT_TEXT, "{\"other\":\"a\"}"}, {FACT_TEXT, "{\"unknown\":false}"}, {FACT_TEXT, ""},
        {FACT_NAMES, "[\"a\""}, {FACT_NAMES, "{"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct arena arena = {0};
        struct fact_info info = info_of(bad[i].type);
        struct value v;
        cr_expect_not(read_json(&info, bad[i].json, &arena, &v), "%s", bad[i].json);
        arena_clear(&arena);
    }
}

Test(value, unknown_and_booleans_in_json)
{
    struct arena arena = {0};
    struct fact_info info = info_of(FACT_BOOL);
    struct value v;
    cr_assert(read_json(&info, "{\"unknown\":true}", &arena, &v));
    cr_expect_eq(v.state, FACT_UNKNOWN);
    cr_assert(read_json(&info, "true", &arena, &v));
    cr_expect_eq(v.v.number, 1);
    struct buf out = {0};
    value_format(&out, &(struct value){.state = FACT_UNKNOWN});
    cr_expect(str_eq(buf_view(&out), STR("(unknown)")));
    buf_free(&out);
    arena_clear(&arena);
}

Test(value, quotes_in_a_record_are_part_of_the_text)
{
    struct arena arena = {0};
    struct fact_info info = info_of(FACT_TEXT);
    struct value v;
    cr_assert(read_json(&info, "\"\\\"absent\\\"\"", &arena, &v));
    cr_expect(str_eq(v.v.text, STR("\"absent\"")));
    cr_assert(read_json(&info, "\"absent\"", &arena, &v));
    cr_expect_eq(v.state, FACT_KNOWN);
    arena_clear(&arena);
}

Test(value, equality_looks_at_state_and_contents)
{
    struct value a = {.state = FACT_KNOWN, .type = FACT_INT, .v.number = 1}, b = a;
    b.at_ms = 7;
    cr_expect(value_eq(&a, &b));
    b.v.number = 2;
    cr_expect_not(value_eq(&a, &b));
    b = (struct value){.state = FACT_ABSENT, .type = FACT_INT};
    cr_expect_not(value_eq(&a, &b));
    a = (struct value){.state = FACT_ERROR, .v.text = STR("x")};
    b = (struct value){.state = FACT_ERROR, .v.text = STR("y")};
    cr_expect_not(value_eq(&a, &b));
}

/* The part of policy/README.md between the markers is what facts_markdown() writes. */
Test(markdown, the_reference_lists_the_facts_as_they_are)
{
    same_table("facts", facts_markdown);
}
