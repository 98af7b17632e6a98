/*
 * session.h - one client connection, inside the room. The story:
 *
 *   proxy_accept -> session_new          the connect scope opens, its checks start
 *   session_run  <- the loop's wake list whatever arrived (bytes, DNS, store, backend, time), the session is run from here, and only from here:
 *       relay_run                        replies of the backend are taken in, what can be sent to it is sent
 *       recipients_run                   RCPTs in flight are decided, answered in order
 *       a step by phase                  GREET, COMMAND (a verb, run again from its start while it says NOT_YET), CONTENT, DOT
 *   session_end                          hang up, close the record, hand memory to the graveyard
 *
 * Who owns what: the session owns its stream, its scopes (by reference), its transaction and its upstream. A transaction that has ended
 * is handed to closing.c, which may keep it until late evidence came, then writes its record and frees it.
 * The session does not parse (smtp), judge (policy, decide) or gather (checks).
 */
#ifndef POSTERN_SESSION_SESSION_H
#define POSTERN_SESSION_SESSION_H

#include "postern/base/counters.h"
#include "postern/base/log.h"
#include "postern/decide/record.h"
#include "postern/mail/header.h"
#include "postern/mail/received.h"
#include "postern/mail/spool.h"
#include "postern/session/proxy.h"
#include "postern/smtp/data.h"
#include "postern/smtp/ehlo.h"
#include "postern/smtp/line.h"

enum step { STEP_DONE, STEP_NOT_YET, STEP_END }; /* END: the session is over, do not touch it */

enum { OUTPUT_MAX = 65536 }; /* octets of replies that wait for a client which does not read */

enum phase {
    PHASE_BALANCER,  /* a PROXY protocol header must come first */
    PHASE_HANDSHAKE, /* TLS */
    PHASE_GREET,
    PHASE_COMMAND,
    PHASE_CONTENT,   /* after DATA */
    PHASE_CHUNK,     /* octets of BDAT */
    PHASE_DOT        /* all of the message is here */
};

enum hangup {
#define HANGUP(id, word, counter, help) HANGUP_##id,
#include "hangups.def"
#undef HANGUP
    HANGUP_COUNT
};
extern const char *const hangup_words[HANGUP_COUNT];

enum relay_state { /* a recipient, as the backend sees it */
    RELAY_NONE,   /* not for the backend (yet) */
    RELAY_QUEUED, /* to be sent */
    RELAY_SENT,
    RELAY_OK,
    RELAY_NO
};

struct recipient {
    struct recipient *next;
    struct path path;              /* texts in the transaction's arena */
    struct str parameters;         /* of RCPT, as they go to the backend, with a space in front */
    unsigned route;
    struct scope *scope;           /* NULL: refused before the policy was asked */
    struct stage_verdict verdict;
    struct str class;
    enum { RECIPIENT_DECIDING, RECIPIENT_DECIDED, RECIPIENT_RELAYED, RECIPIENT_ANSWERED, RECIPIENT_SPOKEN } state;
    enum relay_state relay;
    bool again;                    /* sent to a second backend connection after it had been accepted by the first */
    bool monitored;                /* the rates that monitor rules read were asked for */
    bool accepted;                 /* spoken with 2xx */
    uint64_t hold_until;           /* mono; tarpit */
    struct reply reply;
    struct str spoken;             /* as said, for the record */
    const char *by;                /* "policy", "backend", "postern" */
};

struct message { /* of one message, while it flows and until the verdict */
    struct data_reader data;
    struct header_reader header;
    struct spool spool;
    struct buf wire;               /* scratch of data_read */
    struct buf kept;               /* scratch of header_feed */
    bool refused;                  /* it will be refused whatever comes: count and discard the rest */
    bool spool_failed;
    uint64_t deadline_ms;          /* all of it must have come */
    uint64_t sent;                 /* octets of the spool given to the backend */
    struct buf front;              /* our fields, put before it */
    bool front_sent;
    bool chunked;                  /* it came by BDAT */
    bool binary;                   /* BODY=BINARYMIME: the spool holds octets, not wire form */
    bool at_line_start;            /* of what is unstuffed for BDAT */
    struct str authserv_id;        /* fields that claim it are removed */
    uint64_t chunk_left, chunk_size; /* of the present chunk */
    bool chunk_last;
    unsigned header_end;           /* binary: octets of the CRLFCRLF behind the header that have come; 4: all */
};

