/*
 * closing.c - the end of a transaction, or of a connection without one: marks, passes, history and rates to the store, one log line, one journal
 * record.
 *
 * Evidence may come after the session went: monitor rules and later replays want it, and rates that are counted by it. So an ended transaction
 * waits for the checks that were started, at most until their deadlines (and while there are not too many waiting), then its record is written and
 * it is freed.
 */
#include <stdlib.h>
#include <string.h>

#include "postern/decide/shadow.h"
#include "session.h"

/* --- what outlives the connection ---------------------------------------------------------------------------------------------- */

static void record_marks(struct transaction *t, const struct walk *w)
{
    for (size_t i = 0; i < w->mark_count; i++) {
        struct store_operation op = {.kind = STORE_MARK,
                                     .mode = STORE_TOUCH,
                                     .key = mark_key(&t->arena, w->marks[i].name, &t->client.addr),
                                     .now_ms = loop_wall(t->proxy->parts.loop),
                                     .ttl_ms = w->marks[i].ms};
        store_record(t->proxy->parts.store, &op);
    }
}

static void record_passes(struct transaction *t)
{
    struct store_operation op;
    for (struct recipient *r = t->recipients; r; r = r->next)
        if (r->accepted && r->scope && greylist_pass(r->scope, &op))
            store_record(t->proxy->parts.store, &op);
}

static bool policy_reads_history(const struct policy *p)
{
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        struct fact_bits needs = policy_needs(p, (enum stage)stage, true);
        if (fact_bit(&needs, FACT_HISTORY_PASSED) || fact_bit(&needs, FACT_HISTORY_REFUSED) || fact_bit(&needs, FACT_HISTORY_FIRST))
            return true;
    }
    return false;
}

static bool was_rejected(const struct transaction *t)
{
    for (int i = 0; i < STAGE_COUNT; i++)
        if (t->verdicts[i].present && t->verdicts[i].walk.action == ACTION_REJECT)
            return true;
    for (const struct recipient *r = t->recipients; r; r = r->next)
        if (r->verdict.present && r->verdict.walk.action == ACTION_REJECT)
            return true;
    return false;
}

static void record_history(struct transaction *t, bool delivered)
{
    if (t->exempt || !policy_reads_history(t->policy) || !(delivered || was_rejected(t)))
        return;
    struct store_operation op = {.kind = STORE_HISTORY,
                                 .mode = STORE_TOUCH,
                                 .key = history_key(&t->arena, &t->client.addr),
                                 .amount = delivered,
                                 .refused = !delivered,
                                 .now_ms = loop_wall(t->proxy->parts.loop),
                                 .ttl_ms = t->proxy->parts.settings->history_life};
    store_record(t->proxy->parts.store, &op);
}

static void to_store(struct transaction *t)
{
    bool delivered = strncmp(t->end, "delivered", 9) == 0;
    for (int i = 0; i < STAGE_COUNT; i++)
        if (t->verdicts[i].present)
            record_marks(t, &t->verdicts[i].walk);
    for (struct recipient *r = t->recipients; r; r = r->next)
        if (r->verdict.present)
            record_marks(t, &r->verdict.walk);
    if (delivered)
        record_passes(t);
    record_history(t, delivered);
    if (delivered || strcmp(t->end, "client-left-after-dot") == 0)
        rates_message(t);
}

/* --- record and log ------------------------------------------------------------------------------------------------------------ */

static void fill_record(struct transaction *t, struct record *r)
{
    const struct settings *set = t->proxy->parts.settings;
    *r = (struct record){
        .id = str_of(t->id),
        .start_wall_ms = t->start_wall_ms,
        .end_wall_ms = t->end_wall_ms,
        .policy = t->policy,
        .client = t->client,
        .listener = t->scopes[STAGE_CONNECT]->subject->listener,
        .esmtp = t->esmtp,
        .tls = t->tls,
        .sticky_helo = t->sticky != NULL,
        .sticky_scope = t->sticky,
        .reply = t->reply,
        .reply_by = t->reply_by,
        .end = t->end,
        .negative_limit = (int64_t)set->negative_score_limit,
        .help = set->help,
    };
    const char *dot = strchr(t->id, '.');
    r->session_id = dot ? (struct str){t->id, (size_t)(dot - t->id)} : r->id;
    char where[ADDR_PORT_TEXT];
    if (t->backend.addr.family)
        r->backend = arena_str(&t->arena, str_of(addr_port_format(&t->backend, where)));
    for (int i = 0; i < STAGE_COUNT; i++) {
        r->scopes[i] = t->scopes[i];
        r->verdicts[i] = t->verdicts[i];
    }
    struct record_recipient **last = &r->recipients;
    for (struct recipient *x = t->recipients; x; x = x->next) {
        struct record_recipient *y = arena_zalloc(&t->arena, sizeof *y);
        *y = (struct record_recipient){.scope = x->scope, .verdict = x->verdict, .address = x->path.whole, .reply = x->spoken,
                                       .by = x->by, .accepted = x->accepted};
        *last = y;
        last = &y->next;
    }
}

