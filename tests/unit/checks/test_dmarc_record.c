/*
 * Policy records (RFC 9989 4.7, 4.8, 4.10.1): what is one, what its tags say, what wrong values become.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/checks/dmarc.h"

/* "p/sp/np dkim spf psd t", each by its letter: none quarantine reject, relaxed strict, unknown yes no. "-": not usable. NULL:
 * no record. */
static const struct {
    const char *text, *says;
} cases[] = {
    {"v=DMARC1; p=none", "n/n/n r r u n"},
    {"v=DMARC1;p=reject", "r/r/r r r u n"},
    {"v=DMARC1; p=quarantine;", "q/q/q r r u n"},
    {"v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com", "n/n/n r r u n"},                /* B.2.1 */
    {"v=DMARC1; p=quarantine; rua=mailto:a@example.com,mailto:b@thirdparty.example; t=y", "q/q/q r r u y"},
    {"v=DMARC1; p=reject; sp=none", "r/n/n r r u n"},
    {"v=DMARC1; p=none; sp=reject; np=quarantine", "n/r/q r r u n"},
    {"v=DMARC1; p=none; np=reject", "n/n/r r r u n"},
    {"v=DMARC1; np=reject; sp=quarantine; p=none", "n/q/r r r u n"},
    {"v=DMARC1; p=reject; adkim=s; aspf=s", "r/r/r s s u n"},
    {"v=DMARC1; p=reject; adkim=S; aspf=R", "r/r/r s r u n"},
    {"v=DMARC1; p=reject; psd=y", "r/r/r r r y n"},
    {"v=DMARC1; p=reject; psd=n; t=n", "r/r/r r r n n"},
    {"v=DMARC1; p=reject; psd=u; t=Y", "r/r/r r r u y"},
    /* white space, case, order */
    {"v = DMARC1 ; p = reject ; t = y ", "r/r/r r r u y"},
    {"v\t=\tDMARC1\t;\tp\t=\treject", "r/r/r r r u n"},
    {"v=DMARC1; P=Reject; SP=NONE", "r/n/n r r u n"},
    {"V=DMARC1; p=reject", "r/r/r r r u n"},
    {"v=DMARC1;;;p=reject;;", "r/r/r r r u n"},
    {"v=DMARC1; t=y; p=reject", "r/r/r r r u y"},
    /* the version: anything else is no record */
    {"", NULL},
    {"v=DMARC1x; p=none", NULL},
    {"v=DMARC10; p=none", NULL},
    {"v=DMARC2; p=none", NULL},
    {"v=dmarc1; p=none", NULL},
    {"v=DMARC1 p=none", NULL},
    {"v=DMARC1, p=none", NULL},
    {"v=; p=none", NULL},
    {"v; p=none", NULL},
    {" v=DMARC1; p=none", NULL},
    {"\"v=DMARC1; p=none\"", NULL},
    {"p=none; v=DMARC1", NULL},
    {";v=DMARC1; p=none", NULL},
    {"p=none", NULL},
    {"v=spf1 -all", NULL},
    {"vv=DMARC1; p=none", NULL},
    /* tags of others and of the past are passed over (4.7) */
    {"v=DMARC1; p=reject; pct=0; rf=afrf; ri=86400", "r/r/r r r u n"},
    {"v=DMARC1; pct=banana; p=reject; x-new=1; =; a", "r/r/r r r u n"},
    {"v=DMARC1; p=reject; fo=1:d:s; ruf=mailto:x@y.example", "r/r/r r r u n"},
    /* wrong values become defaults (4.8) */
    {"v=DMARC1; p=reject; adkim=x; aspf=strict; psd=maybe; t=yes", "r/r/r r r u n"},
    {"v=DMARC1; p=reject; adkim=; aspf=; psd=; t=", "r/r/r r r u n"},
    {"v=DMARC1; p=reject; p=none", "r/r/r r r u n"},
    {"v=DMARC1; adkim=s; p=reject; adkim=r", "r/r/r s r u n"},
    /* p missing or wrong, sp or np wrong (4.10.1) */
    {"v=DMARC1", "-"},
    {"v=DMARC1;", "-"},
    {"v=DMARC1; p=", "-"},
    {"v=DMARC1; p=rejct", "-"},
    {"v=DMARC1; sp=reject", "-"},
    {"v=DMARC1; p=reject; sp=bad", "-"},
    {"v=DMARC1; p=reject; np=bad", "-"},
    {"v=DMARC1; rua=mailto:a@example.com", "n/n/n r r u n"},
    {"v=DMARC1; rua=mailto:a@example.com; sp=reject; adkim=s", "n/n/n s r u n"},
    {"v=DMARC1; p=rejct; rua=mailto:a@example.com", "n/n/n r r u n"},
    {"v=DMARC1; p=reject; sp=bad; rua=mailto:a@example.com", "n/n/n r r u n"},
    {"v=DMARC1; p=reject; np=; rua=mailto:a@example.com", "n/n/n r r u n"},
    {"v=DMARC1; p=bad; rua=nonsense", "-"},
    {"v=DMARC1; p=bad; rua=", "-"},
    {"v=DMARC1; psd=n", "-"},
    {"v=DMARC1; p reject", "-"},
    {"v=DMARC1: p=reject", NULL},
};

