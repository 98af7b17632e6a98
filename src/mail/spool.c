/*
 * spool.c - one message's content until the verdict: the first octets in memory, all that follow in a file that has no name, so that nothing
 * is left behind however the process ends. The file is opened when the memory is full, and not before.
 *
 * The first failure is remembered; what is put after it is dropped, and the message is answered 452 by whoever owns the spool.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postern/mail/spool.h"

struct spool_ops spool_ops;

static int open_named(const char *directory)
{
    struct buf path = {0};

    buf_printf(&path, "%s/postern-XXXXXX", directory);
    char *template = buf_steal(&path);
    int fd = mkostemp(template, O_CLOEXEC);
    if (fd >= 0)
        unlink(template);
    int error = errno;
    free(template);
    errno = error;
    return fd;
}

static int open_real(const char *directory)
{
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) /* a file system, or a kernel, without O_TMPFILE */
        fd = open_named(directory);
    return fd;
}

static int file_open(const char *directory)
{
    return spool_ops.open ? spool_ops.open(directory) : open_real(directory);
}

static long file_write(int fd, const void *bytes, size_t n, uint64_t at)
{
    return spool_ops.write ? spool_ops.write(fd, bytes, n, at) : pwrite(fd, bytes, n, (off_t)at);
}

static long file_read(int fd, void *bytes, size_t n, uint64_t at)
{
    return spool_ops.read ? spool_ops.read(fd, bytes, n, at) : pread(fd, bytes, n, (off_t)at);
}

static bool fail(struct spool *s, int error)
{
    s->error = error ? error : EIO;
    return false;
}

static bool put_file(struct spool *s, struct str bytes)
{
    if (!s->fd_plus_1) {
        int fd = file_open(s->directory && *s->directory ? s->directory : ".");
        if (fd < 0)
            return fail(s, errno);
        s->fd_plus_1 = fd + 1;
    }
    while (bytes.n) {
        long n = file_write(s->fd_plus_1 - 1, bytes.p, bytes.n, s->size - s->memory.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(s, n < 0 ? errno : ENOSPC);
        bytes = str_sub(bytes, (size_t)n, bytes.n);
        s->size += (uint64_t)n;
    }
    return true;
}

bool spool_put(struct spool *s, struct str bytes)
{
    if (s->error)
        return false;
    if (s->memory.n < s->memory_max) {
        size_t room = s->memory_max - s->memory.n, n = bytes.n < room ? bytes.n : room;
        buf_put(&s->memory, bytes.p, n);
        s->size += n;
        bytes = str_sub(bytes, n, bytes.n);
    }
    return bytes.n == 0 || put_file(s, bytes);
}

struct str spool_read(struct spool *s, uint64_t at, size_t max, struct buf *scratch)
{
    if (at >= s->size || max == 0)
        return STR("");
    if (at < s->memory.n)
        return str_sub(buf_view(&s->memory), (size_t)at, s->memory.n - (size_t)at > max ? (size_t)at + max : s->memory.n);
    size_t want = s->size - at < max ? (size_t)(s->size - at) : max;
    buf_clear(scratch);
    while (scratch->n < want) {
        char *room = buf_room(scratch, want - scratch->n);
        long n = file_read(s->fd_plus_1 - 1, room, want - scratch->n, at - s->memory.n + scratch->n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) { /* a file that is shorter than what was written into it is as bad as one that cannot be read */
            fail(s, n < 0 ? errno : EIO);
            return STR_NONE;
        }
        scratch->n += (size_t)n;
    }
    return buf_view(scratch);
}

void spool_clear(struct spool *s)
{
    if (s->fd_plus_1)
        close(s->fd_plus_1 - 1);
    buf_free(&s->memory);
    *s = (struct spool){.memory_max = s->memory_max, .directory = s->directory};
}
