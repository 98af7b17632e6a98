/* tls_ends.h - what the tests of TLS share: certificates made on the spot, two ends over a memory pair in virtual time, and
 * moving them on. */
#ifndef TESTS_TLS_ENDS_H
#define TESTS_TLS_ENDS_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "postern/net/tls.h"
#include "postern/net/tls_make.h"
#include "tls_internal.h"

#define WALL_MS 1800000000000ULL
#define DAY_MS 86400000ULL

struct pem {
    struct buf certificate, key;
};

struct end {
    struct task task;
    struct stream *s;
    unsigned woken;
    struct buf got;
    ssize_t last; /* what the latest read said */
};

static struct loop *l __attribute__((unused));

static void end_woken(struct task *t)
{
    ((struct end *)(void *)t)->woken++;
}

/* names: separated by spaces. */
static inline struct pem make_pem(const char *names, bool rsa, const struct pem *issuer, uint64_t from_ms, uint64_t to_ms)
{
    struct str list[16], rest = str_of(names);
    struct tls_make how = {.names = list, .rsa = rsa, .from_ms = from_ms, .to_ms = to_ms, .authority = !issuer};
    struct pem out = {0};
    while (str_split(&rest, ' ', &list[how.count])) {
        how.count++;
    }
    if (issuer) {
        how.issuer_certificate = buf_view(&issuer->certificate);
        how.issuer_key = buf_view(&issuer->key);
    }
    cr_assert(tls_make_certificate(&how, &out.certificate, &out.key), "making a certificate for %s", names);
    return out;
}

static inline struct pem make(const char *names)
{
    return make_pem(names, false, NULL, WALL_MS - DAY_MS, WALL_MS + 30 * DAY_MS);
}

static inline void pem_free(struct pem *p)
{
    buf_free(&p->certificate);
    buf_free(&p->key);
}

static inline struct tls_certificate pem_view(const struct pem *p)
{
    return (struct tls_certificate){.certificate_pem = buf_view(&p->certificate), .key_pem = buf_view(&p->key)};
}

static inline struct tls_context *server_of(const struct pem *pems, size_t count)
{
    struct tls_certificate list[8];
    char *error = NULL;
    for (size_t i = 0; i < count; i++) {
        list[i] = pem_view(&pems[i]);
    }
    struct tls_server_options options = {.certificates = list, .count = count, .now_ms = WALL_MS};
    struct tls_context *c = tls_context_server(&options, &error);
    cr_assert(c, "%s", error);
    return c;
}

static inline struct tls_context *client_of(struct tls_client_options options)
{
    char *error = NULL;
    struct tls_context *c = tls_context_client(&options, &error);
    cr_assert(c, "%s", error);
    return c;
}

static inline void end_setup(struct end *e, struct stream *s)
{
    *e = (struct end){.task.run = end_woken, .s = s};
    stream_set_owner(s, &e->task);
}

/* Client and server over a memory pair, TLS started on both, nothing moved yet. */
static inline void ends_start(struct end *client, struct end *server, struct tls_context *cc, struct tls_context *sc,
                              const char *name, struct memory_pair_options options)
{
    struct stream *a, *b;
    stream_memory_pair(l, &options, &a, &b);
    end_setup(client, a);
    end_setup(server, b);
    stream_start_tls(&client->s, cc, str_of(name));
    stream_start_tls(&server->s, sc, STR_NONE);
}

/* Reads what there is, by calls of `at_most` bytes. */
static inline void take(struct end *e, size_t at_most)
{
    char part[20000];
    while ((e->last = stream_read(e->s, part, at_most)) > 0) {
        buf_put(&e->got, part, (size_t)e->last);
    }
}

static inline void settle(struct end *client, struct end *server)
{
    loop_settle(l);
    for (unsigned idle = 0; idle < 600; idle++) { /* a record, a ticket even, may come a byte at a time */
        size_t before = client->got.n + server->got.n;
        take(client, 16384);
        take(server, 16384);
        loop_settle(l);
        if (client->got.n + server->got.n != before) {
            idle = 0;
        }
    }
}

static inline void ends_begin(void)
{
    l = loop_new_simulated(WALL_MS);
}

static inline void ends_done(void)
{
    loop_free(&l);
}

/* Both, as far as the handshake goes. */
static inline void ends_connect(struct end *client, struct end *server, struct tls_context *cc, struct tls_context *sc, const char *name)
{
    ends_start(client, server, cc, sc, name, (struct memory_pair_options){0});
    settle(client, server);
}

static inline void say(struct end *e, const char *text)
{
    stream_put(e->s, text, strlen(text));
    stream_flush(e->s);
}

static inline bool got(const struct end *e, const char *text)
{
    return str_eq(buf_view(&e->got), str_of(text));
}

static inline void end_close(struct end *e)
{
    stream_close(l, &e->s);
    buf_free(&e->got);
}

static inline void ends_close(struct end *client, struct end *server)
{
    end_close(client);
    end_close(server);
    loop_settle(l);
}

/* n bytes that look like nothing, the same each time. */
static inline struct buf many(size_t n, unsigned seed)
{
    struct buf out = {0};
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1103515245 + 12345;
        buf_char(&out, (char)(seed >> 16));
    }
    return out;
}

static inline struct tls_info info(const struct end *e)
{
    struct tls_info out;
    cr_assert(tls_info(e->s, &out), "%s", stream_error(e->s));
    return out;
}

#endif
