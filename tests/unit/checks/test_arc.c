/*
 * ARC chains (RFC 8617): one sealed twice by python3-dkim 1.1.4, chains of every length sealed here, and what can be wrong
 * with them.
 */
#include "postern/checks/arc.h"
#include "arc_judged.h"
#include "signature.h"

/* Sealed by dkimpy with this key: lists.example, then forward.example. */
static const char record[] = "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDRMCE3r+ZqeRiDMv6LyaiPvixsfNFNbCBE4u6ZNFM6UGdSoHj9452b4wwjnPsB"
                             "w2wRYkIEtWK7EBA8N/HwsAJ0mC4a4gOBHAPf48BqkaB8k8p2IBAcn1kwrnr/lY/r+D6wx0gfohkEGXbH6Bodf+OVt0+OqB/P2cI8OO/P0sw1HwIDAQAB";
#define SEAL_2 \
    "ARC-Seal: i=2; cv=pass; a=rsa-sha256; d=forward.example; s=arc;\r\n" \
    " t=1795292000;\r\n" \
    " b=S9WqzwxnI5oologElbLfqy1CLQbxWXNi6BJ6MUdzvPimAqp+id2yJMoDYe7Vgw/+CIB97\r\n" \
    " 6/vEO/erVE+vVopWLold2uDF8G1X8/1g2EaCKFKvwuyBzJ3tqzXtin2cBapJJWmxO+519nQ\r\n" \
    " Ze7rxYzTcwUrEjJUyXA0fTaXiVeivh4=\r\n"
#define MESSAGE_2 \
    "ARC-Message-Signature: i=2; a=rsa-sha256; c=relaxed/relaxed;\r\n" \
    " d=forward.example; s=arc; t=1795292000; h=from : to : subject : date :\r\n" \
    " message-id : from; bh=qilzjhWhdBjYHUaNobsFtQnLhiKDGD06O50tKrURHB4=;\r\n" \
    " b=bofBgJsCtZ502c/3ESgoD4BGnJyYBokWoq5b4c4nVF5PhNtQboqUd7/B0JGKetZK8r6f2\r\n" \
    " wSIPwSp8lE3bms1/4dAfEAjGObMJkqxPvjs+4ykWgtltbfNj9y+DzfuQbjKDKi4rxRC5Hrf\r\n" \
    " TIvGiyC1CQFdr6wQTnLj3h3TJC4GKUk=\r\n"
#define RESULTS_2 \
    "ARC-Authentication-Results: i=2; mx.forward.example; arc=pass;\r\n" \
    "  spf=fail smtp.mailfrom=origin.example;\r\n" \
    "  dkim=fail;\r\n" \
    "  dmarc=fail\r\n"
#define SEAL_1 \
    "ARC-Seal: i=1; cv=none; a=rsa-sha256; d=lists.example; s=arc;\r\n" \
    " t=1795292000;\r\n" \
    " b=yNLEVd1PDqomWFF2EFyFd0ZRmb+qf88zT84okRsjMebiz6lWBAx9J61WLdDLPB5/yNqXT\r\n" \
    " SfR/8GxVT49qUi2qhjcdRQZKtnp/bu0pmG4XR2JIDBWra6iurNu4Ew8dtW5rclBoq+kkZbI\r\n" \
    " EP3xmTodVf4xKtwoSK7fimVOhPEkbTI=\r\n"
#define MESSAGE_1 \
    "ARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed;\r\n" \
    " d=lists.example; s=arc; t=1795292000; h=from : to : subject : date :\r\n" \
    " message-id : from; bh=qilzjhWhdBjYHUaNobsFtQnLhiKDGD06O50tKrURHB4=;\r\n" \
    " b=OqA4yvCYtnr5vTykd7c1aYdHV5zarDGcGoaNRP2aeWDKG7jq6mirOBUvl2Zm43KiR3czY\r\n" \
    " 9W/AXovVQeEIPxWs0tap1xTbGSE4zMwck/DJ5foqBYV1acV45gJCtnEGEpWUmViRhRm940n\r\n" \
    " yQ1/7Ym7ulwzkM1j65zHWj+P1rx+tZA=\r\n"
#define RESULTS_1 \
    "ARC-Authentication-Results: i=1; mx.lists.example; spf=pass smtp.mailfrom=origin.example;\r\n" \
    "  dkim=pass (good) header.d=origin.example;\r\n" \
    "  dmarc=pass header.from=origin.example\r\n"
