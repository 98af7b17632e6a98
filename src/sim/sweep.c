/*
 * sweep.c - which perturbations a script gets: the plain run is counted (segments, replies, questions ...), then each of these is
 * disturbed in turn. Where there are very many points, every nth is taken.
 */
#include "sweep.h"

#include "postern/base/codec.h"
#include "coverage.h"
#include "run.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { POINTS_MAX = 40, FAILURES_SHOWN = 8, WATCHDOG_S = 60 };

struct sweep {
    const struct sim_options *options;
    const struct script *script;
    struct sweep_totals *totals;
    struct tally plain;
    struct str *verdicts;     /* of the plain run, heap */
    size_t verdict_count;
    size_t failed;
};

static int lowest_free_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd;
}

static void show(struct sweep *s, const struct run *r)
{
    FILE *out = s->options->out;
    s->failed++;
    s->totals->failed++;
    if (s->failed > FAILURES_SHOWN) {
        if (s->failed == FAILURES_SHOWN + 1)
            fprintf(out, "%s: more perturbed runs failed; --only NAME runs one\n", s->script->source->name);
        return;
    }
    if (r->how->name[0])
        fprintf(out, "%s: [%s]: ", s->script->source->name, r->how->name);
    fprintf(out, "%s\n", r->failure);
    if (s->options->verbose) {
        fprintf(out, "%.*s", STR_ARG(buf_view(&r->world.log)));
        for (size_t i = 0; i < r->world.record_count; i++)
            fprintf(out, "%.*s", STR_ARG(r->world.records[i]));
    }
}

static void fail(struct run *r, const char *text)
{
    if (!r->failure)
        r->failure = xstrndup(text, strlen(text));
}

