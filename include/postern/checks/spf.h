/*
 * spf.h - the sender policy framework (RFC 7208): does this domain let this client send its mail?
 *
 * One call, pure and restartable: it asks for answers, and is run again from its first line when some have come, until nothing is missing. While
 * an answer is missing the evaluation walks on as if the term had not matched, so that the answers of a whole level are asked for at once: a
 * policy costs as many round trips as it is deep. The verdict counts only when nothing was missing on the way to it, and therefore does not
 * depend on the order in which the answers came.
 *
 * The limits hold for the whole evaluation, included and redirected records too (section 4.6.4): 10 terms that ask DNS, 10 names of an mx, the
 * first 10 names of a ptr, 2 terms without an answer. Nothing here allocates outside the arena that is given, save while it runs.
 */
#ifndef POSTERN_CHECKS_SPF_H
#define POSTERN_CHECKS_SPF_H

#include "postern/base/addr.h"
#include "postern/base/arena.h"
#include "postern/dns/dns.h"

enum { SPF_LOOKUPS_MAX = 10, SPF_VOID_MAX = 2, SPF_NAMES_MAX = 10, SPF_RECORD_MAX = 8192, SPF_EXPLANATION_MAX = 500 };

enum spf_verdict { SPF_NONE, SPF_NEUTRAL, SPF_PASS, SPF_FAIL, SPF_SOFTFAIL, SPF_TEMPERROR, SPF_PERMERROR };
extern const char *const spf_verdict_names[]; /* "none" "neutral" "pass" "fail" "softfail" "temperror" "permerror" */

struct spf_input {
    struct addr client;
    struct str local;    /* local part of the sender as written; empty: "postmaster" (4.3) */
    struct str domain;   /* its domain: the one that is judged; for the null reverse-path and the HELO identity the name given with HELO */
    struct str helo;     /* %{h} */
    struct str receiver; /* %{r}, our name; empty: "unknown" */
    uint64_t time;       /* %{t}, seconds since 1970 */
};

struct spf_result {
    enum spf_verdict verdict;
    struct str mechanism;   /* the term that matched, as written, of the record that decided (after redirect=); empty: none did */
    struct str explanation; /* fail: what the domain has to say (exp=): printable ASCII, at most SPF_EXPLANATION_MAX; may be empty. Not to be trusted */
    struct str problem;     /* temperror, permerror: what is wrong, with the term; printable ASCII */
    unsigned lookups;       /* terms that asked DNS (4.6.4) */
    unsigned void_lookups;  /* those of them that got no answer */
    unsigned questions;     /* calls of ask in this run */
};

/* The answer, or NULL: not yet (the question is noted, the evaluation will be run again). Answers live until the evaluation is over. */
typedef const struct dns_answer *(*spf_ask)(void *context, struct str name, unsigned type);

/* True: *out is the result, its texts are in the arena. False: answers are missing, *out says only what it cost. */
bool spf_evaluate(const struct spf_input *in, spf_ask ask, void *context, struct arena *arena, struct spf_result *out);

/* A name that check_host() may be called with: several labels of 1 to 63, 253 in all, printable ASCII, no address literal (4.3). One trailing dot is dropped. */
bool spf_domain_valid(struct str *name);

#endif
