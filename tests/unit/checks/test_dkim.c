/*
 * The DKIM verifier on whole messages: the RFCs' own examples, and messages signed by libopendkim, both algorithms and all
 * canonicalisations, in chunks of every size.
 */
#include "signed.h"

#define SIXPACK \
    "From: Joe SixPack <joe@football.example.com>\r\n" \
    "To: Suzie Q <suzie@shopping.example.net>\r\n" \
    "Subject: Is dinner ready?\r\n" \
    "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n" \
    "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"

static const size_t chunks[] = {1, 2, 3, 5, 16, 256, 4096};
enum { CHUNKS = sizeof chunks / sizeof *chunks };

/* RFC 6376 appendix A.2 with the key of appendix A.3. */
Test(dkim, rfc6376_appendix_a)
{
    static const char message[] =
        "DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;\r\n"
        "      c=simple/simple; q=dns/txt; i=joe@football.example.com;\r\n"
        "      h=Received : From : To : Subject : Date : Message-ID;\r\n"
        "      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
        "      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB\r\n"
        "      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut\r\n"
        "      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV\r\n"
        "      4bmp/YzhwvcubU4=;\r\n"
        "Received: from client1.football.example.com  [192.0.2.1]\r\n"
        "      by submitserver.example.com with SUBMISSION;\r\n"
        "      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)\r\n" SIXPACK
        "\r\nHi.\r\n\r\nWe lost the game. Are you hungry yet?\r\n\r\nJoe.\r\n";
    struct keys k;
    keys_make(&k);
    publish(&k, "brisbane._domainkey.example.com",
            STR("v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/"
                "RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"));
    for (size_t i = 0; i < CHUNKS; i++) {
        struct dkim_result r = verify(&k, str_of(message), chunks[i], 8);
        cr_expect_eq(r.verdict, DKIM_PASS);
        cr_expect_str_eq(text_of(&k, &r, 0), "example.com/brisbane rsa-sha256 1024 pass i=joe@football.example.com");
        cr_expect_str_eq(r.signatures[0].b.p, "AuUoFEfD");
    }
    keys_free(&k);
}

/* RFC 8463 appendix A. */
Test(dkim, rfc8463_appendix_a)
{
    static const char message[] =
        "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
        " d=football.example.com; i=@football.example.com;\r\n"
        " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
        " subject : date : message-id : from : subject : date;\r\n"
        " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
        " b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
        " Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
        "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
        " d=football.example.com; i=@football.example.com;\r\n"
        " q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"
        " date : message-id : from : subject : date;\r\n"
        " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
        " b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n"
        " DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n"
        " dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r\n" SIXPACK
        "\r\nHi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";
    struct keys k;
    keys_make(&k);
    publish(&k, "brisbane._domainkey.football.example.com", STR("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="));
    publish(&k, "test._domainkey.football.example.com",
            STR("v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC"
                "DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"));
    for (size_t i = 0; i < CHUNKS; i++) {
        struct dkim_result r = verify(&k, str_of(message), chunks[i], 8);
        cr_expect_eq(r.verdict, DKIM_PASS);
        cr_expect_str_eq(text_of(&k, &r, 0), "football.example.com/brisbane ed25519-sha256 256 pass");
        cr_expect_str_eq(text_of(&k, &r, 1), "football.example.com/test rsa-sha256 1024 pass");
    }
    keys_free(&k);
}