#define REST \
    "From: Author <author@origin.example>\r\n" \
    "To: list@lists.example\r\n" \
    "Subject: [list]  An  example\r\n" \
    "Date: Sat, 21 Nov 2026 20:15:00 +0000\r\n" \
    "Message-ID: <1@origin.example>\r\n" \
    "\r\n"
#define BODY "Hello,\r\n\r\na text  with  spaces \r\n\r\n\r\n"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void open_dkimpy(struct keys *k)
{
    keys_make(k);
    publish(k, "arc._domainkey.lists.example", str_of(record));
    publish(k, "arc._domainkey.forward.example", str_of(record));
}

#define WHOLE SEAL_2 MESSAGE_2 RESULTS_2 SEAL_1 MESSAGE_1 RESULTS_1 REST BODY

Test(arc, sealed_by_dkimpy)
{
    static const size_t chunks[] = {1, 2, 3, 16, 4096};
    struct keys k;
    open_dkimpy(&k);
    for (size_t i = 0; i < COUNT(chunks); i++) {
        struct arc_result r = judge(&k, STR(WHOLE), chunks[i]);
        cr_expect_eq(r.verdict, ARC_PASS, "%.*s", STR_ARG(r.reason));
        cr_assert_eq(r.count, 2);
        cr_expect(str_eq(r.hops[0].sealer, STR("lists.example")));
        cr_expect(str_eq(r.hops[1].sealer, STR("forward.example")));
        cr_expect(str_eq(r.hops[0].says.dmarc, STR("pass")));
        cr_expect(str_eq(r.hops[0].says.spf, STR("pass")));
        cr_expect(str_eq(r.hops[0].says.dkim, STR("pass")));
        cr_expect(str_eq(r.hops[1].says.dmarc, STR("fail")));
        cr_expect(str_eq(r.hops[1].says.spf, STR("fail")));
        r = judge(&k, STR(REST BODY), chunks[i]);
        cr_expect_eq(r.verdict, ARC_NONE);
        cr_expect_eq(r.count, 0);
    }
    keys_free(&k);
}

/* The order of the fields in the header says nothing; their instances do (5.2). Blank lines at the end of the body are
 * nothing. */
Test(arc, order_and_harmless_changes)
{
    struct keys k;
    open_dkimpy(&k);
    static const char *const messages[] = {
        SEAL_1 RESULTS_2 MESSAGE_1 SEAL_2 RESULTS_1 MESSAGE_2 REST BODY,
        REST BODY "\r\n\r\n",
        "Received: from a by b\r\n" SEAL_2 MESSAGE_2 RESULTS_2 SEAL_1 MESSAGE_1 RESULTS_1 REST BODY "\r\n",
        "X: y\r\n" WHOLE,
    };
    for (size_t i = 0; i < COUNT(messages); i++)
        cr_expect_eq(judge(&k, str_of(messages[i]), 100).verdict, i == 1 ? ARC_NONE : ARC_PASS, "message %zu", i);
    keys_free(&k);
}

/* One octet changed anywhere that is sealed or signed: never a pass. */
Test(arc, altered_anywhere)
{
    struct keys k;
    open_dkimpy(&k);
    struct buf message = {0};
    buf_cstr(&message, WHOLE);
    for (size_t i = 0; i < message.n; i++) {
        char kept = message.p[i];
        if (strchr(" \t\r\n", kept))
            continue;
        message.p[i] = kept == 'X' ? 'Y' : 'X';
        struct arc_result r = judge(&k, buf_view(&message), 4096);
        if (r.verdict == ARC_PASS)
            cr_expect_eq(ascii_lower(kept), 'x', "octet %zu (%c) may be anything", i, kept); /* a name's case */
        message.p[i] = kept;
    }
    buf_free(&message);
    keys_free(&k);
}

