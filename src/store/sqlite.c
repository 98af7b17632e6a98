/*
 * sqlite.c - the store in a file: one thread owns the connection, so that neither a slow disk nor a checkpoint ever stops the
 * loop.
 *
 *     loop     start: the operation is copied into a request (bounded: beyond it the request fails at once); those of one turn are
 *              posted together, by the task
 *     thread   takes what is posted, runs it in transactions of at most 50, posts it back, writes to an eventfd. A transaction in
 *              which nobody is sure to write (greylist checks write for strangers only) begins as a reader and becomes the
 *              writer when one does. Between transactions it sweeps expired rows, at most 100 of a kind at a time
 *     loop     the eventfd wakes the task, which tells the answers, in the order of their starting
 *
 * A cancelled request stays where it is and is dropped when it comes back; not yet begun, it is not carried out. A transaction
 * that fails is rolled back and its operations are tried once more, each alone, so that one which the disk has no room for does
 * not fail the others. A file that cannot be opened or is damaged makes every operation an error; it is opened anew each second
 * until that works. One that was taken away is made anew at once.
 *
 * The thread neither logs nor counts (log and counters belong to the loop): it only leaves static texts in results. There is no
 * lock: on a machine that is busy a thread that has one may be put aside, and the loop would wait for it. Requests change hands
 * through two boxes (one writer, one reader who takes all); the database is the thread's alone. See sqlite_db.h about fork().
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "postern/net/watch.h"
#include "postern/store/open.h"
#include "queue.h"
#include "sqlite_db.h"

enum {
    BATCH_MAX = 50,
    QUEUE_MAX = 4096,
    REOPEN_MS = 1000,
    SWEEP_MS = 60 * 1000,     /* when nothing more has expired */
    SWEEP_AGAIN_MS = 50,      /* when more may have */
    STOP_SECONDS = 5
};

struct store_request {
    struct link link;
    struct link line;           /* in `line` of the loop's side, until it is told */
    uint64_t started_ms;        /* mono of the loop */
    struct store_operation *op; /* owned */
    struct store_result result;
    struct page *page;          /* NULL: not a paged operation */
    store_done done;
    void *context;
    atomic_bool cancelled;
};

/* A box between two threads: the newest lies on top. */
typedef _Atomic(struct link *) box;

struct sqlite {
    struct store store;
    char *path;
    pthread_t thread;
    bool threadless;         /* it could not be started: every operation fails */
    box posted, answered;    /* to the thread, and back */
    atomic_size_t waiting;   /* started, and not yet taken for a transaction */
    atomic_bool asleep;      /* the thread wants to be woken when something is posted */
    atomic_bool stopping;
    int to_thread, to_loop;  /* eventfds */
    struct watch watch;
    struct task task;
    struct link *newest, *oldest; /* the loop's own: started in this turn, to be posted; a chain from the newest on */
    struct queue refused;    /* the loop's own: there was no room */
    struct queue line;       /* the loop's own: given to the thread and not told yet, in order */
    /* the thread's own */
    struct queue queue;
    struct database database;
    const char *closed_because;    /* not open: why */
    uint64_t reopen_ms, sweep_ms;  /* mono: when next */
    uint64_t now_ms;               /* wall clock of the last operation; 0: none yet */
};

/* Puts a chain, newest first, into the box; true: it was empty. */
static bool box_put(box *b, struct link *newest, struct link *oldest)
{
    struct link *top = atomic_load(b);
    do
        oldest->next = top;
    while (!atomic_compare_exchange_weak(b, &top, newest));
    return !top;
}

/* Takes all, oldest first, behind what is in the queue. */
static void box_empty(box *b, struct queue *q)
{
    struct link *x = atomic_exchange(b, NULL), *oldest_first = NULL;
    while (x) {
        struct link *older = x->next;
        x->next = oldest_first;
        oldest_first = x;
        x = older;
    }
    while (oldest_first) {
        x = oldest_first;
        oldest_first = x->next;
        queue_add(q, x);
    }
}

static void ring(int event)
{
    uint64_t one = 1;
    if (write(event, &one, sizeof one) < 0)
        assert(errno == EAGAIN); /* so many unread that one more says nothing new */
}

static void silence(int event)
{
    uint64_t times;
    ssize_t n = read(event, &times, sizeof times);
    (void)n; /* nothing to read: somebody did */
}

static void request_free(struct store_request *r)
{
    page_free(&r->page);
    free(r->op);
    free(r);
}

/* --- the thread: operations ------------------------------------------------------------------------------------------------- */

static uint64_t mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void close_database(struct sqlite *s, const char *why)
{
    database_close(&s->database);
    s->closed_because = why;
    s->reopen_ms = mono_ms() + REOPEN_MS;
}

