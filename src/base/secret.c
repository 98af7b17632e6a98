/*
 * secret.c - what must not be shown of a line that a person wrote: a complaint about a policy or a configuration goes to terminals, logs and
 * mailing lists, and the line that it shows may hold the key of a private mirror or a password, in the right place or in a wrong one.
 *
 * So this does not rely on a grammar that the line has just failed to follow. Hidden are
 *
 *     dnsbl zen "{key}.zen.example" key "..."    what stands behind `key`; on lines that declare DNS lists every string behind the zone
 *     redis-password ...                         all behind a first word that ends in one of secret_words (a file's name is no secret)
 *     redis://user:...@host                      who is named in a URL, in messages too
 *
 * Each byte becomes '*', so that carets stand where they stood.
 */
#include "postern/base/source.h"

#include <string.h>

static const char *const secret_words[] = {"password", "passwd", "passphrase", "secret"};

/* One piece of a line: a word, a string (its quotes left out of `text`), or any other single byte. */
struct piece {
    enum { PIECE_NONE, PIECE_WORD, PIECE_STRING, PIECE_OTHER } kind;
    size_t from, to; /* of the text */
    size_t next;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\\';
}

static bool ends_word(char c)
{
    return is_blank(c) || strchr("\",={}()", c) != NULL;
}

static struct piece next_piece(struct str s, size_t at)
{
    while (at < s.n && is_blank(s.p[at]))
        at++;
    struct piece piece = {.from = at, .to = at + 1, .next = at + 1};
    if (at >= s.n)
        return piece;
    if (s.p[at] == '"') {
        size_t end = at + 1;
        while (end < s.n && s.p[end] != '"' && s.p[end] != '\n')
            end += s.p[end] == '\\' && end + 1 < s.n && s.p[end + 1] != '\n' ? 2 : 1;
        return (struct piece){PIECE_STRING, at + 1, end, end < s.n ? end + 1 : end};
    }
    if (ends_word(s.p[at])) {
        piece.kind = PIECE_OTHER;
        return piece;
    }
    size_t end = at;
    while (end < s.n && !ends_word(s.p[end]))
        end++;
    return (struct piece){PIECE_WORD, at, end, end};
}

static void hide(char *text, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        text[i] = is_blank(text[i]) ? text[i] : '*';
}

/* "://" up to the last '@' before white space, a quote or an apostrophe. */
void secret_hide_users(char *text, size_t n)
{
    struct str s = {text, n};
    for (size_t at = str_find(s, ':', 0); at < s.n; at = str_find(s, ':', at + 1)) {
        size_t from = at + 3, user_end = 0;
        if (from > s.n || memcmp(s.p + at, "://", 3))
            continue;
        for (size_t i = from; i < s.n && !is_blank(s.p[i]) && s.p[i] != '"' && s.p[i] != '\''; i++)
            user_end = s.p[i] == '@' ? i : user_end;
        hide(text, from, user_end);
    }
}

static bool names_a_secret(struct str word)
{
    for (size_t i = 0; i < sizeof secret_words / sizeof *secret_words; i++)
        if (str_ends_nocase(word, str_of(secret_words[i])))
            return true;
    return false;
}

void secret_hide(char *text, size_t n)
{
    struct str s = {text, n};
    struct piece first = next_piece(s, 0);
    struct str opens = str_sub(s, first.from, first.to);
    secret_hide_users(text, n);
    if (first.kind != PIECE_WORD)
        return;
    if (names_a_secret(opens)) {
        hide(text, first.next, n);
        return;
    }
    bool dns_list = first.to - first.from > 3 && str_starts(opens, STR("dns")), behind_key = false;
    unsigned strings = 0;
    for (struct piece x = next_piece(s, first.next); x.kind != PIECE_NONE; x = next_piece(s, x.next)) {
        if (x.kind == PIECE_OTHER)
            continue;
        strings += x.kind == PIECE_STRING;
        bool secret = x.kind == PIECE_STRING ? behind_key || (dns_list && strings > 1) : behind_key && dns_list;
        if (secret)
            hide(text, x.from, x.to);
        behind_key = !secret && x.kind == PIECE_WORD && str_eq_nocase(str_sub(s, x.from, x.to), STR("key"));
    }
}
