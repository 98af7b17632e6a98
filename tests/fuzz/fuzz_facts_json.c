/* rooms: facts */
/*
 * Values of facts from foreign text and JSON, for each type: what is read can be written, and reads back as the same value.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "postern/facts/facts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes v as JSON and reads it again. */
static void there_and_back(const struct fact_info *info, const struct value *v, struct arena *arena)
{
    struct buf out = {0};
    struct json j;
    struct json_reader r;
    struct value again;
    json_init(&j, &out);
    value_json(&j, v);
    json_read_init(&r, buf_view(&out), arena);
    struct json_event first = json_next(&r);
    if (!value_read_json(info, &r, first, arena, &again) || json_next(&r).kind != JSON_END || !value_eq(v, &again))
        abort();
    buf_clear(&out);
    value_format(&out, v);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    for (int type = FACT_BOOL; type <= FACT_NAMES; type++) {
        struct fact_info info = {.name = STR("x"), .type = (enum fact_type)type, .values = STR("pass fail none null-mx")};
        struct arena arena = {0};
        struct json_reader r;
        struct value v;
        struct str error;
        if (value_parse(&info, text, &arena, &v, &error))
            there_and_back(&info, &v, &arena);
        else if (!error.n)
            abort();
        json_read_init(&r, text, &arena);
        struct json_event first = json_next(&r);
        if (value_read_json(&info, &r, first, &arena, &v))
            there_and_back(&info, &v, &arena);
        arena_clear(&arena);
    }
    return 0;
}
