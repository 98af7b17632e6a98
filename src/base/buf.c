/*
 * buf.c - the growable buffer, and the allocators that abort.
 *
 * Memory runs out: Postern stops at once. It owns no mail, so nothing is lost, and no caller needs a path that is never tested.
 */
#include "postern/base/str.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *p)
{
    if (!p) {
        fputs("postern: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *xmalloc(size_t n)
{
    return must(malloc(n ? n : 1));
}

void *xcalloc(size_t count, size_t n)
{
    return must(calloc(count ? count : 1, n ? n : 1));
}

void *xrealloc(void *p, size_t n)
{
    return must(realloc(p, n ? n : 1));
}

char *xstrndup(const char *p, size_t n)
{
    assert(n < SIZE_MAX);
    char *copy = xmalloc(n + 1);
    if (n > 0)
        memcpy(copy, p, n);
    copy[n] = '\0';
    return copy;
}

enum { BUF_FIRST = 64 };

char *buf_room(struct buf *b, size_t n)
{
    if (n <= b->cap - b->n && b->p)
        return b->p + b->n;
    if (n > SIZE_MAX / 4 || b->n > SIZE_MAX / 4)
        must(NULL);
    size_t cap = b->cap > 0 ? b->cap : BUF_FIRST;
    while (cap - b->n < n)
        cap *= 2;
    b->p = xrealloc(b->p, cap);
    b->cap = cap;
    return b->p + b->n;
}

void buf_put(struct buf *b, const void *bytes, size_t n)
{
    if (n == 0)
        return;
    memcpy(buf_room(b, n), bytes, n);
    b->n += n;
}

void buf_str(struct buf *b, struct str s)
{
    buf_put(b, s.p, s.n);
}

void buf_cstr(struct buf *b, const char *s)
{
    if (s)
        buf_put(b, s, strlen(s));
}

void buf_char(struct buf *b, char c)
{
    *buf_room(b, 1) = c;
    b->n++;
}

void buf_u64(struct buf *b, uint64_t n)
{
    size_t digits = 1;
    for (uint64_t rest = n; rest >= 10; rest /= 10)
        digits++;
    char *at = buf_room(b, digits);
    for (size_t i = digits; i-- > 0; n /= 10)
        at[i] = (char)('0' + n % 10);
    b->n += digits;
}

void buf_vprintf(struct buf *b, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    char *at = buf_room(b, 1);
    size_t room = b->cap - b->n;
    int n = vsnprintf(at, room, format, args);
    assert(n >= 0);
    if ((size_t)n >= room) {
        at = buf_room(b, (size_t)n + 1);
        vsnprintf(at, (size_t)n + 1, format, again);
    }
    va_end(again);
    b->n += (size_t)n;
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buf_vprintf(b, format, args);
    va_end(args);
}

void buf_consume(struct buf *b, size_t n)
{
    assert(n <= b->n);
    b->n -= n;
    if (b->n > 0 && n > 0)
        memmove(b->p, b->p + n, b->n);
}

void buf_clear(struct buf *b)
{
    b->n = 0;
}

void buf_free(struct buf *b)
{
    free(b->p);
    *b = (struct buf){0};
}

struct str buf_view(const struct buf *b)
{
    return (struct str){b->p ? b->p : "", b->n};
}

char *buf_steal(struct buf *b)
{
    *buf_room(b, 1) = '\0';
    char *p = b->p;
    *b = (struct buf){0};
    return p;
}
