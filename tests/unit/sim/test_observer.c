/* The judge of a conversation: what breaks a promise is seen, what keeps it is not complained of; however the bytes are cut. */
#include "sim/helper.h"

struct turn { const char *client, *server; };
struct conversation_case {
    const char *name;
    struct turn turns[8];
    bool closed;
    const char *violation; /* its beginning; NULL: none */
};

#define G {NULL, "220 mx ESMTP\r\n"}
#define EHLO {"EHLO x\r\n", "250-mx\r\n250 PIPELINING\r\n"}
#define DATA {"DATA\r\n", "354 go\r\n"}

static const struct conversation_case cases[] = {
    {"plain", {G, EHLO, {"MAIL FROM:<>\r\n", "250 2.1.0 ok\r\n"}, {"QUIT\r\n", "221 2.0.0 bye\r\n"}}, true, NULL},
    {"two replies", {G, {"NOOP\r\n", "250 a\r\n250 b\r\n"}}, false, "more replies than commands: an unasked 250"},
    {"too early", {{NULL, "220 x\r\n250 y\r\n"}}, false, "more replies than commands"},
    {"unasked 421", {G, EHLO, {NULL, "421 4.4.2 timeout\r\n"}}, true, NULL},
    {"after 421", {G, {NULL, "421 timeout\r\n250 ok\r\n"}}, true, "a line after the one that ended"},
    {"no answer", {G, {"NOOP\r\nNOOP\r\n", "250 ok\r\n"}}, false, "1 commands without a reply"},
    {"closed without a word", {G, {"NOOP\r\n", NULL}}, true, "closed without a word"},
    {"bare LF command", {G, {"NOOP\n", "250 ok\r\n"}}, false, NULL},
    {"reply with LF", {{NULL, "220 x\n"}}, false, "a reply line that does not end in CRLF"},
    {"8-bit reply", {{NULL, "220 \xc3\xa4\r\n"}}, false, "a reply line with bytes that are not printable"},
    {"two codes", {{NULL, "220-x\r\n221 y\r\n"}}, false, "one reply with two codes, 220 and 221"},
    {"no code", {{NULL, "hello\r\n"}}, false, "a line that is no reply: hello"},
    {"half a reply", {{NULL, "220-x\r\n"}}, false, "a reply that breaks off"},
    {"no enhanced code", {G, EHLO, {"NOOP\r\n", "250 ok\r\n"}}, false, "no fitting enhanced code"},
    {"wrong class", {G, EHLO, {"NOOP\r\n", "250 4.0.0 ok\r\n"}}, false, "no fitting enhanced code"},
    {"HELO needs none", {G, {"HELO x\r\n", "250 mx\r\n"}, {"NOOP\r\n", "250 ok\r\n"}}, false, NULL},
    {"354 to NOOP", {G, {"NOOP\r\n", "354 go\r\n"}}, false, "354 to what was not DATA"},
    {"refused DATA", {G, {"DATA\r\n", "503 no\r\n"}, {"a\r\n.\r\n", "500 a\r\n500 dot\r\n"}}, false, NULL},
    {"message refused", {G, DATA, {"a\r\n.\r\n", "550 no\r\n"}}, false, NULL},
    {"250 without a backend", {G, DATA, {"a\r\n.\r\n", "250 ok\r\n"}}, false, "250 after the dot, but no backend had said 2xx"},
    {"content is no command", {G, DATA, {"NOOP\r\n.\n\r\n\n.\r\nNOOP\r\n", NULL}, {".\r\n", "550 x\r\n"}}, false, NULL},
    {"reply inside content", {G, DATA, {"a\r\n", "250 ok\r\n"}}, false, "more replies than commands"},
    {"pipelined behind the dot", {G, DATA, {".\r\nNOOP\r\n", "550 x\r\n250 ok\r\n"}}, false, NULL},
    {"chunk", {G, {"BDAT 6 LAST\r\nab\r\ncdNOOP\r\n", "502 no\r\n250 ok\r\n"}}, false, NULL},
    {"chunk without LAST", {G, {"BDAT 6\r\nab\r\ncd", "250 ok\r\n"}}, false, NULL},
    {"no chunk after all", {G, {"BDAT x LAST\r\nNOOP\r\n", "501 no\r\n250 ok\r\n"}}, false, NULL},
    {"250 to chunks without a backend",
     {G, {"MAIL\r\nRCPT TO:<x>\r\nBDAT 2 LAST\r\nab", "250 ok\r\n250 ok\r\n250 ok\r\n"}}, false,
     "250 after the dot, but no backend"},
    {"250 before the octets", {G, {"MAIL\r\nRCPT TO:<x>\r\nBDAT 9 LAST\r\nab", "250 ok\r\n250 ok\r\n250 ok\r\n"}}, false,
     "250 to a last chunk whose octets had not come"},
    {"said in clear behind STARTTLS", {G, {"STARTTLS\r\nNOOP\r\nNO", "220 go\r\n"}, {"EHLO x\r\n", "250 mx\r\n"}}, false, NULL},
    {"behind a refused STARTTLS", {G, {"STARTTLS\r\nNOOP\r\n", "454 later\r\n"}}, false, "1 commands without a reply"},
};

