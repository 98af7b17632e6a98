/*
 * dkim_verify.c - one message's signatures, from its first field to their verdicts.
 *
 *     fields held --- end of header: signatures read, work counted, fields selected ---> libopendkim, or our own hash
 *                                          | keys asked for                                  | body
 *                                          +-------------- dkim_verifier_finish() ------------+--> verdicts
 *
 * Most signatures go to libopendkim (dkim_library.c). Those that it would judge wrongly, or whose selection would cost it too
 * much, are hashed here with the canonicalisations that ARC uses. Either way the hashes are then tried with each key of the name.
 * The signatures, fields and hashes are the verifier's; results are in the arena of whoever asks.
 */
#include <stdlib.h>
#include <string.h>

#include "dkim_library.h"
#include "postern/mail/header.h"

enum { BODIES_MAX = 32, SINGLE_FIELDS = 13 };

struct candidate {
    struct signature s;
    struct dkim_signature_result r;
    bool pending;                 /* it hangs on its key and the body */
    int32_t *selected;
    struct str key_name;
    const struct dns_answer *answer;
    struct key_set keys;
    struct library_signature *given; /* to libopendkim; NULL: it is hashed here */
    struct body_hash *body;       /* ours; for libopendkim's with l= only a count */
    uint8_t header_hash[32];      /* when ours */
    const char *extra;            /* a field that is signed, and stands more often than it is */
};

struct dkim_verifier {
    struct arena arena;
    struct field_list fields;
    size_t limit;
    uint64_t now;
    struct candidate *candidates;
    size_t count, untold;
    struct library library;
    struct body_hash *bodies[BODIES_MAX]; /* in the arena */
    size_t body_count;
    uint64_t work, octets;
    bool header_ended, done;
};

struct dkim_verifier *dkim_verifier_new(size_t limit, uint64_t now)
{
    struct dkim_verifier *v = xcalloc(1, sizeof *v);

    v->limit = limit;
    v->now = now;
    return v;
}

void dkim_verifier_free(struct dkim_verifier **verifier)
{
    struct dkim_verifier *v = *verifier;

    if (!v)
        return;
    library_clear(&v->library);
    for (size_t i = 0; i < v->body_count; i++)
        body_hash_clear(v->bodies[i]);
    for (size_t i = 0; i < v->count; i++)
        keys_clear(&v->candidates[i].keys);
    field_list_free(&v->fields);
    arena_clear(&v->arena);
    free(v);
    *verifier = NULL;
}

void dkim_verifier_field(struct dkim_verifier *v, struct str field)
{
    if (!v->header_ended)
        field_list_add(&v->fields, field);
}

/* --- the end of the header --- */

static void settle(struct candidate *c, enum dkim_verdict verdict, struct str reason)
{
    c->pending = false;
    c->r.verdict = verdict;
    c->r.reason = reason;
}

static void read_candidate(struct dkim_verifier *v, struct candidate *c, struct str field)
{
    struct str reason = STR_NONE;
    enum dkim_verdict verdict = signature_read(SIGNATURE_DKIM, field, v->now, &v->arena, &c->s, &reason);

    c->r = (struct dkim_signature_result){.domain = c->s.domain, .selector = c->s.selector, .algorithm = c->s.algorithm_name,
                                          .identity = c->s.identity, .b = c->s.b_start};
    c->pending = true;
    if (verdict != DKIM_NONE)
        settle(c, verdict, reason);
}

static bool is_signature(const struct dkim_verifier *v, size_t i)
{
    return str_eq_nocase(field_list_name(&v->fields, i), STR("DKIM-Signature"));
}

