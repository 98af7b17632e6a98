/*
 * dkim_library.c - libopendkim 2.11.0~beta2, and what is kept away from it.
 *
 * It gets only the fields that a signature names, from the bottom up as many as are named (so that its selection, which walks
 * all fields for each name, stays within a counted budget), and signatures that signature_read() found good. It selects,
 * canonicalises and hashes; it is told to ignore the signatures at the end of the message (DELAYSIGPROC keeps it from doing
 * anything about them earlier), so that it never sees a key. It would take one record only, cut it at 1024 octets, reuse the
 * first key of a name for all signatures whatever their a=, and know RSA keys as SubjectPublicKeyInfo only; and it would decode
 * the key for each message anew, which with OpenSSL 3 is a fifth of what filtering a message costs. Keys are read by
 * signature_key.c and used by public_key.c.
 *
 * Signatures that it would judge wrongly are not given to it (library_fit); dkim_verify.c hashes those itself:
 *   - "b =", and a tag whose name ends in b: the wrong value is left out of the hash (6376 3.5: that of b=)
 *   - h= of 4096 octets and more is cut (5.4)
 *   - h= with DKIM-Signature: the signature may select itself, and a selection of all fields there are writes behind an array
 *     (3.5)
 *   - other characters than ASCII (8616 section 4)
 *   - vertical tab and form feed in a signed field are white space to it (3.4.2: WSP is space and tab); NUL ends a field; lone
 *     CR and LF; a fold before the colon
 *   - q= of several methods (3.5); i= in quoted-printable or of more than 250 octets; a t= below the drift, which it takes for
 *     the future
 *   - its clock is the machine's and cannot be set: with a drift of nine years it says nothing about times, which
 *     signature_read() judges
 * A body without a CRLF at its end gets one (3.4.3, 3.4.4), where the library gives up.
 */
#include "dkim_library.h"

#include <dkim.h>
#include <stdlib.h>
#include <string.h>

#include "postern/base/clock.h"

enum { NAMES_OCTETS_MAX = 4000, IDENTITY_MAX = 250 };
static const uint64_t drift = (uint64_t)9 * 365 * 86400;

/* --- what it may have --- */

static bool is_plain_field(struct str field, size_t name)
{
    for (size_t i = 0; i < field.n; i++) {
        char c = field.p[i], before = i ? field.p[i - 1] : 0, after = i + 1 < field.n ? field.p[i + 1] : 0;
        if (c == 0 || c == '\v' || c == '\f' || (c == '\r' && after != '\n') || (c == '\n' && before != '\r'))
            return false;
    }
    while (name < field.n && field.p[name] == ' ')
        name++;
    return name < field.n && field.p[name] == ':';
}

static bool tags_fit(const struct signature *s)
{
    const struct tag *q = tag_find(&s->tags, "q"), *i = tag_find(&s->tags, "i");

    for (size_t n = 0; n < s->tags.count; n++) {
        const struct tag *t = &s->tags.tags[n];
        bool is_b = str_eq(t->name, STR("b"));
        if (is_b ? t->name.p[1] != '=' : t->name.p[t->name.n - 1] == 'b')
            return false;
    }
    if (q && !str_eq(q->value, STR("dns/txt")))
        return false;
    return !i || (i->value.n <= IDENTITY_MAX && str_find(i->value, '=', 0) == i->value.n &&
                  str_find(i->value, '@', str_find(i->value, '@', 0) + 1) >= i->value.n);
}

static bool names_fit(const struct signature *s)
{
    size_t octets = 0;

    for (size_t i = 0; i < s->name_count; i++) {
        octets += s->names[i].n + 1;
        if (str_eq(s->names[i], STR("dkim-signature")))
            return false;
    }
    return octets <= NAMES_OCTETS_MAX;
}

static bool times_fit(const struct signature *s)
{
    struct clock clock;

    clock_real(&clock);
    uint64_t now = clock.wall_ms / 1000;
    bool time_fits = !s->has_time || (s->time > drift && s->time < now + drift);
    return time_fits && (!s->has_end || (s->end < UINT64_MAX - drift && s->end + drift > now));
}

bool library_fit(const struct field_list *fields, const struct signature *s, const int32_t *selected)
{
    if (!names_fit(s) || !tags_fit(s) || !times_fit(s) || (s->limited && s->limit > INT64_MAX))
        return false;
    for (size_t i = 0; i < s->field.n; i++)
        if ((unsigned char)s->field.p[i] >= 0x80)
            return false;
    if (!is_plain_field(s->field, sizeof "DKIM-Signature" - 1))
        return false;
    for (size_t i = 0; i < s->name_count; i++)
        if (selected[i] >= 0 && !is_plain_field(field_list_get(fields, (size_t)selected[i]), fields->fields[selected[i]].name))
            return false;
    return true;
}

