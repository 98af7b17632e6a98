/* TLS begun over a stream that exists: what may be queued on it, what state it may be in, when it may end. */
#include "tls_pair.h"

/* The 220 may still be queued when TLS starts. */
Test(starttls, a_as_a_session_does_it)
{
    pair_begin(TLS1_3_VERSION);
    for (size_t window = 1; window <= 64; window *= 2) {
        struct stream *a, *b;
        stream_memory_pair(l, &(struct memory_pair_options){.window = window}, &a, &b);
        end_setup(&client, a);
        end_setup(&server, b);
        say(&server, "220 2.0.0 go ahead\r\n");
        stream_start_tls(&server.s, sc, STR_NONE);
        char c[1];
        while (client.got.n < 20) { /* not a byte more than the line */
            loop_settle(l);
            cr_assert_eq(stream_read(client.s, c, 1), 1);
            buf_put(&client.got, c, 1);
        }
        cr_assert(got(&client, "220 2.0.0 go ahead\r\n"));
        buf_clear(&client.got);
        stream_start_tls(&client.s, cc, STR_NONE);
        say(&client, "EHLO a\r\n");
        settle(&client, &server);
        cr_assert(got(&server, "EHLO a\r\n"), "window %zu: %s", window, stream_error(server.s));
        ends_close(&client, &server);
    }
    pair_done();
}

Test(starttls, b_over_a_stream_that_is_connecting_or_dead)
{
    pair_begin(TLS1_3_VERSION);
    start((struct memory_pair_options){.connecting = true});
    say(&client, "EHLO a\r\n");
    settle(&client, &server);
    cr_assert_eq(stream_state(client.s), STREAM_CONNECTING);
    stream_memory_connected(stream_below(client.s));
    settle(&client, &server);
    cr_assert(got(&server, "EHLO a\r\n"));
    ends_close(&client, &server);

    start((struct memory_pair_options){.connecting = true});
    settle(&client, &server);
    stream_memory_break(stream_below(client.s), false);
    loop_settle(l);
    cr_assert_eq(stream_state(client.s), STREAM_DEAD);
    cr_assert_str_eq(stream_error(client.s), "Connection refused");
    ends_close(&client, &server);

    end_setup(&client, stream_dead(l, "No route to host", NULL));
    stream_start_tls(&client.s, cc, STR("mx.example"));
    loop_settle(l);
    cr_assert_eq(stream_state(client.s), STREAM_DEAD);
    cr_assert_str_eq(stream_error(client.s), "No route to host");
    end_close(&client);
    loop_settle(l);
    pair_done();
}

/* Closed at any moment of the handshake, by either side, whole turns apart. */
Test(starttls, c_closed_at_every_step)
{
    pair_begin(TLS1_3_VERSION);
    for (unsigned step = 0; step < 40; step++) {
        for (int who = 0; who < 2; who++) {
            start((struct memory_pair_options){.window = 150});
            say(&client, "EHLO a\r\n");
            for (unsigned i = 0; i < step; i++) {
                loop_turn(l, false);
            }
            struct end *first = who ? &client : &server, *second = who ? &server : &client;
            end_close(first);
            loop_settle(l);
            take(second, 100);
            loop_settle(l);
            cr_assert(second->last == STREAM_EOF || second->last == STREAM_FAILED, "step %u: %zd", step, second->last);
            cr_assert(stream_state(second->s) == STREAM_DEAD || second->last == STREAM_EOF);
            end_close(second);
            loop_settle(l);
        }
    }
    pair_done();
}
