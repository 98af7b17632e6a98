/*
 * arc_verify.c - the chain of one message, from its first field to its verdict (RFC 8617 5.2), with OpenSSL.
 *
 * At the end of the header the chain is put in order and every hash of it is made: that of the newest message signature over
 * the fields it names, and those of the seals, each over all sets up to its own (5.1.1). A seal's input begins with the input
 * of the one before, so one running hash serves them all, and fifty seals cost no more than one reading of their fields. Then
 * the keys are asked for while the body is hashed. Key flags mean nothing here: RFC 8617 knows no testing, and i= is no
 * identity.
 */
#include <stdlib.h>
#include <string.h>

#include "arc_chain.h"
#include "postern/mail/header.h"

const char *const arc_verdict_names[] = {"none", "pass", "fail", "temperror"};

struct proof { /* one signature that is to be verified */
    const struct signature *s;
    uint8_t hash[32];
    struct str key_name;
    const struct dns_answer *answer;
};

struct arc_verifier {
    struct arena arena;
    struct field_list fields;
    uint64_t now;
    struct arc_chain *chain;  /* in the arena; NULL: none, or broken */
    struct proof proofs[ARC_SETS_MAX + 1]; /* the message's, then the seals' */
    size_t proof_count;
    struct body_hash body;
    uint64_t octets;          /* of header hashed */
    bool any, header_ended, body_ended;
    enum arc_verdict verdict; /* once it cannot change: ARC_NONE, ARC_FAIL */
    struct str reason;
};

struct arc_verifier *arc_verifier_new(uint64_t now)
{
    struct arc_verifier *v = xcalloc(1, sizeof *v);

    v->now = now;
    return v;
}

void arc_verifier_free(struct arc_verifier **verifier)
{
    struct arc_verifier *v = *verifier;

    if (!v)
        return;
    body_hash_clear(&v->body);
    field_list_free(&v->fields);
    arena_clear(&v->arena);
    free(v);
    *verifier = NULL;
}

void arc_verifier_field(struct arc_verifier *v, struct str field)
{
    if (v->header_ended)
        return;
    v->any |= arc_kind_of(field_name(field)) != ARC_KINDS;
    field_list_add(&v->fields, field);
}

/* --- the end of the header --- */

static void fail(struct arc_verifier *v, struct str reason)
{
    v->verdict = ARC_FAIL;
    v->reason = reason;
    v->chain = NULL;
    v->proof_count = 0;
}

static struct proof *add_proof(struct arc_verifier *v, const struct signature *s)
{
    struct proof *p = &v->proofs[v->proof_count++];

    *p = (struct proof){.s = s, .key_name = signature_key_name(s, &v->arena)};
    return p;
}

static uint64_t octets_of(const struct arc_verifier *v, const struct signature *s, const int32_t *selected)
{
    uint64_t octets = s->field.n;

    for (size_t i = 0; i < s->name_count; i++)
        if (selected[i] >= 0)
            octets += v->fields.fields[selected[i]].n;
    return octets;
}

static bool prove_message(struct arc_verifier *v)
{
    const struct signature *s = &v->chain->message;
    int32_t *selected = field_list_select(&v->fields, s, v->chain->sets[v->chain->count - 1].field[ARC_MESSAGE], &v->arena);

    v->octets = octets_of(v, s, selected);
    if (v->octets > DKIM_OCTETS_MAX)
        return false;
    signature_header_hash(&v->fields, s, selected, add_proof(v, s)->hash);
    return true;
}

static void prove_seals(struct arc_verifier *v)
{
    EVP_MD_CTX *so_far = sha256_begin();

    for (size_t i = 0; i < v->chain->count; i++) {
        const struct arc_set *set = &v->chain->sets[i];
        hash_field(so_far, true, field_list_get(&v->fields, set->field[ARC_RESULTS]), 0, 0, true);
        hash_field(so_far, true, field_list_get(&v->fields, set->field[ARC_MESSAGE]), 0, 0, true);
        EVP_MD_CTX *own = EVP_MD_CTX_new();
        if (!own || EVP_MD_CTX_copy_ex(own, so_far) != 1)
            abort(); /* out of memory */
        hash_field(own, true, set->seal.field, set->seal.b_from, set->seal.b_to, false);
        sha256_end(&own, add_proof(v, &set->seal)->hash);
        hash_field(so_far, true, set->seal.field, 0, 0, true);
        v->octets += v->fields.fields[set->field[ARC_RESULTS]].n + v->fields.fields[set->field[ARC_MESSAGE]].n + 2 * set->seal.field.n;
    }
    EVP_MD_CTX_free(so_far);
}

