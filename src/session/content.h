/*
 * content.h - one message's content, whichever way it comes: what content.c, chunks.c and message.c have in common.
 */
#ifndef POSTERN_SESSION_CONTENT_H
#define POSTERN_SESSION_CONTENT_H

#include "session.h"

/* --- content.c --- */
/* All of it has come: the checks are told, the next phase is PHASE_DOT. */
void content_finish(struct session *s, struct message *c);

/* --- message.c: header, taps and spool; limit: octets of a message, 0 none. The reader of the header and the spool were set up before --- */
void message_take_wire(struct message *c, uint64_t limit); /* c->wire holds what was read */
void message_begin_chunks(struct message *c, bool binary);
void message_take_chunk(struct message *c, struct str octets, uint64_t limit); /* octets of a chunk, however cut */
void message_end_chunks(struct message *c, uint64_t limit);                    /* behind those of the last chunk */
void message_end(struct message *c);                                           /* all of it has come */

#endif
