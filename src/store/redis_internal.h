/*
 * redis_internal.h - the parts of the store in Redis: where the server is (redis_server.c), what is said (redis_command.c,
 * redis_script.c), what is understood (redis_reply.c), and the connection between (redis.c).
 *
 * Keys in Redis: the prefix, one letter for the table (a, b ... in the order of enum store_table; g alone is the mark that there are rulings),
 * the key. Values are decimal
 * numbers with spaces between, so that people can read them: "first last expires passed refused"; a rate: "width newest expires
 * slot0 ... slot16".
 */
#ifndef STORE_REDIS_INTERNAL_H
#define STORE_REDIS_INTERNAL_H

#include <hiredis/read.h>

#include "operate.h"
#include "postern/dns/resolver.h"
#include "postern/net/tls.h"
#include "postern/store/open.h"

/* --- the server -------------------------------------------------------------------------------------------------------------- */

enum { REDIS_ADDRESSES_MAX = 8 };
struct redis_server { /* texts in an arena of its owner */
    struct loop *loop;
    struct network *network;
    struct resolver *resolver;
    struct str socket_path;     /* empty: over TCP */
    struct str host;            /* a name; empty: there is one address, which was written */
    struct addr_port addresses[REDIS_ADDRESSES_MAX];
    size_t count, at;           /* the one to be tried is addresses[at] */
    struct dns_view *view;      /* the name is being looked up */
    struct tls_context *tls;    /* NULL: in the clear */
    struct str tls_name;        /* what the certificate must name */
};
/* Takes what the settings say of the server; network, resolver and loop are set. False with *error (heap text): it cannot be. */
bool redis_server_set_up(struct redis_server *s, const struct redis_settings *settings, struct arena *arena, char **error);
/* Reads the files for TLS anew. False with *error: those read before are used on. */
bool redis_server_renew(struct redis_server *s, const struct redis_settings *settings, char **error);
/* A stream to it, maybe dead from the start; over TLS it is CONNECTING until that is agreed on. NULL: the name is being looked up,
 * the owner will be woken and comes again. */
struct stream *redis_server_connect(struct redis_server *s, struct task *owner);
/* The address was no good: goes to the next. False: all were tried, the next is the first again. */
bool redis_server_next(struct redis_server *s);
void redis_server_forget(struct redis_server *s); /* nobody waits for the name any more */
void redis_server_clear(struct redis_server *s);

/* --- commands ---------------------------------------------------------------------------------------------------------------- */

extern const char redis_script[]; /* carries out one operation, see redis_script.c */

/* Appends a command as Redis wants it. */
void redis_format(struct buf *out, const struct str *words, size_t count);
/* The operation as EVALSHA sha (sha not NULL) or as EVAL of the whole script. rulings: a greylist check names the keys under which there may be
 * a ruling; without, it is answered RULINGS where there are any. */
void redis_format_operation(struct buf *out, const struct store_operation *op, struct str prefix, bool rulings, const char *sha);

/* --- replies ---------------------------------------------------------------------------------------------------------------- */

enum redis_said_type { SAID_STATUS, SAID_ERROR, SAID_INTEGER, SAID_TEXT, SAID_NIL, SAID_ARRAY };
struct redis_said {
    enum redis_said_type type;
    long long number;
    struct str text;       /* STATUS, ERROR, TEXT */
    struct redis_said **items;  /* ARRAY; none is NULL in a whole reply */
    size_t count;
};
void redis_said_free(struct redis_said *reply); /* NULL too */

/* Bytes to replies, with bounds on all that a server could make us hold. */
struct redis_bytes {
    redisReader *reader;
    size_t objects, octets; /* of the reply that is being read */
};
enum { SAID_OBJECTS_MAX = 4096, SAID_OCTETS_MAX = 1 << 20 };
void redis_bytes_open(struct redis_bytes *r);
void redis_bytes_close(struct redis_bytes *r); /* also when it is not open */
/* False: this is no Redis protocol, or beyond the bounds; the connection is of no use any more. */
bool redis_bytes_feed(struct redis_bytes *r, const void *bytes, size_t n);
/* The next whole reply (to be freed), NULL: not yet. False as above. */
bool redis_bytes_next(struct redis_bytes *r, struct redis_said **reply);

/* What the reply to an operation means. False: it is not what our script answers. page: fresh, for paged operations. */
bool redis_understand(const struct store_operation *op, const struct redis_said *reply, struct store_result *result,
                      struct page *page);
const char *redis_error_text(struct str error); /* static text for "-ERR ..." */

#endif
