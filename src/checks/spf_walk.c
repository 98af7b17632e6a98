/*
 * spf_walk.c - libspf2 walks the policy, we answer its questions.
 *
 * libspf2 1.2.10 does well what makes a policy a policy: terms in their order, qualifiers, the results of include and redirect, the default. It must
 * not see a byte from outside: it aborts on crafted macros (CVE-2023-42118), starts its limit of lookups anew in each include, knows no limit of void
 * lookups, drops terms past 511 bytes without a word, refuses /0, and always passes loopback. So it is given records in a canonical form that
 * spf_evaluate.c writes, of our own bytes only:
 *
 *     v=spf1 +exists:1.spf -include:2.spf ~exists:3.spf redirect=4.spf
 *
 * Each mechanism has become a question with a number, "does it exist?", and each record behind an include or redirect one to be fetched by its number.
 * What a mechanism matches, and every limit, is judged by whoever answers. To stop the walk a lookup fails, which libspf2 makes a temperror at once.
 *
 * A server, a request and a layer are made for each walk (two microseconds): libspf2 keeps nothing between walks.
 */
#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spf_internal.h"

#include <spf2/spf.h>
#include <spf2/spf_dns.h>

enum { SPF2_LOOKUPS = 1000000 }; /* its own limit is never reached: ours is the right one */

/* "12.spf" */
static bool id_parse(const char *name, unsigned *id)
{
    struct str s = str_of(name);
    uint64_t number;

    if (s.n < 5 || strcmp(name + s.n - 4, ".spf") != 0 || !str_to_u64(str_sub(s, 0, s.n - 4), 9999, &number))
        return false;
    *id = (unsigned)number;
    return true;
}

static SPF_dns_rr_t *answer(SPF_dns_server_t *layer, const char *name, ns_type type, const void *data, size_t n)
{
    SPF_dns_rr_t *rr = SPF_dns_rr_new_init(layer, name, type, 0, NETDB_SUCCESS);

    if (!rr || SPF_dns_rr_buf_realloc(rr, 0, n) != SPF_E_SUCCESS)
        abort(); /* out of memory */
    memcpy(rr->rr[0]->txt, data, n);
    rr->num_rr = 1;
    return rr;
}

static SPF_dns_rr_t *status(SPF_dns_server_t *layer, const char *name, ns_type type, SPF_dns_stat_t code)
{
    SPF_dns_rr_t *rr = SPF_dns_rr_new_init(layer, name, type, 0, code);

    if (!rr)
        abort(); /* out of memory */
    return rr;
}

static SPF_dns_rr_t *lookup(SPF_dns_server_t *layer, const char *name, ns_type type, int should_cache)
{
    const struct spf_walker *w = layer->hook;
    struct in_addr there = {.s_addr = htonl(INADDR_LOOPBACK)};
    char text[SPF_CANONICAL_MAX];
    unsigned id;

    (void)should_cache;
    if (!id_parse(name, &id))
        return status(layer, name, type, HOST_NOT_FOUND);
    switch ((int)type) {
    case ns_t_txt:
        if (!w->record(w->context, id, text))
            return status(layer, name, type, TRY_AGAIN);
        return answer(layer, name, type, text, strlen(text) + 1);
    case ns_t_a:
        switch (w->question(w->context, id)) {
        case SPF_YES: return answer(layer, name, type, &there, sizeof there);
        case SPF_NO: return status(layer, name, type, NO_DATA);
        case SPF_STOP: return status(layer, name, type, TRY_AGAIN);
        }
    }
    return status(layer, name, type, NO_DATA); /* 3.1: no records of type SPF */
}

/* Explanations are ours: without this libspf2 would fetch exp= itself. Canonical records have none, so it is never called. */
static SPF_errcode_t no_explanation(SPF_server_t *server, const char *name, char **text, size_t *n)
{
    (void)server, (void)name, (void)text, (void)n;
    return SPF_E_SUCCESS;
}

static enum spf_verdict verdict_of(SPF_result_t result)
{
    switch (result) {
    case SPF_RESULT_NEUTRAL: return SPF_NEUTRAL;
    case SPF_RESULT_PASS: return SPF_PASS;
    case SPF_RESULT_FAIL: return SPF_FAIL;
    case SPF_RESULT_SOFTFAIL: return SPF_SOFTFAIL;
    case SPF_RESULT_NONE:
    case SPF_RESULT_PERMERROR: return SPF_PERMERROR; /* of canonical records: cannot be */
    case SPF_RESULT_TEMPERROR:
    case SPF_RESULT_INVALID: break;
    }
    return SPF_TEMPERROR;
}

enum spf_verdict spf_walk(const struct spf_walker *w)
{
    /* destroy is NULL: the layer stays ours. */
    SPF_dns_server_t layer = {.lookup = lookup, .get_exp = no_explanation, .name = "postern", .hook = (void *)w};
    SPF_server_t *server = SPF_server_new_dns(&layer, 0);
    SPF_request_t *request = server ? SPF_request_new(server) : NULL;
    SPF_response_t *response = NULL;

    if (!request)
        abort(); /* out of memory */
    SPF_server_set_max_dns_mech(server, SPF2_LOOKUPS);
    SPF_request_set_ipv4_str(request, "192.0.2.1"); /* no term of a canonical record looks at it, but it must not be loopback */
    SPF_request_set_env_from(request, "postmaster@0.spf");
    SPF_request_query_mailfrom(request, &response);
    enum spf_verdict verdict = response ? verdict_of(SPF_response_result(response)) : SPF_TEMPERROR;
    SPF_response_free(response);
    SPF_request_free(request);
    SPF_server_free(server);
    return verdict;
}
