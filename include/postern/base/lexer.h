/*
 * lexer.h - the tokens of configuration, policies, cases: one lexer for all that people write for Postern.
 *
 * Lines matter: a TOKEN_EOL ends each line that has tokens; a line that ends in `\` or inside ( ) or { } goes on.
 * A comment runs from # to the end of the line (# must stand at a line's start or after white space).
 * A WORD is a run of letters, digits and . _ - * / : @ + % [ ] and bytes >= 0x80: names, numbers, durations, addresses, prefixes,
 * host:port, globs. What a word means is the parser's business (duration_parse, addr_parse ...).
 * A trailing ':' is a token of its own when white space or the end of line follows ("rule name: accept"); a word that ends in
 * "::" keeps both (the address 2001:db8::).
 */
#ifndef POSTERN_BASE_LEXER_H
#define POSTERN_BASE_LEXER_H

#include "postern/base/source.h"

enum token_kind {
    TOKEN_END,    /* end of the source */
    TOKEN_EOL,
    TOKEN_WORD,
    TOKEN_STRING, /* "..." with \" \\ \n \t escapes; text is decoded (in the arena) */
    TOKEN_COMMA,
    TOKEN_COLON,
    TOKEN_OPEN_BRACE,
    TOKEN_CLOSE_BRACE,
    TOKEN_OPEN_PAREN,
    TOKEN_CLOSE_PAREN,
    TOKEN_EQ,     /* = */
    TOKEN_NE,     /* != */
    TOKEN_LT,
    TOKEN_LE,
    TOKEN_GT,
    TOKEN_GE,
    TOKEN_BAD,    /* unterminated string, control byte ...: already complained of */
};

struct token {
    enum token_kind kind;
    struct str text; /* WORD and STRING */
    struct span span;
};

struct lexer {
    const struct source *source;
    struct arena *arena;
    struct diags *diags;
    size_t at;
    unsigned depth;       /* open ( and { */
    struct token current; /* the token looked at */
    bool line_has_tokens;
};

void lexer_init(struct lexer *l, const struct source *source, struct arena *arena, struct diags *diags); /* current is the first token */
struct token lexer_take(struct lexer *l);                     /* returns current, moves on */
bool lexer_accept(struct lexer *l, enum token_kind kind);     /* takes it when it is of this kind */
bool lexer_accept_word(struct lexer *l, const char *word);    /* takes a WORD with this text */
bool lexer_is_word(const struct lexer *l, const char *word);
void lexer_skip_line(struct lexer *l);                        /* to after the next EOL (error recovery); resets depth */
const char *token_name(enum token_kind kind);                 /* for messages: "end of line", "','" ... */

#endif
