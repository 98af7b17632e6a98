/* What a loaded policy says of itself; includes and list files; the digest. */
#include "policy/policy_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "model.h"
#include "source_tree.h"

/* The sample of the design, save the rules that read facts of sender authentication. */
static const char sample[] =
    "# policy/default.policy\n"
    "dnsbl  zen      \"zen.spamhaus.org\"\n"
    "dnswl  dnswl    \"list.dnswl.org\"\n"
    "list   trusted  ip from \"lists/trusted.cidr\"\n"
    "list   traps    address { trap@our.test }\n"
    "list   partners domain { bank.example, .gov.example }\n"
    "condition plain:  not tls or helo.form = bare\n"
    "\n"
    "stage connect\n"
    "  rule trusted-client:    accept                                   when client.ip in trusted\n"
    "  rule zen-sbl:           score 8                                  when dnsbl.zen in 127.0.0.2-127.0.0.3\n"
    "  rule zen-pbl:           score 6                                  when dnsbl.zen in 127.0.0.10-127.0.0.11\n"
    "  rule vouched:           score -4                                 when dnswl.dnswl in 127.0.0.0/16\n"
    "  rule no-reverse:        score 2                                  when fcrdns != pass\n"
    "stage rcpt\n"
    "  rule postmaster:        accept                                   when rcpt.local in { postmaster, abuse }\n"
    "  rule trap:              mark trapped 7d                          when rcpt.address in traps\n"
    "  rule listed:            reject \"listed by {dnsbl.listed}; see {help}\"       when score >= 8\n"
    "  rule new-and-doubtful:  greylist 5m                              when score >= 2 and plain and not mail.null\n"
    "stage data\n"
    "  rule null-and-doubtful: greylist 5m                              when score >= 2 and mail.null\n"
    "  rule large:             reject 552 5.3.4 \"{msg.size} octets\"   when msg.size > 10M\n"
    "  rule stricter monitor:  reject                                   when score >= 6\n"
    "  rule suspicious:        tag \"suspect\"                            when score >= 4\n";

static struct policy *load_sample(void)
{
    struct memory_file files[] = {{"policy/default.policy", sample}, {"policy/lists/trusted.cidr", "192.0.2.0/24 # office\n"}};
    struct diags diags = {0};
    struct policy *p = load_files(files, 2, &diags);
    cr_assert(p && !diags.count, "%s", diags.count ? diags.list[0].text : "");
    return p;
}

Test(load, the_sample_of_the_design)
{
    struct policy *p = load_sample();
    static const size_t counts[] = {5, 0, 0, 4, 4};
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        cr_expect_eq(policy_rule_count(p, (enum stage)stage), counts[stage]);
    cr_expect_str_eq(policy_path(p), "policy/default.policy");
    struct rule_info info = policy_rule(p, STAGE_DATA, 2);
    cr_expect(str_eq(info.name, STR("stricter")) && info.monitor);
    cr_expect(str_eq(info.text, STR("rule stricter monitor: reject when score >= 6")));
    cr_expect_str_eq(info.file, "policy/default.policy");
    cr_expect_eq(info.line, 23);
    cr_expect_eq(policy_header_count(p), 1);
    cr_expect(str_eq(policy_header(p, 0), STR("X-Postern-Tag")));
    policy_unref(&p);
    cr_expect_null(p);
}

static bool needs(const struct policy *p, enum stage stage, bool monitor, const char *fact)
{
    struct fact_bits bits = policy_needs(p, stage, monitor);
    return fact_bit(&bits, schema_find(policy_schema(p), str_of(fact)));
}

