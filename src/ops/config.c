/*
 * config.c - a configuration file into struct settings: lines, names, what is missing. Values are read by config_table.c and config_items.c.
 *
 * Nothing stops at the first mistake: a bad line is complained of and given up, reading goes on at the next, so that one run of `check` shows all.
 */
#include "postern/ops/config.h"

#include "config_table.h"

#include <stdlib.h>
#include <string.h>

#include "postern/base/map.h"

static bool at_line_end(const struct lexer *l)
{
    return l->current.kind == TOKEN_EOL || l->current.kind == TOKEN_END;
}

static void complain_unknown(struct config_reading *r, struct token name)
{
    struct str names[128];
    size_t count = 0;
    for (size_t i = 0; i < setting_row_count && count < sizeof names / sizeof names[0]; i++)
        names[count++] = str_of(setting_rows[i].name);
    struct str near = str_suggest(name.text, names, count);
    struct buf hint = {0};
    if (near.p)
        buf_printf(&hint, "did you mean '%.*s'?", STR_ARG(near));
    else
        buf_cstr(&hint, "`postern check --settings` lists all settings");
    char *text = buf_steal(&hint);
    diag_add(r->diags, DIAG_ERROR, name.span, text, "unknown setting '%.*s'", STR_ARG(name.text));
    free(text);
}

/* How items are laid out (on a line of their own, or behind commas) makes no difference. */
static void digest_items(struct config_reading *r, uint64_t *digest)
{
    struct arena scratch = {0};
    struct lexer ahead = r->lexer;
    ahead.diags = NULL;
    ahead.arena = &scratch;
    for (bool end = false; !end;) {
        end = at_line_end(&ahead);
        struct str word = ahead.current.text.n > 0 ? ahead.current.text : STR(",");
        uint64_t both[] = {*digest, hash_bytes(word.p, word.n)};
        *digest = hash_bytes(both, sizeof both);
        lexer_take(&ahead);
    }
    arena_clear(&scratch);
}

static void read_items(struct config_reading *r, const struct setting_row *row)
{
    size_t errors;
    digest_items(r, (uint64_t *)(void *)((char *)r->s + row->offset));
    do {
        errors = r->diags->errors;
        row->item(r);
    } while (lexer_accept(&r->lexer, TOKEN_COMMA));
    if (!at_line_end(&r->lexer) && r->lexer.current.kind != TOKEN_BAD && r->diags->errors == errors)
        diag_add(r->diags, DIAG_ERROR, r->lexer.current.span, "items of a list are separated by ','", "%s: expected ',' or end of line, not %s",
                 row->name, token_name(r->lexer.current.kind));
}

static void read_value(struct config_reading *r, const struct setting_row *row)
{
    size_t errors = r->diags->errors;
    setting_read_value(r, row);
    if (at_line_end(&r->lexer) || r->lexer.current.kind == TOKEN_BAD || r->diags->errors > errors)
        return;
    bool words = row->type == SETTING_TEXT || row->type == SETTING_PATH;
    diag_add(r->diags, DIAG_ERROR, r->lexer.current.span, words ? "put text that has spaces or commas in quotes" : NULL,
             "%s: expected end of line after its value, not %s", row->name, token_name(r->lexer.current.kind));
}

/* One line. seen: for each row the line where it was first set, 0: not yet; NULL: settings may be replaced. */
static void read_setting(struct config_reading *r, unsigned *seen)
{
    struct token name = r->lexer.current;
    if (name.kind != TOKEN_WORD) {
        if (name.kind != TOKEN_BAD)
            diag_add(r->diags, DIAG_ERROR, name.span, NULL, "expected the name of a setting, not %s", token_name(name.kind));
        return;
    }
    lexer_take(&r->lexer);
    const struct setting_row *row = setting_find(name.text);
    if (!row) {
        complain_unknown(r, name);
        return;
    }
    unsigned line, column, *first = seen ? &seen[row - setting_rows] : NULL;
    span_position(name.span, &line, &column);
    if (first && *first && row->type != SETTING_MANY) {
        diag_add(r->diags, DIAG_ERROR, name.span, NULL, "'%s' is set a second time; it was set in line %u", row->name, *first);
        return;
    }
    if (first && !*first)
        *first = line;
    if (r->lexer.current.kind == TOKEN_EQ || r->lexer.current.kind == TOKEN_COLON) {
        diag_add(r->diags, DIAG_ERROR, r->lexer.current.span, "write the name, a space and the value", "%s: there is no %s between a setting and its value",
                 row->name, token_name(r->lexer.current.kind));
    } else if (at_line_end(&r->lexer)) {
        diag_add(r->diags, DIAG_ERROR, name.span, row->help, "'%s' needs a value", row->name);
    } else if (row->type == SETTING_MANY) {
        read_items(r, row);
    } else {
        read_value(r, row);
    }
}