static void read_candidates(struct dkim_verifier *v)
{
    size_t signatures = 0, tried = 0;

    for (size_t i = 0; i < v->fields.count; i++)
        signatures += is_signature(v, i);
    size_t kept = signatures < DKIM_SIGNATURES_KEPT ? signatures : DKIM_SIGNATURES_KEPT;
    v->candidates = arena_zalloc(&v->arena, kept * sizeof *v->candidates + 1);
    v->untold = signatures - kept;
    for (size_t i = 0; i < v->fields.count && v->count < kept; i++) {
        if (!is_signature(v, i))
            continue;
        struct candidate *c = &v->candidates[v->count++];
        read_candidate(v, c, field_list_get(&v->fields, i));
        if (c->pending && tried++ >= v->limit) /* RFC 6376 6.1: a limit is ours to set */
            settle(c, DKIM_NEUTRAL, arena_printf(&v->arena, "not tried: more than %zu signatures", v->limit));
    }
}

/* The field that is this signature. */
static size_t own_field(const struct dkim_verifier *v, const struct candidate *c)
{
    for (size_t i = 0; i < v->fields.count; i++)
        if (field_list_get(&v->fields, i).p == c->s.field.p)
            return i;
    return SIZE_MAX;
}

/* Fields that a message has once (RFC 5322 3.6, 2045): one more above those that are signed is what people see, perhaps (RFC
 * 6376 8.15). */
static const char *const single_fields[SINGLE_FIELDS] = {"from", "sender", "reply-to", "to", "cc", "subject", "date", "message-id",
                                                         "in-reply-to", "references", "mime-version", "content-type",
                                                         "content-transfer-encoding"};

static void count_single_fields(const struct dkim_verifier *v, size_t counts[SINGLE_FIELDS])
{
    for (size_t i = 0; i < v->fields.count; i++)
        for (size_t n = 0; n < SINGLE_FIELDS; n++)
            counts[n] += str_eq_nocase(field_list_name(&v->fields, i), str_of(single_fields[n]));
}

static const char *extra_field(const struct candidate *c, const size_t counts[SINGLE_FIELDS])
{
    for (size_t n = 0; n < SINGLE_FIELDS; n++) {
        size_t named = 0;
        for (size_t i = 0; counts[n] > 1 && i < c->s.name_count; i++)
            named += str_eq(c->s.names[i], str_of(single_fields[n]));
        if (named && named < counts[n])
            return single_fields[n];
    }
    return NULL;
}

static uint64_t selected_octets(const struct dkim_verifier *v, const struct candidate *c)
{
    uint64_t octets = c->s.field.n;

    for (size_t i = 0; i < c->s.name_count; i++)
        if (c->selected[i] >= 0)
            octets += v->fields.fields[c->selected[i]].n;
    return octets;
}

static void select_fields(struct dkim_verifier *v)
{
    size_t counts[SINGLE_FIELDS] = {0};

    count_single_fields(v, counts);
    for (size_t i = 0; i < v->count; i++) {
        struct candidate *c = &v->candidates[i];
        if (c->pending && v->fields.overflowed)
            settle(c, DKIM_POLICY, STR("too many header fields"));
        if (!c->pending)
            continue;
        c->selected = field_list_select(&v->fields, &c->s, own_field(v, c), &v->arena);
        c->key_name = signature_key_name(&c->s, &v->arena);
        c->extra = extra_field(c, counts);
        uint64_t octets = selected_octets(v, c);
        if (v->octets + octets > DKIM_OCTETS_MAX) {
            settle(c, DKIM_POLICY, STR("too much header to hash"));
            continue;
        }
        v->octets += octets;
        v->work += c->s.name_count + v->fields.count;
    }
}

static size_t mark_wanted(const struct candidate *c, bool *wanted)
{
    size_t more = 0;

    for (size_t i = 0; i < c->s.name_count; i++) {
        if (c->selected[i] >= 0 && !wanted[c->selected[i]]) {
            wanted[c->selected[i]] = true;
            more++;
        }
    }
    return more;
}

/* Chooses what libopendkim gets: while all its selecting stays within the budget. It walks all its fields for each name of
 * each signature. */