static const char *const headers[] = {
    "From: a@example.com\r\n",
    SIXPACK,
    "from:  a@example.com \r\nSUBJECT :  two   words\t and\r\n\ta fold  \r\nTo:\r\n u@our.test\r\nDate: x\r\nDate: y\r\nX-Empty:\r\nReceived: 1\r\nReceived: 2\r\n",
    "Subject: \xc3\xa4 8-bit \xff\r\nFrom: =?utf-8?q?x?= <a@example.com>\r\nMIME-Version: 1.0\r\n",
};
static const char *const bodies[] = {
    "",
    "\r\n",
    "\r\n\r\n\r\n",
    "x\r\n",
    "one\r\n\r\n\r\ntwo  three\t \r\n \t\r\n  four\r\n\r\n\r\n",
    " \r\n\t\r\n",
    "leading\r\n space\r\n.dot\r\n..\r\n",
    "8-bit \xff\xfe\x80\r\n",
    "a long line aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb      b\r\n",
};
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* Signed by libopendkim: every algorithm, canonicalisation, header, body and chunk. */
Test(dkim, signed_by_libopendkim)
{
    struct keys k;
    keys_make(&k);
    publish(&k, "sel._domainkey.example.com", buf_view(&k.rsa_record));
    publish(&k, "ed._domainkey.example.com", buf_view(&k.ed25519_record));
    for (unsigned shape = 0; shape < 8; shape++)
        for (size_t h = 0; h < COUNT(headers); h++)
            for (size_t b = 0; b < COUNT(bodies); b++) {
                struct buf message = {0};
                struct sign_as as = {.domain = "example.com", .selector = shape & 1 ? "ed" : "sel", .ed25519 = shape & 1,
                                     .simple_header = shape & 2, .simple_body = shape & 4};
                sign(&k, &message, &as, str_of(headers[h]), str_of(bodies[b]));
                for (size_t i = 0; i < CHUNKS; i++) {
                    struct dkim_result r = verify(&k, buf_view(&message), chunks[i], 8);
                    cr_expect_eq(r.verdict, DKIM_PASS, "shape %u header %zu body %zu chunk %zu: %s", shape, h, b, chunks[i], text_of(&k, &r, 0));
                }
                buf_free(&message);
            }
    keys_free(&k);
}

/* The same messages with one octet changed anywhere in what is signed: never a pass. */
Test(dkim, altered_anywhere)
{
    struct keys k;
    keys_make(&k);
    publish(&k, "sel._domainkey.example.com", buf_view(&k.rsa_record));
    struct buf message = {0};
    sign(&k, &message, &(struct sign_as){.domain = "example.com", .selector = "sel", .simple_header = true, .simple_body = true},
         STR("From: a@example.com\r\nSubject: hello\r\n"), STR("one\r\ntwo\r\n"));
    for (size_t i = sizeof "DKIM-Signature:"; i < message.n; i++) {
        char kept = message.p[i];
        if (kept == '\r' || kept == '\n')
            continue;
        message.p[i] = (char)(kept == 'X' ? 'Y' : 'X');
        struct dkim_result r = verify(&k, buf_view(&message), 4096, 8);
        cr_expect_neq(r.verdict, DKIM_PASS, "octet %zu (%c)", i, kept);
        message.p[i] = kept;
    }
    cr_expect_eq(verify(&k, buf_view(&message), 7, 8).verdict, DKIM_PASS);
    buf_free(&message);
    keys_free(&k);
}

/* A last line without its CRLF gets one (RFC 6376 3.4.3, 3.4.4); BDAT can end a message so. */
Test(dkim, body_without_a_line_end)
{
    struct keys k;
    keys_make(&k);
    publish(&k, "sel._domainkey.example.com", buf_view(&k.rsa_record));
    for (unsigned simple = 0; simple < 2; simple++)
        for (size_t i = 0; i < CHUNKS; i++) {
            struct buf message = {0};
            sign(&k, &message, &(struct sign_as){.domain = "example.com", .selector = "sel", .simple_body = simple}, STR("From: a@example.com\r\n"),
                 STR("one\r\ntwo\r\n"));
            message.n -= 2;
            cr_expect_eq(verify(&k, buf_view(&message), chunks[i], 8).verdict, DKIM_PASS, "simple %u chunk %zu", simple, chunks[i]);
            buf_free(&message);
        }
    keys_free(&k);
}

Test(dkim, unsigned_messages)
{
    struct keys k;
    keys_make(&k);
    static const char *const messages[] = {"From: a@b.example\r\n\r\nx\r\n", "\r\nx\r\n", "", "From: a@b.example\r\n", "X: y\r\n\r\n"};
    for (size_t i = 0; i < COUNT(messages); i++) {
        struct dkim_result r = verify(&k, str_of(messages[i]), 3, 8);
        cr_expect_eq(r.verdict, DKIM_NONE);
        cr_expect_eq(r.count, 0);
    }
    keys_free(&k);
}

