/* source_tree.h - files of the source tree, which POSTERN_SOURCE names (else this directory): as text, and tables in them that are made by the code. */
#ifndef TESTS_SOURCE_TREE_H
#define TESTS_SOURCE_TREE_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/base/str.h"

/* A whole file as a string, to be freed. */
static inline char *read_text(const char *path)
{
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s (POSTERN_SOURCE names the source tree)", path);
    struct buf text = {0};
    size_t n;
    while ((n = fread(buf_room(&text, 65536), 1, 65536, f)) > 0)
        text.n += n;
    fclose(f);
    return buf_steal(&text);
}

static inline void tree_path(const char *name, char out[4096])
{
    const char *source = getenv("POSTERN_SOURCE");
    snprintf(out, 4096, "%s/%s", source ? source : ".", name);
}

static inline char *read_from_tree(const char *name)
{
    char path[4096];
    tree_path(name, path);
    return read_text(path);
}

/* What stands in policy/README.md between <!-- TABLE --> and <!-- end of TABLE --> is what `write` writes. */
static inline void same_table(const char *table, void (*write)(struct buf *out))
{
    char *readme = read_from_tree("policy/README.md"), begin[64], end[64];
    struct buf want = {0};
    snprintf(begin, sizeof begin, "<!-- %s -->\n", table);
    snprintf(end, sizeof end, "<!-- end of %s -->\n", table);
    const char *from = strstr(readme, begin), *to = strstr(readme, end);
    cr_assert(from && to && from < to, "markers in policy/README.md");
    from += strlen(begin);
    write(&want);
    struct str have = {from, (size_t)(to - from)};
    cr_expect(str_eq(have, buf_view(&want)), "policy/README.md is behind; between '%s' and its end there should be:\n%.*s", begin,
              STR_ARG(buf_view(&want)));
    buf_free(&want);
    free(readme);
}

#endif
