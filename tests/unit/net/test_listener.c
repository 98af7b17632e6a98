/* Listeners: where they listen, bursts, pauses, being closed on the way. */
#include "inbox.h"

#include <stdio.h>
#include <string.h>

static int dial(int family, uint16_t port)
{
    struct addr_port to = {.port = port};
    addr_parse(family == AF_INET ? STR("127.0.0.1") : STR("::1"), &to.addr);
    struct sockaddr_storage sa;
    socklen_t size = addr_to_sockaddr(&to, &sa);
    int fd = socket(family, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&sa, size) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

Test(listener, a_star_takes_both_families_and_normalises)
{
    char out[ADDR_TEXT];
    const char *const where[] = {"*:0", ":0"};
    for (int i = 0; i < 2; i++) {
        struct inbox *in = listening(where[i]);
        uint16_t port = listener_address(in->listener).port;
        cr_assert_neq(port, 0);
        cr_assert(str_eq(listener_name(in->listener), str_of(where[i])));
        int four = dial(AF_INET, port);
        cr_assert_geq(four, 0);
        UNTIL(in->count == 1);
        cr_assert_str_eq(addr_format(&in->peer[0].addr, out), "127.0.0.1", "mapped addresses become IPv4");
        cr_assert_neq(in->peer[0].port, 0);
        close(four);
        close(in->fd[0]);
        int six = listener_address(in->listener).addr.family == 6 ? dial(AF_INET6, port) : -1;
        if (six >= 0) { /* a machine with IPv6 */
            UNTIL(in->count == 2);
            cr_assert_str_eq(addr_format(&in->peer[1].addr, out), "::1");
            close(six);
            close(in->fd[1]);
        }
        done(in);
    }
}

Test(listener, b_one_family_alone)
{
    struct inbox *in = listening("127.0.0.1:0");
    cr_assert_eq(dial(AF_INET6, listener_address(in->listener).port), -1);
    done(in);
}

Test(listener, c_bad_places)
{
    static const char *const bad[] = {"", "25", "*", "*:", "*:70000", "host.example:25", "1.2.3.4", "[::1]",
                                      "[::1:25", "::1:x", "*:25x", "203.0.113.1:1"};
    l = loop_new();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *error = NULL;
        struct listener *x = listener_open(l, str_of(bad[i]), took, NULL, &error);
        cr_assert_null(x, "%s", bad[i]);
        cr_assert(error && strstr(error, "cannot listen on"), "%s", bad[i]);
        free(error);
    }
    struct inbox in = {0};
    char *error = NULL;
    in.listener = listener_open(l, STR("127.0.0.1:0"), took, &in, &error);
    char taken[64];
    snprintf(taken, sizeof taken, "127.0.0.1:%u", listener_address(in.listener).port);
    cr_assert_null(listener_open(l, str_of(taken), took, NULL, &error));
    cr_assert(strstr(error, taken) && strstr(error, "bind: Address already in use"), "%s", error);
    free(error);
    listener_close(&in.listener);
    loop_free(&l);
}

Test(listener, d_pause_and_burst)
{
    struct inbox *in = listening("127.0.0.1:0");
    uint16_t port = listener_address(in->listener).port;
    int fd[40];
    in->pause = true;
    for (int i = 0; i < 40; i++) {
        fd[i] = dial(AF_INET, port);
    }
    UNTIL(in->count == 1);
    for (int i = 0; i < 5; i++) {
        loop_turn(l, false);
    }
    cr_assert_eq(in->count, 1, "paused");
    in->pause = false;
    listener_pause(in->listener, false);
    int turns = 0;
    while (in->count < 40 && turns < 100) {
        loop_turn(l, false);
        turns++;
    }
    cr_assert_eq(in->count, 40);
    cr_assert_leq(turns, 8, "a burst is taken in a few turns: %d", turns);
    for (int i = 0; i < 40; i++) {
        close(fd[i]);
        close(in->fd[i]);
    }
    done(in);
}

Test(listener, e_may_be_closed_by_whom_it_calls)
{
    struct inbox *in = listening("127.0.0.1:0");
    in->close = true;
    int fd = dial(AF_INET, listener_address(in->listener).port);
    UNTIL(in->count == 1);
    cr_assert_null(in->listener);
    close(fd);
    close(in->fd[0]);
    done(in);
}

Test(listener, f_over_an_inherited_socket)
{
    struct inbox *in = listening("127.0.0.1:0");
    int shared = -1;
    for (int fd = 3; fd < 32 && shared < 0; fd++) { /* the listening socket's own number */
        int on = 0;
        socklen_t size = sizeof on;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size) == 0 && on) {
            shared = dup(fd);
        }
    }
    cr_assert_geq(shared, 0);
    uint16_t port = listener_address(in->listener).port;
    listener_close(&in->listener);
    in->listener = listener_from_socket(l, shared, STR("inherited"), took, in);
    cr_assert_eq(listener_address(in->listener).port, port);
    int fd = dial(AF_INET, port);
    UNTIL(in->count == 1);
    close(fd);
    close(in->fd[0]);
    done(in);
}
