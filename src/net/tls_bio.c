/*
 * tls_bio.c - what OpenSSL takes for its connection: reads and writes of the stream below, which never block. It says "retry"
 * when nothing goes now; the stream below then wakes the TLS stream's task.
 */
#include <errno.h>

#include "tls_internal.h"

static int bio_read(BIO *bio, char *out, size_t n, size_t *got)
{
    struct tls_bio *x = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t r = n > 0 ? stream_read(x->below, out, n) : STREAM_AGAIN;
    *got = r > 0 ? (size_t)r : 0;
    if (r == STREAM_AGAIN) {
        x->starved = true;
        BIO_set_retry_read(bio);
    } else if (r == STREAM_EOF) {
        x->ended = true;
    }
    return r > 0;
}

static int bio_write(BIO *bio, const char *bytes, size_t n, size_t *taken)
{
    struct tls_bio *x = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t r = n > 0 ? stream_write_now(x->below, bytes, n) : 0;
    *taken = r > 0 ? (size_t)r : 0;
    if (r == 0) {
        BIO_set_retry_write(bio);
    } else if (r < 0) {
        errno = EPIPE; /* a client that left before its ticket came has finished the handshake all the same: OpenSSL looks here */
    }
    return r > 0;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    const struct tls_bio *x = BIO_get_data(bio);
    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH: /* nothing is kept here */
        return 1;
    case BIO_CTRL_EOF:
        return x->ended;
    default:
        return 0;
    }
}

BIO_METHOD *tls_bio_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "postern stream");
    if (method && BIO_meth_set_read_ex(method, bio_read) && BIO_meth_set_write_ex(method, bio_write) &&
        BIO_meth_set_ctrl(method, bio_control)) {
        return method;
    }
    BIO_meth_free(method);
    return NULL;
}

BIO *tls_bio_new(BIO_METHOD *method, struct tls_bio *over)
{
    BIO *bio = BIO_new(method);
    if (bio) {
        BIO_set_data(bio, over);
        BIO_set_init(bio, 1);
    }
    return bio;
}