Test(load, which_facts_the_rules_need)
{
    struct policy *p = load_sample();
    cr_expect(needs(p, STAGE_CONNECT, false, "dnsbl.zen") && needs(p, STAGE_CONNECT, false, "client.ip"));
    cr_expect_not(needs(p, STAGE_CONNECT, false, "dnsbl.listed"));
    cr_expect(needs(p, STAGE_RCPT, false, "dnsbl.listed"), "texts count");
    cr_expect(needs(p, STAGE_RCPT, false, "greylist.age") && needs(p, STAGE_RCPT, false, "greylist.known"));
    cr_expect(needs(p, STAGE_RCPT, false, "tls") && needs(p, STAGE_RCPT, false, "helo.form"), "conditions by name count");
    cr_expect(needs(p, STAGE_DATA, false, "greylist.age"));
    cr_expect_not(needs(p, STAGE_RCPT, true, "score"), "the walk makes it");
    policy_unref(&p);
    p = load_text("stage connect\n rule a monitor: header \"X-A\" \"x\", reject now when tls\n");
    cr_expect(needs(p, STAGE_CONNECT, true, "tls"));
    cr_expect_not(needs(p, STAGE_CONNECT, false, "tls"));
    cr_expect_eq(policy_header_count(p), 0);
    cr_expect_not(policy_may_speak(p, STAGE_CONNECT, 0));
    policy_unref(&p);
}

Test(load, who_may_speak_before_rcpt)
{
    struct policy *p = load_text("stage connect\n rule a: score 1\n rule b: reject when tls\n rule c: reject now when fcrdns = none\n"
                                 "stage helo\n rule d: tarpit 5s\nstage mail\n rule e: tempfail now\nstage rcpt\n rule f: tarpit 5s\n");
    cr_expect(policy_may_speak(p, STAGE_CONNECT, 0) && policy_may_speak(p, STAGE_CONNECT, 2));
    cr_expect_not(policy_may_speak(p, STAGE_CONNECT, 3));
    cr_expect(policy_may_speak(p, STAGE_HELO, 0));
    cr_expect_not(policy_may_speak(p, STAGE_HELO, 1));
    cr_expect(policy_may_speak(p, STAGE_MAIL, 0));
    cr_expect_not(policy_may_speak(p, STAGE_RCPT, 0));
    policy_unref(&p);
}

Test(load, declarations_and_the_facts_they_make)
{
    struct policy *p = load_text("dnsbl zen \"Zen.Example.\"\n"
                                 "dnsbl own \"{key}.own.example\" ipv4 no-probe key \"S3cret\"\n"
                                 "dnswl good \"good.example\" ipv6 whole-ipv6\n"
                                 "mark seen\nlist l word { a }\ncondition c: marked.seen or marked.trapped\n"
                                 "stage rcpt\n rule a: mark trapped 7d when c\n rule b: mark trapped 1d\n rule c: mark seen 1d\n");
    struct schema *s = policy_schema(p);
    const struct declaration *d = policy_declaration_of_fact(p, schema_find(s, STR("dnsbl.zen")));
    cr_assert_not_null(d);
    cr_expect(str_eq(d->zone, STR("zen.example")) && d->ipv4 && d->ipv6 && d->v6_bits == 64 && d->probe && !d->hide.n);
    d = policy_declaration_of_fact(p, schema_find(s, STR("dnsbl.own")));
    cr_assert_not_null(d);
    cr_expect(str_eq(d->zone, STR("s3cret.own.example")) && str_eq(d->hide, STR("s3cret")) && d->ipv4 && !d->ipv6 && !d->probe);
    cr_expect(str_eq(schema_fact(s, d->fact)->definition, STR("dnsbl <key>.own.example ipv4")), "the key is never shown");
    d = policy_declaration_of_fact(p, schema_find(s, STR("dnswl.good")));
    cr_assert_not_null(d);
    cr_expect(d->kind == DECLARE_DNSWL && d->ipv6 && !d->ipv4 && d->v6_bits == 128);
    cr_expect_eq(schema_fact(s, d->fact)->type, FACT_ADDRS);
    d = policy_declaration_of_fact(p, schema_find(s, STR("marked.trapped")));
    cr_assert_not_null(d);
    cr_expect_eq(d->kind, DECLARE_MARK);
    cr_expect_eq(schema_fact(s, d->fact)->type, FACT_BOOL);
    cr_expect_geq(schema_find(s, STR("marked.seen")), FACT_COUNT);
    cr_expect_null(policy_declaration_of_fact(p, FACT_CLIENT_IP));
    cr_expect_null(policy_declaration_of_fact(p, -1));
    static const enum declaration_kind kinds[] = {DECLARE_DNSBL, DECLARE_DNSBL, DECLARE_DNSWL, DECLARE_MARK, DECLARE_LIST, DECLARE_CONDITION,
                                                  DECLARE_MARK};
    cr_assert_eq(policy_declaration_count(p), 7);
    for (size_t i = 0; i < 7; i++)
        cr_expect_eq(policy_declaration(p, i)->kind, kinds[i]);
    policy_unref(&p);
}

