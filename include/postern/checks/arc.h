/*
 * arc.h - the Authenticated Received Chain (RFC 8617), verified: who handled this message before, and what did they see?
 *
 * Fed like a DKIM verifier (dkim.h). A chain is whole or it is nothing: every seal must verify, and the newest message
 * signature (5.2). What a seal says is worth as much as its sealer is trusted, which is not this file's business.
 *
 *   none       no ARC fields
 *   pass       the chain is whole
 *   fail       it is not; for whatever reason
 *   temperror  a key could not be asked for, and nothing else is wrong. RFC 8617 5.2.1 makes that "fail" for who seals the
 *              message again; we do not, and may rather ask for the message later
 */
#ifndef POSTERN_CHECKS_ARC_H
#define POSTERN_CHECKS_ARC_H

#include "postern/checks/dkim.h"

enum arc_verdict { ARC_NONE, ARC_PASS, ARC_FAIL, ARC_TEMPERROR };
extern const char *const arc_verdict_names[]; /* "none" "pass" "fail" "temperror" */

enum { ARC_SETS_MAX = 50 }; /* RFC 8617 5.2 */

/* What a sealer's ARC-Authentication-Results say it saw. Words of RFC 8601; empty: it says nothing of it, or nothing that can
 * be understood. */
struct arc_says {
    struct str dmarc, spf, dkim;
};

struct arc_hop {
    struct str sealer;   /* d= of its seal, lower case, A-labels */
    struct str selector;
    struct str results;  /* its ARC-Authentication-Results, behind "i=N;" */
    struct arc_says says;
};

struct arc_result {
    enum arc_verdict verdict;
    struct str reason;          /* fail, temperror: printable words */
    const struct arc_hop *hops; /* pass: the first is instance 1 */
    size_t count;
    uint64_t octets;            /* of header fields hashed; that of the message signature is at most DKIM_OCTETS_MAX */
    bool from_signed;           /* pass: the newest message signature covers From. When it names no fields at all, the chain is whole
                                 * and the author of the message anybody's word: not to be trusted for it */
};

struct arc_verifier;
struct arc_verifier *arc_verifier_new(uint64_t now); /* seconds since 1970 */
void arc_verifier_free(struct arc_verifier **v);
void arc_verifier_field(struct arc_verifier *v, struct str field);
void arc_verifier_end_of_header(struct arc_verifier *v);
void arc_verifier_body(struct arc_verifier *v, struct str octets);
bool arc_verifier_ask(struct arc_verifier *v, dkim_ask ask, void *context);
bool arc_verifier_finish(struct arc_verifier *v, dkim_ask ask, void *context, bool late, struct arena *arena,
                         struct arc_result *out);

/*
 * The payload of Authentication-Results (RFC 8601 2.2: authserv-id and results), strictly: false when it is not well formed,
 * and then *out is empty. One form is taken that the grammar has not, since large sealers write it: a property without a type
 * or without a value ("action=none"), which says nothing to us. Of several results of a method: dkim the best one; spf that of the reverse-path (smtp.mailfrom)
 * before others; dmarc only when all are alike. Words are static text.
 */
bool arc_results_parse(struct str payload, struct arc_says *out);

/* What the check arc of this content scope found; NULL: it has not concluded, or its facts were given. */
const struct arc_result *arc_result_of(const struct scope *data_scope);

#endif
