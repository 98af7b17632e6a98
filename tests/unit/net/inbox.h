/* inbox.h - for tests of real sockets on loopback: a loop, a listener that keeps what it takes. Ports are chosen by the system; nothing sleeps: the
 * loop is run until it is so. */
#ifndef TESTS_NET_INBOX_H
#define TESTS_NET_INBOX_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "postern/net/network.h"

static struct loop *l;
static struct network *net;

#include "until.h"

struct inbox { /* what a listener took */
    int fd[64];
    struct addr_port peer[64];
    unsigned count;
    bool pause, close; /* what to do when one comes */
    struct listener *listener;
};

static inline void took(void *context, struct listener *from, int fd, const struct addr_port *peer)
{
    struct inbox *in = context;
    cr_assert_eq(from, in->listener);
    cr_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
    cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    in->fd[in->count] = fd;
    in->peer[in->count++] = *peer;
    if (in->pause) {
        listener_pause(from, true);
    }
    if (in->close) {
        listener_close(&in->listener);
    }
}

static inline struct inbox *listening(const char *where)
{
    static struct inbox in;
    char *error = NULL;
    in = (struct inbox){0};
    l = loop_new();
    net = network_real(l);
    in.listener = listener_open(l, str_of(where), took, &in, &error);
    cr_assert(in.listener, "%s", error);
    return &in;
}

static inline void done(struct inbox *in)
{
    listener_close(&in->listener);
    free(net);
    loop_turn(l, false);
    loop_free(&l);
}

#endif
