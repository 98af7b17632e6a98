/* The arena: alignment, growth, accounting. */
#include "postern/base/arena.h"

#include <criterion/criterion.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

Test(arena, empty_holds_nothing)
{
    struct arena a = {0};
    arena_clear(&a);
    cr_assert_null(a.blocks);
    cr_assert_eq(a.used, 0);
}

Test(arena, every_piece_is_aligned_and_apart)
{
    enum { N = 2000 };
    static unsigned char *pieces[N];
    struct arena a = {0};
    size_t sum = 0;
    for (size_t i = 0; i < N; i++) {
        size_t n = i * 7 % 301;
        pieces[i] = arena_alloc(&a, n);
        cr_assert_eq((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
        memset(pieces[i], (int)(i % 251), n);
        sum += n;
    }
    cr_assert_eq(a.used, sum);
    for (size_t i = 0; i < N; i++) {
        for (size_t k = 0; k < i * 7 % 301; k++)
            cr_assert_eq(pieces[i][k], i % 251, "piece %zu was overwritten", i);
    }
    arena_clear(&a);
    cr_assert_eq(a.used, 0);
    cr_assert_null(a.next);
    cr_assert_not_null(arena_alloc(&a, 1)); /* usable again */
    arena_clear(&a);
}

Test(arena, large_pieces_do_not_waste_the_open_block)
{
    struct arena a = {0};
    char *first = arena_alloc(&a, 16);
    char *large = arena_alloc(&a, 1000000);
    char *next = arena_alloc(&a, 16);
    memset(large, 1, 1000000);
    cr_assert(next > first && next - first < 512, "the first block is still being filled");
    arena_clear(&a);
}

Test(arena, zeroed)
{
    struct arena a = {0};
    for (size_t n = 0; n < 3000; n += 37) {
        char *p = arena_zalloc(&a, n);
        for (size_t i = 0; i < n; i++)
            cr_assert_eq(p[i], 0);
        memset(p, 0xff, n);
    }
    arena_clear(&a);
}

Test(arena, copies_end_in_nul)
{
    struct arena a = {0};
    struct str s = arena_str(&a, STR("a\0b"));
    cr_assert(str_eq(s, STR("a\0b")));
    cr_assert_eq(s.p[3], '\0');
    cr_assert_str_eq(arena_cstr(&a, STR_NONE), "");
    cr_assert_not_null(arena_str(&a, STR_NONE).p);
    struct str low = arena_lower(&a, STR("Mail.EXAMPLE\xc4"));
    cr_assert(str_eq(low, STR("mail.example\xc4")));
    cr_assert_eq(low.p[low.n], '\0');
    struct str line = arena_printf(&a, "%s=%d", "x", 42);
    cr_assert(str_eq(line, STR("x=42")));
    cr_assert_eq(line.p[4], '\0');
    cr_assert_eq(arena_printf(&a, "%5000d", 1).n, 5000);
    for (int width = 250; width < 260; width++) { /* around what is formatted at one go */
        struct str wide = arena_printf(&a, "%*d", width, 7);
        cr_assert_eq(wide.n, (size_t)width);
        cr_assert(wide.p[0] == ' ' && wide.p[width - 1] == '7' && wide.p[width] == '\0', "%d", width);
    }
    arena_clear(&a);
}

Test(arena, lent_memory_is_filled_first_and_never_freed)
{
    enum { LENT = 256 };
    struct arena a = {0};
    char *lent = xmalloc(LENT);
    arena_lend(&a, lent, LENT);
    char *first = arena_alloc(&a, 16), *large = arena_alloc(&a, 4000), *second = arena_alloc(&a, 16), *after = arena_alloc(&a, 300);
    cr_assert_eq((void *)first, (void *)lent);
    cr_assert(second > first && second + 16 <= lent + LENT, "a large piece does not end the filling of what was lent");
    cr_assert(large < lent || large >= lent + LENT);
    cr_assert(after < lent || after >= lent + LENT);
    memset(first, 1, 16);
    memset(large, 2, 4000);
    memset(second, 3, 16);
    memset(after, 4, 300);
    cr_assert(first[15] == 1 && second[0] == 3 && large[3999] == 2);
    cr_assert_eq(a.used, 16 + 4000 + 16 + 300);
    arena_clear(&a);
    cr_assert_null(a.next);
    first = arena_alloc(&a, 16);
    cr_assert(first < lent || first >= lent + LENT, "it was lent once");
    arena_clear(&a);
    free(lent);
}
