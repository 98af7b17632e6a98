/*
 * cli.h - the program: its commands and their options as a table (commands.def), and what the commands share.
 *
 * A command reads its options with cli_next(), does its work and returns the exit status: 0 it went well, 1 it found something wrong (errors in a file,
 * failed tests, a port that is taken), 2 it was called wrongly.
 */
#ifndef POSTERN_CLI_CLI_H
#define POSTERN_CLI_CLI_H

#include <stdio.h>

#include "postern/base/settings.h"
#include "postern/dns/resolver.h"
#include "postern/policy/policy.h"

enum { EXIT_OK, EXIT_WRONG, EXIT_USAGE };

struct cli_args;
struct cli_command {
    const char *name, *usage, *summary;
    int (*run)(struct cli_args *a);
};
struct cli_command_option {
    const char *command, *name, *argument, *help;
    int id;
};
extern const struct cli_command cli_commands[];
extern const size_t cli_command_count;
extern const struct cli_command_option cli_options[];
extern const size_t cli_option_count;
const char *cli_operands_help(const struct cli_command *c); /* help; NULL: it takes none */

enum cli_option {
#define OPTION(command, id, name, argument, help) OPTION_##id,
#include "commands.def"
    CLI_OPERANDS, /* no more options */
    CLI_EXIT      /* help was given or an error said: return a->status */
};

/* One call of one command. argv[0] is the command's name. */
struct cli_args {
    const struct cli_command *command;
    int argc;
    char **argv;
    int status;
    const char *value;    /* of the option just read */
    char **operands;      /* set with CLI_OPERANDS */
    size_t operand_count;
    struct option *longs; /* heap, made by the first cli_next() and freed by the last */
    bool begun;
};

int cli_main(int argc, char **argv);
enum cli_option cli_next(struct cli_args *a);
/* "postern run: ..." on stderr, how to get help; the exit status for it. */
int cli_wrong(const struct cli_args *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same without advice on usage; status 1. */
int cli_failed(const struct cli_args *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints b, which it frees. */
void cli_print(FILE *to, struct buf *b);

#define COMMAND(name, usage, summary) int command_##name(struct cli_args *a);
#include "commands.def"

/* --- help.c, manual.c --- */
void help_all(struct buf *out);
void help_command(const struct cli_command *c, struct buf *out);
bool manual_page(const char *name, struct buf *out); /* "postern.8", "postern.conf.5"; false: no such page */

/* --- load.c: files that several commands read --- */
/* The policy that s names; NULL with complaints in diags. */
struct policy *load_policy(const struct settings *s, struct diags *diags);
/* The shadow policy that s names, NULL when it names none. False: it has errors. */
bool load_shadow(const struct settings *s, struct policy **out, struct diags *diags);
/* The certificates as the files are now, for one that s names at least; NULL with *error (heap). tickets_of: the context before, or NULL. */
struct tls_context *load_certificates(const struct settings *s, uint64_t now_ms, const struct tls_context *tickets_of, char **error);
/* Path of the policy as shipped: next to the program in a build tree or an installation, else where it was installed to or built from; heap; NULL: none. */
char *load_default_policy_path(void);
/* What was complained of, to stderr. */
void load_complain(const struct diags *diags);
/* The servers to ask: those of the settings, else of /etc/resolv.conf, else 127.0.0.1:53. Returns how many; out has room for 16. */
enum { LOAD_SERVERS_MAX = 16 };
size_t load_servers(const struct settings *s, struct addr_port out[LOAD_SERVERS_MAX]);
struct resolver *load_resolver(struct loop *l, const struct settings *s, const struct addr_port *servers, size_t count);

#endif
