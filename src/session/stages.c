/*
 * stages.c - stages connect, helo and mail as a session goes through them: opening scopes, settling verdicts, holding replies.
 *
 * A stage before RCPT holds its reply only while an undecided rule could speak now or tarpit; all else is decided at RCPT, so that look-ups
 * overlap the client's own round trips. A refusal decided before RCPT is pending (recipients.c speaks it).
 */
#include "postern/decide/shadow.h"
#include "postern/net/tls.h"
#include "session.h"

static void snapshot_bool(struct facts *f, int id, bool v)
{
    if (!facts_has(f, id))
        facts_set_bool(f, id, v);
}

static void snapshot_text(struct facts *f, int id, struct str text)
{
    if (facts_has(f, id))
        return;
    if (text.n)
        facts_set_text(f, id, text);
    else
        facts_set_absent(f, id);
}

static void snapshot_tls(struct session *s, struct facts *f)
{
    struct tls_info info = {0};
    if (s->tls)
        tls_info(s->client, &info);
    snapshot_text(f, FACT_TLS_CIPHER, str_of(info.cipher));
    snapshot_text(f, FACT_TLS_SNI, info.server_name);
}

/* Does anybody read what changes by nature: a record, a shadow, or a rule? */
bool stages_want_snapshots(const struct proxy *p, const struct policy *policy)
{
    static const int ids[] = {FACT_TLS, FACT_TLS_CIPHER, FACT_TLS_SNI, FACT_EARLY_TALK, FACT_EARLY_PIPELINING, FACT_HTTP, FACT_ERRORS};
    if (p->parts.journal || p->shadow)
        return true;
    for (enum stage stage = STAGE_CONNECT; stage < STAGE_COUNT; stage++) {
        struct fact_bits needs = policy_needs(policy, stage, true);
        for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
            if (fact_bit(&needs, ids[i]))
                return true;
    }
    return false;
}

/* What changes by nature: the value of this moment, once an evaluation. */
void stages_snapshot(struct session *s, struct facts *f)
{
    if (!s->snapshots)
        return;
    snapshot_bool(f, FACT_TLS, s->tls);
    snapshot_tls(s, f);
    snapshot_bool(f, FACT_EARLY_TALK, s->early_talk);
    snapshot_bool(f, FACT_EARLY_PIPELINING, s->early_pipelining);
    snapshot_bool(f, FACT_HTTP, s->http);
    if (!facts_has(f, FACT_ERRORS))
        facts_set_number(f, FACT_ERRORS, s->errors);
}

void stages_open(struct session *s, struct scope *scope)
{
    if (s->exempt) {
        decide_open_at_hand(scope);
        return;
    }
    authentication_open(s, scope);
    if (s->proxy->parts.journal)
        decide_open_recorded(scope);
    else
        decide_open(scope);
    struct policy *shadow = !scope->parent ? s->proxy->shadow : scope->parent->shadow ? scope->parent->shadow->policy : NULL;
    if (shadow)
        shadow_open(scope, shadow);
}

static struct scope *open_scope(struct session *s, enum stage stage, struct scope *parent, const struct subject *subject)
{
    struct scope *scope =
        scope_new(&s->proxy->world, s->policy, stage, parent, subject, &s->evidence, &s->dns_budget, s->start_ms);
    stages_open(s, scope);
    return scope;
}

void stages_open_connect(struct session *s, struct str listener)
{
    struct subject subject = {.client = s->peer, .listener = listener};
    s->connect = open_scope(s, STAGE_CONNECT, NULL, &subject);
    if (s->tells_client && !s->exempt) /* XCLIENT tells the confirmed name */
        check_start(s->connect, CHECK_FCRDNS, 0);
}

/* Another name comes: a refusal of this one stays. */
static void forget_name(struct session *s)
{
    if (s->helo_verdict && s->helo_verdict->walk.action >= ACTION_REJECT && !s->sticky_helo) {
        s->sticky_helo = s->helo; /* its verdict stays: a refused name is not shaken off by another one */
        s->helo = NULL;
        return;
    }
    if (s->sticky_helo == NULL)
        s->helo_verdict = NULL;
    scope_unref(&s->helo);
}

void stages_forget_client(struct session *s)
{
    scope_unref(&s->helo);
    scope_unref(&s->sticky_helo);
    s->helo_verdict = NULL;
}

void stages_open_helo(struct session *s, struct str argument)
{
    struct scope *before = s->helo && s->helo->shadow ? scope_ref(s->helo) : NULL;
    forget_name(s);
    struct subject subject = {.helo = argument};
    s->helo = open_scope(s, STAGE_HELO, s->connect, &subject);
    if (before)
        shadow_rename(before, s->helo, str_of(s->id));
    scope_unref(&before);
}

static struct scope *scope_at(const struct session *s, enum stage stage)
{
    return stage == STAGE_CONNECT ? s->connect : stage == STAGE_HELO ? s->helo : s->t ? s->t->scopes[STAGE_MAIL] : NULL;
}

static const struct stage_verdict *verdict_at(const struct session *s, enum stage stage)
{
    if (stage == STAGE_CONNECT)
        return s->connect_verdict;
    if (stage == STAGE_HELO)
        return s->helo_verdict;
    return s->t && s->t->verdicts[stage].present ? &s->t->verdicts[stage] : NULL;
}

