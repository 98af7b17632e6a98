/*
 * content.c - a message's content: received, held in wire form until the verdict, given to the backend, answered once.
 *
 *   DATA -> content_begin -> content_run: line ends, header, spool -> "." -> content_dot: limits, stage data, delivery, the one reply
 *   BDAT -> chunks.c brings the octets, LAST is the dot
 *
 * 250 is said only after the backend said it. What will be refused anyway (too big, a spool that failed) is still read to its end by the same
 * state machine, so that nothing in it is ever taken for a command (PROTOCOL section 2, smuggling past the size limit).
 */
#include <stdlib.h>
#include <string.h>

#include "postern/checks/content.h"
#include "postern/decide/shadow.h"
#include "postern/mail/authres.h"
#include "postern/net/tls.h"
#include "content.h"

void content_free(struct message **cp)
{
    struct message *c = *cp;
    if (!c)
        return;
    header_clear(&c->header);
    spool_clear(&c->spool);
    buf_free(&c->wire);
    buf_free(&c->kept);
    buf_free(&c->front);
    free(c);
    *cp = NULL;
}

static struct str *names_to_remove(struct session *s, size_t *n)
{
    *n = policy_header_count(s->policy);
    struct str *names = arena_alloc(&s->t->arena, (*n ? *n : 1) * sizeof *names);
    for (size_t i = 0; i < *n; i++)
        names[i] = policy_header(s->policy, i);
    return names;
}

/* The scope of stage data: opened before the content comes, so that what reads it can ask DNS while it flows. */
static void open_data(struct session *s)
{
    struct transaction *t = s->t;
    struct subject subject = {.content = {0}};
    t->scopes[STAGE_DATA] = scope_new(&s->proxy->world, s->policy, STAGE_DATA, t->scopes[STAGE_MAIL], &subject, &s->task,
                                      &s->dns_budget, s->start_ms);
    facts_set_text(&t->scopes[STAGE_DATA]->facts, FACT_CLASS, t->class);
    stages_open(s, t->scopes[STAGE_DATA]);
}

void content_begin(struct session *s)
{
    const struct settings *set = s->proxy->parts.settings;
    struct message *c = xcalloc(1, sizeof *c);
    s->t->content = c;
    open_data(s);
    c->spool.memory_max = set->spool_memory;
    c->spool.directory = arena_cstr(&s->t->arena, set->spool_directory);
    c->deadline_ms = session_now(s) + set->message_time;
    size_t n;
    struct str *names = names_to_remove(s, &n);
    header_begin(&c->header, set->header_size, names, n, content_taps(s->t->scopes[STAGE_DATA]));
    c->authserv_id = authentication_id(s);
    c->header.remove_field = authres_remove;
    c->header.remove_context = &c->authserv_id;
}

/* --- receiving ----------------------------------------------------------------------------------------------------------------- */

void content_finish(struct session *s, struct message *c)
{
    message_end(c);
    if (c->data.bare_cr + c->data.bare_lf > 0)
        count(COUNTER_BARE_NEWLINE);
    struct content numbers = {.size = c->data.size,
                              .longest_line = c->data.longest_line,
                              .received = c->header.received,
                              .bare_newline = c->data.bare_cr + c->data.bare_lf > 0};
    content_ended(s->t->scopes[STAGE_DATA], &numbers);
    s->phase = PHASE_DOT;
}

enum step content_run(struct session *s)
{
    struct message *c = s->t->content;
    enum step filled = session_fill(s);
    if (filled != STEP_DONE)
        return filled;
    uint64_t limit = s->proxy->parts.settings->message_size;
    struct str in = session_input(s);
    enum data_result r = data_read(&c->data, &in, c->refused ? NULL : &c->wire);
    session_input_left(s, in);
    s->idle_since = session_now(s);
    message_take_wire(c, limit);
    if (r == DATA_END)
        content_finish(s, c);
    return STEP_DONE;
}

/* --- the verdict --------------------------------------------------------------------------------------------------------------- */