static void count_shadow(const struct shadow *s)
{
    if (s->judged)
        count(COUNTER_SHADOW_JUDGED);
    if (s->judged && s->differs)
        count(COUNTER_SHADOW_DIFFERS);
}

/* The refusal or verdict that a reader of the log wants to see: of the dot, else of the first refused recipient. It points into v. */
static struct ruling last_ruling(const struct transaction *t, struct stage_verdict v[STAGE_COUNT], struct str *reply)
{
    memcpy(v, t->verdicts, sizeof t->verdicts);
    v[STAGE_RCPT].present = false;
    *reply = t->reply;
    for (const struct recipient *r = t->recipients; r && !reply->n; r = r->next)
        if (!r->accepted && r->spoken.n) {
            v[STAGE_RCPT] = r->verdict;
            *reply = r->spoken;
        }
    return ruling_of(v, STAGE_DATA);
}

/* The recipient that the log names: the first accepted one, else the first. */
static const struct recipient *named_recipient(const struct transaction *t)
{
    for (const struct recipient *r = t->recipients; r; r = r->next)
        if (r->accepted)
            return r;
    return t->recipients;
}

static void write_log(struct transaction *t)
{
    struct log_line l;
    struct str reply;
    struct stage_verdict v[STAGE_COUNT];
    struct ruling ruling = last_ruling(t, v, &reply);
    log_begin(&l, LOG_INFO_, t->end);
    log_cstr(&l, "id", t->id);
    log_addr(&l, "client", &t->client.addr);
    const struct scope *helo = t->scopes[STAGE_HELO] ? t->scopes[STAGE_HELO] : t->sticky;
    if (helo)
        log_str(&l, "helo", helo->subject->helo);
    if (t->scopes[STAGE_MAIL])
        log_str(&l, "from", t->sender.whole);
    if (t->recipients)
        log_str(&l, "to", named_recipient(t)->path.whole);
    if (t->recipient_count > 1)
        log_u64(&l, "recipients", t->recipient_count);
    if (ruling.walk && ruling.walk->rule >= 0)
        log_str(&l, "rule", policy_rule(t->policy, ruling.stage, (size_t)ruling.walk->rule).name);
    if (t->scopes[STAGE_DATA])
        log_u64(&l, "size", t->scopes[STAGE_DATA]->subject->content.size);
    if (reply.n)
        log_str(&l, "reply", reply);
    if (t->shadow && t->shadow->judged && t->shadow->differs)
        log_str(&l, "shadow", t->shadow->difference);
    log_u64(&l, "ms", t->end_wall_ms - t->start_wall_ms);
    log_end(&l);
    t->logged = true;
}

static void write_record(struct transaction *t)
{
    if (!t->proxy->parts.journal)
        return;
    struct record r;
    struct buf line = {0};
    fill_record(t, &r);
    r.shadow = t->shadow;
    record_write(&r, &line);
    t->proxy->parts.journal(t->proxy->parts.journal_context, buf_view(&line));
    buf_free(&line);
}

/* --- waiting for late evidence ------------------------------------------------------------------------------------------------- */

/* The shadow's behind it, which reads what it finds. */
static void visit_both(struct scope *s, void (*visit)(struct scope *s, void *context), void *context)
{
    if (s)
        visit(s, context);
    if (s && s->shadow)
        visit(s->shadow, context);
}

static void each_scope(struct transaction *t, void (*visit)(struct scope *s, void *context), void *context)
{
    for (struct recipient *r = t->recipients; r; r = r->next)
        visit_both(r->scope, visit, context);
    visit_both(t->sticky, visit, context);
    visit_both(shadow_sticky(t->scopes[STAGE_HELO]), visit, context);
    for (int i = STAGE_COUNT - 1; i >= 0; i--)
        visit_both(t->scopes[i], visit, context);
}

static void gather(struct scope *s, void *all)
{
    if (!decide_gather(s))
        *(bool *)all = false;
}

static void soonest(struct scope *s, void *at)
{
    uint64_t d = decide_next_deadline(s);
    if (d < *(uint64_t *)at)
        *(uint64_t *)at = d;
}

static void expire(struct scope *s, void *unused)
{
    (void)unused;
    decide_expire(s);
}

/* What the shadow policy says of it, as far as it can be said by now. False: it lacks evidence. */
static bool judge_shadow(struct transaction *t)
{
    bool all = true;
    if (!t->scopes[STAGE_CONNECT]->shadow)
        return true;
    if (!t->shadow) {
        t->record = arena_zalloc(&t->arena, sizeof *t->record);
        t->shadow = arena_zalloc(&t->arena, sizeof *t->shadow);
        fill_record(t, t->record);
    }
    each_scope(t, gather, &all);
    return shadow_judge(t->record, t->shadow) == DECIDE_DONE;
}

/* No evidence is waited for any more, nor what the shadow would ask for when it has that. */
static void give_up(struct transaction *t)
{
    enum { TURNS = 8 };
    each_scope(t, expire, NULL);
    for (int i = 0; i < TURNS && !judge_shadow(t); i++)
        each_scope(t, expire, NULL);
}

