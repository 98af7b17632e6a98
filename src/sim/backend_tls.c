/*
 * backend_tls.c - STARTTLS at a simulated backend: a real handshake by OpenSSL, with a certificate made for this transcript
 * (credentials.h). What the proxy thinks of the certificate is its own affair, and what this is about.
 */
#include "backend_internal.h"
#include "postern/net/tls.h"

static struct tls_context *context_of(const struct sim_backend *b)
{
    const struct world *w = b->world;
    const struct credentials *mine = b->credentials ? b->credentials : w->script->backend_credentials[b->index];
    return mine ? contexts_backend(w->script->contexts, mine) : NULL;
}

void backend_start_tls(struct backend_conn *c)
{
    struct tls_context *context = context_of(c->backend);
    if (!context) { /* nobody was to ask for it */
        ledger_violation(&c->backend->world->ledger, "a backend without a certificate got STARTTLS");
        c->reading = READ_NOTHING;
        return;
    }
    wire_encrypted(&c->wire);
    stream_start_tls(&c->stream, context, STR(""));
    c->reading = READ_HANDSHAKE;
    c->greeted = false; /* RFC 3207 4.2: all that was known is forgotten */
    buf_clear(&c->announced);
    backend_transaction_over(c);
}

enum progress backend_handshake(struct backend_conn *c)
{
    struct tls_info info;
    switch (stream_state(c->stream)) {
    case STREAM_CONNECTING:
        return NOTHING_WHOLE;
    case STREAM_DEAD:
        backend_conn_free(c);
        return CONN_GONE;
    case STREAM_OPEN:
        break;
    }
    tls_info(c->stream, &info);
    backend_note(c->backend, "TLS%s%.*s", info.server_name.n ? " " : "", STR_ARG(info.server_name));
    c->tls = true;
    c->reading = READ_COMMANDS;
    return PROGRESS;
}
