/*
 * domain.c - domains, address literals and the names of HELO (RFC 5321 2.3.5, 4.1.2, 4.1.3, 4.1.4). Syntax only: nothing is looked up.
 */
#include "postern/smtp/command.h"

#include "octets.h"
#include "postern/base/codec.h"
#include "postern/base/codec.h"

enum { DOMAIN_MAX = 255, LABEL_MAX = 63 };

/* sub-domain = Let-dig [Ldh-str], underscore tolerated; with utf8 any valid sequence over 127 counts as a letter (RFC 6531 3.3). */
static bool label_valid(struct str s, bool utf8)
{
    bool ascii = true;

    if (s.n == 0 || s.p[0] == '-' || s.p[s.n - 1] == '-')
        return false;
    for (size_t i = 0; i < s.n;) {
        size_t step = 1;
        if (is_8bit(s.p[i])) {
            step = utf8 ? utf8_step(str_sub(s, i, s.n)) : 0;
            ascii = false;
        } else if (!is_let_dig(s.p[i]) && s.p[i] != '-' && s.p[i] != '_') {
            step = 0;
        }
        if (step == 0)
            return false;
        i += step;
    }
    /* The 63 octets of RFC 1035 2.3.4 bind the A-label; how long that is for a U-label is known only after conversion. */
    return !ascii || s.n <= LABEL_MAX;
}

static bool valid(struct str s, bool utf8)
{
    bool all_digits = true;
    struct str rest = s, label;

    if (s.n == 0 || s.n > DOMAIN_MAX)
        return false;
    while (str_split(&rest, '.', &label)) {
        if (!label_valid(label, utf8))
            return false;
        for (size_t i = 0; i < label.n && all_digits; i++)
            all_digits = is_digit(label.p[i]);
    }
    return !all_digits; /* 192.0.2.1 is an address that lost its brackets, not a domain */
}

bool domain_valid(struct str s)
{
    return valid(s, false);
}

bool domain_valid_utf8(struct str s)
{
    return valid(s, true);
}

bool address_literal_parse(struct str s, struct addr *out)
{
    *out = (struct addr){0};
    if (s.n < 3 || s.p[0] != '[' || s.p[s.n - 1] != ']')
        return false;
    struct str inner = str_sub(s, 1, s.n - 1);
    bool v6 = str_starts_nocase(inner, STR("IPv6:"));
    if (v6)
        inner = str_sub(inner, 5, inner.n);
    /* A colon tells the families apart in the text: a mapped address is IPv4 once it is parsed. */
    if ((str_find(inner, ':', 0) < inner.n) != v6 || !addr_parse(inner, out)) {
        *out = (struct addr){0};
        return false;
    }
    return true;
}

bool helo_acceptable(struct str argument)
{
    if (argument.n == 0 || argument.n > DOMAIN_MAX)
        return false;
    return ascii_printable(argument) && str_find(argument, ' ', 0) == argument.n;
}

enum helo_form helo_classify(struct str argument, struct addr *literal)
{
    *literal = (struct addr){0};
    if (address_literal_parse(argument, literal))
        return HELO_LITERAL;
    if (addr_parse(argument, literal))
        return HELO_BARE;
    *literal = (struct addr){0};
    if (!domain_valid(argument))
        return HELO_INVALID;
    return str_find(argument, '.', 0) < argument.n ? HELO_NAME : HELO_BARE;
}
