/*
 * history.c - history.passed, history.refused, history.first: how this client has fared here. The session writes it after its verdict, and only
 * while the policy reads it: who does not ask pays nothing.
 */
#include "internal.h"

struct str history_key(struct arena *arena, const struct addr *client)
{
    struct prefix network = addr_network(client, 32, 64);
    char text[PREFIX_TEXT];

    return arena_str(arena, str_of(prefix_format(&network, text)));
}

enum check_result check_history(struct scope *s, const struct check_run *run)
{
    uint64_t now = loop_wall(s->world->loop);
    struct store_operation op = {.kind = STORE_HISTORY, .mode = STORE_PEEK, .key = history_key(&s->arena, scope_client(s)), .now_ms = now};
    const struct store_result *r = scope_store(s, &op);

    (void)run;
    if (!r)
        return CHECK_NOT_YET;
    if (r->error) {
        facts_set_error(&s->facts, FACT_HISTORY_PASSED, str_of(r->error));
        facts_set_error(&s->facts, FACT_HISTORY_REFUSED, str_of(r->error));
        facts_set_error(&s->facts, FACT_HISTORY_FIRST, str_of(r->error));
        return CHECK_DONE;
    }
    facts_set_number(&s->facts, FACT_HISTORY_PASSED, (int64_t)r->row.passed);
    facts_set_number(&s->facts, FACT_HISTORY_REFUSED, (int64_t)r->row.refused);
    if (r->found)
        facts_set_number(&s->facts, FACT_HISTORY_FIRST, now > r->row.first_ms ? (int64_t)(now - r->row.first_ms) : 0);
    else
        facts_set_absent(&s->facts, FACT_HISTORY_FIRST);
    return CHECK_DONE;
}
