/*
 * complain.h - what is wrong with the settings, in words for the administrator.
 */
#ifndef STORE_COMPLAIN_H
#define STORE_COMPLAIN_H

#include <stdarg.h>

#include "postern/base/str.h"

/* Makes *error (heap). Always false. */
static inline bool complain(char **error, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline bool complain(char **error, const char *format, ...)
{
    struct buf text = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    *error = buf_steal(&text);
    return false;
}

#endif
