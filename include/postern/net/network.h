/*
 * network.h - connecting and listening, behind one seam: the session and the backends call this; simulation gives its own.
 */
#ifndef POSTERN_NET_NETWORK_H
#define POSTERN_NET_NETWORK_H

#include "postern/net/stream.h"

struct network {
    /* Starts connecting; the stream is CONNECTING (or already DEAD with a reason) and wakes the owner when that changes. Never NULL. */
    struct stream *(*connect)(struct network *n, const struct addr_port *to, struct task *owner);
    /* The same to a Unix socket; NULL where there are none (simulation). */
    struct stream *(*connect_unix)(struct network *n, struct str path, struct task *owner);
    struct loop *loop;
};
struct network *network_real(struct loop *l); /* heap, free() it */

/* A listening socket. accepted() runs from the loop with a fresh descriptor (non-blocking, close-on-exec) that it must take or
 * close. */
struct listener;
typedef void (*listener_accepted)(void *context, struct listener *from, int fd, const struct addr_port *peer);
/* Addresses: "*:25" opens one IPv6 socket that takes both families (IPv4 alone where there is no IPv6); "192.0.2.1:25",
 * "[::1]:25", ":25". NULL with *error (heap text that says what failed and for which address). Port 0 lets the system choose
 * (tests): see listener_address. */
struct listener *listener_open(struct loop *l, struct str where, listener_accepted accepted, void *context, char **error);
/* The same over a socket that listens already (inherited from a supervisor); takes fd. */
struct listener *listener_from_socket(struct loop *l, int fd, struct str name, listener_accepted accepted, void *context);
struct addr_port listener_address(const struct listener *x);
struct str listener_name(const struct listener *x); /* as given in `where` */
/* In a shortage (shortage.h) the listener rests 100 ms, so that it does not spin. */
void listener_pause(struct listener *x, bool paused);
void listener_close(struct listener **x);

#endif
