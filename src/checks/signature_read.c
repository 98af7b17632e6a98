/*
 * signature_read.c - a signature's field read to the letter (RFC 6376 3.5 and 6.1.1, RFC 8617 4.1.2 and 4.1.3), and judged as
 * far as that goes without its key.
 *
 * Order of judgement: what is no tag list or lacks a tag is neutral; then what the tags say. All that names the signature (d=,
 * s=, i=, a=, the start of b=) is read first, so that a bad signature can be told by name.
 */
#include <string.h>

#include "postern/mail/from.h"
#include "postern/mail/header.h"
#include "signature.h"

enum { INSTANCE_MAX = 50, NAME_MAX_OCTETS = 253, DIGITS_MAX = 18, BODY_HASH_OCTETS = 32, IDENTITY_OCTETS = 320, B_OCTETS = 8 };

const char *const dkim_verdict_names[] = {"none", "pass", "fail", "policy", "neutral", "temperror", "permerror"};

struct reading {
    enum signature_kind kind;
    struct signature *s;
    struct arena *arena;
    uint64_t now;
    struct str *reason;
};

static enum dkim_verdict because(struct reading *r, enum dkim_verdict verdict, struct str reason)
{
    *r->reason = reason;
    return verdict;
}

static struct str value_of(const struct reading *r, const char *name)
{
    const struct tag *tag = tag_find(&r->s->tags, name);
    return tag ? tag->value : STR_NONE;
}

/* Labels of letters, digits, "-" and "_" (more than RFC 6376 grants, as the world has them). */
static bool is_labels(struct str s)
{
    struct str rest = s, label;

    while (str_split(&rest, '.', &label)) {
        if (!label.n || label.n > 63)
            return false;
        for (size_t i = 0; i < label.n; i++) {
            char c = ascii_lower(label.p[i]);
            if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
                return false;
        }
    }
    return s.n && s.n <= NAME_MAX_OCTETS;
}

/* A domain or a selector; U-labels become A-labels (RFC 8616 section 4). */
static bool read_labels(struct reading *r, struct str value, struct str *out)
{
    if (is_labels(value)) {
        *out = arena_lower(r->arena, value);
        return true;
    }
    for (size_t i = 0; i < value.n; i++)
        if ((unsigned char)value.p[i] >= 0x80)
            return domain_ascii(value, r->arena, out) && is_labels(*out);
    return false;
}

struct str signature_shown(struct arena *arena, struct str s)
{
    struct str copy = arena_str(arena, s);
    char *p = (char *)copy.p;

    for (size_t i = 0; i < copy.n; i++)
        if (p[i] <= ' ' || p[i] > '~' || strchr(",{}\"'\\()", p[i]))
            p[i] = '?';
    return copy;
}

static bool read_number(struct str value, uint64_t *out)
{
    if (!value.n || value.n > 76)
        return false;
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] < '0' || value.p[i] > '9')
            return false;
    while (value.n > 1 && *value.p == '0')
        value = str_sub(value, 1, value.n);
    if (value.n > DIGITS_MAX)
        *out = UINT64_MAX; /* 3.5: to be handled, if only as "very large" */
    else
        str_to_u64(value, UINT64_MAX, out);
    return true;
}

static bool is_algorithm(struct str value)
{
    return str_eq(value, STR("rsa-sha256")) || str_eq(value, STR("ed25519-sha256")) || str_eq(value, STR("rsa-sha1"));
}

/* A value without the white space that folding left in it (RFC 6376 3.2), cut to max octets. */
static struct str unfolded(struct arena *arena, struct str s, size_t max)
{
    struct str copy = arena_str(arena, s);
    char *p = (char *)copy.p;
    size_t n = 0;

    for (size_t i = 0; i < copy.n && n < max; i++)
        if (!strchr(" \t\r\n", p[i]))
            p[n++] = p[i];
    return str_sub(copy, 0, n);
}

/* i= as it stands; a domain in U-labels as A-labels (RFC 8616 section 4), so that every reader of a result may have it. */
static struct str read_agent(struct reading *r, struct str i)
{
    struct str whole = unfolded(r->arena, i, IDENTITY_OCTETS), domain;
    size_t at = whole.n;

