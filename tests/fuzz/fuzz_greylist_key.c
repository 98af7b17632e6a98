/* rooms: checks smtp */
/*
 * The greylist's key from what strangers say. Five lines: the client's address, its host name, the name of HELO, the reverse-path, the
 * forward-path; what is missing is empty. Each part of the key is in its own alphabet, so that none can be taken for two, and no key is too
 * long for a store; what does not count (case, the digits of a number) changes nothing.
 */
#include "must.h"

#include <string.h>

#include "postern/checks/check.h"

/* A part of the name, from a label's beginning to its end; the same whatever the case. */
static void organizations(struct str name, struct arena *arena)
{
    struct str o = greylist_organization(name), lower = greylist_organization(arena_lower(arena, name));
    must(o.n <= name.n && (o.n == 0 || o.p + o.n == name.p + name.n));
    must(o.n == name.n || o.n == 0 || o.p[-1] == '.');
    must(o.n == lower.n);
    if (o.n > 0 && o.n < name.n)
        must(greylist_organization(o).n == o.n);
}

/* A number has other digits in the next message. Within tokens that also hold letters it may make a difference what is hexadecimal. */
static struct str renumbered(struct arena *arena, struct str s)
{
    char *p = arena_alloc(arena, s.n + 1);
    for (size_t i = 0; i < s.n; i++)
        p[i] = s.p[i] >= '0' && s.p[i] <= '9' ? (char)('0' + ('9' - s.p[i])) : s.p[i];
    return (struct str){p, s.n};
}

static struct str senders(const struct path *from, struct str helo, struct arena *arena)
{
    struct str key = greylist_sender(arena, from, helo);
    for (size_t i = 0; i < key.n; i++)
        must(!(key.p[i] >= 'A' && key.p[i] <= 'Z') && (from->null || key.p[i] != ' '));
    if (from->null) {
        must(str_starts(key, STR("<>")) && key.n == 2 + helo.n);
        return key;
    }
    must(key.n > from->domain.n && str_eq_nocase(str_sub(key, key.n - from->domain.n, key.n), from->domain));
    must(key.p[key.n - from->domain.n - 1] == '@');
    struct path other = *from;
    other.local = renumbered(arena, from->local);
    bool tagged = memchr(from->local.p, '=', from->local.n) || str_starts_nocase(from->local, STR("srs"));
    must(tagged || str_eq(greylist_sender(arena, &other, helo), key));
    return key;
}

static void ruling(struct str whom, struct arena *arena)
{
    struct str key = greylist_ruling_key(arena, whom);
    must(!key.n || str_starts(key, STR("net ")) || str_starts(key, STR("domain ")));
    must(key.n <= STORE_KEY_MAX);
    if (key.n)
        must(str_eq(greylist_ruling_key(arena, str_sub(key, str_find(key, ' ', 0) + 1, key.n)), key));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    struct str rest = {(const char *)data, size}, lines[5] = {STR(""), STR(""), STR(""), STR(""), STR("")};
    struct addr client;
    struct path from, to;
    if (size > 4096)
        return 0;
    for (size_t i = 0; i < 5 && str_split(&rest, '\n', &lines[i]);)
        i++;
    if (!addr_parse(lines[0], &client))
        addr_parse(STR("203.0.113.9"), &client);
    organizations(lines[1], &arena);
    bool pool = greylist_pool_name(&arena, lines[1], &client);
    must(pool == greylist_pool_name(&arena, arena_lower(&arena, lines[1]), &client));
    struct str who = greylist_who(&arena, &client, STR_NONE, lines[1]);
    must(!pool || memchr(who.p, '/', who.n));
    ruling(lines[1], &arena);
    if (path_parse(lines[3], true, true, &arena, &from)) {
        struct str sender = senders(&from, lines[2], &arena);
        if (path_parse(lines[4], false, true, &arena, &to))
            must(greylist_key(&arena, who, sender, to.whole).n <= STORE_KEY_MAX);
    }
    arena_clear(&arena);
    return 0;
}