/* l=: what is behind it is a tail, and a body that ends before it is not what was signed. */
Test(dkim, tail)
{
    struct keys k;
    keys_make(&k);
    publish(&k, "sel._domainkey.example.com", buf_view(&k.rsa_record));
    static const struct { const char *body; enum dkim_verdict verdict; bool tail; } rows[] = {
        {"one\r\ntwo\r\n", DKIM_PASS, false},
        {"one\r\ntwo\r\n\r\n\r\n", DKIM_PASS, false},
        {"one\r\ntwo\r\nbuy now\r\n", DKIM_PASS, true},
        {"one\r\ntwo\r\n\r\nx", DKIM_PASS, true},
        {"one\r\n", DKIM_FAIL, false},
        {"", DKIM_FAIL, false},
        {"one\r\ntwX\r\n", DKIM_FAIL, false},
    };
    for (unsigned simple = 0; simple < 2; simple++)
        for (size_t i = 0; i < COUNT(rows); i++) {
            struct buf message = {0};
            sign(&k, &message, &(struct sign_as){.domain = "example.com", .selector = "sel", .simple_body = simple, .length = 10},
                 STR("From: a@example.com\r\n"), STR("one\r\ntwo\r\n"));
            message.n -= 10;
            buf_cstr(&message, rows[i].body);
            for (size_t c = 0; c < CHUNKS; c++) {
                struct dkim_result r = verify(&k, buf_view(&message), chunks[c], 8);
                cr_expect_eq(r.verdict, rows[i].verdict, "row %zu simple %u: %s", i, simple, text_of(&k, &r, 0));
                cr_expect_eq(r.tail, rows[i].tail, "row %zu simple %u", i, simple);
            }
            buf_free(&message);
        }
    keys_free(&k);
}

/* RFC 6376 8.15: a second Subject above the signed one verifies, and is noted. */
Test(dkim, more_fields_than_signed)
{
    struct keys k;
    keys_make(&k);
    publish(&k, "sel._domainkey.example.com", buf_view(&k.rsa_record));
    struct buf message = {0}, changed = {0};
    sign(&k, &message, &(struct sign_as){.domain = "example.com", .selector = "sel"}, STR("From: a@example.com\r\nSubject: hello\r\n"), STR("x\r\n"));
    buf_cstr(&changed, "subject: another\r\n");
    buf_str(&changed, buf_view(&message));
    struct dkim_result r = verify(&k, buf_view(&changed), 100, 8);
    cr_expect_str_eq(text_of(&k, &r, 0), "example.com/sel rsa-sha256 2048 pass (more subject fields than are signed)");
    buf_free(&message);
    buf_free(&changed);
    keys_free(&k);
}