static int compare_lines(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* What each record of a run that is over says, in the order of transactions; in the run's arena. */
static struct str *verdicts_of(struct run *r)
{
    struct world *w = &r->world;
    struct str *verdicts = arena_alloc(&w->arena, (w->record_count + 1) * sizeof *verdicts);
    for (size_t i = 0; i < w->record_count; i++)
        verdicts[i] = record_verdict_line(&w->arena, w->records[i], !r->how->shadow);
    qsort(verdicts, w->record_count, sizeof *verdicts, compare_lines);
    return verdicts;
}

/* Other pieces and another order of answers must not change what any record says. */
static void compare_verdicts(struct sweep *s, struct run *r)
{
    struct str *verdicts = verdicts_of(r);
    bool same = r->world.record_count == s->verdict_count;
    struct buf text = {0};
    for (size_t i = 0; same && i < s->verdict_count; i++) {
        same = str_eq(verdicts[i], s->verdicts[i]);
        if (!same)
            buf_printf(&text, "a record says %.*s, it was %.*s", STR_ARG(verdicts[i]), STR_ARG(s->verdicts[i]));
    }
    if (!same && text.n == 0)
        buf_printf(&text, "%zu records, there were %zu", r->world.record_count, s->verdict_count);
    if (!same) {
        buf_char(&text, '\0');
        fail(r, text.p);
    }
    buf_free(&text);
}

/* The name of the run is what --only chooses by. False: it was not run. */
static bool run_one(struct sweep *s, const struct perturbation *how, struct tally *tally)
{
    if (s->options->only && !str_glob(str_of(s->options->only), str_of(how->name)))
        return false;
    struct run r;
    int before = lowest_free_fd();
    s->totals->present = how->name;
    s->totals->runs++;
    alarm(WATCHDOG_S);
    run_script(&r, s->script, how);
    alarm(0);
    if (lowest_free_fd() != before)
        fail(&r, "a descriptor was left open");
    if (!how->lenient)
        compare_verdicts(s, &r);
    if (r.failure)
        show(s, &r);
    if (tally)
        *tally = r.world.tally;
    run_clear(&r);
    return true;
}

/* The run that all others are measured by. False: it is wrong already. */
static bool run_plain(struct sweep *s)
{
    static const struct perturbation none;
    struct run r;
    int before = lowest_free_fd();
    s->totals->present = "plain";
    s->totals->runs++;
    coverage_begin();
    alarm(WATCHDOG_S);
    run_script(&r, s->script, &none);
    alarm(0);
    if (s->totals->coverage)
        coverage_add(s->totals->coverage);
    if (lowest_free_fd() != before)
        fail(&r, "a descriptor was left open");
    s->plain = r.world.tally;
    s->verdict_count = r.world.record_count;
    s->verdicts = xcalloc(s->verdict_count + 1, sizeof *s->verdicts);
    struct str *verdicts = verdicts_of(&r);
    for (size_t i = 0; i < s->verdict_count; i++)
        s->verdicts[i] = (struct str){xstrndup(verdicts[i].p ? verdicts[i].p : "", verdicts[i].n), verdicts[i].n};
    if (r.failure)
        show(s, &r);
    run_clear(&r);
    return s->failed == 0;
}

/* So many points of `count`, spread evenly. */
static size_t stride(size_t count)
{
    return count / POINTS_MAX + 1;
}

/* --- pieces and order ------------------------------------------------------------------------------------------------------- */

static void sweep_pieces(struct sweep *s)
{
    static const struct { const char *name; size_t chunk, window, read; bool merge; unsigned order; } ways[] = {
        {"byte by byte", 1, 0, 0, false, 0},         {"in threes", 3, 0, 0, false, 0},
        {"merged", 0, 0, 0, true, 0},                {"window 1", 0, 1, 0, false, 0},
        {"window 7", 0, 7, 0, false, 0},             {"byte by byte, window 1", 1, 1, 0, false, 0},
        {"merged, window 5", 0, 5, 0, true, 0},      {"octets read one by one", 0, 0, 1, false, 0},
        {"octets read by fives", 0, 0, 5, false, 0}, {"answers reversed", 0, 0, 0, false, 1},
        {"answers shuffled 2", 0, 0, 0, false, 2},   {"answers shuffled 3", 0, 0, 0, false, 3},
        {"answers shuffled 5, merged", 0, 0, 0, true, 5},
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct perturbation how = {
            .chunk = ways[i].chunk, .merge = ways[i].merge, .dns_order = ways[i].order, .lenient = s->script->timing_sensitive};
        how.read_limit = ways[i].read > 0 && s->plain.octets > 40000 ? s->plain.octets / 8000 : ways[i].read; /* large bodies */
        size_t least = s->plain.octets / 4000; /* large bodies: larger windows */
        how.window = ways[i].window == 0 ? 0 : ways[i].window > least ? ways[i].window : least;
        if (how.dns_order && s->plain.questions == 0)
            continue;
        snprintf(how.name, sizeof how.name, "%s", ways[i].name);
        run_one(s, &how, NULL);
    }
}

/* --- a shadow ------------------------------------------------------------------------------------------------------------------- */

/* It asks for all there is, refuses and holds whom it can. Nobody may notice anything: neither clients nor backends, nor the policy. */
static const char shadow_policy[] = "dnsbl swept \"swept.test\"\n"
                                    "mark  swept\n"
                                    "rate  swept recipients by client.net over 1h\n"
                                    "rate  swept-domain messages by spf.domain over 1h\n"
                                    "stage connect\n"
                                    "  rule list:    reject now when dnsbl.swept in 127.0.0.2 or dnsbl.listed is known and fcrdns != pass\n"
                                    "  rule hold:    tarpit 30s\n"
                                    "  rule past:    score 2 when history.refused > 0 or marked.swept or manners.errors > 0\n"
                                    "stage helo\n"
                                    "  rule name:    score 1, mark swept 1h when helo.dns != match or spf.helo = fail\n"
                                    "stage mail\n"
                                    "  rule sender:  tempfail now when mail.dns = none or spf = fail\n"
                                    "stage rcpt\n"
                                    "  rule often:   reject when rate.swept > 3 or rate.swept-domain > 3\n"
                                    "  rule young:   greylist 5m when not mail.null\n"
                                    "stage data\n"
                                    "  rule callout: greylist 5m when mail.null\n"
                                    "  rule message: reject when dkim = fail or dmarc = fail or arc.trusted or msg.size > 1 or class = normal\n";

static bool has_shadow(const struct script *script)
{
    bool found = script->shadow != NULL;
    for (size_t i = 0; i < script->count; i++)
        found = found || script->steps[i].kind == STEP_SHADOW;
    return found;
}

/* Where the script has none of its own. */
static void sweep_shadow(struct sweep *s)
{
    struct perturbation how = {.name = "with a shadow", .lenient = s->script->timing_sensitive};
    struct str body = str_of(shadow_policy);
    struct diags diags = {0};
    if (has_shadow(s->script))
        return;
    how.shadow = script_policy(s->script->source, STR_NONE, &body, 1, &s->script->settings, &diags);
    if (how.shadow)
        run_one(s, &how, NULL);
    else
        fprintf(s->options->out, "the shadow policy of sweeps has errors: %s\n", diags.count > 0 ? diags.list[0].text : "?");
    s->failed += how.shadow == NULL;
    policy_unref(&how.shadow);
    diag_clear(&diags);
}

/* --- who leaves, who dies, what fails --------------------------------------------------------------------------------------- */

static const struct {
    enum cut cut;
    const char *name;
} cuts[] = {{CUT_CLOSE, "closes"}, {CUT_RESET, "resets"}, {CUT_HALF, "half-closes"}};

static void sweep_cuts(struct sweep *s)
{
    static const char *const where[] = {"before", "in", "behind"};
    for (size_t c = 0; c < 3; c++) {
        for (size_t i = 1; i <= s->plain.segments; i += stride(s->plain.segments)) {
            for (int w = CUT_BEFORE; w <= CUT_BEHIND; w++) {
                struct perturbation how = {.lenient = true, .cut = cuts[c].cut, .cut_at_segment = i};
                how.cut_where = w == CUT_BEFORE ? CUT_BEFORE : w == CUT_MIDDLE ? CUT_MIDDLE : CUT_BEHIND;
                snprintf(how.name, sizeof how.name, "client %s %s segment %zu", cuts[c].name, where[w], i);
                run_one(s, &how, NULL);
            }
        }
        for (size_t i = 1; i <= s->plain.replies; i += stride(s->plain.replies)) {
            struct perturbation how = {.lenient = true, .cut = cuts[c].cut, .cut_at_reply = i};
            snprintf(how.name, sizeof how.name, "client %s at reply %zu", cuts[c].name, i);
            run_one(s, &how, NULL);
        }
    }
}

/* The client leaves while a slow backend is at work on what it said: each reaction takes 500 ms, it leaves between two of them.
 */
static void sweep_impatience(struct sweep *s)
{
    for (size_t i = 1; i <= s->plain.segments; i += stride(s->plain.segments)) {
        for (int k = 0; k < 8; k++) {
            struct perturbation how = {.lenient = true, .cut_at_segment = i, .cut_where = CUT_BEHIND, .slow_ms = 500};
            how.cut = cuts[k % 2].cut;
            how.cut_after_ms = 250 + 500 * (uint64_t)(k / 2);
            snprintf(how.name, sizeof how.name, "client %s %llums behind segment %zu", cuts[k % 2].name,
                     (unsigned long long)how.cut_after_ms, i);
            run_one(s, &how, NULL);
        }
    }
}

static void sweep_backends(struct sweep *s)
{
    static const char *const names[] = {"", "closes", "resets", "hangs"};
    for (int fault = FAULT_CLOSE; fault <= FAULT_HANG; fault++) {
        for (size_t i = 1; i <= s->plain.reactions; i += stride(s->plain.reactions)) {
            struct perturbation how = {.lenient = true, .backend_at = i, .backend_fault = (enum backend_fault)fault};
            snprintf(how.name, sizeof how.name, "backend %s at %zu", names[fault], i);
            run_one(s, &how, NULL);
        }
    }
}

/* TLS, on either side: at each record, and so at each step of each handshake. */
static void sweep_records(struct sweep *s)
{
    static const struct { enum record_fault fault; const char *name; bool in; } faults[] = {{RECORD_CLOSES, "closes", true},
                                                                                            {RECORD_RESETS, "resets", true},
                                                                                            {RECORD_STALLS, "stalls", true},
                                                                                            {RECORD_DAMAGED, "", false}};
    /* each of a conversation or two; of long ones, whose handshakes are all alike, fewer */
    size_t step = s->plain.records <= POINTS_MAX ? 1 : s->plain.records / (POINTS_MAX / 2) + 1;
    for (size_t f = 0; f < sizeof faults / sizeof *faults; f++) {
        for (size_t i = 1; i <= s->plain.records; i += step) {
            for (int in = 0; in <= faults[f].in; in++) {
                struct perturbation how = {.lenient = true, .record_at = i, .record_fault = faults[f].fault};
                how.record_where = in ? RECORD_IN : RECORD_BEHIND;
                snprintf(how.name, sizeof how.name, "wire %s %s record %zu", faults[f].name, in ? "in" : "behind", i);
                if (faults[f].fault == RECORD_DAMAGED)
                    snprintf(how.name, sizeof how.name, "record %zu is damaged", i);
                run_one(s, &how, NULL);
            }
        }
    }
}

static void sweep_dns(struct sweep *s)
{
    static const enum dns_status faults[] = {DNS_TIMEOUT, DNS_SERVFAIL, DNS_MALFORMED};
    for (size_t f = 0; f < 3; f++) {
        for (size_t i = 1; i <= s->plain.questions; i += stride(s->plain.questions)) {
            struct perturbation how = {.lenient = true, .dns_at = i, .dns_status = faults[f]};
            snprintf(how.name, sizeof how.name, "dns %s %zu", dns_status_names[faults[f]], i);
            run_one(s, &how, NULL);
        }
    }
}

static void sweep_storage(struct sweep *s)
{
    for (size_t i = 1; i <= s->plain.operations; i += stride(s->plain.operations)) {
        struct perturbation how = {.lenient = true, .store_at = i};
        snprintf(how.name, sizeof how.name, "store fails %zu", i);
        run_one(s, &how, NULL);
    }
    struct perturbation file = {.name = "spool in files", .spool_file = true, .lenient = s->script->timing_sensitive};
    struct tally files = {.spool_calls = 0};
    if (!run_one(s, &file, &files))
        files.spool_calls = POINTS_MAX; /* not counted, since another run was chosen by name */
    for (size_t i = 1; i <= files.spool_calls; i += stride(files.spool_calls)) {
        struct perturbation how = {.lenient = true, .spool_file = true, .spool_at = i};
        snprintf(how.name, sizeof how.name, "spool fails %zu", i);
        run_one(s, &how, NULL);
    }
}

bool sweep_run(const struct sim_options *options, const struct script *script, struct sweep_totals *totals)
{
    struct sweep s = {.options = options, .script = script, .totals = totals};
    if (run_plain(&s) && options->sweep) {
        sweep_pieces(&s);
        sweep_shadow(&s);
        sweep_cuts(&s);
        sweep_impatience(&s);
        sweep_backends(&s);
        sweep_records(&s);
        sweep_dns(&s);
        sweep_storage(&s);
    }
    for (size_t i = 0; i < s.verdict_count; i++)
        free((char *)(uintptr_t)s.verdicts[i].p);
    free(s.verdicts);
    return s.failed == 0;
}
