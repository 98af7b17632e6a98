/*
 * parameters.c - what EHLO announces, and the parameters of MAIL and RCPT judged against it (RFC 5321 4.1.1.11).
 *
 * Ours always: PIPELINING, CHUNKING, ENHANCEDSTATUSCODES, SIZE, STARTTLS with a certificate. End to end, so only if all usable backends have
 * it: 8BITMIME, SMTPUTF8, DSN, BINARYMIME. A parameter goes on as it came; which extensions are in use is kept with the transaction, so that
 * a backend that lacks one after all is passed over. SIZE alone is ours to say anew.
 */
#include "postern/base/codec.h"
#include "session.h"

enum { OUR_FIELDS = 65536 /* kept free of the backend's SIZE for the fields that we put in front */, ENVID_MAX = 100, ORCPT_MAX = 500 };

#define BIT(x) (1u << EXT_##x)

/* RFC 1870: the smaller limit of ours and the backend's, less room for our fields; 0 is unlimited. */
uint64_t size_limit(const struct session *s)
{
    uint64_t ours = s->proxy->parts.settings->message_size;
    uint64_t theirs = backends_extensions(s->proxy->backends).size_limit;
    if (theirs)
        theirs = theirs > 2 * OUR_FIELDS ? theirs - OUR_FIELDS : theirs;
    return !theirs ? ours : !ours || theirs < ours ? theirs : ours;
}

struct extensions announced(const struct session *s)
{
    uint32_t theirs = backends_extensions(s->proxy->backends).set;
    struct extensions e = {.size_limit = size_limit(s)};
    e.set = BIT(PIPELINING) | BIT(SIZE) | BIT(ENHANCEDSTATUSCODES) | BIT(CHUNKING);
    e.set |= theirs & (BIT(EIGHTBITMIME) | BIT(DSN));
    if (theirs & BIT(EIGHTBITMIME))
        e.set |= theirs & BIT(SMTPUTF8); /* RFC 6531 3.1: it needs 8BITMIME */
    if (theirs & BIT(CHUNKING))
        e.set |= theirs & BIT(BINARYMIME); /* RFC 3030 3 */
    if (s->proxy->parts.settings->relay_etrn)
        e.set |= theirs & BIT(ETRN);
    if (s->proxy->tls && !s->tls)
        e.set |= BIT(STARTTLS);
    return e;
}

/* --- values -------------------------------------------------------------------------------------------------------------------- */

static bool is_xtext(struct str s, size_t max)
{
    struct buf decoded = {0};
    bool good = s.n > 0 && s.n <= max && xtext_decode(&decoded, s);
    buf_free(&decoded);
    return good;
}

/* RFC 3461 4.1: NEVER alone, or some of the others. */
static bool is_notify(struct str s)
{
    struct str part;
    if (str_eq_nocase(s, STR("NEVER")))
        return true;
    while (str_split(&s, ',', &part))
        if (!str_eq_nocase(part, STR("SUCCESS")) && !str_eq_nocase(part, STR("FAILURE")) && !str_eq_nocase(part, STR("DELAY")))
            return false;
    return true;
}

/* RFC 3461 4.2: addr-type ";" xtext. */
static bool is_orcpt(struct str s)
{
    size_t semicolon = str_find(s, ';', 0);
    return semicolon > 0 && semicolon < s.n && s.n <= ORCPT_MAX && is_xtext(str_sub(s, semicolon + 1, s.n), ORCPT_MAX);
}

/* --- parameters ---------------------------------------------------------------------------------------------------------------- */

enum judgement { GOOD, UNKNOWN, BAD_VALUE, NOT_SERVED };