static void give_to_library(struct dkim_verifier *v)
{
    bool *wanted = xcalloc(v->fields.count + 1, 1);
    struct library *l = &v->library;
    uint64_t names = 0, fields = 0;

    for (size_t i = 0; i < v->count; i++) {
        struct candidate *c = &v->candidates[i];
        if (!c->pending || l->count == LIBRARY_SIGNATURES_MAX || !library_fit(&v->fields, &c->s, c->selected))
            continue;
        if ((names + c->s.name_count) * (fields + c->s.name_count + 1) > DKIM_WORK_MAX)
            continue;
        names += c->s.name_count;
        fields += mark_wanted(c, wanted) + 1;
        l->signatures[l->count].s = &c->s;
        c->given = &l->signatures[l->count++];
    }
    if (l->count && library_begin(l, &v->fields, wanted))
        v->work += names * fields;
    else
        for (size_t i = 0; i < v->count; i++)
            v->candidates[i].given = NULL;
    free(wanted);
}

/* The hash, or the count, of the body that this signature wants; shared with those that want the same. */
static struct body_hash *body_for(struct dkim_verifier *v, const struct candidate *c)
{
    bool hashing = !c->given;

    for (size_t i = 0; i < v->body_count; i++) {
        struct body_hash *b = v->bodies[i];
        if (b->relaxed == c->s.relaxed_body && (b->md != NULL) == hashing && (!hashing || b->limit == c->s.limit))
            return b;
    }
    struct body_hash *b = v->bodies[v->body_count++] = arena_alloc(&v->arena, sizeof *b);
    body_hash_begin(b, hashing, c->s.relaxed_body, c->s.limit);
    return b;
}

void dkim_verifier_end_of_header(struct dkim_verifier *v)
{
    if (v->header_ended)
        return;
    v->header_ended = true;
    read_candidates(v);
    select_fields(v);
    give_to_library(v);
    for (size_t i = 0; i < v->count; i++) {
        struct candidate *c = &v->candidates[i];
        if (!c->pending)
            continue;
        if (!c->given)
            signature_header_hash(&v->fields, &c->s, c->selected, c->header_hash);
        if (!c->given || c->s.limited)
            c->body = body_for(v, c);
    }
    if (!v->count)
        field_list_free(&v->fields);
}

void dkim_verifier_body(struct dkim_verifier *v, struct str octets)
{
    if (v->done)
        return;
    library_body(&v->library, octets);
    for (size_t i = 0; i < v->body_count; i++)
        body_hash_feed(v->bodies[i], octets);
}

/* --- keys and verdicts --- */

bool dkim_verifier_ask(struct dkim_verifier *v, dkim_ask ask, void *context)
{
    bool all = v->header_ended;

    for (size_t i = 0; i < v->count; i++) {
        struct candidate *c = &v->candidates[i];
        if (!c->pending || c->answer)
            continue;
        c->answer = ask(context, c->key_name, DNS_TXT);
        all &= c->answer != NULL;
    }
    return all;
}

static void read_keys(struct dkim_verifier *v, struct candidate *c)
{
    struct str reason = STR_NONE;

    if (!c->answer) {
        settle(c, DKIM_TEMPERROR, STR("no answer in time for the key"));
        return;
    }
    enum dkim_verdict verdict = keys_read(c->answer, &c->s, &v->arena, &c->keys, &reason);
    c->r.key_bits = c->keys.bits;
    if (verdict != DKIM_NONE)
        settle(c, verdict, reason);
}

/* The record whose key the signature verifies with; NULL: none does, *why says it. */
static const struct key_record *find_key(const struct candidate *c, const char **why)
{
    uint8_t header[32], body[32];

    *why = "l= is more than the body has";
    if (c->s.limited && c->body->total < c->s.limit)
        return NULL;
    if (!c->given) {
        memcpy(header, c->header_hash, sizeof header);
        memcpy(body, c->body->digest, sizeof body);
    } else if (!library_hashes(c->given, header, body)) {
        *why = "libopendkim has no hash";
        return NULL;
    }
    *why = "the body has been altered";
    if (memcmp(body, c->s.body_hash, sizeof body) != 0)
        return NULL;
    *why = "the signature does not match";
    return keys_verify(&c->keys, header, c->s.signature);
}

