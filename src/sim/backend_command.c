/*
 * backend_command.c - command lines at a simulated backend: what no server could take is complained of, the rest is answered, and
 * the answer (whoever wrote it) changes what may come next.
 */
#include "backend_internal.h"

#include <string.h>

#define VIOLATION(c, ...) ledger_violation(&(c)->backend->world->ledger, __VA_ARGS__)

/* --- answers ---------------------------------------------------------------------------------------------------------------- */

/* Did this connection's EHLO reply list it? What was really said counts, whoever wrote it. */
bool backend_announces(const struct backend_conn *c, const char *keyword, struct str *parameters)
{
    struct str rest = buf_view(&c->announced), line, first;
    while (str_split(&rest, '\n', &line)) {
        struct str text = str_sub(line, 4, line.n > 0 && line.p[line.n - 1] == '\r' ? line.n - 1 : line.n);
        if (!word_take(&text, &first) || !str_eq_nocase(first, str_of(keyword)))
            continue;
        if (parameters)
            *parameters = str_trim(text);
        return true;
    }
    return false;
}

static bool is_starttls(struct str keyword)
{
    return str_eq_nocase(keyword, STR("STARTTLS"));
}

static void ehlo_answer(struct backend_conn *c)
{
    static const struct str usual[] = {{"PIPELINING", 10}, {"SIZE 0", 6}, {"8BITMIME", 8}, {"ENHANCEDSTATUSCODES", 19}};
    const struct sim_backend *b = c->backend;
    const struct str *list = b->keywords ? b->keywords : usual;
    size_t count = b->keywords ? b->keyword_count : sizeof usual / sizeof *usual, left = count;
    for (size_t i = 0; i < count && c->tls; i++)
        left -= is_starttls(list[i]); /* RFC 3207 4.2: not offered inside TLS */
    buf_printf(&c->answer_memory, "250%cbackend%u.test\r\n", left ? '-' : ' ', b->index + 1);
    for (size_t i = 0; i < count; i++)
        if (!(c->tls && is_starttls(list[i])))
            buf_printf(&c->answer_memory, "250%c%.*s\r\n", --left ? '-' : ' ', STR_ARG(list[i]));
}

static void bdat_answer(struct backend_conn *c, struct str argument)
{
    struct str size = str_sub(argument, 0, str_find(argument, ' ', 0));
    if (c->recipients == 0 || c->chunk_refused) /* RFC 3030 2: once one chunk was refused all others are */
        buf_cstr(&c->answer_memory, "503 5.5.1 Bad sequence of commands\r\n");
    else
        buf_printf(&c->answer_memory, "250 2.0.0 %.*s octets received\r\n", STR_ARG(size));
}

void backend_usual_answer(struct backend_conn *c, enum backend_moment moment, struct str argument)
{
    static const char *const answers[MOMENT_COUNT] = {
        [MOMENT_MAIL] = "250 2.1.0 Ok",     [MOMENT_RCPT] = "250 2.1.5 Ok", [MOMENT_DATA] = "354 End data with <CR><LF>.<CR><LF>",
        [MOMENT_DOT] = "250 2.0.0 Ok",      [MOMENT_RSET] = "250 2.0.0 Ok", [MOMENT_QUIT] = "221 2.0.0 Bye",
        [MOMENT_NOOP] = "250 2.0.0 Ok",     [MOMENT_OTHER] = "502 5.5.1 Command not implemented",
        [MOMENT_STARTTLS] = "220 2.0.0 Go"};
    struct buf *out = &c->answer_memory;
    buf_clear(out);
    if (moment == MOMENT_GREETING || moment == MOMENT_XCLIENT)
        buf_printf(out, "220 backend%u.test ESMTP\r\n", c->backend->index + 1);
    else if (moment == MOMENT_EHLO)
        ehlo_answer(c);
    else if (moment == MOMENT_HELO)
        buf_printf(out, "250 backend%u.test\r\n", c->backend->index + 1);
    else if (moment == MOMENT_MAIL && c->mail)
        buf_cstr(out, "503 5.5.1 Nested MAIL command\r\n");
    else if (moment == MOMENT_RCPT && !c->mail)
        buf_cstr(out, "503 5.5.1 Need MAIL command\r\n");
    else if (moment == MOMENT_DATA && c->recipients == 0)
        buf_cstr(out, "554 5.5.1 No valid recipients\r\n");
    else if (moment == MOMENT_BDAT)
        bdat_answer(c, argument);
    else if (answers[moment])
        buf_printf(out, "%s\r\n", answers[moment]);
}

