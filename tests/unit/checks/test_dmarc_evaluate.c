/*
 * The tree walk, policy discovery, alignment and the verdict (RFC 9989 4.4, 4.10, 5.3), over a zone in memory. Each case is
 * evaluated with all answers there at once and with one more answer at each run, in both orders: the result must be the same.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/checks/dmarc.h"

enum { ASKED_MAX = 128 };

struct zone {
    const char *text;        /* "NAME RECORD|NAME !status|...": TXT of _dmarc.NAME; "=NAME !status": A of NAME itself */
    bool all, backwards;     /* all answers at once; the last question of a run is answered first */
    char asked[ASKED_MAX][300];
    bool known[ASKED_MAX];
    struct dns_answer *answers[ASKED_MAX];
    size_t count;
};

static const struct { const char *word; enum dns_status status; } statuses[] = {
    {"nodata", DNS_NODATA}, {"nxdomain", DNS_NXDOMAIN}, {"servfail", DNS_SERVFAIL}, {"timeout", DNS_TIMEOUT},
    {"limit", DNS_LIMIT},
};

static struct dns_answer *answer_text(struct str name, struct str what)
{
    struct dns_build b = {0};

    if (what.n && what.p[0] == '!') {
        for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
            if (str_eq(str_sub(what, 1, what.n), str_of(statuses[i].word)))
                return dns_answer_status(statuses[i].status, 60);
        cr_assert_fail("status [%.*s]", STR_ARG(what));
    }
    dns_build_begin(&b, name, DNS_TXT, 0);
    struct str record;
    while (str_split(&what, '&', &record)) { /* several records at one name */
        char quoted[600];
        snprintf(quoted, sizeof quoted, "\"%.*s\"", STR_ARG(record));
        cr_assert(dns_build_record(&b, name, DNS_TXT, 60, str_of(quoted)), "%s", quoted);
    }
    struct str message = dns_build_end(&b);
    struct dns_answer *a = dns_answer_parse((const uint8_t *)message.p, message.n, name, DNS_TXT);
    buf_free(&b.out);
    return a;
}

static struct dns_answer *look_up(const struct zone *z, struct str name, unsigned type)
{
    struct str rest = str_of(z->text), line;

    while (str_split(&rest, '|', &line)) {
        size_t space = str_find(line, ' ', 0);
        struct str owner = str_sub(line, 0, space), what = str_sub(line, space + 1, line.n);
        bool itself = owner.n && owner.p[0] == '=';
        if (itself ? type == DNS_A && str_eq(name, str_sub(owner, 1, owner.n))
                   : type == DNS_TXT && str_starts(name, STR("_dmarc.")) && str_eq(str_sub(name, 7, name.n), owner))
            return answer_text(name, what);
    }
    return dns_answer_status(type == DNS_A ? DNS_NODATA : DNS_NXDOMAIN, 60);
}

static const struct dns_answer *ask(void *context, struct str name, unsigned type)
{
    struct zone *z = context;

    for (size_t i = 0; i < z->count; i++)
        if (str_eq(str_of(z->asked[i]), name))
            return z->known[i] ? z->answers[i] : NULL;
    cr_assert(z->count < ASKED_MAX && name.n < sizeof z->asked[0]);
    snprintf(z->asked[z->count], sizeof z->asked[0], "%.*s", STR_ARG(name));
    z->answers[z->count] = look_up(z, name, type);
    z->known[z->count] = z->all;
    return z->all ? z->answers[z->count++] : (z->count++, NULL);
}

static void reveal_one(struct zone *z)
{
    for (size_t n = 0; n < z->count; n++) {
        size_t i = z->backwards ? z->count - 1 - n : n;
        if (!z->known[i]) {
            z->known[i] = true;
            return;
        }
    }
    cr_assert_fail("nothing is left to answer");
}

