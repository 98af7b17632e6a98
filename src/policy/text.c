/*
 * text.c - texts of replies and header fields: {fact}, {help} and {id} are filled in when they are spoken; "{{" stands for "{".
 *
 * Whatever the facts hold, what comes out is printable 7-bit text of bounded length: no line break, nothing a terminal obeys.
 */
#include "loader.h"

static void add_part(struct buf *parts, enum part_kind kind, int fact, struct str literal)
{
    struct text_part part = {kind, fact, literal};
    buf_put(parts, &part, sizeof(part));
}

/* {NAME} into a part. */
static bool add_named(struct loader *l, struct literal source, struct str name, enum stage stage, struct buf *parts)
{
    if (str_eq(name, STR("id"))) {
        add_part(parts, PART_ID, 0, STR_NONE);
        return true;
    }
    if (str_eq(name, STR("help"))) {
        add_part(parts, PART_HELP, 0, STR_NONE);
        if (!l->input->help.n && !l->help_missed) /* one word about the setting will do */
            diag_add(l->diags, DIAG_WARNING, source.span, "write in the configuration, for example: help \"postmaster@example.org\"", MSG_TEXT_HELP);
        l->help_missed = true;
        return true;
    }
    int fact = schema_find(l->policy->schema, name);
    if (fact < 0) {
        COMPLAIN(l, TEXT_NAME, source.span,
                 hint_meant(l, schema_suggest(l->policy->schema, name), "in braces stands a fact, help or id; write {{ for a brace"),
                 STR_ARG(name));
        return false;
    }
    add_part(parts, PART_FACT, fact, STR_NONE);
    return !check_stage_fact(l, schema_fact(l->policy->schema, fact), stage, source.span, NULL);
}

bool text_compile(struct loader *l, struct literal source, enum stage stage, struct text *out)
{
    struct str s = source.text;
    struct buf parts = {0};
    bool good = ascii_printable(s) && s.n <= TEXT_MAX;
    if (!ascii_printable(s))
        COMPLAIN(l, TEXT_BYTES, source.span, NULL);
    else if (!good)
        COMPLAIN(l, TEXT_LONG, source.span, NULL, TEXT_MAX);
    for (size_t at = 0; good && at < s.n;) {
        size_t brace = str_find(s, '{', at);
        if (brace > at)
            add_part(&parts, PART_LITERAL, 0, str_sub(s, at, brace));
        if (brace == s.n)
            break;
        if (brace + 1 < s.n && s.p[brace + 1] == '{') {
            add_part(&parts, PART_LITERAL, 0, STR("{"));
            at = brace + 2;
            continue;
        }
        size_t end = str_find(s, '}', brace);
        if (end == s.n) {
            COMPLAIN(l, TEXT_BRACE, source.span, "write {{ for a brace");
            good = false;
            break;
        }
        good = add_named(l, source, str_sub(s, brace + 1, end), stage, &parts);
        at = end + 1;
    }
    out->count = parts.n / sizeof(struct text_part);
    struct text_part *list = arena_alloc(l->arena, parts.n + 1);
    for (size_t i = 0; i < out->count; i++)
        list[i] = ((const struct text_part *)(const void *)parts.p)[i];
    out->parts = list;
    buf_free(&parts);
    return good;
}

static bool is_empty(const struct value *v)
{
    if (v->state != FACT_KNOWN)
        return v->state == FACT_ABSENT;
    return (v->type == FACT_ADDRS && !v->v.addrs.count) || (v->type == FACT_NAMES && !v->v.names.count);
}

static void put_fact(struct buf *out, struct text_values *values, int fact)
{
    if (fact == FACT_SCORE) {
        buf_printf(out, "%lld", (long long)values->score);
        return;
    }
    const struct value *v = values->look(values, fact);
    size_t before = out->n;
    if (v->state == FACT_ERROR || v->state == FACT_UNKNOWN)
        buf_cstr(out, "unavailable");
    else if (is_empty(v))
        buf_cstr(out, "none");
    else
        value_format(out, v);
    if (out->n - before > TEXT_FACT_MAX) {
        out->n = before + TEXT_FACT_MAX - 3;
        buf_cstr(out, "...");
    }
}

struct str text_render(const struct text *text, struct text_values *values, struct arena *arena)
{
    if (text->count == 1 && text->parts[0].kind == PART_LITERAL)
        return text->parts[0].literal;
    struct buf out = {0};
    for (size_t i = 0; i < text->count; i++) {
        const struct text_part *part = &text->parts[i];
        switch (part->kind) {
        case PART_LITERAL: buf_str(&out, part->literal); break;
        case PART_HELP: buf_str(&out, values->help); break;
        case PART_ID: buf_str(&out, values->id); break;
        case PART_FACT: put_fact(&out, values, part->fact); break;
        }
    }
    if (out.n > TEXT_MAX)
        out.n = TEXT_MAX;
    for (size_t i = 0; i < out.n; i++) {
        if (out.p[i] < 0x20 || out.p[i] > 0x7e)
            out.p[i] = '?';
    }
    struct str s = arena_str(arena, buf_view(&out));
    buf_free(&out);
    return s;
}