    while (at && whole.p[at - 1] != '@')
        at--;
    if (!at || is_labels(str_sub(whole, at, whole.n)) || !read_labels(r, str_sub(whole, at, whole.n), &domain))
        return whole;
    return arena_printf(r->arena, "%.*s%.*s", STR_ARG(str_sub(whole, 0, at)), STR_ARG(domain));
}

/* What tells this signature from others, also when it is bad. */
static void read_identity(struct reading *r)
{
    struct signature *s = r->s;
    struct str b = value_of(r, "b"), i = value_of(r, "i"), a = value_of(r, "a");

    read_labels(r, value_of(r, "d"), &s->domain);
    read_labels(r, value_of(r, "s"), &s->selector);
    s->b_start = unfolded(r->arena, b, B_OCTETS);
    if (is_algorithm(a))
        s->algorithm_name = arena_str(r->arena, a);
    if (r->kind != SIGNATURE_DKIM)
        return;
    if (i.n)
        s->identity = read_agent(r, i);
    else if (s->domain.n)
        s->identity = arena_printf(r->arena, "@%.*s", STR_ARG(s->domain));
}

static enum dkim_verdict need_tags(struct reading *r)
{
    static const char *const needed[][9] = {
        [SIGNATURE_DKIM] = {"v", "a", "b", "bh", "d", "h", "s"},
        [SIGNATURE_MESSAGE] = {"i", "a", "b", "bh", "d", "s"}, /* h= may be empty: read_names() */
        [SIGNATURE_SEAL] = {"i", "a", "b", "cv", "d", "s"},
    };

    for (const char *const *name = needed[r->kind]; *name; name++)
        if (!value_of(r, *name).n)
            return because(r, DKIM_NEUTRAL, arena_printf(r->arena, "%s= is missing", *name));
    return DKIM_NONE;
}

static enum dkim_verdict read_algorithm(struct reading *r)
{
    struct str a = value_of(r, "a");

    if (str_eq(a, STR("rsa-sha1"))) /* RFC 8301 3.1: has permanently failed */
        return because(r, DKIM_PERMERROR, STR("rsa-sha1 is not to be used"));
    if (!is_algorithm(a))
        return because(r, DKIM_NEUTRAL, STR("unknown algorithm"));
    r->s->algorithm = str_starts(a, STR("rsa")) ? ALGORITHM_RSA_SHA256 : ALGORITHM_ED25519_SHA256;
    return DKIM_NONE;
}

static bool canonicalisation(struct str word, bool *relaxed)
{
    *relaxed = str_eq(word, STR("relaxed"));
    return *relaxed || str_eq(word, STR("simple"));
}

static enum dkim_verdict read_canonicalisation(struct reading *r)
{
    struct str rest = value_of(r, "c"), word;

    if (!tag_find(&r->s->tags, "c"))
        return DKIM_NONE;
    bool good = str_split(&rest, '/', &word) && canonicalisation(word, &r->s->relaxed_header);
    if (good && rest.p)
        good = canonicalisation(rest, &r->s->relaxed_body);
    return good ? DKIM_NONE : because(r, DKIM_NEUTRAL, STR("unknown canonicalisation"));
}

static struct str without_space(struct str s)
{
    while (s.n && strchr(" \t\r\n", *s.p))
        s = str_sub(s, 1, s.n);
    while (s.n && strchr(" \t\r\n", s.p[s.n - 1]))
        s.n--;
    return s;
}

/* "dns/txt" somewhere in the list; what is not known is passed over. */
static enum dkim_verdict read_query(struct reading *r)
{
    struct str rest = value_of(r, "q"), method;

    if (!tag_find(&r->s->tags, "q"))
        return DKIM_NONE;
    while (str_split(&rest, ':', &method)) {
        if (str_eq(without_space(method), STR("dns/txt")))
            return DKIM_NONE;
    }
    return because(r, DKIM_NEUTRAL, STR("unknown query method"));
}

static bool is_field_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == ':' || s.p[i] == ';')
            return false;
    return s.n > 0;
}

/* The names of h= into r->s. Of a message signature of ARC blank ones are passed over, and there may be none at all: so the
 * validation suite of RFC 8617's authors has it (ams_fields_h_mis_hdr, ams_fields_h_empty). */
static enum dkim_verdict split_names(struct reading *r)
{
    struct str rest = value_of(r, "h"), name;
    size_t count = 1;

