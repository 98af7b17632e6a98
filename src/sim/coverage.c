/*
 * coverage.c - see coverage.h.
 */
#include "coverage.h"

#include <string.h>

/* Events that cannot happen in a simulated world: each with its reason, and where it is tested instead. */
static const struct { enum counter id; const char *reason; } elsewhere[] = {
    {COUNTER_JOURNAL_RECORDS, "a journal counts what it has written (tests/unit/ops/test_journal.c)"},
    {COUNTER_JOURNAL_ERRORS, "a journal is a file; a transcript's is kept in memory (tests/unit/ops/test_journal.c)"},
};

void coverage_begin(void)
{
    memset(reply_uses, 0, sizeof reply_uses);
    memset(verb_uses, 0, sizeof verb_uses);
}

static void add(uint64_t *to, const uint64_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += from[i];
}

void coverage_add(struct coverage *c)
{
    add(c->replies, reply_uses, REPLY_COUNT);
    add(c->verbs, verb_uses, VERB_COUNT);
    add(c->counters, counters, COUNTER_COUNT);
}

static const char *where_instead(size_t counter)
{
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        if ((size_t)elsewhere[i].id == counter)
            return elsewhere[i].reason;
    return NULL;
}

size_t coverage_report(const struct coverage *c, FILE *out)
{
    size_t missing = 0;
    for (size_t i = 0; i < REPLY_COUNT; i++)
        if (!c->replies[i] && ++missing)
            fprintf(out, "never said: reply %s\n", reply_name((enum reply_id)i));
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (!c->verbs[i] && ++missing)
            fprintf(out, "never used: verb %s\n", verb_names[i]);
    for (size_t i = 0; i < COUNTER_COUNT; i++)
        if (!c->counters[i] && !where_instead(i) && ++missing)
            fprintf(out, "never happened: counter %s\n", counter_names[i]);
    return missing;
}