static void converse(const struct conversation_case *c, bool pieces)
{
    struct ledger ledger = {0};
    struct observer o;
    observer_init(&o, &ledger);
    for (size_t i = 0; i < 8; i++) {
        struct str client = str_of(c->turns[i].client), server = str_of(c->turns[i].server);
        for (size_t at = 0; at < client.n; at += pieces ? 1 : client.n)
            observer_sent(&o, pieces ? str_sub(client, at, at + 1) : client);
        for (size_t at = 0; at < server.n; at += pieces ? 1 : server.n)
            observer_received(&o, pieces ? str_sub(server, at, at + 1) : server);
    }
    observer_end(&o, c->closed);
    cr_expect_eq(ledger.violation == NULL, c->violation == NULL, "%s: %s", c->name,
                 ledger.violation ? ledger.violation : "no violation");
    if (ledger.violation && c->violation)
        cr_expect(str_starts(str_of(ledger.violation), str_of(c->violation)), "%s: %s", c->name, ledger.violation);
    observer_clear(&o);
    ledger_clear(&ledger);
}

Test(observer, conversations)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        converse(&cases[i], false);
        converse(&cases[i], true);
    }
}

Test(observer, an_endless_line_may_be_answered_before_its_end)
{
    struct ledger ledger = {0};
    struct observer o;
    struct buf line = {0};
    observer_init(&o, &ledger);
    observer_received(&o, STR("220 x\r\n"));
    for (int i = 0; i < 3000; i++)
        buf_char(&line, 'x');
    observer_sent(&o, buf_view(&line));
    observer_received(&o, STR("500 too long\r\n"));
    observer_sent(&o, STR("y\r\nNOOP\r\n"));
    observer_received(&o, STR("250 ok\r\n"));
    observer_end(&o, false);
    cr_expect_null(ledger.violation, "%s", ledger.violation);
    buf_free(&line);
    observer_clear(&o);
    ledger_clear(&ledger);
}

Test(ledger, what_was_meant)
{
    static const struct { const char *wire, *meant;
    } contents[] = {
        {"", ""},
        {"a\r\n", "a\r\n"},
        {"..\r\n.x\r\n", ".\r\nx\r\n"},
        {"a\n.b\r\n", "a\r\n.b\r\n"},
        {"a\r.b\r\n..c\r\n", "a\r\n.b\r\n.c\r\n"},
        {"a\r\r\n", "a\r\n\r\n"},
        {"a\n\r\n.", "a\r\n\r\n"},
        {"x", "x"},
    };
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        struct buf out = {0};
        content_meant(str_of(contents[i].wire), &out);
        cr_expect(str_eq(buf_view(&out), str_of(contents[i].meant)), "%zu: %.*s", i, STR_ARG(buf_view(&out)));
        buf_free(&out);
    }
}

Test(ledger, what_chunks_meant)
{
    static const struct { const char *octets, *meant;
    } contents[] = {
        {"", ""},
        {"a\r\n", "a\r\n"},
        {".\r\n..x", ".\r\n..x\r\n"},
        {"a\nb\r\rc\n\r\n", "a\r\nb\r\n\r\nc\r\n\r\n"},
        {"x\r", "x\r\n"},
    };
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        struct buf out = {0};
        chunks_meant(str_of(contents[i].octets), &out);
        cr_expect(str_eq(buf_view(&out), str_of(contents[i].meant)), "%zu: %.*s", i, STR_ARG(buf_view(&out)));
        buf_free(&out);
    }
}

