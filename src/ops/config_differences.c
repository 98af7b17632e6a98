/*
 * config_differences.c - in which settings two configurations differ: what a reload cannot change, by name. The files that settings name are not
 * looked into.
 */
#include "config_table.h"
#include "postern/ops/config.h"

static bool same(const struct setting_row *row, const void *a, const void *b)
{
    switch (row->type) {
    case SETTING_BOOL: return *(const bool *)a == *(const bool *)b;
    case SETTING_ONE_OF: return *(const unsigned *)a == *(const unsigned *)b;
    case SETTING_TEXT:
    case SETTING_PATH: return str_eq(*(const struct str *)a, *(const struct str *)b);
    case SETTING_COUNT:
    case SETTING_SIZE:
    case SETTING_DURATION:
    case SETTING_MANY: return *(const uint64_t *)a == *(const uint64_t *)b;
    }
    return false;
}

bool config_differences(const struct settings *a, const struct settings *b, struct buf *names)
{
    bool any = false;
    for (size_t i = 0; i < setting_row_count; i++) {
        const struct setting_row *row = &setting_rows[i];
        if (same(row, (const char *)a + row->offset, (const char *)b + row->offset))
            continue;
        if (any)
            buf_cstr(names, ", ");
        buf_cstr(names, row->name);
        any = true;
    }
    return any;
}
