/*
 * script_world.c - reading what the world of a transcript is like: settings, policies, DNS, backends, store, spool.
 */
#include "script_parser.h"

#include "postern/base/codec.h"
#include "postern/ops/config.h"
#include "postern/policy/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TTL_DEFAULT = 300 };

/* --- settings --------------------------------------------------------------------------------------------------------------- */

/* "NAME VALUE" as a line of a configuration file; complaints name this line of the transcript. */
static void set(struct parser *p, struct str setting)
{
    struct buf text = {0};
    for (unsigned i = 1; i < p->line_number; i++)
        buf_char(&text, '\n');
    buf_str(&text, setting);
    buf_char(&text, '\n');
    struct source *line = source_new(p->source->name, buf_view(&text));
    config_set(&p->script->settings, &source_files, line, p->diags);
    source_free(&line);
    buf_free(&text);
}

static void set_early(struct parser *p, struct str setting)
{
    if (p->talking)
        parser_complain(p, p->line, "move it above the first line that is said", "settings do not change in mid-conversation");
    else
        set(p, setting);
}

static void parse_client_address(struct parser *p, unsigned actor)
{
    struct str word;
    struct addr_port address;
    if (!parser_word(p, "an address", &word))
        return;
    if (!addr_port_parse(word, 40000, &address) && !addr_parse(word, &address.addr)) {
        parser_complain(p, word, NULL, "expected an address, not '%.*s'", STR_ARG(word));
        return;
    }
    parser_step(p, STEP_ADDRESS, actor)->text = word;
    parser_end(p);
}

/* --- policies --------------------------------------------------------------------------------------------------------------- */

/* The lines up to `end`. */
static bool block_take(struct parser *p, struct str *body)
{
    size_t start = p->next;
    unsigned first = p->line_number;
    struct str opened = p->line;
    while (parser_next_line(p)) {
        if (str_eq(str_trim(p->line), STR("end"))) {
            *body = (struct str){p->source->text + start, (size_t)(p->line.p - p->source->text) - start};
            return true;
        }
    }
    p->line_number = first;
    return parser_complain(p, opened, NULL, "the policy that begins here has no `end`");
}

static void parse_policy(struct parser *p)
{
    struct policy_request r = {.step = SIZE_MAX, .body_line = p->line_number + 1};
    r.span = (struct span){p->source, (size_t)(p->line.p - p->source->text), p->line.n};
    bool late = p->talking;
    unsigned line = p->line_number;
    struct str rest = str_trim(p->rest);
    if (rest.n == 0) {
        r.block = true;
        if (!block_take(p, &r.body))
            return;
    } else if (rest.p[0] == '"') {
        if (!parser_text(p, &r.name) || !parser_end(p))
            return;
    } else {
        word_take(&p->rest, &r.name);
        r.block = str_eq(r.name, STR("accept")); /* the policy without a rule */
        if (!parser_end(p))
            return;
    }
    if (late) {
        struct step *step = parser_step(p, STEP_POLICY, 0);
        step->line = line;
        r.step = p->script->count - 1;
    }
    p->policies = xrealloc(p->policies, (p->policy_count + 1) * sizeof *p->policies);
    p->policies[p->policy_count++] = r;
}

static void load_policy(struct parser *p, const struct policy_request *r)
{
    struct script *s = p->script;
    size_t errors = p->diags->errors;
    struct policy *policy = script_policy(p->source, r->name, r->block ? &r->body : NULL, r->body_line, &s->settings, p->diags);
    if (!policy) {
        if (p->diags->errors == errors)
            diag_add(p->diags, DIAG_ERROR, r->span, NULL, "the policy cannot be loaded");
        return;
    }
    s->policies = xrealloc(s->policies, (s->policy_count + 1) * sizeof(struct policy *));
    s->policies[s->policy_count++] = policy;
    if (r->step == SIZE_MAX)
        s->policy = policy;
    else
        s->steps[r->step].policy = policy;
}

