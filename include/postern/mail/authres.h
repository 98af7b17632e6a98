/*
 * authres.h - telling the backend what was authenticated (RFC 8601 Authentication-Results, RFC 7208 9.1 Received-SPF), and
 * finding the fields of others that claim to be ours.
 *
 * What is written comes from strangers: domains of signatures, reverse-paths, HELO names. A value is repeated as it was checked,
 * in quotes where it is more than plain name characters, or octet by octet replaced by "?" where it is not printable ASCII (or
 * UTF-8, in a message that came with SMTPUTF8: utf8); so no value can end, add or change a result, a comment or a line.
 */
#ifndef POSTERN_MAIL_AUTHRES_H
#define POSTERN_MAIL_AUTHRES_H

#include "postern/base/str.h"

/* --- writing --- */
struct authres_property {
    const char *type;      /* "smtp", "header", "body", "policy" (RFC 8601 2.3) */
    const char *name;      /* "mailfrom", "d" ... */
    struct str value;      /* empty: left out */
};

struct authres_result {
    const char *method;    /* "spf", "dkim", "dmarc", "arc", "iprev" ... (RFC 8601 2.7) */
    const char *result;    /* the method's word */
    struct str reason;     /* reason="..."; empty: none */
    struct str comment;    /* in parentheses behind the result; empty: none */
    const struct authres_property *properties;
    size_t property_count;
};

/* Appends the whole field, folded, with its CRLF. No results: "none" (RFC 8601 2.2). */
void authres_write(struct buf *out, struct str authserv_id, bool utf8, const struct authres_result *results, size_t count);

struct received_spf {
    const char *result;    /* RFC 7208 2.6 word */
    struct str comment;
    struct str client_ip, envelope_from, helo, receiver, identity, mechanism, problem; /* empty: left out */
};
/* Appends "Received-SPF: ..." with its CRLF. */
void received_spf_write(struct buf *out, bool utf8, const struct received_spf *r);

/* --- recognising --- */
/*
 * Is this field (whole, as a tap sees it) an Authentication-Results field that says to be of authserv_id? Whatever the case,
 * folding, comments and quotes, and whatever version follows; U-labels are compared as A-labels, a last dot is nothing. A field
 * whose beginning cannot be read is one too when the id is anywhere in it: it is worth nothing to anybody, save to who would
 * take it for ours. (RFC 8601 section 5)
 */
bool authres_claims(struct str field, struct str authserv_id);
/* The same as a header_reader's predicate; context: struct str *, the authserv_id. */
bool authres_remove(struct str field, void *context);

#endif
