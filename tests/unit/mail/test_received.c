/*
 * The Received field: its form, and that nothing a client says can add to it.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "postern/mail/header.h"
#include "postern/mail/received.h"

static struct addr address(const char *text)
{
    struct addr a;
    cr_assert(addr_parse(str_of(text), &a));
    return a;
}

static struct received base(void)
{
    return (struct received){.helo = STR("client.example"), .name = STR("mail.client.example"), .client = address("203.0.113.9"),
                             .hostname = STR("mx.test"), .protocol = "ESMTP", .id = STR("4F2KX"), .recipient = STR("u@our.test"),
                             .wall_ms = 1795292100123};
}

static void expect(const struct received *r, const char *text)
{
    struct buf out = {0};
    received_write(&out, r);
    cr_assert(str_eq(buf_view(&out), str_of(text)), "[%.*s]", STR_ARG(buf_view(&out)));
    buf_free(&out);
}

Test(received, forms)
{
    struct received r = base();
    expect(&r, "Received: from client.example (mail.client.example [203.0.113.9])\r\n\tby mx.test (Postern) with ESMTP id 4F2KX\r\n"
               "\tfor <u@our.test>; Sat, 21 Nov 2026 20:15:00 +0000\r\n");
    r.recipient = STR_NONE;
    r.name = STR_NONE;
    r.helo = STR("[IPv6:2001:db8::1]");
    r.client = address("2001:db8::1");
    r.protocol = "SMTP";
    expect(&r, "Received: from [IPv6:2001:db8::1] (unknown [IPv6:2001:db8::1])\r\n\tby mx.test (Postern) with SMTP id 4F2KX;\r\n"
               "\tSat, 21 Nov 2026 20:15:00 +0000\r\n");
    r.recipient = STR("\"a b>; x\"@our.test"); /* a path that needs quoting is not repeated */
    r.helo = STR("192.0.2.1");
    expect(&r, "Received: from 192.0.2.1 (unknown [IPv6:2001:db8::1])\r\n\tby mx.test (Postern) with SMTP id 4F2KX;\r\n"
               "\tSat, 21 Nov 2026 20:15:00 +0000\r\n");
    r.protocol = "ESMTPS";
    r.tls = "TLS_AES_256_GCM_SHA384";
    expect(&r, "Received: from 192.0.2.1 (unknown [IPv6:2001:db8::1])\r\n\tby mx.test (Postern) with ESMTPS id 4F2KX\r\n"
               "\ttls TLS_AES_256_GCM_SHA384; Sat, 21 Nov 2026 20:15:00 +0000\r\n");
    r.recipient = STR("u@our.test");
    expect(&r, "Received: from 192.0.2.1 (unknown [IPv6:2001:db8::1])\r\n\tby mx.test (Postern) with ESMTPS id 4F2KX\r\n"
               "\tfor <u@our.test>\r\n\ttls TLS_AES_256_GCM_SHA384; Sat, 21 Nov 2026 20:15:00 +0000\r\n");
}

Test(received, hostile_names)
{
    static const struct { const char *helo, *written; } table[] = {
        {"x) by trusted;X-Injected:1", "x??by?trusted?X-Injected?1"},
        {"x\r\nX-Injected: 1", "x??X-Injected??1"},
        {"a(b)c\"d\\e<f>g", "a?b?c?d?e?f?g"},
        {"\xe9\xff\x01", "???"},
        {"[x]y]", "[x?y]"},
        {"[", "?"},
        {"", "unknown"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct received r = base();
        struct buf expected = {0};
        r.helo = str_of(table[i].helo);
        buf_printf(&expected, "Received: from %s (mail.client.example [203.0.113.9])\r\n\tby mx.test (Postern) with ESMTP id 4F2KX\r\n"
                   "\tfor <u@our.test>; Sat, 21 Nov 2026 20:15:00 +0000\r\n", table[i].written);
        char *text = buf_steal(&expected);
        expect(&r, text);
        free(text);
    }
}

/* Any bytes in each text from outside: three printable lines, one field, one semicolon. */
Test(received, any_bytes)
{
    unsigned seed = 7;

    for (int round = 0; round < 5000; round++) {
        char bytes[4][600];
        for (size_t i = 0; i < sizeof bytes; i++) {
            seed = seed * 1103515245 + 12345;
            ((char *)bytes)[i] = (char)(seed >> 16);
        }
        size_t n = (size_t)round % 600;
        struct received r = base();
        r.helo = (struct str){bytes[0], n};
        r.name = (struct str){bytes[1], n};
        r.id = (struct str){bytes[2], n};
        r.recipient = (struct str){bytes[3], n % 10};
        struct buf out = {0};
        received_write(&out, &r);
        struct str rest = buf_view(&out), line;
        size_t lines = 0, semicolons = 0;
        while (str_split(&rest, '\n', &line) && rest.p) {
            lines++;
            cr_assert(line.n <= 999 && line.p[line.n - 1] == '\r');
            cr_assert(ascii_printable(str_sub(line, line.p[0] == '\t', line.n - 1)));
            for (size_t i = 0; i < line.n; i++)
                semicolons += line.p[i] == ';';
        }
        cr_assert_eq(lines, 3);
        cr_assert_eq(semicolons, 1);
        cr_assert(str_eq(field_name(buf_view(&out)), STR("Received")));
        buf_free(&out);
    }
}
