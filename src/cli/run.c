/*
 * run.c - `postern run`: the proxy with the real world in its hands: loop, sockets, DNS, store, journal, log; and what signals ask of it.
 *
 *     HUP        files are read again (reload.c)
 *     USR1       counters to the log
 *     TERM, INT  listeners close, idle clients are told 421, transactions finish, at most drain-time; a second one stops at once
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "postern/base/counters.h"
#include "postern/ops/config.h"
#include "postern/store/open.h"
#include "running.h"

enum { LOG_FLUSH_MS = 100, LOG_IDLE_MS = 1000 };

#define OWNER_OF(pointer, member) ((struct running *)(void *)((char *)(pointer) - offsetof(struct running, member)))

/* ---- the log ---- */

static void flush_log(struct timer *t)
{
    struct running *r = OWNER_OF(t, flush_log);
    log_flush();
    timer_set_in(r->loop, t, proxy_sessions(r->proxy) ? LOG_FLUSH_MS : LOG_IDLE_MS);
}

static void set_up_log(struct running *r)
{
    log_set_level((enum log_level)r->settings.log_level);
    log_set_clock(&loop_clock(r->loop)->wall_ms);
    if (r->settings.log == 1)
        log_to_syslog("postern");
    r->flush_log.fire = flush_log;
    timer_set_in(r->loop, &r->flush_log, LOG_FLUSH_MS);
}

static void log_counters(const struct running *r)
{
    struct log_line line;
    log_begin(&line, LOG_INFO_, "counters");
    log_u64(&line, "sessions", proxy_sessions(r->proxy));
    log_u64(&line, "dns-in-flight", resolver_in_flight(r->resolver));
    for (int i = 0; i < COUNTER_COUNT; i++)
        log_u64(&line, counter_names[i], counters[i]);
    log_end(&line);
}

/* ---- connections ---- */

/* The end of the connection on our side: a system call more, made only when a backend is told. */
static struct addr_port local_address(int fd)
{
    struct sockaddr_storage at;
    socklen_t n = sizeof at;
    struct addr_port local = {0};
    if (getsockname(fd, (struct sockaddr *)&at, &n) == 0)
        addr_from_sockaddr((struct sockaddr *)&at, &local);
    return local;
}

static void accepted(void *context, struct listener *from, int fd, const struct addr_port *peer)
{
    struct running *r = context;
    struct arrival arrival = {.peer = *peer};
    for (size_t i = 0; i < r->listener_count; i++)
        if (r->listeners[i] == from)
            arrival.listener = &r->settings.listen[i];
    if (proxy_sessions(r->proxy) == 0)
        timer_set_in(r->loop, &r->flush_log, LOG_FLUSH_MS);
    if (proxy_wants_local(r->proxy))
        arrival.local = local_address(fd);
    proxy_accept(r->proxy, stream_accepted(r->loop, fd, NULL), &arrival);
}

static bool open_listeners(struct running *r, const struct cli_args *a)
{
    r->listeners = xcalloc(r->settings.listen_count, sizeof *r->listeners);
    for (size_t i = 0; i < r->settings.listen_count; i++) {
        char *error = NULL;
        struct listener *x = listener_open(r->loop, r->settings.listen[i].address, accepted, r, &error);
        if (!x) {
            cli_failed(a, "%s", error);
            free(error);
            return false;
        }
        r->listeners[r->listener_count++] = x;
    }
    return true;
}

static void close_listeners(struct running *r)
{
    while (r->listener_count > 0)
        listener_close(&r->listeners[--r->listener_count]);
}

static void log_ready(const struct running *r)
{
    struct log_line line;
    char text[ADDR_PORT_TEXT];
    log_begin(&line, LOG_INFO_, "ready");
    for (size_t i = 0; i < r->listener_count; i++) {
        struct addr_port at = listener_address(r->listeners[i]);
        log_cstr(&line, "listen", addr_port_format(&at, text));
    }
    log_cstr(&line, "policy", policy_path(r->policy));
    log_cstr(&line, "digest", policy_digest(r->policy));
    if (r->shadow)
        log_cstr(&line, "shadow", policy_path(r->shadow));
    log_end(&line);
    log_flush();
}