/* What was gathered joins what was there, in memory of the settings. */
static void join(struct arena *arena, void *list_pointer, size_t *count, struct growing *more, size_t item_size)
{
    if (more->count > 0) {
        void *list;
        memcpy(&list, list_pointer, sizeof list);
        char *all = arena_alloc(arena, (*count + more->count) * item_size);
        if (*count > 0)
            memcpy(all, list, *count * item_size);
        memcpy(all + *count * item_size, more->items, more->count * item_size);
        memcpy(list_pointer, &all, sizeof all);
        *count += more->count;
    }
    free(more->items);
    *more = (struct growing){0};
}

/* `domains any` makes the backend the judge of recipients: it must know who the client is, or it would trust our address (open relay). */
static void judge_any(struct config_reading *r)
{
    for (size_t i = 0; r->any_domain && i < r->s->backend_count; i++)
        if (r->s->backends[i].client_address == CLIENT_ADDRESS_NONE) {
            diag_add(r->diags, DIAG_ERROR, r->any_span, "write `client-address xclient` or `client-address proxy` behind each backend, or name the domains",
                     "`domains any` needs every backend to be told the client's address");
            return;
        }
}

/* Listeners that speak of TLS need a certificate; which may stand further down, or come in another reading. */
static void judge_tls(struct config_reading *r)
{
    for (size_t i = 0; r->tls_wanted && i < r->s->listen_count && !r->s->certificate_count; i++)
        if (r->s->listen[i].tls || r->s->listen[i].require_tls) {
            diag_add(r->diags, DIAG_ERROR, r->tls_span, "write: certificate \"/etc/postern/mx.pem\"", "a listener with TLS needs a certificate");
            return;
        }
}

static void read_source(struct settings *s, const struct source *source, struct diags *diags, unsigned *seen)
{
    struct config_reading r = {.s = s, .source = source, .diags = diags};
    lexer_init(&r.lexer, source, &s->arena, diags);
    while (r.lexer.current.kind != TOKEN_END) {
        read_setting(&r, seen);
        lexer_skip_line(&r.lexer);
    }
    join(&s->arena, &s->domains, &s->domain_count, &r.domains, sizeof *s->domains);
    join(&s->arena, &s->listen, &s->listen_count, &r.listen, sizeof *s->listen);
    join(&s->arena, &s->certificates, &s->certificate_count, &r.certificates, sizeof *s->certificates);
    join(&s->arena, &s->backends, &s->backend_count, &r.backends, sizeof *s->backends);
    join(&s->arena, &s->routes, &s->route_count, &r.routes, sizeof *s->routes);
    judge_any(&r);
    judge_tls(&r);
    join(&s->arena, &s->resolvers, &s->resolver_count, &r.resolvers, sizeof *s->resolvers);
}

/* Settings without which nothing can be done. One that was written but is wrong was complained of already: `seen`. */
static void require_all(const struct settings *s, const struct source *file, struct diags *diags, const unsigned *seen)
{
    const struct { const char *name, *example; bool there; } required[] = {
        {"hostname", "hostname mx.example.org", s->hostname.n > 0},
        {"domains", "domains example.org, example.net", s->domain_count > 0 || s->domains_any},
        {"listen", "listen *:25", s->listen_count > 0},
        {"backend", "backend 127.0.0.1:10025", s->backend_count > 0},
        {"policy", "policy \"policy/default.policy\"", s->policy.n > 0},
    };
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        const struct setting_row *row = setting_find(str_of(required[i].name));
        if (required[i].there || (seen && seen[row - setting_rows]))
            continue;
        struct buf hint = {0};
        buf_printf(&hint, "write, for example: %s", required[i].example);
        char *text = buf_steal(&hint);
        diag_add(diags, DIAG_ERROR, (struct span){file, file ? file->n : 0, 1}, text, "'%s' is not set", required[i].name);
        free(text);
    }
}

bool config_complete(const struct settings *s, const struct source *file, struct diags *diags)
{
    size_t errors = diags->errors;
    require_all(s, file, diags, NULL);
    return diags->errors == errors;
}

bool config_set(struct settings *s, struct source_reader *reader, const struct source *line, struct diags *diags)
{
    (void)reader; /* no setting reads a file by itself */
    size_t errors = diags->errors;
    read_source(s, line, diags, NULL);
    return diags->errors == errors;
}

bool config_load(const char *path, struct source_reader *reader, struct settings *out, struct diags *diags)
{
    settings_defaults(out);
    const char *error = NULL;
    struct source *file = reader->read(reader, path, &error);
    if (!file) {
        diag_add(diags, DIAG_ERROR, (struct span){0}, NULL, "cannot read %s: %s", path, error);
        return false;
    }
    size_t errors = diags->errors;
    unsigned *seen = xcalloc(setting_row_count, sizeof *seen);
    read_source(out, file, diags, seen);
    require_all(out, file, diags, seen);
    free(seen);
    source_free(&file);
    return diags->errors == errors;
}
