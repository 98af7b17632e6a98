/* Memory pairs: bytes, windows, read limits, ends, breaks, connecting; all of it through the wake list. */
#include <criterion/criterion.h>
#include <string.h>

#include "postern/net/stream.h"

struct end {
    struct task task;
    struct stream *s;
    unsigned woken;
};

static struct loop *l;
static struct end a, b;

static void woken(struct task *t)
{
    ((struct end *)(void *)t)->woken++;
}

static void pair(struct memory_pair_options options)
{
    l = loop_new_simulated(0);
    a = (struct end){.task.run = woken};
    b = (struct end){.task.run = woken};
    stream_memory_pair(l, &options, &a.s, &b.s);
    stream_set_owner(a.s, &a.task);
    stream_set_owner(b.s, &b.task);
}

static void done(void)
{
    stream_close(l, &a.s);
    stream_close(l, &b.s);
    loop_free(&l);
}

static void put(struct end *e, const char *text)
{
    stream_put(e->s, text, strlen(text));
}

/* Everything that can be read now; the last answer in *last. */
static const char *take(struct end *e, ssize_t *last)
{
    static char text[4096];
    size_t n = 0;
    ssize_t got;
    while ((got = stream_read(e->s, text + n, sizeof text - 1 - n)) > 0) {
        n += (size_t)got;
    }
    text[n] = 0;
    if (last) {
        *last = got;
    }
    return text;
}

Test(memory, a_bytes_cross_both_ways_and_wake)
{
    ssize_t last;
    pair((struct memory_pair_options){0});
    cr_assert_eq(stream_state(a.s), STREAM_OPEN);
    cr_assert_eq(stream_read(b.s, (char[1]){0}, 1), STREAM_AGAIN);
    put(&a, "one ");
    put(&a, "two");
    loop_settle(l);
    cr_assert_eq(b.woken, 0, "put alone sends nothing");
    cr_assert_eq(stream_queued(a.s), 7);
    cr_assert_eq(stream_flush(a.s), FLUSH_DONE);
    cr_assert_eq(b.woken, 0, "nobody is called inside flush");
    loop_settle(l);
    cr_assert_eq(b.woken, 1);
    cr_assert_str_eq(take(&b, &last), "one two");
    cr_assert_eq(last, STREAM_AGAIN);
    put(&b, "back");
    cr_assert_eq(stream_flush(b.s), FLUSH_DONE);
    loop_settle(l);
    cr_assert_str_eq(take(&a, NULL), "back");
    done();
}

Test(memory, b_every_window_and_read_limit_carries_the_same_bytes)
{
    char sent[300];
    for (size_t i = 0; i < sizeof sent; i++) {
        sent[i] = (char)('a' + i % 26);
    }
    for (size_t window = 1; window <= 40; window += 3) {
        for (size_t limit = 0; limit <= 9; limit += 3) {
            pair((struct memory_pair_options){.window = window, .read_limit = limit});
            struct iovec iov[3] = {{sent + 50, 100}, {sent + 150, 0}, {sent + 150, 150}};
            stream_put(a.s, sent, 50);
            stream_put_iov(a.s, iov, 3);
            cr_assert_eq(stream_queued(a.s), 300 - window);
            cr_assert_eq(stream_flush(a.s), FLUSH_NOT_YET);
            char got[300];
            size_t n = 0;
            while (n < sizeof got) {
                loop_settle(l);
                size_t ask = sizeof got - n;
                ssize_t r = stream_read(b.s, got + n, ask);
                cr_assert_gt(r, 0);
                cr_assert(limit == 0 || (size_t)r <= limit);
                cr_assert_leq((size_t)r, window);
                n += (size_t)r;
            }
            loop_settle(l);
            cr_assert_arr_eq(got, sent, sizeof sent);
            cr_assert_eq(a.woken, 1, "woken when the queue became empty (window %zu limit %zu: %u)", window, limit, a.woken);
            cr_assert_eq(stream_queued(a.s), 0);
            done();
        }
    }
}

