/*
 * expect.c - expectations of records (verdict, facts, end), of messages at the backends, of counters and the log.
 *
 * "The last transaction" may still be open when its record is spoken of (refused at RCPT, say): then the expectation waits for
 * the record, until the connection ends. A record that came since the client last said something is the one that is meant.
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

/* Any "facts" of the record; those of a HELO name that was given up (sticky_helo) do not count. */
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
        if (str_eq(e.text, STR("sticky_helo"))) {
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

static struct str judge_fact(struct run *r, const struct step *step, struct str line, struct arena *arena)
{
    struct str error = STR_NONE;
    struct found_fact fact = {.found = false};
    struct value wanted;
    const struct schema *schema = policy_schema(r->world.policy);
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
        return judge_fact(r, step, line, arena);
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
    return kind == STEP_VERDICT || kind == STEP_FACT || kind == STEP_END || kind == STEP_RECORD_HAS || kind == STEP_RECORD_LACKS;
}

/* Judges one by the newest record. */
static bool judge_last(struct run *r, const struct step *step, bool complain)
{
    struct world *w = &r->world;
    struct arena arena = {0};
    struct str why = STR("expected a record, there is none");
    if (w->record_count > 0)
        why = judge(r, step, w->records[w->record_count - 1], &arena);
    if (why.n && complain)
        run_fail(r, step, "%.*s", STR_ARG(why));
    bool ok = why.n == 0;
    arena_clear(&arena);
    return ok;
}

void expect_record_came(struct run *r)
{
    if (r->world.record_count <= r->records_at_send)
        return;
    for (size_t i = 0; i < r->waiting_count; i++)
        judge_last(r, &r->script->steps[r->waiting[i]], true);
    r->waiting_count = 0;
}

static bool record_came(struct world *w, const void *what)
{
    return w->record_count > *(const size_t *)what;
}

void expect_settle(struct run *r)
{
    struct world *w = &r->world;
    size_t count = w->record_count;
    if (r->waiting_count == 0)
        return;
    expect_record_came(r);
    bool all = true;
    for (size_t i = 0; i < r->waiting_count && w->record_count > 0; i++)
        all = all && judge_last(r, &r->script->steps[r->waiting[i]], false);
    if (r->waiting_count > 0 && (!all || w->record_count == 0) && w->proxy) /* late evidence may hold the record */
        world_wait(w, w->patience_ms, record_came, &count);
    for (size_t i = 0; i < r->waiting_count; i++)
        judge_last(r, &r->script->steps[r->waiting[i]], true);
    r->waiting_count = 0;
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

bool expect_step(struct run *r, const struct step *step)
{
    struct world *w = &r->world;
    if (of_record(step->kind)) {
        world_settle(w);
        r->waiting = xrealloc(r->waiting, (r->waiting_count + 1) * sizeof *r->waiting);
        r->waiting[r->waiting_count++] = (size_t)(step - r->script->steps);
        expect_record_came(r);
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
