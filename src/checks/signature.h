/*
 * signature.h - what DKIM and ARC share: tag lists, signature fields, key records, canonicalisation. (The key itself, and the
 * verifying of one hash with it, is public_key.h.)
 *
 * A signature field is DKIM-Signature (RFC 6376 3.5), ARC-Message-Signature (the same with an instance, RFC 8617 4.1.2) or
 * ARC-Seal (4.1.3: no body, no h=). Reading one judges it as far as it can be judged without its key; slices point into the
 * field's text or the arena.
 */
#ifndef POSTERN_CHECKS_SIGNATURE_H
#define POSTERN_CHECKS_SIGNATURE_H

#include <openssl/evp.h>

#include "public_key.h"
#include "postern/checks/dkim.h"

/* --- tag lists (RFC 6376 3.2) --- */

enum { TAGS_MAX = 64 };
struct tag {
    struct str name;
    struct str value; /* without white space around it; folding inside */
    size_t from, to;  /* of all that stands between "=" and ";", as offsets in the list's text */
};
struct tag_list {
    struct tag tags[TAGS_MAX];
    size_t count;
};
/* False: no tag list, *why says it (static words). utf8: characters beyond ASCII are allowed in values (RFC 8616 section 4). */
bool tag_list_parse(struct str text, bool utf8, struct tag_list *out, const char **why);
const struct tag *tag_find(const struct tag_list *list, const char *name);
/* Base64 with folding white space in it; appended to out. False: it is none, or empty. */
bool tag_base64(struct str value, struct buf *out);

/* --- signature fields --- */

enum signature_kind { SIGNATURE_DKIM, SIGNATURE_MESSAGE, SIGNATURE_SEAL };

struct signature {
    struct str field;            /* as given: name, colon, value */
    struct str domain, selector; /* lower case, A-labels */
    struct str identity;         /* i= of DKIM, or "@" and d=; its domain in A-labels when it is one; UTF-8, no white space */
    struct str algorithm_name;   /* when known */
    struct str b_start;          /* RFC 6008 4: the first characters of b= */
    enum algorithm algorithm;
    unsigned instance;           /* ARC */
    struct str cv;               /* of a seal */
    bool relaxed_header, relaxed_body;
    bool limited;                /* l= is there */
    uint64_t limit;              /* octets of the body that are signed; UINT64_MAX: all, or more than 18 digits */
    bool has_time, has_end;
    uint64_t time, end;          /* t=, x= */
    const struct str *names;     /* h=, lower case */
    size_t name_count;
    bool signs_from;             /* From is among them */
    struct str signature;        /* b=, decoded */
    uint8_t body_hash[32];       /* bh= */
    size_t b_from, b_to;         /* of the field: what is left out when it is hashed */
    bool own_domain;             /* i= is of d= itself, not below it (key flag t=s) */
    struct tag_list tags;
};

/* Reads and judges. DKIM_NONE: it is good so far, *reason untouched; else the verdict and why (static words or in the arena).
 * out->domain and the like are set as far as they could be read. now: seconds; t= and x= of a seal are not held against it. */
enum dkim_verdict signature_read(enum signature_kind kind, struct str field, uint64_t now, struct arena *arena,
                                 struct signature *out, struct str *reason);
/* Text of a signature as it may stand within a fact: no space, comma, brace or quote, nothing but ASCII; "?" instead. */
struct str signature_shown(struct arena *arena, struct str s);
/* selector._domainkey.domain */
struct str signature_key_name(const struct signature *s, struct arena *arena);

/* --- keys (RFC 6376 3.6.1, RFC 8463) --- */

struct key_record {
    struct public_key *key; /* released by keys_clear */
    bool testing;           /* t=y */
};
struct key_set {
    struct key_record records[DKIM_KEYS_MAX];
    size_t count;
    unsigned bits;          /* of the key looked at last, be it usable or not */
};
/* The keys of an answer that this signature may be verified with. DKIM_NONE: at least one; else the verdict and why there is
 * none. */
enum dkim_verdict keys_read(const struct dns_answer *a, const struct signature *s, struct arena *arena, struct key_set *out,
                            struct str *reason);
void keys_clear(struct key_set *set);
/* The record whose key this signature of this hash verifies with; NULL: none. */
const struct key_record *keys_verify(const struct key_set *set, const uint8_t digest[32], struct str signature);

/* --- canonicalisation (RFC 6376 3.4) --- */

EVP_MD_CTX *sha256_begin(void);
void sha256_end(EVP_MD_CTX **md, uint8_t digest[32]); /* frees it */

/* Hashes one header field. cut_from, cut_to: octets left out of it (the value of b=); both 0: none. */
void hash_field(EVP_MD_CTX *md, bool relaxed, struct str field, size_t cut_from, size_t cut_to, bool crlf);

struct body_hash {
    EVP_MD_CTX *md;       /* NULL: only counts */
    bool relaxed;
    uint64_t limit;       /* octets that are hashed */
    uint64_t total;       /* octets after canonicalisation */
    uint64_t empty_lines; /* held back: they count only when something follows */
    bool space;           /* held back: white space of a line */
    bool cr;              /* held back: a CR that may be half of a line's end */
    bool text;            /* something stands on this line */
    uint8_t out[512];     /* on its way into md */
    size_t out_n;
    uint8_t digest[32];   /* after the end */
};
void body_hash_begin(struct body_hash *b, bool hashing, bool relaxed, uint64_t limit);
void body_hash_feed(struct body_hash *b, struct str octets);
void body_hash_end(struct body_hash *b);
void body_hash_clear(struct body_hash *b);

/* --- the fields of a header, and those that a signature names (RFC 6376 5.4.2: from the bottom up) --- */

/* No message has so many: a header of nothing but "A:" would else take ten times its size, for each that reads it. */
enum { FIELDS_HELD_MAX = 10000 };
struct field_list {
    struct buf text;
    struct held_field { size_t at, n; size_t name; } *fields; /* name: octets of the name */
    size_t count, cap;
    bool overflowed; /* there were more, which are not held: nothing can be verified */
};
void field_list_add(struct field_list *l, struct str field);
struct str field_list_get(const struct field_list *l, size_t i);
struct str field_list_name(const struct field_list *l, size_t i);
void field_list_free(struct field_list *l);
/* For each name of s the field it stands for, or -1; no field twice; skip (index, or SIZE_MAX) never. In the arena. */
int32_t *field_list_select(const struct field_list *l, const struct signature *s, size_t skip, struct arena *arena);
/* The hash of the selected fields and of the signature's own. */
void signature_header_hash(const struct field_list *l, const struct signature *s, const int32_t *selected, uint8_t digest[32]);

#endif
