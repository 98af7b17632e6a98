/*
 * str_match.c - inexact comparison: globs, and the candidate that a mistyped word probably meant.
 */
#include "postern/base/str.h"

#include <string.h>

static bool same(char pattern, char c, bool exact)
{
    return exact ? pattern == c : pattern == '?' || ascii_lower(pattern) == ascii_lower(c);
}

/* One `*` at a time is remembered: when the text behind it does not match, the latest star takes one byte more. Earlier stars
 * need no second look, because whatever they could give up the latest star can take. So: no recursion, at most |pattern| * |s|
 * steps. */
static bool match(struct str pattern, struct str s, bool exact)
{
    size_t p = 0, i = 0;
    size_t star = SIZE_MAX, resume = 0;
    while (i < s.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            resume = i;
        } else if (p < pattern.n && same(pattern.p[p], s.p[i], exact)) {
            p++;
            i++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            i = ++resume;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

bool str_glob(struct str pattern, struct str s)
{
    return match(pattern, s, false);
}

bool str_stars(struct str pattern, struct str s)
{
    return match(pattern, s, true);
}

enum { WORD_MAX = 64 }; /* longer words get no suggestion */

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Edit distance with swaps of neighbours (optimal string alignment), ASCII case ignored. Both at most WORD_MAX bytes. */
static unsigned distance(struct str a, struct str b)
{
    unsigned rows[3][WORD_MAX + 1];
    unsigned *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b.n; j++)
        above[j] = (unsigned)j;
    memset(before, 0, sizeof rows[0]);
    for (size_t i = 1; i <= a.n; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.n; j++) {
            char x = ascii_lower(a.p[i - 1]), y = ascii_lower(b.p[j - 1]);
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == ascii_lower(b.p[j - 2]) && ascii_lower(a.p[i - 2]) == y)
                row[j] = least(row[j], before[j - 2] + 1);
        }
        unsigned *spare = before;
        before = above;
        above = row;
        row = spare;
    }
    return above[b.n];
}

struct str str_suggest(struct str word, const struct str *candidates, size_t count)
{
    struct str best = STR_NONE;
    if (word.n == 0 || word.n > WORD_MAX)
        return best;
    unsigned limit = word.n <= 4 ? 1 : word.n <= 8 ? 2 : 3;
    for (size_t i = 0; i < count; i++) {
        struct str candidate = candidates[i];
        if (candidate.n == 0 || candidate.n > WORD_MAX)
            continue;
        size_t apart = candidate.n > word.n ? candidate.n - word.n : word.n - candidate.n;
        if (apart > limit)
            continue;
        unsigned d = distance(word, candidate);
        if (d > limit || d >= word.n) /* nothing of the word left: no slip */
            continue;
        best = candidate;
        if (d == 0)
            return best;
        limit = d - 1; /* only a nearer one replaces it */
    }
    return best;
}
