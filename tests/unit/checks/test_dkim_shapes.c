/*
 * Shapes of signatures: what a field may look like and what becomes of it; signatures that libopendkim would judge wrongly;
 * hostile amounts, with the work they cause counted.
 */
#include "signature.h"
#include "signed.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* --- signing any field text: {BH} and {B} are put in --- */

static void put_in(struct buf *text, const char *mark, struct str value)
{
    struct buf copy = {0};
    const char *at = memmem(text->p, text->n, mark, strlen(mark));

    if (!at)
        return;
    buf_put(&copy, text->p, (size_t)(at - text->p));
    buf_str(&copy, value);
    buf_put(&copy, at + strlen(mark), (size_t)(text->p + text->n - at) - strlen(mark));
    buf_free(text);
    *text = copy;
}

static void list_field(void *context, struct str field)
{
    field_list_add(context, field);
}

/* Appends the signed field, the header, and the body to out. A field that cannot be read goes as it is. */
static void sign_shape(struct keys *k, struct buf *out, const char *shape, struct str header, struct str body)
{
    struct buf field = {0}, b64 = {0};
    struct field_list list = {0};
    struct arena arena = {0};
    struct signature s;
    struct body_hash hash;
    struct str reason;
    uint8_t digest[32], bytes[1024];
    size_t n = sizeof bytes;

    buf_cstr(&field, shape);
    put_in(&field, "{B}", STR("AAAA"));
    put_in(&field, "{BH}", STR("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="));
    signature_read(SIGNATURE_DKIM, buf_view(&field), k->now, &arena, &s, &reason);
    body_hash_begin(&hash, true, s.relaxed_body, s.limited ? s.limit : UINT64_MAX);
    body_hash_feed(&hash, body);
    body_hash_end(&hash);
    base64_encode(&b64, hash.digest, 32);
    buf_clear(&field);
    buf_cstr(&field, shape);
    put_in(&field, "{BH}", buf_view(&b64));
    put_in(&field, "{B}", STR("AAAA"));
    buf_clear(&b64);
    if (signature_read(SIGNATURE_DKIM, buf_view(&field), k->now, &arena, &s, &reason) == DKIM_NONE) {
        list_field(&list, buf_view(&field));
        each_field(header, list_field, &list);
        signature_header_hash(&list, &s, field_list_select(&list, &s, 0, &arena), digest);
        EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(k->rsa, NULL);
        cr_assert(EVP_PKEY_sign_init(c) == 1 && EVP_PKEY_CTX_set_signature_md(c, EVP_sha256()) == 1);
        cr_assert_eq(EVP_PKEY_sign(c, bytes, &n, digest, 32), 1);
        EVP_PKEY_CTX_free(c);
        base64_encode(&b64, bytes, n);
        put_in(&field, "AAAA", buf_view(&b64));
    }
    buf_str(out, buf_view(&field));
    buf_cstr(out, "\r\n");
    buf_str(out, header);
    buf_cstr(out, "\r\n");
    buf_str(out, body);
    buf_free(&field), buf_free(&b64);
    field_list_free(&list);
    arena_clear(&arena);
}

#define HEADER "From: a@example.com\r\nSubject: hello  \r\n\tfolded\r\nX: y\r\n"
#define BODY "one \r\n  two\r\n"
/* The tags that a good signature has; %s: one more. */
#define GOOD "DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=sel; h=from; bh={BH}; b={B}"
#define SAYS "example.com/sel rsa-sha256 2048 "

