/*
 * arena.h - memory that dies together.
 *
 * One arena for each scope (connection, message, recipient ...). Allocation never fails (it aborts) and nothing is freed singly.
 * {0} is an empty arena that holds no memory; the first block is small, so that an idle session costs little.
 */
#ifndef POSTERN_BASE_ARENA_H
#define POSTERN_BASE_ARENA_H

#include "postern/base/str.h"

struct arena_block;
struct arena {
    struct arena_block *blocks; /* newest first */
    char *next;                 /* free bytes of the newest block */
    size_t left;
    size_t used;                /* bytes handed out, for limits and tests */
};

/*
 * {0} is made to hand out the n bytes at `memory` first (of the heap, aligned for any type). They are not the arena's to free, and nothing of it may be used
 * once they are gone: for whoever has the arena as a member and allocates a little more behind itself, so that both cost one allocation.
 */
void arena_lend(struct arena *a, void *memory, size_t n);
void *arena_alloc(struct arena *a, size_t n);  /* aligned for any type, not cleared */
void *arena_zalloc(struct arena *a, size_t n); /* the same, cleared */
struct str arena_str(struct arena *a, struct str s); /* a copy; also NUL-terminated behind its end */
char *arena_cstr(struct arena *a, struct str s);     /* a NUL-terminated copy */
struct str arena_lower(struct arena *a, struct str s); /* a copy in ASCII lower case, NUL behind its end */
struct str arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
void arena_clear(struct arena *a); /* everything given back; a is {0} again */

#endif
