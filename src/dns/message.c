/*
 * message.c - answer messages read (RFC 1035 section 4). Every byte is hostile: offsets are checked against the end before each read, names
 * follow at most a bounded number of pointers and only backwards, counts are believed only as far as the bytes go.
 */
#include <stdlib.h>
#include <string.h>

#include "postern/base/arena.h"
#include "postern/dns/dns.h"

enum { HEADER = 12, POINTERS_MAX = 32, NAME_MAX_TEXT = 1024, CHAIN_MAX = 16, RECORDS_MAX = 4096, CLASS_IN = 1 };

const char *const dns_status_names[] = {"ok", "nodata", "nxdomain", "servfail", "timeout", "malformed", "badname", "limit"};

static const struct type_name {
    unsigned type;
    const char *name;
} type_names[] = {{DNS_A, "A"},     {DNS_NS, "NS"},   {DNS_CNAME, "CNAME"}, {DNS_SOA, "SOA"},  {DNS_PTR, "PTR"},
                  {DNS_MX, "MX"},   {DNS_TXT, "TXT"}, {DNS_AAAA, "AAAA"}};

const char *dns_type_name(unsigned type)
{
    for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++)
        if (type_names[i].type == type)
            return type_names[i].name;
    return "?";
}

bool dns_type_parse(struct str s, unsigned *type)
{
    for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++)
        if (str_eq_nocase(s, str_of(type_names[i].name))) {
            *type = type_names[i].type;
            return true;
        }
    return false;
}

bool dns_name_normal(struct str name, char out[254])
{
    if (name.n && name.p[name.n - 1] == '.')
        name.n--;
    if (name.n == 0 || name.n > 253)
        return false;
    size_t label = 0;
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        if (c == '.') {
            if (label == 0)
                return false;
            label = 0;
        } else if (c <= ' ' || c >= 127 || c == '\\' || ++label > 63) {
            return false;
        }
        out[i] = ascii_lower((char)c);
    }
    out[name.n] = 0;
    return label > 0;
}

/* --- reading ------------------------------------------------------------------------------------------------------------------- */

struct cursor {
    const uint8_t *message;
    size_t n, at;
    bool bad;
};

static unsigned get8(struct cursor *c)
{
    if (c->bad || c->at >= c->n) {
        c->bad = true;
        return 0;
    }
    return c->message[c->at++];
}

static unsigned get16(struct cursor *c)
{
    unsigned high = get8(c);
    return high << 8 | get8(c);
}

static uint32_t get32(struct cursor *c)
{
    uint32_t high = get16(c);
    return high << 16 | get16(c);
}

