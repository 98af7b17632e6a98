/*
 * public_key.h - the key in a key record's p= (RFC 6376 3.6.1, 8463 section 4), and the verifying of one hash with it.
 *
 * Decoding an RSA key costs OpenSSL 3 several times what verifying with it does, and most mail is signed with few keys. So
 * keys stay decoded, one process-wide table of KEYS_KEPT, found by their text: whatever DNS says now is compared with it octet by
 * octet, so a key that was changed or withdrawn is never used. Keys that are no good are kept as such.
 */
#ifndef POSTERN_CHECKS_PUBLIC_KEY_H
#define POSTERN_CHECKS_PUBLIC_KEY_H

#include <stdint.h>

#include "postern/base/str.h"

enum algorithm { ALGORITHM_RSA_SHA256, ALGORITHM_ED25519_SHA256 };

enum key_flaw {
    KEY_SOUND,
    KEY_NO_BASE64,
    KEY_UNREADABLE,  /* no key of this algorithm */
    KEY_SIZE,        /* bits out of DKIM_KEY_BITS_MIN to _MAX */
    KEY_EXPONENT     /* RSA: even, 1, or so large that verifying is slow */
};

struct public_key; /* shared and never changed; whoever got one releases it */

/* The key of this algorithm whose p= (as in the record, with folding white space) this is; never NULL. */
struct public_key *public_key_get(enum algorithm algorithm, struct str p);
void public_key_release(struct public_key **key); /* of NULL: nothing */
enum key_flaw public_key_flaw(const struct public_key *key);
unsigned public_key_bits(const struct public_key *key); /* 0: not known */
/* Does this signature of this hash verify? False for a key that is not sound. */
bool public_key_verifies(const struct public_key *key, const uint8_t digest[32], struct str signature);

#endif
