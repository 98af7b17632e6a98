/*
 * signature_key.c - key records (RFC 6376 3.6.1, 8301, 8463) and the verifying of one hash with OpenSSL.
 *
 * A record is read strictly: who hands out what is no tag list has no key. Of several records at one name each is tried that
 * this signature may be verified with, up to DKIM_KEYS_MAX (6.1.2 leaves it to us). RSA keys come as SubjectPublicKeyInfo, as
 * the world has them, or as the bare RSAPublicKey of the RFC's text; a public exponent of more than 64 bits, which makes
 * verifying slow, is refused.
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "signature.h"

enum { RECORDS_MAX = 16, EXPONENT_BITS_MAX = 64, ED25519_OCTETS = 32 };

static struct str strip(struct str s)
{
    while (s.n && strchr(" \t\r\n", *s.p))
        s = str_sub(s, 1, s.n);
    while (s.n && strchr(" \t\r\n", s.p[s.n - 1]))
        s.n--;
    return s;
}

/* Is this word in the list, parted by colons? */
static bool in_list(struct str list, const char *word)
{
    struct str item;

    while (str_split(&list, ':', &item))
        if (str_eq(strip(item), str_of(word)))
            return true;
    return false;
}

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
    ERR_clear_error();
    return key;
}

static bool exponent_is_sane(EVP_PKEY *key)
{
    BIGNUM *e = NULL;
    bool good = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_num_bits(e) <= EXPONENT_BITS_MAX;

    good = good && BN_is_odd(e) && !BN_is_one(e);
    BN_free(e);
    ERR_clear_error();
    return good;
}

static enum dkim_verdict read_rsa(struct str bytes, struct arena *arena, struct public_key *out, struct str *reason)
{
    out->key = rsa_key(bytes);
    *reason = STR("the key is no RSA key");
    if (!out->key)
        return DKIM_PERMERROR;
    out->bits = (unsigned)EVP_PKEY_get_bits(out->key);
    if (out->bits < DKIM_KEY_BITS_MIN || out->bits > DKIM_KEY_BITS_MAX) { /* RFC 8301 3.2 */
        *reason = arena_printf(arena, "a key of %u bits", out->bits);
        return DKIM_POLICY;
    }
    *reason = STR("the key's exponent is out of all measure");
    if (!exponent_is_sane(out->key))
        return DKIM_PERMERROR;
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(out->key, &der);
    if (n > 0)
        out->der = arena_str(arena, (struct str){(char *)der, (size_t)n});
    OPENSSL_free(der);
    return DKIM_NONE;
}

static enum dkim_verdict read_ed25519(struct str bytes, struct arena *arena, struct public_key *out, struct str *reason)
{
    if (bytes.n == ED25519_OCTETS) /* RFC 8463 4: the bare 32 octets */
        out->key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)bytes.p, bytes.n);
    *reason = STR("the key is no Ed25519 key");
    out->bits = 256;
    out->der = arena_str(arena, bytes);
    ERR_clear_error();
    return out->key ? DKIM_NONE : DKIM_PERMERROR;
}

/* May this key be used for this signature at all? The reason why not, or NULL. */
static const char *unusable(const struct tag_list *tags, const struct signature *s)
{
    const struct tag *v = tag_find(tags, "v"), *k = tag_find(tags, "k"), *h = tag_find(tags, "h"), *service = tag_find(tags, "s");
    const char *wanted = s->algorithm == ALGORITHM_RSA_SHA256 ? "rsa" : "ed25519";

    if (v && (v != tags->tags || !str_eq(v->value, STR("DKIM1"))))
        return "the record at its name is no key";
    if (!tag_find(tags, "p"))
        return "the record at its name holds no key";
    if (!str_eq(k ? k->value : STR("rsa"), str_of(wanted)))
        return "the key is of another type (k=)";
    if (h && !in_list(h->value, "sha256"))
        return "the key is not for sha256 (h=)";
    if (service && !in_list(service->value, "*") && !in_list(service->value, "email"))
        return "the key is not for mail (s=)";
    return NULL;
}

static enum dkim_verdict read_record(struct str text, const struct signature *s, struct arena *arena, struct public_key *out,
                                     struct str *reason)
{
    struct tag_list tags;
    const char *why = NULL;

    *out = (struct public_key){0};
    if (!tag_list_parse(text, true, &tags, &why))
        why = "the record at its name is no key";
    else
        why = unusable(&tags, s);
    *reason = str_of(why);
    if (why)
        return DKIM_PERMERROR;
    struct str p = tag_find(&tags, "p")->value;
    const struct tag *flags = tag_find(&tags, "t");
    *reason = STR("the key is revoked");
    if (!p.n)
        return DKIM_PERMERROR;
    out->testing = flags && in_list(flags->value, "y");
    out->own_domain = flags && in_list(flags->value, "s");
    *reason = STR("i= is below d= and the key forbids it (t=s)");
    if (out->own_domain && !s->own_domain)
        return DKIM_PERMERROR;
    struct buf bytes = {0};
    enum dkim_verdict verdict = DKIM_PERMERROR;
    *reason = STR("the key is no base64");
    if (tag_base64(p, &bytes))
        verdict = s->algorithm == ALGORITHM_RSA_SHA256 ? read_rsa(buf_view(&bytes), arena, out, reason)
                                                       : read_ed25519(buf_view(&bytes), arena, out, reason);
    buf_free(&bytes);
    return verdict;
}

enum dkim_verdict keys_read(const struct dns_answer *a, const struct signature *s, struct arena *arena, struct key_set *out,
                            struct str *reason)
{
    enum dkim_verdict first = DKIM_PERMERROR;

    memset(out, 0, sizeof *out);
    if (dns_failed(a->status)) {
        *reason = arena_printf(arena, "DNS %s asking for the key", dns_status_names[a->status]);
        return DKIM_TEMPERROR;
    }
    *reason = STR("no key");
    for (size_t i = 0; a->status == DNS_OK && i < a->count && i < RECORDS_MAX && out->count < DKIM_KEYS_MAX; i++) {
        struct public_key key;
        struct str why;
        enum dkim_verdict verdict = read_record(a->records[i].text, s, arena, &key, &why);
        if (key.bits)
            out->bits = key.bits;
        if (verdict == DKIM_NONE) {
            out->keys[out->count++] = key;
            continue;
        }
        EVP_PKEY_free(key.key);
        if (i == 0 || verdict == DKIM_POLICY) {
            first = verdict;
            *reason = why;
        }
    }
    return out->count ? DKIM_NONE : first;
}

void keys_clear(struct key_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        EVP_PKEY_free(set->keys[i].key);
    set->count = 0;
}

bool key_verifies(const struct public_key *key, enum algorithm algorithm, const uint8_t digest[32], struct str signature)
{
    const unsigned char *bytes = (const unsigned char *)signature.p;
    int status = 0;

    if (algorithm == ALGORITHM_ED25519_SHA256) { /* RFC 8463 3: PureEdDSA over the hash */
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        if (md && EVP_DigestVerifyInit(md, NULL, NULL, NULL, key->key) == 1)
            status = EVP_DigestVerify(md, bytes, signature.n, digest, 32);
        EVP_MD_CTX_free(md);
    } else {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key->key, NULL);
        if (ctx && EVP_PKEY_verify_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
            EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1)
            status = EVP_PKEY_verify(ctx, bytes, signature.n, digest, 32);
        EVP_PKEY_CTX_free(ctx);
    }
    ERR_clear_error();
    return status == 1;
}
