/*
 * proxy_internal.h - the proxy as its sessions see it, and the pool of backends.
 */
#ifndef POSTERN_SESSION_PROXY_INTERNAL_H
#define POSTERN_SESSION_PROXY_INTERNAL_H

#include "postern/base/map.h"
#include "postern/session/proxy.h"
#include "postern/smtp/ehlo.h"

struct backends;
struct session;
struct transaction;

enum { READ_CHUNK = 65536, CLOSING_MAX = 2000 };

struct proxy {
    struct proxy_parts parts;
    struct evidence_world world;
    struct policy *policy;       /* for new sessions; reference */
    struct backends *backends;
    struct session *sessions;
    size_t session_count;
    struct map *per_client;      /* address text -> count, as pointers */
    struct map *per_network;
    size_t tarpitted;
    struct farewell *lingering;    /* closed, but their last reply has not left yet */
    size_t linger_count;
    struct transaction *closing; /* ended, waiting for late evidence */
    size_t closing_count;
    bool draining;
    bool ending;                 /* proxy_free: nothing waits any more */
    void (*drained)(void *context);
    void *drained_context;
    struct task drain_task;
    char *scratch;               /* READ_CHUNK octets, for whoever runs */
};

void proxy_session_gone(struct proxy *p, const struct addr_port *peer);
void proxy_check_drained(struct proxy *p);
/* Closes a client's stream behind what is queued on it (linger.c). */
void linger_close(struct proxy *p, struct stream **stream);
void linger_end_all(struct proxy *p);

/* --- backends.c: the pool, its health and capabilities --- */
struct backend;
struct backends *backends_new(struct proxy *p);
void backends_start(struct backends *b);
void backends_free(struct backends **b);
bool backends_probed(const struct backends *b);     /* every first probe has ended */
bool backends_ever(const struct backends *b);       /* some backend has answered at some time */
void backends_wait(struct backends *b, struct task *waiter); /* woken when the first probes ended */
void backends_unwait(struct backends *b, struct task *waiter);
/* What all usable backends have: what we may announce. */
struct extensions backends_extensions(const struct backends *b);
size_t backends_count(const struct backends *b);
struct backend *backends_at(struct backends *b, size_t i);
bool backend_rests(const struct backend *b);
/* The k-th address to try; false: there are no more (or its name is not resolved). */
bool backend_address(struct backend *b, size_t k, struct addr_port *out);
void backend_answered(struct backend *b, const struct extensions *e); /* its EHLO reply came: it lives */
void backend_failed(struct backend *b, const char *why);              /* it rests for a while */

/* --- upstream.c: one connection to a backend, up to and including EHLO --- */
enum upstream_state { UPSTREAM_OPENING, UPSTREAM_READY, UPSTREAM_NONE };
enum expect { EXPECT_GREETING, EXPECT_EHLO, EXPECT_MAIL, EXPECT_RCPT, EXPECT_DATA, EXPECT_DOT, EXPECT_RSET, EXPECT_QUIT };

struct upstream;
struct upstream_needs { bool eightbit; };
/* Starts connecting to the first backend that does not rest (only: to that one), then to the next ... UPSTREAM_NONE when none is left. */
struct upstream *upstream_new(struct proxy *p, struct task *owner, struct backend *only, struct upstream_needs needs);
enum upstream_state upstream_run(struct upstream *u); /* takes in what came while opening */
bool upstream_has(const struct upstream *u, enum extension x);
struct backend *upstream_backend(const struct upstream *u);
struct addr_port upstream_address(const struct upstream *u);
/* Commands: the text without CRLF is queued; its reply will be handed out by upstream_reply with the same kind and context. */
bool upstream_may_send(const struct upstream *u);     /* PIPELINING, or nothing is awaited */
void upstream_send(struct upstream *u, struct str command, enum expect kind, void *context);
void upstream_expect(struct upstream *u, enum expect kind, void *context); /* the final dot: its bytes are put through upstream_stream */
struct stream *upstream_stream(struct upstream *u);
/* The next reply: DONE, NOT_YET, or FAILED when the connection is lost, out of time or talks nonsense (then the upstream is dead). */
enum reply_parse upstream_reply(struct upstream *u, struct arena *arena, enum expect *kind, void **context, struct reply *out);
void upstream_forget(struct upstream *u, void *context); /* replies for this context are thrown away when they come */
size_t upstream_awaited(const struct upstream *u);
uint64_t upstream_deadline(const struct upstream *u);
void upstream_content_progress(struct upstream *u, bool all); /* more content was put (all: the dot too): its time-out starts anew */
bool upstream_flush(struct upstream *u);
bool upstream_used(const struct upstream *u);         /* a transaction was run on it before */
void upstream_close(struct upstream **u, bool quit);

#endif
