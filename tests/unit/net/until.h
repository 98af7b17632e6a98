/* until.h - waiting for real descriptors: the loop `l` of whoever includes this is run until something is so. */
#ifndef TESTS_NET_UNTIL_H
#define TESTS_NET_UNTIL_H

static inline void guard_fire(struct timer *t)
{
    (void)t;
}

/* Runs the loop until the condition holds; 10 s at most. */
#define UNTIL(condition)                                    \
    do {                                                    \
        uint64_t until_ms = loop_now(l) + 10000;            \
        struct timer guard = {.fire = guard_fire};          \
        timer_set(l, &guard, until_ms);                     \
        bool is_so;                                         \
        while (!(is_so = (condition)) && loop_now(l) < until_ms) { \
            loop_turn(l, true);                             \
        }                                                   \
        timer_cancel(l, &guard);                            \
        cr_assert(is_so, "in vain: " #condition);           \
    } while (0)

#endif
