/*
 * lists.c - lists of addresses, domains, mail addresses and words: how they are read and how they are asked.
 *
 *     list NAME ip|domain|address|word { ENTRY, ... }       or       list NAME KIND from "file"
 *
 * A file holds one entry a line; a comment begins with # at the start of a line or after white space. Asking ignores ASCII case.
 *   ip       an address or a prefix
 *   domain   bank.example is that name alone, .gov.example every name below it
 *   address  user@host, @host (everybody there) or user@ (that local part anywhere)
 *   word     any text
 */
#include "loader.h"

#include <string.h>

static const char *const kind_names[] = {"ip", "domain", "address", "word"};
static const char *const entry_says[] = {"an address or prefix", "a domain", "a mail address", "a word"};
static const char *const entry_hints[] = {
    "such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32; the bits behind the prefix are zero",
    "such as bank.example (that name alone) or .bank.example (every name below it)",
    "such as user@bank.example, @bank.example (everybody there) or user@ (that local part anywhere)",
    "any text of at most 320 bytes without control characters",
};

/* --- asking --- */

/* A lower-case copy; false when s is longer than any entry. */
static bool lower(struct str s, char out[ENTRY_MAX], struct str *copy)
{
    if (s.n > ENTRY_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++)
        out[i] = ascii_lower(s.p[i]);
    *copy = (struct str){out, s.n};
    return true;
}

static bool domain_listed(const struct list *list, struct str s)
{
    if (s.n && s.p[s.n - 1] == '.')
        s.n--;
    if (!s.n)
        return false;
    if (map_get(list->entries, s))
        return true;
    for (size_t dot = str_find(s, '.', 1); dot < s.n; dot = str_find(s, '.', dot + 1)) {
        if (map_get(list->entries, str_sub(s, dot, s.n)))
            return true;
    }
    return false;
}

static bool address_listed(const struct list *list, struct str s)
{
    size_t at = s.n;
    while (at && s.p[at - 1] != '@')
        at--;
    if (map_get(list->entries, s))
        return true;
    if (at > 1 && map_get(list->entries, str_sub(s, 0, at)))
        return true;
    return at && at < s.n && map_get(list->entries, str_sub(s, at - 1, s.n));
}

bool list_has_text(const struct list *list, struct str s)
{
    char room[ENTRY_MAX];
    struct str text;
    if (!lower(s, room, &text))
        return false;
    switch (list->kind) {
    case LIST_DOMAIN:
        return domain_listed(list, text);
    case LIST_ADDRESS:
        return address_listed(list, text);
    case LIST_WORD:
        return map_get(list->entries, text);
    case LIST_IP:
        break;
    }
    return false;
}

bool policy_list_has(const struct policy *p, struct str name, struct str text)
{
    for (size_t i = 0; i < p->list_count; i++)
        if (str_eq(p->lists[i]->name, name))
            return list_has_text(p->lists[i], text);
    return false;
}

bool list_has_addr(const struct list *list, const struct addr *a)
{
    return list->prefixes && prefix_set_has(list->prefixes, a);
}

bool word_set_has(const struct word_set *set, struct str s, bool below)
{
    for (size_t i = 0; i < set->count; i++) {
        struct str word = set->words[i];
        if (word.n == s.n ? str_eq_nocase(word, s) : below && word.n && word.p[0] == '.' && s.n > word.n && str_ends_nocase(s, word))
            return true;
    }
    return false;
}

/* --- filling --- */

void list_free(struct list **list)
{
    map_free(&(*list)->entries, NULL);
    prefix_set_free(&(*list)->prefixes);
    *list = NULL; /* the struct is in the policy's arena */
}

static struct list *list_new(struct loader *l, struct str name, enum list_kind kind)
{
    struct policy *p = l->policy;
    struct list *list = arena_zalloc(l->arena, sizeof(*list));
    list->name = name;
    list->kind = kind;
    list->entries = map_new();
    if (kind == LIST_IP)
        list->prefixes = prefix_set_new();
    p->lists = loader_grow(p->lists, p->list_count, &l->list_cap, sizeof(struct list *));
    p->lists[p->list_count++] = list;
    return list;
}

static bool is_domain(struct str s)
{
    struct str rest = str_sub(s, s.n && s.p[0] == '.', s.n), label;
    size_t labels = 0;
    while (str_split(&rest, '.', &label)) {
        labels++;
        if (!label.n || label.n > 63)
            return false;
        for (size_t i = 0; i < label.n; i++) {
            unsigned char c = (unsigned char)ascii_lower(label.p[i]);
            if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c < 0x80)
                return false;
        }
    }
    return labels && s.n <= 255;
}

