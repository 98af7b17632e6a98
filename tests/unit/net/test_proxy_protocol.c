/* PROXY headers: each whole, each byte by byte, each with the client's bytes behind; what cannot be one fails as early as it
 * can. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "postern/net/proxy_protocol.h"

/* All of the input, and every beginning of it: NOT_YET before the end of a header, and the verdict never changes afterwards. */
static enum proxy_protocol_result parse(struct str in, struct proxy_protocol *out)
{
    enum proxy_protocol_result last = PROXY_PROTOCOL_NOT_YET;
    struct proxy_protocol part = {0};
    for (size_t n = 0; n <= in.n; n++) {
        char *copy = malloc(n ? n : 1); /* of exactly this size: reading past it is seen */
        memcpy(copy, in.p, n);
        enum proxy_protocol_result now = proxy_protocol_parse((struct str){copy, n}, &part);
        free(copy);
        if (last != PROXY_PROTOCOL_NOT_YET) {
            cr_assert_eq(now, last, "the verdict changed at octet %zu", n);
        }
        if (now == PROXY_PROTOCOL_DONE && last == PROXY_PROTOCOL_NOT_YET) {
            cr_assert_eq(part.length, n, "done at %zu, length %zu", n, part.length);
        }
        cr_assert_eq(now == PROXY_PROTOCOL_FAILED, part.error != NULL);
        cr_assert(!part.known || (part.source.addr.family && part.destination.addr.family));
        last = now;
    }
    *out = part;
    return last;
}

static const char *describe(struct str in, struct buf *text)
{
    struct proxy_protocol p;
    char a[ADDR_PORT_TEXT], b[ADDR_PORT_TEXT];
    buf_clear(text);
    switch (parse(in, &p)) {
    case PROXY_PROTOCOL_NOT_YET:
        buf_cstr(text, "not yet");
        break;
    case PROXY_PROTOCOL_FAILED:
        buf_cstr(text, p.error);
        break;
    case PROXY_PROTOCOL_DONE:
        buf_printf(text, "v%u %s", p.version, p.local ? "local" : p.known ? "" : "unknown");
        if (p.known) {
            buf_printf(text, "%s > %s", addr_port_format(&p.source, a), addr_port_format(&p.destination, b));
        }
        buf_printf(text, " %zu", p.length);
    }
    buf_char(text, 0);
    return text->p;
}

#define LONG_V6 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
#define FIFTY "01234567890123456789012345678901234567890123456789"

Test(proxy_protocol, a_version_1)
{
    static const struct {
        const char *in, *expected;
    } cases[] = {
        {"PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\r\n", "v1 192.0.2.1:56324 > 198.51.100.7:25 44"},
        {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "v1 255.255.255.255:65535 > 255.255.255.255:65535 56"},
        {"PROXY TCP6 2001:db8::1 2001:db8::2 0 25\r\n", "v1 [2001:db8::1]:0 > [2001:db8::2]:25 41"},
        {"PROXY TCP6 " LONG_V6 " " LONG_V6 " 65535 65535\r\n", "v1 [" LONG_V6 "]:65535 > [" LONG_V6 "]:65535 104"},
        {"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 25\r\n", "v1 192.0.2.1:1 > [2001:db8::2]:25 46"},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\r\nEHLO a\r\n", "v1 192.0.2.1:56324 > 198.51.100.7:25 44"},
        {"PROXY UNKNOWN\r\n", "v1 unknown 15"},
        {"PROXY UNKNOWN " LONG_V6 " " LONG_V6 " 65535 65535\r\n", "v1 unknown 107"},
        {"PROXY UNKNOWN  anything \x01\x80 at all\r\nQUIT\r\n", "v1 unknown 35"},
        {"", "not yet"},
        {"P", "not yet"},
        {"PROXY ", "not yet"},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\r", "not yet"},
        {"PROXY UNKNOWN " FIFTY FIFTY, "PROXY line: longer than 107 octets"},
        {"PROXY UNKNOWN " FIFTY FIFTY "\r\n", "PROXY line: longer than 107 octets"},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\n", "PROXY line: LF without CR"},
        {"PROXY \n", "PROXY line: LF without CR"},
        {"PROXY \r\n", "PROXY line: neither TCP4 nor TCP6 nor UNKNOWN"},
        {"PROXY UDP4 192.0.2.1 198.51.100.7 1 2\r\n", "PROXY line: neither TCP4 nor TCP6 nor UNKNOWN"},
        {"PROXY tcp4 192.0.2.1 198.51.100.7 1 2\r\n", "PROXY line: neither TCP4 nor TCP6 nor UNKNOWN"},
        {"PROXY UNKNOWNS\r\n", "PROXY line: neither TCP4 nor TCP6 nor UNKNOWN"},
        {"PROXY TCP4\r\n", "PROXY line: too few words"},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 1\r\n", "PROXY line: too few words"},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 1 2 3\r\n", "PROXY line: too many words"},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 1 2 \r\n", "PROXY line: too many words"},
        {"PROXY TCP4  192.0.2.1 198.51.100.7 1 2\r\n", "PROXY line: too many words"},
        {"PROXY TCP4 192.0.2.256 198.51.100.7 1 2\r\n", "PROXY line: bad address"},
        {"PROXY TCP4 192.0.02.1 198.51.100.7 1 2\r\n", "PROXY line: bad address"},
        {"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", "PROXY line: bad address"},
        {"PROXY TCP6 192.0.2.1 198.51.100.7 1 2\r\n", "PROXY line: bad address"},
        {"PROXY TCP6 fe80::1%lo ::1 1 2\r\n", "PROXY line: bad address"},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 65536 2\r\n", "PROXY line: bad port"},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 01 2\r\n", "PROXY line: bad port"},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 -1 2\r\n", "PROXY line: bad port"},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 1 2\t\r\n", "PROXY line: bad port"},
        {"EHLO client.example\r\n", "no PROXY header"},
        {"proxy UNKNOWN\r\n", "no PROXY header"},
        {"PROXX", "no PROXY header"},
        {"\r\nPROXY UNKNOWN\r\n", "no PROXY header"},
        {"\x16\x03\x01", "no PROXY header"},
    };
    struct buf text = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_str_eq(describe(str_of(cases[i].in), &text), cases[i].expected, "%s: %s", cases[i].in, text.p);
    }
    buf_free(&text);
}

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define IP4 "\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x00\x19"
#define IP6 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\xdc\x04\x00\x19"
#define MAPPED "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\xdc\x04\x00\x19"
#define ZERO_54 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define ZERO_216 ZERO_54 ZERO_54 ZERO_54 ZERO_54

