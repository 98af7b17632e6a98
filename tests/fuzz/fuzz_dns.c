/* rooms: dns */
/*
 * The bytes of an answer. The first octets choose the question; the rest is the message, read as it came and once more as an answer to that
 * question (its header and question repaired), so that the sections behind are reached.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "postern/dns/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const unsigned types[] = {DNS_A, DNS_AAAA, DNS_MX, DNS_TXT, DNS_PTR, DNS_CNAME, DNS_NS, DNS_SOA};

/* A name that an answer holds: what can be asked for is a normal name, and asks for the same. */
static void judge_name(struct str name)
{
    char asked[254], again[254];
    if (dns_name_of_record(name, asked)) {
        assert(dns_name_normal(str_of(asked), again) && strcmp(asked, again) == 0 && !strchr(asked, '\\'));
        assert(memchr(name.p, '\\', name.n) || str_eq(name, str_of(asked)));
    }
}

static void judge_record(const struct dns_record *r, unsigned type)
{
    assert(r->ttl <= INT32_MAX);
    for (size_t i = 0; i < r->name.n; i++) {
        unsigned char c = (unsigned char)r->name.p[i];
        assert((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("-_.\\", c));
    }
    assert(r->name.n <= 4 * 253);
    judge_name(r->name);
    assert(type != DNS_A || r->addr.family == 4);
    assert(type != DNS_AAAA || r->addr.family == 6);
    (void)type;
}

static enum dns_status judge(const uint8_t *message, size_t n, struct str name, unsigned type)
{
    struct dns_answer *a = dns_answer_parse(message, n, name, type);
    enum dns_status status = a->status;
    assert(a->references == 1 && status <= DNS_MALFORMED && status != DNS_TIMEOUT);
    assert((a->count > 0) == (status == DNS_OK));
    assert(!dns_failed(status) || a->ttl == 0);
    assert(a->raw.n == n);
    assert(a->alias.n == 0 || (status == DNS_NODATA && a->alias.n <= 4 * 253));
    judge_name(a->alias);
    for (size_t i = 0; i < a->count; i++) {
        judge_record(&a->records[i], type);
    }
    dns_answer_unref(&a);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str name = STR("a.example");
    if (size < 1 || size > 65536) {
        return 0;
    }
    unsigned type = types[data[0] % (sizeof types / sizeof *types)];
    const uint8_t *message = data + 1;
    size_t n = size - 1;
    judge(message, n, name, type);
    if (n < 12) {
        return 0;
    }
    struct dns_build b = {0};
    dns_build_begin(&b, name, type, 0);
    size_t head = b.out.n;
    buf_put(&b.out, message + 12, n - 12);
    memcpy(b.out.p + 6, message + 6, 4); /* how many answers and authorities it claims */
    b.out.p[3] = (char)(0x80 | (message[3] & 3));
    judge((const uint8_t *)b.out.p, head + n - 12, name, type);
    buf_free(&b.out);
    return 0;
}
