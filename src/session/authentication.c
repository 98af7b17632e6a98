/*
 * authentication.c - what the backend is told of sender authentication: Authentication-Results on top (RFC 8601), Received-SPF when configured
 * (RFC 7208 9.1); fields of strangers that claim our authserv-id are removed as the header flows in.
 *
 * The facts are needed whether a rule asks or not, so their checks are started with each scope, and the message waits for them (until their
 * deadlines) before it goes on.
 */
#include "session.h"

#include "postern/checks/dkim.h"
#include "postern/mail/authres.h"

static const enum check_id told[] = {CHECK_SPF_HELO, CHECK_SPF, CHECK_FCRDNS, CHECK_FROM, CHECK_DKIM, CHECK_ARC, CHECK_DMARC};
enum { TOLD_OF_SPF = 2, TOLD = sizeof told / sizeof *told }; /* the first are all that Received-SPF needs */

static const struct settings *settings_of(const struct session *s)
{
    return s->proxy->parts.settings;
}

struct str authentication_id(const struct session *s)
{
    const struct settings *set = settings_of(s);
    return set->authserv_id.n ? set->authserv_id : set->hostname;
}

/* How many of the checks in `told` the configuration wants for this session. */
static size_t wanted(const struct session *s)
{
    if (s->exempt)
        return 0;
    return settings_of(s)->authentication_results ? TOLD : settings_of(s)->received_spf ? TOLD_OF_SPF : 0;
}

void authentication_open(struct session *s, struct scope *scope)
{
    for (size_t i = 0; i < wanted(s); i++)
        if (checks[told[i]].stage == scope->stage)
            check_start(scope, told[i], 0);
}

bool authentication_known(struct session *s)
{
    size_t count = wanted(s);
    if (!count || decide_gather(s->t->scopes[STAGE_DATA]))
        return true;
    for (struct scope *scope = s->t->scopes[STAGE_DATA]; scope; scope = scope->parent)
        for (size_t i = 0; i < scope->run_count; i++)
            for (size_t k = 0; k < count && !scope->runs[i].done; k++)
                if (scope->runs[i].check == told[k])
                    return false;
    return true; /* what is still out is nothing that is told */
}

/* --- the field ----------------------------------------------------------------------------------------------------------------- */

enum { RESULTS_MAX = DKIM_SIGNATURES_KEPT + 8, PROPERTIES_MAX = 5 };

struct field {
    struct arena *arena;
    const struct scope *data;
    const struct facts *facts;  /* of it */
    struct authres_result results[RESULTS_MAX];
    size_t count;
};

static struct authres_property *add(struct field *f, const char *method, const char *result, size_t properties)
{
    struct authres_property *list = arena_zalloc(f->arena, PROPERTIES_MAX * sizeof *list);
    f->results[f->count++] = (struct authres_result){.method = method, .result = result, .properties = list, .property_count = properties};
    return list;
}

/* The word of a fact; what could not be found out is temperror. */
static const char *word(struct field *f, int fact)
{
    const struct value *v = facts_get(f->facts, fact);
    return v->state == FACT_KNOWN ? arena_cstr(f->arena, v->v.text) : v->state == FACT_ABSENT ? "none" : "temperror";
}

/* A result that is a fact's word, with the reason for it if there is one to tell. */
static struct authres_property *add_fact(struct field *f, const char *method, int fact, size_t properties)
{
    struct authres_property *list = add(f, method, word(f, fact), properties);
    f->results[f->count - 1].reason = scope_note_of(f->data, fact);
    return list;
}

static struct str text(struct field *f, int fact)
{
    const struct value *v = facts_get(f->facts, fact);
    return v->state == FACT_KNOWN ? v->v.text : STR_NONE;
}

static void add_iprev(struct field *f, const struct addr *client)
{
    const struct value *v = facts_get(f->facts, FACT_FCRDNS);
    char address[ADDR_TEXT];
    const char *result = v->state != FACT_KNOWN ? "temperror" : str_eq(v->v.text, STR("pass")) ? "pass"
                         : str_eq(v->v.text, STR("mismatch")) ? "fail" : "permerror"; /* RFC 8601 2.7.3 */
    struct authres_property *p = add(f, "iprev", result, 1);
    p[0] = (struct authres_property){"policy", "iprev", arena_str(f->arena, str_of(addr_format(client, address)))};
    f->results[f->count - 1].comment = text(f, FACT_CLIENT_NAME);
}

