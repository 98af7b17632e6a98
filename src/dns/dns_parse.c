/*
 * dns_parse.c - the bytes of an answer to a value.
 *
 *     header, question (must be ours) -> answer section into a list -> follow CNAMEs from our name -> the records of our type
 *                                        nothing there: the SOA of the authority section says how long that may be believed;
 *                                        an alias without it: the server has not looked where it leads (dns_answer.alias)
 *
 * Only what is needed is read: the additional section is not looked at, nor the authority section of a positive answer. All that
 * the answer holds lives in one arena that dies with the last reference.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "dns_wire.h"
#include "postern/base/arena.h"

enum { CHAIN_MAX = 12, RECORDS_MAX = 1024, RCODE_OK = 0, RCODE_NXDOMAIN = 3 };

struct holder { /* an answer and its memory */
    struct dns_answer answer;
    struct arena arena;
};

struct rr {
    struct str owner; /* wire form, lower case */
    unsigned type, class_;
    uint32_t ttl;
    size_t at, n; /* of its data */
};

struct reading {
    const uint8_t *message;
    size_t n, at;
    struct arena *arena; /* the answer's */
    struct arena scratch;
};

static struct holder *holder_new(enum dns_status status, uint32_t ttl)
{
    struct holder *h = xcalloc(1, sizeof *h);
    h->answer.references = 1;
    h->answer.status = status;
    h->answer.ttl = ttl;
    h->answer.memory = h;
    return h;
}

struct dns_answer *dns_answer_status(enum dns_status status, uint32_t ttl)
{
    return &holder_new(status, ttl)->answer;
}

struct dns_answer *dns_answer_ref(struct dns_answer *a)
{
    a->references++;
    return a;
}

void dns_answer_unref(struct dns_answer **a)
{
    struct dns_answer *x = *a;
    *a = NULL;
    if (x && --x->references == 0) {
        struct holder *h = x->memory;
        arena_clear(&h->arena);
        free(h);
    }
}

static bool rr_read(struct reading *r, struct rr *out)
{
    struct wire_name owner;
    if (!wire_name_read(r->message, r->n, &r->at, &owner) || r->n - r->at < 10) {
        return false;
    }
    const uint8_t *p = r->message + r->at;
    out->owner = arena_str(&r->scratch, (struct str){(const char *)owner.b, owner.n});
    out->type = get16(p);
    out->class_ = get16(p + 2);
    out->ttl = get32(p + 4);
    if (out->ttl > INT32_MAX) { /* RFC 2181 section 8 */
        out->ttl = 0;
    }
    out->n = get16(p + 8);
    out->at = r->at + 10;
    if (out->n > r->n - out->at) {
        return false;
    }
    r->at = out->at + out->n;
    return true;
}

/* The name that fills the data of x from `skip` on, to its end; in wire form. */
static bool rr_name(const struct reading *r, const struct rr *x, size_t skip, struct wire_name *out)
{
    size_t at = x->at + skip;
    return skip < x->n && wire_name_read(r->message, r->n, &at, out) && at == x->at + x->n;
}

static struct str name_text(struct reading *r, const struct wire_name *name)
{
    struct buf text = {0};
    wire_name_text(name, &text);
    struct str copy = arena_str(r->arena, buf_view(&text));
    buf_free(&text);
    return copy;
}

/* Character-strings that fill the data exactly, joined. There should be one at least (RFC 1035 3.3.14); none at all is read as an
 * empty text, or such a record would hide those beside it. */
static bool txt_read(struct reading *r, const struct rr *x, struct str *out)
{
    const uint8_t *p = r->message + x->at;
    char *joined = arena_alloc(r->arena, x->n + 1);
    size_t n = 0, i = 0;
    while (i < x->n) {
        size_t length = p[i++];
        if (length > x->n - i) {
            return false;
        }
        memcpy(joined + n, p + i, length);
        n += length;
        i += length;
    }
    *out = (struct str){joined, n};
    return true;
}

