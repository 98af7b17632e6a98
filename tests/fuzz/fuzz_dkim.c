/* rooms: checks */
/*
 * The DKIM verifier on hostile messages with hostile key records (keyed_message.h). The first octet chooses the
 * chunks, the second the limit of signatures. Cut anywhere it says the same; its work is within the budget; and libopendkim,
 * where a signature is fit for it, hashes header and body as we do ourselves.
 */
#include "keyed_message.h"

#include <string.h>

#include "dkim_library.h"

/* --- the tap --- */

struct reading {
    struct mail_tap tap;
    struct dkim_verifier *v;
    struct field_list fields;
    struct buf body;
};

static void see_field(struct mail_tap *t, struct str field)
{
    dkim_verifier_field(((struct reading *)t)->v, field);
    field_list_add(&((struct reading *)t)->fields, field);
}

static void see_end(struct mail_tap *t)
{
    dkim_verifier_end_of_header(((struct reading *)t)->v);
}

static void see_body(struct mail_tap *t, struct str octets)
{
    dkim_verifier_body(((struct reading *)t)->v, octets);
    buf_str(&((struct reading *)t)->body, octets);
}

static void judge(struct str message, size_t chunk, size_t limit, const struct answer *a, struct buf *out, struct reading *kept)
{
    struct reading r = {.tap = {.field = see_field, .end_of_header = see_end, .body = see_body}, .v = dkim_verifier_new(limit, NOW)};
    struct arena arena = {0};
    struct dkim_result result;

    flow(message, chunk, &r.tap);
    must(dkim_verifier_finish(r.v, ask, (void *)&a->a, false, &arena, &result));
    must(result.work <= 2 * (uint64_t)DKIM_WORK_MAX && result.octets <= DKIM_OCTETS_MAX);
    for (size_t i = 0; i < result.count; i++) {
        struct str text = dkim_signature_text(&result.signatures[i], &arena);
        must(ascii_printable(text) && str_find(text, ',', 0) == text.n);
        must(result.signatures[i].verdict != DKIM_PASS || result.signatures[i].domain.n);
        buf_str(out, text);
        buf_char(out, '\n');
    }
    buf_printf(out, "%s %zu %d", dkim_verdict_names[result.verdict], result.untold, result.tail);
    dkim_verifier_free(&r.v);
    arena_clear(&arena);
    if (kept) {
        *kept = r;
        return;
    }
    field_list_free(&r.fields);
    buf_free(&r.body);
}

/* --- libopendkim's hashes and ours --- */

static void compare(const struct field_list *fields, size_t index, struct str body, size_t chunk)
{
    struct arena arena = {0};
    struct signature s;
    struct str reason;
    struct library l = {0};
    bool *wanted = xcalloc(fields->count + 1, 1);

    if (signature_read(SIGNATURE_DKIM, field_list_get(fields, index), NOW, &arena, &s, &reason) == DKIM_NONE) {
        int32_t *selected = field_list_select(fields, &s, index, &arena);
        l.signatures[0].s = &s;
        l.count = 1;
        for (size_t i = 0; i < s.name_count; i++)
            if (selected[i] >= 0)
                wanted[selected[i]] = true;
        if (library_fit(fields, &s, selected) && library_begin(&l, fields, wanted)) {
            uint8_t header[32], theirs[32], their_body[32];
            struct body_hash b;
            body_hash_begin(&b, true, s.relaxed_body, s.limit);
            signature_header_hash(fields, &s, selected, header);
            for (size_t at = 0; at < body.n; at += chunk)
                library_body(&l, str_sub(body, at, at + chunk));
            library_end(&l);
            body_hash_feed(&b, body);
            body_hash_end(&b);
            must(library_hashes(&l.signatures[0], theirs, their_body));
            must(memcmp(header, theirs, 32) == 0);
            must(memcmp(b.digest, their_body, 32) == 0);
        }
        library_clear(&l);
    }
    free(wanted);
    arena_clear(&arena);
}

/* Bodies as the session gives them: CR and LF only together. */
static bool is_wire(struct str body)
{
    for (size_t i = 0; i < body.n; i++) {
        if (body.p[i] == '\r' && (i + 1 == body.n || body.p[i + 1] != '\n'))
            return false;
        if (body.p[i] == '\n' && (i == 0 || body.p[i - 1] != '\r'))
            return false;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t chunk = 1 + data[0] % 64, limit = 1 + data[1] % 32;
    struct str rest = {(const char *)data + 2, size - 2};
    struct answer a;
    struct buf whole = {0}, cut = {0};
    struct reading r;

    read_records(&rest, &a);
    judge(rest, rest.n + 1, limit, &a, &whole, &r);
    judge(rest, chunk, limit, &a, &cut, NULL);
    if (is_wire(buf_view(&r.body))) {
        must(str_eq(buf_view(&whole), buf_view(&cut)));
        for (size_t i = 0, tried = 0; i < r.fields.count && tried < 8; i++) {
            if (!str_eq_nocase(field_list_name(&r.fields, i), STR("DKIM-Signature")))
                continue;
            tried++;
            compare(&r.fields, i, buf_view(&r.body), chunk);
        }
    }
    field_list_free(&r.fields);
    buf_free(&r.body);
    buf_free(&whole);
    buf_free(&cut);
    return 0;
}
