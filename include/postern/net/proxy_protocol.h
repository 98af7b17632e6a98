/*
 * proxy_protocol.h - the PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): the line or header in front of a
 * connection by which a balancer says who its client is. Read from configured balancers only; that is the caller's to see to.
 */
#ifndef POSTERN_NET_PROXY_PROTOCOL_H
#define POSTERN_NET_PROXY_PROTOCOL_H

#include "postern/base/addr.h"

/* No header is longer: version 1 by its definition (107 with CRLF), version 2 by our bound (its senders stay below 536 without
 * TLVs). */
enum { PROXY_PROTOCOL_V1_MAX = 107, PROXY_PROTOCOL_MAX = 4096 };

enum proxy_protocol_result { PROXY_PROTOCOL_NOT_YET, PROXY_PROTOCOL_DONE, PROXY_PROTOCOL_FAILED };

struct proxy_protocol {
    unsigned version;
    bool local;  /* the balancer speaks for itself: a health check; the connection's own addresses hold, no check applies */
    bool known;  /* source and destination are set. Neither local nor known: the balancer does not know, or no TCP over IP */
    struct addr_port source, destination;
    size_t length;     /* DONE: octets of the header; what follows belongs to the client */
    const char *error; /* FAILED: why, static text */
};

/* Judges the first bytes of a connection: all that came so far, from its first byte. NOT_YET: a header may come of it, read
 * more. Bytes that cannot become one fail as early as that is certain. */
enum proxy_protocol_result proxy_protocol_parse(struct str bytes, struct proxy_protocol *out);

/* Appends a version 2 header. Both addresses are set; of two families IPv4 is written as ::ffff:a.b.c.d. */
void proxy_protocol_put(struct buf *out, const struct addr_port *source, const struct addr_port *destination);
void proxy_protocol_put_local(struct buf *out); /* for our own probes */

#endif
