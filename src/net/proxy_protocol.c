/*
 * proxy_protocol.c - reading and writing PROXY headers. The reader keeps no state: a header is short, and it is asked again from
 * the first byte.
 */
#include "postern/net/proxy_protocol.h"

#include <string.h>

static const char signature[12] = {'\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

enum {
    V2_FIXED = 16,
    V2_VERSION = 0x20,
    V2_LOCAL = 0x0,
    V2_PROXY = 0x1,
    V2_UNSPEC = 0x00,
    V2_TCP4 = 0x11,
    V2_UDP4 = 0x12,
    V2_TCP6 = 0x21,
    V2_UDP6 = 0x22,
    V2_UNIX_STREAM = 0x31,
    V2_UNIX_DATAGRAM = 0x32,
    V2_SIZE_IP4 = 12,
    V2_SIZE_IP6 = 36,
    V2_SIZE_UNIX = 216,
    TLV_CRC32C = 0x03
};

static enum proxy_protocol_result failed(struct proxy_protocol *out, const char *why)
{
    out->error = why;
    return PROXY_PROTOCOL_FAILED;
}

/* --- version 1: section 2.1 --- */

static bool v1_port(struct str s, uint16_t *out)
{
    uint64_t port;
    if (s.n == 0 || s.n > 5 || (s.n > 1 && s.p[0] == '0') || !str_to_u64(s, 65535, &port)) {
        return false;
    }
    *out = (uint16_t)port;
    return true;
}

/* One address in the notation of the family that was announced; an IPv4-mapped one is IPv6 in writing and IPv4 to us. */
static bool v1_address(struct str s, bool six, struct addr *out)
{
    bool colon = str_find(s, ':', 0) < s.n;
    return colon == six && addr_parse(s, out);
}

/* The line between "PROXY " and CRLF. */
static enum proxy_protocol_result v1_line(struct str line, struct proxy_protocol *out)
{
    struct str rest = line, part[5];
    str_split(&rest, ' ', &part[0]);
    if (str_eq(part[0], STR("UNKNOWN"))) { /* "the receiver must ignore anything presented before the CRLF" */
        return PROXY_PROTOCOL_DONE;
    }
    bool six = str_eq(part[0], STR("TCP6"));
    if (!six && !str_eq(part[0], STR("TCP4"))) {
        return failed(out, "PROXY line: neither TCP4 nor TCP6 nor UNKNOWN");
    }
    for (int i = 1; i < 5; i++) {
        if (!str_split(&rest, ' ', &part[i])) {
            return failed(out, "PROXY line: too few words");
        }
    }
    if (rest.p) {
        return failed(out, "PROXY line: too many words");
    }
    if (!v1_address(part[1], six, &out->source.addr) || !v1_address(part[2], six, &out->destination.addr)) {
        return failed(out, "PROXY line: bad address");
    }
    if (!v1_port(part[3], &out->source.port) || !v1_port(part[4], &out->destination.port)) {
        return failed(out, "PROXY line: bad port");
    }
    out->known = true;
    return PROXY_PROTOCOL_DONE;
}

static enum proxy_protocol_result v1_parse(struct str bytes, struct proxy_protocol *out)
{
    struct str prefix = STR("PROXY ");
    struct str seen = str_sub(bytes, 0, PROXY_PROTOCOL_V1_MAX);
    size_t end = str_find(seen, '\n', 0);
    if (end == seen.n) {
        if (seen.n == PROXY_PROTOCOL_V1_MAX) {
            return failed(out, "PROXY line: longer than 107 octets");
        }
        return PROXY_PROTOCOL_NOT_YET;
    }
    if (end == prefix.n || seen.p[end - 1] != '\r') {
        return failed(out, "PROXY line: LF without CR");
    }
    enum proxy_protocol_result result = v1_line(str_sub(seen, prefix.n, end - 1), out);
    out->length = result == PROXY_PROTOCOL_DONE ? end + 1 : 0;
    return result;
}

/* --- version 2: section 2.2 --- */

static uint16_t u16_at(struct str s, size_t at)
{
    return (uint16_t)((uint8_t)s.p[at] << 8 | (uint8_t)s.p[at + 1]);
}

/* CRC-32C (RFC 3720 appendix B.4), the four octets at `zeroed` taken as zero. */
static uint32_t crc32c(struct str s, size_t zeroed)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < s.n; i++) {
        bool zero = i >= zeroed && i < zeroed + 4;
        crc ^= zero ? 0 : (uint8_t)s.p[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78U : 0);
        }
    }
    return ~crc;
}

/* The TLVs from `at` to the header's end: their lengths hold, and the checksum, where there is one, is right (sections 2.2.3
 * and 2.2.4). */
static const char *v2_tlvs(struct str header, size_t at)
{
    while (at < header.n) {
        if (header.n - at < 3 || header.n - at - 3 < u16_at(header, at + 1)) {
            return "PROXY header: TLV past the end";
        }
        uint16_t n = u16_at(header, at + 1);
        size_t value = at + 3;
        if (header.p[at] == TLV_CRC32C) {
            if (n != 4) {
                return "PROXY header: checksum of wrong length";
            }
            if (crc32c(header, value) != ((uint32_t)u16_at(header, value) << 16 | u16_at(header, value + 2))) {
                return "PROXY header: wrong checksum";
            }
        }
        at = value + n;
    }
    return NULL;
}

