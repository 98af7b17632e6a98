/*
 * map.h - a hash map from byte strings to pointers (SipHash with a seed per process, so that foreign keys cannot choose collisions).
 *
 * The map copies keys; values are the caller's. Order of iteration is the order of insertion (deterministic for tests and records).
 */
#ifndef POSTERN_BASE_MAP_H
#define POSTERN_BASE_MAP_H

#include "postern/base/str.h"

struct map;

struct map *map_new(void);
void map_free(struct map **m, void (*free_value)(void *value)); /* free_value may be NULL */
void *map_get(const struct map *m, struct str key);              /* NULL: not there */
void *map_put(struct map *m, struct str key, void *value);       /* returns the value it replaced, or NULL; value is not NULL */
void *map_remove(struct map *m, struct str key);                 /* returns what was there */
size_t map_count(const struct map *m);
/* Iterates in insertion order: start with *cursor = 0; false at the end. Removing the current key while iterating is allowed. */
bool map_next(const struct map *m, size_t *cursor, struct str *key, void **value);

/* SipHash-2-4 of some bytes under the process's seed (from random.h, fixed in simulation). */
uint64_t hash_bytes(const void *bytes, size_t n);

#endif
