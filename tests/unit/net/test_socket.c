/* Streams over real sockets on loopback. */
#include "inbox.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

#include "stream_internal.h"

struct end {
    struct task task;
    struct stream *s;
    unsigned woken;
};

static void woken(struct task *t)
{
    ((struct end *)(void *)t)->woken++;
}

/* A connected pair: a by connect, b by the listener. */
static void join(struct inbox *in, struct end *a, struct end *b)
{
    struct addr_port to = listener_address(in->listener);
    *a = (struct end){.task.run = woken};
    *b = (struct end){.task.run = woken};
    a->s = net->connect(net, &to, &a->task);
    cr_assert_eq(stream_state(a->s), STREAM_CONNECTING);
    unsigned before = in->count;
    UNTIL(in->count == before + 1);
    b->s = stream_accepted(l, in->fd[before], &b->task);
}

static void put(struct end *e, const char *text)
{
    stream_put(e->s, text, strlen(text));
    stream_flush(e->s);
}

static size_t text_n;
static char text[1 << 16];

/* Reads until `expected` has come. */
static bool came(struct end *e, const char *expected)
{
    ssize_t got = stream_read(e->s, text + text_n, sizeof text - text_n);
    text_n += got > 0 ? (size_t)got : 0;
    if (text_n == strlen(expected) && memcmp(text, expected, text_n) == 0) {
        text_n = 0;
        return true;
    }
    return false;
}

static ssize_t last_read(struct end *e)
{
    return stream_read(e->s, text, sizeof text);
}

Test(socket, a_bytes_both_ways)
{
    struct end a, b;
    struct inbox *in = listening("127.0.0.1:0");
    join(in, &a, &b);
    put(&b, "220 hello\r\n");
    UNTIL(came(&a, "220 hello\r\n"));
    cr_assert_eq(stream_state(a.s), STREAM_OPEN);
    put(&a, "EHLO x\r\n");
    UNTIL(came(&b, "EHLO x\r\n"));
    cr_assert_eq(last_read(&b), STREAM_AGAIN);
    struct iovec iov[2] = {{(char *)"one", 3}, {(char *)"two", 3}};
    stream_put(b.s, "zero", 4);
    stream_put_iov(b.s, iov, 2);
    UNTIL(came(&a, "zeroonetwo"));
    cr_assert_null(a.s->out.p, "an idle stream holds no buffer");
    cr_assert_null(b.s->out.p);
    stream_close(l, &a.s);
    UNTIL(stream_peer_gone(b.s));
    cr_assert_eq(last_read(&b), STREAM_EOF);
    stream_close(l, &b.s);
    done(in);
}