static const struct { const char *shape, *text; } shapes[] = {
    {GOOD, SAYS "pass"},
    {GOOD ";", SAYS "pass"},
    {GOOD "\r\n ;\r\n\t", SAYS "pass"},
    {"dkim-signature : v = 1 ;\r\n a\t=\r\n rsa-sha256; d=example.com; s=sel; h=from; bh={BH}; b={B}", SAYS "pass"},
    {"DKIM-Signature:v=1;a=rsa-sha256;d=EXAMPLE.com;s=SEL;h=FROM;bh={BH};b={B}", SAYS "pass"},
    {GOOD "; c=relaxed/relaxed; q=dns/txt; t=1795292000; x=1795299999; i=@sub.example.com", SAYS "pass i=@sub.example.com"},
    {GOOD "; c=simple", SAYS "pass"},
    {GOOD "; c=relaxed", SAYS "pass"},
    {GOOD "; l=0", SAYS "pass (l= leaves the end of the body unsigned)"},
    {GOOD "; l=13", SAYS "pass"},
    {GOOD "; l=14", SAYS "fail (l= is more than the body has)"},
    {GOOD "; l=999999999999999999999999999999", SAYS "fail (l= is more than the body has)"},
    {GOOD "; z=From:a@example.com|Subject:x; unknown=1", SAYS "pass"},
    {GOOD "; i=\"a=20b\"@example.com", SAYS "pass i=?a=20b?@example.com"},
    {GOOD "; i=@EXAMPLE.COM", SAYS "pass"},
    /* what libopendkim would judge wrongly */
    {"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=sel; h=from; bh={BH}; b = \r\n {B} ; t=1795292000", SAYS "pass"},
    {GOOD "; xb=abc", SAYS "pass"},
    {"DKIM-Signature: v=1; xb=abc; a=rsa-sha256; c=relaxed; d=example.com; s=sel; h=from; bh={BH}; b={B}", SAYS "pass"},
    {GOOD "; q=x-other : dns/txt", SAYS "pass"},
    {GOOD "; q=dns:dns/txt", SAYS "pass"},
    {GOOD "; n\xc3\xb6=1", "?/? ? 0 neutral (a tag without a value)"},
    {GOOD "; note=\xc3\xb6", SAYS "pass"},
    {GOOD "; t=1", SAYS "pass"},
    {GOOD "; x=99999999999999999999", SAYS "pass"},
    {"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=sel; h=from:dkim-signature:dkim-signature; bh={BH}; b={B}", SAYS "pass"},
    {"DKIM-Signature: v=1; a=rsa-sha256; d=b\xc3\xbc""cher.example; s=sel; h=from; bh={BH}; b={B}", "xn--bcher-kva.example/sel rsa-sha256 2048 pass"},
    {"DKIM-Signature: v=1; a=rsa-sha256; d=b\xc3\xbc""cher.example; i=@x.xn--bcher-kva.example; s=sel; h=from; bh={BH}; b={B}",
     "xn--bcher-kva.example/sel rsa-sha256 2048 pass i=@x.xn--bcher-kva.example"},
    /* what can never be judged, or not here */
    {"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=sel; h=subject:to; bh={BH}; b={B}", "example.com/sel rsa-sha256 0 permerror (From is not signed)"},
    {"DKIM-Signature: v=1; a=rsa-sha1; d=example.com; s=sel; h=from; bh={BH}; b={B}", "example.com/sel rsa-sha1 0 permerror (rsa-sha1 is not to be used)"},
    {GOOD "; i=@other.example", "example.com/sel rsa-sha256 0 permerror i=@other.example (i= is not in the domain of d=)"},
    {GOOD "; i=a@notexample.com", "example.com/sel rsa-sha256 0 permerror i=a@notexample.com (i= is not in the domain of d=)"},
    {GOOD "; i=@com", "example.com/sel rsa-sha256 0 permerror i=@com (i= is not in the domain of d=)"},
    {GOOD "; i=nobody", "example.com/sel rsa-sha256 0 neutral i=nobody (i= is no identity)"},
    {GOOD "; x=1795292099", "example.com/sel rsa-sha256 0 policy (expired)"},
    {GOOD "; x=1795292100", SAYS "pass"},
    {GOOD "; t=1795292400", SAYS "pass"},
    {GOOD "; t=1795292401", "example.com/sel rsa-sha256 0 policy (signed in the future)"},
    {GOOD "; t=1795292000; x=1795292000", "example.com/sel rsa-sha256 0 neutral (x= is not after t=)"},
    {GOOD "; t=now", "example.com/sel rsa-sha256 0 neutral (t= or x= is no number)"},
    {GOOD "; x=", "example.com/sel rsa-sha256 0 neutral (t= or x= is no number)"},
    {GOOD "; x=-1", "example.com/sel rsa-sha256 0 neutral (t= or x= is no number)"},
    {GOOD "; l=-1", "example.com/sel rsa-sha256 0 neutral (l= is no number)"},
    {GOOD "; c=relaxed/", "example.com/sel rsa-sha256 0 neutral (unknown canonicalisation)"},
    {GOOD "; c=nowsp/simple", "example.com/sel rsa-sha256 0 neutral (unknown canonicalisation)"},
    {GOOD "; q=foo", "example.com/sel rsa-sha256 0 neutral (unknown query method)"},
    {GOOD "; q=", "example.com/sel rsa-sha256 0 neutral (unknown query method)"},
    {GOOD "; v=1", "?/? ? 0 neutral (a tag that stands twice)"},
    {GOOD "; ;", "?/? ? 0 neutral (a tag without a name)"},
    {GOOD "; =x", "?/? ? 0 neutral (a tag without a name)"},
    {GOOD "; x", "?/? ? 0 neutral (a tag without a value)"},
    {GOOD "; x=\x01", "?/? ? 0 neutral (an octet that no tag may hold)"},
    {GOOD "; x=\xff", "?/? ? 0 neutral (an octet that no tag may hold)"},
    {"DKIM-Signature:", "?/? ? 0 neutral (no tags)"},
    {"DKIM-Signature: ;", "?/? ? 0 neutral (a tag without a name)"},
    {"DKIM-Signature: v=2; a=rsa-sha256; d=example.com; s=sel; h=from; bh={BH}; b={B}", "example.com/sel rsa-sha256 0 neutral (unknown version)"},
    {"DKIM-Signature: a=rsa-sha256; d=example.com; s=sel; h=from; bh={BH}; b={B}", "example.com/sel rsa-sha256 0 neutral (v= is missing)"},
    {"DKIM-Signature: v=1; d=example.com; s=sel; h=from; bh={BH}; b={B}", "example.com/sel ? 0 neutral (a= is missing)"},
    {"DKIM-Signature: v=1; a=rsa-sha256; s=sel; h=from; bh={BH}; b={B}", "?/sel rsa-sha256 0 neutral (d= is missing)"},
    {"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; h=from; bh={BH}; b={B}", "example.com/? rsa-sha256 0 neutral (s= is missing)"},
    {"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=sel; bh={BH}; b={B}", "example.com/sel rsa-sha256 0 neutral (h= is missing)"},
    {"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=sel; h=from; b={B}", "example.com/sel rsa-sha256 0 neutral (bh= is missing)"},
    {"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=sel; h=from; bh={BH}", "example.com/sel rsa-sha256 0 neutral (b= is missing)"},
    {"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=sel; h=from; bh=; b={B}", "example.com/sel rsa-sha256 0 neutral (bh= is missing)"},
    {"DKIM-Signature: v=1; a=rsa-sha512; d=example.com; s=sel; h=from; bh={BH}; b={B}", "example.com/sel ? 0 neutral (unknown algorithm)"},
    {"DKIM-Signature: v=1; a=rsa-sha256; d=com; s=sel; h=from; bh={BH}; b={B}", "com/sel rsa-sha256 0 neutral (d= is no domain)"},
    {"DKIM-Signature: v=1; a=rsa-sha256; d=ex%s.example; s=sel; h=from; bh={BH}; b={B}", "?/sel rsa-sha256 0 neutral (d= is no domain)"},
    {"DKIM-Signature: v=1; a=rsa-sha256; d=legit.com'a.evil.example; s=sel; h=from; bh={BH}; b={B}", "?/sel rsa-sha256 0 neutral (d= is no domain)"},
    {"DKIM-Signature: v=1; a=rsa-sha256; d=a..example; s=sel; h=from; bh={BH}; b={B}", "?/sel rsa-sha256 0 neutral (d= is no domain)"},
    {"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=s/l; h=from; bh={BH}; b={B}", "example.com/? rsa-sha256 0 neutral (s= is no selector)"},
    {"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=sel; h=from::to; bh={BH}; b={B}", "example.com/sel rsa-sha256 0 neutral (h= is not well formed)"},
    {"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=sel; h=from to; bh={BH}; b={B}", "example.com/sel rsa-sha256 0 neutral (h= is not well formed)"},
    {"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=sel; h=from; bh=AAAA; b={B}",
     "example.com/sel rsa-sha256 0 neutral (b= or bh= is no base64 of the right length)"},
    {"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=sel; h=from; bh={BH}; b=!!!!",
     "example.com/sel rsa-sha256 0 neutral (b= or bh= is no base64 of the right length)"},
};

