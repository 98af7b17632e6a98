/*
 * dmarc_evaluate.c - tree walk, policy discovery, alignment, verdict (RFC 9989 4.10, 5.3).
 *
 * The story: the walk of the author domain gives the record that applies (its own, its organizational domain's, its public
 * suffix's) and its organizational domain. An authenticated domain is aligned when it is the author domain; in relaxed mode also
 * when its own walk ends at the same organizational domain. As that is always the domain itself or a name above it, a domain
 * outside the author's organizational domain is not aligned whatever DNS says, and costs no question: whoever signs with a
 * foreign name cannot make us ask about it.
 *
 * A walk is asked for as a whole, and read one name after the other up to where it stops; what lies behind is not looked at.
 * Three states run through all of it: known, not yet, and failed (DNS had no answer), which makes a verdict only where an
 * aligned pass does not decide first.
 */
#include <assert.h>
#include <string.h>

#include "postern/checks/dmarc.h"

const char *const dmarc_verdict_names[] = {[DMARC_RESULT_NONE] = "none",
                                           [DMARC_PASS] = "pass",
                                           [DMARC_FAIL] = "fail",
                                           [DMARC_TEMPERROR] = "temperror",
                                           [DMARC_PERMERROR] = "permerror"};

enum state { KNOWN, NOT_YET, FAILED };

struct asker {
    dmarc_ask ask;
    void *context;
    struct arena *arena;
    unsigned questions;
    struct str problem; /* the first failure */
};

static const struct dns_answer *ask(struct asker *a, struct str name, unsigned type)
{
    a->questions++;
    return a->ask(a->context, name, type);
}

static enum state failed(struct asker *a, struct str name, const struct dns_answer *answer)
{
    if (!a->problem.p)
        a->problem = arena_printf(a->arena, "DNS %s for %.*s", dns_status_names[answer->status], STR_ARG(name));
    return FAILED;
}

/* --- the tree walk (4.10) ---------------------------------------------------------------------------------- */

struct walk_step {
    struct str domain;         /* of the walk's start: a tail of it */
    struct str name;           /* that was asked */
    const struct dns_answer *answer;
};

struct found { /* a record on the way */
    struct str domain;
    struct dmarc_record record;
};

struct tree {
    enum state state;          /* of the walk as far as it had to go */
    struct str start;
    struct found found[DMARC_WALK_MAX];
    size_t count;              /* longest name first */
    struct str organizational; /* KNOWN */
};

static struct str parent(struct str domain)
{
    size_t dot = str_find(domain, '.', 0);

    return str_sub(domain, dot + 1, domain.n);
}

static size_t label_count(struct str domain)
{
    size_t n = domain.n > 0;

    for (size_t i = 0; i < domain.n; i++)
        n += domain.p[i] == '.';
    return n;
}

/* Steps 4 and 7: from the start to 7 labels at most, then one label at a time. */
static struct str next_target(struct str domain, size_t labels)
{
    if (labels < DMARC_WALK_MAX)
        return parent(domain);
    for (; labels >= DMARC_WALK_MAX; labels--)
        domain = parent(domain);
    return domain;
}

/* The one record at a name; several are none (step 2). */
static bool record_of(const struct dns_answer *a, struct dmarc_record *out)
{
    struct dmarc_record record;
    size_t n = 0;

    for (size_t i = 0; a->status == DNS_OK && i < a->count; i++) {
        if (!dmarc_record_parse(a->records[i].text, &record))
            continue;
        *out = record;
        n++;
    }
    return n == 1;
}

static size_t ask_walk(struct asker *a, struct str start, struct walk_step steps[DMARC_WALK_MAX])
{
    size_t n = 0;

    for (struct str domain = start; domain.n; domain = next_target(domain, label_count(domain))) {
        assert(n < DMARC_WALK_MAX);
        steps[n].domain = domain;
        steps[n].name = arena_printf(a->arena, "_dmarc.%.*s", STR_ARG(domain));
        steps[n].answer = ask(a, steps[n].name, DNS_TXT);
        n++;
    }
    return n;
}

