/*
 * greylist_rulings.c - whom the administrator allowed or denied (`postern grey allow`), as keys of the store: networks, and domains.
 *
 * The first key that is there holds, so the order is that of precision: the client's networks, narrowest first, as they are; then domains,
 * each with all above it, for a domain stands for all below it. A domain counts only for whom it has authenticated: anybody may write it
 * into MAIL FROM. At stage rcpt SPF alone can tell; in stage data the domains for which DKIM passes follow.
 */
#include <string.h>

#include "internal.h"

/* The lengths of networks that are looked up; others cannot be ruled on. */
static bool is_looked_up(const struct prefix *p)
{
    return p->addr.family == 4 ? p->bits >= 8 : p->bits == 128 || (p->bits >= 32 && p->bits <= 64 && p->bits % 8 == 0);
}

static struct str network_key(struct arena *arena, const struct prefix *network)
{
    char text[4 + PREFIX_TEXT] = "net ";

    prefix_format(network, text + 4);
    return arena_str(arena, str_of(text));
}

struct str greylist_ruling_key(struct arena *arena, struct str whom)
{
    struct prefix network;

    if (prefix_parse(whom, &network))
        return is_looked_up(&network) ? network_key(arena, &network) : STR_NONE;
    return domain_valid(whom) ? arena_printf(arena, "domain %.*s", STR_ARG(arena_lower(arena, whom))) : STR_NONE;
}

void greylist_rule_by_address(struct arena *arena, const struct addr *client, struct greylist_rulings *out)
{
    for (unsigned bits = client->family == 4 ? 32 : 128; bits >= 8; bits--) {
        struct prefix network = addr_network(client, bits < 32 ? bits : 32, bits);
        if (is_looked_up(&network))
            out->keys[out->count++] = network_key(arena, &network);
    }
}

static bool is_there(const struct greylist_rulings *rulings, struct str key)
{
    for (size_t i = 0; i < rulings->count; i++)
        if (str_eq(rulings->keys[i], key))
            return true;
    return false;
}

void greylist_rule_by_domain(struct arena *arena, struct str domain, struct greylist_rulings *out)
{
    enum { LABELS = 8 };

    for (int i = 0; domain.n && i < LABELS && out->count < GREYLIST_RULINGS_MAX; i++) {
        struct str key = arena_printf(arena, "domain %.*s", STR_ARG(arena_lower(arena, domain)));
        size_t dot = str_find(domain, '.', 0);
        if (!is_there(out, key))
            out->keys[out->count++] = key;
        domain = str_sub(domain, dot + 1, domain.n);
    }
}

void greylist_rulings_of(struct scope *recipient, struct arena *arena, struct greylist_rulings *out)
{
    const struct greylist_keys *keys = greylist_keys_of(recipient);

    greylist_rule_by_address(arena, scope_client(recipient), out);
    if (keys)
        greylist_rule_by_domain(arena, keys->domain, out);
}
