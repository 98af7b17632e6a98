/*
 * cases_judge.c - one case: facts from what was given, the stages walked in their order, and what was expected of them.
 *
 * A fact that is not given has its quiet value: no, 0, the empty set, `normal` for class, 1 for rcpt.count; words, texts,
 * addresses and durations are absent. `unknown` leaves a fact open, as if its answer had not come.
 */
#include "cases_internal.h"

#include "postern/base/codec.h"
#include "postern/smtp/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct judging {
    const struct policy_case *c;
    const struct schema *schema;
    struct arena arena;
    struct facts facts[STAGE_COUNT];
    struct fact_bits given;
    struct stage_verdict verdicts[STAGE_COUNT];
    bool reached[STAGE_COUNT];
    struct ruling ruling;
    int undecided;              /* stage, -1: none */
    const struct given *at;     /* the line being judged */
};

static void complain(struct judging *g, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void complain(struct judging *g, const char *format, ...)
{
    struct buf *out = g->c->complaints;
    va_list args;
    buf_printf(out, "%s:%u: case %.*s: ", g->c->source->name, g->at ? g->at->line : g->c->line, STR_ARG(g->c->name));
    va_start(args, format);
    buf_vprintf(out, format, args);
    va_end(args);
    buf_char(out, '\n');
}

/* --- facts ------------------------------------------------------------------------------------------------------------------ */

/* Writes it wherever a stage would look for it: a snapshot in each scope that may read it, others in the scope of their stage. */
static void put(struct judging *g, int id, const struct value *v)
{
    const struct fact_info *info = schema_fact(g->schema, id);
    fact_bit_set(&g->given, id);
    if (v->state == FACT_UNKNOWN)
        return;
    for (int stage = info->stage; stage < STAGE_COUNT; stage++) {
        bool own =
            stage == (int)info->stage || (info->flags & FACT_SNAPSHOT) || ((info->flags & FACT_ALSO_DATA) && stage == STAGE_DATA);
        if (own && !(stage == STAGE_DATA && info->stage == STAGE_RCPT && !(info->flags & FACT_ALSO_DATA)))
            facts_set_value(&g->facts[stage], id, v);
    }
}

static bool is_given(const struct judging *g, int id)
{
    return fact_bit(&g->given, id);
}

static void put_text(struct judging *g, int id, struct str text)
{
    struct value v = {.state = FACT_KNOWN, .type = (uint8_t)schema_fact(g->schema, id)->type};
    v.v.text = arena_str(&g->arena, text);
    if (!is_given(g, id))
        put(g, id, &v);
}

static void put_number(struct judging *g, int id, int64_t number)
{
    struct value v = {.state = FACT_KNOWN, .type = (uint8_t)schema_fact(g->schema, id)->type};
    v.v.number = number;
    if (!is_given(g, id))
        put(g, id, &v);
}

static bool shorthand_client(struct judging *g, struct str value)
{
    struct value v = {.state = FACT_KNOWN, .type = FACT_ADDR};
    char text[PREFIX_TEXT];
    if (!addr_parse(value, &v.v.addr))
        return false;
    struct prefix net = addr_network(&v.v.addr, 24, 64);
    put(g, FACT_CLIENT_IP, &v);
    put_text(g, FACT_CLIENT_NET, str_of(prefix_format(&net, text)));
    return true;
}

static bool shorthand_helo(struct judging *g, struct str value)
{
    static const char *const forms[] = {"name", "literal", "bare", "invalid"};
    struct addr literal;
    put_text(g, FACT_HELO_NAME, value);
    put_text(g, FACT_HELO_FORM, str_of(forms[helo_classify(value, &literal)]));
    return true;
}

/* An address: its text, local part and domain go to three facts that follow each other. */
static bool shorthand_path(struct judging *g, struct str value, int whole, int local, int domain)
{
    size_t at = value.n;
    while (at > 0 && value.p[at - 1] != '@')
        at--;
    if (whole == FACT_MAIL_FROM)
        put_number(g, FACT_MAIL_NULL, value.n == 0 || str_eq(value, STR("<>")));
    if (str_eq(value, STR("<>")))
        value.n = 0;
    put_text(g, whole, value);
    if (at > 0) {
        put_text(g, local, str_sub(value, 0, at - 1));
        put_text(g, domain, arena_lower(&g->arena, str_sub(value, at, value.n)));
    } else if (value.n > 0) {
        put_text(g, local, value);
    }
    return true;
}

static void give(struct judging *g, const struct given *given)
{
    struct value v;
    struct str error = STR_NONE;
    g->at = given;
    if (str_eq(given->name, STR("client"))) {
        if (!shorthand_client(g, given->value))
            complain(g, "expected an address, not '%.*s'", STR_ARG(given->value));
    } else if (str_eq(given->name, STR("helo"))) {
        shorthand_helo(g, given->value);
    } else if (str_eq(given->name, STR("from"))) {
        shorthand_path(g, given->value, FACT_MAIL_FROM, FACT_MAIL_LOCAL, FACT_MAIL_DOMAIN);
    } else if (str_eq(given->name, STR("to"))) {
        shorthand_path(g, given->value, FACT_RCPT_ADDRESS, FACT_RCPT_LOCAL, FACT_RCPT_DOMAIN);
    } else {
        int id = schema_find(g->schema, given->name);
        if (id < 0) {
            struct str near = schema_suggest(g->schema, given->name);
            complain(g, "there is no fact '%.*s'%s%.*s%s", STR_ARG(given->name), near.p ? "; did you mean '" : "", STR_ARG(near),
                     near.p ? "'?" : "");
        } else if (is_given(g, id)) {
            return; /* the case's own word stands before the common one */
        } else if (str_eq(given->value, STR("unknown"))) {
            put(g, id, &(struct value){.state = FACT_UNKNOWN});
        } else if (!schema_value_parse(g->schema, id, given->value, &g->arena, &v, &error)) {
            complain(g, "%.*s: %.*s", STR_ARG(given->name), STR_ARG(error));
        } else {
            put(g, id, &v);
        }
    }
    g->at = NULL;
}

/* dnsbl.listed and dnswl.listed follow from the lists, as the check makes them. */
static void derive_listed(struct judging *g, int listed, const char *prefix)
{
    struct str names[64];
    size_t count = 0;
    struct str start = str_of(prefix);
    if (is_given(g, listed))
        return;
    for (int id = FACT_COUNT; id < (int)schema_count(g->schema) && count < 64; id++) {
        const struct fact_info *info = schema_fact(g->schema, id);
        const struct value *v = facts_get(&g->facts[STAGE_CONNECT], id);
        if (str_starts(info->name, start) && v->state == FACT_KNOWN && v->type == FACT_ADDRS && v->v.addrs.count > 0)
            names[count++] = str_sub(info->name, start.n, info->name.n);
    }
    facts_set_names(&g->facts[STAGE_CONNECT], listed, names, count);
    fact_bit_set(&g->given, listed);
}

static void put_quiet(struct judging *g, int id)
{
    const struct fact_info *info = schema_fact(g->schema, id);
    struct value v = {.state = FACT_KNOWN, .type = (uint8_t)info->type};
    if (is_given(g, id) || str_eq(info->maker, STR("policy")))
        return;
    switch (info->type) {
    case FACT_BOOL:
    case FACT_INT:
    case FACT_SIZE:
        v.v.number = id == FACT_RCPT_COUNT;
        break;
    case FACT_ADDRS:
    case FACT_NAMES:
        break;
    default:
        v.state = id == FACT_CLASS ? FACT_KNOWN : FACT_ABSENT;
        v.v.text = STR("normal");
        break;
    }
    put(g, id, &v);
}

static void gather(struct judging *g)
{
    const struct policy_case *c = g->c;
    static const int parents[STAGE_COUNT] = {-1, STAGE_CONNECT, STAGE_HELO, STAGE_MAIL, STAGE_MAIL};
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        facts_init(&g->facts[stage], g->schema, (enum stage)stage, parents[stage] < 0 ? NULL : &g->facts[parents[stage]],
                   &g->arena, NULL, 0);
    for (size_t i = 0; i < c->facts.count; i++)
        give(g, &c->facts.list[i]);
    for (size_t i = 0; i < c->common.count; i++)
        give(g, &c->common.list[i]);
    derive_listed(g, FACT_DNSBL_LISTED, "dnsbl.");
    derive_listed(g, FACT_DNSWL_LISTED, "dnswl.");
    for (int id = 0; id < (int)schema_count(g->schema); id++)
        put_quiet(g, id);
}

/* --- stages ----------------------------------------------------------------------------------------------------------------- */

static void walk_stages(struct judging *g)
{
    const struct policy_case *c = g->c;
    g->undecided = -1;
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        struct stage_verdict *v = &g->verdicts[stage];
        struct walk_input in = {.stage = (enum stage)stage,
                                .facts = &g->facts[stage],
                                .score = ruling_score(g->verdicts, (enum stage)stage),
                                .negative_limit = (int64_t)c->settings->negative_score_limit,
                                .with_monitor = true,
                                .with_trace = true,
                                .help = c->settings->help};
        policy_walk(c->policy, &in, &g->arena, &v->walk);
        g->reached[stage] = true;
        v->present = v->walk.done;
        if (!v->walk.done) {
            g->undecided = stage;
            return;
        }
        g->ruling = ruling_of(g->verdicts, (enum stage)stage);
        bool refused = g->ruling.action == ACTION_REJECT || g->ruling.action == ACTION_TEMPFAIL;
        if (g->ruling.skip_rest || (refused && stage == STAGE_RCPT))
            return;
    }
}

