/*
 * value.c - values of facts as text for people, as JSON for records, and back.
 *
 * Text may come from a person (--assume, cases) or a record: both are checked against the fact's type before they become a value.
 */
#include "postern/facts/facts.h"

#include <stdlib.h>
#include <string.h>

#include "postern/base/codec.h"

enum { SET_MAX = 4096 }; /* members of a set read from text or JSON */

bool value_eq(const struct value *a, const struct value *b)
{
    if (a->state != b->state)
        return false;
    if (a->state == FACT_ERROR)
        return str_eq(a->v.text, b->v.text);
    if (a->state != FACT_KNOWN)
        return true;
    if (a->type != b->type)
        return false;
    switch ((enum fact_type)a->type) {
    case FACT_BOOL: case FACT_INT: case FACT_SIZE: case FACT_DURATION:
        return a->v.number == b->v.number;
    case FACT_WORD: case FACT_TEXT:
        return str_eq(a->v.text, b->v.text);
    case FACT_ADDR:
        return addr_eq(&a->v.addr, &b->v.addr);
    case FACT_ADDRS:
        if (a->v.addrs.count != b->v.addrs.count)
            return false;
        for (size_t i = 0; i < a->v.addrs.count; i++) {
            if (!addr_eq(&a->v.addrs.list[i], &b->v.addrs.list[i]))
                return false;
        }
        return true;
    case FACT_NAMES:
        if (a->v.names.count != b->v.names.count)
            return false;
        for (size_t i = 0; i < a->v.names.count; i++) {
            if (!str_eq(a->v.names.list[i], b->v.names.list[i]))
                return false;
        }
        return true;
    }
    return false;
}

/* --- to text and JSON --- */

static void format_known(struct buf *out, const struct value *v)
{
    char text[ADDR_TEXT], number[32];
    switch ((enum fact_type)v->type) {
    case FACT_BOOL:
        buf_cstr(out, v->v.number ? "yes" : "no");
        break;
    case FACT_INT:
        buf_printf(out, "%lld", (long long)v->v.number);
        break;
    case FACT_SIZE:
        buf_cstr(out, size_format((uint64_t)v->v.number, number));
        break;
    case FACT_DURATION:
        buf_cstr(out, duration_format((uint64_t)v->v.number, number));
        break;
    case FACT_WORD: case FACT_TEXT:
        buf_str(out, v->v.text);
        break;
    case FACT_ADDR:
        buf_cstr(out, addr_format(&v->v.addr, text));
        break;
    case FACT_ADDRS:
        for (size_t i = 0; i < v->v.addrs.count; i++) {
            buf_cstr(out, i ? ", " : "");
            buf_cstr(out, addr_format(&v->v.addrs.list[i], text));
        }
        break;
    case FACT_NAMES:
        for (size_t i = 0; i < v->v.names.count; i++) {
            buf_cstr(out, i ? ", " : "");
            buf_str(out, v->v.names.list[i]);
        }
        break;
    }
}

void value_format(struct buf *out, const struct value *v)
{
    switch ((enum fact_state)v->state) {
    case FACT_UNKNOWN:
        buf_cstr(out, "(unknown)");
        break;
    case FACT_ABSENT:
        buf_cstr(out, "(absent)");
        break;
    case FACT_ERROR:
        buf_cstr(out, "(error: ");
        buf_str(out, v->v.text);
        buf_char(out, ')');
        break;
    case FACT_KNOWN:
        format_known(out, v);
        break;
    }
}

