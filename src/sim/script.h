/*
 * script.h - a transcript, read: the world it wants, and the steps of its conversation (notation: tests/README.md).
 *
 * A script is immutable once it is parsed and is run many times (plain, then perturbed). All texts live in its
 * arena or its source.
 */
#ifndef POSTERN_SIM_SCRIPT_H
#define POSTERN_SIM_SCRIPT_H

#include "contexts.h"
#include "postern/base/addr.h"
#include "postern/base/arena.h"
#include "postern/base/settings.h"
#include "postern/base/source.h"
#include "postern/dns/dns.h"

enum { ACTORS_MAX = 9, BACKENDS_MAX = 9 }; /* clients and backends are numbered from 1 */
#define SIM_EPOCH_MS UINT64_C(1795291200000) /* 2026-11-21T20:00:00Z: when every transcript begins */


enum step_kind {
    /* the client */
    STEP_SEND,        /* text: one segment */
    STEP_LINE,        /* pattern: a line of the server's */
    STEP_CLOSED,      /* the server closes, all it said was expected */
    STEP_NOTHING,     /* nothing to be read now */
    STEP_ADDRESS,     /* text: where its next connections come from */
    STEP_CONNECT,     /* text: address, empty: as before */
    STEP_TLS,         /* text: for which server name; number: enum tls_asked. Its side of a TLS handshake */
    STEP_NOTIFY,      /* close_notify; from then on it speaks in clear */
    STEP_CLOSE,
    STEP_RESET,
    STEP_HALF_CLOSE, /* the last of the client's */
    /* time */
    STEP_WAIT,        /* number: milliseconds */
    STEP_SETTLE,
    STEP_PATIENCE,    /* number */
    /* the backend */
    STEP_GOT,         /* pattern: somewhere behind what was looked at before */
    STEP_GOT_NEXT,    /* pattern: the next line */
    STEP_GOT_NEVER,   /* pattern: no line at all */
    STEP_GOT_NOTHING, /* no line since what was looked at before */
    /* the world changes */
    STEP_DNS,         /* dns */
    STEP_BACKEND,     /* backend */
    STEP_STORE,       /* number: enum store_mood; delay in number2 */
    STEP_SPOOL,       /* number: 1 failing, 0 working */
    STEP_POLICY,      /* policy: from now on */
    STEP_SHADOW,      /* policy: the shadow from now on; NULL: none */
    STEP_HEALTH,      /* the lists of the policy are probed */
    STEP_DRAIN,
    /* what the record and the rest say */
    STEP_VERDICT,     /* pattern: "reject", pattern2: rule or empty */
    STEP_FACT,        /* text: name, pattern: value as typed, "*" */
    STEP_SHADOW_VERDICT, /* as STEP_VERDICT */
    STEP_SHADOW_DIFFERS, /* number: 1 it does, 0 it says the same */
    STEP_SHADOW_FACT, /* as STEP_FACT */
    STEP_END,         /* pattern */
    STEP_RECORD_HAS,  /* text */
    STEP_RECORD_LACKS,
    STEP_JOURNAL,     /* number */
    STEP_DELIVERED,   /* number */
    STEP_MESSAGE_HAS, /* text */
    STEP_MESSAGE_LACKS,
    STEP_MESSAGE_ENDS,
    STEP_COUNTER,     /* number: enum counter, number2 */
    STEP_LOG_HAS,
    STEP_LOG_LACKS,
};

/* What a name answers. Later ones of the same name and type replace earlier ones. */
struct dns_rule {
    struct str name;      /* lower case; may hold * */
    unsigned type;        /* 0: every type */
    enum dns_status status;
    struct str *records;  /* DNS_OK: as dns_build_record reads them */
    size_t count;
    uint32_t ttl;
    uint64_t delay_ms;
};

