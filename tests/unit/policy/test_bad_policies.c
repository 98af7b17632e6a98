/*
 * Every error message of the language: tests/policy/bad/NAME.policy says in its first lines which complaints its load must give, in order
 * ("# expect: LINE:COLUMN: message"), and each message of messages.def is shown by one of them at least.
 */
#include "policy/policy_fixture.h"

#include <dirent.h>
#include <unistd.h>

#include "source_tree.h"

static const struct { const char *id, *format; } messages[] = {
#define MESSAGE(id, text) {#id, text},
#include "messages.def"
#undef MESSAGE
};
enum { MESSAGES = sizeof(messages) / sizeof(*messages) };

/* Does a complaint come from this format? Each % directive stands for any text. */
static bool comes_from(const char *format, const char *message)
{
    struct buf glob = {0};
    for (const char *p = format; *p; p++) {
        if (*p != '%') {
            buf_char(&glob, *p);
            continue;
        }
        buf_char(&glob, '*');
        while (p[1] && !strchr("sd", p[1]))
            p++;
        p++;
    }
    bool yes = str_glob(buf_view(&glob), str_of(message));
    buf_free(&glob);
    return yes;
}

static void note_shown(const struct diags *diags, bool shown[MESSAGES])
{
    for (size_t d = 0; d < diags->count; d++) {
        for (size_t m = 0; m < MESSAGES; m++)
            shown[m] = shown[m] || comes_from(messages[m].format, diags->list[d].message);
    }
}

static void check_file(const char *path, bool shown[MESSAGES])
{
    struct diags diags = {0};
    struct policy *p = policy_load(path, NULL, &diags);
    char *text = read_text(path);
    struct str rest = str_of(text), line;
    size_t n = 0;
    cr_expect(!p == (diags.errors > 0), "%s", path);
    while (str_split(&rest, '\n', &line) && str_starts(line, STR("# expect: "))) {
        struct str want = str_sub(line, strlen("# expect: "), line.n);
        struct buf have = {0};
        if (n < diags.count)
            buf_printf(&have, "%u:%u: %s", diags.list[n].line, diags.list[n].column, diags.list[n].message);
        cr_expect(str_eq(want, buf_view(&have)), "%s: expected '%.*s', got '%.*s'", path, STR_ARG(want), STR_ARG(buf_view(&have)));
        buf_free(&have);
        n++;
    }
    cr_expect(n > 0, "%s expects nothing", path);
    cr_expect_eq(n, diags.count, "%s: %zu expected, %zu came; the next: %s", path, n, diags.count,
                 n < diags.count ? diags.list[n].text : "none");
    note_shown(&diags, shown);
    free(text);
    diag_clear(&diags);
    policy_unref(&p);
}

/* Loads a text that is too long to lie in a file; its complaints are noted. */
static void check_generated(struct buf *text, const char *want, bool shown[MESSAGES])
{
    struct diags diags = {0};
    buf_char(text, '\0');
    struct memory_file file = {"generated.policy", text->p};
    struct policy *p = load_files(&file, 1, &diags);
    cr_expect_null(p);
    cr_assert(diags.count);
    cr_expect_str_eq(diags.list[0].message, want);
    note_shown(&diags, shown);
    diag_clear(&diags);
    buf_free(text);
}

Test(bad_policies, each_complaint_is_what_its_file_expects_and_none_is_missing)
{
    bool shown[MESSAGES] = {0};
    char path[4096];
    tree_path("tests/policy/bad", path);
    cr_assert_eq(chdir(path), 0, "%s", path);
    struct dirent **names;
    int count = scandir(".", &names, NULL, alphasort), files = 0;
    for (int i = 0; i < count; i++) {
        if (str_ends_nocase(str_of(names[i]->d_name), STR(".policy"))) {
            check_file(names[i]->d_name, shown);
            files++;
        }
        free(names[i]);
    }
    free(names);
    cr_expect_gt(files, 40);

    struct buf text = {0};
    buf_cstr(&text, "stage connect\n");
    for (int i = 0; i <= 10000; i++)
        buf_printf(&text, "rule r%d: score 1\n", i);
    check_generated(&text, "more than 10000 rules", shown);
    for (int i = 0; i < 600; i++)
        buf_printf(&text, "mark m%d\n", i);
    struct buf want = {0};
    buf_printf(&want, "too many declarations that make facts; 'm%d' has no place left%c", 512 - FACT_COUNT, '\0');
    check_generated(&text, want.p, shown);
    buf_free(&want);

    struct diags diags = {0};
    cr_expect_null(policy_load("no-such-file.policy", NULL, &diags));
    cr_assert_eq(diags.count, 1);
    cr_expect_str_eq(diags.list[0].message, "cannot read 'no-such-file.policy': No such file or directory");
    note_shown(&diags, shown);
    diag_clear(&diags);

    for (size_t m = 0; m < MESSAGES; m++)
        cr_expect(shown[m], "no file in tests/policy/bad shows %s: \"%s\"", messages[m].id, messages[m].format);
}

