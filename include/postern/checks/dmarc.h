/*
 * dmarc.h - DMARC (RFC 9989): does an authenticated domain stand behind the domain that people see as the author?
 *
 * Two pure parts: the parser of policy records, and the evaluation, which asks for answers and is run again from its first line
 * when some have come. It asks for the whole walk of a domain at once (at most 8 names), so that a verdict costs one or two
 * round trips; what it concludes is what the walk of section 4.10 finds one after the other, and so does not depend on the order
 * of answers.
 *
 * Never "fail" for want of knowledge (5.3.6): where SPF or DKIM had no result, or a record, the organizational domain or the
 * existence of the author domain could not be asked, a message without an aligned pass is temperror.
 */
#ifndef POSTERN_CHECKS_DMARC_H
#define POSTERN_CHECKS_DMARC_H

#include "postern/base/arena.h"
#include "postern/dns/dns.h"

/* --- policy records (4.7, 4.8) --- */
enum dmarc_policy { DMARC_NONE, DMARC_QUARANTINE, DMARC_REJECT };
extern const char *const dmarc_policy_names[]; /* "none" "quarantine" "reject" */
enum dmarc_psd { DMARC_PSD_UNKNOWN, DMARC_PSD_YES, DMARC_PSD_NO };

struct dmarc_record {
    bool usable;                  /* false: no valid p, or a bad sp or np, and no rua to make up for it (4.10.1) */
    enum dmarc_policy p, sp, np;  /* sp and np as they apply: np falls back to sp, sp to p (4.7) */
    bool dkim_strict, spf_strict; /* adkim=s, aspf=s */
    enum dmarc_psd psd;
    bool test;                    /* t=y */
};

/* Is this text of a TXT record a policy record: its first tag v, with exactly the value DMARC1? If so it is read: unknown tags
 * (and pct, rf, ri of RFC 7489) are passed over, wrong values give way to the defaults; of a tag that is there twice the first
 * one counts. */
bool dmarc_record_parse(struct str text, struct dmarc_record *out);
/* A list of URIs with at least one that is well formed (RFC 3986), an obsolete "!size" behind it allowed. */
bool dmarc_uris_valid(struct str text);

/* --- the evaluation --- */
enum dmarc_verdict { DMARC_RESULT_NONE, DMARC_PASS, DMARC_FAIL, DMARC_TEMPERROR, DMARC_PERMERROR };
extern const char *const dmarc_verdict_names[]; /* "none" "pass" "fail" "temperror" "permerror" */

enum { DMARC_WALK_MAX = 8, DMARC_IDENTIFIERS_MAX = 64 }; /* names a walk asks for; passing DKIM domains that are looked at */

struct dmarc_input {
    struct str author;        /* A-labels, lower case, no trailing dot */
    bool spf_known;           /* SPF has a result that will not change */
    struct str spf_domain;    /* of an SPF pass of MAIL FROM (for <> of HELO's name, RFC 7208 2.4); empty: no pass */
    bool dkim_known;          /* so has DKIM, but for the signatures of the domains in `pending` */
    const struct str *dkim;   /* domains of passing signatures */
    size_t dkim_count;
    const struct str *pending;/* domains of signatures without a result (temperror): no "fail" where one would be aligned */
    size_t pending_count;
};

struct dmarc_result {
    enum dmarc_verdict verdict;
    bool applies;             /* a record was found and which policy it asks for is known: policy, test and domain are set */
    enum dmarc_policy policy; /* asked for: p, sp or np, one level lower with t=y */
    bool test;                /* t=y */
    struct str domain;        /* where the record is (in the arena) */
    bool spf_aligned, dkim_aligned;
    struct str problem;       /* temperror: why; in the arena */
    unsigned questions;       /* calls of ask in this run */
};

/* The answer, or NULL: not yet (the question is noted, the evaluation will be run again). Answers live until the evaluation is
 * over. */
typedef const struct dns_answer *(*dmarc_ask)(void *context, struct str name, unsigned type);

/* True: *out is the result. False: answers are missing. */
bool dmarc_evaluate(const struct dmarc_input *in, dmarc_ask ask, void *context, struct arena *arena, struct dmarc_result *out);

#endif
