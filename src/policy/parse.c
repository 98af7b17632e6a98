/*
 * parse.c - the lines of a policy: declarations, stages, rules; and the small things that every part of the parser uses.
 *
 * A line that has something wrong is given up (lexer_skip_line) and the next one is read, so that one load shows every mistake.
 */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

#include "postern/base/codec.h"

/* --- small things --- */

void *loader_grow(void *list, size_t count, size_t *cap, size_t item)
{
    if (count < *cap)
        return list;
    *cap = *cap ? *cap * 2 : 8;
    return xrealloc(list, *cap * item);
}

struct span span_join(struct span from, struct span to)
{
    return (struct span){from.source, from.at, to.at + to.n - from.at};
}

const char *hint_meant(struct loader *l, struct str suggestion, const char *otherwise)
{
    if (!suggestion.p)
        return otherwise;
    return arena_cstr(&l->scratch, arena_printf(&l->scratch, "did you mean '%.*s'?", STR_ARG(suggestion)));
}

const char *hint_words(struct loader *l, struct str word, const char *const *words, size_t count)
{
    struct str candidates[32];
    struct buf all = {0};
    buf_cstr(&all, "one of: ");
    for (size_t i = 0; i < count && i < 32; i++) {
        candidates[i] = str_of(words[i]);
        buf_printf(&all, "%s%s", i ? ", " : "", words[i]);
    }
    const char *otherwise = arena_cstr(&l->scratch, buf_view(&all));
    buf_free(&all);
    return hint_meant(l, str_suggest(word, candidates, count), otherwise);
}

static struct str claim_key(struct loader *l, const char *kind, struct str name)
{
    return arena_printf(&l->scratch, "%s %.*s", kind, STR_ARG(name));
}

void *loader_find(const struct loader *l, const char *kind, struct str name)
{
    return map_get(l->names, claim_key((struct loader *)l, kind, name));
}

bool loader_claim(struct loader *l, const char *kind, struct str name, struct span span, void *value)
{
    struct str key = claim_key(l, kind, name);
    if (!map_get(l->names, key)) {
        map_put(l->names, key, value);
        return true;
    }
    if (!strcmp(kind, "rule"))
        COMPLAIN(l, DUPLICATE_RULE, span, "the names of rules stand in logs and tests: each is used once in a policy", STR_ARG(name));
    else
        COMPLAIN(l, DUPLICATE, span, NULL, kind, STR_ARG(name));
    return false;
}

/* FNV-1a with 64 bits: the same in every process and on every machine. The length in front keeps texts apart. */
void loader_hash(struct loader *l, struct str text)
{
    uint64_t n = text.n;
    for (int i = 0; i < 8; i++)
        l->hash = (l->hash ^ (uint8_t)(n >> (8 * i))) * 0x100000001b3u;
    for (size_t i = 0; i < text.n; i++)
        l->hash = (l->hash ^ (uint8_t)text.p[i]) * 0x100000001b3u;
}

struct source *loader_read(struct loader *l, const char *from, struct str name, const char **path, const char **error)
{
    char *relative = xstrndup(name.p, name.n), *whole = source_path(from, relative);
    *path = arena_cstr(&l->scratch, str_of(whole));
    *error = "cannot be read";
    struct source *source = l->reader->read(l->reader, whole, error);
    if (source)
        loader_hash(l, (struct str){source->text, source->n});
    free(whole);
    free(relative);
    return source;
}

struct declaration *loader_declare(struct loader *l, enum declaration_kind kind, struct str name, struct span span)
{
    struct policy *p = l->policy;
    p->declarations = loader_grow(p->declarations, p->declaration_count, &l->declaration_cap, sizeof(*p->declarations));
    struct declaration *d = &p->declarations[p->declaration_count++];
    *d = (struct declaration){.kind = kind, .name = name, .fact = -1, .span = span};
    return d;
}

