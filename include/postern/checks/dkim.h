/*
 * dkim.h - DomainKeys Identified Mail (RFC 6376, 8301, 8463, 8616): which domains answer for this message?
 *
 *     dkim_verifier_new() - _field()... - _end_of_header() - _body()...      while the message flows, each octet once
 *                                       \ _ask()                            for the keys: as often as something arrived
 *                                                            \ _finish()    once the body has ended
 *
 * Fields are held until the header ends. Then the signatures are read and judged as far as they can be without keys, the work
 * that they ask for is counted, and libopendkim is given those fields that a signature names, no others; it selects,
 * canonicalises and hashes. See dkim_verify.c for what is mended around it, public_key.h for the verifying.
 *
 * Words of RFC 8601 for the verdicts, as they are used here:
 *   pass       the signature verifies, its algorithm, key and time are acceptable
 *   fail       it could be judged, and does not verify
 *   policy     not acceptable to us: a key of less than 1024 bits (RFC 8301 3.2), expired, signed in the future, too costly
 *   neutral    its field is not well formed or says nothing we know (unknown a=, c=, q=), or it was not tried
 *   permerror  it can never be judged: no key, a key that is revoked or unusable for it, rsa-sha1 (RFC 8301 3.1), From not
 *              signed, i= outside d=
 *   temperror  its key could not be asked for
 *   none       unsigned; also what a signature counts for whose key says that it is being tested (t=y, RFC 6376 3.6.1)
 */
#ifndef POSTERN_CHECKS_DKIM_H
#define POSTERN_CHECKS_DKIM_H

#include "postern/base/arena.h"
#include "postern/checks/spf.h"
#include "postern/dns/dns.h"

enum dkim_verdict { DKIM_NONE, DKIM_PASS, DKIM_FAIL, DKIM_POLICY, DKIM_NEUTRAL, DKIM_TEMPERROR, DKIM_PERMERROR };
extern const char *const dkim_verdict_names[]; /* "none" "pass" "fail" "policy" "neutral" "temperror" "permerror" */

enum {
    DKIM_SIGNATURES_KEPT = 32,     /* signatures that are reported one by one; the rest is a number */
    DKIM_FIELD_MAX = 32768,        /* octets of a signature's field */
    DKIM_NAMES_MAX = 1000,         /* names in h= */
    DKIM_KEYS_MAX = 4,             /* key records of one name that are tried (RFC 6376 6.1.2) */
    DKIM_KEY_BITS_MIN = 1024,      /* RFC 8301 3.2 */
    DKIM_KEY_BITS_MAX = 8192,      /* verifiers need no more than 4096 (RFC 8301 3.2) */
    DKIM_WORK_MAX = 500000,        /* names times fields, summed over all signatures: what selecting fields costs at worst */
    DKIM_OCTETS_MAX = 4194304,     /* of header fields hashed, summed over all signatures */
    DKIM_CLOCK_DRIFT = 300         /* seconds that t= may be ahead of our clock */
};

struct dkim_signature_result {
    enum dkim_verdict verdict;
    struct str domain;     /* d=, lower case, A-labels; empty when it could not be read */
    struct str selector;   /* s=, the same */
    struct str algorithm;  /* a=, when it is one of the three; else empty */
    struct str identity;   /* i=, or "@" and d=: UTF-8, no white space nor control characters, its domain in A-labels */
    struct str b;          /* the first characters of b=, to tell signatures apart (RFC 6008) */
    unsigned key_bits;     /* 0: not known */
    struct str reason;     /* printable words, no comma; empty only for a plain pass */
    bool tail;             /* pass: l= leaves the end of the body unsigned */
    bool testing;          /* the key says t=y */
};

struct dkim_result {
    enum dkim_verdict verdict;   /* the best of all */
    const struct dkim_signature_result *signatures; /* in the order of the header */
    size_t count;
    size_t untold;               /* signatures beyond DKIM_SIGNATURES_KEPT, not tried */
    bool tail;                   /* a passing signature leaves a tail */
    uint64_t work, octets;       /* counted as for DKIM_WORK_MAX and DKIM_OCTETS_MAX */
};

typedef spf_ask dkim_ask; /* the answer, or NULL: not yet, ask again when something has come */

struct dkim_verifier;
/* limit: signatures tried. now: seconds since 1970, against which t= and x= are held. */
struct dkim_verifier *dkim_verifier_new(size_t limit, uint64_t now);
void dkim_verifier_free(struct dkim_verifier **v);
void dkim_verifier_field(struct dkim_verifier *v, struct str field); /* whole, with its folding, without the final CRLF */
void dkim_verifier_end_of_header(struct dkim_verifier *v);
void dkim_verifier_body(struct dkim_verifier *v, struct str octets); /* lines ended by CRLF, dots unstuffed */
/* After the end of the header: asks for every key that is needed. True: all are there. */
bool dkim_verifier_ask(struct dkim_verifier *v, dkim_ask ask, void *context);
/* After the end of the body; false: a key is missing (and was asked for). late: do without: its signature is temperror.
 * True: *out is the result; it lives in the arena. May be called again and gives the same. */
bool dkim_verifier_finish(struct dkim_verifier *v, dkim_ask ask, void *context, bool late, struct arena *arena,
                          struct dkim_result *out);
/* "example.com/sel rsa-sha256 2048 pass", then what more is to be said: "i=@sub.example.com (...)". In the arena. */
struct str dkim_signature_text(const struct dkim_signature_result *r, struct arena *arena);

/* What the check dkim of this content scope found, signature by signature; NULL: it has not concluded, or its facts were
 * given. */
struct scope;
const struct dkim_result *dkim_result_of(const struct scope *data_scope);

#endif
