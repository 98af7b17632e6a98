/*
 * dns_wire.h - names and numbers as they stand in a message (RFC 1035 section 4.1).
 */
#ifndef DNS_WIRE_H
#define DNS_WIRE_H

#include "postern/dns/dns.h"

enum { DNS_HEADER = 12, DNS_NAME_WIRE = 255, DNS_LABEL = 63, DNS_NAME_TEXT = 253, DNS_CLASS_IN = 1 };

struct wire_name { /* uncompressed, lower case, with the root label at its end */
    uint8_t b[DNS_NAME_WIRE];
    size_t n;
};

static inline unsigned get16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static inline uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* Reads the name at *at and moves *at behind it (behind the pointer, where it is compressed). False: it cannot be read. */
bool wire_name_read(const uint8_t *message, size_t n, size_t *at, struct wire_name *out);
/* From text that dns_name_normal() made. */
void wire_name_from(struct str normal, struct wire_name *out);
bool wire_name_eq(const struct wire_name *a, const struct wire_name *b);
/* Text for records: no dot at the end, bytes outside letters, digits, - and _ as \DDD. */
void wire_name_text(const struct wire_name *name, struct buf *out);

#endif
