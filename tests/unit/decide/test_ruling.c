/*
 * test_ruling.c - what the stages say together, as a table: one letter a stage (connect, helo, mail, rcpt, data).
 *
 *   .  not walked   n  none   p  pass   a  accept   r  reject   t  tempfail
 */
#include <criterion/criterion.h>

#include "postern/decide/decide.h"

static void fill(const char *letters, struct stage_verdict v[STAGE_COUNT])
{
    static const enum action actions[] = {['n'] = ACTION_NONE, ['p'] = ACTION_PASS, ['a'] = ACTION_ACCEPT, ['r'] = ACTION_REJECT, ['t'] = ACTION_TEMPFAIL};
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        v[stage] = (struct stage_verdict){.present = letters[stage] != '.', .walk = {.done = true, .score = 1 << (4 * stage)}};
        if (letters[stage] != '.')
            v[stage].walk.action = actions[(unsigned char)letters[stage]];
    }
}

Test(ruling, table)
{
    static const struct { const char *stages; enum stage until; enum action action; enum stage stage; bool skip; } cases[] = {
        {".....", STAGE_DATA, ACTION_NONE, 0, false},
        {"nnnnn", STAGE_DATA, ACTION_NONE, 0, false},
        {"ppppp", STAGE_DATA, ACTION_NONE, 0, false},
        {"r....", STAGE_CONNECT, ACTION_REJECT, STAGE_CONNECT, false},
        {"t....", STAGE_CONNECT, ACTION_TEMPFAIL, STAGE_CONNECT, false},
        {"a....", STAGE_CONNECT, ACTION_ACCEPT, STAGE_CONNECT, true},
        {"a....", STAGE_DATA, ACTION_ACCEPT, STAGE_CONNECT, true},
        /* what comes after an accept was not walked, and does not count if it was */
        {"ar.r.", STAGE_RCPT, ACTION_ACCEPT, STAGE_CONNECT, true},
        {"narrr", STAGE_DATA, ACTION_ACCEPT, STAGE_HELO, true},
        /* the earliest refusal is spoken */
        {"rr...", STAGE_HELO, ACTION_REJECT, STAGE_CONNECT, false},
        {"tr...", STAGE_HELO, ACTION_TEMPFAIL, STAGE_CONNECT, false},
        {"nrtr.", STAGE_RCPT, ACTION_REJECT, STAGE_HELO, false},
        {"nntr.", STAGE_RCPT, ACTION_TEMPFAIL, STAGE_MAIL, false},
        {"nnnr.", STAGE_RCPT, ACTION_REJECT, STAGE_RCPT, false},
        /* a pass leaves one stage only */
        {"rp...", STAGE_HELO, ACTION_REJECT, STAGE_CONNECT, false},
        {"pnr..", STAGE_MAIL, ACTION_REJECT, STAGE_MAIL, false},
        /* an accept of a later stage lifts it */
        {"rnna.", STAGE_RCPT, ACTION_ACCEPT, STAGE_RCPT, true},
        {"ra...", STAGE_HELO, ACTION_ACCEPT, STAGE_HELO, true},
        {"trra.", STAGE_RCPT, ACTION_ACCEPT, STAGE_RCPT, true},
        {"nrnar", STAGE_DATA, ACTION_ACCEPT, STAGE_RCPT, true},
        /* stages after `until` do not count, stages not walked are left out */
        {"nnnr.", STAGE_MAIL, ACTION_NONE, 0, false},
        {"rnna.", STAGE_MAIL, ACTION_REJECT, STAGE_CONNECT, false},
        {"..n.r", STAGE_DATA, ACTION_REJECT, STAGE_DATA, false},
        {"nnnnt", STAGE_DATA, ACTION_TEMPFAIL, STAGE_DATA, false},
        {"n.r..", STAGE_MAIL, ACTION_REJECT, STAGE_MAIL, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct stage_verdict v[STAGE_COUNT];
        fill(cases[i].stages, v);
        struct ruling r = ruling_of(v, cases[i].until);
        cr_expect_eq(r.action, cases[i].action, "%s until %s: %s", cases[i].stages, stage_names[cases[i].until], action_names[r.action]);
        cr_expect_eq(r.skip_rest, cases[i].skip, "%s: skip_rest", cases[i].stages);
        if (cases[i].action == ACTION_NONE) {
            cr_expect_null(r.walk);
        } else {
            cr_expect_eq(r.stage, cases[i].stage, "%s: stage %s", cases[i].stages, stage_names[r.stage]);
            cr_expect_eq(r.walk, &v[cases[i].stage].walk);
        }
    }
}

/* Every combination: an accept anywhere wins over what came before and after it; otherwise the first refusal; otherwise nothing. */
Test(ruling, exhaustive)
{
    static const char letters[] = ".npart";
    for (int n = 0; n < 6 * 6 * 6 * 6 * 6; n++) {
        char stages[STAGE_COUNT + 1] = "";
        for (int i = 0, rest = n; i < STAGE_COUNT; i++, rest /= 6)
            stages[i] = letters[rest % 6];
        struct stage_verdict v[STAGE_COUNT];
        fill(stages, v);
        struct ruling r = ruling_of(v, STAGE_DATA);
        const char *accept = strchr(stages, 'a'), *refusal = strpbrk(stages, "rt");
        enum action expected = accept ? ACTION_ACCEPT : !refusal ? ACTION_NONE : *refusal == 'r' ? ACTION_REJECT : ACTION_TEMPFAIL;
        cr_assert_eq(r.action, expected, "%s: %s", stages, action_names[r.action]);
        cr_assert_eq(r.skip_rest, accept != NULL);
        if (expected != ACTION_NONE)
            cr_assert_eq((int)r.stage, (int)((accept ? accept : refusal) - stages), "%s", stages);
    }
}

Test(ruling, score)
{
    static const struct { const char *stages; enum stage stage; int64_t score; } cases[] = {
        {"nnnnn", STAGE_CONNECT, 0}, {"nnnnn", STAGE_HELO, 0x1}, {"nnnnn", STAGE_MAIL, 0x11}, {"nnnnn", STAGE_RCPT, 0x111},
        {"nnnnn", STAGE_DATA, 0x111}, /* not rcpt's: that is the recipient's own */
        {"n.nnn", STAGE_RCPT, 0x101}, {".....", STAGE_DATA, 0}, {"r....", STAGE_RCPT, 0x1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct stage_verdict v[STAGE_COUNT];
        fill(cases[i].stages, v);
        cr_expect_eq(ruling_score(v, cases[i].stage), cases[i].score, "%s at %s", cases[i].stages, stage_names[cases[i].stage]);
    }
}
