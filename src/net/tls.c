/*
 * tls.c - the stream that TLS makes of another one: the handshake, reading, writing, the end, and what is known of the peer.
 *
 *     session  <->  struct tls_stream  <->  OpenSSL  <->  tls_bio.c  <->  stream below  <->  kernel or memory
 *
 * The stream below has our task as its owner. When it is woken, we go on: with the handshake while CONNECTING; later by sending
 * what was stuck and by waking the session, which reads by itself. Nothing is decrypted that nobody asked for, and each call
 * handles a bounded number of records: with SSL_MODE_AUTO_RETRY off OpenSSL comes back after every record that is not data, and
 * then we queue up behind the others.
 *
 * Whoever has stopped half-way (a record half sent, or half received) is asked again with the same bytes: those it did not take
 * are still in the stream's queue.
 */
#include <assert.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "postern/base/addr.h"
#include "tls_internal.h"

enum { RECORD_MAX = 16384 };

static const struct stream_ops tls_ops;

static struct tls_stream *tls_cast(struct stream *s)
{
    return (struct tls_stream *)(void *)s;
}

bool stream_is_tls(const struct stream *s)
{
    return s->ops == &tls_ops;
}

struct stream *stream_below(struct stream *s)
{
    return stream_is_tls(s) ? tls_cast(s)->bio.below : s;
}

/* Before each call of OpenSSL: its error queue belongs to the thread, not to the connection. */
static void begin(struct tls_stream *x)
{
    ERR_clear_error();
    x->bio.starved = false;
}

/* Notes why OpenSSL gave up: the trouble below, or its own words. */
static const char *broke(struct tls_stream *x, const char *doing)
{
    unsigned long error = ERR_peek_error();
    const char *why = tls_reason();
    long verified = SSL_get_verify_result(x->ssl);
    struct buf text = {0};
    x->broken = true;
    if (!error) {
        why = stream_error(x->bio.below)[0] ? stream_error(x->bio.below) : "the peer closed the connection";
    }
    buf_printf(&text, "%s: %s", doing, why);
    if (ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK) {
        bool pinned = x->context->verify == TLS_VERIFY_FINGERPRINT;
        buf_printf(&text, ": %s", pinned ? "its fingerprint is not the expected one" : X509_verify_cert_error_string(verified));
    }
    if (x->reason) { /* the first one stays: s.error points to it */
        buf_free(&text);
    } else {
        x->reason = buf_steal(&text);
    }
    return x->reason;
}

/* --- moving bytes --- */

static ssize_t tls_read(struct stream *s, void *out, size_t n)
{
    struct tls_stream *x = tls_cast(s);
    size_t got;
    begin(x);
    x->read_again = x->read_needs_write = false;
    int ok = SSL_read_ex(x->ssl, out, n, &got);
    if (ok) {
        return (ssize_t)got;
    }
    switch (SSL_get_error(x->ssl, ok)) {
    case SSL_ERROR_WANT_READ:
        s->readable = false;
        if (!x->bio.starved) { /* a record that was no data: more may lie in OpenSSL's buffer, and nobody below would tell */
            loop_wake(s->loop, &x->task);
            x->read_again = true;
        }
        return STREAM_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        s->readable = false;
        x->read_needs_write = true;
        return STREAM_AGAIN;
    case SSL_ERROR_ZERO_RETURN: /* close_notify; or without it, see tls_info.truncated */
        return STREAM_EOF;
    default:
        stream_set_error(s, broke(x, "TLS"));
        return STREAM_FAILED;
    }
}

struct slices {
    const struct iovec *iov;
    int n;
    size_t used; /* bytes of iov[0] */
};

static void slices_skip(struct slices *in, size_t n)
{
    in->used += n;
    while (in->n > 0 && in->used >= in->iov->iov_len) {
        in->used -= in->iov->iov_len;
        in->iov++;
        in->n--;
    }
}

