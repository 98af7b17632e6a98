/*
 * The author's domain: every form of a From field has one defined outcome, and none lets a domain through that was not the only
 * one.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/mail/from.h"

#define BUECHER "b\xc3\xbc" "cher"

static const struct {
    const char *body;    /* what follows "From:" */
    const char *outcome; /* "=domain", or the word of the error */
} cases[] = {
    /* RFC 5322 3.4, A.1 */
    {" user@good.example", "=good.example"},
    {"user@good.example", "=good.example"},
    {" John Doe <jdoe@machine.example>", "=machine.example"},
    {" \"Joe Q. Public\" <john.q.public@example.com>", "=example.com"},
    {" <boss@nil.test>", "=nil.test"},
    {" User@GOOD.Example", "=good.example"},
    {" Mary Smith <mary@x.test>, jdoe@x.test", "=x.test"},
    {" Mary Smith <mary@x.test>, jdoe@y.test", "multiple-domains"},
    {" a@x.test, b@X.TEST", "=x.test"},
    {" a@x.test, b@sub.x.test", "multiple-domains"},
    /* A.5: white space, comments, folding */
    {" Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", "=silly.test"},
    {"\r\n user@good.example", "=good.example"},
    {" user\r\n\t@\r\n good.example\r\n ", "=good.example"},
    {" user@good.example (evil.example)", "=good.example"},
    {" user@(good.example)evil.example", "=evil.example"},
    {" (a (nested (thrice)) comment) user@good.example", "=good.example"},
    {" (a@evil.example) user@good.example", "=good.example"},
    {" user@good.example(", "syntax"},
    {" (user@good.example", "syntax"},
    {" user@good.example)", "syntax"},
    {" user@good.example (\\", "syntax"},
    {" user@good.example (\\)", "syntax"},
    {" a@legit.example(.evil.example", "syntax"},
    {" a@legit.example(.evil.example)", "=legit.example"},
    /* A.6: obsolete forms */
    {" Joe Q. Public <john.q.public@example.com>", "=example.com"},
    {" John Q. . Public <a@example.com>", "=example.com"},
    {" Mary Smith <@node.test:mary@example.net>", "=example.net"},
    {" Mary Smith <@node.test,@other.test:mary@example.net>", "=example.net"},
    {" <@evil.example,@any.example:admin@legit.example>", "=legit.example"},
    {" <@node.test mary@example.net>", "syntax"},
    {" <,@node.test,,@b.test:mary@example.net>", "=example.net"},
    {" ,, a@x.test,, b@x.test, ", "=x.test"},
    {" jdoe @ test . example", "=test.example"},
    {" j . doe@test (c) . (d) example", "=test.example"},
    {" \"j\".doe.\"x y\"@test.example", "=test.example"},
    /* groups (RFC 6854) */
    {" Undisclosed recipients:;", "no-domain"},
    {" Group: a@x.test, B <b@x.test>;", "=x.test"},
    {" Group: a@x.test;, Other: b@x.test;", "=x.test"},
    {" Group: a@x.test, b@y.test;", "multiple-domains"},
    {" Group: a@x.test;, b@y.test", "multiple-domains"},
    {" Group: a@x.test", "syntax"},
    {" Group: Inner: a@x.test;;", "syntax"},
    {" Group: a@x.test; b@x.test", "syntax"},
    {" : a@x.test;", "syntax"},
    {" ,;", "syntax"},
    {" a@x.test;", "syntax"},
    /* quoted local parts and names */
    {" \"a@b\"@good.example", "=good.example"},
    {" \"a@evil.example\" <x@good.example>", "=good.example"},
    {" \"a\\\"b\" <x@good.example>", "=good.example"},
    {" \"<a@evil.example>\" <x@good.example>", "=good.example"},
    {" \"a\\\\\" <x@good.example>", "=good.example"},
    {" \"unclosed <x@good.example>", "syntax"},
    {" \"x\\\" <x@good.example>", "syntax"},
    {" \"\"@good.example", "=good.example"},
    {" a\"b\"@good.example", "syntax"},
    /* a display name that is an address */
    {" a@good.example <b@good.example>", "=good.example"},
    {" legit@good.example <x@evil.example>", "multiple-domains"},
    {" a@good.example name <b@good.example>", "syntax"},
    {" a@good.example <b@good.example> <c@good.example>", "syntax"},
    {" <a@good.example> <b@good.example>", "syntax"},
    {" a@good.example <>", "syntax"},
    {" <a@good.example>b@evil.example", "syntax"},
    {" <a@good.example> name", "syntax"},
    {" a@good.example b@evil.example", "syntax"},
    {" a@good.example@evil.example", "syntax"},
    {" a@good.example, b", "syntax"},
    {" Foo, Inc. <a@good.example>", "syntax"},
    /* encoded words (RFC 2047) */
    {" =?utf-8?Q?J=C3=B6rg?= <x@good.example>", "=good.example"},
    {" =?utf-8?B?YUBldmlsLmV4YW1wbGUgPGFAZXZpbC5leGFtcGxlPg==?= <x@good.example>", "=good.example"},
    {" =?utf-8?B?YWRtaW5AbGVnaXQuZXhhbXBsZQ==?=, <x@evil.example>", "syntax"},
    {" =?utf-8?B?YWRtaW5AbGVnaXQuZXhhbXBsZQ==?=", "no-domain"},
    {" =?utf-8?Q?a@evil.example?=", "syntax"},
    {" =?utf-8?Q?x?=@good.example", "syntax"},
    {" x@=?utf-8?Q?good.example?=", "syntax"},
    {" <=?utf-8?Q?a=40legit.example=3E?=@evil.example>", "syntax"},
    /* no domain */
    {"", "no-domain"},
    {" ", "no-domain"},
    {" (nobody)", "no-domain"},
    {" root", "no-domain"},
    {" <root>", "no-domain"},
    {" <>", "no-domain"},
    {" John Doe", "no-domain"},
    {" \"John Doe\"", "no-domain"},
    {" John <>", "no-domain"},
    {" a@", "syntax"},
    {" @good.example", "syntax"},
    {" <@good.example>", "syntax"},
    {" <a@>", "syntax"},
    {" a@good.example,@evil.example", "syntax"},
    /* literals */
    {" a@[192.0.2.1]", "literal"},
    {" A <a@[IPv6:2001:db8::1]>", "literal"},
    {" a@[192.0.2.1], b@[192.0.2.1]", "literal"},
    {" a@[192.0.2.1], b@good.example", "multiple-domains"},
    {" a@[192.0.2.1", "syntax"},
    {" a@[192.0.2.1].good.example", "syntax"},
    {" a@[x[y]", "syntax"},
    /* domains that are none */
    {" a@.good.example", "syntax"},
    {" a@good.example.", "syntax"},
    {" a@good..example", "syntax"},
    {" a@-good.example", "bad-domain"},
    {" a@good_host.example", "=good_host.example"},
    {" a@192.0.2.1", "bad-domain"},
    {" a@good!.example", "bad-domain"},
    {" a@legit.example'a.evil.example", "bad-domain"},
    {" a@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example", "bad-domain"},
    {" a@localhost", "=localhost"},
    /* international names (RFC 5890, 6532) */
    {" a@" BUECHER ".example", "=xn--bcher-kva.example"},
    {" a@xn--bcher-kva.example", "=xn--bcher-kva.example"},
    {" a@XN--Bcher-KVA.example, b@" BUECHER ".example", "=xn--bcher-kva.example"},
    {" a@B\xc3\x9c" "cher.example", "=xn--bcher-kva.example"},
    {" a@" BUECHER ".example, b@bucher.example", "multiple-domains"},
    {" a@stra\xc3\x9f" "e.example", "=xn--strae-oqa.example"},
    {" \xc3\xbcser@good.example", "=good.example"},
    {" J\xc3\xb6rg <x@good.example>", "=good.example"},
    {" J\xf6rg <x@good.example>", "syntax"},
    {" a@legit\xe3\x80\x82" "example", "bad-domain"},
    {" a@legit\xef\xbc\x8e" "example", "bad-domain"},
    {" a@legit\xef\xbd\xa1" "example", "bad-domain"},
    {" a@\xef\xbd\x87ood.example", "=good.example"},
    {" a@\xe2\x80\xae" "b.example", "bad-domain"},
    {" a@\xe2\x98\x83.example", "bad-domain"},
    {" a@\xed\xa0\x80.example", "syntax"},
    /* octets that have no place */
    {" a@good.example\r\nX-Evil: 1", "syntax"},
    {" a@good.example\rb@evil.example", "syntax"},
    {" a@good.example\nb@evil.example", "syntax"},
    {" a\001b@good.example", "syntax"},
    {" \"a\001b\" <x@good.example>", "syntax"},
    {" (\177) x@good.example", "syntax"},
    {" \\a@good.example", "syntax"},
    {" a@good.example\\", "syntax"},
    {" a>b@good.example", "syntax"},
    {" ]a@good.example", "syntax"},
};

