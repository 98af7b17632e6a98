/*
 * greylist.c - greylist.age, greylist.known, greylist.key: has who is asking, with this sender and recipient, been here before (RFC 6647)?
 *
 * One operation of the store: a touch for the applied policy of a live session, which begins the row when there is none; a peek for all else.
 * Both see the same: a row that this very operation began was not there before, so its age is absent. Known is who passed with the same
 * sender and recipient, or often enough with others of the sender's domain, or is allowed; whom the administrator denied is neither known
 * nor old, ever. A greylist that is asked wants SPF: a pool that sends from many addresses is known by its domain (greylist_key.c). So it
 * waits for SPF, and for the host name when SPF does not pass.
 *
 * Postmaster and abuse are never delayed, whatever a policy says (RFC 5321 4.5.1, RFC 2142): known from the start, they have no row, so
 * that mail to them neither waits nor earns anybody a pass.
 *
 * A pass of one who is known is worth a write only when his life has to be made longer. It is given a 36th more than it is said to be (a day, by
 * the defaults), so that one write serves a day's mail and nobody is forgotten before his time.
 */
#include "internal.h"

enum { LIFE_MORE = 36 };

static void fail(struct scope *s, struct str why)
{
    facts_set_error(&s->facts, FACT_GREYLIST_AGE, why);
    facts_set_error(&s->facts, FACT_GREYLIST_KNOWN, why);
}

static bool is_always_heard(struct str local)
{
    return str_eq_nocase(local, STR("postmaster")) || str_eq_nocase(local, STR("abuse"));
}

enum check_result check_greylist(struct scope *s, const struct check_run *run)
{
    const struct settings *set = s->world->settings;
    uint64_t now = loop_wall(s->world->loop);
    struct store_operation op = {.kind = STORE_GREYLIST, .mode = s->touch ? STORE_TOUCH : STORE_PEEK, .now_ms = now, .ttl_ms = set->greylist_window,
                                 .life_ms = set->greylist_life, .passes_known = set->greylist_passes};
    struct str domains[STORE_RULED_DOMAINS_MAX];

    (void)run;
    if (is_always_heard(s->subject->recipient.local_plain)) {
        facts_set_absent(&s->facts, FACT_GREYLIST_AGE);
        facts_set_bool(&s->facts, FACT_GREYLIST_KNOWN, true);
        facts_set_absent(&s->facts, FACT_GREYLIST_KEY);
        return CHECK_DONE;
    }
    const struct greylist_keys *keys = greylist_keys_of(s);
    if (!keys)
        return CHECK_NOT_YET;
    op.key = keys->row;
    op.client = keys->client;
    greylist_ruled(s, &op, domains);
    const struct store_result *r = scope_store(s, &op);
    if (!r)
        return CHECK_NOT_YET;
    facts_set_text(&s->facts, FACT_GREYLIST_KEY, keys->row);
    s->greylist_settled = r->settled;
    if (r->error) {
        fail(s, str_of(r->error));
        return CHECK_DONE;
    }
    if (r->found && r->ruling != STORE_DENIED)
        facts_set_number(&s->facts, FACT_GREYLIST_AGE, now > r->first_seen_ms ? (int64_t)(now - r->first_seen_ms) : 0);
    else
        facts_set_absent(&s->facts, FACT_GREYLIST_AGE);
    facts_set_bool(&s->facts, FACT_GREYLIST_KNOWN, r->ruling == STORE_ALLOWED || (r->known && r->ruling != STORE_DENIED));
    return CHECK_DONE;
}

bool greylist_pass(struct scope *recipient, struct store_operation *op)
{
    const struct settings *set = recipient->world->settings;

    if (!recipient->touch) /* a monitor rule looked: what it sees earns nobody anything */
        return false;
    if (recipient->greylist_settled || scope_of(recipient, STAGE_MAIL)->subject->sender.null ||
        facts_get(&recipient->facts, FACT_GREYLIST_KEY)->state != FACT_KNOWN)
        return false;
    const struct greylist_keys *keys = greylist_keys_of(recipient);
    if (!keys)
        return false;
    *op = (struct store_operation){.kind = STORE_PASSED,
                                   .mode = STORE_TOUCH,
                                   .key = keys->row,
                                   .client = keys->client,
                                   .passes_known = set->greylist_passes,
                                   .life_ms = set->greylist_life,
                                   .now_ms = loop_wall(recipient->world->loop),
                                   .ttl_ms = set->greylist_life + set->greylist_life / LIFE_MORE};
    return true;
}
