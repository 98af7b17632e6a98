/*
 * from.c - the author's domain out of the From fields of a header.
 *
 * The whole field is read, also behind a first error: a field that is no address list is that before anything else. Domains are
 * compared as DNS knows them; only the first is kept. An address whose domain is written exactly like the one before it costs no
 * conversion, and there are at most FROM_ADDRESSES_MAX, so that a field of a megabyte costs no more than its reading.
 */
#include <idn2.h>
#include <stdlib.h>
#include <string.h>

#include "from_address.h"
#include "postern/base/codec.h"
#include "postern/mail/from.h"
#include "postern/mail/header.h"
#include "postern/smtp/command.h"

const char *const from_error_names[FROM_ERROR_COUNT] = {
    [FROM_OK] = "none",
    [FROM_MISSING] = "missing",
    [FROM_MULTIPLE_FIELDS] = "multiple-fields",
    [FROM_MULTIPLE_DOMAINS] = "multiple-domains",
    [FROM_SYNTAX] = "syntax",
    [FROM_NO_DOMAIN] = "no-domain",
    [FROM_LITERAL] = "literal",
    [FROM_BAD_DOMAIN] = "bad-domain",
    [FROM_TOO_MANY] = "too-many",
};

enum { NAME_OCTETS = 253 }; /* RFC 1035 2.3.4, as text */

static bool is_ascii(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] > 127)
            return false;
    return true;
}

/* U+3002, U+FF0E and U+FF61 are dots to UTS 46; in mail only "." parts labels (RFC 6531 3.3). */
static bool has_foreign_dot(struct str s)
{
    return memmem(s.p, s.n, "\xe3\x80\x82", 3) || memmem(s.p, s.n, "\xef\xbc\x8e", 3) || memmem(s.p, s.n, "\xef\xbd\xa1", 3);
}

bool domain_ascii(struct str domain, struct arena *arena, struct str *out)
{
    *out = STR_NONE;
    if (domain.n > 1 && domain.p[domain.n - 1] == '.')
        domain.n--;
    if (domain.n == 0 || domain.n > 4 * NAME_OCTETS || memchr(domain.p, 0, domain.n))
        return false;
    if (is_ascii(domain)) {
        if (domain.n <= NAME_OCTETS && domain_valid(domain))
            *out = arena_lower(arena, domain);
        return out->p != NULL;
    }
    /* libidn2 drops ASCII octets that no host name has, where a name with them must be refused. */
    if (!domain_valid_utf8(domain) || has_foreign_dot(domain))
        return false;
    char *copy = xstrndup(domain.p, domain.n);
    uint8_t *name = NULL;
    int status = idn2_lookup_u8((const uint8_t *)copy, &name, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    struct str ascii = status == IDN2_OK ? str_of((const char *)name) : STR_NONE;
    if (ascii.n && ascii.n <= NAME_OCTETS && domain_valid(ascii))
        *out = arena_lower(arena, ascii);
    idn2_free(name);
    free(copy);
    return out->p != NULL;
}

/* What the addresses came to, apart from the domain. */
struct tally {
    size_t domains, literals, bare;
    bool bad_domain, several;
};

static void add_domain(struct tally *t, struct str written, struct str *before, struct arena *arena, struct str *domain)
{
    struct str name;

    if (t->domains++ && str_eq(written, *before))
        return;
    if (!written.p || !domain_ascii(written, arena, &name)) {
        t->bad_domain = true;
        return;
    }
    *before = arena_str(arena, written);
    if (domain->n && !str_eq(*domain, name))
        t->several = true;
    *domain = name;
}

static enum from_error judge(const struct tally *t)
{
    if (t->several || (t->literals && t->domains))
        return FROM_MULTIPLE_DOMAINS;
    if (t->bare && (t->domains || t->literals)) /* "Foo, Inc. <a@x>": a name that is no address among addresses */
        return FROM_SYNTAX;
    if (t->bad_domain)
        return FROM_BAD_DOMAIN;
    if (t->literals)
        return FROM_LITERAL;
    return t->domains ? FROM_OK : FROM_NO_DOMAIN;
}

static enum from_error read_addresses(struct str body, struct arena *arena, struct from_author *out, struct str *domain)
{
    struct address_reader r;
    struct tally t = {0};
    struct str before = STR_NONE, written;
    enum address_kind kind;

    address_begin(&r, body);
    while ((kind = address_next(&r, &written)) != ADDRESS_END) {
        if (kind == ADDRESS_BAD)
            return FROM_SYNTAX;
        if (++out->addresses > FROM_ADDRESSES_MAX)
            return FROM_TOO_MANY;
        t.literals += kind == ADDRESS_LITERAL;
        t.bare += kind == ADDRESS_BARE;
        if (kind == ADDRESS_DOMAIN)
            add_domain(&t, written, &before, arena, domain);
    }
    return judge(&t);
}

/* The name of a field may not be folded away from its colon (RFC 5322 4.5.8 has white space there, not folding). */
static bool name_is_folded(struct str field)
{
    return str_find(field, '\n', 0) < str_find(field, ':', 0);
}

void from_read(const struct str *fields, size_t count, struct arena *arena, struct from_author *out)
{
    struct str domain = STR_NONE;

    *out = (struct from_author){0};
    if (count == 0)
        out->error = FROM_MISSING;
    else if (count > 1)
        out->error = FROM_MULTIPLE_FIELDS;
    else if (!utf8_valid(fields[0]) || name_is_folded(fields[0]))
        out->error = FROM_SYNTAX;
    else
        out->error = read_addresses(field_body(fields[0]), arena, out, &domain);
    if (out->error == FROM_OK)
        out->domain = domain;
}
