/*
 * record_write.c - one transaction as one line of JSON.
 *
 *     {"v":1,"id","session","time","client","port","listener","esmtp","tls",
 *      "policy":{"path","digest"},"declared":{NAME:DEFINITION},"negative_limit","help",
 *      "shadow":{"policy","declared","stages","sticky_helo","recipients":[{"address","facts","verdict","trace","ruling"}],
 *                "verdict":"none","undecided":"rcpt","differs":true,"inconsistent":true},
 *      "stages":{"connect":{"facts":{NAME:[VALUE,MS]},"verdict":VERDICT,"trace":[...]},"helo":...,"mail":...,"data":...},
 *      "sticky_helo":{"facts","verdict","trace"},
 *      "recipients":[{"address","facts","verdict","trace","ruling","reply","by","accepted"}],
 *      "verdict":"reject by listed","reply","by","end","backend","ms","inconsistent":true}
 *
 *     VERDICT: {"action","rule","now","greylisted","code","enhanced","text","score","class","tarpit",
 *               "marks":[[NAME,MS]],"headers":[[NAME,VALUE]]}
 *
 * MS after a fact's value is when it came, counted from the start of the connection. Members of a verdict that say nothing are
 * left out. A stage that was opened but never decided, or whose opening follows an accept, has its facts and null for verdict
 * and trace. "sticky_helo" is there when a refused HELO name was changed: it is the refusal with the facts of that name, and
 * then stages.helo has no verdict of its own.
 *
 * "shadow" is there when a shadow policy was loaded: what it would have said, with the facts that only it has; all others are those of the record.
 * The facts of its "sticky_helo" are complete, since the applied policy may have kept no such name. It stands before "stages" so that who judges
 * the record under that policy knows when facts come whether they are its own. "undecided": it lacked facts when the record had to close; then
 * only "policy" is there besides.
 *
 * Stages are walked again here, with monitor rules and trace, over the facts as they are now: evidence that came after the
 * verdict cannot change it (walk.h), but shows what the rest would have seen. Should a walk differ from what was decided all
 * the same, the record says "inconsistent". {id} in texts is the session's id in stages connect and helo, the transaction's
 * later.
 */
#include <assert.h>

#include "decide_internal.h"
#include "postern/base/codec.h"
#include "postern/decide/shadow.h"

struct writer {
    const struct record *r;
    bool shadow;                              /* r is the shadow's part of a record */
    struct json j;
    struct arena arena;                       /* walks; dies with the writer */
    struct stage_verdict verdicts[STAGE_COUNT]; /* as walked here */
    struct outcome outcome;
    bool inconsistent;
};

static void key_str(struct json *j, const char *key, struct str s)
{
    json_key(j, key);
    json_str(j, s);
}

static void key_cstr(struct json *j, const char *key, const char *s)
{
    json_key(j, key);
    json_cstr(j, s);
}

static void key_i64(struct json *j, const char *key, int64_t v)
{
    json_key(j, key);
    json_i64(j, v);
}

static void key_true(struct json *j, const char *key, bool v)
{
    if (!v)
        return;
    json_key(j, key);
    json_bool(j, true);
}

/* --- verdicts --- */

static void marks_and_headers(const struct walk *w, struct json *j)
{
    if (w->mark_count) {
        json_key(j, "marks");
        json_array(j);
        for (size_t i = 0; i < w->mark_count; i++) {
            json_array(j);
            json_str(j, w->marks[i].name);
            json_u64(j, w->marks[i].ms);
            json_end_array(j);
        }
        json_end_array(j);
    }
    if (!w->header_count)
        return;
    json_key(j, "headers");
    json_array(j);
    for (size_t i = 0; i < w->header_count; i++) {
        json_array(j);
        json_str(j, w->headers[i].name);
        json_str(j, w->headers[i].value);
        json_end_array(j);
    }
    json_end_array(j);
}

void record_verdict(const struct policy *p, enum stage stage, const struct walk *w, struct json *j)
{
    json_object(j);
    key_cstr(j, "action", w->done ? action_names[w->action] : "undecided");
    if (w->done && w->rule >= 0)
        key_str(j, "rule", policy_rule(p, stage, (size_t)w->rule).name);
    if (w->done && (w->action == ACTION_REJECT || w->action == ACTION_TEMPFAIL)) {
        key_true(j, "now", w->now);
        key_true(j, "greylisted", w->greylisted);
        key_i64(j, "code", w->code);
        key_str(j, "enhanced", w->enhanced);
        key_str(j, "text", w->text);
    }
    if (w->score)
        key_i64(j, "score", w->score);
    if (w->class.n)
        key_str(j, "class", w->class);
    if (w->tarpit_ms)
        key_i64(j, "tarpit", (int64_t)w->tarpit_ms);
    marks_and_headers(w, j);
    json_end_object(j);
}

