/*
 * xclient.h - XCLIENT, by which a proxy tells a server behind it who the client is (an extension of Postfix's: postfix.org/XCLIENT_README.html).
 */
#ifndef POSTERN_SMTP_XCLIENT_H
#define POSTERN_SMTP_XCLIENT_H

#include "postern/base/addr.h"

struct xclient { /* what there is to tell; nothing in it need be clean */
    struct addr_port peer, local; /* the client's connection: its end, ours; family 0: not known */
    struct str name;              /* confirmed host name; empty: none */
    bool name_pending;            /* DNS did not say */
    struct str helo;              /* empty: none */
    bool esmtp;                   /* EHLO, not HELO */
};

/* Does the server's EHLO (struct extensions.xclient) offer this attribute? */
bool xclient_offers(struct str offered, struct str attribute);
/*
 * Appends the command without its line end. Only what is offered is sent, each attribute once, values as xtext (RFC 3461 4), so that no octet of
 * theirs can end the line or the value; ADDR stands last: some servers judge the client when it comes.
 */
void xclient_write(struct buf *out, struct str offered, const struct xclient *x);

#endif
