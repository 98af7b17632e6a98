/* Service extensions: the list read and written. */
#include "postern/smtp/ehlo.h"

#include <criterion/criterion.h>

#define BIT(x) (UINT32_C(1) << EXT_##x)

Test(ehlo, read)
{
    static const struct {
        struct reply r;
        uint32_t set;
        uint64_t size;
        const char *xclient;
    } table[] = {
        {{250, {0, 0, 0}, STR("mx.example greets you\nPIPELINING\nSIZE 10240000\n"
                             "ETRN\nENHANCEDSTATUSCODES\n8BITMIME\nDSN\nSMTPUTF8\nCHUNKING")},
         BIT(PIPELINING) | BIT(SIZE) | BIT(ETRN) | BIT(ENHANCEDSTATUSCODES) | BIT(EIGHTBITMIME) | BIT(DSN) | BIT(SMTPUTF8) | BIT(CHUNKING),
         10240000, ""},
        {{250, {0, 0, 0}, STR("mx.example")}, 0, 0, ""},
        {{250, {0, 0, 0}, STR("PIPELINING\nDSN")}, BIT(DSN), 0, ""}, /* the first line is the greeting */
        {{250, {0, 0, 0}, STR("mx\nsize\npipelining ")}, BIT(SIZE) | BIT(PIPELINING), 0, ""},
        {{250, {0, 0, 0}, STR("mx\nSIZE 0")}, BIT(SIZE), 0, ""},
        {{250, {0, 0, 0}, STR("mx\nSIZE ten")}, BIT(SIZE), 0, ""},
        {{250, {0, 0, 0}, STR("mx\nSIZE 99999999999999999999999")}, BIT(SIZE), 0, ""},
        {{250, {0, 0, 0}, STR("mx\nXCLIENT NAME ADDR PORT PROTO HELO LOGIN")}, BIT(XCLIENT), 0, "NAME ADDR PORT PROTO HELO LOGIN"},
        {{250, {0, 0, 0}, STR("mx\nAUTH PLAIN LOGIN\nAUTH=PLAIN LOGIN\nSTARTTLS")}, BIT(AUTH) | BIT(STARTTLS), 0, ""},
        {{250, {0, 0, 0}, STR("mx\nX-NEW a b\n\n \nPIPELININGX\nDS\nHELP")}, BIT(HELP), 0, ""},
        {{550, {5, 0, 0}, STR("mx\nDSN")}, 0, 0, ""},
        {{250, {0, 0, 0}, STR_NONE}, 0, 0, ""},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct arena arena = {0};
        struct extensions e;
        ehlo_read(&table[i].r, &arena, &e);
        cr_expect_eq(e.set, table[i].set, "%zu: %x", i, e.set);
        cr_expect_eq(e.size_limit, table[i].size, "%zu", i);
        cr_expect(str_eq(e.xclient, str_of(table[i].xclient)) || (e.xclient.n == 0 && !*table[i].xclient), "%zu", i);
        arena_clear(&arena);
    }
}

Test(ehlo, write)
{
    static const struct {
        struct extensions e;
        const char *wire;
    } table[] = {
        {{0, 0, STR_NONE}, "250 mx.example\r\n"},
        {{BIT(PIPELINING) | BIT(SIZE) | BIT(ENHANCEDSTATUSCODES) | BIT(EIGHTBITMIME) | BIT(DSN), 52428800, STR_NONE},
         "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 DSN\r\n"},
        {{BIT(SIZE), 0, STR_NONE}, "250-mx.example\r\n250 SIZE 0\r\n"},
        {{BIT(XCLIENT), 0, STR("NAME ADDR")}, "250-mx.example\r\n250 XCLIENT NAME ADDR\r\n"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct arena arena = {0};
        struct buf wire = {0};
        struct reply r = ehlo_write(&arena, STR("mx.example"), &table[i].e);
        struct extensions back;
        reply_format(&wire, &r, false, STR_NONE);
        cr_expect(str_eq(buf_view(&wire), str_of(table[i].wire)), "%.*s", STR_ARG(buf_view(&wire)));
        ehlo_read(&r, &arena, &back);
        cr_expect_eq(back.set, table[i].e.set);
        cr_expect_eq(back.size_limit, table[i].e.size_limit);
        buf_free(&wire);
        arena_clear(&arena);
    }
}
