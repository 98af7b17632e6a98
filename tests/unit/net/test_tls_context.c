/* TLS contexts: which certificate a name gets, whom a client believes, and what is said of files that are wrong. */
#include "net/tls_ends.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct end client, server;

static struct tls_fingerprint fingerprint_of(const struct pem *p, bool of_key)
{
    struct tls_fingerprint out;
    BIO *in = BIO_new_mem_buf(p->certificate.p, (int)p->certificate.n);
    X509 *x = PEM_read_bio_X509(in, NULL, NULL, NULL);
    unsigned char *spki = NULL;
    unsigned n;
    cr_assert(x);
    if (of_key) {
        int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki);
        EVP_Digest(spki, (size_t)size, out.sha256, &n, EVP_sha256(), NULL);
    } else {
        X509_digest(x, EVP_sha256(), out.sha256, &n);
    }
    OPENSSL_free(spki);
    X509_free(x);
    BIO_free(in);
    return out;
}

/* --- the choice by name --- */

enum { MX_EC, MX_RSA, STAR_EC, OTHER_RSA, STAR_RSA, PEMS };

Test(tls_context, a_a_name_gets_its_certificate)
{
    static const struct {
        const char *asked;
        int ecdsa, rsa;    /* what clients of either kind get */
        const char *heard; /* tls_info.server_name */
        bool known;
    } cases[] = {
        {"mx.example", MX_EC, MX_RSA, "mx.example", true},
        {"MX.Example", MX_EC, MX_RSA, "mx.example", true},
        {"mx.example.", MX_EC, MX_RSA, "mx.example", true},
        {"mx2.example", MX_EC, STAR_RSA, "mx2.example", true}, /* by name for ECDSA, by the wildcard for RSA */
        {"any.example", STAR_EC, STAR_RSA, "any.example", true},
        {"other.test", OTHER_RSA, OTHER_RSA, "other.test", true},
        {"", MX_EC, MX_RSA, "", false},
        {"unknown.test", MX_EC, MX_RSA, "unknown.test", false},
        {"deep.any.example", MX_EC, MX_RSA, "deep.any.example", false},
        {"example", MX_EC, MX_RSA, "example", false},
        {"192.0.2.1", MX_EC, MX_RSA, "", false},
    };
    ends_begin();
    uint64_t from = WALL_MS - DAY_MS, to = WALL_MS + DAY_MS;
    struct pem pems[PEMS] = {
        make_pem("mx.example mx2.example", false, NULL, from, to), make_pem("mx.example", true, NULL, from, to + DAY_MS),
        make_pem("*.example", false, NULL, from, to + DAY_MS),     make_pem("other.test", true, NULL, from, to + DAY_MS),
        make_pem("*.example", true, NULL, from, to + DAY_MS),
    };
    struct tls_context *sc = server_of(pems, PEMS);
    cr_assert_eq(tls_context_expires(sc), to);
    for (int rsa = 0; rsa < 2; rsa++) {
        for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
            struct tls_context *cc = client_of((struct tls_client_options){0});
            SSL_CTX_set_max_proto_version(cc->ssl, version);
            const char *kinds = rsa ? "RSA-PSS+SHA256:RSA+SHA256" : "ECDSA+SHA256:RSA-PSS+SHA256:RSA+SHA256";
            cr_assert(SSL_CTX_set1_sigalgs_list(cc->ssl, kinds));
            for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                ends_connect(&client, &server, cc, sc, cases[i].asked);
                cr_assert_eq(stream_state(client.s), STREAM_OPEN, "%s: %s", cases[i].asked, stream_error(client.s));
                struct tls_fingerprint wanted = fingerprint_of(&pems[rsa ? cases[i].rsa : cases[i].ecdsa], false);
                cr_assert_arr_eq(info(&client).fingerprint.sha256, wanted.sha256, 32, "%s, rsa %d", cases[i].asked, rsa);
                cr_assert(str_eq(info(&server).server_name, str_of(cases[i].heard)) || cases[i].heard[0] == 0);
                cr_assert_eq(info(&server).server_name.n, strlen(cases[i].heard));
                cr_assert_eq(tls_context_has_name(sc, str_of(cases[i].asked)), cases[i].known, "%s", cases[i].asked);
                ends_close(&client, &server);
            }
            tls_context_free(&cc);
        }
    }
    for (size_t i = 0; i < PEMS; i++) {
        pem_free(&pems[i]);
    }
    tls_context_free(&sc);
    ends_done();
}