void record_trace(const struct policy *p, enum stage stage, const struct walk *w, struct json *j)
{
    json_array(j);
    trace_json(p, stage, w, j);
    json_end_array(j);
}

static void no_verdict(struct json *j)
{
    json_key(j, "verdict");
    json_null(j);
    json_key(j, "trace");
    json_null(j);
}

/* --- stages --- */

static void put_fact(const struct facts *f, int id, const struct value *v, struct json *j)
{
    json_key_str(j, schema_fact(f->schema, id)->name);
    json_array(j);
    value_json(j, v);
    json_u64(j, v->at_ms);
    json_end_array(j);
}

static void put_facts(const struct scope *s, struct json *j)
{
    size_t cursor = 0;
    int id;
    const struct value *v;
    json_key(j, "facts");
    json_object(j);
    while (s && facts_next(&s->facts, &cursor, &id, &v))
        put_fact(&s->facts, id, v, j);
    json_end_object(j);
}

/* All that its own stage's scope sees, those read through too. */
static void put_sticky_facts(const struct scope *s, struct json *j)
{
    if (!s->beside) {
        put_facts(s, j);
        return;
    }
    json_key(j, "facts");
    json_object(j);
    for (size_t id = 0; id < schema_count(s->facts.schema); id++) {
        const struct fact_info *info = schema_fact(s->facts.schema, (int)id);
        bool own = info->stage == (enum stage)s->stage || (info->flags & FACT_SNAPSHOT && fact_readable(info, (enum stage)s->stage));
        if (own && facts_has(&s->facts, (int)id))
            put_fact(&s->facts, (int)id, facts_get(&s->facts, (int)id), j);
    }
    json_end_object(j);
}

/* Walks a stage that was decided once more and writes it. The new walk is what is left in *out. */
static void put_decided(struct writer *w, const struct scope *s, const struct stage_verdict *decided, struct stage_verdict *out,
                        struct json *j)
{
    const struct record *r = w->r;
    assert(s);
    struct walk_input in = {.stage = s->stage, .facts = &s->facts, .score = ruling_score(w->verdicts, s->stage),
                            .negative = ruling_negative(w->verdicts, s->stage),
                            .negative_limit = r->negative_limit, .with_monitor = true, .with_trace = true, .help = r->help,
                            .id = s->stage <= STAGE_HELO ? r->session_id : r->id};
    policy_walk(r->policy, &in, &w->arena, &out->walk);
    const struct walk *now = &out->walk, *then = &decided->walk;
    out->present = now->done;
    if (!now->done && !w->outcome.undecided)
        w->outcome.undecided = stage_names[s->stage];
    if (!now->done || now->action != then->action || now->rule != then->rule || now->code != then->code ||
        now->score != then->score || !str_eq(now->text, then->text))
        w->inconsistent = true;
    json_key(j, "verdict");
    record_verdict(r->policy, s->stage, now, j);
    json_key(j, "trace");
    record_trace(r->policy, s->stage, now, j);
}

static void put_stage(struct writer *w, enum stage stage)
{
    const struct record *r = w->r;
    bool sticky = stage == STAGE_HELO && r->sticky_helo;
    json_key(&w->j, stage_names[stage]);
    json_object(&w->j);
    put_facts(r->scopes[stage], &w->j);
    if (r->verdicts[stage].present && !sticky)
        put_decided(w, r->scopes[stage], &r->verdicts[stage], &w->verdicts[stage], &w->j);
    else
        no_verdict(&w->j);
    json_end_object(&w->j);
}

/* The refused HELO that survives: walked before the later stages, whose scores rest on it, and written behind them. */
static void walk_sticky(struct writer *w, struct buf *out)
{
    struct json j;
    json_init(&j, out);
    json_object(&j);
    put_sticky_facts(w->r->sticky_scope, &j);
    put_decided(w, w->r->sticky_scope, &w->r->verdicts[STAGE_HELO], &w->verdicts[STAGE_HELO], &j);
    json_end_object(&j);
}

static void put_stages(struct writer *w, enum stage first, enum stage last)
{
    for (int stage = first; stage <= (int)last; stage++) {
        if (stage != STAGE_RCPT && w->r->scopes[stage])
            put_stage(w, (enum stage)stage);
    }
}

