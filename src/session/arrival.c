/*
 * arrival.c - a connection before its greeting, and TLS.
 *
 *   from a configured balancer:  PROXY protocol header -> who the client is
 *   a listener with `tls`:       handshake -> greeting
 *   STARTTLS:                    220 -> all that was said is forgotten -> handshake -> EHLO anew
 *
 * A header is believed only from the networks that the listener names, and is required of them. A balancer's own connection (LOCAL) is exempt
 * from every check: its health checks are nobody's mail.
 */
#include "session.h"

#include "postern/net/proxy_protocol.h"
#include "postern/net/tls.h"

/* --- PROXY protocol ------------------------------------------------------------------------------------------------------------ */

/* A stranger beyond the limits of one address or network hears why, if there is a way to say it in clear. */
static enum step refuse_arrival(struct session *s, enum reply_id id)
{
    if (!s->listener->tls)
        speak_id(s, id, STR_NONE);
    session_end(s, HANGUP_LIMIT);
    return STEP_END;
}

static enum step balancer_done(struct session *s, const struct proxy_protocol *p)
{
    enum reply_id refusal;
    if (p->known) {
        s->peer = p->source;
        s->local = p->destination;
    }
    s->exempt = p->local;
    if (!s->exempt && !proxy_admit(s->proxy, &s->peer, &refusal))
        return refuse_arrival(s, refusal);
    s->admitted = !s->exempt;
    session_meet(s);
    if (!s->listener->tls) {
        s->phase = PHASE_GREET;
        return STEP_DONE;
    }
    if (session_input(s).n > 0) { /* the hello was read with the header, and TLS reads from the stream only */
        session_end(s, HANGUP_TLS);
        return STEP_END;
    }
    session_start_tls(s);
    return STEP_DONE;
}

/* Never more than the header is read, so that what follows it is where TLS looks for it. */
static enum step read_header(struct session *s)
{
    char next;
    ssize_t n = stream_read(s->client, &next, 1);
    if (n == STREAM_AGAIN)
        return STEP_NOT_YET;
    if (n < 0) {
        session_end(s, HANGUP_CLIENT);
        return STEP_END;
    }
    buf_char(&s->input, next);
    return STEP_DONE;
}

enum step arrival_balancer(struct session *s)
{
    struct proxy_protocol p;
    enum proxy_protocol_result r = proxy_protocol_parse(buf_view(&s->input), &p);
    if (r == PROXY_PROTOCOL_NOT_YET)
        return read_header(s);
    if (r == PROXY_PROTOCOL_DONE) {
        buf_free(&s->input);
        return balancer_done(s, &p);
    }
    struct log_line l;
    log_begin(&l, LOG_WARN_, "proxy-protocol");
    log_cstr(&l, "id", s->id);
    log_addr(&l, "balancer", &s->peer.addr);
    log_cstr(&l, "why", p.error);
    log_end(&l);
    session_end(s, HANGUP_BALANCER);
    return STEP_END;
}

/* --- TLS ----------------------------------------------------------------------------------------------------------------------- */

void session_start_tls(struct session *s)
{
    stages_forget_client(s);
    s->esmtp = false;
    s->fresh = STR_NONE; /* what came in clear behind STARTTLS was never said */
    buf_free(&s->input);
    s->input_at = 0;
    line_clear(&s->lines);
    s->tls_first = s->phase != PHASE_COMMAND;
    stream_flush(s->client);
    stream_start_tls(&s->client, s->proxy->tls, STR(""));
    s->phase = PHASE_HANDSHAKE;
    s->idle_since = session_now(s);
}

enum step arrival_handshake(struct session *s)
{
    enum stream_state state = stream_state(s->client);
    if (state == STREAM_CONNECTING)
        return STEP_NOT_YET;
    if (state == STREAM_DEAD) {
        struct log_line l;
        log_begin(&l, LOG_INFO_, "tls-failed");
        log_addr(&l, "client", &s->peer.addr);
        log_str(&l, "why", str_of(stream_error(s->client)));
        log_end(&l);
        session_end(s, HANGUP_TLS);
        return STEP_END;
    }
    s->tls = true;
    s->idle_since = session_now(s);
    s->phase = s->tls_first ? PHASE_GREET : PHASE_COMMAND;
    return STEP_DONE;
}
