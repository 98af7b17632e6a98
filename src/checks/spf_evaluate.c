/*
 * spf_evaluate.c - check_host() of RFC 7208: what each term matches, and every limit. libspf2 walks (spf_walk.c), this answers.
 *
 * A record that was fetched is read strictly (spf_record.c) and written anew in canonical form: each term that may match becomes a question with a
 * number, in `questions`. Of ip4 and ip6 only those that match are written, and nothing behind a term that always matches, so a canonical record
 * has twelve terms at most. When the walk comes to a question, its name is expanded and DNS is asked.
 *
 * Three things end a walk before its end: temperror, permerror (`stop`), and a limit. A missing answer does not: `missing` is counted, the term is
 * taken not to match, an unknown record to be neutral, and the walk goes on, asking. What was found behind a missing answer counts for nothing:
 * a result is a result only when nothing was missing before it.
 *
 * Decided here, where the RFC leaves it open:
 *   - names that DNS cannot be asked for (4.8: undefined): nothing matches; include and redirect: permerror, as for any domain without a record;
 *   - a void lookup is a term whose query found nothing; mx counts when none of its hosts has an address (4.6.4 speaks of terms);
 *   - %{p} is no term: it is looked up once for each domain, bounded like ptr, and counts for no limit;
 *   - mx: among hosts of equal preference one that matches comes before one whose addresses cannot be had (their order is accident).
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spf_internal.h"

const char *const spf_verdict_names[] = {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"};

/* One record for the start and each lookup; of each at most SPF_LOOKUPS_MAX + 1 terms that ask, one that always matches, and redirect. */
enum { TERMS_MAX = SPF_LOOKUPS_MAX + 3, QUESTIONS_MAX = (SPF_LOOKUPS_MAX + 1) * TERMS_MAX + 1 };

enum answer_kind { ANSWER_MATCHES = SPF_KIND_UNKNOWN + 1, ANSWER_DEFAULT }; /* questions that are no term to be asked: always yes */

struct question {
    uint8_t kind;         /* enum spf_kind or answer_kind */
    bool top;             /* of the record that decides: not of an included one */
    uint8_t bits;         /* a, mx: prefix length, of the client's family */
    struct str written;   /* the term */
    struct str spec;      /* its domain-spec, or empty */
    struct str domain;    /* <domain> of the record it stands in */
};

struct evaluation {
    const struct spf_input *in;
    spf_ask ask;
    void *context;
    struct arena *arena;         /* of the result */
    struct arena work;           /* of this run */
    struct spf_result result;
    unsigned missing;
    enum spf_verdict stop;       /* SPF_TEMPERROR, SPF_PERMERROR: decided, the walk is being left. SPF_NONE: not */
    struct question questions[QUESTIONS_MAX];
    unsigned question_count;
    unsigned matched;            /* the last question of the deciding record that was put: when the walk ends there, it matched */
    struct str exp, exp_domain;  /* of the deciding record: exp= and its <domain> */
    char first[SPF_CANONICAL_MAX];
    struct str seen_domain;      /* %{p}: the domain of the last answer, p NULL: none yet */
    struct str seen_name;
};

/* --- asking --- */

static const struct dns_answer *ask(struct evaluation *e, struct str name, unsigned type)
{
    e->result.questions++;
    return e->ask(e->context, name, type);
}

static unsigned address_type(const struct evaluation *e)
{
    return e->in->client.family == 6 ? DNS_AAAA : DNS_A;
}

static enum spf_reply stop(struct evaluation *e, enum spf_verdict verdict, const char *problem, struct str term)
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

static enum spf_reply missing(struct evaluation *e)
{
    e->missing++;
    return SPF_NO;
}

static enum spf_reply failed(struct evaluation *e, const struct dns_answer *a, const struct question *q)
{
    char problem[64];

    snprintf(problem, sizeof problem, "DNS %s", dns_status_names[a->status]);
    return stop(e, SPF_TEMPERROR, problem, q->written.n ? q->written : q->domain);
}

