/*
 * cli.c - from argv to a command: dispatch, options by getopt_long(3), and what is said when they are wrong.
 */
#include "cli.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

const struct cli_command cli_commands[] = {
#define COMMAND(nm, usg, smmry) {#nm, usg, smmry, command_##nm},
#include "commands.def"
};
const size_t cli_command_count = sizeof cli_commands / sizeof cli_commands[0];

const struct cli_command_option cli_options[] = {
#define OPTION(cmmnd, ident, nm, argmnt, hlp) {#cmmnd, nm, argmnt, hlp, OPTION_##ident},
#include "commands.def"
};
const size_t cli_option_count = sizeof cli_options / sizeof cli_options[0];

const char *cli_operands_help(const struct cli_command *c)
{
#define OPERANDS(command, help) if (strcmp(c->name, #command) == 0) return help;
#include "commands.def"
    return NULL;
}

void cli_print(FILE *to, struct buf *b)
{
    if (b->n > 0)
        fwrite(b->p, 1, b->n, to);
    buf_free(b);
}

static void say(const struct cli_args *a, const char *format, va_list args)
{
    struct buf text = {0};
    buf_printf(&text, a->command ? "postern %s: " : "postern: ", a->command ? a->command->name : "");
    buf_vprintf(&text, format, args);
    buf_char(&text, '\n');
    cli_print(stderr, &text);
}

int cli_wrong(const struct cli_args *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(a, format, args);
    va_end(args);
    if (a->command)
        fprintf(stderr, "`postern %s --help` says how to use it\n", a->command->name);
    else
        fputs("`postern --help` says what there is\n", stderr);
    return EXIT_USAGE;
}

int cli_failed(const struct cli_args *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(a, format, args);
    va_end(args);
    return EXIT_WRONG;
}

/* ---- options ---- */

static bool is_option_of(const struct cli_command_option *o, const struct cli_command *c)
{
    return strcmp(o->command, c->name) == 0;
}

static struct option *long_options(const struct cli_command *c)
{
    struct option *longs = xcalloc(cli_option_count + 2, sizeof *longs);
    size_t n = 0;
    for (size_t i = 0; i < cli_option_count; i++) {
        const struct cli_command_option *o = &cli_options[i];
        if (is_option_of(o, c))
            longs[n++] = (struct option){o->name, o->argument ? required_argument : no_argument, NULL, 256 + o->id};
    }
    longs[n] = (struct option){"help", no_argument, NULL, 'h'};
    return longs;
}

static enum cli_option leave(struct cli_args *a, int status)
{
    free(a->longs);
    a->longs = NULL;
    a->status = status;
    return CLI_EXIT;
}

/* Only the name of what was written: "--assum" of "--assum=x=y". */
static struct str written_name(const struct cli_args *a)
{
    struct str s = str_of(a->argv[optind - 1]);
    return str_sub(s, 0, str_find(s, '=', 0));
}

static enum cli_option unknown_option(struct cli_args *a)
{
    struct str word = written_name(a), names[32], near = STR_NONE;
    size_t n = 0;
    names[n++] = STR("help");
    for (size_t i = 0; i < cli_option_count; i++) {
        if (is_option_of(&cli_options[i], a->command) && n < sizeof names / sizeof names[0])
            names[n++] = str_of(cli_options[i].name);
    }
    if (optopt >= 256 || (optopt == 'h' && str_starts(word, STR("--"))))
        return leave(a, cli_wrong(a, "%.*s takes no value", STR_ARG(word)));
    if (optopt != 0)
        return leave(a, cli_wrong(a, "unknown option -%c", optopt));
    if (str_starts(word, STR("--")))
        near = str_suggest(str_sub(word, 2, word.n), names, n);
    if (near.p)
        return leave(a, cli_wrong(a, "unknown option %.*s; did you mean --%.*s?", STR_ARG(word), STR_ARG(near)));
    return leave(a, cli_wrong(a, "unknown option %.*s", STR_ARG(word)));
}

enum cli_option cli_next(struct cli_args *a)
{
    if (!a->begun) {
        a->begun = true;
        a->longs = long_options(a->command);
        optind = 0; /* glibc: begin anew */
        opterr = 0;
    }
    int found = getopt_long(a->argc, a->argv, ":h", a->longs, NULL);
    a->value = optarg;
    if (found >= 256)
        return (enum cli_option)(found - 256);
    if (found == 'h') {
        struct buf text = {0};
        help_command(a->command, &text);
        cli_print(stdout, &text);
        return leave(a, EXIT_OK);
    }
    if (found == ':')
        return leave(a, cli_wrong(a, "%.*s needs a value", STR_ARG(written_name(a))));
    if (found == '?')
        return unknown_option(a);
    a->operands = a->argv + optind;
    a->operand_count = (size_t)(a->argc - optind);
    if (a->operand_count > 0 && !cli_operands_help(a->command))
        return leave(a, cli_wrong(a, "unexpected '%s'", a->operands[0]));
    leave(a, EXIT_OK);
    return CLI_OPERANDS;
}

/* ---- dispatch ---- */

static int unknown_command(const char *word)
{
    struct cli_args none = {0};
    struct str names[sizeof cli_commands / sizeof cli_commands[0]];
    for (size_t i = 0; i < cli_command_count; i++)
        names[i] = str_of(cli_commands[i].name);
    struct str near = str_suggest(str_of(word), names, cli_command_count);
    if (word[0] == '-')
        return cli_wrong(&none, "unknown option %s; a command comes first", word);
    if (near.p)
        return cli_wrong(&none, "unknown command '%s'; did you mean '%.*s'?", word, STR_ARG(near));
    return cli_wrong(&none, "unknown command '%s'", word);
}

static int dispatch(int argc, char **argv)
{
    struct buf text = {0};
    if (argc < 2) {
        help_all(&text);
        cli_print(stderr, &text);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        help_all(&text);
        cli_print(stdout, &text);
        return EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("postern " POSTERN_VERSION);
        return EXIT_OK;
    }
    for (size_t i = 0; i < cli_command_count; i++) {
        if (strcmp(argv[1], cli_commands[i].name) == 0) {
            struct cli_args a = {.command = &cli_commands[i], .argc = argc - 1, .argv = argv + 1};
            return cli_commands[i].run(&a);
        }
    }
    return unknown_command(argv[1]);
}

int cli_main(int argc, char **argv)
{
    int status = dispatch(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fputs("postern: cannot write to standard output\n", stderr);
        return EXIT_WRONG;
    }
    return status;
}
