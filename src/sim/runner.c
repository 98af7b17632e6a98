/*
 * runner.c - files and directories to scripts and cases, results to lines of text.
 */
#include "postern/sim/runner.h"

#include "cases.h"
#include "coverage.h"
#include "sweep.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Under LeakSanitizer: looks for leaks now and says whether there are any. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

struct runner {
    struct sim_options options;
    struct coverage coverage;
    size_t passed, failed, runs;
    bool leaked; /* found once; the same would be found again and again */
    size_t unchecked; /* transcripts since leaks were looked for */
};

enum { LEAK_CHECK_EVERY = 20 }; /* transcripts: looking for leaks takes as long as running ten */

/* For the watchdog: a loop that never settles would hang a test run without a word. */
static struct {
    const char *file;
    struct sweep_totals *sweep;
} present;

static void put_raw(const char *text)
{
    ssize_t n = write(STDERR_FILENO, text, strlen(text));
    (void)n;
}

static void hangs(int signo)
{
    (void)signo;
    put_raw(present.file ? present.file : "?");
    put_raw(": [");
    put_raw(present.sweep && present.sweep->present ? present.sweep->present : "?");
    put_raw("]: hangs (no end after 60 seconds)\n");
    abort();
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), e = strlen(end);
    return n > e && strcmp(name + n - e, end) == 0;
}

static void print_diags(struct runner *r, struct diags *diags)
{
    struct buf text = {0};
    diag_print(diags, &text);
    fwrite(text.p, 1, text.n, r->options.out);
    buf_free(&text);
}

/* Behind each batch of transcripts, and behind the last. */
static void look_for_leaks(struct runner *r, size_t batch)
{
    if (r->leaked || r->unchecked < batch || !__lsan_do_recoverable_leak_check)
        return;
    r->leaked = __lsan_do_recoverable_leak_check();
    r->failed += r->leaked;
    if (r->leaked)
        fprintf(r->options.out, "memory was leaked by the last %zu transcripts; each by itself shows which\n", r->unchecked);
    r->unchecked = 0;
}

static void run_transcript(struct runner *r, struct source *source)
{
    struct diags diags = {0};
    struct sweep_totals totals = {.coverage = &r->coverage};
    struct script *script = script_parse(source, &diags); /* takes the source */
    if (!script) {
        r->failed++;
        print_diags(r, &diags);
        diag_clear(&diags);
        return;
    }
    diag_clear(&diags);
    if (script->count == 0) { /* it could never fail */
        fprintf(r->options.out, "%s: it says nothing and expects nothing\n", present.file);
        r->failed++;
        script_free(&script);
        return;
    }
    present.sweep = &totals;
    bool ok = sweep_run(&r->options, script, &totals);
    present.sweep = NULL;
    script_free(&script);
    r->unchecked++;
    look_for_leaks(r, LEAK_CHECK_EVERY);
    r->runs += totals.runs;
    r->passed += ok;
    r->failed += !ok;
    if (ok && r->options.verbose)
        fprintf(r->options.out, "%s: passed, %zu runs\n", present.file, totals.runs);
}

static void run_file(struct runner *r, const char *path)
{
    const char *error = NULL;
    bool cases = ends_with(path, ".cases");
    if (!cases && !ends_with(path, ".transcript")) {
        fprintf(r->options.out, "%s: %s\n", path,
                access(path, F_OK) == 0 ? "neither a .transcript nor a .cases file" : strerrordesc_np(errno));
        r->failed++;
        return;
    }
    struct source *source = source_files.read(&source_files, path, &error);
    if (!source) {
        fprintf(r->options.out, "%s: %s\n", path, error);
        r->failed++;
        return;
    }
    present.file = path;
    if (cases) {
        struct cases_totals totals = {0};
        cases_run(&r->options, source, &totals);
        source_free(&source);
        r->passed += totals.passed;
        r->failed += totals.failed;
    } else {
        run_transcript(r, source);
    }
    present.file = NULL;
    fflush(r->options.out);
}

static int wanted(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static void run_path(struct runner *r, const char *path, bool given);

static void run_directory(struct runner *r, const char *path)
{
    struct dirent **names;
    int n = scandir(path, &names, wanted, alphasort);
    for (int i = 0; i < n; i++) {
        struct buf full = {0};
        buf_printf(&full, "%s%s%s", path, ends_with(path, "/") ? "" : "/", names[i]->d_name);
        char *text = buf_steal(&full);
        run_path(r, text, false);
        free(text);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

static void run_path(struct runner *r, const char *path, bool given)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        run_directory(r, path);
    else if (given || ends_with(path, ".cases") || ends_with(path, ".transcript"))
        run_file(r, path);
}

int sim_run(const struct sim_options *options, char *const *paths, size_t count)
{
    struct runner r = {.options = *options};
    struct sigaction before, watch = {.sa_handler = hangs};
    if (!r.options.out)
        r.options.out = stdout;
    sigaction(SIGALRM, &watch, &before);
    for (size_t i = 0; i < count; i++)
        run_path(&r, paths[i], true);
    sigaction(SIGALRM, &before, NULL);
    look_for_leaks(&r, 1);
    if (r.passed + r.failed == 0)
        fprintf(r.options.out, "no transcript and no case found\n");
    if (r.options.sweep)
        fprintf(r.options.out, "%zu runs\n", r.runs);
    size_t missing = r.options.coverage ? coverage_report(&r.coverage, r.options.out) : 0;
    fprintf(r.options.out, "%zu passed, %zu failed\n", r.passed, r.failed);
    return r.failed == 0 && r.passed > 0 && missing == 0 ? 0 : 1;
}
