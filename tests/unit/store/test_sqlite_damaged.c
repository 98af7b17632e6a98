/*
 * The store in a file that is none, is cut anywhere or has bits turned: there are answers, errors perhaps, and a good file in its place is found.
 */
#include "sqlite_file.h"

#include <sys/stat.h>

static void write_file(const char *to, const void *bytes, size_t n)
{
    int fd = open(to, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
    close(fd);
}

static char *read_file(const char *from, size_t *n)
{
    struct stat st;
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    cr_assert(fd >= 0 && fstat(fd, &st) == 0);
    char *bytes = xmalloc((size_t)st.st_size + 1);
    *n = (size_t)st.st_size;
    cr_assert_eq(read(fd, bytes, *n), st.st_size);
    close(fd);
    return bytes;
}

/* Opens what is there, does a bit of everything, and is content with any answers as long as there are some. */
static int use_damaged(void)
{
    int errors = 0;
    struct store *s = store_sqlite(loop, path);
    char key[32];
    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "key %d", i * 13);
        errors += touch(s, key, 200).error != NULL;
    }
    static const enum store_kind kinds[] = {STORE_PASSED, STORE_RATE,  STORE_HISTORY,   STORE_MARK,
                                            STORE_LIST,   STORE_STATS, STORE_FORGET_ALL};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct store_operation op = operation(kinds[i], STORE_TOUCH, "key", 200);
        op.limit = STORE_PAGE_MAX;
        errors += ask_any(s, &op).error != NULL;
    }
    store_free(&s);
    return errors;
}

static char *sound_file(size_t *n)
{
    char key[32];
    struct store *s = store_sqlite(loop, path);
    for (int i = 0; i < 600; i++) {
        snprintf(key, sizeof key, "key %d", i);
        struct store_operation op = operation(i % 5 ? STORE_GREYLIST : i % 2 ? STORE_RATE : STORE_HISTORY, STORE_TOUCH, key, 100);
        store_record(s, &op);
    }
    store_free(&s); /* the last connection puts the log into the file */
    char *bytes = read_file(path, n);
    forget_files();
    return bytes;
}

Test(sqlite_damaged, cut_at_any_length, .init = file_begin, .fini = file_end, .timeout = 240)
{
    size_t n;
    char *sound = sound_file(&n);
    cr_assert_gt(n, 20000);
    write_file(path, sound, n);
    cr_assert_eq(use_damaged(), 0, "the whole file is good");
    for (size_t length = 0; length < n; length += length < 128 ? 17 : length < 4300 ? 457 : 2999) {
        forget_files();
        write_file(path, sound, length);
        use_damaged();
    }
    free(sound);
}

Test(sqlite_damaged, bits_flipped_anywhere, .init = file_begin, .fini = file_end, .timeout = 240)
{
    size_t n;
    char *sound = sound_file(&n);
    uint64_t seed = 7;
    for (int round = 0; round < 60; round++) {
        char *bytes = xstrndup(sound, n);
        for (int i = 0; i < 1 + round % 20; i++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            size_t at = (size_t)(seed >> 33) % (round % 3 ? n : 200); /* every third: the header and the schema */
            bytes[at] ^= (char)(1 << (seed >> 20) % 8);
        }
        forget_files();
        write_file(path, bytes, n);
        use_damaged();
        free(bytes);
    }
    free(sound);
}

Test(sqlite_damaged, a_damaged_log_is_no_harm, .init = file_begin, .fini = file_end)
{
    char wal[128];
    uint64_t seed = 9;
    for (int round = 0; round < 20; round++) {
        char junk[9000];
        for (size_t i = 0; i < sizeof junk; i++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            junk[i] = (char)(seed >> 40);
        }
        write_file(file_in("postern.db-wal", wal), junk, sizeof junk - (size_t)round * 400);
        cr_assert_eq(use_damaged(), 0, "what has no valid checksum is not looked at");
    }
}

Test(sqlite_damaged, a_file_that_is_none_is_an_error_until_it_is_taken_away, .init = file_begin, .fini = file_end)
{
    char junk[4096];
    memset(junk, 'x', sizeof junk);
    write_file(path, junk, sizeof junk);
    struct store *s = store_sqlite(loop, path);
    cr_assert_str_eq(touch(s, "k", 1).error, "file is not a database");
    cr_assert_str_eq(peek(s, "k", 1).error, "file is not a database");
    forget_files();
    struct store_result r = {.error = "none yet"};
    for (int i = 0; i < 30 && r.error; i++) {
        turn_for(100);
        r = touch(s, "k", 1);
    }
    cr_assert_null(r.error, "it does not come back: %s", r.error);
    cr_assert(peek(s, "k", 2).found);
    store_free(&s);
}

Test(sqlite_damaged, a_directory_that_is_not_there, .init = file_begin, .fini = file_end)
{
    char nowhere[160];
    snprintf(nowhere, sizeof nowhere, "%s/no/such/postern.db", directory);
    struct store *s = store_sqlite(loop, nowhere);
    cr_assert_str_eq(touch(s, "k", 1).error, "unable to open database file");
    store_free(&s);
}
