/* sqlite_file.h - for tests of the store in a file: the file, and single operations on its greylist. */
#ifndef TESTS_STORE_SQLITE_FILE_H
#define TESTS_STORE_SQLITE_FILE_H

#include "places.h"

static char path[128];

static inline void file_begin(void)
{
    loop = loop_new();
    directory_make();
    file_in("postern.db", path);
}

static inline void file_end(void)
{
    directory_remove();
    loop_free(&loop);
}

static inline struct store_operation operation(enum store_kind kind, enum store_mode mode, const char *key, uint64_t now)
{
    return (struct store_operation){
        .kind = kind, .mode = mode, .key = str_of(key), .now_ms = now, .ttl_ms = 1000000, .window_ms = 1600, .amount = 1};
}

static inline struct store_result touch(struct store *s, const char *key, uint64_t now)
{
    struct store_operation op = operation(STORE_GREYLIST, STORE_TOUCH, key, now);
    return ask_any(s, &op);
}

static inline struct store_result peek(struct store *s, const char *key, uint64_t now)
{
    struct store_operation op = operation(STORE_GREYLIST, STORE_PEEK, key, now);
    return ask_any(s, &op);
}

static inline void forget_files(void)
{
    static const char *const names[] = {"postern.db", "postern.db-wal", "postern.db-shm"};
    char name[128];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unlink(file_in(names[i], name));
}

#endif
