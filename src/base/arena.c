/*
 * arena.c - a list of blocks, filled from the newest.
 *
 * The first block is small (an idle session costs little), each next one twice as large up to BLOCK_MAX. What does not fit a
 * block of the next size gets one of its own; such a block goes behind the newest when the newest still has more room. Lent memory is
 * filled like a first block, but not on the list. Under AddressSanitizer the bytes that were not handed out are poisoned, with a gap between two allocations.
 */
#include "postern/base/arena.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
enum { GAP = 16 };
#define HIDE(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define SHOW(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
enum { GAP = 0 };
#define HIDE(p, n) ((void)(p), (void)(n))
#define SHOW(p, n) ((void)(p), (void)(n))
#endif

enum { ALIGN = _Alignof(max_align_t), BLOCK_FIRST = 368, BLOCK_MAX = 16384 };

struct arena_block {
    struct arena_block *older;
    size_t n; /* bytes in data */
    max_align_t data[];
};

static struct arena_block *block_new(size_t n)
{
    struct arena_block *block = xmalloc(sizeof *block + n);
    block->older = NULL;
    block->n = n;
    HIDE(block->data, n);
    return block;
}

/* A block for `need` bytes (a multiple of ALIGN); returns where they lie. */
static char *take_new_block(struct arena *a, size_t need)
{
    size_t n = !a->blocks ? BLOCK_FIRST : a->blocks->n >= BLOCK_MAX / 2 ? BLOCK_MAX : a->blocks->n * 2;
    struct arena_block *block = block_new(need > n ? need : n);
    char *at = (char *)block->data;
    if (block->n - need < a->left) {
        struct arena_block **behind = a->blocks ? &a->blocks->older : &a->blocks;
        block->older = *behind;
        *behind = block;
        return at;
    }
    block->older = a->blocks;
    a->blocks = block;
    a->next = at + need;
    a->left = block->n - need;
    return at;
}

void arena_lend(struct arena *a, void *memory, size_t n)
{
    assert(!a->blocks && !a->next && (uintptr_t)memory % ALIGN == 0);
    a->next = memory;
    a->left = n;
    HIDE(memory, n);
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > SIZE_MAX / 2) {
        fputs("postern: out of memory\n", stderr);
        abort();
    }
    size_t need = (n + GAP + ALIGN - 1) / ALIGN * ALIGN;
    char *at;
    if (need <= a->left && a->next) {
        at = a->next;
        a->next += need;
        a->left -= need;
    } else {
        at = take_new_block(a, need);
    }
    a->used += n;
    SHOW(at, n);
    return at;
}

void *arena_zalloc(struct arena *a, size_t n)
{
    return memset(arena_alloc(a, n), 0, n);
}

char *arena_cstr(struct arena *a, struct str s)
{
    char *copy = arena_alloc(a, s.n + 1);
    if (s.n > 0)
        memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    return copy;
}

struct str arena_str(struct arena *a, struct str s)
{
    return (struct str){arena_cstr(a, s), s.n};
}

struct str arena_lower(struct arena *a, struct str s)
{
    char *copy = arena_cstr(a, s);
    for (size_t i = 0; i < s.n; i++)
        copy[i] = ascii_lower(copy[i]);
    return (struct str){copy, s.n};
}

/* Most texts are short: they are formatted once and copied, which is cheaper than measuring them by formatting them twice. */
struct str arena_printf(struct arena *a, const char *format, ...)
{
    va_list args, again;
    char small[256];
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (n < 0)
        abort();
    char *text = arena_alloc(a, (size_t)n + 1);
    if ((size_t)n < sizeof small)
        memcpy(text, small, (size_t)n + 1);
    else
        vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return (struct str){text, (size_t)n};
}

void arena_clear(struct arena *a)
{
    struct arena_block *block = a->blocks;
    while (block) {
        struct arena_block *older = block->older;
        SHOW(block->data, block->n);
        free(block);
        block = older;
    }
    *a = (struct arena){0};
}
