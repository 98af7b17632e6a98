/*
 * spf_evaluate.c - check_host() of RFC 7208: records, their terms as questions, every limit. libspf2 walks (spf_walk.c), this and spf_match.c answer.
 *
 * A record that was fetched is read strictly (spf_record.c) and written anew in canonical form: each term that may match becomes a question with a
 * number, in `questions`. Of ip4 and ip6 only those that match are written, and nothing behind a term that always matches, so a canonical record
 * has twelve terms at most. When the walk comes to a question, its name is expanded and DNS is asked.
 *
 * Three things end a walk before its end: temperror, permerror (`stop`), and a limit. A missing answer does not: `missing` is counted, the term is
 * taken not to match, an unknown record to be neutral, and the walk goes on, asking. What was found behind a missing answer counts for nothing:
 * a result is a result only when nothing was missing before it.
 *
 * Decided here, where the RFC leaves it open: behind an include or redirect to a name that DNS cannot be asked for there is no record (4.8: undefined), so
 * permerror; a void lookup is a term whose queries found nothing (4.6.4 speaks of terms).
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spf_evaluation.h"

const char *const spf_verdict_names[] = {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"};

/* --- asking, and the limits --- */

const struct dns_answer *spf_evaluation_ask(struct spf_evaluation *e, struct str name, unsigned type)
{
    e->result.questions++;
    return e->ask(e->context, name, type);
}

enum spf_reply spf_evaluation_stop(struct spf_evaluation *e, enum spf_verdict verdict, const char *problem, struct str term)
{
    struct buf text = {0};

    e->stop = verdict;
    if (!e->missing) {
        buf_cstr(&text, problem);
        for (size_t i = 0; i < term.n && i < 100; i++) {
            buf_cstr(&text, i ? "" : ": ");
            buf_char(&text, term.p[i] >= 0x20 && term.p[i] <= 0x7e ? term.p[i] : '?');
        }
        e->result.problem = arena_str(e->arena, buf_view(&text));
    }
    buf_free(&text);
    return SPF_STOP;
}

enum spf_reply spf_evaluation_missing(struct spf_evaluation *e)
{
    e->missing++;
    return SPF_NO;
}

enum spf_reply spf_evaluation_failed(struct spf_evaluation *e, const struct dns_answer *a, const struct spf_question *q)
{
    char problem[64];

    snprintf(problem, sizeof problem, "DNS %s", dns_status_names[a->status]);
    return spf_evaluation_stop(e, SPF_TEMPERROR, problem, q->written.n ? q->written : q->domain);
}

/* 4.6.4: this term asks DNS. False: it is one too many. */
static bool count_lookup(struct spf_evaluation *e, const struct spf_question *q)
{
    if (e->result.lookups == SPF_LOOKUPS_MAX) {
        spf_evaluation_stop(e, SPF_PERMERROR, "more than 10 terms that ask DNS", q->written);
        return false;
    }
    e->result.lookups++;
    return true;
}

enum spf_reply spf_evaluation_void(struct spf_evaluation *e, const struct spf_question *q)
{
    e->result.void_lookups++;
    if (e->result.void_lookups > SPF_VOID_MAX)
        return spf_evaluation_stop(e, SPF_PERMERROR, "more than 2 terms whose names do not exist", q->written);
    return SPF_NO;
}

/* --- the walk's questions --- */

static enum spf_reply put_question(void *context, unsigned id)
{
    struct spf_evaluation *e = context;

    if (id >= e->question_count || e->stop)
        return SPF_STOP;
    const struct spf_question *q = &e->questions[id];
    if (q->top)
        e->matched = id;
    if (q->kind > SPF_KIND_UNKNOWN)
        return SPF_YES;
    return count_lookup(e, q) ? spf_match(e, q) : SPF_STOP;
}

/* --- records --- */

static unsigned add_question(struct spf_evaluation *e, struct spf_question q)
{
    assert(e->question_count < SPF_QUESTIONS_MAX);
    e->questions[e->question_count] = q;
    return e->question_count++;
}