Test(memory, c_many_slices)
{
    pair((struct memory_pair_options){0});
    struct iovec iov[200];
    for (int i = 0; i < 200; i++) {
        iov[i] = (struct iovec){(char *)"xy", 2};
    }
    stream_put_iov(a.s, iov, 200);
    cr_assert_eq(stream_queued(a.s), 0);
    cr_assert_eq(strlen(take(&b, NULL)), 400);
    done();
}

Test(memory, d_close_leaves_what_was_in_flight_then_eof)
{
    ssize_t last;
    pair((struct memory_pair_options){0});
    put(&a, "last words");
    stream_close(l, &a.s);
    cr_assert_null(a.s);
    loop_settle(l);
    cr_assert(stream_peer_gone(b.s));
    cr_assert_eq(b.woken, 1);
    cr_assert_str_eq(take(&b, &last), "last words");
    cr_assert_eq(last, STREAM_EOF);
    cr_assert_eq(stream_read(b.s, (char[1]){0}, 1), STREAM_EOF, "EOF stays");
    put(&b, "hello?");
    cr_assert_eq(stream_flush(b.s), FLUSH_FAILED);
    cr_assert_str_eq(stream_error(b.s), "Broken pipe");
    done();
}

Test(memory, e_closing_under_a_waiting_writer_tells_it)
{
    pair((struct memory_pair_options){.window = 2});
    put(&a, "too long");
    cr_assert_eq(stream_flush(a.s), FLUSH_NOT_YET);
    stream_close(l, &b.s);
    loop_settle(l);
    cr_assert_geq(a.woken, 1);
    cr_assert_eq(stream_flush(a.s), FLUSH_FAILED);
    cr_assert_eq(stream_queued(a.s), 0);
    cr_assert_eq(stream_read(a.s, (char[1]){0}, 1), STREAM_FAILED);
    cr_assert_eq(stream_state(a.s), STREAM_DEAD);
    done();
}

Test(memory, f_half_close)
{
    ssize_t last;
    pair((struct memory_pair_options){0});
    put(&a, "QUIT");
    stream_flush(a.s);
    stream_memory_half_close(a.s);
    loop_settle(l);
    cr_assert_str_eq(take(&b, &last), "QUIT");
    cr_assert_eq(last, STREAM_EOF);
    put(&b, "221 bye");
    cr_assert_eq(stream_flush(b.s), FLUSH_DONE);
    loop_settle(l);
    cr_assert_str_eq(take(&a, &last), "221 bye");
    cr_assert_eq(last, STREAM_AGAIN);
    cr_assert_not(stream_peer_gone(a.s));
    cr_assert(stream_peer_gone(b.s));
    done();
}

Test(memory, g_breaks)
{
    ssize_t last;
    for (int reset = 0; reset < 2; reset++) {
        pair((struct memory_pair_options){.window = 4});
        put(&a, "abcdefgh");
        stream_flush(a.s);
        stream_memory_break(b.s, reset);
        loop_settle(l);
        cr_assert_geq(a.woken, 1);
        cr_assert_geq(b.woken, 1);
        cr_assert_str_eq(take(&b, &last), reset ? "" : "abcd");
        cr_assert_eq(last, reset ? STREAM_FAILED : STREAM_EOF);
        take(&a, &last);
        cr_assert_eq(last, STREAM_FAILED);
        cr_assert_str_eq(stream_error(a.s), reset ? "Connection reset by peer" : "Broken pipe");
        cr_assert_eq(stream_flush(a.s), FLUSH_FAILED);
        cr_assert(stream_peer_gone(a.s));
        cr_assert(stream_peer_gone(b.s));
        stream_memory_break(a.s, true); /* again is harmless */
        done();
    }
}

