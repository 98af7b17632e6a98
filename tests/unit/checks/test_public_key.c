/*
 * Public keys: what is wrong with a p=, and that keys which stay decoded are never mistaken for one another, whatever was asked
 * for before.
 */
#include "public_key.h"

#include <openssl/bn.h>
#include <openssl/rand.h>

#include "checks/signed.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

enum { MANY = 1500, HASH = 32 }; /* several times as many as are kept */

/* One RSA key, its p=, and a signature of a hash. */
struct pair {
    EVP_PKEY *key;
    struct buf p;
    uint8_t hash[HASH];
    struct buf signature;
};

static void sign_hash(struct pair *a, bool rsa)
{
    unsigned char out[1024];
    size_t n = sizeof out;

    RAND_bytes(a->hash, HASH);
    if (rsa) {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(a->key, NULL);
        cr_assert(EVP_PKEY_sign_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
                  EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 && EVP_PKEY_sign(ctx, out, &n, a->hash, HASH) == 1);
        EVP_PKEY_CTX_free(ctx);
    } else {
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        cr_assert(EVP_DigestSignInit(md, NULL, NULL, NULL, a->key) == 1 && EVP_DigestSign(md, out, &n, a->hash, HASH) == 1);
        EVP_MD_CTX_free(md);
    }
    buf_clear(&a->signature);
    buf_str(&a->signature, (struct str){(const char *)out, n});
}

static struct pair rsa_pair(unsigned bits)
{
    struct pair a = {.key = EVP_RSA_gen(bits)};
    rsa_public(a.key, &a.p);
    sign_hash(&a, true);
    return a;
}

static struct pair ed25519_pair(void)
{
    struct pair a = {.key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};
    ed25519_public(a.key, &a.p);
    sign_hash(&a, false);
    return a;
}

static void pair_free(struct pair *a)
{
    EVP_PKEY_free(a->key);
    buf_free(&a->p);
    buf_free(&a->signature);
}

/* Does the key in this p= verify what this pair has signed? */
static bool verifies(enum algorithm algorithm, struct str p, const struct pair *by)
{
    struct public_key *k = public_key_get(algorithm, p);
    bool result = public_key_verifies(k, by->hash, buf_view(&by->signature));

    public_key_release(&k);
    cr_expect_null(k);
    return result;
}

/* SubjectPublicKeyInfo of an RSA key of 1024 bits with this exponent. */
static void public_with_exponent(const char *exponent, struct buf *out)
{
    EVP_PKEY *made = EVP_RSA_gen(1024), *key = NULL;
    BIGNUM *n = NULL, *e = NULL;
    EVP_PKEY_get_bn_param(made, "n", &n);
    BN_hex2bn(&e, exponent);
    OSSL_PARAM params[3] = {0};
    unsigned char modulus[128], exponent_octets[64];
    BN_bn2nativepad(n, modulus, sizeof modulus);
    BN_bn2nativepad(e, exponent_octets, sizeof exponent_octets);
    params[0] = OSSL_PARAM_construct_BN("n", modulus, sizeof modulus);
    params[1] = OSSL_PARAM_construct_BN("e", exponent_octets, sizeof exponent_octets);
    params[2] = OSSL_PARAM_construct_end();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    cr_assert(EVP_PKEY_fromdata_init(ctx) == 1 && EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1);
    rsa_public(key, out);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(made);
    EVP_PKEY_free(key);
    BN_free(n);
    BN_free(e);
}

