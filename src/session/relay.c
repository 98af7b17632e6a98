/*
 * relay.c - one transaction at the backend: MAIL and the RCPTs while the client's wait, all replies, the end; delivery.c sends the message.
 *
 * Everything here is run again whenever something arrived; progress is in the transaction (mail_sent, each recipient's relay state ...).
 * Before the dot a lost connection is replaced once, silently, and the envelope repeated. Once the dot may have been sent there is no second
 * try: an unclear outcome is 4xx (DESIGN section 3; RFC 5321 4.2.5, 6.1).
 */
#include "session.h"

static char mail_context, rset_context, other_context; /* their addresses say what a reply belongs to */

static void lose_upstream(struct session *s);

/* What a client is told when the backend said r: as it is, save what must not cross (DESIGN section 3, "The backend's replies"). */
static struct reply crossed(struct arena *arena, const struct reply *r, enum expect kind)
{
    if (r->code == 421) { /* its connection ends, ours does not */
        struct reply out = *r;
        out.code = 451;
        if (out.enhanced.class != 4)
            out.enhanced = (struct enhanced){4, 3, 2};
        return out;
    }
    if (kind == EXPECT_MAIL && r->code == 552)
        return reply_make(arena, REPLY_BACKEND_SIZE, STR_NONE);
    if (reply_is(r, 4) || reply_is(r, 5))
        return *r;
    bool expected = (kind == EXPECT_RCPT || kind == EXPECT_DOT) && reply_is(r, 2);
    return expected ? *r : reply_make(arena, REPLY_BACKEND_CONFUSED, STR_NONE);
}

static void recipient_answer(struct recipient *r, const struct reply *reply, const char *by)
{
    r->reply = *reply;
    r->by = by;
    r->state = RECIPIENT_ANSWERED;
}

/* --- replies coming in --------------------------------------------------------------------------------------------------------- */

static void take_rcpt(struct session *s, struct recipient *r, const struct reply *reply)
{
    struct transaction *t = s->t;
    bool ok = reply_is(reply, 2) && (!t->mail_reply.code || reply_is(&t->mail_reply, 2));
    r->relay = ok ? RELAY_OK : RELAY_NO;
    if (r->again) { /* it was accepted by the connection before; the client knows it as accepted */
        t->recipient_lost |= !ok;
        return;
    }
    if (r->state != RECIPIENT_RELAYED)
        return;
    struct reply out = t->mail_reply.code && !reply_is(&t->mail_reply, 2) ? crossed(&t->arena, &t->mail_reply, EXPECT_MAIL)
                                                                          : crossed(&t->arena, reply, EXPECT_RCPT);
    recipient_answer(r, &out, "backend");
}

/* VRFY or ETRN that the backend was asked. */
static void take_other(struct session *s, const struct reply *reply)
{
    if (!s->command)
        return;
    s->relayed = arena_alloc(&s->command_arena, sizeof *s->relayed);
    *s->relayed = *reply;
    s->relayed->text = arena_str(&s->command_arena, reply->text);
    if (reply->code == 421 || (!reply_is(reply, 2) && !reply_is(reply, 4) && !reply_is(reply, 5)))
        *s->relayed = reply_make(&s->command_arena, REPLY_BACKEND_CONFUSED, STR_NONE);
}

static void take_reply(struct session *s, enum expect kind, void *context, const struct reply *reply)
{
    struct transaction *t = s->t;
    if (kind == EXPECT_OTHER)
        take_other(s, reply);
    if (!t)
        return;
    switch (kind) {
    case EXPECT_MAIL: t->mail_reply = *reply; break;
    case EXPECT_RCPT: take_rcpt(s, context, reply); break;
    case EXPECT_DATA:
        t->data_ok = reply->code == 354;
        if (!t->data_ok)
            t->data_reply = crossed(&t->arena, reply, EXPECT_DATA);
        break;
    case EXPECT_DOT:
        if (t->dot_sent)
            t->dot_reply = crossed(&t->arena, reply, EXPECT_DOT);
        else /* it could not wait for the end: a refusal counts, anything else makes no sense */
            t->data_reply = crossed(&t->arena, reply, EXPECT_DATA);
        break;
    case EXPECT_CHUNK:
        if (!reply_is(reply, 2))
            t->data_reply = crossed(&t->arena, reply, EXPECT_DATA);
        break;
    case EXPECT_OTHER:
    case EXPECT_GREETING:
    case EXPECT_EHLO:
    case EXPECT_RSET: break;
    }
}

