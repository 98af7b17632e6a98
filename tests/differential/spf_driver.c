/*
 * spf_driver.c - SPF verdicts on standard output, for the differential test. Reads the notation of tests/unit/checks/spf_cases.txt: zone lines, questions
 * "? CLIENT HELO SENDER", and "==", which empties the zone. Answers each question with one line: VERDICT | TERM | EXPLANATION | PROBLEM.
 */
#include <stdio.h>

#include "../unit/checks/spf_zone.h"

static struct zone zone;

static void answer(struct str question)
{
    struct str mark, client, helo;
    struct spf_result r = {0};

    if (!str_split(&question, ' ', &mark) || !str_split(&question, ' ', &client) || !str_split(&question, ' ', &helo) || !question.p) {
        puts("unreadable");
        return;
    }
    struct zone_run *run = zone_run_new(&zone, 0);
    struct spf_input in = zone_input(client, helo, question);
    if (in.client.family && zone_evaluate(run, &in, ZONE_ALL, &r))
        printf("%s | %.*s | %.*s | %.*s\n", spf_verdict_names[r.verdict], STR_ARG(r.mechanism), STR_ARG(r.explanation), STR_ARG(r.problem));
    else
        puts("unreadable");
    zone_run_free(&run);
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;

    for (ssize_t n; (n = getline(&line, &room, stdin)) > 0;) {
        struct str text = {line, (size_t)n - (line[n - 1] == '\n')};
        if (str_starts(text, STR("? ")))
            answer(text);
        else if (str_starts(text, STR("==")))
            zone_clear(&zone);
        else if (text.n && text.p[0] != '#' && !zone_line(&zone, text))
            fprintf(stderr, "not a line of a zone: %.*s\n", STR_ARG(text));
    }
    zone_clear(&zone);
    free(line);
    return 0;
}
