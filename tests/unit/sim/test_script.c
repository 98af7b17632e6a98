/* Transcripts from text: segments, escapes, `again`, content, complaints. */
#include "sim/helper.h"

Test(script, patterns)
{
    static const struct { const char *pattern, *text; bool match; } cases[] = {
        {"250 OK", "250 OK", true},  {"250 OK", "250 ok", false}, {"250 *", "250 ", true},      {"*", "", true},
        {"a*c", "abbbc", true},      {"a*c", "abbbd", false},     {"*a*b*", "xxayybzz", true}, {"250 ?", "250 x", false},
        {"250 ?", "250 ?", true},    {"", "x", false},            {"", "", true},              {"***", "x", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(pattern_match(str_of(cases[i].pattern), str_of(cases[i].text)), cases[i].match, "%s %s", cases[i].pattern,
                     cases[i].text);
}

Test(script, quoted_text)
{
    static const struct { const char *in, *out; size_t n;
    } cases[] = {
        {"\"\"", "", 0},       {" \"a b\" ", "a b", 3}, {"\"\\r\\n\\0\\x41\\\"\\\\\"", "\r\n\0A\"\\", 6},
        {"\"a", NULL, 0},      {"a", NULL, 0},          {"\"\\q\"", NULL, 0},
        {"\"\\x4\"", NULL, 0}, {"\"\\", NULL, 0},       {"\"", NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena arena = {0};
        struct str rest = str_of(cases[i].in), out;
        bool ok = quoted_parse(&rest, &arena, &out);
        cr_expect_eq(ok, cases[i].out != NULL, "%s", cases[i].in);
        if (ok && cases[i].out)
            cr_expect(str_eq(out, (struct str){cases[i].out, cases[i].n}), "%s", cases[i].in);
        arena_clear(&arena);
    }
}

Test(script, segments)
{
    struct diags diags = {0};
    struct script *s = script_from(
        "C: one\n# between\n\n  C: two\nS: 250 *\nC- half\nC\\ \"\\n\"\nC* 2 xy\nC*- 3 z\nC2: other\nsettle\nC: x\n", &diags);
    static const struct { enum step_kind kind; unsigned line; const char *text;
    } steps[] = {{STEP_SEND, 1, "one\r\ntwo\r\n"}, {STEP_LINE, 5, NULL},    {STEP_SEND, 6, "half\nxy\r\nxy\r\nzzz"},
                 {STEP_SEND, 10, "other\r\n"},     {STEP_SETTLE, 11, NULL}, {STEP_SEND, 12, "x\r\n"}};
    cr_assert(s, "%s", diags.count ? diags.list[0].text : "");
    cr_assert_eq(s->count, sizeof steps / sizeof *steps);
    for (size_t i = 0; i < s->count; i++) {
        cr_expect_eq(s->steps[i].kind, steps[i].kind, "step %zu", i);
        cr_expect_eq(s->steps[i].line, steps[i].line, "step %zu", i);
        if (steps[i].text)
            cr_expect(str_eq(s->steps[i].text, str_of(steps[i].text)), "step %zu: %.*s", i, STR_ARG(s->steps[i].text));
    }
    cr_expect_eq(s->steps[3].actor, 1);
    script_free(&s);
}

Test(script, certificates)
{
    struct diags diags = {0};
    struct script *s = script_from("backend 2 certificate mail.test expired\n"
                                   "set backend 198.18.0.1:25 tls require fingerprint {fingerprint}\n"
                                   "set backend 198.18.0.2:25 tls require fingerprint {fingerprint 2}\n"
                                   "set backend 198.18.0.3:25 tls require verify a.test ca \"{ca}\"\n"
                                   "tls 1.2\ntls none\ntls a.test 1.2\ntls\n",
                                   &diags);
    cr_assert(s, "%s", diags.count ? diags.list[0].text : "");
    const struct backend_setting *set = s->settings.backends;
    cr_expect(str_eq(set[0].tls_fingerprint, s->backend_credentials[0]->fingerprint));
    cr_expect(str_eq(set[1].tls_fingerprint, s->backend_credentials[1]->fingerprint));
    cr_expect_not(str_eq(set[0].tls_fingerprint, set[1].tls_fingerprint));
    cr_expect(str_starts(set[2].tls_ca, STR("/proc/self/fd/")), "%.*s", STR_ARG(set[2].tls_ca));
    cr_assert_eq(s->count, 5);
    static const struct { const char *name; unsigned asked; } asked[] = {
        {"mx.test", TLS_ASKED_12}, {"", TLS_ASKED_USUAL}, {"a.test", TLS_ASKED_12}, {"mx.test", TLS_ASKED_USUAL}};
    for (size_t i = 0; i < 4; i++) {
        cr_expect_eq(s->steps[i + 1].kind, STEP_TLS);
        cr_expect(str_eq(s->steps[i + 1].text, str_of(asked[i].name)), "%zu: %.*s", i, STR_ARG(s->steps[i + 1].text));
        cr_expect_eq(s->steps[i + 1].number, asked[i].asked, "%zu", i);
    }
    script_free(&s);
}

Test(script, content_and_again)
{
    struct diags diags = {0};
    struct script *s =
        script_from("C: DATA\nS: 354 *\nC: a\nC: b\nsettle\nC: .\nC: QUIT\nS: 250 *\nwait 1s\nagain\nS: 451 *\n", &diags);
    cr_assert(s);
    /* SEND, 354, content, settle, content with the dot, 250, wait | CONNECT, SEND, 354, content, settle, content | 451 */
    cr_assert_eq(s->count, 14);
    cr_expect(!s->steps[0].content && s->steps[2].content && !s->steps[2].ends_content);
    cr_expect(s->steps[4].content && s->steps[4].ends_content);
    cr_expect_eq(s->steps[7].kind, STEP_CONNECT);
    cr_expect_eq(s->steps[8].again, 10);
    cr_expect_eq(s->steps[8].line, 1);
    cr_expect_eq(s->steps[12].kind, STEP_SEND);
    cr_expect(s->steps[12].ends_content);
    cr_expect_eq(s->steps[13].kind, STEP_LINE);
    cr_expect_eq(s->steps[13].again, 0);
    script_free(&s);
}

Test(script, complaints)
{
    static const struct { const char *text; unsigned line; const char *message; } cases[] = {
        {"S: x\nflush\n", 2, "unknown line 'flush'"},
        {"clint 1.2.3.4\n", 1, "unknown line 'clint'"},
        {"client nowhere\n", 1, "expected an address, not 'nowhere'"},
        {"C\\ \"x\n", 1, "expected text in quotes"},
        {"C* x y\n", 1, "expected a number, not 'x'"},
        {"C* 100000000 x\n", 1, "more than 100000000 octets"},
        {"S perhaps\n", 1, "expected nothing or closed"},
        {"wait long\n", 1, "expected a duration, not 'long'"},
        {"again\n", 1, "nothing was said yet that could be said again"},
        {"S: x\nset message-size 1M\n", 2, "settings do not change in mid-conversation"},
        {"set message-sise 1M\n", 1, "unknown setting 'message-sise'"},
        {"policy\nstage connect\n", 1, "the policy that begins here has no `end`"},
        {"\npolicy\nstage connect\n  rule x: rejekt\nend\n", 4, NULL},
        {"policy \"no/such.policy\"\n", 0, NULL},
        {"dns x.test\n", 1, "expected a type"},
        {"dns x.test QQ 1\n", 1, "unknown type 'QQ'"},
        {"dns x.test A nowhere\n", 1, "not a A record"},
        {"dns x.test A\n", 1, "expected records, nodata, nxdomain, servfail, timeout or malformed"},
        {"dns x.test any 192.0.2.1\n", 1, "expected nodata, nxdomain, servfail, timeout or malformed"},
        {"dns x.test A 192.0.2.1 delay soon\n", 1, "expected a duration"},
        {"backend on FOO 250\n", 1, "unknown moment"},
        {"backend on RCPT #0 250 x\n", 1, "expected #1, #2 ..."},
        {"backend on RCPT\n", 1, "expected what it does"},
        {"backend on RCPT whatever\n", 1, "expected a reply or what it does"},
        {"backend jumps\n", 1, "unknown 'jumps'"},
        {"backend certificate a..b\n", 1, "not a host name"},
        {"backend certificate a.test old\n", 1, "expected self-signed or expired"},
        {"tls a.test b.test\n", 1, "expected the end of the line"},
        {"set backend 198.18.0.1:25 tls require fingerprint {fingerprint 0}\n", 1, NULL},
        {"store broken\n", 1, "expected failing, slow or working"},
        {"expect wonders\n", 1, "cannot expect 'wonders'"},
        {"expect reject because x\n", 1, "expected by"},
        {"expect counter conections 1\n", 1, "unknown counter 'conections'"},
        {"expect fact spf\n", 1, "expected the value of spf"},
        {"expect shadow\n", 1, "expected same, differs, a verdict, or fact"},
        {"expect shadow refused\n", 1, "cannot expect 'refused' of the shadow"},
        {"expect shadow reject because x\n", 1, "expected by"},
        {"expect shadow fact spf\n", 1, "expected the value of spf"},
        {"shadow\nstage rcpt\n  rule a: rejct\nend\nS: 220 *\n", 3, "unknown effect 'rejct'"},
        {"close now\n", 1, "expected the end of the line"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct diags diags = {0};
        struct script *s = script_from(cases[i].text, &diags);
        cr_expect_null(s, "%s", cases[i].text);
        cr_assert_gt(diags.count, 0, "%s", cases[i].text);
        cr_expect_eq(diags.list[0].line, cases[i].line, "%s: line %u", cases[i].text, diags.list[0].line);
        if (cases[i].message)
            cr_expect_str_eq(diags.list[0].message, cases[i].message);
        diag_clear(&diags);
        script_free(&s);
    }
}

Test(script, any_bytes_are_read_or_complained_of)
{
    static const char alphabet[] = "CSB:-*\\ \n\"#1x2";
    unsigned seed = 7;
    for (int round = 0; round < 3000; round++) {
        char text[41];
        for (size_t i = 0; i < sizeof text - 1; i++) {
            seed = seed * 1103515245 + 12345;
            text[i] = alphabet[(seed >> 16) % (sizeof alphabet - 1)];
        }
        text[40] = '\0';
        struct diags diags = {0};
        struct script *s = script_from(text, &diags);
        cr_expect_eq(s != NULL, diags.errors == 0, "%s", text);
        diag_clear(&diags);
        script_free(&s);
    }
}
