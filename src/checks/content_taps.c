/*
 * content_taps.c - keeps the taps of a scope's content checks, from the opening of the message to the end of the scope.
 */
#include "content_taps.h"

#include <assert.h>
#include <string.h>

#include "internal.h"

#define COUNT_ONE(check, make, end) + 1
enum { TAPS = 0 CONTENT_CHECKS(COUNT_ONE) };

static const struct {
    enum check_id check;
    struct mail_tap *(*make)(struct scope *s);
    void (*end)(struct mail_tap *t);
} content_checks[TAPS] = {
#define LINE(check, make, end) {CHECK_##check, make, end},
    CONTENT_CHECKS(LINE)
#undef LINE
};

struct content_state { /* in the scope's arena */
    struct mail_tap *taps[TAPS]; /* NULL: that check was not started in time */
    bool made, ended;
};

static struct content_state *state_of(struct scope *s)
{
    assert(s->stage == STAGE_DATA);
    if (!s->content)
        s->content = arena_zalloc(&s->arena, sizeof *s->content);
    return s->content;
}

static bool is_started(const struct scope *s, enum check_id check)
{
    for (size_t i = 0; i < s->run_count; i++)
        if (s->runs[i].check == check)
            return true;
    return false;
}

struct mail_tap *content_taps(struct scope *s)
{
    struct content_state *state = state_of(s);
    struct mail_tap *chain = s->shadow ? content_taps(s->shadow) : NULL;

    for (size_t i = TAPS; i-- > 0;) {
        if (!state->made && !state->ended && is_started(s, content_checks[i].check))
            state->taps[i] = content_checks[i].make(s);
        if (!state->taps[i])
            continue;
        state->taps[i]->next = chain;
        chain = state->taps[i];
    }
    state->made = true;
    return chain;
}

void content_ended(struct scope *s, const struct content *numbers)
{
    state_of(s)->ended = true;
    s->subject->content = *numbers;
    for (size_t i = 0; i < s->run_count; i++)
        if (!s->runs[i].done)
            check_set_deadline(s, &s->runs[i]);
    if (s->shadow)
        content_ended(s->shadow, numbers);
}

bool content_has_ended(const struct scope *s)
{
    return s->content && s->content->ended;
}

enum content_flow content_tap_of(const struct scope *s, enum check_id check, struct mail_tap **tap)
{
    *tap = NULL;
    if (!s->content || (!s->content->made && !s->content->ended))
        return CONTENT_TO_COME;
    for (size_t i = 0; i < TAPS; i++)
        if (content_checks[i].check == check)
            *tap = s->content->taps[i];
    return *tap ? CONTENT_TAPPED : CONTENT_MISSED;
}

void content_taps_free(struct scope *s)
{
    for (size_t i = 0; s->content && i < TAPS; i++)
        if (s->content->taps[i] && content_checks[i].end)
            content_checks[i].end(s->content->taps[i]);
}
