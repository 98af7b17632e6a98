/*
 * tls_names.c - the certificates of a server: reading them, and which of them a client gets.
 *
 *     SNI "mx.example"  ->  the map of names: "mx.example", else "*.example"
 *                       ->  one SSL_CTX with the first ECDSA and the first RSA certificate of that name
 *     none of them, or no SNI  ->  the SSL_CTX of the first certificate's own name
 *
 * An SSL_CTX holds one certificate of each key type, so there is one for each set of certificates that some name has; mostly that
 * is one in all. The name comes from a stranger: it is checked to be a host name before it is looked up, and is used for nothing
 * else.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "postern/base/source.h"
#include "tls_internal.h"

struct certificate {
    X509 *x509;
    EVP_PKEY *key;
    STACK_OF(X509) *chain; /* without x509 */
    int type;              /* of the key: index below */
    struct buf names;      /* in lower case, each with a NUL behind it */
};

struct host { /* what a name has */
    int member[TLS_KEY_TYPES]; /* certificates by key type: the first that is listed; -1: none */
    SSL_CTX *ssl;              /* one of `contexts` */
};

struct tls_names {
    struct certificate *certificates;
    size_t count;
    struct map *hosts;    /* struct host * by name */
    struct host unknown;  /* for all other names */
    struct host *made;    /* one for each different set: owns its ssl */
    size_t made_count;
};

struct str tls_host_name(struct str s, bool wildcard, char out[TLS_NAME_MAX])
{
    size_t n = 0;
    if (s.n > 0 && s.p[s.n - 1] == '.') {
        s.n--;
    }
    if (s.n == 0 || s.n >= TLS_NAME_MAX || s.p[0] == '.') {
        return STR_NONE;
    }
    bool star = wildcard && str_starts(s, STR("*."));
    for (size_t i = 0; i < s.n; i++) {
        char c = ascii_lower(s.p[i]);
        bool dot = c == '.' && s.p[i - 1] != '.';
        if (!(dot || c == '-' || c == '_' || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (star && i == 0))) {
            return STR_NONE;
        }
        out[n++] = c;
    }
    return (struct str){out, n};
}

/* --- reading --- */

static bool fail(char **error, const char *where, const char *why)
{
    struct buf text = {0};
    buf_printf(&text, "%s: %s", where ? where : "certificate", why);
    *error = buf_steal(&text);
    ERR_clear_error();
    return false;
}

/* NULL: it cannot be read, *error says why. */
static BIO *open_pem(const char *file, struct str pem, char **error)
{
    if (!file) {
        return BIO_new_mem_buf(pem.n ? pem.p : "", (int)pem.n);
    }
    if (source_would_block(file)) {
        fail(error, file, "not a regular file");
        return NULL;
    }
    errno = 0;
    BIO *in = BIO_new_file(file, "r");
    if (!in) {
        fail(error, file, errno ? strerror(errno) : tls_reason());
    }
    return in;
}

static int no_password(char *out, int n, int writing, void *context)
{
    (void)out, (void)n, (void)writing, (void)context;
    return -1; /* never asked for at a terminal */
}

static bool read_certificates(struct certificate *c, const struct tls_certificate *from, char **error)
{
    BIO *in = open_pem(from->file, from->certificate_pem, error);
    if (!in) {
        return false;
    }
    c->x509 = PEM_read_bio_X509_AUX(in, NULL, no_password, NULL);
    c->chain = sk_X509_new_null();
    for (X509 *x; c->x509 && c->chain && (x = PEM_read_bio_X509(in, NULL, no_password, NULL));) {
        if (!sk_X509_push(c->chain, x)) {
            abort(); /* out of memory */
        }
    }
    BIO_free(in);
    if (!c->x509) {
        return fail(error, from->file, "holds no certificate in PEM");
    }
    unsigned long last = ERR_peek_last_error(); /* "no start line" is the end of the file */
    if (ERR_GET_REASON(last) != PEM_R_NO_START_LINE) {
        return fail(error, from->file, "a certificate of the chain is not readable");
    }
    ERR_clear_error();
    return true;
}

