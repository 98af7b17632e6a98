/*
 * store.c - what all stores have in common: records that nobody waits for, and saying that a store is failing without flooding
 * the log.
 */
#include "postern/base/counters.h"
#include "postern/base/log.h"
#include "postern/store/store.h"

enum { QUIET_MS = 60 * 1000 };

void store_failed(struct store *s, const char *error)
{
    struct log_line line;

    count(COUNTER_STORE_ERRORS);
    if (loop_now(s->loop) < s->quiet_until_ms)
        return;
    s->quiet_until_ms = loop_now(s->loop) + QUIET_MS;
    log_begin(&line, LOG_ERROR_, "store-failed");
    log_cstr(&line, "error", error);
    log_end(&line);
}

static void recorded(void *context, const struct store_result *result)
{
    if (result->error)
        store_failed(context, result->error);
}

void store_record(struct store *s, const struct store_operation *op)
{
    s->ops->start(s, op, recorded, s);
}
