/*
 * cases_internal.h - one case between reading (cases.c) and judging (cases_judge.c).
 */
#ifndef POSTERN_SIM_CASES_INTERNAL_H
#define POSTERN_SIM_CASES_INTERNAL_H

#include "cases.h"
#include "postern/decide/decide.h"
#include "script.h"

struct given { /* NAME VALUE, or an expectation */
    unsigned line;
    struct str name, value;
};

struct givens {
    struct given *list;
    size_t count;
};

struct policy_case {
    struct str name;
    unsigned line;
    struct policy *policy;      /* borrowed */
    const struct settings *settings;
    struct givens common, facts, expects; /* common: facts given before the first case */
    const struct source *source;
    struct buf *complaints;     /* a line each: "file:line: ..." */
};

/* Adds what is wrong with the case to its complaints. */
void case_judge(const struct policy_case *c);

#endif