void parser_finish_world(struct parser *p)
{
    struct script *s = p->script;
    if (!s->settings.hostname.n)
        set(p, STR("hostname mx.test"));
    if (s->settings.domain_count == 0 && !s->settings.domains_any)
        set(p, STR("domains our.test"));
    if (s->backend_count == 0)
        s->backend_count = 1;
    bool named = s->settings.backend_count > 0;
    for (unsigned i = 0; i < s->backend_count; i++) {
        char text[ADDR_PORT_TEXT], line[ADDR_PORT_TEXT + 16];
        if (!p->backend_placed[i]) {
            s->backends[i] = (struct addr_port){.port = 25};
            s->backends[i].addr = (struct addr){4, {198, 18, 0, (uint8_t)(i + 1)}};
        }
        snprintf(line, sizeof line, "backend %s", addr_port_format(&s->backends[i], text));
        if (!named)
            set(p, str_of(line));
    }
    bool first = false;
    for (size_t i = 0; i < p->policy_count; i++)
        first = first || p->policies[i].step == SIZE_MAX;
    struct policy_request empty = {.block = true, .body = STR(""), .body_line = 1, .step = SIZE_MAX};
    if (!first)
        load_policy(p, &empty);
    for (size_t i = 0; i < p->policy_count; i++)
        load_policy(p, &p->policies[i]);
}

/* --- DNS -------------------------------------------------------------------------------------------------------------------- */

/* Takes " delay 200ms" and " ttl 60" off the end of *rest. */
static bool take_modifiers(struct parser *p, struct str *rest, struct dns_rule *r)
{
    for (;;) {
        *rest = str_trim(*rest);
        size_t last = rest->n, before;
        while (last > 0 && rest->p[last - 1] != ' ')
            last--;
        for (before = last; before > 0 && rest->p[before - 1] == ' ';)
            before--;
        size_t end = before;
        while (before > 0 && rest->p[before - 1] != ' ')
            before--;
        struct str name = str_sub(*rest, before, end), value = str_sub(*rest, last, rest->n);
        uint64_t ttl;
        if (str_eq(name, STR("delay"))) {
            if (!duration_parse(value, &r->delay_ms))
                return parser_complain(p, value, "write 200ms, 5s ...", "expected a duration");
        } else if (str_eq(name, STR("ttl"))) {
            if (!str_to_u64(value, UINT32_MAX, &ttl))
                return parser_complain(p, value, NULL, "expected seconds");
            r->ttl = (uint32_t)ttl;
        } else {
            return true;
        }
        *rest = str_sub(*rest, 0, before);
    }
}

/* Up to the next comma that stands outside of quotes. */
static struct str take_record(struct str *rest)
{
    bool quoted = false;
    size_t i = 0;
    for (; i < rest->n && (quoted || rest->p[i] != ','); i++) {
        if (rest->p[i] == '\\' && quoted)
            i++;
        else if (rest->p[i] == '"')
            quoted = !quoted;
    }
    struct str record = str_trim(str_sub(*rest, 0, i));
    *rest = str_sub(*rest, i + 1, rest->n);
    return record;
}

static bool parse_records(struct parser *p, struct str rest, struct dns_rule *r)
{
    struct arena *arena = &p->script->arena;
    r->records = arena_alloc(arena, (rest.n / 2 + 2) * sizeof *r->records);
    struct dns_build probe = {0};
    bool ok = true;
    dns_build_begin(&probe, STR("x.test"), r->type, 0);
    while (ok && rest.n > 0) {
        struct str record = take_record(&rest);
        r->records[r->count++] = record;
        ok = dns_build_record(&probe, STR("x.test"), r->type, 1, record) ||
             parser_complain(p, record, "or one of nodata, nxdomain, servfail, timeout, malformed", "not a %s record",
                             dns_type_name(r->type));
    }
    buf_free(&probe.out);
    return ok;
}

/* dns NAME TYPE answer, answer ... [ttl N] [delay D] | dns NAME any nxdomain */
static void parse_dns(struct parser *p)
{
    static const enum dns_status statuses[] = {DNS_NODATA, DNS_NXDOMAIN, DNS_SERVFAIL, DNS_TIMEOUT, DNS_MALFORMED};
    struct dns_rule *r = arena_zalloc(&p->script->arena, sizeof *r);
    struct str name, type;
    r->ttl = TTL_DEFAULT;
    if (!parser_word(p, "a name", &name) || !parser_word(p, "a type", &type))
        return;
    if (name.n > 1 && name.p[name.n - 1] == '.')
        name.n--;
    r->name = arena_lower(&p->script->arena, name);
    if (!str_eq_nocase(type, STR("any")) && !dns_type_parse(type, &r->type)) {
        parser_complain(p, type, "one of A AAAA PTR MX TXT CNAME NS SOA, or any", "unknown type '%.*s'", STR_ARG(type));
        return;
    }
    struct str rest = p->rest;
    if (!take_modifiers(p, &rest, r))
        return;
    bool status = false;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        if (str_eq(rest, str_of(dns_status_names[statuses[i]]))) {
            r->status = statuses[i];
            status = true;
        }
    }
    if (!status && (rest.n == 0 || r->type == 0)) {
        parser_complain(p, rest, NULL, "expected %snodata, nxdomain, servfail, timeout or malformed", r->type ? "records, " : "");
        return;
    }
    if (status || parse_records(p, rest, r))
        parser_step(p, STEP_DNS, 0)->dns = r;
}