enum backend_moment {
    MOMENT_CONNECT,
    MOMENT_GREETING,
    MOMENT_HANDSHAKE, /* behind the 220 to STARTTLS */
    MOMENT_DOT,
    /* command lines, by their verb */
    MOMENT_EHLO,
    MOMENT_FIRST_VERB = MOMENT_EHLO,
    MOMENT_HELO,
    MOMENT_MAIL,
    MOMENT_RCPT,
    MOMENT_DATA,
    MOMENT_BDAT, /* when the octets of the chunk are here */
    MOMENT_RSET,
    MOMENT_QUIT,
    MOMENT_NOOP,
    MOMENT_STARTTLS,
    MOMENT_XCLIENT,
    MOMENT_OTHER,
    MOMENT_COUNT
};
extern const char *const moment_names[MOMENT_COUNT];

enum backend_fault { FAULT_NONE, FAULT_CLOSE, FAULT_RESET, FAULT_HANG, FAULT_SHORTAGE /* connect: the proxy has no socket to spare */ };

/* backend [N] on MOMENT [#NTH] ["GLOB"] [delay D] [ANSWER] [then close|reset|hang] */
struct backend_rule {
    enum backend_moment moment;
    unsigned nth;         /* 0: every time; else the nth time that this moment comes at this backend */
    struct str glob;      /* of the command's argument; empty: any */
    uint64_t delay_ms;
    bool normal;          /* the usual answer */
    struct str answer;    /* bytes, CRLF included; empty with !normal: none */
    enum backend_fault fault; /* afterwards */
};

enum backend_change {
    BACKEND_RULE,
    BACKEND_EHLO,
    BACKEND_DOWN,
    BACKEND_UP,
    BACKEND_FORGET,
    BACKEND_CERTIFICATE, /* it shows another one */
};

struct backend_step {
    unsigned index;       /* 0-based */
    enum backend_change change;
    struct backend_rule rule;
    struct str *keywords; /* EHLO */
    size_t keyword_count;
    const struct credentials *credentials; /* CERTIFICATE */
};

enum store_mood { MOOD_WORKING, MOOD_FAILING, MOOD_SLOW };

struct step {
    enum step_kind kind;
    unsigned line;        /* 1-based in the source */
    unsigned again;       /* line of the `again` that repeats it; 0: none */
    uint8_t actor;        /* client or backend, 0-based */
    bool content;         /* SEND: it begins inside a message that the line before said 354 to */
    bool ends_content;    /* SEND: and the final dot is in it */
    struct str text, pattern, pattern2;
    uint64_t number, number2;
    const struct dns_rule *dns;
    const struct backend_step *backend;
    struct policy *policy;
};

struct script {
    struct source *source;
    struct arena arena;
    struct step *steps;
    size_t count;
    bool timing_sensitive;      /* arrival in other pieces may change what is said */
    struct settings settings;   /* complete */
    struct policy *policy;      /* the first one */
    struct policy *shadow;      /* the first one; NULL: none */
    struct policy **policies;   /* all, one reference each */
    size_t policy_count;
    struct addr_port backends[BACKENDS_MAX]; /* where each listens */
    unsigned backend_count;
    struct authority authority; /* of the backends' certificates */
    const struct credentials *backend_credentials[BACKENDS_MAX]; /* what each shows at first; NULL: the proxy never asks */
    struct contexts *contexts;  /* of TLS, for all its runs */
    struct map *judged;         /* records that were judged well in some run */
};

/* Takes the source. NULL when there are errors (in diags). */
struct script *script_parse(struct source *source, struct diags *diags);
void script_free(struct script **s);

/* --- parts that cases use too ----------------------------------------------------------------------------------------------- */
/* Loads a policy: a shipped one by name, a path, or the text of a block (body not NULL; body_line is its first line). */
struct policy *script_policy(const struct source *source, struct str name, const struct str *body, unsigned body_line,
                             const struct settings *settings, struct diags *diags);
/* "..." with \r \n \t \0 \xHH \" \\ ; *rest becomes what follows the closing quote. */
bool quoted_parse(struct str *rest, struct arena *arena, struct str *out);
/* `*` is any run of bytes, all else is itself. */
bool pattern_match(struct str pattern, struct str s);
/* Splits off the next word (space and tab divide). False when there is none. */
bool word_take(struct str *rest, struct str *word);

#endif
