/*
 * manual.c - the manual pages, from the same tables as the help: deploy/man/ holds what is printed here, and a test compares.
 */
#include <string.h>

#include "cli.h"
#include "postern/base/counters.h"
#include "postern/ops/config.h"

static void put_roff(struct buf *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        if (*c == '-')
            buf_cstr(out, "\\-");
        else if (*c == '\\')
            buf_cstr(out, "\\e");
        else if ((*c == '.' || *c == '\'') && (c == text || c[-1] == '\n'))
            buf_printf(out, "\\&%c", *c);
        else
            buf_char(out, *c);
    }
}

static void put_option(struct buf *out, const struct cli_command_option *o)
{
    buf_cstr(out, ".TP\n.B \\-\\-");
    put_roff(out, o->name);
    if (o->argument) {
        buf_cstr(out, " \\fI");
        put_roff(out, o->argument);
        buf_cstr(out, "\\fR");
    }
    buf_char(out, '\n');
    put_roff(out, o->help);
    buf_cstr(out, ".\n");
}

static void put_commands(struct buf *out)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct cli_command *c = &cli_commands[i];
        buf_printf(out, ".SS postern %s ", c->name);
        put_roff(out, c->usage);
        buf_char(out, '\n');
        put_roff(out, c->summary);
        buf_cstr(out, ".\n");
        if (cli_operands_help(c)) {
            buf_cstr(out, "It takes ");
            put_roff(out, cli_operands_help(c));
            buf_cstr(out, ".\n");
        }
        for (size_t k = 0; k < cli_option_count; k++) {
            if (strcmp(cli_options[k].command, c->name) == 0)
                put_option(out, &cli_options[k]);
        }
    }
}

static void put_counters(struct buf *out)
{
    for (size_t i = 0; i < COUNTER_COUNT; i++) {
        buf_cstr(out, ".TP\n.B ");
        put_roff(out, counter_names[i]);
        buf_char(out, '\n');
        put_roff(out, counter_help[i]);
        buf_cstr(out, ".\n");
    }
}

/* How a transaction ended: the first word of its line in the log, and "end" in the journal. */
static const struct { const char *word, *help; } ends[] = {
    {"delivered", "the mail server behind took it"},
    {"refused", "we refused the message for good, after the final dot"},
    {"deferred", "we refused it for now"},
    {"failed", "the mail server behind refused it, or was lost"},
    {"no-recipients", "every recipient was refused: by a rule, by us, or by the mail server behind"},
    {"reset", "the client gave it up (RSET)"},
    {"client-left", "the client closed the connection, or said QUIT though it had a recipient"},
    {"client-left-after-dot", "the mail server behind took it, and the client had gone before it could be told: it will send it again"},
};

static void put_log(struct buf *out)
{
    buf_cstr(out, ".SH LOG\n"
                  "A line an event: time, level, event, then name=value. A transaction has one when it is over: how it ended, \\fBid\\fR (in brackets behind\n"
                  "each refusal; \\fBpostern explain \\-\\-id\\fR takes it), client, helo, from, to, the \\fBrule\\fR that decided, the reply, milliseconds.\n");
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        buf_cstr(out, ".TP\n.B ");
        put_roff(out, ends[i].word);
        buf_char(out, '\n');
        put_roff(out, ends[i].help);
        buf_cstr(out, ".\n");
    }
    buf_cstr(out, ".PP\nWhere the connection was ended by us: timeout, errors, http, policy (421 or 521 of a rule), limit (no mail server\n"
                  "behind has answered yet), shutdown. A connection without a transaction has one line of its own: no\\-transaction. Of those whom a limit of\n"
                  "connections keeps out connection\\-refused names one a minute.\n"
                  ".SH COUNTERS\nSince the start; USR1 asks for them.\n");
    put_counters(out);
}

static void page_program(struct buf *out)
{
    buf_cstr(out, ".TH POSTERN 8 \"\" \"Postern " POSTERN_VERSION "\" \"System administration\"\n"
                  ".SH NAME\npostern \\- anti\\-spam filtering SMTP proxy\n"
                  ".SH SYNOPSIS\n.B postern\n.I command\n[\\fIoption\\fR]...\n.br\n.B postern \\-\\-version\n"
                  ".SH DESCRIPTION\n"
                  "Postern stands on port 25 in front of a real mail server, terminates the session, gathers evidence about the client and the\n"
                  "message, lets a readable policy decide, and forwards the mail or refuses it. It never owns a message: 250 after the final dot is\n"
                  "said only after the mail server behind said it.\n"
                  ".SH COMMANDS\n");
    put_commands(out);
    buf_cstr(out, ".SH SIGNALS\nOf \\fBpostern run\\fR.\n"
                  ".TP\n.B HUP\nThe policy and the shadow policy, the certificates and keys, the CA files of backends, and Redis's TLS files and password are read again, for connections from then on; what has errors is logged, and what runs stays. The journal is reopened. The configuration itself does not change: the log names the settings whose change needs a restart.\n"
                  ".TP\n.B USR1\nAll counters are written to the log.\n"
                  ".TP\n.B TERM, INT\nListeners close, idle clients are told 421, transactions finish, for at most drain\\-time. A second one stops at once.\n");
    put_log(out);
    buf_cstr(out, ".SH EXIT STATUS\n"
                  "0: it went well. 1: something is wrong (errors in a file, a port that is taken, failed tests). 2: it was called wrongly.\n"
                  ".SH FILES\n.TP\n.I postern.conf\nThe configuration, see \\fBpostern.conf\\fR(5); its path is always given.\n"
                  ".TP\n.I default.policy\nThe policy as shipped.\n"
                  ".SH SEE ALSO\n\\fBpostern.conf\\fR(5)\n");
}

static void page_config(struct buf *out)
{
    buf_cstr(out, ".TH POSTERN.CONF 5 \"\" \"Postern " POSTERN_VERSION "\" \"File formats\"\n"
                  ".SH NAME\npostern.conf \\- configuration of postern\n"
                  ".SH DESCRIPTION\n"
                  "One setting a line: its name, a space, its value. Lists are separated by commas, or the line is repeated. A comment runs from # to the\n"
                  "end of the line. A line that ends in \\e goes on in the next. Text with spaces stands in double quotes. Durations are written 500ms, 10s,\n"
                  "5m, 2h, 7d; sizes 512, 64K, 50M, 1G. Relative paths are as seen from the file.\n"
                  ".PP\nThe smallest useful one:\n.PP\n.nf\n.RS\n"
                  "hostname mx.example.org\ndomains  example.org, example.net\nlisten   *:25\nbackend  127.0.0.1:10025\n"
                  "resolver 127.0.0.1:53\npolicy   \"policy/default.policy\"\n.RE\n.fi\n"
                  ".PP\n\\fBpostern check \\-\\-config\\fR \\fIFILE\\fR says everything that is wrong with it.\n"
                  ".SH SETTINGS\n");
    config_reference_roff(out);
    buf_cstr(out, ".SH SEE ALSO\n\\fBpostern\\fR(8)\n");
}

bool manual_page(const char *name, struct buf *out)
{
    if (strcmp(name, "postern.8") == 0)
        page_program(out);
    else if (strcmp(name, "postern.conf.5") == 0)
        page_config(out);
    else
        return false;
    return true;
}