struct transaction {
    struct arena arena;
    struct proxy *proxy;
    struct session *session;       /* NULL once that is gone */
    char id[24];
    uint64_t start_wall_ms;
    struct policy *policy;         /* reference */
    struct addr_port client;
    bool esmtp, tls;
    bool exempt;                   /* the session's: nothing of it is evidence */
    struct scope *scopes[STAGE_COUNT];           /* references; rcpt is per recipient */
    struct stage_verdict verdicts[STAGE_COUNT];
    struct scope *sticky;          /* helo scope of an earlier, refused name */
    /* envelope */
    struct path sender;
    struct str sender_parameters;  /* as they go to the backend, with a space in front; without SIZE */
    uint32_t extensions;           /* bits: what MAIL, RCPT or the content use of the backend */
    unsigned route;                /* of the recipients; set with the class */
    uint64_t size_declared;
    struct recipient *recipients, **last;
    unsigned recipient_count;      /* tried */
    unsigned accepted;
    unsigned unspoken;
    unsigned class_users;          /* recipients of `class` that the backend accepted or is being asked about */
    struct recipient *next_spoken; /* the first not yet answered to the client */
    struct str class;              /* of the recipients; empty while there is none */
    /* relay */
    bool mail_sent;
    struct reply mail_reply;       /* the backend's; code 0: none yet */
    bool reconnected;              /* the one silent second connection is used up */
    bool recipient_lost;           /* an accepted recipient was not accepted by the second connection */
    bool data_sent, data_ok, dot_sent;
    bool unclear;                  /* the backend did not say what became of the message: the reply is ours */
    bool by_chunks;                /* it goes out by BDAT */
    struct reply data_reply;       /* refusal of DATA */
    struct reply dot_reply;
    struct addr_port backend;
    /* content and outcome */
    struct message *content;
    struct str reply;              /* to the dot, as said */
    const char *reply_by;
    const char *end;
    uint64_t end_wall_ms;
    struct record *record;         /* closing: all of it, once it has ended; in the arena */
    struct shadow *shadow;         /* closing: what the shadow policy says; in the arena; NULL: there is none */
    bool logged;
    struct timer timer;            /* closing: the evidence's deadlines */
    struct task task;              /* closing: late evidence */
    struct transaction *next;      /* closing list of the proxy */
    struct transaction **link;
};

struct upstream;

/* Most sessions do nothing most of the time: what is not needed between two commands belongs elsewhere (in the transaction, the message). */
struct session {
    struct task task;
    struct task evidence;          /* owns the scopes of connection and HELO, which its ended transactions share */
    struct timer timer;
    struct proxy *proxy;
    struct session *next, **link;  /* the proxy's list */
    struct stream *client;
    struct policy *policy;         /* reference */
    const struct listener_setting *listener;
    struct addr_port peer, local;
    uint32_t announced;            /* bits: what EHLO said; it holds until the next one, whatever the backends' probes find meanwhile */
    char id[12];
    uint8_t phase;                 /* enum phase */
    bool esmtp;                    /* EHLO, not HELO */
    bool tls;                      /* the session is encrypted */
    bool tls_first;                /* TLS from the first byte: the greeting comes after it */
    bool tells_client;             /* some backend is told who the client is */
    bool admitted;                 /* counted among the connections of its address */
    bool exempt;                   /* a balancer's own health check: no check applies */
    bool snapshots;                /* somebody reads the facts that change by nature */
    bool in_turn;                  /* recipients are decided one after the other */
    bool counted;                  /* among its client's connections, for rates */
    bool early_talk, early_pipelining, http;
    bool greeting_refused;         /* 554: only QUIT is served (RFC 5321 3.1) */
    bool refused_now;              /* a `now` rule has spoken: what follows is refused alike */
    bool hang_up;                  /* a rule said 421 or 521: close behind the reply */
    bool tarpitted;                /* counted in proxy->tarpitted */
    bool had_transaction;
    bool probe_waited;
    bool run_before;               /* this is not its first run */
    bool awaits_evidence;          /* this run stopped for facts: the checks' deadlines count */
    bool stirred;                  /* something moved in this run: look again */
    bool command_begun;            /* the verb has done its first, unrepeatable part */
    bool command_sent;             /* the backend was asked */
    unsigned messages, errors, junk, dns_budget;
    unsigned errors_counted;       /* for rates */
    unsigned closing;              /* transactions of it that wait for late evidence */
    uint32_t tarpit_used;          /* milliseconds */
    uint64_t start_ms, start_wall_ms;
    uint64_t idle_since;           /* the client owes us something since then */
    uint64_t hold_until;           /* tarpit: the next reply waits till then */
    uint64_t discard;              /* octets of a refused BDAT chunk still to come */
    struct line_reader lines;
    struct str fresh;              /* read in this run and not yet used: in the proxy's scratch */
    struct buf input;              /* kept from earlier runs; without memory while idle */
    size_t input_at;
    struct arena command_arena;    /* of the command that is run */
    struct command *command;       /* NULL: none; in command_arena */
    struct reply *command_error;   /* the line was no command: what to say when its turn comes; in command_arena */
    struct reply *relayed;         /* the backend's reply to the present command; in command_arena */
    struct scope *connect, *helo;
    struct stage_verdict *connect_verdict, *helo_verdict; /* in the scopes' arenas; NULL: not decided */
    struct scope *sticky_helo;     /* a refused HELO survives a changed name: its scope; helo_verdict is then its verdict */
    struct transaction *t;
    struct upstream *upstream;
};