void loader_fact(struct loader *l, struct declaration *d, const char *prefix, struct fact_info info)
{
    info.name = arena_printf(&l->scratch, "%s.%.*s", prefix, STR_ARG(d->name));
    d->fact = schema_declare(l->policy->schema, &info);
    if (d->fact < 0)
        COMPLAIN(l, TOO_MANY_FACTS, d->span, NULL, STR_ARG(d->name));
}

/* What else a policy's author may have meant by the token found in place of `what`; NULL: nobody knows. */
static const char *hint_found(struct parser *p, const char *what)
{
    static const char *const conditions[] = {"if", "unless", "where", "only"};
    const struct token *t = &p->lexer.current;
    struct str wanted = str_of(what);
    bool at_end = t->kind == TOKEN_EOL || t->kind == TOKEN_END;
    if (at_end && (str_starts(wanted, STR("a test")) || str_starts(wanted, STR("a value")) || str_starts(wanted, STR("'and'"))))
        return "a line goes on behind a \\ at its end, and inside ( ) and { }";
    if (t->kind == TOKEN_WORD && str_ends_nocase(wanted, STR("in quotes")))
        return arena_cstr(&p->l->scratch, arena_printf(&p->l->scratch, "write \"%.*s\"", STR_ARG(t->text)));
    if (t->kind == TOKEN_WORD && str_starts(wanted, STR("',', 'when'")))
        for (size_t i = 0; i < sizeof(conditions) / sizeof(*conditions); i++)
            if (str_eq_nocase(t->text, str_of(conditions[i])))
                return "a condition begins with 'when'";
    return NULL;
}

bool parse_expected(struct parser *p, const char *what)
{
    const struct token *t = &p->lexer.current;
    if (t->kind == TOKEN_BAD)
        return false; /* the lexer has complained */
    struct str found = t->kind == TOKEN_WORD ? arena_printf(&p->l->scratch, "'%.*s'", STR_ARG(t->text)) : str_of(token_name(t->kind));
    COMPLAIN(p->l, EXPECTED, t->span, hint_found(p, what), what, arena_cstr(&p->l->scratch, found));
    return false;
}

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = ascii_lower(s.p[i]);
        if (!(c >= 'a' && c <= 'z') && (!i || (!(c >= '0' && c <= '9') && c != '-' && c != '_')))
            return false;
    }
    return s.n && s.n <= 64;
}

static bool is_keyword(struct str s)
{
    static const char *const words[] = {"and", "or", "not", "in", "is", "like", "when", "monitor", "yes", "no", "from"};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (str_eq(s, str_of(words[i])))
            return true;
    }
    return false;
}

bool parse_name(struct parser *p, const char *what, struct token *out)
{
    *out = p->lexer.current;
    if (out->kind != TOKEN_WORD)
        return parse_expected(p, what);
    if (!is_name(out->text) || is_keyword(out->text)) {
        COMPLAIN(p->l, BAD_NAME, out->span,
                 "a name is letters, digits, - and _, begins with a letter, has at most 64 bytes and is no word of the language",
                 STR_ARG(out->text));
        return false;
    }
    lexer_take(&p->lexer);
    return true;
}

bool parse_string(struct parser *p, const char *what, struct token *out)
{
    *out = p->lexer.current;
    if (out->kind != TOKEN_STRING)
        return parse_expected(p, what);
    lexer_take(&p->lexer);
    return true;
}

bool parse_duration(struct parser *p, const char *of, uint64_t least, uint64_t most, uint64_t *ms)
{
    struct token t = p->lexer.current;
    char from[32], to[32];
    if (t.kind != TOKEN_WORD)
        return parse_expected(p, "a duration");
    if (!duration_parse(t.text, ms)) {
        COMPLAIN(p->l, BAD_DURATION, t.span, "such as 10s, 5m, 2h, 7d", STR_ARG(t.text));
        return false;
    }
    if (*ms < least || *ms > most) {
        COMPLAIN(p->l, DURATION_RANGE, t.span, NULL, of, duration_format(least, from), duration_format(most, to));
        return false;
    }
    lexer_take(&p->lexer);
    return true;
}

/* --- lines --- */

