/*
 * expect.c - expectations of records (verdict, facts, end), of messages at the backends, of counters and the log.
 *
 * "The last transaction" may still be open when its record is spoken of (refused at RCPT, say), or over while late evidence
 * holds the record. So an expectation names the transaction by what its client knows of it, and waits for that record.
 */
#include "run.h"

#include "postern/base/codec.h"
#include "postern/base/counters.h"
#include "postern/base/log.h"
#include "postern/decide/record.h"

#include <stdlib.h>
#include <string.h>

enum { SHOWN = 400 };

/* --- reading a record ------------------------------------------------------------------------------------------------------- */

struct found_fact { /* the last value of a fact in a record */
    bool found;
    struct value value;
};

/* "facts":{NAME:[VALUE,MS],...}, the reader behind its opening brace. */
static bool read_facts(struct json_reader *j, const struct fact_info *info, struct arena *arena, struct found_fact *out)
{
    for (;;) {
        struct json_event key = json_next(j);
        if (key.kind != JSON_KEY)
            return key.kind == JSON_END_OBJECT;
        bool wanted = str_eq(key.text, info->name);
        struct json_event first = json_next(j);
        if (!wanted) {
            if (!json_skip(j, first))
                return false;
            continue;
        }
        if (first.kind != JSON_ARRAY || !value_read_json(info, j, json_next(j), arena, &out->value))
            return false;
        out->found = true;
        while (first.kind != JSON_END_ARRAY) {
            first = json_next(j);
            if (first.kind == JSON_ERROR || first.kind == JSON_END)
                return false;
        }
    }
}

/* Any "facts" of the record; those of a HELO name that was given up (sticky_helo) and of the shadow's part do not count. */
static bool record_fact(struct str line, const struct fact_info *info, struct arena *arena, struct found_fact *out)
{
    struct json_reader j;
    json_read_init(&j, line, arena);
    for (;;) {
        struct json_event e = json_next(&j);
        if (e.kind == JSON_END || e.kind == JSON_ERROR)
            return e.kind == JSON_END;
        if (e.kind != JSON_KEY)
            continue;
        if (str_eq(e.text, STR("sticky_helo")) || str_eq(e.text, STR("shadow"))) {
            if (!json_skip(&j, json_next(&j)))
                return false;
        } else if (str_eq(e.text, STR("facts")) && json_next(&j).kind == JSON_OBJECT) {
            if (!read_facts(&j, info, arena, out))
                return false;
        }
    }
}

/* A text member of the outermost object. */
static struct str record_text(struct str line, const char *name, struct arena *arena)
{
    struct json_reader j;
    json_read_init(&j, line, arena);
    json_next(&j);
    for (struct json_event e = json_next(&j); e.kind == JSON_KEY; e = json_next(&j)) {
        bool wanted = str_eq(e.text, str_of(name));
        struct json_event value = json_next(&j);
        if (wanted)
            return value.kind == JSON_STRING ? value.text : STR("(none)");
        if (!json_skip(&j, value))
            break;
    }
    return STR("(none)");
}

/* What the record says of the shadow policy, an object as written; STR_NONE: nothing. */
static struct str record_shadow(struct str line, struct arena *arena)
{
    struct json_reader j;
    json_read_init(&j, line, arena);
    json_next(&j);
    for (struct json_event e = json_next(&j); e.kind == JSON_KEY; e = json_next(&j)) {
        size_t from = j.at;
        bool wanted = str_eq(e.text, STR("shadow"));
        if (!json_skip(&j, json_next(&j)))
            break;
        if (wanted)
            return str_sub(line, from + str_find(str_sub(line, from, j.at), '{', 0), j.at);
    }
    return STR_NONE;
}

/* --- judging it: the complaint in *why (arena), empty when it is as expected ------------------------------------------------ */

