/*
 * content.h - the parts of content.c that chunks.c uses: one message's content, whichever way it comes.
 */
#ifndef POSTERN_SESSION_CONTENT_H
#define POSTERN_SESSION_CONTENT_H

#include "session.h"

/* c->wire holds what was read: it goes on to header, spool and taps. limit: octets of a message, 0 none. */
void content_kept(struct message *c, uint64_t limit);
/* All of it has come: the checks are told, the next phase is PHASE_DOT. */
void content_finish(struct session *s, struct message *c);

#endif
