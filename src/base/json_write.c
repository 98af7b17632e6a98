/*
 * json_write.c - JSON into a buffer. The caller nests objects and arrays rightly; commas, quotes and escapes are put here.
 *
 * Whatever the bytes of a string, what comes out is valid JSON in valid UTF-8 (RFC 8259 sections 7, 8.1).
 */
#include "postern/base/codec.h"
#include "postern/base/json.h"

void json_init(struct json *j, struct buf *out)
{
    *j = (struct json){.out = out};
}

static void before_value(struct json *j)
{
    if (j->need_comma)
        buf_char(j->out, ',');
    j->need_comma = true;
}

static void open_level(struct json *j, char c)
{
    before_value(j);
    buf_char(j->out, c);
    j->need_comma = false;
}

static void close_level(struct json *j, char c)
{
    buf_char(j->out, c);
    j->need_comma = true;
}

void json_object(struct json *j)
{
    open_level(j, '{');
}

void json_end_object(struct json *j)
{
    close_level(j, '}');
}

void json_array(struct json *j)
{
    open_level(j, '[');
}

void json_end_array(struct json *j)
{
    close_level(j, ']');
}

static void put_escape(struct buf *out, char c)
{
    switch (c) {
    case '"': buf_cstr(out, "\\\""); return;
    case '\\': buf_cstr(out, "\\\\"); return;
    case '\n': buf_cstr(out, "\\n"); return;
    case '\r': buf_cstr(out, "\\r"); return;
    case '\t': buf_cstr(out, "\\t"); return;
    default: buf_printf(out, "\\u%04x", (unsigned)(unsigned char)c);
    }
}

/* How many octets stand in a string as they are: nearly all of nearly every string, so they are copied at one go. */
static size_t plain_octets(struct str s)
{
    size_t n = 0;

    while (n < s.n && s.p[n] >= ' ' && s.p[n] <= '~' && s.p[n] != '"' && s.p[n] != '\\')
        n++;
    return n;
}

static void put_string(struct buf *out, struct str s)
{
    buf_char(out, '"');
    while (s.n > 0) {
        size_t plain = plain_octets(s), n = plain ? plain : utf8_step(s);
        if (plain) {
            buf_put(out, s.p, plain);
        } else if (n == 0) {
            buf_cstr(out, "\xef\xbf\xbd"); /* U+FFFD for one byte that is not UTF-8 */
            n = 1;
        } else if (n == 1) {
            put_escape(out, s.p[0]);
        } else {
            buf_put(out, s.p, n);
        }
        s = str_sub(s, n, s.n);
    }
    buf_char(out, '"');
}

void json_key_str(struct json *j, struct str key)
{
    before_value(j);
    put_string(j->out, key);
    buf_char(j->out, ':');
    j->need_comma = false;
}

void json_key(struct json *j, const char *key)
{
    json_key_str(j, str_of(key));
}

void json_str(struct json *j, struct str s)
{
    before_value(j);
    put_string(j->out, s);
}

static void put_literal(struct json *j, const char *text)
{
    before_value(j);
    buf_cstr(j->out, text);
}

void json_cstr(struct json *j, const char *s)
{
    if (s)
        json_str(j, str_of(s));
    else
        json_null(j);
}

void json_u64(struct json *j, uint64_t v)
{
    before_value(j);
    buf_u64(j->out, v);
}

void json_i64(struct json *j, int64_t v)
{
    before_value(j);
    if (v < 0)
        buf_char(j->out, '-');
    buf_u64(j->out, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void json_bool(struct json *j, bool v)
{
    put_literal(j, v ? "true" : "false");
}

void json_null(struct json *j)
{
    put_literal(j, "null");
}
