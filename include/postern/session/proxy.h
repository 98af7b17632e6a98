/*
 * proxy.h - the proxy as a whole: what all sessions of a process share, and the door through which connections come in.
 *
 * Everything it touches is handed to it: loop, network, DNS, store, journal. So the same code runs on port 25 and in a simulated world.
 */
#ifndef POSTERN_SESSION_PROXY_H
#define POSTERN_SESSION_PROXY_H

#include "postern/base/settings.h"
#include "postern/checks/check.h"
#include "postern/net/network.h"

struct proxy;

struct tls_context;

struct arrival { /* a connection, as it came in */
    struct addr_port peer;
    struct addr_port local;                   /* where it came to; family 0: not known */
    const struct listener_setting *listener;  /* of the settings, outlives the proxy */
};

struct proxy_parts { /* all borrowed, outlive the proxy */
    struct loop *loop;
    struct network *network;
    const struct settings *settings;
    struct resolver *resolver;
    struct store *store;
    struct list_health *health; /* may be NULL */
    /* One journal line (with \n); NULL: no journal. */
    void (*journal)(void *context, struct str line);
    void *journal_context;
};

struct proxy *proxy_new(const struct proxy_parts *parts, struct policy *policy); /* takes a reference on the policy */
/* Begins probing the backends; sessions may come at once and wait for the first probe at most (they are greeted 421 when it fails). */
void proxy_start(struct proxy *p);
/* A client connection: takes the stream. */
void proxy_accept(struct proxy *p, struct stream *client, const struct arrival *arrival);
/* The certificates for clients from now on (a reference is taken); NULL: no TLS in front. */
void proxy_set_tls(struct proxy *p, struct tls_context *context);
/* Reads the files of CA certificates that backends are verified by anew, for connections from now on; one that is no good is logged, and what was
 * read before is used on. */
void proxy_renew_tls(struct proxy *p);
/* Does any backend want to know the client's own connection (XCLIENT's DESTADDR, PROXY): is arrival.local worth finding out? */
bool proxy_wants_local(const struct proxy *p);
void proxy_set_policy(struct proxy *p, struct policy *policy); /* for sessions from now on */
/* The shadow policy for sessions from now on: judged and recorded, never applied (a reference is taken); NULL: none. */
void proxy_set_shadow(struct proxy *p, struct policy *shadow);
/* No new sessions (421 4.3.2), idle ones are told 421, transactions finish. `drained` runs from the loop when the last is gone. */
void proxy_drain(struct proxy *p, void (*drained)(void *context), void *context);
size_t proxy_sessions(const struct proxy *p);
void proxy_free(struct proxy **p); /* ends what is left: clients get 421, open records are closed and journalled */

#endif
