/*
 * reply.h - a reply is a value: code, enhanced status code, lines of text (RFC 5321 4.2, RFC 2034).
 *
 * One formatter for every reply that leaves Postern (to clients), whoever made it: it enforces that the class of the enhanced code is the
 * code's first digit, that text is printable ASCII (other bytes become '?'), that each line fits 512 bytes with CRLF (longer text is cut),
 * that all lines carry the same code. Replies of a backend are parsed by reply_parser and cross as values too.
 */
#ifndef POSTERN_SMTP_REPLY_H
#define POSTERN_SMTP_REPLY_H

#include "postern/base/arena.h"

enum reply_id {
#define REPLY(id, code, enhanced, text) REPLY_##id,
#include "postern/smtp/replies.def"
#undef REPLY
    REPLY_COUNT
};

struct enhanced { /* RFC 3463: class.subject.detail; class 0 means there is none */
    uint8_t class;
    uint16_t subject, detail; /* 0..999 */
};

struct reply {
    uint16_t code;            /* 200..599; 0: no reply */
    struct enhanced enhanced;
    struct str text;          /* lines separated by \n, none at the end; without codes; in the arena given */
};

/* The table's reply, %s replaced by `value` (STR_NONE where the text has none). Text lives in the arena. */
struct reply reply_make(struct arena *arena, enum reply_id id, struct str value);
/* A reply of free parts; enhanced is text "5.7.1" or empty. Programmer error (assert) when classes disagree. */
struct reply reply_of(struct arena *arena, unsigned code, const char *enhanced, struct str text);
bool enhanced_parse(struct str s, struct enhanced *out); /* whole slice */
const char *enhanced_format(struct enhanced e, char out[16]);
const char *reply_name(enum reply_id id);
extern uint64_t reply_uses[REPLY_COUNT]; /* how often each was made: whoever tests asks what was never said */

/* Appends the reply in wire form. with_enhanced is false before EHLO/HELO's own reply and for the greeting (RFC 2034 4); codes 2xx 4xx 5xx
 * without an enhanced code then get x.0.0. suffix (may be empty) is put at the end of the last line, in brackets, when it is a refusal: the id. */
void reply_format(struct buf *out, const struct reply *r, bool with_enhanced, struct str suffix);
/* "550 5.7.1 text", lines joined by '; ' - for logs and the journal. */
struct str reply_text(struct arena *arena, const struct reply *r);
static inline bool reply_is(const struct reply *r, int first_digit) { return r->code / 100 == first_digit; }
/* Does this answer to RCPT say that there is no such mailbox? By its enhanced code; without one, 550. */
bool reply_says_unknown(const struct reply *r);

/* --- replies of a backend ------------------------------------------------------------------------------------------------- */

enum reply_parse { REPLY_PARSE_DONE, REPLY_PARSE_NOT_YET, REPLY_PARSE_FAILED };
enum { REPLY_LINES_MAX = 128, REPLY_BYTES_MAX = 16384 }; /* more is FAILED */

struct reply_parser { /* {0} is ready; holds what has come of a reply that is not complete */
    struct buf partial;
    unsigned lines;
    unsigned code;
    const char *error; /* static text, with FAILED */
};

/*
 * Eats bytes of *in up to the end of one reply. DONE: *out is set (text in the arena, enhanced code split off and judged: missing, of
 * another class, or unreadable gives class 0). Lines end with CRLF or LF. FAILED: mixed codes, no code, NUL, too long: the connection
 * cannot be trusted any more. Multi-line replies, "250" and "250 " without text, and "5.7.2" with nothing behind are all understood.
 */
enum reply_parse reply_parse(struct reply_parser *p, struct str *in, struct arena *arena, struct reply *out);
void reply_parser_clear(struct reply_parser *p);

#endif