/* --- session.c --- */
void session_new(struct proxy *p, struct stream *client, const struct arrival *arrival);
void session_meet(struct session *s);  /* who the client is is known: its evidence is gathered from now on */
void session_end(struct session *s, enum hangup why);
void session_drain(struct session *s); /* the proxy is stopping: an idle session ends, others when their transaction is over */
static inline struct loop *session_loop(const struct session *s);
static inline uint64_t session_now(const struct session *s);
struct str session_input(const struct session *s);     /* bytes read and not yet used */
void session_input_left(struct session *s, struct str rest); /* `rest`, the end of session_input(), is still to be used */
/* Reads more when there is none. DONE: there is input. NOT_YET. END: the client is gone, and with it the session. */
enum step session_fill(struct session *s);
bool session_gives_way(const struct session *s);

/* --- commands.c --- */
enum step command_step(struct session *s); /* PHASE_COMMAND: takes a line, or runs the verb of the one taken */

/* --- patience.c --- */
uint64_t patience_greeting(const struct session *s); /* mono: the end of greet-delay */
void patience_arm(struct session *s); /* the run is over: when must the session look again by itself? */
bool patience_out(struct session *s); /* somebody's time is over: the session has ended */

/* --- speak.c: the one door through which replies leave --- */
void speak(struct session *s, const struct reply *r, bool refusal_with_id);
void speak_id(struct session *s, enum reply_id id, struct str value); /* from the table; %s is value, or our host name when the value is none */
void speak_wrong(struct session *s, const struct reply *r);           /* and count it as an error of the client */
struct reply refusal_of(const struct walk *w, struct arena *arena);   /* the reply that a deciding rule gives */
struct str session_record_id(const struct session *s);               /* of the transaction, else of the session */

/* --- stages.c: stages connect, helo, mail as the session goes through them --- */
enum settled { SETTLED, UNSETTLED, UNSETTLED_HOLD };
void stages_open(struct session *s, struct scope *scope); /* starts the checks of a scope just made */
void stages_open_connect(struct session *s, struct str listener);
void stages_open_helo(struct session *s, struct str argument);
void stages_forget_client(struct session *s); /* STARTTLS: nothing that it said of itself in clear counts (RFC 3207 4.2) */
enum settled stages_settle(struct session *s, enum stage upto);
bool stages_want_snapshots(const struct proxy *p, const struct policy *policy);
void stages_gather_shadow(struct session *s); /* the shadow policy's checks go on, nobody waits for them */
void stages_snapshot(struct session *s, struct facts *f);
/* All verdicts so far, copied to v (rcpt's left out). */
void stages_verdicts(const struct session *s, struct stage_verdict v[STAGE_COUNT]);
/* May the reply to this stage's command go out? NOT_YET: facts or a tarpit hold it. *refuse is set when a `now` rule speaks instead. */
enum step stages_reply(struct session *s, enum stage stage, struct reply *refuse, bool *refused);
void tarpit_add(struct session *s, uint64_t ms, uint64_t *hold_until);

