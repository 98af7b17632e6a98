/*
 * verbs.c - what each command does to the session. RCPT is in recipients.c, what follows DATA in content.c.
 *
 * A verb is straight-line code over s->command; one that returns STEP_NOT_YET is run again from its start. Every verb but RCPT is a barrier:
 * the session does not take it up before the answers to all RCPTs before it were spoken.
 */
#include <string.h>

#include "session.h"

enum { OUR_FIELDS = 65536 }; /* kept free of the backend's SIZE for the fields that we put in front */

static enum step wrong(struct session *s, enum reply_id id, struct str value)
{
    struct reply r = reply_make(&s->command_arena, id, value.p ? value : s->proxy->parts.settings->hostname);
    speak_wrong(s, &r);
    return STEP_DONE;
}

/* Commands that cost us but bring no mail: beyond the limit each counts as wrong. */
static void junk(struct session *s)
{
    if (++s->junk > s->proxy->parts.settings->junk_limit)
        s->errors++;
}

/* RFC 1870: the smaller limit of ours and the backend's, less room for our fields; 0 is unlimited. */
static uint64_t size_limit(const struct session *s)
{
    uint64_t ours = s->proxy->parts.settings->message_size;
    uint64_t theirs = backends_extensions(s->proxy->backends).size_limit;
    if (theirs)
        theirs = theirs > 2 * OUR_FIELDS ? theirs - OUR_FIELDS : theirs;
    return !theirs ? ours : !ours || theirs < ours ? theirs : ours;
}

static struct extensions announced(const struct session *s)
{
    struct extensions theirs = backends_extensions(s->proxy->backends);
    struct extensions e = {.size_limit = size_limit(s)};
    e.set = 1u << EXT_PIPELINING | 1u << EXT_SIZE | 1u << EXT_ENHANCEDSTATUSCODES;
    e.set |= theirs.set & 1u << EXT_EIGHTBITMIME; /* end to end */
    return e;
}

static enum step verb_hello(struct session *s)
{
    struct str name = s->command->argument;
    if (!helo_acceptable(name))
        return wrong(s, REPLY_BAD_HELO, STR_NONE);
    if (!s->command_begun) {
        s->command_begun = true;
        if (s->t) { /* EHLO again resets like RSET (RFC 5321 4.1.4) */
            relay_abandon(s);
            transaction_end(s, "reset");
        }
        if (s->helo || s->sticky_helo)
            junk(s);
        stages_open_helo(s, name);
        s->esmtp = s->command->verb == VERB_EHLO;
    }
    struct reply r;
    bool refused;
    if (stages_reply(s, STAGE_HELO, &r, &refused) == STEP_NOT_YET)
        return STEP_NOT_YET;
    if (!refused) {
        struct extensions e = announced(s);
        r = s->esmtp ? ehlo_write(&s->command_arena, s->proxy->parts.settings->hostname, &e)
                     : reply_make(&s->command_arena, REPLY_HELLO, s->proxy->parts.settings->hostname);
    }
    speak(s, &r, refused);
    return STEP_DONE;
}

/* --- MAIL ---------------------------------------------------------------------------------------------------------------------- */

/* One parameter of MAIL (RFC 5321 4.1.1.11): true, or false with the refusal. */
static bool mail_parameter(struct session *s, struct transaction *t, const struct parameter *p, struct reply *refusal)
{
    enum reply_id id = REPLY_UNKNOWN_PARAMETER;
    struct extensions e = announced(s);
    if (!s->esmtp) {
        /* without EHLO nothing was offered */
    } else if (str_eq_nocase(p->keyword, STR("SIZE"))) {
        if (p->value.p && p->value.n <= 20 && str_to_u64(p->value, UINT64_MAX, &t->size_declared))
            return true;
        id = REPLY_BAD_PARAMETER_VALUE;
    } else if (str_eq_nocase(p->keyword, STR("BODY")) && ehlo_has(&e, EXT_EIGHTBITMIME)) {
        bool eight = str_eq_nocase(p->value, STR("8BITMIME"));
        if (eight || str_eq_nocase(p->value, STR("7BIT"))) {
            t->eightbit = eight;
            return true;
        }
        bool binary = str_eq_nocase(p->value, STR("BINARYMIME")); /* a value of RFC 3030, not offered */
        *refusal = reply_make(&s->command_arena, binary ? REPLY_PARAMETER_NOT_SERVED : REPLY_BAD_PARAMETER_VALUE,
                              binary ? STR("BODY=BINARYMIME") : p->keyword);
        return false;
    }
    *refusal = reply_make(&s->command_arena, id, p->keyword);
    return false;
}

