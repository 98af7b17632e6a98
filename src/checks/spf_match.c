/*
 * spf_match.c - what a term that asks DNS matches: a, mx, ptr, exists (RFC 7208 section 5), the names that they ask for (4.8), and %{p}.
 *
 * Decided here, where the RFC leaves it open:
 *   - names that DNS cannot be asked for (4.8: undefined) match nothing;
 *   - %{p} is no term: it is looked up once for each domain, bounded like ptr, and counts for no limit;
 *   - mx: among hosts of equal preference one that matches comes before one whose addresses cannot be had (their order is accident);
 *   - mx counts as void when none of its hosts has an address.
 */
#include <stdio.h>

#include "spf_evaluation.h"

static unsigned address_type(const struct spf_evaluation *e)
{
    return e->in->client.family == 6 ? DNS_AAAA : DNS_A;
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
static bool record_name(struct spf_evaluation *e, const struct dns_record *record, struct str *name)
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

static const struct dns_answer *ask_ptr(struct spf_evaluation *e)
{
    char labels[64], name[96];

    snprintf(name, sizeof name, "%s.%s.arpa", addr_reverse(&e->in->client, 128, labels), e->in->client.family == 6 ? "ip6" : "in-addr");
    return spf_evaluation_ask(e, str_of(name), DNS_PTR);
}

/* Which of the first ten names in ptr lead back to the client? Only names at or below domain are looked at, unless that is empty. Errors skip. */
static void validate(struct spf_evaluation *e, const struct dns_answer *ptr, struct str domain, struct names *out)
{
    *out = (struct names){0};
    for (size_t i = 0; ptr->status == DNS_OK && i < ptr->count && i < SPF_NAMES_MAX; i++) {
        struct str name;
        if (!record_name(e, &ptr->records[i], &name) || (domain.n && !is_at_or_below(name, domain)))
            continue;
        const struct dns_answer *a = spf_evaluation_ask(e, name, address_type(e));
        if (!a)
            out->missing = true;
        else if (is_address_of(a, &e->in->client, 128))
            out->valid[out->count++] = name;
    }
}

/* %{p}: the domain itself, else a name below it, else any, else "unknown" (7.3). */
static struct str validated_name(void *context, struct str domain)
{
    struct spf_evaluation *e = context;
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

struct spf_macros spf_match_macros(struct spf_evaluation *e, struct str domain)
{
    const struct spf_input *in = e->in;

    return (struct spf_macros){.local = in->local, .sender_domain = in->domain, .helo = in->helo, .receiver = in->receiver, .domain = domain,
                               .client = in->client, .time = in->time, .validated = validated_name, .context = e};
}

enum spf_target spf_match_target(struct spf_evaluation *e, struct str spec, struct str domain, struct str *name)
{
    struct buf text = {0};
    struct spf_macros m = spf_match_macros(e, domain);

    *name = domain;
    if (spec.n) {
        bool known = spf_expand(&text, spec, SPF_IN_TERM, &m);
        *name = arena_str(&e->work, buf_view(&text));
        buf_free(&text);
        if (!known)
            return SPF_TARGET_MISSING;
    }
    for (size_t i = 0; i < name->n; i++)
        if (name->p[i] & 0x80)
            return SPF_TARGET_FOREIGN;
    return spf_target_name(name) ? SPF_TARGET_NAME : SPF_TARGET_BAD;
}

/* --- mechanisms: does it match? --- */

/* a (5.3): an address of the name, of the client's kind. exists (5.7): any A record. */
static enum spf_reply match_address(struct spf_evaluation *e, const struct spf_question *q, struct str name)
{
    const struct dns_answer *a = spf_evaluation_ask(e, name, q->kind == SPF_KIND_EXISTS ? DNS_A : address_type(e));

    if (!a)
        return spf_evaluation_missing(e);
    if (dns_failed(a->status))
        return spf_evaluation_failed(e, a, q);
    if (a->status == DNS_NODATA || a->status == DNS_NXDOMAIN)
        return spf_evaluation_void(e, q);
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

static void look_at_host(struct spf_evaluation *e, const struct spf_question *q, const struct dns_record *mx, struct hosts *h)
{
    struct str name;

    if (!record_name(e, mx, &name))
        return;
    const struct dns_answer *a = spf_evaluation_ask(e, name, address_type(e));
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
static enum spf_reply match_hosts(struct spf_evaluation *e, const struct spf_question *q, const struct dns_answer *mx)
{
    struct hosts h = {NO_HOST, NO_HOST, NO_HOST, false, NULL};

    for (size_t i = 0; i < mx->count; i++)
        look_at_host(e, q, &mx->records[i], &h);
    if (h.match < NO_HOST && h.match <= h.trouble && h.match <= h.unknown)
        return SPF_YES;
    if (h.unknown <= h.match && h.unknown <= h.trouble && h.unknown < NO_HOST)
        return spf_evaluation_missing(e);
    if (h.trouble < NO_HOST)
        return spf_evaluation_failed(e, h.error, q);
    return h.with_address ? SPF_NO : spf_evaluation_void(e, q);
}

/* mx (5.4); 4.6.4: more than ten names are a permerror. */
static enum spf_reply match_mx(struct spf_evaluation *e, const struct spf_question *q, struct str name)
{
    const struct dns_answer *mx = spf_evaluation_ask(e, name, DNS_MX);

    if (!mx)
        return spf_evaluation_missing(e);
    if (dns_failed(mx->status))
        return spf_evaluation_failed(e, mx, q);
    if (mx->status == DNS_NODATA || mx->status == DNS_NXDOMAIN)
        return spf_evaluation_void(e, q);
    if (mx->status != DNS_OK)
        return SPF_NO;
    if (mx->count > SPF_NAMES_MAX)
        return spf_evaluation_stop(e, SPF_PERMERROR, "more than 10 MX names", q->written);
    return match_hosts(e, q, mx);
}

/* ptr (5.5): errors of DNS are no match; 4.6.4: names after the tenth are ignored. */
static enum spf_reply match_ptr(struct spf_evaluation *e, const struct spf_question *q, struct str name)
{
    const struct dns_answer *ptr = ask_ptr(e);
    struct names names;

    if (!ptr)
        return spf_evaluation_missing(e);
    if (ptr->status == DNS_NODATA || ptr->status == DNS_NXDOMAIN)
        return spf_evaluation_void(e, q);
    validate(e, ptr, name, &names);
    if (names.count)
        return SPF_YES;
    return names.missing ? spf_evaluation_missing(e) : SPF_NO;
}

enum spf_reply spf_match(struct spf_evaluation *e, const struct spf_question *q)
{
    struct str name;

    switch (spf_match_target(e, q->spec, q->domain, &name)) {
    case SPF_TARGET_MISSING: return spf_evaluation_missing(e);
    case SPF_TARGET_BAD:
    case SPF_TARGET_FOREIGN: return SPF_NO;
    case SPF_TARGET_NAME: break;
    }
    switch (q->kind) {
    case SPF_KIND_MX: return match_mx(e, q, name);
    case SPF_KIND_PTR: return match_ptr(e, q, name);
    }
    return match_address(e, q, name);
}
