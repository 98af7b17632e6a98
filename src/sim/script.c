/*
 * script.c - what transcripts and cases have in common: words, quoted text, patterns, where a policy comes from; and the end of a
 * script.
 */
#include "script.h"

#include "postern/base/map.h"
#include "postern/policy/policy.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const moment_names[MOMENT_COUNT] = {"connect", "greeting", "handshake", "dot",  "EHLO", "HELO",
                                                "MAIL",    "RCPT",     "DATA",      "BDAT", "RSET", "QUIT",
                                                "NOOP",    "STARTTLS", "XCLIENT",   "other"};

bool word_take(struct str *rest, struct str *word)
{
    size_t i = 0;
    while (i < rest->n && (rest->p[i] == ' ' || rest->p[i] == '\t'))
        i++;
    size_t start = i;
    while (i < rest->n && rest->p[i] != ' ' && rest->p[i] != '\t')
        i++;
    *word = str_sub(*rest, start, i);
    *rest = str_sub(*rest, i, rest->n);
    return word->n > 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One escape at s[0] == '\\'. Returns the bytes it takes, 0 when it is none. */
static size_t escape_read(struct str s, char *out)
{
    static const char names[] = "rnt0\"\\", values[] = "\r\n\t\0\"\\";
    if (s.n < 2)
        return 0;
    if (s.p[1] == 'x' && s.n >= 4 && hex_digit(s.p[2]) >= 0 && hex_digit(s.p[3]) >= 0) {
        *out = (char)(hex_digit(s.p[2]) * 16 + hex_digit(s.p[3]));
        return 4;
    }
    const char *at = s.p[1] ? strchr(names, s.p[1]) : NULL;
    if (!at)
        return 0;
    *out = values[at - names];
    return 2;
}

bool quoted_parse(struct str *rest, struct arena *arena, struct str *out)
{
    struct str s = str_trim(*rest);
    if (s.n < 2 || s.p[0] != '"')
        return false;
    char *to = arena_alloc(arena, s.n);
    size_t n = 0, i = 1;
    while (i < s.n && s.p[i] != '"') {
        size_t used = 1;
        if (s.p[i] == '\\')
            used = escape_read(str_sub(s, i, s.n), &to[n]);
        else
            to[n] = s.p[i];
        if (used == 0)
            return false;
        i += used;
        n++;
    }
    if (i == s.n)
        return false;
    *out = (struct str){to, n};
    *rest = str_sub(s, i + 1, s.n);
    return true;
}

bool pattern_match(struct str pattern, struct str s)
{
    return str_stars(pattern, s);
}

/* --- policies --------------------------------------------------------------------------------------------------------------- */

struct block_reader { /* gives the block once, in the place of the file that it stands in; all else from the file system */
    struct source_reader reader;
    const char *path;
    struct str text;
    bool given;
};

static struct source *block_read(struct source_reader *r, const char *path, const char **error)
{
    struct block_reader *b = (struct block_reader *)(void *)r;
    if (b->given || strcmp(path, b->path) != 0)
        return source_files.read(&source_files, path, error);
    b->given = true;
    return source_new(path, b->text);
}

/* A shipped policy is looked for from the transcript's directory upwards (policy/NAME.policy), then where it is installed. */
static char *shipped_path(const char *from, struct str name)
{
    struct buf path = {0};
    const char *slash = strrchr(from, '/');
    buf_put(&path, from, slash ? (size_t)(slash - from) + 1 : 0);
    size_t directory = path.n;
    for (int up = 0; up < 8; up++) {
        path.n = directory;
        for (int i = 0; i < up; i++)
            buf_cstr(&path, "../");
        buf_printf(&path, "policy/%.*s.policy", STR_ARG(name));
        buf_char(&path, '\0');
        if (access(path.p, R_OK) == 0)
            return path.p;
    }
    buf_clear(&path);
    buf_printf(&path, "%s/policy/%.*s.policy", POSTERN_DATA_DIRECTORY, STR_ARG(name));
    return buf_steal(&path);
}

struct policy *script_policy(const struct source *source, struct str name, const struct str *body, unsigned body_line,
                             const struct settings *settings, struct diags *diags)
{
    struct block_reader block = {.reader = {block_read}, .path = source->name};
    struct policy_input input = {&block.reader, settings->domains, settings->domain_count, settings->help};
    struct buf text = {0};
    char *path = NULL;
    if (body) {
        for (unsigned i = 1; i < body_line; i++) /* so that complaints name the lines of this file */
            buf_char(&text, '\n');
        buf_str(&text, *body);
        block.text = buf_view(&text);
        path = xstrndup(source->name, strlen(source->name));
    } else {
        block.given = true;
        char *given = xstrndup(name.p, name.n);
        path = str_find(name, '/', 0) < name.n || str_find(name, '.', 0) < name.n ? source_path(source->name, given)
                                                                                    : shipped_path(source->name, name);
        free(given);
    }
    struct policy *p = policy_load(path, &input, diags);
    free(path);
    buf_free(&text);
    return p;
}

void script_free(struct script **script)
{
    struct script *s = *script;
    if (!s)
        return;
    for (size_t i = 0; i < s->policy_count; i++)
        policy_unref(&s->policies[i]);
    settings_clear(&s->settings);
    contexts_free(&s->contexts);
    map_free(&s->judged, NULL);
    authority_clear(&s->authority);
    arena_clear(&s->arena);
    free(s->steps);
    free(s->policies);
    source_free(&s->source);
    free(s);
    *script = NULL;
}
