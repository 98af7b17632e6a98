/*
 * lexer.c - from the text of a source to tokens, one ahead of the parser.
 *
 * What is wrong with a token is said here, once (TOKEN_BAD); the parser then only gives the line up. A lexer without diags (NULL)
 * is silent: lexer_skip_line() looks ahead with one.
 */
#include "postern/base/lexer.h"

#include <string.h>

static int byte_at(const struct lexer *l, size_t i)
{
    return i < l->source->n ? (unsigned char)l->source->text[i] : -1;
}

static bool is_word_byte(int c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 0x80)
        return true;
    return c > 0 && strchr("._-*/:@+%[]", c) != NULL;
}

static bool is_space_or_end(int c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c < 0;
}

static struct token token_of(const struct lexer *l, enum token_kind kind, size_t at, size_t n)
{
    return (struct token){.kind = kind, .span = {l->source, at, n > 0 ? n : 1}};
}

static struct token bad(struct lexer *l, size_t at, size_t n, const char *hint, const char *message)
{
    struct token t = token_of(l, TOKEN_BAD, at, n);
    if (l->diags)
        diag_add(l->diags, DIAG_ERROR, t.span, hint, "%s", message);
    return t;
}

/* Is the backslash at l->at the last on its line? Then *end is where the next line begins. */
static bool joins_lines(const struct lexer *l, size_t *end)
{
    size_t i = l->at + 1;
    while (byte_at(l, i) == ' ' || byte_at(l, i) == '\t' || byte_at(l, i) == '\r')
        i++;
    *end = i + (byte_at(l, i) == '\n');
    return byte_at(l, i) == '\n' || byte_at(l, i) < 0;
}

/* Moves past white space, comments, joined lines, and ends of lines that end nothing. True: at an end of line that counts. */
static bool skip_blank(struct lexer *l)
{
    for (;;) {
        int c = byte_at(l, l->at);
        size_t next;
        if (c == ' ' || c == '\t' || (c == '\r' && is_space_or_end(byte_at(l, l->at + 1)))) {
            l->at++;
        } else if (c == '#' && (l->at == 0 || is_space_or_end(byte_at(l, l->at - 1)))) {
            while (byte_at(l, l->at) >= 0 && byte_at(l, l->at) != '\n')
                l->at++;
        } else if (c == '\\' && joins_lines(l, &next)) {
            l->at = next;
        } else if (c == '\n' && l->depth == 0 && l->line_has_tokens) {
            return true;
        } else if (c == '\n') {
            l->at++;
        } else {
            return false;
        }
    }
}

static struct token read_word(struct lexer *l)
{
    size_t start = l->at, end = start;
    while (is_word_byte(byte_at(l, end)))
        end++;
    bool colon = l->source->text[end - 1] == ':' && is_space_or_end(byte_at(l, end));
    if (colon && end - start == 1) {
        l->at = end;
        return token_of(l, TOKEN_COLON, start, 1);
    }
    if (colon && l->source->text[end - 2] != ':') /* an address may end in "::" */
        end--;
    l->at = end;
    struct token t = token_of(l, TOKEN_WORD, start, end - start);
    t.text = (struct str){l->source->text + start, end - start};
    return t;
}

static char unescape(int c)
{
    switch (c) {
    case '"': return '"';
    case '\\': return '\\';
    case 'n': return '\n';
    case 't': return '\t';
    default: return '\0';
    }
}

/* Moves past the rest of a string that has something wrong in it, so that one slip is one complaint. */
static void finish_bad_string(struct lexer *l, size_t i)
{
    int c;
    while ((c = byte_at(l, i)) >= 0 && c != '\n' && c != '"')
        i += c == '\\' && byte_at(l, i + 1) >= 0 && byte_at(l, i + 1) != '\n' ? 2 : 1;
    l->at = i + (c == '"');
}

static struct token read_string(struct lexer *l)
{
    size_t start = l->at, i = start + 1;
    struct buf text = {0};
    struct token t;
    for (;;) {
        int c = byte_at(l, i);
        if (c < 0 || c == '\n') {
            size_t end = i > start + 1 && byte_at(l, i - 1) == '\r' ? i - 1 : i;
            t = bad(l, start, end - start, "a string ends on its line, with '\"'", "unterminated string");
            l->at = i;
            break;
        }
        if (c == '"') {
            l->at = i + 1;
            t = token_of(l, TOKEN_STRING, start, l->at - start);
            t.text = arena_str(l->arena, buf_view(&text));
            break;
        }
        if (c == '\\' && !unescape(byte_at(l, i + 1))) {
            bool line_goes_on = byte_at(l, i + 1) >= 0x20;
            t = bad(l, i, line_goes_on ? 2 : 1, "a string knows \\\" \\\\ \\n and \\t; write \\\\ for a backslash",
                    "unknown escape in a string");
            finish_bad_string(l, i + (line_goes_on ? 2 : 1));
            break;
        }
        if ((c < 0x20 && c != '\t' && !(c == '\r' && byte_at(l, i + 1) == '\n')) || c == 0x7f) {
            t = bad(l, i, 1, NULL, "control character in a string");
            finish_bad_string(l, i + 1);
            break;
        }
        buf_char(&text, c == '\\' ? unescape(byte_at(l, i + 1)) : (char)c);
        i += c == '\\' ? 2 : 1;
    }
    buf_free(&text);
    return t;
}

static struct token sign(struct lexer *l, enum token_kind kind, size_t n)
{
    struct token t = token_of(l, kind, l->at, n);
    l->at += n;
    return t;
}

