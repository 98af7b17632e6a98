/*
 * The order of arrival changes no verdict: random policies over random facts, revealed one by one in random order. Whatever the order, the
 * last walk says the same, and no walk on the way fires what a later one takes back.
 */
#include "policy/policy_fixture.h"

#include <stdlib.h>

static uint64_t seed;

/* xorshift64*: repeatable, so a failure can be run again. */
static unsigned pick(unsigned n)
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (unsigned)((seed * 0x2545f4914f6cdd1dull) >> 33) % n;
}

struct random_fact { const char *name, *tests[4], *values[4]; };

static const struct random_fact facts[] = {
    {"tls", {"tls", "tls = no", "tls is error", "tls != yes"}, {"yes", "no", "absent", "error"}},
    {"manners.errors", {"manners.errors > 2", "manners.errors in 1-3", "manners.errors != 2", "manners.errors is absent"}, {"2", "5", "absent", "error"}},
    {"fcrdns", {"fcrdns = pass", "fcrdns != pass", "fcrdns in { none, mismatch }", "fcrdns is known"}, {"pass", "none", "absent", "error"}},
    {"client.name", {"client.name like *.x", "client.name in { .x }", "client.name in domains", "client.name is absent"}, {"a.x", "our.test", "absent", "error"}},
    {"dnsbl.zen", {"dnsbl.zen in 127.0.0.2", "dnsbl.zen in 127.0.0.0/8", "dnsbl.zen is error", "dnsbl.zen in { 127.0.0.9 }"}, {"{}", "127.0.0.2", "127.0.0.9,127.0.0.2", "error"}},
    {"helo.form", {"helo.form = bare", "helo.form != name", "helo.form in { name, literal }", "helo.form is error"}, {"bare", "name", "literal", "error"}},
    {"mail.null", {"mail.null", "mail.null = no", "mail.null is known", "mail.null != yes"}, {"yes", "no", "absent", "error"}},
    {"rcpt.local", {"rcpt.local = bob", "rcpt.local like b*", "rcpt.local in { bob, abuse }", "rcpt.local != bob"}, {"bob", "bill", "absent", "error"}},
    {"greylist.known", {"greylist.known", "greylist.known = no", "greylist.known is error", "greylist.known != no"}, {"yes", "no", "absent", "error"}},
    {"greylist.age", {"greylist.age > 5m", "greylist.age in 1m-10m", "greylist.age is absent", "greylist.age != 5m"}, {"1m", "20m", "absent", "error"}},
};
enum { FACTS = sizeof(facts) / sizeof(*facts) };

static void put_expr(struct buf *out, unsigned depth)
{
    unsigned kind = depth ? pick(6) : 5;
    if (kind < 2) {
        buf_char(out, '(');
        put_expr(out, depth - 1);
        buf_cstr(out, kind ? " and " : " or ");
        put_expr(out, depth - 1);
        buf_char(out, ')');
    } else if (kind == 2) {
        buf_cstr(out, "not ");
        put_expr(out, depth - 1);
    } else if (kind == 3) {
        buf_printf(out, "score %s %u", pick(2) ? ">=" : "<", pick(8));
    } else if (kind == 4) {
        buf_cstr(out, "named");
    } else {
        buf_cstr(out, facts[pick(FACTS)].tests[pick(4)]);
    }
}

static void put_rule(struct buf *out, unsigned number)
{
    static const char *const effects[] = {
        "score 3", "score -2", "tag t", "mark m 1d", "header \"X-A\" \"{client.name}\"", "class c", "tarpit 1s, score 1", "score 1, tag u", "score 2", "score 1",
        "greylist 5m", "reject \"{fcrdns}\"", "tempfail", "accept", "pass",
    };
    buf_printf(out, " rule r%u%s: %s when ", number, pick(8) ? "" : " monitor", effects[pick(15)]);
    put_expr(out, 3);
    buf_char(out, '\n');
}

static void random_policy(struct buf *out)
{
    buf_cstr(out, "dnsbl zen \"zen.example\"\ncondition named: fcrdns = pass or not dnsbl.zen in 127.0.0.0/8\nstage rcpt\n");
    unsigned rules = 1 + pick(12);
    for (unsigned i = 0; i < rules; i++)
        put_rule(out, i);
    buf_char(out, '\0');
}

