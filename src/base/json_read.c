/*
 * json_read.c - a pull parser for JSON text in memory (RFC 8259), strict: one value, valid UTF-8, no comments, no trailing
 * commas.
 *
 * `expect` says what may come next; the stack holds the bracket of each open level. A string without escapes is a slice of the
 * input; one with escapes is decoded into the arena. An escaped surrogate without its other half becomes U+FFFD.
 */
#include "postern/base/codec.h"
#include "postern/base/json.h"

#include <string.h>

enum expect { WANT_VALUE, WANT_VALUE_OR_END, WANT_KEY_OR_END, WANT_COMMA_OR_END, WANT_NOTHING, ENDED, FAILED };

void json_read_init(struct json_reader *r, struct str in, struct arena *arena)
{
    *r = (struct json_reader){.in = in, .arena = arena, .expect = WANT_VALUE};
}

static struct json_event event(enum json_kind kind)
{
    return (struct json_event){.kind = kind};
}

static struct json_event fail(struct json_reader *r, const char *error)
{
    r->expect = FAILED;
    r->error = error;
    return event(JSON_ERROR);
}

static void skip_space(struct json_reader *r)
{
    while (r->at < r->in.n) {
        char c = r->in.p[r->at];
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
            return;
        r->at++;
    }
}

static int peek(const struct json_reader *r)
{
    return r->at < r->in.n ? (unsigned char)r->in.p[r->at] : -1;
}

static void value_done(struct json_reader *r)
{
    r->expect = r->depth > 0 ? WANT_COMMA_OR_END : WANT_NOTHING;
}

/* ---- strings ---- */

static bool read_hex4(struct str s, size_t at, unsigned *out)
{
    *out = 0;
    if (s.n < 4 || at > s.n - 4)
        return false;
    for (size_t i = at; i < at + 4; i++) {
        char c = ascii_lower(s.p[i]);
        if (c >= '0' && c <= '9')
            *out = *out << 4 | (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            *out = *out << 4 | (unsigned)(c - 'a' + 10);
        else
            return false;
    }
    return true;
}

static char *put_utf8(char *to, unsigned c)
{
    if (c < 0x80) {
        *to++ = (char)c;
        return to;
    }
    if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *to++ = (char)(0xe0 | c >> 12);
        } else {
            *to++ = (char)(0xf0 | c >> 18);
            *to++ = (char)(0x80 | (c >> 12 & 0x3f));
        }
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
    }
    *to++ = (char)(0x80 | (c & 0x3f));
    return to;
}