/* The name one label below `above`, on the way to start. */
static struct str one_below(struct str start, struct str above)
{
    size_t i = start.n - above.n - 1; /* the dot before it */

    while (i > 0 && start.p[i - 1] != '.')
        i--;
    return str_sub(start, i, start.n);
}

/* 4.10.2. The walk stops at a psd tag, so that only the last record has one. */
static struct str organizational(const struct tree *t)
{
    if (t->count == 0)
        return t->start;
    const struct found *last = &t->found[t->count - 1];
    if (last->record.psd == DMARC_PSD_YES && last->domain.n < t->start.n)
        return one_below(t->start, last->domain);
    return last->domain;
}

static struct tree walk(struct asker *a, struct str start)
{
    struct tree t = {.start = start};
    struct walk_step steps[DMARC_WALK_MAX];
    size_t n = ask_walk(a, start, steps);

    for (size_t i = 0; i < n && t.state == KNOWN; i++) {
        struct found *f = &t.found[t.count];
        if (!steps[i].answer) {
            t.state = NOT_YET;
        } else if (dns_failed(steps[i].answer->status)) {
            t.state = failed(a, steps[i].name, steps[i].answer);
        } else if (record_of(steps[i].answer, &f->record)) {
            f->domain = steps[i].domain;
            t.count++;
            if (f->record.psd != DMARC_PSD_UNKNOWN)
                break;
        }
    }
    t.organizational = organizational(&t);
    return t;
}

/* --- the record that applies (4.10.1) ---------------------------------------------------------------------- */

/* NULL: none; the walk must be known unless the author domain itself has one. */
static const struct found *discover(const struct tree *t)
{
    const struct found *suffix = NULL;

    for (size_t i = 0; i < t->count; i++) {
        const struct found *f = &t->found[i];
        if (f->domain.n == t->start.n) /* the author domain's own */
            return f;
        if (f->domain.n == t->organizational.n)
            return f;
        if (f->record.psd == DMARC_PSD_YES)
            suffix = f;
    }
    return suffix;
}

/* Does the author domain exist? (3.2.13: it does unless the answer for it is NXDOMAIN.) Asked only where np says something else
 * than sp. */
static enum state exists(struct asker *a, struct str domain, bool *out)
{
    const struct dns_answer *answer = ask(a, domain, DNS_A);

    if (!answer)
        return NOT_YET;
    *out = answer->status != DNS_NXDOMAIN;
    return dns_failed(answer->status) ? failed(a, domain, answer) : KNOWN;
}

static enum state policy_that_applies(struct asker *a, const struct found *f, struct str author, enum dmarc_policy *out)
{
    enum state state = KNOWN;
    bool there = true;

    *out = f->record.p;
    if (f->domain.n != author.n) {
        if (f->record.np != f->record.sp)
            state = exists(a, author, &there);
        *out = there ? f->record.sp : f->record.np;
    }
    if (f->record.test && *out > DMARC_NONE) /* t=y: one level lower (4.7) */
        --*out;
    return state;
}

/* --- alignment (4.4, 4.10.2) ------------------------------------------------------------------------------- */

static bool is_within(struct str domain, struct str above)
{
    return str_ends_nocase(domain, above) && (domain.n == above.n || domain.p[domain.n - above.n - 1] == '.');
}

static enum state aligned(struct asker *a, const struct tree *author, struct str identifier, bool strict, bool *out)
{
    *out = str_eq(identifier, author->start);
    if (*out || strict || identifier.n == 0)
        return KNOWN;
    if (author->state != KNOWN) /* its organizational domain is not known: only the name itself is certainly aligned */
        return author->state;
    if (!is_within(identifier, author->organizational))
        return KNOWN;
    struct tree t = walk(a, identifier);
    *out = t.state == KNOWN && str_eq(t.organizational, author->organizational);
    return t.state;
}

