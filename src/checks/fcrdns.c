/*
 * fcrdns.c - fcrdns, client.name: does the name that the address has lead back to the address? (RFC 8601 section 3 calls it "iprev".)
 *
 * All names of the PTR records (ten at most; what is no host name is passed over) are asked for the client's own kind of address at once. The
 * first name in the records' order that leads back is the client's name, whatever order the answers come in. A name that could not be found
 * out about makes an error only when no other name leads back.
 */
#include <stdio.h>

#include "internal.h"

enum { NAMES_MAX = 10 };

static void fail(struct scope *s, struct str why)
{
    facts_set_error(&s->facts, FACT_FCRDNS, why);
    facts_set_error(&s->facts, FACT_CLIENT_NAME, why);
}

static void nameless(struct scope *s, const char *word)
{
    facts_set_text(&s->facts, FACT_FCRDNS, str_of(word));
    facts_set_absent(&s->facts, FACT_CLIENT_NAME);
}

static enum check_result confirm(struct scope *s, const struct check_run *run, const struct dns_answer *ptr)
{
    const struct addr *client = scope_client(s);
    unsigned type = client->family == 6 ? DNS_AAAA : DNS_A;
    const struct dns_answer *failed = NULL;
    struct str confirmed = STR_NONE;
    bool waiting = false, waiting_before = false;

    for (size_t i = 0, tried = 0; i < ptr->count && tried < NAMES_MAX; i++) {
        struct str name = ptr->records[i].name;
        if (!domain_valid(name))
            continue;
        tried++;
        const struct dns_answer *a = scope_dns(s, name, type);
        if (!a)
            waiting = true;
        else if (dns_failed(a->status))
            failed = a;
        else if (!confirmed.p && answer_has_addr(a, client)) {
            confirmed = name;
            waiting_before = waiting;
        }
    }
    if (confirmed.p && (!waiting_before || check_is_late(s, run))) {
        facts_set_text(&s->facts, FACT_FCRDNS, STR("pass"));
        facts_set_text(&s->facts, FACT_CLIENT_NAME, confirmed);
        return CHECK_DONE;
    }
    if (waiting)
        return CHECK_NOT_YET;
    if (failed)
        fail(s, dns_error_text(s, failed, type));
    else
        nameless(s, "mismatch");
    return CHECK_DONE;
}

enum check_result check_fcrdns(struct scope *s, const struct check_run *run)
{
    const struct addr *client = scope_client(s);
    char labels[64], name[96];

    snprintf(name, sizeof name, "%s.%s", addr_reverse(client, 128, labels), client->family == 6 ? "ip6.arpa" : "in-addr.arpa");
    const struct dns_answer *ptr = scope_dns(s, str_of(name), DNS_PTR);
    if (!ptr)
        return CHECK_NOT_YET;
    if (ptr->status == DNS_OK)
        return confirm(s, run, ptr);
    if (dns_failed(ptr->status))
        fail(s, dns_error_text(s, ptr, DNS_PTR));
    else
        nameless(s, "none");
    return CHECK_DONE;
}
