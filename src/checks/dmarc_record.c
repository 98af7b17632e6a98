/*
 * dmarc_record.c - reads policy records (RFC 9989 4.7, 4.8): a list of tags, the version first.
 *
 * Only the version is strict. Names of tags and the keywords of their values are compared without case, as the ABNF has it;
 * "DMARC1" is not.
 */
#include <string.h>

#include "postern/checks/dmarc.h"

const char *const dmarc_policy_names[] = {[DMARC_NONE] = "none", [DMARC_QUARANTINE] = "quarantine", [DMARC_REJECT] = "reject"};

/* The next "tag = value" of *rest, trimmed. False at the end. A piece without "=" has an empty name. */
static bool next_tag(struct str *rest, struct str *name, struct str *value)
{
    struct str piece;

    if (!str_split(rest, ';', &piece))
        return false;
    size_t equals = str_find(piece, '=', 0);
    *name = equals < piece.n ? str_trim(str_sub(piece, 0, equals)) : STR_NONE;
    *value = equals < piece.n ? str_trim(str_sub(piece, equals + 1, piece.n)) : STR_NONE;
    return true;
}

/* --- URIs (RFC 3986) --------------------------------------------------------------------------------------- */

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* unreserved, reserved and percent-encoded octets; "," and "!" must be encoded here (RFC 9989 4.8). */
static bool uri_octets_valid(struct str s)
{
    static const char others[] = "-._~:/?#[]@$&'()*+;=";

    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '%') {
            if (i + 2 >= s.n || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2]))
                return false;
            i += 2;
        } else if (!is_alpha(s.p[i]) && !is_digit(s.p[i]) && !(s.p[i] && memchr(others, s.p[i], sizeof others - 1))) {
            return false;
        }
    }
    return true;
}

/* obs-dmarc-report-size: "!" and digits and one of k, m, g, t. */
static struct str without_size(struct str uri)
{
    size_t mark = str_find(uri, '!', 0), end = uri.n;

    if (mark == uri.n)
        return uri;
    if (memchr("kmgtKMGT", uri.p[end - 1], 8))
        end--;
    if (end == mark + 1)
        return uri;
    for (size_t i = mark + 1; i < end; i++)
        if (!is_digit(uri.p[i]))
            return uri;
    return str_sub(uri, 0, mark);
}

static bool uri_valid(struct str uri)
{
    size_t colon = str_find(uri, ':', 0);
    struct str rest = str_sub(uri, colon + 1, uri.n);

    if (colon == 0 || colon == uri.n || rest.n == 0 || !is_alpha(uri.p[0]))
        return false;
    for (size_t i = 0; i < colon; i++)
        if (!is_alpha(uri.p[i]) && !is_digit(uri.p[i]) && !memchr("+-.", uri.p[i], 3))
            return false;
    if (str_eq_nocase(str_sub(uri, 0, colon), STR("mailto"))) { /* RFC 6068: an address to write to */
        size_t at = str_find(rest, '@', 0);
        if (at == 0 || at + 1 >= rest.n)
            return false;
    }
    return uri_octets_valid(rest);
}

bool dmarc_uris_valid(struct str text)
{
    struct str uri;

    while (str_split(&text, ',', &uri))
        if (uri_valid(without_size(str_trim(uri))))
            return true;
    return false;
}

/* --- values ------------------------------------------------------------------------------------------------ */

enum given { ABSENT, VALID, INVALID };

static enum given read_policy(struct str value, enum dmarc_policy *out)
{
    for (enum dmarc_policy p = DMARC_NONE; p <= DMARC_REJECT; p++) {
        if (str_eq_nocase(value, str_of(dmarc_policy_names[p]))) {
            *out = p;
            return VALID;
        }
    }
    return INVALID;
}

static bool is_letter(struct str value, char letter)
{
    return value.n == 1 && ascii_lower(value.p[0]) == letter;
}

enum tag { TAG_P, TAG_SP, TAG_NP, TAG_ADKIM, TAG_ASPF, TAG_PSD, TAG_T, TAG_RUA, TAG_COUNT };
static const struct str tag_names[TAG_COUNT] = {{"p", 1},    {"sp", 2},  {"np", 2}, {"adkim", 5},
                                                {"aspf", 4}, {"psd", 3}, {"t", 1},  {"rua", 3}};

bool dmarc_record_parse(struct str text, struct dmarc_record *out)
{
    struct str name, value, values[TAG_COUNT] = {{0}};
    enum given p = ABSENT, sp = ABSENT, np = ABSENT;

    *out = (struct dmarc_record){0};
    /* 4.8: no white space before the "v"; a record that does not begin so is none of ours (4.7) */
    if (text.n == 0 || ascii_lower(text.p[0]) != 'v' || !next_tag(&text, &name, &value) || !str_eq_nocase(name, STR("v")) ||
        !str_eq(value, STR("DMARC1")))
        return false;
    while (next_tag(&text, &name, &value))
        for (int tag = 0; tag < TAG_COUNT; tag++)
            if (str_eq_nocase(name, tag_names[tag]) && !values[tag].p)
                values[tag] = value;
    if (values[TAG_P].p)
        p = read_policy(values[TAG_P], &out->p);
    out->sp = out->p;
    if (values[TAG_SP].p)
        sp = read_policy(values[TAG_SP], &out->sp);
    out->np = out->sp;
    if (values[TAG_NP].p)
        np = read_policy(values[TAG_NP], &out->np);
    out->dkim_strict = is_letter(values[TAG_ADKIM], 's');
    out->spf_strict = is_letter(values[TAG_ASPF], 's');
    if (is_letter(values[TAG_PSD], 'y'))
        out->psd = DMARC_PSD_YES;
    else if (is_letter(values[TAG_PSD], 'n'))
        out->psd = DMARC_PSD_NO;
    out->test = is_letter(values[TAG_T], 'y');
    out->usable = p == VALID && sp != INVALID && np != INVALID;
    if (!out->usable) { /* 4.10.1 */
        out->usable = dmarc_uris_valid(values[TAG_RUA]);
        out->p = out->sp = out->np = DMARC_NONE;
    }
    return true;
}
