/*
 * marked.NAME and greylist.*: through the memory store and through stores that fail or are slow; keys.
 */
#include "world.h"

static struct scope *recipient(struct world *w, const char *client, const char *sender, const char *rcpt, bool touch)
{
    struct scope *s = world_path(w, STAGE_MAIL, world_helo(w, world_connect(w, client), "x"), sender);
    facts_set_value(&s->facts, FACT_SPF, &(struct value){.state = FACT_KNOWN, .type = FACT_WORD, .v.text = STR("none")});
    facts_set_value(&s->facts, FACT_CLIENT_NAME, &(struct value){.state = FACT_ABSENT, .type = FACT_TEXT});
    s = world_path(w, STAGE_RCPT, s, rcpt);
    s->touch = touch;
    return s;
}

static void greylisted(struct world *w, const char *client, const char *sender, const char *rcpt, bool touch, const char *age, const char *known)
{
    struct scope *s = recipient(w, client, sender, rcpt, touch);
    world_run(w, s, CHECK_GREYLIST, 0);
    expect_for(rcpt, s, "greylist.age", age);
    expect_for(rcpt, s, "greylist.known", known);
    scope_unref(&s);
}

/* The message was delivered: as the session records it. */
static bool pass(struct world *w, const char *client, const char *sender, const char *rcpt)
{
    struct scope *s = recipient(w, client, sender, rcpt, true);
    struct store_operation op;
    world_run(w, s, CHECK_GREYLIST, 0);
    bool worth_it = greylist_pass(s, &op);
    if (worth_it)
        store_record(w->evidence.store, &op);
    scope_unref(&s);
    return worth_it;
}

Test(greylist, touch_and_peek)
{
    struct world w;
    world_open(&w, "stage connect\n");
    greylisted(&w, "203.0.113.9", "<a@b.example>", "<u@our.test>", false, "(absent)", "no");
    greylisted(&w, "203.0.113.9", "<a@b.example>", "<u@our.test>", false, "(absent)", "no");
    greylisted(&w, "203.0.113.9", "<a@b.example>", "<u@our.test>", true, "(absent)", "no");
    loop_advance_to(w.loop, loop_now(w.loop) + 300000);
    greylisted(&w, "203.0.113.200", "<A@B.example>", "<U@our.test>", false, "5m", "no"); /* the same /24, any case */
    greylisted(&w, "203.0.113.9", "<a@b.example>", "<u@our.test>", true, "5m", "no");
    greylisted(&w, "203.0.114.9", "<a@b.example>", "<u@our.test>", false, "(absent)", "no");
    greylisted(&w, "203.0.113.9", "<b@b.example>", "<u@our.test>", false, "(absent)", "no");
    greylisted(&w, "203.0.113.9", "<a@b.example>", "<v@our.test>", false, "(absent)", "no");
    greylisted(&w, "203.0.113.9", "<>", "<u@our.test>", true, "(absent)", "no");
    greylisted(&w, "203.0.113.9", "<>", "<u@our.test>", true, "0s", "no");
    pass(&w, "203.0.113.77", "<a@b.example>", "<u@our.test>");
    greylisted(&w, "203.0.113.9", "<a@b.example>", "<u@our.test>", false, "5m", "yes");
    loop_advance_to(w.loop, loop_now(w.loop) + w.settings.greylist_life + w.settings.greylist_life / 36);
    greylisted(&w, "203.0.113.9", "<a@b.example>", "<u@our.test>", false, "(absent)", "no");
    world_close(&w);
}

/* Once is not enough for the others of a domain; twice is, and for no other domain or network. */
Test(greylist, known_after_two_passes)
{
    struct world w;
    world_open(&w, "stage connect\n");
    pass(&w, "203.0.113.9", "<a@b.example>", "<u@our.test>");
    greylisted(&w, "203.0.113.9", "<b@b.example>", "<v@our.test>", false, "(absent)", "no");
    pass(&w, "203.0.113.9", "<c@B.example>", "<u@our.test>");
    greylisted(&w, "203.0.113.9", "<b@b.example>", "<v@our.test>", true, "(absent)", "yes");
    greylisted(&w, "203.0.113.9", "<b@c.example>", "<v@our.test>", false, "(absent)", "no");
    greylisted(&w, "203.0.114.9", "<b@b.example>", "<v@our.test>", false, "(absent)", "no");
    w.settings.greylist_passes = 0;
    greylisted(&w, "203.0.113.9", "<d@b.example>", "<v@our.test>", false, "(absent)", "no");
    w.settings.greylist_passes = 3;
    greylisted(&w, "203.0.113.9", "<d@b.example>", "<v@our.test>", false, "(absent)", "no");
    world_close(&w);
}

