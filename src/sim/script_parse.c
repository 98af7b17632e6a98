/*
 * script_parse.c - reading a transcript: lines, who speaks, what is said again.
 *
 * Lines that a client says one after the other become one segment. `again` is expanded here: the runner never sees it.
 */
#include "script_parser.h"

#include "postern/base/codec.h"
#include "postern/base/map.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPEAT_MAX = 100000000 };

bool parser_complain(struct parser *p, struct str what, const char *hint, const char *format, ...)
{
    if (what.p < p->source->text || what.p >= p->source->text + p->source->n || what.n == 0)
        what = p->line;
    struct span span = {p->source, (size_t)(what.p - p->source->text), what.n > 0 ? what.n : 1};
    char message[400];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    diag_add(p->diags, DIAG_ERROR, span, hint, "%s", message);
    return false;
}

bool parser_next_line(struct parser *p)
{
    struct str all = {p->source->text, p->source->n};
    if (p->next >= all.n)
        return false;
    size_t end = str_find(all, '\n', p->next);
    p->line = str_sub(all, p->next, end);
    if (p->line.n > 0 && p->line.p[p->line.n - 1] == '\r')
        p->line.n--;
    while (p->line.n > 0 && (p->line.p[0] == ' ' || p->line.p[0] == '\t'))
        p->line = str_sub(p->line, 1, p->line.n);
    p->rest = p->line;
    p->next = end + 1;
    p->line_number++;
    return true;
}

struct step *parser_step(struct parser *p, enum step_kind kind, unsigned actor)
{
    struct script *s = p->script;
    if (s->count == p->capacity) {
        p->capacity = p->capacity ? p->capacity * 2 : 32;
        s->steps = xrealloc(s->steps, p->capacity * sizeof *s->steps);
    }
    struct step *step = &s->steps[s->count++];
    *step = (struct step){.kind = kind, .line = p->line_number, .actor = (uint8_t)actor};
    p->joins = false;
    return step;
}

bool parser_word(struct parser *p, const char *what, struct str *word)
{
    return word_take(&p->rest, word) || parser_complain(p, p->line, NULL, "expected %s", what);
}

bool parser_duration(struct parser *p, uint64_t *ms)
{
    struct str word;
    if (!parser_word(p, "a duration", &word))
        return false;
    return duration_parse(word, ms) ||
           parser_complain(p, word, "write 200ms, 10s, 6m ...", "expected a duration, not '%.*s'", STR_ARG(word));
}

bool parser_number(struct parser *p, uint64_t *number)
{
    struct str word;
    if (!parser_word(p, "a number", &word))
        return false;
    return str_to_u64(word, UINT64_MAX, number) || parser_complain(p, word, NULL, "expected a number, not '%.*s'", STR_ARG(word));
}

bool parser_text(struct parser *p, struct str *text)
{
    struct str at = str_trim(p->rest);
    return quoted_parse(&p->rest, &p->script->arena, text) ||
           parser_complain(p, at, "known escapes: \\r \\n \\t \\0 \\xHH \\\" \\\\", "expected text in quotes");
}

bool parser_end(struct parser *p)
{
    struct str more = str_trim(p->rest);
    return more.n == 0 || parser_complain(p, more, NULL, "expected the end of the line");
}

/* --- what a conversation consists of ---------------------------------------------------------------------------------------- */

/* Keeps the step for `again`. Steps are copied, since the list of steps moves. */
static void conversation_add(struct conversation *c, const struct step *step)
{
    c->steps = xrealloc(c->steps, (c->count + 1) * sizeof *c->steps);
    c->steps[c->count++] = *step;
}

/* Follows the content of a message, byte by byte, so that a driver that got no 354 can leave it out. True: the final dot was in
 * it. */
static bool conversation_content(struct conversation *c, struct str bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        if (c->tail_length == sizeof c->tail) {
            memmove(c->tail, c->tail + 1, sizeof c->tail - 1);
            c->tail_length--;
        }
        c->tail[c->tail_length++] = bytes.p[i];
        if (c->tail_length == 5 && memcmp(c->tail, "\r\n.\r\n", 5) == 0) {
            c->in_content = false;
            return true;
        }
    }
    return false;
}

