/*
 * dnsbl_listed.c - dnsbl.listed, dnswl.listed: the names of all declared lists that list the client.
 *
 * A list whose own fact is there already (also by --assume) speaks through it; the others are asked, in the same view, so that each question
 * goes out once however many facts are made of it. Lists that failed, or have not answered at the deadline, are passed over; only when no list
 * could say anything is the fact an error.
 */
#include "internal.h"

/* *listed is set when the list says anything. */
static enum list_state ask(struct scope *s, const struct declaration *list, bool *listed)
{
    const struct value *v = facts_get(&s->facts, list->fact);
    struct list_says says;

    *listed = false;
    if (v->state == FACT_ERROR)
        return LIST_ERROR;
    if (v->state != FACT_UNKNOWN) {
        *listed = v->state == FACT_KNOWN && v->v.addrs.count > 0;
        return LIST_KNOWN;
    }
    enum list_state state = list_ask(s, list, &says);
    *listed = state == LIST_KNOWN && says.count > 0;
    return state;
}

/* False: a list has not answered yet, and there is still time. */
static bool gather(struct scope *s, bool late, enum declaration_kind kind, int fact)
{
    size_t declared = policy_declaration_count(s->policy), asked = 0, failed = 0, names = 0;
    struct str *list = NULL;
    bool waiting = false;

    if (facts_has(&s->facts, fact))
        return true;
    for (size_t i = 0; i < declared; i++) {
        const struct declaration *d = policy_declaration(s->policy, i);
        bool listed;
        if (d->kind != kind)
            continue;
        enum list_state state = ask(s, d, &listed);
        asked++;
        waiting |= state == LIST_NOT_YET;
        failed += state != LIST_KNOWN;
        if (!listed)
            continue;
        if (!list)
            list = arena_alloc(&s->arena, declared * sizeof *list);
        list[names++] = d->name;
    }
    if (waiting && !late)
        return false;
    if (asked && failed == asked)
        facts_set_error(&s->facts, fact, STR("no list could be asked"));
    else
        facts_set_names(&s->facts, fact, list, names);
    return true;
}

enum check_result check_dnsbl_listed(struct scope *s, const struct check_run *run)
{
    bool late = check_is_late(s, run);
    bool block = gather(s, late, DECLARE_DNSBL, FACT_DNSBL_LISTED), allow = gather(s, late, DECLARE_DNSWL, FACT_DNSWL_LISTED);

    return block && allow ? CHECK_DONE : CHECK_NOT_YET;
}
