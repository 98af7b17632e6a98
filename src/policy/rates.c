/*
 * rates.c - rates: how much of something a client, a sender, a recipient has done of late.
 *
 *     rate NAME connections|errors|messages|recipients|unknown by FACT over DURATION
 *
 * It makes the fact rate.NAME, a snapshot: every stage that reads it sees the count of its own moment. It can be read from the stage of the fact it
 * is counted by on; and that stage must have begun when the counted thing happens (rates.def): whoever has to be asked for the fact has been asked
 * by then, and the count waits for the answer (checks/rate_turns.c). Only rates that a rule reads are counted.
 */
#include "loader.h"

#include "postern/base/codec.h"

static const char *const rate_words[RATE_COUNT] = {
#define RATE(id, word, stage, help) word,
#include "postern/policy/rates.def"
#undef RATE
};

static const enum stage rate_stages[RATE_COUNT] = {
#define RATE(id, word, stage, help) STAGE_##stage,
#include "postern/policy/rates.def"
#undef RATE
};

/* May it be counted by facts of this stage? A message is not counted by those of a recipient. */
static bool stage_counts(enum rate_kind kind, enum stage stage)
{
    return fact_readable(&(struct fact_info){.stage = stage}, rate_stages[kind]);
}

void rates_markdown(struct buf *out)
{
    static const char *const help[RATE_COUNT] = {
#define RATE(id, word, stage, help) help,
#include "postern/policy/rates.def"
#undef RATE
    };
    buf_cstr(out, "| word | what is counted | by facts of |\n|---|---|---|\n");
    for (size_t i = 0; i < RATE_COUNT; i++) {
        buf_printf(out, "| `%s` | %s | ", rate_words[i], help[i]);
        for (int stage = 0; stage <= (int)rate_stages[i]; stage++)
            if (stage_counts((enum rate_kind)i, (enum stage)stage))
                buf_printf(out, "%s%s", stage ? ", " : "", stage_names[stage]);
        buf_cstr(out, " |\n");
    }
}

static bool parse_kind(struct parser *p, struct declaration *d)
{
    struct token t = p->lexer.current;
    if (t.kind != TOKEN_WORD)
        return parse_expected(p, "what is counted");
    for (int i = 0; i < RATE_COUNT; i++) {
        if (str_eq(t.text, str_of(rate_words[i]))) {
            d->counts = (enum rate_kind)i;
            lexer_take(&p->lexer);
            return true;
        }
    }
    COMPLAIN(p->l, UNKNOWN_RATE, t.span, hint_words(p->l, t.text, rate_words, RATE_COUNT), STR_ARG(t.text));
    return false;
}

/* The facts that a rate of this kind may be counted by. */
static const char *hint_keys(struct loader *l, struct str name, enum rate_kind kind)
{
    const char *keys[FACT_COUNT];
    size_t count = 0;
    for (int id = 0; id < FACT_COUNT; id++) {
        const struct fact_info *info = schema_fact(l->policy->schema, id);
        if (info->flags & FACT_KEY && stage_counts(kind, info->stage))
            keys[count++] = arena_cstr(&l->scratch, info->name);
    }
    return hint_words(l, name, keys, count);
}

/* What a rate of this kind counts, in the plural. */
static const char *things(enum rate_kind kind)
{
    return kind == RATE_UNKNOWN ? "unknown recipients" : rate_words[kind];
}

static bool parse_key(struct parser *p, struct declaration *d)
{
    struct loader *l = p->l;
    struct token t = p->lexer.current;
    if (t.kind != TOKEN_WORD)
        return parse_expected(p, "a fact to count by");
    d->key = schema_find(l->policy->schema, t.text);
    const struct fact_info *info = d->key < 0 ? NULL : schema_fact(l->policy->schema, d->key);
    if (!info) {
        COMPLAIN(l, UNKNOWN_FACT, t.span, hint_keys(l, t.text, d->counts), STR_ARG(t.text));
        return false;
    }
    if (!(info->flags & FACT_KEY)) {
        COMPLAIN(l, RATE_KEY, t.span, hint_keys(l, STR(""), d->counts), STR_ARG(t.text));
        return false;
    }
    if (info->stage > rate_stages[d->counts]) {
        COMPLAIN(l, RATE_KEY_LATE, t.span, hint_keys(l, STR(""), d->counts), things(d->counts), STR_ARG(t.text));
        return false;
    }
    if (!stage_counts(d->counts, info->stage)) {
        COMPLAIN(l, RATE_KEY_RECIPIENT, t.span, hint_keys(l, STR(""), d->counts), STR_ARG(t.text), things(d->counts));
        return false;
    }
    lexer_take(&p->lexer);
    return true;
}

