/*
 * recipients.c - RCPT: the recipients of a pipelined group are in flight together (facts, store, backend), their answers leave in order.
 *
 *   DECIDING   the policy is asked: connect, helo, mail settled first, then stage rcpt
 *   DECIDED    the policy has nothing against it; its class must be that of the message
 *   RELAYED    the backend is asked
 *   ANSWERED   the reply is known
 *   SPOKEN     and has been said
 *
 * What no policy can lift stands in judge_address(): syntax, limits, relaying (DESIGN section 3, "Never an open relay").
 */
#include <string.h>

#include "postern/decide/shadow.h"
#include "postern/mail/from.h"
#include "session.h"

enum { IN_FLIGHT_MAX = 200, FAR_TOO_MANY = 10 /* times the limit: what is tried beyond counts as wrong, so that it ends */ };

static void answer(struct session *s, struct recipient *r, enum reply_id id, struct str value)
{
    r->reply = reply_make(&s->t->arena, id, value);
    r->by = "postern";
    r->state = RECIPIENT_ANSWERED;
    s->stirred = true;
}

static bool has_routing_characters(struct str local)
{
    for (size_t i = 0; i < local.n; i++)
        if (local.p[i] == '%' || local.p[i] == '!' || local.p[i] == '@')
            return true;
    return false;
}

/* May we take mail for this domain from this client at all? */
static bool may_relay(const struct session *s, const struct path *path)
{
    const struct settings *set = s->proxy->parts.settings;
    struct arena scratch = {0};
    struct str domain = path->domain;
    if (path->utf8 && !domain_ascii(path->domain, &scratch, &domain))
        domain = STR("");
    bool ours = path->domain.n == 0 || settings_domain_is_ours(set, domain);
    arena_clear(&scratch);
    if (ours)
        return true;
    return set->relay_from && prefix_set_has(set->relay_from, &s->peer.addr);
}

/* Refusals that no rule can lift. True: it is answered. */
static bool judge_address(struct session *s, struct recipient *r, const struct command *c)
{
    struct transaction *t = s->t;
    struct reply refusal;
    if (!parameters_take(s, t, c, &r->parameters, &refusal)) {
        s->errors++;
        r->reply = refusal;
        r->reply.text = arena_str(&t->arena, refusal.text);
        r->by = "postern";
        r->state = RECIPIENT_ANSWERED;
        s->stirred = true;
    } else if (t->content) { /* RFC 3030 2: not behind BDAT */
        s->errors++;
        answer(s, r, REPLY_BAD_SEQUENCE, STR_NONE);
    } else if (r->path.utf8 && !(t->extensions >> EXT_SMTPUTF8 & 1)) {
        s->errors++;
        answer(s, r, REPLY_UTF8_ADDRESS, STR_NONE);
    } else if (t->recipient_count > s->proxy->parts.settings->recipient_limit) {
        s->errors += t->recipient_count / FAR_TOO_MANY > s->proxy->parts.settings->recipient_limit;
        answer(s, r, REPLY_TOO_MANY_RECIPIENTS, STR_NONE);
    } else if (has_routing_characters(r->path.local_plain)) {
        s->errors++;
        answer(s, r, REPLY_PERCENT_HACK, STR_NONE);
    } else if (!may_relay(s, &r->path)) {
        s->errors++;
        answer(s, r, r->path.source_route ? REPLY_SOURCE_ROUTE : REPLY_RELAY_DENIED, STR_NONE);
    }
    return r->state == RECIPIENT_ANSWERED;
}

void recipient_add(struct session *s, const struct command *c)
{
    struct transaction *t = s->t;
    if (!t) {
        struct reply r = reply_make(&s->command_arena, REPLY_NEED_MAIL, STR_NONE);
        speak_wrong(s, &r);
        return;
    }
    struct recipient *r = arena_zalloc(&t->arena, sizeof *r);
    r->path = c->path;
    r->path.whole = arena_str(&t->arena, c->path.whole);
    r->path.local = arena_str(&t->arena, c->path.local);
    r->path.local_plain = arena_str(&t->arena, c->path.local_plain);
    r->path.domain = arena_str(&t->arena, c->path.domain);
    *t->last = r;
    t->last = &r->next;
    if (!t->next_spoken)
        t->next_spoken = r;
    t->recipient_count++;
    t->unspoken++;
    r->route = settings_route(s->proxy->parts.settings, r->path.domain);
    judge_address(s, r, c);
}

/* --- the policy ---------------------------------------------------------------------------------------------------------------- */

static void open_rcpt(struct session *s, struct recipient *r, const struct ruling *before)
{
    struct subject subject = {.recipient = r->path};
    r->scope = scope_new(&s->proxy->world, s->policy, STAGE_RCPT, s->t->scopes[STAGE_MAIL], &subject, &s->task, &s->dns_budget,
                         s->start_ms);
    r->scope->touch = before->action == ACTION_NONE; /* only what this recipient's fate hangs on may write to the store */
    unsigned position = 1;
    for (const struct recipient *x = s->t->recipients; x != r; x = x->next)
        position++;
    facts_set_number(&r->scope->facts, FACT_RCPT_COUNT, position);
    stages_snapshot(s, &r->scope->facts);
    stages_open(s, r->scope);
}

static void refuse(struct session *s, struct recipient *r, const struct walk *w)
{
    r->reply = refusal_of(w, &s->t->arena);
    r->by = "policy";
    r->state = RECIPIENT_ANSWERED;
    s->stirred = true;
}

