/* The loop: order of tasks, timers in real and simulated time, the graveyard, signals. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "postern/net/loop.h"
#include "postern/net/watch.h"

static char story[256];

static void tell(const char *word)
{
    strcat(story, word);
}

struct actor {
    struct task task;
    struct timer timer;
    struct loop *loop;
    const char *name;
    struct actor *wakes; /* when it runs */
    unsigned runs;
    bool wakes_itself;
};

static void actor_run(struct task *t)
{
    struct actor *a = (struct actor *)(void *)t;
    a->runs++;
    if (!a->wakes_itself) {
        tell(a->name);
    }
    if (a->wakes) {
        loop_wake(a->loop, &a->wakes->task);
    }
    if (a->wakes_itself && a->runs < 5000) {
        loop_wake(a->loop, t);
    }
}

static void actor_fire(struct timer *t)
{
    struct actor *a = (struct actor *)(void *)((char *)t - offsetof(struct actor, timer));
    tell(a->name);
    a->runs++;
}

static struct actor actor(struct loop *l, const char *name)
{
    return (struct actor){.task.run = actor_run, .timer.fire = actor_fire, .loop = l, .name = name};
}

Test(loop, a_tasks_run_in_the_order_they_were_woken)
{
    struct loop *l = loop_new_simulated(0);
    struct actor a = actor(l, "a"), b = actor(l, "b"), c = actor(l, "c");
    a.wakes = &c;
    loop_wake(l, &b.task);
    loop_wake(l, &a.task);
    loop_wake(l, &b.task);
    cr_assert_eq(a.runs + b.runs, 0, "nobody runs inside loop_wake");
    cr_assert(loop_turn(l, false));
    cr_assert_str_eq(story, "bac");
    cr_assert_not(loop_turn(l, true));
    loop_free(&l);
    cr_assert_null(l);
}

Test(loop, b_unwake_takes_any_place_off_the_list)
{
    for (unsigned out = 0; out < 8; out++) {
        struct loop *l = loop_new_simulated(0);
        struct actor x[3] = {actor(l, "a"), actor(l, "b"), actor(l, "c")};
        char expected[8] = "";
        story[0] = 0;
        for (unsigned i = 0; i < 3; i++) {
            loop_wake(l, &x[i].task);
        }
        for (unsigned i = 0; i < 3; i++) {
            if (out & 1u << i) {
                loop_unwake(l, &x[i].task);
                loop_unwake(l, &x[i].task);
            } else {
                strcat(expected, x[i].name);
            }
        }
        struct actor late = actor(l, "+");
        loop_wake(l, &late.task);
        strcat(expected, "+");
        loop_settle(l);
        cr_assert_str_eq(story, expected);
        loop_free(&l);
    }
}

Test(loop, c_a_task_that_wakes_itself_does_not_hold_the_turn)
{
    struct loop *l = loop_new_simulated(0);
    struct actor a = actor(l, "a");
    a.wakes_itself = true;
    loop_wake(l, &a.task);
    loop_turn(l, false);
    cr_assert_gt(a.runs, 1);
    cr_assert_lt(a.runs, 5000);
    loop_settle(l);
    cr_assert_eq(a.runs, 5000);
    loop_free(&l);
}

Test(loop, d_timers_fire_by_time_then_by_order_of_setting)
{
    struct loop *l = loop_new_simulated(5000);
    struct actor a = actor(l, "a"), b = actor(l, "b"), c = actor(l, "c"), d = actor(l, "d");
    timer_set_in(l, &a.timer, 30);
    timer_set_in(l, &b.timer, 20);
    timer_set_in(l, &c.timer, 20);
    timer_set_in(l, &d.timer, 10);
    timer_set_in(l, &d.timer, 40); /* moved */
    cr_assert_eq(loop_next_timer(l), 1020);
    while (loop_turn(l, true)) {
    }
    cr_assert_str_eq(story, "bcad");
    cr_assert_eq(loop_now(l), 1040);
    cr_assert_eq(loop_wall(l), 5040);
    cr_assert_eq(*loop_now_pointer(l), 1040);
    cr_assert_not(timer_is_set(&a.timer));
    loop_free(&l);
}

