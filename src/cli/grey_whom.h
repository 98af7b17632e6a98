/*
 * grey_whom.h - an address, a network or a domain as `postern grey` takes it, and what in the store is of it.
 */
#ifndef POSTERN_CLI_GREY_WHOM_H
#define POSTERN_CLI_GREY_WHOM_H

#include "postern/base/addr.h"
#include "postern/base/arena.h"
#include "postern/store/store.h"

enum { GREY_RULINGS_MAX = 256 };

struct grey_whom { /* texts in the arena that it was parsed into */
    struct prefix network; /* family 0: it is a domain */
    struct str domain;     /* lower case, A-labels */
    struct str ruling;     /* the key under which it is allowed or denied; STR_NONE: networks of this length never are */
};

/* False: the text is none of these. */
bool grey_whom_parse(struct arena *arena, struct str text, struct grey_whom *out);
/* What is wrong with a text that cannot be ruled on, and what to write instead. */
struct str grey_whom_advice(struct arena *arena, struct str text);

/*
 * Is the row of this key one of w? A network has the rows and clients that are known by a network which overlaps it. A domain has those known by it
 * or a name below it, and those whose sender's domain is such a name. Rulings: on networks that overlap, on names below or above it.
 */
bool grey_whom_has(const struct grey_whom *w, enum store_table table, struct str key);
/* Keys of the rulings that hold for all of w, the most precise first. */
size_t grey_whom_rulings(const struct grey_whom *w, struct arena *arena, struct str keys[GREY_RULINGS_MAX]);
/* Of a row of the greylist, the key of its client: "WHO DOMAIN"; STR_NONE: the null sender has none. */
struct str grey_client_of(struct arena *arena, struct str row);

#endif
