/*
 * chunk.h - BDAT (RFC 3030): what the command announces; octets of chunks to wire form, so that a message is held in one form whichever way it came.
 */
#ifndef POSTERN_SMTP_CHUNK_H
#define POSTERN_SMTP_CHUNK_H

#include "postern/smtp/data.h"

/* BDAT's argument, "123" or "123 LAST". *octets is set also when only what stands behind it is wrong: so many octets will come all the same. */
bool bdat_parse(struct str argument, uint64_t *octets, bool *last);

/* Appends `octets` in wire form to out (NULL: count only): dots stuffed, bare CR and LF made CRLF and counted in *r, which is {0} at the start
 * of a message. However the octets are cut, the same comes out. */
void chunk_read(struct data_reader *r, struct str octets, struct buf *out);
/* The message is complete: a last line without its end gets one, as it could not go out by DATA otherwise. */
void chunk_end(struct data_reader *r, struct buf *out);

#endif
