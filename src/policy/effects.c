/*
 * effects.c - what a rule does: EFFECT, EFFECT ... ; one that ends the walk stands last.
 */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

#include "postern/base/codec.h"

const char *const effect_names[EFFECT_COUNT] = {
#define EFFECT(id, name, ends, syntax, help) name,
#include "effects.def"
#undef EFFECT
};

const bool effect_ends[EFFECT_COUNT] = {
#define EFFECT(id, name, ends, syntax, help) ends,
#include "effects.def"
#undef EFFECT
};

void effects_markdown(struct buf *out)
{
    static const struct { const char *syntax, *help; bool ends; } rows[] = {
#define EFFECT(id, name, ends, syntax, help) {syntax, help, ends},
#include "effects.def"
#undef EFFECT
    };
    buf_cstr(out, "| effect | ends the stage | what it does |\n|---|---|---|\n");
    for (size_t i = 0; i < EFFECT_COUNT; i++)
        buf_printf(out, "| `%s` | %s | %s |\n", rows[i].syntax, rows[i].ends ? "yes" : "no", rows[i].help);
}

/* Fields that the message is made of, that trace its way, or that others vouch with: a second one would forge or break them. */
static const char *const protected_headers[] = {
    "From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "Received", "Return-Path",
    "Delivered-To", "MIME-Version", "Content-*", "Resent-*", "DKIM-Signature", "ARC-*", "Authentication-Results", "Received-SPF",
    "Errors-To", "List-*", "X-Postern-Tag",
};

struct effect_parse {
    struct parser *p;
    struct parsed_rule *rule;
    struct effect effect;
    struct literal text;   /* source of effect.text */
    bool has_text;
    struct span span;      /* the effect's word */
};

static bool take_text(struct effect_parse *e)
{
    struct token t = e->p->lexer.current;
    if (t.kind != TOKEN_STRING)
        return false;
    lexer_take(&e->p->lexer);
    e->text = (struct literal){t.text, true, t.span};
    e->has_text = true;
    return true;
}

static void default_text(struct effect_parse *e, struct str text)
{
    e->text = (struct literal){text, true, e->span};
    e->has_text = true;
}

/* --- one by one --- */

static bool parse_score(struct effect_parse *e)
{
    struct token t = e->p->lexer.current;
    uint64_t n;
    if (t.kind != TOKEN_WORD)
        return parse_expected(e->p, "a number");
    bool negative = t.text.n && t.text.p[0] == '-', sign = negative || (t.text.n && t.text.p[0] == '+');
    if (!str_to_u64(sign ? str_sub(t.text, 1, t.text.n) : t.text, 1000, &n) || !n) {
        COMPLAIN(e->p->l, BAD_SCORE, t.span, "a whole number from -1000 to 1000, not 0", STR_ARG(t.text));
        return false;
    }
    lexer_take(&e->p->lexer);
    e->effect.score = negative ? -(int64_t)n : (int64_t)n;
    return true;
}

static bool is_tag(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = ascii_lower(s.p[i]);
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.')
            return false;
    }
    return s.n && s.n <= 64;
}

/* A word or a string. */
static bool take_word(struct effect_parse *e, const char *what, struct token *out)
{
    *out = e->p->lexer.current;
    if (out->kind != TOKEN_WORD && out->kind != TOKEN_STRING)
        return parse_expected(e->p, what);
    lexer_take(&e->p->lexer);
    return true;
}

static void own_header(struct loader *l, struct str name)
{
    struct policy *p = l->policy;
    for (size_t i = 0; i < p->header_count; i++) {
        if (str_eq_nocase(p->headers[i], name))
            return;
    }
    p->headers = loader_grow(p->headers, p->header_count, &l->header_cap, sizeof(*p->headers));
    p->headers[p->header_count++] = name;
}

static bool parse_tag(struct effect_parse *e)
{
    struct token t;
    if (!take_word(e, "the tag", &t))
        return false;
    if (!is_tag(t.text)) {
        COMPLAIN(e->p->l, BAD_TAG, t.span, "a tag is letters, digits, - _ and ., at most 64 bytes", STR_ARG(t.text));
        return false;
    }
    e->effect.name = t.text;
    if (!e->rule->rule.monitor)
        own_header(e->p->l, STR("X-Postern-Tag"));
    return true;
}