/* --- expectations ----------------------------------------------------------------------------------------------------------- */

static struct str said(struct judging *g, int stage)
{
    if (stage < 0 && g->undecided < 0)
        return g->ruling.action == ACTION_NONE ? STR("none")
                                               : walk_summary(g->c->policy, g->ruling.stage, g->ruling.walk, &g->arena);
    int at = stage < 0 ? g->undecided : stage;
    if (g->verdicts[at].walk.done)
        return walk_summary(g->c->policy, (enum stage)at, &g->verdicts[at].walk, &g->arena);
    struct buf wanted = {0};
    for (int id = 0; id < (int)schema_count(g->schema); id++) {
        if (fact_bit(&g->verdicts[at].walk.wanted, id))
            buf_printf(&wanted, "%s%.*s", wanted.n ? ", " : "", STR_ARG(schema_fact(g->schema, id)->name));
    }
    struct str out = arena_printf(&g->arena, "not-yet at %s wanting %.*s", stage_names[at], STR_ARG(buf_view(&wanted)));
    buf_free(&wanted);
    return out;
}

/* expect ACTION [by RULE] [CODE [X.Y.Z]] ["GLOB"], of a stage or (-1) of all */
static void expect_verdict(struct judging *g, int stage, struct str action, struct str rest)
{
    struct str is = said(g, stage), word, text, rule = STR_NONE;
    const struct walk *w = stage >= 0 ? &g->verdicts[stage].walk : g->ruling.walk;
    struct str look = rest;
    if (word_take(&look, &word) && str_eq(word, STR("by"))) {
        rest = look;
        if (!word_take(&rest, &rule))
            complain(g, "expected the name of a rule");
    }
    struct str wanted = rule.n ? arena_printf(&g->arena, "%.*s by %.*s", STR_ARG(action), STR_ARG(rule)) : action;
    struct str prefix = arena_printf(&g->arena, "%.*s by ", STR_ARG(action));
    if (!str_eq(is, wanted) && !(rule.n == 0 && str_starts(is, prefix))) {
        complain(g, "expected %.*s, the policy says %.*s", STR_ARG(wanted), STR_ARG(is));
        return;
    }
    while (str_trim(rest).n > 0) {
        uint64_t code;
        if (str_trim(rest).p[0] == '"') {
            if (!quoted_parse(&rest, &g->arena, &text))
                complain(g, "text in quotes that does not end");
            else if (!w || !pattern_match(text, w->text))
                complain(g, "expected the text \"%.*s\", it is \"%.*s\"", STR_ARG(text), STR_ARG(w ? w->text : STR_NONE));
            return;
        }
        word_take(&rest, &word);
        if (str_to_u64(word, 599, &code)) {
            if (!w || w->code != code)
                complain(g, "expected the code %.*s, it is %u", STR_ARG(word), w ? w->code : 0);
        } else if (!w || !str_eq(w->enhanced, word)) {
            complain(g, "expected the enhanced code %.*s, it is %.*s", STR_ARG(word), STR_ARG(w ? w->enhanced : STR_NONE));
        }
    }
}