static void json_known(struct json *j, const struct value *v)
{
    char text[ADDR_TEXT];
    switch ((enum fact_type)v->type) {
    case FACT_BOOL:
        json_cstr(j, v->v.number ? "yes" : "no");
        break;
    case FACT_INT: case FACT_SIZE: case FACT_DURATION:
        json_i64(j, v->v.number);
        break;
    case FACT_WORD: case FACT_TEXT:
        json_str(j, v->v.text);
        break;
    case FACT_ADDR:
        json_cstr(j, addr_format(&v->v.addr, text));
        break;
    case FACT_ADDRS:
        json_array(j);
        for (size_t i = 0; i < v->v.addrs.count; i++)
            json_cstr(j, addr_format(&v->v.addrs.list[i], text));
        json_end_array(j);
        break;
    case FACT_NAMES:
        json_array(j);
        for (size_t i = 0; i < v->v.names.count; i++)
            json_str(j, v->v.names.list[i]);
        json_end_array(j);
        break;
    }
}

void value_json(struct json *j, const struct value *v)
{
    switch ((enum fact_state)v->state) {
    case FACT_UNKNOWN:
        json_object(j);
        json_key(j, "unknown");
        json_bool(j, true);
        json_end_object(j);
        break;
    case FACT_ABSENT:
        json_null(j);
        break;
    case FACT_ERROR:
        json_object(j);
        json_key(j, "error");
        json_str(j, v->v.text);
        json_end_object(j);
        break;
    case FACT_KNOWN:
        json_known(j, v);
        break;
    }
}

/* --- from text --- */

static bool parse_int(struct str s, int64_t *out)
{
    bool negative = s.n && s.p[0] == '-';
    uint64_t n;
    if (!str_to_u64(negative ? str_sub(s, 1, s.n) : s, INT64_MAX, &n))
        return false;
    *out = negative ? -(int64_t)n : (int64_t)n;
    return true;
}

static int compare_names(const void *a, const void *b)
{
    const struct str *x = a, *y = b;
    return str_cmp(*x, *y);
}

static int compare_addrs(const void *a, const void *b)
{
    return addr_cmp(a, b);
}

/* Sorts and drops duplicates, as facts_set_* do, so that values compare equal however they came. */
static void tidy_set(struct value *v)
{
    size_t kept = 0;
    if (v->type == FACT_ADDRS && v->v.addrs.count) {
        struct addr *list = (struct addr *)v->v.addrs.list;
        qsort(list, v->v.addrs.count, sizeof(*list), compare_addrs);
        for (size_t i = 0; i < v->v.addrs.count; i++) {
            if (!kept || !addr_eq(&list[i], &list[kept - 1]))
                list[kept++] = list[i];
        }
        v->v.addrs.count = kept;
    } else if (v->type == FACT_NAMES && v->v.names.count) {
        struct str *list = (struct str *)v->v.names.list;
        qsort(list, v->v.names.count, sizeof(*list), compare_names);
        for (size_t i = 0; i < v->v.names.count; i++) {
            if (!kept || !str_eq(list[i], list[kept - 1]))
                list[kept++] = list[i];
        }
        v->v.names.count = kept;
    }
}

/* A member's text into place i of the set. */
static bool put_member(struct value *v, size_t i, struct str text, struct arena *arena)
{
    if (v->type == FACT_ADDRS)
        return addr_parse(text, (struct addr *)&v->v.addrs.list[i]);
    ((struct str *)v->v.names.list)[i] = arena_str(arena, text);
    return utf8_valid(text);
}

static void set_room(struct value *v, size_t count, struct arena *arena)
{
    if (v->type == FACT_ADDRS) {
        v->v.addrs.list = count ? arena_zalloc(arena, count * sizeof(struct addr)) : NULL;
        v->v.addrs.count = count;
    } else {
        v->v.names.list = count ? arena_zalloc(arena, count * sizeof(struct str)) : NULL;
        v->v.names.count = count;
    }
}

static bool parse_set(struct str text, struct arena *arena, struct value *out)
{
    if (text.n >= 2 && text.p[0] == '{' && text.p[text.n - 1] == '}')
        text = str_trim(str_sub(text, 1, text.n - 1));
    if (!text.n) {
        set_room(out, 0, arena);
        return true;
    }
    size_t count = 1;
    for (size_t at = str_find(text, ',', 0); at < text.n; at = str_find(text, ',', at + 1))
        count++;
    if (count > SET_MAX)
        return false;
    set_room(out, count, arena);
    struct str rest = text, one;
    for (size_t i = 0; i < count && str_split(&rest, ',', &one); i++) {
        one = str_trim(one);
        if (!one.n || !put_member(out, i, one, arena))
            return false;
    }
    tidy_set(out);
    return true;
}