/* Can this term match the client at all, without asking? ip4 and ip6 are judged here; all always matches. */
static bool judge_term(const struct spf_term *term, const struct addr *client, struct spf_question *q)
{
    struct prefix network;

    switch (term->kind) {
    case SPF_KIND_ALL:
        q->kind = SPF_ANSWER_MATCHES;
        return true;
    case SPF_KIND_IP4:
    case SPF_KIND_IP6:
        q->kind = SPF_ANSWER_MATCHES;
        network = addr_network(&term->network, term->bits4, term->bits6);
        return prefix_contains(&network, client);
    case SPF_KIND_REDIRECT:
    case SPF_KIND_EXP:
    case SPF_KIND_UNKNOWN:
        return false;
    }
    q->kind = term->kind;
    q->bits = client->family == 6 ? term->bits6 : term->bits4;
    return true;
}

/* The record in canonical form (spf_walk.c): its questions, up to one that always matches, and redirect if no all stands in it (6.1). */
static void write_canonical(struct spf_evaluation *e, const struct spf_record *r, struct str domain, bool top, char text[SPF_CANONICAL_MAX])
{
    struct str rest = r->terms;
    struct spf_term term;
    const char *error;
    int n = snprintf(text, SPF_CANONICAL_MAX, "v=spf1");

    for (unsigned asking = 0; spf_term_next(&rest, &term, &error);) {
        struct spf_question q = {.top = top, .written = term.written, .spec = term.domain, .domain = domain};
        if (!judge_term(&term, &e->in->client, &q))
            continue;
        n += snprintf(text + n, SPF_CANONICAL_MAX - (size_t)n, " %c%s:%u.spf", term.qualifier, q.kind == SPF_KIND_INCLUDE ? "include" : "exists",
                      add_question(e, q));
        if (q.kind == SPF_ANSWER_MATCHES || ++asking > SPF_LOOKUPS_MAX)
            return;
    }
    struct spf_question last = {.kind = SPF_ANSWER_DEFAULT, .top = top, .domain = domain};
    if (r->redirect.written.n && !r->has_all) {
        last.kind = SPF_KIND_REDIRECT;
        last.written = r->redirect.written;
        last.spec = r->redirect.domain;
        snprintf(text + n, SPF_CANONICAL_MAX - (size_t)n, " redirect=%u.spf", add_question(e, last));
    } else { /* 4.7: neutral */
        snprintf(text + n, SPF_CANONICAL_MAX - (size_t)n, " ?exists:%u.spf", add_question(e, last));
    }
}

/* The SPF record among TXT records (4.5). False: none or several (*count). */
static bool select_record(const struct dns_answer *a, struct str *text, size_t *count)
{
    *count = 0;
    for (size_t i = 0; a->status == DNS_OK && i < a->count; i++)
        if (spf_record_version(a->records[i].text) && (*count)++ == 0)
            *text = a->records[i].text;
    return *count == 1;
}

enum opened { OPENED, OPENED_MISSING, OPENED_NONE, OPENED_NO_MATCH, OPENED_STOPPED };

/* Fetches, reads and rewrites the record of domain (4.4 to 4.6). */
static enum opened open_record(struct spf_evaluation *e, const struct spf_question *q, struct str domain, char text[SPF_CANONICAL_MAX])
{
    struct str record = STR_NONE;
    struct spf_record parsed;
    size_t count;

    if (!spf_domain_valid(&domain))
        return OPENED_NONE; /* 4.3 */
    const struct dns_answer *a = spf_evaluation_ask(e, domain, DNS_TXT);
    if (!a) {
        spf_evaluation_missing(e);
        return OPENED_MISSING;
    }
    if (dns_failed(a->status)) {
        spf_evaluation_failed(e, a, q);
        return OPENED_STOPPED;
    }
    if (!select_record(a, &record, &count)) {
        if (count == 0)
            return OPENED_NONE;
        spf_evaluation_stop(e, SPF_PERMERROR, "several SPF records", domain);
        return OPENED_STOPPED;
    }
    if (!spf_record_parse(record, &parsed)) {
        spf_evaluation_stop(e, SPF_PERMERROR, parsed.error, parsed.culprit);
        return OPENED_STOPPED;
    }
    if (q->top) { /* 6.2: of a redirect, the target's */
        e->exp = parsed.exp.domain;
        e->exp_domain = domain;
    }
    write_canonical(e, &parsed, domain, q->top, text);
    return OPENED;
}

