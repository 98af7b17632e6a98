/*
 * spf_evaluation.h - one run of an evaluation, shared by spf_evaluate.c (the walk, records, limits) and spf_match.c (what a term matches). Private to
 * these two.
 */
#ifndef POSTERN_CHECKS_SPF_EVALUATION_H
#define POSTERN_CHECKS_SPF_EVALUATION_H

#include "spf_internal.h"

/* One record for the start and each lookup; of each at most SPF_LOOKUPS_MAX + 1 terms that ask, one that always matches, and redirect. */
enum { SPF_TERMS_MAX = SPF_LOOKUPS_MAX + 3, SPF_QUESTIONS_MAX = (SPF_LOOKUPS_MAX + 1) * SPF_TERMS_MAX + 1 };

enum spf_answer_kind { SPF_ANSWER_MATCHES = SPF_KIND_UNKNOWN + 1, SPF_ANSWER_DEFAULT }; /* questions that are no term to be asked: always yes */

struct spf_question {
    uint8_t kind;         /* enum spf_kind or spf_answer_kind */
    bool top;             /* of the record that decides: not of an included one */
    uint8_t bits;         /* a, mx: prefix length, of the client's family */
    struct str written;   /* the term */
    struct str spec;      /* its domain-spec, or empty */
    struct str domain;    /* <domain> of the record it stands in */
};

struct spf_evaluation {
    const struct spf_input *in;
    spf_ask ask;
    void *context;
    struct arena *arena;         /* of the result */
    struct arena work;           /* of this run */
    struct spf_result result;
    unsigned missing;
    enum spf_verdict stop;       /* SPF_TEMPERROR, SPF_PERMERROR: decided, the walk is being left. SPF_NONE: not */
    struct spf_question questions[SPF_QUESTIONS_MAX];
    unsigned question_count;
    unsigned matched;            /* the last question of the deciding record that was put: when the walk ends there, it matched */
    struct str exp, exp_domain;  /* of the deciding record: exp= and its <domain> */
    char first[SPF_CANONICAL_MAX];
    struct str seen_domain;      /* %{p}: the domain of the last answer, p NULL: none yet */
    struct str seen_name;
};

/* --- spf_evaluate.c: asking, and what comes of an answer that does not decide --- */
const struct dns_answer *spf_evaluation_ask(struct spf_evaluation *e, struct str name, unsigned type); /* NULL: not yet */
/* Decided: the walk is left. The term goes into the problem. */
enum spf_reply spf_evaluation_stop(struct spf_evaluation *e, enum spf_verdict verdict, const char *problem, struct str term);
enum spf_reply spf_evaluation_failed(struct spf_evaluation *e, const struct dns_answer *a, const struct spf_question *q); /* temperror */
enum spf_reply spf_evaluation_missing(struct spf_evaluation *e); /* an answer is: counted, and taken for no match */
enum spf_reply spf_evaluation_void(struct spf_evaluation *e, const struct spf_question *q); /* 4.6.4: this term found nothing */

/* --- spf_match.c --- */
enum spf_target { SPF_TARGET_NAME, SPF_TARGET_MISSING, SPF_TARGET_BAD, SPF_TARGET_FOREIGN /* bytes beyond ASCII, of the sender's local part */ };
/* <target-name> (4.8): the expanded domain-spec, or the domain of the record when it is empty. In the work arena. */
enum spf_target spf_match_target(struct spf_evaluation *e, struct str spec, struct str domain, struct str *name);
/* What the letters of a macro stand for in the record of this domain. */
struct spf_macros spf_match_macros(struct spf_evaluation *e, struct str domain);
/* Does the term match? a, mx, ptr, exists. */
enum spf_reply spf_match(struct spf_evaluation *e, const struct spf_question *q);

#endif