static void zone_clear(struct zone *z)
{
    for (size_t i = 0; i < z->count; i++)
        dns_answer_unref(&z->answers[i]);
}

/* "pass both reject example.com", "temperror", "fail none quarantine example.com test". */
static void format(const struct dmarc_result *r, char out[400])
{
    const char *aligned = r->spf_aligned && r->dkim_aligned ? "both" : r->spf_aligned ? "spf" : r->dkim_aligned ? "dkim" : "none";
    bool decided = r->verdict == DMARC_PASS || r->verdict == DMARC_FAIL;

    snprintf(out, 400, "%s%s%s%s%s%s%.*s%s", dmarc_verdict_names[r->verdict], decided ? " " : "", decided ? aligned : "",
             r->applies ? " " : "", r->applies ? dmarc_policy_names[r->policy] : "", r->applies ? " " : "",
             r->applies ? (int)r->domain.n : 0, r->applies ? r->domain.p : "", r->applies && r->test ? " test" : "");
    cr_assert_eq(r->problem.n > 0, r->verdict == DMARC_TEMPERROR, "a temperror says why, nothing else does");
}

struct scene {
    const char *author;
    const char *spf, *dkim; /* domains that pass, dkim with spaces between; "": none, "?": not known; "?a.example": not yet */
    const char *zone;
    const char *outcome;
};

static size_t evaluate(const struct scene *s, bool all, bool backwards, char out[400])
{
    struct zone *z = xcalloc(1, sizeof *z);
    struct arena arena = {0};
    struct str domains[80], pending[8], rest = str_of(s->dkim), one;
    struct dmarc_input in = {.author = str_of(s->author), .spf_known = strcmp(s->spf, "?") != 0, .dkim = domains,
                             .pending = pending};
    struct dmarc_result r;
    size_t runs = 1;

    *z = (struct zone){.text = s->zone, .all = all, .backwards = backwards};
    in.dkim_known = true;
    if (in.spf_known)
        in.spf_domain = str_of(s->spf);
    while (str_split(&rest, ' ', &one)) {
        if (str_eq(one, STR("?")))
            in.dkim_known = false;
        else if (one.n && one.p[0] == '?')
            pending[in.pending_count++] = str_sub(one, 1, one.n);
        else if (one.n)
            domains[in.dkim_count++] = one;
    }
    for (; !dmarc_evaluate(&in, ask, z, &arena, &r); runs++) {
        cr_assert_not(all, "%s: waits with all answers there", s->author);
        reveal_one(z);
    }
    format(&r, out);
    size_t asked = z->count;
    zone_clear(z);
    free(z);
    arena_clear(&arena);
    return all ? asked : runs;
}

static void judge(const struct scene *scenes, size_t n)
{
    char out[400];

    for (size_t i = 0; i < n; i++)
        for (int mode = 0; mode < 3; mode++) {
            evaluate(&scenes[i], mode == 0, mode == 2, out);
            cr_assert_str_eq(out, scenes[i].outcome, "case %zu, author %s, spf %s, dkim %s, zone %s, mode %d: [%s], not [%s]", i,
                             scenes[i].author, scenes[i].spf, scenes[i].dkim, scenes[i].zone, mode, out, scenes[i].outcome);
        }
}
#define JUDGE(scenes) judge(scenes, sizeof scenes / sizeof *scenes)

#define REJECT "v=DMARC1; p=reject"

/* --- 4.10: the walk --- */

static void walk_of(const char *author, const char *zone, const char *const *names)
{
    struct zone z = {.text = zone, .all = true};
    struct arena arena = {0};
    struct dmarc_input in = {.author = str_of(author), .spf_known = true, .dkim_known = true};
    struct dmarc_result r;
    size_t i = 0;

    cr_assert(dmarc_evaluate(&in, ask, &z, &arena, &r));
    for (; names[i]; i++)
        cr_assert(i < z.count && strcmp(z.asked[i], names[i]) == 0, "%s: question %zu is %s, not %s", author, i, z.asked[i],
                  names[i]);
    cr_assert_eq(z.count, i, "%s: %zu questions, not %zu; the next is %s", author, z.count, i, z.asked[i]);
    cr_assert_eq(r.questions, i);
    zone_clear(&z);
    arena_clear(&arena);
}