/* What lies in a ledger after these segments: all octets of chunks that came where they may come. */
static void chunks_seen(const char *const *segments, const char *meant)
{
    struct ledger ledger = {0};
    struct observer o;
    observer_init(&o, &ledger);
    observer_received(&o, STR("220 x\r\n"));
    for (; *segments; segments++)
        observer_sent(&o, str_of(*segments));
    cr_assert_eq(ledger.count, 1);
    struct str content = buf_view(&ledger.messages[0].content);
    cr_expect(str_eq(content, str_of(meant)), "%.*s", STR_ARG(content));
    observer_clear(&o);
    ledger_clear(&ledger);
}

Test(ledger, chunks_are_put_together)
{
    static const char *const three[] = {"MAIL FROM:<>\r\nRCPT TO:<x>\r\nBDAT 3\r\nabcBDAT 4\r\nBDATBDAT 0\r\n",
                                        "BDAT 2 LAST\r\n\n", ".QUIT\r\n", NULL};
    static const char *const binary[] = {
        "MAIL FROM:<> BODY=BINARYMIME\r\nRCPT TO:<x>\r\nBDAT 3\r\na\nb", "bdat 2 last\r\n\r", "c", NULL};
    static const char *const refused[] = {"RCPT TO:<x>\r\nBDAT 2\r\nnoMAIL FROM:<>\r\nRCPT TO:<x>\r\nBDAT 1 LAST\r\nx", NULL};
    chunks_seen(refused, "x\r\n");
    chunks_seen(three, "abcBDAT\r\n.\r\n");
    static const char *const body[] = {
        "MAIL FROM:<> BODY=BINARYMIME\r\nRCPT TO:<x>\r\nBDAT 6\r\na\nb\r\n\r", "BDAT 6 LAST\r\n\n.\n\r\r\n", NULL};
    chunks_seen(binary, "a\r\nb\r\nc\r\n");
    chunks_seen(body, "a\r\nb\r\n\r\n.\n\r\r\n");
}

