/*
 * backend_internal.h - one connection to a simulated backend, inside. Each file sees to one part of its life:
 *
 *   backend.c          connecting, reactions, the end; the backend as a whole
 *   backend_client.c   who the client is said to be: PROXY header, XCLIENT
 *   backend_tls.c      STARTTLS, the handshake, the certificate
 *   backend_command.c  command lines: judged, answered, what follows from the answer
 *   backend_content.c  messages: DATA and BDAT
 *
 * Whoever reads takes from `in`, judges, and calls backend_react(); the reaction may come later, and may be the end of it all.
 */
#ifndef POSTERN_SIM_BACKEND_INTERNAL_H
#define POSTERN_SIM_BACKEND_INTERNAL_H

#include "world.h"

enum reading {
    READ_HEADER,    /* a PROXY header, before the greeting */
    READ_COMMANDS,
    READ_CONTENT,   /* after DATA */
    READ_CHUNK,     /* octets of BDAT */
    READ_HANDSHAKE, /* nothing by ourselves: TLS begins */
    READ_NOTHING
};

enum progress { PROGRESS, NOTHING_WHOLE, CONN_GONE };

struct told { /* of the client, by a PROXY header or XCLIENT */
    bool by_header, by_xclient;
    bool local;              /* the header said LOCAL: nobody's mail */
    struct addr_port peer;   /* family 0: not told */
    bool name_told;          /* XCLIENT's HELO */
    struct buf helo;
};

struct chunk { /* the BDAT that is under way */
    uint64_t left;
    bool last;
    struct buf argument;
};

struct backend_conn {
    struct task task;
    struct timer timer;          /* a delayed reaction, or a delayed connect */
    struct wire wire;
    struct sim_backend *backend;
    struct stream *stream;
    struct stream *proxy_end;    /* the other end, until it is connected; not ours */
    struct backend_conn *next, **link;
    enum reading reading;
    bool connecting, reacting;
    bool tls;                    /* the handshake is over */
    bool greeted;                /* EHLO or HELO was accepted, since STARTTLS, since XCLIENT */
    struct buf in;
    struct buf announced;        /* the EHLO reply */
    struct told told;
    /* the transaction */
    bool mail, binary, utf8;     /* begun; by BODY=BINARYMIME; by SMTPUTF8 */
    unsigned recipients;         /* accepted */
    bool chunked, chunk_refused; /* BDAT came; one of them was refused */
    struct chunk chunk;
    struct buf content;
    size_t message;              /* of the ledger; SIZE_MAX: none */
    /* the reaction under way */
    enum backend_moment moment;
    struct str answer;
    struct buf answer_memory;
    enum backend_fault fault;
};

/* --- backend.c --- */
void backend_conn_free(struct backend_conn *c);
/* Decides how to react at this moment, and does, now or later. False: the connection is gone. */
bool backend_react(struct backend_conn *c, enum backend_moment moment, struct str argument);
/* One more line for `B:` to look at. */
void backend_note(struct sim_backend *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* --- backend_client.c --- */
bool backend_wants_header(const struct sim_backend *b); /* by the proxy's configuration; the backend's is the same */
enum progress backend_read_header(struct backend_conn *c);
void backend_judge_xclient(struct backend_conn *c, struct str argument);
void backend_judge_client(struct backend_conn *c); /* MAIL has come: whose is it? */

/* --- backend_tls.c --- */
void backend_start_tls(struct backend_conn *c);
enum progress backend_handshake(struct backend_conn *c);

/* --- backend_command.c --- */
bool backend_announces(const struct backend_conn *c, const char *keyword, struct str *parameters); /* parameters may be NULL */
void backend_usual_answer(struct backend_conn *c, enum backend_moment moment, struct str argument);
void backend_follow(struct backend_conn *c, unsigned code); /* c->moment was answered so */
enum progress backend_read_command(struct backend_conn *c);

/* --- backend_content.c --- */
void backend_chunk_begin(struct backend_conn *c, struct str argument); /* BDAT; its octets come now */
void backend_transaction_over(struct backend_conn *c);
enum progress backend_read_content(struct backend_conn *c);
enum progress backend_read_chunk(struct backend_conn *c);

#endif
