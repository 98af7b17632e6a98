/*
 * config_table.c - the table of settings, and the values of those that stand alone: numbers, durations, sizes, texts, paths, words.
 */
#include "config_table.h"

#include <stdlib.h>
#include <string.h>

#include "postern/base/codec.h"

#define PRESET_BOOL(v) .number = (v)
#define PRESET_COUNT(v) .number = (v)
#define PRESET_SIZE(v) .number = (v)
#define PRESET_DURATION(v) .number = (v)
#define PRESET_TEXT(v) .text = (v)
#define PRESET_PATH(v) .text = (v)

const struct setting_row setting_rows[] = {
#define SETTING(field, nm, typ, preset, min, max, grp, hlp) \
    {.name = nm, .type = SETTING_##typ, .offset = offsetof(struct settings, field), .minimum = min, .maximum = max, PRESET_##typ(preset), \
     .group = grp, .help = hlp},
#define SETTING_WORD(field, nm, wrds, preset, grp, hlp) \
    {.name = nm, .type = SETTING_ONE_OF, .offset = offsetof(struct settings, field), .number = preset, .words = wrds, .group = grp, .help = hlp},
#define SETTING_LIST(field, nm, grp, hlp) \
    {.name = nm, .type = SETTING_MANY, .offset = offsetof(struct settings, field##_digest), .item = setting_item_##field, .group = grp, .help = hlp},
#include "postern/base/settings.def"
};
const size_t setting_row_count = sizeof setting_rows / sizeof setting_rows[0];

const struct setting_row *setting_find(struct str name)
{
    for (size_t i = 0; i < setting_row_count; i++) {
        if (str_eq(name, str_of(setting_rows[i].name)))
            return &setting_rows[i];
    }
    return NULL;
}

void *growing_add(struct growing *g, size_t item_size)
{
    if (g->count == g->cap) {
        g->cap = g->cap ? g->cap * 2 : 8;
        g->items = xrealloc(g->items, g->cap * item_size);
    }
    return memset((char *)g->items + g->count++ * item_size, 0, item_size);
}

/* ---- what may be written ---- */

static void put_number(const struct setting_row *row, uint64_t v, struct buf *out)
{
    char text[32];
    switch (row->type) {
    case SETTING_SIZE: buf_cstr(out, size_format(v, text)); break;
    case SETTING_DURATION: buf_cstr(out, duration_format(v, text)); break;
    case SETTING_BOOL: buf_cstr(out, v ? "yes" : "no"); break;
    default: buf_printf(out, "%llu", (unsigned long long)v);
    }
}

static void put_words(const char *words, struct buf *out)
{
    struct str rest = str_of(words), word;
    for (bool first = true; str_split(&rest, '|', &word); first = false) {
        if (!first)
            buf_cstr(out, rest.p ? ", " : " or ");
        buf_str(out, word);
    }
}

void setting_range(const struct setting_row *row, struct buf *out)
{
    switch (row->type) {
    case SETTING_BOOL: buf_cstr(out, "yes or no"); break;
    case SETTING_ONE_OF: put_words(row->words, out); break;
    case SETTING_TEXT: buf_cstr(out, "text"); break;
    case SETTING_PATH: buf_cstr(out, "path"); break;
    case SETTING_MANY: buf_cstr(out, "list"); break;
    default:
        put_number(row, row->minimum, out);
        buf_cstr(out, " to ");
        put_number(row, row->maximum, out);
    }
}

static struct str word_at(const char *words, uint64_t index)
{
    struct str rest = str_of(words), word = STR_NONE;
    for (uint64_t i = 0; i <= index && str_split(&rest, '|', &word); i++)
        continue;
    return word;
}

void setting_default(const struct setting_row *row, struct buf *out)
{
    if (row->type == SETTING_MANY)
        buf_cstr(out, "none");
    else if (row->type == SETTING_ONE_OF)
        buf_str(out, word_at(row->words, row->number));
    else if (row->type != SETTING_TEXT && row->type != SETTING_PATH)
        put_number(row, row->number, out);
    else if (row->text && row->text[0])
        buf_cstr(out, row->text);
    else
        buf_cstr(out, "none");
}

/* ---- reading ---- */

static void complain(struct config_reading *r, struct span where, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void complain(struct config_reading *r, struct span where, const char *hint, const char *format, ...)
{
    struct buf text = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    char *message = buf_steal(&text);
    diag_add(r->diags, DIAG_ERROR, where, hint, "%s", message);
    free(message);
}

static void *field_of(struct config_reading *r, const struct setting_row *row)
{
    return (char *)r->s + row->offset;
}

static bool read_number(const struct setting_row *row, struct str text, uint64_t *out)
{
    if (row->type == SETTING_DURATION)
        return duration_parse(text, out);
    return row->type == SETTING_SIZE ? size_parse(text, out) : str_to_u64(text, UINT64_MAX, out);
}

static void set_number(struct config_reading *r, const struct setting_row *row, struct token t)
{
    static const char *const what[] = {[SETTING_COUNT] = "a number", [SETTING_SIZE] = "a size", [SETTING_DURATION] = "a duration"};
    static const char *const hint[] = {[SETTING_COUNT] = "write a number without a unit", [SETTING_SIZE] = "write octets: 512, 64K, 50M or 1G",
                                       [SETTING_DURATION] = "write a number with its unit: 500ms, 10s, 5m, 2h or 7d"};
    uint64_t v;
    if (!read_number(row, t.text, &v)) {
        complain(r, t.span, hint[row->type], "%s: '%.*s' is not %s", row->name, STR_ARG(t.text), what[row->type]);
        return;
    }
    if (v < row->minimum || v > row->maximum) {
        struct buf range = {0};
        setting_range(row, &range);
        complain(r, t.span, NULL, "%s: %.*s is out of range, which is %.*s", row->name, STR_ARG(t.text), STR_ARG(buf_view(&range)));
        buf_free(&range);
        return;
    }
    *(uint64_t *)field_of(r, row) = v;
}

static void set_bool(struct config_reading *r, const struct setting_row *row, struct token t)
{
    bool yes = str_eq_nocase(t.text, STR("yes"));
    if (!yes && !str_eq_nocase(t.text, STR("no")))
        complain(r, t.span, NULL, "%s: '%.*s' is not yes or no", row->name, STR_ARG(t.text));
    else
        *(bool *)field_of(r, row) = yes;
}

enum { WORDS_MAX = 16 };

static void set_word(struct config_reading *r, const struct setting_row *row, struct token t)
{
    struct str words[WORDS_MAX], rest = str_of(row->words);
    unsigned count = 0;
    while (count < WORDS_MAX && str_split(&rest, '|', &words[count])) {
        if (str_eq_nocase(words[count], t.text)) {
            *(unsigned *)field_of(r, row) = count;
            return;
        }
        count++;
    }
    struct buf range = {0}, hint = {0};
    struct str near = str_suggest(t.text, words, count);
    setting_range(row, &range);
    if (near.p)
        buf_printf(&hint, "did you mean '%.*s'?", STR_ARG(near));
    char *hint_text = near.p ? buf_steal(&hint) : NULL;
    complain(r, t.span, hint_text, "%s: '%.*s' is not %.*s", row->name, STR_ARG(t.text), STR_ARG(buf_view(&range)));
    free(hint_text);
    buf_free(&range);
}

static bool looks_like_host_name(struct str s)
{
    size_t label = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = ascii_lower(s.p[i]);
        bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (c == '.' ? label == 0 || s.p[i - 1] == '-' : !letter && (c != '-' || label == 0))
            return false;
        label = c == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
    }
    return label > 0 && s.n <= 253 && s.p[s.n - 1] != '-';
}

/* RFC 8601 2.2: a token (RFC 2045 5.1), so that it needs no quotes and everybody finds it again in the fields of strangers. */
static bool is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~' || strchr("()<>@,;:\\\"/[]?=", s.p[i]))
            return false;
    return true;
}

static void set_text(struct config_reading *r, const struct setting_row *row, struct token t)
{
    struct addr literal;
    if (t.text.n < row->minimum || t.text.n > row->maximum)
        complain(r, t.span, NULL, "%s: longer than %llu characters", row->name, (unsigned long long)row->maximum);
    else if (!ascii_printable(t.text))
        complain(r, t.span, NULL, "%s: only printable ASCII can stand here, because it goes into SMTP replies", row->name);
    else if (row->offset == offsetof(struct settings, hostname) && (!looks_like_host_name(t.text) || addr_parse(t.text, &literal)))
        complain(r, t.span, "write a host name that DNS knows: mx.example.org", "hostname: '%.*s' is not a host name", STR_ARG(t.text));
    else if (row->offset == offsetof(struct settings, authserv_id) && !is_token(t.text))
        complain(r, t.span, "write a name, such as mx.example.org", "authserv-id: '%.*s' is not one word", STR_ARG(t.text));
    else
        *(struct str *)field_of(r, row) = arena_str(&r->s->arena, t.text);
}

static void set_path(struct config_reading *r, const struct setting_row *row, struct token t)
{
    bool may_be_empty = row->text && !row->text[0];
    if (t.text.n == 0 && !may_be_empty) {
        complain(r, t.span, NULL, "%s: the path is empty", row->name);
        return;
    }
    if (t.text.n == 0) {
        *(struct str *)field_of(r, row) = STR("");
        return;
    }
    char *relative = xstrndup(t.text.p, t.text.n);
    char *path = source_path(r->source->name, relative);
    *(struct str *)field_of(r, row) = arena_str(&r->s->arena, str_of(path));
    free(path);
    free(relative);
}

void setting_read_value(struct config_reading *r, const struct setting_row *row)
{
    struct token t = r->lexer.current;
    if (t.kind == TOKEN_BAD)
        return;
    if (t.kind != TOKEN_WORD && t.kind != TOKEN_STRING) {
        complain(r, t.span, row->help, "%s: expected a value, not %s", row->name, token_name(t.kind));
        return;
    }
    lexer_take(&r->lexer);
    switch (row->type) {
    case SETTING_BOOL: set_bool(r, row, t); break;
    case SETTING_TEXT: set_text(r, row, t); break;
    case SETTING_PATH: set_path(r, row, t); break;
    case SETTING_ONE_OF: set_word(r, row, t); break;
    default: set_number(r, row, t);
    }
}
