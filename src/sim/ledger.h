/*
 * ledger.h - whose message is where: what clients ended with a dot or a last chunk, what backends got and took, what clients
 * were told.
 *
 * Kept by simulation beside the proxy, from the bytes on both sides alone. It holds the first promises of Postern: no 2xx after
 * the dot unless a backend said 2xx to that message; at most one backend gets a message's final dot; content is unchanged below
 * the fields put in front. The first broken promise is kept in words.
 */
#ifndef POSTERN_SIM_LEDGER_H
#define POSTERN_SIM_LEDGER_H

#include "postern/base/str.h"

struct ledger_message {
    struct buf content;  /* as the client meant it: unstuffed, every line end CRLF */
    bool at_backend;     /* some backend has its final dot */
    bool taken;          /* and said 2xx to it */
    bool told;           /* the client was told 2xx */
};

struct ledger {
    struct ledger_message *messages;
    size_t count;
    size_t taken;        /* by backends, in all */
    bool fields_removed; /* the policy or we remove fields: only bodies are compared */
    char *violation;     /* heap; NULL: none */
};

/* Keeps the first: printf form. */
void ledger_violation(struct ledger *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A client has sent a final dot or all of a last chunk; meant: see below. Returns the message's number. */
size_t ledger_client_sent(struct ledger *l, struct str meant);
/* May what a backend got be what a client meant? */
bool ledger_alike(const struct ledger *l, struct str content, struct str meant);
/* A backend has got a final dot, or all of a last chunk. Returns the message's number, or SIZE_MAX when no client has sent it (a
 * violation). */
size_t ledger_backend_dot(struct ledger *l, struct str content);
void ledger_backend_took(struct ledger *l, size_t message); /* it said 2xx */
void ledger_client_told(struct ledger *l, size_t message, unsigned code);
void ledger_clear(struct ledger *l);

/* What a client meant (RFC 5321 4.5.2): dots at the start of lines that CRLF began are dropped, bare CR and LF end a line too. */
void content_meant(struct str wire, struct buf *out);
/* The same of all octets of its chunks: dots mean nothing; a last line without its end gets one, as it could not go on by DATA
 * otherwise. binary: BODY=BINARYMIME, no octet of which may change but for its header, which is text (RFC 3030 3). */
void chunks_meant(struct str octets, bool binary, struct buf *out);

#endif
