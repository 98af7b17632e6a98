/*
 * arc_judged.h - a message fed to the verifier of ARC in pieces, with the keys that a test has published (signed.h).
 */
#ifndef TESTS_CHECKS_ARC_JUDGED_H
#define TESTS_CHECKS_ARC_JUDGED_H

#include "postern/checks/arc.h"
#include "signed.h"

static inline void give_field(void *context, struct str field)
{
    arc_verifier_field(context, field);
}

static inline struct arc_verifier *feed(struct keys *k, struct str message, size_t chunk)
{
    struct arc_verifier *v = arc_verifier_new(k->now);
    const char *end = memmem(message.p, message.n, "\r\n\r\n", 4);
    size_t header = end ? (size_t)(end - message.p) + 2 : message.n;

    each_field(str_sub(message, 0, header), give_field, v);
    arc_verifier_end_of_header(v);
    for (size_t at = header + 2; at < message.n; at += chunk)
        arc_verifier_body(v, str_sub(message, at, at + chunk));
    return v;
}

static inline struct arc_result judge(struct keys *k, struct str message, size_t chunk)
{
    struct arc_result r;
    struct arc_verifier *v = feed(k, message, chunk);

    cr_assert(arc_verifier_finish(v, ask_published, k, false, &k->arena, &r));
    arc_verifier_free(&v);
    return r;
}

#endif
