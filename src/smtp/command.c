/*
 * command.c - one command line to a struct command: verb, argument, path, parameters (RFC 5321 4.1.1, 4.1.2).
 *
 * The story of a line: bytes judged first (a control byte anywhere is refused, a byte over 127 is allowed in the path of MAIL and RCPT
 * only), then the verb, then what the verb's row in verbs.def says of its argument. Everything in the result is a slice of the line;
 * only an unescaped local part and the text of an error reply take memory from the arena. Whether a command comes in order, whether a
 * parameter is known and whether an address may be used is not judged here.
 */
#include "postern/smtp/command.h"

#include "octets.h"

enum argument { ARGUMENT_NONE, ARGUMENT_OPTIONAL, ARGUMENT_REQUIRED, ARGUMENT_PATH };
enum { FLAG_NO = 0, FLAG_YES = 1 };

static const struct verb_row {
    enum argument argument;
    bool group_end, served;
} verb_rows[VERB_COUNT] = {
#define VERB(id, name, argument, group_end, served, help) {ARGUMENT_##argument, FLAG_##group_end, FLAG_##served},
#include "postern/smtp/verbs.def"
#undef VERB
};

const char *const verb_names[VERB_COUNT] = {
#define VERB(id, name, argument, group_end, served, help) name,
#include "postern/smtp/verbs.def"
#undef VERB
};

const char *const verb_help[VERB_COUNT] = {
#define VERB(id, name, argument, group_end, served, help) help,
#include "postern/smtp/verbs.def"
#undef VERB
};

uint64_t verb_uses[VERB_COUNT];

bool verb_ends_group(enum verb v)
{
    return v < VERB_COUNT && verb_rows[v].group_end;
}

bool verb_served(enum verb v)
{
    return v < VERB_COUNT && verb_rows[v].served;
}

static enum verb verb_find(struct str text)
{
    for (int v = 0; v < VERB_COUNT; v++) {
        if (str_eq_nocase(text, str_of(verb_names[v]))) /* RFC 5321 2.4: without regard to case */
            return v;
    }
    return VERB_UNKNOWN;
}

static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return true;
    }
    return false;
}

static bool refuse(struct arena *arena, struct reply *error, enum reply_id id, struct str value)
{
    *error = reply_make(arena, id, value);
    return false;
}

/* 501 with the verb's syntax, which is the help text up to its colon and space. */
static bool refuse_syntax(struct arena *arena, enum verb v, struct reply *error)
{
    struct str help = str_of(verb_help[v]);
    size_t end = str_find(help, ':', 0);
    while (end < help.n && !(end + 1 < help.n && help.p[end + 1] == ' '))
        end = str_find(help, ':', end + 1);
    return refuse(arena, error, REPLY_BAD_ARGUMENT, arena_printf(arena, "Syntax: %.*s", STR_ARG(str_sub(help, 0, end))));
}

/*
 * Where the path at the start of s ends: behind its '>', or at white space when it has no '<'. A '>' or a space within a quoted string
 * does not end it ("a>b"@x). 0: there is no end, or no path.
 */
static size_t path_end(struct str s)
{
    bool angle = s.n > 0 && s.p[0] == '<', quoted = false;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && angle && c == '>')
            return i + 1;
        else if (!quoted && !angle && is_blank(c))
            return i;
    }
    return angle || quoted ? 0 : s.n;
}

/* esmtp-keyword (RFC 5321 4.1.2): a letter or digit, then letters, digits, hyphens. */
static bool keyword_valid(struct str s)
{
    if (s.n == 0 || !is_let_dig(s.p[0]))
        return false;
    for (size_t i = 1; i < s.n; i++) {
        if (!is_let_dig(s.p[i]) && s.p[i] != '-')
            return false;
    }
    return true;
}

/* esmtp-value: %d33-60 / %d62-126, at least one. */
static bool value_valid(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < 33 || s.p[i] > 126 || s.p[i] == '=')
            return false;
    }
    return s.n > 0;
}

static bool has_parameter(const struct command *c, struct str keyword)
{
    for (size_t i = 0; i < c->parameter_count; i++) {
        if (str_eq_nocase(c->parameters[i].keyword, keyword))
            return true;
    }
    return false;
}