Test(loop, e_the_heap_holds_under_many_moves)
{
    enum { N = 300 };
    static struct actor x[N];
    struct loop *l = loop_new_simulated(0);
    uint64_t seed = 1;
    for (unsigned i = 0; i < N; i++) {
        x[i] = actor(l, "");
    }
    for (unsigned step = 0; step < 20000; step++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        struct actor *a = &x[(seed >> 33) % N];
        if ((seed >> 20) % 3 == 0) {
            timer_cancel(l, &a->timer);
        } else {
            timer_set_in(l, &a->timer, (seed >> 40) % 1000);
        }
        uint64_t first = UINT64_MAX;
        for (unsigned i = 0; step % 100 == 0 && i < N; i++) {
            if (timer_is_set(&x[i].timer) && x[i].timer.at_ms < first) {
                first = x[i].timer.at_ms;
            }
        }
        cr_assert(step % 100 != 0 || first == loop_next_timer(l));
    }
    uint64_t last = 0;
    while (loop_next_timer(l) != UINT64_MAX) {
        cr_assert_geq(loop_next_timer(l), last);
        last = loop_next_timer(l);
        loop_turn(l, true);
    }
    loop_free(&l);
}

static struct loop *again_loop;

static void fire_again(struct timer *t)
{
    tell("x");
    timer_set_in(again_loop, t, 0);
}

Test(loop, f_a_timer_set_to_now_waits_for_the_next_turn)
{
    struct loop *l = again_loop = loop_new_simulated(0);
    struct timer t = {.fire = fire_again};
    timer_set(l, &t, 0); /* long past */
    loop_turn(l, true);
    cr_assert_str_eq(story, "x");
    loop_turn(l, true);
    cr_assert_str_eq(story, "xx");
    cr_assert_eq(loop_now(l), 1000, "a time that is past does not move the clock back");
    timer_cancel(l, &t);
    loop_free(&l);
}

Test(loop, g_advance_stops_at_each_timer)
{
    struct loop *l = loop_new_simulated(0);
    struct actor a = actor(l, "a"), b = actor(l, "b");
    timer_set_in(l, &a.timer, 100);
    timer_set_in(l, &b.timer, 200);
    loop_settle(l);
    cr_assert_str_eq(story, "");
    loop_advance_to(l, 1100);
    cr_assert_str_eq(story, "a");
    loop_advance_to(l, 1150);
    cr_assert_eq(loop_now(l), 1150);
    loop_advance_to(l, 1300);
    cr_assert_str_eq(story, "ab");
    cr_assert_eq(loop_now(l), 1300);
    timer_set_in(l, &a.timer, UINT64_MAX); /* never overflows into the past */
    cr_assert_eq(loop_next_timer(l), UINT64_MAX);
    timer_cancel(l, &a.timer);
    loop_free(&l);
}

struct grave_goods {
    struct loop *loop;
    struct task task;
    const char *name;
    void *other; /* buried when this one is destroyed */
};

static void destroyed(void *p)
{
    struct grave_goods *g = p;
    tell(g->name);
    if (g->other) {
        loop_bury(g->loop, g->other, destroyed);
    }
}

static void bury_self(struct task *t)
{
    struct grave_goods *g = (struct grave_goods *)(void *)((char *)t - offsetof(struct grave_goods, task));
    loop_bury(g->loop, g, destroyed);
    tell("still here, ");
}

Test(loop, h_the_dead_are_freed_at_the_end_of_the_turn)
{
    struct loop *l = loop_new_simulated(0);
    struct grave_goods second = {l, {0}, "second", NULL};
    struct grave_goods first = {l, {.run = bury_self}, "first, ", &second};
    struct actor a = actor(l, "others run, ");
    loop_wake(l, &first.task);
    loop_wake(l, &a.task);
    loop_turn(l, false);
    cr_assert_str_eq(story, "still here, others run, first, second");
    loop_bury(l, &second, destroyed);
    loop_free(&l);
    cr_assert_str_eq(story, "still here, others run, first, secondsecond", "loop_free empties the graveyard");
}

/* --- the real loop --- */

static struct loop *real;