/* The scopes that are t's own; those of connection and HELO serve the session as long as there is one. */
static void own(struct transaction *t)
{
    for (struct recipient *r = t->recipients; r; r = r->next)
        if (r->scope)
            scope_own(r->scope, &t->task);
    if (t->scopes[STAGE_MAIL])
        scope_own(t->scopes[STAGE_MAIL], &t->task);
    if (t->scopes[STAGE_DATA])
        scope_own(t->scopes[STAGE_DATA], &t->task);
}

/* Whoever else waits for evidence of the same connection is woken in t's place. */
static void pass_on(struct transaction *t)
{
    for (struct transaction *x = t->proxy->closing; x; x = x->next)
        if (x != t && x->scopes[STAGE_CONNECT] == t->scopes[STAGE_CONNECT]) {
            scope_set_owner(x->scopes[STAGE_HELO] ? x->scopes[STAGE_HELO] : x->scopes[STAGE_CONNECT], &x->task);
            if (x->sticky)
                scope_own(x->sticky, &x->task);
            loop_wake(t->proxy->parts.loop, &x->task);
        }
}

static void finish(struct transaction *t)
{
    struct proxy *p = t->proxy;
    if (t->shadow)
        count_shadow(t->shadow);
    if (!t->logged)
        write_log(t);
    write_record(t);
    timer_cancel(p->parts.loop, &t->timer);
    loop_unwake(p->parts.loop, &t->task);
    if (t->link) {
        if (t->session)
            t->session->closing--;
        else
            pass_on(t);
        *t->link = t->next;
        if (t->next)
            t->next->link = t->link;
        p->closing_count--;
        p->closing_recipients -= t->recipient_count;
        proxy_check_drained(p);
    }
    transaction_free(t);
}

static void closing_run(struct task *task)
{
    struct transaction *t = (struct transaction *)((char *)task - offsetof(struct transaction, task));
    bool all = judge_shadow(t);
    each_scope(t, gather, &all);
    if (all) {
        finish(t);
        return;
    }
    uint64_t at = UINT64_MAX;
    each_scope(t, soonest, &at);
    timer_set(t->proxy->parts.loop, &t->timer, at);
}

static void closing_timer(struct timer *timer)
{
    struct transaction *t = (struct transaction *)((char *)timer - offsetof(struct transaction, timer));
    loop_wake(t->proxy->parts.loop, &t->task);
}

void closing_expire(struct transaction *t)
{
    if (!t->session) /* else its session still needs the evidence of connection and HELO */
        give_up(t);
    finish(t);
}

void closing_take(struct transaction *t)
{
    struct proxy *p = t->proxy;
    bool all = judge_shadow(t); /* it looks at the store before what this one has done is there */
    to_store(t);
    if (all) /* else the line says what the shadow policy does, when that is known */
        write_log(t);
    content_free(&t->content);
    each_scope(t, gather, &all);
    bool awaited = p->parts.journal || t->shadow || rates_may_be_late(t->policy);
    bool room = p->closing_count < CLOSING_MAX && p->closing_recipients + t->recipient_count <= CLOSING_RECIPIENTS_MAX;
    if (all || !awaited || !room || p->draining || p->ending) {
        if (p->ending) /* else its session may go on, and what is not known yet is not to be taken for an error there */
            give_up(t);
        finish(t);
        return;
    }
    t->task.run = closing_run;
    t->timer.fire = closing_timer;
    t->next = p->closing;
    t->link = &p->closing;
    if (t->next)
        t->next->link = &t->next;
    p->closing = t;
    p->closing_count++;
    p->closing_recipients += t->recipient_count;
    t->session->closing++;
    own(t);
    closing_run(&t->task);
}

void closing_look_again(struct session *s)
{
    for (struct transaction *t = s->closing ? s->proxy->closing : NULL; t; t = t->next)
        if (t->session == s)
            loop_wake(s->proxy->parts.loop, &t->task);
}

void closing_session_ends(struct session *s)
{
    for (struct transaction *t = s->closing ? s->proxy->closing : NULL; t; t = t->next) {
        if (t->session != s)
            continue;
        t->session = NULL;
        loop_wake(s->proxy->parts.loop, &t->task);
        scope_set_owner(t->scopes[STAGE_HELO] ? t->scopes[STAGE_HELO] : t->scopes[STAGE_CONNECT], &t->task);
        if (t->sticky)
            scope_own(t->sticky, &t->task);
    }
    s->closing = 0;
}

void closing_connection(struct session *s, enum hangup why)
{
    if (!s->connect && why == HANGUP_LIMIT)
        return; /* refused at the door, like those that never became a session */
    if (!s->connect) { /* a balancer's connection that never said whose it is */
        s->exempt = true;
        session_meet(s);
    }
    struct transaction *t = transaction_new(s);
    s->messages--;
    s->had_transaction = false;
    memcpy(t->id, s->id, sizeof s->id);
    t->start_wall_ms = s->start_wall_ms;
    transaction_end(s, why == HANGUP_QUIT || why == HANGUP_CLIENT ? "no-transaction" : hangup_words[why]);
}
