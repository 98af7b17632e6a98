/*
 * redis_server.c - where the Redis server is, and a stream to it: over a Unix socket, TCP, or TLS over TCP.
 *
 *     /run/redis/redis.sock                      the path of its socket
 *     192.0.2.1:6379, redis.example:6379         TCP; "redis://" may stand in front
 *     rediss://redis.example:6379                TLS: the server's certificate is verified, always
 *
 * A name is looked up by our resolver, so that nothing blocks, at each connection (the answer may come from its cache). A server
 * with several addresses is tried at one after another; the one that answered is tried first the next time. Names and addresses
 * are the administrator's; what DNS says about them is believed only for whom TLS does not verify.
 */
#include <stdlib.h>

#include "complain.h"
#include "redis_internal.h"

static const uint16_t redis_port = 6379;

/* --- what is written --------------------------------------------------------------------------------------------------------- */

static bool without_scheme(struct str *address, struct str scheme)
{
    if (!str_starts_nocase(*address, scheme))
        return false;
    *address = str_sub(*address, scheme.n, address->n);
    return true;
}

/* Letters, digits, hyphens, underscores; not all of digits, which would be an address gone wrong. */
static bool is_host_name(struct str s)
{
    char normal[254];
    bool letter = false;
    for (size_t i = 0; i < s.n; i++) {
        char c = ascii_lower(s.p[i]);
        letter |= c >= 'a' && c <= 'z';
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.')
            return false;
    }
    return letter && dns_name_normal(s, normal);
}

static bool take_host(struct redis_server *s, struct str text, struct arena *arena)
{
    size_t colon = str_find(text, ':', 0);
    uint64_t port = redis_port;
    s->count = 1;
    if (addr_parse(text, &s->addresses[0].addr)) {
        s->addresses[0].port = redis_port;
        return true;
    }
    if (addr_port_parse(text, redis_port, &s->addresses[0]))
        return s->addresses[0].port != 0;
    if (colon < text.n && (!str_to_u64(str_sub(text, colon + 1, text.n), UINT16_MAX, &port) || port == 0))
        return false;
    s->addresses[0].port = (uint16_t)port;
    s->host = arena_str(arena, str_sub(text, 0, colon));
    s->count = 0;
    return is_host_name(s->host);
}

/* The host as it is written, without the port. */
static struct str written_host(const struct redis_server *s, struct arena *arena)
{
    char text[ADDR_TEXT];
    return s->host.n ? s->host : arena_str(arena, str_of(addr_format(&s->addresses[0].addr, text)));
}

/* Reads the files for TLS; streams that run keep what they were made with. */
static bool read_tls_files(struct redis_server *s, const struct redis_settings *settings, char **error)
{
    struct arena names = {0};
    struct tls_client_options options = {
        .verify = TLS_VERIFY_NAME,
        .ca_file = settings->ca.n ? arena_cstr(&names, settings->ca) : NULL,
        .certificate_file = settings->certificate.n ? arena_cstr(&names, settings->certificate) : NULL,
        .key_file = settings->key.n ? arena_cstr(&names, settings->key) : NULL,
    };
    char *why = NULL;
    struct tls_context *fresh = tls_context_client(&options, &why);
    arena_clear(&names);
    if (!fresh)
        complain(error, "redis: TLS cannot be used: %s", why);
    free(why);
    if (!fresh)
        return false;
    tls_context_free(&s->tls);
    s->tls = fresh;
    return true;
}

static bool set_up_tls(struct redis_server *s, const struct redis_settings *settings, struct arena *arena, char **error)
{
    s->tls_name = settings->name.n ? arena_str(arena, settings->name) : written_host(s, arena);
    return read_tls_files(s, settings, error);
}

bool redis_server_set_up(struct redis_server *s, const struct redis_settings *settings, struct arena *arena, char **error)
{
    struct str address = settings->address;
    bool tls = without_scheme(&address, STR("rediss://"));
    bool path = !tls && address.n > 0 && address.p[0] == '/';
    if (!tls && !path)
        without_scheme(&address, STR("redis://"));
    if (path ? !s->network->connect_unix : !take_host(s, address, arena))
        return complain(error, "redis: '%.*s' is not the address of a server; write HOST:PORT (127.0.0.1:6379, [2001:db8::1]:6379, "
                               "redis.example:6379), rediss://HOST:PORT for TLS, or the path of its socket",
                        STR_ARG(settings->address));
    if (path)
        s->socket_path = arena_str(arena, address);
    if (tls)
        return set_up_tls(s, settings, arena, error);
    if (settings->ca.n || settings->name.n || settings->certificate.n || settings->key.n)
        return complain(error, "redis: redis-ca, redis-name, redis-certificate and redis-key are for TLS; write rediss://%.*s",
                        STR_ARG(path ? STR("HOST:PORT") : address));
    return true;
}

bool redis_server_renew(struct redis_server *s, const struct redis_settings *settings, char **error)
{
    return !s->tls || read_tls_files(s, settings, error);
}

/* --- connecting -------------------------------------------------------------------------------------------------------------- */

static void take_addresses(struct redis_server *s, const struct dns_answer *a, uint16_t port)
{
    for (size_t i = 0; a->status == DNS_OK && i < a->count && s->count < REDIS_ADDRESSES_MAX; i++)
        s->addresses[s->count++] = (struct addr_port){a->records[i].addr, port};
}

/* False: not yet. "localhost" needs no DNS (RFC 6761 6.3). A look-up that fails keeps the addresses known so far. */
static bool look_up(struct redis_server *s, struct task *owner)
{
    uint16_t port = s->addresses[0].port;
    if (!s->host.n)
        return true;
    if (str_eq_nocase(s->host, STR("localhost"))) {
        addr_parse(STR("127.0.0.1"), &s->addresses[0].addr);
        addr_parse(STR("::1"), &s->addresses[1].addr);
        s->addresses[1].port = port;
        s->count = 2;
        return true;
    }
    if (!s->resolver)
        return true;
    if (!s->view)
        s->view = dns_view_new(s->resolver, owner, NULL);
    const struct dns_answer *a4 = dns_view_get(s->view, s->host, DNS_A), *a6 = dns_view_get(s->view, s->host, DNS_AAAA);
    if (!a4 || !a6)
        return false;
    if (a4->status == DNS_OK || a6->status == DNS_OK) {
        s->count = 0;
        take_addresses(s, a4, port);
        take_addresses(s, a6, port);
    }
    redis_server_forget(s);
    return true;
}

struct stream *redis_server_connect(struct redis_server *s, struct task *owner)
{
    if (s->socket_path.n)
        return s->network->connect_unix(s->network, s->socket_path, owner);
    if (!look_up(s, owner))
        return NULL;
    if (s->count == 0)
        return stream_dead(s->loop, "its name has no address", owner);
    s->at = s->at < s->count ? s->at : 0;
    struct stream *stream = s->network->connect(s->network, &s->addresses[s->at], owner);
    if (s->tls && stream_state(stream) != STREAM_DEAD)
        stream_start_tls(&stream, s->tls, s->tls_name);
    return stream;
}

bool redis_server_next(struct redis_server *s)
{
    bool more = s->at + 1 < s->count;
    s->at = more ? s->at + 1 : 0;
    return more;
}

void redis_server_forget(struct redis_server *s)
{
    dns_view_free(&s->view);
}

void redis_server_clear(struct redis_server *s)
{
    redis_server_forget(s);
    tls_context_free(&s->tls);
}
