/*
 * facts.h - the meeting point: checks write facts, the policy reads them (DESIGN: "they never meet").
 *
 * A schema names the facts: those of facts.def (ids 0 .. FACT_COUNT-1) and those that a policy declared (dnsbl.NAME, marked.NAME ...; ids from
 * FACT_COUNT). A `struct facts` is the values of one scope (one stage's); scopes form a chain recipient|content -> message -> helo -> connection
 * by `parent`, and a look-up goes to the scope of the fact's stage. Facts are write-once in their scope.
 *
 * A fact is unknown (nothing yet), absent (known not to exist), known, or error (no answer could be had). "temperror" is a value, not an error.
 * Values are copied into the scope's arena; reading gives pointers that live as long as the scope.
 */
#ifndef POSTERN_FACTS_FACTS_H
#define POSTERN_FACTS_FACTS_H

#include "postern/base/addr.h"
#include "postern/base/arena.h"
#include "postern/base/json.h"

enum fact_id {
#define FACT(id, name, type, stage, flags, deadline, maker, values, help) FACT_##id,
#include "postern/facts/facts.def"
#undef FACT
    FACT_COUNT
};

enum stage {
    STAGE_CONNECT,
    STAGE_HELO,
    STAGE_MAIL,
    STAGE_RCPT,
    STAGE_DATA,
    STAGE_COUNT,
    STAGE_EACH = STAGE_COUNT /* of a check: the stage that is being decided (checks.def) */
};
extern const char *const stage_names[STAGE_COUNT]; /* "connect" ... */
bool stage_parse(struct str s, enum stage *out);

enum fact_type { FACT_BOOL, FACT_INT, FACT_SIZE, FACT_DURATION, FACT_WORD, FACT_TEXT, FACT_ADDR, FACT_ADDRS, FACT_NAMES };
extern const char *const fact_type_names[]; /* as people read them: "yes or no", "number" ... */
/*
 * SNAPSHOT: changes by nature; each evaluation has its own, in the evaluated scope.
 * ALSO_DATA: a fact of stage rcpt that stage data may read too, as a value of its own in the content scope (greylist.*: there it speaks for all
 * recipients of the message together). From a content scope it is written into and read from that scope, never from a recipient's.
 * KEY: rates may be counted by it: TEXT, ADDR or NAMES (then by each of them).
 * SIGNED: an INT that may be below zero; all others are counts.
 */
enum { FACT_SNAPSHOT = 1, FACT_ALSO_DATA = 2, FACT_KEY = 4, FACT_OF_POLICY = 8, FACT_SIGNED = 16 };

enum fact_state { FACT_UNKNOWN, FACT_ABSENT, FACT_KNOWN, FACT_ERROR };

struct value {
    uint8_t state; /* enum fact_state */
    uint8_t type;  /* enum fact_type */
    uint32_t at_ms; /* when it came, milliseconds after the connection's start */
    union {
        int64_t number;     /* BOOL (0, 1), INT, SIZE (bytes), DURATION (ms) */
        struct str text;    /* WORD, TEXT; ERROR: why, in words */
        struct addr addr;   /* ADDR */
        struct { const struct addr *list; size_t count; } addrs; /* ADDRS, sorted, no duplicates */
        struct { const struct str *list; size_t count; } names;  /* NAMES, sorted, no duplicates */
    } v;
};

/* What is known of a fact before it has a value. */
struct fact_info {
    struct str name;
    enum fact_type type;
    enum stage stage;
    unsigned flags;        /* FACT_SNAPSHOT, FACT_ALSO_DATA, FACT_KEY, FACT_OF_POLICY, FACT_SIGNED */
    struct str deadline;   /* empty: error; else the word it becomes */
    struct str maker;      /* name of the check */
    struct str values;     /* WORD: its words, separated by spaces */
    struct str help;
    struct str definition; /* declared facts: what it was declared as ("dnsbl zen.spamhaus.org"); its identity together with the name */
};

/* --- schema: shared by a policy and all that it judges; immutable once built; reference counted --- */
struct schema;
struct schema *schema_new(void);                                       /* the built-in facts, one reference */
int schema_declare(struct schema *s, const struct fact_info *info);    /* id, or -1 when the name exists; strings are copied */
struct schema *schema_ref(struct schema *s);
void schema_unref(struct schema **s);
size_t schema_count(const struct schema *s);
const struct fact_info *schema_fact(const struct schema *s, int id);   /* never NULL for 0 <= id < count */
int schema_find(const struct schema *s, struct str name);              /* -1: no such fact */
struct str schema_suggest(const struct schema *s, struct str name);    /* "did you mean", or STR_NONE */
/* May a rule of this stage read it? Not before its stage; a fact of stage rcpt not in stage data, unless it is ALSO_DATA. */
bool fact_readable(const struct fact_info *info, enum stage stage);
bool fact_has_word(const struct fact_info *info, struct str word);     /* WORD: is it one of its values (exactly)? */