static bool read_key(struct certificate *c, const struct tls_certificate *from, char **error)
{
    const char *file = from->key_file ? from->key_file : from->file;
    BIO *in = open_pem(file, from->key_pem, error);
    if (!in) {
        return false;
    }
    c->key = PEM_read_bio_PrivateKey(in, NULL, no_password, NULL);
    BIO_free(in);
    if (!c->key) {
        return fail(error, file, "holds no private key in PEM (or one with a password)");
    }
    if (!X509_check_private_key(c->x509, c->key)) {
        return fail(error, file, "the private key is not that of the certificate");
    }
    int base = EVP_PKEY_get_base_id(c->key);
    c->type = base == EVP_PKEY_RSA ? 0 : base == EVP_PKEY_EC ? 1 : 2;
    return true;
}

static void add_name(struct certificate *c, const ASN1_STRING *text, bool dns)
{
    char host[TLS_NAME_MAX];
    struct str name = {(const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text)};
    name = tls_host_name(name, true, host);
    if (name.n > 0 && (dns || str_find(name, '.', 0) < name.n)) {
        buf_str(&c->names, name);
        buf_char(&c->names, 0);
    }
}

/* RFC 6125 section 6.4.4: the common name counts only when there are no DNS names. */
static void collect_names(struct certificate *c)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(c->x509, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *x = sk_GENERAL_NAME_value(all, i);
        if (x->type == GEN_DNS) {
            add_name(c, x->d.dNSName, true);
        }
    }
    GENERAL_NAMES_free(all);
    X509_NAME *subject = X509_get_subject_name(c->x509);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (c->names.n == 0 && at >= 0) {
        add_name(c, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), false);
    }
}

static uint64_t ends_at(const X509 *x509)
{
    struct tm tm;
    time_t t = ASN1_TIME_to_tm(X509_get0_notAfter(x509), &tm) ? timegm(&tm) : 0;
    return t > 0 ? (uint64_t)t * 1000 : 0;
}

/* --- names to certificates --- */

static bool next_name(const struct certificate *c, size_t *cursor, struct str *name)
{
    if (*cursor >= c->names.n) {
        return false;
    }
    *name = str_of(c->names.p + *cursor);
    *cursor += name->n + 1;
    return true;
}

static struct host host_empty(void)
{
    struct host h = {.ssl = NULL};
    for (int i = 0; i < TLS_KEY_TYPES; i++) {
        h.member[i] = -1;
    }
    return h;
}

static void hosts_add(struct tls_names *names, struct str name, size_t certificate)
{
    struct host *h = map_get(names->hosts, name);
    if (!h) {
        h = xcalloc(1, sizeof *h);
        *h = host_empty();
        map_put(names->hosts, name, h);
    }
    int *member = &h->member[names->certificates[certificate].type];
    if (*member < 0) {
        *member = (int)certificate;
    }
}

static struct host *wildcard_of(const struct tls_names *names, struct str name)
{
    char star[TLS_NAME_MAX + 1] = "*";
    size_t dot = str_find(name, '.', 0);
    if (dot == name.n) {
        return NULL;
    }
    memcpy(star + 1, name.p + dot, name.n - dot);
    return map_get(names->hosts, (struct str){star, name.n - dot + 1});
}

static struct host *find(const struct tls_names *names, struct str name)
{
    struct host *h = map_get(names->hosts, name);
    return h ? h : wildcard_of(names, name);
}

static void take_missing(struct host *h, const struct host *from)
{
    for (int i = 0; from && i < TLS_KEY_TYPES; i++) {
        if (h->member[i] < 0) {
            h->member[i] = from->member[i];
        }
    }
}

/* --- the SSL_CTX of each set --- */

static int choose(SSL *ssl, int *alert, void *context)
{
    const struct tls_context *c = context;
    struct tls_stream *x = tls_of(ssl);
    const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    char host[TLS_NAME_MAX];
    (void)alert;
    struct str name = tls_host_name(str_of(asked), false, host);
    if (name.n == 0) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    free(x->name); /* a second hello, after a retry request */
    x->name = xstrndup(name.p, name.n);
    const struct host *h = find(c->names, name);
    if (!h) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    if (SSL_get_SSL_CTX(ssl) != h->ssl) {
        SSL_set_SSL_CTX(ssl, h->ssl);
    }
    return SSL_TLSEXT_ERR_OK;
}

