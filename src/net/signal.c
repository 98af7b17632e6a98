/*
 * signal.c - signals as events of the loop: the handler only writes into an eventfd, which is watched like any descriptor.
 *
 * One watch for each signal in the process.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "postern/base/str.h"
#include "postern/net/watch.h"

struct signal_watch {
    struct watch watch;
    struct loop *loop;
    struct sigaction before; /* what the signal did until then */
    int signo;
    void (*fire)(int signo, void *context);
    void *context;
};

static volatile int signal_fds[NSIG]; /* eventfd + 1 of each watched signal; for the handler */

static void signal_handler(int signo)
{
    int saved = errno;
    uint64_t one = 1;
    ssize_t n = write(signal_fds[signo] - 1, &one, sizeof one);
    (void)n;
    errno = saved;
}

static void signal_ready(struct watch *watch, unsigned what)
{
    struct signal_watch *w = (struct signal_watch *)(void *)watch;
    uint64_t times;
    (void)what;
    if (read(watch->fd, &times, sizeof times) == sizeof times) {
        w->fire(w->signo, w->context);
    }
}

struct signal_watch *signal_watch_new(struct loop *l, int signo, void (*fire)(int signo, void *context), void *context)
{
    assert(signo > 0 && signo < NSIG && signal_fds[signo] == 0);
    struct signal_watch *w = xcalloc(1, sizeof *w);
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert(fd >= 0);
    w->loop = l;
    w->signo = signo;
    w->fire = fire;
    w->context = context;
    w->watch.ready = signal_ready;
    watch_start(l, &w->watch, fd, WATCH_READ);
    signal_fds[signo] = fd + 1;
    struct sigaction action = {.sa_handler = signal_handler, .sa_flags = SA_RESTART};
    int failed = sigaction(signo, &action, &w->before);
    assert(!failed);
    return w;
}

void signal_watch_free(struct signal_watch **w)
{
    struct signal_watch *x = *w;
    if (!x) {
        return;
    }
    sigaction(x->signo, &x->before, NULL);
    signal_fds[x->signo] = 0;
    watch_stop(x->loop, &x->watch);
    close(x->watch.fd);
    free(x);
    *w = NULL;
}
