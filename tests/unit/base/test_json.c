/* JSON: the writer is valid on any bytes; the reader takes RFC 8259 and nothing else. */
#include "postern/base/codec.h"
#include "postern/base/json.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* Reads everything and writes one word per event: "{ k:a n:1 }"; an error ends it with "!OFFSET MESSAGE". */
static char *events(struct str text)
{
    struct arena arena = {0};
    struct json_reader r;
    struct buf out = {0};
    json_read_init(&r, text, &arena);
    for (;;) {
        struct json_event e = json_next(&r);
        if (e.kind == JSON_END)
            break;
        if (out.n > 0)
            buf_char(&out, ' ');
        switch (e.kind) {
        case JSON_OBJECT: buf_char(&out, '{'); break;
        case JSON_END_OBJECT: buf_char(&out, '}'); break;
        case JSON_ARRAY: buf_char(&out, '['); break;
        case JSON_END_ARRAY: buf_char(&out, ']'); break;
        case JSON_TRUE: buf_cstr(&out, "true"); break;
        case JSON_FALSE: buf_cstr(&out, "false"); break;
        case JSON_NULL: buf_cstr(&out, "null"); break;
        case JSON_NUMBER: buf_printf(&out, "n:%lld", (long long)e.number); break;
        case JSON_KEY: buf_cstr(&out, "k:"); escape_text(&out, e.text); break;
        case JSON_STRING: buf_cstr(&out, "s:"); escape_text(&out, e.text); break;
        default: buf_printf(&out, "!%zu %s", r.at, r.error); break;
        }
        if (e.kind == JSON_ERROR) {
            cr_assert_eq(json_next(&r).kind, JSON_ERROR, "it stays an error");
            break;
        }
    }
    arena_clear(&arena);
    return buf_steal(&out);
}

static void check(struct str text, const char *expected)
{
    char *exact = malloc(text.n ? text.n : 1); /* so that reading past the end is seen */
    memcpy(exact, text.p, text.n);
    char *got = events((struct str){exact, text.n});
    cr_assert_str_eq(got, expected, "%.*s gave %s", STR_ARG(text), got);
    free(got);
    free(exact);
}

