/*
 * settings.h - what the administrator set, as one struct made from settings.def. Filled by ops/config; read by everybody; owned by its arena.
 */
#ifndef POSTERN_BASE_SETTINGS_H
#define POSTERN_BASE_SETTINGS_H

#include "postern/base/addr.h"
#include "postern/base/arena.h"

struct listener_setting { /* one item of `listen` */
    struct str address;       /* as written: "*:25" */
    bool tls;                 /* TLS from the first byte */
    bool require_tls;         /* no mail before STARTTLS (530 5.7.0) */
    struct prefix_set *proxy_from; /* balancers, whose connections begin with a PROXY protocol header; NULL: none */
};

struct certificate_setting {  /* one item of `certificate`: PEM files */
    struct str file, key_file; /* the same when one file holds both */
};

enum client_address { CLIENT_ADDRESS_NONE, CLIENT_ADDRESS_XCLIENT, CLIENT_ADDRESS_PROXY };
enum backend_tls { BACKEND_TLS_OFF, BACKEND_TLS_MAY, BACKEND_TLS_REQUIRE };

struct backend_setting { /* one item of `backend` or `route` */
    struct str host;          /* name or numeric address */
    bool numeric;
    struct addr_port address; /* numeric: the address; else only the port */
    unsigned route;           /* 0: every domain without a route; n: routes[n - 1] */
    uint64_t connections;     /* at once, at most; 0: as settings.backend_connections says */
    enum client_address client_address; /* how it is told who the client is */
    enum backend_tls tls;
    struct str tls_name;      /* `verify NAME`: the name its certificate must have; empty: not verified by name */
    struct str tls_ca;        /* file of CA certificates; empty: the system's */
    struct str tls_fingerprint; /* SHA-256 of its certificate, 64 hex digits; empty: none */
};

struct route_setting { /* one line of `route`: these domains go to servers of their own */
    struct str *domains;      /* as settings.domains; they are ours as well */
    size_t domain_count;
};

struct settings {
    struct arena arena; /* owns all texts and lists */
#define SETTING_FIELD_BOOL bool
#define SETTING_FIELD_COUNT uint64_t
#define SETTING_FIELD_SIZE uint64_t
#define SETTING_FIELD_DURATION uint64_t
#define SETTING_FIELD_TEXT struct str
#define SETTING_FIELD_PATH struct str
#define SETTING(field, name, type, preset, minimum, maximum, group, help) SETTING_FIELD_##type field;
#define SETTING_WORD(field, name, words, preset, group, help) unsigned field;
#define SETTING_LIST(field, name, group, help) uint64_t field##_digest; /* of its items as they were written */
#include "postern/base/settings.def"
    struct str *domains;        /* lower case; ".example.org" stands for all names below it */
    size_t domain_count;
    bool domains_any;
    struct prefix_set *relay_from; /* NULL: none */
    struct listener_setting *listen;
    size_t listen_count;
    struct backend_setting *backends; /* those of routes too */
    size_t backend_count;
    struct certificate_setting *certificates;
    size_t certificate_count;
    struct route_setting *routes;
    size_t route_count;
    struct addr_port *resolvers;
    size_t resolver_count;
};

enum { BARE_NEWLINE_NORMALISE, BARE_NEWLINE_REFUSE };

void settings_defaults(struct settings *s); /* every field at its default, lists empty */
void settings_clear(struct settings *s);
/* Is this recipient domain ours? Case is ignored. Address literals are not. */
bool settings_domain_is_ours(const struct settings *s, struct str domain);
/* The route of a recipient domain: 0 the default backends, n routes[n - 1]. A name is preferred to a `.name` that also fits, then the first. */
unsigned settings_route(const struct settings *s, struct str domain);

#endif
