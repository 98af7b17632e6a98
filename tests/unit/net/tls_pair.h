/* tls_pair.h - one client and one server that speak TLS with each other, of either version. */
#ifndef TESTS_NET_TLS_PAIR_H
#define TESTS_NET_TLS_PAIR_H

#include "net/tls_ends.h"

static struct pem pem;
static struct tls_context *sc, *cc;
static struct end client, server;

static inline void pair_begin(int max_version)
{
    l = loop_new_simulated(WALL_MS);
    pem = make("mx.example");
    sc = server_of(&pem, 1);
    cc = client_of((struct tls_client_options){0});
    SSL_CTX_set_max_proto_version(cc->ssl, max_version);
}

static inline void pair_done(void)
{
    tls_context_free(&sc);
    tls_context_free(&cc);
    pem_free(&pem);
    loop_free(&l);
}

static inline void start(struct memory_pair_options options)
{
    ends_start(&client, &server, cc, sc, "mx.example", options);
}

static const int versions[] __attribute__((unused)) = {TLS1_3_VERSION, TLS1_2_VERSION};

#endif
