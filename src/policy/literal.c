/*
 * literal.c - values as they stand in a condition, read as their fact's type wants them: 30s, 10M, 127.0.0.2-127.0.0.9, nxdomain.
 *
 * A number or range has the unit of its fact, a word is one that its fact knows, a name in dnsbl.listed is a declared list: a slip
 * there would never be noticed. What cannot be read is complained of here, with what was expected.
 */
#include "loader.h"

#include <string.h>

#include "postern/base/codec.h"

static const char *const value_says[] = {"yes or no", "a number", "a size such as 64K or 10M", "a duration such as 30s or 5m", "a word",
                                         "a text", "an address", "an address, prefix or range", "a name"};

void literal_wrong(struct loader *l, const struct literal *v, enum fact_type type, const char *hint)
{
    COMPLAIN(l, WRONG_VALUE, v->span, hint, STR_ARG(v->text), value_says[type]);
}

/* A number in the notation of the type. */
static bool read_number(enum fact_type type, struct str s, int64_t *out)
{
    uint64_t n;
    bool negative = type == FACT_INT && s.n && s.p[0] == '-';
    if (type == FACT_SIZE || type == FACT_DURATION) {
        if (!(type == FACT_SIZE ? size_parse(s, &n) : duration_parse(s, &n)) || n > INT64_MAX)
            return false;
    } else if (!str_to_u64(negative ? str_sub(s, 1, s.n) : s, INT64_MAX, &n)) {
        return false;
    }
    *out = negative ? -(int64_t)n : (int64_t)n;
    return true;
}

bool literal_number(struct loader *l, const struct literal *v, enum fact_type type, int64_t *out)
{
    if (read_number(type, v->text, out))
        return true;
    literal_wrong(l, v, type, NULL);
    return false;
}

bool literal_numbers(struct loader *l, const struct literal *v, enum fact_type type, struct number_range *out)
{
    if (read_number(type, v->text, &out->first)) {
        out->last = out->first;
        return true;
    }
    size_t dash = str_find(v->text, '-', 1);
    if (dash == v->text.n || !read_number(type, str_sub(v->text, 0, dash), &out->first) ||
        !read_number(type, str_sub(v->text, dash + 1, v->text.n), &out->last)) {
        literal_wrong(l, v, type, type == FACT_DURATION || type == FACT_SIZE ? "numbers here have a unit" : NULL);
        return false;
    }
    if (out->first <= out->last)
        return true;
    COMPLAIN(l, EMPTY_RANGE, v->span, NULL, STR_ARG(v->text));
    return false;
}

static struct addr last_of(const struct prefix *p)
{
    struct addr a = p->addr;
    for (unsigned bit = p->bits; bit < (a.family == 4 ? 32 : 128); bit++)
        a.b[bit / 8] |= (uint8_t)(0x80 >> (bit % 8));
    return a;
}

bool literal_addrs(struct str s, struct addr_range *out)
{
    struct prefix prefix;
    if (addr_range_parse(s, out))
        return true;
    if (!prefix_parse(s, &prefix))
        return false;
    out->first = prefix.addr;
    out->last = last_of(&prefix);
    return true;
}

static bool is_word_of(struct loader *l, const struct fact_info *info, const struct literal *v, struct str word)
{
    if (info->type != FACT_WORD || fact_has_word(info, word))
        return true;
    struct str words[32], rest = info->values, all = info->values;
    size_t count = 0;
    while (count < 32 && str_split(&rest, ' ', &words[count]))
        count++;
    const char *otherwise = arena_cstr(&l->scratch, arena_printf(&l->scratch, "its values: %.*s", STR_ARG(all)));
    COMPLAIN(l, UNKNOWN_WORD, v->span, hint_meant(l, str_suggest(v->text, words, count), otherwise), STR_ARG(v->text), STR_ARG(info->name));
    return false;
}

/* dnsbl.listed and dnswl.listed hold declared names only. */
static bool is_listed_name(struct loader *l, int fact, const struct literal *v)
{
    const struct policy *p = l->policy;
    if (fact != FACT_DNSBL_LISTED && fact != FACT_DNSWL_LISTED)
        return true;
    enum declaration_kind kind = fact == FACT_DNSBL_LISTED ? DECLARE_DNSBL : DECLARE_DNSWL;
    struct str *names = arena_alloc(&l->scratch, (p->declaration_count + 1) * sizeof(*names));
    size_t count = 0;
    for (size_t i = 0; i < p->declaration_count; i++) {
        if (p->declarations[i].kind == kind && str_eq_nocase(p->declarations[i].name, v->text))
            return true;
        if (p->declarations[i].kind == kind)
            names[count++] = p->declarations[i].name;
    }
    COMPLAIN(l, UNKNOWN_LISTED, v->span, hint_meant(l, str_suggest(v->text, names, count), NULL), STR_ARG(v->text),
             kind == DECLARE_DNSBL ? "dnsbl" : "dnswl");
    return false;
}

/* A glob is compared like any other text, which nobody means who leaves out the quotes. */
static void warn_of_glob(struct loader *l, const struct literal *v, const struct fact_info *info)
{
    if (info->type == FACT_TEXT && !v->quoted && str_find(v->text, '*', 0) < v->text.n)
        diag_add(l->diags, DIAG_WARNING, v->span, "for a glob write 'like'; for the character itself put the text in quotes", MSG_GLOB_COMPARED,
                 STR_ARG(v->text));
}

bool literal_word(struct loader *l, const struct literal *v, const struct fact_info *info, int fact, struct str *out)
{
    *out = arena_lower(l->arena, v->text);
    warn_of_glob(l, v, info);
    return is_word_of(l, info, v, *out) && is_listed_name(l, fact, v);
}
