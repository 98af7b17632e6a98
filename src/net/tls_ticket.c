/*
 * tls_ticket.c - the keys that session tickets are sealed with (RFC 5077, RFC 8446 section 4.6.1).
 *
 * A period of twelve hours has its own keys, made from the period's secret. The next secret is made from this one, which is then
 * forgotten: whoever takes a running process cannot open what was recorded a day ago. Processes that were forked from one, and
 * contexts that were reloaded, go through the same secrets and open each other's tickets without a word.
 */
#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "tls_internal.h"

enum { PERIOD_MS = 12 * 3600 * 1000, STEPS_MAX = 1000 };

static void derive(const uint8_t secret[32], const char *label, uint8_t *out, size_t n)
{
    uint8_t whole[32];
    assert(n <= sizeof whole);
    if (!HMAC(EVP_sha256(), secret, 32, (const unsigned char *)label, strlen(label), whole, NULL)) {
        abort(); /* out of memory */
    }
    memcpy(out, whole, n);
    OPENSSL_cleanse(whole, sizeof whole);
}

static void derive_keys(struct tls_tickets *t)
{
    derive(t->secret, "name", t->current.name, sizeof t->current.name);
    derive(t->secret, "mac", t->current.mac, sizeof t->current.mac);
    derive(t->secret, "cipher", t->current.cipher, sizeof t->current.cipher);
}

void tls_tickets_start(struct tls_tickets *t, uint64_t now_ms)
{
    t->period = now_ms / PERIOD_MS;
    if (RAND_priv_bytes(t->secret, sizeof t->secret) != 1) {
        abort(); /* without randomness there is no TLS at all */
    }
    derive_keys(t);
    t->previous = t->current;
}

void tls_tickets_advance(struct tls_tickets *t, uint64_t now_ms)
{
    uint64_t period = now_ms / PERIOD_MS;
    for (unsigned step = 0; t->period < period && step < STEPS_MAX; step++) {
        t->previous = t->current;
        derive(t->secret, "next", t->secret, sizeof t->secret);
        derive_keys(t);
        t->period++;
    }
    if (t->period < period) {
        t->period = period;
    }
}

static bool set_mac(EVP_MAC_CTX *mac, const struct tls_ticket_keys *keys)
{
    OSSL_PARAM how[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)keys->mac, sizeof keys->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, how) == 1;
}

static int seal(const struct tls_ticket_keys *keys, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                EVP_MAC_CTX *mac)
{
    memcpy(name, keys->name, sizeof keys->name);
    bool good = RAND_bytes(iv, 16) == 1 && set_mac(mac, keys) &&
                EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, keys->cipher, iv);
    return good ? 1 : -1;
}

/* OpenSSL asks for the keys to seal a ticket, or to open one: 0: none of ours, a full handshake; 2: open it and give a new
 * one. */
static int ticket_keys(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing)
{
    struct tls_stream *x = tls_of(ssl);
    struct tls_tickets *t = &x->context->tickets;
    tls_tickets_advance(t, loop_wall(x->s.loop));
    if (sealing) {
        return seal(&t->current, name, iv, cipher, mac);
    }
    bool current = memcmp(name, t->current.name, sizeof t->current.name) == 0;
    const struct tls_ticket_keys *keys = current ? &t->current : &t->previous;
    if (memcmp(name, keys->name, sizeof keys->name) != 0) {
        return 0;
    }
    if (!EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, keys->cipher, iv) || !set_mac(mac, keys)) {
        return -1;
    }
    bool once = SSL_version(ssl) == TLS1_3_VERSION; /* RFC 8446 appendix C.4: a ticket serves once, so each use gives a new one */
    return current && !once ? 1 : 2;
}

void tls_tickets_use(SSL_CTX *ssl)
{
    SSL_CTX_set_num_tickets(ssl, 1);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, ticket_keys);
}
