/*
 * settings.h - what the administrator set, as one struct made from settings.def. Filled by ops/config; read by everybody; owned by its arena.
 */
#ifndef POSTERN_BASE_SETTINGS_H
#define POSTERN_BASE_SETTINGS_H

#include "postern/base/addr.h"
#include "postern/base/arena.h"

struct backend_setting { /* one `backend` line */
    struct str host;          /* name or numeric address */
    bool numeric;
    struct addr_port address; /* numeric: the address; else only the port */
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
#include "postern/base/settings.def"
    struct str *domains;        /* lower case; ".example.org" stands for all names below it */
    size_t domain_count;
    bool domains_any;
    struct prefix_set *relay_from; /* NULL: none */
    struct str *listen;
    size_t listen_count;
    struct backend_setting *backends;
    size_t backend_count;
    struct addr_port *resolvers;
    size_t resolver_count;
};

enum { BARE_NEWLINE_NORMALISE, BARE_NEWLINE_REFUSE };

void settings_defaults(struct settings *s); /* every field at its default, lists empty */
void settings_clear(struct settings *s);
/* Is this recipient domain ours? Case is ignored. Address literals are not. */
bool settings_domain_is_ours(const struct settings *s, struct str domain);

#endif