/* 4.6.4: this term asks DNS. False: it is one too many. */
static bool count_lookup(struct evaluation *e, const struct question *q)
{
    if (e->result.lookups == SPF_LOOKUPS_MAX) {
        stop(e, SPF_PERMERROR, "more than 10 terms that ask DNS", q->written);
        return false;
    }
    e->result.lookups++;
    return true;
}

/* 4.6.4: this term found nothing. */
static enum spf_reply found_nothing(struct evaluation *e, const struct question *q)
{
    e->result.void_lookups++;
    if (e->result.void_lookups > SPF_VOID_MAX)
        return stop(e, SPF_PERMERROR, "more than 2 terms whose names do not exist", q->written);
    return SPF_NO;
}

static bool is_address_of(const struct dns_answer *a, const struct addr *client, unsigned bits)
{
    for (size_t i = 0; a->status == DNS_OK && i < a->count; i++) {
        struct prefix network = addr_network(&a->records[i].addr, bits, bits);
        if (prefix_contains(&network, client))
            return true;
    }
    return false;
}

/* The name that a record of the answer holds, as it is asked for. False: DNS cannot be asked for it (RFC 7505: the null MX, among others). */
static bool record_name(struct evaluation *e, const struct dns_record *record, struct str *name)
{
    char text[254];

    if (!dns_name_of_record(record->name, text))
        return false;
    *name = arena_str(&e->work, str_of(text));
    return true;
}

/* --- the client's validated names: ptr and %{p} (5.5) --- */

struct names { /* of the client, those of the first ten that were looked at */
    struct str valid[SPF_NAMES_MAX];
    size_t count;
    bool missing;
};

static bool is_at_or_below(struct str name, struct str domain)
{
    return str_ends_nocase(name, domain) && (name.n == domain.n || name.p[name.n - domain.n - 1] == '.');
}

static const struct dns_answer *ask_ptr(struct evaluation *e)
{
    char labels[64], name[96];

    snprintf(name, sizeof name, "%s.%s.arpa", addr_reverse(&e->in->client, 128, labels), e->in->client.family == 6 ? "ip6" : "in-addr");
    return ask(e, str_of(name), DNS_PTR);
}

/* Which of the first ten names in ptr lead back to the client? Only names at or below domain are looked at, unless that is empty. Errors skip. */
static void validate(struct evaluation *e, const struct dns_answer *ptr, struct str domain, struct names *out)
{
    *out = (struct names){0};
    for (size_t i = 0; ptr->status == DNS_OK && i < ptr->count && i < SPF_NAMES_MAX; i++) {
        struct str name;
        if (!record_name(e, &ptr->records[i], &name) || (domain.n && !is_at_or_below(name, domain)))
            continue;
        const struct dns_answer *a = ask(e, name, address_type(e));
        if (!a)
            out->missing = true;
        else if (is_address_of(a, &e->in->client, 128))
            out->valid[out->count++] = name;
    }
}

/* %{p}: the domain itself, else a name below it, else any, else "unknown" (7.3). */
static struct str validated_name(void *context, struct str domain)
{
    struct evaluation *e = context;
    struct names names;
    struct str below = STR_NONE;

    if (e->seen_name.p && str_eq_nocase(e->seen_domain, domain))
        return e->seen_name;
    const struct dns_answer *ptr = ask_ptr(e);
    if (!ptr)
        return STR_NONE;
    validate(e, ptr, STR_NONE, &names);
    if (names.missing)
        return STR_NONE;
    e->seen_domain = domain;
    e->seen_name = names.count ? names.valid[0] : STR("unknown");
    for (size_t i = 0; i < names.count; i++) {
        if (str_eq_nocase(names.valid[i], domain))
            return e->seen_name = names.valid[i];
        if (!below.p && is_at_or_below(names.valid[i], domain))
            below = names.valid[i];
    }
    if (below.p)
        e->seen_name = below;
    return e->seen_name;
}

