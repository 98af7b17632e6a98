/*
 * greylist_rulings.c - whom the administrator allowed or denied (`postern grey allow`): what may be ruled on, and what speaks for a recipient's
 * client. How rulings are kept is the store's (store/rulings.c).
 *
 * Networks count as they are. A domain counts only for whom it has authenticated: anybody may write it into MAIL FROM. At stage rcpt SPF
 * alone can tell; in stage data the domains for which DKIM passes follow.
 */
#include "internal.h"

struct str greylist_ruling_key(struct arena *arena, struct str whom)
{
    struct prefix network;

    if (prefix_parse(whom, &network))
        return store_ruling_on_network(arena, &network);
    return domain_valid(whom) ? store_ruling_on_domain(arena, whom) : STR_NONE;
}

void greylist_ruled_by_domain(struct store_operation *op, struct str domains[STORE_RULED_DOMAINS_MAX], struct str domain)
{
    op->ruled_domains = domains;
    if (domain.n && op->ruled_domain_count < STORE_RULED_DOMAINS_MAX)
        domains[op->ruled_domain_count++] = domain;
}

void greylist_ruled(struct scope *recipient, struct store_operation *op, struct str domains[STORE_RULED_DOMAINS_MAX])
{
    const struct greylist_keys *keys = greylist_keys_of(recipient);

    op->ruled_client = *scope_client(recipient);
    op->ruled_domain_count = 0;
    if (keys)
        greylist_ruled_by_domain(op, domains, keys->domain);
}
