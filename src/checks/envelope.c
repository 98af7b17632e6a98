/*
 * envelope.c - mail.from, mail.local, mail.domain, mail.null: the reverse-path of MAIL.
 */
#include "internal.h"

enum check_result check_envelope(struct scope *s, const struct check_run *run)
{
    const struct path *p = &s->subject->sender;

    (void)run;
    facts_set_bool(&s->facts, FACT_MAIL_NULL, p->null);
    facts_set_text(&s->facts, FACT_MAIL_FROM, p->null ? STR("") : p->whole);
    if (p->null)
        facts_set_absent(&s->facts, FACT_MAIL_LOCAL);
    else
        facts_set_text(&s->facts, FACT_MAIL_LOCAL, p->local_plain);
    if (p->null || p->domain.n == 0)
        facts_set_absent(&s->facts, FACT_MAIL_DOMAIN);
    else
        facts_set_text(&s->facts, FACT_MAIL_DOMAIN, arena_lower(&s->arena, p->domain));
    return CHECK_DONE;
}