/* expect not-yet [wanting FACT, FACT] */
static void expect_not_yet(struct judging *g, int stage, struct str rest)
{
    int at = stage < 0 ? g->undecided : stage;
    struct str word, name;
    if (at < 0 || g->verdicts[at].walk.done) {
        complain(g, "expected not-yet, the policy says %.*s", STR_ARG(said(g, stage)));
        return;
    }
    if (!word_take(&rest, &word))
        return;
    if (!str_eq(word, STR("wanting")))
        complain(g, "expected wanting, not '%.*s'", STR_ARG(word));
    while (str_eq(word, STR("wanting")) && str_split(&rest, ',', &name)) {
        name = str_trim(name);
        int id = schema_find(g->schema, name);
        if (id < 0 || !fact_bit(&g->verdicts[at].walk.wanted, id))
            complain(g, "expected it to want %.*s, it is %.*s", STR_ARG(name), STR_ARG(said(g, stage)));
    }
}

static bool fired(const struct judging *g, struct str rule, bool monitor)
{
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        const struct walk *w = &g->verdicts[stage].walk;
        for (size_t i = 0; g->reached[stage] && i < w->trace_count; i++) {
            const struct trace_item *t = &w->trace[i];
            if (t->result == RULE_FIRED && t->monitor == monitor &&
                str_eq(policy_rule(g->c->policy, (enum stage)stage, t->rule).name, rule))
                return true;
        }
    }
    return false;
}