static struct spf_macros macros(struct evaluation *e, struct str domain)
{
    const struct spf_input *in = e->in;

    return (struct spf_macros){.local = in->local, .sender_domain = in->domain, .helo = in->helo, .receiver = in->receiver, .domain = domain,
                               .client = in->client, .time = in->time, .validated = validated_name, .context = e};
}

enum target { TARGET_NAME, TARGET_MISSING, TARGET_BAD, TARGET_FOREIGN /* bytes beyond ASCII, of the sender's local part */ };

/* <target-name> (4.8): the expanded domain-spec, or the domain of the record. In the work arena. */
static enum target target(struct evaluation *e, struct str spec, struct str domain, struct str *name)
{
    struct buf text = {0};
    struct spf_macros m = macros(e, domain);

    *name = domain;
    if (spec.n) {
        bool known = spf_expand(&text, spec, SPF_IN_TERM, &m);
        *name = arena_str(&e->work, buf_view(&text));
        buf_free(&text);
        if (!known)
            return TARGET_MISSING;
    }
    for (size_t i = 0; i < name->n; i++)
        if (name->p[i] & 0x80)
            return TARGET_FOREIGN;
    return spf_target_name(name) ? TARGET_NAME : TARGET_BAD;
}

/* --- mechanisms: does it match? --- */

/* a (5.3): an address of the name, of the client's kind. exists (5.7): any A record. */
static enum spf_reply match_address(struct evaluation *e, const struct question *q, struct str name)
{
    const struct dns_answer *a = ask(e, name, q->kind == SPF_KIND_EXISTS ? DNS_A : address_type(e));

    if (!a)
        return missing(e);
    if (dns_failed(a->status))
        return failed(e, a, q);
    if (a->status == DNS_NODATA || a->status == DNS_NXDOMAIN)
        return found_nothing(e, q);
    if (a->status != DNS_OK)
        return SPF_NO;
    return q->kind == SPF_KIND_EXISTS || is_address_of(a, &e->in->client, q->bits) ? SPF_YES : SPF_NO;
}

/* Best preference of the hosts of an mx that ...; above 65535: none does. */
struct hosts { uint32_t match, trouble, unknown; bool with_address; const struct dns_answer *error; };
enum { NO_HOST = 65536 };

static void better(uint32_t *best, uint32_t preference)
{
    if (preference < *best)
        *best = preference;
}

static void look_at_host(struct evaluation *e, const struct question *q, const struct dns_record *mx, struct hosts *h)
{
    struct str name;

    if (!record_name(e, mx, &name))
        return;
    const struct dns_answer *a = ask(e, name, address_type(e));
    if (!a) {
        better(&h->unknown, mx->preference);
    } else if (dns_failed(a->status)) {
        if (mx->preference < h->trouble)
            h->error = a;
        better(&h->trouble, mx->preference);
    } else if (is_address_of(a, &e->in->client, q->bits)) {
        better(&h->match, mx->preference);
    }
    h->with_address |= a && a->status == DNS_OK;
}

/* The hosts of an mx, in order of preference: the first that matches, or whose addresses cannot be had, decides (5.4). All are asked for at once. */
static enum spf_reply match_hosts(struct evaluation *e, const struct question *q, const struct dns_answer *mx)
{
    struct hosts h = {NO_HOST, NO_HOST, NO_HOST, false, NULL};

    for (size_t i = 0; i < mx->count; i++)
        look_at_host(e, q, &mx->records[i], &h);
    if (h.match < NO_HOST && h.match <= h.trouble && h.match <= h.unknown)
        return SPF_YES;
    if (h.unknown <= h.match && h.unknown <= h.trouble && h.unknown < NO_HOST)
        return missing(e);
    if (h.trouble < NO_HOST)
        return failed(e, h.error, q);
    return h.with_address ? SPF_NO : found_nothing(e, q);
}