Test(dkim_shapes, fields)
{
    struct keys k;
    keys_make(&k);
    publish(&k, "sel._domainkey.example.com", buf_view(&k.rsa_record));
    publish(&k, "sel._domainkey.xn--bcher-kva.example", buf_view(&k.rsa_record));
    for (size_t i = 0; i < COUNT(shapes); i++)
        for (size_t chunk = 1; chunk < 100; chunk *= 9) {
            struct buf message = {0};
            sign_shape(&k, &message, shapes[i].shape, STR(HEADER), STR(BODY));
            struct dkim_result r = verify(&k, buf_view(&message), chunk, 8);
            cr_expect_str_eq(text_of(&k, &r, 0), shapes[i].text, "[%s] %s", shapes[i].shape, text_of(&k, &r, 0));
            buf_free(&message);
        }
    keys_free(&k);
}

/* Headers that libopendkim hashes otherwise than RFC 6376 3.4.2 says, or cannot take. */
Test(dkim_shapes, headers)
{
    static const char *const headers[] = {
        "From: a@example.com\r\nSubject: form\ffeed \v tab\r\n",
        "From: a@example.com\r\nSubject\r\n : folded before the colon\r\n",
        "From: a@example.com\r\nSubject\t: tab before the colon\r\n",
        "From: a@example.com\r\nSubject: a lone \r in it\r\n",
        "From: a@example.com\r\nSubject:\r\n",
        "From: a@example.com\r\nSubject: x\r\n \r\n",
        "Subject: no From at all\r\n",
        "From: one\r\nFrom: two\r\nSubject: 1\r\nSubject: 2\r\nSubject: 3\r\n",
    };
    struct keys k;
    keys_make(&k);
    publish(&k, "sel._domainkey.example.com", buf_view(&k.rsa_record));
    for (size_t i = 0; i < COUNT(headers); i++)
        for (int simple = 0; simple < 2; simple++) {
            struct buf message = {0};
            sign_shape(&k, &message, simple ? "DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=sel; h=from:subject:from:subject; bh={BH}; b={B}"
                                            : "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed; d=example.com; s=sel; h=from:subject:from:subject; bh={BH}; b={B}",
                       str_of(headers[i]), STR(BODY));
            struct dkim_result r = verify(&k, buf_view(&message), 100, 8);
            cr_expect_eq(r.verdict, DKIM_PASS, "header %zu: %s", i, text_of(&k, &r, 0));
            buf_free(&message);
        }
    keys_free(&k);
}

