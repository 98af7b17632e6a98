/*
 * recipient.c - rcpt.address, rcpt.local, rcpt.domain: the forward-path of RCPT.
 */
#include "internal.h"

enum check_result check_recipient(struct scope *s, const struct check_run *run)
{
    const struct path *p = &s->subject->recipient;

    (void)run;
    facts_set_text(&s->facts, FACT_RCPT_ADDRESS, p->whole);
    facts_set_text(&s->facts, FACT_RCPT_LOCAL, p->local_plain);
    if (p->domain.n == 0) /* <postmaster>, RFC 5321 4.5.1 */
        facts_set_absent(&s->facts, FACT_RCPT_DOMAIN);
    else
        facts_set_text(&s->facts, FACT_RCPT_DOMAIN, arena_lower(&s->arena, p->domain));
    return CHECK_DONE;
}