/* Takes in what has come. False: the connection was lost. */
static bool take_replies(struct session *s)
{
    struct arena scratch = {0};
    struct arena *arena = s->t ? &s->t->arena : &scratch;
    enum expect kind;
    void *context;
    struct reply reply;
    enum reply_parse result;
    bool hangs_up = false;
    while ((result = upstream_reply(s->upstream, arena, &kind, &context, &reply)) == REPLY_PARSE_DONE) {
        take_reply(s, kind, context, &reply);
        hangs_up |= reply.code == 421;
    }
    arena_clear(&scratch);
    return result != REPLY_PARSE_FAILED && !hangs_up;
}

/* --- commands going out -------------------------------------------------------------------------------------------------------- */

static void send_mail(struct session *s)
{
    struct transaction *t = s->t;
    struct buf line = {0};
    buf_cstr(&line, "MAIL FROM:<");
    buf_str(&line, t->sender.whole);
    buf_char(&line, '>');
    buf_str(&line, t->sender_parameters);
    if (t->size_declared && upstream_has(s->upstream, EXT_SIZE))
        buf_printf(&line, " SIZE=%llu", (unsigned long long)t->size_declared);
    upstream_send(s->upstream, buf_view(&line), EXPECT_MAIL, &mail_context);
    buf_free(&line);
    t->mail_sent = true;
    t->mail_reply = (struct reply){0};
    t->backend = upstream_address(s->upstream);
}

static void send_rcpt(struct session *s, struct recipient *r)
{
    struct buf line = {0};
    buf_cstr(&line, "RCPT TO:<");
    buf_str(&line, r->path.whole);
    buf_char(&line, '>');
    buf_str(&line, r->parameters);
    upstream_send(s->upstream, buf_view(&line), EXPECT_RCPT, r);
    buf_free(&line);
    r->relay = RELAY_SENT;
}

bool relay_any(const struct transaction *t, enum relay_state state)
{
    for (const struct recipient *r = t->recipients; r; r = r->next)
        if (r->relay == state)
            return true;
    return false;
}

/* No backend, or MAIL was refused: everyone waiting for it has the answer. */
static void answer_all(struct session *s, const struct reply *reply, const char *by)
{
    for (struct recipient *r = s->t->recipients; r; r = r->next) {
        if (r->relay != RELAY_QUEUED && r->relay != RELAY_SENT)
            continue;
        if (r->relay == RELAY_SENT && s->upstream)
            upstream_forget(s->upstream, r);
        r->relay = RELAY_NO;
        if (r->again)
            s->t->recipient_lost = true;
        else if (r->state == RECIPIENT_RELAYED)
            recipient_answer(r, reply, by);
    }
}

/* Its parameters are all of DSN, which this backend has not after all: never dropped, so not now. */
static void refuse_parameters(struct session *s, struct recipient *r)
{
    struct reply reply = reply_make(&s->t->arena, REPLY_BACKEND_PARAMETER, STR_NONE);
    r->relay = RELAY_NO;
    if (r->again)
        s->t->recipient_lost = true;
    else
        recipient_answer(r, &reply, "postern");
}

