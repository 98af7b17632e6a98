/* A script from text, a run of it. */
#ifndef TESTS_SIM_HELPER_H
#define TESTS_SIM_HELPER_H

#include "run.h"

#include <criterion/criterion.h>
#include <string.h>

static inline struct script *script_from(const char *text, struct diags *diags)
{
    return script_parse(source_new("x.transcript", str_of(text)), diags);
}

/* The failure of a run ("" for none), to be freed. */
static inline char *failure_of(const char *text, const struct perturbation *how)
{
    static const struct perturbation none;
    struct diags diags = {0};
    struct run r;
    struct script *s = script_from(text, &diags);
    if (!s) {
        char *message = xstrndup(diags.list[0].text, strlen(diags.list[0].text));
        diag_clear(&diags);
        return message;
    }
    run_script(&r, s, how ? how : &none);
    char *failure = xstrndup(r.failure ? r.failure : "", r.failure ? strlen(r.failure) : 0);
    run_clear(&r);
    script_free(&s);
    diag_clear(&diags);
    return failure;
}

#endif
