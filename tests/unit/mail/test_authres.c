/*
 * Authentication-Results: what is written can be read back and nothing else, whatever the values; fields that claim our id are
 * found in every spelling. Received-SPF likewise.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../mail/shown.h"
#include "postern/mail/authres.h"
#include "postern/mail/header.h"

#define BUECHER "b\xc3\xbc" "cher"

/* --- recognising --- */

static const struct {
    const char *field;
    bool ours; /* of mx.our.test */
} claims[] = {
    {"Authentication-Results: mx.our.test; spf=pass", true},
    /* spellings */
    {"AUTHENTICATION-RESULTS: MX.Our.TEST; spf=pass", true},
    {"Authentication-Results : mx.our.test; spf=pass", true},
    {"Authentication-Results\t \t: mx.our.test; spf=pass", true},
    {"Authentication-Results:mx.our.test;spf=pass", true},
    {"Authentication-Results:\r\n\tmx.our.test;\r\n\tspf=pass", true},
    {"Authentication-Results:\r\n \r\n mx.our.test\r\n ; spf=pass", true},
    {"Authentication-Results\r\n : mx.our.test; spf=pass", true},
    {"Authentication-Results: (a comment) mx.our.test (another) ; spf=pass", true},
    {"Authentication-Results: (a (nested \\) one) (evil.test)) mx.our.test; spf=pass", true},
    {"Authentication-Results:(x)mx.our.test(y);none", true},
    {"Authentication-Results: \"mx.our.test\"; spf=pass", true},
    {"Authentication-Results: \"mx\\.our.tes\\t\"; spf=pass", true},
    {"Authentication-Results: \"mx.our\r\n .test\"; spf=pass", true},
    {"Authentication-Results: \" mx.our.test \"; spf=pass", true},
    {"Authentication-Results: mx.our.test 1; spf=pass", true},
    {"Authentication-Results: mx.our.test 99; spf=pass", true},
    {"Authentication-Results: mx.our.test (c) 1 (d); spf=pass", true},
    {"Authentication-Results: mx.our.test/1; spf=pass", true},
    {"Authentication-Results: mx.our.test.; spf=pass", true},
    {"Authentication-Results: mx.our.test", true},
    {"Authentication-Results: mx.our.test=x; spf=pass", true},
    {"Authentication-Results: mx.our.test@evil.test; spf=pass", true},
    /* broken beginnings */
    {"Authentication-Results: (mx.our.test; spf=pass", true},
    {"Authentication-Results: (unclosed \\) mx.our.test; spf=pass", true},
    {"Authentication-Results: \"mx.our.test; spf=pass", true},
    {"Authentication-Results: ) mx.our.test; spf=pass", true},
    {"Authentication-Results: ; mx.our.test; spf=pass", true},
    {"Authentication-Results: =?us-ascii?q?mx.our.test?=; spf=pass", true},
    {"Authentication-Results: <mx.our.test>; spf=pass", true},
    {"Authentication-Results: =?us-ascii?q?MX.our.\r\n test?=; spf=pass", true},
    {"Authentication-Results: (unclosed evil.test; spf=pass", false},
    {"Authentication-Results:", false},
    {"Authentication-Results: ", false},
    {"Authentication-Results: ;", false},
    /* others' */
    {"Authentication-Results: mx.other.test; spf=pass", false},
    {"Authentication-Results: xmx.our.test; spf=pass", false},
    {"Authentication-Results: mx.our.test.evil.test; spf=pass", false},
    {"Authentication-Results: our.test; spf=pass", false},
    {"Authentication-Results: (mx.our.test) mx.other.test; spf=pass", false},
    {"Authentication-Results: mx.other.test; spf=pass smtp.mailfrom=mx.our.test", false},
    {"Authentication-Results: mx.other.test (mx.our.test); spf=pass", false},
    {"Authentication-Results: \"mx.other.test\" ; x=\"mx.our.test\"", false},
    {"ARC-Authentication-Results: i=1; mx.our.test; spf=pass", false},
    {"X-Authentication-Results: mx.our.test; spf=pass", false},
    {"Authentication-Result: mx.our.test; spf=pass", false},
    {"Subject: Authentication-Results: mx.our.test", false},
    {"no field", false},
    {"", false},
};

