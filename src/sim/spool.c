/*
 * spool.c - the file part of mail/spool.h in a simulated world: files in memory, and system calls that fail when told to.
 *
 * The seam is one variable of the process, so one world at a time has it.
 */
#include "world.h"

#include "postern/mail/spool.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

static struct {
    struct world *world;
    struct spool_ops before;
    bool failing;
} taken;

/* Counts one system call. True: it is to fail. */
static bool fails(int error)
{
    errno = error;
    return ++taken.world->tally.spool_calls == taken.world->how->spool_at || taken.failing;
}

static int spool_open(const char *directory)
{
    (void)directory;
    return fails(EMFILE) ? -1 : memfd_create("spool", MFD_CLOEXEC);
}

static long spool_write(int fd, const void *bytes, size_t n, uint64_t at)
{
    return fails(ENOSPC) ? -1 : pwrite(fd, bytes, n, (off_t)at);
}

static long spool_read_back(int fd, void *bytes, size_t n, uint64_t at)
{
    return fails(EIO) ? -1 : pread(fd, bytes, n, (off_t)at);
}

void sim_spool_take(struct world *w)
{
    taken.world = w;
    taken.before = spool_ops;
    taken.failing = false;
    spool_ops = (struct spool_ops){.open = spool_open, .write = spool_write, .read = spool_read_back};
}

void sim_spool_fail(bool failing)
{
    taken.failing = failing;
}

void sim_spool_give_back(void)
{
    spool_ops = taken.before;
    taken.world = NULL;
}
