/*
 * bench/spf.c - what one SPF evaluation costs beyond DNS: a policy of 11 names in three levels, every pass from the first question to the verdict, and
 * a single pass when all answers are there. Processor time, since machines are noisy.
 */
#include <stdio.h>
#include <time.h>

#include "../unit/checks/spf_zone.h"

enum { EVALUATIONS = 50000, LEVELS = 8 };

static const char *const lines[] = {
    "sender.example TXT v=spf1 a mx include:one.example include:two.example include:three.example ip4:192.0.2.99 -all",
    "sender.example A 192.0.2.1",
    "sender.example MX 10 mx1.sender.example",
    "sender.example MX 20 mx2.sender.example",
    "mx1.sender.example A 192.0.2.2",
    "mx2.sender.example A 192.0.2.3",
    "one.example TXT v=spf1 ip4:198.51.100.0/25 ~all",
    "two.example TXT v=spf1 ip4:198.51.100.128/25 ~all",
    "three.example TXT v=spf1 include:a.three.example include:b.three.example include:c.three.example ~all",
    "a.three.example TXT v=spf1 ip4:203.0.113.1 ~all",
    "b.three.example TXT v=spf1 ip4:203.0.113.2 ~all",
    "c.three.example TXT v=spf1 ip4:203.0.113.3 ~all",
};

struct replay { /* the answers as they came: those of a round trip that is over are there */
    struct zone_run *run;
    size_t there;
};

static const struct dns_answer *ask(void *context, struct str name, unsigned type)
{
    const struct replay *r = context;

    for (size_t i = 0; i < r->there; i++)
        if (r->run->asked[i].type == type && str_eq_nocase(r->run->asked[i].name, name))
            return r->run->asked[i].answer;
    return NULL;
}

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

int main(void)
{
    static struct zone zone;
    size_t asked[LEVELS] = {0}; /* questions asked before pass i */
    unsigned passes = 0;
    struct arena arena = {0};
    struct spf_result result;

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        zone_line(&zone, str_of(lines[i]));
    struct spf_input in = zone_input(STR("203.0.113.4"), STR("h.example"), STR("a@sender.example"));
    struct replay replay = {.run = zone_run_new(&zone, 0)};
    while (passes < LEVELS - 1 && !spf_evaluate(&in, zone_ask, replay.run, &arena, &result)) {
        asked[++passes] = replay.run->count;
        while (replay.run->waiting)
            zone_deliver_one(replay.run, ZONE_FIRST);
    }
    double start = now_us();
    for (int i = 0; i < EVALUATIONS; i++) {
        for (unsigned pass = 0; pass <= passes; pass++) {
            replay.there = asked[pass];
            spf_evaluate(&in, ask, &replay, &arena, &result);
        }
        arena_clear(&arena);
    }
    double all = (now_us() - start) / EVALUATIONS;
    start = now_us();
    for (int i = 0; i < EVALUATIONS; i++) {
        spf_evaluate(&in, ask, &replay, &arena, &result);
        arena_clear(&arena);
    }
    printf("spf: %s; %zu names, %u round trips; %.1f us for all %u passes, %.1f us for one with all answers\n", spf_verdict_names[result.verdict],
           asked[passes], passes, all, passes + 1, (now_us() - start) / EVALUATIONS);
    zone_run_free(&replay.run);
    zone_clear(&zone);
    return 0;
}