/* The whole of one complaint, as a person sees it. */
Test(bad_policies, a_complaint_has_place_line_caret_and_hint)
{
    struct diags diags = {0};
    struct memory_file file = {"dir/test.policy", "dnsbl zen \"zen.example\"\nstage connect\n  rule a: score 8 when dnsbl.zem in 127.0.0.2\n"};
    cr_expect_null(load_files(&file, 1, &diags));
    cr_assert_eq(diags.count, 1);
    cr_expect_str_eq(diags.list[0].text, "dir/test.policy:3:24: error: unknown fact 'dnsbl.zem'\n"
                                         "  rule a: score 8 when dnsbl.zem in 127.0.0.2\n"
                                         "                       ^~~~~~~~~\n"
                                         "did you mean 'dnsbl.zen'?\n");
    diag_clear(&diags);
}

Test(bad_policies, hints_say_what_to_write_instead)
{
    static const struct { const char *rule, *hint; } cases[] = {
        {"reject if spf = fail", "a condition begins with 'when'\n"},
        {"reject Unless spf = pass", "a condition begins with 'when'\n"},
        {"reject when spf = fail or", "a line goes on behind a \\ at its end, and inside ( ) and { }\n"},
        {"reject when spf =", "a line goes on behind a \\ at its end, and inside ( ) and { }\n"},
        {"reject when (spf = fail", "a line goes on behind a \\ at its end, and inside ( ) and { }\n"},
        {"reject when spf = fail && tls", "write 'and'\n"},
        {"reject when spf = fail || tls", "write 'or'\n"},
        {"reject when !tls", "write 'not' or '!='\n"},
        {"reject\ndnsbl zen zen.example", "write \"zen.example\"\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct diags diags = {0};
        struct buf text = {0};
        buf_printf(&text, "stage mail\n  rule a: %s\n", cases[i].rule);
        buf_char(&text, '\0');
        struct memory_file file = {"test.policy", text.p};
        cr_expect_null(load_files(&file, 1, &diags));
        cr_assert(diags.count > 0, "%s", cases[i].rule);
        size_t shown = strlen(diags.list[0].text), hint = strlen(cases[i].hint);
        cr_expect(shown > hint && strcmp(diags.list[0].text + shown - hint, cases[i].hint) == 0, "%s", diags.list[0].text);
        diag_clear(&diags);
        buf_free(&text);
    }
}

Test(bad_policies, twenty_are_shown_and_the_rest_is_counted)
{
    struct diags diags = {0};
    struct buf text = {0};
    for (int i = 0; i < 50; i++)
        buf_cstr(&text, "nonsense\n");
    buf_char(&text, '\0');
    struct memory_file file = {"test.policy", text.p};
    cr_expect_null(load_files(&file, 1, &diags));
    cr_expect_eq(diags.count, 20);
    cr_expect_eq(diags.errors, 50);
    buf_free(&text);
    diag_clear(&diags);
}

/* Any prefix of a good policy, and the policy with any byte gone, loads or complains: no crash, no silence. */
Test(bad_policies, cut_and_damaged_texts_never_fail_in_silence)
{
    static const char good[] = "dnsbl zen \"zen.example\" ipv4 # c\nlist a domain { x.example, .y.example }\ncondition c: tls or (not fcrdns = pass)\n"
                               "stage connect\n  rule a: score -1, tag \"x\" when dnsbl.zen in { 127.0.0.2-127.0.0.4 } and c\n"
                               "  rule b monitor: reject now 550 5.7.1 \"no {client.ip}\" \\\n    when client.name in a\nstage rcpt\n"
                               "  rule d: greylist 5m when rcpt.local like \"a*\"\n";
    for (size_t i = 0; i < 2 * sizeof(good); i++) {
        struct diags diags = {0};
        struct buf text = {0};
        size_t at = i % sizeof(good);
        buf_put(&text, good, at);
        if (i >= sizeof(good))
            buf_cstr(&text, good + (at < sizeof(good) - 1 ? at + 1 : at));
        buf_char(&text, '\0');
        struct memory_file file = {"test.policy", text.p};
        struct policy *p = load_files(&file, 1, &diags);
        cr_expect_eq(p != NULL, diags.errors == 0, "%s", text.p);
        policy_unref(&p);
        diag_clear(&diags);
        buf_free(&text);
    }
}
