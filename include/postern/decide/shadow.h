/*
 * shadow.h - the shadow policy: a whole second policy that is judged on live traffic and never applied.
 *
 *   scope opened (stages.c ...)      -> shadow_open()    a scope of the shadow's beside it (check.h, struct beside); what only it needs is started
 *   the applied policy has spoken    -> shadow_settle()  its turn: rates are read, before what is judged is counted
 *   the transaction has ended        -> shadow_judge()   its stages are walked, as often as it takes; NOT_YET: the owner will be woken
 *   the record is closed             -> record_write()   writes it beside the applied verdict
 *
 * It judges what the applied policy has judged, at the same moments, and what an `accept` of that one left out. A stage that never came (no
 * DATA, because every recipient was refused) is not judged. Its stages speak together by ruling_of() and its like, as the applied ones do.
 * Nothing waits for it, it writes nothing to the store, and the store that it reads (greylist) is asked when the transaction has ended, before
 * that one's passes are recorded.
 */
#ifndef POSTERN_DECIDE_SHADOW_H
#define POSTERN_DECIDE_SHADOW_H

#include "postern/decide/record.h"

/* Opens the shadow's scope beside s, which has just been opened; its parent's has been. */
void shadow_open(struct scope *s, struct policy *shadow);
/* The applied policy has decided the stage of s, or passes it over. Does nothing when there is no shadow, or the second time. */
void shadow_settle(struct scope *s);
/* Runs what is started in the shadow's scopes of s and its parents. True: everything is done. */
bool shadow_gather(struct scope *s);
/* Another HELO name came: when the shadow refuses the one before, that stays, as it would for an applied policy. id: of the session. */
void shadow_rename(struct scope *before, struct scope *now, struct str id);
/* The applied scope of an earlier name whose refusal by the shadow stands beside this helo scope; NULL: none. */
struct scope *shadow_sticky(const struct scope *helo);

struct shadow { /* what it would have done; whoever judges owns it */
    struct record record;     /* its scopes, its verdicts; the recipients are those of the applied record, in that order; scope NULL: not judged */
    struct str verdict;       /* "reject by listed", "none"; STR_NONE while it is not DONE */
    bool judged;              /* some stage was judged, and all that could be has been decided */
    const char *undecided;    /* name of a stage whose facts are not all known; NULL: none */
    bool differs;             /* a recipient or the message would have fared otherwise: gone on, been refused, or been deferred */
    struct str difference;    /* the first such: "reject by listed" */
    struct judging *judging;  /* how far it has come */
    struct arena arena;
};
/* Of a record whose scopes have shadows. May be called again and again with that record, which stays as it is; *out is {0} before the
 * first call. */
enum decide_result shadow_judge(const struct record *applied, struct shadow *out);
void shadow_clear(struct shadow *s);

#endif
