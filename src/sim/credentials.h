/*
 * credentials.h - certificates of a transcript's backends, made when it is read: a script is run many times, and a `set` line may
 * name their fingerprint. All are issued by one authority of the transcript's own, whose certificate is a file that only this
 * process sees ({ca} in a `set` line).
 */
#ifndef POSTERN_SIM_CREDENTIALS_H
#define POSTERN_SIM_CREDENTIALS_H

#include "postern/base/arena.h"

struct credentials {  /* PEM, in the script's arena */
    struct str certificate, key;
    struct str fingerprint; /* SHA-256 of the certificate, in hex */
};

struct credentials_wish {
    struct str name;
    bool self_signed, expired;
};

struct authority {
    struct credentials own;
    int fd;               /* -1: {ca} was not asked for */
    struct str path;      /* of fd, while it is open */
};

void authority_init(struct authority *a);
/* In the arena; made by *a, which is made first when there is none yet. NULL: the name is none. */
const struct credentials *credentials_new(struct authority *a, const struct credentials_wish *wish, struct arena *arena);
/* Where a reader of files finds the authority's certificate; empty: no such file could be made. */
struct str authority_path(struct authority *a, struct arena *arena);
void authority_clear(struct authority *a);

#endif
