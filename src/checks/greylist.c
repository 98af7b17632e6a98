/*
 * greylist.c - greylist.age, greylist.known: has this network, sender and recipient been here before (RFC 6647 section 5)?
 *
 * One operation of the store: a touch for the applied policy of a live session, which begins the row when there is none; a peek for all else.
 * Both see the same: a row that this very operation began was not there before, so its age is absent.
 */
#include "internal.h"

/* FNV-1a from a given start. Only keeps long keys apart that share their beginning; a collision lets one's own mail pass earlier. */
static uint64_t fold(struct str s, uint64_t h)
{
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (uint8_t)s.p[i]) * 0x100000001b3;
    return h;
}

struct str greylist_key(struct arena *arena, const struct addr *client, struct str sender, struct str recipient)
{
    struct prefix network = addr_network(client, 24, 64);
    char text[PREFIX_TEXT];
    struct buf key = {0};

    buf_printf(&key, "%s\n", prefix_format(&network, text));
    buf_str(&key, sender);
    buf_char(&key, '\n');
    buf_str(&key, recipient);
    struct str lower = arena_lower(arena, buf_view(&key));
    buf_free(&key);
    if (lower.n <= STORE_KEY_MAX)
        return lower;
    uint64_t a = fold(lower, 0xcbf29ce484222325), b = fold(lower, a ^ 0x9e3779b97f4a7c15);
    return arena_printf(arena, "%.*s#%016llx%016llx", STORE_KEY_MAX - 33, lower.p, (unsigned long long)a, (unsigned long long)b);
}

enum check_result check_greylist(struct scope *s, const struct check_run *run)
{
    const struct path *sender = &scope_of(s, STAGE_MAIL)->subject->sender;
    uint64_t now = loop_wall(s->world->loop);
    struct store_operation op = {.kind = STORE_GREYLIST, .mode = s->touch ? STORE_TOUCH : STORE_PEEK, .now_ms = now,
                                 .ttl_ms = GREYLIST_FIRST_TTL_MS};

    (void)run;
    op.key = greylist_key(&s->arena, scope_client(s), sender->whole, s->subject->recipient.whole);
    const struct store_result *r = scope_store(s, &op);
    if (!r)
        return CHECK_NOT_YET;
    if (r->error) {
        facts_set_error(&s->facts, FACT_GREYLIST_AGE, str_of(r->error));
        facts_set_error(&s->facts, FACT_GREYLIST_KNOWN, str_of(r->error));
        return CHECK_DONE;
    }
    if (r->found)
        facts_set_number(&s->facts, FACT_GREYLIST_AGE, now > r->first_seen_ms ? (int64_t)(now - r->first_seen_ms) : 0);
    else
        facts_set_absent(&s->facts, FACT_GREYLIST_AGE);
    facts_set_bool(&s->facts, FACT_GREYLIST_KNOWN, r->found && r->known);
    return CHECK_DONE;
}
