/* socket.h - streams over sockets, for network.c. */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include "postern/net/stream.h"

/* A stream that is connecting to `to`, or is dead with the reason why it cannot. */
struct stream *socket_connect(struct loop *l, const struct addr_port *to, struct task *owner);
struct stream *socket_connect_unix(struct loop *l, struct str path, struct task *owner);

#endif
