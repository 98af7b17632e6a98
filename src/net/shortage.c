/*
 * shortage.c - when there is nothing to make a socket of.
 */
#include "postern/net/shortage.h"

#include <errno.h>
#include <string.h>

#include "loop_internal.h"
#include "postern/base/counters.h"
#include "postern/base/log.h"

enum { QUIET_MS = 60 * 1000 };

bool shortage_is(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM || error == EADDRNOTAVAIL;
}

void shortage_note(struct loop *l, const char *what, int error)
{
    count(COUNTER_SHORTAGES);
    if (loop_now(l) < l->shortage_quiet_until_ms)
        return;
    l->shortage_quiet_until_ms = loop_now(l) + QUIET_MS;
    log_note(LOG_WARN_, "shortage", "%s: %s", what, strerrordesc_np(error));
}