static void send_queued(struct session *s)
{
    struct transaction *t = s->t;
    if (!t->mail_sent) {
        if (!upstream_may_send(s->upstream))
            return;
        send_mail(s);
    }
    if (t->mail_reply.code && !reply_is(&t->mail_reply, 2)) {
        struct reply refusal = crossed(&t->arena, &t->mail_reply, EXPECT_MAIL);
        answer_all(s, &refusal, "backend");
        return;
    }
    for (struct recipient *r = t->recipients; r; r = r->next)
        if (r->relay == RELAY_QUEUED) {
            if (!upstream_may_send(s->upstream))
                return;
            if (r->parameters.n && !upstream_has(s->upstream, EXT_DSN))
                refuse_parameters(s, r);
            else
                send_rcpt(s, r);
        }
}

/* Nothing of this transaction is at the connection that is gone: what was sent is queued again. */
static void requeue(struct transaction *t)
{
    t->mail_sent = false;
    t->mail_reply = (struct reply){0};
    t->data_sent = t->data_ok = false;
    for (struct recipient *r = t->recipients; r; r = r->next) {
        if (r->relay == RELAY_OK)
            r->again = true;
        if (r->relay == RELAY_OK || r->relay == RELAY_SENT)
            r->relay = RELAY_QUEUED;
    }
    if (t->content) {
        t->content->sent = 0;
        t->content->front_sent = false;
    }
}

/* The connection is lost while this transaction may have something on it. */
static void lose_upstream(struct session *s)
{
    struct transaction *t = s->t;
    upstream_close(&s->upstream, false);
    if (s->command_sent && !s->relayed) { /* its reply will not come */
        s->relayed = arena_alloc(&s->command_arena, sizeof *s->relayed);
        *s->relayed = reply_make(&s->command_arena, REPLY_BACKEND_DOWN, STR_NONE);
    }
    if (!t || !t->mail_sent)
        return;
    count(COUNTER_BACKEND_LOST);
    if (t->dot_sent) {
        if (t->dot_reply.code)
            return;
        count(COUNTER_BACKEND_UNCLEAR);
        t->unclear = true;
        t->dot_reply = reply_make(&t->arena, REPLY_BACKEND_UNCLEAR, STR_NONE);
        return;
    }
    if (!t->reconnected) {
        t->reconnected = true;
        requeue(t);
        return;
    }
    bool refused = t->mail_reply.code && !reply_is(&t->mail_reply, 2);
    struct reply last = refused ? crossed(&t->arena, &t->mail_reply, EXPECT_MAIL) : reply_make(&t->arena, REPLY_BACKEND_LOST, STR_NONE);
    requeue(t);
    answer_all(s, &last, refused ? "backend" : "postern");
}

/* What this message needs of a backend, and what a backend may be told of the client. False: its name is still being looked up. */
static bool make_wish(struct session *s, struct upstream_wish *wish, struct xclient *client)
{
    const struct value *name = facts_get(&s->connect->facts, FACT_CLIENT_NAME);
    struct scope *helo = s->helo ? s->helo : s->sticky_helo;
    if (s->tells_client && !decide_gather(s->connect) && name->state == FACT_UNKNOWN) {
        s->awaits_evidence = true;
        return false;
    }
    name = facts_get(&s->connect->facts, FACT_CLIENT_NAME);
    *client = (struct xclient){.peer = s->peer,
                               .local = s->local,
                               .name = name->state == FACT_KNOWN ? name->v.text : STR_NONE,
                               .name_pending = name->state != FACT_KNOWN && name->state != FACT_ABSENT,
                               .helo = helo ? helo->subject->helo : STR(""),
                               .esmtp = s->esmtp};
    *wish = (struct upstream_wish){.client = client};
    if (s->t) {
        wish->route = s->t->route;
        wish->extensions = s->t->extensions;
    }
    return true;
}

