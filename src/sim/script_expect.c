/*
 * script_expect.c - reading `expect ...`: what the record of a transaction, the backends' messages, counters and the log must
 * say.
 */
#include "script_parser.h"

#include "postern/base/counters.h"

#include <stdio.h>
#include <string.h>

static bool one_of(struct str word, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (str_eq(word, str_of(words[i])))
            return true;
    }
    return false;
}

/* expect [shadow] accept|reject|tempfail|none [by RULE] */
static void expect_verdict(struct parser *p, struct str action, enum step_kind kind)
{
    struct step *step = parser_step(p, kind, 0);
    struct str word;
    step->pattern = action;
    if (!word_take(&p->rest, &word))
        return;
    if (!str_eq(word, STR("by"))) {
        parser_complain(p, word, "expect reject by RULE", "expected by");
        return;
    }
    if (parser_word(p, "the name of a rule", &step->pattern2))
        parser_end(p);
}

static void expect_number(struct parser *p, enum step_kind kind)
{
    struct str rest = str_trim(p->rest);
    if (kind == STEP_JOURNAL && (str_starts(rest, STR("has ")) || str_starts(rest, STR("lacks ")))) {
        bool has = rest.p[0] == 'h';
        p->rest = str_sub(rest, has ? 4 : 6, rest.n);
        struct str text;
        if (parser_text(p, &text) && parser_end(p))
            parser_step(p, has ? STEP_RECORD_HAS : STEP_RECORD_LACKS, 0)->text = text;
        return;
    }
    uint64_t n;
    if (parser_number(p, &n) && parser_end(p))
        parser_step(p, kind, 0)->number = n;
}

/* expect message|log has|lacks|ends "..." */
static void expect_text(struct parser *p, bool message)
{
    static const struct { const char *word; enum step_kind message, log;
    } kinds[] = {{"has", STEP_MESSAGE_HAS, STEP_LOG_HAS},
                 {"lacks", STEP_MESSAGE_LACKS, STEP_LOG_LACKS},
                 {"ends", STEP_MESSAGE_ENDS, STEP_MESSAGE_ENDS}};
    struct str word, text;
    if (!parser_word(p, "has or lacks", &word))
        return;
    size_t i = 0;
    while (i < 3 && !str_eq(word, str_of(kinds[i].word)))
        i++;
    if (i == 3 || (i == 2 && !message)) {
        parser_complain(p, word, NULL, "expected has%s", message ? ", lacks or ends" : " or lacks");
        return;
    }
    if (parser_text(p, &text) && parser_end(p))
        parser_step(p, message ? kinds[i].message : kinds[i].log, 0)->text = text;
}

static void expect_fact(struct parser *p, enum step_kind kind)
{
    struct str name;
    if (!parser_word(p, "the name of a fact", &name))
        return;
    struct step *step = parser_step(p, kind, 0);
    step->text = name;
    step->pattern = str_trim(p->rest);
    if (step->pattern.n == 0)
        parser_complain(p, p->line, "pass, yes, 12, \"text\", absent, error, unknown, or * for any", "expected the value of %.*s",
                        STR_ARG(name));
}

static void expect_counter(struct parser *p)
{
    struct str name;
    uint64_t n;
    if (!parser_word(p, "the name of a counter", &name))
        return;
    struct str names[COUNTER_COUNT];
    for (size_t i = 0; i < COUNTER_COUNT; i++) {
        names[i] = str_of(counter_names[i]);
        if (!str_eq(name, names[i]))
            continue;
        if (parser_number(p, &n) && parser_end(p)) {
            struct step *step = parser_step(p, STEP_COUNTER, 0);
            step->number = i;
            step->number2 = n;
        }
        return;
    }
    struct str near = str_suggest(name, names, COUNTER_COUNT);
    char hint[80] = "";
    if (near.p)
        snprintf(hint, sizeof hint, "did you mean '%.*s'?", STR_ARG(near));
    parser_complain(p, name, near.p ? hint : NULL, "unknown counter '%.*s'", STR_ARG(name));
}

static const char *const actions[] = {"accept", "reject", "tempfail", "none"};
enum { ACTIONS = sizeof actions / sizeof *actions };

/* expect shadow same|differs|VERDICT|fact NAME VALUE */
static void expect_shadow(struct parser *p)
{
    struct str word;
    if (!parser_word(p, "same, differs, a verdict, or fact", &word))
        return;
    if (one_of(word, actions, ACTIONS))
        expect_verdict(p, word, STEP_SHADOW_VERDICT);
    else if (str_eq(word, STR("fact")))
        expect_fact(p, STEP_SHADOW_FACT);
    else if (!str_eq(word, STR("same")) && !str_eq(word, STR("differs")))
        parser_complain(p, word, "same, differs, accept, reject, tempfail, none, fact", "cannot expect '%.*s' of the shadow", STR_ARG(word));
    else if (parser_end(p))
        parser_step(p, STEP_SHADOW_DIFFERS, 0)->number = word.p[0] == 'd';
}

void parser_expect(struct parser *p)
{
    struct str word;
    if (!parser_word(p, "what is expected", &word))
        return;
    if (one_of(word, actions, ACTIONS)) {
        expect_verdict(p, word, STEP_VERDICT);
    } else if (str_eq(word, STR("shadow"))) {
        expect_shadow(p);
    } else if (str_eq(word, STR("fact"))) {
        expect_fact(p, STEP_FACT);
    } else if (str_eq(word, STR("end"))) {
        if (parser_word(p, "how it ended: delivered, refused, deferred ...", &word) && parser_end(p))
            parser_step(p, STEP_END, 0)->pattern = word;
    } else if (str_eq(word, STR("delivered"))) {
        expect_number(p, STEP_DELIVERED);
    } else if (str_eq(word, STR("journal"))) {
        expect_number(p, STEP_JOURNAL);
    } else if (str_eq(word, STR("message")) || str_eq(word, STR("log"))) {
        expect_text(p, word.p[0] == 'm');
    } else if (str_eq(word, STR("counter"))) {
        expect_counter(p);
    } else {
        parser_complain(p, word, "accept, reject, tempfail, none, shadow, fact, end, delivered, journal, message, log, counter",
                        "cannot expect '%.*s'", STR_ARG(word));
    }
}