/* mx (5.4); 4.6.4: more than ten names are a permerror. */
static enum spf_reply match_mx(struct evaluation *e, const struct question *q, struct str name)
{
    const struct dns_answer *mx = ask(e, name, DNS_MX);

    if (!mx)
        return missing(e);
    if (dns_failed(mx->status))
        return failed(e, mx, q);
    if (mx->status == DNS_NODATA || mx->status == DNS_NXDOMAIN)
        return found_nothing(e, q);
    if (mx->status != DNS_OK)
        return SPF_NO;
    if (mx->count > SPF_NAMES_MAX)
        return stop(e, SPF_PERMERROR, "more than 10 MX names", q->written);
    return match_hosts(e, q, mx);
}

/* ptr (5.5): errors of DNS are no match; 4.6.4: names after the tenth are ignored. */
static enum spf_reply match_ptr(struct evaluation *e, const struct question *q, struct str name)
{
    const struct dns_answer *ptr = ask_ptr(e);
    struct names names;

    if (!ptr)
        return missing(e);
    if (ptr->status == DNS_NODATA || ptr->status == DNS_NXDOMAIN)
        return found_nothing(e, q);
    validate(e, ptr, name, &names);
    if (names.count)
        return SPF_YES;
    return names.missing ? missing(e) : SPF_NO;
}

static enum spf_reply put_question(void *context, unsigned id)
{
    struct evaluation *e = context;
    struct str name;

    if (id >= e->question_count || e->stop)
        return SPF_STOP;
    const struct question *q = &e->questions[id];
    if (q->top)
        e->matched = id;
    if (q->kind > SPF_KIND_UNKNOWN)
        return SPF_YES;
    if (!count_lookup(e, q))
        return SPF_STOP;
    switch (target(e, q->spec, q->domain, &name)) {
    case TARGET_MISSING: return missing(e);
    case TARGET_BAD:
    case TARGET_FOREIGN: return SPF_NO;
    case TARGET_NAME: break;
    }
    if (q->kind == SPF_KIND_MX)
        return match_mx(e, q, name);
    return q->kind == SPF_KIND_PTR ? match_ptr(e, q, name) : match_address(e, q, name);
}

/* --- records --- */

static unsigned add_question(struct evaluation *e, struct question q)
{
    assert(e->question_count < QUESTIONS_MAX);
    e->questions[e->question_count] = q;
    return e->question_count++;
}

