/*
 * The verdicts of spf_cases.txt, each with its answers all at once, one at a time from the first and from the last, and in five random orders: always
 * the same, term and explanation too.
 */
#include "source_tree.h"

#include "checks/spf_zone.h"

struct expected {
    struct str verdict, mechanism, explanation;
    bool says_mechanism, says_explanation;
};

static struct str read_file(struct arena *arena, const char *path)
{
    char *text = read_from_tree(path);
    struct str copy = arena_str(arena, str_of(text));

    free(text);
    return copy;
}

/* "RESULT [| TERM [| EXPLANATION]]" */
static struct expected expected_parse(struct str text)
{
    struct expected e = {0};
    struct str part;

    str_split(&text, '|', &part);
    e.verdict = str_trim(part);
    if ((e.says_mechanism = str_split(&text, '|', &part)))
        e.mechanism = str_eq(str_trim(part), STR("-")) ? STR("") : str_trim(part);
    if ((e.says_explanation = text.p != NULL))
        e.explanation = str_trim(text);
    return e;
}

static bool check(const struct zone *z, const struct spf_input *in, const struct expected *e, enum zone_order order, uint64_t seed, struct str line)
{
    struct zone_run *run = zone_run_new(z, seed);
    struct spf_result r;
    bool good = zone_evaluate(run, in, order, &r);

    good = good && str_eq(str_of(spf_verdict_names[r.verdict]), e->verdict);
    good = good && (!e->says_mechanism || str_eq(r.mechanism, e->mechanism));
    good = good && (!e->says_explanation || str_eq(r.explanation, e->explanation));
    good = good && run->count <= 150 && r.lookups <= SPF_LOOKUPS_MAX;
    good = good && (r.problem.n > 0) == (r.verdict == SPF_TEMPERROR || r.verdict == SPF_PERMERROR) && ascii_printable(r.problem);
    if (!good)
        fprintf(stderr, "%.*s\n    order %d: %s | %.*s | %.*s (%.*s)\n", STR_ARG(line), order, spf_verdict_names[r.verdict], STR_ARG(r.mechanism),
                STR_ARG(r.explanation), STR_ARG(r.problem));
    zone_run_free(&run);
    return good;
}

static bool check_line(const struct zone *z, struct str line)
{
    struct arena arena = {0};
    struct str rest = line, question, client, helo, sender;
    bool good;

    str_split(&rest, ' ', &question); /* "?" */
    cr_assert(str_split(&rest, ' ', &client) && str_split(&rest, ' ', &helo));
    size_t equals = 0;
    for (size_t i = 0; i + 3 <= rest.n && !equals; i++)
        if (memcmp(rest.p + i, " = ", 3) == 0)
            equals = i;
    cr_assert(equals, "no result in: %.*s", STR_ARG(line));
    sender = zone_unescape(&arena, str_sub(rest, 0, equals));
    struct expected e = expected_parse(str_sub(rest, equals + 3, rest.n));
    struct spf_input in = zone_input(client, helo, sender);
    cr_assert(in.client.family);
    good = check(z, &in, &e, ZONE_ALL, 0, line) && check(z, &in, &e, ZONE_FIRST, 0, line) && check(z, &in, &e, ZONE_LAST, 0, line);
    for (uint64_t seed = 1; good && seed <= 5; seed++)
        good = check(z, &in, &e, ZONE_RANDOM, seed, line);
    arena_clear(&arena);
    return good;
}

Test(spf_evaluate, cases)
{
    static struct zone zone;
    struct arena arena = {0};
    struct str rest = read_file(&arena, "tests/unit/checks/spf_cases.txt"), line, questions[256];
    size_t count = 0, cases = 0, wrong = 0;

    while (str_split(&rest, '\n', &line)) {
        if (line.n > 2 && line.p[0] == '?')
            questions[count++] = line;
        if (str_starts(line, STR("==")) || !rest.p) {
            for (size_t i = 0; i < count; i++, cases++)
                wrong += !check_line(&zone, questions[i]);
            zone_clear(&zone);
            count = 0;
        } else if (line.n && line.p[0] != '?' && line.p[0] != '#') {
            cr_assert(zone_line(&zone, line), "not a line of a zone: %.*s", STR_ARG(line));
        }
    }
    arena_clear(&arena);
    cr_expect(wrong == 0, "%zu of %zu cases are wrong", wrong, cases);
    cr_expect(cases >= 400, "only %zu cases were read", cases);
}
