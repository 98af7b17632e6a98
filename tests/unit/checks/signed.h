/*
 * signed.h - keys made in the test, messages signed with them by libopendkim's signing side, DNS as a table, and the verifier
 * fed in chunks.
 *
 *     struct keys k; keys_make(&k);
 *     publish(&k, "sel._domainkey.example.com", rsa_record(&k));
 *     struct buf m = {0}; sign(&k, &m, &(struct sign_as){.domain = "example.com", .selector = "sel"}, header, body);
 *     verify(&k, buf_view(&m), 16, 8, &result);
 */
#ifndef TESTS_CHECKS_SIGNED_H
#define TESTS_CHECKS_SIGNED_H

#include <criterion/criterion.h>
#include <dkim.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#define FORGIVE_LEAKS() __lsan_disable()
#define BLAME_LEAKS() __lsan_enable()
#else
#define FORGIVE_LEAKS() (void)0
#define BLAME_LEAKS() (void)0
#endif

#include "postern/base/codec.h"
#include "postern/checks/dkim.h"
#include "postern/mail/header.h"

enum { SIGNED_NOW = 1795292100, PUBLISHED_MAX = 64 };

struct published {
    const char *name;
    struct dns_answer *answer; /* NULL: no answer yet */
    unsigned asked;
};

struct keys {
    EVP_PKEY *rsa, *ed25519;
    char *rsa_pem, *ed25519_pem;
    struct buf rsa_record, ed25519_record; /* key records */
    struct published dns[PUBLISHED_MAX];
    size_t count;
    struct arena arena; /* of results */
    uint64_t now;
};

static inline char *pem_of(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data;
    PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    long n = BIO_get_mem_data(bio, &data);
    char *copy = xstrndup(data, (size_t)n);
    BIO_free(bio);
    return copy;
}

static inline void rsa_public(EVP_PKEY *key, struct buf *out)
{
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(key, &der);
    base64_encode(out, der, (size_t)n);
    OPENSSL_free(der);
}

static inline void ed25519_public(EVP_PKEY *key, struct buf *out)
{
    unsigned char raw[32];
    size_t n = sizeof raw;
    EVP_PKEY_get_raw_public_key(key, raw, &n);
    base64_encode(out, raw, n);
}

static inline void keys_make(struct keys *k)
{
    *k = (struct keys){.rsa = EVP_RSA_gen(2048), .ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), .now = SIGNED_NOW};
    k->rsa_pem = pem_of(k->rsa);
    k->ed25519_pem = pem_of(k->ed25519);
    buf_cstr(&k->rsa_record, "v=DKIM1; k=rsa; p=");
    rsa_public(k->rsa, &k->rsa_record);
    buf_cstr(&k->ed25519_record, "v=DKIM1; k=ed25519; p=");
    ed25519_public(k->ed25519, &k->ed25519_record);
}

static inline void keys_free(struct keys *k)
{
    EVP_PKEY_free(k->rsa);
    EVP_PKEY_free(k->ed25519);
    free(k->rsa_pem);
    free(k->ed25519_pem);
    buf_free(&k->rsa_record);
    buf_free(&k->ed25519_record);
    for (size_t i = 0; i < k->count; i++)
        dns_answer_unref(&k->dns[i].answer);
    arena_clear(&k->arena);
}

/* --- DNS --- */

static inline struct published *published_at(struct keys *k, const char *name)
{
    for (size_t i = 0; i < k->count; i++)
        if (strcmp(k->dns[i].name, name) == 0)
            return &k->dns[i];
    cr_assert(k->count < PUBLISHED_MAX);
    k->dns[k->count] = (struct published){.name = name};
    return &k->dns[k->count++];
}

static inline void publish_status(struct keys *k, const char *name, enum dns_status status)
{
    struct published *p = published_at(k, name);
    dns_answer_unref(&p->answer);
    p->answer = dns_answer_status(status, 60);
}

static inline void publish_never(struct keys *k, const char *name)
{
    dns_answer_unref(&published_at(k, name)->answer);
}

/* Records: texts, parted by '|'; each is cut into strings of 200 octets. */
static inline void publish(struct keys *k, const char *name, struct str records)
{
    struct published *p = published_at(k, name);
    struct dns_build b = {0};
    struct str text;

    dns_build_begin(&b, str_of(name), DNS_TXT, 0);
    while (str_split(&records, '|', &text)) {
        struct buf quoted = {0};
        for (size_t at = 0; at == 0 || at < text.n; at += 200) {
            buf_char(&quoted, '"');
            for (size_t i = at; i < text.n && i < at + 200; i++) {
                if (text.p[i] == '"' || text.p[i] == '\\')
                    buf_char(&quoted, '\\');
                buf_char(&quoted, text.p[i]);
            }
            buf_cstr(&quoted, "\" ");
        }
        cr_assert(dns_build_record(&b, str_of(name), DNS_TXT, 300, str_trim(buf_view(&quoted))));
        buf_free(&quoted);
    }
    struct str message = dns_build_end(&b);
    dns_answer_unref(&p->answer);
    p->answer = dns_answer_parse((const uint8_t *)message.p, message.n, str_of(name), DNS_TXT);
    cr_assert_eq(p->answer->status, DNS_OK);
    buf_free(&b.out);
}

