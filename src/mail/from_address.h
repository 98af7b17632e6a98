/*
 * from_address.h - addresses out of an address list (RFC 5322 3.4 and 4.4, RFC 6854), one after the other. For this room only.
 */
#ifndef POSTERN_MAIL_FROM_ADDRESS_H
#define POSTERN_MAIL_FROM_ADDRESS_H

#include "postern/base/str.h"

enum address_kind {
    ADDRESS_END,     /* no more */
    ADDRESS_DOMAIN,  /* local@domain */
    ADDRESS_LITERAL, /* local@[...] */
    ADDRESS_BARE,    /* words that are no address, or <> or <local> */
    ADDRESS_BAD      /* not an address list; nothing more comes */
};

enum { ADDRESS_DOMAIN_MAX = 1024 };

struct address_token { char kind; struct str text; }; /* see from_address.c */

struct address_reader {
    struct str rest;              /* behind `token` */
    struct address_token token;   /* the next one */
    bool in_group;
    bool before_angle;            /* "a@x" was given, "<b@x>" follows */
    char domain[ADDRESS_DOMAIN_MAX];
    size_t domain_n;              /* more than ADDRESS_DOMAIN_MAX: cut off */
};

/* body: what follows the colon. */
void address_begin(struct address_reader *r, struct str body);
/* *domain (ADDRESS_DOMAIN): without comments and white space; good until the next call. p NULL: longer than any domain. */
enum address_kind address_next(struct address_reader *r, struct str *domain);

#endif