/* Refusals that no rule can lift. */
static bool content_unfit(const struct session *s, enum reply_id *id)
{
    const struct settings *set = s->proxy->parts.settings;
    const struct message *c = s->t->content;
    if (set->message_size && c->data.size > set->message_size)
        *id = REPLY_SIZE_COUNTED;
    else if (c->header.too_big)
        *id = REPLY_HEADER_TOO_BIG;
    else if (c->data.nul && !c->binary)
        *id = REPLY_NUL_BYTE;
    else if (!c->binary && set->bare_newline == BARE_NEWLINE_REFUSE && c->data.bare_cr + c->data.bare_lf)
        *id = REPLY_BARE_NEWLINE;
    else if (c->header.received > set->received_limit)
        *id = REPLY_LOOP;
    else if (c->spool_failed)
        *id = REPLY_SPOOL_FAILED;
    else
        return false;
    return true;
}

static void content_end(struct session *s, const struct reply *r, const char *by, const char *end)
{
    struct transaction *t = s->t;
    t->reply = reply_text(&t->arena, r);
    t->reply_by = by;
    speak(s, r, strcmp(by, "backend") != 0);
    relay_abandon(s);
    transaction_end(s, end);
    s->phase = PHASE_COMMAND;
}

static enum step content_refuse(struct session *s, const struct reply *r, const char *by)
{
    count(COUNTER_MESSAGES_REFUSED);
    content_end(s, r, by, reply_is(r, 4) ? "deferred" : "refused");
    return STEP_DONE;
}

static enum step content_refuse_id(struct session *s, enum reply_id id)
{
    if (id == REPLY_LOOP)
        count(COUNTER_LOOPS);
    if (id == REPLY_SPOOL_FAILED)
        count(COUNTER_SPOOL_ERRORS);
    struct reply r = reply_make(&s->t->arena, id, STR_NONE);
    return content_refuse(s, &r, "postern");
}

/* Scopes of the accepted recipients, in the transaction's arena. */
static struct scope **accepted_scopes(struct transaction *t, size_t *n)
{
    struct scope **list = arena_alloc(&t->arena, t->accepted * sizeof *list);
    *n = 0;
    for (struct recipient *r = t->recipients; r; r = r->next)
        if (r->accepted && r->scope)
            list[(*n)++] = r->scope;
    return list;
}

/* Stage data; DONE with *refusal code 0: nothing is against it. */
static enum step content_judge(struct session *s, struct reply *refusal)
{
    struct transaction *t = s->t;
    *refusal = (struct reply){0};
    stages_snapshot(s, &t->scopes[STAGE_DATA]->facts);
    if (!t->verdicts[STAGE_DATA].present && !str_eq(t->class, STR("accept"))) {
        struct stage_verdict v[STAGE_COUNT];
        stages_verdicts(s, v);
        struct decide_input in = {.score = ruling_score(v, STAGE_DATA), .negative = ruling_negative(v, STAGE_DATA), .id = session_record_id(s)};
        in.recipients = accepted_scopes(t, &in.recipient_count);
        struct walk walk;
        if (decide_stage(t->scopes[STAGE_DATA], &in, &walk) == DECIDE_NOT_YET) {
            s->awaits_evidence = true;
            return STEP_NOT_YET;
        }
        t->verdicts[STAGE_DATA] = (struct stage_verdict){true, walk};
        tarpit_add(s, walk.tarpit_ms, &s->hold_until);
    }
    shadow_settle(t->scopes[STAGE_DATA]);
    if (s->hold_until > session_now(s))
        return STEP_NOT_YET;
    const struct walk *w = &t->verdicts[STAGE_DATA].walk;
    if (t->verdicts[STAGE_DATA].present && w->action >= ACTION_REJECT)
        *refusal = refusal_of(w, &t->arena);
    return STEP_DONE;
}

/* --- our fields ---------------------------------------------------------------------------------------------------------------- */

static void put_headers(struct buf *out, const struct walk *w)
{
    for (size_t i = 0; i < w->header_count; i++)
        field_write(out, w->headers[i].name, w->headers[i].value);
}

/* Is `one` among the fields of `all`, whole? */
static bool has_field(const struct buf *all, const struct buf *one)
{
    const char *at = all->p, *end = all->p ? all->p + all->n : NULL;
    while (at && at < end && (at = memmem(at, (size_t)(end - at), one->p, one->n)) != NULL) {
        if (at == all->p || at[-1] == '\n')
            return true;
        at++;
    }
    return false;
}