static const struct { const char *message, *reason; } broken[] = {
    {MESSAGE_1 RESULTS_1 REST BODY, "no ARC-Seal of instance 1"},
    {SEAL_1 RESULTS_1 REST BODY, "no ARC-Message-Signature of instance 1"},
    {SEAL_1 MESSAGE_1 REST BODY, "no ARC-Authentication-Results of instance 1"},
    {SEAL_2 MESSAGE_2 RESULTS_2 REST BODY, "no ARC-Authentication-Results of instance 1"},
    {SEAL_2 WHOLE, "two ARC-Seal of instance 2"},
    {MESSAGE_1 WHOLE, "two ARC-Message-Signature of instance 1"},
    {RESULTS_1 WHOLE, "two ARC-Authentication-Results of instance 1"},
    {"ARC-Seal: i=0; a=x\r\n" WHOLE, "ARC-Seal without an instance"},
    {"ARC-Seal: i=51; a=x\r\n" WHOLE, "ARC-Seal without an instance"},
    {"ARC-Seal: a=x\r\n" WHOLE, "ARC-Seal without an instance"},
    {"ARC-Seal:\r\n" WHOLE, "ARC-Seal without an instance"},
    {"ARC-Seal: i=3; i=3\r\n" WHOLE, "ARC-Seal without an instance"},
    {"ARC-Authentication-Results: mx; spf=pass\r\n" WHOLE, "ARC-Authentication-Results without an instance"},
    {"ARC-Authentication-Results: i=3\r\n" WHOLE, "ARC-Authentication-Results without an instance"},
    {"ARC-Authentication-Results: (i=3; mx\r\n" WHOLE, "ARC-Authentication-Results without an instance"},
    {"ARC-Message-Signature: i=x; a=b\r\n" WHOLE, "ARC-Message-Signature without an instance"},
    {"ARC-Seal: i=4; cv=pass\r\nARC-Message-Signature: i=4\r\nARC-Authentication-Results: i=4; mx; none\r\n" WHOLE,
     "no ARC-Authentication-Results of instance 3"},
    {"ARC-Seal: i=3; cv=fail; a=rsa-sha256; d=x.example; s=s; b=AAAA\r\nARC-Message-Signature: i=3\r\n"
     "ARC-Authentication-Results: i=3; mx; none\r\n" WHOLE, "seal 3 says cv=fail"},
    {"ARC-Seal: i=3; cv=none; a=rsa-sha256; d=x.example; s=s; b=AAAA\r\nARC-Message-Signature: i=3\r\n"
     "ARC-Authentication-Results: i=3; mx; none\r\n" WHOLE, "seal 3 says cv=none"},
    {"ARC-Seal: i=3; cv=pass; h=from; a=rsa-sha256; d=x.example; s=s; b=AAAA\r\nARC-Message-Signature: i=3\r\n"
     "ARC-Authentication-Results: i=3; mx; none\r\n" WHOLE, "seal 3: a seal with h="},
    {"ARC-Seal: i=3; cv=pass; a=rsa-sha256; d=x.example; s=s; b=AAAA\r\n"
     "ARC-Message-Signature: i=3; a=rsa-sha256; d=x.example; s=s; b=AAAA; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; h=from:arc-seal\r\n"
     "ARC-Authentication-Results: i=3; mx; none\r\n" WHOLE, "message signature 3: h= names ARC-Seal"},
    {WHOLE "more\r\n", "message signature: the body has been altered"},
    {SEAL_2 MESSAGE_2 RESULTS_2 SEAL_1 MESSAGE_1 RESULTS_1 "Subject: new\r\n" REST BODY, NULL},
    {SEAL_2 MESSAGE_2 RESULTS_2 SEAL_1 MESSAGE_1 RESULTS_1 "From: new@x.example\r\n" REST BODY, "message signature: the signature does not match"},
};

Test(arc, broken_chains)
{
    struct keys k;
    open_dkimpy(&k);
    for (size_t i = 0; i < COUNT(broken); i++) {
        struct arc_result r = judge(&k, str_of(broken[i].message), 100);
        if (!broken[i].reason) { /* above what is signed: as with DKIM */
            cr_expect_eq(r.verdict, ARC_PASS, "row %zu: %.*s", i, STR_ARG(r.reason));
            continue;
        }
        cr_expect_eq(r.verdict, ARC_FAIL, "row %zu", i);
        cr_expect_eq(r.count, 0);
        cr_expect(str_eq(r.reason, str_of(broken[i].reason)), "row %zu: [%.*s]", i, STR_ARG(r.reason));
    }
    keys_free(&k);
}

