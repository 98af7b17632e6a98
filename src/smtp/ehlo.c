/*
 * ehlo.c - the list of service extensions in an EHLO reply (RFC 5321 4.1.1.1), read and written.
 */
#include "postern/smtp/ehlo.h"

static const char *const extension_names[EXT_COUNT] = {
#define X(id, name) name,
    EXTENSIONS(X)
#undef X
};

/* One ehlo-line: keyword, then parameters behind a space. "AUTH=LOGIN" is an old spelling that servers still send. */
static void read_line(struct str line, struct arena *arena, struct extensions *out)
{
    size_t end = 0;

    while (end < line.n && line.p[end] != ' ' && line.p[end] != '\t' && line.p[end] != '=')
        end++;
    struct str keyword = str_sub(line, 0, end), parameters = str_trim(str_sub(line, end + 1, line.n));

    for (int x = 0; x < EXT_COUNT; x++) {
        if (!str_eq_nocase(keyword, str_of(extension_names[x])))
            continue;
        out->set |= UINT32_C(1) << x;
        /* RFC 1870 3: no value and 0 both say that there is no fixed limit; of a bad one nothing is known. */
        if (x == EXT_SIZE && !str_to_u64(parameters, UINT64_MAX, &out->size_limit))
            out->size_limit = 0;
        if (x == EXT_XCLIENT)
            out->xclient = arena_str(arena, parameters);
        return;
    }
}

void ehlo_read(const struct reply *r, struct arena *arena, struct extensions *out)
{
    struct str rest = r->text, line;

    *out = (struct extensions){0};
    if (r->code != 250)
        return;
    for (bool first = true; str_split(&rest, '\n', &line); first = false) {
        if (!first)
            read_line(str_trim(line), arena, out);
    }
}

struct reply ehlo_write(struct arena *arena, struct str hostname, const struct extensions *e)
{
    struct buf text = {0};

    buf_str(&text, hostname);
    for (int x = 0; x < EXT_COUNT; x++) {
        if (!ehlo_has(e, x))
            continue;
        buf_char(&text, '\n');
        buf_cstr(&text, extension_names[x]);
        if (x == EXT_SIZE) /* RFC 1870 3: 0 is no limit */
            buf_printf(&text, " %llu", (unsigned long long)e->size_limit);
        if (x == EXT_XCLIENT && e->xclient.n) {
            buf_char(&text, ' ');
            buf_str(&text, e->xclient);
        }
    }
    struct reply r = reply_make(arena, REPLY_HELLO, buf_view(&text));
    buf_free(&text);
    return r;
}