static bool parse_bool(struct str s, int64_t *out)
{
    *out = str_eq_nocase(s, STR("yes")) || str_eq_nocase(s, STR("true"));
    return *out || str_eq_nocase(s, STR("no")) || str_eq_nocase(s, STR("false"));
}

static bool number_fits(const struct fact_info *info, int64_t number)
{
    return number >= 0 || info->flags & FACT_SIGNED;
}

static bool parse_known(const struct fact_info *info, struct str text, struct arena *arena, struct value *out)
{
    uint64_t n;
    switch (info->type) {
    case FACT_BOOL:
        return parse_bool(text, &out->v.number);
    case FACT_INT:
        return parse_int(text, &out->v.number) && number_fits(info, out->v.number);
    case FACT_SIZE: case FACT_DURATION:
        if (!(info->type == FACT_SIZE ? size_parse(text, &n) : duration_parse(text, &n)) || n > INT64_MAX)
            return false;
        out->v.number = (int64_t)n;
        return true;
    case FACT_WORD:
        out->v.text = arena_lower(arena, text);
        return fact_has_word(info, out->v.text);
    case FACT_TEXT:
        if (text.n >= 2 && text.p[0] == '"' && text.p[text.n - 1] == '"')
            text = str_sub(text, 1, text.n - 1);
        out->v.text = arena_str(arena, text);
        return utf8_valid(text);
    case FACT_ADDR:
        return addr_parse(text, &out->v.addr);
    case FACT_ADDRS: case FACT_NAMES:
        return parse_set(text, arena, out);
    }
    return false;
}

static struct str expected(const struct fact_info *info, struct arena *arena)
{
    switch (info->type) {
    case FACT_BOOL:
        return STR("expected yes or no");
    case FACT_INT:
        return info->flags & FACT_SIGNED ? STR("expected a number") : STR("expected a number, 0 or more");
    case FACT_SIZE:
        return STR("expected a size such as 512, 64K or 10M");
    case FACT_DURATION:
        return STR("expected a duration such as 30s, 5m or 2h");
    case FACT_WORD:
        return arena_printf(arena, "expected one of: %.*s", STR_ARG(info->values));
    case FACT_TEXT:
        return STR("expected text in UTF-8");
    case FACT_ADDR:
        return STR("expected an IP address");
    case FACT_ADDRS:
        return STR("expected IP addresses separated by commas");
    case FACT_NAMES:
        return STR("expected names separated by commas");
    }
    return STR_NONE;
}

bool value_parse(const struct fact_info *info, struct str text, struct arena *arena, struct value *out, struct str *error)
{
    *out = (struct value){.state = FACT_KNOWN, .type = (uint8_t)info->type};
    text = str_trim(text);
    if (str_eq(text, STR("absent"))) {
        out->state = FACT_ABSENT;
        return true;
    }
    if (str_eq(text, STR("error")) || str_starts(text, STR("error:"))) {
        struct str why = str_trim(str_sub(text, sizeof("error:") - 1, text.n));
        out->state = FACT_ERROR;
        out->v.text = why.n ? arena_str(arena, why) : STR("assumed");
        if (utf8_valid(why))
            return true;
    } else if (parse_known(info, text, arena, out)) {
        return true;
    }
    *error = expected(info, arena);
    return false;
}