Test(authres_claims, spellings)
{
    struct str id = STR("mx.our.test");

    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
        size_t n = strlen(claims[i].field);
        char *exact = xstrndup(claims[i].field, n);
        cr_assert_eq(authres_claims((struct str){exact, n}, id), claims[i].ours, "[%s]", claims[i].field);
        cr_assert_eq(authres_remove((struct str){exact, n}, &id), claims[i].ours);
        for (size_t cut = 0; cut < n; cut++)
            authres_claims((struct str){exact, cut}, id);
        free(exact);
    }
    cr_assert(authres_claims(STR("Authentication-Results: mx.our.test\0; x"), id));
    cr_assert(authres_claims(STR("Authentication-Results: \"mx.our.test"), id));
    cr_assert(authres_claims(STR("Authentication-Results: mx.our.test; x"), STR("MX.our.test.")));
    cr_assert(authres_claims(STR("Authentication-Results: mx." BUECHER ".test; x"), STR("mx.xn--bcher-kva.test")));
    cr_assert(authres_claims(STR("Authentication-Results: mx.xn--bcher-kva.test; x"), STR("mx." BUECHER ".test")));
    cr_assert_not(authres_claims(STR("Authentication-Results: mx.bucher.test; x"), STR("mx.xn--bcher-kva.test")));
}

/* Through the header reader, cut everywhere: each of ours goes, also three in a row; the others stay octet by octet. */
Test(authres_claims, forged_fields_are_removed)
{
    static const char message[] =
        "Received: by x\r\n"
        "Authentication-Results: mx.our.test; dkim=pass\r\n"
        "authentication-results\t:\r\n (c) \"mx.our.test\" 1;\r\n spf=pass\r\n"
        "Authentication-Results: MX.OUR.TEST;\r\n\tdmarc=pass\r\n"
        "Authentication-Results: mx.other.test; spf=fail\r\n"
        "Subject: x\r\n"
        "Authentication-Results: mx.our.test; none\r\n"
        "\r\n"
        "Authentication-Results: mx.our.test; body\r\n";
    static const char kept[] = "Received: by x\r\n"
                               "Authentication-Results: mx.other.test; spf=fail\r\n"
                               "Subject: x\r\n"
                               "\r\n"
                               "Authentication-Results: mx.our.test; body\r\n";
    struct str id = STR("mx.our.test"), wire = str_of(message);

    for (size_t step = 1; step <= wire.n; step++) {
        struct header_reader h;
        struct buf out = {0};
        header_begin(&h, 0, NULL, 0, NULL);
        h.remove_field = authres_remove;
        h.remove_context = &id;
        for (size_t at = 0; at < wire.n; at += step)
            header_feed(&h, str_sub(wire, at, at + step), &out);
        header_end(&h, &out);
        cr_assert(str_eq(buf_view(&out), str_of(kept)), "step %zu: [%.*s]", step, STR_ARG(buf_view(&out)));
        cr_assert_eq(h.removed, 4);
        header_clear(&h);
        buf_free(&out);
    }
}

/* --- writing --- */

static const struct authres_property spf[] = {{"smtp", "mailfrom", {"a@example.net", 13}}, {"smtp", "helo", {NULL, 0}}};
static const struct authres_property dkim[] = {{"header", "d", {"example.com", 11}}, {"header", "s", {"sel", 3}},
                                               {"header", "a", {"rsa-sha256", 10}}, {"header", "b", {"mYa/b+c=", 8}},
                                               {"header", "i", {"@example.com", 12}}};
static const struct authres_property dmarc[] = {{"header", "from", {"example.com", 11}}};
static const struct authres_property iprev[] = {{"policy", "iprev", {"2001:db8::1", 11}}};