Test(dmarc_walk, the_names_of_the_example_in_section_4_10)
{
    walk_of("a.b.c.d.e.f.g.h.i.j.mail.example.com", "",
            (const char *const[]){"_dmarc.a.b.c.d.e.f.g.h.i.j.mail.example.com", "_dmarc.g.h.i.j.mail.example.com",
                                  "_dmarc.h.i.j.mail.example.com", "_dmarc.i.j.mail.example.com", "_dmarc.j.mail.example.com",
                                  "_dmarc.mail.example.com", "_dmarc.example.com", "_dmarc.com", NULL});
}

Test(dmarc_walk, the_names_of_the_example_in_section_5_1_8)
{
    walk_of("mail.a.b.c.d.e.f.g.example.com", "",
            (const char *const[]){"_dmarc.mail.a.b.c.d.e.f.g.example.com", "_dmarc.c.d.e.f.g.example.com",
                                  "_dmarc.d.e.f.g.example.com", "_dmarc.e.f.g.example.com", "_dmarc.f.g.example.com",
                                  "_dmarc.g.example.com", "_dmarc.example.com", "_dmarc.com", NULL});
}

Test(dmarc_walk, eight_seven_and_one_labels)
{
    walk_of("a.b.c.d.e.f.g.h", "",
            (const char *const[]){"_dmarc.a.b.c.d.e.f.g.h", "_dmarc.b.c.d.e.f.g.h", "_dmarc.c.d.e.f.g.h", "_dmarc.d.e.f.g.h",
                                  "_dmarc.e.f.g.h",
                                  "_dmarc.f.g.h", "_dmarc.g.h", "_dmarc.h", NULL});
    walk_of("b.c.d.e.f.g.h", "",
            (const char *const[]){"_dmarc.b.c.d.e.f.g.h", "_dmarc.c.d.e.f.g.h", "_dmarc.d.e.f.g.h", "_dmarc.e.f.g.h",
                                  "_dmarc.f.g.h", "_dmarc.g.h",
                                  "_dmarc.h", NULL});
    walk_of("h", "", (const char *const[]){"_dmarc.h", NULL});
}

Test(dmarc_walk, labels_without_number_cost_eight_questions)
{
    char name[254], out[400];

    for (size_t i = 0; i < 252; i += 2)
        memcpy(name + i, "a.", 2);
    memcpy(name + 252, "a", 2);
    struct scene s = {name, "", "", "a " REJECT, "fail none reject a"};
    cr_assert_eq(evaluate(&s, true, false, out), 8);
    cr_assert_str_eq(out, s.outcome);
}

/* --- 4.10.2: the organizational domain --- */

