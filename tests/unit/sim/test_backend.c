/* The simulated backend alone, spoken to by hand: what it complains of, what it takes, what it answers; however the bytes
 * are cut. */
#include "sim/helper.h"

#include <stdlib.h>

#define HEADER "\r\n\r\n\0\r\nQUIT\n"
#define PROXY "set backend 198.18.0.1:25 client-address proxy\n"
#define EHLO {"EHLO mx.test\r\n", 0}
#define MAIL {"MAIL FROM:<a@b.test>\r\n", 0}
#define RCPT {"RCPT TO:<u@our.test>\r\n", 0}
#define TEXT(x) {x, sizeof x - 1}

struct segment {
    const char *bytes;
    size_t n; /* 0: up to its NUL */
};

static const struct talk {
    const char *name, *world;
    struct segment said[7];
    const char *violation; /* its beginning; NULL: none */
    const char *reply;     /* the last line; NULL: whatever */
} talks[] = {
    {"plain", "", {EHLO, MAIL, RCPT, {"QUIT\r\n", 0}}, NULL, "221 2.0.0 Bye"},
    {"no EHLO", "", {MAIL}, "a backend got MAIL before EHLO", NULL},
    {"bare LF", "", {{"EHLO x\n", 0}}, "a backend got a bare LF in a command", NULL},
    {"no command", "",
     {EHLO, {"HELLO\r\n", 0}}, "a backend got a line that is no command: HELLO", "502 5.5.1 Command not implemented"},
    {"parameter", "", {EHLO, {"MAIL FROM:<> SMTPUTF8\r\n", 0}}, "a backend without SMTPUTF8 got", NULL},
    {"no parameter", "", {EHLO, {"MAIL FROM:<> FOO\r\n", 0}}, "a backend got a parameter that is none", NULL},
    {"quoted local part", "", {EHLO, {"MAIL FROM:<\"a> FOO\"@x.test> BODY=8BITMIME\r\n", 0}}, NULL, "250 2.1.0 Ok"},
    {"eight bits", "backend ehlo SMTPUTF8\n",
     {EHLO, {"MAIL FROM:<\xc3\xbc@x.test>\r\n", 0}}, "a backend got a command with byte 0xc3", NULL},
    {"internationalised", "backend ehlo SMTPUTF8\n",
     {EHLO, {"MAIL FROM:<\xc3\xbc@x.test> SMTPUTF8\r\n", 0}}, NULL, "250 2.1.0 Ok"},
    {"group", "backend ehlo none\n",
     {EHLO, {"MAIL FROM:<>\r\nRCPT TO:<u@our.test>\r\n", 0}}, "a backend got more behind MAIL FROM:<>", NULL},
    /* chunks */
    {"BDAT", "backend ehlo CHUNKING\n",
     {EHLO, MAIL, RCPT, {"BDAT 5\r\nab\r\nc", 0}}, NULL, "250 2.0.0 5 octets received"},
    {"octets are no commands", "backend ehlo CHUNKING\n",
     {EHLO, MAIL, RCPT, {"BDAT 6\r\nQUIT\r\n", 0}}, NULL, "250 2.0.0 6 octets received"},
    {"BDAT not announced", "", {EHLO, MAIL, RCPT, {"BDAT 1\r\nx", 0}}, "a backend without CHUNKING got BDAT 1", NULL},
    {"BDAT by no book", "backend ehlo CHUNKING\n",
     {EHLO, MAIL, RCPT, {"BDAT 1 last\r\nx", 0}}, "a backend got BDAT 1 last", NULL},
    {"BDAT without recipients", "backend ehlo CHUNKING\n",
     {EHLO, MAIL, {"BDAT 1\r\nx", 0}}, NULL, "503 5.5.1 Bad sequence of commands"},
    {"chunks in a group", "backend ehlo CHUNKING\n",
     {EHLO, MAIL, RCPT, {"BDAT 1\r\nxBDAT 1\r\ny", 0}}, "a backend got more behind a chunk", NULL},
    {"behind LAST", "backend ehlo CHUNKING, PIPELINING\n",
     {EHLO, MAIL, RCPT, {"BDAT 0 LAST\r\nMAIL FROM:<>\r\n", 0}}, "a backend got more behind a chunk", NULL},
    {"nobody's message", "backend ehlo CHUNKING\n",
     {EHLO, MAIL, RCPT, {"BDAT 3 LAST\r\nx\r\n", 0}}, "a backend got a message that no client had sent (3 octets)", NULL},
    {"bare CR", "backend ehlo CHUNKING\n",
     {EHLO, MAIL, RCPT, {"BDAT 3 LAST\r\nx\ry", 0}}, "a backend got a bare CR in a message", NULL},
    {"NUL", "backend ehlo CHUNKING\n",
     {EHLO, MAIL, RCPT, TEXT("BDAT 1 LAST\r\n\0")}, "a backend got a NUL in a message", NULL},
    {"DATA behind a chunk", "backend ehlo CHUNKING\n",
     {EHLO, MAIL, RCPT, {"BDAT 1\r\nx", 0}, {"DATA\r\n", 0}}, "a backend got DATA behind a chunk", NULL},
    {"binary by DATA", "backend ehlo CHUNKING, BINARYMIME\n",
     {EHLO, {"MAIL FROM:<> BODY=BINARYMIME\r\n", 0}, RCPT, {"DATA\r\n", 0}}, "a backend got DATA for BODY=BINARYMIME", NULL},
    {"a chunk refused", "backend ehlo CHUNKING\nbackend on BDAT #1 452 4.3.1 no\n",
     {EHLO, MAIL, RCPT, {"BDAT 1\r\nx", 0}, {"BDAT 1 LAST\r\ny", 0}}, NULL, "503 5.5.1 Bad sequence of commands"},
    /* who the client is */
    {"LOCAL", PROXY, {TEXT(HEADER "\x20\0\0\0"), EHLO}, NULL, "250 ENHANCEDSTATUSCODES"},
    {"mail of a LOCAL connection", PROXY,
     {TEXT(HEADER "\x20\0\0\0"), EHLO, MAIL}, "a backend got mail on a connection that its PROXY header called LOCAL", NULL},
    {"header", PROXY,
     {TEXT(HEADER "\x21\x11\0\x0c\xcb\0\x71\x09\xc0\0\x02\x19\x9c\x40\0\x19"), EHLO, MAIL}, NULL, "250 2.1.0 Ok"},
    {"no header", PROXY, {EHLO}, "a backend that wants a PROXY header got something else", NULL},
    {"header of another length", PROXY,
     {TEXT(HEADER "\x21\x11\0\x0b\xcb\0\x71\x09\xc0\0\x02\x19\x9c\x40\0")},
     "a backend got a PROXY header that is not by the book", NULL},
    {"header and no wait", PROXY,
     {TEXT(HEADER "\x20\0\0\0" "EHLO x\r\n")}, "a backend got more behind the PROXY header", NULL},
    {"a client that nobody is", PROXY,
     {TEXT(HEADER "\x21\x11\0\x0c\xcb\0\x71\x63\xc0\0\x02\x19\x9c\x40\0\x19"), EHLO, MAIL},
     "a backend was told an address that no client came from", NULL},
    {"not told", "set backend 198.18.0.1:25 client-address xclient\nbackend ehlo XCLIENT ADDR\n",
     {EHLO, MAIL}, "a backend got mail and was not told whose", NULL},
    {"in clear", "set backend 198.18.0.1:25 tls require\n",
     {EHLO, MAIL}, "a backend got mail in clear, and TLS is required", NULL},
    {"XCLIENT", "backend ehlo XCLIENT NAME PORT HELO ADDR\n",
     {EHLO, {"XCLIENT NAME=[UNAVAILABLE] PORT=1 HELO=a+2Bb ADDR=IPV6:2001:db8::1\r\n", 0}, {"EHLO a+b\r\n", 0}, MAIL},
     NULL, "250 2.1.0 Ok"},
    {"XCLIENT not offered", "", {EHLO, {"XCLIENT ADDR=192.0.2.1\r\n", 0}}, "a backend without XCLIENT got it", NULL},
    {"attribute not offered", "backend ehlo XCLIENT ADDR\n",
     {EHLO, {"XCLIENT PORT=1 ADDR=192.0.2.1\r\n", 0}},
     "a backend got the XCLIENT attribute PORT, which it had not offered", NULL},
    {"ADDR not last", "backend ehlo XCLIENT ADDR PORT\n",
     {EHLO, {"XCLIENT ADDR=192.0.2.1 PORT=1\r\n", 0}}, "a backend got XCLIENT with ADDR not as its last attribute", NULL},
    {"IPv6 without its mark", "backend ehlo XCLIENT ADDR\n",
     {EHLO, {"XCLIENT ADDR=2001:db8::1\r\n", 0}}, "a backend got an XCLIENT attribute that is none: ADDR=2001:db8::1", NULL},
    {"no xtext", "backend ehlo XCLIENT HELO ADDR\n",
     {EHLO, {"XCLIENT HELO=a+b ADDR=192.0.2.1\r\n", 0}}, "a backend got an XCLIENT attribute that is none: HELO=a+b", NULL},
    {"another EHLO than told", "backend ehlo XCLIENT HELO ADDR\n",
     {EHLO, {"XCLIENT HELO=a ADDR=192.0.2.1\r\n", 0}, EHLO}, "a backend was told HELO=a, and then EHLO mx.test", NULL},
    {"no EHLO behind XCLIENT", "backend ehlo XCLIENT ADDR\n",
     {EHLO, {"XCLIENT ADDR=192.0.2.1\r\n", 0}, MAIL}, "a backend got MAIL before EHLO", NULL},
    /* STARTTLS */
    {"STARTTLS not offered", "",
     {EHLO, {"STARTTLS\r\n", 0}}, "a backend got STARTTLS that it had not offered so", NULL},
    {"no wait for STARTTLS", "set backend 198.18.0.1:25 tls may\nbackend ehlo STARTTLS, PIPELINING\n",
     {EHLO, {"STARTTLS\r\nNOOP\r\n", 0}}, "a backend got more behind STARTTLS", NULL},
    {"refused", "set backend 198.18.0.1:25 tls may\nbackend ehlo STARTTLS\nbackend on STARTTLS 454 4.7.0 no\n",
     {EHLO, {"STARTTLS\r\n", 0}, {"NOOP\r\n", 0}}, NULL, "250 2.0.0 Ok"},
};

