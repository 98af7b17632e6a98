/*
 * codec.h - small encodings: hex, base64 (RFC 4648), xtext (RFC 3461 section 4), UTF-8 checks, times, durations and sizes as text.
 */
#ifndef POSTERN_BASE_CODEC_H
#define POSTERN_BASE_CODEC_H

#include "postern/base/str.h"

void hex_encode(struct buf *out, const void *bytes, size_t n); /* lower case */
bool hex_decode(struct buf *out, struct str s);
void base64_encode(struct buf *out, const void *bytes, size_t n);
bool base64_decode(struct buf *out, struct str s); /* strict: padding needed, no white space */
bool xtext_decode(struct buf *out, struct str s);  /* false: not xtext */
void xtext_encode(struct buf *out, struct str s);

/* Length in bytes of the valid UTF-8 sequence at the start of s (1..4), 0 when it is not valid (RFC 3629). */
size_t utf8_step(struct str s);
bool utf8_valid(struct str s);

/* Text for logs and terminals: printable ASCII stays; backslash and every other byte become \\, \n, \r, \t or \xHH. */
void escape_text(struct buf *out, struct str s);

/* Times. ms is milliseconds since 1970-01-01 UTC. */
enum { RFC3339_TEXT = 32, RFC5322_DATE_TEXT = 48 };
const char *time_rfc3339(uint64_t ms, char out[RFC3339_TEXT]);              /* 2026-11-21T20:15:00.123Z */
const char *time_rfc5322(uint64_t ms, char out[RFC5322_DATE_TEXT]);         /* Sat, 21 Nov 2026 20:15:00 +0000 */
bool time_parse_rfc3339(struct str s, uint64_t *ms);                        /* also with an offset; fraction optional */

/* Durations "500ms", "10s", "5m", "2h", "7d", "1w", and sums of them ("1h30m"); milliseconds. A bare 0 is allowed. */
bool duration_parse(struct str s, uint64_t *ms);
const char *duration_format(uint64_t ms, char out[32]); /* the shortest of the same notation: "1h30m" */
/* Sizes "512", "64K", "50M", "1G" (powers of 1024; an optional B behind); bytes. */
bool size_parse(struct str s, uint64_t *bytes);
const char *size_format(uint64_t bytes, char out[32]);

#endif