static const struct scene organizational[] = {
    /* the three examples at the end of 4.10.2, seen through alignment and through the record that applies */
    {"a.mail.example.com", "example.com", "", "mail.example.com v=DMARC1; p=none|example.com " REJECT,
     "pass spf reject example.com"},
    {"a.mail.example.com", "", "x.example.com", "mail.example.com v=DMARC1; p=none|example.com " REJECT,
     "pass dkim reject example.com"},
    {"a.mail.example.com", "mail.example.com", "", "mail.example.com " REJECT "; psd=n|example.com v=DMARC1; p=none",
     "pass spf reject mail.example.com"},
    {"a.mail.example.com", "example.com", "", "mail.example.com " REJECT "; psd=n|example.com v=DMARC1; p=none",
     "fail none reject mail.example.com"},
    {"a.mail.example.com", "example.com", "", "com " REJECT "; psd=y", "pass spf reject com"},
    {"a.mail.example.com", "b.example.com", "other.com", "com " REJECT "; psd=y", "pass spf reject com"},
    {"a.mail.example.com", "", "other.com com", "com " REJECT "; psd=y", "fail none reject com"},
    /* the example in rule 2: psd=y at example.com */
    {"mail.example.com", "example.com", "", "example.com " REJECT "; psd=y", "fail none reject example.com"},
    {"mail.example.com", "x.mail.example.com", "", "example.com " REJECT "; psd=y", "pass spf reject example.com"},
    {"mail.example.com", "other.example.com", "", "example.com " REJECT "; psd=y", "fail none reject example.com"},
    /* psd=y where the walk starts does not move the organizational domain */
    {"example.com", "example.com", "", "example.com " REJECT "; psd=y", "pass spf reject example.com"},
    {"example.com", "sub.example.com", "", "example.com " REJECT "; psd=y", "fail none reject example.com"},
    {"example.com", "", "sub.example.com", "sub.example.com " REJECT "; psd=n|example.com " REJECT,
     "fail none reject example.com"},
    /* the fewest labels: also a top-level domain's record without psd (it should have one, 5.2) */
    {"a.example", "b.example", "", "example " REJECT, "pass spf reject example"},
    /* a walk that stops at psd does not see what is above */
    {"a.b.example.com", "example.com", "", "a.b.example.com " REJECT "; psd=n|example.com " REJECT,
     "fail none reject a.b.example.com"},
    {"a.b.example.com", "a.b.example.com", "", "a.b.example.com " REJECT "; psd=n|b.example.com !servfail",
     "pass spf reject a.b.example.com"},
    {"a.b.example.com", "b.example.com", "", "a.b.example.com " REJECT "; psd=n|b.example.com !servfail",
     "fail none reject a.b.example.com"},
    /* several records at one name are none, other records beside one do no harm */
    {"a.example.com", "b.example.com", "", "a.example.com " REJECT "&v=DMARC1; p=none|example.com v=DMARC1; p=quarantine",
     "pass spf quarantine example.com"},
    {"a.example.com", "", "", "a.example.com " REJECT "&v=spf1 -all&hello|example.com v=DMARC1; p=quarantine",
     "fail none reject a.example.com"},
    {"a.example.com", "", "", "a.example.com v=spf1 -all|example.com v=dmarc1; p=reject", "none"},
};

Test(dmarc_alignment, organizational_domains) { JUDGE(organizational); }

/* --- 4.4: relaxed and strict --- */

#define AT(tags) "example.com v=DMARC1; p=reject" tags

