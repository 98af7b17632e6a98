/*
 * observer.h - what one client connection shows of the rules: one reply for each command, in order; replies well formed; content
 * ended by CRLF.CRLF alone, chunks by their count. It sees the bytes that the client sends and those that the server answers, and
 * knows nothing else.
 *
 *     said      MAIL ...  RCPT ...  BDAT 5 hello  BDAT 0 LAST  QUIT
 *                                        ^ the command that waits for its reply; behind it nothing is understood yet
 *     answered  250       250
 *
 * It keeps step: replies come in order, one for each command, so a command is understood when all before it are answered, and
 * then it is known what they came to: whether content follows, which chunks are of the message, whether there is a transaction.
 * Nothing is believed beforehand. A message is given to the ledger when it is whole.
 *
 * Only a backend may be faster: the server passes on what was sent to it at once, while its replies are still on their way to the
 * client. Then what lies behind the step is looked through for all that it can mean (observer_ahead.c), and what fits is given to
 * the ledger as supposed; once the step gets there it turns out whether it was what the client had sent.
 *
 * Violations go to the ledger.
 */
#ifndef POSTERN_SIM_OBSERVER_H
#define POSTERN_SIM_OBSERVER_H

#include "ledger.h"

enum observed {
    OBSERVED_NOTHING,
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

struct said { /* a command line */
    enum observed what;
    bool binary;     /* MAIL with BODY=BINARYMIME */
    uint64_t octets; /* BDAT announces so many */
    bool odd;        /* BDAT, but not as RFC 3030 spells it: whether its octets come, only the reply says */
};

struct observer {
    struct ledger *ledger;
    struct buf sent;           /* not yet understood */
    uint64_t understood;       /* octets before them */
    struct pending {           /* the command without a reply; OBSERVED_NOTHING: none */
        struct said said;
        size_t message;        /* of a dot or a last chunk: in the ledger; SIZE_MAX: it is not whole */
    } pending;
    bool in_content;           /* behind a 354 */
    struct buf content;        /* as sent, since then */
    struct chunks {            /* BDAT */
        uint64_t left;         /* octets of the present one still to come, whatever its reply */
        struct buf present;    /* those that have come */
        struct buf octets;     /* of all before it that were accepted, of the present transaction */
        bool binary;           /* that began with BODY=BINARYMIME */
        bool begun;            /* there is a transaction that a chunk may belong to */
    } chunks;
    struct supposed {          /* messages that a backend got before the step had come to their end */
        uint64_t end;          /* of the octets that were understood */
        size_t message;
    } *supposed;
    size_t supposed_count;
    struct buf line;           /* of the server's, not yet whole */
    unsigned code;             /* of a reply begun; 0: none */
    bool esmtp;                /* EHLO was accepted */
    unsigned transactions;     /* begun on this connection */
    bool open;                 /* the last of them is not over */
    bool closing;              /* 421, 521, 221: nothing may follow */
    bool adrift;               /* where commands begin is not known any more: only the form of replies is judged */
    bool answered_early;       /* an endless line was answered before its end */
    bool half_closed;
    bool tls;                  /* it asked for TLS, or the listener begins with it: a handshake that fails ends without a word */
    bool balancer;             /* it owes a PROXY header: without one it is not even greeted */
    bool headed;               /* and has sent it */
    size_t replies, lines;     /* whole ones so far */
    unsigned last_code;
};

void observer_init(struct observer *o, struct ledger *l);
void observer_sent(struct observer *o, struct str bytes);
void observer_received(struct observer *o, struct str bytes);
bool observer_waits(const struct observer *o); /* a command, or the greeting, is not answered */
/* Before a backend's message is given to the ledger: what the client may have meant by what is not understood yet and is like it,
 * is given there as supposed. */
void observer_suppose(struct observer *o, struct str content);
/* The client waited for all replies and the server is quiet or has closed. */
void observer_end(struct observer *o, bool closed);
void observer_clear(struct observer *o);

/* --- between its files ------------------------------------------------------------------------------------------------------ */

struct said said_read(struct str line); /* without its end */
/* Where the content ends: behind the dot's CRLF; 0: not yet. `from`: nothing before it can begin the end. */
size_t said_content_end(struct str s, size_t from);
/* Understands what was sent, as far as the step goes. */
void said_understand(struct observer *o);
/* The message that ends here: one that was supposed, or a new one of the ledger. */
size_t observer_message(struct observer *o, struct str meant);

#endif