/* Keys: what a record may say, and what becomes of the signature. {RSA}: the right key. */
static const struct { const char *record; enum dns_status status; const char *text; } records[] = {
    {"v=DKIM1; k=rsa; p={RSA}", DNS_OK, "2048 pass"},
    {"p={RSA}", DNS_OK, "2048 pass"},
    {"p={RSA};", DNS_OK, "2048 pass"},
    {" v = DKIM1 ; p = {RSA} ; n = any note ; x=y", DNS_OK, "2048 pass"},
    {"v=DKIM1; h=sha1:sha256; s=other:email; t=z:s; p={RSA}", DNS_OK, "2048 pass"},
    {"v=DKIM1; s=*; p={RSA}", DNS_OK, "2048 pass"},
    {"v=DKIM1; p={PKCS1}", DNS_OK, "2048 pass"},
    {"v=DKIM1; t=y; p={RSA}", DNS_OK, "2048 none (testing key: would be pass)"},
    {"v=DKIM1; t=s:y; p={OTHER}", DNS_OK, "2048 none (testing key: would be fail)"},
    {"v=DKIM1; p={OTHER}", DNS_OK, "2048 fail (the signature does not match)"},
    {"v=DKIM1; p={OTHER}|v=DKIM1; p={RSA}", DNS_OK, "2048 pass"},
    {"v=spf1 -all|some text|v=DKIM1; p={RSA}", DNS_OK, "2048 pass"},
    {"v=DKIM1; p=|v=DKIM1; p={RSA}", DNS_OK, "2048 pass"},
    {"v=DKIM1; k=ed25519; p={ED}|v=DKIM1; p={RSA}", DNS_OK, "2048 pass"},
    {"v=DKIM1; p=", DNS_OK, "0 permerror (the key is revoked)"},
    {"v=DKIM1; p= ; n=gone", DNS_OK, "0 permerror (the key is revoked)"},
    {"v=DKIM1; k=rsa", DNS_OK, "0 permerror (the record at its name holds no key)"},
    {"v=DKIM2; p={RSA}", DNS_OK, "0 permerror (the record at its name is no key)"},
    {"v=dkim1; p={RSA}", DNS_OK, "0 permerror (the record at its name is no key)"},
    {"p={RSA}; v=DKIM1", DNS_OK, "0 permerror (the record at its name is no key)"},
    {"v=DKIM1; p={RSA}; p={RSA}", DNS_OK, "0 permerror (the record at its name is no key)"},
    {"v=DKIM1; k=ed25519; p={ED}", DNS_OK, "0 permerror (the key is of another type (k=))"},
    {"v=DKIM1; k=dsa; p={RSA}", DNS_OK, "0 permerror (the key is of another type (k=))"},
    {"v=DKIM1; h=sha1; p={RSA}", DNS_OK, "0 permerror (the key is not for sha256 (h=))"},
    {"v=DKIM1; s=tlsrpt; p={RSA}", DNS_OK, "0 permerror (the key is not for mail (s=))"},
    {"v=DKIM1; p=!!!!", DNS_OK, "0 permerror (the key is no base64)"},
    {"v=DKIM1; p=AAAA", DNS_OK, "0 permerror (the key is no RSA key)"},
    {"v=DKIM1; p={ED}", DNS_OK, "0 permerror (the key is no RSA key)"},
    {"v=DKIM1; p={768}", DNS_OK, "768 policy (a key of 768 bits)"},
    {"v=spf1 -all", DNS_OK, "0 permerror (the record at its name is no key)"},
    {"", DNS_OK, "0 permerror (the record at its name is no key)"},
    {NULL, DNS_NXDOMAIN, "0 permerror (no key)"},
    {NULL, DNS_NODATA, "0 permerror (no key)"},
    {NULL, DNS_BADNAME, "0 permerror (no key)"},
    {NULL, DNS_SERVFAIL, "0 temperror (DNS servfail asking for the key)"},
    {NULL, DNS_TIMEOUT, "0 temperror (DNS timeout asking for the key)"},
    {NULL, DNS_MALFORMED, "0 temperror (DNS malformed asking for the key)"},
    {NULL, DNS_LIMIT, "0 temperror (DNS limit asking for the key)"},
};

/* Puts value for each mark in a NUL-terminated text. */
static void fill_in(struct buf *text, const char *mark, struct str value)
{
    struct buf copy = {0};
    const char *from = text->p;
    for (const char *at; (at = strstr(from, mark)); from = at + strlen(mark)) {
        buf_put(&copy, from, (size_t)(at - from));
        buf_str(&copy, value);
    }
    buf_put(&copy, from, strlen(from) + 1);
    buf_free(text);
    *text = copy;
}

