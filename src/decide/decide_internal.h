/*
 * decide_internal.h - what the files of this room share: the greylist in stage data, the outcome of a record.
 */
#ifndef POSTERN_DECIDE_INTERNAL_H
#define POSTERN_DECIDE_INTERNAL_H

#include "postern/decide/record.h"

/* --- decide.c --- */
/* Sees to it that an unknown fact, read from s, gets a value. False: it is on its way already. */
bool decide_provide(struct scope *s, int fact);
/* Asks for all rates that rules of the stage of s read, whether a walk would come to them or not. */
void decide_rates(struct scope *s);

/* --- greylist.c: one answer for all recipients of a message --- */
/*
 * With `start`: greylist.* of a content scope are wanted. The recipients' checks are started where nobody did, and the content
 * scope gets a run that stands for the wait; later calls go on. True when facts were written.
 */
bool greylist_collect(struct scope *content, const struct decide_input *in, bool start);
/* A run that stands for the wait, stepped: on its deadline the content's facts become errors. True: it is done. */
bool greylist_expire(struct scope *content, struct check_run *wait);

/* --- outcome.c: what a whole record says, in one phrase --- */
struct outcome {
    struct ruling recipients; /* of the recipient that speaks for all: one that goes on if any does, else the first */
    bool has_recipients;
    struct str summary;       /* its phrase, kept because walks of recipients come and go */
    const char *undecided;    /* name of a stage whose rules lacked a fact; NULL: none */
};
struct str ruling_summary(const struct policy *p, const struct ruling *r, struct arena *arena); /* "reject by listed", "none" */
void outcome_recipient(struct outcome *o, const struct policy *p, const struct ruling *r, struct arena *arena);
struct str outcome_summary(const struct outcome *o, const struct policy *p, const struct stage_verdict v[STAGE_COUNT],
                           struct arena *arena);
enum action outcome_action(const struct outcome *o, const struct stage_verdict v[STAGE_COUNT]); /* of a record that is not undecided */

/* --- record_write.c --- */
/* Verdict and trace of one stage as the record holds them, as one JSON value each. */
void record_verdict(const struct policy *p, enum stage stage, const struct walk *w, struct json *j);
void record_trace(const struct policy *p, enum stage stage, const struct walk *w, struct json *j);

#endif