static inline const struct dns_answer *ask_published(void *context, struct str name, unsigned type)
{
    struct keys *k = context;

    cr_assert_eq(type, DNS_TXT);
    for (size_t i = 0; i < k->count; i++) {
        if (str_eq(str_of(k->dns[i].name), name)) {
            k->dns[i].asked++;
            return k->dns[i].answer;
        }
    }
    static struct dns_answer nothing = {.references = 1, .status = DNS_NXDOMAIN};
    return &nothing;
}

/* --- signing --- */

struct sign_as {
    const char *domain, *selector;
    bool ed25519;
    bool simple_header, simple_body;
    long length;             /* l=; 0: none, negative: none */
    const char *const *over; /* names of the fields that are signed; NULL: libopendkim's own choice */
};

static inline void each_field(struct str header, void (*f)(void *context, struct str field), void *context)
{
    while (header.n) {
        size_t end = 0;
        for (;;) {
            end = str_find(header, '\n', end);
            if (end + 1 >= header.n || (header.p[end + 1] != ' ' && header.p[end + 1] != '\t'))
                break;
            end++;
        }
        size_t n = end < header.n ? end - 1 : header.n;
        f(context, str_sub(header, 0, n));
        header = str_sub(header, end + 1, header.n);
    }
}

static inline void sign_field(void *context, struct str field)
{
    cr_assert_eq(dkim_header(context, (u_char *)field.p, field.n), DKIM_STAT_OK);
}

/* Appends DKIM-Signature, header, empty line and body to out. libopendkim forgets to give back its Ed25519 signing key. */
static inline void sign(struct keys *k, struct buf *out, const struct sign_as *as, struct str header, struct str body)
{
    DKIM_STAT status;
    uint64_t when = k->now;
    FORGIVE_LEAKS();
    DKIM_LIB *lib = dkim_init(NULL, NULL);
    dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_FIXEDTIME, &when, sizeof when);
    if (as->over)
        dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_SIGNHDRS, (void *)as->over, sizeof as->over);
    DKIM *d = dkim_sign(lib, (const u_char *)"test", NULL, (dkim_sigkey_t)(as->ed25519 ? k->ed25519_pem : k->rsa_pem), (const u_char *)as->selector,
                        (const u_char *)as->domain, as->simple_header ? DKIM_CANON_SIMPLE : DKIM_CANON_RELAXED,
                        as->simple_body ? DKIM_CANON_SIMPLE : DKIM_CANON_RELAXED, as->ed25519 ? DKIM_SIGN_ED25519SHA256 : DKIM_SIGN_RSASHA256,
                        as->length > 0 ? as->length : -1, &status);
    cr_assert_not_null(d);
    if (as->ed25519 && as->simple_header)
        dkim_set_margin(d, 0); /* it folds a short b= otherwise than it has hashed it */
    u_char *text;
    size_t n;
    each_field(header, sign_field, d);
    cr_assert_eq(dkim_eoh(d), DKIM_STAT_OK);
    if (body.n)
        cr_assert_eq(dkim_body(d, (u_char *)body.p, body.n), DKIM_STAT_OK);
    status = dkim_eom(d, NULL);
    cr_assert_eq(status, DKIM_STAT_OK, "%d %s", status, dkim_geterror(d));
    cr_assert_eq(dkim_getsighdr_d(d, 16, &text, &n), DKIM_STAT_OK);
    buf_cstr(out, "DKIM-Signature: ");
    buf_put(out, text, n);
    buf_cstr(out, "\r\n");
    buf_str(out, header);
    buf_cstr(out, "\r\n");
    buf_str(out, body);
    dkim_free(d);
    dkim_close(lib);
    BLAME_LEAKS();
}

/* --- verifying --- */

static inline void feed_field(void *context, struct str field)
{
    dkim_verifier_field(context, field);
}

static inline struct dkim_verifier *feed_message(struct keys *k, struct str message, size_t chunk, size_t limit)
{
    struct dkim_verifier *v = dkim_verifier_new(limit, k->now);
    const char *end = message.n ? memmem(message.p, message.n, "\r\n\r\n", 4) : NULL;
    size_t header = end ? (size_t)(end - message.p) + 2 : message.n;

    each_field(str_sub(message, 0, header), feed_field, v);
    dkim_verifier_end_of_header(v);
    dkim_verifier_ask(v, ask_published, k);
    for (size_t at = header + 2; at < message.n; at += chunk)
        dkim_verifier_body(v, str_sub(message, at, at + chunk));
    return v;
}

/* Every answer is there; the result is in k's arena. */
static inline struct dkim_result verify(struct keys *k, struct str message, size_t chunk, size_t limit)
{
    struct dkim_result result;
    struct dkim_verifier *v = feed_message(k, message, chunk, limit);

    cr_assert(dkim_verifier_finish(v, ask_published, k, false, &k->arena, &result));
    dkim_verifier_free(&v);
    return result;
}

static inline const char *text_of(struct keys *k, const struct dkim_result *r, size_t i)
{
    return i < r->count ? dkim_signature_text(&r->signatures[i], &k->arena).p : "(no such signature)";
}

#endif
