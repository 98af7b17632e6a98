/*
 * running.h - what `postern run` has in its hands: run.c makes it, serves with it and gives it back, reload.c renews parts of it at HUP.
 */
#ifndef CLI_RUNNING_H
#define CLI_RUNNING_H

#include "cli.h"
#include "postern/base/log.h"
#include "postern/checks/dnsbl.h"
#include "postern/net/tls.h"
#include "postern/ops/journal.h"
#include "postern/session/proxy.h"
#include "postern/store/store.h"

enum { RUNNING_SIGNALS = 5 };

struct running { /* everything is owned, and given back in the reverse order of its making */
    const char *config;
    struct settings settings;
    struct policy *policy, *shadow; /* shadow NULL: none */
    struct loop *loop;
    struct network *network;
    struct resolver *resolver;
    struct store *store;
    struct list_health *health;
    struct journal *journal;
    struct proxy *proxy;
    struct tls_context *tls;
    bool ran;
    size_t cut; /* sessions that were still there at the end */
    struct listener **listeners;
    size_t listener_count;
    struct signal_watch *signals[RUNNING_SIGNALS];
    struct timer flush_log; /* always set: lines of the log wait at most 100 ms while there are sessions, else 1 s */
    struct timer give_up;   /* the end of drain-time */
    bool stopping;
};

struct rlimit;
/* How many sessions at once the limit of open files (raised as far as it goes, and told) leaves of max-sessions. */
uint64_t running_sessions(const struct settings *s, struct rlimit *limit);
/* One line for each, with the place and the message. */
void running_log_diags(enum log_level level, const char *event, const struct diags *diags);
/* At the start, and again at HUP. False with *error (heap text): the new ones are no good, those that run stay. */
bool running_set_certificates(struct running *r, char **error);
/* HUP: reads again what can be, says what cannot. */
void running_reload(struct running *r);

#endif