static bool ensure_open(struct sqlite *s)
{
    const char *error;
    if (s->database.db && !database_has_moved(&s->database))
        return true;
    if (s->database.db)
        database_close(&s->database);
    else if (mono_ms() < s->reopen_ms)
        return false;
    if (database_open(&s->database, &error))
        return true;
    close_database(s, error);
    return false;
}

static bool is_sure_to_write(struct store_request *const *batch, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (batch[i]->op->mode == STORE_TOUCH && batch[i]->op->kind != STORE_GREYLIST)
            return true;
    }
    return false;
}

static bool operate(struct sqlite *s, struct store_request *r)
{
    if (atomic_load(&r->cancelled))
        return true;
    if (store_is_paged(r->op->kind)) {
        page_free(&r->page);
        r->page = page_new();
    }
    s->now_ms = r->op->now_ms;
    return store_operate(&s->database.rows, r->op, &r->result, r->page);
}

/* All of them in one transaction, or none. */
static bool transact_as(struct sqlite *s, struct store_request *const *batch, size_t n, bool writer)
{
    if (!database_begin(&s->database, writer))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!operate(s, batch[i])) {
            database_rollback(&s->database);
            return false;
        }
    }
    return database_commit(&s->database);
}

/* A reader cannot become the writer when another process wrote since it began to read: then all is read again, as the writer. */
static bool transact(struct sqlite *s, struct store_request *const *batch, size_t n)
{
    if (is_sure_to_write(batch, n))
        return transact_as(s, batch, n, true);
    return transact_as(s, batch, n, false) || (database_is_busy(&s->database) && transact_as(s, batch, n, true));
}

static void fail(struct store_request *const *batch, size_t n, const char *error)
{
    for (size_t i = 0; i < n; i++)
        batch[i]->result = (struct store_result){.error = error};
}

static void run_batch(struct sqlite *s, struct store_request *const *batch, size_t n)
{
    if (!ensure_open(s)) {
        fail(batch, n, s->closed_because);
        return;
    }
    if (transact(s, batch, n))
        return;
    if (database_is_broken(&s->database)) {
        close_database(s, database_error(&s->database));
        fail(batch, n, s->closed_because);
    } else if (n == 1 || database_is_busy(&s->database)) { /* each would wait as long again */
        fail(batch, n, database_error(&s->database));
    } else {
        for (size_t i = 0; i < n; i++)
            run_batch(s, batch + i, 1);
    }
}

static void sweep(struct sqlite *s)
{
    size_t removed;
    s->sweep_ms = mono_ms() + SWEEP_MS;
    if (s->now_ms == 0 || !s->database.db)
        return;
    if (!database_sweep(&s->database, s->now_ms, &removed)) {
        if (database_is_broken(&s->database))
            close_database(s, database_error(&s->database));
    } else if (removed == DATABASE_SWEEP_ROWS) {
        s->sweep_ms = mono_ms() + SWEEP_AGAIN_MS;
    }
}

/* --- the thread: its life --------------------------------------------------------------------------------------------------- */

/* Sleeps until something is posted, at most until something else is due. */
static void sleep_thread(struct sqlite *s)
{
    uint64_t now = mono_ms();
    struct pollfd p = {.fd = s->to_thread, .events = POLLIN};
    atomic_store(&s->asleep, true);
    if (!atomic_load(&s->posted) && !atomic_load(&s->stopping)) /* looked at after saying so: whoever posts later rings */
        poll(&p, 1, s->sweep_ms > now ? (int)(s->sweep_ms - now) : 0);
    atomic_store(&s->asleep, false);
    silence(s->to_thread);
}

static size_t take_batch(struct sqlite *s, struct store_request *batch[BATCH_MAX])
{
    size_t n = 0;
    box_empty(&s->posted, &s->queue);
    while (n < BATCH_MAX && s->queue.first)
        batch[n++] = queue_take(&s->queue);
    atomic_fetch_sub(&s->waiting, n);
    return n;
}

static void answer(struct sqlite *s, struct store_request *const *batch, size_t n)
{
    for (size_t i = 1; i < n; i++)
        batch[i]->link.next = &batch[i - 1]->link;
    if (box_put(&s->answered, &batch[n - 1]->link, &batch[0]->link))
        ring(s->to_loop);
}

static void *thread_main(void *context)
{
    struct sqlite *s = context;
    struct store_request *batch[BATCH_MAX];
    ensure_open(s);
    s->sweep_ms = mono_ms() + REOPEN_MS;
    for (;;) {
        bool last = atomic_load(&s->stopping); /* nothing is posted after that was said */
        size_t n = take_batch(s, batch);
        if (n > 0) {
            run_batch(s, batch, n);
            answer(s, batch, n);
        } else if (last) {
            break;
        } else {
            sleep_thread(s);
        }
        if (mono_ms() >= s->sweep_ms)
            sweep(s);
    }
    database_close(&s->database);
    return NULL;
}

/* --- the loop's side -------------------------------------------------------------------------------------------------------- */

static struct sqlite *sqlite_of(struct store *s)
{
    return (struct sqlite *)s;
}

