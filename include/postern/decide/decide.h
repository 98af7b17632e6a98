/*
 * decide.h - from evidence to a verdict: which checks a policy needs, running them, running a stage. Knows no session: live filtering, explain,
 * cases and replay call the same functions.
 *
 *   scope_new()    -> decide_open()   starts every check of this scope whose facts any stage of the policy reads
 *   at its moment  -> decide_stage()  steps the checks of the scope and its parents, walks the rules; NOT_YET: the owner will be woken; call again
 *   per recipient  -> ruling_of()     what connect, helo, mail, rcpt together say
 *
 * decide_stage() may be called any number of times; its result depends only on the facts.
 */
#ifndef POSTERN_DECIDE_DECIDE_H
#define POSTERN_DECIDE_DECIDE_H

#include "postern/checks/check.h"
#include "postern/policy/walk.h"

enum decide_result { DECIDE_DONE, DECIDE_NOT_YET };

struct decide_input {
    int64_t score;               /* what earlier stages gave (ruling_score) */
    int64_t negative;            /* of it, what negative scores gave (ruling_negative) */
    struct str id;
    bool with_monitor, with_trace;
    bool monitors_later;         /* decide_monitored() is called in its turn: decide_stage() does not ask for monitor rules */
    struct scope *const *recipients; /* stage data: scopes of the accepted recipients, for greylist in stage data; borrowed */
    size_t recipient_count;
};

/* Starts the checks of this scope that the policy (any stage, monitor rules too) reads. Snapshots are the caller's to write, save rates: those are
 * asked for by decide_stage() when a rule comes to them. */
void decide_open(struct scope *s);
/* Starts the checks that wait for nothing (names, addresses, sizes), asked for or not: no DNS, no store. */
void decide_open_at_hand(struct scope *s);
/* Both: a record wants them. */
void decide_open_recorded(struct scope *s);
/* Starts every check of this scope, asked for or not (explain). */
void decide_open_all(struct scope *s);
/* Runs what is started and not done in s and its parents. True: everything is done. */
bool decide_gather(struct scope *s);
/* The stage of s. DONE: *out holds the verdict (in s's arena). NOT_YET: *out holds how far it came. */
enum decide_result decide_stage(struct scope *s, const struct decide_input *in, struct walk *out);
/* The stage of s has been decided (with this `in`): the rates that its monitor rules would come to are asked for; nobody waits for them. */
void decide_monitored(struct scope *s, const struct decide_input *in);
/* The facts known so far are all there will be: unknown ones of s and its parents get their deadline values (the record must close). */
void decide_expire(struct scope *s);
/* Mono time of the next deadline among s and its parents; UINT64_MAX: none. */
uint64_t decide_next_deadline(const struct scope *s);

/* --- what the stages say together --- */
struct stage_verdict { /* one stage, as it was decided */
    bool present;        /* it was walked and done */
    struct walk walk;
};
struct ruling {
    enum action action;  /* NONE (mail goes on), ACCEPT, REJECT or TEMPFAIL */
    enum stage stage;    /* whose rule; meaningless for NONE */
    const struct walk *walk; /* that stage's; NULL for NONE */
    bool skip_rest;      /* an accept: later stages are not walked */
};
/*
 * The first refusal of the stages before `until` (inclusive), unless a later accept lifted it; an accept of an earlier stage means that later
 * ones were not walked. v is indexed by stage; stages not present are left out.
 */
struct ruling ruling_of(const struct stage_verdict v[STAGE_COUNT], enum stage until);
/* Sum of the scores of the stages before `stage` that count for it: connect, helo, mail (data does not see rcpt's, which is the recipient's). */
int64_t ruling_score(const struct stage_verdict v[STAGE_COUNT], enum stage stage);
/* Of the same stages, what negative scores gave (<= 0): the limit of negative scores is one for all stages. */
int64_t ruling_negative(const struct stage_verdict v[STAGE_COUNT], enum stage stage);
/* Does this policy's walk at `stage` already hold the reply: it is undecided and a rule from where it stopped could speak now or tarpit. */
bool decide_holds_reply(const struct policy *p, enum stage stage, const struct walk *undecided);

#endif