static enum opened open_target(struct spf_evaluation *e, const struct spf_question *q, char text[SPF_CANONICAL_MAX])
{
    struct str name;

    switch (spf_match_target(e, q->spec, q->domain, &name)) {
    case SPF_TARGET_MISSING:
        spf_evaluation_missing(e);
        return OPENED_MISSING;
    case SPF_TARGET_FOREIGN: /* RFC 8616 4: such a term matches nothing; where a redirect leads there is nothing */
        return q->kind == SPF_KIND_INCLUDE ? OPENED_NO_MATCH : OPENED_NONE;
    case SPF_TARGET_BAD: return OPENED_NONE;
    case SPF_TARGET_NAME: break;
    }
    return open_record(e, q, name, text);
}

/* The record behind an include or redirect (5.2, 6.1). */
static bool put_record(void *context, unsigned id, char text[SPF_CANONICAL_MAX])
{
    struct spf_evaluation *e = context;

    if (id == 0) {
        memcpy(text, e->first, SPF_CANONICAL_MAX);
        return true;
    }
    if (id >= e->question_count || e->stop)
        return false;
    struct spf_question q = e->questions[id];
    if (q.top)
        e->matched = id;
    q.top = q.top && q.kind == SPF_KIND_REDIRECT;
    if (!count_lookup(e, &q))
        return false;
    switch (open_target(e, &q, text)) {
    case OPENED: return true;
    case OPENED_STOPPED: return false;
    case OPENED_NONE:
        spf_evaluation_stop(e, SPF_PERMERROR, "no SPF record there", q.written);
        return false;
    case OPENED_MISSING:
    case OPENED_NO_MATCH: break;
    }
    struct spf_question neutral = {.kind = SPF_ANSWER_DEFAULT};
    if (e->question_count == SPF_QUESTIONS_MAX)
        return false;
    snprintf(text, SPF_CANONICAL_MAX, "v=spf1 ?exists:%u.spf", add_question(e, neutral));
    return true;
}

/* --- the whole --- */

/* exp= of the deciding record (6.2). False: not yet. */
static bool explain(struct spf_evaluation *e)
{
    struct spf_macros m = spf_match_macros(e, e->exp_domain);
    struct str name;

    if (!e->exp.n)
        return true;
    switch (spf_match_target(e, e->exp, e->exp_domain, &name)) {
    case SPF_TARGET_MISSING: return false;
    case SPF_TARGET_BAD:
    case SPF_TARGET_FOREIGN: return true;
    case SPF_TARGET_NAME: break;
    }
    const struct dns_answer *a = spf_evaluation_ask(e, name, DNS_TXT);
    return a && spf_explain(a, &m, e->arena, &e->result.explanation);
}

static bool evaluate(struct spf_evaluation *e)
{
    struct spf_question start = {.kind = SPF_KIND_REDIRECT, .top = true, .domain = e->in->domain};
    struct spf_walker walker = {.question = put_question, .record = put_record, .context = e};

    add_question(e, start); /* number 0 */
    switch (open_record(e, &start, e->in->domain, e->first)) {
    case OPENED_MISSING:
        return false;
    case OPENED_NONE:
    case OPENED_NO_MATCH:
        e->result.verdict = SPF_NONE;
        return true;
    case OPENED_STOPPED:
        e->result.verdict = e->stop;
        return true;
    case OPENED: break;
    }
    enum spf_verdict verdict = spf_walk(&walker);
    if (e->missing)
        return false;
    e->result.verdict = e->stop ? e->stop : verdict;
    if (e->stop)
        return true;
    e->result.mechanism = arena_str(e->arena, e->questions[e->matched].written);
    return verdict != SPF_FAIL || explain(e);
}

bool spf_evaluate(const struct spf_input *in, spf_ask ask_dns, void *context, struct arena *arena, struct spf_result *out)
{
    struct spf_evaluation *e = xcalloc(1, sizeof *e);

    e->in = in;
    e->ask = ask_dns;
    e->context = context;
    e->arena = arena;
    bool done = evaluate(e);
    *out = e->result;
    arena_clear(&e->work);
    free(e);
    return done;
}
