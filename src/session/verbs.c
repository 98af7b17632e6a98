/*
 * verbs.c - what each command does to the session. RCPT is in recipients.c, what follows DATA in content.c.
 *
 * A verb is straight-line code over s->command; one that returns STEP_NOT_YET is run again from its start. Every verb but RCPT is a barrier:
 * the session does not take it up before the answers to all RCPTs before it were spoken.
 */
#include <string.h>

#include "session.h"

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
        s->announced = s->esmtp ? e.set : 0;
        r = s->esmtp ? ehlo_write(&s->command_arena, s->proxy->parts.settings->hostname, &e)
                     : reply_make(&s->command_arena, REPLY_HELLO, s->proxy->parts.settings->hostname);
    }
    speak(s, &r, refused);
    return STEP_DONE;
}

/* --- MAIL ---------------------------------------------------------------------------------------------------------------------- */

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
    if (!s->helo)
        return wrong(s, REPLY_NEED_HELO, STR_NONE);
    if (s->t)
        return wrong(s, REPLY_NESTED_MAIL, STR_NONE);
    if (s->listener->require_tls && !s->tls)
        return wrong(s, REPLY_TLS_REQUIRED, STR_NONE);
    if (s->messages >= set->message_limit) {
        speak_id(s, REPLY_TOO_MANY_MESSAGES, STR_NONE);
        session_end(s, HANGUP_ERRORS);
        return STEP_END;
    }
    struct transaction draft = {0};
    struct reply refusal;
    bool good = parameters_take(s, &draft, c, &draft.sender_parameters, &refusal);
    if (good && c->path.utf8 && !(draft.extensions >> EXT_SMTPUTF8 & 1)) {
        refusal = reply_make(&s->command_arena, REPLY_UTF8_ADDRESS, STR_NONE);
        good = false;
    }
    if (!good) {
        arena_clear(&draft.arena);
        speak_wrong(s, &refusal);
        return STEP_DONE;
    }
    struct transaction *t = transaction_new(s);
    t->sender = c->path;
    t->sender.whole = arena_str(&t->arena, c->path.whole);
    t->sender.local = arena_str(&t->arena, c->path.local);
    t->sender.local_plain = arena_str(&t->arena, c->path.local_plain);
    t->sender.domain = arena_str(&t->arena, c->path.domain);
    t->sender_parameters = arena_str(&t->arena, draft.sender_parameters);
    t->extensions = draft.extensions;
    t->size_declared = draft.size_declared;
    arena_clear(&draft.arena);
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
        junk(s);
        speak_id(s, REPLY_NO_VALID_RECIPIENTS, STR_NONE);
        return STEP_DONE;
    }
    if (s->t->content || s->t->extensions >> EXT_BINARYMIME & 1) /* RFC 3030 2, 3: not behind BDAT, never for binary */
        return wrong(s, REPLY_BAD_SEQUENCE, STR_NONE);
    content_begin(s);
    speak_id(s, REPLY_START_DATA, STR_NONE);
    s->phase = PHASE_CONTENT;
    return STEP_DONE;
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

/* VRFY and ETRN go to the backend when the administrator wants it so. */
static enum step verb_relayed(struct session *s)
{
    struct buf line = {0};
    struct reply r;
    buf_cstr(&line, verb_names[s->command->verb]);
    buf_char(&line, ' ');
    buf_str(&line, s->command->argument);
    enum step step = relay_command(s, buf_view(&line), &r);
    buf_free(&line);
    if (step == STEP_DONE)
        speak(s, &r, false);
    return step;
}

static enum step verb_vrfy(struct session *s)
{
    if (!s->command_begun)
        junk(s);
    s->command_begun = true;
    if (s->proxy->parts.settings->relay_vrfy && s->helo)
        return verb_relayed(s);
    speak_id(s, REPLY_VRFY, STR_NONE);
    return STEP_DONE;
}

static enum step verb_etrn(struct session *s)
{
    struct extensions e = announced(s);
    if (!ehlo_has(&e, EXT_ETRN))
        return wrong(s, REPLY_NOT_SERVED, STR("ETRN"));
    if (!s->helo)
        return wrong(s, REPLY_NEED_HELO, STR_NONE);
    if (!s->command_begun)
        junk(s);
    s->command_begun = true;
    return verb_relayed(s);
}

/* RFC 3207 4: after 220 everything is forgotten, also what came in clear behind the command (CVE-2011-0411). */
static enum step verb_starttls(struct session *s)
{
    if (s->tls)
        return wrong(s, REPLY_TLS_RUNS, STR_NONE);
    if (!s->proxy->tls) {
        junk(s);
        speak_id(s, REPLY_TLS_NOT_AVAILABLE, STR_NONE);
        return STEP_DONE;
    }
    if (session_input(s).n > 0)
        s->early_pipelining = true;
    speak_id(s, REPLY_START_TLS, STR_NONE);
    if (s->t) {
        relay_abandon(s);
        transaction_end(s, "reset");
    }
    session_start_tls(s);
    return STEP_DONE;
}

/* RFC 3207 4: beside MAIL (mail_begin) and BDAT, whose octets have to be eaten; so it is behind a refused greeting. */
static bool refused_in_clear(const struct session *s, enum verb v)
{
    return s->listener->require_tls && !s->tls && (v == VERB_RCPT || v == VERB_DATA || v == VERB_VRFY || v == VERB_ETRN);
}

enum step verb_run(struct session *s)
{
    struct command *c = s->command;
    if (s->greeting_refused && c->verb != VERB_QUIT && c->verb != VERB_BDAT)
        return wrong(s, REPLY_AFTER_REFUSED_GREETING, STR_NONE);
    if (refused_in_clear(s, c->verb))
        return wrong(s, REPLY_TLS_REQUIRED, STR_NONE);
    switch (c->verb) {
    case VERB_HELO:
    case VERB_EHLO: return verb_hello(s);
    case VERB_MAIL: return verb_mail(s);
    case VERB_RCPT: /* with a transaction it never comes here: session.c */
        recipient_add(s, c);
        return STEP_DONE;
    case VERB_DATA: return verb_data(s);
    case VERB_BDAT: return content_chunk(s);
    case VERB_STARTTLS: return verb_starttls(s);
    case VERB_RSET: return verb_rset(s);
    case VERB_QUIT: return verb_quit(s);
    case VERB_HELP: return verb_help_text(s);
    case VERB_NOOP:
        junk(s);
        speak_id(s, REPLY_OK, STR_NONE);
        return STEP_DONE;
    case VERB_VRFY: return verb_vrfy(s);
    case VERB_ETRN: return verb_etrn(s);
    default: return wrong(s, REPLY_NOT_SERVED, c->verb < VERB_COUNT ? str_of(verb_names[c->verb]) : STR("Command"));
    }
}
