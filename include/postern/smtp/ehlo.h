/*
 * ehlo.h - service extensions: the list in an EHLO reply, read from a backend and written to a client (RFC 5321 4.1.1.1).
 */
#ifndef POSTERN_SMTP_EHLO_H
#define POSTERN_SMTP_EHLO_H

#include "postern/smtp/reply.h"

/* EXTENSION(ID, "KEYWORD") */
#define EXTENSIONS(X)                                                                                                                    \
    X(PIPELINING, "PIPELINING") X(SIZE, "SIZE") X(EIGHTBITMIME, "8BITMIME") X(ENHANCEDSTATUSCODES, "ENHANCEDSTATUSCODES")                \
    X(CHUNKING, "CHUNKING") X(BINARYMIME, "BINARYMIME") X(SMTPUTF8, "SMTPUTF8") X(DSN, "DSN") X(STARTTLS, "STARTTLS")                    \
    X(XCLIENT, "XCLIENT") X(VRFY, "VRFY") X(ETRN, "ETRN") X(HELP, "HELP") X(AUTH, "AUTH")

enum extension {
#define X(id, name) EXT_##id,
    EXTENSIONS(X)
#undef X
    EXT_COUNT
};

struct extensions {
    uint32_t set;        /* bit 1 << EXT_x */
    uint64_t size_limit; /* SIZE's value; 0: none given or unlimited */
    struct str xclient;  /* XCLIENT's attributes; in the arena given to ehlo_read */
};

static inline bool ehlo_has(const struct extensions *e, enum extension x) { return e->set >> x & 1; }
/* The list of an EHLO reply with code 250 (first line is the greeting text). Unknown keywords are left out. */
void ehlo_read(const struct reply *r, struct arena *arena, struct extensions *out);
/* Our reply to EHLO: host name, then one line an extension, in the table's order; "SIZE n" with the limit (0: "SIZE 0"). */
struct reply ehlo_write(struct arena *arena, struct str hostname, const struct extensions *e);

#endif
