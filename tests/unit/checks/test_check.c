/*
 * The table, scopes and steps: every fact has its check, deadlines, given facts, budgets, freeing and handing over while waiting.
 */
#include "world.h"

#define LISTS "dnsbl a \"a.test\"\ndnswl b \"b.test\"\nmark trapped\nlist l ip { 192.0.2.1 }\nrate r messages by mail.domain over 1h\n"

Test(table, every_fact_of_a_check_is_made_by_it)
{
    struct world w;
    uint16_t instance;
    world_open(&w, LISTS "stage connect\n");
    struct schema *schema = policy_schema(w.policy);
    for (int id = 0; id < (int)schema_count(schema); id++) {
        const struct fact_info *info = schema_fact(schema, id);
        enum check_id check = check_of_fact(w.policy, id, &instance);
        bool other = str_eq(info->maker, STR("session")) || str_eq(info->maker, STR("policy"));
        cr_assert_eq(check == CHECK_COUNT, other, "%.*s", STR_ARG(info->name));
        if (other)
            continue;
        cr_assert_eq(checks[check].stage, info->flags & FACT_SNAPSHOT ? STAGE_EACH : info->stage, "%.*s", STR_ARG(info->name));
        struct fact_bits bits = check_facts(w.policy, check, instance);
        cr_assert(fact_bit(&bits, id), "%.*s", STR_ARG(info->name));
    }
    cr_assert_eq(check_of_fact(w.policy, schema_find(schema, STR("dnsbl.a")), &instance), CHECK_DNSBL);
    cr_assert(str_eq(policy_declaration(w.policy, instance)->name, STR("a")));
    cr_assert_eq(check_of_fact(w.policy, schema_find(schema, STR("dnswl.b")), &instance), CHECK_DNSBL);
    cr_assert(str_eq(policy_declaration(w.policy, instance)->name, STR("b")));
    cr_assert_eq(check_of_fact(w.policy, schema_find(schema, STR("marked.trapped")), &instance), CHECK_MARKED);
    cr_assert(str_eq(policy_declaration(w.policy, instance)->name, STR("trapped")));
    cr_assert_eq(check_of_fact(w.policy, schema_find(schema, STR("rate.r")), &instance), CHECK_RATE);
    cr_assert(str_eq(policy_declaration(w.policy, instance)->name, STR("r")));
    world_close(&w);
}

/* What rates are counted by names somebody, is made by a check, and is the same for all who read it. */
Test(table, keys_are_somebody)
{
    struct world w;
    uint16_t instance;
    size_t keys = 0;
    world_open(&w, "stage connect\n");
    for (int id = 0; id < FACT_COUNT; id++) {
        const struct fact_info *info = schema_fact(policy_schema(w.policy), id);
        enum check_id check = check_of_fact(w.policy, id, &instance);
        if (!(info->flags & FACT_KEY))
            continue;
        keys++;
        cr_assert(info->type == FACT_TEXT || info->type == FACT_ADDR || info->type == FACT_NAMES, "%.*s", STR_ARG(info->name));
        cr_assert(check != CHECK_COUNT && !(info->flags & (FACT_SNAPSHOT | FACT_ALSO_DATA)), "%.*s", STR_ARG(info->name));
        cr_assert_eq(checks[check].stage, info->stage, "it waits for its turn in the scope of its check: %.*s", STR_ARG(info->name));
    }
    cr_assert_gt(keys, 12);
    world_close(&w);
}

Test(table, help_names_the_facts)
{
    for (int i = 0; i < CHECK_COUNT; i++) {
        cr_assert_not_null(checks[i].run);
        cr_assert(strlen(checks[i].name) > 0 && strlen(checks[i].help) > 0);
    }
}

Test(step, a_run_is_started_once)
{
    struct world w;
    world_open(&w, LISTS "stage connect\n");
    struct scope *s = world_connect(&w, "203.0.113.9");
    for (int round = 0; round < 3; round++)
        for (int check = 0; check < CHECK_COUNT; check++)
            if (checks[check].stage == STAGE_CONNECT)
                for (uint16_t i = 0; i < 3; i++)
                    cr_assert(check_start(s, check, i)->check == check);
    size_t of_connect = 0;
    for (int check = 0; check < CHECK_COUNT; check++)
        of_connect += checks[check].stage == STAGE_CONNECT;
    cr_assert_eq(s->run_count, of_connect * 3);
    scope_unref(&s);
    world_close(&w);
}