/* RFC 5322 2.2: printable ASCII save ':'; kept to what every mail server lets through. */
static bool is_header_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = ascii_lower(s.p[i]);
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return false;
    }
    return s.n && s.n <= 64;
}

static bool is_protected(struct str s)
{
    for (size_t i = 0; i < sizeof(protected_headers) / sizeof(*protected_headers); i++) {
        if (str_glob(str_of(protected_headers[i]), s))
            return true;
    }
    return false;
}

static bool parse_header(struct effect_parse *e)
{
    struct token t;
    if (!take_word(e, "the header field's name", &t))
        return false;
    if (!is_header_name(t.text)) {
        COMPLAIN(e->p->l, BAD_HEADER, t.span, "letters, digits, - and _, without the colon, such as \"X-Checked\"", STR_ARG(t.text));
        return false;
    }
    if (is_protected(t.text)) {
        COMPLAIN(e->p->l, PROTECTED_HEADER, t.span, "choose a name of your own, such as \"X-Checked\"", STR_ARG(t.text));
        return false;
    }
    e->effect.name = t.text;
    if (!e->rule->rule.monitor)
        own_header(e->p->l, t.text);
    return take_text(e) || parse_expected(e->p, "the header field's value in quotes");
}

static bool take_duration(struct effect_parse *e, uint64_t least, uint64_t most)
{
    return parse_duration(e->p, effect_names[e->effect.kind], least, most, &e->effect.ms);
}

static bool parse_mark_effect(struct effect_parse *e)
{
    struct token t;
    if (!parse_name(e->p, "the mark's name", &t))
        return false;
    e->effect.name = t.text;
    declare_mark(e->p->l, t.text, t.span);
    return take_duration(e, 1000, 364ull * 24 * 3600 * 1000);
}

static bool parse_class(struct effect_parse *e)
{
    struct token t;
    if (e->rule->stage != STAGE_RCPT) {
        COMPLAIN(e->p->l, CLASS_STAGE, e->span, NULL);
        return false;
    }
    if (!parse_name(e->p, "the class's name", &t))
        return false;
    e->effect.name = t.text;
    return true;
}

static bool parse_greylist(struct effect_parse *e)
{
    char delay[32];
    if (e->rule->stage != STAGE_RCPT && e->rule->stage != STAGE_DATA) {
        COMPLAIN(e->p->l, GREYLIST_STAGE, e->span, NULL);
        return false;
    }
    if (!take_duration(e, 1000, 24ull * 3600 * 1000))
        return false;
    e->effect.code = 451;
    e->effect.enhanced = STR("4.7.1");
    if (!take_text(e))
        default_text(e, arena_printf(e->p->l->arena, "Greylisted, try again in %s", duration_format(e->effect.ms, delay)));
    return true;
}

/* --- reject and tempfail --- */

static bool starts_with_digit(const struct token *t)
{
    return t->kind == TOKEN_WORD && t->text.p[0] >= '0' && t->text.p[0] <= '9';
}

/* class.subject.detail (RFC 3463 2) */
static bool is_enhanced(struct str s)
{
    struct str rest = s, part;
    uint64_t n;
    size_t parts = 0;
    while (str_split(&rest, '.', &part)) {
        if (part.n > 3 || !str_to_u64(part, 999, &n))
            return false;
        parts++;
    }
    return parts == 3 && s.p[1] == '.';
}

static bool parse_code(struct effect_parse *e, unsigned class)
{
    struct parser *p = e->p;
    struct token t = p->lexer.current;
    const char *name = effect_names[e->effect.kind];
    uint64_t code;
    if (is_enhanced(t.text)) {
        COMPLAIN(p->l, NO_CODE, t.span, class == 5 ? "write 550 in front of it" : "write 451 in front of it");
        return false;
    }
    if (t.text.n != 3 || !str_to_u64(t.text, 999, &code) || code / 100 != class) {
        COMPLAIN(p->l, CODE_CLASS, t.span, class == 5 ? "to refuse for now write 'tempfail'" : "to refuse for good write 'reject'", name,
                 (int)class, STR_ARG(t.text));
        return false;
    }
    e->effect.code = (unsigned)code;
    lexer_take(&p->lexer);
    t = p->lexer.current;
    if (!starts_with_digit(&t))
        return true;
    if (!is_enhanced(t.text))
        return parse_expected(p, class == 5 ? "an enhanced code such as 5.7.1" : "an enhanced code such as 4.7.1");
    if (t.text.p[0] != (char)('0' + class)) {
        COMPLAIN(p->l, ENHANCED_CLASS, t.span, NULL, name, (int)class, STR_ARG(t.text));
        return false;
    }
    e->effect.enhanced = t.text;
    lexer_take(&p->lexer);
    return true;
}