static const char *outcome(const char *field, size_t n, char out[1200])
{
    struct arena arena = {0};
    struct from_author author;
    char *exact = xstrndup(field, n); /* so that the sanitizer sees the end */
    struct str one = {exact, n};

    from_read(&one, 1, &arena, &author);
    if (author.error == FROM_OK)
        snprintf(out, 1200, "=%.*s", STR_ARG(author.domain));
    else
        snprintf(out, 1200, "%s", from_error_names[author.error]);
    cr_assert((author.error == FROM_OK) == (author.domain.n > 0));
    arena_clear(&arena);
    free(exact);
    return out;
}

Test(from, a_table_of_forms)
{
    char out[1200];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf field = {0};
        buf_printf(&field, "From:%s", cases[i].body);
        outcome(field.p, field.n, out);
        cr_assert_str_eq(out, cases[i].outcome, "[%s]: %s, not %s", cases[i].body, out, cases[i].outcome);
        buf_free(&field);
    }
}

Test(from, a_cut_field_never_reads_past_its_end)
{
    char out[1200];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf field = {0};
        buf_printf(&field, "From:%s", cases[i].body);
        for (size_t n = 0; n <= field.n; n++)
            outcome(field.p, n, out);
        buf_free(&field);
    }
}

static const struct {
    const char *field;
    size_t n; /* 0: strlen */
    const char *outcome;
} fields[] = {
    {"From : a@good.example", 0, "=good.example"},
    {"FROM\t: a@good.example", 0, "=good.example"},
    {"From\r\n : a@good.example", 0, "syntax"},
    {"From: a@good.example\0b@evil.example", 36, "syntax"},
    {"From: \"a\0\" <a@good.example>", 27, "syntax"},
    {"From: a@good\0.example", 21, "syntax"},
};

