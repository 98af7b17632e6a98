/*
 * diag.c - complaints about a source, in text: the message, the source line, a caret under the place, a hint.
 *
 * The source line is shown without its indentation, two spaces from the left. What is not printable is shown escaped, tabs as
 * spaces, and a long line is cut around the caret; the caret line is built from the same cells, so that it always aligns.
 */
#include "postern/base/codec.h"
#include "postern/base/source.h"

#include <stdlib.h>
#include <string.h>

enum { SHOWN_BEFORE = 60, SHOWN_AFTER = 60, TAB_WIDTH = 4 }; /* bytes around the caret; columns */

/* Is the UTF-8 sequence s (2..4 bytes) one that a terminal obeys rather than shows: C1 controls, line and direction marks? */
static bool obeyed(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    if (s.n == 2)
        return p[0] == 0xc2 && p[1] < 0xa0;
    if (s.n != 3 || p[0] != 0xe2)
        return false;
    return (p[1] == 0x80 && (p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xa8 && p[2] <= 0xae))) ||
           (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9);
}

/* Shows the character at the front of s; *used becomes its bytes. Returns the columns it takes. */
static unsigned show(struct buf *out, struct str s, size_t *used)
{
    size_t n = utf8_step(s), before = out->n;
    if (s.p[0] == '\t') {
        *used = 1;
        for (int i = 0; i < TAB_WIDTH; i++)
            buf_char(out, ' ');
        return TAB_WIDTH;
    }
    if (n == 1 && s.p[0] >= 0x20 && s.p[0] != 0x7f) {
        *used = 1;
        buf_char(out, s.p[0]);
        return 1;
    }
    if (n > 1 && !obeyed(str_sub(s, 0, n))) {
        *used = n;
        buf_put(out, s.p, n);
        return 1;
    }
    *used = n > 0 ? n : 1;
    escape_text(out, str_sub(s, 0, *used));
    return (unsigned)(out->n - before);
}

/* Text of a message or hint: as show(), and newlines stay where `lines` says so. */
static void put_clean(struct buf *out, const char *text, bool lines)
{
    struct str s = str_of(text);
    while (s.n > 0) {
        size_t used = 1;
        if (s.p[0] == '\n' && lines)
            buf_char(out, '\n');
        else
            show(out, s, &used);
        s = str_sub(s, used, s.n);
    }
}

static struct str line_around(const struct source *s, size_t at)
{
    size_t start = at, end = at;
    while (start > 0 && s->text[start - 1] != '\n')
        start--;
    while (end < s->n && s->text[end] != '\n')
        end++;
    if (end > start && s->text[end - 1] == '\r' && end - 1 >= at)
        end--;
    return (struct str){s->text + start, end - start};
}

static bool continues(struct str s, size_t i)
{
    return i < s.n && ((unsigned char)s.p[i] & 0xc0) == 0x80;
}

/* The part of a line that is shown: without indentation, cut around the caret when it is long. */
struct window {
    size_t from, to;
    bool cut_front, cut_back;
};

static struct window choose_window(struct str line, size_t at)
{
    struct window w = {.to = line.n};
    while (w.from < at && (line.p[w.from] == ' ' || line.p[w.from] == '\t'))
        w.from++;
    if (line.n - w.from <= SHOWN_BEFORE + SHOWN_AFTER)
        return w;
    if (at - w.from > SHOWN_BEFORE) {
        w.from = at - SHOWN_BEFORE;
        w.cut_front = true;
    }
    for (int i = 0; i < 3 && w.cut_front && continues(line, w.from); i++)
        w.from++;
    if (line.n - at > SHOWN_AFTER) {
        w.to = at + SHOWN_AFTER;
        w.cut_back = true;
    }
    for (int i = 0; i < 3 && continues(line, w.to); i++)
        w.to++;
    return w;
}

/* A copy of the line without its secrets: what they are may be said on the lines before, which end in '\'. */
static char *line_shown(const struct source *s, struct str line)
{
    const char *start = line.p;
    while (start - s->text >= 2 && start[-1] == '\n') {
        const char *end = start - 2 > s->text && start[-2] == '\r' ? start - 3 : start - 2;
        if (*end != '\\')
            break;
        for (start = end; start > s->text && start[-1] != '\n'; start--)
            ;
    }
    size_t before = (size_t)(line.p - start);
    char *all = xstrndup(start, before + line.n);
    secret_hide(all, before + line.n);
    char *shown = xstrndup(all + before, line.n);
    free(all);
    return shown;
}

