/*
 * script_world.c - reading what the world of a transcript is like: settings, policies, DNS, store, spool. Its backends:
 * script_backend.c
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

/* {ca}, {fingerprint}, {fingerprint 2} in a setting are what this transcript's certificates make them. False: it is none. */
static bool put_made(struct parser *p, struct buf *out, struct str name)
{
    struct str rest = name, word;
    uint64_t index = 1;
    if (str_eq(name, STR("ca"))) {
        buf_str(out, authority_path(&p->script->authority, &p->script->arena));
        return true;
    }
    if (!word_take(&rest, &word) || !str_eq(word, STR("fingerprint")))
        return false;
    if (word_take(&rest, &word) && (!str_to_u64(word, BACKENDS_MAX, &index) || index == 0))
        return false;
    const struct credentials *c = parser_credentials(p, (unsigned)index - 1);
    buf_str(out, c ? c->fingerprint : STR("none"));
    return true;
}

static void set_with_made(struct parser *p, struct str setting)
{
    struct buf text = {0};
    for (size_t i = 0; i < setting.n;) {
        size_t end = setting.p[i] == '{' ? str_find(setting, '}', i) : setting.n;
        if (end < setting.n && put_made(p, &text, str_sub(setting, i + 1, end))) {
            i = end + 1;
            continue;
        }
        buf_char(&text, setting.p[i++]);
    }
    set(p, buf_view(&text));
    buf_free(&text);
}

static void set_early(struct parser *p, struct str setting)
{
    if (p->talking)
        parser_complain(p, p->line, "move it above the first line that is said", "settings do not change in mid-conversation");
    else
        set_with_made(p, setting);
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

/* policy NAME | policy "PATH" | policy, the lines of a block, end; and the same of the shadow, or `shadow none` */
static void parse_policy(struct parser *p, bool shadow)
{
    struct policy_request r = {.step = SIZE_MAX, .body_line = p->line_number + 1, .shadow = shadow};
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
        struct step *step = parser_step(p, shadow ? STEP_SHADOW : STEP_POLICY, 0);
        step->line = line;
        r.step = p->script->count - 1;
    }
    if (shadow && str_eq(r.name, STR("none"))) /* it has no policy */
        return;
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
    if (r->step == SIZE_MAX && r->shadow)
        s->shadow = policy;
    else if (r->step == SIZE_MAX)
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
    bool asked = false;
    for (size_t i = 0; i < s->settings.backend_count; i++)
        asked = asked || s->settings.backends[i].tls != BACKEND_TLS_OFF;
    for (unsigned i = 0; asked && i < s->backend_count; i++)
        parser_credentials(p, i);
    bool first = false;
    for (size_t i = 0; i < p->policy_count; i++)
        first = first || (p->policies[i].step == SIZE_MAX && !p->policies[i].shadow);
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
    else if (str_eq(word, STR("policy")) || str_eq(word, STR("shadow")))
        parse_policy(p, word.p[0] == 's');
    else if (str_eq(word, STR("set")))
        set_early(p, p->rest);
    else if (str_eq(word, STR("domains")) || str_eq(word, STR("hostname")))
        set_early(p, p->line);
    else if (str_eq(word, STR("dns")))
        parse_dns(p);
    else if (str_eq(word, STR("backend")))
        parser_backend(p, actor);
    else if (str_eq(word, STR("store")) || str_eq(word, STR("spool")))
        parse_mood(p, word.p[1] == 't');
    else if (str_eq(word, STR("lists")) && str_eq(str_trim(p->rest), STR("probed")))
        parser_step(p, STEP_HEALTH, 0);
    else
        return false;
    return true;
}