static bool plain(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static size_t put_octet(char *out, size_t n, uint8_t c)
{
    c = (uint8_t)ascii_lower((char)c);
    if (plain(c)) {
        out[n] = (char)c;
        return n + 1;
    }
    out[n] = '\\';
    out[n + 1] = (char)('0' + c / 100);
    out[n + 2] = (char)('0' + c / 10 % 10);
    out[n + 3] = (char)('0' + c % 10);
    return n + 4;
}

/* A domain name at c (RFC 1035 4.1.4), as text: lower case, no trailing dot, octets outside letters, digits, - and _ as \DDD. The octets of
 * a name are at most 255 on the wire. Pointers lead backwards only, so they end. */
static size_t get_name(struct cursor *c, char out[NAME_MAX_TEXT])
{
    size_t n = 0, wire = 0, after = 0, limit = c->at;
    unsigned pointers = 0;
    bool jumped = false;
    for (;;) {
        unsigned length = get8(c);
        if (c->bad)
            return 0;
        if (length == 0)
            break;
        if ((length & 0xc0) == 0xc0) {
            size_t target = (length & 0x3f) << 8 | get8(c);
            if (!jumped)
                after = c->at;
            jumped = true;
            if (c->bad || target >= limit || ++pointers > POINTERS_MAX) {
                c->bad = true;
                return 0;
            }
            c->at = limit = target;
            continue;
        }
        wire += length + 1;
        if (length > 63 || wire > 254 || c->at + length > c->n) {
            c->bad = true;
            return 0;
        }
        if (n)
            out[n++] = '.';
        for (unsigned i = 0; i < length; i++)
            n = put_octet(out, n, c->message[c->at++]);
    }
    if (jumped)
        c->at = after;
    return n;
}

struct parse {
    struct cursor c;
    struct arena arena;
    struct dns_answer *answer;
    struct str name;              /* what is asked for now: moves along CNAMEs */
    unsigned type;
    size_t capacity;
    uint32_t ttl;                 /* smallest so far */
    size_t answers_at;            /* offset of the answer section */
    unsigned answers;
};

struct header { /* of one resource record */
    char owner[NAME_MAX_TEXT];
    size_t owner_n;
    unsigned type, class;
    uint32_t ttl;
    size_t end;                   /* offset behind its data */
};

static bool get_header(struct cursor *c, struct header *h)
{
    h->owner_n = get_name(c, h->owner);
    h->type = get16(c);
    h->class = get16(c);
    h->ttl = get32(c);
    if (h->ttl > 0x7fffffff) /* RFC 2181 8 */
        h->ttl = 0;
    size_t length = get16(c);
    if (c->bad || c->at + length > c->n) {
        c->bad = true;
        return false;
    }
    h->end = c->at + length;
    return true;
}

static struct str take_name(struct parse *p, size_t end)
{
    char text[NAME_MAX_TEXT];
    size_t n = get_name(&p->c, text);
    if (p->c.at != end)
        p->c.bad = true;
    return arena_str(&p->arena, (struct str){text, p->c.bad ? 0 : n});
}

static void take_addr(struct parse *p, size_t end, uint8_t family, struct addr *out)
{
    size_t n = family == 4 ? 4 : 16;
    if (end - p->c.at != n) {
        p->c.bad = true;
        return;
    }
    memset(out, 0, sizeof *out);
    out->family = family;
    memcpy(out->b, p->c.message + p->c.at, n);
    p->c.at = end;
}

static struct str take_text(struct parse *p, size_t end)
{
    char *text = arena_alloc(&p->arena, end - p->c.at + 1);
    size_t n = 0;
    while (p->c.at < end) {
        size_t length = get8(&p->c);
        if (p->c.at + length > end) {
            p->c.bad = true;
            break;
        }
        memcpy(text + n, p->c.message + p->c.at, length);
        p->c.at += length;
        n += length;
    }
    text[n] = 0;
    return (struct str){text, n};
}

static void take_record(struct parse *p, const struct header *h)
{
    struct dns_answer *a = p->answer;
    if (a->count == p->capacity) {
        size_t cap = p->capacity ? p->capacity * 2 : 4;
        struct dns_record *bigger = arena_alloc(&p->arena, cap * sizeof *bigger);
        if (a->count)
            memcpy(bigger, a->records, a->count * sizeof *bigger);
        a->records = bigger;
        p->capacity = cap;
    }
    struct dns_record *r = &a->records[a->count++];
    *r = (struct dns_record){.ttl = h->ttl};
    switch (h->type) {
    case DNS_A: take_addr(p, h->end, 4, &r->addr); break;
    case DNS_AAAA: take_addr(p, h->end, 6, &r->addr); break;
    case DNS_MX:
        r->preference = (uint16_t)get16(&p->c);
        r->name = take_name(p, h->end);
        break;
    case DNS_PTR:
    case DNS_NS:
    case DNS_CNAME: r->name = take_name(p, h->end); break;
    case DNS_TXT: r->text = take_text(p, h->end); break;
    default: p->c.at = h->end; break;
    }
}

static void lower_ttl(struct parse *p, uint32_t ttl)
{
    if (ttl < p->ttl)
        p->ttl = ttl;
}

/* One pass over the answer section: records of the type at the present name, or where its CNAME leads. True: a CNAME moved the name. */
static bool scan_answers(struct parse *p)
{
    struct header h;
    struct str next = STR_NONE;
    p->c.at = p->answers_at;
    for (unsigned i = 0; i < p->answers && !p->c.bad; i++) {
        if (!get_header(&p->c, &h))
            break;
        bool mine = h.class == CLASS_IN && str_eq((struct str){h.owner, h.owner_n}, p->name);
        if (mine && h.type == p->type && p->answer->count < RECORDS_MAX) {
            take_record(p, &h);
            lower_ttl(p, h.ttl);
        } else if (mine && h.type == DNS_CNAME && !next.p) {
            next = take_name(p, h.end);
            lower_ttl(p, h.ttl);
        }
        p->c.at = p->c.bad ? p->c.at : h.end;
    }
    if (p->answer->count || !next.p || p->c.bad)
        return false;
    p->name = next;
    return true;
}

/* The negative TTL: the smaller of the SOA's own and its minimum field (RFC 2308 5); without an SOA nothing is kept. */
static uint32_t negative_ttl(struct parse *p, unsigned authority)
{
    struct header h;
    char name[NAME_MAX_TEXT];
    for (unsigned i = 0; i < authority && get_header(&p->c, &h); i++) {
        if (h.type == DNS_SOA && h.class == CLASS_IN) {
            get_name(&p->c, name);
            get_name(&p->c, name);
            for (int k = 0; k < 4; k++)
                get32(&p->c);
            uint32_t minimum = get32(&p->c);
            if (p->c.bad || p->c.at != h.end)
                return 0;
            return minimum < h.ttl ? minimum : h.ttl;
        }
        p->c.at = h.end;
    }
    return 0;
}

static bool question_matches(struct parse *p, unsigned questions)
{
    char name[NAME_MAX_TEXT];
    if (questions != 1)
        return false;
    size_t n = get_name(&p->c, name);
    unsigned type = get16(&p->c), class = get16(&p->c);
    return !p->c.bad && type == p->type && class == CLASS_IN && str_eq((struct str){name, n}, p->name);
}

/* The name asked for, in the same text form as names on the wire. */
static struct str wire_form(struct arena *arena, struct str name)
{
    char normal[254], text[NAME_MAX_TEXT];
    size_t n = 0;
    if (!dns_name_normal(name, normal))
        return STR_NONE;
    for (const char *c = normal; *c; c++) {
        if (*c == '.')
            text[n++] = '.';
        else
            n = put_octet(text, n, (uint8_t)*c);
    }
    return arena_str(arena, (struct str){text, n});
}

static enum dns_status read_message(struct parse *p)
{
    get16(&p->c); /* the id was compared by who received it */
    unsigned flags = get16(&p->c), questions = get16(&p->c), answers = get16(&p->c), authority = get16(&p->c);
    get16(&p->c);
    unsigned rcode = flags & 15;
    if (p->c.bad || !(flags & 0x8000) || (flags & 0x7800) || !question_matches(p, questions))
        return DNS_MALFORMED;
    if (rcode != 0 && rcode != 3)
        return DNS_SERVFAIL;
    if (flags & 0x0200) /* still truncated: what came is not the answer */
        return DNS_MALFORMED;
    p->answers = answers;
    p->answers_at = p->c.at;
    for (int i = 0; i < CHAIN_MAX && scan_answers(p); i++)
        ;
    if (p->c.bad)
        return DNS_MALFORMED;
    if (p->answer->count)
        return DNS_OK;
    lower_ttl(p, negative_ttl(p, authority));
    return rcode == 3 ? DNS_NXDOMAIN : DNS_NODATA;
}

/* --- answers ------------------------------------------------------------------------------------------------------------------- */

struct dns_answer *dns_answer_status(enum dns_status status, uint32_t ttl)
{
    struct dns_answer *a = xcalloc(1, sizeof *a);
    a->references = 1;
    a->status = status;
    a->ttl = ttl;
    return a;
}

struct dns_answer *dns_answer_parse(const uint8_t *message, size_t n, struct str name, unsigned type)
{
    struct dns_answer *a = dns_answer_status(DNS_MALFORMED, 0);
    struct parse p = {.c = {.message = message, .n = n}, .answer = a, .type = type, .ttl = UINT32_MAX};
    p.name = wire_form(&p.arena, name);
    if (p.name.p && n <= 65535)
        a->status = read_message(&p);
    if (a->status == DNS_MALFORMED || a->status == DNS_SERVFAIL) {
        a->count = 0;
        a->records = NULL;
    } else {
        a->ttl = p.ttl == UINT32_MAX ? 0 : p.ttl;
    }
    if (n <= 65535)
        a->raw = arena_str(&p.arena, (struct str){(const char *)message, n});
    a->memory = xmalloc(sizeof p.arena);
    memcpy(a->memory, &p.arena, sizeof p.arena);
    return a;
}

struct dns_answer *dns_answer_ref(struct dns_answer *a)
{
    a->references++;
    return a;
}

void dns_answer_unref(struct dns_answer **ap)
{
    struct dns_answer *a = *ap;
    *ap = NULL;
    if (!a || --a->references > 0)
        return;
    if (a->memory)
        arena_clear(a->memory);
    free(a->memory);
    free(a);
}