/*
 * One descriptor a client, one a backend connection, one a message on disk: as many as we may have. Clients may take half of them, less what
 * DNS, store and files need: a client that we can take mail from but not give it to anybody is better told 421.
 */
uint64_t running_sessions(const struct settings *s, struct rlimit *limit)
{
    enum { OTHERS = 64 };
    if (getrlimit(RLIMIT_NOFILE, limit) != 0)
        return s->max_sessions;
    if (limit->rlim_cur < limit->rlim_max) {
        limit->rlim_cur = limit->rlim_max;
        setrlimit(RLIMIT_NOFILE, limit);
    }
    uint64_t others = limit->rlim_cur / 2 < OTHERS ? limit->rlim_cur / 2 : OTHERS, clients = (limit->rlim_cur - others) / 2;
    clients = clients ? clients : 1;
    return clients < s->max_sessions ? clients : s->max_sessions;
}

static void arrange_descriptors(struct settings *s)
{
    struct rlimit limit = {0};
    uint64_t wanted = s->max_sessions;
    s->max_sessions = running_sessions(s, &limit);
    if (s->max_sessions < wanted)
        log_note(LOG_WARN_, "few-descriptors", "the limit of open files (%llu) is enough for %llu sessions at once, not %llu (max-sessions)",
                 (unsigned long long)limit.rlim_cur, (unsigned long long)s->max_sessions, (unsigned long long)wanted);
}

/* ---- signals ---- */

static void drained(void *context)
{
    loop_stop(((struct running *)context)->loop);
}

static void give_up(struct timer *t)
{
    struct running *r = OWNER_OF(t, give_up);
    log_note(LOG_WARN_, "drain-time-over", "sessions that are left are ended");
    loop_stop(r->loop);
}

static void stop(struct running *r)
{
    if (r->stopping) {
        loop_stop(r->loop);
        return;
    }
    r->stopping = true;
    struct log_line line;
    log_begin(&line, LOG_INFO_, "stopping");
    log_u64(&line, "sessions", proxy_sessions(r->proxy));
    log_end(&line);
    close_listeners(r);
    r->give_up.fire = give_up;
    timer_set_in(r->loop, &r->give_up, r->settings.drain_time);
    proxy_drain(r->proxy, drained, r);
}

static void signalled(int signo, void *context)
{
    struct running *r = context;
    if (signo == SIGHUP && !r->stopping)
        running_reload(r);
    else if (signo == SIGUSR1)
        log_counters(r);
    else if (signo == SIGTERM || signo == SIGINT)
        stop(r);
}

static void watch_signals(struct running *r)
{
    static const int watched[] = {SIGHUP, SIGUSR1, SIGTERM, SIGINT};
    for (size_t i = 0; i < sizeof watched / sizeof watched[0]; i++)
        r->signals[i] = signal_watch_new(r->loop, watched[i], signalled, r);
    signal(SIGPIPE, SIG_IGN);
}

/* ---- beginning and end ---- */

static bool read_files(struct running *r, const char *config)
{
    struct diags diags = {0}, policy = {0}, advice = {0};
    bool good = config_load(config, &source_files, &r->settings, &diags);
    if (good) {
        r->policy = load_policy(&r->settings, &policy);
        good = load_shadow(&r->settings, &r->shadow, &policy);
    }
    if (good && r->policy) {
        config_advise(&r->settings, &advice);
        running_log_diags(LOG_WARN_, "configuration-warning", &diags);
        running_log_diags(LOG_WARN_, "policy-warning", &policy);
        running_log_diags(LOG_WARN_, "advice", &advice);
    } else {
        load_complain(&diags);
        load_complain(&policy);
    }
    diag_clear(&diags);
    diag_clear(&policy);
    diag_clear(&advice);
    return good && r->policy;
}

static void journal_line(void *context, struct str line)
{
    journal_write(context, line);
}

