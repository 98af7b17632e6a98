/*
 * rate.h - rates as those see them who count: whom a rate is about, counting, and turns.
 *
 * What a rate is counted by may have to be asked for (client.name, spf.domain, dmarc.domain). Nobody waits with what is to be counted, so a count
 * may come before it is known for whom; and so may a look at the rate, by a rule that nobody waits for. Both then take a turn, in the scope of the
 * fact, in the order in which they happened. When the fact is there they go to the store in that order: each look sees what was counted before it,
 * and nothing behind it, however late the answer came. When it is absent or an error nothing is counted.
 *
 * A scope that dies takes its own looks with it, and with the last of a fact's scope the counts that are still waiting are forgotten: closing.c keeps
 * scopes alive until their evidence is there.
 */
#ifndef POSTERN_CHECKS_RATE_H
#define POSTERN_CHECKS_RATE_H

#include "postern/checks/check.h"

/* A value of the fact it is counted by that is absent or empty is nobody; a set of names is everybody in it. */
enum rate_who { RATE_SOMEBODY, RATE_NOBODY, RATE_WHO_NOT_YET, RATE_WHO_ERROR };
struct rate_keys { /* SOMEBODY: one, or one for each name, in the set's order */
    struct str *list;
    size_t count;
};
/* Whom a rate is about, as its store keys, seen from s; in the arena. */
enum rate_who rate_keys(struct scope *s, const struct declaration *rate, struct arena *arena, struct rate_keys *out);
/* `amount` more of what it counts has happened, seen from s: told to the store now, or in its turn. */
void rate_count(struct scope *s, const struct declaration *rate, uint64_t amount);
bool rate_is_asked_for(const struct policy *p, const struct declaration *rate); /* has somebody to be asked for whom it is about? */

/* A check of this scope is done: whose turn it is goes to the store. */
void rate_turns_go(struct scope *home);

#endif
