/* Answers: building and reading, CNAMEs, negative TTLs, and every way in which a message can lie. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns_wire.h"
#include "postern/dns/dns.h"

static struct dns_build b;

static struct dns_answer *parse(const char *name, unsigned type)
{
    struct str m = dns_build_end(&b);
    return dns_answer_parse((const uint8_t *)m.p, m.n, str_of(name), type);
}

/* Parses what was built, and forgets it. */
static struct dns_answer *finish(const char *name, unsigned type)
{
    struct dns_answer *a = parse(name, type);
    buf_free(&b.out);
    return a;
}

static void begin(const char *name, unsigned type, unsigned rcode)
{
    dns_build_begin(&b, str_of(name), type, rcode);
}

static void record(const char *owner, unsigned type, uint32_t ttl, const char *text)
{
    cr_assert(dns_build_record(&b, str_of(owner), type, ttl, str_of(text)), "%s", text);
}

static bool is(struct str s, const char *expected)
{
    return str_eq(s, str_of(expected));
}

Test(message, a_types_and_statuses)
{
    static const unsigned all[] = {DNS_A, DNS_NS, DNS_CNAME, DNS_SOA, DNS_PTR, DNS_MX, DNS_TXT, DNS_AAAA};
    unsigned type;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        cr_assert(dns_type_parse(str_of(dns_type_name(all[i])), &type));
        cr_assert_eq(type, all[i]);
    }
    cr_assert(dns_type_parse(STR("mx"), &type));
    cr_assert_not(dns_type_parse(STR("ANY"), &type));
    cr_assert_str_eq(dns_type_name(99), "?");
    cr_assert_str_eq(dns_status_names[DNS_LIMIT], "limit");
    cr_assert_not(dns_failed(DNS_NXDOMAIN));
    cr_assert_not(dns_failed(DNS_BADNAME));
    cr_assert(dns_failed(DNS_TIMEOUT));
}

Test(message, b_each_type)
{
    char text[ADDR_TEXT];
    begin("x.example", DNS_A, 0);
    record("X.example", DNS_A, 300, "192.0.2.1");
    record("x.example.", DNS_A, 200, "192.0.2.2");
    struct dns_answer *a = finish("X.EXAMPLE", DNS_A);
    cr_assert_eq(a->status, DNS_OK);
    cr_assert_eq(a->count, 2);
    cr_assert_eq(a->ttl, 200);
    cr_assert_eq(a->records[0].ttl, 300);
    cr_assert_str_eq(addr_format(&a->records[1].addr, text), "192.0.2.2");
    cr_assert_gt(a->raw.n, 12);
    dns_answer_unref(&a);
    cr_assert_null(a);

    begin("x.example", DNS_AAAA, 0);
    record("x.example", DNS_AAAA, 1, "2001:db8::1");
    a = finish("x.example", DNS_AAAA);
    cr_assert_str_eq(addr_format(&a->records[0].addr, text), "2001:db8::1");
    dns_answer_unref(&a);

    begin("x.example", DNS_MX, 0);
    record("x.example", DNS_MX, 1, "10 MX1.example.");
    record("x.example", DNS_MX, 1, "0 .");
    a = finish("x.example", DNS_MX);
    cr_assert_eq(a->records[0].preference, 10);
    cr_assert(is(a->records[0].name, "mx1.example"));
    cr_assert_eq(a->records[1].name.n, 0, "the root: null MX");
    dns_answer_unref(&a);

    begin("1.2.0.192.in-addr.arpa", DNS_PTR, 0);
    record("1.2.0.192.in-addr.arpa", DNS_PTR, 1, "host\\013\\010x.e\\046f.example");
    a = finish("1.2.0.192.in-addr.arpa", DNS_PTR);
    cr_assert(is(a->records[0].name, "host\\013\\010x.e\\046f.example"), "%.*s", STR_ARG(a->records[0].name));
    dns_answer_unref(&a);

    begin("x.example", DNS_TXT, 0);
    record("x.example", DNS_TXT, 1, "\"v=spf1 \" \"ip4:1.2.3.4 \\\"q\\\\\\001\" \"\"");
    record("x.example", DNS_TXT, 1, "bare words");
    a = finish("x.example", DNS_TXT);
    cr_assert(is(a->records[0].text, "v=spf1 ip4:1.2.3.4 \"q\\\001"));
    cr_assert(is(a->records[1].text, "bare words"));
    dns_answer_unref(&a);

    begin("x.example", 99, 0);
    a = finish("x.example", 99);
    cr_assert_eq(a->status, DNS_NODATA);
    dns_answer_unref(&a);
}

