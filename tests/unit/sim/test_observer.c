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
#define TO_X {"MAIL FROM:<>\r\nRCPT TO:<x>\r\n", "250 a\r\n250 b\r\n"}

static const struct conversation_case cases[] = {
    {"plain", {G, EHLO, {"MAIL FROM:<>\r\n", "250 2.1.0 ok\r\n"}, {"QUIT\r\n", "221 2.0.0 bye\r\n"}}, true, NULL},
    {"two replies", {G, {"NOOP\r\n", "250 a\r\n250 b\r\n"}}, false, "more replies than commands: an unasked 250"},
    {"too early", {{NULL, "220 x\r\n250 y\r\n"}}, false, "more replies than commands"},
    {"unasked 421", {G, EHLO, {NULL, "421 4.4.2 timeout\r\n"}}, true, NULL},
    {"after 421", {G, {NULL, "421 timeout\r\n250 ok\r\n"}}, true, "a line after the one that ended"},
    {"no answer", {G, {"NOOP\r\nNOOP\r\n", "250 ok\r\n"}}, false, "a command without a reply"},
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
    {"chunk without LAST", {G, TO_X, {"BDAT 6\r\nab\r\ncd", "250 ok\r\n"}}, false, NULL},
    {"no chunk after all", {G, {"BDAT x LAST\r\nNOOP\r\n", "501 no\r\n250 ok\r\n"}}, false, NULL},
    {"250 to chunks without a backend",
     {G, {"MAIL\r\nRCPT TO:<x>\r\nBDAT 2 LAST\r\nab", "250 ok\r\n250 ok\r\n250 ok\r\n"}}, false,
     "250 after the dot, but no backend"},
    {"250 before the octets", {G, {"MAIL\r\nRCPT TO:<x>\r\nBDAT 9 LAST\r\nab", "250 ok\r\n250 ok\r\n250 ok\r\n"}}, false,
     "250 to a last chunk whose octets had not come"},
    {"said in clear behind STARTTLS", {G, {"STARTTLS\r\nNOOP\r\nNO", "220 go\r\n"}, {"EHLO x\r\n", "250 mx\r\n"}}, false, NULL},
    {"behind a refused STARTTLS", {G, {"STARTTLS\r\nNOOP\r\n", "454 later\r\n"}}, false, "a command without a reply"},
    {"250 to a chunk before its octets", {G, TO_X, {"BDAT 9\r\nab",
     "250 ok\r\n"}}, false, "250 to a chunk whose octets had not come"},
    {"250 to a chunk of nothing", {G, {"BDAT 2\r\nab", "250 ok\r\n"}}, false, "250 to a chunk that is of no transaction"},
    {"250 behind a refused chunk", {G, TO_X, {"BDAT 2\r\nabBDAT 2\r\ncd", "452 full\r\n250 ok\r\n"}}, false,
     "250 to a chunk that is of no transaction"},
    {"250 behind the last chunk", {G, TO_X, {"BDAT 2 LAST\r\nabBDAT 2\r\ncd", "452 full\r\n250 ok\r\n"}}, false,
     "250 to a chunk that is of no transaction"},
    {"a recipient after all", {G, TO_X, {"BDAT 2\r\nabBDAT 2\r\ncd", "554 no valid recipients\r\n250 ok\r\n"}}, false, NULL},
    {"a chunk out of its place", {G, TO_X, {"BDAT 2\r\nabBDAT 1 x\r\nxBDAT 2\r\ncd",
     "250 a\r\n501 b\r\n250 c\r\n"}}, false, NULL},
    {"refused before its octets", {G, {"BDAT 6\r\n", "503 no\r\n"}, {"NOOP\r\nNOOP\r\n", "250 ok\r\n"}}, false, NULL},
    {"what was no BDAT announces nothing", {G, {"BDAT 6\x01\r\nNOOP\r\n", "500 no\r\n250 ok\r\n"}}, false, NULL},
    {"what was a wrong BDAT does", {G, {"BDAT 6 x\r\nNOOP\r\nNOOP\r\n", "501 no\r\n250 ok\r\n"}}, false, NULL},
    {"what nobody knows", {G, {"BDAT 6 x\r\nNOOP\r\nNOOP\r\n", "503 no\r\n503 no\r\n503 no\r\n503 no\r\n"}}, false, NULL},
    {"DATA for a binary message", {G, {"MAIL FROM:<> BODY=BINARYMIME\r\nDATA\r\nNOOP\r\n",
     "250 a\r\n503 b\r\n250 c\r\n"}}, false, NULL},
};