/* Each twice: the second time it is a kept one that is judged. */
Test(public_key, flaws)
{
    struct pair rsa = rsa_pair(2048), small = rsa_pair(768), ed = ed25519_pair();
    struct buf even = {0}, one = {0}, large = {0}, longer = {0}, folded = {0};
    public_with_exponent("010000", &even);
    public_with_exponent("01", &one);
    public_with_exponent("010000000000000001", &large);
    buf_str(&longer, buf_view(&rsa.p)); /* octets behind the key */
    buf_cstr(&longer, "AAAA");
    buf_printf(&folded, " %.*s\r\n\t%.*s ", STR_ARG(str_sub(buf_view(&rsa.p), 0, 100)),
               STR_ARG(str_sub(buf_view(&rsa.p), 100, rsa.p.n)));
    const struct {
        struct str p;
        enum algorithm algorithm;
        enum key_flaw flaw;
        unsigned bits;
    } cases[] = {
        {buf_view(&rsa.p), ALGORITHM_RSA_SHA256, KEY_SOUND, 2048},
        {buf_view(&folded), ALGORITHM_RSA_SHA256, KEY_SOUND, 2048},
        {buf_view(&rsa.p), ALGORITHM_ED25519_SHA256, KEY_UNREADABLE, 256},
        {buf_view(&ed.p), ALGORITHM_ED25519_SHA256, KEY_SOUND, 256},
        {buf_view(&ed.p), ALGORITHM_RSA_SHA256, KEY_UNREADABLE, 0},
        {buf_view(&small.p), ALGORITHM_RSA_SHA256, KEY_SIZE, 768},
        {buf_view(&even), ALGORITHM_RSA_SHA256, KEY_EXPONENT, 1024},
        {buf_view(&one), ALGORITHM_RSA_SHA256, KEY_EXPONENT, 1024},
        {buf_view(&large), ALGORITHM_RSA_SHA256, KEY_EXPONENT, 1024},
        {buf_view(&longer), ALGORITHM_RSA_SHA256, KEY_UNREADABLE, 0},
        {STR("MIIBIjANBgkq"), ALGORITHM_RSA_SHA256, KEY_UNREADABLE, 0},
        {STR("!"), ALGORITHM_RSA_SHA256, KEY_NO_BASE64, 0},
        {STR(" "), ALGORITHM_RSA_SHA256, KEY_NO_BASE64, 0},
        {STR(""), ALGORITHM_ED25519_SHA256, KEY_NO_BASE64, 0},
    };
    for (size_t i = 0; i < 2 * COUNT(cases); i++) {
        size_t c = i % COUNT(cases);
        struct public_key *k = public_key_get(cases[c].algorithm, cases[c].p);
        cr_expect_eq(public_key_flaw(k), cases[c].flaw, "%zu: %d", c, public_key_flaw(k));
        cr_expect_eq(public_key_bits(k), cases[c].bits, "%zu: %u", c, public_key_bits(k));
        if (cases[c].flaw != KEY_SOUND)
            cr_expect(!public_key_verifies(k, small.hash, buf_view(&small.signature)), "%zu", c);
        public_key_release(&k);
    }
    pair_free(&rsa), pair_free(&small), pair_free(&ed);
    buf_free(&even), buf_free(&one), buf_free(&large), buf_free(&longer), buf_free(&folded);
}

/* Keys asked for in any order verify what is theirs, and nothing else. */
Test(public_key, never_mistaken)
{
    struct pair a = rsa_pair(1024), b = rsa_pair(2048), c = ed25519_pair();
    const struct pair *const pairs[] = {&a, &b, &c};

    for (size_t i = 0; i < 4 * COUNT(pairs) * COUNT(pairs); i++) {
        size_t key = i * 7 % COUNT(pairs), by = i / COUNT(pairs) % COUNT(pairs);
        enum algorithm algorithm = key == 2 ? ALGORITHM_ED25519_SHA256 : ALGORITHM_RSA_SHA256;
        cr_expect_eq(verifies(algorithm, buf_view(&pairs[key]->p), pairs[by]), key == by, "%zu by %zu", key, by);
    }
    a.signature.p[7] ^= 1;
    cr_expect(!verifies(ALGORITHM_RSA_SHA256, buf_view(&a.p), &a));
    a.signature.p[7] ^= 1;
    cr_expect(verifies(ALGORITHM_RSA_SHA256, buf_view(&a.p), &a), "one that does not verify spoils nothing");
    a.signature.n--;
    cr_expect(!verifies(ALGORITHM_RSA_SHA256, buf_view(&a.p), &a));
    a.signature.n = 0;
    cr_expect(!verifies(ALGORITHM_RSA_SHA256, buf_view(&a.p), &a));
    pair_free(&a), pair_free(&b), pair_free(&c);
}

/* More keys than are kept, all in use at once: nobody's key goes away under him. */
Test(public_key, more_than_are_kept)
{
    struct pair *pairs = xcalloc(MANY, sizeof *pairs);
    struct public_key **keys = xcalloc(MANY, sizeof *keys);

    for (size_t i = 0; i < MANY; i++) {
        pairs[i] = ed25519_pair();
        keys[i] = public_key_get(ALGORITHM_ED25519_SHA256, buf_view(&pairs[i].p));
    }
    for (size_t i = 0; i < MANY; i++) {
        cr_expect(public_key_verifies(keys[i], pairs[i].hash, buf_view(&pairs[i].signature)), "%zu", i);
        cr_expect(!public_key_verifies(keys[i], pairs[i].hash, buf_view(&pairs[(i + 1) % MANY].signature)), "%zu", i);
        public_key_release(&keys[i]);
        cr_expect(verifies(ALGORITHM_ED25519_SHA256, buf_view(&pairs[i].p), &pairs[i]), "%zu, asked for again", i);
    }
    for (size_t i = 0; i < MANY; i++)
        pair_free(&pairs[i]);
    free(pairs);
    free(keys);
}
