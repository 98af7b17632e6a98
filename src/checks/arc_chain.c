/*
 * arc_chain.c - sets of ARC fields put in their order, and what can be wrong with them before anything is verified (RFC 8617
 * 5.2).
 *
 * A chain has for each instance from 1 to N exactly one ARC-Authentication-Results, one ARC-Message-Signature and one
 * ARC-Seal; its first seal says cv=none, all others cv=pass. A field whose instance cannot be read is of no set, so the chain
 * is broken.
 */
#include "arc_chain.h"

#include <string.h>

#include "postern/mail/header.h"

static const char *const names[ARC_KINDS] = {"ARC-Authentication-Results", "ARC-Message-Signature", "ARC-Seal"};

enum arc_kind arc_kind_of(struct str name)
{
    enum arc_kind kind = ARC_RESULTS;

    while (kind < ARC_KINDS && !str_eq_nocase(name, str_of(names[kind])))
        kind++;
    return kind;
}

static bool read_instance(struct str digits, size_t *out)
{
    uint64_t n;

    if (!digits.n || digits.n > 2 || !str_to_u64(digits, ARC_SETS_MAX, &n) || n < 1)
        return false;
    *out = (size_t)n;
    return true;
}

/* White space and comments; false: a comment without its end. */
static bool skip_space(struct str s, size_t *at)
{
    unsigned depth = 0;

    for (; *at < s.n; ++*at) {
        char c = s.p[*at];
        if (depth && c == '\\')
            ++*at;
        else if (c == '(')
            depth++;
        else if (depth && c == ')')
            depth--;
        else if (!depth && c != ' ' && c != '\t' && c != '\r' && c != '\n')
            break;
    }
    return depth == 0;
}

static bool take(struct str s, size_t *at, char c)
{
    if (!skip_space(s, at) || *at >= s.n || s.p[*at] != c)
        return false;
    ++*at;
    return true;
}

/* "i=1; payload" (RFC 8617 4.1.1). */
static bool results_instance(struct str body, size_t *instance, struct str *payload)
{
    size_t at = 0;

    if (!take(body, &at, 'i') || !take(body, &at, '=') || !skip_space(body, &at))
        return false;
    size_t from = at;
    while (at < body.n && body.p[at] >= '0' && body.p[at] <= '9')
        at++;
    if (!read_instance(str_sub(body, from, at), instance) || !take(body, &at, ';'))
        return false;
    *payload = str_sub(body, at, body.n);
    return true;
}

static bool tagged_instance(struct str body, size_t *instance)
{
    struct tag_list tags;
    const char *why;

    if (body.n > DKIM_FIELD_MAX || !tag_list_parse(body, true, &tags, &why))
        return false;
    const struct tag *i = tag_find(&tags, "i");
    return i && read_instance(i->value, instance);
}

static bool put_field(const struct field_list *fields, size_t index, enum arc_kind kind, struct arc_chain *out, struct arena *arena,
                      struct str *reason)
{
    struct str body = field_body(field_list_get(fields, index)), payload = STR_NONE;
    size_t instance = 0;

    if (!(kind == ARC_RESULTS ? results_instance(body, &instance, &payload) : tagged_instance(body, &instance))) {
        *reason = arena_printf(arena, "%s without an instance", names[kind]);
        return false;
    }
    struct arc_set *set = &out->sets[instance - 1];
    if (set->there[kind]) {
        *reason = arena_printf(arena, "two %s of instance %zu", names[kind], instance);
        return false;
    }
    set->there[kind] = true;
    set->field[kind] = index;
    if (kind == ARC_RESULTS)
        set->payload = payload;
    if (instance > out->count)
        out->count = instance;
    return true;
}

static bool is_complete(const struct arc_chain *chain, struct arena *arena, struct str *reason)
{
    for (size_t i = 0; i < chain->count; i++) {
        for (size_t kind = 0; kind < ARC_KINDS; kind++) {
            if (chain->sets[i].there[kind])
                continue;
            *reason = arena_printf(arena, "no %s of instance %zu", names[kind], i + 1);
            return false;
        }
    }
    return true;
}

static bool read_seal(const struct field_list *fields, struct arc_set *set, size_t instance, uint64_t now, struct arena *arena,
                      struct str *reason)
{
    struct str why = STR_NONE;

    if (signature_read(SIGNATURE_SEAL, field_list_get(fields, set->field[ARC_SEAL]), now, arena, &set->seal, &why) != DKIM_NONE) {
        *reason = arena_printf(arena, "seal %zu: %.*s", instance, STR_ARG(why));
        return false;
    }
    if (!str_eq(set->seal.cv, instance == 1 ? STR("none") : STR("pass"))) {
        *reason = arena_printf(arena, "seal %zu says cv=%.*s", instance, STR_ARG(set->seal.cv));
        return false;
    }
    return true;
}

bool arc_chain_read(const struct field_list *fields, uint64_t now, struct arena *arena, struct arc_chain *out, struct str *reason)
{
    size_t seen[ARC_KINDS] = {0};
    struct str why = STR_NONE;

    out->count = 0;
    memset(out->sets, 0, sizeof out->sets);
    for (size_t i = 0; i < fields->count; i++) {
        enum arc_kind kind = arc_kind_of(field_list_name(fields, i));
        if (kind == ARC_KINDS)
            continue;
        out->count = out->count ? out->count : 1; /* there is a chain, good or bad */
        if (++seen[kind] > ARC_SETS_MAX) {
            *reason = arena_printf(arena, "more than %d sets", ARC_SETS_MAX);
            return false;
        }
        if (!put_field(fields, i, kind, out, arena, reason))
            return false;
    }
    if (!out->count)
        return false;
    if (!is_complete(out, arena, reason))
        return false;
    for (size_t i = out->count; i-- > 0;) /* the newest first: when it says fail that is the reason (step 2) */
        if (!read_seal(fields, &out->sets[i], i + 1, now, arena, reason))
            return false;
    struct str message = field_list_get(fields, out->sets[out->count - 1].field[ARC_MESSAGE]);
    if (signature_read(SIGNATURE_MESSAGE, message, now, arena, &out->message, &why) == DKIM_NONE)
        return true;
    *reason = arena_printf(arena, "message signature %zu: %.*s", out->count, STR_ARG(why));
    return false;
}