static struct str judge_verdict(const struct step *step, struct str line, struct arena *arena)
{
    struct str was = record_text(line, "verdict", arena);
    struct str wanted =
        step->pattern2.n ? arena_printf(arena, "%.*s by %.*s", STR_ARG(step->pattern), STR_ARG(step->pattern2)) : step->pattern;
    struct str prefix = arena_printf(arena, "%.*s by ", STR_ARG(step->pattern));
    if (str_eq(was, wanted) || (step->pattern2.n == 0 && str_starts(was, prefix)))
        return STR_NONE;
    return arena_printf(arena, "expected %.*s, the record says %.*s", STR_ARG(wanted), STR_ARG(was));
}

static struct str judge_fact(const struct policy *policy, const struct step *step, struct str line, struct arena *arena)
{
    struct str error = STR_NONE;
    struct found_fact fact = {.found = false};
    struct value wanted;
    const struct schema *schema = policy_schema(policy);
    int id = schema_find(schema, step->text);
    if (id < 0)
        return arena_printf(arena, "there is no fact '%.*s'", STR_ARG(step->text));
    const struct fact_info *info = schema_fact(schema, id);
    bool unknown = str_eq(step->pattern, STR("unknown")), any = str_eq(step->pattern, STR("*"));
    if (!unknown && !any && !value_parse(info, step->pattern, arena, &wanted, &error))
        return arena_printf(arena, "%.*s: %.*s", STR_ARG(step->text), STR_ARG(error));
    if (!record_fact(line, info, arena, &fact))
        return STR("the record cannot be read");
    bool error_only = str_eq(step->pattern, STR("error"));
    if (unknown ? !fact.found
                : fact.found && (any || value_eq(&fact.value, &wanted) || (error_only && fact.value.state == FACT_ERROR)))
        return STR_NONE;
    struct buf was = {0};
    if (fact.found)
        value_format(&was, &fact.value);
    else
        buf_cstr(&was, "(unknown)");
    struct str out = arena_printf(arena, "expected %.*s %.*s, the record says %.*s", STR_ARG(step->text), STR_ARG(step->pattern),
                                  STR_ARG(buf_view(&was)));
    buf_free(&was);
    return out;
}

static struct str judge_shadow(const struct policy *policy, const struct step *step, struct str line, struct arena *arena)
{
    struct str shadow = record_shadow(line, arena);
    if (!shadow.n || !policy)
        return STR("there is no shadow policy in the record");
    if (step->kind == STEP_SHADOW_VERDICT)
        return judge_verdict(step, shadow, arena);
    if (step->kind == STEP_SHADOW_FACT)
        return judge_fact(policy, step, shadow, arena);
    static const char key[] = "\"differs\":true";
    bool differs = memmem(shadow.p, shadow.n, key, sizeof key - 1) != NULL;
    if (differs == (step->number == 1))
        return STR_NONE;
    return arena_printf(arena, "expected a shadow that %s; it says %.*s, the policy %.*s", step->number ? "differs" : "says the same",
                        STR_ARG(record_text(shadow, "verdict", arena)), STR_ARG(record_text(line, "verdict", arena)));
}

static bool has(struct str s, struct str part)
{
    return part.n == 0 || (s.n >= part.n && memmem(s.p, s.n, part.p, part.n));
}

static struct str judge(struct run *r, const struct step *step, struct str line, struct arena *arena)
{
    struct str end;
    switch (step->kind) {
    case STEP_VERDICT:
        return judge_verdict(step, line, arena);
    case STEP_FACT:
        return judge_fact(r->world.policy, step, line, arena);
    case STEP_SHADOW_VERDICT:
    case STEP_SHADOW_DIFFERS:
    case STEP_SHADOW_FACT:
        return judge_shadow(r->world.shadow, step, line, arena);
    case STEP_END:
        end = record_text(line, "end", arena);
        return str_eq(end, step->pattern)
                   ? STR_NONE
                   : arena_printf(arena, "expected end %.*s, the record says %.*s", STR_ARG(step->pattern), STR_ARG(end));
    default: /* STEP_RECORD_HAS, STEP_RECORD_LACKS */
        return has(line, step->text) == (step->kind == STEP_RECORD_HAS)
                   ? STR_NONE
                   : arena_printf(arena, "expected the record %s it: %.*s", step->kind == STEP_RECORD_HAS ? "to hold" : "without",
                                  STR_ARG(line));
    }
}

