/* The schema, scopes, and look-ups along the chain of scopes. */
#include "postern/facts/facts.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>

struct chain { /* one of each scope */
    struct schema *schema;
    struct arena arena;
    struct facts connection, helo, message, recipient, content;
    uint64_t now;
};

static void chain_init(struct chain *c)
{
    *c = (struct chain){.schema = schema_new(), .now = 1000};
    facts_init(&c->connection, c->schema, STAGE_CONNECT, NULL, &c->arena, &c->now, 1000);
    facts_init(&c->helo, c->schema, STAGE_HELO, &c->connection, &c->arena, &c->now, 1000);
    facts_init(&c->message, c->schema, STAGE_MAIL, &c->helo, &c->arena, &c->now, 1000);
    facts_init(&c->recipient, c->schema, STAGE_RCPT, &c->message, &c->arena, &c->now, 1000);
    facts_init(&c->content, c->schema, STAGE_DATA, &c->message, &c->arena, &c->now, 1000);
}

static void chain_clear(struct chain *c)
{
    facts_clear(&c->content);
    facts_clear(&c->recipient);
    facts_clear(&c->message);
    facts_clear(&c->helo);
    facts_clear(&c->connection);
    arena_clear(&c->arena);
    schema_unref(&c->schema);
    cr_assert_null(c->schema);
}

Test(schema, built_in_facts_have_all_their_parts)
{
    struct schema *s = schema_new();
    cr_assert_eq(schema_count(s), FACT_COUNT);
    for (int id = 0; id < FACT_COUNT; id++) {
        const struct fact_info *info = schema_fact(s, id);
        cr_expect_eq(schema_find(s, info->name), id);
        cr_expect(info->help.n && info->maker.n, "%s", info->name.p);
        cr_expect_eq(info->type == FACT_WORD, info->values.n != 0, "%s", info->name.p);
        cr_expect(!info->deadline.n || fact_has_word(info, info->deadline), "%s", info->name.p);
    }
    cr_expect_eq(schema_find(s, STR("client.ip")), FACT_CLIENT_IP);
    cr_expect_eq(schema_find(s, STR("CLIENT.IP")), -1);
    cr_expect_eq(schema_find(s, STR("")), -1);
    cr_expect(str_eq(schema_suggest(s, STR("fcdrns")), STR("fcrdns")));
    schema_unref(&s);
}

Test(schema, declared_facts_are_copied_and_unique)
{
    struct schema *s = schema_new();
    char name[] = "dnsbl.zen";
    struct fact_info info = {.name = str_of(name), .type = FACT_ADDRS, .stage = STAGE_CONNECT, .maker = STR("dnsbl"),
                             .definition = STR("dnsbl zen.spamhaus.org")};
    int id = schema_declare(s, &info);
    cr_assert_eq(id, FACT_COUNT);
    cr_expect_eq(schema_declare(s, &info), -1);
    name[0] = 'x';
    cr_expect_eq(schema_find(s, STR("dnsbl.zen")), id);
    cr_expect(str_eq(schema_fact(s, id)->definition, STR("dnsbl zen.spamhaus.org")));
    cr_expect(str_eq(schema_suggest(s, STR("dnsbl.zem")), STR("dnsbl.zen")));
    struct schema *other = schema_ref(s);
    schema_unref(&s);
    cr_expect_eq(schema_count(other), FACT_COUNT + 1);
    schema_unref(&other);
}

Test(schema, takes_no_more_than_the_bits_hold)
{
    struct schema *s = schema_new();
    char name[32];
    int last = 0, id;
    for (int i = 0; i < 600; i++) {
        snprintf(name, sizeof(name), "marked.m%d", i);
        struct fact_info info = {.name = str_of(name), .type = FACT_BOOL};
        id = schema_declare(s, &info);
        last = id >= 0 ? id : last;
    }
    cr_expect_eq(last, 511);
    struct fact_bits bits = {{0}};
    fact_bit_set(&bits, last);
    cr_expect(fact_bit(&bits, last) && !fact_bit(&bits, last - 1));
    schema_unref(&s);
}

Test(schema, stages_by_name)
{
    enum stage stage = STAGE_DATA;
    for (int i = 0; i < STAGE_COUNT; i++) {
        cr_expect(stage_parse(str_of(stage_names[i]), &stage));
        cr_expect_eq((int)stage, i);
    }
    cr_expect_not(stage_parse(STR("Connect"), &stage));
    cr_expect_not(stage_parse(STR(""), &stage));
}

