/*
 * world.h - everything around one proxy, simulated: clients, backends, DNS, store, spool, clock; and what is seen of it from
 * outside.
 *
 *     client(s) == memory pair == proxy == memory pair == backend(s)
 *         |                         | |                    |
 *      observer                 dns, store              content
 *         +---------- ledger --------+--------------------+
 *
 * A world is made for one run of a script and torn down after it. A perturbation says how this run differs from the plain one;
 * the tally counts what there was to perturb. Nothing here knows the session's inside.
 */
#ifndef POSTERN_SIM_WORLD_H
#define POSTERN_SIM_WORLD_H

#include "observer.h"
#include "postern/net/network.h"
#include "postern/session/proxy.h"
#include "script.h"
#include "wire.h"

enum cut { CUT_NONE, CUT_CLOSE, CUT_RESET, CUT_HALF };

struct perturbation { /* {0} changes nothing; ordinals count from 1 */
    char name[64];
    bool lenient;             /* replies may be others than the script says: only the invariants are asserted */
    size_t chunk;             /* the client's bytes so many at a time */
    bool merge;               /* commands that may be pipelined are */
    enum cut cut;
    size_t cut_at_segment;    /* of all SENDs: before, in the middle of, behind it */
    enum { CUT_BEFORE, CUT_MIDDLE, CUT_BEHIND } cut_where;
    uint64_t cut_after_ms;    /* behind it, and so much later */
    size_t cut_at_reply;      /* of all replies that clients got */
    size_t backend_at;        /* of all reactions of backends */
    enum backend_fault backend_fault;
    uint64_t slow_ms;         /* every reaction of a backend is so late */
    size_t dns_at;            /* of all questions; whenever it is asked */
    enum dns_status dns_status;
    unsigned dns_order;       /* answers come in another order: 1 reversed, more: shuffled so */
    size_t window;            /* short writes on all connections */
    size_t read_limit;        /* so many octets a read at most, on all connections */
    size_t record_at;         /* of all records of TLS, whoever sends them */
    enum record_fault record_fault;
    enum { RECORD_BEHIND, RECORD_IN } record_where; /* where it closes, resets, stalls */
    size_t store_at;          /* this operation fails */
    bool spool_file;          /* no message is held in memory */
    size_t spool_at;          /* this call of a spool's file fails */
    struct policy *shadow;    /* a shadow policy where the script has none, of which nobody must notice anything; NULL: none */
};

struct tally {
    size_t segments, replies, reactions, questions, operations, spool_calls, octets, records;
};

struct world;

/* --- DNS -------------------------------------------------------------------------------------------------------------------- */
struct sim_question;
struct sim_dns {
    struct dns_transport transport; /* first */
    struct world *world;
    const struct dns_rule **rules;
    size_t count;
    struct sim_question *open;
    struct map *asked;              /* each question once, its ordinal; NULL: none yet */
};
void sim_dns_init(struct sim_dns *d, struct world *w);
void sim_dns_add(struct sim_dns *d, const struct dns_rule *r);
void sim_dns_clear(struct sim_dns *d);
/* The answer of the simulated DNS: DNS_OK with message bytes in *out, or a status. *delay_ms as the rules say. */
enum dns_status sim_dns_answer(const struct sim_dns *d, struct str name, unsigned type, struct buf *out, uint64_t *delay_ms);

/* --- backends --------------------------------------------------------------------------------------------------------------- */
struct backend_conn;
struct sim_backend {
    struct world *world;
    unsigned index;
    bool down;
    const struct credentials *credentials; /* NULL: the script's first */
    const struct backend_rule **rules;
    size_t rule_count;
    const struct str *keywords;  /* NULL: the usual ones */
    size_t keyword_count;
    unsigned seen[MOMENT_COUNT]; /* how often each moment came */
    struct backend_conn *connections;
    struct buf lines;            /* all command lines received, each with \n */
    size_t looked;               /* up to here they were looked at */
};
void sim_backend_init(struct sim_backend *b, struct world *w, unsigned index);
void sim_backend_change(struct sim_backend *b, const struct backend_step *change);
struct stream *sim_backend_connect(struct sim_backend *b, struct task *owner);
size_t sim_backend_open(const struct sim_backend *b); /* connections that the proxy has not closed */
void sim_backend_clear(struct sim_backend *b);

