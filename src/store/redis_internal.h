/*
 * redis_internal.h - the parts of the store in Redis: what is said (redis_command.c, redis_script.c), what is understood
 * (redis_reply.c), and the connection between (redis.c).
 *
 * Keys in Redis: the prefix, one letter for the table (a, b ... in the order of enum store_table), the key. Values are decimal
 * numbers with spaces between, so that people can read them: "first last expires passed refused"; a rate: "width newest expires
 * slot0 ... slot16".
 */
#ifndef STORE_REDIS_INTERNAL_H
#define STORE_REDIS_INTERNAL_H

#include <hiredis/read.h>

#include "operate.h"

extern const char redis_script[]; /* carries out one operation, see redis_script.c */

/* Appends a command as Redis wants it. */
void redis_format(struct buf *out, const struct str *words, size_t count);
/* The operation as EVALSHA sha (sha not NULL) or as EVAL of the whole script. */
void redis_format_operation(struct buf *out, const struct store_operation *op, struct str prefix, const char *sha);

/* --- replies ---------------------------------------------------------------------------------------------------------------- */

enum reply_type { REPLY_STATUS, REPLY_ERROR, REPLY_INTEGER, REPLY_TEXT, REPLY_NIL, REPLY_ARRAY };
struct reply {
    enum reply_type type;
    long long number;
    struct str text;       /* STATUS, ERROR, TEXT */
    struct reply **items;  /* ARRAY; none is NULL in a whole reply */
    size_t count;
};
void reply_free(struct reply *reply); /* NULL too */

/* Bytes to replies, with bounds on all that a server could make us hold. */
struct reply_reader {
    redisReader *reader;
    size_t objects, octets; /* of the reply that is being read */
};
enum { REPLY_OBJECTS_MAX = 4096, REPLY_OCTETS_MAX = 1 << 20 };
void reply_reader_open(struct reply_reader *r);
void reply_reader_close(struct reply_reader *r); /* also when it is not open */
/* False: this is no Redis protocol, or beyond the bounds; the connection is of no use any more. */
bool reply_reader_feed(struct reply_reader *r, const void *bytes, size_t n);
/* The next whole reply (to be freed), NULL: not yet. False as above. */
bool reply_reader_next(struct reply_reader *r, struct reply **reply);

/* What the reply to an operation means. False: it is not what our script answers. page: fresh, for paged operations. */
bool redis_understand(const struct store_operation *op, const struct reply *reply, struct store_result *result,
                      struct page *page);
const char *redis_error_text(struct str error); /* static text for "-ERR ..." */

#endif