static bool has_header(const struct judging *g, struct str name, struct str value)
{
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        const struct walk *w = &g->verdicts[stage].walk;
        for (size_t i = 0; g->reached[stage] && i < w->header_count; i++) {
            if (str_eq_nocase(w->headers[i].name, name) && pattern_match(value, w->headers[i].value))
                return true;
        }
    }
    return false;
}

static bool has_mark(const struct judging *g, struct str name, struct str duration)
{
    uint64_t ms = 0;
    bool any = !duration_parse(duration, &ms);
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        const struct walk *w = &g->verdicts[stage].walk;
        for (size_t i = 0; g->reached[stage] && i < w->mark_count; i++) {
            if (str_eq(w->marks[i].name, name) && (any || w->marks[i].ms == ms))
                return true;
        }
    }
    return false;
}

static void expect_sum(struct judging *g, int stage, bool score, struct str rest)
{
    struct str word = STR_NONE;
    int64_t sum = 0;
    uint64_t number = 0;
    for (int s = 0; s < STAGE_COUNT; s++) {
        if (g->reached[s] && (stage < 0 || s == stage))
            sum += score ? g->verdicts[s].walk.score : (int64_t)g->verdicts[s].walk.tarpit_ms;
    }
    word_take(&rest, &word);
    bool negative = word.n > 1 && word.p[0] == '-';
    bool read = score ? str_to_u64(str_sub(word, negative, word.n), INT64_MAX, &number) : duration_parse(word, &number);
    int64_t wanted = negative ? -(int64_t)number : (int64_t)number;
    if (!read)
        complain(g, "expected a %s, not '%.*s'", score ? "number" : "duration", STR_ARG(word));
    else if (sum != wanted)
        complain(g, "expected %s %.*s, it is %lld%s", score ? "score" : "tarpit", STR_ARG(word), (long long)sum,
                 score ? "" : " ms");
}

