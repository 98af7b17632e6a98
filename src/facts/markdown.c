/*
 * markdown.c - the facts as documentation: the tables between the markers of policy/README.md, compared with it by a test.
 */
#include "postern/facts/facts.h"

static const char *const scope_says[STAGE_COUNT] = {
    [STAGE_CONNECT] = "lives as long as the connection",
    [STAGE_HELO] = "until the next EHLO or STARTTLS",
    [STAGE_MAIL] = "for one message",
    [STAGE_RCPT] = "for one recipient",
    [STAGE_DATA] = "for the content of one message",
};

static void fact_row(struct buf *out, const struct fact_info *info)
{
    buf_printf(out, "| `%.*s` | ", STR_ARG(info->name));
    struct str rest = info->values, word;
    bool first = true;
    while (info->type == FACT_WORD && str_split(&rest, ' ', &word)) {
        buf_printf(out, "%s`%.*s`", first ? "" : ", ", STR_ARG(word));
        first = false;
    }
    if (info->type != FACT_WORD)
        buf_cstr(out, fact_type_names[info->type]);
    buf_cstr(out, " | ");
    buf_str(out, info->help);
    if (info->flags & FACT_SNAPSHOT)
        buf_cstr(out, " (the value of the moment)");
    if (info->flags & FACT_ALSO_DATA)
        buf_cstr(out, " (readable in stage data too)");
    if (info->flags & FACT_KEY)
        buf_cstr(out, " (rates may be counted by it)");
    if (info->deadline.n)
        buf_printf(out, "; without an answer in time `%.*s`", STR_ARG(info->deadline));
    buf_cstr(out, " |\n");
}

void facts_markdown(struct buf *out)
{
    struct schema *schema = schema_new();
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        buf_printf(out, "%sFrom stage `%s` (%s):\n\n| fact | values | what it says |\n|---|---|---|\n", stage ? "\n" : "",
                   stage_names[stage], scope_says[stage]);
        for (int id = 0; id < FACT_COUNT; id++) {
            const struct fact_info *info = schema_fact(schema, id);
            if (info->stage == (enum stage)stage)
                fact_row(out, info);
        }
    }
    schema_unref(&schema);
}