/* --- what follows from an answer -------------------------------------------------------------------------------------------- */

/* Is the message ours now? */
static void message_taken(struct backend_conn *c)
{
    struct world *w = c->backend->world;
    if (c->moment == MOMENT_BDAT && c->message == SIZE_MAX) /* 2xx or not: it never was whole */
        return;
    w->delivered++;
    ledger_backend_took(&w->ledger, c->message);
}

static void chunk_answered(struct backend_conn *c, bool ok)
{
    if (!c->chunk.last) {
        c->chunk_refused |= !ok;
        return;
    }
    if (ok)
        message_taken(c);
    backend_transaction_over(c);
}

static void hello_answered(struct backend_conn *c, bool ok)
{
    buf_clear(&c->announced);
    if (c->moment == MOMENT_EHLO && ok)
        buf_str(&c->announced, c->answer);
    c->greeted = ok;
    backend_transaction_over(c);
}

void backend_follow(struct backend_conn *c, unsigned code)
{
    bool ok = code / 100 == 2;
    switch (c->moment) {
    case MOMENT_MAIL:
        c->mail = c->mail || ok;
        break;
    case MOMENT_RCPT:
        c->recipients += ok;
        break;
    case MOMENT_DATA:
        c->reading = code == 354 ? READ_CONTENT : c->reading;
        break;
    case MOMENT_BDAT:
        chunk_answered(c, ok);
        break;
    case MOMENT_DOT:
        if (ok)
            message_taken(c);
        backend_transaction_over(c);
        break;
    case MOMENT_RSET:
        backend_transaction_over(c);
        break;
    case MOMENT_EHLO:
    case MOMENT_HELO:
        hello_answered(c, ok);
        break;
    case MOMENT_XCLIENT: /* a new session, of another client */
        if (ok) {
            c->told.by_xclient = true;
            hello_answered(c, false);
        }
        break;
    default:
        break;
    }
}

/* --- lines ------------------------------------------------------------------------------------------------------------------ */

static enum backend_moment moment_of(struct str line)
{
    struct str verb = str_sub(line, 0, str_find(line, ' ', 0));
    for (int m = MOMENT_FIRST_VERB; m < MOMENT_OTHER; m++) {
        if (str_eq_nocase(verb, str_of(moment_names[m])))
            return (enum backend_moment)m;
    }
    return MOMENT_OTHER;
}

/* What stands behind "<...>", where a quoted local part may hold any character. */
static struct str behind_path(struct str line)
{
    bool quoted = false;
    size_t i = str_find(line, '<', 0);
    for (; i < line.n && (quoted || line.p[i] != '>'); i++) {
        if (line.p[i] == '"')
            quoted = !quoted;
        i += quoted && line.p[i] == '\\';
    }
    return str_sub(line, i + 1, line.n);
}

static void judge_parameters(struct backend_conn *c, struct str line)
{
    static const struct { const char *keyword, *extension;
    } needs[] = {{"SIZE=", "SIZE"}, {"BODY=BINARYMIME", "BINARYMIME"}, {"BODY=", "8BITMIME"}, {"SMTPUTF8", "SMTPUTF8"},
                 {"RET=", "DSN"},   {"ENVID=", "DSN"},                 {"NOTIFY=", "DSN"},    {"ORCPT=", "DSN"}};
    struct str rest = behind_path(line), word;
    while (word_take(&rest, &word)) {
        size_t i = 0;
        while (i < sizeof needs / sizeof *needs && !str_starts_nocase(word, str_of(needs[i].keyword)))
            i++;
        if (i == sizeof needs / sizeof *needs)
            VIOLATION(c, "a backend got a parameter that is none: %.*s", STR_ARG(line));
        else if (!backend_announces(c, needs[i].extension, NULL))
            VIOLATION(c, "a backend without %s got %.*s", needs[i].extension, STR_ARG(line));
    }
}

static bool has_parameter(struct str line, struct str parameter)
{
    struct str rest = behind_path(line), word;
    while (word_take(&rest, &word))
        if (str_eq_nocase(word, parameter))
            return true;
    return false;
}

static void judge_mail(struct backend_conn *c, struct str line)
{
    if (!c->greeted)
        VIOLATION(c, "a backend got MAIL before EHLO");
    c->utf8 = has_parameter(line, STR("SMTPUTF8"));
    c->binary = has_parameter(line, STR("BODY=BINARYMIME"));
    backend_judge_client(c);
}

