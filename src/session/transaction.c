/*
 * transaction.c - one mail transaction, from MAIL to its end. It holds references on all the scopes that its record needs, so that the record
 * can outlive the session.
 */
#include <stdio.h>
#include <stdlib.h>

#include "postern/checks/content.h"
#include "postern/decide/shadow.h"
#include "session.h"

struct transaction *transaction_new(struct session *s)
{
    struct transaction *t = xcalloc(1, sizeof *t);
    t->proxy = s->proxy;
    t->session = s;
    snprintf(t->id, sizeof t->id, "%s.%u", s->id, ++s->messages);
    t->start_wall_ms = loop_wall(session_loop(s));
    t->policy = policy_ref(s->policy);
    t->client = s->peer;
    t->esmtp = s->esmtp;
    t->tls = s->tls;
    t->exempt = s->exempt;
    t->scopes[STAGE_CONNECT] = scope_ref(s->connect);
    if (s->helo)
        t->scopes[STAGE_HELO] = scope_ref(s->helo);
    if (s->sticky_helo)
        t->sticky = scope_ref(s->sticky_helo);
    t->last = &t->recipients;
    s->t = t;
    s->had_transaction = true;
    return t;
}

void transaction_end(struct session *s, const char *end)
{
    struct transaction *t = s->t;
    if (!t)
        return;
    if (s->connect_verdict)
        t->verdicts[STAGE_CONNECT] = *s->connect_verdict;
    if (s->helo_verdict)
        t->verdicts[STAGE_HELO] = *s->helo_verdict;
    t->end = end;
    t->end_wall_ms = loop_wall(session_loop(s));
    if (t->scopes[STAGE_DATA] && !content_has_ended(t->scopes[STAGE_DATA])) { /* cut off: there will be no more of it */
        struct content numbers = {.size = t->content->data.size,
                                  .longest_line = t->content->data.longest_line,
                                  .received = t->content->header.received,
                                  .bare_newline = t->content->data.bare_cr + t->content->data.bare_lf > 0};
        content_ended(t->scopes[STAGE_DATA], &numbers);
    }
    s->t = NULL;
    s->hold_until = 0;
    closing_take(t);
}

void transaction_free(struct transaction *t)
{
    if (t->shadow)
        shadow_clear(t->shadow);
    for (struct recipient *r = t->recipients; r; r = r->next)
        scope_unref(&r->scope);
    for (int i = STAGE_COUNT - 1; i >= 0; i--)
        scope_unref(&t->scopes[i]);
    scope_unref(&t->sticky);
    content_free(&t->content);
    policy_unref(&t->policy);
    arena_clear(&t->arena);
    free(t);
}