Test(arc, keys)
{
    static const struct { enum dns_status lists, forward; enum arc_verdict verdict; const char *reason; } rows[] = {
        {DNS_NXDOMAIN, DNS_OK, ARC_FAIL, "seal 1: no key"},
        {DNS_OK, DNS_NXDOMAIN, ARC_FAIL, "message signature: no key"},
        {DNS_SERVFAIL, DNS_OK, ARC_TEMPERROR, "seal 1: DNS servfail asking for the key"},
        {DNS_OK, DNS_TIMEOUT, ARC_TEMPERROR, "message signature: DNS timeout asking for the key"},
        {DNS_NXDOMAIN, DNS_TIMEOUT, ARC_FAIL, "seal 1: no key"},
        {DNS_TIMEOUT, DNS_NXDOMAIN, ARC_FAIL, "message signature: no key"},
        {DNS_TIMEOUT, DNS_SERVFAIL, ARC_TEMPERROR, "message signature: DNS servfail asking for the key"},
    };
    struct keys k;
    open_dkimpy(&k);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *const names[] = {"arc._domainkey.lists.example", "arc._domainkey.forward.example"};
        for (size_t n = 0; n < 2; n++) {
            enum dns_status status = n ? rows[i].forward : rows[i].lists;
            if (status == DNS_OK)
                publish(&k, names[n], str_of(record));
            else
                publish_status(&k, names[n], status);
        }
        struct arc_result r = judge(&k, STR(WHOLE), 100);
        cr_expect_eq(r.verdict, rows[i].verdict, "row %zu", i);
        cr_expect(str_eq(r.reason, str_of(rows[i].reason)), "row %zu: [%.*s]", i, STR_ARG(r.reason));
    }
    publish_never(&k, "arc._domainkey.lists.example");
    publish(&k, "arc._domainkey.forward.example", str_of(record));
    struct arc_verifier *v = feed(&k, STR(WHOLE), 100);
    struct arc_result r;
    cr_expect_not(arc_verifier_finish(v, ask_published, &k, false, &k.arena, &r));
    cr_expect_not(arc_verifier_ask(v, ask_published, &k));
    cr_assert(arc_verifier_finish(v, ask_published, &k, true, &k.arena, &r));
    cr_expect_eq(r.verdict, ARC_TEMPERROR);
    arc_verifier_free(&v);
    keys_free(&k);
}

/* --- chains sealed here --- */

static void sign_hash(struct keys *k, bool ed25519, const uint8_t hash[32], struct buf *out)
{
    uint8_t bytes[512];
    size_t n = sizeof bytes;

    if (ed25519) {
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        cr_assert_eq(EVP_DigestSignInit(md, NULL, NULL, NULL, k->ed25519), 1);
        cr_assert_eq(EVP_DigestSign(md, bytes, &n, hash, 32), 1);
        EVP_MD_CTX_free(md);
    } else {
        EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(k->rsa, NULL);
        cr_assert(EVP_PKEY_sign_init(c) == 1 && EVP_PKEY_CTX_set_signature_md(c, EVP_sha256()) == 1);
        cr_assert_eq(EVP_PKEY_sign(c, bytes, &n, hash, 32), 1);
        EVP_PKEY_CTX_free(c);
    }
    base64_encode(out, bytes, n);
}

struct sealing {
    unsigned instance;
    const char *domain, *c, *h; /* h: "From" is the only field that there is */
    bool ed25519;
};

