/*
 * tls_make.h - making certificates: for the simulation, for tests, for a proxy that has none yet.
 */
#ifndef POSTERN_NET_TLS_MAKE_H
#define POSTERN_NET_TLS_MAKE_H

#include "postern/net/tls.h"

struct tls_make {
    const struct str *names; /* subjectAltName: host names ("*.example" too), addresses; the first is the common name as well */
    size_t count;
    uint64_t from_ms, to_ms; /* wall time of validity */
    bool rsa;                /* RSA 2048 (slow to make) instead of ECDSA P-256 */
    bool authority;          /* may sign others */
    struct str issuer_certificate, issuer_key; /* PEM; empty: signed by itself */
};

/* Appends PEM to *certificate (the certificate alone) and *key. False: the issuer is not readable, or a name is not one. */
bool tls_make_certificate(const struct tls_make *how, struct buf *certificate, struct buf *key);
/* SHA-256 of a certificate. False: no PEM of one. */
bool tls_fingerprint_of(struct str certificate_pem, struct tls_fingerprint *out);

#endif
