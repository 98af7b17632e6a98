/*
 * spf_internal.h - the parts of an SPF evaluation: terms of a record, macros, libspf2's walk, the explanation.
 */
#ifndef POSTERN_CHECKS_SPF_INTERNAL_H
#define POSTERN_CHECKS_SPF_INTERNAL_H

#include "postern/checks/spf.h"

/* --- records (spf_record.c) --- */
enum spf_kind {
    SPF_KIND_ALL, SPF_KIND_INCLUDE, SPF_KIND_A, SPF_KIND_MX, SPF_KIND_PTR, SPF_KIND_IP4, SPF_KIND_IP6, SPF_KIND_EXISTS, /* mechanisms */
    SPF_KIND_REDIRECT, SPF_KIND_EXP, SPF_KIND_UNKNOWN /* modifiers */
};

struct spf_term {
    uint8_t kind;        /* enum spf_kind */
    char qualifier;      /* + - ? ~ ; modifiers: 0 */
    uint8_t bits4, bits6;/* prefix lengths: of a and mx, of the client's kind; of ip4 and ip6, bits of the network */
    struct addr network; /* ip4, ip6; host bits may be set. A mapped address of ip6 stays family 6 */
    struct str written;  /* as it stands in the record */
    struct str domain;   /* domain-spec, macros not expanded; empty: the domain of the record */
};

/* Is this TXT record an SPF record of version 1 (4.5)? Exactly "v=spf1", any case, and then a space or the end. */
bool spf_record_version(struct str text);
/* The next term of *rest (at first: the record without its version), which is consumed. False at the end. *error: NULL, or what is wrong with it. */
bool spf_term_next(struct str *rest, struct spf_term *term, const char **error);

struct spf_record { /* slices into the text */
    struct str terms;
    struct spf_term redirect, exp; /* written.n 0: none */
    bool has_all;
    const char *error;   /* syntax error anywhere (4.6): the record must not be evaluated */
    struct str culprit;  /* the term that is wrong */
};
/* Reads the whole record, whose version was checked. False: r->error. */
bool spf_record_parse(struct str text, struct spf_record *r);

/* --- macros (spf_macro.c) --- */
enum spf_place { SPF_IN_TERM, SPF_IN_EXPLANATION }; /* an explanation has spaces and the letters c, r, t (7.2) */
bool spf_macro_string_valid(struct str text, enum spf_place place);
bool spf_domain_spec_valid(struct str text); /* a macro-string that ends in a macro or in "." toplabel (7.1) */

struct spf_macros { /* what the letters stand for */
    struct str local, sender_domain, helo, receiver;
    struct str domain; /* %{d}, of the record being read */
    struct addr client;
    uint64_t time;
    /* %{p}: the validated name of the client (7.3); NULL p: not known yet. Asked for when it is used only. */
    struct str (*validated)(void *context, struct str domain);
    void *context;
};
/* Appends the expansion of a valid macro-string. False: a value is not known yet. No more than the last SPF_EXPANDED_MAX bytes are kept in a term, and the
 * first of an explanation. */
enum { SPF_EXPANDED_MAX = 2048 };
bool spf_expand(struct buf *out, struct str text, enum spf_place place, const struct spf_macros *m);
/* Cuts an expanded name from the left until it has at most 253 bytes, drops a trailing dot (7.3). False: it is no name that DNS could be asked for. */
bool spf_target_name(struct str *name);

/* --- the explanation (spf_explain.c) --- */
/* What the answer for the exp= name says, expanded and made harmless. False: a value is not known yet. Nothing usable: *out is empty (6.2). */
bool spf_explain(const struct dns_answer *a, const struct spf_macros *m, struct arena *arena, struct str *out);

/* --- libspf2's walk (spf_walk.c) --- */
enum spf_reply { SPF_NO, SPF_YES, SPF_STOP };
enum { SPF_CANONICAL_MAX = 512 };
struct spf_walker {
    /* Does this term match? */
    enum spf_reply (*question)(void *context, unsigned id);
    /* Writes the canonical record behind an include or redirect into text. False: stop. */
    bool (*record)(void *context, unsigned id, char text[SPF_CANONICAL_MAX]);
    void *context;
};
/* Walks the canonical record 0. SPF_TEMPERROR: it was stopped. */
enum spf_verdict spf_walk(const struct spf_walker *w);

#endif