static bool parse_include(struct parser *p)
{
    struct loader *l = p->l;
    struct token name;
    if (!parse_string(p, "the included file's name in quotes", &name))
        return false;
    if (l->depth >= INCLUDE_MAX) {
        COMPLAIN(l, INCLUDE_DEPTH, name.span, NULL, INCLUDE_MAX);
        return true;
    }
    if (l->includes >= INCLUDE_FILES_MAX) {
        if (l->includes++ == INCLUDE_FILES_MAX) /* said once */
            COMPLAIN(l, INCLUDE_MANY, name.span, NULL, INCLUDE_FILES_MAX);
        return true;
    }
    l->includes++;
    const char *path, *error;
    struct source *source = loader_read(l, p->lexer.source->name, name.text, &path, &error);
    if (!source) {
        COMPLAIN(l, CANNOT_READ_INCLUDE, name.span, NULL, path, error);
        return true;
    }
    struct policy *policy = l->policy;
    policy->sources = loader_grow(policy->sources, policy->source_count, &l->source_cap, sizeof(*policy->sources));
    policy->sources[policy->source_count++] = source;
    for (unsigned i = 0; i < l->depth; i++) {
        if (!strcmp(l->including[i], path)) {
            COMPLAIN(l, INCLUDE_CYCLE, name.span, NULL, path);
            return true;
        }
    }
    l->including[l->depth++] = path;
    parse_source(l, source);
    l->depth--;
    return true;
}

static bool parse_condition(struct parser *p)
{
    struct loader *l = p->l;
    struct token name;
    if (!parse_name(p, "the condition's name", &name))
        return false;
    if (schema_find(l->policy->schema, name.text) >= 0) {
        COMPLAIN(l, CONDITION_IS_FACT, name.span, NULL, STR_ARG(name.text));
        return false;
    }
    struct condition *c = arena_zalloc(&l->scratch, sizeof(*c));
    c->name = name.text;
    c->span = name.span;
    bool first = loader_claim(l, "condition", name.text, name.span, c);
    if (!lexer_accept(&p->lexer, TOKEN_COLON))
        return parse_expected(p, "':' and the condition");
    c->expr = parse_expr(p);
    if (!first)
        return c->expr != NULL;
    l->conditions = loader_grow(l->conditions, l->condition_count, &l->condition_cap, sizeof(*l->conditions));
    l->conditions[l->condition_count++] = c;
    loader_declare(l, DECLARE_CONDITION, name.text, name.span);
    return c->expr != NULL;
}

static bool parse_stage(struct parser *p)
{
    struct token t = p->lexer.current;
    p->in_stage = true; /* also when it is misspelt: one complaint, not one a rule */
    if (t.kind != TOKEN_WORD)
        return parse_expected(p, "the stage's name");
    if (!stage_parse(t.text, &p->stage)) {
        COMPLAIN(p->l, UNKNOWN_STAGE, t.span, hint_words(p->l, t.text, stage_names, STAGE_COUNT), STR_ARG(t.text));
        return false;
    }
    lexer_take(&p->lexer);
    return true;
}

/* The rule as written on one line: runs of white space are one space, comments are left out. */
static struct str rule_text(struct loader *l, struct str s)
{
    struct buf out = {0};
    bool quoted = false, space = false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!quoted && c == '#' && space) {
            i = str_find(s, '\n', i);
        } else if (!quoted && (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\\')) {
            space = true;
        } else {
            if (space)
                buf_char(&out, ' ');
            space = false;
            buf_char(&out, c);
            if (quoted && c == '\\' && i + 1 < s.n)
                buf_char(&out, s.p[++i]);
            else if (c == '"')
                quoted = !quoted;
        }
    }
    struct str text = arena_str(l->arena, buf_view(&out));
    buf_free(&out);
    return text;
}