/* --- backends --------------------------------------------------------------------------------------------------------------- */

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
    if (!parser_word(p, "when: greeting, EHLO, MAIL, RCPT, DATA, dot, RSET, QUIT ...", &word))
        return;
    struct backend_rule *r = &b->rule;
    size_t m = 0;
    while (m < MOMENT_COUNT && !str_eq_nocase(word, str_of(moment_names[m])))
        m++;
    if (m == MOMENT_COUNT) {
        parser_complain(p, word, "connect, greeting, EHLO, HELO, MAIL, RCPT, DATA, dot, RSET, QUIT, NOOP, other",
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
    if (parse_reaction(p, r))
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

/* backend [N] on ... | ehlo KEYWORD, ... | down | up | normal | at HOST:PORT */
static void parse_backend(struct parser *p, unsigned actor)
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
    } else if (str_eq(word, STR("at"))) {
        if (!parser_word(p, "an address and port", &word))
            return;
        p->backend_placed[actor] = true;
        if (!addr_port_parse(word, 0, &p->script->backends[actor]))
            parser_complain(p, word, NULL, "expected ADDRESS:PORT");
    } else if (str_eq(word, STR("down")) || str_eq(word, STR("up")) || str_eq(word, STR("normal"))) {
        b->change = str_eq(word, STR("down")) ? BACKEND_DOWN : str_eq(word, STR("up")) ? BACKEND_UP : BACKEND_FORGET;
        parser_step(p, STEP_BACKEND, 0)->backend = b;
        parser_end(p);
    } else {
        parser_complain(p, word, "backend on MOMENT ..., backend ehlo KEYWORD, ..., backend down, up, normal, at HOST:PORT",
                        "unknown '%.*s'", STR_ARG(word));
    }
}

/* --- the rest --------------------------------------------------------------------------------------------------------------- */

/* store failing | store slow D | store working; spool failing | spool working */
static void parse_mood(struct parser *p, bool store)
{
    struct str word;
    if (!parser_word(p, store ? "failing, slow or working" : "failing or working", &word))
        return;
    uint64_t delay = 0;
    enum store_mood mood = MOOD_WORKING;
    if (str_eq(word, STR("failing"))) {
        mood = MOOD_FAILING;
    } else if (store && str_eq(word, STR("slow"))) {
        mood = MOOD_SLOW;
        delay = 10000;
        if (str_trim(p->rest).n > 0 && !parser_duration(p, &delay))
            return;
    } else if (!str_eq(word, STR("working"))) {
        parser_complain(p, word, NULL, "expected failing, %sworking", store ? "slow or " : "");
        return;
    }
    struct step *step = parser_step(p, store ? STEP_STORE : STEP_SPOOL, 0);
    step->number = mood;
    step->number2 = delay;
    parser_end(p);
}

bool parser_world(struct parser *p, struct str word, unsigned actor)
{
    if (str_eq(word, STR("client")))
        parse_client_address(p, actor);
    else if (str_eq(word, STR("policy")))
        parse_policy(p);
    else if (str_eq(word, STR("set")))
        set_early(p, p->rest);
    else if (str_eq(word, STR("domains")) || str_eq(word, STR("hostname")))
        set_early(p, p->line);
    else if (str_eq(word, STR("dns")))
        parse_dns(p);
    else if (str_eq(word, STR("backend")))
        parse_backend(p, actor);
    else if (str_eq(word, STR("store")) || str_eq(word, STR("spool")))
        parse_mood(p, word.p[1] == 't');
    else if (str_eq(word, STR("lists")) && str_eq(str_trim(p->rest), STR("probed")))
        parser_step(p, STEP_HEALTH, 0);
    else
        return false;
    return true;
}
