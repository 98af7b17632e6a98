/*
 * marked.c - marked.NAME: has a rule marked this client, and the mark not yet expired? Marks are written by the session after its verdict.
 */
#include "internal.h"

struct str mark_key(struct arena *arena, struct str name, const struct addr *client)
{
    struct prefix network = addr_network(client, 32, 64);
    char text[PREFIX_TEXT];

    return arena_printf(arena, "%.*s\n%s", STR_ARG(name), prefix_format(&network, text));
}

enum check_result check_marked(struct scope *s, const struct check_run *run)
{
    const struct declaration *mark = policy_declaration(s->policy, run->instance);
    struct store_operation op = {.kind = STORE_MARK, .mode = STORE_PEEK, .key = mark_key(&s->arena, mark->name, scope_client(s)),
                                 .now_ms = loop_wall(s->world->loop)};
    const struct store_result *r = scope_store(s, &op);

    if (!r)
        return CHECK_NOT_YET;
    if (r->error)
        facts_set_error(&s->facts, mark->fact, str_of(r->error));
    else
        facts_set_bool(&s->facts, mark->fact, r->found);
    return CHECK_DONE;
}