static void stop_at(struct timer *t)
{
    (void)t;
    tell("stop");
    loop_stop(real);
}

Test(loop, i_real_timers_fire_after_their_time)
{
    real = loop_new();
    uint64_t start = loop_now(real);
    struct timer stop = {.fire = stop_at};
    struct actor a = actor(real, "a,"), cancelled = actor(real, "cancelled");
    timer_set_in(real, &stop, 20);
    timer_set_in(real, &a.timer, 5);
    timer_set_in(real, &cancelled.timer, 6);
    timer_cancel(real, &cancelled.timer);
    loop_run(real);
    cr_assert_str_eq(story, "a,stop");
    cr_assert_geq(loop_now(real) - start, 20);
    cr_assert_gt(loop_wall(real), 1600000000000u);
    loop_free(&real);
}

struct pipe_watch {
    struct watch watch;
    unsigned what;
    unsigned times;
};

static void pipe_ready(struct watch *w, unsigned what)
{
    struct pipe_watch *p = (struct pipe_watch *)(void *)w;
    p->what |= what;
    p->times++;
}

Test(loop, j_watches_level_edge_change_and_stop)
{
    struct loop *l = loop_new();
    int fds[2], second[2];
    cr_assert_eq(pipe(fds) | pipe(second), 0);
    struct pipe_watch level = {.watch.ready = pipe_ready}, edge = {.watch.ready = pipe_ready};
    watch_start(l, &level.watch, fds[0], WATCH_READ);
    watch_start(l, &edge.watch, second[0], WATCH_READ | WATCH_EDGE);
    cr_assert_eq(write(fds[1], "x", 1) + write(second[1], "x", 1), 2);
    for (int i = 0; i < 5; i++) {
        loop_turn(l, false);
    }
    cr_assert_eq(level.times, 5);
    cr_assert_eq(edge.times, 1);
    cr_assert_eq(write(second[1], "y", 1), 1);
    loop_turn(l, false);
    cr_assert_eq(edge.times, 2, "more bytes are one more edge");
    watch_change(l, &level.watch, 0);
    loop_turn(l, false);
    cr_assert_eq(level.times, 6);
    watch_change(l, &level.watch, WATCH_READ);
    loop_turn(l, false);
    cr_assert_eq(level.times, 7);
    watch_stop(l, &level.watch);
    watch_stop(l, &level.watch);
    watch_stop(l, &edge.watch);
    close(fds[0]);
    close(fds[1]);
    close(second[0]);
    close(second[1]);
    loop_turn(l, false);
    loop_free(&l);
}

/* A descriptor number that is used again at once is watched again. */
Test(loop, k_a_number_used_again_in_the_same_turn)
{
    struct loop *l = loop_new();
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    struct pipe_watch a = {.watch.ready = pipe_ready}, b = {.watch.ready = pipe_ready};
    watch_start(l, &a.watch, fds[0], WATCH_READ | WATCH_EDGE);
    loop_turn(l, false);
    int number = fds[0];
    watch_stop(l, &a.watch);
    close(fds[0]);
    close(fds[1]);
    cr_assert_eq(pipe(fds), 0);
    cr_assert_eq(fds[0], number);
    watch_start(l, &b.watch, fds[0], WATCH_READ | WATCH_EDGE);
    cr_assert_eq(write(fds[1], "x", 1), 1);
    loop_turn(l, false);
    cr_assert_eq(a.times, 0);
    cr_assert_eq(b.times, 1);
    watch_stop(l, &b.watch);
    close(fds[0]);
    close(fds[1]);
    loop_free(&l);
}

static void signalled(int signo, void *context)
{
    cr_assert_eq(signo, SIGUSR1);
    ++*(int *)context;
    loop_stop(real);
}

Test(loop, l_signals_come_from_the_loop)
{
    int count = 0;
    real = loop_new();
    struct signal_watch *w = signal_watch_new(real, SIGUSR1, signalled, &count);
    raise(SIGUSR1);
    cr_assert_eq(count, 0);
    loop_run(real);
    cr_assert_eq(count, 1);
    signal_watch_free(&w);
    cr_assert_null(w);
    loop_free(&real);
}
