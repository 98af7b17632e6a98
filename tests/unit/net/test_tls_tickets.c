/* Tickets: sessions that are resumed, over a reload too, and the periods of their keys. */
#include "net/tls_ends.h"

static struct end client, server;

static bool resumes(struct tls_context *cc, struct tls_context *sc, const char *name)
{
    ends_connect(&client, &server, cc, sc, name);
    cr_assert_eq(stream_state(client.s), STREAM_OPEN, "%s", stream_error(client.s));
    cr_assert_eq(stream_state(server.s), STREAM_OPEN, "%s", stream_error(server.s));
    bool out = info(&client).resumed;
    cr_assert_eq(info(&server).resumed, out);
    cr_assert_eq(info(&client).peer, TLS_PEER_UNVERIFIED);
    ends_close(&client, &server);
    return out;
}

Test(tls_tickets, a_resumption_by_ticket)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        ends_begin();
        struct pem pems[2] = {make("mx.example"), make("other.example")};
        struct tls_context *sc = server_of(pems, 2), *cc = client_of((struct tls_client_options){0});
        SSL_CTX_set_max_proto_version(cc->ssl, version);
        cr_assert_not(resumes(cc, sc, "mx.example"));
        cr_assert(resumes(cc, sc, "mx.example"));
        cr_assert(resumes(cc, sc, "mx.example"));
        cr_assert_not(resumes(cc, sc, "other.example"), "sessions are kept by name");
        cr_assert(resumes(cc, sc, "other.example"));
        loop_advance_to(l, loop_now(l) + DAY_MS / 2);
        cr_assert(resumes(cc, sc, "mx.example"), "the keys of the period before still open it");
        loop_advance_to(l, loop_now(l) + DAY_MS / 2);
        /* A new ticket came then; but in TLS 1.2 OpenSSL's client keeps the one that worked. */
        cr_assert_eq(resumes(cc, sc, "mx.example"), version == TLS1_3_VERSION);
        loop_advance_to(l, loop_now(l) + DAY_MS);
        cr_assert_not(resumes(cc, sc, "mx.example"), "two periods later the keys are gone");
        cr_assert(resumes(cc, sc, "mx.example"));
        struct tls_context *stranger = server_of(pems, 2);
        cr_assert_not(resumes(cc, stranger, "mx.example"));
        tls_context_free(&stranger);
        cr_assert_not(resumes(cc, sc, "mx.example")); /* the stranger's ticket */
        cr_assert(resumes(cc, sc, "mx.example"));
        tls_context_renew(sc, loop_wall(l));
        cr_assert_not(resumes(cc, sc, "mx.example"), "a server as if it were new opens no ticket of before");
        cr_assert(resumes(cc, sc, "mx.example"));
        tls_context_renew(cc, loop_wall(l));
        cr_assert_not(resumes(cc, sc, "mx.example"), "a client as if it were new offers none");
        tls_context_free(&sc);
        tls_context_free(&cc);
        pem_free(&pems[0]);
        pem_free(&pems[1]);
        ends_done();
    }
}

Test(tls_tickets, b_reload)
{
    ends_begin();
    struct pem before = make("mx.example"), after = make("mx.example new.example");
    struct tls_certificate c = pem_view(&after);
    struct tls_context *sc = server_of(&before, 1), *cc = client_of((struct tls_client_options){0});
    char *error = NULL;
    cr_assert_not(resumes(cc, sc, "mx.example"));
    ends_connect(&client, &server, cc, sc, "mx.example");
    struct tls_context *new = tls_context_server(
        &(struct tls_server_options){.certificates = &c, .count = 1, .now_ms = WALL_MS + 5 * DAY_MS, .tickets_of = sc}, &error);
    cr_assert(new, "%s", error);
    struct tls_context *running = cc;
    tls_context_free(&sc);
    tls_context_free(&running); /* the streams hold both */
    say(&client, "NOOP\r\n");
    say(&server, "250 ok\r\n");
    settle(&client, &server);
    cr_assert(got(&server, "NOOP\r\n") && got(&client, "250 ok\r\n"));
    cr_assert(tls_context_has_name(new, STR("new.example")));
    tls_context_hold(cc);
    ends_close(&client, &server);
    cr_assert(resumes(cc, new, "mx.example"), "tickets of before stay good");
    cr_assert_not(resumes(cc, new, "new.example"));
    tls_context_free(&new);
    tls_context_free(&cc);
    pem_free(&before);
    pem_free(&after);
    ends_done();
}

Test(tls_tickets, c_ticket_keys_go_through_the_same_periods)
{
    struct tls_tickets a, b;
    tls_tickets_start(&a, WALL_MS);
    b = a;
    tls_tickets_advance(&a, WALL_MS); /* the same period: nothing */
    cr_assert_arr_eq((uint8_t *)&a, (uint8_t *)&b, sizeof a);
    for (int i = 1; i <= 10; i++) {
        struct tls_tickets old = a;
        tls_tickets_advance(&a, WALL_MS + (uint64_t)i * DAY_MS / 2);
        cr_assert_arr_eq((uint8_t *)&a.previous, (uint8_t *)&old.current, sizeof a.previous);
        cr_assert_arr_neq((uint8_t *)&a.current, (uint8_t *)&old.current, sizeof a.current);
        cr_assert_arr_neq(a.secret, old.secret, sizeof a.secret);
    }
    tls_tickets_advance(&b, WALL_MS + 5 * DAY_MS); /* another process, that slept */
    cr_assert_arr_eq((uint8_t *)&a, (uint8_t *)&b, sizeof a);
    tls_tickets_advance(&b, WALL_MS); /* a clock set back changes nothing */
    cr_assert_arr_eq((uint8_t *)&a, (uint8_t *)&b, sizeof a);
    tls_tickets_start(&b, 0);
    tls_tickets_advance(&b, WALL_MS);
    cr_assert_eq(b.period, WALL_MS / (DAY_MS / 2), "a long way is cut short");
}
