/* How the program is called: help, versions, and what is said when it is called wrongly. */
#include "../cli/cli_call.h"
#include "source_tree.h"

#include <criterion/criterion.h>

static const struct { const char *arguments[6]; int status; const char *out, *error; } cases[] = {
    {{"--version"}, 0, "postern " POSTERN_VERSION "\n", ""},
    {{"--help"}, 0, "  explain   show every rule", ""},
    {{"-h"}, 0, "Usage: postern COMMAND", ""},
    {{"help"}, 0, "Usage: postern COMMAND", ""},
    {{"help", "run"}, 0, "Usage: postern run --config FILE\n", ""},
    {{"run", "--help"}, 0, "  --config FILE          the configuration file\n", ""},
    {{"explain", "-h"}, 0, "  --assume FACT=VALUE ", ""},
    {{"test", "--help"}, 0, "It takes: *.transcript", ""},
    {{NULL}, 2, "", "Usage: postern COMMAND"},
    {{"rnu"}, 2, "", "postern: unknown command 'rnu'; did you mean 'run'?\n"},
    {{"frobnicate"}, 2, "", "postern: unknown command 'frobnicate'\n`postern --help` says what there is\n"},
    {{"--config", "x"}, 2, "", "postern: unknown option --config; a command comes first\n"},
    {{"help", "frobnicate"}, 2, "", "unknown command 'frobnicate'"},
    {{"help", "run", "test"}, 2, "", "one command at a time"},
    {{"help", "--man", "postern.9"}, 2, "", "there is no manual page 'postern.9'"},
    {{"run"}, 2, "", "postern run: --config FILE is needed\n`postern run --help` says how to use it\n"},
    {{"run", "--confg", "x"}, 2, "", "postern run: unknown option --confg; did you mean --config?\n"},
    {{"run", "--config"}, 2, "", "postern run: --config needs a value\n"},
    {{"run", "--config", "x", "y"}, 2, "", "postern run: unexpected 'y'\n"},
    {{"run", "-x"}, 2, "", "postern run: unknown option -x\n"},
    {{"explain", "--json=yes"}, 2, "", "postern explain: --json takes no value\n"},
    {{"explain", "--help=yes"}, 2, "", "postern explain: --help takes no value\n"},
    {{"explain", "--zzzzzz"}, 2, "", "postern explain: unknown option --zzzzzz\n"},
    {{"check"}, 2, "", "--config FILE is needed"},
    {{"check", "--settings"}, 0, "  max-sessions               5000; 1 to 1000000\n", ""},
    {{"check", "--settings", "--markdown"}, 0, "| `max-sessions` | 5000 | 1 to 1000000 |", ""},
    {{"check", "--config", "/nonexistent/x"}, 1, "", "error: cannot read /nonexistent/x: No such file or directory\n/nonexistent/x: 1 error\n"},
    {{"run", "--config", "/nonexistent/x"}, 1, "", "error: cannot read /nonexistent/x: No such file or directory\n"},
    {{"test"}, 2, "", "name the files or directories to run"},
    {{"test", "/nonexistent/x"}, 1, "/nonexistent/x: No such file or directory\n0 passed, 1 failed\n", ""},
    {{"test", "/dev/null"}, 1, "/dev/null: neither a .transcript nor a .cases file\n", ""},
    {{"explain"}, 2, "", "--client IP is needed"},
    {{"explain", "--client", "192.0.2.1", "--journal", "x"}, 2, "", "--journal goes with --id"},
};

Test(cli, a_every_way_of_calling)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct called c = call_program(cases[i].arguments);
        const char *name = cases[i].arguments[0] ? cases[i].arguments[0] : "";
        cr_expect_eq(c.status, cases[i].status, "%zu %s: %d", i, name, c.status);
        cr_expect(cases[i].out[0] ? strstr(c.out, cases[i].out) != NULL : c.out[0] == '\0', "%zu %s prints\n%s", i, name, c.out);
        cr_expect(cases[i].error[0] ? strstr(c.error, cases[i].error) != NULL : c.error[0] == '\0', "%zu %s complains\n%s", i, name, c.error);
        called_clear(&c);
    }
}

Test(cli, b_every_option_is_in_its_command_s_help)
{
    for (size_t i = 0; i < cli_option_count; i++) {
        struct called c = CALL(cli_options[i].command, "--help");
        char option[64];
        snprintf(option, sizeof option, "  --%s ", cli_options[i].name);
        cr_expect(strstr(c.out, option), "%s %s", cli_options[i].command, option);
        called_clear(&c);
    }
}

/* Print it anew with: postern help --man PAGE > deploy/man/PAGE */
Test(cli, c_manual_pages_are_those_of_the_tables)
{
    static const char *const pages[] = {"postern.8", "postern.conf.5"};
    for (size_t i = 0; i < 2; i++) {
        struct called c = CALL("help", "--man", pages[i]);
        char name[64];
        snprintf(name, sizeof name, "deploy/man/%s", pages[i]);
        char *kept = read_from_tree(name);
        cr_expect_eq(c.status, 0);
        cr_expect(strcmp(c.out, kept) == 0, "deploy/man/%s is not what `postern help --man %s` prints", pages[i], pages[i]);
        free(kept);
        called_clear(&c);
    }
}