/* A client whose key share is for a group that we do not have says its hello twice. */
Test(tls_context, b_a_second_hello)
{
    ends_begin();
    struct pem pems[2] = {make("mx.example"), make("other.example")};
    struct tls_context *sc = server_of(pems, 2), *cc = client_of((struct tls_client_options){0});
    struct tls_fingerprint wanted = fingerprint_of(&pems[1], false);
    cr_assert(SSL_CTX_set1_groups_list(cc->ssl, "P-521:P-384"));
    ends_connect(&client, &server, cc, sc, "other.example");
    cr_assert_eq(stream_state(client.s), STREAM_OPEN, "%s", stream_error(client.s));
    cr_assert_arr_eq(info(&client).fingerprint.sha256, wanted.sha256, 32);
    cr_assert(str_eq(info(&server).server_name, STR("other.example")));
    ends_close(&client, &server);
    tls_context_free(&sc);
    tls_context_free(&cc);
    pem_free(&pems[0]);
    pem_free(&pems[1]);
    ends_done();
}

/* SNI from a stranger is looked up when it is a host name, and else is as if it were not there (Exim's CVE-2019-15846 and its
 * kind). */
Test(tls_context, b_hostile_names)
{
    char long_name[256];
    memset(long_name, 'a', 255);
    long_name[255] = 0;
    const char *const names[] = {"mx.example\\", "..", ".", ".mx.example", "mx..example", "*.example", "*", "%s%n", "../etc",
                                 "mx.example\n", "\xff\xfe", "a b", "[2001:db8::1]", "mx.example/../x", long_name, "a\x01"};
    ends_begin();
    struct pem pems[2] = {make("mx.example"), make("*.example")};
    struct tls_context *sc = server_of(pems, 2), *cc = client_of((struct tls_client_options){0});
    struct tls_fingerprint standard = fingerprint_of(&pems[0], false);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ends_start(&client, &server, cc, sc, "", (struct memory_pair_options){0});
        SSL_set_tlsext_host_name(((struct tls_stream *)(void *)client.s)->ssl, names[i]);
        settle(&client, &server);
        cr_assert_eq(stream_state(server.s), STREAM_OPEN, "%s: %s", names[i], stream_error(server.s));
        cr_assert_arr_eq(info(&client).fingerprint.sha256, standard.sha256, 32);
        bool plain = names[i] == long_name; /* that one is a name in form, only too long for DNS */
        cr_assert_eq(info(&server).server_name.n, plain ? 255 : 0, "%s", names[i]);
        ends_close(&client, &server);
    }
    tls_context_free(&sc);
    tls_context_free(&cc);
    pem_free(&pems[0]);
    pem_free(&pems[1]);
    ends_done();
}

/* --- whom a client believes --- */

static char *write_file(const char *text, size_t n)
{
    char path[] = "/tmp/postern-test-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, text, n), (ssize_t)n);
    close(fd);
    return xstrndup(path, strlen(path));
}

static void remove_file(char *path)
{
    unlink(path);
    free(path);
}

