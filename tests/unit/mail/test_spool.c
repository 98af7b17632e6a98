/*
 * The spool: memory, file, both; what is put comes back at every offset; failures of open, write and read.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "postern/mail/spool.h"

static void put_numbered(struct spool *s, struct buf *expected, size_t total, size_t piece)
{
    for (size_t at = 0; at < total; at += piece) {
        char bytes[64];
        size_t n = total - at < piece ? total - at : piece;
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)((at + i) * 7 + (at + i) / 251);
        cr_assert(spool_put(s, (struct str){bytes, n}));
        buf_put(expected, bytes, n);
        cr_assert_eq(s->size, at + n);
    }
}

static void read_all(struct spool *s, struct buf *expected, size_t max)
{
    struct buf scratch = {0};
    uint64_t at = 0;

    for (;;) {
        struct str got = spool_read(s, at, max, &scratch);
        cr_assert_not_null(got.p);
        if (got.n == 0)
            break;
        cr_assert(got.n <= max);
        cr_assert(str_eq(got, str_sub(buf_view(expected), (size_t)at, (size_t)at + got.n)));
        at += got.n;
    }
    cr_assert_eq(at, expected->n);
    buf_free(&scratch);
}

Test(spool, what_is_put_comes_back)
{
    static const size_t memory[] = {0, 1, 10, 100, 1000};

    for (size_t m = 0; m < 5; m++)
        for (size_t total = 0; total < 250; total += 31)
            for (size_t piece = 1; piece <= 64; piece += 9) {
                struct spool s = {.memory_max = memory[m], .directory = "/tmp"};
                struct buf expected = {0};
                put_numbered(&s, &expected, total, piece);
                cr_assert_eq(s.fd_plus_1 != 0, total > memory[m]);
                for (size_t max = 1; max < 300; max += 37)
                    read_all(&s, &expected, max);
                spool_clear(&s);
                cr_assert(s.size == 0 && s.fd_plus_1 == 0 && s.memory.p == NULL && s.memory_max == memory[m]);
                put_numbered(&s, &(struct buf){0}, 0, 1); /* and it is ready for the next message */
                buf_clear(&expected);
                put_numbered(&s, &expected, total, piece);
                read_all(&s, &expected, 16);
                spool_clear(&s);
                buf_free(&expected);
            }
}

Test(spool, empty_holds_nothing)
{
    struct spool s = {.memory_max = 65536, .directory = "/tmp"};
    struct buf scratch = {0};

    cr_assert(spool_put(&s, STR("")));
    cr_assert_null(s.memory.p);
    struct str got = spool_read(&s, 0, 100, &scratch);
    cr_assert(got.p && got.n == 0);
    spool_clear(&s);
}

Test(spool, leaves_no_name_behind)
{
    char directory[] = "/tmp/spool-test-XXXXXX";
    cr_assert_not_null(mkdtemp(directory));
    struct spool s = {.memory_max = 4, .directory = directory};

    cr_assert(spool_put(&s, STR("longer than four")));
    DIR *d = opendir(directory);
    int names = 0;
    while (readdir(d))
        names++;
    closedir(d);
    cr_assert_eq(names, 2, ". and .. only");
    spool_clear(&s);
    cr_assert_eq(rmdir(directory), 0);
}

Test(spool, no_directory)
{
    struct spool s = {.memory_max = 4, .directory = "/nonexistent/spool"};

    cr_assert(spool_put(&s, STR("four")));
    cr_assert(!spool_put(&s, STR("five")));
    cr_assert_eq(s.error, ENOENT);
    cr_assert_eq(s.size, 4);
    cr_assert(!spool_put(&s, STR("six")));
    spool_clear(&s);
    cr_assert_eq(s.error, 0);
}

/* --- failing system calls --- */

static long allowed; /* octets that may still be written */
static int calls;

static long full_disk(int fd, const void *bytes, size_t n, uint64_t at)
{
    calls++;
    if (calls % 3 == 0) {
        errno = EINTR;
        return -1;
    }
    if (allowed <= 0) {
        errno = ENOSPC;
        return -1;
    }
    if ((long)n > allowed)
        n = (size_t)allowed;
    if (n > 3)
        n = 3; /* short writes */
    allowed -= (long)n;
    return pwrite(fd, bytes, n, (off_t)at);
}

static long short_read(int fd, void *bytes, size_t n, uint64_t at)
{
    if (++calls % 2) {
        errno = EINTR;
        return -1;
    }
    return pread(fd, bytes, n > 2 ? 2 : n, (off_t)at);
}

static long broken_read(int fd, void *bytes, size_t n, uint64_t at)
{
    (void)fd, (void)bytes, (void)n, (void)at;
    errno = EIO;
    return -1;
}

static long cut_read(int fd, void *bytes, size_t n, uint64_t at)
{
    return at > 3 ? 0 : pread(fd, bytes, n > 2 ? 2 : n, (off_t)at);
}

static int no_descriptor(const char *directory)
{
    (void)directory;
    errno = EMFILE;
    return -1;
}

static void real(void)
{
    spool_ops = (struct spool_ops){0};
}

Test(spool, full_disk_at_every_octet, .fini = real)
{
    for (long room = 0; room <= 40; room++) {
        struct spool s = {.memory_max = 5, .directory = "/tmp"};
        struct buf expected = {0};
        spool_ops = (struct spool_ops){.write = full_disk};
        allowed = room;
        bool good = true;
        for (int i = 0; i < 9; i++) {
            good = spool_put(&s, STR("abcde"));
            buf_cstr(&expected, "abcde");
        }
        cr_assert_eq(good, room >= 40);
        cr_assert_eq(s.error, good ? 0 : ENOSPC);
        cr_assert_eq(s.size, (uint64_t)(5 + room), "what was written before it failed is counted, the rest is not");
        spool_ops = (struct spool_ops){.read = short_read};
        if (good)
            read_all(&s, &expected, 7);
        spool_clear(&s);
        buf_free(&expected);
        real();
    }
}

Test(spool, no_descriptor_left, .fini = real)
{
    struct spool s = {.memory_max = 0, .directory = "/tmp"};

    spool_ops.open = no_descriptor;
    cr_assert(!spool_put(&s, STR("x")));
    cr_assert_eq(s.error, EMFILE);
    spool_clear(&s);
}

Test(spool, broken_reads, .fini = real)
{
    struct spool s = {.memory_max = 2, .directory = "/tmp"};
    struct buf scratch = {0};

    cr_assert(spool_put(&s, STR("abcdefghij")));
    spool_ops.read = broken_read;
    cr_assert_null(spool_read(&s, 2, 10, &scratch).p);
    cr_assert_eq(s.error, EIO);
    s.error = 0;
    spool_ops.read = cut_read;
    cr_assert_null(spool_read(&s, 2, 10, &scratch).p);
    cr_assert_eq(s.error, EIO);
    spool_clear(&s);
    buf_free(&scratch);
}
