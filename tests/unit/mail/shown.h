/* shown.h - may this stand in a field that people read: no control character, nothing but ASCII or, in a message for that, UTF-8. */
#ifndef TESTS_MAIL_SHOWN_H
#define TESTS_MAIL_SHOWN_H

#include "postern/base/codec.h"

static inline bool is_shown(struct str s, bool utf8)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f || (!utf8 && (unsigned char)s.p[i] > 0x7f))
            return false;
    return utf8_valid(s);
}

#endif
