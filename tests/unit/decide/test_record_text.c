/* test_record_text.c - records in words: every kind of value and result, what is left out, foreign bytes, and lines that are none. */
#include <criterion/criterion.h>

#include "postern/base/codec.h"
#include "postern/decide/record_text.h"

#define HEAD                                                                                                                                     \
    "{\"v\":1,\"id\":\"ABC123.1\",\"session\":\"ABC123\",\"time\":\"2026-11-21T20:00:00.000Z\",\"client\":\"203.0.113.9\",\"port\":40000,"       \
    "\"listener\":\"*:25\",\"esmtp\":true,\"tls\":false,\"policy\":{\"path\":\"p.policy\",\"digest\":\"0123\"},\"declared\":{\"dnsbl.zen\":\"x\"}," \
    "\"negative_limit\":10,\"help\":\"\","
#define CONNECT                                                                                                                                  \
    "\"connect\":{\"facts\":{\"client.ip\":[\"203.0.113.9\",0],\"dnsbl.zen\":[[\"127.0.0.2\",\"127.0.0.4\"],3],\"dnswl.listed\":[[],3],"          \
    "\"fcrdns\":[{\"error\":\"time\\nout\"},3],\"client.name\":[null,3],\"tls\":[\"no\",0],\"history.first\":[5400000,0]},"                       \
    "\"verdict\":{\"action\":\"none\",\"score\":6},\"trace\":[{\"stage\":\"connect\",\"rule\":\"zen\",\"result\":\"fired\","                      \
    "\"saw\":{\"dnsbl.zen\":[\"127.0.0.2\",\"127.0.0.4\"]},\"effect\":\"score 6\"},"                                                               \
    "{\"stage\":\"connect\",\"rule\":\"watch\",\"result\":\"fired\",\"monitor\":true,\"saw\":{\"score\":6,\"fcrdns\":{\"error\":\"\"}},"           \
    "\"effect\":\"reject\"},{\"stage\":\"connect\",\"rule\":\"last\",\"result\":\"not reached\",\"saw\":{}}]}"
#define HELO "\"helo\":{\"facts\":{\"helo.name\":[\"\\u001b[31m\\u00fc\",1],\"tls\":[\"no\",1]},\"verdict\":null,\"trace\":null}"
#define RCPT                                                                                                                                     \
    "\"recipients\":[{\"address\":\"a@our.test\",\"reply\":\"550 5.7.1 Relaying denied\",\"by\":\"postern\",\"accepted\":false},"                 \
    "{\"address\":\"u@our.test\",\"facts\":{\"greylist.age\":[null,2],\"mail.from\":[\"\",2]},\"verdict\":{\"action\":\"none\"},\"trace\":[],"     \
    "\"ruling\":\"none\",\"reply\":\"250 ok\",\"by\":\"backend\",\"accepted\":true}],"
#define END "\"verdict\":\"none\",\"reply\":\"250 done\",\"by\":\"backend\",\"end\":\"delivered\",\"backend\":\"127.0.0.1:10025\",\"ms\":1234}"
#define WHOLE HEAD "\"stages\":{" CONNECT "," HELO "}," RCPT END

static const char whole[] =
    "Transaction ABC123.1 at 2026-11-21T20:00:00.000Z\n"
    "Client 203.0.113.9 port 40000 at *:25, no TLS\n"
    "Policy p.policy (0123)\n"
    "\n"
    "Stage connect\n"
    "    client.ip                203.0.113.9\n"
    "    dnsbl.zen                127.0.0.2,127.0.0.4\n"
    "    dnswl.listed             (none)\n"
    "    fcrdns                   (error: time\\nout)\n"
    "    client.name              (absent)\n"
    "    tls                      no\n"
    "    history.first            1h30m\n"
    "  connect zen                 fired        score 6   dnsbl.zen=127.0.0.2,127.0.0.4\n"
    "  connect watch               would fire   reject   score=6 fcrdns=(error)\n"
    "  connect last                not reached\n"
    "\n"
    "Stage helo\n"
    "    helo.name                \\x1b[31m\\xc3\\xbc\n"
    "  helo    not asked\n"
    "\n"
    "Recipient <a@our.test>\n"
    "  rcpt    not asked\n"
    "    550 5.7.1 Relaying denied  (said by Postern itself)\n"
    "\n"
    "Recipient <u@our.test>\n"
    "    greylist.age             (absent)\n"
    "    mail.from                (empty)\n"
    "  none\n"
    "    250 ok  (said by the mail server behind)\n"
    "\n"
    "Verdict\n"
    "  none; ended: delivered, after 1234 ms, given to 127.0.0.1:10025\n"
    "    250 done  (said by the mail server behind)\n";

static void expect_text(const char *line, const char *expected)
{
    struct arena arena = {0};
    struct buf out = {0};
    struct str why;
    cr_expect(record_text(str_of(line), &arena, &out, &why), "%.*s", STR_ARG(why));
    cr_expect(str_eq(buf_view(&out), str_of(expected)), "got:\n%.*s\nexpected:\n%s", STR_ARG(buf_view(&out)), expected);
    buf_free(&out);
    arena_clear(&arena);
}