static bool make_ssl(struct tls_context *c, struct host *h, const struct tls_server_options *options, char **error)
{
    h->ssl = tls_ssl_context(c);
    if (!h->ssl) {
        return fail(error, "TLS", tls_reason());
    }
    SSL_CTX_set_tlsext_servername_callback(h->ssl, choose);
    SSL_CTX_set_tlsext_servername_arg(h->ssl, c);
    tls_tickets_use(h->ssl);
    for (int i = 0; i < TLS_KEY_TYPES; i++) {
        if (h->member[i] < 0) {
            continue;
        }
        const struct certificate *x = &c->names->certificates[h->member[i]];
        STACK_OF(X509) *chain = sk_X509_num(x->chain) > 0 ? x->chain : NULL; /* each connection copies it */
        if (!SSL_CTX_use_cert_and_key(h->ssl, x->x509, x->key, chain, 0)) {
            return fail(error, options->certificates[h->member[i]].file, tls_reason());
        }
    }
    return true;
}

/* Gives h the SSL_CTX of its set, made when it is the first with that set. */
static bool assign_ssl(struct tls_context *c, struct host *h, const struct tls_server_options *options, char **error)
{
    struct tls_names *names = c->names;
    for (size_t i = 0; i < names->made_count; i++) {
        if (memcmp(names->made[i].member, h->member, sizeof h->member) == 0) {
            h->ssl = names->made[i].ssl;
            return true;
        }
    }
    names->made = xrealloc(names->made, (names->made_count + 1) * sizeof *names->made);
    struct host *made = &names->made[names->made_count++];
    *made = *h;
    if (!make_ssl(c, made, options, error)) {
        return false;
    }
    h->ssl = made->ssl;
    return true;
}

static bool assign_all(struct tls_context *c, const struct tls_server_options *options, char **error)
{
    struct tls_names *names = c->names;
    struct str name;
    void *value;
    size_t cursor = 0;
    while (map_next(names->hosts, &cursor, &name, &value)) {
        if (!str_starts(name, STR("*"))) {
            take_missing(value, wildcard_of(names, name));
        }
    }
    names->unknown = host_empty();
    names->unknown.member[names->certificates[0].type] = 0;
    size_t first = 0;
    if (next_name(&names->certificates[0], &first, &name)) {
        take_missing(&names->unknown, map_get(names->hosts, name));
    }
    if (!assign_ssl(c, &names->unknown, options, error)) {
        return false;
    }
    cursor = 0;
    while (map_next(names->hosts, &cursor, &name, &value)) {
        if (!assign_ssl(c, value, options, error)) {
            return false;
        }
    }
    return true;
}

bool tls_names_load(struct tls_context *c, const struct tls_server_options *options, char **error)
{
    struct tls_names *names = c->names = xcalloc(1, sizeof *names);
    names->certificates = xcalloc(options->count ? options->count : 1, sizeof *names->certificates);
    names->hosts = map_new();
    c->expires_ms = UINT64_MAX;
    if (options->count == 0) {
        return fail(error, "TLS", "no certificate is given");
    }
    for (size_t i = 0; i < options->count; i++) {
        struct certificate *x = &names->certificates[names->count++];
        if (!read_certificates(x, &options->certificates[i], error) || !read_key(x, &options->certificates[i], error)) {
            return false;
        }
        collect_names(x);
        c->expires_ms = ends_at(x->x509) < c->expires_ms ? ends_at(x->x509) : c->expires_ms;
        struct str name;
        for (size_t cursor = 0; next_name(x, &cursor, &name);) {
            hosts_add(names, name, i);
        }
    }
    if (!assign_all(c, options, error)) {
        return false;
    }
    c->ssl = names->unknown.ssl;
    SSL_CTX_up_ref(c->ssl);
    return true;
}

bool tls_context_has_name(const struct tls_context *c, struct str name)
{
    char host[TLS_NAME_MAX];
    name = tls_host_name(name, false, host);
    return name.n > 0 && find(c->names, name);
}

void tls_names_free(struct tls_names **names)
{
    struct tls_names *x = *names;
    *names = NULL;
    if (!x) {
        return;
    }
    for (size_t i = 0; i < x->count; i++) {
        X509_free(x->certificates[i].x509);
        EVP_PKEY_free(x->certificates[i].key);
        sk_X509_pop_free(x->certificates[i].chain, X509_free);
        buf_free(&x->certificates[i].names);
    }
    for (size_t i = 0; i < x->made_count; i++) {
        SSL_CTX_free(x->made[i].ssl);
    }
    map_free(&x->hosts, free);
    free(x->made);
    free(x->certificates);
    free(x);
}
