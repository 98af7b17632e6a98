/*
 * spf_explain.c - the explanation that a domain has for those whom it refuses (exp=, RFC 7208 section 6.2).
 *
 * It never changes a result: one record, one valid macro-string of ASCII, or there is none. It is a stranger's text (section 11.5): what macros put
 * in is made printable, and it is cut.
 */
#include "spf_internal.h"

bool spf_explain(const struct dns_answer *a, const struct spf_macros *m, struct arena *arena, struct str *out)
{
    struct buf text = {0};

    *out = STR_NONE;
    if (a->status != DNS_OK || a->count != 1 || a->records[0].text.n > SPF_RECORD_MAX ||
        !spf_macro_string_valid(a->records[0].text, SPF_IN_EXPLANATION))
        return true;
    bool known = spf_expand(&text, a->records[0].text, SPF_IN_EXPLANATION, m);
    if (text.n > SPF_EXPLANATION_MAX)
        text.n = SPF_EXPLANATION_MAX;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] < 0x20 || text.p[i] > 0x7e)
            text.p[i] = '?';
    if (known && text.n)
        *out = arena_str(arena, buf_view(&text));
    buf_free(&text);
    return known;
}