static void add_spf(struct field *f, const struct transaction *t, struct str helo)
{
    if (t->sender.null) {
        add_fact(f, "spf", FACT_SPF_HELO, 1)[0] = (struct authres_property){"smtp", "helo", helo};
        return;
    }
    add_fact(f, "spf", FACT_SPF, 1)[0] = (struct authres_property){"smtp", "mailfrom", t->sender.whole};
    add_fact(f, "spf", FACT_SPF_HELO, 1)[0] = (struct authres_property){"smtp", "helo", helo};
}

static void add_dkim(struct field *f, const struct scope *data)
{
    const struct dkim_result *r = dkim_result_of(data);
    if (!r || r->count == 0) {
        add_fact(f, "dkim", FACT_DKIM, 0);
        return;
    }
    for (size_t i = 0; i < r->count && f->count < RESULTS_MAX - 4; i++) {
        const struct dkim_signature_result *x = &r->signatures[i];
        struct authres_property *p = add(f, "dkim", dkim_verdict_names[x->verdict], 5);
        f->results[f->count - 1].reason = x->reason;
        p[0] = (struct authres_property){"header", "d", x->domain};
        p[1] = (struct authres_property){"header", "i", x->identity};
        p[2] = (struct authres_property){"header", "s", x->selector};
        p[3] = (struct authres_property){"header", "a", x->algorithm};
        p[4] = (struct authres_property){"header", "b", x->b};
    }
}

static void add_dmarc(struct field *f)
{
    struct authres_property *p = add_fact(f, "dmarc", FACT_DMARC, 2);
    p[0] = (struct authres_property){"header", "from", text(f, FACT_FROM_DOMAIN)};
    p[1] = (struct authres_property){"policy", "dmarc", text(f, FACT_DMARC_POLICY)}; /* RFC 9989 9.1: the policy that applies */
}

/* RFC 6532 3: header fields in UTF-8 are for messages that travel with SMTPUTF8. */
static bool is_international(const struct transaction *t)
{
    return t->extensions >> EXT_SMTPUTF8 & 1;
}

static void put_received_spf(const struct session *s, struct field *f, struct str helo, struct buf *out)
{
    char address[ADDR_TEXT];
    const struct transaction *t = s->t;
    struct received_spf r = {.result = word(f, t->sender.null ? FACT_SPF_HELO : FACT_SPF),
                             .client_ip = str_of(addr_format(&s->peer.addr, address)),
                             .envelope_from = t->sender.whole,
                             .helo = helo,
                             .receiver = settings_of(s)->hostname,
                             .identity = t->sender.null ? STR("helo") : STR("mailfrom"),
                             .mechanism = text(f, FACT_SPF_MECHANISM),
                             .problem = scope_note_of(f->data, t->sender.null ? FACT_SPF_HELO : FACT_SPF)};
    received_spf_write(out, is_international(t), &r);
}

static void put_results(const struct session *s, struct field *f, struct str helo, struct buf *out)
{
    add_iprev(f, &s->peer.addr);
    add_spf(f, s->t, helo);
    add_dkim(f, s->t->scopes[STAGE_DATA]);
    add_dmarc(f);
    add_fact(f, "arc", FACT_ARC, 0);
    authres_write(out, authentication_id(s), is_international(s->t), f->results, f->count);
}

void authentication_put(struct session *s, struct buf *out)
{
    if (!wanted(s))
        return;
    struct transaction *t = s->t;
    struct field f = {.arena = &t->arena, .data = t->scopes[STAGE_DATA], .facts = &t->scopes[STAGE_DATA]->facts};
    const struct scope *helo = t->scopes[STAGE_HELO] ? t->scopes[STAGE_HELO] : t->sticky;
    struct str helo_name = helo ? helo->subject->helo : STR("");
    if (settings_of(s)->authentication_results)
        put_results(s, &f, helo_name, out);
    if (settings_of(s)->received_spf)
        put_received_spf(s, &f, helo_name, out);
}