/* Can this term match the client at all, without asking? ip4 and ip6 are judged here; all always matches. */
static bool judge_term(const struct spf_term *term, const struct addr *client, struct question *q)
{
    struct prefix network;

    switch (term->kind) {
    case SPF_KIND_ALL:
        q->kind = ANSWER_MATCHES;
        return true;
    case SPF_KIND_IP4:
    case SPF_KIND_IP6:
        q->kind = ANSWER_MATCHES;
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
static void write_canonical(struct evaluation *e, const struct spf_record *r, struct str domain, bool top, char text[SPF_CANONICAL_MAX])
{
    struct str rest = r->terms;
    struct spf_term term;
    const char *error;
    int n = snprintf(text, SPF_CANONICAL_MAX, "v=spf1");

    for (unsigned asking = 0; spf_term_next(&rest, &term, &error);) {
        struct question q = {.top = top, .written = term.written, .spec = term.domain, .domain = domain};
        if (!judge_term(&term, &e->in->client, &q))
            continue;
        n += snprintf(text + n, SPF_CANONICAL_MAX - (size_t)n, " %c%s:%u.spf", term.qualifier, q.kind == SPF_KIND_INCLUDE ? "include" : "exists",
                      add_question(e, q));
        if (q.kind == ANSWER_MATCHES || ++asking > SPF_LOOKUPS_MAX)
            return;
    }
    struct question last = {.kind = ANSWER_DEFAULT, .top = top, .domain = domain};
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
static enum opened open_record(struct evaluation *e, const struct question *q, struct str domain, char text[SPF_CANONICAL_MAX])
{
    struct str record = STR_NONE;
    struct spf_record parsed;
    size_t count;

    if (!spf_domain_valid(&domain))
        return OPENED_NONE; /* 4.3 */
    const struct dns_answer *a = ask(e, domain, DNS_TXT);
    if (!a) {
        missing(e);
        return OPENED_MISSING;
    }
    if (dns_failed(a->status)) {
        failed(e, a, q);
        return OPENED_STOPPED;
    }
    if (!select_record(a, &record, &count)) {
        if (count == 0)
            return OPENED_NONE;
        stop(e, SPF_PERMERROR, "several SPF records", domain);
        return OPENED_STOPPED;
    }
    if (!spf_record_parse(record, &parsed)) {
        stop(e, SPF_PERMERROR, parsed.error, parsed.culprit);
        return OPENED_STOPPED;
    }
    if (q->top) { /* 6.2: of a redirect, the target's */
        e->exp = parsed.exp.domain;
        e->exp_domain = domain;
    }
    write_canonical(e, &parsed, domain, q->top, text);
    return OPENED;
}

static enum opened open_target(struct evaluation *e, const struct question *q, char text[SPF_CANONICAL_MAX])
{
    struct str name;

    switch (target(e, q->spec, q->domain, &name)) {
    case TARGET_MISSING:
        missing(e);
        return OPENED_MISSING;
    case TARGET_FOREIGN: /* RFC 8616 4: such a term matches nothing; where a redirect leads there is nothing */
        return q->kind == SPF_KIND_INCLUDE ? OPENED_NO_MATCH : OPENED_NONE;
    case TARGET_BAD: return OPENED_NONE;
    case TARGET_NAME: break;
    }
    return open_record(e, q, name, text);
}

/* The record behind an include or redirect (5.2, 6.1). */
static bool put_record(void *context, unsigned id, char text[SPF_CANONICAL_MAX])
{
    struct evaluation *e = context;

    if (id == 0) {
        memcpy(text, e->first, SPF_CANONICAL_MAX);
        return true;
    }
    if (id >= e->question_count || e->stop)
        return false;
    struct question q = e->questions[id];
    if (q.top)
        e->matched = id;
    q.top = q.top && q.kind == SPF_KIND_REDIRECT;
    if (!count_lookup(e, &q))
        return false;
    switch (open_target(e, &q, text)) {
    case OPENED: return true;
    case OPENED_STOPPED: return false;
    case OPENED_NONE:
        stop(e, SPF_PERMERROR, "no SPF record there", q.written);
        return false;
    case OPENED_MISSING:
    case OPENED_NO_MATCH: break;
    }
    struct question neutral = {.kind = ANSWER_DEFAULT};
    if (e->question_count == QUESTIONS_MAX)
        return false;
    snprintf(text, SPF_CANONICAL_MAX, "v=spf1 ?exists:%u.spf", add_question(e, neutral));
    return true;
}

/* --- the whole --- */

/* exp= of the deciding record (6.2). False: not yet. */
static bool explain(struct evaluation *e)
{
    struct spf_macros m = macros(e, e->exp_domain);
    struct str name;

    if (!e->exp.n)
        return true;
    switch (target(e, e->exp, e->exp_domain, &name)) {
    case TARGET_MISSING: return false;
    case TARGET_BAD:
    case TARGET_FOREIGN: return true;
    case TARGET_NAME: break;
    }
    const struct dns_answer *a = ask(e, name, DNS_TXT);
    return a && spf_explain(a, &m, e->arena, &e->result.explanation);
}

static bool evaluate(struct evaluation *e)
{
    struct question start = {.kind = SPF_KIND_REDIRECT, .top = true, .domain = e->in->domain};
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
    struct evaluation *e = xcalloc(1, sizeof *e);

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