Test(authres_write, a_whole_field)
{
    const struct authres_result results[] = {
        {.method = "iprev", .result = "pass", .properties = iprev, .property_count = 1},
        {.method = "spf", .result = "pass", .properties = spf, .property_count = 2},
        {.method = "dkim", .result = "fail", .reason = STR("body hash did not verify"), .comment = STR("2048-bit key"),
         .properties = dkim,
         .property_count = 5},
        {.method = "dmarc", .result = "pass", .comment = STR("p=reject"), .properties = dmarc, .property_count = 1},
        {.method = "arc", .result = "none"},
    };
    struct buf out = {0};

    authres_write(&out, STR("mx.our.test"), false, results, 5);
    buf_char(&out, 0);
    cr_assert_str_eq(out.p, "Authentication-Results: mx.our.test;\r\n"
                            "\tiprev=pass policy.iprev=\"2001:db8::1\";\r\n"
                            "\tspf=pass smtp.mailfrom=a@example.net;\r\n"
                            "\tdkim=fail (2048-bit key) reason=\"body hash did not verify\"\r\n"
                            "\theader.d=example.com header.s=sel header.a=rsa-sha256\r\n"
                            "\theader.b=\"mYa/b+c=\" header.i=@example.com;\r\n"
                            "\tdmarc=pass (p=reject) header.from=example.com;\r\n"
                            "\tarc=none\r\n");
    buf_clear(&out);
    authres_write(&out, STR("mx.our.test"), false, NULL, 0);
    buf_char(&out, 0);
    cr_assert_str_eq(out.p, "Authentication-Results: mx.our.test; none\r\n");
    buf_free(&out);
}

/* A reader of RFC 8601 for these tests: the text of "type.name=" unquoted, or NULL. `lines` must be one field. */
static char *value_of(const char *field, size_t n, const char *key)
{
    struct buf text = {0}, value = {0};
    size_t depth = 0;
    bool quoted = false;
    char *found = NULL;

    for (size_t i = 0; i < n; i++) { /* unfolded, comments out, quoted strings kept */
        char c = field[i];
        if (c == '\r' || c == '\n')
            continue;
        if ((quoted || depth) && c == '\\') {
            if (quoted)
                buf_put(&text, field + i, 2);
            i++;
            continue;
        }
        if (c == '"' && !depth)
            quoted = !quoted;
        if (!quoted && c == '(')
            depth++;
        else if (!quoted && c == ')')
            depth--;
        else if (!depth)
            buf_char(&text, c);
    }
    cr_assert(!quoted && depth == 0, "[%.*s]", (int)n, field);
    quoted = false;
    for (size_t i = 0, start = 0; i <= text.n && !found; i++) { /* words outside quotes */
        char c = i < text.n ? text.p[i] : ' ';
        if (quoted && c == '\\') {
            i++;
            continue;
        }
        if (c == '"')
            quoted = !quoted;
        if (quoted || (c != ' ' && c != '\t' && c != ';'))
            continue;
        struct str word = {text.p + start, i - start};
        start = i + 1;
        if (!str_starts(word, str_of(key)) || word.n <= strlen(key) || word.p[strlen(key)] != '=')
            continue;
        word = str_sub(word, strlen(key) + 1, word.n);
        for (size_t k = 0; k < word.n; k++)
            if (word.p[k] == '\\')
                buf_char(&value, word.p[++k]);
            else if (word.p[k] != '"')
                buf_char(&value, word.p[k]);
        found = xstrndup(value.p ? value.p : "", value.n);
    }
    buf_free(&text);
    buf_free(&value);
    return found;
}

static void one_field(struct str field, bool utf8)
{
    struct str rest = field, line;
    bool first = true;

    cr_assert(str_ends_nocase(field, STR("\r\n")));
    rest.n -= 2;
    while (str_split(&rest, '\n', &line)) {
        if (rest.p) {
            cr_assert(line.n && line.p[line.n - 1] == '\r');
            line.n--;
        }
        cr_assert(line.n <= 998, "%zu octets", line.n);
        cr_assert(first ? line.p[0] == 'A' || line.p[0] == 'R' : line.p[0] == '\t', "[%.*s]", STR_ARG(field));
        cr_assert(is_shown(str_sub(line, first ? 0 : 1, line.n), utf8), "[%.*s]", STR_ARG(field));
        first = false;
    }
}

