/*
 * check.h - how evidence is gathered. A scope holds one stage's facts, the views of DNS and store through which they are found, and how far
 * each check has come. Checks write facts into it and know neither the session nor the policy's verdicts.
 *
 * A check is straight-line code: it reads its inputs, asks the views for all it needs, and returns CHECK_NOT_YET when something is missing;
 * when anything arrived it is run again from its first line. Once DONE it never runs again. It must have written every fact it makes by then.
 */
#ifndef POSTERN_CHECKS_CHECK_H
#define POSTERN_CHECKS_CHECK_H

#include <stddef.h>

#include "postern/base/settings.h"
#include "postern/dns/resolver.h"
#include "postern/facts/facts.h"
#include "postern/policy/policy.h"
#include "postern/smtp/command.h"
#include "postern/store/store.h"

enum check_id {
#define CHECK(id, name, stage, deadline, instances, help) CHECK_##id,
#include "postern/checks/checks.def"
#undef CHECK
    CHECK_COUNT
};

enum check_result { CHECK_DONE, CHECK_NOT_YET };

/* What is the same for all sessions of a process; borrowed by scopes, outlives them. */
struct evidence_world {
    struct loop *loop;
    const struct settings *settings;
    struct resolver *resolver;
    struct store *store;
    struct list_health *health; /* dnsbl.h: which lists rest */
};

/* What stands before the checks of each stage: set by the session (or explain, replay ...) when it opens the scope; borrowed texts are copied
 * into the scope's arena by scope_new(). */
struct subject { /* one stage's part of it is used; the others would only cost idle sessions memory */
    union {
        struct {                    /* connect */
            struct addr_port client;
            struct str listener;
        };
        struct str helo;            /* helo: the argument as given */
        struct path sender;         /* mail */
        struct path recipient;      /* rcpt */
        struct content {            /* data */
            uint64_t size, longest_line;
            unsigned received;
            bool bare_newline;
        } content;
    };
};

struct check_run { /* how far one check (of one instance) has come */
    uint8_t check;              /* enum check_id */
    bool done;
    uint16_t instance;          /* index of the declaration in the policy */
    uint64_t deadline_ms;       /* mono; UINT64_MAX: none */
};

/*
 * One stage's evidence. Reference counted: a record may outlive its session. A scope holds a reference on its parent and on its policy.
 */
struct scope {
    unsigned references;
    unsigned budget;            /* of the outermost scope: what was left when the session's was last seen; the views count on this one */
    struct scope *parent;
    const struct evidence_world *world;
    struct policy *policy;      /* whose declarations say which lists exist; reference */
    struct arena arena;         /* fills the room behind the scope first */
    struct facts facts;
    struct subject *subject;    /* of this stage, its part alone; in the arena */
    struct dns_view *dns;       /* made when first asked for */
    struct store_view *store;
    struct task *owner;         /* who is woken when an answer comes */
    unsigned *dns_budget;       /* of the session; NULL once scope_set_owner() has parted them */
    struct check_run *runs;     /* in the arena; only checks that were started */
    struct content_state *content; /* stage data: content.h; in the arena */
    struct note *notes;         /* in the arena */
    struct rate_turn *turns;    /* rate_turns.h: what waits for a fact of this scope, a ring; NULL: nothing */
    struct rate_turn *looks;    /* those in rings of this scope or of outer ones that are its own */
    const struct greylist_keys *greylist; /* stage rcpt: in the arena, made when first wanted */
    bool greylist_settled;                /* stage rcpt: the store knows so well who asks that one more pass says nothing new */
    struct fact_bits needed;    /* facts that somebody asked for so far */
    struct scope *shadow;       /* the shadow policy's scope beside this one; NULL: there is none */
    struct beside *beside;      /* of a shadow policy's scope: what it stands beside; in the arena; else NULL */
    uint16_t run_count, run_cap;
    uint8_t stage;              /* enum stage */
    bool touch;                 /* store operations may write (the applied policy of a live session) */
    max_align_t room[];         /* lent to the arena */
};

/*
 * A shadow policy is judged over the applied one's evidence. Its scopes are a chain of their own beside the applied one's: each belongs to the
 * one that it stands beside and ends with it, shares its subject, and reads its facts through (facts.h). What the applied policy's checks
 * find, or are about to, is not asked for again; checks that only the shadow needs run in its own scope, with a budget of DNS questions
 * of its own and stores that they only read: so nothing that it does is seen from the other side.
 */
struct beside {
    struct scope *applied;      /* borrowed: it owns this */
    struct scope *earlier;      /* stage helo: the applied scope of an earlier name which the shadow refused; reference; NULL: none */
    bool settled;               /* the applied policy has decided this stage or left it out: the shadow's turn has come */
};

struct scope *scope_new(const struct evidence_world *world, struct policy *policy, enum stage stage, struct scope *parent,
                        const struct subject *subject, struct task *owner, unsigned *dns_budget, uint64_t start_ms);
/* The shadow's scope beside `applied`, for which it becomes applied->shadow; its parent's has been made. Borrowed: it ends with applied. */
struct scope *scope_shadow_new(struct scope *applied, struct policy *shadow);
struct scope *scope_ref(struct scope *s);
void scope_unref(struct scope **s);
/* Hands the waiting of s and of all its parents to another task (a record that outlives its session). The session's budget is not touched any
 * more: what was left of it is what they may still ask. owner NULL: nobody is woken. */
