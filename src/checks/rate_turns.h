/*
 * rate_turns.h - what waits until it is known whom a rate is about (rate.h says why), inside the room.
 */
#ifndef POSTERN_CHECKS_RATE_TURNS_H
#define POSTERN_CHECKS_RATE_TURNS_H

#include "postern/checks/rate.h"

/* Each is noted in the scope of the fact that the rate is counted by, which s must have around it, or nothing is noted. */
void rate_turn_count(struct scope *s, const struct declaration *rate, uint64_t amount);
void rate_turn_look(struct scope *s, const struct declaration *rate); /* a second time: nothing, the first holds */
void rate_turns_free(struct scope *s); /* s dies: what waits in it, and its own looks elsewhere */

/* rate.c: the turn has come; to the store, if the rate is about somebody. False: that is not known yet. Reader NULL: amount is counted. */
bool rate_turn_take(struct scope *home, struct scope *reader, const struct declaration *rate, uint64_t amount);

#endif