Test(dkim, key_records)
{
    struct keys k, other;
    keys_make(&k);
    keys_make(&other);
    struct buf rsa = {0}, wrong = {0}, ed = {0}, weak = {0}, pkcs1 = {0}, message = {0};
    rsa_public(k.rsa, &rsa);
    rsa_public(other.rsa, &wrong);
    ed25519_public(k.ed25519, &ed);
    EVP_PKEY *small = EVP_RSA_gen(768);
    rsa_public(small, &weak);
    EVP_PKEY_free(small);
    unsigned char *der = NULL;
    int n = i2d_PublicKey(k.rsa, &der);
    base64_encode(&pkcs1, der, (size_t)n);
    OPENSSL_free(der);
    sign(&k, &message, &(struct sign_as){.domain = "example.com", .selector = "sel"}, STR("From: a@example.com\r\n"), STR("x\r\n"));
    for (size_t i = 0; i < COUNT(records); i++) {
        if (records[i].record) {
            struct buf text = {0};
            buf_put(&text, records[i].record, strlen(records[i].record) + 1);
            fill_in(&text, "{RSA}", buf_view(&rsa));
            fill_in(&text, "{OTHER}", buf_view(&wrong));
            fill_in(&text, "{ED}", buf_view(&ed));
            fill_in(&text, "{768}", buf_view(&weak));
            fill_in(&text, "{PKCS1}", buf_view(&pkcs1));
            publish(&k, "sel._domainkey.example.com", str_of(text.p));
            buf_free(&text);
        } else {
            publish_status(&k, "sel._domainkey.example.com", records[i].status);
        }
        struct dkim_result r = verify(&k, buf_view(&message), 100, 8);
        struct buf wanted = {0};
        buf_printf(&wanted, "example.com/sel rsa-sha256 %s", records[i].text);
        buf_char(&wanted, 0);
        cr_expect_str_eq(text_of(&k, &r, 0), wanted.p, "record %zu", i);
        cr_expect_eq(r.verdict, r.signatures[0].verdict);
        buf_free(&wanted);
    }
    buf_free(&rsa), buf_free(&wrong), buf_free(&ed), buf_free(&weak), buf_free(&pkcs1), buf_free(&message);
    keys_free(&k);
    keys_free(&other);
}

/* Of as many primes as OpenSSL makes of this size (RFC 8017 3.1): to a verifier it is like any other, and 8192 bits of two would take
 * half a minute. */
static EVP_PKEY *large_rsa(unsigned bits)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    int primes = bits >= 8192 ? 5 : bits >= 4096 ? 4 : 3;
    cr_assert(EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)bits) == 1 &&
              EVP_PKEY_CTX_set_rsa_keygen_primes(ctx, primes) == 1 && EVP_PKEY_generate(ctx, &key) == 1);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* Sizes of RSA keys from 1024 to 8192 bits (RFC 8301 3.2), some of them too long for what libopendkim reads of a record. */
Test(dkim, key_sizes)
{
    static const unsigned sizes[] = {1024, 3072, 4096, 8192};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct keys k;
        keys_make(&k);
        EVP_PKEY_free(k.rsa);
        free(k.rsa_pem);
        buf_clear(&k.rsa_record);
        k.rsa = large_rsa(sizes[i]);
        k.rsa_pem = pem_of(k.rsa);
        buf_cstr(&k.rsa_record, "p=");
        rsa_public(k.rsa, &k.rsa_record);
        publish(&k, "sel._domainkey.example.com", buf_view(&k.rsa_record));
        struct buf message = {0};
        sign(&k, &message, &(struct sign_as){.domain = "example.com", .selector = "sel"}, STR("From: a@example.com\r\n"), STR("x\r\n"));
        struct dkim_result r = verify(&k, buf_view(&message), 100, 8);
        cr_expect_eq(r.verdict, DKIM_PASS, "%u: %s", sizes[i], text_of(&k, &r, 0));
        cr_expect_eq(r.signatures[0].key_bits, sizes[i]);
        buf_free(&message);
        keys_free(&k);
    }
}

/* A key that is changed, withdrawn and published again: what DNS says now is what counts, whatever was decoded before. */
Test(dkim, changed_keys)
{
    struct keys k, other;
    keys_make(&k);
    keys_make(&other);
    struct buf message = {0};
    sign(&k, &message, &(struct sign_as){.domain = "example.com", .selector = "sel"}, STR("From: a@example.com\r\n"), STR("x\r\n"));
    const struct {
        struct str record;
        enum dkim_verdict verdict;
    } days[] = {{buf_view(&k.rsa_record), DKIM_PASS},
                {buf_view(&other.rsa_record), DKIM_FAIL},
                {buf_view(&k.rsa_record), DKIM_PASS},
                {STR("v=DKIM1; p="), DKIM_PERMERROR},
                {buf_view(&k.rsa_record), DKIM_PASS}};
    for (size_t i = 0; i < COUNT(days); i++) {
        publish(&k, "sel._domainkey.example.com", days[i].record);
        struct dkim_result r = verify(&k, buf_view(&message), 100, 8);
        cr_expect_eq(r.verdict, days[i].verdict, "%zu: %s", i, text_of(&k, &r, 0));
    }
    buf_free(&message);
    keys_free(&k);
    keys_free(&other);
}