static void judge(struct dkim_verifier *v, struct candidate *c)
{
    const char *why;
    const struct key_record *verifies = find_key(c, &why);
    const struct key_record *used = verifies ? verifies : &c->keys.records[0];
    bool passes = verifies != NULL;

    c->r.key_bits = public_key_bits(used->key);
    c->r.testing = used->testing;
    if (c->r.testing) { /* RFC 6376 3.6.1: no different from unsigned mail, whatever it says */
        settle(c, DKIM_NONE, arena_printf(&v->arena, "testing key: would be %s", passes ? "pass" : "fail"));
        return;
    }
    settle(c, passes ? DKIM_PASS : DKIM_FAIL, passes ? STR_NONE : str_of(why));
    c->r.tail = passes && c->s.limited && c->body->total > c->s.limit;
    if (c->r.tail)
        c->r.reason = STR("l= leaves the end of the body unsigned");
    else if (passes && c->extra)
        c->r.reason = arena_printf(&v->arena, "more %s fields than are signed", c->extra);
}

/* Of several signatures: one that passes; else what may yet pass; else what was wrong. */
static unsigned rank(enum dkim_verdict verdict)
{
    static const unsigned ranks[] = {[DKIM_NONE] = 0, [DKIM_NEUTRAL] = 1, [DKIM_PERMERROR] = 2, [DKIM_FAIL] = 3,
                                     [DKIM_POLICY] = 4, [DKIM_TEMPERROR] = 5, [DKIM_PASS] = 6};
    return ranks[verdict];
}

static void conclude(struct dkim_verifier *v)
{
    library_end(&v->library);
    for (size_t i = 0; i < v->body_count; i++)
        body_hash_end(v->bodies[i]);
    for (size_t i = 0; i < v->count; i++)
        if (v->candidates[i].pending)
            judge(v, &v->candidates[i]);
    v->done = true;
}

bool dkim_verifier_finish(struct dkim_verifier *v, dkim_ask ask, void *context, bool late, struct arena *arena,
                          struct dkim_result *out)
{
    if (!v->done) {
        if (!dkim_verifier_ask(v, ask, context) && !late)
            return false;
        for (size_t i = 0; i < v->count; i++)
            if (v->candidates[i].pending)
                read_keys(v, &v->candidates[i]);
        conclude(v);
    }
    struct dkim_signature_result *list = arena_zalloc(arena, v->count * sizeof *list + 1);
    *out = (struct dkim_result){.signatures = list, .count = v->count, .untold = v->untold, .work = v->work, .octets = v->octets};
    for (size_t i = 0; i < v->count; i++) {
        struct dkim_signature_result *r = &list[i];
        *r = v->candidates[i].r;
        r->domain = arena_str(arena, r->domain);
        r->selector = arena_str(arena, r->selector);
        r->algorithm = arena_str(arena, r->algorithm);
        r->identity = arena_str(arena, r->identity);
        r->b = arena_str(arena, r->b);
        r->reason = arena_str(arena, r->reason);
        out->tail |= r->tail;
        if (rank(r->verdict) > rank(out->verdict))
            out->verdict = r->verdict;
    }
    return true;
}

static struct str or_mark(struct str s)
{
    return s.n ? s : STR("?");
}

struct str dkim_signature_text(const struct dkim_signature_result *r, struct arena *arena)
{
    struct str domain = or_mark(r->domain), selector = or_mark(r->selector), algorithm = or_mark(r->algorithm);
    struct str at = str_sub(r->identity, 1, r->identity.n), identity = STR_NONE, reason = STR_NONE;

    if (r->identity.n && !(r->identity.p[0] == '@' && str_eq_nocase(at, r->domain))) {
        identity = signature_shown(arena, r->identity);
        identity = arena_printf(arena, " i=%.*s", STR_ARG(identity));
    }
    if (r->reason.n)
        reason = arena_printf(arena, " (%.*s)", STR_ARG(r->reason));
    return arena_printf(arena, "%.*s/%.*s %.*s %u %s%.*s%.*s", STR_ARG(domain), STR_ARG(selector), STR_ARG(algorithm), r->key_bits,
                        dkim_verdict_names[r->verdict], STR_ARG(identity), STR_ARG(reason));
}
