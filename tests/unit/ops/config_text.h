/* A reader that gives one text for every path, and complaints as "line:column message" joined by newlines. */
#ifndef CONFIG_TEXT_H
#define CONFIG_TEXT_H

#include <string.h>

#include "postern/ops/config.h"

struct text_reader { struct source_reader reader; struct str text; };

static inline struct source *text_read(struct source_reader *r, const char *path, const char **error)
{
    (void)error;
    return source_new(path, ((struct text_reader *)r)->text);
}

static inline bool load_text(const char *text, struct settings *s, struct diags *diags)
{
    struct text_reader r = {{text_read}, str_of(text)};
    return config_load("conf/postern.conf", &r.reader, s, diags);
}

static inline void messages_of(const struct diags *diags, struct buf *out)
{
    for (size_t i = 0; i < diags->count; i++)
        buf_printf(out, "%s%u:%u %s", i ? "\n" : "", diags->list[i].line, diags->list[i].column, diags->list[i].message);
}

#define MINIMAL "hostname mx.example.org\ndomains example.org\nlisten *:25\nbackend 127.0.0.1:10025\npolicy \"p.policy\"\n"

#endif