/* Names of lists that the policy declares as `dnsbl NAME`, `dnswl NAME`. */
static bool are_lists(const struct schema *s, const struct value *v, struct str prefix, struct arena *arena, struct str *error)
{
    struct str lists[512];
    size_t count = 0;
    for (size_t id = FACT_COUNT; id < schema_count(s) && count < 512; id++) {
        struct str name = schema_fact(s, (int)id)->name;
        if (str_starts(name, prefix))
            lists[count++] = str_sub(name, prefix.n, name.n);
    }
    for (size_t i = 0; i < v->v.names.count; i++) {
        struct str name = v->v.names.list[i];
        size_t k = 0;
        while (k < count && !str_eq(lists[k], name))
            k++;
        if (k < count)
            continue;
        struct str near = str_suggest(name, lists, count);
        *error = arena_printf(arena, "the policy declares no list `%.*s %.*s`%s%.*s%s", (int)prefix.n - 1, prefix.p, STR_ARG(name),
                              near.p ? "; did you mean '" : "", STR_ARG(near), near.p ? "'?" : "");
        return false;
    }
    return true;
}

bool schema_value_parse(const struct schema *s, int id, struct str text, struct arena *arena, struct value *out, struct str *error)
{
    if (!value_parse(schema_fact(s, id), text, arena, out, error))
        return false;
    if (out->state != FACT_KNOWN || (id != FACT_DNSBL_LISTED && id != FACT_DNSWL_LISTED))
        return true;
    return are_lists(s, out, id == FACT_DNSBL_LISTED ? STR("dnsbl.") : STR("dnswl."), arena, error);
}

/* --- from JSON --- */

/* {"error": "why"} or {"unknown": true}, its opening brace already read. */
static bool read_object(struct json_reader *r, struct value *out)
{
    struct json_event key = json_next(r), text = json_next(r);
    if (key.kind != JSON_KEY || json_next(r).kind != JSON_END_OBJECT)
        return false;
    if (str_eq(key.text, STR("error")) && text.kind == JSON_STRING) {
        out->state = FACT_ERROR;
        out->v.text = text.text;
        return true;
    }
    out->state = FACT_UNKNOWN;
    return str_eq(key.text, STR("unknown")) && text.kind == JSON_TRUE;
}

static bool read_array(struct json_reader *r, struct arena *arena, struct value *out)
{
    struct json_reader ahead = *r; /* counts first, so that the list is one block */
    size_t count = 0;
    while (json_next(&ahead).kind == JSON_STRING)
        count++;
    if (count > SET_MAX)
        return false;
    set_room(out, count, arena);
    for (size_t i = 0; i < count; i++) {
        if (!put_member(out, i, json_next(r).text, arena))
            return false;
    }
    tidy_set(out);
    return json_next(r).kind == JSON_END_ARRAY;
}

bool value_read_json(const struct fact_info *info, struct json_reader *r, struct json_event first, struct arena *arena, struct value *out)
{
    *out = (struct value){.state = FACT_KNOWN, .type = (uint8_t)info->type};
    bool set = info->type == FACT_ADDRS || info->type == FACT_NAMES;
    bool number = info->type == FACT_INT || info->type == FACT_SIZE || info->type == FACT_DURATION;
    switch (first.kind) {
    case JSON_NULL:
        out->state = FACT_ABSENT;
        return true;
    case JSON_OBJECT:
        if (!read_object(r, out))
            return false;
        if (out->state == FACT_ERROR)
            out->v.text = arena_str(arena, out->v.text);
        return true;
    case JSON_ARRAY:
        return set && read_array(r, arena, out);
    case JSON_TRUE: case JSON_FALSE:
        out->v.number = first.kind == JSON_TRUE;
        return info->type == FACT_BOOL;
    case JSON_NUMBER:
        if (!number || !parse_int(first.text, &out->v.number))
            return false;
        return number_fits(info, out->v.number);
    case JSON_STRING:
        if (set || number)
            return false;
        if (info->type == FACT_TEXT) { /* as it is: quotes in a record are part of it */
            out->v.text = arena_str(arena, first.text);
            return true;
        }
        return parse_known(info, first.text, arena, out);
    default:
        return false;
    }
}