Test(tls_context, c_verification_by_name)
{
    enum { GOOD, ALONE, OLD, FUTURE, STRANGER, KINDS };
    static const struct {
        int kind;
        const char *name, *error; /* NULL: verified */
    } cases[] = {
        {GOOD, "mx.example", NULL},
        {GOOD, "MX.example.", NULL},
        {GOOD, "a.wild.example", NULL},
        {GOOD, "192.0.2.1", NULL},
        {GOOD, "2001:db8::1", NULL},
        {GOOD, "other.example", "hostname mismatch"},
        {GOOD, "wild.example", "hostname mismatch"},
        {GOOD, "a.b.wild.example", "hostname mismatch"},
        {GOOD, "192.0.2.2", "IP address mismatch"},
        {ALONE, "mx.example", "self-signed certificate"},
        {OLD, "mx.example", "certificate has expired"},
        {FUTURE, "mx.example", "certificate is not yet valid"},
        {STRANGER, "mx.example", "unable to get local issuer certificate"},
    };
    const char *names = "mx.example *.wild.example 192.0.2.1 2001:db8::1";
    uint64_t from = WALL_MS - DAY_MS, to = WALL_MS + DAY_MS;
    ends_begin();
    struct pem root = make_pem("Root-CA", false, NULL, from - 100 * DAY_MS, to + 100 * DAY_MS), strange = make("Strange-CA");
    struct pem pems[KINDS] = {
        make_pem(names, false, &root, from, to),
        make_pem(names, false, NULL, from, to),
        make_pem(names, false, &root, from - DAY_MS, from),
        make_pem(names, false, &root, to, to + DAY_MS),
        make_pem(names, false, &strange, from, to),
    };
    char *ca = write_file(root.certificate.p, root.certificate.n);
    struct tls_context *cc = client_of((struct tls_client_options){.verify = TLS_VERIFY_NAME, .ca_file = ca});
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tls_context *sc = server_of(&pems[cases[i].kind], 1);
        ends_connect(&client, &server, cc, sc, cases[i].name);
        if (!cases[i].error) {
            cr_assert_eq(stream_state(client.s), STREAM_OPEN, "%s: %s", cases[i].name, stream_error(client.s));
            cr_assert_eq(info(&client).peer, TLS_PEER_VERIFIED);
        } else {
            struct buf text = {0};
            buf_printf(&text, "TLS handshake: certificate verify failed: %s", cases[i].error);
            cr_assert_eq(stream_state(client.s), STREAM_DEAD, "case %zu", i);
            cr_assert(str_eq(buf_view(&text), str_of(stream_error(client.s))), "%s", stream_error(client.s));
            cr_assert_eq(server.last, STREAM_FAILED, "the server is told: %s", stream_error(server.s));
            buf_free(&text);
        }
        ends_close(&client, &server);
        tls_context_free(&sc);
    }
    struct tls_context *sc = server_of(&pems[GOOD], 1);
    ends_connect(&client, &server, cc, sc, "");
    cr_assert_eq(stream_state(client.s), STREAM_DEAD);
    cr_assert_str_eq(stream_error(client.s), "TLS: the server has no name to verify");
    ends_close(&client, &server);
    tls_context_free(&sc);
    tls_context_free(&cc);
    for (size_t i = 0; i < KINDS; i++) {
        struct tls_context *any = client_of((struct tls_client_options){.verify = TLS_VERIFY_OFF});
        sc = server_of(&pems[i], 1);
        ends_connect(&client, &server, any, sc, "elsewhere.example");
        cr_assert_eq(stream_state(client.s), STREAM_OPEN, "%s", stream_error(client.s));
        cr_assert_eq(info(&client).peer, TLS_PEER_UNVERIFIED);
        ends_close(&client, &server);
        tls_context_free(&sc);
        tls_context_free(&any);
        pem_free(&pems[i]);
    }
    pem_free(&root);
    pem_free(&strange);
    remove_file(ca);
    ends_done();
}

Test(tls_context, d_fingerprints)
{
    ends_begin();
    struct pem pems[2] = {make("mx.example"), make("other.example")};
    struct tls_context *sc = server_of(pems, 1);
    for (int of_key = 0; of_key < 2; of_key++) {
        for (int good = 0; good < 2; good++) {
            struct tls_fingerprint list[2] = {fingerprint_of(&pems[1], of_key), fingerprint_of(&pems[good ? 0 : 1], of_key)};
            struct tls_client_options options = {
                .verify = TLS_VERIFY_FINGERPRINT, .fingerprints = list, .fingerprint_count = good ? 2 : 1};
            struct tls_context *cc = client_of(options);
            for (int again = 0; again < 2; again++) { /* resumed the second time: verified still */
                ends_connect(&client, &server, cc, sc, "whatever.example");
                if (good) {
                    cr_assert_eq(stream_state(client.s), STREAM_OPEN, "%s", stream_error(client.s));
                    cr_assert_eq(info(&client).peer, TLS_PEER_VERIFIED);
                    cr_assert_eq(info(&client).resumed, again == 1);
                } else {
                    cr_assert_str_eq(stream_error(client.s),
                                     "TLS handshake: certificate verify failed: its fingerprint is not the expected one");
                    cr_assert_eq(server.last, STREAM_FAILED);
                }
                ends_close(&client, &server);
            }
            tls_context_free(&cc);
        }
    }
    tls_context_free(&sc);
    pem_free(&pems[0]);
    pem_free(&pems[1]);
    ends_done();
}

