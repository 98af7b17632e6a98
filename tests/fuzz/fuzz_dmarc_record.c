/* rooms: checks */
/*
 * DMARC records of any octets, alone and as the answers of a whole evaluation: the input is cut into records at "|", each the
 * answer to the next name that is asked, with "!" for a failure and "?" for no such name. However the answers come the verdict
 * is the same, it is reached within a counted number of questions, and without an aligned identifier there is no pass.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "postern/checks/dmarc.h"

enum { ASKED_MAX = 64 };

struct zone {
    struct str text;
    char asked[ASKED_MAX][300];
    struct dns_answer *answers[ASKED_MAX];
    size_t count, known;
};

/* Which record a name gets hangs on the name alone, so that every order of questions sees the same zone. */
static struct str record_for(const struct zone *z, struct str name)
{
    struct str rest = z->text, piece = STR_NONE;
    size_t pieces = 1, wanted = name.n;

    for (size_t i = 0; i < z->text.n; i++)
        pieces += z->text.p[i] == '|';
    wanted %= pieces;
    for (size_t i = 0; i <= wanted; i++)
        str_split(&rest, '|', &piece);
    return piece;
}

static struct dns_answer *answer_for(const struct zone *z, struct str name)
{
    struct str what = record_for(z, name);

    if (what.n == 0 || what.p[0] == '?')
        return dns_answer_status(DNS_NXDOMAIN, 60);
    if (what.p[0] == '!')
        return dns_answer_status(DNS_SERVFAIL, 0);
    struct dns_answer *a = dns_answer_status(DNS_OK, 60);
    struct dns_record *r = xcalloc(1, sizeof *r);
    r->text = what;
    a->records = r;
    a->count = 1;
    return a;
}

static const struct dns_answer *ask(void *context, struct str name, unsigned type)
{
    struct zone *z = context;
    size_t i = 0;

    assert(type == DNS_TXT || type == DNS_A);
    while (i < z->count && !str_eq(str_of(z->asked[i]), name))
        i++;
    if (i == z->count) {
        assert(z->count < ASKED_MAX && name.n < sizeof z->asked[0]);
        memcpy(z->asked[i], name.p, name.n);
        z->answers[i] = answer_for(z, name);
        z->count++;
    }
    return i < z->known ? z->answers[i] : NULL;
}

static void zone_clear(struct zone *z)
{
    for (size_t i = 0; i < z->count; i++) {
        free(z->answers[i]->records);
        z->answers[i]->records = NULL;
        z->answers[i]->count = 0;
        dns_answer_unref(&z->answers[i]);
    }
    free(z);
}

static struct dmarc_result evaluate(const struct dmarc_input *in, struct str text, size_t known, struct arena *arena)
{
    struct zone *z = xcalloc(1, sizeof *z);
    struct dmarc_result r;

    z->text = text;
    for (z->known = known; !dmarc_evaluate(in, ask, z, arena, &r); z->known++)
        assert(z->known < ASKED_MAX);
    assert(z->count <= 4 * 8 + 1);
    zone_clear(z);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str dkim[] = {{"evil.net", 8}, {"x.mail.example.com", 18}};
    static const struct str pending[] = {{"y.example.com", 13}};
    struct str text = {(const char *)data, size};
    struct arena arena = {0};
    struct dmarc_record record;

    if (dmarc_record_parse(text, &record))
        assert(record.p <= DMARC_REJECT && record.sp <= DMARC_REJECT && record.np <= DMARC_REJECT && (record.usable ||
                                                                                                      record.p == DMARC_NONE));
    dmarc_uris_valid(text);
    for (int scene = 0; scene < 4; scene++) {
        struct dmarc_input in = {.author = scene & 1 ? STR("a.b.c.d.e.f.g.mail.example.com") : STR("mail.example.com"),
                                 .spf_known = true,
                                 .dkim_known = true, .spf_domain = scene & 2 ? STR("bounce.example.com") : STR_NONE};
        if (scene & 2) {
            in.dkim = dkim;
            in.dkim_count = 2;
            in.pending = pending;
            in.pending_count = 1;
        }
        struct dmarc_result all = evaluate(&in, text, ASKED_MAX, &arena), slow = evaluate(&in, text, 0, &arena);
        assert(all.verdict == slow.verdict && all.applies == slow.applies && all.policy == slow.policy && all.test == slow.test);
        assert(all.spf_aligned == slow.spf_aligned && all.dkim_aligned == slow.dkim_aligned && str_eq(all.domain, slow.domain));
        assert((all.verdict == DMARC_PASS) == (all.spf_aligned || all.dkim_aligned));
        assert(scene & 2 || all.verdict != DMARC_PASS);
    }
    arena_clear(&arena);
    return 0;
}