Test(message, c_a_long_text_is_cut_and_joined)
{
    char text[1000];
    memset(text, 'k', sizeof text);
    begin("k.example", DNS_TXT, 0);
    cr_assert(dns_build_record(&b, STR("k.example"), DNS_TXT, 1, (struct str){text, sizeof text}));
    struct dns_answer *a = finish("k.example", DNS_TXT);
    cr_assert(str_eq(a->records[0].text, (struct str){text, sizeof text}));
    dns_answer_unref(&a);
}

Test(message, d_what_cannot_be_built)
{
    static const struct {
        unsigned type;
        const char *text;
    } bad[] = {{DNS_A, "2001:db8::1"}, {DNS_A, "x"},       {DNS_AAAA, "192.0.2.1"}, {DNS_MX, "mx.example"}, {DNS_MX, "10"},
               {DNS_MX, "70000 x"},    {DNS_MX, "10 a..b"}, {DNS_PTR, "a..b"},       {DNS_TXT, "\"open"},    {DNS_TXT, "\"a\" b"},
               {DNS_TXT, "\"a\\"},     {DNS_SOA, "x"}};
    begin("x.example", DNS_A, 0);
    size_t n = b.out.n;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_not(dns_build_record(&b, STR("x.example"), bad[i].type, 1, str_of(bad[i].text)), "%s", bad[i].text);
        cr_assert_eq(b.out.n, n, "nothing is left behind");
    }
    cr_assert_not(dns_build_record(&b, STR("a..b"), DNS_A, 1, STR("192.0.2.1")));
    buf_free(&b.out);
}

Test(message, e_cnames_are_followed)
{
    begin("a.example", DNS_A, 0);
    record("c.example", DNS_A, 500, "192.0.2.3"); /* in any order */
    record("b.example", DNS_CNAME, 30, "C.example");
    record("a.example", DNS_CNAME, 400, "b.example");
    record("other.example", DNS_A, 5, "192.0.2.99");
    struct dns_answer *a = finish("a.example", DNS_A);
    cr_assert_eq(a->status, DNS_OK);
    cr_assert_eq(a->count, 1);
    cr_assert_eq(a->ttl, 30, "the smallest of the chain");
    dns_answer_unref(&a);

    begin("a.example", DNS_A, 0); /* leads nowhere */
    record("a.example", DNS_CNAME, 400, "b.example");
    dns_build_soa(&b, 60);
    a = finish("a.example", DNS_A);
    cr_assert_eq(a->status, DNS_NODATA);
    cr_assert_eq(a->ttl, 60);
    dns_answer_unref(&a);

    begin("a.example", DNS_A, 3);
    record("a.example", DNS_CNAME, 20, "b.example");
    dns_build_soa(&b, 60);
    a = finish("a.example", DNS_A);
    cr_assert_eq(a->status, DNS_NXDOMAIN);
    cr_assert_eq(a->ttl, 20);
    dns_answer_unref(&a);

    begin("a.example", DNS_A, 0); /* a loop */
    record("a.example", DNS_CNAME, 20, "b.example");
    record("b.example", DNS_CNAME, 20, "a.example");
    a = finish("a.example", DNS_A);
    cr_assert_eq(a->status, DNS_MALFORMED);
    cr_assert_eq(a->ttl, 0);
    dns_answer_unref(&a);

    begin("a.example", DNS_CNAME, 0); /* asked for itself */
    record("a.example", DNS_CNAME, 20, "b.example");
    a = finish("a.example", DNS_CNAME);
    cr_assert_eq(a->status, DNS_OK);
    cr_assert(is(a->records[0].name, "b.example"));
    dns_answer_unref(&a);
}