/* "rate recipients by client.net over 1h": the same rate however it was written. */
static void declare(struct loader *l, const struct declaration *d)
{
    const struct fact_info *key = schema_fact(l->policy->schema, d->key);
    const char *word = rate_words[d->counts];
    char window[32];
    struct declaration *kept = loader_declare(l, DECLARE_RATE, d->name, d->span);
    *kept = *d;
    duration_format(d->window_ms, window);
    struct fact_info info = {.type = FACT_INT, .stage = key->stage, .flags = FACT_SNAPSHOT, .maker = STR("rate"), .deadline = STR(""),
                             .values = STR("")};
    info.help = arena_printf(&l->scratch, "%s of the same %.*s in the last %s", word, STR_ARG(key->name), window);
    info.definition = arena_printf(&l->scratch, "rate %s by %.*s over %s", word, STR_ARG(key->name), window);
    loader_fact(l, kept, "rate", info);
}

bool parse_rate(struct parser *p)
{
    struct token name;
    struct declaration d = {.kind = DECLARE_RATE, .fact = -1};
    if (!parse_name(p, "the rate's name", &name))
        return false;
    bool claimed = loader_claim(p->l, "rate", name.text, name.span, p->l);
    d.name = name.text;
    d.span = name.span;
    if (!parse_kind(p, &d))
        return false;
    if (!lexer_accept_word(&p->lexer, "by"))
        return parse_expected(p, "'by' and a fact");
    if (!parse_key(p, &d))
        return false;
    if (!lexer_accept_word(&p->lexer, "over"))
        return parse_expected(p, "'over' and a duration");
    if (!parse_duration(p, "rate", 1000, 364ull * 24 * 3600 * 1000, &d.window_ms))
        return false;
    if (claimed)
        declare(p->l, &d);
    return true;
}

/* --- which rates are read --- */

void rates_needs(const struct loader *l, struct rule *rule)
{
    const struct policy *p = l->policy;
    for (size_t i = 0; i < p->declaration_count; i++) {
        const struct declaration *d = &p->declarations[i];
        if (d->kind == DECLARE_RATE && d->fact >= 0 && fact_bit(&rule->needs, d->fact))
            fact_bit_set(&rule->needs, d->key);
    }
}

static struct fact_bits read_by_rules(const struct policy *p)
{
    struct fact_bits all = {{0}};
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        struct fact_bits needs = policy_needs(p, (enum stage)stage, true);
        for (size_t w = 0; w < sizeof(all.word) / sizeof(*all.word); w++)
            all.word[w] |= needs.word[w];
    }
    return all;
}

static bool monitor_reads(const struct policy *p, int stage, const struct declaration *d)
{
    for (size_t i = 0; i < p->rule_count[stage]; i++) {
        if (p->rules[stage][i].monitor && fact_bit(&p->rules[stage][i].needs, d->fact))
            return true;
    }
    return false;
}

static void gather_rate(struct policy *p, size_t declaration, uint16_t *list)
{
    const struct declaration *d = &p->declarations[declaration];
    list[p->rate_count[d->counts]++] = (uint16_t)declaration;
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        p->monitors_rates[stage] |= monitor_reads(p, stage, d);
}

void rates_gather(struct loader *l)
{
    struct policy *p = l->policy;
    struct fact_bits read = read_by_rules(p);
    for (int kind = 0; kind < RATE_COUNT; kind++) {
        uint16_t *list = arena_alloc(l->arena, (p->declaration_count + 1) * sizeof(*list));
        for (size_t i = 0; i < p->declaration_count; i++) {
            const struct declaration *d = &p->declarations[i];
            if (d->kind == DECLARE_RATE && (int)d->counts == kind && d->fact >= 0 && fact_bit(&read, d->fact))
                gather_rate(p, i, list);
        }
        p->rates[kind] = list;
    }
}

size_t policy_rate_count(const struct policy *p, enum rate_kind kind)
{
    return p->rate_count[kind];
}

bool policy_monitors_rates(const struct policy *p, enum stage stage)
{
    return p->monitors_rates[stage];
}

const struct declaration *policy_rate(const struct policy *p, enum rate_kind kind, size_t i)
{
    return &p->declarations[p->rates[kind][i]];
}