Test(proxy_protocol, b_version_2)
{
    static const struct {
        struct str in;
        const char *expected;
    } cases[] = {
        {STR(SIGNATURE "\x21\x11\0\x0c" IP4), "v2 192.0.2.1:56324 > 198.51.100.7:25 28"},
        {STR(SIGNATURE "\x21\x11\0\x0c" IP4 "EHLO a\r\n"), "v2 192.0.2.1:56324 > 198.51.100.7:25 28"},
        {STR(SIGNATURE "\x21\x21\0\x24" IP6), "v2 [2001:db8::1]:56324 > [2001:db8::2]:25 52"},
        {STR(SIGNATURE "\x21\x21\0\x24" MAPPED), "v2 192.0.2.1:56324 > [2001:db8::2]:25 52"},
        {STR(SIGNATURE "\x21\x11\0\x0f" IP4 "\x04\0\0"), "v2 192.0.2.1:56324 > 198.51.100.7:25 31"},
        {STR(SIGNATURE "\x21\x11\0\x16" IP4 "\x02\0\4mx.x\xee\0\0"), "v2 192.0.2.1:56324 > 198.51.100.7:25 38"},
        {STR(SIGNATURE "\x20\0\0\0"), "v2 local 16"},
        {STR(SIGNATURE "\x20\x11\0\x0c" IP4), "v2 local 28"},
        {STR(SIGNATURE "\x20\xff\0\3abc"), "v2 local 19"},
        {STR(SIGNATURE "\x21\0\0\0"), "v2 unknown 16"},
        {STR(SIGNATURE "\x21\0\0\3abc"), "v2 unknown 19"},
        {STR(SIGNATURE "\x21\x12\0\x0c" IP4), "v2 unknown 28"},
        {STR(SIGNATURE "\x21\x22\0\x24" IP6), "v2 unknown 52"},
        {STR(SIGNATURE "\x21\x31\0\xd8" ZERO_216), "v2 unknown 232"},
        {STR(SIGNATURE "\x21\x32\0\xd8" ZERO_216), "v2 unknown 232"},
        {STR(SIGNATURE), "not yet"},
        {STR(SIGNATURE "\x21\x11\0"), "not yet"},
        {STR(SIGNATURE "\x21\x11\x0f\xf0" IP4), "not yet"},
        {STR(SIGNATURE "\x21\x11\x0f\xf1" IP4), "PROXY header: too long"},
        {STR(SIGNATURE "\x21\x11\xff\xff" IP4), "PROXY header: too long"},
        {STR(SIGNATURE "\x20\0\xff\xff"), "PROXY header: too long"},
        {STR(SIGNATURE "\x21\x11\0\x0b" IP4), "PROXY header: too short for its addresses"},
        {STR(SIGNATURE "\x21\x11\0\0"), "PROXY header: too short for its addresses"},
        {STR(SIGNATURE "\x21\x21\0\x0c" IP4), "PROXY header: too short for its addresses"},
        {STR(SIGNATURE "\x21\x31\0\x0c" IP4), "PROXY header: too short for its addresses"},
        {STR(SIGNATURE "\x21\x13\0\x0c" IP4), "PROXY header: unknown address family or protocol"},
        {STR(SIGNATURE "\x21\x41\0\x0c" IP4), "PROXY header: unknown address family or protocol"},
        {STR(SIGNATURE "\x11\x11\0\x0c" IP4), "PROXY header: unknown version or command"},
        {STR(SIGNATURE "\x22\x11\0\x0c" IP4), "PROXY header: unknown version or command"},
        {STR(SIGNATURE "\x01"), "PROXY header: unknown version or command"},
        {STR(SIGNATURE "\x21\x11\0\x0d" IP4 "\x04"), "PROXY header: TLV past the end"},
        {STR(SIGNATURE "\x21\x11\0\x0f" IP4 "\x04\0\1"), "PROXY header: TLV past the end"},
        {STR(SIGNATURE "\x21\x11\0\x10" IP4 "\x04\xff\xff\0"), "PROXY header: TLV past the end"},
        {STR(SIGNATURE "\x21\x11\0\x11" IP4 "\x03\0\2\0\0"), "PROXY header: checksum of wrong length"},
        {STR(SIGNATURE "\x21\x11\0\x13" IP4 "\x03\0\4\0\0\0\0"), "PROXY header: wrong checksum"},
        {STR("\r\n\r\n\0\r\nQUIT\r"), "no PROXY header"},
        {STR("\r\nQUIT"), "no PROXY header"},
    };
    struct buf text = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_str_eq(describe(cases[i].in, &text), cases[i].expected, "case %zu: %s", i, text.p);
    }
    buf_free(&text);
}

