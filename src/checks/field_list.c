/*
 * field_list.c - the fields of a header, and which of them a signature names.
 *
 * h= may name a field several times: the first stands for the last such field of the header, the second for the one above, and
 * so on; a name too many stands for nothing (RFC 6376 5.4.2). Fields are sorted by name once for each selection, so that a
 * hostile h= over a hostile header costs no more than sorting.
 */
#include <stdlib.h>

#include "postern/mail/header.h"
#include "signature.h"

void field_list_add(struct field_list *l, struct str field)
{
    if (l->count == FIELDS_HELD_MAX) {
        l->overflowed = true;
        return;
    }
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 32;
        l->fields = xrealloc(l->fields, l->cap * sizeof *l->fields);
    }
    l->fields[l->count++] = (struct held_field){.at = l->text.n, .n = field.n, .name = field_name(field).n};
    buf_str(&l->text, field);
}

struct str field_list_get(const struct field_list *l, size_t i)
{
    return (struct str){l->text.p + l->fields[i].at, l->fields[i].n};
}

struct str field_list_name(const struct field_list *l, size_t i)
{
    return (struct str){l->text.p + l->fields[i].at, l->fields[i].name};
}

void field_list_free(struct field_list *l)
{
    buf_free(&l->text);
    free(l->fields);
    *l = (struct field_list){0};
}

static int compare_names(struct str a, struct str b)
{
    for (size_t i = 0; i < a.n && i < b.n; i++) {
        int difference = (unsigned char)ascii_lower(a.p[i]) - (unsigned char)ascii_lower(b.p[i]);
        if (difference)
            return difference;
    }
    return a.n < b.n ? -1 : a.n > b.n;
}

/* By name, the last of the header first. */
static int compare_fields(const void *a, const void *b, void *context)
{
    const struct field_list *l = context;
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    int order = compare_names(field_list_name(l, i), field_list_name(l, j));

    return order ? order : i < j ? 1 : i > j ? -1 : 0;
}

/* The first place in order whose field has this name or comes behind it. */
static size_t first_of(const struct field_list *l, const uint32_t *order, size_t count, struct str name)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare_names(field_list_name(l, order[middle]), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int32_t *field_list_select(const struct field_list *l, const struct signature *s, size_t skip, struct arena *arena)
{
    int32_t *selected = arena_alloc(arena, s->name_count * sizeof *selected + 1);
    uint32_t *order = xmalloc((l->count + 1) * sizeof *order);
    uint32_t *used = xcalloc(l->count + 1, sizeof *used); /* at the first place of each name: how many are taken */
    size_t count = 0;

    for (size_t i = 0; i < l->count; i++)
        if (i != skip && l->fields[i].name)
            order[count++] = (uint32_t)i;
    qsort_r(order, count, sizeof *order, compare_fields, (void *)l);
    for (size_t i = 0; i < s->name_count; i++) {
        size_t first = first_of(l, order, count, s->names[i]), at = first + used[first];
        bool there = at < count && compare_names(field_list_name(l, order[at]), s->names[i]) == 0;
        selected[i] = there ? (int32_t)order[at] : -1;
        used[first] += there;
    }
    free(order);
    free(used);
    return selected;
}

void signature_header_hash(const struct field_list *l, const struct signature *s, const int32_t *selected, uint8_t digest[32])
{
    EVP_MD_CTX *md = sha256_begin();

    for (size_t i = 0; i < s->name_count; i++)
        if (selected[i] >= 0)
            hash_field(md, s->relaxed_header, field_list_get(l, (size_t)selected[i]), 0, 0, true);
    hash_field(md, s->relaxed_header, s->field, s->b_from, s->b_to, false);
    sha256_end(&md, digest);
}
