/*
 * tls_make.c - making certificates: a key, the names, a signature by itself or by an issuer.
 */
#include "postern/net/tls_make.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "postern/base/addr.h"
#include "tls_internal.h"

static GENERAL_NAME *general_name(struct str name)
{
    struct addr a;
    char host[TLS_NAME_MAX];
    bool address = addr_parse(name, &a);
    struct str dns = address ? STR_NONE : tls_host_name(name, true, host);
    if (!address && dns.n == 0) {
        return NULL;
    }
    GENERAL_NAME *out = GENERAL_NAME_new();
    ASN1_STRING *text = address ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
    struct str value = address ? (struct str){(const char *)a.b, a.family == 4 ? 4 : 16} : dns;
    if (!out || !text || !ASN1_STRING_set(text, value.p, (int)value.n)) {
        ASN1_STRING_free(text);
        GENERAL_NAME_free(out);
        return NULL;
    }
    GENERAL_NAME_set0_value(out, address ? GEN_IPADD : GEN_DNS, text);
    return out;
}

static bool set_names(X509 *x, const struct tls_make *how)
{
    GENERAL_NAMES *all = GENERAL_NAMES_new();
    bool good = all && how->count > 0;
    for (size_t i = 0; good && i < how->count; i++) {
        GENERAL_NAME *one = general_name(how->names[i]);
        good = one && sk_GENERAL_NAME_push(all, one) > 0;
        if (!good) {
            GENERAL_NAME_free(one);
        }
    }
    good = good && X509_add1_ext_i2d(x, NID_subject_alt_name, all, 0, 0) == 1;
    GENERAL_NAMES_free(all);
    if (good && how->names[0].n <= 64) { /* RFC 5280 A.1: ub-common-name */
        const unsigned char *name = (const unsigned char *)how->names[0].p;
        X509_NAME *subject = X509_get_subject_name(x);
        good = X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, name, (int)how->names[0].n, -1, 0) == 1;
    }
    return good;
}

static bool set_authority(X509 *x, bool authority)
{
    BASIC_CONSTRAINTS *basic = BASIC_CONSTRAINTS_new();
    if (basic) {
        basic->ca = authority ? 0xFF : 0;
    }
    bool good = basic && X509_add1_ext_i2d(x, NID_basic_constraints, basic, 1, 0) == 1;
    BASIC_CONSTRAINTS_free(basic);
    return good;
}

static bool set_serial(X509 *x)
{
    uint64_t serial;
    return RAND_bytes((unsigned char *)&serial, sizeof serial) == 1 &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1 | 1);
}

static bool set_times(X509 *x, const struct tls_make *how)
{
    return ASN1_TIME_set(X509_getm_notBefore(x), (time_t)(how->from_ms / 1000)) &&
           ASN1_TIME_set(X509_getm_notAfter(x), (time_t)(how->to_ms / 1000));
}

/* x's issuer name and signature. */
static bool sign(X509 *x, EVP_PKEY *own, const struct tls_make *how)
{
    if (how->issuer_certificate.n == 0) {
        return X509_set_issuer_name(x, X509_get_subject_name(x)) && X509_sign(x, own, EVP_sha256()) > 0;
    }
    BIO *certificate = BIO_new_mem_buf(how->issuer_certificate.p, (int)how->issuer_certificate.n);
    BIO *key = BIO_new_mem_buf(how->issuer_key.n ? how->issuer_key.p : "", (int)how->issuer_key.n);
    X509 *issuer = certificate ? PEM_read_bio_X509(certificate, NULL, NULL, NULL) : NULL;
    EVP_PKEY *with = key ? PEM_read_bio_PrivateKey(key, NULL, NULL, (void *)"") : NULL;
    bool good = issuer && with && X509_set_issuer_name(x, X509_get_subject_name(issuer)) && X509_sign(x, with, EVP_sha256()) > 0;
    EVP_PKEY_free(with);
    X509_free(issuer);
    BIO_free(key);
    BIO_free(certificate);
    return good;
}

static bool write_pem(X509 *x, EVP_PKEY *own, struct buf *certificate, struct buf *key)
{
    BIO *a = BIO_new(BIO_s_mem()), *b = BIO_new(BIO_s_mem());
    char *p;
    bool good = a && b && PEM_write_bio_X509(a, x) && PEM_write_bio_PrivateKey(b, own, NULL, NULL, 0, NULL, NULL);
    if (good) {
        long n = BIO_get_mem_data(a, &p);
        buf_put(certificate, p, (size_t)n);
        n = BIO_get_mem_data(b, &p);
        buf_put(key, p, (size_t)n);
    }
    BIO_free(a);
    BIO_free(b);
    return good;
}

bool tls_make_certificate(const struct tls_make *how, struct buf *certificate, struct buf *key)
{
    EVP_PKEY *own = how->rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    X509 *x = X509_new();
    bool good = own && x && X509_set_version(x, X509_VERSION_3) && X509_set_pubkey(x, own) && set_serial(x) &&
                set_times(x, how) && set_names(x, how) && set_authority(x, how->authority) && sign(x, own, how) &&
                write_pem(x, own, certificate, key);
    X509_free(x);
    EVP_PKEY_free(own);
    ERR_clear_error();
    return good;
}

bool tls_fingerprint_of(struct str certificate_pem, struct tls_fingerprint *out)
{
    BIO *pem = BIO_new_mem_buf(certificate_pem.n ? certificate_pem.p : "", (int)certificate_pem.n);
    X509 *x = pem ? PEM_read_bio_X509(pem, NULL, NULL, NULL) : NULL;
    unsigned n;
    bool good = x && X509_digest(x, EVP_sha256(), out->sha256, &n) == 1;
    X509_free(x);
    BIO_free(pem);
    ERR_clear_error();
    return good;
}
