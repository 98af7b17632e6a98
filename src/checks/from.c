/*
 * from.c - from.domain, from.error: the author's domain out of the From fields that its tap has seen. Known when the header has
 * ended, so that what hangs on it (DMARC's questions) goes on while the body still flows.
 */
#include "content_taps.h"
#include "internal.h"
#include "postern/mail/from.h"

struct from_tap {
    struct mail_tap tap;
    struct scope *scope;
    struct str first;  /* copy of the first From field */
    size_t count;
    bool ended;        /* the header has */
};

static void see_field(struct mail_tap *t, struct str field)
{
    struct from_tap *f = (struct from_tap *)t;

    if (!str_eq_nocase(field_name(field), STR("From")))
        return;
    if (f->count++ == 0)
        f->first = arena_str(&f->scope->arena, field);
}

static void see_end(struct mail_tap *t)
{
    ((struct from_tap *)t)->ended = true;
}

struct mail_tap *from_tap_new(struct scope *s)
{
    struct from_tap *f = arena_zalloc(&s->arena, sizeof *f);

    *f = (struct from_tap){.tap = {.field = see_field, .end_of_header = see_end}, .scope = s};
    return &f->tap;
}

static enum check_result conclude(struct scope *s, const struct from_tap *f)
{
    struct from_author author;
    const struct str fields[2] = {f->first}; /* that there were more is all that counts of them */

    from_read(fields, f->count < 2 ? f->count : 2, &s->arena, &author);
    facts_set_text(&s->facts, FACT_FROM_ERROR, str_of(from_error_names[author.error]));
    if (author.error == FROM_OK)
        facts_set_text(&s->facts, FACT_FROM_DOMAIN, author.domain);
    else
        facts_set_absent(&s->facts, FACT_FROM_DOMAIN);
    return CHECK_DONE;
}

enum check_result check_from(struct scope *s, const struct check_run *run)
{
    struct mail_tap *tap;
    enum content_flow flow = content_tap_of(s, run->check, &tap);
    const struct from_tap *f = (const struct from_tap *)tap;

    if (flow == CONTENT_TO_COME || (flow == CONTENT_TAPPED && !f->ended && !content_has_ended(s)))
        return CHECK_NOT_YET;
    if (flow == CONTENT_TAPPED && f->ended)
        return conclude(s, f);
    facts_set_error(&s->facts, FACT_FROM_ERROR, STR("the header was not read"));
    facts_set_error(&s->facts, FACT_FROM_DOMAIN, STR("the header was not read"));
    return CHECK_DONE;
}
