/* TLS on the way: connections cut at every record and between, bits turned, and real sockets. Nothing wrong is ever delivered. */
#include "tls_pair.h"

#include "postern/net/network.h"
#include "until.h"

/* --- cut on the wire --- */

struct wire { /* carries bytes between two memory pairs until `left` of one direction have passed, then cuts */
    struct stream *a, *b; /* the ends that face client and server */
    size_t passed[2], cut_at[2], records[2], cut_record[2];
    size_t header[2]; /* octets of the present record's header seen */
    size_t body[2];   /* octets of it to come */
    bool cut, reset, flip; /* flip: instead of cutting, one bit is turned */
};

static bool wire_byte(struct wire *w, int way, char c)
{
    if (w->body[way] == 0 && w->header[way] == 0) {
        w->records[way]++;
    }
    bool first = w->header[way] == 0 && w->body[way] == 0;
    bool now = w->passed[way]++ == w->cut_at[way] || (first && w->records[way] == w->cut_record[way]);
    if (w->header[way] < 5) {
        size_t at = w->header[way]++;
        w->body[way] = at == 3 ? (size_t)(uint8_t)c << 8 : at == 4 ? w->body[way] | (uint8_t)c : 0;
    } else {
        w->body[way]--;
    }
    if (w->header[way] == 5 && w->body[way] == 0) {
        w->header[way] = 0;
    }
    return now;
}

static void wire_move(struct wire *w)
{
    for (int way = 0; way < 2 && !w->cut; way++) {
        struct stream *from = way ? w->b : w->a, *to = way ? w->a : w->b;
        char bytes[70000], out[70000];
        ssize_t n;
        while (!w->cut && (n = stream_read(from, bytes, sizeof bytes)) > 0) {
            size_t good = 0;
            for (; good < (size_t)n; good++) {
                out[good] = bytes[good];
                if (wire_byte(w, way, bytes[good])) {
                    if (!w->flip) {
                        w->cut = true;
                        break;
                    }
                    out[good] ^= 4;
                }
            }
            stream_put(to, out, good);
            stream_flush(to);
        }
    }
    if (w->cut && w->a) {
        if (w->reset) {
            stream_memory_break(w->a, true);
            stream_memory_break(w->b, true);
        }
        stream_close(l, &w->a);
        stream_close(l, &w->b);
    }
}

/* A short session over the wire. The result must be whole or a clean end at both ends; returns whether it was whole. */
static bool over_wire(struct wire *w)
{
    struct stream *a, *b;
    stream_memory_pair(l, NULL, &a, &w->a);
    stream_memory_pair(l, NULL, &b, &w->b);
    end_setup(&client, a);
    end_setup(&server, b);
    stream_start_tls(&client.s, cc, STR("mx.example"));
    stream_start_tls(&server.s, sc, STR_NONE);
    say(&client, "EHLO client\r\n");
    for (int i = 0; i < 12; i++) {
        loop_settle(l);
        if (w->a) {
            wire_move(w);
        }
        take(&client, 1000);
        take(&server, 1000);
        if (i == 6) {
            say(&server, "250 ok\r\n");
        }
    }
    bool whole = got(&server, "EHLO client\r\n") && got(&client, "250 ok\r\n");
    cr_assert(server.got.n == 0 || got(&server, "EHLO client\r\n"));
    cr_assert(client.got.n == 0 || got(&client, "250 ok\r\n"));
    if (w->cut) {
        cr_assert(client.last == STREAM_EOF || client.last == STREAM_FAILED, "%zd", client.last);
        cr_assert(server.last == STREAM_EOF || server.last == STREAM_FAILED, "%zd", server.last);
    }
    ends_close(&client, &server);
    stream_close(l, &w->a);
    stream_close(l, &w->b);
    loop_settle(l);
    return whole;
}

#define NEVER SIZE_MAX

Test(tls_wire, a_cut_at_every_record)
{
    for (int v = 0; v < 2; v++) {
        pair_begin(versions[v]);
        struct wire whole = {.cut_at = {NEVER, NEVER}};
        cr_assert(over_wire(&whole));
        cr_assert(whole.records[0] >= 3 && whole.records[1] >= 3);
        for (int way = 0; way < 2; way++) {
            for (size_t record = 1; record <= whole.records[way]; record++) {
                for (int reset = 0; reset < 2; reset++) {
                    struct wire w = {.cut_at = {NEVER, NEVER}, .reset = reset};
                    w.cut_record[way] = record;
                    over_wire(&w);
                    cr_assert(w.cut || record > w.records[way], "record %zu of %zu", record, whole.records[way]);
                }
            }
            for (size_t at = 0; at < whole.passed[way]; at += 41) {
                struct wire w = {.cut_at = {NEVER, NEVER}};
                w.cut_at[way] = at;
                over_wire(&w);
            }
        }
        pair_done();
    }
}

