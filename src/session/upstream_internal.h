/*
 * upstream_internal.h - the inside of one connection to a backend, shared by its opening (upstream_open.c) and its use (upstream.c).
 */
#ifndef POSTERN_SESSION_UPSTREAM_INTERNAL_H
#define POSTERN_SESSION_UPSTREAM_INTERNAL_H

#include "session.h"

struct awaited {
    enum expect kind;
    void *context; /* NULL: nobody asks any more */
};

/* Opening, in this order; what a backend is not configured for is passed over. */
enum opening {
    OPENING_SLOT,      /* all connections of the backends are in use */
    OPENING_CONNECT,   /* TCP; a PROXY header goes out first */
    OPENING_GREETING,
    OPENING_EHLO,
    OPENING_STARTTLS,  /* its 220, then the handshake */
    OPENING_HANDSHAKE,
    OPENING_XCLIENT,   /* its 220, then EHLO once more with the client's name */
    OPENING_DONE
};

struct upstream {
    struct proxy *proxy;
    struct task *owner;
    struct upstream_wish wish;    /* texts in the arena */
    struct arena arena;
    struct backend *backend;      /* tried now, or connected; NULL: none was yet */
    struct slot slot;
    struct addr_port address;
    size_t next_address;          /* of backend */
    bool *done;                   /* by number of a backend: it was tried, and is no good; in the arena */
    enum upstream_state state;
    enum opening opening;
    bool tls, told;               /* TLS runs; XCLIENT was accepted */
    bool lacking;                 /* a backend was passed over because it lacks an extension that is in use */
    bool busy;                    /* it waited too long for a slot, or there was a shortage of sockets */
    bool ill;                     /* of backend: an address was no good, and not for want of a socket */
    bool in_transaction;          /* MAIL was said; neither the dot was answered nor RSET said since */
    bool content_whole;           /* of it: the last of the content was put */
    struct stream *stream;
    struct reply_parser parser;
    struct extensions extensions;
    struct awaited *awaited;
    size_t count, cap, first;
    uint64_t deadline_ms;         /* of what is awaited; UINT64_MAX: nothing */
    char in[4096];                /* read and not yet parsed: replies are short */
    size_t in_from, in_to;
};

uint64_t upstream_now(const struct upstream *u);
void upstream_drop_stream(struct upstream *u);
void upstream_queue_line(struct upstream *u, struct str command);
struct awaited upstream_take_awaited(struct upstream *u);
enum reply_parse upstream_next_reply(struct upstream *u, struct arena *arena, struct reply *out);
bool upstream_is_kept(const struct upstream *u);  /* READY, and nothing of a transaction is on it */
void upstream_leave(struct upstream *u);          /* gives it up in favour of another: its owner finds it LEFT */
/* upstream_open.c */
bool upstream_may_use(const struct upstream *u, const struct backend *b);

#endif
