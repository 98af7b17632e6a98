/*
 * tag_list.c - "v=1; a=rsa-sha256; d=example.com" (RFC 6376 3.2), strictly: a duplicate, a tag without a value, an octet that
 * the grammar has no place for make it no tag list at all. Linear in the text; at most TAGS_MAX tags.
 */
#include "postern/base/codec.h"
#include "signature.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_name(char c, bool first)
{
    char lower = ascii_lower(c);
    return (lower >= 'a' && lower <= 'z') || (!first && ((c >= '0' && c <= '9') || c == '_'));
}

static size_t skip_space(struct str text, size_t at)
{
    while (at < text.n && is_space(text.p[at]))
        at++;
    return at;
}

/* Octets of the character at `at` that may stand in a value; 0: none may. */
static size_t value_step(struct str text, size_t at, bool utf8)
{
    unsigned char c = (unsigned char)text.p[at];

    if (is_space(text.p[at]) || (c > 0x20 && c < 0x7f))
        return 1;
    return utf8 && c >= 0x80 ? utf8_step(str_sub(text, at, text.n)) : 0;
}

static const char *parse_tag(struct str text, size_t *at, bool utf8, struct tag *tag)
{
    size_t from = *at, end = from;

    while (end < text.n && is_name(text.p[end], end == from))
        end++;
    if (end == from)
        return "a tag without a name";
    tag->name = str_sub(text, from, end);
    end = skip_space(text, end);
    if (end == text.n || text.p[end] != '=')
        return "a tag without a value";
    tag->from = end + 1;
    for (end = tag->from; end < text.n && text.p[end] != ';';) {
        size_t step = value_step(text, end, utf8);
        if (!step)
            return "an octet that no tag may hold";
        end += step;
    }
    tag->to = end;
    size_t first = skip_space(text, tag->from), last = end;
    while (last > first && is_space(text.p[last - 1]))
        last--;
    tag->value = str_sub(text, first < last ? first : last, last);
    *at = end;
    return NULL;
}

bool tag_list_parse(struct str text, bool utf8, struct tag_list *out, const char **why)
{
    size_t at = skip_space(text, 0);

    out->count = 0;
    *why = "no tags";
    while (at < text.n) {
        if (out->count == TAGS_MAX) {
            *why = "too many tags";
            return false;
        }
        struct tag tag;
        *why = parse_tag(text, &at, utf8, &tag);
        if (*why)
            return false;
        for (size_t i = 0; i < out->count; i++) {
            if (str_eq(out->tags[i].name, tag.name)) {
                *why = "a tag that stands twice";
                return false;
            }
        }
        out->tags[out->count++] = tag;
        at = skip_space(text, at + 1);
    }
    return out->count > 0;
}

const struct tag *tag_find(const struct tag_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (str_eq(list->tags[i].name, str_of(name)))
            return &list->tags[i];
    return NULL;
}

bool tag_base64(struct str value, struct buf *out)
{
    struct buf packed = {0};
    char *p = buf_room(&packed, value.n + 1);

    for (size_t i = 0; i < value.n; i++)
        if (!is_space(value.p[i]))
            p[packed.n++] = value.p[i];
    bool good = packed.n && base64_decode(out, buf_view(&packed));
    buf_free(&packed);
    return good;
}
