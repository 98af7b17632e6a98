/*
 * config_reference.c - settings.def for people: text for terminals, Markdown for the README, roff for the man page. Nothing is written twice.
 */
#include "postern/ops/config.h"

#include "config_table.h"

#include <string.h>

/* "5m; 1s to 1h", "none; list", "required; path" */
static void put_facts(const struct setting_row *row, struct buf *out, const char *between)
{
    if (strstr(row->help, "; required"))
        buf_cstr(out, "required");
    else
        setting_default(row, out);
    buf_cstr(out, between);
    setting_range(row, out);
}

/* The help without its trailing "; required", which the default says. */
static struct str help_of(const struct setting_row *row)
{
    const char *required = strstr(row->help, "; required");
    return required ? (struct str){row->help, (size_t)(required - row->help)} : str_of(row->help);
}

static bool begins_group(size_t i)
{
    return i == 0 || strcmp(setting_rows[i].group, setting_rows[i - 1].group) != 0;
}

static void text_reference(struct buf *out)
{
    for (size_t i = 0; i < setting_row_count; i++) {
        const struct setting_row *row = &setting_rows[i];
        if (begins_group(i))
            buf_printf(out, "%s%s\n", i ? "\n" : "", row->group);
        struct buf facts = {0};
        put_facts(row, &facts, "; ");
        buf_printf(out, "  %-26s %.*s\n", row->name, STR_ARG(buf_view(&facts)));
        buf_printf(out, "  %-26s %.*s\n", "", STR_ARG(help_of(row)));
        buf_free(&facts);
    }
}

static void put_cell(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '|')
            buf_char(out, '\\');
        buf_char(out, s.p[i]);
    }
}

static void markdown_reference(struct buf *out)
{
    for (size_t i = 0; i < setting_row_count; i++) {
        const struct setting_row *row = &setting_rows[i];
        if (begins_group(i))
            buf_printf(out, "%s**%s**\n\n| setting | default | values | what |\n|---|---|---|---|\n", i ? "\n" : "", row->group);
        buf_printf(out, "| `%s` | ", row->name);
        put_facts(row, out, " | ");
        buf_cstr(out, " | ");
        put_cell(out, help_of(row));
        buf_cstr(out, " |\n");
    }
}

void config_reference(struct buf *out, bool markdown)
{
    if (markdown)
        markdown_reference(out);
    else
        text_reference(out);
}

static void put_roff(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '-')
            buf_cstr(out, "\\-");
        else if (s.p[i] == '\\')
            buf_cstr(out, "\\e");
        else if ((s.p[i] == '.' || s.p[i] == '\'') && i == 0)
            buf_printf(out, "\\&%c", s.p[i]);
        else
            buf_char(out, s.p[i]);
    }
}

void config_reference_roff(struct buf *out)
{
    for (size_t i = 0; i < setting_row_count; i++) {
        const struct setting_row *row = &setting_rows[i];
        struct buf facts = {0};
        if (begins_group(i))
            buf_printf(out, ".SS %s\n", row->group);
        buf_cstr(out, ".TP\n.B ");
        put_roff(out, str_of(row->name));
        buf_char(out, '\n');
        put_roff(out, help_of(row));
        buf_cstr(out, ".\nDefault: ");
        put_facts(row, &facts, "; values: ");
        put_roff(out, buf_view(&facts));
        buf_cstr(out, ".\n");
        buf_free(&facts);
    }
}
