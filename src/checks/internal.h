/*
 * internal.h - what the checks share among themselves.
 */
#ifndef POSTERN_CHECKS_INTERNAL_H
#define POSTERN_CHECKS_INTERNAL_H

#include "postern/checks/check.h"

/* The deadline has come: this is the last time that the check is run; it may conclude from what it has. */
bool check_is_late(const struct scope *s, const struct check_run *run);
/* Counts the run's deadline from now on; not before the content has ended in its stage. */
void check_set_deadline(struct scope *s, struct check_run *run);
const struct addr *scope_client(struct scope *s);
/* "DNS timeout (MX)": why an answer that failed is an error. In s's arena. */
struct str dns_error_text(struct scope *s, const struct dns_answer *a, unsigned type);
bool answer_has_addr(const struct dns_answer *a, const struct addr *wanted);

struct str key_bounded(struct arena *arena, struct buf *key); /* as a store key: lower case, hashed at the end when too long; frees the buf */

/* What one list says of the client, as dnsbl.NAME will have it. LIST_NOT_YET: asked. */
enum list_state { LIST_KNOWN, LIST_ERROR, LIST_NOT_YET };
enum { LIST_CODES_MAX = 64 };
struct list_says {
    struct addr codes[LIST_CODES_MAX];
    size_t count;
    const char *why; /* LIST_ERROR: static text */
    bool error_code; /* LIST_ERROR: it answered, with a code that is an error */
};
enum list_state list_ask(struct scope *s, const struct declaration *list, struct list_says *out);

#endif
