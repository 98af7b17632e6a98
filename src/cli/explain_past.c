/*
 * explain_past.c - `postern explain --id`: what the journal holds of a transaction, in words, and what the policy of now would say of it.
 *
 * A client that is refused has the id in brackets behind the reply. A journal is read from its beginning to its end, line by line; a file that rotation
 * has put aside is named with --journal, a compressed one comes from standard input.
 */
#include "explain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "postern/base/codec.h"
#include "postern/decide/record.h"
#include "postern/decide/record_text.h"
#include "postern/ops/config.h"

struct past {
    const struct explain_options *options;
    const struct cli_args *args;
    struct settings settings;
    struct policy *policy; /* of now, where a configuration names it; NULL: nothing to compare with */
    struct policy *shadow; /* likewise */
    struct str id;         /* without brackets */
    struct buf out;
    size_t found;
};

/* ---- what is asked ---- */

/* As it is copied from a log or a bounce: "[Y6TYDSPVE3.1]", with white space around it perhaps. */
static struct str bare_id(const char *text)
{
    struct str id = str_trim(str_of(text));
    if (id.n > 0 && id.p[0] == '[')
        id = str_sub(id, 1, id.n);
    if (id.n > 0 && id.p[id.n - 1] == ']')
        id = str_sub(id, 0, id.n - 1);
    return id;
}

static int read_wish(struct past *p)
{
    const struct explain_options *o = p->options;
    p->id = bare_id(o->id);
    if (o->client || o->helo || o->from || o->message || o->time || o->to_count + o->assume_count + o->resolver_count > 0)
        return cli_wrong(p->args, "--id tells of what was: only --config, --journal and --json go with it");
    if (p->id.n == 0 || !ascii_printable(p->id))
        return cli_wrong(p->args, "--id: '%s' is not what stands in brackets behind a refusal, or as id= in the log", o->id);
    if (!o->config && o->journal_count == 0)
        return cli_wrong(p->args, "--id needs --config FILE, whose journal is read, or --journal FILE");
    return EXIT_OK;
}

static int read_configuration(struct past *p)
{
    struct diags diags = {0};
    if (!p->options->config)
        return EXIT_OK;
    bool good = config_load(p->options->config, &source_files, &p->settings, &diags);
    if (good)
        p->policy = load_policy(&p->settings, &diags);
    if (!p->policy || !load_shadow(&p->settings, &p->shadow, &diags)) /* a shadow with errors has nothing to say, and is said */
        load_complain(&diags);
    diag_clear(&diags);
    if (good && p->options->journal_count == 0 && p->settings.journal.n == 0)
        return cli_failed(p->args, "%s names no journal: nothing was kept; set `journal FILE`", p->options->config);
    return p->policy ? EXIT_OK : EXIT_WRONG;
}

/* ---- what was ---- */

static void compare(struct past *p, const char *which, struct policy *policy, struct str line, struct arena *arena)
{
    if (!policy)
        return;
    struct record_judgement j = record_judge(line, policy, arena);
    buf_printf(&p->out, "\nBy the %spolicy of now, %s (%s%s)\n  ", which, policy_path(policy), policy_digest(policy), j.same_policy ? ", the same" : "");
    if (!j.readable)
        buf_printf(&p->out, "not to be judged: %.*s\n", STR_ARG(j.why));
    else if (j.same)
        buf_printf(&p->out, "%.*s, for the same reasons\n", STR_ARG(j.now));
    else
        buf_printf(&p->out, "was %.*s, now %.*s; first difference: %.*s\n", STR_ARG(j.was), STR_ARG(j.now), STR_ARG(j.why));
}

static void take_line(struct past *p, struct str line)
{
    struct arena arena = {0};
    struct str why = STR_NONE;
    if (record_has_id(line, p->id, &arena)) {
        if (p->found++ > 0 && !p->options->json)
            buf_cstr(&p->out, "\n----\n\n");
        if (p->options->json)
            buf_printf(&p->out, "%.*s\n", STR_ARG(line));
        else if (!record_text(line, &arena, &p->out, &why))
            buf_printf(&p->out, "(a line that cannot be read: %.*s)\n", STR_ARG(why));
        if (!p->options->json && !why.n) {
            compare(p, "", p->policy, line, &arena);
            compare(p, "shadow ", p->shadow, line, &arena);
        }
    }
    arena_clear(&arena);
}

static int read_journal(struct past *p, const char *path)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *f = standard ? stdin : fopen(path, "r");
    char *line = NULL, *id = xstrndup(p->id.p, p->id.n);
    size_t room = 0;
    ssize_t n;
    if (!f) {
        free(id);
        return cli_failed(p->args, "cannot read the journal %s: %s", path, strerrordesc_np(errno));
    }
    errno = 0;
    while ((n = getline(&line, &room, f)) > 0) {
        size_t length = line[n - 1] == '\n' ? (size_t)n - 1 : (size_t)n;
        if (strcasestr(line, id)) /* most lines need not be parsed */
            take_line(p, (struct str){line, length});
    }
    int status = ferror(f) ? cli_failed(p->args, "cannot read the journal %s: %s", path, strerrordesc_np(errno)) : EXIT_OK;
    free(line);
    free(id);
    if (!standard)
        fclose(f);
    return status;
}

static int read_journals(struct past *p)
{
    const struct explain_options *o = p->options;
    int status = EXIT_OK;
    if (o->journal_count == 0)
        status = read_journal(p, p->settings.journal.p); /* texts of settings end in NUL */
    for (size_t i = 0; i < o->journal_count && status == EXIT_OK; i++)
        status = read_journal(p, o->journal[i]);
    if (status != EXIT_OK || p->found > 0)
        return status;
    return cli_failed(p->args, "no record of %.*s in %s. A record is written when its transaction is over. Of an older file: --journal FILE, or "
                      "`zcat FILE | postern explain --id %.*s --journal -`", STR_ARG(p->id), o->journal_count ? o->journal[0] : p->settings.journal.p,
                      STR_ARG(p->id));
}

int explain_past(const struct cli_args *args, const struct explain_options *options)
{
    struct past p = {.args = args, .options = options};
    settings_defaults(&p.settings);
    int status = read_wish(&p);
    if (status == EXIT_OK && (status = read_configuration(&p)) == EXIT_OK)
        status = read_journals(&p);
    cli_print(stdout, &p.out);
    policy_unref(&p.policy);
    policy_unref(&p.shadow);
    settings_clear(&p.settings);
    return status;
}