Test(load, rules_stand_in_the_order_of_reading_and_includes_keep_to_themselves)
{
    struct memory_file files[] = {
        {"dir/main.policy", "stage connect\n rule a: score 1\ninclude \"sub/more.policy\"\n rule d: score 1\nstage helo\n rule e: score 1\n"},
        {"dir/sub/more.policy", "stage helo\n rule b: score 1 when late\nstage connect\n rule c: score 1 when client.ip in near\n"
                                "list near ip from \"near.cidr\"\ncondition late: tls\n"},
        {"dir/sub/near.cidr", "\xef\xbb\xbf" + 3},
    };
    struct diags diags = {0};
    struct policy *p = load_files(files, 3, &diags);
    cr_assert(p, "%s", diags.count ? diags.list[0].text : "");
    static const char *const connect[] = {"a", "c", "d"}, *const helo[] = {"b", "e"};
    cr_assert_eq(policy_rule_count(p, STAGE_CONNECT), 3);
    cr_assert_eq(policy_rule_count(p, STAGE_HELO), 2);
    for (size_t i = 0; i < 3; i++)
        cr_expect(str_eq(policy_rule(p, STAGE_CONNECT, i).name, str_of(connect[i])));
    for (size_t i = 0; i < 2; i++)
        cr_expect(str_eq(policy_rule(p, STAGE_HELO, i).name, str_of(helo[i])));
    cr_expect_str_eq(policy_rule(p, STAGE_CONNECT, 1).file, "dir/sub/more.policy");
    cr_expect_eq(policy_rule(p, STAGE_CONNECT, 1).line, 4);
    policy_unref(&p);
    diag_clear(&diags);
}

static const char *digest_of(const struct memory_file *files, size_t count, struct arena *arena)
{
    struct diags diags = {0};
    struct policy *p = load_files(files, count, &diags);
    cr_assert(p, "%s", diags.count ? diags.list[0].text : "");
    const char *digest = arena_cstr(arena, str_of(policy_digest(p)));
    policy_unref(&p);
    return digest;
}

Test(load, the_digest_knows_every_text_and_is_the_same_everywhere)
{
    struct arena arena = {0};
    struct memory_file one[] = {{"p", "list a ip from \"l\"\n"}, {"l", "192.0.2.1\n"}};
    struct memory_file comment[] = {{"p", "list a ip from \"l\"\n#\n"}, {"l", "192.0.2.1\n"}};
    struct memory_file list[] = {{"p", "list a ip from \"l\"\n"}, {"l", "192.0.2.2\n"}};
    const char *digest = digest_of(one, 2, &arena);
    cr_expect_eq(strlen(digest), 16);
    cr_expect_str_eq(digest, "e1ab8c8f7e82651f"); /* computed by another program */
    cr_expect_str_eq(digest, digest_of(one, 2, &arena));
    cr_expect_str_neq(digest, digest_of(comment, 2, &arena));
    cr_expect_str_neq(digest, digest_of(list, 2, &arena));
    arena_clear(&arena);
}

Test(load, texts_of_rules_are_one_line)
{
    struct policy *p = load_text("stage connect\n  rule a:   reject \"two  \\\" # spaces\"   when \\\n    fcrdns in { pass, # why\n   none }  # end\n");
    cr_expect(str_eq(policy_rule(p, STAGE_CONNECT, 0).text, STR("rule a: reject \"two  \\\" # spaces\" when fcrdns in { pass, none }")),
              "%.*s", STR_ARG(policy_rule(p, STAGE_CONNECT, 0).text));
    policy_unref(&p);
}

