/*
 * cases.c - reading *.cases. A case is judged when the next begins or the file ends, so that nothing of it outlives it.
 */
#include "cases_internal.h"

#include "postern/ops/config.h"
#include "postern/policy/policy.h"

#include <stdlib.h>
#include <string.h>

struct reading {
    const struct sim_options *options;
    const struct source *source;
    struct cases_totals *totals;
    struct settings settings;
    struct policy *common_policy, *own_policy; /* own: of the present case */
    struct policy_case now;
    bool in_case;
    struct buf complaints;      /* of the present case, or of what stands before the first */
    size_t next;
    unsigned line_number;
    struct str line;
};

static void add(struct givens *g, unsigned line, struct str name, struct str value)
{
    g->list = xrealloc(g->list, (g->count + 1) * sizeof *g->list);
    g->list[g->count++] = (struct given){line, name, value};
}

static void complain(struct reading *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void complain(struct reading *r, const char *format, ...)
{
    va_list args;
    buf_printf(&r->complaints, "%s:%u: ", r->source->name, r->line_number);
    va_start(args, format);
    buf_vprintf(&r->complaints, format, args);
    va_end(args);
    buf_char(&r->complaints, '\n');
}

static bool next_line(struct reading *r)
{
    struct str all = {r->source->text, r->source->n};
    if (r->next >= all.n)
        return false;
    size_t end = str_find(all, '\n', r->next);
    r->line = str_trim(str_sub(all, r->next, end));
    if (r->line.n > 0 && r->line.p[r->line.n - 1] == '\r')
        r->line.n--;
    r->next = end + 1;
    r->line_number++;
    return true;
}

static void case_end(struct reading *r)
{
    if (r->in_case && r->complaints.n == 0) {
        r->now.policy = r->own_policy ? r->own_policy : r->common_policy;
        if (!r->now.policy)
            complain(r, "case %.*s has no policy", STR_ARG(r->now.name));
        else
            case_judge(&r->now);
    }
    bool named = r->in_case && r->options->only && !str_glob(str_of(r->options->only), r->now.name);
    bool failed = r->complaints.n > 0;
    if (!named && (r->in_case || failed)) {
        FILE *out = r->options->out;
        r->totals->passed += !failed;
        r->totals->failed += failed;
        if (failed)
            fwrite(r->complaints.p, 1, r->complaints.n, out);
        else if (r->options->verbose)
            fprintf(out, "%s: case %.*s: passed\n", r->source->name, STR_ARG(r->now.name));
    }
    buf_clear(&r->complaints);
    policy_unref(&r->own_policy);
    r->now.facts.count = r->now.expects.count = 0;
    r->in_case = false;
}

static void read_policy(struct reading *r, struct str rest)
{
    struct arena arena = {0};
    struct diags diags = {0};
    struct str name = rest, body;
    bool block = rest.n == 0;
    unsigned first = r->line_number + 1;
    size_t start = r->next;
    if (block) {
        bool ended = false;
        while (!ended && next_line(r))
            ended = str_eq(r->line, STR("end"));
        body = (struct str){r->source->text + start, (size_t)(r->line.p - r->source->text) - start};
        if (!ended)
            complain(r, "a policy without `end`");
    } else if (rest.p[0] == '"' && (!quoted_parse(&rest, &arena, &name) || str_trim(rest).n > 0)) {
        complain(r, "expected policy \"PATH\"");
    }
    struct policy *p = script_policy(r->source, name, block ? &body : NULL, first, &r->settings, &diags);
    if (!p) {
        complain(r, "the policy cannot be loaded");
        diag_print(&diags, &r->complaints);
    }
    struct policy **where = r->in_case ? &r->own_policy : &r->common_policy;
    policy_unref(where);
    *where = p;
    diag_clear(&diags);
    arena_clear(&arena);
}

static void read_setting(struct reading *r, struct str setting)
{
    struct diags diags = {0};
    struct buf text = {0};
    if (r->in_case) {
        complain(r, "settings stand before the first case");
        return;
    }
    for (unsigned i = 1; i < r->line_number; i++)
        buf_char(&text, '\n');
    buf_str(&text, setting);
    buf_char(&text, '\n');
    struct source *line = source_new(r->source->name, buf_view(&text));
    if (!config_set(&r->settings, &source_files, line, &diags))
        diag_print(&diags, &r->complaints);
    source_free(&line);
    buf_free(&text);
    diag_clear(&diags);
}

static void read_line(struct reading *r)
{
    struct str rest = r->line, word;
    if (r->line.n == 0 || r->line.p[0] == '#' || !word_take(&rest, &word))
        return;
    rest = str_trim(rest);
    if (str_eq(word, STR("case"))) {
        case_end(r);
        r->in_case = true;
        r->now.name = rest;
        r->now.line = r->line_number;
    } else if (str_eq(word, STR("policy"))) {
        read_policy(r, rest);
    } else if (str_eq(word, STR("set"))) {
        read_setting(r, rest);
    } else if (str_eq(word, STR("domains")) || str_eq(word, STR("hostname"))) {
        read_setting(r, r->line);
    } else if (str_eq(word, STR("expect"))) {
        if (r->in_case)
            add(&r->now.expects, r->line_number, word, rest);
        else
            complain(r, "expect stands in a case");
    } else {
        add(r->in_case ? &r->now.facts : &r->now.common, r->line_number, word, rest);
    }
}

void cases_run(const struct sim_options *options, const struct source *source, struct cases_totals *totals)
{
    struct reading r = {.options = options, .source = source, .totals = totals};
    r.now.source = source;
    r.now.settings = &r.settings;
    r.now.complaints = &r.complaints;
    settings_defaults(&r.settings);
    while (next_line(&r))
        read_line(&r);
    case_end(&r);
    policy_unref(&r.common_policy);
    settings_clear(&r.settings);
    buf_free(&r.complaints);
    free(r.now.common.list);
    free(r.now.facts.list);
    free(r.now.expects.list);
}