/* The next bytes for one record: in place where a slice fills it or is the last, else gathered. */
static struct str slices_record(struct slices in, char gather[RECORD_MAX])
{
    if (in.n == 0) {
        return STR_NONE;
    }
    const char *first = (const char *)in.iov->iov_base + in.used;
    size_t left = in.iov->iov_len - in.used;
    if (in.n == 1 || left >= RECORD_MAX) {
        return (struct str){first, left < RECORD_MAX ? left : RECORD_MAX};
    }
    size_t n = 0;
    while (in.n > 0 && n < RECORD_MAX) {
        size_t part = in.iov->iov_len - in.used;
        part = part < RECORD_MAX - n ? part : RECORD_MAX - n;
        memcpy(gather + n, (const char *)in.iov->iov_base + in.used, part);
        n += part;
        slices_skip(&in, part);
    }
    return (struct str){gather, n};
}

static ssize_t tls_writev(struct stream *s, const struct iovec *iov, int n)
{
    struct tls_stream *x = tls_cast(s);
    struct slices in = {iov, n, 0};
    char gather[RECORD_MAX];
    size_t taken = 0;
    if (s->state == STREAM_CONNECTING) {
        return 0;
    }
    slices_skip(&in, 0);
    for (struct str record; (record = slices_record(in, gather)).n > 0;) {
        size_t wrote;
        begin(x);
        int ok = x->broken ? 0 : SSL_write_ex(x->ssl, record.p, record.n, &wrote);
        if (ok) {
            taken += wrote;
            slices_skip(&in, wrote);
            continue;
        }
        int why = x->broken ? SSL_ERROR_SSL : SSL_get_error(x->ssl, ok);
        if (why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ) {
            break;
        }
        stream_set_error(s, broke(x, "TLS"));
        return STREAM_FAILED;
    }
    return (ssize_t)taken;
}

/* --- the handshake, and going on --- */

