/* TLS streams: handshakes and data through every window, both ends' closes, strangers who do not speak TLS. */
#include "tls_pair.h"

Test(tls, a_handshake_data_and_close)
{
    for (int v = 0; v < 2; v++) {
        pair_begin(versions[v]);
        start((struct memory_pair_options){0});
        struct tls_info i;
        cr_assert_eq(stream_state(server.s), STREAM_CONNECTING);
        cr_assert_not(tls_info(server.s, &i));
        say(&client, "EHLO client\r\n"); /* before the handshake: kept */
        cr_assert_eq(stream_flush(client.s), FLUSH_NOT_YET);
        settle(&client, &server);
        cr_assert_eq(stream_state(server.s), STREAM_OPEN, "%s", stream_error(server.s));
        cr_assert_eq(stream_state(client.s), STREAM_OPEN, "%s", stream_error(client.s));
        cr_assert(got(&server, "EHLO client\r\n"));
        cr_assert_gt(client.woken, 0);
        say(&server, "250 ok\r\n");
        settle(&client, &server);
        cr_assert(got(&client, "250 ok\r\n"));
        i = info(&server);
        cr_assert_str_eq(i.version, v == 0 ? "TLSv1.3" : "TLSv1.2");
        cr_assert_str_eq(i.cipher, v == 0 ? "TLS_AES_128_GCM_SHA256" : "ECDHE-ECDSA-AES128-GCM-SHA256");
        cr_assert_str_eq(i.cipher_iana, v == 0 ? "TLS_AES_128_GCM_SHA256" : "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
        cr_assert_eq(i.bits, 128);
        cr_assert(str_eq(i.server_name, STR("mx.example")));
        cr_assert_not(i.resumed);
        cr_assert_eq(i.peer, TLS_PEER_NONE);
        cr_assert_eq(info(&client).peer, TLS_PEER_UNVERIFIED);
        cr_assert(str_eq(info(&client).server_name, STR("mx.example")));
        end_close(&client);
        loop_settle(l);
        cr_assert(stream_peer_gone(server.s));
        take(&server, 100);
        cr_assert_eq(server.last, STREAM_EOF);
        cr_assert_not(info(&server).truncated, "close_notify came");
        end_close(&server);
        pair_done();
    }
}

Test(tls, b_every_window_and_read_limit)
{
    static const size_t windows[] = {1, 2, 7, 100, 1000, 16389, 0}, limits[] = {1, 3, 500, 0};
    for (int v = 0; v < 2; v++) {
        pair_begin(versions[v]);
        for (size_t w = 0; w < sizeof windows / sizeof windows[0]; w++) {
            for (size_t r = 0; r < sizeof limits / sizeof limits[0]; r++) {
                start((struct memory_pair_options){.window = windows[w], .read_limit = limits[r]});
                say(&server, "220 mx\r\n");
                settle(&client, &server);
                cr_assert(got(&client, "220 mx\r\n"), "window %zu, limit %zu: %s", windows[w], limits[r], stream_error(client.s));
                say(&client, "QUIT\r\n");
                settle(&client, &server);
                cr_assert(got(&server, "QUIT\r\n"));
                cr_assert_eq(stream_queued(client.s) + stream_queued(server.s), 0);
                ends_close(&client, &server);
            }
        }
        pair_done();
    }
}

/* Both ways at once; slices of every size; reads of 1, 1000 and 20000 bytes. */
Test(tls, c_large_transfers_through_small_windows)
{
    static const size_t windows[] = {600, 5000, 16406, 40000}, reads[] = {1, 1000, 20000};
    struct buf there = many(150000, 1), back = many(120000, 2);
    for (int v = 0; v < 2; v++) {
        pair_begin(versions[v]);
        for (size_t w = 0; w < 4; w++) {
            size_t at_most = reads[w % 3];
            struct iovec slices[40];
            size_t at = 0;
            int n = 0;
            start((struct memory_pair_options){.window = windows[w]});
            for (; at < there.n; n++) {
                size_t part = n % 5 == 4 ? 0 : (size_t)1 << n % 20;
                part = part > there.n - at || n == 39 ? there.n - at : part;
                slices[n] = (struct iovec){there.p + at, part};
                at += part;
            }
            settle(&client, &server);
            stream_put_iov(client.s, slices, n);
            stream_put(server.s, back.p, back.n);
            stream_flush(server.s);
            for (unsigned i = 0; i < 5000 && (server.got.n < there.n || client.got.n < back.n); i++) {
                take(&client, at_most);
                take(&server, at_most);
                loop_settle(l);
            }
            cr_assert(str_eq(buf_view(&server.got), buf_view(&there)), "window %zu: %zu came", windows[w], server.got.n);
            cr_assert(str_eq(buf_view(&client.got), buf_view(&back)), "window %zu: %zu came", windows[w], client.got.n);
            cr_assert_eq(stream_queued(client.s) + stream_queued(server.s), 0);
            ends_close(&client, &server);
        }
        pair_done();
    }
    buf_free(&there);
    buf_free(&back);
}

/* What was flushed and not taken is tried at close; a record half sent is not followed by anything that would break it. */
Test(tls, d_closing_while_blocked)
{
    pair_begin(TLS1_3_VERSION);
    for (size_t window = 1; window < 80; window += 6) {
        start((struct memory_pair_options){.window = window});
        settle(&client, &server);
        say(&server, "421 4.3.2 closing, and so on, and so on\r\n");
        end_close(&server);
        for (unsigned i = 0; i < 100 && client.last != STREAM_EOF && client.last != STREAM_FAILED; i++) {
            take(&client, 100);
            loop_settle(l);
        }
        cr_assert_eq(client.last, STREAM_EOF);
        cr_assert(client.got.n == 0 || got(&client, "421 4.3.2 closing, and so on, and so on\r\n"));
        cr_assert(info(&client).truncated, "no close_notify found room");
        end_close(&client);
        loop_settle(l);
    }
    pair_done();
}

/* close_notify in mid data, then bytes in the clear: CVE-2026-45185 and its like. Only what came inside is delivered. */
Test(tls, e_after_close_notify_nothing)
{
    for (int v = 0; v < 2; v++) {
        for (int buffered = 0; buffered < 2; buffered++) {
            pair_begin(versions[v]);
            start((struct memory_pair_options){0});
            settle(&client, &server);
            say(&client, "BDAT 1000\r\nabc");
            if (!buffered) {
                settle(&client, &server);
            }
            SSL_shutdown(((struct tls_stream *)(void *)client.s)->ssl);
            stream_put(stream_below(client.s), "in the clear\r\n", 14);
            stream_flush(stream_below(client.s));
            settle(&client, &server);
            cr_assert(got(&server, "BDAT 1000\r\nabc"));
            cr_assert_eq(server.last, STREAM_EOF);
            cr_assert_not(info(&server).truncated);
            cr_assert_eq(stream_read(server.s, (char[10]){0}, 10), STREAM_EOF, "and again");
            cr_assert_eq(stream_state(server.s), STREAM_OPEN, "we may still answer");
            say(&server, "221 bye\r\n");
            settle(&client, &server);
            ends_close(&client, &server);
            pair_done();
        }
    }
}

Test(tls, f_an_end_without_close_notify_is_told)
{
    for (int v = 0; v < 2; v++) {
        pair_begin(versions[v]);
        start((struct memory_pair_options){0});
        settle(&client, &server);
        say(&client, "DATA\r\n");
        stream_memory_half_close(stream_below(client.s));
        settle(&client, &server);
        cr_assert(got(&server, "DATA\r\n"));
        cr_assert_eq(server.last, STREAM_EOF);
        cr_assert(info(&server).truncated);
        say(&server, "354 go\r\n"); /* a client that closed its side too early still hears us */
        settle(&client, &server);
        cr_assert(got(&client, "354 go\r\n"));
        ends_close(&client, &server);
        pair_done();
    }
}

/* One record and a half, then the end. */
Test(tls, g_half_a_record_is_never_delivered)
{
    pair_begin(TLS1_3_VERSION);
    start((struct memory_pair_options){.window = 400});
    settle(&client, &server);
    struct buf much = many(300, 3);
    say(&client, "QUIT\r\n");
    stream_put(client.s, much.p, much.n);
    stream_flush(client.s);
    stream_put(client.s, much.p, much.n);
    stream_flush(client.s); /* the second record meets a full window */
    cr_assert_eq(stream_flush(client.s), FLUSH_NOT_YET);
    cr_assert_eq(stream_queued(client.s), 300);
    stream_memory_half_close(stream_below(client.s));
    settle(&client, &server);
    cr_assert_eq(server.got.n, 306);
    cr_assert_eq(server.last, STREAM_EOF);
    cr_assert(info(&server).truncated);
    buf_free(&much);
    ends_close(&client, &server);
    pair_done();
}

Test(tls, h_strangers_die_cleanly)
{
    static const char *const hellos[] = {
        "EHLO client.example\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\x16\x03\x01\x40\x01....", "\x80\x2e\x01\x03\x01",
        "\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00", "\x15\x03\x03\x00\x02\x02\x28", "\x17\x03\x03\x00\x01x", "PROXY UNKNOWN\r\n",
    };
    static const size_t lengths[] = {21, 27, 9, 5, 10, 7, 6, 15};
    pair_begin(TLS1_3_VERSION);
    for (size_t i = 0; i < sizeof hellos / sizeof hellos[0]; i++) {
        for (size_t limit = 0; limit < 2; limit++) {
            struct stream *raw, *b;
            stream_memory_pair(l, &(struct memory_pair_options){.read_limit = limit}, &raw, &b);
            end_setup(&server, b);
            stream_start_tls(&server.s, sc, STR_NONE);
            stream_put(raw, hellos[i], lengths[i]);
            stream_flush(raw);
            loop_settle(l);
            if (stream_state(server.s) == STREAM_CONNECTING) { /* waits for the rest of a record: then the end comes */
                stream_memory_half_close(raw);
                loop_settle(l);
            }
            cr_assert_eq(stream_state(server.s), STREAM_DEAD, "hello %zu", i);
            cr_assert(str_starts(str_of(stream_error(server.s)), STR("TLS handshake: ")), "%s", stream_error(server.s));
            cr_assert_eq(stream_read(server.s, (char[9]){0}, 9), STREAM_FAILED);
            cr_assert_eq(stream_flush(server.s), FLUSH_FAILED);
            cr_assert_gt(server.woken, 0);
            end_close(&server);
            stream_close(l, &raw);
            loop_settle(l);
        }
    }
    pair_done();
}

Test(tls, i_reasons_are_openssls_words)
{
    pair_begin(TLS1_3_VERSION);
    struct stream *raw, *b;
    stream_memory_pair(l, NULL, &raw, &b);
    end_setup(&server, b);
    stream_start_tls(&server.s, sc, STR_NONE);
    stream_put(raw, "EHLO client.example\r\n", 21);
    stream_flush(raw);
    loop_settle(l);
    cr_assert_str_eq(stream_error(server.s), "TLS handshake: wrong version number");
    end_close(&server);
    stream_close(l, &raw);

    stream_memory_pair(l, NULL, &raw, &b); /* a client that meets an injected reply in front of the hello */
    end_setup(&client, b);
    stream_start_tls(&client.s, cc, STR("mx.example"));
    stream_put(raw, "250 injected\r\n", 14);
    stream_flush(raw);
    loop_settle(l);
    cr_assert_str_eq(stream_error(client.s), "TLS handshake: wrong version number");
    end_close(&client);
    stream_close(l, &raw);

    stream_memory_pair(l, NULL, &raw, &b);
    end_setup(&server, b);
    stream_start_tls(&server.s, sc, STR_NONE);
    stream_close(l, &raw);
    loop_settle(l);
    cr_assert_str_eq(stream_error(server.s), "TLS handshake: the peer closed the connection");
    end_close(&server);

    SSL_CTX_set_max_proto_version(cc->ssl, TLS1_2_VERSION); /* no version in common */
    SSL_CTX_set_min_proto_version(sc->ssl, TLS1_3_VERSION);
    start((struct memory_pair_options){0});
    loop_settle(l);
    cr_assert_str_eq(stream_error(server.s), "TLS handshake: unsupported protocol");
    cr_assert_str_eq(stream_error(client.s), "TLS handshake: tlsv1 alert protocol version");
    ends_close(&client, &server);
    pair_done();
}

Test(tls, j_a_reset_kills)
{
    pair_begin(TLS1_3_VERSION);
    for (int open = 0; open < 2; open++) {
        start((struct memory_pair_options){0});
        if (open) {
            settle(&client, &server);
        }
        stream_memory_break(stream_below(server.s), true);
        loop_settle(l);
        cr_assert_eq(stream_state(server.s), STREAM_DEAD);
        cr_assert_str_eq(stream_error(server.s), "Connection reset by peer");
        cr_assert_eq(stream_read(client.s, (char[1]){0}, 1), STREAM_FAILED);
        ends_close(&client, &server);
    }
    pair_done();
}

/* What the peer said before our write failed is still read. */
Test(tls, k_words_before_a_failed_write)
{
    for (int v = 0; v < 2; v++) {
        pair_begin(versions[v]);
        start((struct memory_pair_options){0});
        settle(&client, &server);
        say(&server, "421 4.3.2 closing\r\n");
        end_close(&server);
        say(&client, "MAIL FROM:<a@example>\r\n");
        cr_assert_eq(stream_flush(client.s), FLUSH_FAILED);
        loop_settle(l);
        take(&client, 100);
        cr_assert(got(&client, "421 4.3.2 closing\r\n"));
        cr_assert_eq(client.last, STREAM_FAILED);
        cr_assert_str_eq(stream_error(client.s), "TLS: Broken pipe");
        end_close(&client);
        pair_done();
    }
}

/* A client that says all it has and leaves: its words are heard although our ticket finds nobody. */
Test(tls, l_a_hasty_client)
{
    for (int v = 0; v < 2; v++) {
        pair_begin(versions[v]);
        start((struct memory_pair_options){0});
        say(&client, "QUIT\r\n");
        for (unsigned i = 0; i < 20 && stream_state(client.s) == STREAM_CONNECTING; i++) {
            loop_turn(l, false);
        }
        cr_assert_eq(stream_state(client.s), STREAM_OPEN);
        end_close(&client);
        loop_settle(l);
        take(&server, 100);
        cr_assert(got(&server, "QUIT\r\n"), "%s", stream_error(server.s));
        cr_assert(server.last == STREAM_EOF || server.last == STREAM_FAILED);
        end_close(&server);
        loop_settle(l);
        pair_done();
    }
}

Test(tls, m_renegotiation_is_refused)
{
    pair_begin(TLS1_2_VERSION);
    start((struct memory_pair_options){0});
    settle(&client, &server);
    SSL *c = ((struct tls_stream *)(void *)client.s)->ssl, *s = ((struct tls_stream *)(void *)server.s)->ssl;
    SSL_clear_options(c, SSL_OP_NO_RENEGOTIATION);
    unsigned char before[64], after[64];
    size_t n = SSL_get_finished(s, before, sizeof before);
    cr_assert_eq(SSL_renegotiate(c), 1);
    SSL_do_handshake(c);
    say(&client, "NOOP\r\n");
    settle(&client, &server);
    cr_assert_eq(client.last, STREAM_FAILED, "it is told no");
    cr_assert_eq(SSL_get_finished(s, after, sizeof after), n);
    cr_assert_arr_eq(before, after, n, "no second handshake took place");
    cr_assert_str_eq(stream_error(client.s), "TLS: no renegotiation");
    ends_close(&client, &server);

    start((struct memory_pair_options){0}); /* and a client does not follow a server's request */
    settle(&client, &server);
    c = ((struct tls_stream *)(void *)client.s)->ssl;
    s = ((struct tls_stream *)(void *)server.s)->ssl;
    SSL_clear_options(s, SSL_OP_NO_RENEGOTIATION);
    n = SSL_get_finished(c, before, sizeof before);
    SSL_renegotiate(s);
    SSL_do_handshake(s);
    settle(&client, &server);
    cr_assert_eq(SSL_get_finished(c, after, sizeof after), n);
    cr_assert_arr_eq(before, after, n);
    ends_close(&client, &server);
    pair_done();
}

/* Key updates are records without data: reading comes back after each and goes on by itself. */
Test(tls, n_key_updates)
{
    pair_begin(TLS1_3_VERSION);
    for (size_t window = 0; window < 300; window += 100) {
        start((struct memory_pair_options){.window = window});
        settle(&client, &server);
        SSL *c = ((struct tls_stream *)(void *)client.s)->ssl;
        for (int i = 0; i < 60; i++) {
            bool answer = window == 0 && i % 2; /* OpenSSL cannot read a second request while a record of ours is half sent */
            cr_assert_eq(SSL_key_update(c, answer ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED), 1);
            say(&client, i % 7 ? "" : "x");
            for (unsigned wait = 0; SSL_do_handshake(c) != 1; wait++) { /* the window is full */
                settle(&client, &server);
                cr_assert_lt(wait, 10, "window %zu, update %d: %s", window, i, stream_error(server.s));
            }
            say(&server, "y");
        }
        settle(&client, &server);
        cr_assert(got(&server, "xxxxxxxxx"), "window %zu: %zu", window, server.got.n);
        cr_assert_eq(client.got.n, 60);
        ends_close(&client, &server);
    }
    pair_done();
}

/* Bytes that OpenSSL holds and nobody read: the owner that comes back, and the new owner, get them without a word from below. */
Test(tls, o_bytes_in_openssls_buffer)
{
    pair_begin(TLS1_3_VERSION);
    start((struct memory_pair_options){0});
    settle(&client, &server);
    say(&client, "MAIL\r\n");
    say(&client, "RCPT\r\n");
    loop_settle(l);
    char c[1];
    cr_assert_eq(stream_read(server.s, c, 1), 1);
    loop_settle(l);
    struct end other = {.task.run = end_woken};
    stream_set_owner(server.s, &other.task);
    loop_settle(l);
    cr_assert_eq(other.woken, 1);
    take(&server, 1);
    cr_assert(got(&server, "AIL\r\nRCPT\r\n"));
    stream_set_owner(server.s, &server.task);
    loop_settle(l);
    ends_close(&client, &server);
    pair_done();
}
