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

static inline void guard_fire(struct timer *t)
{
    (void)t;
}

/* Runs the loop until the condition holds; 5 s at most. */
#define UNTIL(condition)                                    \
    do {                                                    \
        uint64_t until_ms = loop_now(l) + 5000;             \
        struct timer guard = {.fire = guard_fire};          \
        timer_set(l, &guard, until_ms);                     \
        bool is_so;                                         \
        while (!(is_so = (condition)) && loop_now(l) < until_ms) { \
            loop_turn(l, true);                             \
        }                                                   \
        timer_cancel(l, &guard);                            \
        cr_assert(is_so, "in vain: " #condition);           \
    } while (0)

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