#define HEX31 "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E"
#define COLON31 "00:01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:"

Test(tls_context, e_fingerprints_as_text)
{
    static const char *const good[] = {HEX31 "1f", HEX31 "1F", COLON31 "1f", "sha256:" HEX31 "1f", "SHA256:" COLON31 "1F"};
    static const char *const bad[] = {
        "", HEX31, HEX31 "1", HEX31 "1g", HEX31 "1f0", COLON31, COLON31 "1", COLON31 "1f:", "sha1:" HEX31 "1f", " " HEX31 "1f",
        "00:0102:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1f0", HEX31 "1f ",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct tls_fingerprint f;
        cr_assert(tls_fingerprint_parse(str_of(good[i]), &f), "%s", good[i]);
        for (uint8_t b = 0; b < 32; b++) {
            cr_assert_eq(f.sha256[b], b);
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct tls_fingerprint f;
        cr_assert_not(tls_fingerprint_parse(str_of(bad[i]), &f), "%s", bad[i]);
    }
}

/* --- files --- */

static void expect_error(struct tls_certificate c, const char *file, const char *wanted)
{
    struct buf text = {0};
    buf_printf(&text, "%s: %s", file, wanted);
    char *error = NULL;
    struct tls_context *sc = tls_context_server(&(struct tls_server_options){.certificates = &c, .count = 1}, &error);
    cr_assert_null(sc, "%s", wanted);
    cr_assert(str_eq(str_of(error), buf_view(&text)), "%s instead of %s", error, wanted);
    buf_free(&text);
    free(error);
}

/* Nobody writes into the FIFO: who opened it would wait for ever. */
Test(tls_context, f_fifos)
{
    struct pem one = make("mx.example");
    char *error = NULL, *certificate = write_file(one.certificate.p, one.certificate.n), *fifo = write_file("", 0);
    cr_assert(unlink(fifo) == 0 && mkfifo(fifo, 0600) == 0);
    expect_error((struct tls_certificate){.file = fifo}, fifo, "not a regular file");
    expect_error((struct tls_certificate){.file = certificate, .key_file = fifo}, fifo, "not a regular file");
    const struct tls_client_options clients[] = {{.verify = TLS_VERIFY_NAME, .ca_file = fifo}, {.certificate_file = fifo},
                                                 {.certificate_file = certificate, .key_file = fifo}};
    for (size_t i = 0; i < sizeof clients / sizeof *clients; i++) {
        cr_assert_null(tls_context_client(&clients[i], &error));
        cr_expect(str_starts(str_of(error), str_of(fifo)) && strstr(error, "not a regular file"), "%s", error);
        free(error);
    }
    remove_file(fifo);
    remove_file(certificate);
    pem_free(&one);
}

Test(tls_context, f_files)
{
    struct pem root = make("Root"), other = make("other.example");
    struct pem one = make_pem("mx.example", false, &root, WALL_MS, WALL_MS + DAY_MS);
    struct buf all = {0}, broken = {0};
    char *error = NULL;
    buf_put(&all, one.certificate.p, one.certificate.n);
    buf_put(&all, root.certificate.p, root.certificate.n);
    buf_put(&broken, all.p, all.n - 60);
    buf_cstr(&broken, "\n-----END CERTIFICATE-----\n");
    buf_put(&all, one.key.p, one.key.n);
    char *both = write_file(all.p, all.n), *key = write_file(one.key.p, one.key.n), *wrong = write_file(other.key.p, other.key.n);
    char *chain = write_file(broken.p, broken.n), *text = write_file("hello\n", 6);
    char *certificate = write_file(one.certificate.p, one.certificate.n);
    struct tls_certificate good[2] = {{.file = both}, {.file = certificate, .key_file = key}};
    for (int i = 0; i < 2; i++) {
        struct tls_context *sc =
            tls_context_server(&(struct tls_server_options){.certificates = &good[i], .count = 1, .now_ms = WALL_MS}, &error);
        cr_assert(sc, "%s", error);
        cr_assert(tls_context_has_name(sc, STR("mx.example")));
        STACK_OF(X509) *sent = NULL;
        SSL_CTX_get0_chain_certs(sc->ssl, &sent);
        cr_assert_eq(sent ? sk_X509_num(sent) : 0, i == 0 ? 1 : 0, "the chain is sent");
        tls_context_free(&sc);
    }
    static const char *const missing = "/nonexistent/mx.pem";
    expect_error((struct tls_certificate){.file = missing}, missing, "No such file or directory");
    expect_error((struct tls_certificate){.file = text}, text, "holds no certificate in PEM");
    expect_error((struct tls_certificate){.file = key}, key, "holds no certificate in PEM");
    expect_error((struct tls_certificate){.file = chain, .key_file = key}, chain, "a certificate of the chain is not readable");
    expect_error((struct tls_certificate){.file = certificate}, certificate,
                 "holds no private key in PEM (or one with a password)");
    expect_error((struct tls_certificate){.file = certificate, .key_file = missing}, missing, "No such file or directory");
    expect_error((struct tls_certificate){.file = certificate, .key_file = wrong}, wrong,
                 "the private key is not that of the certificate");
    cr_assert_null(tls_context_server(&(struct tls_server_options){.count = 0}, &error));
    cr_assert_str_eq(error, "TLS: no certificate is given");
    free(error);
    struct tls_client_options nowhere = {.verify = TLS_VERIFY_NAME, .ca_file = "/nonexistent/ca"};
    cr_assert_null(tls_context_client(&nowhere, &error));
    cr_assert(str_starts(str_of(error), STR("/nonexistent/ca: ")), "%s", error);
    free(error);
    cr_assert_null(tls_context_client(&(struct tls_client_options){.verify = TLS_VERIFY_NAME, .ca_file = text}, &error));
    free(error);
    struct tls_context *system_cas = client_of((struct tls_client_options){.verify = TLS_VERIFY_NAME});
    tls_context_free(&system_cas);
    char *paths[] = {both, key, wrong, chain, text, certificate};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        remove_file(paths[i]);
    }
    pem_free(&root);
    pem_free(&one);
    pem_free(&other);
    buf_free(&all);
    buf_free(&broken);
}