static const struct scene alignment[] = {
    /* table 1 */
    {"news.example.com", "foo.example.com", "", AT(""), "pass spf reject example.com"},
    {"news.example.com", "news.example.com", "", AT("; aspf=s"), "pass spf reject example.com"},
    {"news.example.com", "foo.example.net", "", AT("") "|example.net " REJECT, "fail none reject example.com"},
    /* strict: the name itself and no other */
    {"news.example.com", "foo.example.com", "", AT("; aspf=s"), "fail none reject example.com"},
    {"news.example.com", "example.com", "", AT("; aspf=s"), "fail none reject example.com"},
    {"news.example.com", "", "foo.example.com", AT("; adkim=s"), "fail none reject example.com"},
    {"news.example.com", "foo.example.com", "foo.example.com", AT("; adkim=s"), "pass spf reject example.com"},
    {"news.example.com", "foo.example.com", "news.example.com", AT("; aspf=s"), "pass dkim reject example.com"},
    {"news.example.com", "news.example.com", "news.example.com", AT("; aspf=s; adkim=s"), "pass both reject example.com"},
    /* letters and a last dot */
    {"example.com", "EXAMPLE.com.", "", AT("; aspf=s"), "pass spf reject example.com"},
    {"example.com", "", "Mail.Example.COM", AT(""), "pass dkim reject example.com"},
    /* what libopendmarc got wrong: ancestors, public suffixes, strict by organizational domain, one signature only */
    {"example.com", "", "com", AT("") "|com " REJECT "; psd=y", "fail none reject example.com"},
    {"example.com", "", "com", AT(""), "fail none reject example.com"},
    {"a.co.uk", "", "co.uk", "a.co.uk " REJECT "|co.uk " REJECT "; psd=y", "fail none reject a.co.uk"},
    {"a.co.uk", "", "b.co.uk", "a.co.uk " REJECT "|co.uk " REJECT "; psd=y", "fail none reject a.co.uk"},
    {"a.github.example", "", "b.github.example", "github.example " REJECT "; psd=y", "fail none reject github.example"},
    {"corp.co.uk", "", "mail.corp.co.uk", "corp.co.uk " REJECT "; adkim=s", "fail none reject corp.co.uk"},
    {"corp.co.uk", "", "mail.corp.co.uk", "corp.co.uk " REJECT, "pass dkim reject corp.co.uk"},
    {"example.com", "", "evil.net a.net mail.example.com z.net", AT(""), "pass dkim reject example.com"},
    {"example.com", "", "notexample.com", AT(""), "fail none reject example.com"},
    {"example.com", "", "example.com.evil.net", AT(""), "fail none reject example.com"},
    {"example.com", "", "xexample.com", AT("") "|xexample.com " REJECT, "fail none reject example.com"},
    /* nothing authenticated */
    {"example.com", "", "", AT(""), "fail none reject example.com"},
    {"example.com", "", "", "example.com v=DMARC1; p=none", "fail none none example.com"},
    /* an identifier with a policy domain of its own below ours is not ours */
    {"example.com", "", "dept.example.com", AT("") "|dept.example.com " REJECT "; psd=n", "fail none reject example.com"},
    {"example.com", "", "x.dept.example.com", AT("") "|dept.example.com " REJECT "; psd=y", "fail none reject example.com"},
    {"dept.example.com", "", "example.com", AT("") "|dept.example.com " REJECT "; psd=n", "fail none reject dept.example.com"},
    {"dept.example.com", "", "example.com", AT("") "|dept.example.com " REJECT, "pass dkim reject dept.example.com"},
};

Test(dmarc_alignment, relaxed_and_strict) { JUDGE(alignment); }

/* --- 4.10.1: which policy applies --- */