/* --- one message --- */

/* What would ask for a key: nothing does. */
static int no_query(void *service, int type, unsigned char *query, unsigned char *buf, size_t max, void **handle)
{
    (void)service, (void)type, (void)query, (void)buf, (void)max, (void)handle;
    return DKIM_DNS_ERROR;
}

/* One for the process: it holds what does not change. */
static DKIM_LIB *library_handle(void)
{
    static DKIM_LIB *handle;
    u_int flags = DKIM_LIBFLAGS_DELAYSIGPROC | DKIM_LIBFLAGS_BADSIGHANDLES;
    uint64_t allowed = drift;

    if (handle)
        return handle;
    handle = dkim_init(NULL, NULL);
    if (!handle)
        abort(); /* out of memory */
    dkim_options(handle, DKIM_OP_SETOPT, DKIM_OPTS_FLAGS, &flags, sizeof flags);
    dkim_options(handle, DKIM_OP_SETOPT, DKIM_OPTS_CLOCKDRIFT, &allowed, sizeof allowed);
    dkim_dns_set_query_start(handle, no_query);
    return handle;
}

static void give_field(struct library *l, struct str field)
{
    dkim_header(l->handle, (u_char *)field.p, field.n); /* what it says of a signature is in its list */
}

/* Are its signatures ours, in their order, and none refused? */
static bool match_signatures(struct library *l)
{
    DKIM_SIGINFO **list = NULL;
    int count = 0;

    if (dkim_getsiglist(l->handle, &list, &count) != DKIM_STAT_OK || (size_t)count != l->count)
        return false;
    for (size_t i = 0; i < l->count; i++) {
        const u_char *domain = dkim_sig_getdomain(list[i]), *selector = dkim_sig_getselector(list[i]);
        if (dkim_sig_geterror(list[i]) != DKIM_SIGERROR_UNKNOWN || !domain || !selector)
            return false;
        if (!str_eq_nocase(str_of((const char *)domain), l->signatures[i].s->domain) ||
            !str_eq_nocase(str_of((const char *)selector), l->signatures[i].s->selector))
            return false;
        l->signatures[i].info = list[i];
    }
    return true;
}

bool library_begin(struct library *l, const struct field_list *fields, const bool *wanted)
{
    DKIM_STAT status;
    size_t next = 0;

    l->handle = dkim_verify(library_handle(), (const unsigned char *)"postern", NULL, &status);
    if (!l->handle)
        return false;
    for (size_t i = 0; i < fields->count; i++) {
        struct str field = field_list_get(fields, i);
        bool signature = next < l->count && l->signatures[next].s->field.p == field.p;
        if (signature || wanted[i])
            give_field(l, field);
        next += signature;
    }
    if (next == l->count && dkim_eoh(l->handle) == DKIM_STAT_OK && match_signatures(l))
        return true;
    library_clear(l);
    return false;
}

void library_body(struct library *l, struct str octets)
{
    if (!l->handle || !octets.n)
        return;
    l->octets += octets.n;
    l->last[0] = octets.n > 1 ? octets.p[octets.n - 2] : l->last[1];
    l->last[1] = octets.p[octets.n - 1];
    dkim_body(l->handle, (u_char *)octets.p, octets.n);
}

void library_end(struct library *l)
{
    if (!l->handle)
        return;
    if (l->octets && !(l->last[0] == '\r' && l->last[1] == '\n'))
        dkim_body(l->handle, (u_char *)"\r\n", 2);
    for (size_t i = 0; i < l->count; i++)
        dkim_sig_ignore(l->signatures[i].info);
    dkim_eom(l->handle, NULL);
}

bool library_hashes(const struct library_signature *s, uint8_t header[32], uint8_t body[32])
{
    void *h = NULL, *b = NULL;
    size_t hn = 0, bn = 0;

    if (dkim_sig_gethashes(s->info, &h, &hn, &b, &bn) != DKIM_STAT_OK || hn != 32 || bn != 32)
        return false;
    memcpy(header, h, 32);
    memcpy(body, b, 32);
    return true;
}

void library_clear(struct library *l)
{
    if (l->handle)
        dkim_free(l->handle);
    *l = (struct library){0};
}
