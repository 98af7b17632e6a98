/*
 * public_key.c - public keys decoded, judged, kept, and used, with OpenSSL.
 *
 * RSA keys come as SubjectPublicKeyInfo, as the world has them, or as the bare RSAPublicKey of the RFC's text; a public exponent
 * of more than 64 bits, which makes verifying slow, is refused. Ed25519 keys are bare (RFC 8463 section 4).
 *
 * A key is kept in the slot that its text hashes to (with the process's secret, so that nobody chooses whom to push out) until
 * another one wants that slot; it is freed when its last user is done. An RSA key of 2048 bits takes 5 KB, one of 8192 bits
 * some 35 KB. A sound RSA key has its verifying set up: it may be used again and again, and OpenSSL looks up its algorithms by
 * name only once.
 */
#include "public_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "signature.h"
#include "postern/base/map.h"

enum { KEYS_KEPT = 256, EXPONENT_BITS_MAX = 64, ED25519_OCTETS = 32 };

struct public_key {
    enum algorithm algorithm;
    struct str text; /* its p=; owned */
    unsigned users;  /* the table is one of them */
    enum key_flaw flaw;
    unsigned bits;
    EVP_PKEY *key;   /* NULL: unreadable */
    EVP_PKEY_CTX *verifying; /* RSA, sound; NULL: OpenSSL will not verify with it */
};

static struct public_key *kept[KEYS_KEPT]; /* NULL: nothing yet */

/* --- decoding --- */

static EVP_PKEY *rsa_key(struct str der)
{
    const unsigned char *p = (const unsigned char *)der.p;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)der.n);

    if (!key) {
        p = (const unsigned char *)der.p;
        key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &p, (long)der.n);
    }
    if (key && (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || p != (const unsigned char *)der.p + der.n)) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

static bool exponent_is_sane(EVP_PKEY *key)
{
    BIGNUM *e = NULL;
    bool good = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_num_bits(e) <= EXPONENT_BITS_MAX;

    good = good && BN_is_odd(e) && !BN_is_one(e);
    BN_free(e);
    return good;
}

static EVP_PKEY_CTX *rsa_verifying(EVP_PKEY *key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);

    if (ctx && EVP_PKEY_verify_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
        EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1)
        return ctx;
    EVP_PKEY_CTX_free(ctx);
    return NULL;
}

static enum key_flaw decode_rsa(struct public_key *k, struct str der)
{
    k->key = rsa_key(der);
    if (!k->key)
        return KEY_UNREADABLE;
    k->bits = (unsigned)EVP_PKEY_get_bits(k->key);
    if (k->bits < DKIM_KEY_BITS_MIN || k->bits > DKIM_KEY_BITS_MAX) /* RFC 8301 3.2 */
        return KEY_SIZE;
    if (!exponent_is_sane(k->key))
        return KEY_EXPONENT;
    k->verifying = rsa_verifying(k->key);
    return KEY_SOUND;
}

static enum key_flaw decode_ed25519(struct public_key *k, struct str bytes)
{
    if (bytes.n == ED25519_OCTETS)
        k->key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)bytes.p, bytes.n);
    k->bits = 256;
    return k->key ? KEY_SOUND : KEY_UNREADABLE;
}

static void decode(struct public_key *k)
{
    struct buf bytes = {0};

    k->flaw = KEY_NO_BASE64;
    if (tag_base64(k->text, &bytes))
        k->flaw = k->algorithm == ALGORITHM_RSA_SHA256 ? decode_rsa(k, buf_view(&bytes)) : decode_ed25519(k, buf_view(&bytes));
    buf_free(&bytes);
    ERR_clear_error();
}

/* --- keeping --- */

struct public_key *public_key_get(enum algorithm algorithm, struct str p)
{
    struct public_key **slot = &kept[hash_bytes(p.p, p.n) % KEYS_KEPT];

    if (!*slot || (*slot)->algorithm != algorithm || !str_eq((*slot)->text, p)) {
        public_key_release(slot);
        *slot = xcalloc(1, sizeof **slot);
        **slot = (struct public_key){.algorithm = algorithm, .text = {xstrndup(p.p, p.n), p.n}, .users = 1};
        decode(*slot);
    }
    (*slot)->users++;
    return *slot;
}

void public_key_release(struct public_key **key)
{
    struct public_key *k = *key;

    *key = NULL;
    if (!k || --k->users)
        return;
    EVP_PKEY_CTX_free(k->verifying);
    EVP_PKEY_free(k->key);
    free((char *)k->text.p);
    free(k);
}

enum key_flaw public_key_flaw(const struct public_key *key)
{
    return key->flaw;
}

unsigned public_key_bits(const struct public_key *key)
{
    return key->bits;
}

/* --- using --- */

/* RFC 8463 section 3: PureEdDSA over the hash. */
static int ed25519_status(const struct public_key *k, const uint8_t digest[32], struct str signature)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    int status = 0;

    if (md && EVP_DigestVerifyInit(md, NULL, NULL, NULL, k->key) == 1)
        status = EVP_DigestVerify(md, (const unsigned char *)signature.p, signature.n, digest, 32);
    EVP_MD_CTX_free(md);
    return status;
}

bool public_key_verifies(const struct public_key *k, const uint8_t digest[32], struct str signature)
{
    int status = 0;

    if (k->flaw == KEY_SOUND && k->algorithm == ALGORITHM_ED25519_SHA256)
        status = ed25519_status(k, digest, signature);
    else if (k->verifying)
        status = EVP_PKEY_verify(k->verifying, (const unsigned char *)signature.p, signature.n, digest, 32);
    ERR_clear_error();
    return status == 1;
}