Test(tls_context, g_host_names)
{
    static const struct {
        const char *in, *expected; /* NULL: none */
        bool wildcard;
    } cases[] = {
        {"mx.example", "mx.example", false}, {"MX.EXAMPLE.", "mx.example", false}, {"a_b-c.1", "a_b-c.1", false},
        {"*.example", NULL, false},          {"*.example", "*.example", true},     {"a.*.example", NULL, true},
        {"**.example", NULL, true},          {"", NULL, false},                    {".", NULL, false},
        {"a..b", NULL, false},               {".a", NULL, false},                  {"a b", NULL, false},
        {"a\\", NULL, false},                {"\xc3\xa4.example", NULL, false},
    };
    char out[TLS_NAME_MAX];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str name = tls_host_name(str_of(cases[i].in), cases[i].wildcard, out);
        cr_assert(str_eq(name, str_of(cases[i].expected)), "%s", cases[i].in);
    }
    cr_assert_eq(tls_host_name((struct str){"a\0b", 3}, false, out).n, 0);
}

Test(tls_context, h_certificates_that_cannot_be_made)
{
    struct buf a = {0}, b = {0};
    struct str bad[] = {STR("not a name")}, good[] = {STR("mx.example")};
    cr_assert_not(tls_make_certificate(&(struct tls_make){.names = bad, .count = 1, .to_ms = WALL_MS}, &a, &b));
    cr_assert_not(tls_make_certificate(&(struct tls_make){.names = good, .count = 0, .to_ms = WALL_MS}, &a, &b));
    struct tls_make by_nobody = {.names = good, .count = 1, .issuer_certificate = STR("x"), .issuer_key = STR("y")};
    cr_assert_not(tls_make_certificate(&by_nobody, &a, &b));
    cr_assert_eq(a.n + b.n, 0);
}
