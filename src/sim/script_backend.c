/*
 * script_backend.c - reading what the backends of a transcript are like: what they announce, how they react and at which moments,
 * their certificates.
 */
#include "script_parser.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- reactions -------------------------------------------------------------------------------------------------------------- */

static bool fault_parse(struct str word, enum backend_fault *out)
{
    static const struct { const char *name; enum backend_fault fault; } faults[] = {
        {"close", FAULT_CLOSE}, {"reset", FAULT_RESET}, {"hang", FAULT_HANG}};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        if (str_eq(word, str_of(faults[i].name))) {
            *out = faults[i].fault;
            return true;
        }
    }
    return false;
}

/* "250-one | 250 two" to wire form. */
static bool parse_answer(struct parser *p, struct str text, struct backend_rule *r)
{
    struct buf wire = {0};
    struct str part;
    bool ok = true;
    while (str_split(&text, '|', &part)) {
        part = str_trim(part);
        ok = ok && part.n >= 3;
        buf_str(&wire, part);
        buf_cstr(&wire, "\r\n");
    }
    r->answer = arena_str(&p->script->arena, buf_view(&wire));
    buf_free(&wire);
    return ok;
}

/* [delay D] [ANSWER | garbage "..." | close | reset | hang] [then close|reset|hang] */
static bool parse_reaction(struct parser *p, struct backend_rule *r)
{
    struct str rest = str_trim(p->rest), word, look = rest;
    r->normal = true;
    if (word_take(&look, &word) && str_eq(word, STR("delay"))) {
        p->rest = look;
        if (!parser_duration(p, &r->delay_ms))
            return false;
        look = rest = str_trim(p->rest);
        word = STR_NONE;
        word_take(&look, &word);
    }
    for (size_t i = 0; i + 6 <= rest.n; i++) { /* "... then close" */
        struct str tail = str_sub(rest, i, rest.n);
        if ((i == 0 || rest.p[i - 1] == ' ') && str_starts(tail, STR("then ")) &&
            fault_parse(str_trim(str_sub(tail, 5, tail.n)), &r->fault)) {
            rest = str_trim(str_sub(rest, 0, i));
            break;
        }
    }
    if (rest.n == 0)
        return r->delay_ms > 0 || r->fault ||
               parser_complain(p, p->line, "250 OK, close, reset, hang, delay 5s, garbage \"...\"", "expected what it does");
    if (r->fault == FAULT_NONE && fault_parse(rest, &r->fault)) {
        r->normal = false;
        return true;
    }
    r->normal = false;
    if (str_eq(word, STR("garbage"))) {
        p->rest = look;
        return parser_text(p, &r->answer);
    }
    if (rest.p[0] < '0' || rest.p[0] > '9' || !parse_answer(p, rest, r))
        return parser_complain(p, rest, "250 OK, close, reset, hang, delay 5s, garbage \"...\"",
                               "expected a reply or what it does");
    return true;
}

static void parse_rule(struct parser *p, struct backend_step *b)
{
    struct str word, rest;
    if (!parser_word(p, "when: greeting, EHLO, STARTTLS, MAIL, RCPT, DATA, dot, BDAT, RSET, QUIT ...", &word))
        return;
    struct backend_rule *r = &b->rule;
    size_t m = 0;
    while (m < MOMENT_COUNT && !str_eq_nocase(word, str_of(moment_names[m])))
        m++;
    if (m == MOMENT_COUNT) {
        parser_complain(p, word,
                        "connect, greeting, EHLO, HELO, STARTTLS, handshake, XCLIENT, MAIL, RCPT, DATA, dot, BDAT, RSET, QUIT, "
                        "NOOP, other",
                        "unknown moment");
        return;
    }
    r->moment = (enum backend_moment)m;
    rest = p->rest;
    if (word_take(&rest, &word) && word.p[0] == '#') {
        uint64_t nth;
        if (!str_to_u64(str_sub(word, 1, word.n), 100000, &nth) || nth == 0) {
            parser_complain(p, word, NULL, "expected #1, #2 ...");
            return;
        }
        r->nth = (unsigned)nth;
        p->rest = rest;
    }
    struct str more = str_trim(p->rest);
    if (more.n > 0 && more.p[0] == '"' && !parser_text(p, &r->glob))
        return;
    bool shortage = r->moment == MOMENT_CONNECT && str_eq(str_trim(p->rest), STR("shortage"));
    if (shortage)
        r->fault = FAULT_SHORTAGE;
    if (shortage || parse_reaction(p, r))
        parser_step(p, STEP_BACKEND, 0)->backend = b;
}