static bool is_address(struct str s)
{
    size_t at = s.n;
    while (at && s.p[at - 1] != '@')
        at--;
    if (!at || s.n == 1 || str_find(s, ' ', 0) < s.n)
        return false;
    struct str domain = str_sub(s, at, s.n);
    return !domain.n || domain.p[0] == '[' || (domain.p[0] != '.' && is_domain(domain));
}

static bool is_text(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    }
    return s.n && s.n <= ENTRY_MAX;
}

static bool list_put(struct list *list, struct str entry)
{
    struct prefix prefix;
    char room[ENTRY_MAX];
    if (!is_text(entry))
        return false;
    if (list->kind == LIST_IP) {
        if (!prefix_parse(entry, &prefix))
            return false;
        prefix_set_add(list->prefixes, &prefix);
        return true;
    }
    if (list->kind == LIST_DOMAIN && entry.n > 1 && entry.p[entry.n - 1] == '.')
        entry.n--;
    if ((list->kind == LIST_DOMAIN && !is_domain(entry)) || (list->kind == LIST_ADDRESS && !is_address(entry)))
        return false;
    if (lower(entry, room, &entry))
        map_put(list->entries, entry, list);
    return true;
}

static void put_or_complain(struct loader *l, struct list *list, struct str entry, struct span where)
{
    if (!list_put(list, entry))
        COMPLAIN(l, BAD_ENTRY, where, entry_hints[list->kind], STR_ARG(entry), entry_says[list->kind]);
}

/* The entry of a line: without comment and white space around it. */
static struct str entry_of(struct str line)
{
    for (size_t at = str_find(line, '#', 0); at < line.n; at = str_find(line, '#', at + 1)) {
        if (!at || line.p[at - 1] == ' ' || line.p[at - 1] == '\t')
            line.n = at;
    }
    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    return str_trim(line);
}

static void fill_from_file(struct loader *l, struct list *list, const char *from, struct token name)
{
    const char *path, *error;
    struct source *source = loader_read(l, from, name.text, &path, &error);
    if (!source) {
        COMPLAIN(l, CANNOT_READ_LIST, name.span, "the name is relative to the policy's file", path, error);
        return;
    }
    struct str rest = {source->text, source->n}, line;
    while (str_split(&rest, '\n', &line)) {
        struct str entry = entry_of(line);
        if (entry.n)
            put_or_complain(l, list, entry, (struct span){source, (size_t)(entry.p - source->text), entry.n});
    }
    source_free(&source);
}

static bool fill_from_braces(struct parser *p, struct list *list)
{
    while (p->lexer.current.kind != TOKEN_CLOSE_BRACE) {
        struct token t = p->lexer.current;
        if (t.kind != TOKEN_WORD && t.kind != TOKEN_STRING)
            return parse_expected(p, "an entry or '}'");
        lexer_take(&p->lexer);
        put_or_complain(p->l, list, t.text, t.span);
        if (!lexer_accept(&p->lexer, TOKEN_COMMA) && p->lexer.current.kind != TOKEN_CLOSE_BRACE)
            return parse_expected(p, "',' or '}'");
    }
    lexer_take(&p->lexer);
    return true;
}

bool parse_list(struct parser *p)
{
    struct loader *l = p->l;
    struct token name, file;
    if (!parse_name(p, "the list's name", &name))
        return false;
    struct token kind = p->lexer.current;
    if (kind.kind != TOKEN_WORD)
        return parse_expected(p, "ip, domain, address or word");
    size_t k = 0;
    while (k < 4 && !str_eq(kind.text, str_of(kind_names[k])))
        k++;
    if (k == 4) {
        COMPLAIN(l, UNKNOWN_LIST_KIND, kind.span, hint_words(l, kind.text, kind_names, 4), STR_ARG(kind.text));
        return false;
    }
    lexer_take(&p->lexer);
    struct list *list = list_new(l, name.text, (enum list_kind)k);
    if (loader_claim(l, "list", name.text, name.span, list))
        loader_declare(l, DECLARE_LIST, name.text, name.span);
    if (lexer_accept(&p->lexer, TOKEN_OPEN_BRACE))
        return fill_from_braces(p, list);
    if (!lexer_accept_word(&p->lexer, "from"))
        return parse_expected(p, "'from' or '{'");
    if (!parse_string(p, "the list file's name in quotes", &file))
        return false;
    fill_from_file(l, list, p->lexer.source->name, file);
    return true;
}

void list_domains(struct loader *l)
{
    struct list *list = list_new(l, STR("domains"), LIST_DOMAIN);
    loader_claim(l, "list", list->name, (struct span){0}, list);
    for (size_t i = 0; i < l->input->domain_count; i++) {
        list_put(list, l->input->domains[i]);
        loader_hash(l, l->input->domains[i]);
    }
}
