/*
 * dns.h - questions and answers as values, and the parser of answer bytes (RFC 1035, 2181, 2308, 3596).
 *
 * Every byte of an answer is hostile: compression loops, lengths past the end, wrong questions, counts that lie. A message that
 * cannot be read is an answer with status DNS_MALFORMED (treated as a server failure, never cached).
 */
#ifndef POSTERN_DNS_DNS_H
#define POSTERN_DNS_DNS_H

#include "postern/base/addr.h"
#include "postern/base/str.h"

enum dns_type { DNS_A = 1, DNS_NS = 2, DNS_CNAME = 5, DNS_SOA = 6, DNS_PTR = 12, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28 };
const char *dns_type_name(unsigned type); /* "A" ...; "TYPE99" is not needed: unknown gives "?" */
bool dns_type_parse(struct str s, unsigned *type);

enum dns_status {
    DNS_OK,        /* at least one record of the type asked for (after following CNAMEs) */
    DNS_NODATA,    /* the name exists, no such record */
    DNS_NXDOMAIN,
    DNS_SERVFAIL,  /* SERVFAIL, REFUSED and every other rcode, from all servers */
    DNS_TIMEOUT,
    DNS_MALFORMED,
    DNS_BADNAME,   /* the name cannot be asked: empty label, label > 63, name > 253, 8-bit */
    DNS_LIMIT      /* not asked: session or queue full, or no socket could be had */
};
extern const char *const dns_status_names[]; /* "ok" "nodata" "nxdomain" "servfail" "timeout" "malformed" "badname" "limit" */
/* The status says "could not find out" rather than "found out that there is none". */
static inline bool dns_failed(enum dns_status s) { return s >= DNS_SERVFAIL && s != DNS_BADNAME; }

struct dns_record { /* of the type asked for, owner names not kept */
    uint32_t ttl;
    uint16_t preference;  /* MX */
    struct addr addr;     /* A, AAAA */
    struct str name;      /* PTR, MX, CNAME, NS: lower case, no trailing dot ("" is the root: null MX); bytes outside LDH and _ escaped as \DDD */
    struct str text;      /* TXT: its strings joined (RFC 7208 3.3); any bytes */
};

struct dns_answer { /* reference counted, immutable */
    unsigned references;
    enum dns_status status;
    uint32_t ttl;         /* seconds it may be kept: smallest TTL of the chain, or the negative TTL (RFC 2308); 0: do not keep */
    struct dns_record *records;
    size_t count;
    struct str alias;     /* DNS_NODATA of an answer as it came: where its CNAMEs lead, when the server has not looked there */
    struct str raw;       /* the message as it came (libopendkim wants bytes); empty for local statuses */
    void *memory;
};
struct dns_answer *dns_answer_parse(const uint8_t *message, size_t n, struct str name, unsigned type); /* never NULL */
struct dns_answer *dns_answer_status(enum dns_status status, uint32_t ttl);
struct dns_answer *dns_answer_ref(struct dns_answer *a);
void dns_answer_unref(struct dns_answer **a);

/* Lower-cases, drops one trailing dot, checks labels: false when it cannot be asked. out holds up to 254 bytes with NUL. */
bool dns_name_normal(struct str name, char out[254]);
/* The name that a record holds as it is asked for: its \DDD undone. False: it holds bytes that cannot be asked for. */
bool dns_name_of_record(struct str name, char out[254]);
/* Builds an answer message (simulation, tests): rcode, records of one type given as text ("192.0.2.1", "10 mx.example",
 * "\"text\""). */
struct dns_build { struct buf out; unsigned answers; };
void dns_build_begin(struct dns_build *b, struct str name, unsigned type, unsigned rcode);
bool dns_build_record(struct dns_build *b, struct str owner, unsigned type, uint32_t ttl, struct str text); /* false: text unreadable */
void dns_build_soa(struct dns_build *b, uint32_t negative_ttl);
struct str dns_build_end(struct dns_build *b); /* the message; owned by b->out */

#endif