/* One finished segment: does it end in DATA, is it content? */
static void segment_finish(struct parser *p)
{
    if (!p->joins)
        return;
    p->joins = false;
    struct step *step = &p->script->steps[p->script->count - 1];
    struct conversation *c = &p->clients[step->actor];
    step->content = c->in_content;
    if (c->in_content) {
        step->ends_content = conversation_content(c, step->text);
    } else {
        struct str end = STR("DATA\r\n");
        c->after_data =
            str_ends_nocase(step->text, end) && (step->text.n == end.n || step->text.p[step->text.n - end.n - 1] == '\n');
    }
    conversation_add(c, step);
}

static void say_line(struct parser *p, unsigned actor, struct str bytes, bool newline)
{
    struct step *step;
    bool joins = p->joins && p->script->steps[p->script->count - 1].actor == actor;
    if (!joins)
        segment_finish(p);
    step = joins ? &p->script->steps[p->script->count - 1] : parser_step(p, STEP_SEND, actor);
    char *all = arena_alloc(&p->script->arena, step->text.n + bytes.n + 2);
    if (step->text.n > 0)
        memcpy(all, step->text.p, step->text.n);
    if (bytes.n > 0)
        memcpy(all + step->text.n, bytes.p, bytes.n);
    memcpy(all + step->text.n + bytes.n, "\r\n", 2);
    step->text = (struct str){all, step->text.n + bytes.n + (newline ? 2 : 0)};
    p->joins = true;
    p->clients[actor].begun = true;
}

/* After the colon, one space belongs to the notation. */
static struct str said(struct str rest)
{
    return rest.n > 0 && rest.p[0] == ' ' ? str_sub(rest, 1, rest.n) : rest;
}

static void say_repeated(struct parser *p, unsigned actor)
{
    bool newline = true, quoted = false;
    while (p->rest.n > 0 && (p->rest.p[0] == '-' || p->rest.p[0] == '\\')) {
        newline = newline && p->rest.p[0] != '-' && p->rest.p[0] != '\\';
        quoted = quoted || p->rest.p[0] == '\\';
        p->rest = str_sub(p->rest, 1, p->rest.n);
    }
    uint64_t times;
    if (!parser_number(p, &times))
        return;
    struct str unit = said(p->rest);
    if (quoted && (!parser_text(p, &unit) || !parser_end(p)))
        return;
    if (times > REPEAT_MAX || (unit.n + 2) * times > REPEAT_MAX) {
        parser_complain(p, p->line, NULL, "more than %d octets", (int)REPEAT_MAX);
        return;
    }
    struct buf all = {0};
    for (uint64_t i = 0; i < times; i++) {
        buf_str(&all, unit);
        if (newline)
            buf_cstr(&all, "\r\n");
    }
    say_line(p, actor, buf_view(&all), false);
    buf_free(&all);
}

/* C: text | C- text | C\ "bytes" | C* n text */
static bool parse_client(struct parser *p, unsigned actor, char how)
{
    struct str text;
    p->talking = true;
    switch (how) {
    case ':':
        say_line(p, actor, said(p->rest), true);
        return true;
    case '-':
        say_line(p, actor, said(p->rest), false);
        return true;
    case '\\':
        if (parser_text(p, &text) && parser_end(p))
            say_line(p, actor, text, false);
        return true;
    case '*':
        say_repeated(p, actor);
        return true;
    default:
        return false;
    }
}

/* S: pattern | S nothing | S closed */
static bool parse_server(struct parser *p, unsigned actor, char how)
{
    struct str word;
    segment_finish(p);
    p->talking = true;
    struct conversation *c = &p->clients[actor];
    c->begun = true;
    if (how == ':') {
        struct step *step = parser_step(p, STEP_LINE, actor);
        step->pattern = said(p->rest);
        c->in_content = c->in_content || (c->after_data && str_starts(step->pattern, STR("354")));
        if (c->after_data && c->in_content) {
            memcpy(c->tail, "\r\n", 2);
            c->tail_length = 2;
        }
        c->after_data = false;
        conversation_add(c, step);
        return true;
    }
    if (how != ' ' || !parser_word(p, "nothing or closed", &word))
        return how == ' ';
    if (!str_eq(word, STR("nothing")) && !str_eq(word, STR("closed"))) {
        parser_complain(p, word, "S: TEXT, S nothing or S closed", "expected nothing or closed");
        return true;
    }
    conversation_add(c, parser_step(p, str_eq(word, STR("closed")) ? STEP_CLOSED : STEP_NOTHING, actor));
    parser_end(p);
    return true;
}

