/*
 * codec.c - hex, base64, xtext, UTF-8 and the escaping of foreign bytes.
 *
 * Decoders append to `out` only when the whole text was good: on false, `out` is as it was.
 */
#include "postern/base/codec.h"

#include <string.h>

static const char LOWER_HEX[] = "0123456789abcdef";
static const char UPPER_HEX[] = "0123456789ABCDEF";

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void hex_encode(struct buf *out, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    char *to = buf_room(out, 2 * n);
    for (size_t i = 0; i < n; i++) {
        *to++ = LOWER_HEX[p[i] >> 4];
        *to++ = LOWER_HEX[p[i] & 15];
    }
    out->n += 2 * n;
}

bool hex_decode(struct buf *out, struct str s)
{
    if (s.n % 2 != 0)
        return false;
    char *to = buf_room(out, s.n / 2);
    for (size_t i = 0; i < s.n; i += 2) {
        int high = hex_value(s.p[i]), low = hex_value(s.p[i + 1]);
        if (high < 0 || low < 0)
            return false;
        *to++ = (char)(high << 4 | low);
    }
    out->n += s.n / 2;
    return true;
}

static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *out, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    for (; n > 0; p += 3) {
        size_t take = n < 3 ? n : 3;
        uint32_t v = (uint32_t)p[0] << 16 | (take > 1 ? (uint32_t)p[1] << 8 : 0) | (take > 2 ? p[2] : 0);
        char four[4] = {BASE64[v >> 18], BASE64[v >> 12 & 63], '=', '='};
        if (take > 1)
            four[2] = BASE64[v >> 6 & 63];
        if (take > 2)
            four[3] = BASE64[v & 63];
        buf_put(out, four, 4);
        n -= take;
    }
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(struct buf *out, struct str s)
{
    if (s.n % 4 != 0)
        return false;
    size_t padding = 0;
    while (padding < 2 && padding < s.n && s.p[s.n - 1 - padding] == '=')
        padding++;
    char *to = buf_room(out, s.n / 4 * 3);
    uint32_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        int six = i < s.n - padding ? base64_value(s.p[i]) : 0;
        if (six < 0)
            return false;
        v = v << 6 | (uint32_t)six;
        if (i % 4 != 3)
            continue;
        if (i == s.n - 1 && padding > 0 && (v & (padding == 1 ? 0xffu : 0xffffu)) != 0)
            return false; /* RFC 4648 section 3.5: the pad bits must be zero */
        *to++ = (char)(v >> 16 & 0xff);
        *to++ = (char)(v >> 8 & 0xff);
        *to++ = (char)(v & 0xff);
        v = 0;
    }
    out->n += s.n / 4 * 3 - padding;
    return true;
}

/* RFC 3461 section 4: "+" and two upper-case hex digits for all but "!".."~" without "+" and "=". */
static bool is_xchar(char c)
{
    return c >= '!' && c <= '~' && c != '+' && c != '=';
}

bool xtext_decode(struct buf *out, struct str s)
{
    char *to = buf_room(out, s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (is_xchar(s.p[i])) {
            to[n++] = s.p[i];
            continue;
        }
        if (s.p[i] != '+' || s.n - i < 3)
            return false;
        const char *high = memchr(UPPER_HEX, s.p[i + 1], 16), *low = memchr(UPPER_HEX, s.p[i + 2], 16);
        if (!high || !low)
            return false;
        to[n++] = (char)((high - UPPER_HEX) << 4 | (low - UPPER_HEX));
        i += 2;
    }
    out->n += n;
    return true;
}

void xtext_encode(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if (is_xchar(s.p[i])) {
            buf_char(out, s.p[i]);
        } else {
            char three[3] = {'+', UPPER_HEX[c >> 4], UPPER_HEX[c & 15]};
            buf_put(out, three, 3);
        }
    }
}

/* RFC 3629 section 4, the table of well-formed sequences: only the second byte's range depends on the first. */
size_t utf8_step(struct str s)
{
    if (s.n == 0)
        return 0;
    const uint8_t *p = (const uint8_t *)s.p;
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;
    if (n == 0 || s.n < n)
        return 0;
    uint8_t low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;  /* no overlong forms */
    uint8_t high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf; /* no surrogates, nothing past U+10FFFF */
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return n;
}

bool utf8_valid(struct str s)
{
    while (s.n > 0) {
        size_t n = utf8_step(s);
        if (n == 0)
            return false;
        s = str_sub(s, n, s.n);
    }
    return true;
}

void escape_text(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if (c == '\\')
            buf_cstr(out, "\\\\");
        else if (c >= 0x20 && c <= 0x7e)
            buf_char(out, s.p[i]);
        else if (c == '\n')
            buf_cstr(out, "\\n");
        else if (c == '\r')
            buf_cstr(out, "\\r");
        else if (c == '\t')
            buf_cstr(out, "\\t");
        else
            buf_printf(out, "\\x%02x", c);
    }
}
