/*
 * proxy_internal.h - the proxy as its sessions see it, and the pool of backends.
 */
#ifndef POSTERN_SESSION_PROXY_INTERNAL_H
#define POSTERN_SESSION_PROXY_INTERNAL_H

#include "postern/base/map.h"
#include "postern/session/proxy.h"
#include "postern/smtp/ehlo.h"
#include "postern/smtp/xclient.h"
#include "slots.h"

struct backends;
struct session;
struct transaction;

enum { READ_CHUNK = 65536, RUN_OCTETS = 1 << 20, CLOSING_MAX = 2000, CLOSING_RECIPIENTS_MAX = 20000 };

struct proxy {
    struct proxy_parts parts;
    struct evidence_world world;
    struct policy *policy;       /* for new sessions; reference */
    struct policy *shadow;       /* judged beside it; reference; NULL: none */
    bool snapshots;              /* see stages_want_snapshots() */
    bool in_turn;                /* see rates_want_turns() */
    struct backends *backends;
    struct session *sessions;
    size_t session_count;
    struct map *per_client;      /* address text -> count, as pointers */
    struct map *per_network;
    size_t tarpitted;
    struct farewell *lingering;    /* closed, but their last reply has not left yet */
    size_t linger_count;
    struct transaction *closing; /* ended, waiting for late evidence */
    size_t closing_count, closing_recipients; /* and those of all of them */
    bool tells_client;           /* some backend is told who the client is */
    struct tls_context *tls;     /* for clients; reference; NULL: no STARTTLS */
    bool draining;
    bool ending;                 /* proxy_free: nothing waits any more */
    void (*drained)(void *context);
    void *drained_context;
    struct task drain_task;
    uint64_t door_said_ms;       /* when the log last named somebody whom a limit of connections kept out; 0: never */
    uint64_t door_unsaid;        /* how many it did not name since */
    char *scratch;               /* READ_CHUNK octets, for whoever runs */
    size_t moved;                /* octets that the run at hand has read, or given to a backend: at RUN_OCTETS it is the others' turn */
};

void proxy_session_gone(struct proxy *p, const struct addr_port *peer);
bool proxy_admit(struct proxy *p, const struct addr_port *peer, enum reply_id *refusal); /* counts it, or says why not, in the log too */
void proxy_check_drained(struct proxy *p);
/* Closes a client's stream behind what is queued on it (linger.c). */
void linger_close(struct proxy *p, struct stream **stream);
void linger_end_all(struct proxy *p);

/* --- backends.c: the pool, its health and capabilities --- */
struct backend;
struct backends *backends_new(struct proxy *p);
bool backends_want_client(const struct backends *b); /* one of them is told the client's address */
void backends_renew_tls(struct backends *b);         /* as proxy_renew_tls() */
void backends_start(struct backends *b);
void backends_free(struct backends **b);
bool backends_probed(const struct backends *b);     /* every first probe has ended */
bool backends_ever(const struct backends *b);       /* some backend has answered at some time */
void backends_wait(struct backends *b, struct task *waiter); /* woken when the first probes ended */
void backends_unwait(struct backends *b, struct task *waiter);
/* What all usable backends, of every route, have: what we may announce. */
struct extensions backends_extensions(const struct backends *b);
size_t backends_count(const struct backends *b);
struct backend *backends_at(struct backends *b, size_t i);
bool backend_rests(const struct backend *b);
struct slots *backend_slots(struct backend *b);            /* its `connections` */
size_t backend_number(const struct backend *b);           /* backends_at(that) is it */
struct slot_queue *backends_queue(struct backends *b);
const struct backend_setting *backend_setting_of(const struct backend *b);
struct tls_context *backend_tls_context(struct backend *b); /* borrowed; only with `tls may` or `require` */
/* The k-th address to try; false: there are no more (or its name is not resolved). */
bool backend_address(struct backend *b, size_t k, struct addr_port *out);
void backend_answered(struct backend *b, const struct extensions *e); /* its EHLO reply came: it lives */
void backend_failed(struct backend *b, const char *why);              /* it rests for a while */

/* --- upstream_open.c, upstream.c: one connection to a backend --- */
enum upstream_state {
    UPSTREAM_OPENING, /* or waiting to */
    UPSTREAM_READY,
    UPSTREAM_NONE,    /* no backend could be had */
    UPSTREAM_LEFT     /* it was merely kept, and was given up for another who needed one: as if it had never been */
};
enum expect { EXPECT_GREETING, EXPECT_EHLO, EXPECT_MAIL, EXPECT_RCPT, EXPECT_DATA, EXPECT_CHUNK, EXPECT_DOT, EXPECT_RSET, EXPECT_OTHER };

struct upstream_wish { /* what a connection must be good for */
    struct backend *only;    /* a probe; NULL: any of the route */
    unsigned route;
    uint32_t extensions;     /* bits: those in use */
    const struct xclient *client; /* who the client is; NULL: a probe */
};

struct upstream;
/* Starts connecting to the first backend that does not rest (only: to that one), then to the next ... UPSTREAM_NONE when none is left. */
struct upstream *upstream_new(struct proxy *p, struct task *owner, const struct upstream_wish *wish);
enum upstream_state upstream_run(struct upstream *u); /* takes in what came while opening */
bool upstream_has(const struct upstream *u, enum extension x);
bool upstream_lacking(const struct upstream *u);      /* NONE, and a backend was passed over because it lacks an extension in use */
bool upstream_busy(const struct upstream *u);         /* NONE, and it waited in vain for one of a backend's connections, or there was a shortage of sockets */
bool upstream_serves(const struct upstream *u, const struct upstream_wish *wish); /* may a connection kept be used for this? */
struct addr_port upstream_address(const struct upstream *u);
/* Commands: the text without CRLF is queued; its reply will be handed out by upstream_reply with the same kind and context. */
bool upstream_may_send(const struct upstream *u);     /* PIPELINING, or nothing is awaited */
void upstream_send(struct upstream *u, struct str command, enum expect kind, void *context);
void upstream_expect(struct upstream *u, enum expect kind, void *context); /* its bytes are put through upstream_stream */
struct stream *upstream_stream(struct upstream *u);
/* The next reply: DONE, NOT_YET, or FAILED when the connection is lost, out of time or talks nonsense (then the upstream is dead). */
enum reply_parse upstream_reply(struct upstream *u, struct arena *arena, enum expect *kind, void **context, struct reply *out);
void upstream_forget(struct upstream *u, void *context); /* replies for this context are thrown away when they come */
uint64_t upstream_deadline(const struct upstream *u);
void upstream_content_progress(struct upstream *u, bool all); /* more content was put (all: the end too): its time-out starts anew */
bool upstream_flush(struct upstream *u);
void upstream_close(struct upstream **u, bool quit);

#endif
