/*
 * scope.c - one stage's evidence: facts, views, what stands before the checks. Counted references; a scope keeps its parent and its policy.
 *
 * The budget of DNS questions is the session's, and a record may outlive the session. So the views count on a number in the outermost scope,
 * which lives as long as any view, and each question carries that number from and to the session's while there is one.
 */
#include <assert.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "content_taps.h"
#include "internal.h"
#include "rate_turns.h"

static struct path path_copy(struct arena *arena, const struct path *p)
{
    struct path copy = *p;

    copy.whole = arena_str(arena, p->whole);
    copy.local = arena_str(arena, p->local);
    copy.local_plain = arena_str(arena, p->local_plain);
    copy.domain = arena_str(arena, p->domain);
    return copy;
}

/* Of each stage: the octets of its part of a subject, and the room behind its scope: what a client that has said EHLO and waits needs for those
 * that it holds, most of what a message needs for the others. */
#define UP_TO(member) (offsetof(struct subject, member) + sizeof ((struct subject *)0)->member)
static const struct { uint16_t subject, room; } sizes[STAGE_COUNT] = {
    [STAGE_CONNECT] = {UP_TO(listener), 288},
    [STAGE_HELO] = {UP_TO(helo), 96},
    [STAGE_MAIL] = {UP_TO(sender), 640},
    [STAGE_RCPT] = {UP_TO(recipient), 640},
    [STAGE_DATA] = {UP_TO(content), 368},
};

static struct subject *subject_copy(struct arena *arena, enum stage stage, const struct subject *subject)
{
    struct subject *copy = arena_alloc(arena, sizes[stage].subject);

    memcpy(copy, subject, sizes[stage].subject);
    switch (stage) {
    case STAGE_CONNECT: copy->listener = arena_str(arena, subject->listener); break;
    case STAGE_HELO: copy->helo = arena_str(arena, subject->helo); break;
    case STAGE_MAIL: copy->sender = path_copy(arena, &subject->sender); break;
    case STAGE_RCPT: copy->recipient = path_copy(arena, &subject->recipient); break;
    case STAGE_DATA:
    case STAGE_COUNT: break;
    }
    return copy;
}

struct scope *scope_new(const struct evidence_world *world, struct policy *policy, enum stage stage, struct scope *parent,
                        const struct subject *subject, struct task *owner, unsigned *dns_budget, uint64_t start_ms)
{
    struct scope *s = xmalloc(sizeof *s + sizes[stage].room);

    assert(parent ? parent->policy == policy && parent->stage < stage : stage == STAGE_CONNECT);
    *s = (struct scope){.references = 1, .stage = (uint8_t)stage, .parent = parent ? scope_ref(parent) : NULL, .world = world,
                        .policy = policy_ref(policy), .owner = owner, .dns_budget = dns_budget};
    arena_lend(&s->arena, s->room, sizes[stage].room);
    if (!parent)
        s->budget = dns_budget ? *dns_budget : UINT_MAX;
    facts_init(&s->facts, policy_schema(policy), stage, parent ? &parent->facts : NULL, &s->arena, loop_now_pointer(world->loop), start_ms);
    s->subject = subject_copy(&s->arena, stage, subject);
    return s;
}

struct scope *scope_shadow_new(struct scope *applied, struct policy *shadow)
{
    struct scope *parent = applied->parent ? applied->parent->shadow : NULL;
    struct scope *s = xcalloc(1, sizeof *s);

    assert(!applied->shadow && !applied->beside && (parent ? parent->policy == shadow : applied->stage == STAGE_CONNECT));
    *s = (struct scope){.references = 1, .stage = applied->stage, .parent = parent ? scope_ref(parent) : NULL, .world = applied->world,
                        .policy = policy_ref(shadow), .owner = applied->owner, .subject = applied->subject};
    s->budget = (unsigned)applied->world->settings->dns_questions;
    facts_init(&s->facts, policy_schema(shadow), (enum stage)s->stage, parent ? &parent->facts : NULL, &s->arena,
               loop_now_pointer(s->world->loop), applied->facts.start_ms);
    s->facts.beside = &applied->facts;
    s->beside = arena_zalloc(&s->arena, sizeof *s->beside);
    s->beside->applied = applied;
    applied->shadow = s;
    return s;
}