static struct decide_input input_of_stage(struct session *s, const struct stage_verdict v[STAGE_COUNT])
{
    return (struct decide_input){.score = ruling_score(v, STAGE_RCPT), .negative = ruling_negative(v, STAGE_RCPT),
                                 .id = session_record_id(s), .monitors_later = true};
}

/* Recipients may be decided in any order. The rates that monitor rules read are asked for in theirs: they see what those before it have counted. */
static void monitor_one(struct session *s, struct recipient *r)
{
    r->monitored = true;
    if (!policy_monitors_rates(s->policy, STAGE_RCPT))
        return;
    struct stage_verdict v[STAGE_COUNT];
    stages_verdicts(s, v);
    struct decide_input in = input_of_stage(s, v);
    decide_monitored(r->scope, &in);
}

/* DECIDING: true when it has become something else. */
static bool decide_one(struct session *s, struct recipient *r)
{
    if (stages_settle(s, STAGE_MAIL) != SETTLED)
        return false;
    struct stage_verdict v[STAGE_COUNT];
    stages_verdicts(s, v);
    struct ruling ruling = ruling_of(v, STAGE_MAIL);
    if (s->exempt)
        ruling = (struct ruling){.action = ACTION_ACCEPT, .skip_rest = true};
    if (!r->scope)
        open_rcpt(s, r, &ruling);
    r->class = STR("accept");
    if (!ruling.skip_rest) {
        struct decide_input in = input_of_stage(s, v);
        struct walk walk;
        if (decide_stage(r->scope, &in, &walk) == DECIDE_NOT_YET) {
            s->awaits_evidence = true;
            return false;
        }
        r->verdict.present = true;
        r->verdict.walk = walk;
        v[STAGE_RCPT] = r->verdict;
        ruling = ruling_of(v, STAGE_RCPT);
        tarpit_add(s, walk.tarpit_ms, &r->hold_until);
        r->class = ruling.action == ACTION_ACCEPT ? STR("accept") : walk.class.n ? walk.class : STR("normal");
    }
    if (ruling.action >= ACTION_REJECT)
        refuse(s, r, ruling.walk);
    else
        r->state = RECIPIENT_DECIDED;
    return true;
}

/* DECIDED: one class and one route a message, and one recipient for the null sender. True when it has become something else. */
static bool class_one(struct session *s, struct recipient *r)
{
    struct transaction *t = s->t;
    bool alone = t->class_users == 0;
    bool fits = alone || (str_eq(t->class, r->class) && t->route == r->route && !t->sender.null);
    if (fits) {
        if (t->mail_sent && t->route != r->route)
            relay_leave(s);
        t->class = r->class;
        t->route = r->route;
        t->class_users++;
        shadow_settle(r->scope);
        rates_recipient(s, r);
        relay_recipient(s, r);
        return true;
    }
    if (t->next_spoken != r)
        return false; /* the ones before it may still be refused */
    answer(s, r, t->sender.null ? REPLY_NULL_SENDER_RECIPIENTS : REPLY_OTHER_CLASS, STR_NONE);
    return true;
}

/* --- answers ------------------------------------------------------------------------------------------------------------------- */

static void count_answer(const struct recipient *r)
{
    if (r->accepted)
        count(COUNTER_RECIPIENTS_ACCEPTED);
    else if (strcmp(r->by, "backend") == 0)
        count(COUNTER_RECIPIENTS_BACKEND_REFUSED);
    else
        count(COUNTER_RECIPIENTS_REFUSED);
}

static void speak_answer(struct session *s, struct recipient *r)
{
    struct transaction *t = s->t;
    r->accepted = reply_is(&r->reply, 2);
    if (r->accepted)
        t->accepted++;
    else if (r->relay == RELAY_NO)
        t->class_users--;
    count_answer(r);
    rates_answer(s, r);
    r->spoken = reply_text(&t->arena, &r->reply);
    r->state = RECIPIENT_SPOKEN;
    t->unspoken--;
    t->next_spoken = r->next;
    speak(s, &r->reply, strcmp(r->by, "backend") != 0);
}

void recipients_run(struct session *s)
{
    struct transaction *t = s->t;
    if (!t)
        return;
    bool earlier_waits = false; /* the class of a message must not hang on who was decided first */
    for (struct recipient *r = t->next_spoken; r; r = r->next) {
        if (r->state == RECIPIENT_DECIDING && !(earlier_waits && s->in_turn))
            decide_one(s, r);
        if (r->verdict.present && !earlier_waits && !r->monitored)
            monitor_one(s, r);
        if (r->state == RECIPIENT_DECIDED && !earlier_waits)
            class_one(s, r);
        if (r->state == RECIPIENT_ANSWERED && r->scope && !earlier_waits) /* refused; in turn, for the rates that it reads */
            shadow_settle(r->scope);
        earlier_waits |= r->state == RECIPIENT_DECIDING || r->state == RECIPIENT_DECIDED;
        if (r->state == RECIPIENT_ANSWERED && t->next_spoken == r) {
            uint64_t hold = r->hold_until > s->hold_until ? r->hold_until : s->hold_until;
            if (hold <= session_now(s))
                speak_answer(s, r);
        }
    }
}

bool recipients_settled(const struct session *s)
{
    return !s->t || s->t->unspoken == 0;
}

bool recipients_full(const struct session *s)
{
    return s->t && s->t->unspoken >= IN_FLIGHT_MAX;
}
