/*
 * dkim_library.h - libopendkim behind a small face: it is given signatures and fields that are known to be well formed, and
 * selects, canonicalises and hashes. For dkim_verify.c only; dkim_library.c says what it is not trusted with.
 */
#ifndef POSTERN_CHECKS_DKIM_LIBRARY_H
#define POSTERN_CHECKS_DKIM_LIBRARY_H

#include "signature.h"

enum { LIBRARY_SIGNATURES_MAX = 64 };

struct library_signature {
    const struct signature *s;
    void *info; /* libopendkim's */
};
struct library {
    void *handle;
    struct library_signature signatures[LIBRARY_SIGNATURES_MAX];
    size_t count;
    char last[2];                 /* the last octets of the body */
    uint64_t octets;              /* of the body */
};

/* Would libopendkim hash this signature's fields and body as the RFCs want it? */
bool library_fit(const struct field_list *fields, const struct signature *s, const int32_t *selected);
/* Gives it the fields marked in `wanted` and the signatures in l (which are fields too). False: it will not have them; l is
 * empty again. */
bool library_begin(struct library *l, const struct field_list *fields, const bool *wanted);
void library_body(struct library *l, struct str octets);
void library_end(struct library *l); /* the body has ended */
/* After the end: hashes of the header and of the body. False: it has none. */
bool library_hashes(const struct library_signature *s, uint8_t header[32], uint8_t body[32]);
void library_clear(struct library *l);

#endif
