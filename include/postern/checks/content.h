/*
 * content.h - a message's content on its way to the checks that read it.
 *
 *     scope of stage data opened, its checks started - content_taps() handed to the header reader - the message flows -
 *     content_ended() - the checks conclude
 *
 * Checks that read the header or the body (from, dkim ...) have a tap, which sees each byte once and never waits, and a
 * restartable conclusion that is NOT_YET until the tap has seen what it needs. What a tap keeps is in the scope's arena and ends
 * with the scope: the reader that holds the chain must not outlive it.
 */
#ifndef POSTERN_CHECKS_CONTENT_H
#define POSTERN_CHECKS_CONTENT_H

#include "postern/checks/check.h"
#include "postern/mail/header.h"

/* The taps of the content checks that were started in this scope; NULL: none. Made at the first call: a check that is started
 * later finds the message gone by, and its facts are errors. */
struct mail_tap *content_taps(struct scope *data_scope);
/* All of the message has come, or no more of it will be read: sets what was counted. Taps are not called any more. */
void content_ended(struct scope *data_scope, const struct content *numbers);
bool content_has_ended(const struct scope *data_scope);

#endif