Test(step, deadlines_count_from_the_start_of_each)
{
    struct world w;
    world_open(&w, LISTS "stage connect\n");
    w.settings.dnsbl_deadline = 500;
    answers(&w, "9.113.0.203.a.test", DNS_A, "never");
    answers(&w, "9.113.0.203.b.test", DNS_A, "never");
    struct scope *s = world_connect(&w, "203.0.113.9");
    uint64_t start = loop_now(w.loop);
    cr_assert_eq(scope_deadline(s), UINT64_MAX);
    check_step(s, check_start(s, CHECK_DNSBL, 0));
    loop_advance_to(w.loop, start + 200);
    check_step(s, check_start(s, CHECK_DNSBL, 1));
    cr_assert_eq(scope_deadline(s), start + 500);
    loop_advance_to(w.loop, start + 499);
    cr_assert_eq(check_step(s, check_start(s, CHECK_DNSBL, 0)), CHECK_NOT_YET);
    loop_advance_to(w.loop, start + 500);
    cr_assert_eq(check_step(s, check_start(s, CHECK_DNSBL, 0)), CHECK_DONE);
    cr_assert_eq(check_step(s, check_start(s, CHECK_DNSBL, 1)), CHECK_NOT_YET);
    cr_assert_eq(scope_deadline(s), start + 700);
    loop_advance_to(w.loop, start + 700);
    cr_assert_eq(check_step(s, check_start(s, CHECK_DNSBL, 1)), CHECK_DONE);
    cr_assert_eq(scope_deadline(s), UINT64_MAX);
    expect(s, "dnsbl.a", "(error: no answer in time)");
    scope_unref(&s);
    world_close(&w);
}

/* An answer after the deadline changes no fact, but is there for the next client. */
Test(step, late_answers_fill_the_cache)
{
    struct world w;
    world_open(&w, LISTS "stage connect\n");
    w.settings.dnsbl_deadline = 500;
    answers_after(&w, "9.113.0.203.a.test", DNS_A, "127.0.0.2", 800);
    struct scope *s = world_connect(&w, "203.0.113.9");
    world_run(&w, s, CHECK_DNSBL, 0);
    loop_advance_to(w.loop, loop_now(w.loop) + 1000);
    check_step(s, check_start(s, CHECK_DNSBL, 0));
    expect(s, "dnsbl.a", "(error: no answer in time)");
    scope_unref(&s);
    s = world_connect(&w, "203.0.113.9");
    cr_assert_eq(world_run(&w, s, CHECK_DNSBL, 0), 0);
    expect(s, "dnsbl.a", "127.0.0.2");
    cr_assert_eq(w.asked, 1);
    scope_unref(&s);
    world_close(&w);
}

Test(step, given_facts_stay_and_need_no_question)
{
    struct world w;
    world_open(&w, "stage connect\n");
    struct scope *s = world_connect(&w, "203.0.113.9");
    struct value pass = {.state = FACT_KNOWN, .type = FACT_WORD, .v.text = STR("pass")}, name = {.state = FACT_KNOWN, .type = FACT_TEXT, .v.text = STR("x.example")};
    facts_set_value(&s->facts, FACT_FCRDNS, &pass);
    facts_set_value(&s->facts, FACT_CLIENT_NAME, &name);
    cr_assert_eq(check_step(s, check_start(s, CHECK_FCRDNS, 0)), CHECK_DONE);
    cr_assert_eq(w.asked, 0);
    scope_unref(&s);
    s = world_connect(&w, "203.0.113.9"); /* one of two given: the other is found, the given one stays */
    facts_set_value(&s->facts, FACT_FCRDNS, &pass);
    answers(&w, "9.113.0.203.in-addr.arpa", DNS_PTR, "nxdomain");
    world_run(&w, s, CHECK_FCRDNS, 0);
    expect(s, "fcrdns", "pass");
    expect(s, "client.name", "(absent)");
    scope_unref(&s);
    world_close(&w);
}

Test(step, errors_are_counted)
{
    struct world w;
    world_open(&w, LISTS "stage connect\n");
    uint64_t before = counters[COUNTER_CHECK_ERRORS], codes = counters[COUNTER_DNSBL_ERRORS];
    answers(&w, "9.113.0.203.a.test", DNS_A, "127.255.255.254");
    answers(&w, "9.113.0.203.b.test", DNS_A, "servfail");
    struct scope *s = world_connect(&w, "203.0.113.9");
    world_run(&w, s, CHECK_DNSBL, 0);
    world_run(&w, s, CHECK_DNSBL, 1);
    cr_assert_eq(counters[COUNTER_CHECK_ERRORS] - before, 2);
    cr_assert_eq(counters[COUNTER_DNSBL_ERRORS] - codes, 1);
    scope_unref(&s);
    world_close(&w);
}