static void v2_address(struct str header, size_t at, size_t port_at, bool six, struct addr_port *out)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_in in4 = {.sin_family = AF_INET};
    memcpy(six ? (void *)&in6.sin6_addr : (void *)&in4.sin_addr, header.p + at, six ? 16 : 4);
    addr_from_sockaddr(six ? (struct sockaddr *)&in6 : (struct sockaddr *)&in4, out); /* mapped ones become IPv4 */
    out->port = u16_at(header, port_at);
}

static enum proxy_protocol_result v2_proxy(struct str header, struct proxy_protocol *out)
{
    uint8_t family = (uint8_t)header.p[13];
    size_t size = 0;
    switch (family) {
    case V2_UNSPEC: /* "the receiver should ignore the address information", and where TLVs would begin is not said */
        return PROXY_PROTOCOL_DONE;
    case V2_TCP4:
    case V2_UDP4:
        size = V2_SIZE_IP4;
        break;
    case V2_TCP6:
    case V2_UDP6:
        size = V2_SIZE_IP6;
        break;
    case V2_UNIX_STREAM:
    case V2_UNIX_DATAGRAM:
        size = V2_SIZE_UNIX;
        break;
    default: /* "must be rejected as invalid by receivers" */
        return failed(out, "PROXY header: unknown address family or protocol");
    }
    if (header.n < V2_FIXED + size) {
        return failed(out, "PROXY header: too short for its addresses");
    }
    out->error = v2_tlvs(header, V2_FIXED + size);
    if (out->error) {
        return PROXY_PROTOCOL_FAILED;
    }
    if (family == V2_TCP4 || family == V2_TCP6) {
        bool six = family == V2_TCP6;
        size_t width = six ? 16 : 4;
        v2_address(header, V2_FIXED, V2_FIXED + 2 * width, six, &out->source);
        v2_address(header, V2_FIXED + width, V2_FIXED + 2 * width + 2, six, &out->destination);
        out->known = true;
    }
    return PROXY_PROTOCOL_DONE;
}

static enum proxy_protocol_result v2_parse(struct str bytes, struct proxy_protocol *out)
{
    if (bytes.n > 12) {
        uint8_t command = (uint8_t)bytes.p[12];
        if ((command & 0xF0) != V2_VERSION || (command & 0x0F) > V2_PROXY) {
            return failed(out, "PROXY header: unknown version or command");
        }
    }
    if (bytes.n < V2_FIXED) {
        return PROXY_PROTOCOL_NOT_YET;
    }
    size_t length = V2_FIXED + u16_at(bytes, 14);
    if (length > PROXY_PROTOCOL_MAX) {
        return failed(out, "PROXY header: too long");
    }
    if (bytes.n < length) {
        return PROXY_PROTOCOL_NOT_YET;
    }
    enum proxy_protocol_result result = PROXY_PROTOCOL_DONE;
    out->local = (bytes.p[12] & 0x0F) == V2_LOCAL; /* then "the receiver must discard the protocol block including the family" */
    if (!out->local) {
        result = v2_proxy(str_sub(bytes, 0, length), out);
    }
    out->length = result == PROXY_PROTOCOL_DONE ? length : 0;
    return result;
}

/* Are the bytes so far the beginning of `whole`, or the other way round? */
static bool begins(struct str bytes, const char *whole, size_t n)
{
    return memcmp(bytes.p, whole, bytes.n < n ? bytes.n : n) == 0;
}

enum proxy_protocol_result proxy_protocol_parse(struct str bytes, struct proxy_protocol *out)
{
    *out = (struct proxy_protocol){0};
    if (bytes.n == 0) {
        return PROXY_PROTOCOL_NOT_YET;
    }
    enum proxy_protocol_result result;
    if (begins(bytes, signature, sizeof signature)) {
        out->version = 2;
        result = v2_parse(bytes, out);
    } else if (begins(bytes, "PROXY ", 6)) {
        out->version = 1;
        result = v1_parse(bytes, out);
    } else {
        result = failed(out, "no PROXY header");
    }
    if (!out->known) {
        out->source = out->destination = (struct addr_port){0};
    }
    return result;
}

/* --- writing --- */

static void put_fixed(struct buf *out, uint8_t command, uint8_t family, uint8_t size)
{
    char fixed[4] = {(char)(V2_VERSION | command), (char)family, 0, (char)size};
    buf_put(out, signature, sizeof signature);
    buf_put(out, fixed, sizeof fixed);
}

static void put_address(struct buf *out, const struct addr *a, bool six)
{
    if (six && a->family == 4) {
        buf_put(out, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
    }
    buf_put(out, a->b, a->family == 4 ? 4 : 16);
}

static void put_port(struct buf *out, uint16_t port)
{
    buf_char(out, (char)(port >> 8));
    buf_char(out, (char)(port & 0xFF));
}

void proxy_protocol_put(struct buf *out, const struct addr_port *source, const struct addr_port *destination)
{
    bool six = source->addr.family == 6 || destination->addr.family == 6;
    put_fixed(out, V2_PROXY, six ? V2_TCP6 : V2_TCP4, six ? V2_SIZE_IP6 : V2_SIZE_IP4);
    put_address(out, &source->addr, six);
    put_address(out, &destination->addr, six);
    put_port(out, source->port);
    put_port(out, destination->port);
}

void proxy_protocol_put_local(struct buf *out)
{
    put_fixed(out, V2_LOCAL, V2_UNSPEC, 0);
}