void arc_verifier_end_of_header(struct arc_verifier *v)
{
    struct str reason = STR_NONE;

    if (v->header_ended)
        return;
    v->header_ended = true;
    if (!v->any) {
        field_list_free(&v->fields);
        return;
    }
    if (v->fields.overflowed) {
        fail(v, STR("too many header fields"));
        return;
    }
    v->chain = arena_alloc(&v->arena, sizeof *v->chain);
    if (!arc_chain_read(&v->fields, v->now, &v->arena, v->chain, &reason)) {
        fail(v, reason);
        return;
    }
    if (!prove_message(v)) {
        fail(v, STR("too much header to hash"));
        return;
    }
    prove_seals(v);
    body_hash_begin(&v->body, true, v->chain->message.relaxed_body, v->chain->message.limit);
}

void arc_verifier_body(struct arc_verifier *v, struct str octets)
{
    if (v->chain && !v->body_ended)
        body_hash_feed(&v->body, octets);
}

/* --- keys and the verdict --- */

bool arc_verifier_ask(struct arc_verifier *v, dkim_ask ask, void *context)
{
    bool all = v->header_ended;

    for (size_t i = 0; i < v->proof_count; i++) {
        struct proof *p = &v->proofs[i];
        if (!p->answer)
            p->answer = ask(context, p->key_name, DNS_TXT);
        all &= p->answer != NULL;
    }
    return all;
}

static enum arc_verdict verify(struct arc_verifier *v, const struct proof *p, struct str *reason)
{
    struct key_set keys;
    enum arc_verdict verdict = ARC_FAIL;

    *reason = STR("no answer in time for the key");
    if (!p->answer)
        return ARC_TEMPERROR;
    enum dkim_verdict read = keys_read(p->answer, p->s, &v->arena, &keys, reason);
    if (read != DKIM_NONE)
        return read == DKIM_TEMPERROR ? ARC_TEMPERROR : ARC_FAIL;
    *reason = STR("the signature does not match");
    if (keys_verify(&keys, p->hash, p->s->signature))
        verdict = ARC_PASS;
    keys_clear(&keys);
    return verdict;
}

/* The newest message signature's body. One that leaves a tail unsigned (l=) vouches for no message. */
static bool body_matches(struct arc_verifier *v, struct str *reason)
{
    const struct signature *s = &v->chain->message;

    *reason = STR("message signature: l= is not the length of the body");
    if (s->limited && v->body.total != s->limit)
        return false;
    *reason = STR("message signature: the body has been altered");
    return memcmp(v->body.digest, s->body_hash, sizeof s->body_hash) == 0;
}

/* A failure decides, whatever is missing besides. */
static void conclude(struct arc_verifier *v)
{
    struct str reason;

    v->verdict = ARC_PASS;
    if (!body_matches(v, &reason)) {
        fail(v, reason);
        return;
    }
    for (size_t i = 0; i < v->proof_count; i++) {
        enum arc_verdict verdict = verify(v, &v->proofs[i], &reason);
        if (verdict == ARC_PASS || (verdict == ARC_TEMPERROR && v->verdict == ARC_TEMPERROR))
            continue;
        reason = i == 0 ? arena_printf(&v->arena, "message signature: %.*s", STR_ARG(reason))
                        : arena_printf(&v->arena, "seal %zu: %.*s", i, STR_ARG(reason));
        if (verdict == ARC_FAIL) {
            fail(v, reason);
            return;
        }
        v->verdict = ARC_TEMPERROR;
        v->reason = reason;
    }
}

static void write_hops(const struct arc_verifier *v, struct arena *arena, struct arc_result *out)
{
    struct arc_hop *hops = arena_zalloc(arena, v->chain->count * sizeof *hops);

    out->hops = hops;
    out->count = v->chain->count;
    out->from_signed = v->chain->message.signs_from;
    for (size_t i = 0; i < out->count; i++) {
        const struct arc_set *set = &v->chain->sets[i];
        hops[i].sealer = arena_str(arena, set->seal.domain);
        hops[i].selector = arena_str(arena, set->seal.selector);
        hops[i].results = arena_str(arena, set->payload);
        arc_results_parse(set->payload, &hops[i].says);
    }
}

bool arc_verifier_finish(struct arc_verifier *v, dkim_ask ask, void *context, bool late, struct arena *arena,
                         struct arc_result *out)
{
    if (v->chain && !v->body_ended) {
        if (!arc_verifier_ask(v, ask, context) && !late)
            return false;
        body_hash_end(&v->body);
        v->body_ended = true;
        conclude(v);
    }
    *out = (struct arc_result){.verdict = v->verdict, .reason = arena_str(arena, v->reason), .octets = v->octets};
    if (v->verdict == ARC_PASS)
        write_hops(v, arena, out);
    return true;
}