/* B: pattern | B= pattern | B! pattern | B nothing */
static bool parse_backend_line(struct parser *p, unsigned actor, char how)
{
    static const char marks[] = ":=!";
    static const enum step_kind kinds[] = {STEP_GOT, STEP_GOT_NEXT, STEP_GOT_NEVER};
    struct str word;
    segment_finish(p);
    p->talking = true;
    const char *at = strchr(marks, how);
    if (at) {
        struct step *step = parser_step(p, kinds[at - marks], actor);
        step->pattern = said(p->rest);
        return true;
    }
    if (how != ' ' || !parser_word(p, "nothing", &word))
        return how == ' ';
    if (!str_eq(word, STR("nothing")))
        parser_complain(p, word, "B: TEXT, B= TEXT, B! TEXT or B nothing", "expected nothing");
    parser_step(p, STEP_GOT_NOTHING, actor);
    return true;
}

/* "C2: x": true when the line is one of C, S, B. */
static bool parse_dialogue(struct parser *p)
{
    struct str l = p->line;
    if (l.n < 2 || !strchr("CSB", l.p[0]))
        return false;
    size_t at = 1;
    unsigned actor = 0;
    if (l.p[1] >= '1' && l.p[1] <= '9') {
        actor = (unsigned)(l.p[1] - '1');
        at++;
    }
    if (at >= l.n)
        return false;
    p->rest = str_sub(l, at + 1, l.n);
    bool known = l.p[0] == 'C'   ? parse_client(p, actor, l.p[at])
                 : l.p[0] == 'S' ? parse_server(p, actor, l.p[at])
                                 : parse_backend_line(p, actor, l.p[at]);
    if (!known)
        p->rest = p->line;
    return known;
}

/* --- directives of the conversation ----------------------------------------------------------------------------------------- */

static void parse_again(struct parser *p, unsigned actor)
{
    struct conversation *c = &p->clients[actor];
    size_t last = c->count;
    while (last > 0 && c->steps[last - 1].kind != STEP_SEND)
        last--;
    if (last == 0) {
        parser_complain(p, p->line, NULL, "nothing was said yet that could be said again");
        return;
    }
    parser_step(p, STEP_CONNECT, actor);
    for (size_t i = 0; i < last; i++) {
        struct step *step = parser_step(p, STEP_SEND, actor);
        *step = c->steps[i];
        step->again = p->line_number;
    }
    c->count = last;
    c->in_content = c->steps[last - 1].content && !c->steps[last - 1].ends_content;
    struct str end = STR("DATA\r\n");
    c->after_data = !c->steps[last - 1].content && str_ends_nocase(c->steps[last - 1].text, end);
}

static void parse_connect(struct parser *p, unsigned actor)
{
    struct conversation *c = &p->clients[actor];
    struct str word;
    struct step *step = parser_step(p, STEP_CONNECT, actor);
    c->count = 0;
    c->begun = true;
    c->in_content = c->after_data = false;
    struct addr_port address;
    if (word_take(&p->rest, &word)) {
        step->text = word;
        if (!addr_port_parse(word, 40000, &address) && !addr_parse(word, &address.addr))
            parser_complain(p, word, NULL, "expected an address, not '%.*s'", STR_ARG(word));
    }
    parser_end(p);
}

/* tls [NAME | none] [1.2] */
static void parse_tls(struct parser *p, unsigned actor)
{
    struct step *step = parser_step(p, STEP_TLS, actor);
    struct str look = p->rest, word;
    step->text = STR("mx.test");
    if (word_take(&look, &word) && !str_eq(word, STR("1.2"))) {
        step->text = str_eq(word, STR("none")) ? STR("") : word;
        p->rest = look;
    }
    look = p->rest;
    if (word_take(&look, &word) && str_eq(word, STR("1.2"))) {
        step->number = TLS_ASKED_12;
        p->rest = look;
    }
    p->talking = true;
    conversation_add(&p->clients[actor], step);
    parser_end(p);
}

