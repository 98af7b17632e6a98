/*
 * helo_dns.c - helo.dns: does the name of HELO lead to the client?
 *
 * An address, in brackets or without, is compared as it stands. A single label and what is no host name are not asked: none. For a name the
 * client's own kind of address is asked together with the other kind, which alone tells "other" from "none".
 */
#include "internal.h"

static enum check_result say(struct scope *s, const char *word)
{
    facts_set_text(&s->facts, FACT_HELO_DNS, str_of(word));
    return CHECK_DONE;
}

static enum check_result fail(struct scope *s, const struct dns_answer *a, unsigned type)
{
    facts_set_error(&s->facts, FACT_HELO_DNS, dns_error_text(s, a, type));
    return CHECK_DONE;
}

static enum check_result ask(struct scope *s, struct str name)
{
    const struct addr *client = scope_client(s);
    unsigned own_type = client->family == 6 ? DNS_AAAA : DNS_A, other_type = client->family == 6 ? DNS_A : DNS_AAAA;
    const struct dns_answer *own = scope_dns(s, name, own_type), *other = scope_dns(s, name, other_type);

    if (!own)
        return CHECK_NOT_YET;
    if (dns_failed(own->status))
        return fail(s, own, own_type);
    if (own->status == DNS_OK)
        return say(s, answer_has_addr(own, client) ? "match" : "other");
    if (!other)
        return CHECK_NOT_YET;
    if (dns_failed(other->status))
        return fail(s, other, other_type);
    return say(s, other->status == DNS_OK ? "other" : "none");
}

enum check_result check_helo_dns(struct scope *s, const struct check_run *run)
{
    struct str name = s->subject->helo;
    struct addr address;

    (void)run;
    if (name.n == 0) {
        facts_set_absent(&s->facts, FACT_HELO_DNS);
        return CHECK_DONE;
    }
    enum helo_form form = helo_classify(name, &address);
    if (address.family)
        return say(s, addr_eq(&address, scope_client(s)) ? "match" : "other");
    return form == HELO_NAME ? ask(s, name) : say(s, "none");
}
