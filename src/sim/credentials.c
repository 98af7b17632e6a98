/*
 * credentials.c - see credentials.h.
 */
#include "credentials.h"

#include "postern/base/codec.h"
#include "postern/net/tls_make.h"
#include "script.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define DAY_MS UINT64_C(86400000)

static bool make(const struct tls_make *how, struct credentials *out, struct arena *arena)
{
    struct buf certificate = {0}, key = {0}, hex = {0};
    struct tls_fingerprint fingerprint;
    bool made = tls_make_certificate(how, &certificate, &key) && tls_fingerprint_of(buf_view(&certificate), &fingerprint);
    if (made) {
        hex_encode(&hex, fingerprint.sha256, sizeof fingerprint.sha256);
        out->certificate = arena_str(arena, buf_view(&certificate));
        out->key = arena_str(arena, buf_view(&key));
        out->fingerprint = arena_str(arena, buf_view(&hex));
    }
    buf_free(&certificate);
    buf_free(&key);
    buf_free(&hex);
    return made;
}

void authority_init(struct authority *a)
{
    *a = (struct authority){.fd = -1};
}

static bool authority_ready(struct authority *a, struct arena *arena)
{
    static const struct str name = {"authority.test", 14};
    struct tls_make how = {.names = &name, .count = 1, .authority = true};
    how.from_ms = SIM_EPOCH_MS - 30 * DAY_MS;
    how.to_ms = SIM_EPOCH_MS + 3650 * DAY_MS;
    return a->own.key.n > 0 || make(&how, &a->own, arena);
}

const struct credentials *credentials_new(struct authority *a, const struct credentials_wish *wish, struct arena *arena)
{
    struct credentials *c = arena_zalloc(arena, sizeof *c);
    struct tls_make how = {.names = &wish->name, .count = 1, .from_ms = SIM_EPOCH_MS - 20 * DAY_MS};
    how.to_ms = wish->expired ? SIM_EPOCH_MS - DAY_MS : SIM_EPOCH_MS + 365 * DAY_MS;
    if (!authority_ready(a, arena))
        return NULL;
    if (!wish->self_signed) {
        how.issuer_certificate = a->own.certificate;
        how.issuer_key = a->own.key;
    }
    return make(&how, c, arena) ? c : NULL;
}

struct str authority_path(struct authority *a, struct arena *arena)
{
    if (a->fd >= 0 || !authority_ready(a, arena))
        return a->path;
    a->fd = memfd_create("authority.test", MFD_CLOEXEC);
    if (a->fd >= 0 && write(a->fd, a->own.certificate.p, a->own.certificate.n) == (ssize_t)a->own.certificate.n)
        a->path = arena_printf(arena, "/proc/self/fd/%d", a->fd);
    return a->path;
}

void authority_clear(struct authority *a)
{
    if (a->fd >= 0)
        close(a->fd);
    a->fd = -1;
}