struct scope *scope_ref(struct scope *s)
{
    s->references++;
    return s;
}

void scope_unref(struct scope **scope)
{
    struct scope *s = *scope;

    *scope = NULL;
    while (s && --s->references == 0) {
        struct scope *parent = s->parent;
        if (s->shadow) /* reads this one's facts: it goes first */
            scope_unref(&s->shadow);
        if (s->beside)
            scope_unref(&s->beside->earlier);
        content_taps_free(s);
        rate_turns_free(s);
        dns_view_free(&s->dns);
        store_view_free(&s->store);
        facts_clear(&s->facts);
        arena_clear(&s->arena);
        policy_unref(&s->policy);
        free(s);
        s = parent;
    }
}

void scope_own(struct scope *s, struct task *owner)
{
    s->owner = owner;
    s->dns_budget = NULL;
    if (s->dns)
        dns_view_set_owner(s->dns, owner);
    if (s->store)
        store_view_set_owner(s->store, owner);
    if (s->shadow)
        scope_own(s->shadow, owner);
    if (s->beside && s->beside->earlier)
        scope_own(s->beside->earlier, owner);
}

void scope_set_owner(struct scope *s, struct task *owner)
{
    for (; s; s = s->parent)
        scope_own(s, owner);
}

struct note {
    struct note *next;
    int fact;
    struct str why;
};

void scope_note(struct scope *s, int fact, struct str why)
{
    struct note *n;

    if (!why.n)
        return;
    n = arena_alloc(&s->arena, sizeof *n);
    *n = (struct note){.next = s->notes, .fact = fact, .why = arena_str(&s->arena, why)};
    s->notes = n;
}

struct str scope_note_of(const struct scope *s, int fact)
{
    for (; s; s = s->parent)
        for (const struct note *n = s->notes; n; n = n->next)
            if (n->fact == fact)
                return n->why;
    return STR_NONE;
}

struct scope *scope_of(struct scope *s, enum stage stage)
{
    while (s && s->stage != stage)
        s = s->parent;
    return s;
}

const struct dns_answer *scope_dns(struct scope *s, struct str name, unsigned type)
{
    struct scope *outermost = s;

    while (outermost->parent)
        outermost = outermost->parent;
    if (!s->dns)
        s->dns = dns_view_new(s->world->resolver, s->owner, &outermost->budget);
    if (s->dns_budget)
        outermost->budget = *s->dns_budget;
    const struct dns_answer *a = dns_view_get(s->dns, name, type);
    if (s->dns_budget)
        *s->dns_budget = outermost->budget;
    return a;
}

void scope_store_late(struct scope *s)
{
    if (s->store)
        store_view_late(s->store);
}

const struct store_result *scope_store(struct scope *s, const struct store_operation *op)
{
    static const struct store_result none = {.error = "no store"};

    if (!s->world->store)
        return &none;
    if (!s->store)
        s->store = store_view_new(s->world->store, s->owner);
    return store_view_get(s->store, op);
}

const struct addr *scope_client(struct scope *s)
{
    struct scope *connection = scope_of(s, STAGE_CONNECT);

    assert(connection);
    return &connection->subject->client.addr;
}

struct str dns_error_text(struct scope *s, const struct dns_answer *a, unsigned type)
{
    return arena_printf(&s->arena, "DNS %s (%s)", dns_status_names[a->status], dns_type_name(type));
}

bool answer_has_addr(const struct dns_answer *a, const struct addr *wanted)
{
    for (size_t i = 0; a->status == DNS_OK && i < a->count; i++)
        if (addr_eq(&a->records[i].addr, wanted))
            return true;
    return false;
}