static const struct scene policies[] = {
    {"example.com", "", "", "", "none"},
    {"example.com", "example.com", "example.com", "", "none"},
    {"example.com", "", "", "example.com v=DMARC1", "none"},
    {"example.com", "", "", "example.com v=DMARC1; p=bad", "none"},
    {"example.com", "example.com", "", "example.com v=DMARC1; p=bad|com " REJECT "; psd=y", "none"},
    {"example.com", "", "", "example.com v=DMARC1; p=bad; rua=mailto:a@example.com", "fail none none example.com"},
    {"example.com", "", "", "example.com v=DMARC1; rua=mailto:a@example.com", "fail none none example.com"},
    /* p of its own record, sp of the organizational domain's */
    {"example.com", "", "", AT("; sp=none; np=none"), "fail none reject example.com"},
    {"a.example.com", "", "", AT("; sp=none"), "fail none none example.com"},
    {"a.example.com", "", "", AT("; sp=quarantine; np=none"), "fail none quarantine example.com"},
    {"a.example.com", "", "", AT("; sp=quarantine; np=none") "|=a.example.com !nxdomain", "fail none none example.com"},
    {"a.example.com", "", "", AT("; np=none") "|=a.example.com !nxdomain", "fail none none example.com"},
    {"a.example.com", "", "", AT("; np=none"), "fail none reject example.com"},
    {"a.example.com", "", "", AT("; np=none") "|=a.example.com !nodata", "fail none reject example.com"},
    {"a.example.com", "", "", AT("; sp=none") "|=a.example.com !nxdomain", "fail none none example.com"},
    {"a.example.com", "", "",
     AT("; sp=none") "|a.example.com v=DMARC1; p=quarantine; sp=reject; np=reject|=a.example.com !nxdomain",
     "fail none quarantine a.example.com"},
    /* the public suffix's, when nobody below has one; not when the organizational domain has */
    {"example.com", "", "", "com v=DMARC1; p=none; sp=quarantine; np=reject; psd=y", "fail none quarantine com"},
    {"example.com", "", "", "com v=DMARC1; p=none; sp=quarantine; np=reject; psd=y|=example.com !nxdomain",
     "fail none reject com"},
    {"a.example.com", "", "", "com " REJECT "; psd=y|example.com v=DMARC1; p=quarantine", "fail none quarantine example.com"},
    /* a record between the author and its organizational domain does not count */
    {"a.b.example.com", "", "", "b.example.com v=DMARC1; p=none|" AT(""), "fail none reject example.com"},
    {"a.b.example.com", "", "", "b.example.com v=DMARC1; p=none|com " REJECT "; psd=y", "fail none reject com"},
    /* beyond eight labels */
    {"mail.a.b.c.d.e.f.g.example.com", "", "", "b.c.d.e.f.g.example.com " REJECT "; psd=n|example.com v=DMARC1; p=none",
     "fail none none example.com"},
    {"mail.a.b.c.d.e.f.g.example.com", "", "", "mail.a.b.c.d.e.f.g.example.com " REJECT,
     "fail none reject mail.a.b.c.d.e.f.g.example.com"},
    /* t=y: one level lower */
    {"example.com", "", "", AT("; t=y"), "fail none quarantine example.com test"},
    {"example.com", "", "", "example.com v=DMARC1; p=quarantine; t=y", "fail none none example.com test"},
    {"example.com", "", "", "example.com v=DMARC1; p=none; t=y", "fail none none example.com test"},
    {"a.example.com", "", "", AT("; sp=quarantine; t=y"), "fail none none example.com test"},
    {"a.example.com", "", "", AT("; np=quarantine; t=y") "|=a.example.com !nxdomain", "fail none none example.com test"},
    {"example.com", "example.com", "", AT("; t=y"), "pass spf quarantine example.com test"},
    /* pct of RFC 7489 is not looked at */
    {"example.com", "", "", AT("; pct=0"), "fail none reject example.com"},
    {"localhost", "", "", "localhost " REJECT, "fail none reject localhost"},
};

Test(dmarc_policy, which_one_applies) { JUDGE(policies); }

/* --- 5.3.6: what could not be asked --- */