/* A turned bit anywhere is noticed: nothing wrong is ever delivered, at most a ticket is lost. */
Test(tls_wire, b_a_flipped_bit_anywhere)
{
    for (int v = 0; v < 2; v++) {
        pair_begin(versions[v]);
        struct wire whole = {.cut_at = {NEVER, NEVER}};
        cr_assert(over_wire(&whole));
        size_t unnoticed = 0;
        for (int way = 0; way < 2; way++) {
            for (size_t at = 0; at < whole.passed[way]; at += 29) {
                struct wire w = {.cut_at = {NEVER, NEVER}, .flip = true};
                w.cut_at[way] = at;
                unnoticed += over_wire(&w);
            }
        }
        cr_assert_leq(unnoticed, 2, "%zu", unnoticed); /* the version in the first record's header means nothing */
        pair_done();
    }
}

/* --- real sockets --- */

static int accepted_fd = -1;

static void took(void *context, struct listener *from, int fd, const struct addr_port *peer)
{
    (void)context, (void)from, (void)peer;
    accepted_fd = fd;
}

static struct network *net;
static struct listener *listener;
static struct addr_port at;

/* The pair's loop is a real one now, and somebody listens. */
static void listening(void)
{
    char *error = NULL;
    pair_begin(TLS1_3_VERSION);
    loop_free(&l);
    l = loop_new();
    net = network_real(l);
    listener = listener_open(l, STR("127.0.0.1:0"), took, NULL, &error);
    cr_assert(listener, "%s", error);
    at = listener_address(listener);
}

/* The client's side of a connection, TLS begun while it is connecting. */
static void connect_client(void)
{
    end_setup(&client, net->connect(net, &at, NULL));
    stream_start_tls(&client.s, cc, STR("mx.example"));
}

static void accept_server(void)
{
    UNTIL(accepted_fd >= 0);
    end_setup(&server, stream_accepted(l, accepted_fd, NULL));
    accepted_fd = -1;
}

static bool took_all(struct end *e, size_t n)
{
    take(e, 16384);
    return e->got.n >= n;
}

static bool ended(struct end *e)
{
    take(e, 16384);
    return e->last == STREAM_EOF || e->last == STREAM_FAILED;
}

Test(tls_wire, c_over_sockets)
{
    listening();
    struct buf much = many(3 << 20, 7);
    for (int v = 0; v < 2; v++) {
        SSL_CTX_set_max_proto_version(cc->ssl, versions[v]);
        connect_client(); /* a client speaks first here */
        uint64_t began = loop_now(l);
        accept_server();
        stream_start_tls(&server.s, sc, STR_NONE);
        UNTIL(stream_state(client.s) != STREAM_CONNECTING && stream_state(server.s) != STREAM_CONNECTING);
        cr_assert_eq(stream_state(client.s), STREAM_OPEN, "%s", stream_error(client.s));
        cr_assert_lt(loop_now(l) - began, 5000);
        stream_put(client.s, much.p, much.n);
        stream_put(server.s, much.p, much.n);
        stream_flush(client.s);
        stream_flush(server.s);
        UNTIL(took_all(&client, much.n) & took_all(&server, much.n));
        cr_assert(str_eq(buf_view(&client.got), buf_view(&much)));
        cr_assert(str_eq(buf_view(&server.got), buf_view(&much)));
        say(&server, "221 bye\r\n");
        end_close(&server);
        buf_clear(&client.got);
        UNTIL(ended(&client));
        cr_assert_eq(client.last, STREAM_EOF);
        cr_assert(got(&client, "221 bye\r\n"));
        cr_assert_not(info(&client).truncated);
        end_close(&client);
    }
    buf_free(&much);
    listener_close(&listener);
    free(net);
    pair_done();
}

Test(tls_wire, d_over_sockets_to_nobody_and_to_a_plain_server)
{
    listening();
    connect_client();
    accept_server();
    say(&server, "220 mx.example ESMTP\r\n");
    UNTIL(stream_state(client.s) == STREAM_DEAD);
    cr_assert_str_eq(stream_error(client.s), "TLS handshake: wrong version number");
    end_close(&client);
    UNTIL(ended(&server));
    end_close(&server);
    listener_close(&listener);

    connect_client();
    UNTIL(stream_state(client.s) == STREAM_DEAD);
    cr_assert_str_eq(stream_error(client.s), "Connection refused");
    end_close(&client);
    free(net);
    pair_done();
}