static const char *says(struct str text, char out[40])
{
    struct dmarc_record r;
    char *exact = xstrndup(text.p, text.n);
    bool is = dmarc_record_parse((struct str){exact, text.n}, &r);

    free(exact);
    if (!is)
        return NULL;
    if (!r.usable)
        return "-";
    snprintf(out, 40, "%c/%c/%c %c %c %c %c", "nqr"[r.p], "nqr"[r.sp], "nqr"[r.np], "rs"[r.dkim_strict], "rs"[r.spf_strict],
             "uyn"[r.psd],
             "ny"[r.test]);
    return out;
}

Test(dmarc_record, what_records_say)
{
    char out[40];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *s = says(str_of(cases[i].text), out);
        cr_assert_eq(s == NULL, cases[i].says == NULL, "[%s]: %s", cases[i].text, s ? s : "no record");
        cr_assert(!s || strcmp(s, cases[i].says) == 0, "[%s]: %s, not %s", cases[i].text, s, cases[i].says);
    }
}

Test(dmarc_record, cut_anywhere_and_with_octets_in_it)
{
    char out[40];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t n = 0; n <= strlen(cases[i].text); n++)
            says((struct str){cases[i].text, n}, out);
    cr_assert_null(says((struct str){"v=DMARC1\0; p=none", 17}, out));
    cr_assert_str_eq(says((struct str){"v=DMARC1; p=none\0", 17}, out), "-");
    cr_assert_str_eq(says(STR("v=DMARC1; \xff=\xfe; p=none"), out), "n/n/n r r u n");
}

Test(dmarc_record, uris)
{
    static const struct {
        const char *text;
        bool valid;
    } uris[] = {
        {"mailto:a@example.com", true}, {"MAILTO:a@example.com", true}, {"mailto:a@example.com!10m",
                                                                         true}, {"mailto:a@example.com!10", true},
        {"mailto:a@example.com!10x", false}, {"mailto:a@example.com!", false}, {"mailto:a@example.com!m", false},
        {"https://example.com/report?x=1#y", true}, {"nonsense, mailto:a@example.com", true}, {"mailto:", false}, {"mailto:a",
                                                                                                                   false},
        {"mailto:@example.com", false}, {"mailto:a@", false}, {"mailto:a%2Cb@example.com", true}, {"mailto:a%2@example.com",
                                                                                                   false},
        {"mailto:a b@example.com", false}, {":x", false}, {"1http:x", false}, {"a+b-c.d:x", true}, {"", false}, {" , ,", false},
        {"example.com", false}, {"mail to:a@example.com", false}, {"mailto:a@ex\xc3\xa4mple.com", false},
    };

    for (size_t i = 0; i < sizeof uris / sizeof *uris; i++)
        cr_assert_eq(dmarc_uris_valid(str_of(uris[i].text)), uris[i].valid, "[%s]", uris[i].text);
    cr_assert_not(dmarc_uris_valid((struct str){"a\0b:x", 5}));
    cr_assert_not(dmarc_uris_valid((struct str){"mailto:a@b\0c", 12}));
}
