/*
 * test_record.c - a transaction written as a line and judged again: the same under its own policy, a named difference under
 * another one, and no line, however broken, that does harm.
 */
#include "world.h"

static const char policy_text[] =
    "dnsbl zen \"zen.test\" no-probe\n"
    "stage connect\n"
    "  rule zen:      score 6 when dnsbl.zen in 127.0.0.2\n"
    "  rule tagged:   tag \"seen\" when client.ip is known\n"
    "  rule watch monitor: reject when score >= 1\n"
    "stage helo\n"
    "  rule bare:     reject \"{helo.name} is no name, {id}, see {help}\" when helo.form = bare\n"
    "stage mail\n"
    "  rule nobody:   score 2 when mail.null\n"
    "stage rcpt\n"
    "  rule post:     accept when rcpt.local = postmaster\n"
    "  rule listed:   reject \"listed by {dnsbl.listed}\" when score >= 6\n"
    "  rule grey:     greylist 5m when score >= 2\n"
    "stage data\n"
    "  rule big:      tempfail when msg.size > 1000000\n";

static const struct dns_row listed[] = {{"9.113.0.203.zen.test", DNS_A, "127.0.0.2", 10}, {0}};

/* A session that is run through all stages and written. */
struct made {
    struct world w;
    struct record record;
    struct record_recipient recipients[2];
    struct scope *refused_helo;
    struct buf line;
};

static void decide_one(struct made *m, struct scope *s, struct stage_verdict *v)
{
    struct decide_input in = {.score = ruling_score(m->record.verdicts, s->stage), .id = s->stage <= STAGE_HELO ? m->record.session_id : m->record.id};
    decide_open(s);
    world_decide(&m->w, s, &in, &v->walk);
    v->present = true;
}

static void decide_main(struct made *m, struct scope *s)
{
    m->record.scopes[s->stage] = s;
    decide_one(m, s, &m->record.verdicts[s->stage]);
}

static void add_recipient(struct made *m, size_t i, const char *address)
{
    struct record_recipient *to = &m->recipients[i];
    *to = (struct record_recipient){.scope = world_rcpt(&m->w, address), .address = world_path(&m->w, address).whole,
                                    .reply = STR("250 2.1.5 ok"), .by = "policy", .accepted = true};
    decide_one(m, to->scope, &to->verdict);
    if (i)
        m->recipients[i - 1].next = to;
    else
        m->record.recipients = to;
}

static void begin(struct made *m, const char *policy, const struct dns_row *rows)
{
    memset(m, 0, sizeof(*m));
    world_init(&m->w, policy, rows);
    m->record = (struct record){.id = STR("T1"), .session_id = STR("S1"), .start_wall_ms = 1800000000000, .end_wall_ms = 1800000001234,
                                .policy = m->w.policy, .listener = STR("*:25"), .esmtp = true, .reply = STR("250 2.0.0 done"),
                                .reply_by = "backend", .end = "delivered", .backend = STR("127.0.0.1:10025"), .negative_limit = 10,
                                .help = STR("help.test")};
    addr_parse(STR("203.0.113.9"), &m->record.client.addr);
    m->record.client.port = 40000;
    decide_main(m, world_connect(&m->w, "203.0.113.9"));
}

/* helo, from: given names. to, other: recipients; NULL: none. */
static void make(struct made *m, const char *policy, const struct dns_row *rows, const char *helo, const char *from, const char *to, const char *other)
{
    begin(m, policy, rows);
    decide_main(m, world_helo(&m->w, helo));
    decide_main(m, world_mail(&m->w, from));
    if (to)
        add_recipient(m, 0, to);
    if (other)
        add_recipient(m, 1, other);
    if (to)
        decide_main(m, world_data(&m->w, 1234));
    record_write(&m->record, &m->line);
}

static void unmake(struct made *m)
{
    for (size_t i = 0; i < 2; i++)
        scope_unref(&m->recipients[i].scope);
    scope_unref(&m->refused_helo);
    buf_free(&m->line);
    world_clear(&m->w);
}

static bool line_has(const struct made *m, const char *part)
{
    return memmem(m->line.p, m->line.n, part, strlen(part)) != NULL;
}

static struct record_judgement judge(struct made *m, struct policy *p)
{
    return record_judge(buf_view(&m->line), p, &m->w.arena);
}

