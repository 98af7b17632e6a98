/*
 * from.h - who says to have written a message: the domain in its From field (RFC 5322 3.6.2, 6854; RFC 9989 5.3.1).
 *
 * What a person sees as the author is what DMARC protects, and readers of mail disagree about a field that is not well formed.
 * So the field is read to the letter of the grammar, its obsolete forms included, and whatever is not exactly one field with
 * addresses of exactly one domain is an error with a name, never a domain. Beyond the grammar one form is taken, because the
 * world writes it: "a@x.example <b@x.example>", a display name that is an address without quotes; its domain counts like that of
 * any address, so that two different ones are two.
 */
#ifndef POSTERN_MAIL_FROM_H
#define POSTERN_MAIL_FROM_H

#include "postern/base/arena.h"

enum from_error {
    FROM_OK,                /* "none" */
    FROM_MISSING,           /* no From field */
    FROM_MULTIPLE_FIELDS,   /* more than one (RFC 5322 3.6), be they alike */
    FROM_MULTIPLE_DOMAINS,  /* addresses of different domains, or of a domain and of an address literal */
    FROM_SYNTAX,            /* no address list; control octets, what is not UTF-8, an encoded word in an address ... */
    FROM_NO_DOMAIN,         /* no address with a domain: an empty group, a bare name, an empty field */
    FROM_LITERAL,           /* a@[192.0.2.1] */
    FROM_BAD_DOMAIN,        /* no name that DNS could hold, or not a valid international one */
    FROM_TOO_MANY,          /* more than FROM_ADDRESSES_MAX addresses */
    FROM_ERROR_COUNT
};
extern const char *const from_error_names[FROM_ERROR_COUNT]; /* "none" "missing" "multiple-fields" ... */

enum { FROM_ADDRESSES_MAX = 1000 };

struct from_author {
    enum from_error error;
    struct str domain;   /* FROM_OK: lower case, A-labels, no trailing dot; in the arena. Else empty */
    size_t addresses;    /* found before an error ended the reading */
};

/* fields: the whole From fields of a header, as a tap saw them (name, colon, folding; without the final CRLF). Only the first is
 * read. */
void from_read(const struct str *fields, size_t count, struct arena *arena, struct from_author *out);

/* A domain as DNS knows it: lower case, U-labels as A-labels (RFC 5890 2.3, UTS 46 non-transitional), without a trailing dot; in
 * the arena. False: it is none. Other characters than "." that stand for a dot to some are refused. */
bool domain_ascii(struct str domain, struct arena *arena, struct str *out);

#endif