Test(json, reads)
{
    static const char *const cases[][2] = {
        {"{}", "{ }"}, {"[]", "[ ]"}, {" [ ] ", "[ ]"}, {"null", "null"}, {"true", "true"}, {"\t\r\n false", "false"},
        {"\"\"", "s:"},
        {"{\"a\":1,\"b\":[true,null,\"x\"],\"c\":{}}", "{ k:a n:1 k:b [ true null s:x ] k:c { } }"},
        {"[ 1 , 2 ]", "[ n:1 n:2 ]"}, {"[[[]],[]]", "[ [ [ ] ] [ ] ]"}, {"{ \"\" : { \"\" : 0 } }", "{ k: { k: n:0 } }"},
        {"-0", "n:0"}, {"0", "n:0"}, {"-12", "n:-12"}, {"1.5", "n:0"}, {"1e3", "n:0"}, {"1E+3", "n:0"}, {"0.0e-0", "n:0"},
        {"9223372036854775807", "n:9223372036854775807"}, {"9223372036854775808", "n:0"},
        {"-9223372036854775808", "n:-9223372036854775808"},
        {"-9223372036854775809", "n:0"}, {"123456789012345678901234567890", "n:0"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "s:\"\\\\/\\x08\\x0c\\n\\r\\t"},
        {"\"\\u0041\\u00e4\\u20AC\"", "s:A\\xc3\\xa4\\xe2\\x82\\xac"},
        {"\"\\ud83d\\ude00\"", "s:\\xf0\\x9f\\x98\\x80"}, {"\"\\ud83dx\"", "s:\\xef\\xbf\\xbdx"},
        {"\"\\ude00\"", "s:\\xef\\xbf\\xbd"},
        {"\"\\ud83d\\u0041\"", "s:\\xef\\xbf\\xbdA"}, {"\"\\ud83d\\ud83d\\ude00\"", "s:\\xef\\xbf\\xbd\\xf0\\x9f\\x98\\x80"},
        {"\"\\udbff\\udfff\"", "s:\\xf4\\x8f\\xbf\\xbf"}, {"\"\\u0000\"", "s:\\x00"}, {"\"a\\u0000b\"", "s:a\\x00b"},
        {"\"\xc3\xa4\x7f\"", "s:\\xc3\\xa4\\x7f"}, {"{\"a\\nb\":\"\\u000a\"}", "{ k:a\\nb s:\\n }"}, {"\"\\\\\"", "s:\\\\"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check(str_of(cases[i][0]), cases[i][1]);
}

Test(json, refuses)
{
    static const char *const cases[][2] = {
        {"", "!0 a value was expected"}, {"  ", "!2 a value was expected"}, {"x", "!0 a value was expected"},
        {"nul", "!0 a value was expected"},
        {"True", "!0 a value was expected"}, {"{} {}", "{ } !3 text behind the value"}, {"1 2", "n:1 !2 text behind the value"},
        {"nullx", "null !4 text behind the value"}, {"[1,]", "[ n:1 !3 a value was expected"},
        {"[,1]", "[ !1 a value was expected"},
        {"[1 2]", "[ n:1 !3 ',' or ']' was expected"}, {"[1", "[ n:1 !2 ',' or ']' was expected"},
        {"[", "[ !1 a value was expected"},
        {"[}", "[ !1 a value was expected"}, {"{]", "{ !1 a key in quotes was expected"}, {"]", "!0 a value was expected"},
        {"{\"a\":1]", "{ k:a n:1 !6 ',' or '}' was expected"}, {"{\"a\" 1}", "{ !5 ':' was expected"},
        {"{\"a\"", "{ !4 ':' was expected"},
        {"{a:1}", "{ !1 a key in quotes was expected"}, {"{\"a\":1,}", "{ k:a n:1 !7 a key in quotes was expected"},
        {"{\"a\":}", "{ k:a !5 a value was expected"}, {"{1:2}", "{ !1 a key in quotes was expected"},
        {"{,}", "{ !1 a key in quotes was expected"},
        {"01", "!0 not a number"}, {"-", "!0 not a number"}, {"-01", "!0 not a number"}, {"+1", "!0 a value was expected"},
        {".5", "!0 a value was expected"}, {"1.", "!0 no digits behind the decimal point"},
        {"1.e1", "!0 no digits behind the decimal point"},
        {"1e", "!0 no digits in the exponent"}, {"1e+", "!0 no digits in the exponent"}, {"0x1", "n:0 !1 text behind the value"},
        {"--1", "!0 not a number"}, {"NaN", "!0 a value was expected"}, {"'a'", "!0 a value was expected"},
        {"\"", "!0 string without an end"}, {"\"a", "!0 string without an end"}, {"\"a\\\"", "!0 string without an end"},
        {"\"\\", "!0 string without an end"}, {"\"\\x\"", "!1 unknown escape in a string"},
        {"\"ab\\u12\"", "!3 unknown escape in a string"},
        {"\"\\u12g4\"", "!1 unknown escape in a string"}, {"\"\\U0041\"", "!1 unknown escape in a string"},
        {"\"a\nb\"", "!2 control character in a string"}, {"\"\x1f\"", "!1 control character in a string"},
        {"\"a\xff\"", "!2 not UTF-8"}, {"\"\xc3\"", "!1 not UTF-8"}, {"\"\xed\xa0\x80\"", "!1 not UTF-8"},
        {"\"\\\xc3\"", "!2 not UTF-8"},
        {"\"\\\xc3\xa4\"", "!1 unknown escape in a string"}, {"[1] // no", "[ n:1 ] !4 text behind the value"},
        {"\xef\xbb\xbf{}", "!0 a value was expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check(str_of(cases[i][0]), cases[i][1]);
    check(STR("\"a\0\""), "!2 control character in a string");
    check(STR("\"\\\0\""), "!1 unknown escape in a string");
    check(STR("{}\0"), "{ } !2 text behind the value");
}

/* Each beginning of a text gives the beginning of its events, then an error where it was cut: never a crash, never something else. */
Test(json, cut_at_every_byte)
{
    static const char text[] = "{\"id\":\"4F\\u00e4\\n\\ud83d\\ude00\",\"n\":[-12.5e+3,0,true,false,null,{}],\"\xc3\xa4\":{\"x\":[[]]}} ";
    char *whole = events(str_of(text));
    for (size_t n = 0; n < sizeof text - 3; n++) {
        char *exact = malloc(n ? n : 1);
        memcpy(exact, text, n);
        char *got = events((struct str){exact, n});
        char *bang = strchr(got, '!');
        cr_assert(bang, "%zu bytes were taken as whole", n);
        size_t same = (size_t)(bang - got) >= 2 ? (size_t)(bang - got) - 2 : 0; /* a cut number may show its own beginning */
        while (same > 0 && got[same] != ' ')
            same--;
        cr_assert(strncmp(got, whole, same) == 0, "cut at %zu: %s", n, got);
        free(got);
        free(exact);
    }
    free(whole);
}

/* One byte changed at every place to every value: the reader ends, inside the text. */
Test(json, every_byte_changed)
{
    char text[] = "{\"a\":\"x\\u0041\",\"b\":[1,-2.5e1,true,null]}";
    for (size_t i = 0; i < sizeof text - 1; i++) {
        char kept = text[i];
        for (int c = 0; c < 256; c++) {
            text[i] = (char)c;
            char *exact = malloc(sizeof text - 1);
            memcpy(exact, text, sizeof text - 1);
            free(events((struct str){exact, sizeof text - 1}));
            free(exact);
        }
        text[i] = kept;
    }
}

Test(json, depth_is_limited)
{
    char text[200];
    memset(text, '[', 100);
    memset(text + 100, ']', 100);
    struct arena arena = {0};
    struct json_reader r;
    json_read_init(&r, (struct str){text + 36, 128}, &arena); /* 64 open, 64 closed */
    size_t seen = 0;
    struct json_event e;
    while ((e = json_next(&r)).kind != JSON_END && e.kind != JSON_ERROR)
        seen++;
    cr_assert_eq(e.kind, JSON_END);
    cr_assert_eq(seen, 128);
    json_read_init(&r, (struct str){text + 35, 130}, &arena);
    while ((e = json_next(&r)).kind != JSON_END && e.kind != JSON_ERROR)
        ;
    cr_assert_eq(e.kind, JSON_ERROR);
    cr_assert_str_eq(r.error, "nested too deeply");
    arena_clear(&arena);
}

Test(json, plain_strings_are_slices_of_the_input)
{
    static const char text[] = "[\"abc\",\"a\\tc\"]";
    struct arena arena = {0};
    struct json_reader r;
    json_read_init(&r, str_of(text), &arena);
    json_next(&r);
    struct json_event e = json_next(&r);
    cr_assert_eq(e.text.p, text + 2);
    cr_assert_eq(arena.used, 0);
    e = json_next(&r);
    cr_assert(str_eq(e.text, STR("a\tc")));
    cr_assert_gt(arena.used, 0);
    arena_clear(&arena);
}

Test(json, skip)
{
    struct arena arena = {0};
    struct json_reader r;
    json_read_init(&r, STR("{\"a\":{\"b\":[1,{}]},\"c\":[[],2],\"d\":3,\"e\":\"x\"}"), &arena);
    json_next(&r);
    cr_assert(str_eq(json_next(&r).text, STR("a")));
    cr_assert(json_skip(&r, json_next(&r)));
    struct json_event key = json_next(&r);
    cr_assert(str_eq(key.text, STR("c")));
    cr_assert(json_skip(&r, key), "a key is skipped with its value");
    cr_assert(str_eq(json_next(&r).text, STR("d")));
    cr_assert(json_skip(&r, json_next(&r)));
    cr_assert(str_eq(json_next(&r).text, STR("e")));
    cr_assert(json_skip(&r, json_next(&r)));
    cr_assert_eq(json_next(&r).kind, JSON_END_OBJECT);
    cr_assert_eq(json_next(&r).kind, JSON_END);
    cr_assert_eq(json_next(&r).kind, JSON_END);
    json_read_init(&r, STR("[[1,2,}]"), &arena);
    json_next(&r);
    cr_assert_not(json_skip(&r, json_next(&r)));
    cr_assert_eq(json_next(&r).kind, JSON_ERROR);
    arena_clear(&arena);
}

Test(json, writes)
{
    struct buf out = {0};
    struct json j;
    json_init(&j, &out);
    json_object(&j);
    json_key(&j, "a");
    json_u64(&j, UINT64_MAX);
    json_key_str(&j, STR("b\""));
    json_array(&j);
    json_i64(&j, INT64_MIN);
    json_bool(&j, true);
    json_bool(&j, false);
    json_null(&j);
    json_cstr(&j, NULL);
    json_cstr(&j, "x");
    json_array(&j);
    json_end_array(&j);
    json_object(&j);
    json_end_object(&j);
    json_end_array(&j);
    json_key(&j, "c");
    json_object(&j);
    json_key(&j, "d");
    json_str(&j, STR_NONE);
    json_end_object(&j);
    json_end_object(&j);
    cr_assert(str_eq(buf_view(&out), STR("{\"a\":18446744073709551615,\"b\\\"\":[-9223372036854775808,true,false,null,null,\"x\",[],{}],"
                                         "\"c\":{\"d\":\"\"}}")), "%.*s", STR_ARG(buf_view(&out)));
    buf_free(&out);
}

/* Any two bytes, written and read: valid UTF-8 comes back as it was, all else as replacement characters, and the text is clean. */
Test(json, any_bytes_are_valid)
{
    struct arena arena = {0};
    for (unsigned pair = 0; pair < 65536; pair++) {
        char bytes[2] = {(char)(pair >> 8), (char)pair};
        struct str in = {bytes, 2};
        struct buf out = {0};
        struct json j;
        struct json_reader r;
        json_init(&j, &out);
        json_str(&j, in);
        cr_assert(utf8_valid(buf_view(&out)));
        for (size_t i = 0; i < out.n; i++)
            cr_assert((unsigned char)out.p[i] >= 0x20 && out.p[i] != 0x7f);
        json_read_init(&r, buf_view(&out), &arena);
        struct json_event e = json_next(&r);
        cr_assert_eq(e.kind, JSON_STRING);
        cr_assert_eq(str_eq(e.text, in), utf8_valid(in));
        cr_assert_eq(json_next(&r).kind, JSON_END);
        buf_free(&out);
        arena_clear(&arena);
    }
}

Test(json, broken_utf8_is_replaced_byte_by_byte)
{
    static const char *const cases[][2] = {
        {"a\xff" "b", "\"a\xef\xbf\xbd" "b\""}, {"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xc3\xa4\xc3", "\"\xc3\xa4\xef\xbf\xbd\""},
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, {"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""},
        {"\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out = {0};
        struct json j;
        json_init(&j, &out);
        json_str(&j, str_of(cases[i][0]));
        cr_assert(str_eq(buf_view(&out), str_of(cases[i][1])), "case %zu: %.*s", i, STR_ARG(buf_view(&out)));
        buf_free(&out);
    }
}