/* The code point of \uXXXX (at the X); a surrogate pair takes both escapes. *at moves behind them. False: not hex. */
static bool read_code_point(struct str s, size_t *at, unsigned *out)
{
    unsigned low;
    if (!read_hex4(s, *at, out))
        return false;
    *at += 4;
    if (*out < 0xd800 || *out > 0xdfff)
        return true;
    bool pair = *out < 0xdc00 && str_starts(str_sub(s, *at, s.n), STR("\\u")) && read_hex4(s, *at + 2, &low) && low >= 0xdc00 &&
                low <= 0xdfff;
    if (!pair) {
        *out = 0xfffd;
        return true;
    }
    *at += 6;
    *out = 0x10000 + ((*out - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

/* Decodes the inside of a string; never longer than as written. False: a bad escape, *bad says where in `raw`. */
static bool decode(struct arena *arena, struct str raw, struct str *out, size_t *bad)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    char *text = arena_alloc(arena, raw.n + 1), *to = text;
    size_t i = 0;
    while (i < raw.n) {
        if (raw.p[i] != '\\') {
            *to++ = raw.p[i++];
            continue;
        }
        *bad = i++;
        const char *name = raw.p[i] ? strchr(names, raw.p[i]) : NULL;
        unsigned c;
        if (name) {
            *to++ = values[name - names];
            i++;
        } else if (raw.p[i] == 'u' && (i++, read_code_point(raw, &i, &c))) {
            to = put_utf8(to, c);
        } else {
            return false;
        }
    }
    *to = '\0';
    *out = (struct str){text, (size_t)(to - text)};
    return true;
}

/* Behind the octets from i on that are just themselves: ASCII, no quote, no backslash, no control. */
static size_t plain_end(struct str s, size_t i)
{
    while (i < s.n && s.p[i] >= 0x20 && s.p[i] != '"' && s.p[i] != '\\' && (unsigned char)s.p[i] < 0x80)
        i++;
    return i;
}

/* At the opening quote. */
static bool read_string(struct json_reader *r, struct str *out)
{
    size_t start = r->at + 1, i = plain_end(r->in, start);
    bool escapes = false;
    while (i < r->in.n && r->in.p[i] != '"') {
        unsigned char c = (unsigned char)r->in.p[i];
        size_t n = utf8_step(str_sub(r->in, i, r->in.n));
        if (c < 0x20 || n == 0) {
            r->at = i;
            fail(r, n == 0 ? "not UTF-8" : "control character in a string");
            return false;
        }
        escapes |= c == '\\';
        i += c == '\\' && i + 1 < r->in.n && (unsigned char)r->in.p[i + 1] < 0x80 ? 2 : n;
        i = plain_end(r->in, i);
    }
    if (i >= r->in.n) {
        fail(r, "string without an end");
        return false;
    }
    struct str raw = str_sub(r->in, start, i);
    size_t bad = 0;
    if (escapes && !decode(r->arena, raw, out, &bad)) {
        r->at = start + bad;
        fail(r, "unknown escape in a string");
        return false;
    }
    if (!escapes)
        *out = raw;
    r->at = i + 1;
    return true;
}

/* ---- numbers ---- */

static size_t digits_at(struct str s, size_t i)
{
    size_t n = 0;
    while (i + n < s.n && s.p[i + n] >= '0' && s.p[i + n] <= '9')
        n++;
    return n;
}

static int64_t integer_of(struct str text)
{
    bool negative = text.p[0] == '-';
    uint64_t v, limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    if (!str_to_u64(str_sub(text, negative, text.n), limit, &v))
        return 0;
    if (!negative)
        return (int64_t)v;
    return v > (uint64_t)INT64_MAX ? INT64_MIN : -(int64_t)v;
}

static struct json_event read_number(struct json_reader *r)
{
    struct str in = r->in;
    size_t i = r->at + (in.p[r->at] == '-');
    size_t n = digits_at(in, i);
    if (n == 0 || (n > 1 && in.p[i] == '0'))
        return fail(r, "not a number");
    i += n;
    bool whole = true;
    if (i < in.n && in.p[i] == '.') {
        n = digits_at(in, i + 1);
        if (n == 0)
            return fail(r, "no digits behind the decimal point");
        i += 1 + n;
        whole = false;
    }
    if (i < in.n && (in.p[i] == 'e' || in.p[i] == 'E')) {
        i++;
        if (i < in.n && (in.p[i] == '+' || in.p[i] == '-'))
            i++;
        n = digits_at(in, i);
        if (n == 0)
            return fail(r, "no digits in the exponent");
        i += n;
        whole = false;
    }
    struct json_event e = {.kind = JSON_NUMBER, .text = str_sub(in, r->at, i)};
    e.number = whole ? integer_of(e.text) : 0;
    r->at = i;
    value_done(r);
    return e;
}

/* ---- structure ---- */

static struct json_event open_level(struct json_reader *r, char c)
{
    if (r->depth == sizeof r->stack)
        return fail(r, "nested too deeply");
    r->stack[r->depth++] = (uint8_t)c;
    r->at++;
    r->expect = c == '{' ? WANT_KEY_OR_END : WANT_VALUE_OR_END;
    return event(c == '{' ? JSON_OBJECT : JSON_ARRAY);
}

static struct json_event close_level(struct json_reader *r)
{
    bool object = r->stack[--r->depth] == '{';
    r->at++;
    value_done(r);
    return event(object ? JSON_END_OBJECT : JSON_END_ARRAY);
}

static struct json_event read_literal(struct json_reader *r)
{
    static const struct {
        struct str text;
        enum json_kind kind;
    } literals[] = {{{"true", 4}, JSON_TRUE}, {{"false", 5}, JSON_FALSE}, {{"null", 4}, JSON_NULL}};
    struct str rest = str_sub(r->in, r->at, r->in.n);
    for (size_t i = 0; i < 3; i++) {
        if (str_starts(rest, literals[i].text)) {
            r->at += literals[i].text.n;
            value_done(r);
            return event(literals[i].kind);
        }
    }
    return fail(r, "a value was expected");
}

static struct json_event read_value(struct json_reader *r)
{
    int c = peek(r);
    if (c == '{' || c == '[')
        return open_level(r, (char)c);
    if (c == '-' || (c >= '0' && c <= '9'))
        return read_number(r);
    if (c != '"')
        return read_literal(r);
    struct json_event e = event(JSON_STRING);
    if (!read_string(r, &e.text))
        return event(JSON_ERROR);
    value_done(r);
    return e;
}

static struct json_event read_key(struct json_reader *r)
{
    struct json_event e = event(JSON_KEY);
    if (peek(r) != '"')
        return fail(r, "a key in quotes was expected");
    if (!read_string(r, &e.text))
        return event(JSON_ERROR);
    skip_space(r);
    if (peek(r) != ':')
        return fail(r, "':' was expected");
    r->at++;
    r->expect = WANT_VALUE;
    return e;
}

struct json_event json_next(struct json_reader *r)
{
    if (r->expect == FAILED || r->expect == ENDED)
        return event(r->expect == FAILED ? JSON_ERROR : JSON_END);
    skip_space(r);
    bool object = r->depth > 0 && r->stack[r->depth - 1] == '{';
    bool closes = peek(r) == (object ? '}' : ']');
    switch ((enum expect)r->expect) {
    case WANT_VALUE: return read_value(r);
    case WANT_VALUE_OR_END: return closes ? close_level(r) : read_value(r);
    case WANT_KEY_OR_END: return closes ? close_level(r) : read_key(r);
    case WANT_COMMA_OR_END:
        if (closes)
            return close_level(r);
        if (peek(r) != ',')
            return fail(r, object ? "',' or '}' was expected" : "',' or ']' was expected");
        r->at++;
        skip_space(r);
        return object ? read_key(r) : read_value(r);
    default: break;
    }
    if (r->at < r->in.n)
        return fail(r, "text behind the value");
    r->expect = ENDED;
    return event(JSON_END);
}

bool json_skip(struct json_reader *r, struct json_event first)
{
    if (first.kind == JSON_KEY)
        first = json_next(r);
    if (first.kind == JSON_ERROR || first.kind == JSON_END)
        return first.kind == JSON_END;
    if (first.kind != JSON_OBJECT && first.kind != JSON_ARRAY)
        return true;
    unsigned outside = r->depth - 1;
    while (r->depth > outside) {
        if (json_next(r).kind == JSON_ERROR)
            return false;
    }
    return true;
}