/* --- what is told of a signature, good or bad (RFC 8601 2.7.1; RFC 6008 4; RFC 8616 section 4) --- */

static const struct { const char *tags, *identity, *b; } identities[] = {
    {"d=example.com; b=AbCdEfGhIj", "@example.com", "AbCdEfGh"},
    {"d=Example.COM; b=AbC", "@example.com", "AbC"},
    {"d=example.com; b=\r\n AbC\r\n\tdE fGhIj", "@example.com", "AbCdEfGh"},
    {"d=example.com; i=joe@sub.example.com; b=A", "joe@sub.example.com", "A"},
    {"d=example.com; i=joe@\r\n example.com; b=A", "joe@example.com", "A"},
    {"d=example.com; i=o'brien(x)\"\\@example.com; b=A", "o'brien(x)\"\\@example.com", "A"},
    {"d=example.com; i=jo=65@example.com; b=A", "jo=65@example.com", "A"},
    {"d=example.com; i=j\xc3\xb6rg@example.com; b=A", "j\xc3\xb6rg@example.com", "A"},
    {"d=example.com; i=j\xc3\xb6rg@b\xc3\xbc" "cher.example; b=A", "j\xc3\xb6rg@xn--bcher-kva.example", "A"},
    {"d=b\xc3\xbc" "cher.example; b=A", "@xn--bcher-kva.example", "A"},
    {"d=example.com; i=a@b@c; b=A", "a@b@c", "A"},
    {"d=example.com; i=nobody; b=A", "nobody", "A"},
    {"d=a..b; b=A", "", "A"},
};

Test(dkim_shapes, identities)
{
    struct arena arena = {0};
    for (size_t i = 0; i < COUNT(identities); i++) {
        struct signature s;
        struct str reason;
        struct buf field = {0};
        buf_printf(&field, "DKIM-Signature: %s", identities[i].tags);
        signature_read(SIGNATURE_DKIM, buf_view(&field), 1, &arena, &s, &reason);
        cr_expect(str_eq(s.identity, str_of(identities[i].identity)), "[%s]: [%.*s]", identities[i].tags, STR_ARG(s.identity));
        cr_expect(str_eq(s.b_start, str_of(identities[i].b)), "[%s]: [%.*s]", identities[i].tags, STR_ARG(s.b_start));
        buf_free(&field);
    }
    struct str shown = signature_shown(&arena, STR("j\xc3\xb6 \"o'b\\(x),{y}\x01@b.example"));
    cr_expect(str_eq(shown, STR("j????o?b??x???y??@b.example")), "[%.*s]", STR_ARG(shown));
    arena_clear(&arena);
}

