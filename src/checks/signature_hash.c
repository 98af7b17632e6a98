/*
 * signature_hash.c - simple and relaxed canonicalisation of header fields and of a flowing body (RFC 6376 3.4), into SHA-256.
 *
 * A body is hashed as it flows, cut anywhere: what may still turn out to be nothing (white space at a line's end, empty lines
 * at the body's end, half of a CRLF) is held back as a count or a flag. A lone CR or LF is an octet like any other.
 */
#include <stdlib.h>
#include <string.h>

#include "signature.h"

/* Fetched once: EVP_sha256() would be looked up among all providers for each hash. */
static const EVP_MD *sha256(void)
{
    static EVP_MD *fetched;

    if (!fetched)
        fetched = EVP_MD_fetch(NULL, "SHA256", NULL);
    return fetched;
}

EVP_MD_CTX *sha256_begin(void)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();

    if (!md || EVP_DigestInit_ex(md, sha256(), NULL) != 1)
        abort(); /* out of memory */
    return md;
}

void sha256_end(EVP_MD_CTX **md, uint8_t digest[32])
{
    EVP_DigestFinal_ex(*md, digest, NULL);
    EVP_MD_CTX_free(*md);
    *md = NULL;
}

/* --- header fields --- */

struct relaxing {
    EVP_MD_CTX *md;
    char out[256];
    size_t n;
    bool colon, value, space; /* the colon was seen; the value has begun; white space held back */
};

static void relaxed_put(struct relaxing *r, char c)
{
    if (r->n == sizeof r->out) {
        EVP_DigestUpdate(r->md, r->out, r->n);
        r->n = 0;
    }
    r->out[r->n++] = c;
}

/* 3.4.2: the name in lower case, nothing around the colon, line ends gone, white space one space, none at the end. */
static void relaxed_octet(struct relaxing *r, char c)
{
    if (c == '\r' || c == '\n')
        return;
    if (c == ' ' || c == '\t') {
        r->space = true;
        return;
    }
    if (!r->colon) {
        r->colon = c == ':';
        relaxed_put(r, ascii_lower(c));
        r->space = false;
        return;
    }
    if (r->space && r->value)
        relaxed_put(r, ' ');
    r->space = false;
    r->value = true;
    relaxed_put(r, c);
}

void hash_field(EVP_MD_CTX *md, bool relaxed, struct str field, size_t cut_from, size_t cut_to, bool crlf)
{
    struct relaxing r = {.md = md};

    if (!relaxed) {
        EVP_DigestUpdate(md, field.p, cut_to ? cut_from : field.n);
        if (cut_to)
            EVP_DigestUpdate(md, field.p + cut_to, field.n - cut_to);
    } else {
        for (size_t i = 0; i < field.n; i++)
            if (i < cut_from || i >= cut_to)
                relaxed_octet(&r, field.p[i]);
        EVP_DigestUpdate(md, r.out, r.n);
    }
    if (crlf)
        EVP_DigestUpdate(md, "\r\n", 2);
}

/* --- bodies --- */

void body_hash_begin(struct body_hash *b, bool hashing, bool relaxed, uint64_t limit)
{
    *b = (struct body_hash){.md = hashing ? sha256_begin() : NULL, .relaxed = relaxed, .limit = limit};
}

void body_hash_clear(struct body_hash *b)
{
    EVP_MD_CTX_free(b->md);
    b->md = NULL;
}

static void flush(struct body_hash *b)
{
    if (b->md && b->out_n)
        EVP_DigestUpdate(b->md, b->out, b->out_n);
    b->out_n = 0;
}

static void emit(struct body_hash *b, const char *p, size_t n)
{
    uint64_t left = b->total < b->limit ? b->limit - b->total : 0;
    size_t hashed = n < left ? n : (size_t)left;

    b->total += n;
    if (!b->md || !hashed)
        return;
    if (b->out_n + hashed > sizeof b->out)
        flush(b);
    if (hashed > sizeof b->out) {
        EVP_DigestUpdate(b->md, p, hashed);
    } else {
        memcpy(b->out + b->out_n, p, hashed);
        b->out_n += hashed;
    }
}

/* Octets of a line that are more than white space: what was held back before them counts now. */
static void put(struct body_hash *b, const char *p, size_t n)
{
    for (; b->empty_lines; b->empty_lines--)
        emit(b, "\r\n", 2);
    if (b->space)
        emit(b, " ", 1);
    b->space = false;
    b->text = true;
    emit(b, p, n);
}

static void end_line(struct body_hash *b)
{
    if (b->text)
        emit(b, "\r\n", 2);
    else
        b->empty_lines++;
    b->text = b->space = false;
}

static bool is_plain(const struct body_hash *b, char c)
{
    return c != '\r' && !(b->relaxed && (c == ' ' || c == '\t'));
}

void body_hash_feed(struct body_hash *b, struct str octets)
{
    for (size_t i = 0; i < octets.n;) {
        if (b->cr) {
            b->cr = false;
            if (octets.p[i] == '\n') {
                end_line(b);
                i++;
                continue;
            }
            put(b, "\r", 1);
        }
        size_t end = i;
        while (end < octets.n && is_plain(b, octets.p[end]))
            end++;
        if (end > i) {
            put(b, octets.p + i, end - i);
        } else if (octets.p[i] == '\r') {
            b->cr = true;
            end++;
        } else {
            b->space = true;
            end++;
        }
        i = end;
    }
}

void body_hash_end(struct body_hash *b)
{
    if (b->cr)
        put(b, "\r", 1);
    b->cr = false;
    if (b->text)
        end_line(b); /* a last line without its end gets one */
    if (!b->relaxed && !b->total)
        emit(b, "\r\n", 2); /* 3.4.3: an empty body is one CRLF */
    flush(b);
    if (b->md)
        sha256_end(&b->md, b->digest);
}