/* RFC 5321 2.4, RFC 6531 3.4: eight bits in addresses of an internationalised message only. */
static void judge_octets(struct backend_conn *c, struct str line, enum backend_moment moment)
{
    bool path = moment == MOMENT_MAIL || moment == MOMENT_RCPT;
    bool utf8 = path ? c->utf8 : backend_announces(c, "SMTPUTF8", NULL);
    for (size_t i = 0; i < line.n; i++) {
        unsigned char byte = (unsigned char)line.p[i];
        if (byte < 32 || byte == 127 || (byte > 127 && !utf8))
            VIOLATION(c, "a backend got a command with byte 0x%02x", byte);
    }
    if (line.n + 2 > 2048)
        VIOLATION(c, "a backend got a command line of %zu octets", line.n + 2);
}

/* Which commands must be waited for (RFC 2920 3.1; RFC 3207 4; XCLIENT begins a new session)? BDAT has its octets behind it. */
static void judge_group(struct backend_conn *c, struct str line, enum backend_moment moment)
{
    bool ends = moment == MOMENT_EHLO || moment == MOMENT_HELO || moment == MOMENT_DATA || moment == MOMENT_QUIT ||
                moment == MOMENT_STARTTLS || moment == MOMENT_XCLIENT;
    if (c->in.n > 0 && moment != MOMENT_BDAT && (ends || !backend_announces(c, "PIPELINING", NULL)))
        VIOLATION(c, "a backend got more behind %.*s without having been waited for", (int)(line.n < 60 ? line.n : 60), line.p);
}

static void judge_command(struct backend_conn *c, struct str line, enum backend_moment moment)
{
    struct str argument = str_trim(str_sub(line, str_find(line, ' ', 0), line.n));
    bool relayed = str_starts_nocase(line, STR("VRFY ")) || str_starts_nocase(line, STR("ETRN "));
    if (moment == MOMENT_MAIL)
        judge_mail(c, line);
    judge_octets(c, line, moment);
    judge_group(c, line, moment);
    if (moment == MOMENT_OTHER && !relayed)
        VIOLATION(c, "a backend got a line that is no command: %.*s", (int)(line.n < 60 ? line.n : 60), line.p);
    if (moment == MOMENT_MAIL || moment == MOMENT_RCPT)
        judge_parameters(c, line);
    if (moment == MOMENT_STARTTLS && (c->tls || argument.n > 0 || !backend_announces(c, "STARTTLS", NULL)))
        VIOLATION(c, "a backend got STARTTLS %s", c->tls ? "inside TLS" : "that it had not offered so");
    if (moment == MOMENT_XCLIENT)
        backend_judge_xclient(c, argument);
    if (moment == MOMENT_EHLO && c->told.by_xclient && c->told.name_told && !str_eq(argument, buf_view(&c->told.helo)))
        VIOLATION(c, "a backend was told HELO=%.*s, and then EHLO %.*s", STR_ARG(buf_view(&c->told.helo)), STR_ARG(argument));
    if (moment == MOMENT_DATA && (c->chunked || c->binary))
        VIOLATION(c, "a backend got DATA %s", c->chunked ? "behind a chunk" : "for BODY=BINARYMIME");
}

enum progress backend_read_command(struct backend_conn *c)
{
    struct sim_backend *b = c->backend;
    struct str all = buf_view(&c->in);
    size_t end = str_find(all, '\n', 0);
    if (end == all.n)
        return NOTHING_WHOLE;
    if (end == 0 || all.p[end - 1] != '\r')
        VIOLATION(c, "a backend got a bare LF in a command");
    struct buf copy = {0};
    buf_put(&copy, all.p, end > 0 && all.p[end - 1] == '\r' ? end - 1 : end);
    buf_consume(&c->in, end + 1);
    struct str line = buf_view(&copy);
    buf_str(&b->lines, line); /* as it came, with whatever bytes */
    buf_char(&b->lines, '\n');
    enum backend_moment moment = moment_of(line);
    struct str argument = str_trim(str_sub(line, str_find(line, ' ', 0), line.n));
    judge_command(c, line, moment);
    bool alive = true;
    if (moment == MOMENT_BDAT)
        backend_chunk_begin(c, argument);
    else
        alive = backend_react(c, moment, argument);
    buf_free(&copy);
    return alive ? PROGRESS : CONN_GONE;
}