Test(schema, which_stage_may_read_what)
{
    struct schema *s = schema_new();
    struct { int id; const char *stages; } cases[] = {
        {FACT_CLIENT_IP, "yyyyy"}, {FACT_HELO_NAME, "nyyyy"}, {FACT_MAIL_FROM, "nnyyy"}, {FACT_RCPT_LOCAL, "nnnyn"},
        {FACT_RCPT_COUNT, "nnnyn"}, {FACT_GREYLIST_AGE, "nnnyy"}, {FACT_MSG_SIZE, "nnnny"}, {FACT_SCORE, "yyyyy"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        for (int stage = 0; stage < STAGE_COUNT; stage++) {
            cr_expect_eq(fact_readable(schema_fact(s, cases[i].id), (enum stage)stage), cases[i].stages[stage] == 'y', "%s in %s",
                         schema_fact(s, cases[i].id)->name.p, stage_names[stage]);
        }
    }
    schema_unref(&s);
}

Test(facts, written_from_below_lives_in_its_own_scope)
{
    struct chain c;
    chain_init(&c);
    c.now = 1250;
    facts_set_text(&c.recipient, FACT_FCRDNS, STR("pass"));
    cr_expect_eq(c.connection.count, 1);
    cr_expect_eq(c.recipient.count, 0);
    cr_expect_eq(facts_get(&c.connection, FACT_FCRDNS)->at_ms, 250);
    cr_expect(str_eq(facts_get(&c.content, FACT_FCRDNS)->v.text, STR("pass")));
    cr_expect(facts_has(&c.content, FACT_FCRDNS));
    cr_expect_not(facts_has(&c.content, FACT_HELO_FORM));
    facts_set_text(&c.recipient, FACT_RCPT_LOCAL, STR("abuse"));
    cr_expect_eq(facts_get(&c.content, FACT_RCPT_LOCAL)->state, FACT_UNKNOWN);
    cr_expect_eq(facts_get(&c.message, FACT_RCPT_LOCAL)->state, FACT_UNKNOWN);
    cr_expect_eq(facts_get(&c.recipient, FACT_RCPT_LOCAL)->state, FACT_KNOWN);
    chain_clear(&c);
}

Test(facts, snapshots_belong_to_the_evaluated_scope)
{
    struct chain c;
    chain_init(&c);
    facts_set_number(&c.connection, FACT_ERRORS, 1);
    facts_set_number(&c.recipient, FACT_ERRORS, 5);
    cr_expect_eq(facts_get(&c.connection, FACT_ERRORS)->v.number, 1);
    cr_expect_eq(facts_get(&c.recipient, FACT_ERRORS)->v.number, 5);
    cr_expect_eq(facts_get(&c.message, FACT_ERRORS)->state, FACT_UNKNOWN);
    chain_clear(&c);
}

Test(facts, greylist_has_a_value_of_its_own_in_the_content_scope)
{
    struct chain c;
    chain_init(&c);
    facts_set_bool(&c.recipient, FACT_GREYLIST_KNOWN, true);
    cr_expect_eq(facts_get(&c.content, FACT_GREYLIST_KNOWN)->state, FACT_UNKNOWN);
    facts_set_bool(&c.content, FACT_GREYLIST_KNOWN, false);
    cr_expect_eq(facts_get(&c.recipient, FACT_GREYLIST_KNOWN)->v.number, 1);
    cr_expect_eq(facts_get(&c.content, FACT_GREYLIST_KNOWN)->v.number, 0);
    chain_clear(&c);
}

Test(facts, values_stay_where_they_are_while_others_come)
{
    struct chain c;
    chain_init(&c);
    facts_set_text(&c.connection, FACT_CLIENT_NAME, STR("client.example"));
    const struct value *first = facts_get(&c.connection, FACT_CLIENT_NAME);
    for (int id = 0; id < FACT_COUNT; id++) {
        const struct fact_info *info = schema_fact(c.schema, id);
        if (info->stage == STAGE_CONNECT && id != FACT_CLIENT_NAME)
            facts_set_absent(&c.connection, id);
    }
    cr_expect_eq(first, facts_get(&c.connection, FACT_CLIENT_NAME));
    size_t cursor = 0, n = 0;
    int id;
    const struct value *v;
    while (facts_next(&c.connection, &cursor, &id, &v)) {
        cr_expect(n || id == FACT_CLIENT_NAME);
        cr_expect_eq(v, facts_get(&c.connection, id));
        n++;
    }
    cr_expect_gt(n, 8);
    chain_clear(&c);
}

Test(facts, deadlines_set_only_what_is_unknown)
{
    struct chain c;
    chain_init(&c);
    facts_set_text(&c.connection, FACT_FCRDNS, STR("none"));
    facts_set_deadline(&c.connection, FACT_FCRDNS);
    facts_set_deadline(&c.connection, FACT_CLIENT_NAME);
    facts_set_deadline(&c.connection, FACT_CLIENT_NAME);
    cr_expect_eq(facts_get(&c.connection, FACT_FCRDNS)->state, FACT_KNOWN);
    cr_expect_eq(facts_get(&c.connection, FACT_CLIENT_NAME)->state, FACT_ERROR);
    cr_expect(str_eq(facts_get(&c.connection, FACT_CLIENT_NAME)->v.text, STR("no answer in time")));
    chain_clear(&c);
}

Test(facts, a_deadline_word_is_a_value)
{
    struct chain c;
    chain_init(&c);
    struct fact_info info = {.name = STR("demo"), .type = FACT_WORD, .stage = STAGE_MAIL, .values = STR("pass fail temperror"),
                             .deadline = STR("temperror")};
    int id = schema_declare(c.schema, &info);
    facts_set_deadline(&c.message, id);
    cr_expect_eq(facts_get(&c.message, id)->state, FACT_KNOWN);
    cr_expect(str_eq(facts_get(&c.message, id)->v.text, STR("temperror")));
    chain_clear(&c);
}

Test(facts, sets_are_sorted_without_duplicates)
{
    struct chain c;
    chain_init(&c);
    struct str names[] = {STR("zen"), STR("b"), STR("zen"), STR("a")};
    facts_set_names(&c.connection, FACT_DNSBL_LISTED, names, 4);
    const struct value *v = facts_get(&c.connection, FACT_DNSBL_LISTED);
    cr_assert_eq(v->v.names.count, 3);
    cr_expect(str_eq(v->v.names.list[0], STR("a")) && str_eq(v->v.names.list[2], STR("zen")));
    facts_set_names(&c.connection, FACT_DNSWL_LISTED, NULL, 0);
    cr_expect_eq(facts_get(&c.connection, FACT_DNSWL_LISTED)->v.names.count, 0);
    cr_expect_eq(facts_get(&c.connection, FACT_DNSWL_LISTED)->state, FACT_KNOWN);
    struct fact_info info = {.name = STR("dnsbl.zen"), .type = FACT_ADDRS};
    int id = schema_declare(c.schema, &info);
    struct addr codes[3];
    addr_parse(STR("127.0.0.4"), &codes[0]);
    addr_parse(STR("127.0.0.2"), &codes[1]);
    codes[2] = codes[0];
    facts_set_addrs(&c.message, id, codes, 3);
    v = facts_get(&c.connection, id);
    cr_assert_eq(v->v.addrs.count, 2);
    cr_expect(addr_eq(&v->v.addrs.list[0], &codes[1]) && addr_eq(&v->v.addrs.list[1], &codes[0]));
    chain_clear(&c);
}

Test(facts, text_that_is_not_utf8_is_mended_on_entry)
{
    struct chain c;
    chain_init(&c);
    facts_set_text(&c.helo, FACT_HELO_NAME, STR("a\xff" "b\xc3\xa9"));
    cr_expect(str_eq(facts_get(&c.helo, FACT_HELO_NAME)->v.text, STR("a\xef\xbf\xbd" "b\xc3\xa9")));
    facts_set_error(&c.helo, FACT_HELO_DNS, STR("\xfe"));
    cr_expect(str_eq(facts_get(&c.helo, FACT_HELO_DNS)->v.text, STR("\xef\xbf\xbd")));
    chain_clear(&c);
}

Test(facts, a_value_set_from_outside_stays)
{
    struct chain c;
    chain_init(&c);
    struct arena arena = {0};
    struct value v;
    struct str error;
    cr_assert(value_parse(schema_fact(c.schema, FACT_DNSBL_LISTED), STR("zen, abc"), &arena, &v, &error));
    facts_set_value(&c.recipient, FACT_DNSBL_LISTED, &v);
    cr_assert(value_parse(schema_fact(c.schema, FACT_FCRDNS), STR("pass"), &arena, &v, &error));
    facts_set_value(&c.recipient, FACT_FCRDNS, &v);
    arena_clear(&arena); /* the scope has its own copy */
    facts_set_text(&c.connection, FACT_FCRDNS, STR("none"));
    facts_set_error(&c.connection, FACT_FCRDNS, STR("late"));
    facts_set_names(&c.connection, FACT_DNSBL_LISTED, NULL, 0);
    cr_expect(str_eq(facts_get(&c.connection, FACT_FCRDNS)->v.text, STR("pass")));
    cr_expect_eq(facts_get(&c.connection, FACT_DNSBL_LISTED)->v.names.count, 2);
    chain_clear(&c);
}

static int declare(struct schema *s, const char *name, const char *definition)
{
    struct fact_info info = {.name = str_of(name), .type = FACT_BOOL, .stage = STAGE_CONNECT, .definition = str_of(definition)};
    return schema_declare(s, &info);
}

/* A second chain beside the first, of another schema: what is its own comes first, the rest is read through, and it writes to itself alone. */
Test(facts, a_chain_beside_another_reads_through)
{
    struct chain a, b;
    chain_init(&a);
    chain_init(&b);
    int a_other = declare(a.schema, "marked.other", "mark other 1"), a_same = declare(a.schema, "marked.same", "mark same");
    int b_same = declare(b.schema, "marked.same", "mark same"), b_other = declare(b.schema, "marked.other", "mark other 2");
    int b_own = declare(b.schema, "marked.own", "mark own");
    b.connection.beside = &a.connection;
    b.message.beside = &a.message;
    b.recipient.beside = &a.recipient;
    cr_expect_eq(facts_beside(&b.recipient, FACT_SPF), FACT_SPF);
    cr_expect_eq(facts_beside(&b.recipient, FACT_CLASS), -1, "each policy has its own");
    cr_expect_eq(facts_beside(&b.recipient, FACT_DNSBL_LISTED), -1);
    cr_expect_eq(facts_beside(&b.recipient, b_same), a_same);
    cr_expect_eq(facts_beside(&b.recipient, b_other), -1, "another definition is another fact");
    cr_expect_eq(facts_beside(&b.recipient, b_own), -1);
    cr_expect_eq(facts_beside(&a.recipient, FACT_SPF), -1, "nothing stands beside this one");
    facts_set_bool(&a.connection, a_same, true);
    facts_set_bool(&a.connection, a_other, true);
    facts_set_names(&a.connection, FACT_DNSBL_LISTED, NULL, 0);
    facts_set_text(&a.message, FACT_SPF, STR("pass"));
    facts_set_bool(&a.recipient, FACT_TLS, true);
    cr_expect_eq(facts_get(&b.recipient, b_same)->v.number, 1);
    cr_expect(!facts_has(&b.recipient, b_other) && !facts_has(&b.recipient, b_own) && !facts_has(&b.recipient, FACT_DNSBL_LISTED));
    cr_expect_eq(facts_get(&b.recipient, FACT_SPF), facts_get(&a.recipient, FACT_SPF));
    cr_expect_eq(facts_get(&b.recipient, FACT_TLS)->v.number, 1, "the moment's value of the same stage");
    cr_expect(!facts_has(&b.message, FACT_TLS), "and of no other");
    facts_set_text(&b.message, FACT_SPF, STR("fail"));
    cr_expect(str_eq(facts_get(&b.recipient, FACT_SPF)->v.text, STR("fail")), "its own comes first");
    cr_expect(str_eq(facts_get(&a.recipient, FACT_SPF)->v.text, STR("pass")), "and stays its own");
    chain_clear(&b);
    chain_clear(&a);
}

Test(facts, writing_twice_is_a_programmer_error, .signal = SIGABRT)
{
    struct chain c;
    chain_init(&c);
    facts_set_absent(&c.connection, FACT_FCRDNS);
    facts_set_absent(&c.helo, FACT_FCRDNS);
}

Test(facts, a_word_must_be_one_of_its_words, .signal = SIGABRT)
{
    struct chain c;
    chain_init(&c);
    facts_set_text(&c.connection, FACT_FCRDNS, STR("maybe"));
}

Test(facts, a_scope_that_is_not_there_takes_no_value, .signal = SIGABRT)
{
    struct chain c;
    chain_init(&c);
    facts_set_text(&c.message, FACT_RCPT_LOCAL, STR("x"));
}