Test(from, names_and_nul)
{
    char out[1200];

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        outcome(fields[i].field, fields[i].n ? fields[i].n : strlen(fields[i].field), out);
        cr_assert_str_eq(out, fields[i].outcome, "[%s]: %s, not %s", fields[i].field, out, fields[i].outcome);
    }
}

Test(from, fields_none_and_several)
{
    struct arena arena = {0};
    struct from_author author;
    struct str two[] = {STR("From: a@good.example"), STR("From: a@good.example")};

    from_read(NULL, 0, &arena, &author);
    cr_assert_eq(author.error, FROM_MISSING);
    from_read(two, 2, &arena, &author);
    cr_assert_eq(author.error, FROM_MULTIPLE_FIELDS);
    cr_assert_eq(author.domain.n, 0);
    arena_clear(&arena);
}

static const char *many(size_t count, const char *address, const char *last, char out[1200])
{
    struct buf field = {0};

    buf_cstr(&field, "From: ");
    for (size_t i = 0; i < count; i++)
        buf_printf(&field, "%s%s", i ? ",\r\n " : "", address);
    buf_cstr(&field, last);
    outcome(field.p, field.n, out);
    buf_free(&field);
    return out;
}

Test(from, many_addresses)
{
    char out[1200];

    cr_assert_str_eq(many(1000, "U <u@good.example>", "", out), "=good.example");
    cr_assert_str_eq(many(1000, "u@" BUECHER ".example", "", out), "=xn--bcher-kva.example");
    cr_assert_str_eq(many(999, "u@good.example", ", u@evil.example", out), "multiple-domains");
    cr_assert_str_eq(many(1001, "u@good.example", "", out), "too-many");
    cr_assert_str_eq(many(100000, "u@good.example", "", out), "too-many");
    cr_assert_str_eq(many(1, "u@good.example", ", (((((((((", out), "syntax");
}

Test(from, deep_and_long)
{
    char out[1200];
    struct buf field = {0};

    buf_cstr(&field, "From: ");
    for (size_t i = 0; i < 200000; i++)
        buf_char(&field, '(');
    for (size_t i = 0; i < 200000; i++)
        buf_char(&field, ')');
    buf_cstr(&field, "a@good.example");
    cr_assert_str_eq(outcome(field.p, field.n, out), "=good.example");
    buf_clear(&field);
    buf_cstr(&field, "From: a@");
    for (size_t i = 0; i < 1000; i++)
        buf_cstr(&field, "a.");
    buf_cstr(&field, "example");
    cr_assert_str_eq(outcome(field.p, field.n, out), "bad-domain");
    buf_clear(&field);
    buf_cstr(&field, "From: a@");
    for (size_t i = 0; i < 125; i++)
        buf_cstr(&field, "a.");
    buf_cstr(&field, "aaa");
    cr_assert_eq(strlen(outcome(field.p, field.n, out)), 254); /* 253 octets are a name, and "=" */
    buf_char(&field, 'a');
    cr_assert_str_eq(outcome(field.p, field.n, out), "bad-domain");
    buf_free(&field);
}

Test(from, domains_as_dns_knows_them)
{
    static const struct {
        const char *in, *out; /* NULL: none */
    } names[] = {
        {"Example.COM", "example.com"}, {"example.com.", "example.com"}, {".", NULL}, {"", NULL}, {"a..b", NULL},
        {BUECHER ".example", "xn--bcher-kva.example"}, {"\xff", NULL}, {"_dmarc.a.example", "_dmarc.a.example"},
        {"a b.example", NULL}, {"\xc3\xbc b.example", NULL}, {"1.2.3.4", NULL},
    };
    struct arena arena = {0};
    struct str out;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        bool good = domain_ascii(str_of(names[i].in), &arena, &out);
        cr_assert_eq(good, names[i].out != NULL, "[%s]", names[i].in);
        cr_assert(!good || str_eq(out, str_of(names[i].out)), "[%s]: [%.*s]", names[i].in, STR_ARG(out));
    }
    arena_clear(&arena);
}