void scope_set_owner(struct scope *s, struct task *owner);
void scope_own(struct scope *s, struct task *owner); /* the same for s alone: its parents still serve their session */
/* The scope of this stage in the chain (s itself or a parent), or NULL. For looking at a subject: checks may count on the stages before theirs. */
struct scope *scope_of(struct scope *s, enum stage stage);
const struct dns_answer *scope_dns(struct scope *s, struct str name, unsigned type); /* through the view; NULL: not yet */
const struct store_result *scope_store(struct scope *s, const struct store_operation *op);
void scope_store_late(struct scope *s); /* the deadline came before the store's answer: it is told of it */

/* Why a fact says temperror, permerror or fail, in words for whoever reads the message later: printable ASCII, copied. Empty is nothing. */
void scope_note(struct scope *s, int fact, struct str why);
struct str scope_note_of(const struct scope *s, int fact); /* noted in s or in one of its parents; empty: nothing was */

/* --- the table of checks --- */
struct check {
    const char *name;
    enum stage stage;           /* STAGE_EACH: in the scope of each stage that reads its facts */
    size_t deadline_setting;    /* offset in struct settings of its deadline (milliseconds); 0: none */
    enum { CHECK_ONE, CHECK_EACH_LIST, CHECK_EACH_MARK, CHECK_EACH_RATE } instances;
    enum check_result (*run)(struct scope *s, const struct check_run *run);
    const char *help;
};
extern const struct check checks[CHECK_COUNT];
/* Which check makes this fact: CHECK_COUNT when it is the session's or the policy's. *instance: index of the declaration for declared facts. */
enum check_id check_of_fact(const struct policy *p, int fact, uint16_t *instance);
/* The scope in which this check runs for one who decides in s: s itself or a parent; NULL: there is none. */
struct scope *check_home(struct scope *s, enum check_id check);
/* The facts that a run makes (built-in and declared). */
struct fact_bits check_facts(const struct policy *p, enum check_id check, uint16_t instance);

/* Adds a run of this check to s (its inputs are known: the deadline counts from now), or finds the one that is there. Nothing is run yet. The
 * pointer is good until the next start; s->runs holds all of them. */
struct check_run *check_start(struct scope *s, enum check_id check, uint16_t instance);
/* Mono time of the earliest deadline among runs that are not done; UINT64_MAX: none. Whoever waits sets a timer to it and steps again then. */
uint64_t scope_deadline(const struct scope *s);

/* Runs one check once: DONE at once when its facts are all there already (--assume, replay). On its deadline the facts that are still unknown get
 * their deadline value, and it is DONE. */
enum check_result check_step(struct scope *s, struct check_run *run);

#define CHECK(id, name, stage, deadline, instances, help) enum check_result check_##name(struct scope *s, const struct check_run *run);
#include "postern/checks/checks.def"
#undef CHECK

/* What a fact's key is made of, for the session's records: the store key of marks and of greylist entries (kept here, next to the checks that read them). */
struct str mark_key(struct arena *arena, struct str name, const struct addr *client); /* IPv6 by /64 */
struct str history_key(struct arena *arena, const struct addr *client); /* likewise */

/* greylist.c: what to record when this recipient's message was delivered, kept beside the check that reads it. False: nothing; the greylist was not
 * asked, the sender is null (it never earns a pass), or the pass would change nothing: most mail that passes writes nothing. Keys are the scope's. */
bool greylist_pass(struct scope *recipient, struct store_operation *op);

/* --- greylist_key.c: keys of the greylist; all in lower case, hashed where longer than STORE_KEY_MAX --- */
struct greylist_keys {
    struct str row;    /* "WHO SENDER RECIPIENT" */
    struct str client; /* "WHO DOMAIN", whose passes count for all of that domain; STR_NONE for the null sender: it never earns a long pass */
    struct str domain; /* for which SPF passes, or empty */
};
/* From the facts of a recipient's scope and of those around it; made once. NULL: spf, spf.domain or client.name are not known yet, and asked for. */
const struct greylist_keys *greylist_keys_of(struct scope *recipient);
/* Who is asking. spf_domain: for which SPF passes, else empty; name: the confirmed host name, or empty. */
struct str greylist_who(struct arena *arena, const struct addr *client, struct str spf_domain, struct str name);
bool greylist_pool_name(struct arena *arena, struct str name, const struct addr *client); /* does it hold octets of the address? */
struct str greylist_organization(struct str name); /* "mx1.example.co.uk": "example.co.uk"; a part of name, or all of it */
/* Without tags, digits and VERP's recipient; the null sender is "<>" and the name of HELO. */
struct str greylist_sender(struct arena *arena, const struct path *sender, struct str helo);
struct str greylist_key(struct arena *arena, struct str who, struct str sender, struct str recipient);

/* --- greylist_rulings.c: whom the administrator allowed or denied --- */
/* "203.0.113.0/24", an address or "example.com" as a key of rulings; STR_NONE: it is none of these, or a network that is never looked up. */
struct str greylist_ruling_key(struct arena *arena, struct str whom);
/* Says whom the operation is about, as known before the content comes: the client's address, the domain for which SPF passes. domains: what op is to
 * point at. */
void greylist_ruled(struct scope *recipient, struct store_operation *op, struct str domains[STORE_RULED_DOMAINS_MAX]);
/* Adds a domain, while there is room. It must have been authenticated: DKIM passes for it. */
void greylist_ruled_by_domain(struct store_operation *op, struct str domains[STORE_RULED_DOMAINS_MAX], struct str domain);

#endif
