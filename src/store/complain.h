/*
 * complain.h - what is wrong with the settings, in words for the administrator.
 */
#ifndef STORE_COMPLAIN_H
#define STORE_COMPLAIN_H

#include <stdarg.h>

#include "postern/base/source.h"

/* Makes *error (heap); a password in a URL is not shown. Always false. */
static inline bool complain(char **error, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline bool complain(char **error, const char *format, ...)
{
    struct buf text = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    secret_hide_users(text.p, text.n);
    *error = buf_steal(&text);
    return false;
}

#endif