/* One more set in front of header: a message signature, and the seal over all sets. */
static void seal(struct keys *k, struct buf *header, struct buf *chain, struct str body, const struct sealing *x)
{
    struct buf results = {0}, message = {0}, own = {0};
    struct body_hash b;
    uint8_t hash[32];
    const char *a = x->ed25519 ? "ed25519" : "rsa", *from = "From: a@origin.example";
    bool relaxed = strncmp(x->c, "relaxed", 7) == 0;

    buf_printf(&results, "ARC-Authentication-Results: i=%u; mx.%s; dmarc=pass", x->instance, x->domain);
    body_hash_begin(&b, true, strstr(x->c, "/relaxed"), UINT64_MAX);
    body_hash_feed(&b, body);
    body_hash_end(&b);
    buf_printf(&message, "ARC-Message-Signature: i=%u; a=%s-sha256; c=%s; d=%s; s=%s; h=%s;\r\n bh=", x->instance, a, x->c, x->domain,
               a, x->h);
    base64_encode(&message, b.digest, 32);
    buf_cstr(&message, "; b=");
    EVP_MD_CTX *md = sha256_begin();
    if (strstr(x->h, "From"))
        hash_field(md, relaxed, str_of(from), 0, 0, true);
    hash_field(md, relaxed, buf_view(&message), 0, 0, false);
    sha256_end(&md, hash);
    sign_hash(k, x->ed25519, hash, &message);
    buf_printf(&own, "ARC-Seal: i=%u; a=%s-sha256; cv=%s; d=%s; s=%s; b=", x->instance, a, x->instance == 1 ? "none" : "pass",
               x->domain, a);
    /* chain holds the canonical input so far */
    md = sha256_begin();
    EVP_DigestUpdate(md, chain->p, chain->n);
    hash_field(md, true, buf_view(&results), 0, 0, true);
    hash_field(md, true, buf_view(&message), 0, 0, true);
    hash_field(md, true, buf_view(&own), 0, 0, false);
    sha256_end(&md, hash);
    sign_hash(k, x->ed25519, hash, &own);
    struct buf all = {0};
    buf_printf(&all, "%.*s\r\n%.*s\r\n%.*s\r\n", STR_ARG(buf_view(&own)), STR_ARG(buf_view(&message)), STR_ARG(buf_view(&results)));
    buf_str(&all, buf_view(header));
    buf_free(header);
    *header = all;
    /* the canonical form of what was just written: one line each, white space single (there is none elsewhere) */
    struct str parts[] = {buf_view(&results), buf_view(&message), buf_view(&own)};
    for (size_t i = 0; i < 3; i++) {
        struct str name = str_sub(parts[i], 0, str_find(parts[i], ':', 0) + 1), rest = str_sub(parts[i], name.n + 1, parts[i].n);
        for (size_t n = 0; n < name.n; n++)
            buf_char(chain, ascii_lower(name.p[n]));
        for (size_t n = 0; n < rest.n; n++)
            if (rest.p[n] != '\r' && rest.p[n] != '\n')
                buf_char(chain, rest.p[n]);
        buf_cstr(chain, "\r\n");
    }
    buf_free(&results), buf_free(&message), buf_free(&own);
}

Test(arc, chains_of_every_length)
{
    static const char *const cs[] = {"relaxed/relaxed", "simple/simple", "relaxed/simple", "simple/relaxed", "simple"};
    struct keys k;
    keys_make(&k);
    publish(&k, "rsa._domainkey.hop.example", buf_view(&k.rsa_record));
    publish(&k, "ed25519._domainkey.hop.example", buf_view(&k.ed25519_record));
    struct buf header = {0}, chain = {0};
    buf_cstr(&header, "From: a@origin.example\r\n");
    for (unsigned i = 1; i <= 51; i++) {
        struct sealing sealing = {.instance = i, .domain = "hop.example", .c = cs[i % COUNT(cs)], .h = "From", .ed25519 = i % 2};
        seal(&k, &header, &chain, STR("one  \r\n two\r\n\r\n"), &sealing);
        struct buf message = {0};
        buf_str(&message, buf_view(&header));
        buf_cstr(&message, "\r\none  \r\n two\r\n\r\n");
        struct arc_result r = judge(&k, buf_view(&message), 3);
        if (i <= 50) {
            cr_expect_eq(r.verdict, ARC_PASS, "%u: %.*s", i, STR_ARG(r.reason));
            cr_expect_eq(r.count, i);
        } else {
            cr_expect_eq(r.verdict, ARC_FAIL);
        }
        buf_free(&message);
    }
    buf_free(&header), buf_free(&chain);
    keys_free(&k);
}

/* Which fields a message signature may name (RFC 8617 4.1.2; its validation suite: ams_fields_h_empty, _h_mis_hdr,
 * _h_includes_as), and whether the author is covered. */
Test(arc, fields_of_the_message_signature)
{
    static const struct { const char *h; enum arc_verdict verdict; bool from_signed; } rows[] = {
        {"From", ARC_PASS, true},
        {"To:From:X-None", ARC_PASS, true},
        {"From::To", ARC_PASS, true},
        {" : From : ", ARC_PASS, true},
        {"", ARC_PASS, false},
        {":", ARC_PASS, false},
        {"To", ARC_FAIL, false},
        {"To::Subject", ARC_FAIL, false},
        {"From:ARC-Seal", ARC_FAIL, false},
        {"From:a b", ARC_FAIL, false},
    };
    struct keys k;
    keys_make(&k);
    publish(&k, "rsa._domainkey.hop.example", buf_view(&k.rsa_record));
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sealing sealing = {.instance = 1, .domain = "hop.example", .c = "relaxed/relaxed", .h = rows[i].h};
        struct buf header = {0}, chain = {0};
        buf_cstr(&header, "From: a@origin.example\r\n");
        seal(&k, &header, &chain, STR("one\r\n"), &sealing);
        buf_cstr(&header, "\r\none\r\n");
        struct arc_result r = judge(&k, buf_view(&header), 100);
        cr_expect_eq(r.verdict, rows[i].verdict, "h=%s: %.*s", rows[i].h, STR_ARG(r.reason));
        cr_expect_eq(r.from_signed, rows[i].from_signed, "h=%s", rows[i].h);
        buf_free(&header), buf_free(&chain);
    }
    keys_free(&k);
}

