/*
 * octets.h - classes of single octets, as the grammars of this room name them. For this room only.
 */
#ifndef POSTERN_SMTP_OCTETS_H
#define POSTERN_SMTP_OCTETS_H

#include "postern/base/str.h"

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool is_let_dig(char c) /* Let-dig (RFC 5321 4.1.2) */
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static inline bool is_8bit(char c)
{
    return (unsigned char)c > 127;
}

static inline bool has_8bit(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (is_8bit(s.p[i]))
            return true;
    }
    return false;
}

#endif