static void put_recipient(struct writer *w, const struct record_recipient *to)
{
    struct json *j = &w->j;
    json_object(j);
    key_str(j, "address", to->address);
    if (to->scope) {
        put_facts(to->scope, j);
        w->verdicts[STAGE_RCPT].present = false;
        if (to->verdict.present)
            put_decided(w, to->scope, &to->verdict, &w->verdicts[STAGE_RCPT], j);
        else
            no_verdict(j);
        struct ruling ruling = ruling_of(w->verdicts, STAGE_RCPT);
        outcome_recipient(&w->outcome, w->r->policy, &ruling, &w->arena);
        key_str(j, "ruling", ruling_summary(w->r->policy, &ruling, &w->arena));
        w->verdicts[STAGE_RCPT].present = false;
    }
    if (!w->shadow) {
        key_str(j, "reply", to->reply);
        key_cstr(j, "by", to->by);
        json_key(j, "accepted");
        json_bool(j, to->accepted);
    }
    json_end_object(j);
}

/* --- the line --- */

static void put_head(const struct record *r, struct json *j)
{
    char time[RFC3339_TEXT], address[ADDR_TEXT];
    key_i64(j, "v", 1);
    key_str(j, "id", r->id);
    key_str(j, "session", r->session_id);
    key_cstr(j, "time", time_rfc3339(r->start_wall_ms, time));
    key_cstr(j, "client", addr_format(&r->client.addr, address));
    key_i64(j, "port", r->client.port);
    key_str(j, "listener", r->listener);
    json_key(j, "esmtp");
    json_bool(j, r->esmtp);
    json_key(j, "tls");
    json_bool(j, r->tls);
}

static void put_policy(const struct policy *p, struct json *j)
{
    json_key(j, "policy");
    json_object(j);
    key_cstr(j, "path", policy_path(p));
    key_cstr(j, "digest", policy_digest(p));
    json_end_object(j);
}

static void put_declared(const struct policy *p, struct json *j)
{
    const struct schema *schema = policy_schema(p);
    json_key(j, "declared");
    json_object(j);
    for (size_t id = FACT_COUNT; id < schema_count(schema); id++) {
        const struct fact_info *info = schema_fact(schema, (int)id);
        json_key_str(j, info->name);
        json_str(j, info->definition);
    }
    json_end_object(j);
}

static void put_end(struct writer *w)
{
    const struct record *r = w->r;
    struct json *j = &w->j;
    key_str(j, "verdict", outcome_summary(&w->outcome, r->policy, w->verdicts, &w->arena));
    key_str(j, "reply", r->reply);
    key_cstr(j, "by", r->reply_by);
    key_cstr(j, "end", r->end);
    key_str(j, "backend", r->backend);
    json_key(j, "ms");
    json_u64(j, r->end_wall_ms > r->start_wall_ms ? r->end_wall_ms - r->start_wall_ms : 0);
    key_true(j, "inconsistent", w->inconsistent);
}

/* What was walked. Recipients come behind the stages: each puts its own verdict into the row of verdicts for a moment. */
static void put_judged(struct writer *w)
{
    struct buf sticky = {0};
    json_key(&w->j, "stages");
    json_object(&w->j);
    put_stages(w, STAGE_CONNECT, STAGE_CONNECT);
    if (w->r->sticky_helo)
        walk_sticky(w, &sticky);
    put_stages(w, STAGE_HELO, STAGE_DATA);
    json_end_object(&w->j);
    if (sticky.n) {
        json_key(&w->j, "sticky_helo");
        buf_str(w->j.out, buf_view(&sticky));
        w->j.need_comma = true;
    }
    json_key(&w->j, "recipients");
    json_array(&w->j);
    for (const struct record_recipient *to = w->r->recipients; to; to = to->next)
        put_recipient(w, to);
    json_end_array(&w->j);
    buf_free(&sticky);
}

static void put_shadow(const struct shadow *shadow, struct json *j)
{
    struct writer w = {.r = &shadow->record, .shadow = true, .j = *j};
    json_key(&w.j, "shadow");
    json_object(&w.j);
    put_policy(w.r->policy, &w.j);
    if (shadow->undecided) {
        key_cstr(&w.j, "undecided", shadow->undecided);
    } else {
        put_declared(w.r->policy, &w.j);
        put_judged(&w);
        key_str(&w.j, "verdict", outcome_summary(&w.outcome, w.r->policy, w.verdicts, &w.arena));
        key_true(&w.j, "differs", shadow->differs);
        key_true(&w.j, "inconsistent", w.inconsistent);
    }
    json_end_object(&w.j);
    *j = w.j;
    arena_clear(&w.arena);
}

void record_write(const struct record *r, struct buf *out)
{
    struct writer w = {.r = r};
    json_init(&w.j, out);
    json_object(&w.j);
    put_head(r, &w.j);
    put_policy(r->policy, &w.j);
    put_declared(r->policy, &w.j);
    key_i64(&w.j, "negative_limit", r->negative_limit);
    key_str(&w.j, "help", r->help);
    if (r->shadow)
        put_shadow(r->shadow, &w.j);
    put_judged(&w);
    put_end(&w);
    json_end_object(&w.j);
    buf_char(out, '\n');
    arena_clear(&w.arena);
}
