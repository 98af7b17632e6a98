/*
 * dnsbl.c - dnsbl.NAME, dnswl.NAME: what one list says of the client (RFC 5782).
 *
 * A list that does not know the client's kind of address does not list it. Whatever is not a plain answer - a list that rests, an error code, an
 * answer from outside 127/8, no answer - is an error, and never a listing nor its absence.
 */
#include <string.h>

#include "internal.h"
#include "postern/base/counters.h"
#include "postern/checks/dnsbl.h"

static void put_zone(struct buf *out, const struct declaration *list, struct str secret)
{
    struct str place = STR("{key}"), rest = list->zone;

    if (!list->hide.n) {
        buf_str(out, list->zone);
        return;
    }
    while (rest.n) {
        if (str_starts(rest, place)) {
            buf_str(out, secret);
            rest = str_sub(rest, place.n, rest.n);
        } else if (str_starts_nocase(rest, list->hide)) {
            buf_str(out, secret);
            rest = str_sub(rest, list->hide.n, rest.n);
        } else {
            buf_char(out, rest.p[0]);
            rest = str_sub(rest, 1, rest.n);
        }
    }
}

bool dnsbl_query_name(const struct declaration *list, const struct addr *a, unsigned v6_bits, char out[254])
{
    struct buf name = {0};
    char labels[64];

    buf_cstr(&name, addr_reverse(a, v6_bits, labels));
    buf_char(&name, '.');
    put_zone(&name, list, list->hide);
    bool good = dns_name_normal(buf_view(&name), out);
    buf_free(&name);
    return good;
}

void dnsbl_zone_shown(const struct declaration *list, struct buf *out)
{
    put_zone(out, list, STR("<key>"));
}

/* NULL: a good code. */
static const char *code_error(const struct addr *code, bool allow_list)
{
    const uint8_t *b = code->b;

    if (code->family != 4 || b[0] != 127)
        return "the list answered with an address outside 127.0.0.0/8";
    if (b[1] == 255 && b[2] == 255) {
        switch (b[3]) {
        case 252: return "the list says that its name is wrong (127.255.255.252)";
        case 254: return "the list does not answer to this resolver (127.255.255.254)";
        case 255: return "the list has been asked too much (127.255.255.255)";
        default: return "the list answered with an error code (127.255.255.0/24)";
        }
    }
    if (allow_list && b[1] == 0 && b[2] == 0 && b[3] == 255)
        return "the allow list does not answer to this resolver (127.0.0.255)";
    return NULL;
}

/* Into a sorted array without duplicates; of more than max codes the smallest stay, so that their order in the answer does not matter. */
static void add_code(const struct addr *code, struct addr *codes, size_t max, size_t *count)
{
    size_t at = 0;

    while (at < *count && addr_cmp(&codes[at], code) < 0)
        at++;
    if (at == max || (at < *count && addr_eq(&codes[at], code)))
        return;
    size_t keep = *count < max ? *count : max - 1;
    memmove(&codes[at + 1], &codes[at], (keep - at) * sizeof *codes);
    codes[at] = *code;
    *count = keep + 1;
}

bool dnsbl_judge(const struct dns_answer *a, bool allow_list, struct addr *codes, size_t max, size_t *count, const char **why)
{
    *count = 0;
    *why = NULL;
    switch (a->status) {
    case DNS_OK: break;
    case DNS_NODATA:
    case DNS_NXDOMAIN: return true;
    case DNS_TIMEOUT: *why = "the list did not answer"; return false;
    case DNS_MALFORMED: *why = "the list's answer cannot be read"; return false;
    case DNS_BADNAME: *why = "the list's name cannot be asked"; return false;
    case DNS_LIMIT: *why = "too many DNS questions"; return false;
    default: *why = "the list's name servers failed"; return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        const char *error = code_error(&a->records[i].addr, allow_list);
        if (!error)
            add_code(&a->records[i].addr, codes, max, count);
        else if (!*why || strcmp(error, *why) < 0) /* of several the same one in any order */
            *why = error;
    }
    return *count > 0 || !*why;
}

enum list_state list_ask(struct scope *s, const struct declaration *list, struct list_says *out)
{
    const struct addr *client = scope_client(s);
    char name[254];

    out->count = 0;
    out->why = NULL;
    out->error_code = false;
    if (client->family == 6 ? !list->ipv6 : !list->ipv4)
        return LIST_KNOWN;
    if (list_rests(s->world->health, list->zone)) {
        out->why = list_rests_why(s->world->health, list->zone);
        return LIST_ERROR;
    }
    if (!dnsbl_query_name(list, client, list->v6_bits, name)) {
        out->why = "the list's name cannot be asked";
        return LIST_ERROR;
    }
    const struct dns_answer *a = scope_dns(s, str_of(name), DNS_A);
    if (!a || list_is_awaited(s->world->health, list->zone))
        return LIST_NOT_YET;
    if (dnsbl_judge(a, list->kind == DECLARE_DNSWL, out->codes, LIST_CODES_MAX, &out->count, &out->why))
        return LIST_KNOWN;
    out->error_code = a->status == DNS_OK;
    return LIST_ERROR;
}

enum check_result check_dnsbl(struct scope *s, const struct check_run *run)
{
    const struct declaration *list = policy_declaration(s->policy, run->instance);
    struct list_says says;

    switch (list_ask(s, list, &says)) {
    case LIST_NOT_YET:
        return CHECK_NOT_YET;
    case LIST_KNOWN:
        facts_set_addrs(&s->facts, list->fact, says.codes, says.count);
        break;
    case LIST_ERROR:
        facts_set_error(&s->facts, list->fact, str_of(says.why));
        if (says.error_code)
            count(COUNTER_DNSBL_ERRORS);
        break;
    }
    return CHECK_DONE;
}