/* The end: what was complained of first begins like this; NULL: nothing was. */
static void complained(struct observer *o, struct ledger *l, const char *name, const char *violation)
{
    cr_expect_eq(l->violation == NULL, violation == NULL, "%s: %s", name, l->violation ? l->violation : "no violation");
    if (l->violation && violation)
        cr_expect(str_starts(str_of(l->violation), str_of(violation)), "%s: %s", name, l->violation);
    observer_clear(o);
    ledger_clear(l);
}

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
    complained(&o, &ledger, c->name, c->violation);
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
    complained(&o, &ledger, "an endless line", NULL);
    buf_free(&line);
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
        chunks_meant(str_of(contents[i].octets), false, &out);
        cr_expect(str_eq(buf_view(&out), str_of(contents[i].meant)), "%zu: %.*s", i, STR_ARG(buf_view(&out)));
        buf_free(&out);
    }
}

/* --- which octets are of which message ------------------------------------------------------------------------------------ */

struct whole_case {
    const char *name, *said, *answers; /* the greeting is there already */
    size_t messages;                   /* that the ledger has then */
    const char *meant;                 /* the last of them */
};

#define TO "MAIL FROM:<>\r\nRCPT TO:<x>\r\n"
#define BINARY_TO "MAIL FROM:<> BODY=BINARYMIME\r\nRCPT TO:<x>\r\n"

static const struct whole_case wholes[] = {
    {"three chunks", TO "BDAT 3\r\nabcBDAT 4\r\nBDATBDAT 2 LAST\r\n\n.QUIT\r\n",
     "250 a\r\n250 b\r\n250 c\r\n250 d\r\n", 1, "abcBDAT\r\n.\r\n"},
    {"binary", BINARY_TO "BDAT 6\r\na\nb\r\n\rbdat 6 last\r\n\n.\n\r\r\n",
     "250 a\r\n250 b\r\n250 c\r\n", 1, "a\r\nb\r\n\r\n.\n\r\r\n"},
    {"nothing is believed beforehand", TO "BDAT 1 LAST\r\nx", "250 a\r\n", 0, NULL},
    {"a chunk out of place", "RCPT TO:<x>\r\nBDAT 2\r\nno" TO "BDAT 1 LAST\r\nx",
     "503 a\r\n503 b\r\n250 c\r\n250 d\r\n", 1, "x\r\n"},
    {"RSET forgets", TO "BDAT 3\r\nnoRRSET\r\n" TO "BDAT 0 LAST\r\n",
     "250 a\r\n250 b\r\n250 c\r\n250 d\r\n250 e\r\n250 f\r\n", 1, ""},
    {"HELO forgets", TO "BDAT 3\r\nnoRHELO x\r\n" TO "BDAT 0 LAST\r\n",
     "250 a\r\n250 b\r\n250 c\r\n250 d\r\n250 e\r\n250 f\r\n", 1, ""},
    {"a refused RSET does not", TO "BDAT 3\r\nnoRRSET x\r\n" TO "BDAT 0 LAST\r\n",
     "250 a\r\n250 b\r\n250 c\r\n501 d\r\n503 e\r\n250 f\r\n", 1, "noR\r\n"},
    {"a refused EHLO does not", TO "BDAT 3\r\nnoREHLO x y\r\n" TO "BDAT 0 LAST\r\n",
     "250 a\r\n250 b\r\n250 c\r\n501 d\r\n503 e\r\n250 f\r\n", 1, "noR\r\n"},
    {"what was refused fails its transaction", TO "BDAT 1\r\naBDAT 2\r\nbb" TO "BDAT 1 LAST\r\nc",
     "250 a\r\n250 b\r\n250 c\r\n452 d\r\n250 e\r\n250 f\r\n", 1, "c\r\n"},
    {"what is no BDAT fails nothing", TO "BDAT 1\r\naBDAT 2 x\r\nbbBDAT 1 LAST\r\nc",
     "250 a\r\n250 b\r\n250 c\r\n501 d\r\n", 1, "ac\r\n"},
    {"a nested MAIL says nothing", "MAIL FROM:<>\r\n" BINARY_TO "BDAT 3 LAST\r\n\r\n\n",
     "250 a\r\n503 b\r\n250 c\r\n", 1, "\r\n\r\n"},
    {"a parameter within the path", "MAIL FROM:<\"> BODY=BINARYMIME\"@x>\r\nRCPT TO:<x>\r\nBDAT 3 LAST\r\n\r\n\n",
     "250 a\r\n250 b\r\n", 1, "\r\n\r\n"},
    {"a new message", TO "BDAT 1 LAST\r\na" TO "BDAT 1 LAST\r\nb", "250 a\r\n250 b\r\n451 c\r\n250 d\r\n250 e\r\n", 2, "b\r\n"},
    {"content behind a 354 only", TO "DATA\r\na\r\n.\r\n", "250 a\r\n250 b\r\n", 0, NULL},
    {"content", TO "DATA\r\n..a\r\n.\r\n", "250 a\r\n250 b\r\n354 c\r\n", 1, ".a\r\n"},
    {"a last chunk behind its refusal", TO "BDAT 1 LAST\r\n", "250 a\r\n250 b\r\n452 c\r\n", 0, NULL},
};