/* Values that would like to be more: espoofer's, CVE-2020-12272's, and octets of every kind. */
static const struct {
    const char *value;
    size_t n;
    const char *read; /* as it must be read back; NULL: the same */
} hostile[] = {
    {"a@example.com", 0, NULL},
    {"o'brien+x=y@example.com", 0, NULL},
    {"any@legit.com(.evil.com", 0, NULL},
    {"legit.com(.evil.com", 0, NULL},
    {"legit.com'a.evil.com", 0, NULL},
    {"legit.com\"a.evil.com", 0, NULL},
    {"legit.com\\a.evil.com", 0, NULL},
    {"a@legit.com; dmarc=pass header.from=legit.com", 0, NULL},
    {"a@legit.com dkim=pass", 0, NULL},
    {"\"a b\"@example.com", 0, NULL},
    {"\"; dmarc=pass\"@evil.com", 0, NULL},
    {"a@[192.0.2.1]", 0, NULL},
    {"a..b@example.com", 0, NULL},
    {".@.", 0, NULL},
    {"@", 0, NULL},
    {"a@b@c", 0, NULL},
    {")(", 0, NULL},
    {"\\", 0, NULL},
    {"\"", 0, NULL},
    {" ", 0, NULL},
    {"%s%n", 0, NULL},
    {"legit.com\0.evil.com", 19, "legit.com?.evil.com"},
    {"legit.com\r\nX-Evil: 1", 0, "legit.com??X-Evil: 1"},
    {"legit.com\r\n dkim=pass", 0, "legit.com?? dkim=pass"},
    {"legit.com\t", 0, "legit.com?"},
    {"\177\200", 0, "??"},
    {"j\xc3\xb6rg@example.com", 0, "j??rg@example.com"},
    {"j\xc3\xb6rg@b\xc3\xbc" "cher.example", 0, "j??rg@b??cher.example"},
    {"\"j\xc3\xb6 rg\"@example.com", 0, "\"j?? rg\"@example.com"},
    {"\xf0\x9f\x93\xa7@example.com", 0, "????@example.com"},
};

/* The same in a message with SMTPUTF8. */
static const struct { const char *value, *read; } international[] = {
    {"j\xc3\xb6rg@example.com", NULL},
    {"\"j\xc3\xb6 rg\"@example.com", NULL},
    {"b\xc3\xbc" "cher.example; dmarc=pass", NULL},
    {"\xc2\x85\xc2\x9f", "????"},                /* C1 controls */
    {"\xc2\xa0", NULL},
    {"a\xc3", "a?"},                              /* cut off */
    {"\xc3(\xb6", "?(?"},
    {"\xc0\xaf\xe0\x80\xaf", "?????"},            /* overlong */
    {"\xed\xa0\x80\xf4\x90\x80\x80", "???????"}, /* no characters */
    {"\xef\xbc\x9b dmarc=pass", NULL},            /* a wide semicolon is none */
};

static void read_back(struct str value, const char *read, bool utf8)
{
    const struct authres_property property[] = {{"smtp", "mailfrom", value}, {"header", "d", value}};
    const struct authres_result results[] = {
        {.method = "spf", .result = "fail", .comment = value, .reason = value, .properties = property, .property_count = 2},
        {.method = "dmarc", .result = "fail"},
    };
    const char *keys[] = {"smtp.mailfrom", "header.d", "reason"};
    struct buf out = {0};

    authres_write(&out, STR("mx.our.test"), utf8, results, 2);
    one_field(buf_view(&out), utf8);
    for (int k = 0; k < 3; k++) {
        char *text = value_of(out.p, out.n, keys[k]);
        cr_assert(text && (read ? strcmp(text, read) == 0 : strncmp(text, value.p, value.n) == 0 && strlen(text) == value.n),
                  "%s of [%.*s] is [%s] in [%.*s]", keys[k], STR_ARG(value), text ? text : "(none)", STR_ARG(buf_view(&out)));
        free(text);
    }
    char *verdict = value_of(out.p, out.n, "dmarc");
    cr_assert_str_eq(verdict, "fail", "[%.*s]", STR_ARG(buf_view(&out)));
    free(verdict);
    cr_assert_null(value_of(out.p, out.n, "header.from"));
    cr_assert(authres_claims(str_sub(buf_view(&out), 0, out.n - 2), STR("mx.our.test")));
    buf_free(&out);
}

static bool is_ascii(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] > 0x7f)
            return false;
    return true;
}

Test(authres_write, no_value_is_more_than_a_value)
{
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        struct str value = {hostile[i].value, hostile[i].n ? hostile[i].n : strlen(hostile[i].value)};
        read_back(value, hostile[i].read, false);
        if (is_ascii(value))
            read_back(value, hostile[i].read, true);
    }
    for (size_t i = 0; i < sizeof international / sizeof *international; i++)
        read_back(str_of(international[i].value), international[i].read, true);
}