static const struct scene failures[] = {
    {"example.com", "", "", "example.com !servfail", "temperror"},
    {"example.com", "example.com", "example.com", "example.com !timeout", "temperror"},
    {"example.com", "", "", "example.com !limit", "temperror"},
    {"example.com", "", "", "com !servfail", "temperror"},
    {"example.com", "", "", "example.com !nodata|com !nxdomain", "none"},
    {"a.example.com", "", "", "example.com !servfail", "temperror"},
    {"a.example.com", "", "", AT("") "|com !servfail", "temperror"},
    {"a.example.com", "", "", AT("; psd=n") "|com !servfail", "fail none reject example.com"},
    /* its own record is there, the organizational domain is not known: only other names are in doubt */
    {"example.com", "", "", AT("") "|com !servfail", "fail none reject example.com"},
    {"example.com", "example.com", "", AT("") "|com !servfail", "pass spf reject example.com"},
    {"example.com", "mail.example.com", "", AT("") "|com !servfail", "temperror reject example.com"},
    {"example.com", "mail.example.com", "", AT("; aspf=s") "|com !servfail", "fail none reject example.com"},
    {"example.com", "mail.example.com", "example.com", AT("") "|com !servfail", "pass dkim reject example.com"},
    {"example.com", "", "mail.example.com example.com", AT("") "|com !servfail", "pass dkim reject example.com"},
    /* the identifier's walk */
    {"example.com", "", "mail.example.com", AT("") "|mail.example.com !servfail", "temperror reject example.com"},
    {"example.com", "", "mail.example.com x.example.com", AT("") "|mail.example.com !servfail", "pass dkim reject example.com"},
    {"example.com", "", "mail.example.net", AT("") "|mail.example.net !servfail", "fail none reject example.com"},
    /* SPF and DKIM without a result */
    {"example.com", "?", "", AT(""), "temperror reject example.com"},
    {"example.com", "?", "evil.net", AT(""), "temperror reject example.com"},
    {"example.com", "?", "example.com", AT(""), "pass dkim reject example.com"},
    {"example.com", "", "?", AT(""), "temperror reject example.com"},
    {"example.com", "evil.net", "?", AT(""), "temperror reject example.com"},
    {"example.com", "example.com", "?", AT(""), "pass spf reject example.com"},
    {"example.com", "", "? example.com", AT(""), "pass dkim reject example.com"},
    {"example.com", "?", "?", "", "none"},
    /* single signatures without one: only such as could be aligned are a doubt */
    {"example.com", "", "?example.com", AT(""), "temperror reject example.com"},
    {"example.com", "", "?mail.example.com evil.net", AT(""), "temperror reject example.com"},
    {"example.com", "", "?evil.net", AT(""), "fail none reject example.com"},
    {"example.com", "", "?mail.example.com", AT("; adkim=s"), "fail none reject example.com"},
    {"example.com", "", "?mail.example.com", AT("") "|mail.example.com " REJECT "; psd=n", "fail none reject example.com"},
    {"example.com", "", "?mail.example.com", AT("") "|mail.example.com !servfail", "temperror reject example.com"},
    {"example.com", "", "?example.com mail.example.com", AT(""), "pass dkim reject example.com"},
    {"example.com", "example.com", "?example.com", AT(""), "pass spf reject example.com"},
    {"example.com", "?", "", "example.com v=DMARC1; p=none", "temperror none example.com"},
    /* whether the author domain exists */
    {"a.example.com", "", "", AT("; np=none") "|=a.example.com !servfail", "temperror"},
    {"a.example.com", "a.example.com", "", AT("; np=none") "|=a.example.com !servfail", "pass spf"},
    {"a.example.com", "", "", AT("; np=reject") "|=a.example.com !servfail", "fail none reject example.com"},
};

Test(dmarc_failures, never_fail_for_want_of_knowledge) { JUDGE(failures); }

/* --- cost --- */

Test(dmarc_cost, foreign_signatures_are_not_asked_about)
{
    char out[400];
    struct scene s = {"example.com", "bounce.evil.net", "a.net b.c.d.e.f.g.h.i.j.net notexample.com", AT(""), ""};

    cr_assert_eq(evaluate(&s, true, false, out), 2);
    s = (struct scene){"a.example.com", "", "", AT("; np=none"), ""};
    cr_assert_eq(evaluate(&s, true, false, out), 4); /* three names of the walk, and whether a.example.com exists */
    s = (struct scene){"a.example.com", "", "", AT("; sp=none"), ""};
    cr_assert_eq(evaluate(&s, true, false, out), 3);
}

Test(dmarc_cost, more_domains_than_are_looked_at)
{
    char out[400];
    struct buf many = {0};

    for (int i = 0; i < 79; i++)
        buf_printf(&many, "d%d.net ", i);
    buf_char(&many, 0);
    struct scene s = {"example.com", "", many.p, AT(""), "fail none reject example.com"};
    evaluate(&s, true, false, out);
    cr_assert_str_eq(out, s.outcome);
    buf_free(&many);
}
