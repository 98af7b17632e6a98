/* descriptors.h - for tests of shortages: this process may open a few more descriptors, or none, until they are given back. */
#ifndef TESTS_NET_DESCRIPTORS_H
#define TESTS_NET_DESCRIPTORS_H

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

static struct rlimit descriptors_before;

/* Numbers are given out from the lowest free one on: `spare` of them are left. */
static inline void take_descriptors(unsigned spare)
{
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(next);
    getrlimit(RLIMIT_NOFILE, &descriptors_before);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)next + spare, descriptors_before.rlim_max});
}

static inline void give_descriptors(void)
{
    setrlimit(RLIMIT_NOFILE, &descriptors_before);
}

#endif
