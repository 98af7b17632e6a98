/*
 * spool.c - the file part of mail/spool.h in a simulated world: files in memory, and writes that fail when told to.
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

static int spool_open(const char *directory)
{
    (void)directory;
    if (taken.failing) {
        errno = ENOSPC;
        return -1;
    }
    return memfd_create("spool", MFD_CLOEXEC);
}

static long spool_write(int fd, const void *bytes, size_t n, uint64_t at)
{
    bool fails = ++taken.world->tally.writes == taken.world->how->spool_at;
    if (fails || taken.failing) {
        errno = ENOSPC;
        return -1;
    }
    return pwrite(fd, bytes, n, (off_t)at);
}

void sim_spool_take(struct world *w)
{
    taken.world = w;
    taken.before = spool_ops;
    taken.failing = false;
    spool_ops = (struct spool_ops){.open = spool_open, .write = spool_write};
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