/* --- clients ---------------------------------------------------------------------------------------------------------------- */
struct sim_client {
    struct task task;
    struct world *world;
    unsigned index;
    struct addr_port address;    /* of the next connection */
    unsigned port;               /* of the present one */
    struct stream *stream;       /* NULL: not connected */
    struct wire wire;            /* of the present connection */
    struct observer observer;
    bool connected, closed;      /* ever since the last connect; the server closed */
    bool cut;                    /* this connection was cut: it says nothing any more */
    bool clear;                  /* it has ended its side of TLS, and speaks on in clear */
    struct buf unread;           /* what the server said and nobody looked at */
    struct buf codes;            /* uint16_t each: of all replies of this connection */
    size_t replies_taken;        /* by a lenient driver */
};
void sim_client_init(struct sim_client *c, struct world *w, unsigned index);
void sim_client_connect(struct sim_client *c);
void sim_client_send(struct sim_client *c, struct str bytes); /* perturbed as the world says */
bool sim_client_line(struct sim_client *c, struct str *line); /* the next whole line, not taken */
void sim_client_line_taken(struct sim_client *c);
/* Begins TLS, asking for this host (empty: for none); a handshake that fails is a server that closed. */
void sim_client_tls(struct sim_client *c, struct str server_name, enum tls_asked asked);
void sim_client_notify(struct sim_client *c); /* close_notify */
void sim_client_hang_up(struct sim_client *c, enum cut how);
size_t sim_client_replies(const struct sim_client *c);
unsigned sim_client_code(const struct sim_client *c, size_t reply); /* 0: not there yet */
void sim_client_clear(struct sim_client *c);

/* --- store and spool -------------------------------------------------------------------------------------------------------- */
struct store *sim_store_new(struct world *w);
void sim_store_mood(struct store *s, enum store_mood mood, uint64_t delay_ms);
void sim_spool_take(struct world *w); /* mail/spool's system calls are these from now on */
void sim_spool_fail(bool failing);
void sim_spool_give_back(void);

/* --- all of it -------------------------------------------------------------------------------------------------------------- */
struct world {
    const struct script *script;
    const struct perturbation *how;
    struct settings settings;    /* a copy of the script's; its texts are borrowed */
    struct loop *loop;
    struct network network;      /* ours */
    struct sim_dns dns;
    struct sim_backend backends[BACKENDS_MAX];
    struct sim_client clients[ACTORS_MAX];
    struct resolver *resolver;
    struct store *store;
    struct list_health *health;
    struct policy *policy;       /* the present one; borrowed from the script */
    struct policy *shadow;       /* likewise; NULL: none */
    struct proxy *proxy;         /* NULL: not begun, or over */
    struct memory_pair_options pair;
    struct ledger ledger;
    struct observer *earlier;    /* of connections that clients left before all that they had said was answered */
    size_t earlier_count;
    struct tally tally;
    struct buf last_message;     /* content of the last final dot at a backend */
    size_t delivered;            /* messages that backends took */
    size_t connections;          /* of clients */
    struct buf arrivals;         /* struct addr_port each: where clients came from */
    bool balancers;              /* some came through a balancer: whom it names is not known here */
    struct buf log;
    struct arena arena;
    struct str *records;         /* journal lines, in the arena */
    size_t record_count;
    uint64_t patience_ms;
};

/* Also takes over random numbers, log, counters and spool of the process until world_end(). Settings and script are borrowed. */
void world_begin(struct world *w, const struct script *script, const struct perturbation *how);
void world_start(struct world *w);            /* the proxy, once; the first probes are over when it returns */
typedef bool (*world_condition)(struct world *w, const void *what);
/* Runs until condition() or until nothing happens for `limit_ms` of virtual time. */
bool world_wait(struct world *w, uint64_t limit_ms, world_condition condition, const void *what);
void world_advance(struct world *w, uint64_t ms);
void world_settle(struct world *w);
/* A backend has a message's final dot, or all of its last chunk: its number in the ledger. */
size_t world_backend_dot(struct world *w, struct str content);
/* Has a client come from there? */
bool world_has_client(const struct world *w, const struct addr_port *peer);
void world_policy(struct world *w, struct policy *policy);
void world_shadow(struct world *w, struct policy *shadow); /* NULL: none */
void world_probe_lists(struct world *w);
/* Clients hang up, sessions end (in bounded time), the proxy goes. Broken promises are in the ledger then. */
void world_close(struct world *w);  /* clients and sessions only; may be called before world_end */
void world_end(struct world *w);    /* judges every journal line; what was recorded stays until world_clear */
void world_clear(struct world *w);

#endif
