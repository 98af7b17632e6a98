/* rooms: sim */
/*
 * fuzz_session.c - a whole session: input is a transcript, or bytes that a client says. Lines that are no line of a transcript
 * are said as they are; lines that the reader complains of are left out. What a script expects does not count, only the promises
 * of the ledger do (tests/README.md). The first line also chooses one disturbance, so that seeds are transcripts as they stand.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/base/codec.h"
#include "run.h"

enum { INPUT_MAX = 16384, ROUNDS = 8, WAIT_MAX_MS = 3600000, REPEAT_MAX = 2000 };

/* Directives that stay as they are; `set` only where it cannot make time-outs longer than a driver's patience. */
static bool is_directive(struct str line)
{
    static const char *const words[] = {"client", "policy",     "dns",     "backend", "store",  "spool", "close",
                                        "reset",  "half-close", "connect", "again",   "settle", "wait",  "drain",
                                        "end",    "hostname",   "domains", "set",     "stage",  "rule",  "dnsbl",
                                        "dnswl",  "list",       "lists",   "mark",    "tls",    "close-notify"};
    struct str rest = line, word;
    if (!word_take(&rest, &word))
        return true;
    while (word.n > 1 && word.p[word.n - 1] >= '1' && word.p[word.n - 1] <= '9')
        word.n--;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (str_eq(word, str_of(words[i])))
            return true;
    }
    return line.p[0] == '#';
}

/* What costs the fuzzer time and finds nothing: long waits, huge repetitions, files. */
static bool is_costly(struct str line)
{
    struct str rest = line, word;
    uint64_t n;
    word_take(&rest, &word);
    if (str_starts(word, STR("wait")))
        return word_take(&rest, &word) && duration_parse(word, &n) && n > WAIT_MAX_MS;
    if (str_starts(word, STR("policy")) || str_starts(word, STR("list")))
        return str_find(line, '"', 0) < line.n;
    if (str_starts(word, STR("set")))
        return memmem(line.p, line.n, "time", 4) || memmem(line.p, line.n, "probe", 5) || memmem(line.p, line.n, "delay", 5) ||
               memmem(line.p, line.n, " ca ", 4);
    if (memmem(line.p, line.n, "delay", 5)) {
        while (word_take(&rest, &word)) {
            if (duration_parse(word, &n) && n > 60000)
                return true;
        }
    }
    return false;
}

static bool is_dialogue(struct str line)
{
    if (line.n < 3 || !strchr("CSB", line.p[0]))
        return false;
    size_t at = line.p[1] >= '1' && line.p[1] <= '9' ? 2 : 1;
    struct str rest = str_sub(line, at + 1, line.n), word;
    uint64_t n;
    if (line.p[0] == 'C' && line.p[at] == '*') {
        while (rest.n > 0 && (rest.p[0] == '-' || rest.p[0] == '\\'))
            rest = str_sub(rest, 1, rest.n);
        return word_take(&rest, &word) && str_to_u64(word, REPEAT_MAX, &n);
    }
    return strchr(line.p[0] == 'C' ? ":-\\" : line.p[0] == 'S' ? ": " : ":=! ", line.p[at]) != NULL;
}

static void put_said(struct buf *out, struct str line)
{
    buf_cstr(out, "C\\ \"");
    for (size_t i = 0; i < line.n; i++)
        buf_printf(out, "\\x%02x", (unsigned char)line.p[i]);
    buf_cstr(out, "\\n\"\n");
}

/* A transcript of as many lines as the input has; `drop` names lines (1-based) that were complained of. */
static void make_text(struct str input, const bool *drop, struct buf *out)
{
    struct str line;
    for (unsigned number = 1; str_split(&input, '\n', &line); number++) {
        struct str trimmed = str_trim(line);
        if (trimmed.n > 0 && trimmed.p[trimmed.n - 1] == '\r')
            trimmed.n--;
        bool clean = trimmed.n == 0 || !memchr(trimmed.p, '\0', trimmed.n);
        if (drop[number] || (clean && trimmed.n > 0 && is_costly(trimmed)))
            buf_char(out, '\n');
        else if (clean && (trimmed.n == 0 || is_directive(trimmed) || is_dialogue(trimmed))) {
            buf_str(out, trimmed);
            buf_char(out, '\n');
        } else {
            put_said(out, line);
        }
    }
}

static struct script *make_script(struct str input)
{
    bool *drop = xcalloc(input.n + 2, sizeof *drop);
    struct script *script = NULL;
    for (int round = 0; round < ROUNDS && !script; round++) {
        struct buf text = {0};
        struct diags diags = {0};
        make_text(input, drop, &text);
        script = script_parse(source_new("fuzz.transcript", buf_view(&text)), &diags);
        for (size_t i = 0; i < diags.count; i++) {
            if (diags.list[i].line > 0 && diags.list[i].line <= input.n + 1)
                drop[diags.list[i].line] = true;
        }
        diag_clear(&diags);
        buf_free(&text);
    }
    free(drop);
    return script;
}

static struct perturbation choose(struct str input)
{
    struct perturbation how = {.name = "fuzz", .lenient = true};
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < input.n && input.p[i] != '\n'; i++)
        hash = (hash ^ (unsigned char)input.p[i]) * 16777619u;
    size_t at = 1 + (hash >> 8) % 24;
    switch (hash % 12) {
    case 0: how.chunk = 1; break;
    case 1: how.window = 1 + at % 7; break;
    case 2:
        how.cut = CUT_CLOSE + at % 3, how.cut_at_segment = at, how.cut_where = hash >> 16 & 1 ? CUT_MIDDLE : CUT_BEHIND;
        break;
    case 3: how.cut = CUT_CLOSE + at % 3, how.cut_at_reply = at; break;
    case 4: how.backend_at = at, how.backend_fault = FAULT_CLOSE + (hash >> 16) % 3; break;
    case 5: how.dns_at = at, how.dns_status = DNS_SERVFAIL + (hash >> 16) % 3; break;
    case 6: how.dns_order = 1 + (unsigned)at; break;
    case 7: how.store_at = at; break;
    case 8: how.spool_file = true, how.spool_at = at; break;
    case 9: how.read_limit = 1 + at % 7; break;
    case 10: how.record_at = at, how.record_fault = RECORD_CLOSES + (hash >> 16) % 4, how.record_where = hash >> 18 & 1; break;
    default: break;
    }
    return how;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};
    if (size > INPUT_MAX)
        return 0;
    struct script *script = make_script(input);
    if (!script)
        return 0;
    struct perturbation how = choose(input);
    struct run r;
    run_script(&r, script, &how);
    if (r.failure && !strstr(r.failure, "no certificate can be made")) { /* the script names a host that no certificate can have */
        fprintf(stderr, "%s\n%.*s\n", r.failure, (int)script->source->n, script->source->text);
        abort();
    }
    run_clear(&r);
    script_free(&script);
    return 0;
}