static void event_ready(struct watch *w, unsigned what)
{
    struct sqlite *s = (struct sqlite *)(void *)((char *)w - offsetof(struct sqlite, watch));
    (void)what;
    silence(s->to_loop);
    loop_wake(s->store.loop, &s->task);
}

static void tell_all(struct queue *q)
{
    for (struct store_request *r; (r = queue_take(q));) {
        if (!atomic_load(&r->cancelled))
            r->done(r->context, &r->result);
        request_free(r);
    }
}

/* All of this turn at once, so that the thread is woken once, and has work for one transaction. */
static void post(struct sqlite *s)
{
    if (!s->newest)
        return;
    box_put(&s->posted, s->newest, s->oldest);
    s->newest = s->oldest = NULL;
    if (atomic_exchange(&s->asleep, false))
        ring(s->to_thread);
}

static void run_task(struct task *t)
{
    struct sqlite *s = (struct sqlite *)(void *)((char *)t - offsetof(struct sqlite, task));
    post(s);
    struct queue refused = s->refused, answered;
    queue_init(&s->refused);
    queue_init(&answered);
    box_empty(&s->answered, &answered);
    for (const struct link *x = answered.first; x; x = x->next) /* they come in the order in which they went */
        queue_take(&s->line);
    tell_all(&answered);
    tell_all(&refused);
}

static struct store_request *sqlite_start(struct store *store, const struct store_operation *op, store_done done, void *context)
{
    struct sqlite *s = sqlite_of(store);
    struct store_request *r = xcalloc(1, sizeof *r);
    r->op = store_operation_copy(op);
    r->done = done;
    r->context = context;
    if (s->threadless || atomic_load(&s->waiting) >= QUEUE_MAX) {
        r->result.error = s->threadless ? "no thread could be started for the database"
                                        : "too many operations are waiting for the disk";
        queue_add(&s->refused, &r->link);
    } else {
        r->started_ms = loop_now(store->loop);
        queue_add(&s->line, &r->line);
        atomic_fetch_add(&s->waiting, 1);
        r->link.next = s->newest;
        s->newest = &r->link;
        s->oldest = s->oldest ? s->oldest : &r->link;
    }
    loop_wake(store->loop, &s->task);
    return r;
}

static bool sqlite_stalled(const struct store *store)
{
    const struct sqlite *s = (const struct sqlite *)store;
    const struct link *first = queue_first(&s->line);
    if (!first || store->patience_ms == 0)
        return false;
    const struct store_request *r = (const struct store_request *)(const void *)((const char *)first - offsetof(struct store_request, line));
    return loop_now(store->loop) - r->started_ms > store->patience_ms;
}

static void sqlite_cancel(struct store *s, struct store_request *request)
{
    (void)s;
    atomic_store(&request->cancelled, true);
}

static void requests_free(struct queue *q)
{
    for (struct store_request *r; (r = queue_take(q));)
        request_free(r);
}

/* What was recorded is still written. A disk that hangs is not waited for: then the thread, and what it works on, are left
 * to the end of the process. */
static void sqlite_destroy(struct store *store)
{
    struct sqlite *s = sqlite_of(store);
    struct timespec until;
    post(s);
    atomic_store(&s->stopping, true);
    ring(s->to_thread);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_SECONDS;
    loop_unwake(store->loop, &s->task);
    watch_change(store->loop, &s->watch, 0); /* told to the kernel: the descriptor may stay open */
    requests_free(&s->refused);
    if (!s->threadless && pthread_timedjoin_np(s->thread, NULL, &until) != 0) {
        pthread_detach(s->thread);
        return;
    }
    box_empty(&s->posted, &s->queue); /* there is something only if there was no thread */
    box_empty(&s->answered, &s->queue);
    requests_free(&s->queue);
    close(s->to_thread);
    close(s->to_loop);
    free(s->path);
    free(s);
}

/* Signals are the loop's: the thread takes none. */
static void start_thread(struct sqlite *s)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&s->thread, NULL, thread_main, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    s->threadless = error != 0;
}

struct store *store_sqlite(struct loop *l, const char *path)
{
    static const struct store_ops ops = {sqlite_start, sqlite_cancel, sqlite_destroy, sqlite_stalled};
    struct sqlite *s = xcalloc(1, sizeof *s);
    s->store = (struct store){.ops = &ops, .loop = l};
    s->path = xstrndup(path, strlen(path));
    s->database = (struct database){.path = s->path};
    s->closed_because = "the database is not open yet";
    s->task.run = run_task;
    s->watch.ready = event_ready;
    queue_init(&s->queue);
    queue_init(&s->refused);
    queue_init(&s->line);
    s->to_thread = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    s->to_loop = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert(s->to_thread >= 0 && s->to_loop >= 0);
    watch_start(l, &s->watch, s->to_loop, WATCH_READ);
    start_thread(s);
    return &s->store;
}
