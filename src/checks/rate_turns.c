/*
 * rate_turns.c - the turns of one scope: counts and looks that wait for one of its facts, a ring in the order of events, the last before the head.
 *
 * Counts of one rate with no look between them are one turn, so a ring is no longer than what may look times the rates there are. The scope owns
 * its ring; a look is also in the list of the scope that looks, which may die first.
 */
#include <stdlib.h>

#include "internal.h"
#include "rate_turns.h"

struct rate_turn {
    struct rate_turn *next, *before;   /* ring */
    struct rate_turn *next_look;       /* of the same reader */
    struct scope *home, *reader;       /* whose ring; who looks, NULL: it is counted */
    const struct declaration *rate;    /* of the policy that both scopes hold */
    uint64_t amount;
};

static struct rate_turn *append(struct scope *home, struct scope *reader, const struct declaration *rate, uint64_t amount)
{
    struct rate_turn *t = xmalloc(sizeof *t);

    *t = (struct rate_turn){.next = t, .before = t, .home = home, .reader = reader, .rate = rate, .amount = amount};
    if (home->turns) {
        t->next = home->turns;
        t->before = home->turns->before;
        t->before->next = t->next->before = t;
    } else {
        home->turns = t;
    }
    return t;
}

/* The count of this rate among those that end with t, no look between; NULL: there is none. */
static struct rate_turn *count_up_to(struct rate_turn *t, const struct declaration *rate)
{
    for (; !t->reader; t = t->before) {
        if (t->rate == rate)
            return t;
        if (t == t->home->turns)
            break;
    }
    return NULL;
}

static void leave_reader(struct rate_turn *t)
{
    struct rate_turn **place = &t->reader->looks;

    while (*place != t)
        place = &(*place)->next_look;
    *place = t->next_look;
}

static void drop(struct rate_turn *t)
{
    if (t->reader)
        leave_reader(t);
    if (t->home->turns == t)
        t->home->turns = t->next == t ? NULL : t->next;
    t->next->before = t->before;
    t->before->next = t->next;
    free(t);
}

/* Counts that a look had parted are one again. */
static void close_gap(struct scope *home, struct rate_turn *next)
{
    while (home->turns && next != home->turns && !next->reader) {
        struct rate_turn *t = next, *same = count_up_to(t->before, t->rate);
        next = t->next;
        if (same) {
            same->amount += t->amount;
            drop(t);
        }
    }
}

void rate_turn_count(struct scope *s, const struct declaration *rate, uint64_t amount)
{
    struct scope *home = scope_of(s, schema_fact(s->facts.schema, rate->key)->stage);

    if (!home)
        return;
    struct rate_turn *same = home->turns ? count_up_to(home->turns->before, rate) : NULL;
    if (same)
        same->amount += amount;
    else
        append(home, NULL, rate, amount);
}

void rate_turn_look(struct scope *s, const struct declaration *rate)
{
    struct scope *home = scope_of(s, schema_fact(s->facts.schema, rate->key)->stage);

    for (const struct rate_turn *t = s->looks; t; t = t->next_look)
        if (t->rate == rate)
            return;
    if (!home)
        return;
    struct rate_turn *t = append(home, s, rate, 0);
    t->next_look = s->looks;
    s->looks = t;
}

void rate_turns_go(struct scope *home)
{
    struct rate_turn *t = home->turns;

    while (t) {
        struct rate_turn *next = t->next == home->turns ? NULL : t->next;
        if (rate_turn_take(home, t->reader, t->rate, t->amount))
            drop(t);
        t = next;
    }
}

void rate_turns_free(struct scope *s)
{
    while (s->turns)
        drop(s->turns);
    while (s->looks) {
        struct rate_turn *t = s->looks, *next = t->next;
        struct scope *home = t->home;
        drop(t);
        close_gap(home, next);
    }
}