static void shuffle(unsigned *order)
{
    for (unsigned i = 0; i < FACTS; i++)
        order[i] = i;
    for (unsigned i = FACTS; i-- > 1;) {
        unsigned k = pick(i + 1), t = order[i];
        order[i] = order[k];
        order[k] = t;
    }
}

/* Is `early`, which waited, the beginning of `late`? */
static bool begins(const struct walk *early, const struct walk *late)
{
    if (early->done || early->action != ACTION_NONE)
        return false;
    if (late->done ? late->rule >= 0 && (size_t)late->rule < early->stopped_at : late->stopped_at < early->stopped_at)
        return false;
    for (size_t i = 0; i < early->stopped_at; i++) {
        const struct trace_item *a = &early->trace[i], *b = &late->trace[i];
        if (!a->monitor && (a->result != b->result || !str_eq(a->effect, b->effect)))
            return false;
    }
    if (early->mark_count > late->mark_count || early->header_count > late->header_count || early->tarpit_ms > late->tarpit_ms)
        return false;
    for (size_t i = 0; i < early->header_count; i++) {
        if (!str_eq(early->headers[i].value, late->headers[i].value))
            return false;
    }
    return true;
}

static bool some_wanted_is_unknown(const struct world *w)
{
    for (int id = 0; id < (int)schema_count(policy_schema(w->policy)); id++) {
        if (fact_bit(&w->walk.wanted, id) && facts_get(&w->scope[STAGE_RCPT], id)->state == FACT_UNKNOWN)
            return true;
    }
    return false;
}

/* Reveals the facts in this order, walking after each; the text of the last walk's trace goes to *out. */
static void reveal(struct world *w, const unsigned *order, const unsigned *value, struct buf *out, const char *text)
{
    struct walk before = *world_walk(w, STAGE_RCPT);
    for (unsigned i = 0; i < FACTS; i++) {
        cr_assert(before.done || some_wanted_is_unknown(w), "waits for nothing:\n%s", text);
        world_set(w, STAGE_RCPT, facts[order[i]].name, facts[order[i]].values[value[order[i]]]);
        world_walk(w, STAGE_RCPT);
        if (before.done) {
            cr_assert(w->walk.done && w->walk.rule == before.rule && w->walk.action == before.action && w->walk.score == before.score &&
                      str_eq(w->walk.text, before.text), "a verdict has changed:\n%s", text);
        } else {
            cr_assert(begins(&before, &w->walk), "something fired was taken back:\n%s", text);
        }
        before = w->walk;
    }
    cr_assert(w->walk.done, "%s", text);
    buf_printf(out, "%s %lld %lld %.*s %llu\n", action_names[w->walk.action], (long long)w->walk.score, (long long)w->walk.negative,
               STR_ARG(w->walk.class), (unsigned long long)w->walk.tarpit_ms);
    trace_text(w->policy, STAGE_RCPT, &w->walk, out);
}

Test(order, of_arrival_changes_no_verdict)
{
    unsigned verdicts[5] = {0};
    for (unsigned round = 1; round <= 1500; round++) {
        struct buf text = {0}, first = {0};
        struct world w;
        unsigned value[FACTS], order[FACTS];
        seed = round * 0x9e3779b97f4a7c15ull;
        random_policy(&text);
        world_init(&w, text.p);
        w.input.negative_limit = pick(4);
        for (unsigned i = 0; i < FACTS; i++)
            value[i] = pick(4);
        for (unsigned i = 0; i < 4; i++) {
            struct buf again = {0};
            shuffle(order);
            reveal(&w, order, value, i ? &again : &first, text.p);
            cr_assert(!i || str_eq(buf_view(&first), buf_view(&again)), "round %u:\n%s\n%.*s\n%.*s", round, text.p, STR_ARG(buf_view(&first)),
                      STR_ARG(buf_view(&again)));
            buf_free(&again);
            world_reset(&w);
        }
        for (int a = 0; a < 5; a++)
            verdicts[a] += str_starts(buf_view(&first), str_of(action_names[a]));
        world_clear(&w);
        buf_free(&text);
        buf_free(&first);
    }
    for (int a = 0; a < 5; a++)
        cr_expect_gt(verdicts[a], 20, "%s came %u times: the policies are not random enough", action_names[a], verdicts[a]);
}
