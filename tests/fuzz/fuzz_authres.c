/* rooms: mail */
/*
 * Authentication-Results of any octets. As a field: the remover judges it, and a field with our id at its start, in quotes or
 * not, behind any comment, is ours. As values: what is written stays one field of printable lines (of valid UTF-8 in a message
 * with SMTPUTF8) and claims our id, no other.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/mail/shown.h"
#include "postern/mail/authres.h"
#include "postern/mail/header.h"

static void one_field(struct str field, bool utf8)
{
    struct str rest = str_sub(field, 0, field.n - 2), line;
    size_t quotes = 0, depth = 0;

    assert(str_eq(str_sub(field, field.n - 2, field.n), STR("\r\n")));
    for (bool first = true; str_split(&rest, '\n', &line); first = false) {
        if (rest.p) {
            assert(line.n > 0 && line.p[line.n - 1] == '\r');
            line.n--;
        }
        assert(line.n <= 998 && (first || line.p[0] == '\t') && is_shown(str_sub(line, !first, line.n), utf8));
        for (size_t i = 0; i < line.n; i++) {
            if ((quotes || depth) && line.p[i] == '\\')
                i++;
            else if (line.p[i] == '"' && !depth)
                quotes ^= 1;
            else if (line.p[i] == '(' && !quotes)
                depth++;
            else if (line.p[i] == ')' && !quotes)
                assert(depth-- > 0);
        }
    }
    assert(quotes == 0 && depth == 0);
}

static void write_all(struct str s, bool utf8)
{
    const struct authres_property properties[] = {{"smtp", "mailfrom", s}, {"header", "d", s}};
    const struct authres_result results[] = {{.method = "spf", .result = "pass", .reason = s, .comment = s,
                                              .properties = properties, .property_count = 2},
                                             {.method = "dkim", .result = "none"}};
    const struct received_spf received = {"pass", s, s, s, s, s, s, s, s};
    struct buf out = {0};

    authres_write(&out, STR("mx.our.test"), utf8, results, 2);
    one_field(buf_view(&out), utf8);
    assert(authres_claims(str_sub(buf_view(&out), 0, out.n - 2), STR("mx.our.test")));
    assert(!authres_claims(str_sub(buf_view(&out), 0, out.n - 2), STR("mx.other.test")));
    buf_clear(&out);
    authres_write(&out, s, utf8, results, 2);
    one_field(buf_view(&out), utf8);
    buf_clear(&out);
    received_spf_write(&out, utf8, &received);
    one_field(buf_view(&out), utf8);
    buf_free(&out);
}

/* Our id behind a comment of these octets, escaped so that it is one; with these octets behind a semicolon. */
static void claim(struct str s)
{
    struct buf field = {0};

    buf_cstr(&field, "Authentication-Results: (");
    for (size_t i = 0; i < s.n; i++) {
        buf_char(&field, '\\');
        buf_char(&field, s.p[i]);
    }
    buf_cstr(&field, ") \"MX.our\\.test\" ;");
    buf_str(&field, s);
    assert(authres_claims(buf_view(&field), STR("mx.our.test")));
    buf_free(&field);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str s = {(const char *)data, size};
    struct buf field = {0};

    authres_claims(s, STR("mx.our.test"));
    buf_cstr(&field, "Authentication-Results:");
    buf_str(&field, s);
    authres_claims(buf_view(&field), STR("mx.our.test"));
    authres_claims(buf_view(&field), s);
    buf_free(&field);
    claim(s);
    write_all(s, false);
    write_all(s, true);
    return 0;
}
