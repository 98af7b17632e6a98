/*
 * tls_context.c - contexts: what all TLS streams have in common, what clients verify, sessions that clients resume.
 *
 * The settings are those of a mail server on port 25: TLS 1.2 and up, forward secrecy always, AEAD first. A few CBC suites stay
 * at the end, since the sender that has nothing better would fall back to no encryption at all (RFC 7435 section 3). No
 * compression, no renegotiation, no early data. Memory: buffers are given back when idle, there is no session cache on the
 * server, and it gives one ticket.
 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "postern/base/codec.h"
#include "postern/base/source.h"
#include "tls_internal.h"

static const char ciphers_12[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                                 "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                                 "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
                                 "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:"
                                 "ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:"
                                 "ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA";
static const char ciphers_13[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
static const char groups[] = "X25519:P-256:P-384";

enum { TICKET_SECONDS = 2 * 3600 };

const char *tls_reason(void)
{
    unsigned long error = ERR_peek_error();
    const char *words = error ? ERR_reason_error_string(error) : NULL;
    ERR_clear_error();
    return words ? words : "unknown error";
}

SSL_CTX *tls_ssl_context(struct tls_context *c)
{
    SSL_CTX *ssl = SSL_CTX_new(c->server ? TLS_server_method() : TLS_client_method());
    if (!ssl || !SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) || !SSL_CTX_set_cipher_list(ssl, ciphers_12) ||
        !SSL_CTX_set_ciphersuites(ssl, ciphers_13) || !SSL_CTX_set1_groups_list(ssl, groups) ||
        !SSL_CTX_set_session_id_context(ssl, (const unsigned char *)"postern", 7)) {
        SSL_CTX_free(ssl);
        return NULL;
    }
    SSL_CTX_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                 SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF); /* told by tls_info.truncated */
    SSL_CTX_clear_mode(ssl, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_read_ahead(ssl, 1); /* one system call a record instead of two */
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(ssl, TICKET_SECONDS);
    return ssl;
}

struct tls_context *tls_context_hold(struct tls_context *c)
{
    c->references++;
    return c;
}

static void session_free(void *session)
{
    SSL_SESSION_free(session);
}

void tls_context_renew(struct tls_context *c, uint64_t now_ms)
{
    if (c->server) {
        tls_tickets_start(&c->tickets, now_ms);
        return;
    }
    map_free(&c->sessions, session_free);
    c->sessions = map_new();
}

void tls_context_free(struct tls_context **c)
{
    struct tls_context *x = *c;
    *c = NULL;
    if (!x || --x->references > 0) {
        return;
    }
    map_free(&x->sessions, session_free);
    tls_names_free(&x->names);
    SSL_CTX_free(x->ssl);
    BIO_meth_free(x->bio);
    OPENSSL_cleanse(&x->tickets, sizeof x->tickets);
    free(x->fingerprints);
    free(x);
}

static struct tls_context *context_new(bool server)
{
    struct tls_context *c = xcalloc(1, sizeof *c);
    ERR_clear_error();
    c->references = 1;
    c->server = server;
    c->bio = tls_bio_method();
    return c;
}

static char *error_text(const char *what, const char *why)
{
    struct buf text = {0};
    buf_printf(&text, "%s: %s", what, why);
    return buf_steal(&text);
}

/* --- servers --- */

struct tls_context *tls_context_server(const struct tls_server_options *options, char **error)
{
    struct tls_context *c = context_new(true);
    if (!tls_names_load(c, options, error)) {
        tls_context_free(&c);
        return NULL;
    }
    if (options->tickets_of) {
        c->tickets = options->tickets_of->tickets;
    } else {
        tls_tickets_start(&c->tickets, options->now_ms);
    }
    return c;
}

uint64_t tls_context_expires(const struct tls_context *c)
{
    return c->expires_ms;
}

/* --- clients: whom to believe --- */

static const char hex_digits[] = "0123456789abcdefABCDEF";

bool tls_fingerprint_parse(struct str text, struct tls_fingerprint *out)
{
    struct buf hex = {0}, octets = {0};
    struct str prefix = STR("sha256:");
    struct str digits = str_starts_nocase(text, prefix) ? str_sub(text, prefix.n, text.n) : text;
    bool colons = digits.n > 2 && digits.p[2] == ':';
    bool good = digits.n == (colons ? 95 : 64);
    for (size_t i = 0; good && i < digits.n; i++) {
        bool digit = digits.p[i] && strchr(hex_digits, digits.p[i]);
        good = colons && i % 3 == 2 ? digits.p[i] == ':' : digit;
        if (digit) {
            buf_char(&hex, digits.p[i]);
        }
    }
    good = good && hex_decode(&octets, buf_view(&hex)) && octets.n == sizeof out->sha256;
    if (good) {
        memcpy(out->sha256, octets.p, sizeof out->sha256);
    }
    buf_free(&hex);
    buf_free(&octets);
    return good;
}