static void expect_class(struct judging *g, struct str name)
{
    struct str class = g->reached[STAGE_RCPT] ? g->verdicts[STAGE_RCPT].walk.class : STR_NONE;
    if (!str_eq(class.n ? class : STR("normal"), name))
        complain(g, "expected class %.*s, it is %.*s", STR_ARG(name), STR_ARG(class.n ? class : STR("normal")));
}

/* What one word says of rules, tags, headers, marks. */
static void expect_effect(struct judging *g, struct str word, struct str rest)
{
    struct str name = STR_NONE, value = STR_NONE;
    struct str text = rest;
    if (text.n > 0 && text.p[0] == '"') {
        quoted_parse(&text, &g->arena, &name);
        if (!quoted_parse(&text, &g->arena, &value))
            value = STR("*");
    } else {
        word_take(&text, &name);
        value = str_trim(text);
    }
    bool ok = str_eq(word, STR("tag"))      ? has_header(g, STR("X-Postern-Tag"), name)
              : str_eq(word, STR("header")) ? has_header(g, name, value.n ? value : STR("*"))
              : str_eq(word, STR("mark"))   ? has_mark(g, name, value)
              : str_eq(word, STR("fired"))  ? fired(g, name, false)
              : str_eq(word, STR("would"))  ? fired(g, name, true)
                                            : !fired(g, name, false) && !fired(g, name, true); /* silent */
    if (!ok)
        complain(g, "expected %.*s %.*s, it is not so", STR_ARG(word), STR_ARG(rest));
}

static void expect(struct judging *g, const struct given *e)
{
    static const char *const effects[] = {"tag", "header", "mark", "fired", "would", "silent"};
    struct str rest = e->value, word, name;
    enum stage at;
    int stage = -1;
    g->at = e;
    word_take(&rest, &word);
    if (str_eq(word, STR("at"))) {
        if (!word_take(&rest, &name) || !stage_parse(name, &at)) {
            complain(g, "expected a stage: connect, helo, mail, rcpt, data");
            return;
        }
        stage = (int)at;
        word_take(&rest, &word);
        if (!g->reached[stage]) {
            complain(g, "stage %s was not reached: %.*s", stage_names[stage], STR_ARG(said(g, -1)));
            return;
        }
    }
    rest = str_trim(rest);
    for (size_t i = 0; i < sizeof effects / sizeof *effects; i++) {
        if (str_eq(word, str_of(effects[i]))) {
            expect_effect(g, word, rest);
            return;
        }
    }
    if (str_eq(word, STR("not-yet")))
        expect_not_yet(g, stage, rest);
    else if (str_eq(word, STR("score")) || str_eq(word, STR("tarpit")))
        expect_sum(g, stage, word.p[0] == 's', rest);
    else if (str_eq(word, STR("class")))
        expect_class(g, rest);
    else if (str_eq(word, STR("accept")) || str_eq(word, STR("reject")) || str_eq(word, STR("tempfail")) ||
             str_eq(word, STR("none")) || str_eq(word, STR("pass")))
        expect_verdict(g, stage, word, rest);
    else
        complain(g,
                 "cannot expect '%.*s' (accept, reject, tempfail, none, pass, not-yet, score, tarpit, class, tag, header, mark, "
                 "fired, would, silent)",
                 STR_ARG(word));
}

void case_judge(const struct policy_case *c)
{
    struct judging g = {.c = c, .schema = policy_schema(c->policy)};
    if (c->expects.count == 0)
        complain(&g, "nothing is expected");
    gather(&g);
    if (c->complaints->n == 0) {
        walk_stages(&g);
        for (size_t i = 0; i < c->expects.count; i++)
            expect(&g, &c->expects.list[i]);
    }
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        facts_clear(&g.facts[stage]);
    arena_clear(&g.arena);
}
