/* rooms: checks */
/*
 * A whole SPF evaluation over hostile answers. The input is text: the client, the HELO name and the sender on the first line, then the zone, each line
 * "NAME TYPE VALUE" (tests/unit/checks/spf_zone.h). It ends within its budget; the verdict is the same when the answers come one at a time, in any
 * order; texts are printable.
 */
#include "../unit/checks/spf_zone.h"

static bool same(const struct spf_result *a, const struct spf_result *b)
{
    return a->verdict == b->verdict && str_eq(a->mechanism, b->mechanism) && str_eq(a->explanation, b->explanation) && str_eq(a->problem, b->problem) &&
           a->lookups == b->lookups && a->void_lookups == b->void_lookups;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct zone zone;
    struct str rest = {(const char *)data, n}, first, line, client, helo;
    struct spf_result all, one;

    if (n > 20000 || !str_split(&rest, '\n', &first) || !str_split(&first, ' ', &client) || !str_split(&first, ' ', &helo) || !first.p)
        return 0;
    struct spf_input in = zone_input(client, helo, first);
    if (!in.client.family)
        addr_parse(STR("192.0.2.1"), &in.client);
    for (int lines = 0; rest.p && lines < 60 && str_split(&rest, '\n', &line); lines++)
        zone_line(&zone, line);
    struct zone_run *run = zone_run_new(&zone, 0), *other = zone_run_new(&zone, n);
    if (!zone_evaluate(run, &in, ZONE_ALL, &all) || !zone_evaluate(other, &in, ZONE_RANDOM, &one))
        abort();
    if (!same(&all, &one) || run->passes > SPF_LOOKUPS_MAX + 5 || run->count > 500 || all.questions > 300 || all.lookups > SPF_LOOKUPS_MAX)
        abort();
    if (!ascii_printable(all.explanation) || all.explanation.n > SPF_EXPLANATION_MAX || !ascii_printable(all.problem) || !ascii_printable(all.mechanism))
        abort();
    zone_run_free(&run);
    zone_run_free(&other);
    zone_clear(&zone);
    return 0;
}