static void handshake(struct tls_stream *x)
{
    begin(x);
    int result = SSL_do_handshake(x->ssl);
    if (result == 1) {
        x->s.readable = true; /* data may have come with the last flight */
        x->s.gone = stream_peer_gone(x->bio.below);
        stream_opened(&x->s);
        return;
    }
    switch (SSL_get_error(x->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        if (!x->bio.starved) {
            loop_wake(x->s.loop, &x->task);
        }
        return;
    case SSL_ERROR_WANT_WRITE:
        return;
    default:
        stream_die(&x->s, broke(x, "TLS handshake"));
    }
}

static void tls_run(struct task *t)
{
    struct tls_stream *x = (struct tls_stream *)(void *)((char *)t - offsetof(struct tls_stream, task));
    struct stream *s = &x->s, *below = x->bio.below;
    if (s->state == STREAM_DEAD) {
        return;
    }
    if (below->state == STREAM_DEAD) {
        stream_die(s, stream_error(below));
        return;
    }
    if (s->state == STREAM_CONNECTING) {
        handshake(x);
        return;
    }
    if (s->blocked && !below->blocked) {
        stream_writable(s);
    }
    if (below->readable || stream_peer_gone(below) || x->read_again || (x->read_needs_write && !below->blocked)) {
        stream_readable(s, stream_peer_gone(below));
    }
}

/* --- the end --- */

bool stream_tls_finish(struct stream *s)
{
    struct tls_stream *x = tls_cast(s);
    bool said = true;
    if (s->state == STREAM_OPEN && !x->broken && !s->write_failed) {
        begin(x);
        said = !x->bio.below->blocked && SSL_shutdown(x->ssl) >= 0;
        ERR_clear_error();
    }
    return said;
}

static void tls_close(struct stream *s)
{
    stream_tls_finish(s);
    loop_unwake(s->loop, &tls_cast(s)->task);
    stream_close(s->loop, &tls_cast(s)->bio.below);
}

static void tls_destroy(struct stream *s)
{
    struct tls_stream *x = tls_cast(s);
    SSL_free(x->ssl);
    tls_context_free(&x->context);
    free(x->name);
    free(x->reason);
    free(x);
}

static const struct stream_ops tls_ops = {tls_read, tls_writev, tls_close, tls_destroy};

/* --- the start --- */

/* By way of the BIO: data of an application's own would cost each connection a list of it. */
struct tls_stream *tls_of(SSL *ssl)
{
    struct tls_bio *bio = BIO_get_data(SSL_get_rbio(ssl));
    return (struct tls_stream *)(void *)((char *)bio - offsetof(struct tls_stream, bio));
}

/* Whom we ask for, and whom we believe. False: nobody that can be verified. */
static bool name_server(struct tls_stream *x, struct str server_name)
{
    char host[TLS_NAME_MAX], address[ADDR_TEXT];
    struct addr a;
    X509_VERIFY_PARAM *how = SSL_get0_param(x->ssl);
    X509_VERIFY_PARAM_set_hostflags(how, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (addr_parse(server_name, &a)) { /* RFC 6066 section 3: literal addresses are not permitted in SNI */
        return X509_VERIFY_PARAM_set1_ip_asc(how, addr_format(&a, address)) == 1;
    }
    struct str name = tls_host_name(server_name, false, host);
    if (name.n == 0) {
        return x->context->verify != TLS_VERIFY_NAME;
    }
    x->name = xstrndup(name.p, name.n);
    return SSL_set_tlsext_host_name(x->ssl, x->name) == 1 && X509_VERIFY_PARAM_set1_host(how, x->name, 0) == 1;
}

void stream_start_tls(struct stream **s, struct tls_context *c, struct str server_name)
{
    struct stream *below = *s;
    struct tls_stream *x = xcalloc(1, sizeof *x);
    stream_setup(&x->s, below->loop, &tls_ops, below->owner, STREAM_CONNECTING);
    x->task.run = tls_run;
    x->bio.below = below;
    x->context = tls_context_hold(c);
    x->ssl = SSL_new(c->ssl);
    BIO *bio = tls_bio_new(c->bio, &x->bio);
    if (!x->ssl || !bio) {
        abort(); /* out of memory */
    }
    SSL_set_bio(x->ssl, bio, bio);
    if (c->server) {
        SSL_set_accept_state(x->ssl);
    } else {
        SSL_set_connect_state(x->ssl);
        X509_VERIFY_PARAM_set_time(SSL_get0_param(x->ssl), (time_t)(loop_wall(below->loop) / 1000));
        if (!name_server(x, server_name)) {
            stream_die(&x->s, "TLS: the server has no name to verify");
        }
        tls_session_resume(x);
    }
    below->owner = &x->task;
    loop_wake(below->loop, &x->task);
    *s = &x->s;
}

/* --- what is known --- */

static void info_peer(const struct tls_stream *x, struct tls_info *out)
{
    X509 *certificate = SSL_get0_peer_certificate(x->ssl);
    unsigned n;
    if (!certificate) {
        return;
    }
    bool verified = x->context->verify != TLS_VERIFY_OFF && SSL_get_verify_result(x->ssl) == X509_V_OK;
    out->peer = verified ? TLS_PEER_VERIFIED : TLS_PEER_UNVERIFIED;
    X509_digest(certificate, EVP_sha256(), out->fingerprint.sha256, &n);
}

bool tls_info(const struct stream *s, struct tls_info *out)
{
    *out = (struct tls_info){.server_name = STR("")};
    if (!stream_is_tls(s)) {
        return false;
    }
    const struct tls_stream *x = (const struct tls_stream *)(const void *)s;
    const SSL_CIPHER *cipher = SSL_get_current_cipher(x->ssl);
    if (s->state == STREAM_CONNECTING || !cipher || !SSL_is_init_finished(x->ssl)) {
        return false;
    }
    out->version = SSL_get_version(x->ssl);
    out->cipher = SSL_CIPHER_get_name(cipher);
    out->cipher_iana = SSL_CIPHER_standard_name(cipher);
    out->bits = (unsigned)SSL_CIPHER_get_bits(cipher, NULL);
    out->server_name = x->name ? str_of(x->name) : STR("");
    out->resumed = SSL_session_reused(x->ssl) == 1;
    out->truncated = x->bio.ended && s->end_read;
    info_peer(x, out);
    return true;
}