static bool parse_refusal(struct effect_parse *e)
{
    struct parser *p = e->p;
    bool reject = e->effect.kind == EFFECT_REJECT;
    struct token t = p->lexer.current;
    e->effect.code = reject ? 550 : 451;
    e->effect.enhanced = reject ? STR("5.7.1") : STR("4.7.1");
    if (lexer_accept_word(&p->lexer, "now")) {
        if (e->rule->stage >= STAGE_RCPT) {
            COMPLAIN(p->l, NOW_STAGE, t.span, "leave it out: here the reply follows at once anyway");
            return false;
        }
        e->effect.now = true;
    }
    if (starts_with_digit(&p->lexer.current) && !parse_code(e, reject ? 5 : 4))
        return false;
    if (!take_text(e))
        default_text(e, reject ? STR("Refused by local policy") : STR("Not accepted now, please try again later"));
    return true;
}

/* --- the list of effects --- */

static bool parse_arguments(struct effect_parse *e)
{
    switch (e->effect.kind) {
    case EFFECT_SCORE: return parse_score(e);
    case EFFECT_TAG: return parse_tag(e);
    case EFFECT_HEADER: return parse_header(e);
    case EFFECT_TARPIT: return take_duration(e, 1, 60 * 1000);
    case EFFECT_MARK: return parse_mark_effect(e);
    case EFFECT_CLASS: return parse_class(e);
    case EFFECT_REJECT: case EFFECT_TEMPFAIL: return parse_refusal(e);
    case EFFECT_GREYLIST: return parse_greylist(e);
    case EFFECT_PASS: case EFFECT_ACCEPT: return true;
    case EFFECT_COUNT: break;
    }
    return false;
}

static bool parse_effect(struct effect_parse *e)
{
    struct token t = e->p->lexer.current;
    if (t.kind != TOKEN_WORD)
        return parse_expected(e->p, "an effect");
    for (int i = 0; i < EFFECT_COUNT; i++) {
        if (str_eq(t.text, str_of(effect_names[i]))) {
            e->effect.kind = (enum effect_kind)i;
            e->span = t.span;
            lexer_take(&e->p->lexer);
            return parse_arguments(e);
        }
    }
    COMPLAIN(e->p->l, UNKNOWN_EFFECT, t.span, hint_words(e->p->l, t.text, effect_names, EFFECT_COUNT), STR_ARG(t.text));
    return false;
}

static void speaks_early(struct rule *rule, const struct effect *effect)
{
    if (effect->now || effect->kind == EFFECT_TARPIT)
        rule->may_speak = true;
}

bool parse_effects(struct parser *p, struct parsed_rule *rule)
{
    struct buf effects = {0}, texts = {0};
    bool good, more = true;
    do {
        struct effect_parse e = {.p = p, .rule = rule};
        good = parse_effect(&e);
        if (!good)
            break;
        if (e.has_text) {
            struct parsed_text text = {effects.n / sizeof(struct effect), e.text};
            buf_put(&texts, &text, sizeof(text));
        }
        buf_put(&effects, &e.effect, sizeof(e.effect));
        speaks_early(&rule->rule, &e.effect);
        struct token comma = p->lexer.current;
        more = lexer_accept(&p->lexer, TOKEN_COMMA);
        if (more && effect_ends[e.effect.kind]) {
            COMPLAIN(p->l, EFFECT_AFTER_END, comma.span, "put it in front", effect_names[e.effect.kind]);
            good = false;
        }
    } while (good && more);
    rule->rule.effect_count = effects.n / sizeof(struct effect);
    rule->effects = arena_alloc(p->l->arena, effects.n + 1);
    memcpy(rule->effects, effects.n ? effects.p : "", effects.n);
    rule->rule.effects = rule->effects;
    rule->text_count = texts.n / sizeof(struct parsed_text);
    rule->texts = arena_alloc(&p->l->scratch, texts.n + 1);
    memcpy(rule->texts, texts.n ? texts.p : "", texts.n);
    buf_free(&effects);
    buf_free(&texts);
    return good;
}