static bool record_read(struct reading *r, const struct rr *x, struct dns_record *out)
{
    const uint8_t *p = r->message + x->at;
    struct wire_name name;
    *out = (struct dns_record){.ttl = x->ttl};
    switch (x->type) {
    case DNS_A:
        out->addr.family = 4;
        memcpy(out->addr.b, p, x->n == 4 ? 4 : 0);
        return x->n == 4;
    case DNS_AAAA:
        out->addr.family = 6;
        memcpy(out->addr.b, p, x->n == 16 ? 16 : 0);
        return x->n == 16;
    case DNS_MX:
        if (x->n < 3 || !rr_name(r, x, 2, &name)) {
            return false;
        }
        out->preference = (uint16_t)get16(p);
        out->name = name_text(r, &name);
        return true;
    case DNS_PTR:
    case DNS_NS:
    case DNS_CNAME:
        if (!rr_name(r, x, 0, &name)) {
            return false;
        }
        out->name = name_text(r, &name);
        return true;
    case DNS_TXT:
        return txt_read(r, x, &out->text);
    default: /* the data as it is */
        out->text = arena_str(r->arena, (struct str){(const char *)p, x->n});
        return true;
    }
}

static bool is_for(const struct rr *x, const struct wire_name *owner, unsigned type)
{
    return x->type == type && x->class_ == DNS_CLASS_IN && x->owner.n == owner->n && memcmp(x->owner.p, owner->b, owner->n) == 0;
}

/* The records of `type` that owner has: how many, or -1 when one cannot be read. */
static int records_read(struct reading *r, const struct rr *list, size_t count, const struct wire_name *owner, unsigned type,
                        struct dns_answer *a)
{
    for (size_t i = 0; i < count; i++) {
        if (!is_for(&list[i], owner, type)) {
            continue;
        }
        if (!a->records) {
            a->records = arena_alloc(r->arena, (count - i) * sizeof *a->records);
        }
        if (!record_read(r, &list[i], &a->records[a->count])) {
            return -1;
        }
        a->count++;
        a->ttl = list[i].ttl < a->ttl ? list[i].ttl : a->ttl;
    }
    return (int)a->count;
}

/* Moves *owner to where its CNAME points. 1: moved, 0: it has none, -1: unreadable. */
static int cname_follow(struct reading *r, const struct rr *list, size_t count, struct wire_name *owner, uint32_t *ttl)
{
    for (size_t i = 0; i < count; i++) {
        if (!is_for(&list[i], owner, DNS_CNAME)) {
            continue;
        }
        if (!rr_name(r, &list[i], 0, owner)) {
            return -1;
        }
        *ttl = list[i].ttl < *ttl ? list[i].ttl : *ttl;
        return 1;
    }
    return 0;
}

/* RFC 2308 section 5: the smaller of the SOA's TTL and its MINIMUM; without an SOA (*authoritative) nothing is kept. False: the
 * section is unreadable. */
static bool negative_ttl(struct reading *r, unsigned authority, uint32_t *ttl, bool *authoritative)
{
    uint32_t found = 0;
    *authoritative = false;
    for (unsigned i = 0; i < authority; i++) {
        struct rr x;
        struct wire_name name;
        if (!rr_read(r, &x)) {
            return false;
        }
        if (x.type != DNS_SOA || x.class_ != DNS_CLASS_IN) {
            continue;
        }
        size_t at = x.at;
        bool names = wire_name_read(r->message, r->n, &at, &name) && wire_name_read(r->message, r->n, &at, &name);
        if (!names || at + 20 != x.at + x.n) {
            return false;
        }
        uint32_t minimum = get32(r->message + at + 16);
        found = minimum < x.ttl ? minimum : x.ttl;
        *authoritative = true;
    }
    *ttl = found < *ttl ? found : *ttl;
    return true;
}