/* The checksum of RFC 3720 B.4 over a whole header, made here by another way than the reader's: one bit at a time, from the
 * high end. */
static uint32_t checksum(const struct buf *b)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < b->n * 8; i++) {
        uint32_t in = ((uint8_t)b->p[i / 8] >> (i % 8) & 1) ^ (crc & 1);
        crc >>= 1;
        if (in) {
            crc ^= 0x82F63B78U;
        }
    }
    return crc ^ UINT32_MAX;
}

Test(proxy_protocol, c_checksum)
{
    struct buf check = {0};
    buf_cstr(&check, "123456789");
    cr_assert_eq(checksum(&check), 0xE3069283U, "the check value of CRC-32C");
    buf_clear(&check);
    buf_put(&check, SIGNATURE "\x21\x11\0\x17" IP4 "\x04\0\1z\x03\0\4\0\0\0\0", 39);
    uint32_t crc = checksum(&check);
    for (int i = 0; i < 4; i++) {
        check.p[35 + i] = (char)(crc >> (24 - 8 * i));
    }
    struct buf text = {0};
    cr_assert_str_eq(describe(buf_view(&check), &text), "v2 192.0.2.1:56324 > 198.51.100.7:25 39");
    for (size_t i = 16 * 8; i < check.n * 8; i++) { /* every flipped bit is noticed, save in the type of the checksum's own TLV */
        struct proxy_protocol p;
        check.p[i / 8] ^= (char)(1 << (i % 8));
        cr_assert_eq(proxy_protocol_parse(buf_view(&check), &p) == PROXY_PROTOCOL_FAILED, i / 8 != 32, "bit %zu", i);
        check.p[i / 8] ^= (char)(1 << (i % 8));
    }
    buf_free(&text);
    buf_free(&check);
}

Test(proxy_protocol, d_what_is_written_is_read)
{
    static const struct {
        const char *source, *destination, *expected;
    } cases[] = {
        {"192.0.2.1:56324", "198.51.100.7:25", "v2 192.0.2.1:56324 > 198.51.100.7:25 28"},
        {"[2001:db8::1]:1", "[2001:db8::2]:65535", "v2 [2001:db8::1]:1 > [2001:db8::2]:65535 52"},
        {"192.0.2.1:56324", "[2001:db8::2]:25", "v2 192.0.2.1:56324 > [2001:db8::2]:25 52"},
        {"[2001:db8::2]:9", "192.0.2.1:25", "v2 [2001:db8::2]:9 > 192.0.2.1:25 52"},
    };
    struct buf text = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct addr_port a, b;
        struct buf out = {0};
        cr_assert(addr_port_parse(str_of(cases[i].source), 0, &a) && addr_port_parse(str_of(cases[i].destination), 0, &b));
        proxy_protocol_put(&out, &a, &b);
        cr_expect_str_eq(describe(buf_view(&out), &text), cases[i].expected);
        buf_free(&out);
    }
    struct buf out = {0};
    proxy_protocol_put_local(&out);
    cr_assert_str_eq(describe(buf_view(&out), &text), "v2 local 16");
    buf_free(&out);
    buf_free(&text);
}

Test(proxy_protocol, e_written_octets)
{
    struct addr_port a, b;
    struct buf out = {0};
    cr_assert(addr_port_parse(STR("192.0.2.1:56324"), 0, &a) && addr_port_parse(STR("198.51.100.7:25"), 0, &b));
    proxy_protocol_put(&out, &a, &b);
    cr_assert(str_eq(buf_view(&out), STR(SIGNATURE "\x21\x11\0\x0c" IP4)));
    buf_clear(&out);
    proxy_protocol_put_local(&out);
    cr_assert(str_eq(buf_view(&out), STR(SIGNATURE "\x20\0\0\0")));
    buf_free(&out);
}
