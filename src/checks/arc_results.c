/*
 * arc_results.c - what ARC-Authentication-Results say of dmarc, spf and dkim (RFC 8601 2.2).
 *
 *     mx.example 1; spf=pass smtp.mailfrom=a.example; dkim=pass (good) header.d=a.example; dmarc=pass header.from=a.example
 *
 * Read by the grammar, comments nested and quoted strings included; one octet that has no place there, and nothing is believed.
 */
#include <string.h>

#include "postern/checks/arc.h"

enum { NEST_MAX = 16, RESULTS_MAX = 200 };

struct reader {
    struct str s;
    size_t at;
};

static bool at_end(const struct reader *r)
{
    return r->at >= r->s.n;
}

/* False: it has no end; r stays before it. */
static bool skip_comment(struct reader *r)
{
    size_t depth = 0, from = r->at;

    for (; !at_end(r); r->at++) {
        char c = r->s.p[r->at];
        if (c == '\\')
            r->at++;
        else if (c == '(' && ++depth > NEST_MAX)
            break;
        else if (c == ')' && --depth == 0) {
            r->at++;
            return true;
        }
    }
    r->at = from;
    return false;
}

static bool skip_space(struct reader *r)
{
    while (!at_end(r)) {
        char c = r->s.p[r->at];
        if (c == '(') {
            if (!skip_comment(r))
                return false;
        } else if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            r->at++;
        } else {
            break;
        }
    }
    return true;
}

static bool take(struct reader *r, char c)
{
    if (!skip_space(r) || at_end(r) || r->s.p[r->at] != c)
        return false;
    r->at++;
    return true;
}

static bool next_is(struct reader *r, char c)
{
    return skip_space(r) && !at_end(r) && r->s.p[r->at] == c;
}

/* Letters, digits and hyphens (RFC 5321 Keyword). */
static bool take_word(struct reader *r, struct str *out)
{
    if (!skip_space(r))
        return false;
    size_t from = r->at;
    while (!at_end(r)) {
        char c = ascii_lower(r->s.p[r->at]);
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            break;
        r->at++;
    }
    *out = str_sub(r->s, from, r->at);
    return out->n > 0;
}

/* A value: a quoted string, or whatever stands up to white space, a comment or ";" (an address, a domain, a token). */
static bool take_value(struct reader *r)
{
    bool quoted = false;

    if (!skip_space(r))
        return false;
    size_t from = r->at;
    for (; !at_end(r); r->at++) {
        unsigned char c = (unsigned char)r->s.p[r->at];
        if (quoted && c == '\\' && r->at + 1 < r->s.n) {
            r->at++;
            continue;
        }
        if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '(' || c == ';'))
            break;
        else if (c < ' ' && c != '\t' && c != '\r' && c != '\n')
            return false;
    }
    return !quoted && r->at > from;
}

/* The word of a list that this is; NULL: none. */
static const char *known(struct str word, const char *const *words)
{
    for (; *words; words++)
        if (str_eq_nocase(word, str_of(*words)))
            return *words;
    return NULL;
}

static const char *const dmarc_words[] = {"none", "pass", "fail", "temperror", "permerror", NULL};
static const char *const spf_words[] = {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror", NULL};
/* The better ones behind. */
static const char *const dkim_words[] = {"none", "neutral", "permerror", "fail", "policy", "temperror", "pass", NULL};

struct tally {
    const char *dmarc, *spf, *dkim;
    bool dmarc_differs, spf_of_path;
};

static size_t place(const char *word, const char *const *words)
{
    size_t i = 0;

    while (words[i] && words[i] != word)
        i++;
    return i;
}

static void count_result(struct tally *t, struct str method, struct str result, bool of_path)
{
    if (str_eq_nocase(method, STR("dmarc"))) {
        const char *word = known(result, dmarc_words);
        t->dmarc_differs |= !word || (t->dmarc && t->dmarc != word);
        t->dmarc = word;
    } else if (str_eq_nocase(method, STR("dkim"))) {
        const char *word = known(result, dkim_words);
        if (word && (!t->dkim || place(word, dkim_words) > place(t->dkim, dkim_words)))
            t->dkim = word;
    } else if (str_eq_nocase(method, STR("spf"))) {
        const char *word = known(result, spf_words);
        if (word && (!t->spf || (of_path && !t->spf_of_path)))
            t->spf = word;
        t->spf_of_path |= word && of_path;
    }
}

/* "reason=value" and "ptype.property=value", as many as there are; also "property=value" (Microsoft's "action=none") and one
 * without a value. */
static bool take_properties(struct reader *r, bool *of_path)
{
    struct str type, name;

    *of_path = false;
    while (skip_space(r) && !at_end(r) && r->s.p[r->at] != ';') {
        if (!take_word(r, &type))
            return false;
        bool property = next_is(r, '.');
        if (property && (!take(r, '.') || !take_word(r, &name)))
            return false;
        if (!take(r, '=') || (!next_is(r, ';') && !at_end(r) && !take_value(r)))
            return false;
        *of_path |= property && str_eq_nocase(type, STR("smtp")) && str_eq_nocase(name, STR("mailfrom"));
    }
    return skip_space(r);
}

static bool take_result(struct reader *r, struct tally *t, bool first)
{
    struct str method, version, result;
    bool of_path;

    if (!take_word(r, &method))
        return false;
    if (first && str_eq_nocase(method, STR("none")) && skip_space(r) && at_end(r))
        return true; /* no-result */
    if (next_is(r, '/') && (!take(r, '/') || !take_word(r, &version)))
        return false;
    if (!take(r, '=') || !take_word(r, &result) || !take_properties(r, &of_path))
        return false;
    count_result(t, method, result, of_path);
    return true;
}

/* authserv-id and, perhaps, a version. */
static bool take_server(struct reader *r)
{
    struct str version;

    if (!skip_space(r) || at_end(r) || r->s.p[r->at] == ';' || !take_value(r))
        return false;
    return next_is(r, ';') || at_end(r) || (take_word(r, &version) && version.n == 1);
}

bool arc_results_parse(struct str payload, struct arc_says *out)
{
    struct reader r = {payload, 0};
    struct tally t = {0};
    size_t count = 0;

    *out = (struct arc_says){0};
    if (!take_server(&r))
        return false;
    while (skip_space(&r) && !at_end(&r)) {
        if (!take(&r, ';') || !skip_space(&r))
            return false;
        if (at_end(&r) && count) /* a last ";", as many write it */
            break;
        if (++count > RESULTS_MAX || !take_result(&r, &t, count == 1))
            return false;
    }
    if (!at_end(&r))
        return false;
    out->dmarc = t.dmarc_differs ? STR_NONE : str_of(t.dmarc);
    out->spf = str_of(t.spf);
    out->dkim = str_of(t.dkim);
    return true;
}