/* --- ARC-Authentication-Results --- */

static const struct { const char *payload, *says; } payloads[] = {
    {" mx.example; dmarc=pass header.from=x.example; spf=fail smtp.mailfrom=a@x.example; dkim=pass header.d=x.example", "pass fail pass"},
    {" mx.example 1;dmarc=fail", "fail - -"},
    {"mx.example; none", "- - -"},
    {"mx.example", "- - -"},
    {" (c (nested \\) ) ) \"quoted id\" ;\r\n dmarc/1 = Pass (good) reason=\"a; b=c\" header.from = x.example;", "pass - -"},
    {"mx; dkim=fail header.b=\"a/b+\"; dkim=pass; dkim=neutral", "- - pass"},
    {"mx; dkim=none; dkim=temperror", "- - temperror"},
    {"mx; spf=pass smtp.helo=x; spf=softfail smtp.mailfrom=<>", "- softfail -"},
    {"mx; spf=neutral smtp.mailfrom=x; spf=pass smtp.helo=y", "- neutral -"},
    {"mx; dmarc=pass; dmarc=fail", "- - -"},
    {"mx; dmarc=fail; dmarc=pass", "- - -"},
    {"mx; dmarc=pass; dmarc=pass", "pass - -"},
    {"mx; dmarc=bestguesspass", "- - -"},
    {"mx; spf=hardfail; x-other=yes policy.a=b", "- - -"},
    {"mx; arc=pass; dmarc=pass (p=reject dis=none) header.from=x", "pass - -"},
    /* as large sealers write them: properties without a type, without a value */
    {" mx.microsoft.com 1; spf=pass (sender ip is\r\n 192.0.2.1) smtp.rcpttodomain=y.example smtp.mailfrom=x.example; dmarc=pass\r\n"
     " (p=reject sp=reject pct=100) action=none header.from=x.example; dkim=pass (signature was\r\n verified) header.d=x.example;"
     " arc=pass (0 oda=1 ltdi=1 spf=[1,1,smtp.mailfrom=x.example])", "pass pass pass"},
    {"mx; dkim=pass header.d=x.example header.b=AbC/+d= x-bits=2048; dmarc=pass policy.policy-from=p\r\n"
     " (p=reject,d=none) header.from=x.example;",
     "pass - pass"},
    {"mx; spf=none smtp.mailfrom=; dmarc=fail", "fail none -"},
    {"mx; dmarc=pass spf=pass", "pass - -"},
    /* not well formed: nothing is believed */
    {"", "!"},
    {"; dmarc=pass", "!"},
    {"mx; dmarc", "!"},
    {"mx; dmarc=", "!"},
    {"mx; =pass", "!"},
    {"mx dmarc=pass", "!"},
    {"mx; dmarc=pass header.from", "!"},
    {"mx; dmarc=pass (open", "!"},
    {"mx; dmarc=pass reason=\"open", "!"},
    {"mx;; dmarc=pass", "!"},
    {"mx; dmarc=pass, spf=pass", "!"},
    {"mx; dmarc=pass \x01", "!"},
    {"mx; none; dmarc=pass", "!"},
    {"mx; dmarc=pass ((((((((((((((((((", "!"},
};

Test(arc, results)
{
    for (size_t i = 0; i < COUNT(payloads); i++) {
        struct arc_says says;
        struct buf text = {0};
        bool good = arc_results_parse(str_of(payloads[i].payload), &says);
        if (good)
            buf_printf(&text, "%s %s %s", says.dmarc.n ? says.dmarc.p : "-", says.spf.n ? says.spf.p : "-", says.dkim.n ? says.dkim.p : "-");
        else
            buf_cstr(&text, "!");
        cr_expect(str_eq(buf_view(&text), str_of(payloads[i].says)), "[%s]: [%.*s]", payloads[i].payload, STR_ARG(buf_view(&text)));
        cr_expect(good || (!says.dmarc.n && !says.spf.n && !says.dkim.n));
        buf_free(&text);
    }
}