static struct str normal(struct arena *arena, struct str domain)
{
    if (domain.n > 1 && domain.p[domain.n - 1] == '.')
        domain.n--;
    return arena_lower(arena, domain);
}

/* Any of the signatures will do. Those that need no question are looked at first. */
static enum state any_aligned(struct asker *a, const struct tree *author, const struct str *list, size_t count, bool strict, bool *out)
{
    size_t n = count < DMARC_IDENTIFIERS_MAX ? count : DMARC_IDENTIFIERS_MAX;
    struct str domains[DMARC_IDENTIFIERS_MAX];
    enum state worst = KNOWN;

    *out = false;
    for (size_t i = 0; i < n && !*out; i++) {
        domains[i] = normal(a->arena, list[i]);
        *out = str_eq(domains[i], author->start);
    }
    for (size_t i = 0; i < n && !*out; i++) {
        enum state state = aligned(a, author, domains[i], strict, out);
        if (worst == KNOWN || state == NOT_YET)
            worst = state;
    }
    return *out ? KNOWN : worst;
}

/* --- the verdict (5.3.5, 5.3.6) ---------------------------------------------------------------------------- */

static void conclude(bool spf_known, bool dkim_known, struct asker *a, bool any_failed, struct dmarc_result *out)
{
    if (out->spf_aligned || out->dkim_aligned) {
        out->verdict = DMARC_PASS;
    } else if (any_failed || !spf_known || !dkim_known) {
        out->verdict = DMARC_TEMPERROR;
        if (!any_failed)
            a->problem = spf_known ? STR("DKIM has no result") : STR("SPF has no result");
    } else {
        out->verdict = DMARC_FAIL;
    }
}

static bool give_up(struct asker *a, struct dmarc_result *out)
{
    out->verdict = DMARC_TEMPERROR;
    out->problem = a->problem;
    out->questions = a->questions;
    return true;
}

bool dmarc_evaluate(const struct dmarc_input *in, dmarc_ask ask_function, void *context, struct arena *arena,
                    struct dmarc_result *out)
{
    struct asker a = {.ask = ask_function, .context = context, .arena = arena};

    *out = (struct dmarc_result){.verdict = DMARC_RESULT_NONE};
    struct tree author = walk(&a, in->author);
    const struct found *f = author.count > 0 || author.state == KNOWN ? discover(&author) : NULL;
    bool own = f && f->domain.n == in->author.n;
    out->questions = a.questions;
    if (!own && author.state == NOT_YET)
        return false;
    if (!own && author.state == FAILED)
        return give_up(&a, out);
    if (!f || !f->record.usable)
        return true;
    out->test = f->record.test;
    out->domain = f->domain;
    enum state policy = policy_that_applies(&a, f, in->author, &out->policy);
    enum state spf = aligned(&a, &author, normal(arena, in->spf_domain), f->record.spf_strict, &out->spf_aligned);
    enum state dkim = any_aligned(&a, &author, in->dkim, in->dkim_count, f->record.dkim_strict, &out->dkim_aligned);
    bool in_doubt = false; /* a signature that could pass yet */
    enum state pending = KNOWN;
    if (!out->spf_aligned && !out->dkim_aligned)
        pending = any_aligned(&a, &author, in->pending, in->pending_count, f->record.dkim_strict, &in_doubt);
    out->questions = a.questions;
    if (policy == NOT_YET || spf == NOT_YET || dkim == NOT_YET || pending == NOT_YET)
        return false;
    out->applies = policy == KNOWN;
    bool any_failed = policy == FAILED || spf == FAILED || dkim == FAILED || pending == FAILED;
    conclude(in->spf_known, in->dkim_known && !in_doubt, &a, any_failed, out);
    out->domain = arena_str(arena, out->domain);
    out->problem = out->verdict == DMARC_TEMPERROR ? a.problem : STR_NONE;
    return true;
}