    for (size_t i = 0; i < rest.n; i++)
        count += rest.p[i] == ':';
    if (count > DKIM_NAMES_MAX)
        return because(r, DKIM_POLICY, arena_printf(r->arena, "h= names more than %d fields", DKIM_NAMES_MAX));
    struct str *names = arena_alloc(r->arena, count * sizeof *names);
    r->s->names = names;
    while (str_split(&rest, ':', &name)) {
        name = without_space(name);
        if (!name.n && r->kind == SIGNATURE_MESSAGE)
            continue;
        if (!is_field_name(name))
            return because(r, DKIM_NEUTRAL, STR("h= is not well formed"));
        names[r->s->name_count++] = arena_lower(r->arena, name);
    }
    return DKIM_NONE;
}

static enum dkim_verdict read_names(struct reading *r)
{
    if (!tag_find(&r->s->tags, "h"))
        return because(r, DKIM_NEUTRAL, STR("h= is missing"));
    enum dkim_verdict verdict = split_names(r);
    for (size_t i = 0; verdict == DKIM_NONE && i < r->s->name_count; i++) {
        r->s->signs_from |= str_eq(r->s->names[i], STR("from"));
        /* RFC 8617 4.1.2: seals are covered by seals alone */
        if (r->kind == SIGNATURE_MESSAGE && str_eq(r->s->names[i], STR("arc-seal")))
            return because(r, DKIM_PERMERROR, STR("h= names ARC-Seal"));
    }
    /* RFC 6376 5.4, 6.1.1; RFC 8617 4.1.2: the same semantics */
    if (verdict == DKIM_NONE && r->s->name_count && !r->s->signs_from)
        return because(r, DKIM_PERMERROR, STR("From is not signed"));
    return verdict;
}

/* i= is in d= or below it; domains are compared as DNS knows them. */
static enum dkim_verdict read_user(struct reading *r)
{
    struct str i = value_of(r, "i"), domain;
    size_t at = i.n;

    if (!tag_find(&r->s->tags, "i"))
        return DKIM_NONE;
    while (at && i.p[at - 1] != '@')
        at--;
    if (!at || !read_labels(r, str_sub(i, at, i.n), &domain))
        return because(r, DKIM_NEUTRAL, STR("i= is no identity"));
    struct str d = r->s->domain;
    r->s->own_domain = str_eq(domain, d);
    if (!r->s->own_domain && !(domain.n > d.n && domain.p[domain.n - d.n - 1] == '.' && str_ends_nocase(domain, d)))
        return because(r, DKIM_PERMERROR, STR("i= is not in the domain of d="));
    return DKIM_NONE;
}

static enum dkim_verdict read_times(struct reading *r)
{
    struct signature *s = r->s;

    s->has_time = tag_find(&s->tags, "t");
    s->has_end = tag_find(&s->tags, "x");
    if ((s->has_time && !read_number(value_of(r, "t"), &s->time)) || (s->has_end && !read_number(value_of(r, "x"), &s->end)))
        return because(r, DKIM_NEUTRAL, STR("t= or x= is no number"));
    if (r->kind == SIGNATURE_SEAL) /* as old as its hop; RFC 8617 gives its time no meaning */
        return DKIM_NONE;
    if (s->has_time && s->has_end && s->end <= s->time)
        return because(r, DKIM_NEUTRAL, STR("x= is not after t="));
    if (s->has_end && r->now > s->end)
        return because(r, DKIM_POLICY, STR("expired"));
    if (s->has_time && s->time > r->now && s->time - r->now > DKIM_CLOCK_DRIFT)
        return because(r, DKIM_POLICY, STR("signed in the future"));
    return DKIM_NONE;
}

static enum dkim_verdict read_length(struct reading *r)
{
    r->s->limit = UINT64_MAX;
    r->s->limited = tag_find(&r->s->tags, "l");
    if (r->s->limited && !read_number(value_of(r, "l"), &r->s->limit))
        return because(r, DKIM_NEUTRAL, STR("l= is no number"));
    return DKIM_NONE;
}

static enum dkim_verdict read_hashes(struct reading *r)
{
    struct buf bytes = {0};
    bool good = tag_base64(value_of(r, "b"), &bytes);