static void observe(struct observer *o, struct ledger *l, const char *said, const char *answers)
{
    observer_init(o, l);
    observer_received(o, STR("220 x\r\n"));
    observer_sent(o, str_of(said));
    observer_received(o, str_of(answers));
}

Test(observer, whole_messages)
{
    for (size_t i = 0; i < sizeof wholes / sizeof *wholes; i++) {
        const struct whole_case *c = &wholes[i];
        struct ledger ledger = {0};
        struct observer o;
        observe(&o, &ledger, c->said, c->answers);
        cr_expect_eq(ledger.count, c->messages, "%s: %zu messages", c->name, ledger.count);
        if (ledger.count > 0 && c->meant) {
            struct str content = buf_view(&ledger.messages[ledger.count - 1].content);
            cr_expect(str_eq(content, str_of(c->meant)), "%s: %.*s", c->name, STR_ARG(content));
        }
        observer_clear(&o);
        ledger_clear(&ledger);
    }
}

/* --- a backend that is faster than the replies ------------------------------------------------------------------------------ */

struct ahead_case {
    const char *name, *said, *answers, *content; /* which a backend gets then */
    bool supposed;                               /* the client may have sent it */
    const char *later;                           /* answers, the last of them to the message */
    const char *violation;                       /* of which comes this; NULL: nothing */
};

#define OK_3 "250 a\r\n250 b\r\n250 c\r\n"
#define UNSENT "a backend got a message that no client had sent"
#define OTHER "250 after the dot, but no backend"