/* Where the aliases lead, when the server did not look there: neither records nor an SOA, and not NXDOMAIN. */
Test(message, e2_an_alias_left_open)
{
    static const struct {
        unsigned rcode;
        int soa;
        enum dns_status status;
        const char *alias;
        uint32_t ttl;
    } cases[] = {{0, -1, DNS_NODATA, "c\\058d.example", 20}, {0, 300, DNS_NODATA, "", 20}, {0, 0, DNS_NODATA, "", 0},
                 {3, -1, DNS_NXDOMAIN, "", 0},                {3, 300, DNS_NXDOMAIN, "", 20}, {2, -1, DNS_SERVFAIL, "", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin("a.example", DNS_A, cases[i].rcode);
        record("a.example", DNS_CNAME, 30, "b.example");
        record("b.example", DNS_CNAME, 20, "c\\058d.example");
        if (cases[i].soa >= 0) {
            dns_build_soa(&b, (uint32_t)cases[i].soa);
        }
        struct dns_answer *a = finish("a.example", DNS_A);
        cr_assert_eq(a->status, cases[i].status, "%zu", i);
        cr_assert(is(a->alias, cases[i].alias), "%zu: %.*s", i, STR_ARG(a->alias));
        cr_assert_eq(a->ttl, cases[i].ttl, "%zu: %u", i, a->ttl);
        dns_answer_unref(&a);
    }
}

Test(message, f_negative)
{
    static const struct {
        unsigned rcode;
        int soa;
        enum dns_status status;
        uint32_t ttl;
    } cases[] = {{0, 300, DNS_NODATA, 300}, {3, 300, DNS_NXDOMAIN, 300}, {0, -1, DNS_NODATA, 0},   {3, -1, DNS_NXDOMAIN, 0},
                 {2, 300, DNS_SERVFAIL, 0}, {5, -1, DNS_SERVFAIL, 0},    {1, -1, DNS_SERVFAIL, 0}, {15, -1, DNS_SERVFAIL, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin("x.example", DNS_A, cases[i].rcode);
        if (cases[i].soa >= 0) {
            dns_build_soa(&b, (uint32_t)cases[i].soa);
        }
        struct dns_answer *a = finish("x.example", DNS_A);
        cr_assert_eq(a->status, cases[i].status, "rcode %u", cases[i].rcode);
        cr_assert_eq(a->ttl, cases[i].ttl);
        cr_assert_eq(a->count, 0);
        dns_answer_unref(&a);
    }
    /* The smaller of the SOA's own TTL and its minimum. */
    begin("x.example", DNS_A, 3);
    dns_build_soa(&b, 300);
    memcpy(b.out.p + b.out.n - 4, "\0\0\0\7", 4);
    struct dns_answer *a = finish("x.example", DNS_A);
    cr_assert_eq(a->ttl, 7);
    dns_answer_unref(&a);
    /* A TTL with its highest bit set is zero (RFC 2181 section 8). */
    begin("x.example", DNS_A, 0);
    record("x.example", DNS_A, 0x80000001, "192.0.2.1");
    a = finish("x.example", DNS_A);
    cr_assert_eq(a->status, DNS_OK);
    cr_assert_eq(a->ttl, 0);
    dns_answer_unref(&a);
}

Test(message, g_not_our_answer)
{
    static const struct {
        size_t at; /* byte that is changed */
        int value;
        enum dns_status status;
    } cases[] = {
        {2, 0x01, DNS_MALFORMED},  /* a query */
        {2, 0x91, DNS_MALFORMED},  /* another opcode */
        {2, 0x83, DNS_MALFORMED},  /* truncated */
        {3, 0x82, DNS_SERVFAIL},
        {5, 0, DNS_MALFORMED},     /* no question */
        {5, 2, DNS_MALFORMED},     /* two questions */
        {4, 0xff, DNS_MALFORMED},
        {6, 0xff, DNS_MALFORMED},  /* 65281 answers */
        {7, 2, DNS_MALFORMED},     /* one more than there are */
        {7, 0, DNS_NODATA},
        {13, 'y', DNS_MALFORMED},  /* another name */
        {13, 'X', DNS_OK},
        {24, 28, DNS_MALFORMED},   /* another type */
        {26, 3, DNS_MALFORMED},    /* another class */
        {30, 'q', DNS_NODATA},     /* the record is another name's */
        {41, 3, DNS_NODATA},       /* the record is of another class */
        {47, 3, DNS_MALFORMED},    /* an address of three bytes */
        {47, 5, DNS_MALFORMED},
        {46, 0xff, DNS_MALFORMED}, /* data past the end */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin("x.example", DNS_A, 0);
        record("x.example", DNS_A, 60, "192.0.2.1");
        b.out.p[cases[i].at] = (char)cases[i].value;
        struct dns_answer *a = finish("x.example", DNS_A);
        cr_assert_eq(a->status, cases[i].status, "byte %zu = %d: %s", cases[i].at, cases[i].value, dns_status_names[a->status]);
        dns_answer_unref(&a);
    }
    /* A refusal without its question is a refusal. */
    static const uint8_t refused[12] = {0, 0, 0x80, 5};
    struct dns_answer *a = dns_answer_parse(refused, sizeof refused, STR("x.example"), DNS_A);
    cr_assert_eq(a->status, DNS_SERVFAIL);
    dns_answer_unref(&a);
    a = dns_answer_parse(NULL, 0, STR("x.example"), DNS_A);
    cr_assert_eq(a->status, DNS_MALFORMED);
    dns_answer_unref(&a);
    begin("x.example", DNS_A, 0);
    record("x.example", DNS_A, 60, "192.0.2.1");
    a = finish("a..b", DNS_A);
    cr_assert_eq(a->status, DNS_MALFORMED);
    dns_answer_unref(&a);
}

/* The answer section of a message for "x.example" A, byte by byte. */
static struct dns_answer *raw(const void *bytes, size_t n, unsigned answers, unsigned type)
{
    begin("x.example", type, 0);
    buf_put(&b.out, bytes, n);
    b.out.p[7] = (char)answers;
    return finish("x.example", type);
}

Test(message, h_compression)
{
    static const struct {
        const char *bytes;
        size_t n;
        unsigned type;
        enum dns_status status;
        const char *name;
    } cases[] = {
#define CASE(bytes, ...) {bytes, sizeof(bytes) - 1, __VA_ARGS__}
        /* a good pointer as owner, and another in the data: mx.example, with the question's second label */
        CASE("\xc0\x0c\0\x0f\0\1\0\0\0\1\0\7\0\5\2mx\xc0\x0e", DNS_MX, DNS_OK, "mx.example"),
        CASE("\xc0\x0c\0\x0f\0\1\0\0\0\1\0\4\0\5\xc0\x0c", DNS_MX, DNS_OK, "x.example"),
        CASE("\xc0\x1b\0\x0f\0\1\0\0\0\1\0\4\0\5\xc0\x0c", DNS_MX, DNS_MALFORMED, NULL),   /* to itself */
        CASE("\xc0\x1d\0\x0f\0\1\0\0\0\1\0\4\0\5\xc0\x0c", DNS_MX, DNS_MALFORMED, NULL),   /* forward */
        CASE("\xff\xff\0\x0f\0\1\0\0\0\1\0\4\0\5\xc0\x0c", DNS_MX, DNS_MALFORMED, NULL),   /* past the end */
        CASE("\xc0\x02\0\x0f\0\1\0\0\0\1\0\4\0\5\xc0\x0c", DNS_MX, DNS_MALFORMED, NULL),   /* into the header */
        CASE("\x80\x0c\0\x0f\0\1\0\0\0\1\0\4\0\5\xc0\x0c", DNS_MX, DNS_MALFORMED, NULL),   /* a reserved label type */
        CASE("\x40\x0c\0\x0f\0\1\0\0\0\1\0\4\0\5\xc0\x0c", DNS_MX, DNS_MALFORMED, NULL),
        CASE("\xc0\x0c\0\x0f\0\1\0\0\0\1\0\5\0\5\xc0\x0c\0", DNS_MX, DNS_MALFORMED, NULL), /* a byte too many */
        CASE("\xc0\x0c\0\x0f\0\1\0\0\0\1\0\3\0\5\xc0\x0c", DNS_MX, DNS_MALFORMED, NULL),   /* the pointer leaves the data */
        CASE("\xc0\x0c\0\x0f\0\1\0\0\0\1\0\2\0\5", DNS_MX, DNS_MALFORMED, NULL),           /* no name */
        CASE("\xc0\x0c\0\x0c\0\1\0\0\0\1\0\0", DNS_PTR, DNS_MALFORMED, NULL),
        CASE("\xc0\x0c\0\x10\0\1\0\0\0\1\0\0", DNS_TXT, DNS_OK, ""),                       /* no string */
        CASE("\xc0\x0c\0\x10\0\1\0\0\0\1\0\1\0", DNS_TXT, DNS_OK, ""),                     /* an empty one */
        CASE("\xc0\x0c\0\x10\0\1\0\0\0\1\0\2\2x", DNS_TXT, DNS_MALFORMED, NULL),           /* longer than the data */
        CASE("\xc0", DNS_TXT, DNS_MALFORMED, NULL),
        CASE("\xc0\x0c\0\x10\0\1\0\0\0\1\0", DNS_TXT, DNS_MALFORMED, NULL),
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dns_answer *a = raw(cases[i].bytes, cases[i].n, 1, cases[i].type);
        cr_assert_eq(a->status, cases[i].status, "case %zu: %s", i, dns_status_names[a->status]);
        if (cases[i].name) {
            cr_assert(is(a->records[0].name, cases[i].name), "case %zu", i);
        }
        dns_answer_unref(&a);
    }
}

/* Pointers to pointers, each backwards, are allowed and end. */
Test(message, h2_pointers_to_pointers)
{
    struct buf data = {0};
    unsigned base = 12 + 11 + 4; /* where the answers begin */
    unsigned records = 0;
    for (unsigned to = 0x0c; records < 20; records++) { /* each owner points to the owner before */
        unsigned here = base + (unsigned)data.n;
        buf_char(&data, (char)(0xc0 | to >> 8));
        buf_char(&data, (char)to);
        buf_put(&data, "\0\1\0\1\0\0\0\1\0\4\1\2\3\4", 14);
        to = here;
    }
    struct dns_answer *a = raw(data.p, data.n, records, DNS_A);
    cr_assert_eq(a->status, DNS_OK);
    cr_assert_eq(a->count, 20);
    dns_answer_unref(&a);
    buf_free(&data);
}

Test(message, i_a_name_may_have_255_octets)
{
    for (int extra = 0; extra < 2; extra++) {
        struct buf data = {0};
        buf_put(&data, "\xc0\x0c\0\x0c\0\1\0\0\0\1\0\0", 12);
        for (int i = 0; i < 3; i++) {
            buf_char(&data, 63);
            for (int k = 0; k < 63; k++) {
                buf_char(&data, 'a');
            }
        }
        buf_char(&data, (char)(61 + extra));
        for (int k = 0; k < 61 + extra; k++) {
            buf_char(&data, 'b');
        }
        buf_char(&data, 0);
        data.p[11] = (char)(data.n - 12);
        struct dns_answer *a = raw(data.p, data.n, 1, DNS_PTR);
        cr_assert_eq(a->status, extra ? DNS_MALFORMED : DNS_OK);
        dns_answer_unref(&a);
        buf_free(&data);
    }
}

static void build_big(void)
{
    begin("x.example", DNS_MX, 0);
    record("x.example", DNS_CNAME, 60, "y.example");
    record("y.example", DNS_MX, 60, "10 mx1.example");
    record("y.example", DNS_MX, 60, "20 mx2.example");
    record("y.example", DNS_TXT, 60, "\"text\"");
    dns_build_soa(&b, 60);
}

/* Cut anywhere, it is unreadable, but for the end of the authority section, which a positive answer does not need. */
Test(message, j_truncated_at_every_length)
{
    build_big();
    struct str whole = dns_build_end(&b);
    size_t needed = whole.n - (1 + 10 + 22); /* the SOA */
    for (size_t n = 0; n <= whole.n; n++) {
        uint8_t *copy = malloc(n + !n); /* of its very size: the sanitizer sees a read past it */
        memcpy(copy, whole.p, n);
        struct dns_answer *a = dns_answer_parse(copy, n, STR("x.example"), DNS_MX);
        cr_assert_eq(a->status, n < needed ? DNS_MALFORMED : DNS_OK, "%zu of %zu", n, whole.n);
        cr_assert_eq(a->count, n < needed ? 0 : 2);
        free(copy); /* the answer has its own */
        cr_assert_eq(a->raw.n, n);
        dns_answer_unref(&a);
    }
    buf_free(&b.out);
    begin("x.example", DNS_A, 3); /* a negative answer needs its SOA whole */
    dns_build_soa(&b, 60);
    whole = dns_build_end(&b);
    for (size_t n = 0; n < whole.n; n++) {
        uint8_t *copy = malloc(n + !n);
        memcpy(copy, whole.p, n);
        struct dns_answer *a = dns_answer_parse(copy, n, STR("x.example"), DNS_A);
        cr_assert_eq(a->status, DNS_MALFORMED, "%zu", n);
        dns_answer_unref(&a);
        free(copy);
    }
    buf_free(&b.out);
}

static void sane(const struct dns_answer *a)
{
    cr_assert(a->status == DNS_OK ? a->count > 0 : a->count == 0);
    for (size_t i = 0; i < a->count; i++) {
        struct str name = a->records[i].name;
        for (size_t k = 0; k < name.n; k++) {
            cr_assert(name.p[k] > ' ' && name.p[k] < 0x7f && !(name.p[k] >= 'A' && name.p[k] <= 'Z'));
        }
    }
}

Test(message, k_every_byte_with_every_value)
{
    build_big();
    struct str whole = dns_build_end(&b);
    uint8_t *copy = malloc(whole.n);
    for (size_t at = 0; at < whole.n; at++) {
        for (unsigned value = 0; value < 256; value++) {
            memcpy(copy, whole.p, whole.n);
            copy[at] = (uint8_t)value;
            struct dns_answer *a = dns_answer_parse(copy, whole.n, STR("x.example"), DNS_MX);
            sane(a);
            dns_answer_unref(&a);
        }
    }
    free(copy);
    buf_free(&b.out);
}

Test(message, l_references)
{
    struct dns_answer *a = dns_answer_status(DNS_TIMEOUT, 3);
    struct dns_answer *other = dns_answer_ref(a);
    cr_assert_eq(other, a);
    dns_answer_unref(&a);
    cr_assert_eq(other->status, DNS_TIMEOUT);
    cr_assert_eq(other->ttl, 3);
    cr_assert_eq(other->raw.n, 0);
    dns_answer_unref(&other);
    dns_answer_unref(&other);
}
