/*
 * arc_chain.h - the ARC fields of a header as a chain of sets. For arc_verify.c only.
 */
#ifndef POSTERN_CHECKS_ARC_CHAIN_H
#define POSTERN_CHECKS_ARC_CHAIN_H

#include "postern/checks/arc.h"
#include "signature.h"

enum arc_kind { ARC_RESULTS, ARC_MESSAGE, ARC_SEAL, ARC_KINDS };

struct arc_set {
    bool there[ARC_KINDS];
    size_t field[ARC_KINDS]; /* index in the list of fields */
    struct str payload;      /* of the results: behind "i=N;" */
    struct signature seal;
};

struct arc_chain {
    struct arc_set sets[ARC_SETS_MAX]; /* the first is instance 1 */
    size_t count;
    struct signature message;          /* of the last set */
};

/* The kind of ARC field that this is; ARC_KINDS: none. */
enum arc_kind arc_kind_of(struct str name);
/* Collects and validates the structure (RFC 8617 5.2 steps 1 to 3). False: *reason says what is wrong; count 0: there is no
 * chain. */
bool arc_chain_read(const struct field_list *fields, uint64_t now, struct arena *arena, struct arc_chain *out,
                    struct str *reason);

#endif