/* --- a set of fact ids --- */
struct fact_bits { uint64_t word[8]; }; /* ids up to 511; schema_declare refuses more */
static inline void fact_bit_set(struct fact_bits *b, int id) { b->word[id / 64] |= (uint64_t)1 << (id % 64); }
static inline bool fact_bit(const struct fact_bits *b, int id) { return b->word[id / 64] >> (id % 64) & 1; }

/* --- values of one scope --- */
struct facts {
    const struct schema *schema; /* borrowed: whoever holds the scope holds the schema */
    struct facts *parent;        /* the wider scope; NULL for connection */
    const struct facts *beside;  /* of a shadow policy's scope: the applied policy's of the same stage, outlives this; else NULL */
    struct arena *arena;         /* where values are copied to; lives as long as this */
    const uint64_t *now_ms;      /* monotonic now, for at_ms; may be NULL */
    uint64_t start_ms;           /* of the connection */
    struct fact_slot *slots;     /* sparse: few facts live in a scope */
    uint16_t count, cap;
    enum stage stage;
};

void facts_init(struct facts *f, const struct schema *schema, enum stage stage, struct facts *parent, struct arena *arena,
                const uint64_t *now_ms, uint64_t start_ms);
void facts_clear(struct facts *f); /* frees slots (values live in the arena) */

/*
 * The value that evaluation in f's scope sees: snapshots from f itself, others from the scope of the fact's stage; what those beside have
 * of the same fact, when f's own chain has nothing.
 * Never NULL: an unknown fact gives a value with state FACT_UNKNOWN. A fact whose stage comes after f's is unknown.
 */
const struct value *facts_get(const struct facts *f, int id);
/* The same fact by the schema of those beside: built-in, save OF_POLICY; declared with the same name and definition. -1: there is none. */
int facts_beside(const struct facts *f, int id);

/* Writers: into the scope of the fact's stage (snapshots: into f). Writing a second time is a programmer error (assert), except that a
 * value given by facts_set_value() stays: later writes to it are ignored (--assume against the check that makes the fact). Types are
 * asserted. Text: bytes that are not UTF-8 become U+FFFD here, so that a record in JSON gives back exactly what the policy saw. */
void facts_set_bool(struct facts *f, int id, bool v);
void facts_set_number(struct facts *f, int id, int64_t v); /* INT, SIZE, DURATION */
void facts_set_text(struct facts *f, int id, struct str v); /* TEXT, WORD (asserted to be one of its words) */
void facts_set_addr(struct facts *f, int id, const struct addr *v);
void facts_set_addrs(struct facts *f, int id, const struct addr *list, size_t count); /* sorts, drops duplicates */
void facts_set_names(struct facts *f, int id, const struct str *list, size_t count);
void facts_set_absent(struct facts *f, int id);
void facts_set_error(struct facts *f, int id, struct str why);
void facts_set_deadline(struct facts *f, int id); /* error "no answer in time", or its deadline word; nothing when it is already set */
void facts_set_value(struct facts *f, int id, const struct value *v); /* copies; replay, --assume */
bool facts_has(const struct facts *f, int id); /* not FACT_UNKNOWN */
bool facts_given(const struct facts *f, int id); /* by facts_set_value(): not what its check found */
/* Iterates the facts written in f itself, in the order they came. */
bool facts_next(const struct facts *f, size_t *cursor, int *id, const struct value **v);

/* --- text and records --- */
/* "pass", "yes", "12", "5m", "127.0.0.2, 127.0.0.4", "(absent)", "(error: ...)", "(unknown)". No escaping. */
void value_format(struct buf *out, const struct value *v);
/* JSON: "pass" | "yes"/"no" | 12 | ["127.0.0.2"] ; absent: null; error: {"error": "why"}; unknown: {"unknown": true}. DURATION in
 * milliseconds, SIZE in octets. */
void value_json(struct json *j, const struct value *v);
/* From what a person types (--assume, cases): "yes", "pass", "5m", "64K", "127.0.0.2,127.0.0.4" or "{a, b}", "absent", "error", "error: why".
 * False with *error (in the arena) that says what was expected. */
bool value_parse(const struct fact_info *info, struct str text, struct arena *arena, struct value *out, struct str *error);
/* The same for fact `id` of a schema, whose dnsbl.listed and dnswl.listed hold names of its own lists alone. */
bool schema_value_parse(const struct schema *s, int id, struct str text, struct arena *arena, struct value *out, struct str *error);
/* From a record's JSON, `first` being the event already read. */
bool value_read_json(const struct fact_info *info, struct json_reader *r, struct json_event first, struct arena *arena, struct value *out);
bool value_eq(const struct value *a, const struct value *b); /* state and contents, not at_ms */
/* The built-in facts as tables in Markdown, one a stage: the part of policy/README.md between its markers. */
void facts_markdown(struct buf *out);

#endif