static struct token read_unknown(struct lexer *l)
{
    size_t at = l->at++;
    int c = byte_at(l, at);
    if (c == '#')
        return bad(l, at, 1, "write a space before # to begin a comment", "'#' in the middle of a word");
    if (c == '!')
        return bad(l, at, 1, "write 'not' or '!='", "unexpected character '!'");
    if (c == '&' || c == '|')
        return bad(l, at, 1, c == '&' ? "write 'and'" : "write 'or'", c == '&' ? "unexpected character '&'" : "unexpected character '|'");
    if (c == '\\')
        return bad(l, at, 1, "only white space may follow a \\ that continues a line", "unexpected character '\\'");
    if (c == '\'')
        return bad(l, at, 1, "write a string with \"", "unexpected character '''");
    if (c < 0x20 || c == 0x7f)
        return bad(l, at, 1, NULL, "control character");
    char message[] = "unexpected character ' '";
    message[sizeof message - 3] = (char)c;
    return bad(l, at, 1, "write text with such characters in quotes", message);
}

static struct token read_sign(struct lexer *l)
{
    bool equals = byte_at(l, l->at + 1) == '=';
    switch (byte_at(l, l->at)) {
    case ',': return sign(l, TOKEN_COMMA, 1);
    case '{': l->depth++; return sign(l, TOKEN_OPEN_BRACE, 1);
    case '(': l->depth++; return sign(l, TOKEN_OPEN_PAREN, 1);
    case '}': l->depth -= l->depth > 0; return sign(l, TOKEN_CLOSE_BRACE, 1);
    case ')': l->depth -= l->depth > 0; return sign(l, TOKEN_CLOSE_PAREN, 1);
    case '<': return equals ? sign(l, TOKEN_LE, 2) : sign(l, TOKEN_LT, 1);
    case '>': return equals ? sign(l, TOKEN_GE, 2) : sign(l, TOKEN_GT, 1);
    case '=':
        if (!equals)
            return sign(l, TOKEN_EQ, 1);
        l->at += 2;
        return bad(l, l->at - 2, 2, "write '='", "unknown operator '=='");
    case '!':
        if (equals)
            return sign(l, TOKEN_NE, 2);
        return read_unknown(l);
    default: return read_unknown(l);
    }
}

static struct token scan(struct lexer *l)
{
    if (skip_blank(l)) {
        l->line_has_tokens = false;
        return sign(l, TOKEN_EOL, 1);
    }
    int c = byte_at(l, l->at);
    if (c < 0) {
        enum token_kind kind = l->line_has_tokens ? TOKEN_EOL : TOKEN_END; /* the last line may lack its newline */
        l->line_has_tokens = false;
        l->depth = 0;
        return token_of(l, kind, l->at, 1);
    }
    l->line_has_tokens = true;
    if (is_word_byte(c))
        return read_word(l);
    return c == '"' ? read_string(l) : read_sign(l);
}

void lexer_init(struct lexer *l, const struct source *source, struct arena *arena, struct diags *diags)
{
    *l = (struct lexer){.source = source, .arena = arena, .diags = diags};
    if (source->n >= 3 && memcmp(source->text, "\xef\xbb\xbf", 3) == 0)
        l->at = 3; /* a byte order mark */
    l->current = scan(l);
}

struct token lexer_take(struct lexer *l)
{
    struct token t = l->current;
    l->current = scan(l);
    return t;
}

bool lexer_accept(struct lexer *l, enum token_kind kind)
{
    if (l->current.kind != kind)
        return false;
    lexer_take(l);
    return true;
}

bool lexer_is_word(const struct lexer *l, const char *word)
{
    return l->current.kind == TOKEN_WORD && str_eq(l->current.text, str_of(word));
}

bool lexer_accept_word(struct lexer *l, const char *word)
{
    if (!lexer_is_word(l, word))
        return false;
    lexer_take(l);
    return true;
}

static bool at_line_end(const struct lexer *l)
{
    return l->current.kind == TOKEN_EOL || l->current.kind == TOKEN_END;
}

/* When the brackets that are open here are closed further on, the line ends behind them; when they are not, the first end of line
 * is taken, so that a forgotten bracket does not swallow the rest of the file. */
static bool brackets_close(const struct lexer *l)
{
    struct arena scratch = {0};
    struct lexer ahead = *l;
    ahead.diags = NULL;
    ahead.arena = &scratch;
    while (!at_line_end(&ahead))
        lexer_take(&ahead);
    bool close = ahead.current.kind == TOKEN_EOL && ahead.at <= ahead.source->n && ahead.current.span.at < ahead.source->n;
    arena_clear(&scratch);
    return close;
}

void lexer_skip_line(struct lexer *l)
{
    struct diags *diags = l->diags;
    bool balanced = brackets_close(l);
    l->diags = NULL; /* the line is given up: no more complaints about it */
    while (!at_line_end(l)) {
        if (!balanced)
            l->depth = 0;
        lexer_take(l);
    }
    l->diags = diags;
    l->depth = 0;
    lexer_accept(l, TOKEN_EOL);
}

const char *token_name(enum token_kind kind)
{
    static const char *const names[] = {
        [TOKEN_END] = "end of file",   [TOKEN_EOL] = "end of line",   [TOKEN_WORD] = "word",       [TOKEN_STRING] = "string",
        [TOKEN_COMMA] = "','",         [TOKEN_COLON] = "':'",         [TOKEN_OPEN_BRACE] = "'{'",  [TOKEN_CLOSE_BRACE] = "'}'",
        [TOKEN_OPEN_PAREN] = "'('",    [TOKEN_CLOSE_PAREN] = "')'",   [TOKEN_EQ] = "'='",          [TOKEN_NE] = "'!='",
        [TOKEN_LT] = "'<'",            [TOKEN_LE] = "'<='",           [TOKEN_GT] = "'>'",          [TOKEN_GE] = "'>='",
        [TOKEN_BAD] = "unreadable text",
    };
    return names[kind];
}