/* RFC 6532 3.2: atoms and quoted strings take characters beyond ASCII; a reader of the field sees the address itself. */
Test(authres_write, an_international_message)
{
    static const struct authres_property path[] = {{"smtp", "mailfrom", {"j\xc3\xb6rg@b\xc3\xbc" "cher.example", 21}},
                                                   {"smtp", "helo", {"b\xc3\xbc" "cher.example", 15}}};
    static const struct authres_property signer[] = {{"header", "d", {"xn--bcher-kva.example", 21}},
                                                     {"header", "i", {"\"j\xc3\xb6 rg\"@xn--bcher-kva.example", 30}}};
    const struct authres_result results[] = {
        {.method = "spf", .result = "pass", .comment = STR("\xe2\x88\x9a"), .properties = path, .property_count = 2},
        {.method = "dkim", .result = "pass", .properties = signer, .property_count = 2},
    };
    struct buf out = {0};

    authres_write(&out, STR("mx.our.test"), true, results, 2);
    buf_char(&out, 0);
    cr_assert_str_eq(out.p, "Authentication-Results: mx.our.test;\r\n"
                            "\tspf=pass (\xe2\x88\x9a) smtp.mailfrom=j\xc3\xb6rg@b\xc3\xbc" "cher.example\r\n"
                            "\tsmtp.helo=b\xc3\xbc" "cher.example;\r\n"
                            "\tdkim=pass header.d=xn--bcher-kva.example\r\n"
                            "\theader.i=\"\\\"j\xc3\xb6 rg\\\"@xn--bcher-kva.example\"\r\n");
    buf_free(&out);
}

Test(authres_write, long_values_stay_within_a_line)
{
    struct buf out = {0}, value = {0};

    for (int i = 0; i < 5000; i++)
        buf_char(&value, i % 2 ? '\\' : 'a');
    const struct authres_property property[] = {{"header", "d", buf_view(&value)}};
    const struct authres_result results[] = {{.method = "dkim", .result = "pass", .comment = buf_view(&value),
                                              .reason = buf_view(&value),
                                              .properties = property, .property_count = 1}};
    authres_write(&out, buf_view(&value), false, results, 1);
    one_field(buf_view(&out), false);
    buf_clear(&out);
    authres_write(&out, STR("an id with spaces; none"), false, results, 0);
    cr_assert(str_eq(buf_view(&out), STR("Authentication-Results: \"an id with spaces; none\"; none\r\n")));
    buf_free(&out);
    buf_free(&value);
}

/* --- Received-SPF (RFC 7208 9.1) --- */

Test(received_spf, the_example_and_hostile_values)
{
    struct received_spf r = {
        .result = "pass",
        .comment = STR("mybox.example.org: domain of myname@example.com designates 192.0.2.1"),
        .client_ip = STR("192.0.2.1"),
        .envelope_from = STR("myname@example.com"),
        .helo = STR("foo.example.com"),
        .receiver = STR("mybox.example.org"),
        .identity = STR("mailfrom"),
        .mechanism = STR("ip4:192.0.2.0/24"),
    };
    struct buf out = {0};

    received_spf_write(&out, false, &r);
    buf_char(&out, 0);
    cr_assert_str_eq(out.p, "Received-SPF: pass\r\n"
                            "\t(mybox.example.org: domain of myname@example.com designates 192.0.2.1)\r\n"
                            "\tidentity=mailfrom; client-ip=192.0.2.1; helo=foo.example.com;\r\n"
                            "\tenvelope-from=\"myname@example.com\"; receiver=mybox.example.org;\r\n"
                            "\tmechanism=\"ip4:192.0.2.0/24\";\r\n");
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        struct str value = {hostile[i].value, hostile[i].n ? hostile[i].n : strlen(hostile[i].value)};
        r = (struct received_spf){.result = "fail", .comment = value, .client_ip = value, .envelope_from = value, .helo = value,
                                  .receiver = value,
                                  .identity = value, .mechanism = value, .problem = value};
        buf_clear(&out);
        received_spf_write(&out, false, &r);
        one_field(buf_view(&out), false);
        char *read = value_of(out.p, out.n, "helo");
        cr_assert(read && (hostile[i].read ? strcmp(read, hostile[i].read) == 0 : strncmp(read, value.p, value.n) == 0), "[%.*s]",
                  STR_ARG(buf_view(&out)));
        free(read);
    }
    buf_free(&out);
}
