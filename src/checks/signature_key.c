/*
 * signature_key.c - key records (RFC 6376 3.6.1, 8301, 8463).
 *
 * A record is read strictly: who hands out what is no tag list has no key. Of several records at one name each is tried that
 * this signature may be verified with, up to DKIM_KEYS_MAX (6.1.2 leaves it to us). The key itself is public_key.c's.
 */
#include <stdlib.h>
#include <string.h>

#include "signature.h"

enum { RECORDS_MAX = 16 };

static struct str strip(struct str s)
{
    while (s.n && strchr(" \t\r\n", *s.p))
        s = str_sub(s, 1, s.n);
    while (s.n && strchr(" \t\r\n", s.p[s.n - 1]))
        s.n--;
    return s;
}

/* Is this word in the list, parted by colons? */
static bool in_list(struct str list, const char *word)
{
    struct str item;

    while (str_split(&list, ':', &item))
        if (str_eq(strip(item), str_of(word)))
            return true;
    return false;
}

/* Takes the key of this p=, or says what is wrong with it. */
static enum dkim_verdict take_key(struct str p, enum algorithm algorithm, struct arena *arena, struct key_record *out,
                                  struct str *reason)
{
    out->key = public_key_get(algorithm, p);
    switch (public_key_flaw(out->key)) {
    case KEY_SOUND:
        return DKIM_NONE;
    case KEY_NO_BASE64:
        *reason = STR("the key is no base64");
        return DKIM_PERMERROR;
    case KEY_UNREADABLE:
        *reason = algorithm == ALGORITHM_RSA_SHA256 ? STR("the key is no RSA key") : STR("the key is no Ed25519 key");
        return DKIM_PERMERROR;
    case KEY_SIZE: /* RFC 8301 3.2 */
        *reason = arena_printf(arena, "a key of %u bits", public_key_bits(out->key));
        return DKIM_POLICY;
    case KEY_EXPONENT:
        *reason = STR("the key's exponent is out of all measure");
        return DKIM_PERMERROR;
    }
    abort(); /* a flaw without a verdict */
}

/* May this key be used for this signature at all? The reason why not, or NULL. */
static const char *unusable(const struct tag_list *tags, const struct signature *s)
{
    const struct tag *v = tag_find(tags, "v"), *k = tag_find(tags, "k"), *h = tag_find(tags, "h"), *service = tag_find(tags, "s");
    const char *wanted = s->algorithm == ALGORITHM_RSA_SHA256 ? "rsa" : "ed25519";

    if (v && (v != tags->tags || !str_eq(v->value, STR("DKIM1"))))
        return "the record at its name is no key";
    if (!tag_find(tags, "p"))
        return "the record at its name holds no key";
    if (!tag_find(tags, "p")->value.n) /* RFC 6376 6.1.2: said before what else is wrong with it */
        return "the key is revoked";
    if (!str_eq(k ? k->value : STR("rsa"), str_of(wanted)))
        return "the key is of another type (k=)";
    if (h && !in_list(h->value, "sha256"))
        return "the key is not for sha256 (h=)";
    if (service && !in_list(service->value, "*") && !in_list(service->value, "email"))
        return "the key is not for mail (s=)";
    return NULL;
}

static enum dkim_verdict read_record(struct str text, const struct signature *s, struct arena *arena, struct key_record *out,
                                     struct str *reason)
{
    struct tag_list tags;
    const char *why = NULL;

    *out = (struct key_record){0};
    if (!tag_list_parse(text, true, &tags, &why))
        why = "the record at its name is no key";
    else
        why = unusable(&tags, s);
    *reason = str_of(why);
    if (why)
        return DKIM_PERMERROR;
    struct str p = tag_find(&tags, "p")->value;
    const struct tag *flags = tag_find(&tags, "t");
    out->testing = flags && in_list(flags->value, "y");
    *reason = STR("i= is below d= and the key forbids it (t=s)");
    if (flags && in_list(flags->value, "s") && !s->own_domain)
        return DKIM_PERMERROR;
    return take_key(p, s->algorithm, arena, out, reason);
}

enum dkim_verdict keys_read(const struct dns_answer *a, const struct signature *s, struct arena *arena, struct key_set *out,
                            struct str *reason)
{
    enum dkim_verdict first = DKIM_PERMERROR;

    memset(out, 0, sizeof *out);
    if (dns_failed(a->status)) {
        *reason = arena_printf(arena, "DNS %s asking for the key", dns_status_names[a->status]);
        return DKIM_TEMPERROR;
    }
    *reason = STR("no key");
    for (size_t i = 0; a->status == DNS_OK && i < a->count && i < RECORDS_MAX && out->count < DKIM_KEYS_MAX; i++) {
        struct key_record record;
        struct str why;
        enum dkim_verdict verdict = read_record(a->records[i].text, s, arena, &record, &why);
        if (record.key && public_key_bits(record.key))
            out->bits = public_key_bits(record.key);
        if (verdict == DKIM_NONE) {
            out->records[out->count++] = record;
            continue;
        }
        public_key_release(&record.key);
        if (i == 0 || verdict == DKIM_POLICY) {
            first = verdict;
            *reason = why;
        }
    }
    return out->count ? DKIM_NONE : first;
}

void keys_clear(struct key_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        public_key_release(&set->records[i].key);
    set->count = 0;
}

const struct key_record *keys_verify(const struct key_set *set, const uint8_t digest[32], struct str signature)
{
    for (size_t i = 0; i < set->count; i++)
        if (public_key_verifies(set->records[i].key, digest, signature))
            return &set->records[i];
    return NULL;
}
