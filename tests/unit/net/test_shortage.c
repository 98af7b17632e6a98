/* Without descriptors: who wanted to connect is told that it was no fault of the peer's, a listener rests, each is counted and one a minute logged. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "postern/base/counters.h"
#include "postern/base/log.h"
#include "postern/net/network.h"
#include "postern/net/shortage.h"
#include "descriptors.h"

static struct loop *l;
static struct network *net;
static unsigned lines;
static char last[256];

static void keep_line(void *context, enum log_level level, struct str line)
{
    (void)context;
    cr_assert_eq(level, LOG_WARN_);
    size_t n = line.n < sizeof last - 1 ? line.n : sizeof last - 1;
    memcpy(last, line.p, n);
    last[n] = '\0';
    lines++;
}

static void begin(void)
{
    log_set_sink(keep_line, NULL);
    l = loop_new();
    net = network_real(l);
}

static void end(void)
{
    free(net);
    loop_turn(l, false);
    loop_free(&l);
    log_set_sink(NULL, NULL);
}

Test(shortage, a_what_it_is)
{
    static const int ours[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL};
    static const int others[] = {0, ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, EAGAIN, EACCES, EAFNOSUPPORT};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        cr_expect(shortage_is(ours[i]), "%s", strerror(ours[i]));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        cr_expect_not(shortage_is(others[i]), "%s", strerror(others[i]));
}

Test(shortage, b_connecting, .init = begin, .fini = end)
{
    struct addr_port to;
    struct stream *s;
    cr_assert(addr_port_parse(STR("127.0.0.1:9"), 0, &to));
    take_descriptors(0);
    for (int i = 0; i < 3; i++) {
        s = i == 2 ? net->connect_unix(net, STR("/nowhere/redis.sock"), NULL) : net->connect(net, &to, NULL);
        cr_assert_eq(stream_state(s), STREAM_DEAD);
        cr_expect(stream_is_short(s));
        cr_expect_str_eq(stream_error(s), "Too many open files");
        stream_close(l, &s);
    }
    give_descriptors();
    cr_expect_eq(counters[COUNTER_SHORTAGES], 3);
    cr_expect_eq(lines, 1);
    cr_expect(strstr(last, "shortage note=\"connecting to 127.0.0.1:9: Too many open files\""), "%s", last);
    s = net->connect_unix(net, STR("/nowhere/redis.sock"), NULL);
    cr_expect_eq(stream_state(s), STREAM_DEAD);
    cr_expect_not(stream_is_short(s), "that is nobody's shortage: %s", stream_error(s));
    stream_close(l, &s);
}

Test(shortage, c_one_line_a_minute, .init = begin, .fini = end)
{
    struct loop *virtual = loop_new_simulated(0);
    for (int second = 0; second < 150; second++) {
        shortage_note(virtual, "testing", ENFILE);
        loop_advance_to(virtual, loop_now(virtual) + 1000);
    }
    cr_expect_eq(lines, 3);
    cr_expect_eq(counters[COUNTER_SHORTAGES], 150);
    loop_free(&virtual);
}

static unsigned taken;

static void took(void *context, struct listener *from, int fd, const struct addr_port *peer)
{
    (void)context, (void)from, (void)peer;
    taken++;
    close(fd);
}

static void nothing(struct timer *t)
{
    (void)t;
}

Test(shortage, d_accepting, .init = begin, .fini = end)
{
    char *error = NULL;
    struct listener *x = listener_open(l, STR("127.0.0.1:0"), took, NULL, &error);
    cr_assert(x, "%s", error);
    struct addr_port at = listener_address(x);
    struct stream *client = net->connect(net, &at, NULL);
    struct timer guard = {.fire = nothing};
    timer_set_in(l, &guard, 5000);
    take_descriptors(0);
    while (counters[COUNTER_SHORTAGES] < 3 && timer_is_set(&guard))
        loop_turn(l, true);
    give_descriptors();
    cr_expect_eq(counters[COUNTER_SHORTAGES], 3, "it rests, and tries again");
    cr_expect_eq(lines, 1);
    cr_expect(strstr(last, "shortage note=\"accepting a client: Too many open files\""), "%s", last);
    cr_expect_eq(taken, 0);
    while (!taken && timer_is_set(&guard))
        loop_turn(l, true);
    cr_expect_eq(taken, 1, "who waited is taken");
    timer_cancel(l, &guard);
    stream_close(l, &client);
    listener_close(&x);
}