/* --- transaction.c --- */
struct transaction *transaction_new(struct session *s);
void transaction_end(struct session *s, const char *end); /* closes s->t (if any): record, marks, log */
void transaction_free(struct transaction *t);

/* --- recipients.c --- */
void recipient_add(struct session *s, const struct command *c);
void recipients_run(struct session *s);       /* decides and answers those in flight, in order */
bool recipients_settled(const struct session *s); /* every RCPT has been answered: the barrier is open */
bool recipients_full(const struct session *s);    /* so many in flight that no more are taken up */

/* --- content.c --- */
void content_begin(struct session *s);
enum step content_run(struct session *s);     /* PHASE_CONTENT: eats input */
enum step content_dot(struct session *s);     /* PHASE_DOT: verdict, delivery, reply */
void content_free(struct message **c);

/* --- chunks.c --- */
enum step content_chunk(struct session *s);     /* BDAT */
enum step content_chunk_run(struct session *s); /* PHASE_CHUNK: eats its octets */

/* --- parameters.c --- */
struct extensions announced(const struct session *s); /* what EHLO says */
uint64_t size_limit(const struct session *s);         /* octets of a message; 0: none */
/* Judges the parameters of MAIL or RCPT: what goes on to the backend (in t's arena; SIZE left out), what they use of it (t->extensions). */
bool parameters_take(struct session *s, struct transaction *t, const struct command *c, struct str *out, struct reply *refusal);

/* --- authentication.c: what the backend is told of it --- */
struct str authentication_id(const struct session *s);              /* our authserv-id */
void authentication_open(struct session *s, struct scope *scope);   /* starts the checks that are told, asked for or not */
bool authentication_known(struct session *s);                       /* they are all done */
void authentication_put(struct session *s, struct buf *out);        /* Authentication-Results, Received-SPF */

/* --- arrival.c: before the greeting, and TLS --- */
void session_start_tls(struct session *s);    /* everything said so far is forgotten */
enum step arrival_balancer(struct session *s);
enum step arrival_handshake(struct session *s);

/* --- closing.c --- */
void closing_take(struct transaction *t);     /* an ended transaction: record now or when late evidence is there */
void closing_look_again(struct session *s);  /* something of connection or HELO is new: it may be what its ended transactions wait for */
void closing_session_ends(struct session *s); /* they wait on by themselves */
void closing_expire(struct transaction *t);   /* one that waits: its record now */
void closing_connection(struct session *s, enum hangup why); /* a connection without a transaction */

/* --- rates.c: what happened, for the rates that rules read --- */
void rates_connection(struct session *s); /* stage connect is decided, or the connection ends; the first call counts */
void rates_errors(struct session *s);     /* those since the last call */
void rates_recipient(const struct session *s, const struct recipient *r); /* it goes on to the backend */
void rates_answer(const struct session *s, const struct recipient *r);    /* what the backend, or who else, said to it is known */
void rates_message(const struct transaction *t);                         /* the backend has it */
bool rates_may_be_late(const struct policy *p); /* somebody may have to be asked for whom something counts */
bool rates_want_turns(const struct policy *p); /* recipients must be decided one after the other */

/* --- verbs.c --- */
enum step verb_run(struct session *s);        /* s->command */

/* --- relay.c: one transaction at the backend --- */
void relay_run(struct session *s);            /* takes in what the backend said, sends what can be sent */
void relay_recipient(struct session *s, struct recipient *r); /* r is for the backend */
void relay_leave(struct session *s);          /* nothing of the transaction is for this backend after all: another route */
bool relay_any(const struct transaction *t, enum relay_state state); /* is a recipient in this state? */
void relay_abandon(struct session *s);        /* the transaction is over without a message: RSET */
/* One command that the backend answers instead of us (VRFY, ETRN). */
enum step relay_command(struct session *s, struct str line, struct reply *outcome);
uint64_t relay_deadline(const struct session *s);
void relay_quit(struct session *s);           /* QUIT and close */

/* --- delivery.c: the message at the backend --- */
enum step delivery_run(struct session *s, struct reply *outcome); /* DATA, content, dot; DONE: *outcome is what the client is told */

#include "proxy_internal.h"

static inline struct loop *session_loop(const struct session *s)
{
    return s->proxy->parts.loop;
}

static inline uint64_t session_now(const struct session *s)
{
    return loop_now(s->proxy->parts.loop);
}

#endif
