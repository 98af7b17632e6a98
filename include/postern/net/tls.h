/*
 * tls.h - TLS 1.2 and 1.3 (OpenSSL) over any stream: contexts, the handshake, what it came to.
 *
 * A context is what one listener or one backend is configured with. It is counted: every TLS stream holds it, so a reload builds
 * a new context, uses it for new sessions and lets go of the old one, which lives on with the sessions that run.
 *
 * stream_start_tls() puts TLS over a stream that exists. The same `struct stream *` functions serve afterwards: the stream is
 * CONNECTING while the handshake runs, then OPEN, or DEAD with stream_error() saying why; the owner is woken as it is of a plain
 * stream. Bytes put meanwhile are sent once it is OPEN. Handshakes have no deadline here: that is the owner's. TLS runs over
 * sockets and over memory pairs alike; certificates are judged, and tickets aged, by the loop's wall clock.
 *
 * At STARTTLS: a server puts its 220, flushes, *discards every byte of input that it has read already* (RFC 3207 section 6;
 * streams keep none of their own) and starts. What the kernel still holds goes to TLS: plaintext there makes the handshake fail.
 * A client that holds bytes behind the 220 has met an injected reply and closes instead.
 *
 * The end: close_notify is read as STREAM_EOF and nothing behind it is ever delivered; an end without close_notify is STREAM_EOF
 * too, with tls_info.truncated. stream_close() sends close_notify when nothing of ours is stuck.
 */
#ifndef POSTERN_NET_TLS_H
#define POSTERN_NET_TLS_H

#include "postern/net/stream.h"

struct tls_context;

/* --- servers --- */

struct tls_certificate { /* a certificate, its chain behind it, and its key, as PEM: in files, or as text */
    const char *file;     /* NULL: certificate_pem and key_pem instead */
    const char *key_file; /* NULL: the key is in `file` too */
    struct str certificate_pem, key_pem;
};

struct tls_server_options {
    const struct tls_certificate *certificates; /* at least one; the first is for unknown names and for clients that name none */
    size_t count;
    uint64_t now_ms;                     /* wall time: the first period of the ticket keys */
    const struct tls_context *tickets_of; /* a reload: the context before, whose tickets stay good; NULL: new keys */
};

/* The client's SNI is looked up among the certificates' own names (DNS names of subjectAltName, else the common name;
 * "*.example" stands for one label). Certificates of several key types (RSA, ECDSA) with one name serve side by side: the
 * client's offer chooses. Everything is read here, nothing later. NULL with *error (heap text: file and what is wrong with
 * it). */
struct tls_context *tls_context_server(const struct tls_server_options *options, char **error);
bool tls_context_has_name(const struct tls_context *c, struct str name); /* a certificate for it, other than by default */
uint64_t tls_context_expires(const struct tls_context *c);               /* wall ms at which the first of the certificates ends */

/* --- clients --- */

struct tls_fingerprint {
    uint8_t sha256[32];
};
/* 64 hex digits, any case, with or without colons between the octets, "sha256:" in front or not. */
bool tls_fingerprint_parse(struct str text, struct tls_fingerprint *out);

enum tls_verify {
    TLS_VERIFY_OFF,        /* any certificate: TLS against listeners on the way (RFC 7435) */
    TLS_VERIFY_NAME,       /* a chain to a CA, and the server's name (or address) among the certificate's */
    TLS_VERIFY_FINGERPRINT /* the certificate, or its public key (SPKI), has one of these SHA-256 */
};

struct tls_client_options {
    enum tls_verify verify;
    const char *ca_file;                        /* NAME: PEM; NULL: the system's CAs */
    const struct tls_fingerprint *fingerprints; /* FINGERPRINT: copied */
    size_t fingerprint_count;
    const char *certificate_file;               /* ours, shown to a server that asks: PEM, its chain behind it; NULL: none */
    const char *key_file;                       /* NULL: the key is in certificate_file too */
    bool tls12;                                 /* nothing newer: for the simulation of older clients */
};

/* One for each backend: sessions are resumed by ticket among the streams of one context that have the same server name. */
struct tls_context *tls_context_client(const struct tls_client_options *options, char **error);

/* --- both --- */

struct tls_context *tls_context_hold(struct tls_context *c); /* one more reference; returns c */
/* As if it were made now: new ticket keys, no session to resume; certificates stay as they were read. For the simulation, whose
 * clock begins anew with each run. No stream may hold it. */
void tls_context_renew(struct tls_context *c, uint64_t now_ms);
void tls_context_free(struct tls_context **c);               /* one less */

/* TLS over *s, in the role of the context; *s becomes the TLS stream, which has *s's owner and owns what *s was. server_name
 * (clients): the host that is asked for by SNI and verified; an address ("192.0.2.1") is verified, never sent; may be empty,
 * but not with TLS_VERIFY_NAME. Never fails at once: everything is told by the state. */
void stream_start_tls(struct stream **s, struct tls_context *c, struct str server_name);

/* The peer's certificate: none was shown, we were not to verify it, verified. */
enum tls_peer { TLS_PEER_NONE, TLS_PEER_UNVERIFIED, TLS_PEER_VERIFIED };

struct tls_info {
    const char *version;     /* "TLSv1.3" */
    const char *cipher;      /* as OpenSSL calls it: "ECDHE-RSA-AES256-GCM-SHA384" */
    const char *cipher_iana; /* as RFCs, and the tls clause of Received (RFC 8314 7.4): "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" */
    unsigned bits;           /* of the cipher's key */
    struct str server_name;  /* server: the host name that the client asked for, lower case, empty when it gave none that is one;
                                client: what was sent. Lives as long as the stream */
    bool resumed;
    bool truncated;          /* EOF came without close_notify */
    enum tls_peer peer;
    struct tls_fingerprint fingerprint; /* of the peer's certificate, all zero without one */
};
/* False, and *out all zero: not a TLS stream, or its handshake is not finished. */
bool tls_info(const struct stream *s, struct tls_info *out);

/* Says close_notify, and nothing behind it: what the peer still says can be read. False: there is no room for all of it now, ask
 * again. For the simulation; others close. */
bool stream_tls_finish(struct stream *s);

bool stream_is_tls(const struct stream *s);
/* The stream that TLS lies over, owned by it; s itself when it is plain. For the simulation, which breaks and half-closes
 * memory pairs. */
struct stream *stream_below(struct stream *s);

#endif