static bool set_up(struct running *r, const struct cli_args *a)
{
    char *error = NULL;
    struct addr_port servers[LOAD_SERVERS_MAX];
    r->loop = loop_new();
    set_up_log(r);
    arrange_descriptors(&r->settings);
    if (r->settings.journal.n > 0) {
        r->journal = journal_open(r->loop, r->settings.journal.p, &error);
        if (!r->journal) {
            cli_failed(a, "%s", error);
            free(error);
            return false;
        }
    }
    r->network = network_real(r->loop);
    r->resolver = load_resolver(r->loop, &r->settings, servers, load_servers(&r->settings, servers));
    r->store = store_open(r->loop, r->network, r->resolver, &r->settings, &error);
    if (!r->store) {
        cli_failed(a, "%s", error);
        free(error);
        return false;
    }
    r->health = list_health_new(r->loop, r->resolver);
    struct proxy_parts parts = {
        .loop = r->loop, .network = r->network, .settings = &r->settings, .resolver = r->resolver, .store = r->store, .health = r->health,
        .journal = r->journal ? journal_line : NULL, .journal_context = r->journal,
    };
    r->proxy = proxy_new(&parts, r->policy);
    proxy_set_shadow(r->proxy, r->shadow);
    if (!running_set_certificates(r, &error)) {
        cli_failed(a, "%s", error);
        free(error);
        return false;
    }
    return open_listeners(r, a);
}

/* The last line of the log: behind those of the sessions that were cut. */
static void say_stopped(const struct running *r)
{
    struct log_line line;
    log_begin(&line, LOG_INFO_, "stopped");
    if (r->cut)
        log_u64(&line, "cut", r->cut);
    else
        log_cstr(&line, "note", "all is done");
    log_end(&line);
}

static void tear_down(struct running *r)
{
    if (!r->loop) {
        policy_unref(&r->policy);
        policy_unref(&r->shadow);
        settings_clear(&r->settings);
        return;
    }
    for (size_t i = 0; i < RUNNING_SIGNALS; i++) {
        if (r->signals[i])
            signal_watch_free(&r->signals[i]);
    }
    close_listeners(r);
    free(r->listeners);
    timer_cancel(r->loop, &r->give_up);
    timer_cancel(r->loop, &r->flush_log);
    proxy_free(&r->proxy);
    tls_context_free(&r->tls);
    loop_turn(r->loop, false); /* the last words of what was closed, and the graveyard */
    list_health_free(&r->health);
    store_free(&r->store);
    resolver_free(&r->resolver);
    journal_close(&r->journal);
    free(r->network);
    if (r->ran)
        say_stopped(r);
    log_flush();
    log_set_clock(NULL);
    loop_free(&r->loop);
    policy_unref(&r->policy);
    policy_unref(&r->shadow);
    settings_clear(&r->settings);
}

/* No program is started from here; whoever breaks in is not to gain anything by one that is setuid. Users are the service manager's affair. */
static void renounce_privileges(void)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (geteuid() == 0)
        log_note(LOG_WARN_, "runs-as-root", "start it as a user of its own, as deploy/postern.service does: a port below 1024 needs CAP_NET_BIND_SERVICE, "
                 "and nothing needs more");
}

static int run(struct cli_args *a, const char *config)
{
    struct running r = {.config = config};
    int status = EXIT_WRONG;
    if (read_files(&r, config) && set_up(&r, a)) {
        renounce_privileges();
        watch_signals(&r);
        list_health_watch(r.health, r.policy, r.shadow);
        proxy_start(r.proxy);
        log_ready(&r);
        loop_run(r.loop);
        r.ran = true;
        r.cut = proxy_sessions(r.proxy);
        status = EXIT_OK;
    }
    tear_down(&r);
    return status;
}

int command_run(struct cli_args *a)
{
    const char *config = NULL;
    enum cli_option option;
    while ((option = cli_next(a)) != CLI_OPERANDS) {
        if (option == CLI_EXIT)
            return a->status;
        config = a->value;
    }
    return config ? run(a, config) : cli_wrong(a, "--config FILE is needed");
}
