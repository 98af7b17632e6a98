/* XCLIENT: what is offered is told, cleanly, and nothing else. */
#include "postern/smtp/xclient.h"

#include <criterion/criterion.h>

#define ALL "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"

static struct addr_port at(const char *address, uint16_t port)
{
    struct addr_port a = {.port = port};
    cr_assert(addr_parse(str_of(address), &a.addr), "%s", address);
    return a;
}

Test(xclient, write)
{
    const struct addr_port v4 = at("203.0.113.9", 40000), v6 = at("2001:db8::9", 40000), here = at("192.0.2.1", 25), here6 = at("2001:db8::25", 25);
    const struct {
        const char *offered;
        struct xclient x;
        const char *line;
    } table[] = {
        {"NAME ADDR PORT PROTO HELO", {v4, {.port = 0}, STR("mail.example"), false, STR("mail.example"), true},
         "XCLIENT NAME=mail.example PORT=40000 PROTO=ESMTP HELO=mail.example ADDR=203.0.113.9"},
        {ALL, {v6, here6, STR_NONE, false, STR("[IPv6:2001:db8::9]"), false},
         "XCLIENT NAME=[UNAVAILABLE] PORT=40000 PROTO=SMTP HELO=[IPv6:2001:db8::9] DESTADDR=IPV6:2001:db8::25 DESTPORT=25 ADDR=IPV6:2001:db8::9"},
        {ALL, {v4, here, STR_NONE, true, STR_NONE, true},
         "XCLIENT NAME=[TEMPUNAVAIL] PORT=40000 PROTO=ESMTP HELO=[UNAVAILABLE] DESTADDR=192.0.2.1 DESTPORT=25 ADDR=203.0.113.9"},
        {ALL, {v4, here, STR("mail.example"), true, STR("x"), true}, /* the name came in the end */
         "XCLIENT NAME=mail.example PORT=40000 PROTO=ESMTP HELO=x DESTADDR=192.0.2.1 DESTPORT=25 ADDR=203.0.113.9"},
        {ALL, {v4, {.port = 0}, STR_NONE, false, STR("x"), true}, /* our own end is not known */
         "XCLIENT NAME=[UNAVAILABLE] PORT=40000 PROTO=ESMTP HELO=x ADDR=203.0.113.9"},
        {"addr helo", {v4, here, STR("n"), false, STR("x"), true}, "XCLIENT HELO=x ADDR=203.0.113.9"},
        {"ADDR ADDR  HELO\tNAME", {v4, here, STR("n"), false, STR("x"), true}, "XCLIENT ADDR=203.0.113.9"},
        {"ADDRESS NAME= X", {v4, here, STR("n"), false, STR("x"), true}, "XCLIENT"},
        {"", {v4, here, STR("n"), false, STR("x"), true}, "XCLIENT"},
        {"HELO NAME", {v4, here, STR("a b\r\nRSET"), false, STR("x=y+\x7f\xc3\xa9"), true},
         "XCLIENT NAME=a+20b+0D+0ARSET HELO=x+3Dy+2B+7F+C3+A9"},
        {"ADDR PORT", {{.port = 7}, here, STR("n"), false, STR("x"), true}, "XCLIENT PORT=[UNAVAILABLE] ADDR=[UNAVAILABLE]"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct buf out = {0};
        xclient_write(&out, str_of(table[i].offered), &table[i].x);
        cr_expect(str_eq(buf_view(&out), str_of(table[i].line)), "%zu: %.*s", i, STR_ARG(buf_view(&out)));
        buf_free(&out);
    }
}

Test(xclient, offers)
{
    cr_expect(xclient_offers(STR("NAME ADDR"), STR("ADDR")));
    cr_expect(xclient_offers(STR("addr"), STR("ADDR")));
    cr_expect_not(xclient_offers(STR("NAME ADDRX"), STR("ADDR")));
    cr_expect_not(xclient_offers(STR(""), STR("ADDR")));
    cr_expect_not(xclient_offers(STR_NONE, STR("ADDR")));
}
