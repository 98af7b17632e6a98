/*
 * tls_internal.h - the inside of TLS: what a stream and a context hold. tls.c moves bytes, tls_bio.c stands between OpenSSL and
 * the stream below, tls_context.c makes contexts, tls_names.c chooses certificates, tls_ticket.c keeps the keys of tickets.
 */
#ifndef NET_TLS_INTERNAL_H
#define NET_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "postern/base/map.h"
#include "postern/net/tls.h"
#include "stream_internal.h"

enum { TLS_NAME_MAX = 256, TLS_KEY_TYPES = 3, TLS_SESSIONS_MAX = 256 };

struct tls_ticket_keys {
    uint8_t name[16], mac[32], cipher[32];
};

struct tls_tickets { /* keys of this period and of the one before, each made from a secret that is forgotten with its period */
    uint64_t period;
    uint8_t secret[32];
    struct tls_ticket_keys current, previous;
};

struct tls_context {
    unsigned references;
    bool server;
    BIO_METHOD *bio;
    SSL_CTX *ssl;           /* what sessions start with; server: the default certificates */
    /* server */
    struct tls_names *names;
    struct tls_tickets tickets;
    uint64_t expires_ms;
    /* client */
    enum tls_verify verify;
    struct tls_fingerprint *fingerprints;
    size_t fingerprint_count;
    struct map *sessions;   /* SSL_SESSION * by server name: the latest */
};

struct tls_bio {
    struct stream *below;
    bool starved; /* since it was cleared, a read found nothing */
    bool ended;   /* a read found the end */
};

struct tls_stream {
    struct stream s;
    struct task task;            /* owns `below` */
    struct tls_bio bio;
    struct tls_context *context; /* holds one reference */
    SSL *ssl;
    char *name;                  /* the server's, as asked for; NULL: none */
    char *reason;                /* s.error, when it is not static text */
    bool broken;                 /* OpenSSL gave up: nothing may be sent any more */
    bool read_again;             /* a read stopped early: more may lie in OpenSSL's buffer */
    bool read_needs_write;       /* a read waits until something of ours has left */
};

/* tls_bio.c */
BIO_METHOD *tls_bio_method(void);
BIO *tls_bio_new(BIO_METHOD *method, struct tls_bio *over); /* `over` outlives it */

/* tls_context.c */
SSL_CTX *tls_ssl_context(struct tls_context *c); /* a fresh one with what all have in common */
const char *tls_reason(void);                    /* the first error of OpenSSL's queue in its words, static; empties the queue */
struct tls_stream *tls_of(SSL *ssl);
void tls_session_resume(struct tls_stream *x);   /* client: offers the latest session with that name */

/* tls_names.c: the certificates of a server and which name gets which. Sets c->names, c->ssl and c->expires_ms, or *error. */
bool tls_names_load(struct tls_context *c, const struct tls_server_options *options, char **error);
void tls_names_free(struct tls_names **names);
/* A host name in lower case without its final dot, in `out`; STR_NONE when it is not one. `*.` in front only when wildcard. */
struct str tls_host_name(struct str s, bool wildcard, char out[TLS_NAME_MAX]);

/* tls_ticket.c */
void tls_tickets_start(struct tls_tickets *t, uint64_t now_ms);
void tls_tickets_advance(struct tls_tickets *t, uint64_t now_ms);
void tls_tickets_use(SSL_CTX *ssl); /* tickets by c->tickets of the stream's context */

#endif
