/*
 * grey_whom.c - whom `postern grey` speaks of. Keys are those of checks/greylist_key.c ("WHO SENDER RECIPIENT", "WHO DOMAIN") and store/rulings.c
 * ("net PREFIX", "domain NAME"); WHO is a domain or a network.
 */
#include "grey_whom.h"

#include "postern/mail/from.h"

/* --- what a person wrote ------------------------------------------------------------------------------------------------------- */

bool grey_whom_parse(struct arena *arena, struct str text, struct grey_whom *out)
{
    *out = (struct grey_whom){0};
    if (!prefix_parse(text, &out->network)) {
        out->network.addr.family = 0;
        if (!domain_ascii(text, arena, &out->domain))
            return false;
    }
    out->ruling = out->network.addr.family ? store_ruling_on_network(arena, &out->network) : store_ruling_on_domain(arena, out->domain);
    return true;
}

/* "192.0.2.7/24": the network that was meant; false: it is none either. */
static bool meant_network(struct str text, struct prefix *out)
{
    size_t slash = str_find(text, '/', 0);
    uint64_t bits;
    struct addr a;

    if (slash == text.n || !addr_parse(str_sub(text, 0, slash), &a) || !str_to_u64(str_sub(text, slash + 1, text.n), a.family == 4 ? 32 : 128, &bits))
        return false;
    *out = addr_network(&a, (unsigned)bits, (unsigned)bits);
    return true;
}

struct str grey_whom_advice(struct arena *arena, struct str text)
{
    char network[PREFIX_TEXT];
    struct prefix meant;
    struct grey_whom w;
    size_t dots = str_starts(text, STR("*.")) ? 2 : str_starts(text, STR(".")) ? 1 : 0;

    if (meant_network(text, &meant) && grey_whom_parse(arena, str_of(prefix_format(&meant, network)), &w))
        return w.ruling.n ? arena_printf(arena, "there are bits set behind its length; did you mean %s?", network)
                          : STR("networks are IPv4 /8 to /32 and IPv6 /32, /40, /48, /56, /64 and /128");
    if (dots && grey_whom_parse(arena, str_sub(text, dots, text.n), &w) && w.domain.n)
        return arena_printf(arena, "write %.*s, which is the domain and all below it", STR_ARG(w.domain));
    if (str_find(text, '@', 0) < text.n)
        return STR("write an address of a client, a network or a domain; for mail addresses there are lists in the policy");
    return STR("write an address (203.0.113.9), a network (203.0.113.0/24) or a domain (bank.example)");
}

/* --- what in the store is of it ------------------------------------------------------------------------------------------------ */

static bool is_below(struct str name, struct str domain) /* or the same */
{
    return str_ends_nocase(name, domain) && (name.n == domain.n || name.p[name.n - domain.n - 1] == '.');
}

static bool overlap(const struct prefix *a, const struct prefix *b)
{
    return a->bits <= b->bits ? prefix_contains(a, &b->addr) : prefix_contains(b, &a->addr);
}

static bool has_name(const struct grey_whom *w, struct str name)
{
    struct prefix network;

    if (w->network.addr.family)
        return prefix_parse(name, &network) && overlap(&w->network, &network);
    return is_below(name, w->domain);
}

/* "a@sender.example", "<>client.example": the name behind. */
static struct str domain_of_sender(struct str sender)
{
    size_t at = sender.n;

    while (at > 0 && sender.p[at - 1] != '@' && sender.p[at - 1] != '>')
        at--;
    return str_sub(sender, at, sender.n);
}

bool grey_whom_has(const struct grey_whom *w, enum store_table table, struct str key)
{
    struct str rest = key, first, second;

    if (!str_split(&rest, ' ', &first) || !str_split(&rest, ' ', &second))
        return false;
    if (table == STORE_TABLE_RULINGS)
        return has_name(w, second) || (w->domain.n && str_eq(first, STR("domain")) && is_below(w->domain, second));
    return has_name(w, first) || (w->domain.n && is_below(table == STORE_TABLE_GREYLIST ? domain_of_sender(second) : second, w->domain));
}

size_t grey_whom_rulings(const struct grey_whom *w, struct arena *arena, struct str keys[GREY_RULINGS_MAX])
{
    size_t count = 0;

    for (unsigned bits = w->network.bits; w->network.addr.family && bits > 0; bits--) {
        struct prefix wider = addr_network(&w->network.addr, bits, bits);
        struct str key = store_ruling_on_network(arena, &wider);
        if (key.n)
            keys[count++] = key;
    }
    for (struct str name = w->domain; name.n && count < GREY_RULINGS_MAX; name = str_sub(name, str_find(name, '.', 0) + 1, name.n))
        keys[count++] = store_ruling_on_domain(arena, name);
    return count;
}

struct str grey_client_of(struct arena *arena, struct str row)
{
    struct str rest = row, who, sender;

    if (!str_split(&rest, ' ', &who) || !str_split(&rest, ' ', &sender) || str_starts(sender, STR("<>")))
        return STR_NONE;
    return arena_printf(arena, "%.*s %.*s", STR_ARG(who), STR_ARG(domain_of_sender(sender)));
}
