/* rooms: checks */
/*
 * ARC on hostile messages and key records (keyed_message.h), and the parser of ARC-Authentication-Results on the
 * same octets. The first octet chooses the chunks. Cut anywhere the chain says the same; a chain that passes has a sealer for
 * each instance.
 */
#include "keyed_message.h"

#include "postern/checks/arc.h"

struct reading {
    struct mail_tap tap;
    struct arc_verifier *v;
};

static void see_field(struct mail_tap *t, struct str field)
{
    arc_verifier_field(((struct reading *)t)->v, field);
}

static void see_end(struct mail_tap *t)
{
    arc_verifier_end_of_header(((struct reading *)t)->v);
}

static void see_body(struct mail_tap *t, struct str octets)
{
    arc_verifier_body(((struct reading *)t)->v, octets);
}

static void judge(struct str message, size_t chunk, const struct answer *a, struct buf *out)
{
    struct reading r = {.tap = {.field = see_field, .end_of_header = see_end, .body = see_body}, .v = arc_verifier_new(NOW)};
    struct arena arena = {0};
    struct arc_result result;

    flow(message, chunk, &r.tap);
    must(arc_verifier_finish(r.v, ask, (void *)&a->a, false, &arena, &result));
    must((result.verdict == ARC_PASS) == (result.count > 0) && result.count <= ARC_SETS_MAX && ascii_printable(result.reason));
    buf_printf(out, "%s %.*s", arc_verdict_names[result.verdict], STR_ARG(result.reason));
    for (size_t i = 0; i < result.count; i++) {
        must(result.hops[i].sealer.n > 0);
        buf_str(out, result.hops[i].sealer);
    }
    arc_verifier_free(&r.v);
    arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t chunk = 1 + data[0] % 64;
    struct str rest = {(const char *)data + 1, size - 1};
    struct answer a;
    struct buf whole = {0}, cut = {0};
    struct arc_says says;

    if (!arc_results_parse(rest, &says))
        must(!says.dmarc.n && !says.spf.n && !says.dkim.n);
    read_records(&rest, &a);
    judge(rest, rest.n + 1, &a, &whole);
    judge(rest, chunk, &a, &cut);
    must(str_eq(buf_view(&whole), buf_view(&cut)));
    buf_free(&whole);
    buf_free(&cut);
    return 0;
}
