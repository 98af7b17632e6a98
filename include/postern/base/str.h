/*
 * str.h - slices of bytes, and a growable buffer.
 *
 * A `struct str` is a view: pointer and length, never NUL-terminated by contract, may hold any byte. It owns nothing; whoever
 * made it says how long it lives. A `struct buf` owns its memory. Out of memory aborts (Postern owns no mail, see README).
 */
#ifndef POSTERN_BASE_STR_H
#define POSTERN_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_NONE ((struct str){NULL, 0})
/* For printf("%.*s", STR_ARG(s)); only for text that was checked to be printable. */
#define STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""

static inline struct str str_of(const char *nul_terminated) /* NULL gives STR_NONE */
{
    return nul_terminated ? (struct str){nul_terminated, strlen(nul_terminated)} : STR_NONE;
}

bool str_eq(struct str a, struct str b);
bool str_eq_nocase(struct str a, struct str b); /* ASCII case only, as RFC 5321 compares domains and verbs */
bool str_starts(struct str s, struct str prefix);
bool str_starts_nocase(struct str s, struct str prefix);
bool str_ends_nocase(struct str s, struct str suffix);
int str_cmp(struct str a, struct str b); /* bytewise, shorter first on a tie */
struct str str_trim(struct str s);       /* without leading and trailing space and tab */
static inline struct str str_sub(struct str s, size_t from, size_t to) /* [from, to), clipped to s */
{
    size_t end = to < s.n ? to : s.n, start = from < end ? from : end;

    return s.p ? (struct str){s.p + start, end - start} : STR_NONE;
}

/* First index of byte c at or after from; s.n when there is none. */
size_t str_find(struct str s, char c, size_t from);
/* Splits off the text before the first `c`; *rest becomes what follows it. False when *rest was already used up (p NULL). */
bool str_split(struct str *rest, char c, struct str *part);
/* A decimal number, digits only, whole slice, at most max. False otherwise. */
bool str_to_u64(struct str s, uint64_t max, uint64_t *out);
static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool ascii_printable(struct str s); /* every byte is 0x20..0x7e */
/* Does `s` match a glob of `*` (any run) and `?` (one byte), ASCII case ignored? Linear-time (no recursion). */
bool str_glob(struct str pattern, struct str s);
bool str_stars(struct str pattern, struct str s); /* the same with `*` alone special and with regard to case */
/* "Did you mean": the candidate with the smallest edit distance to `word`, when it is near enough to be a slip; else STR_NONE. */
struct str str_suggest(struct str word, const struct str *candidates, size_t count);

/* A growable buffer. {0} is empty and holds no memory. */
struct buf {
    char *p;
    size_t n;   /* bytes in use */
    size_t cap; /* bytes allocated */
};

void buf_put(struct buf *b, const void *bytes, size_t n);
void buf_str(struct buf *b, struct str s);
void buf_cstr(struct buf *b, const char *s);
void buf_char(struct buf *b, char c);
void buf_u64(struct buf *b, uint64_t n); /* in decimal */
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
/* Room for at least n more bytes; returns where they go. The caller adds what it wrote to b->n. */
char *buf_room(struct buf *b, size_t n);
void buf_consume(struct buf *b, size_t n); /* drop n bytes from the front */
void buf_clear(struct buf *b);             /* n = 0, memory kept */
void buf_free(struct buf *b);              /* memory given back, b is {0} again */
struct str buf_view(const struct buf *b);  /* valid until the next change of b */
char *buf_steal(struct buf *b);            /* a NUL-terminated heap string of the contents; b is {0} again */

/* malloc that aborts on failure. */
void *xmalloc(size_t n);
void *xcalloc(size_t count, size_t n);
void *xrealloc(void *p, size_t n);
char *xstrndup(const char *p, size_t n);

#endif