Test(record_text, every_part)
{
    expect_text(WHOLE, whole);
    expect_text(WHOLE "\n", whole);
}

Test(record_text, shadow_sticky_helo_and_a_fault)
{
    struct arena arena = {0};
    struct buf out = {0};
    struct str why;
    cr_expect(record_text(STR(HEAD "\"shadow\":{\"policy\":{\"path\":\"s.policy\",\"digest\":\"99\"},\"verdict\":\"reject by x\",\"differs\":true,"
                                   "\"stages\":{\"connect\":{\"facts\":{\"dnsbl.own\":[[\"127.0.0.2\"],3]},\"verdict\":{\"action\":\"reject\"},\"trace\":"
                                   "[{\"stage\":\"connect\",\"rule\":\"x\",\"result\":\"fired\",\"saw\":{\"dnsbl.own\":[\"127.0.0.2\"]},\"effect\":\"reject\"}]}},"
                                   "\"recipients\":[{\"address\":\"u@our.test\",\"facts\":{},\"verdict\":null,\"trace\":null,\"ruling\":\"reject by x\"}]},"
                                   "\"stages\":{\"helo\":{\"facts\":{},\"verdict\":null,\"trace\":null}},"
                                   "\"sticky_helo\":{\"facts\":{\"helo.name\":[\"bare\",1]},\"verdict\":{\"action\":\"reject\"},\"trace\":[]},"
                                   "\"recipients\":[],\"verdict\":\"none\",\"reply\":\"\",\"by\":null,\"end\":\"client-left\",\"backend\":\"\",\"ms\":1,"
                                   "\"inconsistent\":true}"),
                          &arena, &out, &why), "%.*s", STR_ARG(why));
    buf_char(&out, '\0');
    static const char *const parts[] = {"\nStage helo, of an earlier name, whose refusal stands\n    helo.name                bare\n",
                                        "\nStage helo\n  helo    not asked\n", "\n  none; ended: client-left, after 1 ms\n  the shadow policy s.policy (99)"
                                        ": reject by x; a recipient or the message would have fared otherwise\n", "a fault of Postern's",
                                        "\nShadow: Stage connect\n    dnsbl.own                127.0.0.2\n  connect x                   fired  ",
                                        "\nShadow: Recipient <u@our.test>\n  rcpt    not asked\n  reject by x\n"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        cr_expect(strstr(out.p, parts[i]), "lacks %s:\n%s", parts[i], out.p);
    buf_free(&out);
    arena_clear(&arena);
}

Test(record_text, whose_it_is)
{
    static const struct { const char *id; bool has; } cases[] = {
        {"ABC123.1", true}, {"abc123.1", true}, {"ABC123", true}, {"ABC123.2", false}, {"ABC12", false}, {"", false}, {"203.0.113.9", false},
    };
    struct arena arena = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(record_has_id(STR(WHOLE), str_of(cases[i].id), &arena), cases[i].has, "%s", cases[i].id);
    cr_expect(!record_has_id(STR("{\"id\":\"ABC123.1\""), STR("ABC123.1"), &arena), "half a line");
    arena_clear(&arena);
}

Test(record_text, cut_anywhere_it_is_none)
{
    const struct str line = STR(WHOLE);
    for (size_t n = 0; n < line.n; n++) {
        struct arena arena = {0};
        struct buf out = {0};
        struct str why;
        char *exact = xstrndup(line.p, n);
        cr_expect(!record_text((struct str){exact, n}, &arena, &out, &why) && why.n > 0, "%zu bytes", n);
        free(exact);
        buf_free(&out);
        arena_clear(&arena);
    }
}

Test(record_text, members_of_other_kinds)
{
    static const char *const lines[] = {
        "[]", "1", "{}", HEAD "\"stages\":[]," RCPT END, HEAD "\"stages\":{\"connect\":[]}," RCPT END,
        HEAD "\"stages\":{\"connect\":{\"facts\":[],\"trace\":[]}}," RCPT END, HEAD "\"stages\":{\"connect\":{\"facts\":{\"tls\":1},\"trace\":[]}}," RCPT END,
        HEAD "\"stages\":{\"connect\":{\"facts\":{\"tls\":[{},1]},\"trace\":[]}}," RCPT END,
        HEAD "\"stages\":{\"connect\":{\"facts\":{\"tls\":[[1],1]},\"trace\":[]}}," RCPT END,
        HEAD "\"stages\":{\"connect\":{\"facts\":{},\"trace\":[1]}}," RCPT END, HEAD "\"stages\":{\"connect\":{\"facts\":{},\"trace\":{}}}," RCPT END,
        HEAD "\"stages\":{},\"recipients\":{}," END, HEAD "\"stages\":{},\"recipients\":[[]]," END,
        HEAD "\"shadow\":[],\"stages\":{}," RCPT END,
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct arena arena = {0};
        struct buf out = {0};
        struct str why;
        cr_expect(!record_text(str_of(lines[i]), &arena, &out, &why) && why.n > 0, "%s\n%.*s", lines[i], STR_ARG(buf_view(&out)));
        buf_free(&out);
        arena_clear(&arena);
    }
}
