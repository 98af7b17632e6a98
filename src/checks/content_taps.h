/*
 * content_taps.h - the checks that read the message, and where each finds its tap again. For this room only.
 */
#ifndef POSTERN_CHECKS_CONTENT_TAPS_H
#define POSTERN_CHECKS_CONTENT_TAPS_H

#include "postern/checks/content.h"

/* One line a content check: its tap is made in the scope's arena; the second function gives back what is not (NULL: nothing is not). */
struct mail_tap *from_tap_new(struct scope *s);
struct mail_tap *dkim_tap_new(struct scope *s);
void dkim_tap_end(struct mail_tap *t);
struct mail_tap *arc_tap_new(struct scope *s);
void arc_tap_end(struct mail_tap *t);
#define CONTENT_CHECKS(X) \
    X(FROM, from_tap_new, NULL) \
    X(DKIM, dkim_tap_new, dkim_tap_end) \
    X(ARC, arc_tap_new, arc_tap_end)

enum content_flow {
    CONTENT_TO_COME, /* no tap yet: the message has not begun */
    CONTENT_TAPPED,  /* *tap is this check's */
    CONTENT_MISSED   /* the message was read without this check, or was never there */
};
enum content_flow content_tap_of(const struct scope *s, enum check_id check, struct mail_tap **tap);
void content_taps_free(struct scope *s); /* with the scope */

#endif