static bool open_upstream(struct session *s)
{
    struct upstream_wish wish;
    struct xclient client;
    if (!make_wish(s, &wish, &client))
        return false;
    bool idle = !s->t || !s->t->mail_sent;
    if (s->upstream && idle && !upstream_serves(s->upstream, &wish))
        upstream_close(&s->upstream, true);
    if (!s->upstream)
        s->upstream = upstream_new(s->proxy, &s->task, &wish);
    return true;
}

/* No backend could be had: why not? */
static struct reply none_left(struct session *s, struct arena *arena)
{
    enum reply_id why = upstream_lacking(s->upstream) ? REPLY_BACKEND_PARAMETER
                        : upstream_busy(s->upstream)  ? REPLY_BACKEND_BUSY
                                                      : REPLY_BACKEND_DOWN;
    upstream_close(&s->upstream, false);
    return reply_make(arena, why, STR_NONE);
}

static void answer_none_left(struct session *s)
{
    struct reply down = none_left(s, &s->t->arena);
    answer_all(s, &down, "postern");
}

void relay_run(struct session *s)
{
    for (int round = 0; round < 3; round++) {
        if (s->upstream && upstream_run(s->upstream) == UPSTREAM_READY && !take_replies(s))
            lose_upstream(s);
        if (!s->t || !relay_any(s->t, RELAY_QUEUED))
            break;
        if (!open_upstream(s))
            break;
        enum upstream_state state = upstream_run(s->upstream);
        if (state == UPSTREAM_NONE) {
            answer_none_left(s);
            break;
        }
        if (state == UPSTREAM_OPENING)
            break;
        send_queued(s);
        if (upstream_flush(s->upstream))
            break;
        lose_upstream(s);
    }
}

void relay_recipient(struct session *s, struct recipient *r)
{
    r->state = RECIPIENT_RELAYED;
    r->relay = RELAY_QUEUED;
    s->stirred = true;
}

void relay_leave(struct session *s)
{
    upstream_close(&s->upstream, true);
    s->t->mail_sent = false;
    s->t->mail_reply = (struct reply){0};
}

void relay_abandon(struct session *s)
{
    struct transaction *t = s->t;
    if (!s->upstream || !t || !t->mail_sent)
        return;
    for (struct recipient *r = t->recipients; r; r = r->next)
        upstream_forget(s->upstream, r);
    upstream_forget(s->upstream, &mail_context);
    if (t->data_sent && !t->dot_reply.code && !(t->data_reply.code && !t->data_ok)) {
        upstream_close(&s->upstream, false); /* in the middle of DATA there is no way back */
        return;
    }
    if (t->dot_reply.code && t->dot_sent)
        return; /* the dot has ended it */
    if (!upstream_may_send(s->upstream)) { /* a reply is out, and it takes no commands before that */
        upstream_close(&s->upstream, false);
        return;
    }
    upstream_send(s->upstream, STR("RSET"), EXPECT_RSET, &rset_context);
    if (!upstream_flush(s->upstream))
        upstream_close(&s->upstream, false);
}

enum step relay_command(struct session *s, struct str line, struct reply *outcome)
{
    if (!s->command_sent) {
        if (!open_upstream(s))
            return STEP_NOT_YET;
        enum upstream_state state = upstream_run(s->upstream);
        if (state == UPSTREAM_NONE) {
            *outcome = none_left(s, &s->command_arena);
            return STEP_DONE;
        }
        if (!upstream_may_send(s->upstream)) /* it opens, or RSET's reply is out and it takes one command at a time */
            return STEP_NOT_YET;
        upstream_send(s->upstream, line, EXPECT_OTHER, &other_context);
        s->command_sent = true;
        if (!upstream_flush(s->upstream))
            lose_upstream(s);
    }
    if (!s->relayed)
        return STEP_NOT_YET;
    *outcome = *s->relayed;
    return STEP_DONE;
}

uint64_t relay_deadline(const struct session *s)
{
    return s->upstream ? upstream_deadline(s->upstream) : UINT64_MAX;
}

void relay_quit(struct session *s)
{
    upstream_close(&s->upstream, true);
}
