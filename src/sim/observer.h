/*
 * observer.h - what one client connection shows of the rules: one reply for each command, in order; replies well formed; content
 * ended by CRLF.CRLF alone. It sees the bytes that the client sends and those that the server answers, and knows nothing else.
 *
 * Commands are counted as lines; from DATA answered 354 on, content is followed to its end and given to the ledger, and so are
 * the octets of chunks. Once STARTTLS is answered 220 nothing that was said behind it in clear counts. Violations go to the
 * ledger.
 */
#ifndef POSTERN_SIM_OBSERVER_H
#define POSTERN_SIM_OBSERVER_H

#include "ledger.h"

enum observed {
    OBSERVED_GREETING,
    OBSERVED_EHLO,
    OBSERVED_HELO,
    OBSERVED_MAIL,
    OBSERVED_DATA,
    OBSERVED_DOT,
    OBSERVED_CHUNK,
    OBSERVED_LAST_CHUNK,
    OBSERVED_STARTTLS,
    OBSERVED_RSET,
    OBSERVED_QUIT,
    OBSERVED_OTHER
};

struct observer {
    struct ledger *ledger;
    struct buf sent;           /* not yet understood */
    enum { OBSERVE_COMMANDS, OBSERVE_WAITING, OBSERVE_CONTENT } state;
    struct pending { /* commands without a reply, oldest first */
        enum observed what;
        size_t message;            /* of a dot or a last chunk: in the ledger */
        size_t start, length;      /* of another chunk: where its octets are among those of its message */
        bool binary;               /* MAIL with BODY=BINARYMIME */
        unsigned round;
    } *pending;
    size_t pending_count;
    struct buf content;        /* as sent, since the 354 */
    struct buf line;           /* of the server's, not yet whole */
    unsigned code;             /* of a reply begun; 0: none */
    bool esmtp;                /* EHLO was accepted */
    unsigned transactions;     /* begun on this connection */
    bool open;                 /* the last of them is not over */
    bool closing;              /* 421, 521, 221: nothing may follow */
    bool answered_early;       /* an endless line was answered before its end */
    bool half_closed;
    bool tls;                  /* it asked for TLS, or the listener begins with it: a handshake that fails ends without a word */
    bool balancer;             /* it owes a PROXY header: without one it is not even greeted */
    bool headed;               /* and has sent it */
    size_t replies, lines;     /* whole ones so far */
    unsigned last_code;
    struct chunks {            /* BDAT */
        struct buf octets;     /* of all chunks of the present message */
        uint64_t left;         /* of the present one, still to come */
        size_t start;          /* of it among `octets` */
        bool last;             /* LAST stood behind its size */
        bool meant;            /* it came where a chunk may come; else it is eaten and forgotten */
        bool begun, addressed; /* MAIL, then RCPT went before */
        bool accepted;         /* that MAIL was accepted: another one is not */
        unsigned round;        /* counts the messages: what is remembered of one is not meant for the next */
        bool binary;           /* MAIL said BODY=BINARYMIME */
    } chunks;
};

void observer_init(struct observer *o, struct ledger *l);
void observer_sent(struct observer *o, struct str bytes);
void observer_received(struct observer *o, struct str bytes);
/* The client waited for all replies and the server is quiet or has closed. */
void observer_end(struct observer *o, bool closed);
void observer_clear(struct observer *o);

#endif