void stages_verdicts(const struct session *s, struct stage_verdict v[STAGE_COUNT])
{
    for (enum stage stage = 0; stage < STAGE_COUNT; stage++) {
        const struct stage_verdict *have = stage == STAGE_RCPT ? NULL : verdict_at(s, stage);
        v[stage] = have ? *have : (struct stage_verdict){0};
    }
}

/* A tarpit's time, as far as the session's and the process's limits allow. */
void tarpit_add(struct session *s, uint64_t ms, uint64_t *hold_until)
{
    const struct settings *set = s->proxy->parts.settings;
    if (ms > set->tarpit_limit - s->tarpit_used)
        ms = set->tarpit_limit - s->tarpit_used;
    if (ms == 0 || (!s->tarpitted && s->proxy->tarpitted >= set->tarpit_sessions))
        return;
    if (!s->tarpitted) {
        s->tarpitted = true;
        s->proxy->tarpitted++;
    }
    count(COUNTER_TARPITTED);
    s->tarpit_used += (uint32_t)ms;
    uint64_t from = *hold_until > session_now(s) ? *hold_until : session_now(s);
    *hold_until = from + ms;
}

static void keep_verdict(struct session *s, enum stage stage, struct scope *scope, const struct walk *walk)
{
    shadow_settle(scope);
    struct stage_verdict *v =
        stage == STAGE_MAIL ? &s->t->verdicts[STAGE_MAIL] : arena_zalloc(&scope->arena, sizeof *v);
    v->present = true;
    v->walk = *walk;
    if (stage == STAGE_CONNECT)
        s->connect_verdict = v;
    else if (stage == STAGE_HELO)
        s->helo_verdict = v;
    if (stage < STAGE_MAIL)
        closing_look_again(s);
    rates_connection(s);
    tarpit_add(s, walk->tarpit_ms, &s->hold_until);
}

/* A stage that has its verdict already (a refused HELO name stays), or needs none behind an accept. Its shadow is judged all the same. */
static void pass_over(struct session *s, struct scope *scope)
{
    if (!scope || !scope->shadow)
        return;
    stages_snapshot(s, &scope->facts);
    shadow_settle(scope);
}

static void pass_over_rest(struct session *s, enum stage stage, enum stage upto)
{
    for (; stage <= upto && stage <= STAGE_MAIL; stage++)
        pass_over(s, scope_at(s, stage));
}

/* Could a stage from `stage` to `upto`, undecided behind rule `from` of the first, still speak now? */
static bool holds(const struct session *s, enum stage stage, const struct walk *undecided, enum stage upto)
{
    if (decide_holds_reply(s->policy, stage, undecided))
        return true;
    for (enum stage later = stage + 1; later <= upto; later++)
        if (policy_may_speak(s->policy, later, 0))
            return true;
    return false;
}

enum settled stages_settle(struct session *s, enum stage upto)
{
    if (s->exempt)
        return SETTLED;
    struct stage_verdict v[STAGE_COUNT];
    bool awaited = s->awaits_evidence;
    for (enum stage stage = STAGE_CONNECT; stage <= upto && stage <= STAGE_MAIL; stage++) {
        struct scope *scope = scope_at(s, stage);
        if (verdict_at(s, stage)) {
            pass_over(s, scope);
            if (verdict_at(s, stage)->walk.action == ACTION_ACCEPT) {
                pass_over_rest(s, stage + 1, upto);
                return SETTLED; /* later stages are not walked */
            }
            continue;
        }
        if (!scope)
            continue;
        stages_snapshot(s, &scope->facts);
        stages_verdicts(s, v);
        struct decide_input in = {.score = ruling_score(v, stage),
                                  .negative = ruling_negative(v, stage),
                                  .id = stage < STAGE_MAIL ? str_of(s->id) : session_record_id(s)};
        struct walk walk;
        s->awaits_evidence = true;
        if (decide_stage(scope, &in, &walk) == DECIDE_NOT_YET)
            return holds(s, stage, &walk, upto) ? UNSETTLED_HOLD : UNSETTLED;
        s->awaits_evidence = awaited;
        keep_verdict(s, stage, scope, &walk);
        if (walk.action == ACTION_ACCEPT) {
            pass_over_rest(s, stage + 1, upto);
            return SETTLED;
        }
    }
    return SETTLED;
}

void stages_gather_shadow(struct session *s)
{
    struct scope *deepest = s->helo ? s->helo : s->connect;
    if (s->t && s->t->scopes[STAGE_DATA])
        deepest = s->t->scopes[STAGE_DATA];
    else if (s->t && s->t->scopes[STAGE_MAIL])
        deepest = s->t->scopes[STAGE_MAIL];
    if (deepest)
        shadow_gather(deepest);
}

enum step stages_reply(struct session *s, enum stage stage, struct reply *refuse, bool *refused)
{
    *refused = false;
    if (stages_settle(s, stage) == UNSETTLED_HOLD)
        return STEP_NOT_YET;
    if (s->hold_until > session_now(s))
        return STEP_NOT_YET;
    struct stage_verdict v[STAGE_COUNT];
    stages_verdicts(s, v);
    struct ruling ruling = ruling_of(v, stage);
    if (ruling.action >= ACTION_REJECT && ruling.walk->now) {
        *refuse = refusal_of(ruling.walk, &s->command_arena);
        *refused = s->refused_now = true;
    }
    return STEP_DONE;
}