static void parse_keywords(struct parser *p, struct backend_step *b)
{
    struct str rest = str_trim(p->rest), part;
    b->change = BACKEND_EHLO;
    b->keywords = arena_alloc(&p->script->arena, (rest.n / 2 + 2) * sizeof *b->keywords);
    if (!str_eq(rest, STR("none"))) {
        while (str_split(&rest, ',', &part)) {
            if (str_trim(part).n > 0)
                b->keywords[b->keyword_count++] = str_trim(part);
        }
    }
    parser_step(p, STEP_BACKEND, 0)->backend = b;
}

/* --- its certificate -------------------------------------------------------------------------------------------------------- */

const struct credentials *parser_credentials(struct parser *p, unsigned index)
{
    struct script *s = p->script;
    char name[24];
    struct credentials_wish wish = {.name = {name, (size_t)snprintf(name, sizeof name, "backend%u.test", index + 1)}};
    if (!s->backend_credentials[index])
        s->backend_credentials[index] = credentials_new(&s->authority, &wish, &s->arena);
    return s->backend_credentials[index];
}

/* certificate [NAME] [self-signed] [expired] */
static void parse_certificate(struct parser *p, struct backend_step *b)
{
    struct script *s = p->script;
    char name[24];
    struct credentials_wish wish = {.name = {name, (size_t)snprintf(name, sizeof name, "backend%u.test", b->index + 1)}};
    struct str look = p->rest, word;
    if (word_take(&look, &word) && !str_eq(word, STR("self-signed")) && !str_eq(word, STR("expired"))) {
        wish.name = word;
        p->rest = look;
    }
    while (word_take(&p->rest, &word)) {
        wish.self_signed |= str_eq(word, STR("self-signed"));
        wish.expired |= str_eq(word, STR("expired"));
        if (!str_eq(word, STR("self-signed")) && !str_eq(word, STR("expired")))
            parser_complain(p, word, "backend certificate [NAME] [self-signed] [expired]", "expected self-signed or expired");
    }
    b->change = BACKEND_CERTIFICATE;
    b->credentials = credentials_new(&s->authority, &wish, &s->arena);
    if (!b->credentials)
        parser_complain(p, wish.name, "backend certificate [NAME] [self-signed] [expired]", "not a host name");
    else if (!p->talking && !s->backend_credentials[b->index])
        s->backend_credentials[b->index] = b->credentials;
    parser_step(p, STEP_BACKEND, 0)->backend = b;
}

/* --- the line --------------------------------------------------------------------------------------------------------------- */

/* Changes that are one word. */
static bool change_parse(struct str word, enum backend_change *out)
{
    static const struct { const char *name; enum backend_change change; } changes[] = {
        {"down", BACKEND_DOWN}, {"up", BACKEND_UP}, {"normal", BACKEND_FORGET}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        if (str_eq(word, str_of(changes[i].name))) {
            *out = changes[i].change;
            return true;
        }
    }
    return false;
}

/* backend [N] on ... | ehlo KEYWORD, ... | certificate ... | down | up | normal | at HOST:PORT */
void parser_backend(struct parser *p, unsigned actor)
{
    struct backend_step *b = arena_zalloc(&p->script->arena, sizeof *b);
    struct str word, rest = p->rest;
    uint64_t index;
    if (word_take(&rest, &word) && str_to_u64(word, BACKENDS_MAX, &index) && index > 0) {
        actor = (unsigned)index - 1;
        p->rest = rest;
    }
    b->index = actor;
    if (p->script->backend_count <= actor)
        p->script->backend_count = actor + 1;
    if (!word_take(&p->rest, &word)) /* it exists, that is all */
        return;
    if (str_eq(word, STR("on"))) {
        parse_rule(p, b);
    } else if (str_eq(word, STR("ehlo"))) {
        parse_keywords(p, b);
    } else if (str_eq(word, STR("certificate"))) {
        parse_certificate(p, b);
    } else if (str_eq(word, STR("at"))) {
        if (!parser_word(p, "an address and port", &word))
            return;
        p->backend_placed[actor] = true;
        if (!addr_port_parse(word, 0, &p->script->backends[actor]))
            parser_complain(p, word, NULL, "expected ADDRESS:PORT");
    } else if (change_parse(word, &b->change)) {
        parser_step(p, STEP_BACKEND, 0)->backend = b;
        parser_end(p);
    } else {
        parser_complain(p, word, "backend on MOMENT ..., ehlo KEYWORD, ..., certificate ..., down, up, normal, at HOST:PORT",
                        "unknown '%.*s'", STR_ARG(word));
    }
}