    if (good)
        r->s->signature = arena_str(r->arena, buf_view(&bytes));
    buf_clear(&bytes);
    if (good && r->kind != SIGNATURE_SEAL) {
        good = tag_base64(value_of(r, "bh"), &bytes) && bytes.n == BODY_HASH_OCTETS;
        if (good)
            memcpy(r->s->body_hash, bytes.p, BODY_HASH_OCTETS);
    }
    buf_free(&bytes);
    return good ? DKIM_NONE : because(r, DKIM_NEUTRAL, STR("b= or bh= is no base64 of the right length"));
}

static enum dkim_verdict read_instance(struct reading *r)
{
    uint64_t n = 0;

    if (value_of(r, "i").n > 2 || !read_number(value_of(r, "i"), &n) || n < 1 || n > INSTANCE_MAX) /* RFC 8617 4.2.1 */
        return because(r, DKIM_NEUTRAL, STR("i= is no instance"));
    r->s->instance = (unsigned)n;
    if (r->kind != SIGNATURE_SEAL)
        return DKIM_NONE;
    r->s->cv = value_of(r, "cv");
    if (tag_find(&r->s->tags, "h")) /* RFC 8617 4.1.3 */
        return because(r, DKIM_PERMERROR, STR("a seal with h="));
    if (!str_eq(r->s->cv, STR("none")) && !str_eq(r->s->cv, STR("pass")) && !str_eq(r->s->cv, STR("fail")))
        return because(r, DKIM_NEUTRAL, STR("cv= is none of its words"));
    return DKIM_NONE;
}

static enum dkim_verdict read_version(struct reading *r)
{
    return str_eq(value_of(r, "v"), STR("1")) ? DKIM_NONE : because(r, DKIM_NEUTRAL, STR("unknown version"));
}

static enum dkim_verdict read_names_of_dns(struct reading *r)
{
    if (!r->s->domain.n || str_find(r->s->domain, '.', 0) == r->s->domain.n)
        return because(r, DKIM_NEUTRAL, STR("d= is no domain"));
    if (!r->s->selector.n)
        return because(r, DKIM_NEUTRAL, STR("s= is no selector"));
    return DKIM_NONE;
}

typedef enum dkim_verdict (*step)(struct reading *r);
static const step dkim_steps[] = {need_tags,  read_version, read_names_of_dns, read_algorithm, read_canonicalisation, read_query,
                                  read_length, read_hashes, read_names,        read_user,      read_times,            NULL};
static const step message_steps[] = {need_tags,  read_instance, read_names_of_dns, read_algorithm, read_canonicalisation, read_query,
                                     read_length, read_hashes,  read_names,        read_times,     NULL};
static const step seal_steps[] = {need_tags, read_instance, read_names_of_dns, read_algorithm, read_hashes, read_times, NULL};

enum dkim_verdict signature_read(enum signature_kind kind, struct str field, uint64_t now, struct arena *arena,
                                 struct signature *out, struct str *reason)
{
    static const step *const steps[] = {dkim_steps, message_steps, seal_steps};
    struct reading r = {.kind = kind, .s = out, .arena = arena, .now = now, .reason = reason};
    struct str body = field_body(field);
    const char *why;

    memset(out, 0, sizeof *out);
    out->field = field;
    out->own_domain = true;
    if (field.n > DKIM_FIELD_MAX)
        return because(&r, DKIM_POLICY, arena_printf(arena, "a field of more than %d octets", DKIM_FIELD_MAX));
    if (!tag_list_parse(body, true, &out->tags, &why)) {
        out->tags.count = 0;
        return because(&r, DKIM_NEUTRAL, str_of(why));
    }
    read_identity(&r);
    for (const step *s = steps[kind]; *s; s++) {
        enum dkim_verdict verdict = (*s)(&r);
        if (verdict != DKIM_NONE)
            return verdict;
    }
    const struct tag *b = tag_find(&out->tags, "b");
    out->b_from = (size_t)(body.p - field.p) + b->from;
    out->b_to = (size_t)(body.p - field.p) + b->to;
    if (kind == SIGNATURE_SEAL)
        out->relaxed_header = true; /* RFC 8617 5.1.1: the only one */
    return DKIM_NONE;
}

struct str signature_key_name(const struct signature *s, struct arena *arena)
{
    return arena_printf(arena, "%.*s._domainkey.%.*s", STR_ARG(s->selector), STR_ARG(s->domain));
}
