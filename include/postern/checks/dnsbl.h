/*
 * dnsbl.h - health of block and allow lists (RFC 5782 section 5): a list that answers its test points wrongly rests.
 *
 * 127.0.0.2 must be listed and 127.0.0.1 must not (lists of IPv6 alone: ::FFFF:7F00:2 and ::FFFF:7F00:1). Asked at start and then every hour; while a list
 * rests every ten minutes. No answer (time-out, SERVFAIL) changes nothing. A list that rests makes its fact an error: never a listing, never "not listed".
 */
#ifndef POSTERN_CHECKS_DNSBL_H
#define POSTERN_CHECKS_DNSBL_H

#include "postern/dns/resolver.h"
#include "postern/policy/policy.h"

struct list_health;
struct list_health *list_health_new(struct loop *l, struct resolver *r);
/* Probes the lists that p declares, and the shadow policy (or NULL), from now on; forgets those of the policies before. */
void list_health_watch(struct list_health *h, const struct policy *p, const struct policy *shadow);
void list_health_free(struct list_health **h);
bool list_rests(const struct list_health *h, struct str zone);   /* h may be NULL: nothing rests */
const char *list_rests_why(const struct list_health *h, struct str zone);
/* A process that has just begun (explain): until this mono time no list is judged before its first probe is over. Without it a list is used at once. */
void list_health_await(struct list_health *h, uint64_t until_ms);
bool list_is_awaited(const struct list_health *h, struct str zone); /* h may be NULL */
/* The name to ask for an address: reversed octets or nibbles and the zone, the secret of a private mirror put in (RFC 5782 2.1, 2.4). False: it does
 * not fit a DNS name. */
bool dnsbl_query_name(const struct declaration *list, const struct addr *a, unsigned v6_bits, char out[254]);
/* The zone as it may be shown: "<key>" where the secret stands. Heap text in *out. */
void dnsbl_zone_shown(const struct declaration *list, struct buf *out);
/* Judges one answer for a list: sorted codes in 127/8, less error codes. True: known (count 0: not listed). False: error, *why says it (static text).
 * 127.255.255.0/24 and anything outside 127/8 are errors, never listings; 127.0.0.255 of an allow list likewise. They are left
 * out beside good codes, and make an error when they are all there is. */
bool dnsbl_judge(const struct dns_answer *a, bool allow_list, struct addr *codes, size_t max, size_t *count, const char **why);

#endif
