/*
 * check.c - `postern check`: everything that would keep `postern run` from running, at once; and advice on the unwise.
 *
 * The policy is read even when the configuration has errors, as long as it is known which one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "postern/base/clock.h"
#include "postern/base/codec.h"
#include "postern/net/tls.h"
#include "postern/ops/config.h"
#include "postern/store/open.h"

static int print_settings(bool markdown)
{
    struct buf text = {0};
    config_reference(&text, markdown);
    cli_print(stdout, &text);
    return EXIT_OK;
}

static void expect_access(struct diags *diags, const char *path, int mode, const char *what)
{
    if (access(path, mode) == 0)
        return;
    const char *hint = errno == ENOENT ? "make it, writable for the user that Postern runs as" : "let the user that Postern runs as, and this check, do so";
    diag_add(diags, DIAG_ERROR, (struct span){0}, hint, "%s %s: %s", what, path, strerrordesc_np(errno));
}

static void check_journal(const char *path, struct diags *diags)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        diag_add(diags, DIAG_ERROR, (struct span){0}, "write the name of a file in it", "journal: %s is a directory", path);
        return;
    }
    if (access(path, F_OK) == 0) {
        expect_access(diags, path, W_OK, "journal: cannot write to");
        return;
    }
    const char *slash = strrchr(path, '/');
    char *directory = slash ? xstrndup(path, slash > path ? (size_t)(slash - path) : 1) : xstrndup(".", 1);
    expect_access(diags, directory, W_OK | X_OK, "journal: cannot make it in");
    free(directory);
}

/* Where Postern writes. */
static void check_places(const struct settings *s, struct diags *diags)
{
    expect_access(diags, s->spool_directory.p, W_OK | X_OK, "spool-directory: cannot write to"); /* texts of settings end in NUL */
    char *error = NULL;
    if (!store_settings_good(s, &error))
        diag_add(diags, DIAG_ERROR, (struct span){0}, NULL, "%s", error);
    free(error);
    if (s->journal.n > 0)
        check_journal(s->journal.p, diags);
}

static void advise_store(const struct settings *s, struct diags *diags)
{
    char *why = NULL;
    if (s->store == STORE_SQLITE && s->store_path.n == 0 && !store_default_good(&why))
        diag_add(diags, DIAG_ADVICE, (struct span){0}, "make the directory, writable for the user that Postern runs as, or set store-path",
                 "%s: greylist, marks, rates and history will be lost when the process ends", why);
    free(why);
    const char *trouble = store_file_trouble(s);
    if (trouble)
        diag_add(diags, DIAG_WARNING, (struct span){0}, "move it away, or name another file", "store-path: %s: %s: mail will go on without greylist, marks, "
                 "rates and history", s->store_path.n ? s->store_path.p : STORE_DEFAULT_PATH, trouble);
}

/* The certificates shown to clients, and the CAs that those of backends must lead to. */
static void check_certificates(const struct settings *s, struct diags *diags)
{
    enum { SOON_DAYS = 14 };
    struct clock now;
    char *error = NULL, when[RFC3339_TEXT];
    clock_real(&now);
    struct tls_context *c = s->certificate_count ? load_certificates(s, now.wall_ms, NULL, &error) : NULL;
    if (error)
        diag_add(diags, DIAG_ERROR, (struct span){0}, strstr(error, strerrordesc_np(EACCES)) ? "let the user that Postern runs as read it, and nobody else" : NULL,
                 "certificate: %s", error);
    else if (c && tls_context_expires(c) < now.wall_ms)
        diag_add(diags, DIAG_WARNING, (struct span){0}, "clients that verify it will not deliver", "certificate: one ended at %s",
                 time_rfc3339(tls_context_expires(c), when));
    else if (c && tls_context_expires(c) < now.wall_ms + SOON_DAYS * 86400000ull)
        diag_add(diags, DIAG_ADVICE, (struct span){0}, NULL, "certificate: one ends at %s", time_rfc3339(tls_context_expires(c), when));
    tls_context_free(&c);
    free(error);
    for (size_t i = 0; i < s->backend_count; i++) {
        struct tls_client_options options = {.verify = TLS_VERIFY_NAME, .ca_file = s->backends[i].tls_ca.p};
        error = NULL;
        c = s->backends[i].tls_ca.n ? tls_context_client(&options, &error) : NULL;
        if (error)
            diag_add(diags, DIAG_ERROR, (struct span){0}, NULL, "backend: ca: %s", error);
        tls_context_free(&c);
        free(error);
    }
}

static bool has_rules(const struct policy *p)
{
    for (enum stage stage = 0; stage < STAGE_COUNT; stage++)
        if (policy_rule_count(p, stage) > 0)
            return true;
    return false;
}

