/*
 * rulings.c - whom the administrator allowed or denied (`postern grey allow`), as keys of the store: networks, and domains.
 *
 * The first key that is there holds, so the order is that of precision: the client's networks, narrowest first, as they are;
 * then domains, each before those above it, for a domain stands for all below it. There may be sixty keys to look for, and
 * mostly there is no ruling at all: so an operation says whom it is about, and keys are made only where there are rulings.
 */
#include <string.h>

#include "operate.h"

enum { LABELS = 8, DOMAIN_MAX = 255 };

/* The lengths of networks that are looked up; others cannot be ruled on. */
static bool is_looked_up(const struct prefix *p)
{
    return p->addr.family == 4 ? p->bits >= 8 : p->bits == 128 || (p->bits >= 32 && p->bits <= 64 && p->bits % 8 == 0);
}

struct str store_ruling_on_network(struct arena *arena, const struct prefix *network)
{
    char text[4 + PREFIX_TEXT] = "net ";
    if (!is_looked_up(network))
        return STR_NONE;
    prefix_format(network, text + 4);
    return arena_str(arena, str_of(text));
}

struct str store_ruling_on_domain(struct arena *arena, struct str domain)
{
    return arena_printf(arena, "domain %.*s", STR_ARG(arena_lower(arena, domain)));
}

static void add(struct rulings *out, struct str key)
{
    for (size_t i = 0; i < out->count; i++) {
        if (str_eq(out->keys[i], key))
            return;
    }
    if (key.n && out->count < RULINGS_MAX)
        out->keys[out->count++] = key;
}

void rulings_of(const struct store_operation *op, struct arena *arena, struct rulings *out)
{
    out->count = 0;
    for (unsigned bits = op->ruled_client.family == 4 ? 32 : op->ruled_client.family == 6 ? 128 : 0; bits >= 8; bits--) {
        struct prefix network = addr_network(&op->ruled_client, bits < 32 ? bits : 32, bits);
        add(out, store_ruling_on_network(arena, &network));
    }
    for (size_t i = 0; i < op->ruled_domain_count; i++) {
        struct str domain = op->ruled_domains[i];
        for (int label = 0; domain.n && domain.n <= DOMAIN_MAX && label < LABELS; label++) {
            add(out, store_ruling_on_domain(arena, domain));
            domain = str_sub(domain, str_find(domain, '.', 0) + 1, domain.n);
        }
    }
}