static void put_line_and_caret(struct buf *out, struct span where)
{
    size_t at = where.at < where.source->n ? where.at : where.source->n, used;
    struct str line = line_around(where.source, at);
    if (line.n == 0)
        return;
    at = (size_t)(where.source->text + at - line.p);
    char *shown = line_shown(where.source, line);
    line.p = shown;
    struct window w = choose_window(line, at);
    size_t end = where.n > w.to - at ? w.to : at + where.n; /* of the underlined part, on this line */
    struct buf caret = {0};
    buf_cstr(out, w.cut_front ? "  ..." : "  ");
    buf_cstr(&caret, w.cut_front ? "     " : "  ");
    for (size_t i = w.from; i < w.to; i += used) {
        unsigned columns = show(out, str_sub(line, i, line.n), &used);
        for (unsigned c = 0; (i < end || i == at) && c < columns; c++)
            buf_char(&caret, i < at ? ' ' : i == at && c == 0 ? '^' : '~');
    }
    if (at >= w.to)
        buf_char(&caret, '^');
    buf_cstr(out, w.cut_back ? "...\n" : "\n");
    buf_str(out, buf_view(&caret));
    buf_char(out, '\n');
    buf_free(&caret);
    free(shown);
}

static const char *const SEVERITY[] = {"error", "warning", "advice"};

static char *full_text(const struct diag *d, struct span where, const char *hint)
{
    struct buf out = {0};
    if (where.source) {
        put_clean(&out, where.source->name, false);
        buf_printf(&out, ":%u:%u: ", d->line, d->column);
    }
    buf_printf(&out, "%s: %s\n", SEVERITY[d->severity], d->message);
    if (where.source)
        put_line_and_caret(&out, where);
    if (hint) {
        put_clean(&out, hint, true);
        buf_char(&out, '\n');
    }
    return buf_steal(&out);
}

/* A place for one more: the next free one, or for an error that of the last complaint that is none (errors come first). */
static struct diag *place_for(struct diags *d, enum severity severity)
{
    if (d->count < DIAG_MAX)
        return &d->list[d->count++];
    if (severity != DIAG_ERROR)
        return NULL;
    for (size_t i = d->count; i-- > 0;) {
        if (d->list[i].severity == DIAG_ERROR)
            continue;
        free(d->list[i].text);
        free(d->list[i].message);
        memmove(&d->list[i], &d->list[i + 1], (d->count - i - 1) * sizeof d->list[0]);
        return &d->list[d->count - 1];
    }
    return NULL;
}

void diag_add(struct diags *d, enum severity severity, struct span where, const char *hint, const char *format, ...)
{
    d->errors += severity == DIAG_ERROR;
    d->warnings += severity == DIAG_WARNING;
    struct diag *diag = place_for(d, severity);
    if (!diag)
        return;
    struct buf raw = {0}, clean = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&raw, format, args);
    va_end(args);
    char *message = buf_steal(&raw);
    secret_hide_users(message, strlen(message));
    put_clean(&clean, message, false);
    free(message);
    *diag = (struct diag){.severity = severity, .message = buf_steal(&clean)};
    span_position(where, &diag->line, &diag->column);
    diag->text = full_text(diag, where, hint);
}

void diag_clear(struct diags *d)
{
    for (size_t i = 0; i < d->count; i++) {
        free(d->list[i].text);
        free(d->list[i].message);
    }
    *d = (struct diags){0};
}

static void put_rest(struct buf *out, size_t n, const char *what)
{
    if (n > 0)
        buf_printf(out, "%zu more %s%s\n", n, what, n == 1 ? "" : "s");
}

void diag_print(const struct diags *d, struct buf *out)
{
    size_t kept[3] = {0};
    for (size_t i = 0; i < d->count; i++) {
        buf_cstr(out, d->list[i].text);
        kept[d->list[i].severity]++;
    }
    put_rest(out, d->errors - kept[DIAG_ERROR], "error");
    put_rest(out, d->warnings - kept[DIAG_WARNING], "warning");
}