Test(scope, budget_is_the_sessions)
{
    struct world w;
    world_open(&w, LISTS "stage connect\n");
    w.budget = 3;
    answers(&w, "9.113.0.203.in-addr.arpa", DNS_PTR, "a.example|b.example|c.example");
    answers(&w, "a.example", DNS_A, "192.0.2.1");
    answers(&w, "b.example", DNS_A, "192.0.2.1");
    struct scope *s = world_connect(&w, "203.0.113.9");
    world_run(&w, s, CHECK_FCRDNS, 0);
    expect(s, "fcrdns", "(error: DNS limit (A))");
    cr_assert_eq(w.budget, 0);
    world_run(&w, s, CHECK_DNSBL, 0);
    expect(s, "dnsbl.a", "(error: too many DNS questions)");
    s = world_path(&w, STAGE_MAIL, world_helo(&w, s, "mail.example"), "<a@d.example>");
    world_run(&w, s, CHECK_SENDER, 0);
    expect(s, "mail.dns", "(error: DNS limit (MX))");
    w.budget = 1; /* the session says what may be asked, not a copy of it */
    struct scope *next = world_path(&w, STAGE_MAIL, scope_ref(s->parent), "<a@e.example>");
    answers(&w, "e.example", DNS_MX, "10 mx.example");
    world_run(&w, next, CHECK_SENDER, 0);
    expect(next, "mail.dns", "mx");
    cr_assert_eq(w.budget, 0);
    scope_unref(&next);
    scope_unref(&s);
    world_close(&w);
}

static unsigned record_woken;
static void record_run(struct task *t)
{
    (void)t;
    record_woken++;
}

/* A record outlives its session: its budget is on the session's memory no more, its waiting is told to another task. */
Test(scope, handed_over_while_waiting)
{
    struct world w;
    struct task other = {.run = record_run};
    world_open(&w, LISTS "stage connect\n");
    unsigned *budget = xcalloc(1, sizeof *budget);
    *budget = 3;
    struct subject subject = {.client = {address_of("203.0.113.9"), 1}, .listener = STR("*:25")};
    struct scope *s = scope_new(&w.evidence, w.policy, STAGE_CONNECT, NULL, &subject, &w.owner, budget, 0);
    answers(&w, "9.113.0.203.in-addr.arpa", DNS_PTR, "a.example|b.example|c.example");
    answers(&w, "a.example", DNS_A, "192.0.2.1");
    answers(&w, "b.example", DNS_A, "192.0.2.1");
    check_step(s, check_start(s, CHECK_FCRDNS, 0));
    cr_assert_eq(*budget, 2);
    scope_set_owner(s, NULL);
    free(budget);
    loop_settle(w.loop);
    scope_set_owner(s, &other);
    world_run(&w, s, CHECK_FCRDNS, 0);
    expect(s, "fcrdns", "(error: DNS limit (A))");
    cr_assert_eq(w.woken, 0, "the session hears no more of it");
    cr_assert(record_woken > 0);
    loop_unwake(w.loop, &other);
    scope_unref(&s);
    world_close(&w);
}

Test(scope, freed_while_waiting)
{
    struct world w;
    world_open(&w, LISTS "stage connect\n");
    answers(&w, "9.113.0.203.in-addr.arpa", DNS_PTR, "mail.example");
    answers(&w, "9.113.0.203.a.test", DNS_A, "127.0.0.2");
    answers(&w, "9.113.0.203.b.test", DNS_A, "never");
    answers(&w, "mail.example", DNS_A, "203.0.113.9");
    answers(&w, "mail.example", DNS_AAAA, "nodata");
    answers(&w, "d.example", DNS_MX, "10 mx.d.example");
    for (uint64_t after = 0; after < 40; after += 5) {
        struct scope *s = world_connect(&w, "203.0.113.9");
        for (int check = CHECK_CLIENT; check <= CHECK_MARKED; check++)
            check_step(s, check_start(s, check, check == CHECK_MARKED ? 2 : 0));
        check_step(s, check_start(s, CHECK_DNSBL, 1));
        struct scope *helo = world_helo(&w, scope_ref(s), "mail.example"), *mail = world_path(&w, STAGE_MAIL, scope_ref(helo), "<a@d.example>");
        check_step(helo, check_start(helo, CHECK_HELO_DNS, 0));
        check_step(mail, check_start(mail, CHECK_SENDER, 0));
        loop_advance_to(w.loop, loop_now(w.loop) + after);
        scope_unref(&s);
        scope_unref(&helo);
        check_step(mail, check_start(mail, CHECK_SENDER, 0)); /* it keeps its parents */
        cr_assert_not_null(scope_of(mail, STAGE_CONNECT));
        scope_unref(&mail);
        cr_assert_null(mail);
        loop_advance_to(w.loop, loop_now(w.loop) + 100);
    }
    world_close(&w);
}

Test(scope, subject_is_copied)
{
    struct world w;
    char text[] = "mail.example";
    struct subject subject = {.helo = {text, 12}};
    world_open(&w, "stage connect\n");
    struct scope *connection = world_connect(&w, "203.0.113.9");
    struct scope *s = world_scope(&w, STAGE_HELO, connection, &subject);
    memset(text, 'x', 12);
    world_run(&w, s, CHECK_HELO, 0);
    expect(s, "helo.name", "mail.example");
    cr_assert_eq(scope_of(s, STAGE_HELO), s);
    cr_assert_eq(scope_of(s, STAGE_CONNECT), connection);
    cr_assert_null(scope_of(s, STAGE_MAIL));
    scope_unref(&s);
    scope_unref(&connection);
    world_close(&w);
}