static bool mail_parameters(struct session *s, struct transaction *t, struct reply *refusal)
{
    const struct command *c = s->command;
    for (size_t i = 0; i < c->parameter_count; i++) {
        for (size_t k = 0; k < i; k++)
            if (str_eq_nocase(c->parameters[k].keyword, c->parameters[i].keyword)) {
                *refusal = reply_make(&s->command_arena, REPLY_BAD_PARAMETER_VALUE, c->parameters[i].keyword);
                return false;
            }
        if (!mail_parameter(s, t, &c->parameters[i], refusal))
            return false;
    }
    t->sender_parameters = t->eightbit ? STR(" BODY=8BITMIME") : STR("");
    return true;
}

/* The scope of stage mail, with the path copied where it lives as long as the transaction. */
static void open_mail(struct session *s)
{
    struct transaction *t = s->t;
    struct subject subject = {.sender = t->sender};
    struct scope *parent = s->helo ? s->helo : s->connect;
    t->scopes[STAGE_MAIL] = scope_new(&s->proxy->world, s->policy, STAGE_MAIL, parent, &subject, &s->task, &s->dns_budget, s->start_ms);
    stages_open(s, t->scopes[STAGE_MAIL]);
}

static enum step mail_refused_for_size(struct session *s)
{
    struct reply r = reply_make(&s->command_arena, REPLY_SIZE_DECLARED, STR_NONE);
    s->t->reply = reply_text(&s->t->arena, &r);
    s->t->reply_by = "postern";
    speak(s, &r, true);
    transaction_end(s, "refused");
    return STEP_DONE;
}

static enum step mail_begin(struct session *s)
{
    const struct settings *set = s->proxy->parts.settings;
    struct command *c = s->command;
    if (!s->helo && !s->sticky_helo)
        return wrong(s, REPLY_NEED_HELO, STR_NONE);
    if (s->t)
        return wrong(s, REPLY_NESTED_MAIL, STR_NONE);
    if (c->path.utf8)
        return wrong(s, REPLY_UTF8_ADDRESS, STR_NONE);
    if (s->messages >= set->message_limit) {
        speak_id(s, REPLY_TOO_MANY_MESSAGES, STR_NONE);
        session_end(s, HANGUP_ERRORS);
        return STEP_END;
    }
    struct transaction draft = {0};
    struct reply refusal;
    if (!mail_parameters(s, &draft, &refusal)) {
        speak_wrong(s, &refusal);
        return STEP_DONE;
    }
    struct transaction *t = transaction_new(s);
    t->sender = c->path;
    t->sender.whole = arena_str(&t->arena, c->path.whole);
    t->sender.local = arena_str(&t->arena, c->path.local);
    t->sender.local_plain = arena_str(&t->arena, c->path.local_plain);
    t->sender.domain = arena_str(&t->arena, c->path.domain);
    t->sender_parameters = draft.sender_parameters;
    t->eightbit = draft.eightbit;
    t->size_declared = draft.size_declared;
    s->junk = 0;
    uint64_t limit = size_limit(s);
    if (limit && t->size_declared > limit)
        return mail_refused_for_size(s);
    open_mail(s);
    return STEP_NOT_YET; /* there is a transaction now */
}

