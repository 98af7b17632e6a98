/*
 * prefix_set.c - a set of prefixes as two binary tries (IPv4, IPv6), nodes in one array.
 *
 * A lookup walks at most 32 or 128 nodes and stops at the first prefix it meets: in a set, the shortest match answers as well
 * as the longest. Nodes are numbers into the array, so that growing moves nothing that is pointed at; number 0 is "no child".
 */
#include "postern/base/addr.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct node {
    uint32_t child[2];
    bool end; /* a prefix of the set ends here */
};

enum { ROOT_V4 = 1, ROOT_V6 = 2, FIRST_FREE = 3 };

struct prefix_set {
    struct node *nodes;
    size_t n, cap;
    size_t count; /* different prefixes */
};

struct prefix_set *prefix_set_new(void)
{
    struct prefix_set *set = xcalloc(1, sizeof *set);
    set->cap = 16;
    set->nodes = xcalloc(set->cap, sizeof *set->nodes);
    set->n = FIRST_FREE;
    return set;
}

void prefix_set_free(struct prefix_set **set)
{
    if (!*set)
        return;
    free((*set)->nodes);
    free(*set);
    *set = NULL;
}

static uint32_t root_of(const struct addr *a)
{
    return a->family == 4 ? ROOT_V4 : ROOT_V6;
}

static unsigned bit_of(const struct addr *a, unsigned i)
{
    return a->b[i / 8] >> (7 - i % 8) & 1u;
}

static uint32_t node_new(struct prefix_set *set)
{
    if (set->n == set->cap) {
        assert(set->cap <= UINT32_MAX / 2);
        set->cap *= 2;
        set->nodes = xrealloc(set->nodes, set->cap * sizeof *set->nodes);
    }
    memset(&set->nodes[set->n], 0, sizeof *set->nodes);
    return (uint32_t)set->n++;
}

void prefix_set_add(struct prefix_set *set, const struct prefix *p)
{
    assert(p->addr.family == 4 || p->addr.family == 6);
    uint32_t at = root_of(&p->addr);
    for (unsigned i = 0; i < p->bits; i++) {
        unsigned bit = bit_of(&p->addr, i);
        uint32_t next = set->nodes[at].child[bit];
        if (next == 0) {
            next = node_new(set); /* may move the nodes */
            set->nodes[at].child[bit] = next;
        }
        at = next;
    }
    if (!set->nodes[at].end)
        set->count++;
    set->nodes[at].end = true;
}

bool prefix_set_has(const struct prefix_set *set, const struct addr *a)
{
    if (a->family != 4 && a->family != 6)
        return false;
    unsigned bits = a->family == 4 ? 32 : 128;
    uint32_t at = root_of(a);
    for (unsigned i = 0; at != 0; i++) {
        if (set->nodes[at].end)
            return true;
        if (i == bits)
            break;
        at = set->nodes[at].child[bit_of(a, i)];
    }
    return false;
}

size_t prefix_set_count(const struct prefix_set *set)
{
    return set->count;
}