static void expect_same(struct made *m, const char *what)
{
    struct record_judgement out = judge(m, m->w.policy);
    cr_expect(out.readable && out.same_policy && out.same, "%s: %.*s\n%.*s", what, STR_ARG(out.why), STR_ARG(buf_view(&m->line)));
    cr_expect(str_eq(out.was, out.now), "%s: was %.*s, now %.*s", what, STR_ARG(out.was), STR_ARG(out.now));
    cr_expect(!line_has(m, "inconsistent"), "%s", what);
    cr_expect_eq(out.why.n, 0);
}

static void expect_was(struct made *m, const char *verdict)
{
    struct record_judgement out = judge(m, m->w.policy);
    cr_expect(str_eq(out.was, str_of(verdict)), "was %.*s, expected %s", STR_ARG(out.was), verdict);
}

/* --- written and judged --- */

Test(record, a_judged_the_same_by_its_own_policy)
{
    static const struct { const struct dns_row *rows; const char *helo, *from, *to, *other, *was; } cases[] = {
        {NULL, "client.example", "<a@sender.example>", "<u@our.test>", NULL, "none"},
        {listed, "client.example", "<a@sender.example>", "<u@our.test>", NULL, "none"}, /* decided in data */
        {listed, "client.example", "<a@sender.example>", "<postmaster@our.test>", "<u@our.test>", "none"},
        {NULL, "bare", "<>", "<postmaster@our.test>", "<u@our.test>", "reject by bare"},
        {NULL, "client.example", "<>", "<u@our.test>", NULL, "none"},
        {NULL, "client.example", "<>", NULL, NULL, "none"},
        {NULL, "\xff\xc3(", "<\"a\\\"b\"@sender.example>", "<u@our.test>", NULL, "none"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct made m;
        char what[32];
        snprintf(what, sizeof(what), "case %zu", i);
        make(&m, policy_text, cases[i].rows, cases[i].helo, cases[i].from, cases[i].to, cases[i].other);
        expect_same(&m, what);
        expect_was(&m, cases[i].was);
        cr_expect_eq(m.line.p[m.line.n - 1], '\n');
        cr_expect_null(memchr(m.line.p, '\n', m.line.n - 1), "one line");
        unmake(&m);
    }
}

Test(record, b_what_a_line_holds)
{
    struct made m;
    make(&m, policy_text, listed, "client.example", "<a@sender.example>", "<u@our.test>", "<postmaster@our.test>");
    static const char *const parts[] = {
        "{\"v\":1,\"id\":\"T1\",\"session\":\"S1\",\"time\":\"2027-01-15T08:00:00.000Z\",\"client\":\"203.0.113.9\",\"port\":40000,\"listener\":\"*:25\"",
        "\"dnsbl.zen\":[[\"127.0.0.2\"],10]",
        "\"declared\":{\"dnsbl.zen\":\"",
        "\"action\":\"reject\",\"rule\":\"listed\",\"code\":550,\"enhanced\":\"5.7.1\",\"text\":\"listed by zen\"",
        "\"ruling\":\"reject by listed\"",
        "\"ruling\":\"accept by post\"",
        "\"headers\":[[\"X-Postern-Tag\",\"seen\"]]",
        "\"effect\":\"would reject",
        "\"by\":\"backend\",\"end\":\"delivered\",\"backend\":\"127.0.0.1:10025\",\"ms\":1234}",
    };
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
        cr_expect(line_has(&m, parts[i]), "%s is not in\n%.*s", parts[i], STR_ARG(buf_view(&m.line)));
    cr_expect(line_has(&m, policy_digest(m.w.policy)));
    unmake(&m);
}

/* The client left: a stage has facts and no verdict; a recipient was refused before any scope. */
Test(record, c_incomplete_transactions)
{
    struct made m;
    begin(&m, policy_text, NULL);
    m.record.scopes[STAGE_HELO] = world_helo(&m.w, "client.example");
    decide_open(m.record.scopes[STAGE_HELO]);
    struct record_recipient relay = {.address = STR("x@elsewhere.test"), .reply = STR("550 5.7.1 no relay"), .by = "postern"};
    m.record.recipients = &relay;
    m.record.end = "client-left";
    m.record.reply = m.record.backend = STR_NONE;
    m.record.reply_by = NULL;
    record_write(&m.record, &m.line);
    expect_same(&m, "client left in helo");
    cr_expect(line_has(&m, "\"helo.form\":[\"name\""));
    cr_expect(line_has(&m, "\"verdict\":null,\"trace\":null}}"));
    cr_expect(line_has(&m, "{\"address\":\"x@elsewhere.test\",\"reply\":\"550 5.7.1 no relay\",\"by\":\"postern\",\"accepted\":false}"));
    cr_expect(line_has(&m, "\"by\":null,\"end\":\"client-left\""));
    unmake(&m);
}

/* Evidence that came after the verdict is recorded and changes neither verdict nor judgement. */
Test(record, d_late_evidence)
{
    static const struct dns_row slow[] = {{"9.113.0.203.zen.test", DNS_A, "127.0.0.2", 3000}, {0}};
    struct made m;
    begin(&m, "dnsbl zen \"zen.test\" no-probe\n"
              "stage connect\n"
              "  rule ours:  accept when client.ip in 203.0.113.0/24\n"
              "  rule zen:   reject when dnsbl.zen in 127.0.0.2\n"
              "  rule watch monitor: reject when dnsbl.zen in 127.0.0.2\n", slow);
    struct scope *s = m.record.scopes[STAGE_CONNECT];
    cr_expect(!decide_gather(s));
    record_write(&m.record, &m.line);
    expect_same(&m, "before it came");
    cr_expect(!line_has(&m, "127.0.0.2"));
    buf_clear(&m.line);
    while (!decide_gather(s))
        cr_assert(loop_turn(m.w.loop, true));
    record_write(&m.record, &m.line);
    expect_same(&m, "after it came");
    cr_expect(line_has(&m, "\"dnsbl.zen\":[[\"127.0.0.2\"],3000]"));
    unmake(&m);
}

/* HELO with a refused name, then another name: the refusal stays, with the facts that made it. */
Test(record, e_sticky_helo)
{
    struct made m;
    begin(&m, policy_text, NULL);
    struct scope *bare = world_helo(&m.w, "bare");
    decide_main(&m, bare);
    cr_assert_eq(m.record.verdicts[STAGE_HELO].walk.action, ACTION_REJECT);
    m.refused_helo = bare;
    m.record.sticky_helo = true;
    m.record.sticky_scope = bare;
    m.record.scopes[STAGE_HELO] = world_helo(&m.w, "client.example"); /* takes its place; the refused one is ours to drop */
    decide_open(m.record.scopes[STAGE_HELO]);
    decide_main(&m, world_mail(&m.w, "<a@sender.example>"));
    add_recipient(&m, 0, "<u@our.test>");
    record_write(&m.record, &m.line);
    expect_same(&m, "sticky");
    expect_was(&m, "reject by bare");
    cr_expect(line_has(&m, "\"sticky_helo\":{\"facts\":{"));
    cr_expect(line_has(&m, "\"text\":\"bare is no name, S1, see help.test\""));
    cr_expect(line_has(&m, "\"helo.name\":[\"client.example\","));
    cr_expect(line_has(&m, "\"ruling\":\"reject by bare\""));
    unmake(&m);
}

/* Should a walk ever differ from what was decided, the record says so and no judge calls it the same. */
Test(record, f_inconsistency_is_said)
{
    struct made m;
    make(&m, policy_text, NULL, "client.example", "<a@sender.example>", "<u@our.test>", NULL);
    buf_clear(&m.line);
    m.record.verdicts[STAGE_MAIL].walk.action = ACTION_REJECT;
    record_write(&m.record, &m.line);
    cr_expect(line_has(&m, "\"inconsistent\":true"));
    struct record_judgement out = judge(&m, m.w.policy);
    cr_expect(out.readable && !out.same && out.why.n);
    unmake(&m);
}

/* --- another policy --- */

static char *replaced(const char *text, const char *old, const char *new)
{
    const char *at = strstr(text, old);
    cr_assert(at, "%s", old);
    struct buf b = {0};
    buf_put(&b, text, (size_t)(at - text));
    buf_cstr(&b, new);
    buf_cstr(&b, at + strlen(old));
    return buf_steal(&b);
}

Test(record, g_a_changed_policy_gives_a_named_difference)
{
    static const struct { const char *old, *new, *why, *now; } cases[] = {
        {"score >= 6", "score >= 7", "rcpt <u@our.test>: was reject by listed, now undecided", "undecided at rcpt"}, /* nobody asked the greylist then */
        {"score >= 2", "score >= 3", "", "reject by listed"}, /* not reached */
        {"listed:   reject", "caught:   reject", "rcpt <u@our.test>: was reject by listed, now reject by caught", "reject by caught"},
        {"reject \"listed by {dnsbl.listed}\"", "reject 554 5.7.1 \"no\"", "rcpt <u@our.test>: reject by listed, but code was 550, now 554", "reject by listed"},
        {"zen:      score 6", "zen:      score 5", "connect: none, but score was 6, now 5", "undecided at rcpt"},
        {"accept when rcpt.local = postmaster", "accept when rcpt.local in { postmaster, u }",
         "rcpt <u@our.test>: was reject by listed, now accept by post", "accept by post"},
        {"reject \"{helo.name}", "reject \"your name {helo.name}", "", "reject by listed"}, /* texts that nobody was told */
        {"mail.null", "mail.null or mail.from is absent", "mail: rule nobody: saw", "reject by listed"},
        {"rule watch monitor: reject when score >= 1", "rule watch monitor: reject when score >= 7", "connect: rule watch: result was fired, now no", "reject by listed"},
        {"  rule watch monitor: reject when score >= 1\n", "", "connect: rule watch is gone", "reject by listed"},
        {"  rule tagged:", "  rule fresh: tag \"fresh\" when tls\n  rule tagged:", "connect: rule fresh was not there", "reject by listed"},
        /* the same name, but another list: its fact is not the recorded one */
        {"\"zen.test\"", "\"other.test\"", "connect: was none, now undecided", "undecided at connect"},
        {"  rule tagged:", "  rule slow: reject when fcrdns = none\n  rule tagged:", "connect: was none, now undecided", "undecided at connect"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct made m;
        begin(&m, policy_text, listed);
        decide_main(&m, world_helo(&m.w, "client.example"));
        decide_main(&m, world_mail(&m.w, "<a@sender.example>"));
        add_recipient(&m, 0, "<u@our.test>");
        record_write(&m.record, &m.line);
        expect_same(&m, "own policy");
        expect_was(&m, "reject by listed");
        char *text = replaced(policy_text, cases[i].old, cases[i].new);
        struct policy *other = policy_of(text);
        struct record_judgement out = judge(&m, other);
        cr_expect(out.readable && !out.same_policy, "case %zu: %.*s", i, STR_ARG(out.why));
        cr_expect_eq(out.same, !*cases[i].why, "case %zu", i);
        cr_expect(str_starts(out.why, str_of(cases[i].why)), "case %zu: %.*s", i, STR_ARG(out.why));
        cr_expect(str_eq(out.now, str_of(cases[i].now)), "case %zu: now %.*s", i, STR_ARG(out.now));
        policy_unref(&other);
        free(text);
        unmake(&m);
    }
}

/* Another policy with the very same rules, digest apart: a comment is no difference. */
Test(record, h_a_comment_is_no_difference)
{
    struct made m;
    make(&m, policy_text, listed, "client.example", "<a@sender.example>", "<u@our.test>", NULL);
    struct buf text = {0};
    buf_cstr(&text, "# a word\n");
    buf_cstr(&text, policy_text);
    char *with_comment = buf_steal(&text);
    struct policy *other = policy_of(with_comment);
    struct record_judgement out = judge(&m, other);
    cr_expect(out.readable && !out.same_policy && out.same, "%.*s", STR_ARG(out.why));
    policy_unref(&other);
    free(with_comment);
    unmake(&m);
}

/*
 * A rate is recorded where it was read, each stage with its own count. Under a limit of another height it is the same fact; counted of something
 * else, by something else or over another time it is not, whatever its name.
 */
Test(record, i_rates_are_what_they_were_declared_as)
{
    static const char rates[] = "rate r recipients by client.net over 1h\n"
                                "stage connect\n  rule c monitor: reject when rate.r >= 2\n"
                                "stage rcpt\n  rule limit: tempfail \"{rate.r}\" when rate.r >= 3\n";
    static const struct { const char *old, *new, *now; bool same; } cases[] = {
        {"1h", "60m", "tempfail by limit", true},
        {"rate.r >= 3", "rate.r >= 4", "none", false},
        {"1h", "2h", "undecided at rcpt", false},
        {"recipients", "unknown", "undecided at rcpt", false},
        {"client.net", "client.ip", "undecided at rcpt", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct made m;
        begin(&m, rates, NULL);
        loop_settle(m.w.loop);
        decide_gather(m.record.scopes[STAGE_CONNECT]); /* the monitor rule's, behind the verdict */
        decide_main(&m, world_helo(&m.w, "client.example"));
        decide_main(&m, world_mail(&m.w, "<a@sender.example>"));
        rate_count(m.record.scopes[STAGE_MAIL], policy_rate(m.w.policy, RATE_RECIPIENTS, 0), 3);
        add_recipient(&m, 0, "<u@our.test>");
        record_write(&m.record, &m.line);
        expect_same(&m, "own policy");
        expect_was(&m, "tempfail by limit");
        cr_expect(line_has(&m, "\"declared\":{\"rate.r\":\"rate recipients by client.net over 1h\"}"));
        cr_expect(line_has(&m, "\"rate.r\":[0,") && line_has(&m, "\"rate.r\":[3,"), "%.*s", STR_ARG(buf_view(&m.line)));
        char *text = replaced(rates, cases[i].old, cases[i].new);
        struct policy *other = policy_of(text);
        struct record_judgement out = judge(&m, other);
        cr_expect(out.readable && out.same == cases[i].same, "case %zu: %.*s", i, STR_ARG(out.why));
        cr_expect(str_eq(out.now, str_of(cases[i].now)), "case %zu: now %.*s", i, STR_ARG(out.now));
        policy_unref(&other);
        free(text);
        unmake(&m);
    }
}

/* --- broken and hostile lines --- */

Test(record, j_every_truncation_is_unreadable)
{
    struct made m;
    make(&m, policy_text, listed, "client.example", "<a@sender.example>", "<u@our.test>", "<postmaster@our.test>");
    for (size_t n = 0; n + 1 < m.line.n; n++) {
        struct arena arena = {0};
        char *exact = malloc(n + 1); /* exactly as long as it is, so that reading past it is seen */
        memcpy(exact, m.line.p, n);
        struct record_judgement out = record_judge((struct str){exact, n}, m.w.policy, &arena);
        cr_assert(!out.readable && !out.same && out.why.n, "%zu bytes", n);
        free(exact);
        arena_clear(&arena);
    }
    unmake(&m);
}

/* Each byte changed in turn: it may be unreadable, different, or (in what is not judged) the same; it does no harm. */
Test(record, k_every_byte_changed)
{
    static const char bytes[] = {'"', '{', ']', ',', '0', 'x', '\\', ' ', '\0', '\xff'};
    struct made m;
    make(&m, policy_text, listed, "client.example", "<a@sender.example>", "<u@our.test>", NULL);
    size_t readable = 0, different = 0;
    for (size_t i = 0; i < m.line.n; i++) {
        for (size_t b = 0; b < sizeof(bytes); b++) {
            struct arena arena = {0};
            char was = m.line.p[i];
            m.line.p[i] = bytes[b];
            struct record_judgement out = record_judge(buf_view(&m.line), m.w.policy, &arena);
            readable += out.readable;
            different += out.readable && !out.same;
            cr_assert(out.readable || (!out.same && out.why.n));
            cr_assert(ascii_printable(out.why), "%.*s", STR_ARG(out.why));
            m.line.p[i] = was;
            arena_clear(&arena);
        }
    }
    cr_expect(readable > 0 && different > 0);
    unmake(&m);
}

Test(record, l_hostile_lines)
{
    static const struct { const char *line, *why; } cases[] = {
        {"", "not JSON at byte 1"}, {"null", "an object was expected"}, {"[]", "an object was expected"}, {"{}", "not a record"},
        {"{\"v\":2}", "v: only version 1"}, {"{\"v\":\"1\"}", "v: only version 1"}, {"{\"v\":1}{", "not JSON"}, {"{\"v\":1} x", "not JSON"},
        {"{\"v\":1,\"negative_limit\":-1}", "negative_limit: a number"}, {"{\"v\":1,\"negative_limit\":1e99}", ""},
        {"{\"v\":1,\"negative_limit\":9223372036854775807}", "negative_limit: a number"},
        {"{\"v\":1,\"stages\":[]}", "stages: an object"}, {"{\"v\":1,\"stages\":{\"connect\":1}}", "connect: an object"},
        {"{\"v\":1,\"recipients\":{}}", "recipients: a list"}, {"{\"v\":1,\"recipients\":[1]}", "recipients: an object"},
        {"{\"v\":1,\"id\":7}", "id: text was expected"},
        {"{\"v\":1,\"stages\":{\"connect\":{\"facts\":{\"fcrdns\":\"pass\"}}}}", "fcrdns: this fact's value"},
        {"{\"v\":1,\"stages\":{\"connect\":{\"facts\":{\"fcrdns\":[\"maybe\",1]}}}}", "fcrdns: this fact's value"},
        {"{\"v\":1,\"stages\":{\"connect\":{\"facts\":{\"fcrdns\":[\"pass\",1,2]}}}}", "fcrdns: this fact's value"},
        {"{\"v\":1,\"stages\":{\"connect\":{\"facts\":{\"a\\nb\\u0000\":1}}}}", "a\\nb\\x00: this fact's value"},
        {"{\"v\":1,\"stages\":{\"connect\":{\"facts\":{\"client.ip\":[[[[[[]]]]],1]}}}}", "client.ip: this fact's value"},
    };
    struct policy *p = policy_of(policy_text);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct arena arena = {0};
        struct record_judgement out = record_judge(str_of(cases[i].line), p, &arena);
        if (!*cases[i].why)
            cr_expect(out.readable, "case %zu: %.*s", i, STR_ARG(out.why));
        else
            cr_expect(!out.readable && str_starts(out.why, str_of(cases[i].why)), "case %zu: %.*s", i, STR_ARG(out.why));
        arena_clear(&arena);
    }
    policy_unref(&p);
}

/* Facts in scopes where they do not belong, twice, or unknown to the schema: left out, and nothing is asserted. */
Test(record, m_facts_out_of_place)
{
    static const char *const facts[] = {
        "\"msg.size\":[5,1]", "\"rcpt.address\":[\"x\",1]", "\"mail.from\":[\"x\",1]", "\"helo.name\":[\"x\",1]", "\"client.ip\":[\"192.0.2.1\",1]",
        "\"client.ip\":[\"192.0.2.1\",1],\"client.ip\":[\"192.0.2.2\",1]", "\"score\":[5,1]", "\"greylist.age\":[60000,1]",
        "\"greylist.age\":[9223372036854775807,1]", "\"manners.errors\":[9223372036854775807,1]", "\"tls\":[\"yes\",1]", "\"tls\":[true,1]",
        "\"class\":[\"x\",1]", "\"dnsbl.zen\":[[\"127.0.0.2\"],1]", "\"dnsbl.nosuch\":[[\"127.0.0.2\"],1]", "\"nosuch\":[{\"a\":[1,2,{}]},1]",
        "\"fcrdns\":[{\"unknown\":true},1]", "\"fcrdns\":[{\"error\":\"x\"},-1]", "\"fcrdns\":[null,99999999999]",
    };
    static const char *const stages[] = {"connect", "helo", "mail", "rcpt", "data", "nosuch"};
    struct policy *p = policy_of(policy_text);
    for (size_t i = 0; i < sizeof(facts) / sizeof(*facts); i++) {
        for (size_t s = 0; s < sizeof(stages) / sizeof(*stages); s++) {
            struct arena arena = {0};
            struct buf b = {0};
            buf_printf(&b, "{\"v\":1,\"stages\":{\"%s\":{\"facts\":{%s},\"verdict\":{\"action\":\"none\"}},\"data\":{\"verdict\":{}}},"
                           "\"sticky_helo\":{\"facts\":{%s},\"verdict\":{}},\"recipients\":[{\"facts\":{%s},\"verdict\":{}}]}",
                       stages[s], facts[i], facts[i], facts[i]);
            struct record_judgement out = record_judge(buf_view(&b), p, &arena);
            cr_expect(out.readable && !out.same, "%.*s: %.*s", STR_ARG(buf_view(&b)), STR_ARG(out.why));
            buf_free(&b);
            arena_clear(&arena);
        }
    }
    policy_unref(&p);
}

/* White space and escapes of another writer are no difference. */
Test(record, n_written_by_another_tool)
{
    struct made m;
    make(&m, policy_text, NULL, "client.example", "<a@sender.example>", "<u@our.test>", NULL);
    struct buf spaced = {0};
    bool inside = false;
    for (size_t i = 0; i < m.line.n; i++) {
        char c = m.line.p[i];
        inside ^= c == '"' && m.line.p[i - 1] != '\\';
        buf_char(&spaced, c);
        if (!inside && strchr("{}[],:", c))
            buf_cstr(&spaced, " \t");
    }
    struct record_judgement out = record_judge(buf_view(&spaced), m.w.policy, &m.w.arena);
    cr_expect(out.readable && out.same, "%.*s", STR_ARG(out.why));
    buf_free(&spaced);
    unmake(&m);
}