static enum step verb_mail(struct session *s)
{
    if (!s->command_begun) {
        enum step begun = mail_begin(s);
        if (begun != STEP_NOT_YET)
            return begun;
        s->command_begun = true;
    }
    struct reply r;
    bool refused;
    if (stages_reply(s, STAGE_MAIL, &r, &refused) == STEP_NOT_YET)
        return STEP_NOT_YET;
    if (!refused) {
        speak_id(s, REPLY_SENDER_OK, STR_NONE);
        return STEP_DONE;
    }
    s->t->reply = reply_text(&s->t->arena, &r);
    s->t->reply_by = "policy";
    speak(s, &r, true);
    transaction_end(s, reply_is(&r, 4) ? "deferred" : "refused");
    return STEP_DONE;
}

/* --- the others ---------------------------------------------------------------------------------------------------------------- */

static enum step verb_data(struct session *s)
{
    if (!s->t)
        return wrong(s, REPLY_NEED_MAIL, STR_NONE);
    if (s->t->recipient_count == 0)
        return wrong(s, REPLY_NEED_RCPT, STR_NONE);
    if (s->t->accepted == 0) {
        speak_id(s, REPLY_NO_VALID_RECIPIENTS, STR_NONE);
        return STEP_DONE;
    }
    return content_begin(s);
}

static enum step verb_rset(struct session *s)
{
    junk(s);
    if (s->t) {
        relay_abandon(s);
        transaction_end(s, s->t->accepted ? "reset" : "no-recipients");
    }
    speak_id(s, REPLY_OK, STR_NONE);
    return STEP_DONE;
}

static enum step verb_quit(struct session *s)
{
    speak_id(s, REPLY_QUIT, STR_NONE);
    session_end(s, HANGUP_QUIT);
    return STEP_END;
}

static enum step verb_help_text(struct session *s)
{
    junk(s);
    struct str topic = s->command->argument;
    struct buf text = {0};
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (topic.n == 0 ? verb_served((enum verb)i) : str_eq_nocase(topic, str_of(verb_names[i]))) {
            if (text.n)
                buf_char(&text, '\n');
            buf_cstr(&text, verb_help[i]);
        }
    if (text.n) {
        speak_id(s, REPLY_HELP, buf_view(&text));
    } else {
        wrong(s, REPLY_PARAMETER_NOT_SERVED, STR("HELP on that topic"));
    }
    buf_free(&text);
    return STEP_DONE;
}

/* BDAT is not offered; the octets of the chunk come all the same and must not be taken for commands (RFC 3030 2). */
static enum step verb_bdat(struct session *s)
{
    struct str rest = s->command->argument, size;
    uint64_t octets;
    if (!str_split(&rest, ' ', &size) || !str_to_u64(size, UINT64_MAX, &octets))
        return wrong(s, REPLY_BAD_ARGUMENT, STR("Syntax: BDAT size [LAST]"));
    s->discard = octets;
    return wrong(s, REPLY_NOT_SERVED, STR("BDAT"));
}

enum step verb_run(struct session *s)
{
    struct command *c = s->command;
    if (s->greeting_refused && c->verb != VERB_QUIT)
        return wrong(s, REPLY_AFTER_REFUSED_GREETING, STR_NONE);
    switch (c->verb) {
    case VERB_HELO:
    case VERB_EHLO: return verb_hello(s);
    case VERB_MAIL: return verb_mail(s);
    case VERB_RCPT: /* with a transaction it never comes here: session.c */
        recipient_add(s, c);
        return STEP_DONE;
    case VERB_DATA: return verb_data(s);
    case VERB_BDAT: return verb_bdat(s);
    case VERB_RSET: return verb_rset(s);
    case VERB_QUIT: return verb_quit(s);
    case VERB_HELP: return verb_help_text(s);
    case VERB_NOOP:
        junk(s);
        speak_id(s, REPLY_OK, STR_NONE);
        return STEP_DONE;
    case VERB_VRFY:
        junk(s);
        speak_id(s, REPLY_VRFY, STR_NONE);
        return STEP_DONE;
    default: return wrong(s, REPLY_NOT_SERVED, c->verb < VERB_COUNT ? str_of(verb_names[c->verb]) : STR("Command"));
    }
}
