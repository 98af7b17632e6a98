/*
 * spf.c - spf, spf.domain, spf.mechanism, spf.explanation, spf.helo: what the domains of MAIL and HELO say of this client (RFC 7208).
 *
 * The evaluation is spf_evaluate(); this gives it the identities and the answers of the scope's view, and writes down what came of it. For the null
 * reverse-path the name of HELO is judged, as postmaster there (2.4). An address literal and a name of one label are none.
 */
#include "internal.h"
#include "postern/checks/spf.h"
#include "postern/mail/from.h"

static const struct dns_answer *ask(void *context, struct str name, unsigned type)
{
    return scope_dns(context, name, type);
}

/* A name with a dot at its end is the same name; facts and macros have it without. */
static struct str without_dot(struct str name)
{
    bool dot = name.n > 1 && name.p[name.n - 1] == '.' && name.p[name.n - 2] != '.';

    return dot ? str_sub(name, 0, name.n - 1) : name;
}

/* The name given with HELO as a domain to judge; empty when it is none. */
static struct str helo_domain(struct scope *s)
{
    struct scope *helo = scope_of(s, STAGE_HELO);
    struct addr literal;

    if (!helo || helo_classify(helo->subject->helo, &literal) == HELO_LITERAL)
        return STR_NONE;
    return without_dot(helo->subject->helo);
}

/* RFC 8616 4: U-labels are asked for as A-labels. One that has no such form is judged as it stands: none. */
static struct str as_asked(struct scope *s, struct str domain)
{
    struct str name;

    for (size_t i = 0; i < domain.n; i++)
        if (domain.p[i] & 0x80)
            return domain_ascii(domain, &s->arena, &name) ? name : domain;
    return domain;
}

static bool evaluate(struct scope *s, struct str local, struct str domain, struct spf_result *out)
{
    struct scope *helo = scope_of(s, STAGE_HELO);
    struct spf_input in = {.client = *scope_client(s), .local = local, .domain = domain, .helo = helo ? without_dot(helo->subject->helo) : STR_NONE,
                           .receiver = s->world->settings->hostname, .time = loop_wall(s->world->loop) / 1000};

    return spf_evaluate(&in, ask, s, &s->arena, out);
}

enum check_result check_spf_helo(struct scope *s, const struct check_run *run)
{
    struct spf_result result;

    (void)run;
    if (!evaluate(s, STR_NONE, as_asked(s, helo_domain(s)), &result))
        return CHECK_NOT_YET;
    scope_note(s, FACT_SPF_HELO, result.problem);
    facts_set_text(&s->facts, FACT_SPF_HELO, str_of(spf_verdict_names[result.verdict]));
    return CHECK_DONE;
}

static void set_text_or_absent(struct scope *s, int fact, struct str text)
{
    if (text.n)
        facts_set_text(&s->facts, fact, text);
    else
        facts_set_absent(&s->facts, fact);
}

enum check_result check_spf(struct scope *s, const struct check_run *run)
{
    const struct path *sender = &s->subject->sender;
    struct str domain = sender->null ? helo_domain(s) : sender->literal ? STR_NONE : without_dot(sender->domain);
    struct spf_result result;

    domain = as_asked(s, domain);
    bool done = evaluate(s, sender->null ? STR_NONE : sender->local, domain, &result);
    if (!done && !check_is_late(s, run))
        return CHECK_NOT_YET;
    if (!done)
        result = (struct spf_result){0};
    set_text_or_absent(s, FACT_SPF_DOMAIN, arena_lower(&s->arena, domain));
    set_text_or_absent(s, FACT_SPF_MECHANISM, result.mechanism);
    set_text_or_absent(s, FACT_SPF_EXPLANATION, result.explanation);
    if (!done)
        return CHECK_NOT_YET; /* out of time: temperror, its deadline word (4.6.4) */
    scope_note(s, FACT_SPF, result.problem);
    facts_set_text(&s->facts, FACT_SPF, str_of(spf_verdict_names[result.verdict]));
    return CHECK_DONE;
}