static struct fact_bits needs_of(const struct policy *p)
{
    struct fact_bits all = {{0}};
    for (enum stage stage = 0; stage < STAGE_COUNT; stage++) {
        struct fact_bits needs = policy_needs(p, stage, true);
        for (size_t w = 0; w < sizeof all.word / sizeof *all.word; w++)
            all.word[w] |= needs.word[w];
    }
    return all;
}

static bool reads_any(const struct fact_bits *needs, const int *facts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fact_bit(needs, facts[i]))
            return true;
    return false;
}

/* A shadow writes nothing: what nobody writes for it stays as it is at first. */
static void advise_shadow(const struct policy *policy, const struct policy *shadow, struct diags *diags)
{
    static const int greylist[] = {FACT_GREYLIST_AGE, FACT_GREYLIST_KNOWN, FACT_GREYLIST_KEY},
                     history[] = {FACT_HISTORY_PASSED, FACT_HISTORY_REFUSED, FACT_HISTORY_FIRST};
    struct fact_bits reads = needs_of(shadow), applied = needs_of(policy);
    if (strcmp(policy_digest(policy), policy_digest(shadow)) == 0)
        diag_add(diags, DIAG_ADVICE, (struct span){0}, NULL, "shadow-policy: it says the same as the policy: nothing will differ");
    if (reads_any(&reads, greylist, 3) && !reads_any(&applied, greylist, 3))
        diag_add(diags, DIAG_ADVICE, (struct span){0}, "what it says of first contacts is true; that they would have come back is not to be seen",
                 "shadow-policy: it greylists and the policy does not: to it every contact is the first");
    if (reads_any(&reads, history, 3) && !reads_any(&applied, history, 3))
        diag_add(diags, DIAG_ADVICE, (struct span){0}, "let a monitor rule of the policy read it",
                 "shadow-policy: it reads history.*, which is recorded only while the policy reads it");
    for (size_t i = 0; i < policy_declaration_count(shadow); i++) {
        const struct declaration *d = policy_declaration(shadow, i);
        if (d->kind != DECLARE_MARK || d->fact < 0 || !fact_bit(&reads, d->fact))
            continue;
        struct str name = schema_fact(policy_schema(shadow), d->fact)->name;
        if (schema_find(policy_schema(policy), name) < 0)
            diag_add(diags, DIAG_ADVICE, (struct span){0}, "a shadow marks nobody",
                     "shadow-policy: it reads %.*s, and no rule of the policy marks anybody so", STR_ARG(name));
    }
}

static int check(const char *path)
{
    struct settings s;
    struct diags config = {0}, policy = {0}, shadow_says = {0};
    struct policy *shadow;
    bool good = config_load(path, &source_files, &s, &config);
    check_places(&s, &config);
    check_certificates(&s, &config);
    if (good) {
        config_advise(&s, &config);
        advise_store(&s, &config);
    }
    struct policy *p = s.policy.n > 0 ? load_policy(&s, &policy) : NULL;
    if (p && !has_rules(p))
        diag_add(&policy, DIAG_ADVICE, (struct span){0}, "policy/default.policy is one to begin with",
                 "policy: it has no rules: all mail for our domains goes on");
    load_shadow(&s, &shadow, &shadow_says);
    if (p && shadow)
        advise_shadow(p, shadow, &shadow_says);
    load_complain(&config);
    load_complain(&policy);
    load_complain(&shadow_says);
    size_t errors = config.errors + policy.errors + shadow_says.errors, warnings = config.warnings + policy.warnings + shadow_says.warnings;
    if (errors > 0)
        fprintf(stderr, "%s: %zu error%s\n", path, errors, errors == 1 ? "" : "s");
    else
        printf("%s: good%s\n", path, warnings > 0 ? ", with warnings" : "");
    policy_unref(&p);
    policy_unref(&shadow);
    diag_clear(&config);
    diag_clear(&policy);
    diag_clear(&shadow_says);
    settings_clear(&s);
    return errors > 0 ? EXIT_WRONG : EXIT_OK;
}

int command_check(struct cli_args *a)
{
    const char *config = NULL;
    bool settings = false, markdown = false;
    enum cli_option option;
    while ((option = cli_next(a)) != CLI_OPERANDS) {
        switch (option) {
        case OPTION_CHECK_CONFIG: config = a->value; break;
        case OPTION_CHECK_SETTINGS: settings = true; break;
        case OPTION_CHECK_MARKDOWN: markdown = true; break;
        default: return a->status;
        }
    }
    if (settings)
        return print_settings(markdown);
    if (!config)
        return cli_wrong(a, "--config FILE is needed");
    return check(config);
}