/* Each pass counts until the client is known; from then on one a day makes the life longer, so that it never ends before its time. */
Test(greylist, most_passes_of_who_is_known_write_nothing)
{
    struct world w;
    world_open(&w, "stage connect\n");
    const uint64_t day = 86400000, life = w.settings.greylist_life;
    cr_expect(pass(&w, "203.0.113.9", "<a@b.example>", "<u@our.test>"));
    cr_expect(pass(&w, "203.0.113.9", "<a@b.example>", "<u@our.test>"), "the client has passed only once");
    cr_expect(!pass(&w, "203.0.113.9", "<a@b.example>", "<u@our.test>"));
    cr_expect(pass(&w, "203.0.113.9", "<a@b.example>", "<v@our.test>"), "another row");
    cr_expect(!pass(&w, "203.0.113.9", "<>", "<u@our.test>") && !pass(&w, "203.0.113.9", "<>", "<u@our.test>"), "never earns any");
    loop_advance_to(w.loop, loop_now(w.loop) + day);
    cr_expect(!pass(&w, "203.0.113.9", "<a@b.example>", "<u@our.test>"), "it still lives for all of its life");
    uint64_t last = loop_now(w.loop);
    loop_advance_to(w.loop, last + life - 1);
    greylisted(&w, "203.0.113.9", "<a@b.example>", "<u@our.test>", false, "36d23h59m59s999ms", "yes");
    cr_expect(pass(&w, "203.0.113.9", "<a@b.example>", "<u@our.test>"));
    cr_expect(!pass(&w, "203.0.113.9", "<a@b.example>", "<u@our.test>"));
    loop_advance_to(w.loop, loop_now(w.loop) + life);
    greylisted(&w, "203.0.113.9", "<a@b.example>", "<u@our.test>", false, "72d23h59m59s999ms", "yes");
    w.settings.greylist_passes = 0;
    loop_advance_to(w.loop, loop_now(w.loop) + day / 2);
    cr_expect(pass(&w, "203.0.113.9", "<a@b.example>", "<u@our.test>"));
    cr_expect(!pass(&w, "203.0.113.9", "<a@b.example>", "<u@our.test>"), "no client is ever known: the row alone");
    world_close(&w);
}

static void decree(struct world *w, enum store_kind kind, const char *whom)
{
    struct arena arena = {0};
    struct store_operation op = {.kind = kind, .mode = STORE_TOUCH, .key = greylist_ruling_key(&arena, str_of(whom)), .now_ms = loop_wall(w->loop)};
    cr_assert(op.key.n, "%s", whom);
    store_record(w->evidence.store, &op);
    arena_clear(&arena);
}

