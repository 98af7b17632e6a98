/*
 * contexts.c - see contexts.h.
 */
#include "contexts.h"

#include "postern/net/tls_make.h"
#include "script.h"

#include <stdlib.h>

#define DAY_MS UINT64_C(86400000)

struct shown { /* by a backend */
    const struct credentials *credentials;
    struct tls_context *context;
};

struct contexts {
    struct tls_context *proxy, *clients[TLS_ASKED_12 + 1]; /* NULL: nobody has needed it yet */
    struct shown *backends;
    size_t count;
};

struct contexts *contexts_new(void)
{
    return xcalloc(1, sizeof(struct contexts));
}

void contexts_free(struct contexts **contexts)
{
    struct contexts *c = *contexts;
    *contexts = NULL;
    if (!c)
        return;
    tls_context_free(&c->proxy);
    for (size_t i = 0; i < sizeof c->clients / sizeof *c->clients; i++)
        tls_context_free(&c->clients[i]);
    for (size_t i = 0; i < c->count; i++)
        tls_context_free(&c->backends[i].context);
    free(c->backends);
    free(c);
}

void contexts_begin(struct contexts *c)
{
    if (c->proxy)
        tls_context_renew(c->proxy, SIM_EPOCH_MS);
    for (size_t i = 0; i < sizeof c->clients / sizeof *c->clients; i++)
        if (c->clients[i])
            tls_context_renew(c->clients[i], SIM_EPOCH_MS);
    for (size_t i = 0; i < c->count; i++)
        tls_context_renew(c->backends[i].context, SIM_EPOCH_MS);
}

/* Takes what was made of `certificates`, text all of it: errors are of the name alone. */
static struct tls_context *make_server(const struct tls_certificate *certificates, size_t count)
{
    struct tls_server_options options = {.certificates = certificates, .count = count, .now_ms = SIM_EPOCH_MS};
    char *error = NULL;
    struct tls_context *made = tls_context_server(&options, &error);
    free(error);
    return made;
}

/* --- the proxy's ------------------------------------------------------------------------------------------------------------ */

static struct str name_of(const struct settings *settings, size_t i)
{
    struct str file = settings->certificates[i].file;
    size_t slash = file.n;
    while (slash > 0 && file.p[slash - 1] != '/')
        slash--;
    size_t end = str_ends_nocase(file, STR(".pem")) ? file.n - 4 : file.n;
    return i == 0 ? settings->hostname : str_sub(file, slash, end);
}

static bool make_certificate(struct str name, struct tls_certificate *out, struct arena *arena)
{
    struct tls_make how = {
        .names = &name, .count = 1, .from_ms = SIM_EPOCH_MS - DAY_MS, .to_ms = SIM_EPOCH_MS + 3650 * DAY_MS};
    struct buf certificate = {0}, key = {0};
    bool made = tls_make_certificate(&how, &certificate, &key);
    if (made) {
        out->certificate_pem = arena_str(arena, buf_view(&certificate));
        out->key_pem = arena_str(arena, buf_view(&key));
    }
    buf_free(&certificate);
    buf_free(&key);
    return made;
}

struct tls_context *contexts_proxy(struct contexts *c, const struct settings *settings, struct str *name)
{
    struct arena arena = {0};
    size_t count = settings->certificate_count, made = 0;
    struct tls_certificate *all = arena_zalloc(&arena, count * sizeof *all);
    for (; !c->proxy && made < count; made++) {
        *name = name_of(settings, made);
        if (!make_certificate(*name, &all[made], &arena))
            break;
    }
    if (!c->proxy && made == count)
        c->proxy = make_server(all, count);
    arena_clear(&arena);
    return c->proxy;
}

/* --- of those around it ----------------------------------------------------------------------------------------------------- */

struct tls_context *contexts_backend(struct contexts *c, const struct credentials *mine)
{
    struct tls_certificate one = {.certificate_pem = mine->certificate, .key_pem = mine->key};
    for (size_t i = 0; i < c->count; i++)
        if (c->backends[i].credentials == mine)
            return c->backends[i].context;
    struct tls_context *made = make_server(&one, 1);
    if (!made)
        return NULL;
    c->backends = xrealloc(c->backends, (c->count + 1) * sizeof *c->backends);
    c->backends[c->count++] = (struct shown){mine, made};
    return made;
}

struct tls_context *contexts_client(struct contexts *c, enum tls_asked asked)
{
    struct tls_client_options any = {.verify = TLS_VERIFY_OFF, .tls12 = asked == TLS_ASKED_12};
    char *error = NULL;
    if (!c->clients[asked])
        c->clients[asked] = tls_context_client(&any, &error);
    free(error);
    return c->clients[asked];
}
