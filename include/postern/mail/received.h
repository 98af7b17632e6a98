/*
 * received.h - our trace field (RFC 5321 4.4): what came from whom, through which protocol, under which id.
 */
#ifndef POSTERN_MAIL_RECEIVED_H
#define POSTERN_MAIL_RECEIVED_H

#include "postern/base/addr.h"

struct received {
    struct str helo;       /* as given; sanitised here */
    struct str name;       /* confirmed host name; empty: "unknown" */
    struct addr client;
    struct str hostname;   /* ours */
    const char *protocol;  /* "SMTP", "ESMTP", "ESMTPS" (RFC 3848), "UTF8SMTP", "UTF8SMTPS" (RFC 6531 4.3) */
    const char *tls;       /* IANA's name of the cipher suite (RFC 8314 7.4), or NULL */
    struct str id;
    struct str recipient;  /* path for the "for" clause, or empty when there are several */
    uint64_t wall_ms;
};
/* Received: from HELO (NAME [ADDR])\r\n\tby HOST (Postern) with ESMTP id ID\r\n\tfor <RCPT> tls SUITE; DATE\r\n */
void received_write(struct buf *out, const struct received *r);

#endif
