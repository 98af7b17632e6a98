/*
 * contexts.h - the TLS contexts of a script's world: of the proxy's listeners, of the backends, of the clients.
 *
 * A script is run many times, and keys, certificates and contexts are what costs most in a run with TLS. So each is made once, by
 * the first run that needs it, and belongs to the script. A run begins with all of them as if they were new: no ticket of an
 * earlier run is good, no session is resumed.
 */
#ifndef POSTERN_SIM_CONTEXTS_H
#define POSTERN_SIM_CONTEXTS_H

#include "credentials.h"
#include "postern/base/settings.h"
#include "postern/net/tls.h"

enum tls_asked { TLS_ASKED_USUAL, TLS_ASKED_12 /* nothing newer than TLS 1.2 */ };

struct contexts;
struct contexts *contexts_new(void);
void contexts_free(struct contexts **c);
void contexts_begin(struct contexts *c); /* another run, at SIM_EPOCH_MS */

/* All results are borrowed, good until contexts_free(). NULL: it cannot be made. */

/* Whatever files the `certificate` lines name: nothing outside is read. The first is for the host name, the others for what
 * stands before ".pem". NULL: none can be made for *name. */
struct tls_context *contexts_proxy(struct contexts *c, const struct settings *settings, struct str *name);
struct tls_context *contexts_backend(struct contexts *c, const struct credentials *mine);
struct tls_context *contexts_client(struct contexts *c, enum tls_asked asked);

#endif
