/*
 * command.h - command lines of a client (RFC 5321 4.1): verb, argument, path, parameters. Knows no session and no state.
 */
#ifndef POSTERN_SMTP_COMMAND_H
#define POSTERN_SMTP_COMMAND_H

#include "postern/base/addr.h"
#include "postern/smtp/reply.h"

enum verb {
#define VERB(id, name, argument, group_end, served, help) VERB_##id,
#include "postern/smtp/verbs.def"
#undef VERB
    VERB_COUNT,
    VERB_UNKNOWN = VERB_COUNT
};

extern const char *const verb_names[VERB_COUNT];
extern const char *const verb_help[VERB_COUNT];
extern uint64_t verb_uses[VERB_COUNT]; /* how often each was parsed, well or ill */
bool verb_ends_group(enum verb v); /* RFC 2920 3.1; unknown verbs do not */
bool verb_served(enum verb v);

/* A reverse- or forward-path (RFC 5321 4.1.2). Slices point into the command line. */
struct path {
    struct str whole;      /* between < and >, without a source route: what goes on to the backend */
    struct str local;      /* as written, quotes and escapes kept */
    struct str local_plain;/* unquoted and unescaped, for comparing (in the arena when it was quoted) */
    struct str domain;     /* as written; empty for <> and <postmaster> */
    bool null;             /* <> */
    bool quoted;           /* local part is a Quoted-string */
    bool literal;          /* domain is an address literal */
    struct addr literal_addr; /* family 0 for a general address literal */
    bool source_route;     /* there was an A-d-l ("@a,@b:"), dropped from `whole` */
    bool utf8;             /* a byte over 127 in it (needs SMTPUTF8) */
};

struct parameter { /* esmtp-param (RFC 5321 4.1.2) */
    struct str keyword; /* as written */
    struct str value;   /* as written; p NULL when there is no '=' */
};
enum { PARAMETERS_MAX = 16 };

struct command {
    enum verb verb;
    struct str verb_text;  /* as written */
    struct str argument;   /* trimmed */
    struct path path;      /* MAIL, RCPT */
    struct parameter parameters[PARAMETERS_MAX];
    size_t parameter_count;
};

/*
 * Parses one line (without its line end). True: *out is good (slices into line and arena). False: *error is the reply to give
 * (500, 501, 502, 553 ...), *out->verb is still set when the verb was recognised. Lenient where the field is: any case, trailing
 * white space, space after the colon of FROM:/TO:, missing < > around a well-formed address are accepted for paths.
 * Strict where attacks live: control bytes and bytes over 127 outside paths are refused.
 */
bool command_parse(struct str line, struct arena *arena, struct command *out, struct reply *error);

/* Parts that others need too. */
/* "<a@b>" or "a@b"; whole slice. Local parts up to 255 octets (VERP needs more than the 64 of RFC 5321 4.5.3.1.1). */
bool path_parse(struct str text, bool allow_null, bool allow_bare_postmaster, struct arena *arena, struct path *out);
bool domain_valid(struct str s);      /* RFC 5321 Domain: LDH labels of 1..63 (underscore tolerated), 255 in all, no trailing dot, not all digits and dots */
bool domain_valid_utf8(struct str s); /* the same with U-labels (any valid UTF-8 above 127) */
/* The argument of HELO/EHLO: a domain, an address literal, or something else that is safe to repeat. */
enum helo_form { HELO_NAME, HELO_LITERAL, HELO_BARE, HELO_INVALID }; /* bare: a single label, or an IP address without brackets */
/* *literal: the address of a literal, and of an IP address without brackets; else family 0. */
enum helo_form helo_classify(struct str argument, struct addr *literal);
bool helo_acceptable(struct str argument); /* printable without spaces and <= 255 bytes; else 501 */
bool address_literal_parse(struct str s, struct addr *out); /* "[192.0.2.1]", "[IPv6:2001:db8::1]" */

#endif