/* No record of the type, nor an alias of `owner` (NULL: the name asked for): is that the last word? */
static enum dns_status nothing_found(struct reading *r, const struct wire_name *owner, unsigned authority, struct dns_answer *a)
{
    bool authoritative;
    uint32_t alias_ttl = a->ttl;
    if (!negative_ttl(r, authority, &a->ttl, &authoritative)) {
        return DNS_MALFORMED;
    }
    if ((r->message[3] & 15) == RCODE_NXDOMAIN) {
        return DNS_NXDOMAIN;
    }
    if (owner && !authoritative) {
        a->alias = name_text(r, owner);
        a->ttl = alias_ttl;
    }
    return DNS_NODATA;
}

static enum dns_status answer_read(struct reading *r, const struct wire_name *question, unsigned type, struct dns_answer *a)
{
    unsigned rcode = r->message[3] & 15;
    unsigned answers = get16(r->message + 6), authority = get16(r->message + 8);
    if (answers > RECORDS_MAX || authority > RECORDS_MAX) {
        return DNS_MALFORMED;
    }
    struct rr *list = arena_alloc(&r->scratch, (answers + 1) * sizeof *list);
    for (unsigned i = 0; i < answers; i++) {
        if (!rr_read(r, &list[i])) {
            return DNS_MALFORMED;
        }
    }
    struct wire_name owner = *question;
    a->ttl = INT32_MAX;
    for (unsigned hops = 0; hops < CHAIN_MAX; hops++) {
        int found = rcode == RCODE_OK ? records_read(r, list, answers, &owner, type, a) : 0;
        if (found != 0) {
            return found < 0 ? DNS_MALFORMED : DNS_OK;
        }
        int moved = type == DNS_CNAME ? 0 : cname_follow(r, list, answers, &owner, &a->ttl);
        if (moved < 0) {
            return DNS_MALFORMED;
        }
        if (moved == 0) {
            return nothing_found(r, hops > 0 ? &owner : NULL, authority, a);
        }
    }
    return DNS_MALFORMED; /* a loop */
}

static enum dns_status message_read(struct reading *r, struct str name, unsigned type, struct dns_answer *a)
{
    char normal[254];
    struct wire_name ours, theirs;
    const uint8_t *m = r->message;
    if (r->n < DNS_HEADER || !(m[2] & 0x80) || (m[2] & 0x78) != 0 || !dns_name_normal(name, normal)) { /* no answer to a query */
        return DNS_MALFORMED;
    }
    unsigned rcode = m[3] & 15, questions = get16(m + 4);
    if (rcode != RCODE_OK && rcode != RCODE_NXDOMAIN && questions == 0) { /* some servers refuse without repeating the question */
        return DNS_SERVFAIL;
    }
    r->at = DNS_HEADER;
    if (questions != 1 || !wire_name_read(m, r->n, &r->at, &theirs) || r->n - r->at < 4) {
        return DNS_MALFORMED;
    }
    wire_name_from(str_of(normal), &ours);
    if (!wire_name_eq(&ours, &theirs) || get16(m + r->at) != type || get16(m + r->at + 2) != DNS_CLASS_IN) {
        return DNS_MALFORMED;
    }
    r->at += 4;
    if (rcode != RCODE_OK && rcode != RCODE_NXDOMAIN) {
        return DNS_SERVFAIL;
    }
    if (m[2] & 0x02) { /* truncated, and the transport could not get it whole */
        return DNS_MALFORMED;
    }
    return answer_read(r, &ours, type, a);
}

struct dns_answer *dns_answer_parse(const uint8_t *message, size_t n, struct str name, unsigned type)
{
    struct holder *h = holder_new(DNS_MALFORMED, 0);
    struct reading r = {.message = message, .n = n, .arena = &h->arena};
    if (n > 0) {
        h->answer.raw = arena_str(&h->arena, (struct str){(const char *)message, n});
    }
    h->answer.status = message_read(&r, name, type, &h->answer);
    if (h->answer.status != DNS_OK) {
        h->answer.records = NULL;
        h->answer.count = 0;
    }
    if (dns_failed(h->answer.status)) {
        h->answer.ttl = 0;
    }
    arena_clear(&r.scratch);
    return &h->answer;
}
