/*
 * dmarc.c - dmarc, dmarc.policy, dmarc.domain, dmarc.aligned, dmarc.test (RFC 9989): the facts of others brought together.
 *
 * It reads from.domain and from.error, spf and spf.domain, dkim and dkim.domains, and asks for the author's records as soon as
 * the author is known, before the rest is. A message whose author is not one domain is permerror: it can never pass, and is none
 * of the messages that do not take part (RFC 9989 5.3.1, 11.5 leave it to the receiver, who has from.error to say more). SPF and
 * DKIM count as known when their facts are and do not say temperror.
 */
#include "internal.h"
#include "postern/checks/dkim.h"
#include "postern/checks/dmarc.h"
#include "postern/mail/from.h"

struct context {
    struct scope *scope;
    bool late; /* what is not there now will not come */
};

static const struct dns_answer *ask(void *context, struct str name, unsigned type)
{
    static const struct dns_answer no_answer = {.status = DNS_TIMEOUT};
    const struct context *c = context;
    const struct dns_answer *a = scope_dns(c->scope, name, type);

    return !a && c->late ? &no_answer : a;
}

/* A fact that another check makes. NULL: nobody makes it here. One that is not known yet is asked for. */
static const struct value *read_fact(struct scope *s, const char *name, bool *waiting)
{
    int id = schema_find(s->facts.schema, str_of(name));

    if (id < 0)
        return NULL;
    const struct value *v = facts_get(&s->facts, id);
    if (v->state == FACT_UNKNOWN) {
        fact_bit_set(&s->needed, id);
        *waiting = true;
    }
    return v;
}

static bool is_known(const struct value *v)
{
    return v && v->state == FACT_KNOWN;
}

static bool is_word(const struct value *v, const char *word)
{
    return is_known(v) && str_eq(v->v.text, str_of(word));
}

/* Has it a result that will not change? A fact that nobody makes has: none. */
static bool is_settled(const struct value *v)
{
    return !v || v->state == FACT_ABSENT || (is_known(v) && !is_word(v, "temperror"));
}

static void set_verdict(struct scope *s, enum dmarc_verdict verdict)
{
    facts_set_text(&s->facts, FACT_DMARC, str_of(dmarc_verdict_names[verdict]));
}

/* No record that applies is known. */
static void set_no_policy(struct scope *s)
{
    facts_set_absent(&s->facts, FACT_DMARC_POLICY);
    facts_set_absent(&s->facts, FACT_DMARC_DOMAIN);
    facts_set_absent(&s->facts, FACT_DMARC_TEST);
}

static enum check_result set_result(struct scope *s, const struct dmarc_result *r)
{
    const char *aligned = r->spf_aligned && r->dkim_aligned ? "both" : r->spf_aligned ? "spf" : r->dkim_aligned ? "dkim" : "none";

    scope_note(s, FACT_DMARC, r->problem);
    set_verdict(s, r->verdict);
    if (r->applies) {
        facts_set_text(&s->facts, FACT_DMARC_POLICY, str_of(dmarc_policy_names[r->policy]));
        facts_set_text(&s->facts, FACT_DMARC_DOMAIN, r->domain);
        facts_set_bool(&s->facts, FACT_DMARC_TEST, r->test);
    } else {
        set_no_policy(s);
    }
    if (r->verdict == DMARC_PASS || r->verdict == DMARC_FAIL)
        facts_set_text(&s->facts, FACT_DMARC_ALIGNED, str_of(aligned));
    else
        facts_set_absent(&s->facts, FACT_DMARC_ALIGNED);
    return CHECK_DONE;
}

/* The author is not one domain; or nobody could say (an error). */
static enum check_result no_author(struct scope *s, const struct value *error)
{
    struct dmarc_result r = {.verdict = is_known(error) ? DMARC_PERMERROR : DMARC_TEMPERROR};

    r.problem = is_known(error) ? arena_printf(&s->arena, "From: %.*s", STR_ARG(error->v.text)) : STR("the header was not read");
    return set_result(s, &r);
}

/* Which signatures have no result: as DKIM's check has it, unless its facts are assumed; then the word alone counts. */
static void read_pending(struct scope *s, struct dmarc_input *in)
{
    const struct dkim_result *r = dkim_result_of(s);

    if (facts_given(&s->facts, FACT_DKIM_DOMAINS)) {
        in->dkim_known |= !facts_given(&s->facts, FACT_DKIM);
        return;
    }
    if (!r || facts_given(&s->facts, FACT_DKIM))
        return;
    struct str *pending = arena_alloc(&s->arena, (r->count + 1) * sizeof *pending);
    for (size_t i = 0; i < r->count; i++)
        if (r->signatures[i].verdict == DKIM_TEMPERROR)
            pending[in->pending_count++] = r->signatures[i].domain;
    in->pending = pending;
    in->dkim_known = true;
}

/* SPF and DKIM as far as they are there. The names borrow from the facts, or are in the arena. */
static void read_identifiers(struct scope *s, struct dmarc_input *in, bool *waiting)
{
    const struct value *spf = read_fact(s, "spf", waiting), *spf_domain = read_fact(s, "spf.domain", waiting);
    const struct value *dkim = read_fact(s, "dkim", waiting), *domains = read_fact(s, "dkim.domains", waiting);

    in->spf_known = is_settled(spf);
    if (is_word(spf, "pass") && is_known(spf_domain))
        domain_ascii(spf_domain->v.text, &s->arena, &in->spf_domain);
    in->dkim_known = is_settled(dkim) && is_settled(domains);
    if (is_known(domains)) {
        in->dkim = domains->v.names.list;
        in->dkim_count = domains->v.names.count;
        read_pending(s, in);
    }
}

enum check_result check_dmarc(struct scope *s, const struct check_run *run)
{
    struct context c = {.scope = s, .late = check_is_late(s, run)};
    bool no_author_yet = false, waiting = false;
    const struct value *error = read_fact(s, "from.error", &no_author_yet), *author = read_fact(s, "from.domain", &no_author_yet);
    struct dmarc_input in = {0};
    struct dmarc_result r;

    read_identifiers(s, &in, &waiting);
    if (no_author_yet && !c.late)
        return CHECK_NOT_YET;
    if (!is_known(author))
        return no_author(s, error);
    in.author = author->v.text;
    if (!dmarc_evaluate(&in, ask, &c, &s->arena, &r) || (waiting && !c.late))
        return CHECK_NOT_YET;
    return set_result(s, &r);
}