static bool parse_parameter(struct str text, struct arena *arena, struct command *out, struct reply *error)
{
    struct parameter *parameter = &out->parameters[out->parameter_count];
    size_t equals = str_find(text, '=', 0);
    struct str keyword = str_sub(text, 0, equals), value = STR_NONE;

    if (!keyword_valid(keyword))
        return refuse_syntax(arena, out->verb, error);
    if (equals < text.n) {
        value = str_sub(text, equals + 1, text.n);
        if (!value_valid(value))
            return refuse(arena, error, REPLY_BAD_PARAMETER_VALUE, keyword);
    }
    /* RFC 3461 4.1, 4.2 and 4.3 say 501 to a parameter that comes twice; no extension gives a meaning to that. */
    if (has_parameter(out, keyword))
        return refuse(arena, error, REPLY_BAD_ARGUMENT, STR("Parameter given twice"));
    if (out->parameter_count == PARAMETERS_MAX)
        return refuse(arena, error, REPLY_BAD_ARGUMENT, STR("Too many parameters"));
    parameter->keyword = keyword;
    parameter->value = value;
    out->parameter_count++;
    return true;
}

/* What follows the path: parameters between white space. */
static bool parse_parameters(struct str rest, struct arena *arena, struct command *out, struct reply *error)
{
    for (;;) {
        rest = str_trim(rest);
        if (rest.n == 0)
            return true;
        size_t end = 0;
        while (end < rest.n && !is_blank(rest.p[end]))
            end++;
        if (!parse_parameter(str_sub(rest, 0, end), arena, out, error))
            return false;
        rest = str_sub(rest, end, rest.n);
    }
}

/* MAIL FROM:<reverse-path> and RCPT TO:<forward-path> (RFC 5321 4.1.1.2, 4.1.1.3). */
static bool parse_path_argument(struct arena *arena, struct command *out, struct reply *error)
{
    bool mail = out->verb == VERB_MAIL;
    struct str lead = mail ? STR("FROM:") : STR("TO:");

    if (!str_starts_nocase(out->argument, lead))
        return refuse_syntax(arena, out->verb, error);
    struct str text = str_trim(str_sub(out->argument, lead.n, out->argument.n));
    size_t end = path_end(text);
    struct str rest = str_sub(text, end, text.n);

    /* RFC 5321 4.5.1: bare postmaster is a recipient; 4.5.5: the null path is a sender. Not the other way round. */
    if (end == 0 || (rest.n > 0 && !is_blank(rest.p[0])) || !path_parse(str_sub(text, 0, end), mail, !mail, arena, &out->path))
        return refuse(arena, error, mail ? REPLY_BAD_SENDER : REPLY_BAD_RECIPIENT, STR_NONE);
    if (has_8bit(rest))
        return refuse(arena, error, REPLY_BAD_BYTES, STR_NONE);
    return parse_parameters(rest, arena, out, error);
}

static bool parse_argument(struct arena *arena, struct command *out, struct reply *error)
{
    enum argument kind = verb_rows[out->verb].argument;

    if (kind == ARGUMENT_NONE && out->argument.n > 0) /* RFC 5321 4.1.1.4, 4.1.1.5, 4.1.1.10: 501 */
        return refuse_syntax(arena, out->verb, error);
    if ((kind == ARGUMENT_REQUIRED || kind == ARGUMENT_PATH) && out->argument.n == 0)
        return refuse_syntax(arena, out->verb, error);
    if (kind == ARGUMENT_PATH)
        return parse_path_argument(arena, out, error);
    if ((out->verb == VERB_HELO || out->verb == VERB_EHLO) && !helo_acceptable(out->argument))
        return refuse(arena, error, REPLY_BAD_HELO, STR_NONE);
    return true;
}

bool command_parse(struct str line, struct arena *arena, struct command *out, struct reply *error)
{
    size_t end = 0;

    *out = (struct command){.verb = VERB_UNKNOWN};
    *error = (struct reply){0};
    while (end < line.n && !is_blank(line.p[end]))
        end++;
    out->verb_text = str_sub(line, 0, end);
    out->argument = str_trim(str_sub(line, end, line.n));
    out->verb = verb_find(out->verb_text);
    if (out->verb < VERB_COUNT)
        verb_uses[out->verb]++;

    bool path = out->verb < VERB_COUNT && verb_rows[out->verb].argument == ARGUMENT_PATH;
    if (has_control(line) || (!path && has_8bit(line))) /* RFC 5321 2.4: 8-bit needs an extension, controls never come */
        return refuse(arena, error, REPLY_BAD_BYTES, STR_NONE);
    if (out->verb_text.n == 0)
        return refuse(arena, error, REPLY_SYNTAX, STR_NONE);
    if (out->verb == VERB_UNKNOWN)
        return refuse(arena, error, REPLY_UNKNOWN_COMMAND, STR_NONE);
    if (!verb_served(out->verb)) /* RFC 5321 4.2.4: known but not implemented is 502 */
        return refuse(arena, error, REPLY_NOT_SERVED, str_of(verb_names[out->verb]));
    return parse_argument(arena, out, error);
}