static enum judgement judge_body(struct transaction *t, struct str value, const struct extensions *e)
{
    if (!ehlo_has(e, EXT_EIGHTBITMIME) && !ehlo_has(e, EXT_BINARYMIME))
        return UNKNOWN;
    if (str_eq_nocase(value, STR("BINARYMIME"))) {
        t->extensions |= BIT(BINARYMIME) | BIT(CHUNKING);
        return ehlo_has(e, EXT_BINARYMIME) ? GOOD : NOT_SERVED;
    }
    t->extensions |= BIT(EIGHTBITMIME);
    return str_eq_nocase(value, STR("8BITMIME")) || str_eq_nocase(value, STR("7BIT")) ? GOOD : BAD_VALUE;
}

static enum judgement judge_mail(struct transaction *t, const struct parameter *p, const struct extensions *e)
{
    if (str_eq_nocase(p->keyword, STR("SIZE")))
        return p->value.n && p->value.n <= 20 && str_to_u64(p->value, UINT64_MAX, &t->size_declared) ? GOOD : BAD_VALUE;
    if (str_eq_nocase(p->keyword, STR("BODY")))
        return judge_body(t, p->value, e);
    if (str_eq_nocase(p->keyword, STR("SMTPUTF8")) && ehlo_has(e, EXT_SMTPUTF8)) {
        t->extensions |= BIT(SMTPUTF8);
        return p->value.p ? BAD_VALUE : GOOD;
    }
    bool ret = str_eq_nocase(p->keyword, STR("RET")), envid = str_eq_nocase(p->keyword, STR("ENVID"));
    if (!(ret || envid) || !ehlo_has(e, EXT_DSN))
        return UNKNOWN;
    t->extensions |= BIT(DSN);
    if (envid)
        return is_xtext(p->value, ENVID_MAX) ? GOOD : BAD_VALUE;
    return str_eq_nocase(p->value, STR("FULL")) || str_eq_nocase(p->value, STR("HDRS")) ? GOOD : BAD_VALUE;
}

static enum judgement judge_rcpt(struct transaction *t, const struct parameter *p, const struct extensions *e)
{
    bool notify = str_eq_nocase(p->keyword, STR("NOTIFY")), orcpt = str_eq_nocase(p->keyword, STR("ORCPT"));
    if (!(notify || orcpt) || !ehlo_has(e, EXT_DSN))
        return UNKNOWN;
    t->extensions |= BIT(DSN);
    return (notify ? is_notify(p->value) : is_orcpt(p->value)) ? GOOD : BAD_VALUE;
}

static void refuse(struct reply *refusal, struct arena *arena, enum judgement j, const struct parameter *p)
{
    if (j == NOT_SERVED)
        *refusal = reply_make(arena, REPLY_PARAMETER_NOT_SERVED, arena_printf(arena, "%.*s=%.*s", STR_ARG(p->keyword), STR_ARG(p->value)));
    else
        *refusal = reply_make(arena, j == UNKNOWN ? REPLY_UNKNOWN_PARAMETER : REPLY_BAD_PARAMETER_VALUE, p->keyword);
}

static void pass_on(struct buf *line, const struct parameter *p)
{
    buf_char(line, ' ');
    buf_str(line, p->keyword);
    if (p->value.p) {
        buf_char(line, '=');
        buf_str(line, p->value);
    }
}

bool parameters_take(struct session *s, struct transaction *t, const struct command *c, struct str *out, struct reply *refusal)
{
    struct extensions e = {.set = s->announced};
    struct buf line = {0};
    enum judgement j = GOOD;
    for (size_t i = 0; i < c->parameter_count && j == GOOD; i++) {
        const struct parameter *p = &c->parameters[i];
        bool size = str_eq_nocase(p->keyword, STR("SIZE"));
        if (!s->esmtp) /* nothing was offered to HELO */
            j = UNKNOWN;
        else
            j = (c->verb == VERB_MAIL ? judge_mail : judge_rcpt)(t, p, &e);
        if (j != GOOD)
            refuse(refusal, &s->command_arena, j, p);
        else if (!size)
            pass_on(&line, p);
    }
    *out = arena_str(&t->arena, buf_view(&line));
    buf_free(&line);
    return j == GOOD;
}