Test(load, a_policy_outlives_its_other_references)
{
    struct policy *p = load_text("stage connect\n rule a: score 1\n"), *other = policy_ref(p);
    policy_unref(&p);
    cr_expect_eq(policy_rule_count(other, STAGE_CONNECT), 1);
    policy_unref(&other);
    policy_unref(&other);
}

/* The same rate however it is written; read from the stage on in which its key is known, and counted only when a rule reads it. */
Test(load, rates_and_who_reads_them)
{
    struct policy *p = load_text("rate hourly recipients by client.net over 1h\nrate minutes messages by mail.domain over 90m\n"
                                 "rate unread recipients by rcpt.domain over 1d\nrate watched recipients by rcpt.domain over 24h\n"
                                 "condition much: rate.hourly > 10\n"
                                 "stage connect\n rule a: score 1 when much\n"
                                 "stage rcpt\n rule b monitor: reject \"{rate.watched}\"\n rule c: reject when rate.minutes > 3\n");
    struct schema *s = policy_schema(p);
    const struct declaration *d = policy_declaration_of_fact(p, schema_find(s, STR("rate.hourly")));
    cr_assert_not_null(d);
    cr_expect(d->kind == DECLARE_RATE && d->counts == RATE_RECIPIENTS && d->key == FACT_CLIENT_NET && d->window_ms == 3600000);
    const struct fact_info *info = schema_fact(s, d->fact);
    cr_expect(info->type == FACT_INT && info->stage == STAGE_CONNECT && info->flags == FACT_SNAPSHOT);
    cr_expect(str_eq(info->definition, STR("rate recipients by client.net over 1h")));
    d = policy_declaration_of_fact(p, schema_find(s, STR("rate.minutes")));
    cr_assert_not_null(d);
    cr_expect(str_eq(schema_fact(s, d->fact)->definition, STR("rate messages by mail.domain over 1h30m")));
    cr_expect_eq(schema_fact(s, d->fact)->stage, STAGE_MAIL);
    int unread = schema_find(s, STR("rate.unread")), watched = schema_find(s, STR("rate.watched"));
    cr_expect(str_eq(schema_fact(s, unread)->definition, schema_fact(s, watched)->definition));

    cr_assert_eq(policy_rate_count(p, RATE_RECIPIENTS), 2);
    cr_expect(str_eq(policy_rate(p, RATE_RECIPIENTS, 0)->name, STR("hourly")));
    cr_expect(str_eq(policy_rate(p, RATE_RECIPIENTS, 1)->name, STR("watched")));
    cr_assert_eq(policy_rate_count(p, RATE_MESSAGES), 1);
    cr_expect(str_eq(policy_rate(p, RATE_MESSAGES, 0)->name, STR("minutes")));
    cr_expect(policy_rate_count(p, RATE_CONNECTIONS) + policy_rate_count(p, RATE_ERRORS) + policy_rate_count(p, RATE_UNKNOWN) == 0);

    for (int stage = 0; stage < STAGE_COUNT; stage++)
        cr_expect_eq(policy_monitors_rates(p, (enum stage)stage), stage == STAGE_RCPT);
    struct fact_bits connect = policy_needs(p, STAGE_CONNECT, true), rcpt = policy_needs(p, STAGE_RCPT, true);
    cr_expect(fact_bit(&connect, FACT_CLIENT_NET), "what a rate is counted by is needed too");
    cr_expect(fact_bit(&rcpt, FACT_MAIL_DOMAIN) && fact_bit(&rcpt, FACT_RCPT_DOMAIN));
    policy_unref(&p);
}

Test(load, an_empty_policy_is_one)
{
    struct policy *p = load_text("");
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        cr_expect_eq(policy_rule_count(p, (enum stage)stage), 0);
    policy_unref(&p);
}

/* The tables of effects and of what rates count in policy/README.md are what the code writes. */
Test(markdown, the_reference_lists_effects_and_rates_as_they_are)
{
    same_table("effects", effects_markdown);
    same_table("rates", rates_markdown);
}
