/*
 * content.c - msg.size, msg.received, msg.longest-line, manners.bare-newline: what was counted while the message came in.
 */
#include "internal.h"
#include "postern/checks/content.h"

enum check_result check_content(struct scope *s, const struct check_run *run)
{
    const struct content *c = &s->subject->content;

    (void)run;
    if (!content_has_ended(s))
        return CHECK_NOT_YET;
    facts_set_number(&s->facts, FACT_MSG_SIZE, (int64_t)c->size);
    facts_set_number(&s->facts, FACT_MSG_RECEIVED, c->received);
    facts_set_number(&s->facts, FACT_MSG_LONGEST_LINE, (int64_t)c->longest_line);
    facts_set_bool(&s->facts, FACT_BARE_NEWLINE, c->bare_newline);
    return CHECK_DONE;
}