/* Both algorithms under one name, with a key of each kind there. */
Test(dkim, two_algorithms_one_selector)
{
    struct keys k;
    keys_make(&k);
    struct buf both = {0}, first = {0}, message = {0};
    buf_str(&both, buf_view(&k.ed25519_record));
    buf_char(&both, '|');
    buf_str(&both, buf_view(&k.rsa_record));
    publish(&k, "sel._domainkey.example.com", buf_view(&both));
    sign(&k, &first, &(struct sign_as){.domain = "example.com", .selector = "sel"}, STR("From: a@example.com\r\n"), STR("x\r\n"));
    sign(&k, &message, &(struct sign_as){.domain = "example.com", .selector = "sel", .ed25519 = true}, str_sub(buf_view(&first), 0, first.n - 5), STR("x\r\n"));
    struct dkim_result r = verify(&k, buf_view(&message), 100, 8);
    cr_expect_eq(r.count, 2);
    cr_expect_str_eq(text_of(&k, &r, 0), "example.com/sel ed25519-sha256 256 pass");
    cr_expect_str_eq(text_of(&k, &r, 1), "example.com/sel rsa-sha256 2048 pass");
    buf_free(&both), buf_free(&first), buf_free(&message);
    keys_free(&k);
}

/* Answers come when they come; a signature without its key does not hold up the others once it is late. */
Test(dkim, waits_for_keys)
{
    struct keys k;
    keys_make(&k);
    struct buf first = {0}, message = {0};
    sign(&k, &first, &(struct sign_as){.domain = "one.example", .selector = "sel"}, STR("From: a@one.example\r\n"), STR("x\r\n"));
    sign(&k, &message, &(struct sign_as){.domain = "two.example", .selector = "sel"}, str_sub(buf_view(&first), 0, first.n - 5), STR("x\r\n"));
    publish_never(&k, "sel._domainkey.one.example");
    publish_never(&k, "sel._domainkey.two.example");
    for (unsigned late = 0; late < 2; late++) {
        publish_never(&k, "sel._domainkey.one.example");
        publish_never(&k, "sel._domainkey.two.example");
        struct dkim_result r;
        struct dkim_verifier *v = feed_message(&k, buf_view(&message), 100, 8);
        cr_expect_not(dkim_verifier_finish(v, ask_published, &k, false, &k.arena, &r));
        publish(&k, "sel._domainkey.one.example", buf_view(&k.rsa_record));
        cr_expect_not(dkim_verifier_finish(v, ask_published, &k, false, &k.arena, &r));
        if (!late)
            publish(&k, "sel._domainkey.two.example", buf_view(&k.rsa_record));
        cr_assert(dkim_verifier_finish(v, ask_published, &k, late, &k.arena, &r));
        cr_expect_eq(r.verdict, DKIM_PASS);
        cr_expect_str_eq(text_of(&k, &r, 0), late ? "two.example/sel rsa-sha256 0 temperror (no answer in time for the key)"
                                                  : "two.example/sel rsa-sha256 2048 pass");
        cr_expect_str_eq(text_of(&k, &r, 1), "one.example/sel rsa-sha256 2048 pass");
        struct dkim_result again;
        cr_assert(dkim_verifier_finish(v, ask_published, &k, false, &k.arena, &again));
        cr_expect_str_eq(text_of(&k, &again, 0), text_of(&k, &r, 0));
        dkim_verifier_free(&v);
    }
    buf_free(&first), buf_free(&message);
    keys_free(&k);
}
