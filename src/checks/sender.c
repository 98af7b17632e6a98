/*
 * sender.c - mail.dns: how the sender's domain takes mail (RFC 5321 5.1, RFC 7505).
 *
 * MX first; only a domain without MX records is asked for addresses. A single MX of the root is a null MX; beside others it is passed over (RFC
 * 7505 section 3 forbids it). An address literal takes mail at its address: a.
 */
#include "internal.h"

static enum check_result say(struct scope *s, const char *word)
{
    facts_set_text(&s->facts, FACT_MAIL_DNS, str_of(word));
    return CHECK_DONE;
}

static enum check_result fail(struct scope *s, struct str why)
{
    facts_set_error(&s->facts, FACT_MAIL_DNS, why);
    return CHECK_DONE;
}

static bool is_null_mx(const struct dns_answer *mx)
{
    for (size_t i = 0; i < mx->count; i++)
        if (mx->records[i].name.n)
            return false;
    return true;
}

/* The implicit MX (RFC 5321 5.1). */
static enum check_result ask_addresses(struct scope *s, struct str domain)
{
    const struct dns_answer *a = scope_dns(s, domain, DNS_A), *aaaa = scope_dns(s, domain, DNS_AAAA);

    if ((a && a->status == DNS_OK) || (aaaa && aaaa->status == DNS_OK))
        return say(s, "a");
    if (!a || !aaaa)
        return CHECK_NOT_YET;
    if (dns_failed(a->status))
        return fail(s, dns_error_text(s, a, DNS_A));
    if (dns_failed(aaaa->status))
        return fail(s, dns_error_text(s, aaaa, DNS_AAAA));
    return say(s, "none");
}

enum check_result check_sender(struct scope *s, const struct check_run *run)
{
    const struct path *p = &s->subject->sender;

    (void)run;
    if (p->null || (p->domain.n == 0 && !p->literal)) {
        facts_set_absent(&s->facts, FACT_MAIL_DNS);
        return CHECK_DONE;
    }
    if (p->literal)
        return say(s, p->literal_addr.family ? "a" : "none");
    if (!domain_valid(p->domain) && domain_valid_utf8(p->domain))
        return fail(s, STR("internationalised domains are not looked up"));
    const struct dns_answer *mx = scope_dns(s, p->domain, DNS_MX);
    if (!mx)
        return CHECK_NOT_YET;
    if (dns_failed(mx->status))
        return fail(s, dns_error_text(s, mx, DNS_MX));
    if (mx->status == DNS_OK)
        return say(s, is_null_mx(mx) ? "null-mx" : "mx");
    return mx->status == DNS_NODATA ? ask_addresses(s, p->domain) : say(s, "none");
}