/* Recipients of one message may have fired the same rule: its field is put once. */
static void put_recipient_headers(struct transaction *t, struct buf *out)
{
    struct buf all = {0}, one = {0};
    for (struct recipient *r = t->recipients; r; r = r->next) {
        if (!r->accepted || !r->verdict.present)
            continue;
        for (size_t i = 0; i < r->verdict.walk.header_count; i++) {
            buf_clear(&one);
            field_write(&one, r->verdict.walk.headers[i].name, r->verdict.walk.headers[i].value);
            if (!has_field(&all, &one))
                buf_put(&all, one.p, one.n);
        }
    }
    buf_str(out, buf_view(&all));
    buf_free(&all);
    buf_free(&one);
}

/* RFC 3848; RFC 6531 4.3: what is internationalised has names of its own. */
static const char *protocol_of(const struct session *s)
{
    if (s->t->extensions >> EXT_SMTPUTF8 & 1)
        return s->tls ? "UTF8SMTPS" : "UTF8SMTP";
    return s->tls ? "ESMTPS" : s->esmtp ? "ESMTP" : "SMTP";
}

static void build_front(struct session *s)
{
    struct transaction *t = s->t;
    struct buf *out = &t->content->front;
    struct stage_verdict v[STAGE_COUNT];
    stages_verdicts(s, v);
    authentication_put(s, out);
    for (enum stage stage = STAGE_CONNECT; stage < STAGE_COUNT; stage++) {
        if (stage == STAGE_RCPT)
            put_recipient_headers(t, out);
        else if (v[stage].present)
            put_headers(out, &v[stage].walk);
    }
    const struct value *name = facts_get(&t->scopes[STAGE_CONNECT]->facts, FACT_CLIENT_NAME);
    const struct scope *helo = t->scopes[STAGE_HELO] ? t->scopes[STAGE_HELO] : t->sticky;
    struct tls_info tls = {0};
    if (s->tls)
        tls_info(s->client, &tls);
    struct received received = {
        .helo = helo ? helo->subject->helo : STR(""),
        .name = name->state == FACT_KNOWN ? name->v.text : STR_NONE,
        .client = s->peer.addr,
        .hostname = s->proxy->parts.settings->hostname,
        .protocol = protocol_of(s),
        .tls = tls.cipher_iana,
        .id = str_of(t->id),
        .wall_ms = loop_wall(session_loop(s)),
    };
    for (struct recipient *r = t->recipients; t->accepted == 1 && r; r = r->next)
        if (r->accepted)
            received.recipient = r->path.whole;
    received_write(out, &received);
}

/* --- the dot ------------------------------------------------------------------------------------------------------------------- */

/* Has the client left for good? Nothing is half delivered: before the backend has the message it is dropped, the client will send it again. */
static bool client_left(struct session *s)
{
    return !s->t->data_sent && session_input(s).n == 0 && stream_peer_gone(s->client);
}

static enum step content_deliver(struct session *s)
{
    struct transaction *t = s->t;
    struct reply outcome;
    if (!t->content->front.n)
        build_front(s);
    if (delivery_run(s, &outcome) == STEP_NOT_YET)
        return STEP_NOT_YET;
    bool ok = reply_is(&outcome, 2);
    bool gone = stream_peer_gone(s->client) && session_input(s).n == 0;
    count(ok ? COUNTER_MESSAGES_DELIVERED : COUNTER_MESSAGES_FAILED);
    if (ok && gone)
        count(COUNTER_CLIENT_LEFT_AFTER_DOT);
    const char *by = t->unclear || (!t->dot_reply.code && !t->data_reply.code) ? "postern" : "backend";
    content_end(s, &outcome, by, ok ? gone ? "client-left-after-dot" : "delivered" : "failed");
    return STEP_DONE;
}

enum step content_dot(struct session *s)
{
    enum reply_id id;
    struct reply refusal;
    if (client_left(s)) {
        session_end(s, HANGUP_CLIENT);
        return STEP_END;
    }
    if (content_unfit(s, &id))
        return content_refuse_id(s, id);
    if (!s->t->data_sent) {
        if (content_judge(s, &refusal) == STEP_NOT_YET)
            return STEP_NOT_YET;
        if (refusal.code)
            return content_refuse(s, &refusal, "policy");
        if (!authentication_known(s)) {
            s->awaits_evidence = true;
            return STEP_NOT_YET;
        }
    }
    return content_deliver(s);
}
