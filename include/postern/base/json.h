/*
 * json.h - writing JSON into a buffer and reading it back as a stream (RFC 8259).
 *
 * Writer: output is always valid JSON whatever the bytes: control characters are escaped, bytes that are not UTF-8 become U+FFFD.
 * Reader: a pull parser over a text in memory; no tree, no allocation except into the arena for strings with escapes.
 */
#ifndef POSTERN_BASE_JSON_H
#define POSTERN_BASE_JSON_H

#include "postern/base/arena.h"
#include "postern/base/str.h"

struct json { /* writer; commas are put by it */
    struct buf *out;
    bool need_comma;
};

void json_init(struct json *j, struct buf *out);
void json_object(struct json *j);     /* { */
void json_end_object(struct json *j); /* } */
void json_array(struct json *j);      /* [ */
void json_end_array(struct json *j);  /* ] */
void json_key(struct json *j, const char *key);
void json_key_str(struct json *j, struct str key);
void json_str(struct json *j, struct str s);
void json_cstr(struct json *j, const char *s); /* NULL writes null */
void json_u64(struct json *j, uint64_t v);
void json_i64(struct json *j, int64_t v);
void json_bool(struct json *j, bool v);
void json_null(struct json *j);

enum json_kind { JSON_ERROR, JSON_END, JSON_OBJECT, JSON_END_OBJECT, JSON_ARRAY, JSON_END_ARRAY, JSON_KEY, JSON_STRING, JSON_NUMBER,
                 JSON_TRUE, JSON_FALSE, JSON_NULL };

struct json_event {
    enum json_kind kind;
    struct str text; /* key, string (decoded) or number as written; lives in the input or the arena */
    int64_t number;  /* JSON_NUMBER without fraction or exponent that fits; else 0 */
};

struct json_reader {
    struct str in;
    size_t at;
    struct arena *arena;
    unsigned depth;
    uint8_t stack[64]; /* '{' or '[' of each open level */
    uint8_t expect;
    const char *error; /* set with JSON_ERROR: what was wrong at offset `at` */
};

void json_read_init(struct json_reader *r, struct str in, struct arena *arena);
/* The next event. After JSON_ERROR or JSON_END the same is returned again. Depth over 64 is an error. */
struct json_event json_next(struct json_reader *r);
/* Having read the first event of a value, reads on to its end (nothing to do for scalars). False on a syntax error. */
bool json_skip(struct json_reader *r, struct json_event first);

#endif
