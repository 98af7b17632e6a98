/*
 * config_table.h - settings.def as a table that the reader, the reference and the man page walk. Private to ops.
 */
#ifndef POSTERN_OPS_CONFIG_TABLE_H
#define POSTERN_OPS_CONFIG_TABLE_H

#include "postern/base/lexer.h"
#include "postern/base/settings.h"

enum setting_type { SETTING_BOOL, SETTING_COUNT, SETTING_SIZE, SETTING_DURATION, SETTING_TEXT, SETTING_PATH, SETTING_ONE_OF, SETTING_MANY };

/* A list that grows while a file is read; it joins the settings at the end. Heap memory. */
struct growing { void *items; size_t count, cap; };

/* One reading of one source into one struct settings. */
struct config_reading {
    struct settings *s;
    const struct source *source;
    struct diags *diags;
    struct lexer lexer;
    struct growing domains, listen, certificates, backends, resolvers, routes;
    bool any_domain;            /* `domains any` was read here: at this span */
    struct span any_span;
    bool tls_wanted;            /* a listener option about TLS was read here: at this span */
    struct span tls_span;
};

struct setting_row {
    const char *name;
    enum setting_type type;
    size_t offset;               /* of the field in struct settings; MANY: of the digest */
    uint64_t minimum, maximum;   /* numbers: the range (milliseconds, octets); TEXT: length */
    uint64_t number;             /* default of numbers, BOOL and ONE_OF */
    const char *text;            /* default of TEXT and PATH; NULL: required */
    const char *words;           /* ONE_OF: "a|b|c" */
    const char *group, *help;
    void (*item)(struct config_reading *r); /* MANY: eats one item (its options too, up to ',' or the end of the line), complains by itself */
};

extern const struct setting_row setting_rows[];
extern const size_t setting_row_count;

const struct setting_row *setting_find(struct str name);
/* Eats the value of a setting that stands alone and stores it, or complains. */
void setting_read_value(struct config_reading *r, const struct setting_row *row);
/* What may be written and what holds when nothing is: "1s to 1h", "normalise or refuse"; "5m". For people. */
void setting_range(const struct setting_row *row, struct buf *out);
void setting_default(const struct setting_row *row, struct buf *out);

void *growing_add(struct growing *g, size_t item_size); /* room for one more item, cleared */

/* Shared by those that read items. */
void config_skip_item(struct lexer *l);                       /* the rest of an item that was complained of */
bool config_take_text(struct config_reading *r, const char *expected, struct token *t); /* a word or a string, or a complaint */
bool config_is_domain(struct str s);
bool config_is_port(struct str s, uint64_t minimum, uint16_t *out);
void config_domain_add(struct config_reading *r, struct growing *list, const struct token *token); /* validates */

/* The items of each list setting (config_items.c). */
#define SETTING_LIST(field, name, group, help) void setting_item_##field(struct config_reading *r);
#include "postern/base/settings.def"

/* config_advise() about the text of a resolv.conf: are its name servers public ones? */
void config_advise_resolv_conf(struct str text, struct diags *diags);

#endif