Test(memory, h_connecting)
{
    pair((struct memory_pair_options){.connecting = true});
    cr_assert_eq(stream_state(a.s), STREAM_CONNECTING);
    put(&b, "220 hello");
    stream_flush(b.s);
    put(&a, "PROXY");
    cr_assert_eq(stream_flush(a.s), FLUSH_NOT_YET);
    stream_put_iov(a.s, &(struct iovec){(char *)" v2", 3}, 1);
    loop_settle(l);
    cr_assert_eq(stream_read(a.s, (char[1]){0}, 1), STREAM_AGAIN);
    cr_assert_eq(stream_read(b.s, (char[1]){0}, 1), STREAM_AGAIN);
    a.woken = 0;
    stream_memory_connected(a.s);
    cr_assert_eq(stream_state(a.s), STREAM_OPEN);
    loop_settle(l);
    cr_assert_eq(a.woken, 1);
    cr_assert_str_eq(take(&a, NULL), "220 hello");
    cr_assert_str_eq(take(&b, NULL), "PROXY v2");
    done();
    pair((struct memory_pair_options){.connecting = true});
    stream_memory_break(a.s, false);
    loop_settle(l);
    cr_assert_eq(stream_state(a.s), STREAM_DEAD);
    cr_assert_str_eq(stream_error(a.s), "Connection refused");
    cr_assert_eq(a.woken, 1);
    done();
}

Test(memory, i_dead_from_the_start)
{
    l = loop_new_simulated(0);
    a = (struct end){.task.run = woken};
    a.s = stream_dead(l, "No route to host", &a.task);
    cr_assert_eq(stream_state(a.s), STREAM_DEAD);
    cr_assert_str_eq(stream_error(a.s), "No route to host");
    cr_assert_eq(a.woken, 0);
    loop_settle(l);
    cr_assert_eq(a.woken, 1);
    put(&a, "x");
    cr_assert_eq(stream_flush(a.s), FLUSH_FAILED);
    cr_assert_eq(stream_read(a.s, (char[1]){0}, 1), STREAM_FAILED);
    stream_close(l, &a.s);
    loop_free(&l);
}

Test(memory, j_a_new_owner_hears_of_what_waits)
{
    struct end c = {.task.run = woken};
    pair((struct memory_pair_options){0});
    put(&a, "x");
    stream_flush(a.s);
    loop_settle(l);
    stream_set_owner(b.s, &c.task);
    loop_settle(l);
    cr_assert_eq(c.woken, 1);
    take(&b, NULL);
    stream_set_owner(b.s, &b.task);
    loop_settle(l);
    cr_assert_eq(b.woken, 1, "nothing waits: not woken");
    stream_set_owner(b.s, NULL);
    put(&a, "y");
    stream_flush(a.s);
    loop_settle(l);
    done();
}

/* A wire that turns x into y, and lets so many octets pass in each direction. */
struct narrow {
    struct memory_wire wire;
    size_t left[2];
};

static size_t narrow_pass(struct memory_wire *wire, bool to_b, char *octets, size_t n)
{
    size_t *left = &((struct narrow *)(void *)wire)->left[to_b], passed = n < *left ? n : *left;
    for (size_t i = 0; i < passed; i++) {
        octets[i] = octets[i] == 'x' ? 'y' : octets[i];
    }
    *left -= passed;
    return passed;
}

Test(memory, k_a_wire_between_sees_changes_and_stops_what_crosses)
{
    struct narrow n = {{narrow_pass}, {3, 4}};
    pair((struct memory_pair_options){.wire = &n.wire});
    put(&a, "axbx");
    cr_assert_eq(stream_flush(a.s), FLUSH_DONE);
    put(&b, "xyz!");
    cr_assert_eq(stream_flush(b.s), FLUSH_NOT_YET);
    cr_assert_eq(stream_queued(b.s), 1);
    cr_assert_str_eq(take(&b, NULL), "ayby");
    cr_assert_str_eq(take(&a, NULL), "yyz");
    put(&a, "more");
    cr_assert_eq(stream_flush(a.s), FLUSH_NOT_YET);
    loop_settle(l);
    cr_assert_str_eq(take(&b, NULL), "", "nothing passes any more");
    stream_memory_break(a.s, false);
    loop_settle(l);
    ssize_t last;
    take(&b, &last);
    cr_assert_eq(last, STREAM_FAILED, "it had something left to say");
    done();
}