/* Directives that act on a client or on time. True: `word` was one. */
static bool parse_action(struct parser *p, struct str word, unsigned actor)
{
    static const struct { const char *name; enum step_kind kind; bool duration;
    } actions[] = {
        {"close-notify", STEP_NOTIFY, false}, {"drain", STEP_DRAIN, false},
        {"close", STEP_CLOSE, false}, {"reset", STEP_RESET, false},   {"half-close", STEP_HALF_CLOSE, false},
        {"wait", STEP_WAIT, true},    {"settle", STEP_SETTLE, false}, {"patience", STEP_PATIENCE, true},
    };
    if (str_eq(word, STR("connect")) || str_eq(word, STR("again"))) {
        (str_eq(word, STR("connect")) ? parse_connect : parse_again)(p, actor);
        p->talking = true;
        return true;
    }
    if (str_eq(word, STR("tls"))) {
        parse_tls(p, actor);
        return true;
    }
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        if (!str_eq(word, str_of(actions[i].name)))
            continue;
        uint64_t ms = 0;
        if (actions[i].duration && !parser_duration(p, &ms))
            return true;
        struct step *step = parser_step(p, actions[i].kind, actor);
        step->number = ms;
        if (step->kind == STEP_SETTLE)
            conversation_add(&p->clients[actor], step);
        p->talking = p->talking || step->kind != STEP_PATIENCE;
        parser_end(p);
        return true;
    }
    return false;
}

static void unknown_line(struct parser *p, struct str word)
{
    static const char *const names[] = {"client", "policy",  "set",   "domains", "hostname", "dns",    "backend",    "store",
                                        "spool",  "connect", "close", "reset",   "wait",     "again",  "half-close", "settle",
                                        "drain",  "expect",  "lists", "patience", "timing-sensitive", "tls", "close-notify",
                                        "shadow"};
    struct str candidates[sizeof names / sizeof *names];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        candidates[i] = str_of(names[i]);
    struct str near = str_suggest(word, candidates, sizeof names / sizeof *names);
    char hint[60] = "tests/README.md describes the notation";
    if (near.p)
        snprintf(hint, sizeof hint, "did you mean '%.*s'?", STR_ARG(near));
    parser_complain(p, word, hint, "unknown line '%.*s'", STR_ARG(word));
}

static void parse_line(struct parser *p)
{
    struct str word;
    if (p->line.n == 0 || p->line.p[0] == '#' || parse_dialogue(p))
        return;
    segment_finish(p);
    word_take(&p->rest, &word);
    unsigned actor = 0;
    char last = word.p[word.n - 1];
    if (last >= '1' && last <= '9' && word.n > 1) {
        actor = (unsigned)(last - '1');
        word.n--;
    }
    if (str_eq(word, STR("expect"))) {
        p->talking = true;
        parser_expect(p);
    } else if (str_eq(word, STR("timing-sensitive"))) {
        p->script->timing_sensitive = true;
        parser_end(p);
    } else if (!parse_action(p, word, actor) && !parser_world(p, word, actor)) {
        unknown_line(p, word);
    }
}

struct script *script_parse(struct source *source, struct diags *diags)
{
    struct script *s = xcalloc(1, sizeof *s);
    struct parser p = {.script = s, .source = source, .diags = diags};
    size_t errors = diags->errors;
    s->source = source;
    authority_init(&s->authority);
    s->contexts = contexts_new();
    s->judged = map_new();
    settings_defaults(&s->settings);
    while (parser_next_line(&p))
        parse_line(&p);
    segment_finish(&p);
    p.line = (struct str){source->text, source->n > 0};
    if (diags->errors == errors)
        parser_finish_world(&p);
    for (size_t i = 0; i < ACTORS_MAX; i++)
        free(p.clients[i].steps);
    free(p.policies);
    if (diags->errors > errors)
        script_free(&s);
    return s;
}