static void nobody(struct task *t)
{
    (void)t;
}

static void say(struct world *w, struct stream *s, struct segment said, bool pieces)
{
    size_t n = said.n ? said.n : strlen(said.bytes);
    for (size_t at = 0; at < n; at += pieces ? 1 : n) {
        stream_put(s, said.bytes + at, pieces ? 1 : n);
        stream_flush(s);
        if (pieces)
            world_settle(w);
    }
    world_settle(w);
}

static void talk(const struct talk *t, bool pieces)
{
    static const struct perturbation none;
    struct diags diags = {0};
    struct script *script = script_from(t->world, &diags);
    cr_assert(script, "%s: %s", t->name, diags.count ? diags.list[0].text : "");
    struct world w;
    struct task task = {.run = nobody};
    struct buf heard = {0};
    world_begin(&w, script, &none);
    struct addr_port client = {{4, {203, 0, 113, 9}}, 40000};
    buf_put(&w.arrivals, &client, sizeof client);
    for (size_t i = 0; i < script->count; i++)
        if (script->steps[i].kind == STEP_BACKEND)
            sim_backend_change(&w.backends[0], script->steps[i].backend);
    struct stream *s = sim_backend_connect(&w.backends[0], &task);
    world_advance(&w, 1);
    for (size_t i = 0; i < 7 && t->said[i].bytes; i++)
        say(&w, s, t->said[i], pieces);
    ssize_t n = stream_read(s, buf_room(&heard, 8192), 8192);
    heard.n = n > 0 ? (size_t)n : 0;
    const char *violation = w.ledger.violation ? w.ledger.violation : "";
    cr_expect(t->violation ? str_starts(str_of(violation), str_of(t->violation)) : !*violation, "%s: %s", t->name, violation);
    struct str last = str_sub(buf_view(&heard), 0, heard.n > 1 ? heard.n - 2 : 0); /* without its CRLF */
    while (str_find(last, '\n', 0) < last.n)
        last = str_sub(last, str_find(last, '\n', 0) + 1, last.n);
    cr_expect(!t->reply || str_eq(last, str_of(t->reply)), "%s: %.*s", t->name, STR_ARG(last));
    stream_close(w.loop, &s);
    world_end(&w);
    world_clear(&w);
    buf_free(&heard);
    script_free(&script);
    diag_clear(&diags);
}

Test(backend, talks)
{
    for (size_t i = 0; i < sizeof talks / sizeof *talks; i++) {
        bool groups = talks[i].violation && strstr(talks[i].violation, " got more behind");
        talk(&talks[i], false);
        if (!groups) /* octet by octet nothing stands behind anything */
            talk(&talks[i], true);
    }
}