Test(greylist, allowed_and_denied)
{
    struct world w;
    world_open(&w, "stage connect\n");
    decree(&w, STORE_ALLOW, "203.0.113.0/24");
    decree(&w, STORE_DENY, "203.0.113.9");
    decree(&w, STORE_ALLOW, "2001:db8::/48");
    decree(&w, STORE_ALLOW, "b.example");
    greylisted(&w, "203.0.113.10", "<a@b.example>", "<u@our.test>", true, "(absent)", "yes");
    pass(&w, "203.0.113.9", "<a@c.example>", "<u@our.test>");
    greylisted(&w, "203.0.113.9", "<a@c.example>", "<u@our.test>", true, "(absent)", "no");
    greylisted(&w, "2001:db8:0:7::1", "<a@b.example>", "<u@our.test>", true, "(absent)", "yes");
    greylisted(&w, "2001:db8:1:7::1", "<a@b.example>", "<u@our.test>", true, "(absent)", "no");
    greylisted(&w, "192.0.2.1", "<a@b.example>", "<u@our.test>", true, "(absent)", "no"); /* a domain counts when SPF passes */
    struct arena arena = {0};
    static const char *const none[] = {"203.0.113.0/7", "203.0.113.1/24", "2001:db8::/33", "2001::/16", "", "a b", "@"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        cr_expect_eq(greylist_ruling_key(&arena, str_of(none[i])).n, 0, "%s", none[i]);
    arena_clear(&arena);
    world_close(&w);
}

Test(greylist, the_window_to_come_back_in)
{
    struct world w;
    world_open(&w, "stage connect\n");
    greylisted(&w, "203.0.113.9", "<a@b.example>", "<u@our.test>", true, "(absent)", "no");
    loop_advance_to(w.loop, loop_now(w.loop) + w.settings.greylist_window - 1);
    greylisted(&w, "203.0.113.9", "<a@b.example>", "<u@our.test>", true, "1d23h59m59s999ms", "no");
    loop_advance_to(w.loop, loop_now(w.loop) + 1);
    greylisted(&w, "203.0.113.9", "<a@b.example>", "<u@our.test>", true, "(absent)", "no");
    world_close(&w);
}

Test(greylist, keys)
{
    struct arena arena = {0};
    struct addr four = address_of("203.0.113.9"), six = address_of("2001:db8:1:2:3::9");
    char sender[321], recipient_text[321];

    cr_assert(str_eq(greylist_key(&arena, STR("B.example"), STR("A@b"), STR("U@c")), STR("b.example a@b u@c")));
    memset(sender, 's', 320);
    memset(recipient_text, 'r', 320);
    struct str long_sender = {sender, 320}, long_recipient = {recipient_text, 320};
    struct str a = greylist_key(&arena, STR("203.0.113.0/24"), long_sender, long_recipient);
    cr_assert_eq(a.n, STORE_KEY_MAX);
    recipient_text[319] = 'x';
    struct str b = greylist_key(&arena, STR("203.0.113.0/24"), long_sender, long_recipient);
    cr_assert_eq(b.n, STORE_KEY_MAX);
    cr_assert(!str_eq(a, b), "keys that differ at their end only stay apart");
    recipient_text[319] = 'R';
    cr_assert(str_eq(a, greylist_key(&arena, STR("203.0.113.0/24"), long_sender, long_recipient)));
    cr_assert(str_eq(mark_key(&arena, STR("trapped"), &four), STR("trapped\n203.0.113.9/32")));
    cr_assert(str_eq(mark_key(&arena, STR("trapped"), &six), STR("trapped\n2001:db8:1:2::/64")));
    arena_clear(&arena);
}

static void set_mark(struct world *w, const char *client, uint64_t ms)
{
    struct arena arena = {0};
    struct addr a = address_of(client);
    struct store_operation op = {.kind = STORE_MARK, .mode = STORE_TOUCH, .key = mark_key(&arena, STR("trapped"), &a), .now_ms = loop_wall(w->loop),
                                 .ttl_ms = ms};
    store_record(w->evidence.store, &op);
    arena_clear(&arena);
}

static void marked(struct world *w, const char *client, const char *value)
{
    struct scope *s = world_connect(w, client);
    world_run(w, s, CHECK_MARKED, 0);
    expect_for(client, s, "marked.trapped", value);
    scope_unref(&s);
}

Test(marked, set_and_expired)
{
    struct world w;
    world_open(&w, "mark trapped\nstage connect\n");
    marked(&w, "203.0.113.9", "no");
    set_mark(&w, "203.0.113.9", 1000);
    set_mark(&w, "2001:db8::1", 1000);
    marked(&w, "203.0.113.9", "yes");
    marked(&w, "203.0.113.10", "no");
    marked(&w, "2001:db8::2", "yes");
    marked(&w, "2001:db8:0:1::1", "no");
    loop_advance_to(w.loop, loop_now(w.loop) + 1000);
    marked(&w, "203.0.113.9", "no");
    world_close(&w);
}

static void fared(struct world *w, const char *client, const char *passed, const char *refused, const char *first)
{
    struct scope *s = world_connect(w, client);
    world_run(w, s, CHECK_HISTORY, 0);
    expect_for(client, s, "history.passed", passed);
    expect_for(client, s, "history.refused", refused);
    expect_for(client, s, "history.first", first);
    scope_unref(&s);
}

static void remember(struct world *w, const char *client, uint64_t passed, uint64_t refused)
{
    struct arena arena = {0};
    struct addr a = address_of(client);
    struct store_operation op = {.kind = STORE_HISTORY, .mode = STORE_TOUCH, .key = history_key(&arena, &a), .now_ms = loop_wall(w->loop),
                                 .amount = passed, .refused = refused, .ttl_ms = 3600000};
    store_record(w->evidence.store, &op);
    arena_clear(&arena);
}

Test(history, passed_refused_and_forgotten)
{
    struct world w;
    world_open(&w, "stage connect\n");
    fared(&w, "203.0.113.9", "0", "0", "(absent)");
    remember(&w, "203.0.113.9", 1, 0);
    remember(&w, "2001:db8::1", 0, 1);
    loop_advance_to(w.loop, loop_now(w.loop) + 60000);
    remember(&w, "203.0.113.9", 1, 0);
    remember(&w, "203.0.113.9", 0, 1);
    fared(&w, "203.0.113.9", "2", "1", "1m");
    fared(&w, "203.0.113.10", "0", "0", "(absent)");
    fared(&w, "2001:db8::2", "0", "1", "1m");
    loop_advance_to(w.loop, loop_now(w.loop) + 3600000);
    fared(&w, "203.0.113.9", "0", "0", "(absent)");
    store_free(&w.evidence.store);
    w.evidence.store = store_failing(w.loop, "the store is down", 5);
    fared(&w, "203.0.113.9", "(error: the store is down)", "(error: the store is down)", "(error: the store is down)");
    world_close(&w);
}

Test(stored, store_down_slow_or_none)
{
    struct world w;
    world_open(&w, "mark trapped\nstage connect\n");
    store_free(&w.evidence.store);
    struct store *const stores[] = {store_failing(w.loop, "the store is down", 5), store_failing(w.loop, NULL, 5000), NULL};
    static const uint64_t took[] = {5, 200, 0};
    static const char *const whats[] = {"(error: the store is down)", "(error: no answer in time)", "(error: no store)"};
    for (int i = 0; i < 3; i++) {
        w.evidence.store = stores[i];
        struct scope *s = recipient(&w, "203.0.113.9", "<a@b.example>", "<u@our.test>", true);
        cr_assert_eq(world_run(&w, s, CHECK_GREYLIST, 0), took[i]);
        expect_for(whats[i], s, "greylist.age", whats[i]);
        expect_for(whats[i], s, "greylist.known", whats[i]);
        scope_unref(&s);
        marked(&w, "203.0.113.9", whats[i]);
        store_free(&w.evidence.store);
    }
    world_close(&w);
}