static bool parse_rule_parts(struct parser *p, struct parsed_rule *rule)
{
    if (lexer_accept_word(&p->lexer, "monitor"))
        rule->rule.monitor = true;
    if (!lexer_accept(&p->lexer, TOKEN_COLON))
        return parse_expected(p, rule->rule.monitor ? "':' and the effects" : "'monitor', or ':' and the effects");
    if (!parse_effects(p, rule))
        return false;
    if (lexer_accept_word(&p->lexer, "when"))
        return (rule->when = parse_expr(p)) != NULL;
    if (p->lexer.current.kind != TOKEN_EOL)
        return parse_expected(p, "',', 'when' or end of line");
    return true;
}

/* The line of a place behind the last one asked for: each byte is counted once, however many rules there are. */
static unsigned line_of(struct parser *p, struct span where)
{
    for (; p->counted < where.at; p->counted++)
        p->line += where.source->text[p->counted] == '\n';
    return p->line;
}

static bool parse_rule(struct parser *p, struct span begin)
{
    struct loader *l = p->l;
    struct token name;
    if (!parse_name(p, "the rule's name", &name))
        return false;
    bool mine = loader_claim(l, "rule", name.text, name.span, l);
    if (!p->in_stage) {
        COMPLAIN(l, RULE_OUTSIDE_STAGE, name.span, "write a line such as 'stage rcpt' above it", STR_ARG(name.text));
        return false;
    }
    if (l->rule_count == RULES_MAX) {
        COMPLAIN(l, TOO_MANY_RULES, name.span, NULL, RULES_MAX);
        l->rule_count++; /* said once */
    }
    struct parsed_rule *rule = arena_zalloc(&l->scratch, sizeof(*rule));
    rule->stage = p->stage;
    rule->name_span = name.span;
    if (!parse_rule_parts(p, rule))
        return false;
    if (p->lexer.current.kind != TOKEN_EOL)
        return parse_expected(p, "end of line");
    if (!mine || l->rule_count > RULES_MAX)
        return true;
    struct span whole = {begin.source, begin.at, p->lexer.current.span.at - begin.at};
    rule->rule.name = name.text;
    rule->rule.text = rule_text(l, span_text(whole));
    rule->rule.file = begin.source->name;
    rule->rule.line = line_of(p, begin);
    *l->rules_end = rule;
    l->rules_end = &rule->next;
    l->rule_count++;
    return true;
}

static const char *const declarations[] = {"dnsbl", "dnswl", "list", "rate", "condition", "mark", "include", "stage", "rule"};

static bool parse_line(struct parser *p)
{
    struct token word = p->lexer.current;
    if (word.kind != TOKEN_WORD)
        return parse_expected(p, "a declaration, 'stage' or 'rule'");
    lexer_take(&p->lexer);
    if (str_eq(word.text, STR("rule")))
        return parse_rule(p, word.span);
    if (str_eq(word.text, STR("stage")))
        return parse_stage(p);
    if (str_eq(word.text, STR("condition")))
        return parse_condition(p);
    if (str_eq(word.text, STR("list")))
        return parse_list(p);
    if (str_eq(word.text, STR("dnsbl")))
        return parse_dns_list(p, DECLARE_DNSBL);
    if (str_eq(word.text, STR("dnswl")))
        return parse_dns_list(p, DECLARE_DNSWL);
    if (str_eq(word.text, STR("rate")))
        return parse_rate(p);
    if (str_eq(word.text, STR("mark")))
        return parse_mark(p);
    if (str_eq(word.text, STR("include")))
        return parse_include(p);
    COMPLAIN(p->l, UNKNOWN_DECLARATION, word.span,
             hint_words(p->l, word.text, declarations, sizeof(declarations) / sizeof(*declarations)), STR_ARG(word.text));
    return false;
}

void parse_source(struct loader *l, const struct source *source)
{
    struct parser p = {.l = l, .line = 1};
    lexer_init(&p.lexer, source, l->arena, l->diags);
    while (p.lexer.current.kind != TOKEN_END) {
        if (lexer_accept(&p.lexer, TOKEN_EOL))
            continue;
        bool good = parse_line(&p);
        if (good && p.lexer.current.kind != TOKEN_EOL && p.lexer.current.kind != TOKEN_END)
            good = parse_expected(&p, "end of line");
        if (!good)
            lexer_skip_line(&p.lexer);
    }
}
