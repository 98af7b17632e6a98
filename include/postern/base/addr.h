/*
 * addr.h - IP addresses, prefixes, ranges and their text (RFC 4291, RFC 5952 for IPv6 text).
 *
 * IPv4-mapped IPv6 addresses (::ffff:192.0.2.1) become IPv4 when they enter, so that one client has one address everywhere.
 */
#ifndef POSTERN_BASE_ADDR_H
#define POSTERN_BASE_ADDR_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "postern/base/str.h"

struct addr {
    uint8_t family; /* 4 or 6; 0 is no address */
    uint8_t b[16];  /* network order; IPv4 in the first 4, the rest zero */
};

struct addr_port {
    struct addr addr;
    uint16_t port; /* host order */
};

struct prefix { /* bits of addr beyond `bits` are zero */
    struct addr addr;
    uint8_t bits; /* 0..32 or 0..128 */
};

struct addr_range { /* first <= last, same family */
    struct addr first, last;
};

enum { ADDR_TEXT = 48, ADDR_PORT_TEXT = 56, PREFIX_TEXT = 52 }; /* sizes of text with NUL */

bool addr_parse(struct str s, struct addr *out); /* "192.0.2.1" (no octal, no short forms) or "2001:db8::1"; no zone ids */
const char *addr_format(const struct addr *a, char out[ADDR_TEXT]);
bool addr_eq(const struct addr *a, const struct addr *b);
int addr_cmp(const struct addr *a, const struct addr *b);
bool addr_from_sockaddr(const struct sockaddr *sa, struct addr_port *out); /* false: not IP */
socklen_t addr_to_sockaddr(const struct addr_port *ap, struct sockaddr_storage *out);

/* "192.0.2.1:25", "[2001:db8::1]:25"; without a port default_port is taken, 0 meaning that a port must be given. */
bool addr_port_parse(struct str s, uint16_t default_port, struct addr_port *out);
const char *addr_port_format(const struct addr_port *ap, char out[ADDR_PORT_TEXT]);

bool prefix_parse(struct str s, struct prefix *out); /* "192.0.2.0/24" or an address alone; false also when host bits are set */
const char *prefix_format(const struct prefix *p, char out[PREFIX_TEXT]); /* always with /bits */
bool prefix_contains(const struct prefix *p, const struct addr *a);
struct prefix addr_network(const struct addr *a, unsigned v4_bits, unsigned v6_bits); /* the network that a lies in */

bool addr_range_parse(struct str s, struct addr_range *out); /* "127.0.0.2-127.0.0.3" */
bool addr_range_contains(const struct addr_range *r, const struct addr *a);

/* The labels of a reverse lookup without the suffix: "9.113.0.203", or 32 nibbles (RFC 1035 3.5, RFC 3596 2.5, RFC 5782 2.1, 2.4).
 * out needs 64 bytes. v6_bits < 128 zeroes the host bits first. */
const char *addr_reverse(const struct addr *a, unsigned v6_bits, char out[64]);
bool addr_is_loopback(const struct addr *a);

/* A set of prefixes with longest-match lookup in O(bits); built once, read often. */
struct prefix_set;
struct prefix_set *prefix_set_new(void);
void prefix_set_add(struct prefix_set *set, const struct prefix *p);
bool prefix_set_has(const struct prefix_set *set, const struct addr *a);
size_t prefix_set_count(const struct prefix_set *set);
void prefix_set_free(struct prefix_set **set);

#endif
