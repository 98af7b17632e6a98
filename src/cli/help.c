/*
 * help.c - `postern help`, `--help`, and `postern help --man` for those who package it.
 */
#include <string.h>

#include "cli.h"

void help_all(struct buf *out)
{
    buf_cstr(out, "Postern stands on port 25 in front of a mail server, gathers evidence, and lets a readable policy decide.\n\n"
                  "Usage: postern COMMAND [OPTION]...\n       postern --version\n\nCommands:\n");
    for (size_t i = 0; i < cli_command_count; i++)
        buf_printf(out, "  %-9s %s\n", cli_commands[i].name, cli_commands[i].summary);
    buf_cstr(out, "\n`postern COMMAND --help` says how to use a command.\n");
}

void help_command(const struct cli_command *c, struct buf *out)
{
    buf_printf(out, "Usage: postern %s %s\n\n%s\n", c->name, c->usage, c->summary);
    if (cli_operands_help(c))
        buf_printf(out, "\nIt takes: %s\n", cli_operands_help(c));
    buf_cstr(out, "\nOptions:\n");
    for (size_t i = 0; i < cli_option_count; i++) {
        const struct cli_command_option *o = &cli_options[i];
        if (strcmp(o->command, c->name) != 0)
            continue;
        struct buf name = {0};
        buf_printf(&name, "--%s%s%s", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
        buf_printf(out, "  %-22.*s %s\n", STR_ARG(buf_view(&name)), o->help);
        buf_free(&name);
    }
    buf_printf(out, "  %-22s %s\n", "--help", "this text");
}

static const struct cli_command *find(const char *name)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        if (strcmp(cli_commands[i].name, name) == 0)
            return &cli_commands[i];
    }
    return NULL;
}

int command_help(struct cli_args *a)
{
    const char *page = NULL;
    enum cli_option option;
    while ((option = cli_next(a)) != CLI_OPERANDS) {
        if (option == CLI_EXIT)
            return a->status;
        page = a->value;
    }
    struct buf text = {0};
    if (a->operand_count > 1)
        return cli_wrong(a, "one command at a time");
    if (page && !manual_page(page, &text))
        return cli_wrong(a, "there is no manual page '%s'; there are postern.8 and postern.conf.5", page);
    const struct cli_command *c = a->operand_count == 1 ? find(a->operands[0]) : NULL;
    if (a->operand_count == 1 && !c)
        return cli_wrong(a, "unknown command '%s'", a->operands[0]);
    if (c)
        help_command(c, &text);
    else if (!page)
        help_all(&text);
    cli_print(stdout, &text);
    return EXIT_OK;
}
