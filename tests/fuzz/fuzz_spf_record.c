/* rooms: checks */
/*
 * SPF records and macro-strings of any octets: what the parser accepts has slices inside the record and domains that expand; twice read is
 * the same; expansions stay within their bound, and a name that comes of one is one that DNS can be asked for.
 */
#include <stdlib.h>
#include <string.h>

#include "spf_internal.h"

static struct str validated(void *context, struct str domain)
{
    (void)context, (void)domain;
    return STR("mx.example.org");
}

static void expand(struct str text, enum spf_place place, const struct spf_macros *m)
{
    struct buf out = {0};

    if (!spf_expand(&out, text, place, m) || out.n > SPF_EXPANDED_MAX)
        abort();
    struct str name = buf_view(&out);
    if (spf_target_name(&name) && (name.n == 0 || name.n > 253 || name.p[0] == '.' || name.p[name.n - 1] == '.'))
        abort();
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct spf_macros m = {.local = STR("strong-bad+x=y"), .sender_domain = STR("email.example.com"), .helo = STR("h.example"),
                           .receiver = STR("mx.example"), .domain = STR("example.com"), .time = 1, .validated = validated};
    struct str text = {(const char *)data, n};
    struct spf_record r;
    struct spf_term term;
    const char *error;
    size_t count = 0;

    addr_parse(n % 2 ? STR("2001:db8::1") : STR("192.0.2.1"), &m.client);
    if (spf_macro_string_valid(text, SPF_IN_TERM))
        expand(text, SPF_IN_TERM, &m);
    if (spf_macro_string_valid(text, SPF_IN_EXPLANATION))
        expand(text, SPF_IN_EXPLANATION, &m);
    if (spf_domain_spec_valid(text) && !spf_macro_string_valid(text, SPF_IN_TERM))
        abort();
    if (!spf_record_version(text))
        return 0;
    if (!spf_record_parse(text, &r)) {
        if (!r.error)
            abort();
        return 0;
    }
    for (struct str rest = r.terms; spf_term_next(&rest, &term, &error); count++) {
        if (error || term.written.p < text.p || term.written.p + term.written.n > text.p + text.n || term.bits4 > 32 || term.bits6 > 128)
            abort();
        if (term.domain.n)
            expand(term.domain, SPF_IN_TERM, &m);
    }
    if (count > SPF_RECORD_MAX / 2)
        abort();
    return 0;
}