static bool of_record(enum step_kind kind)
{
    return kind == STEP_VERDICT || kind == STEP_FACT || kind == STEP_END || kind == STEP_RECORD_HAS || kind == STEP_RECORD_LACKS ||
           kind == STEP_SHADOW_VERDICT || kind == STEP_SHADOW_DIFFERS || kind == STEP_SHADOW_FACT;
}

/* --- which record is meant -------------------------------------------------------------------------------------------------- */

/* A transaction as a client knows it: its connection by its port, its place on it. 0: there was none, the connection's own
 * record. */
struct awaited {
    size_t step;
    unsigned port, transaction;
};

static unsigned record_port(struct str line)
{
    static const char key[] = "\"port\":";
    const char *at = memmem(line.p, line.n, key, sizeof key - 1);
    return at ? (unsigned)strtoul(at + sizeof key - 1, NULL, 10) : 0; /* a record ends in a newline: not past its end */
}

/* The number behind the dot of "id":"SESSION.N". */
static unsigned record_transaction(struct str line)
{
    static const char key[] = "\"id\":\"";
    const char *at = memmem(line.p, line.n, key, sizeof key - 1);
    if (!at)
        return 0;
    struct str id = str_sub(line, (size_t)(at - line.p) + sizeof key - 1, line.n);
    id = str_sub(id, 0, str_find(id, '"', 0));
    size_t dot = str_find(id, '.', 0);
    return dot < id.n ? (unsigned)strtoul(id.p + dot + 1, NULL, 10) : 0;
}

struct str record_verdict_line(struct arena *arena, struct str line, bool with_shadow)
{
    struct str shadow = with_shadow ? record_shadow(line, arena) : STR_NONE;
    struct str said = shadow.n ? record_text(shadow, "verdict", arena) : STR_NONE;
    return arena_printf(arena, "%05u.%06u %.*s%s%.*s", record_port(line), record_transaction(line),
                        STR_ARG(record_text(line, "verdict", arena)), said.n ? ", shadow: " : "", STR_ARG(said));
}

static const struct str *record_of(const struct world *w, const struct awaited *a)
{
    for (size_t i = w->record_count; i > 0; i--) {
        const struct str *line = &w->records[i - 1];
        if (record_port(*line) == a->port && record_transaction(*line) == a->transaction)
            return line;
    }
    return NULL;
}

static bool record_came(struct world *w, const void *what)
{
    return record_of(w, what) != NULL;
}

/* The newest transaction of that connection; else whatever was recorded last. */
static const struct str *record_instead(const struct world *w, const struct awaited *a)
{
    const struct str *best = NULL;
    for (size_t i = 0; i < w->record_count; i++) {
        const struct str *line = &w->records[i];
        bool newer = !best || record_transaction(*line) >= record_transaction(*best);
        if (record_port(*line) == a->port && newer)
            best = line;
    }
    return best || w->record_count == 0 ? best : &w->records[w->record_count - 1];
}

/* Judges by the record that is meant, or when there will be none (a MAIL that was refused without one) by the next best. */
static void judge_awaited(struct run *r, const struct awaited *a)
{
    struct world *w = &r->world;
    struct arena arena = {0};
    const struct step *step = &r->script->steps[a->step];
    const struct str *line = record_of(w, a);
    if (!line)
        line = record_instead(w, a);
    struct str why = line ? judge(r, step, *line, &arena) : STR("expected a record, there is none");
    if (why.n)
        run_fail(r, step, "%.*s", STR_ARG(why));
    arena_clear(&arena);
}

static void expect_record(struct run *r, const struct step *step)
{
    struct world *w = &r->world;
    const struct sim_client *c = &w->clients[r->speaker];
    struct awaited a = {(size_t)(step - r->script->steps), c->port, c->observer.transactions};
    world_settle(w);
    bool over = c->connected && a.transaction > 0 && !c->observer.open;
    if (over && w->proxy) /* late evidence may hold its record */
        world_wait(w, w->patience_ms, record_came, &a);
    if (over || record_of(w, &a)) {
        judge_awaited(r, &a);
        return;
    }
    r->awaited = xrealloc(r->awaited, (r->awaited_count + 1) * sizeof *r->awaited);
    r->awaited[r->awaited_count++] = a;
}

