/*
 * str.c - slices of bytes: comparing, cutting, searching.
 *
 * Nothing here allocates. A slice may be STR_NONE (p NULL, n 0): no function hands a NULL pointer to mem*() then.
 */
#include "postern/base/str.h"

#include <string.h>

bool ascii_printable(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < 0x20 || s.p[i] > 0x7e)
            return false;
    }
    return true;
}

static bool same_bytes(const char *a, const char *b, size_t n)
{
    return n == 0 || memcmp(a, b, n) == 0;
}

static bool same_nocase(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (ascii_lower(a[i]) != ascii_lower(b[i]))
            return false;
    }
    return true;
}

bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && same_bytes(a.p, b.p, a.n);
}

bool str_eq_nocase(struct str a, struct str b)
{
    return a.n == b.n && same_nocase(a.p, b.p, a.n);
}

bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && same_bytes(s.p, prefix.p, prefix.n);
}

bool str_starts_nocase(struct str s, struct str prefix)
{
    return s.n >= prefix.n && same_nocase(s.p, prefix.p, prefix.n);
}

bool str_ends_nocase(struct str s, struct str suffix)
{
    if (s.n < suffix.n || suffix.n == 0)
        return suffix.n == 0;
    return same_nocase(s.p + (s.n - suffix.n), suffix.p, suffix.n);
}

int str_cmp(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n > 0 ? memcmp(a.p, b.p, n) : 0;
    if (order != 0)
        return order;
    return (a.n > b.n) - (a.n < b.n);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
    while (s.n > 0 && is_blank(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

size_t str_find(struct str s, char c, size_t from)
{
    if (from >= s.n)
        return s.n;
    const char *hit = memchr(s.p + from, c, s.n - from);
    return hit ? (size_t)(hit - s.p) : s.n;
}

bool str_split(struct str *rest, char c, struct str *part)
{
    if (!rest->p)
        return false;
    size_t at = str_find(*rest, c, 0);
    *part = (struct str){rest->p, at};
    if (at == rest->n)
        *rest = STR_NONE;
    else
        *rest = (struct str){rest->p + at + 1, rest->n - at - 1};
    return true;
}

bool str_to_u64(struct str s, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    if (v > max)
        return false;
    *out = v;
    return true;
}