/* RSET and EHLO forget the chunks before them when they are obeyed, and not before that is known. */
Test(ledger, chunks_are_forgotten)
{
    static const struct { const char *command, *replies, *meant; } rows[] = {
        {"RSET", "250 a\r\n250 b\r\n250 c\r\n250 d\r\n", ""},
        {"HELO x", "250 a\r\n250 b\r\n250 c\r\n250 d\r\n", ""},
        {"RSET x", "250 a\r\n250 b\r\n250 c\r\n501 d\r\n", "noR\r\n"},
        {"EHLO x y", "250 a\r\n250 b\r\n250 c\r\n501 d\r\n", "noR\r\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ledger ledger = {0};
        struct observer o;
        struct buf said = {0};
        observer_init(&o, &ledger);
        observer_received(&o, STR("220 x\r\n"));
        buf_printf(&said, "MAIL FROM:<>\r\nRCPT TO:<x>\r\nBDAT 3\r\nnoR%s\r\nMAIL FROM:<>\r\nRCPT TO:<x>\r\nBDAT 0 LAST\r\n", rows[i].command);
        observer_sent(&o, buf_view(&said));
        cr_assert_eq(ledger.count, 0);
        observer_received(&o, str_of(rows[i].replies));
        cr_assert_eq(ledger.count, 1);
        cr_expect(str_eq(buf_view(&ledger.messages[0].content), str_of(rows[i].meant)), "row %zu", i);
        buf_free(&said);
        observer_clear(&o);
        ledger_clear(&ledger);
    }
}

/* Octets of a chunk that was refused are of no message; those before and behind it are. */
Test(ledger, a_refused_chunk_is_left_out)
{
    struct ledger ledger = {0};
    struct observer o;
    observer_init(&o, &ledger);
    observer_received(&o, STR("220 x\r\n"));
    observer_sent(&o, STR("MAIL FROM:<>\r\nRCPT TO:<x>\r\nBDAT 1\r\naBDAT 2\r\nbbBDAT 1\r\nc"));
    observer_received(&o, STR("250 a\r\n250 b\r\n250 c\r\n452 d\r\n250 e\r\n"));
    observer_sent(&o, STR("BDAT 0 LAST\r\n"));
    cr_assert_eq(ledger.count, 1);
    cr_expect(str_eq(buf_view(&ledger.messages[0].content), STR("ac\r\n")));
    observer_clear(&o);
    ledger_clear(&ledger);
}

/* The reply may come before the octets: out of place a chunk is of no message, and the transaction stays; else it is over. */
Test(ledger, a_chunk_refused_before_its_octets)
{
    static const struct { const char *reply; size_t messages; } rows[] = {{"503 c\r\n", 1}, {"452 c\r\n", 0}};
    for (size_t i = 0; i < 2; i++) {
        struct ledger ledger = {0};
        struct observer o;
        observer_init(&o, &ledger);
        observer_received(&o, STR("220 x\r\n"));
        observer_sent(&o, STR("MAIL FROM:<>\r\nRCPT TO:<x>\r\nBDAT 3\r\n"));
        observer_received(&o, STR("250 a\r\n553 b\r\n"));
        observer_received(&o, str_of(rows[i].reply));
        observer_sent(&o, STR("abcRCPT TO:<y>\r\nBDAT 1 LAST\r\nz"));
        cr_assert_eq(ledger.count, rows[i].messages, "row %zu", i);
        if (ledger.count > 0)
            cr_expect(str_eq(buf_view(&ledger.messages[0].content), STR("z\r\n")));
        observer_clear(&o);
        ledger_clear(&ledger);
    }
}

/* A second MAIL is refused, and what it says of the body is nothing to the message. */
Test(ledger, a_nested_mail_changes_nothing)
{
    struct ledger ledger = {0};
    struct observer o;
    observer_init(&o, &ledger);
    observer_received(&o, STR("220 x\r\n"));
    observer_sent(&o, STR("MAIL FROM:<>\r\nMAIL FROM:<> BODY=BINARYMIME\r\n"));
    observer_received(&o, STR("250 a\r\n503 b\r\n"));
    observer_sent(&o, STR("RCPT TO:<x>\r\nBDAT 3 LAST\r\n\r\n\n"));
    cr_assert_eq(ledger.count, 1);
    cr_expect(str_eq(buf_view(&ledger.messages[0].content), STR("\r\n\r\n")));
    observer_clear(&o);
    ledger_clear(&ledger);
}

Test(ledger, one_backend_one_dot)
{
    struct ledger l = {0};
    size_t a = ledger_client_dot(&l, STR("Subject: a\r\n\r\nbody\r\n"));
    cr_expect_eq(ledger_backend_dot(&l, STR("Received: x\r\nSubject: a\r\n\r\nbody\r\n")), a);
    ledger_client_told(&l, a, 451);
    cr_expect_null(l.violation);
    ledger_backend_took(&l, a);
    ledger_client_told(&l, a, 250);
    cr_expect_null(l.violation);
    cr_expect_eq(ledger_backend_dot(&l, STR("Subject: a\r\n\r\nbody\r\n")), SIZE_MAX);
    cr_expect(str_starts(str_of(l.violation), STR("a backend got the final dot of a message that a backend already had")));
    ledger_clear(&l);
    cr_expect_eq(ledger_backend_dot(&l, STR("never sent\r\n")), SIZE_MAX);
    cr_expect(str_starts(str_of(l.violation), STR("a backend got a message that no client had sent")));
    ledger_clear(&l);
}

Test(ledger, content_must_be_the_same)
{
    struct ledger l = {0};
    ledger_client_dot(&l, STR("Subject: a\r\nAuthentication-Results: mx; spf=pass\r\n\r\nbody\r\n"));
    cr_expect_neq(ledger_backend_dot(&l, STR("Subject: a\r\n\r\nbody\r\n")), SIZE_MAX, "fields in our name may go");
    ledger_client_dot(&l, STR("Subject: a\r\nTo: b\r\n\r\nbody\r\n"));
    cr_expect_eq(ledger_backend_dot(&l, STR("Subject: a\r\n\r\nbody\r\n")), SIZE_MAX, "others may not");
    ledger_clear(&l);
}

/* Two clients send the same message and one of them is told: which one a backend has is not known. */
Test(ledger, twins)
{
    struct ledger l = {0};
    size_t a = ledger_client_dot(&l, STR("x\r\n")), b = ledger_client_dot(&l, STR("x\r\n"));
    ledger_backend_took(&l, ledger_backend_dot(&l, STR("x\r\n")));
    ledger_client_told(&l, b, 250);
    cr_expect_null(l.violation);
    ledger_client_told(&l, a, 250);
    cr_expect_not_null(l.violation);
    ledger_clear(&l);
}