/* --- canonicalisation against the plainest reading of RFC 6376 3.4.3 and 3.4.4 --- */

static void body_plainly(struct str body, bool relaxed, struct buf *out)
{
    struct buf lines = {0};
    while (body.n) {
        const char *end = memmem(body.p, body.n, "\r\n", 2);
        size_t n = end ? (size_t)(end - body.p) : body.n;
        struct str line = str_sub(body, 0, n);
        if (relaxed) {
            struct buf one = {0};
            for (size_t i = 0; i < line.n; i++) {
                bool space = line.p[i] == ' ' || line.p[i] == '\t';
                if (!space)
                    buf_char(&one, line.p[i]);
                else if (!one.n || one.p[one.n - 1] != ' ')
                    buf_char(&one, ' ');
            }
            if (one.n && one.p[one.n - 1] == ' ')
                one.n--;
            buf_str(&lines, buf_view(&one));
            buf_free(&one);
        } else {
            buf_str(&lines, line);
        }
        buf_cstr(&lines, "\r\n");
        body = str_sub(body, end ? n + 2 : body.n, body.n);
    }
    while (lines.n >= 4 && memcmp(lines.p + lines.n - 4, "\r\n\r\n", 4) == 0)
        lines.n -= 2;
    if (lines.n == 2)
        lines.n = 0;
    if (!lines.n && !relaxed)
        buf_cstr(&lines, "\r\n");
    buf_str(out, buf_view(&lines));
    buf_free(&lines);
}

Test(dkim_shapes, bodies)
{
    static const char alphabet[] = {'a', ' ', '\t', '\r', '\n', 'b'};
    uint64_t random = 1;
    for (unsigned round = 0; round < 4000; round++) {
        char text[40];
        size_t n = round % 37;
        for (size_t i = 0; i < n; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            text[i] = alphabet[(random >> 33) % 6];
            if (text[i] == '\r' && i + 1 < n && (random >> 40) % 4)
                text[++i] = '\n';
        }
        for (int relaxed = 0; relaxed < 2; relaxed++) {
            struct buf plain = {0};
            uint8_t wanted[32];
            body_plainly((struct str){text, n}, relaxed, &plain);
            EVP_MD_CTX *md = sha256_begin();
            EVP_DigestUpdate(md, plain.p, plain.n);
            sha256_end(&md, wanted);
            for (size_t chunk = 1; chunk < 50; chunk = chunk * 3 + 1) {
                struct body_hash b;
                body_hash_begin(&b, true, relaxed, UINT64_MAX);
                for (size_t at = 0; at < n; at += chunk)
                    body_hash_feed(&b, str_sub((struct str){text, n}, at, at + chunk));
                body_hash_end(&b);
                cr_assert(memcmp(b.digest, wanted, 32) == 0, "round %u relaxed %d chunk %zu", round, relaxed, chunk);
                cr_assert_eq(b.total, plain.n);
            }
            buf_free(&plain);
        }
    }
}

/* --- amounts --- */

static struct dkim_result judge_all(struct keys *k, struct buf *message)
{
    struct dkim_result r = verify(k, buf_view(message), 4096, 8);

    cr_expect_leq(r.work, 2 * (uint64_t)DKIM_WORK_MAX);
    cr_expect_leq(r.octets, DKIM_OCTETS_MAX);
    buf_free(message);
    return r;
}

#define SMALL "DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=sel; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n"

Test(dkim_shapes, two_hundred_signatures)
{
    struct keys k;
    keys_make(&k);
    publish(&k, "sel._domainkey.example.com", buf_view(&k.rsa_record));
    struct buf message = {0};
    for (int i = 0; i < 200; i++)
        buf_cstr(&message, SMALL);
    buf_cstr(&message, "From: a@example.com\r\n\r\n");
    struct dkim_result r = judge_all(&k, &message);
    cr_expect_eq(r.verdict, DKIM_FAIL);
    cr_expect_eq(r.count, DKIM_SIGNATURES_KEPT);
    cr_expect_eq(r.untold, 200 - DKIM_SIGNATURES_KEPT);
    for (size_t i = 0; i < r.count; i++)
        cr_expect_eq(r.signatures[i].verdict, i < 8 ? DKIM_FAIL : DKIM_NEUTRAL);
    cr_expect_str_eq(text_of(&k, &r, 8), "example.com/sel rsa-sha256 0 neutral (not tried: more than 8 signatures)");
    keys_free(&k);
}