Test(socket, b_accepted_sockets_have_no_delay)
{
    struct end a, b;
    struct inbox *in = listening("127.0.0.1:0");
    join(in, &a, &b);
    int on = 0;
    socklen_t size = sizeof on;
    cr_assert_eq(getsockopt(in->fd[0], IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
    cr_assert(on);
    stream_close(l, &a.s);
    stream_close(l, &b.s);
    done(in);
}

Test(socket, c_connected_without_a_greeting)
{
    struct end a, b;
    struct inbox *in = listening("127.0.0.1:0");
    join(in, &a, &b);
    UNTIL(stream_state(a.s) == STREAM_OPEN);
    cr_assert_geq(a.woken, 1);
    stream_close(l, &a.s);
    stream_close(l, &b.s);
    done(in);
}

Test(socket, d_what_is_said_while_connecting_arrives)
{
    struct end a = {.task.run = woken}, b = {.task.run = woken};
    struct inbox *in = listening("127.0.0.1:0");
    struct addr_port to = listener_address(in->listener);
    a.s = net->connect(net, &to, &a.task);
    put(&a, "PROXY ");
    put(&a, "TCP4");
    UNTIL(in->count == 1);
    b.s = stream_from_socket(l, in->fd[0], &b.task);
    UNTIL(came(&b, "PROXY TCP4"));
    UNTIL(stream_state(a.s) == STREAM_OPEN);
    stream_close(l, &a.s);
    stream_close(l, &b.s);
    done(in);
}

Test(socket, e_refused)
{
    struct inbox *in = listening("127.0.0.1:0");
    struct addr_port to = listener_address(in->listener);
    listener_close(&in->listener);
    for (int speak = 0; speak < 2; speak++) {
        struct end a = {.task.run = woken};
        a.s = net->connect(net, &to, &a.task);
        if (speak) {
            put(&a, "x");
        }
        UNTIL(stream_state(a.s) == STREAM_DEAD);
        UNTIL(a.woken >= 1);
        cr_assert_str_eq(stream_error(a.s), "Connection refused");
        cr_assert_eq(last_read(&a), STREAM_FAILED);
        cr_assert_eq(stream_flush(a.s), FLUSH_FAILED);
        stream_close(l, &a.s);
    }
    done(in);
}

Test(socket, f_short_writes_wait_for_room_and_lose_nothing)
{
    enum { SIZE = 4 << 20 };
    struct end a, b;
    struct inbox *in = listening("127.0.0.1:0");
    join(in, &a, &b);
    char *big = malloc(SIZE), *got = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++) {
        big[i] = (char)(i * 2654435761u >> 13);
    }
    struct iovec iov[2] = {{big, SIZE / 2}, {big + SIZE / 2, SIZE / 2}};
    stream_put_iov(b.s, iov, 2);
    cr_assert_eq(stream_flush(b.s), FLUSH_NOT_YET);
    cr_assert_gt(stream_queued(b.s), 0);
    size_t n = 0;
    while (n < SIZE) {
        ssize_t r = stream_read(a.s, got + n, SIZE - n < 100000 ? SIZE - n : 100000);
        if (r > 0) {
            n += (size_t)r;
        } else {
            cr_assert_eq(r, STREAM_AGAIN);
            loop_turn(l, true);
        }
    }
    cr_assert_eq(memcmp(big, got, SIZE), 0);
    loop_turn(l, false);
    cr_assert_eq(stream_queued(b.s), 0);
    cr_assert_eq(b.woken, 1, "woken once, when the queue became empty: %u", b.woken);
    free(big);
    free(got);
    stream_close(l, &a.s);
    stream_close(l, &b.s);
    done(in);
}

/* An owner that does not read must not make the loop spin, and must still learn that the peer left. */
Test(socket, g_not_reading)
{
    struct end a, b;
    struct inbox *in = listening("127.0.0.1:0");
    join(in, &a, &b);
    put(&a, "waiting to be read");
    UNTIL(b.woken == 1);
    for (int i = 0; i < 10; i++) {
        loop_turn(l, false);
    }
    cr_assert_eq(b.woken, 1);
    cr_assert_not(stream_peer_gone(b.s));
    stream_close(l, &a.s);
    UNTIL(stream_peer_gone(b.s));
    for (int i = 0; i < 10; i++) {
        loop_turn(l, false);
    }
    cr_assert_leq(b.woken, 3);
    cr_assert_eq(stream_read(b.s, text, 7), 7);
    cr_assert_eq(last_read(&b), 11);
    cr_assert_eq(last_read(&b), STREAM_EOF);
    cr_assert_eq(stream_state(b.s), STREAM_OPEN);
    stream_close(l, &b.s);
    done(in);
}

static void reset(struct stream **s, int fd)
{
    struct linger now = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    stream_close(l, s);
}

Test(socket, h_reset_is_seen_without_reading)
{
    struct end a, b;
    struct inbox *in = listening("127.0.0.1:0");
    join(in, &a, &b);
    put(&b, "220 x");
    UNTIL(came(&a, "220 x"));
    reset(&b.s, in->fd[0]);
    UNTIL(stream_peer_gone(a.s));
    cr_assert_eq(last_read(&a), STREAM_FAILED);
    cr_assert_eq(stream_state(a.s), STREAM_DEAD);
    cr_assert_str_eq(stream_error(a.s), "Connection reset by peer");
    stream_close(l, &a.s);
    done(in);
}

/* A server that says goodbye and closes resets us when we write; its goodbye must still be readable. */
Test(socket, i_last_words_survive_a_failed_write)
{
    struct end a, b;
    struct inbox *in = listening("127.0.0.1:0");
    join(in, &a, &b);
    put(&a, "x");
    UNTIL(b.woken == 1); /* unread: closing now resets */
    stream_put(b.s, "421 bye", 7);
    cr_assert_eq(stream_flush(b.s), FLUSH_DONE);
    close(in->fd[0]); /* behind the stream's back */
    ((struct stream *)b.s)->readable = false;
    enum flush f = FLUSH_DONE;
    for (int i = 0; i < 100 && f != FLUSH_FAILED; i++) {
        put(&a, "more");
        f = stream_flush(a.s);
        loop_turn(l, false);
    }
    cr_assert_eq(f, FLUSH_FAILED);
    cr_assert(stream_peer_gone(a.s));
    cr_assert_eq(stream_state(a.s), STREAM_OPEN);
    cr_assert_eq(last_read(&a), 7);
    cr_assert_eq(memcmp(text, "421 bye", 7), 0);
    cr_assert_eq(last_read(&a), STREAM_FAILED);
    cr_assert_neq(stream_error(a.s)[0], 0);
    stream_close(l, &a.s);
    cr_assert_eq(dup2(0, in->fd[0]), in->fd[0], "the number that was closed above: the stream will close it");
    stream_close(l, &b.s);
    done(in);
}

/* A reply flushed right before close arrives although the client's bytes were not all read. */
Test(socket, j_close_does_not_overtake_the_last_reply)
{
    struct end a, b;
    struct inbox *in = listening("127.0.0.1:0");
    join(in, &a, &b);
    put(&a, "GET / HTTP/1.1\r\nmuch that nobody will read\r\n");
    UNTIL(b.woken == 1);
    cr_assert_eq(stream_read(b.s, text, 3), 3);
    stream_put(b.s, "521 no", 6);
    stream_close(l, &b.s); /* flushes */
    UNTIL(came(&a, "521 no"));
    UNTIL(last_read(&a) == STREAM_EOF);
    stream_close(l, &a.s);
    done(in);
}

Test(socket, k_byte_by_byte)
{
    struct end a, b;
    struct inbox *in = listening("127.0.0.1:0");
    join(in, &a, &b);
    put(&a, "abcdefgh");
    UNTIL(b.woken == 1);
    for (int i = 0; i < 8; i++) {
        char c;
        cr_assert_eq(stream_read(b.s, &c, 1), 1);
        cr_assert_eq(c, "abcdefgh"[i]);
    }
    char c;
    cr_assert_eq(stream_read(b.s, &c, 1), STREAM_AGAIN);
    stream_close(l, &a.s);
    stream_close(l, &b.s);
    done(in);
}

Test(socket, l_streams_are_small)
{
    struct end a, b;
    struct inbox *in = listening("127.0.0.1:0");
    join(in, &a, &b);
    cr_assert_leq(sizeof(struct stream), 128);
    stream_close(l, &a.s);
    stream_close(l, &b.s);
    done(in);
}