void expect_record_came(struct run *r)
{
    size_t left = 0;
    for (size_t i = 0; i < r->awaited_count; i++) {
        if (record_of(&r->world, &r->awaited[i]))
            judge_awaited(r, &r->awaited[i]);
        else
            r->awaited[left++] = r->awaited[i];
    }
    r->awaited_count = left;
}

void expect_settle(struct run *r)
{
    struct world *w = &r->world;
    for (size_t i = 0; i < r->awaited_count; i++) {
        if (w->proxy)
            world_wait(w, w->patience_ms, record_came, &r->awaited[i]);
        judge_awaited(r, &r->awaited[i]);
    }
    r->awaited_count = 0;
}

/* --- what can be judged at once --------------------------------------------------------------------------------------------- */

static bool journal_full(struct world *w, const void *what)
{
    return w->record_count >= ((const struct step *)what)->number;
}

static void judge_text(struct run *r, const struct step *step, struct str text, const char *whose, bool wanted)
{
    if (has(text, step->text) == wanted)
        return;
    struct buf shown = {0}, part = {0};
    escape_text(&shown, str_sub(text, 0, SHOWN));
    escape_text(&part, step->text);
    run_fail(r, step, "expected %s %s \"%.*s\"; it is \"%.*s%s\"", whose, wanted ? "with" : "without", STR_ARG(buf_view(&part)),
             STR_ARG(buf_view(&shown)), text.n > SHOWN ? "..." : "");
    buf_free(&shown);
    buf_free(&part);
}

static void judge_message_end(struct run *r, const struct step *step)
{
    struct str m = buf_view(&r->world.last_message), end = step->text;
    if (m.n >= end.n && memcmp(m.p + m.n - end.n, end.p, end.n) == 0)
        return;
    struct buf shown = {0};
    escape_text(&shown, str_sub(m, m.n > SHOWN ? m.n - SHOWN : 0, m.n));
    run_fail(r, step, "expected another end of the message; it is \"...%.*s\"", STR_ARG(buf_view(&shown)));
    buf_free(&shown);
}

static void judge_number(struct run *r, const struct step *step, const char *what, uint64_t wanted, uint64_t is)
{
    if (wanted != is)
        run_fail(r, step, "expected %s %llu, it is %llu", what, (unsigned long long)wanted, (unsigned long long)is);
}

/* With a shadow that the script does not know of, these may rightly say more. */
static bool speaks_of_all(enum step_kind kind)
{
    return kind == STEP_COUNTER || kind == STEP_LOG_HAS || kind == STEP_LOG_LACKS || kind == STEP_RECORD_HAS || kind == STEP_RECORD_LACKS;
}

bool expect_step(struct run *r, const struct step *step)
{
    struct world *w = &r->world;
    if (r->how->shadow && speaks_of_all(step->kind))
        return true;
    if (of_record(step->kind)) {
        expect_record(r, step);
        return true;
    }
    switch (step->kind) {
    case STEP_JOURNAL:
        world_wait(w, w->patience_ms, journal_full, step);
        judge_number(r, step, "journal", step->number, w->record_count);
        return true;
    case STEP_DELIVERED:
        judge_number(r, step, "delivered", step->number, w->delivered);
        return true;
    case STEP_COUNTER:
        judge_number(r, step, counter_names[step->number], step->number2, counters[step->number]);
        return true;
    case STEP_MESSAGE_HAS:
    case STEP_MESSAGE_LACKS:
        judge_text(r, step, buf_view(&w->last_message), "the message", step->kind == STEP_MESSAGE_HAS);
        return true;
    case STEP_MESSAGE_ENDS:
        judge_message_end(r, step);
        return true;
    case STEP_LOG_HAS:
    case STEP_LOG_LACKS:
        log_flush();
        judge_text(r, step, buf_view(&w->log), "the log", step->kind == STEP_LOG_HAS);
        return true;
    default:
        return false;
    }
}