static bool expected(const struct tls_context *c, const uint8_t sha256[32])
{
    for (size_t i = 0; i < c->fingerprint_count; i++) {
        if (memcmp(c->fingerprints[i].sha256, sha256, 32) == 0) {
            return true;
        }
    }
    return false;
}

static bool key_expected(const struct tls_context *c, X509 *certificate)
{
    unsigned char *spki = NULL;
    uint8_t sha256[32];
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &spki);
    bool good = n > 0 && EVP_Digest(spki, (size_t)n, sha256, NULL, EVP_sha256(), NULL) && expected(c, sha256);
    OPENSSL_free(spki);
    return good;
}

/* Instead of building a chain: nothing, or the fingerprint. In the handshake, so that the peer is told and gets no data. */
static int verify_otherwise(X509_STORE_CTX *store, void *context)
{
    const struct tls_context *c = context;
    X509 *certificate = X509_STORE_CTX_get0_cert(store);
    uint8_t sha256[32];
    unsigned n;
    bool good = c->verify == TLS_VERIFY_OFF ||
                (X509_digest(certificate, EVP_sha256(), sha256, &n) && expected(c, sha256)) || key_expected(c, certificate);
    X509_STORE_CTX_set_error(store, good ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
    return good;
}

/* --- clients: resuming --- */

/* OpenSSL gives us a session with each ticket that comes. True: we keep it. */
static int session_came(SSL *ssl, SSL_SESSION *session)
{
    struct tls_stream *x = tls_of(ssl);
    struct str name = str_of(x->name ? x->name : "");
    struct map *sessions = x->context->sessions;
    if (!map_get(sessions, name) && map_count(sessions) >= TLS_SESSIONS_MAX) {
        return 0;
    }
    SSL_SESSION_free(map_put(sessions, name, session));
    return 1;
}

void tls_session_resume(struct tls_stream *x)
{
    SSL_SESSION *session = map_get(x->context->sessions, str_of(x->name ? x->name : ""));
    if (session && SSL_SESSION_is_resumable(session)) {
        SSL_set_session(x->ssl, session);
    }
}

/* OpenSSL would wait for a FIFO's writer, and all mail with it. */
static bool readable(const char *file, char **error)
{
    if (!source_would_block(file)) {
        return true;
    }
    *error = error_text(file, "not a regular file");
    return false;
}

static bool load_authorities(SSL_CTX *ssl, const char *ca_file, char **error)
{
    if (ca_file && !readable(ca_file, error)) {
        return false;
    }
    if (ca_file ? SSL_CTX_load_verify_file(ssl, ca_file) : SSL_CTX_set_default_verify_paths(ssl)) {
        return true;
    }
    *error = error_text(ca_file ? ca_file : "the system's certification authorities", tls_reason());
    return false;
}

static bool load_own(SSL_CTX *ssl, const struct tls_client_options *options, char **error)
{
    const char *key = options->key_file ? options->key_file : options->certificate_file;
    if (!options->certificate_file) {
        return true;
    }
    if (!readable(options->certificate_file, error) || !readable(key, error)) {
        return false;
    }
    if (SSL_CTX_use_certificate_chain_file(ssl, options->certificate_file) != 1) {
        *error = error_text(options->certificate_file, tls_reason());
        return false;
    }
    if (SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) == 1) {
        return true;
    }
    *error = error_text(key, tls_reason());
    return false;
}

struct tls_context *tls_context_client(const struct tls_client_options *options, char **error)
{
    struct tls_context *c = context_new(false);
    c->verify = options->verify;
    c->sessions = map_new();
    c->ssl = tls_ssl_context(c);
    if (!c->ssl || !c->bio) {
        *error = error_text("TLS", tls_reason());
        goto out;
    }
    if (!load_own(c->ssl, options, error)) {
        goto out;
    }
    if (options->tls12) {
        SSL_CTX_set_max_proto_version(c->ssl, TLS1_2_VERSION);
    }
    SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c->ssl, session_came);
    SSL_CTX_set_verify(c->ssl, c->verify == TLS_VERIFY_OFF ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (c->verify == TLS_VERIFY_NAME) {
        if (!load_authorities(c->ssl, options->ca_file, error)) {
            goto out;
        }
        return c;
    }
    SSL_CTX_set_security_level(c->ssl, 1); /* no chain is judged: a server's old, short key is better than no TLS */
    SSL_CTX_set_cert_verify_callback(c->ssl, verify_otherwise, c);
    c->fingerprint_count = c->verify == TLS_VERIFY_FINGERPRINT ? options->fingerprint_count : 0;
    if (c->fingerprint_count > 0) {
        c->fingerprints = xcalloc(c->fingerprint_count, sizeof *c->fingerprints);
        memcpy(c->fingerprints, options->fingerprints, c->fingerprint_count * sizeof *c->fingerprints);
    }
    return c;
out:
    tls_context_free(&c);
    return NULL;
}
