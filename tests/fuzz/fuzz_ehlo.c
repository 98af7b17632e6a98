/* rooms: smtp */
/*
 * A backend's answer to EHLO: bytes to reply to list of extensions. The list is what a reading of its own finds: keywords at the start of the
 * lines behind the first, whatever their case; the last SIZE holds. The first octet says how the bytes are cut; cutting changes nothing. What is
 * then announced to clients is well-formed, and read as the same list again.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "postern/smtp/ehlo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const keywords[EXT_COUNT] = {
#define X(id, name) name,
    EXTENSIONS(X)
#undef X
};

/* A number of digits alone that fits; anything else says nothing (RFC 1870 3). */
static uint64_t model_size(const char *p, const char *end)
{
    uint64_t value = 0;
    if (p == end)
        return 0;
    for (; p < end; p++)
        if (*p < '0' || *p > '9' || __builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *p - '0', &value))
            return 0;
    return value;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void model_line(const char *p, const char *end, struct extensions *out)
{
    while (p < end && is_blank(*p))
        p++;
    while (end > p && is_blank(end[-1]))
        end--;
    const char *at = p;
    while (at < end && !is_blank(*at) && *at != '=')
        at++;
    size_t n = (size_t)(at - p);
    for (int x = 0; x < EXT_COUNT; x++) {
        if (strlen(keywords[x]) != n || strncasecmp(keywords[x], p, n) != 0)
            continue;
        out->set |= UINT32_C(1) << x;
        at += at < end;
        while (at < end && is_blank(*at))
            at++;
        if (x == EXT_SIZE)
            out->size_limit = model_size(at, end);
        if (x == EXT_XCLIENT)
            out->xclient = (struct str){at, (size_t)(end - at)};
    }
}

static void model(const struct reply *r, struct extensions *out)
{
    *out = (struct extensions){0};
    if (r->code != 250 || r->text.n == 0)
        return;
    const char *end = r->text.p + r->text.n;
    for (const char *line = memchr(r->text.p, '\n', r->text.n); line;) {
        const char *next = memchr(line + 1, '\n', (size_t)(end - line - 1));
        model_line(line + 1, next ? next : end, out);
        line = next;
    }
}

/* What we say of it to a client, with our own SIZE: as PARAMETERS of ours, XCLIENT left out. */
static void judge_announced(const struct extensions *read)
{
    struct arena arena = {0};
    struct buf wire = {0};
    struct reply_parser parser = {0};
    struct reply again;
    struct extensions ours = *read, back;
    ours.set &= ~(UINT32_C(1) << EXT_XCLIENT);
    struct reply r = ehlo_write(&arena, STR("mx.test"), &ours);
    reply_format(&wire, &r, false, STR_NONE);
    struct str in = buf_view(&wire);
    enum reply_parse result = reply_parse(&parser, &in, &arena, &again);
    assert(result == REPLY_PARSE_DONE && in.n == 0);
    ehlo_read(&again, &arena, &back);
    assert(back.set == ours.set && (back.size_limit == ours.size_limit || !ehlo_has(&ours, EXT_SIZE)));
    (void)result;
    reply_parser_clear(&parser);
    buf_free(&wire);
    arena_clear(&arena);
}

static void judge(const struct reply *r, struct buf *seen)
{
    struct arena arena = {0};
    struct extensions read, expected;
    ehlo_read(r, &arena, &read);
    model(r, &expected);
    assert(read.set == expected.set && read.size_limit == expected.size_limit && str_eq(read.xclient, expected.xclient));
    assert(ehlo_has(&read, EXT_XCLIENT) || read.xclient.n == 0);
    buf_printf(seen, "%x %llu ", read.set, (unsigned long long)read.size_limit);
    buf_str(seen, read.xclient);
    judge_announced(&read);
    arena_clear(&arena);
}

static void read_answers(struct str in, size_t chunk, struct buf *seen)
{
    struct reply_parser parser = {0};
    struct arena arena = {0};
    struct reply r;
    enum reply_parse result = REPLY_PARSE_NOT_YET;
    for (size_t at = 0; at < in.n && result != REPLY_PARSE_FAILED; at += chunk) {
        size_t n = in.n - at < chunk ? in.n - at : chunk;
        char *copy = malloc(n); /* of exactly this size: reading past it is seen */
        assert(copy);
        memcpy(copy, in.p + at, n);
        struct str rest = {copy, n};
        while (rest.n > 0 && (result = reply_parse(&parser, &rest, &arena, &r)) != REPLY_PARSE_FAILED)
            if (result == REPLY_PARSE_DONE)
                judge(&r, seen);
        free(copy);
    }
    reply_parser_clear(&parser);
    arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = {0}, cut = {0};
    if (size < 2)
        return 0;
    struct str in = {(const char *)data + 1, size - 1};
    read_answers(in, in.n, &whole);
    read_answers(in, 1 + data[0] % 64, &cut);
    assert(str_eq(buf_view(&whole), buf_view(&cut)));
    buf_free(&whole);
    buf_free(&cut);
    return 0;
}