static const struct ahead_case aheads[] = {
    {"the last chunk", TO "BDAT 1 LAST\r\nx", "", "F: x\r\nx\r\n", true, OK_3, NULL},
    {"two chunks", TO "BDAT 1\r\nxBDAT 1 LAST\r\ny", "250 a\r\n", "xy\r\n", true, "250 b\r\n250 c\r\n250 d\r\n", NULL},
    {"behind one that was accepted",
     TO "BDAT 1\r\nxBDAT 1\r\nyBDAT 1 LAST\r\nz", OK_3, "xyz\r\n", true, "250 d\r\n250 e\r\n", NULL},
    {"the one before was refused", TO "BDAT 2\r\nno" TO "BDAT 1 LAST\r\nz", "250 a\r\n",
     "z\r\n", true, "250 b\r\n452 c\r\n" OK_3, NULL},
    {"the one before was not", TO "BDAT 2\r\nnoBDAT 1 LAST\r\nz", "250 a\r\n",
     "z\r\n", true, "250 b\r\n250 c\r\n250 d\r\n", OTHER},
    {"content", TO "DATA\r\na\r\n.\r\n", "250 a\r\n", "a\r\n", true, "250 b\r\n354 c\r\n250 d\r\n", NULL},
    {"content of a DATA under way", TO "DATA\r\na\r\n.\r\n", "250 a\r\n250 b\r\n", "a\r\n", true, "354 c\r\n250 d\r\n", NULL},
    {"behind content", TO "DATA\r\na\r\n.\r\n" TO "BDAT 1 LAST\r\nb", "250 a\r\n",
     "b\r\n", true, "250 b\r\n354 c\r\n550 d\r\n" OK_3, NULL},
    {"behind a DATA that is refused", TO "DATA\r\nBDAT 5 LAST\r\n\r\n.\r\nNOOP\r\n", "250 a\r\n",
     "\r\n.\r\n", true, "250 b\r\n503 c\r\n250 d\r\n", NULL},
    {"behind an odd BDAT", TO "BDAT 2 x\r\nnoBDAT 1 LAST\r\nb", "250 a\r\n", "b\r\n", true, "250 b\r\n501 c\r\n250 d\r\n", NULL},
    {"behind what was no BDAT", TO "BDAT 6\x01\r\nNOOP\r\nBDAT 1 LAST\r\nb", "250 a\r\n",
     "b\r\n", true, "250 b\r\n500 c\r\n250 d\r\n250 e\r\n", NULL},
    {"not yet whole", TO "BDAT 2 LAST\r\nx", "250 a\r\n", "x\r\n", false, NULL, UNSENT},
    {"another one", TO "BDAT 1 LAST\r\nx", "250 a\r\n", "y\r\n", false, NULL, UNSENT},
    {"of two messages", TO "BDAT 1 LAST\r\nx" TO "BDAT 1 LAST\r\ny", "250 a\r\n",
     "xy\r\n", true, "250 b\r\n550 c\r\n" OK_3, NULL},
};

Test(observer, a_backend_ahead_of_the_replies)
{
    for (size_t i = 0; i < sizeof aheads / sizeof *aheads; i++) {
        const struct ahead_case *c = &aheads[i];
        struct ledger ledger = {0};
        struct observer o;
        observe(&o, &ledger, c->said, c->answers);
        for (int twice = 0; twice < 2; twice++) /* supposed once */
            observer_suppose(&o, str_of(c->content));
        size_t message = ledger_backend_dot(&ledger, str_of(c->content));
        cr_expect_eq(message != SIZE_MAX, c->supposed, "%s", c->name);
        cr_expect(ledger.count <= 1, "%s", c->name);
        ledger_backend_took(&ledger, message);
        observer_received(&o, str_of(c->later));
        complained(&o, &ledger, c->name, c->violation);
    }
}

/* --- the ledger ------------------------------------------------------------------------------------------------------------- */

Test(ledger, one_backend_one_dot)
{
    struct ledger l = {0};
    size_t a = ledger_client_sent(&l, STR("Subject: a\r\n\r\nbody\r\n"));
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
    ledger_client_sent(&l, STR("Subject: a\r\nAuthentication-Results: mx; spf=pass\r\n\r\nbody\r\n"));
    cr_expect_neq(ledger_backend_dot(&l, STR("Subject: a\r\n\r\nbody\r\n")), SIZE_MAX, "fields in our name may go");
    ledger_client_sent(&l, STR("Subject: a\r\nTo: b\r\n\r\nbody\r\n"));
    cr_expect_eq(ledger_backend_dot(&l, STR("Subject: a\r\n\r\nbody\r\n")), SIZE_MAX, "others may not");
    ledger_clear(&l);
}

/* Two clients send the same message and one of them is told: which one a backend has is not known. */
Test(ledger, twins)
{
    struct ledger l = {0};
    size_t a = ledger_client_sent(&l, STR("x\r\n")), b = ledger_client_sent(&l, STR("x\r\n"));
    ledger_backend_took(&l, ledger_backend_dot(&l, STR("x\r\n")));
    ledger_client_told(&l, b, 250);
    cr_expect_null(l.violation);
    ledger_client_told(&l, a, 250);
    cr_expect_not_null(l.violation);
    ledger_clear(&l);
}
