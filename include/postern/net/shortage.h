/*
 * shortage.h - what a socket needs and we have not got: a descriptor, memory of the kernel, a port or an address of our own. It says nothing about who
 * is at the other end, and soon passes. Counted (`shortages`), and logged once a minute.
 */
#ifndef POSTERN_NET_SHORTAGE_H
#define POSTERN_NET_SHORTAGE_H

#include "postern/net/loop.h"

bool shortage_is(int error); /* an errno of socket(), connect(), accept() */
/* It has happened while `what` ("accepting a client"). */
void shortage_note(struct loop *l, const char *what, int error);

#endif