/* What is not well formed takes no place from what is: the one good signature behind twenty bad ones passes. */
Test(dkim_shapes, bad_ones_take_no_place)
{
    struct keys k;
    keys_make(&k);
    publish(&k, "sel._domainkey.example.com", buf_view(&k.rsa_record));
    struct buf message = {0}, good = {0};
    for (int i = 0; i < 20; i++)
        buf_cstr(&message, "DKIM-Signature: v=1; a=rsa-sha1; d=example.com\r\n");
    sign_shape(&k, &good, GOOD, STR(HEADER), STR(BODY));
    buf_str(&message, buf_view(&good));
    buf_free(&good);
    cr_expect_eq(judge_all(&k, &message).verdict, DKIM_PASS);
    keys_free(&k);
}

/* 2,000 fields, and eight signatures that name up to 1,000 of them each; one more name is too much. */
Test(dkim_shapes, two_thousand_fields)
{
    struct keys k;
    keys_make(&k);
    publish(&k, "sel._domainkey.example.com", buf_view(&k.rsa_record));
    struct buf header = {0}, shape = {0}, message = {0}, one = {0};
    buf_cstr(&header, "From: a@example.com\r\n");
    for (int i = 0; i < 2000; i++)
        buf_printf(&header, "X-%d: some text\r\n", i % 1500);
    buf_cstr(&shape, "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed; d=example.com; s=sel; bh={BH}; b={B}; h=from");
    for (int i = 0; i < 999; i++)
        buf_printf(&shape, ":\r\n x-%d", i);
    buf_char(&shape, 0);
    sign_shape(&k, &one, shape.p, buf_view(&header), STR(BODY));
    const char *end = memmem(one.p, one.n, "\r\nFrom: ", 8);
    size_t field = (size_t)(end - one.p) + 2;
    for (int i = 0; i < 8; i++)
        buf_put(&message, one.p, field);
    buf_put(&message, one.p + field, one.n - field);
    struct dkim_result r = judge_all(&k, &message);
    cr_expect_eq(r.verdict, DKIM_PASS, "%s", text_of(&k, &r, 0));
    for (size_t i = 0; i < 8; i++)
        cr_expect_eq(r.signatures[i].verdict, DKIM_PASS, "%s", text_of(&k, &r, i));
    shape.n--;
    buf_cstr(&shape, ":\r\n one-more");
    buf_char(&shape, 0);
    buf_free(&one);
    sign_shape(&k, &one, shape.p, buf_view(&header), STR(BODY));
    r = judge_all(&k, &one);
    cr_expect_str_eq(text_of(&k, &r, 0), "example.com/sel rsa-sha256 0 policy (h= names more than 1000 fields)");
    buf_free(&header), buf_free(&shape);
    keys_free(&k);
}

Test(dkim_shapes, giant_fields)
{
    struct keys k;
    keys_make(&k);
    publish(&k, "sel._domainkey.example.com", buf_view(&k.rsa_record));
    struct buf message = {0};
    buf_cstr(&message, "DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=sel; h=from");
    for (int i = 0; i < 20000; i++)
        buf_cstr(&message, ":from");
    buf_cstr(&message, "; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\nFrom: a@example.com\r\n\r\n");
    struct dkim_result r = judge_all(&k, &message);
    cr_expect_str_eq(text_of(&k, &r, 0), "?/? ? 0 policy (a field of more than 32768 octets)");

    for (int i = 0; i < 8; i++)
        buf_cstr(&message, SMALL);
    buf_cstr(&message, "From: ");
    for (int i = 0; i < 100000; i++)
        buf_cstr(&message, "ten octets");
    buf_cstr(&message, "\r\n\r\n");
    r = judge_all(&k, &message);
    cr_expect_eq(r.signatures[0].verdict, DKIM_FAIL);
    cr_expect_str_eq(text_of(&k, &r, 7), "example.com/sel rsa-sha256 0 policy (too much header to hash)");
    keys_free(&k);
}
