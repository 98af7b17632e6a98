/*
 * dkim_driver.c - verdicts of DKIM and ARC on standard output, for the differential test. Reads lines:
 *
 *     now SECONDS
 *     key NAME TEXT          a key record; TEXT "!" is an error of DNS
 *     message OCTETS CHUNK   that many octets follow; answered by one line: VERDICT;VERDICT;... | ARC VERDICT | TEXT; TEXT; ... | REASON
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/checks/arc.h"
#include "postern/checks/dkim.h"
#include "postern/mail/header.h"

enum { KEYS_MAX = 64 };

static struct { char *name; struct dns_answer *answer; } keys[KEYS_MAX];
static size_t key_count;
static uint64_t now;

static void add_key(struct str name, struct str text)
{
    struct dns_build b = {0};
    struct buf quoted = {0};

    if (key_count == KEYS_MAX)
        abort();
    keys[key_count].name = xstrndup(name.p, name.n);
    if (str_eq(text, STR("!"))) {
        keys[key_count++].answer = dns_answer_status(DNS_SERVFAIL, 0);
        return;
    }
    for (size_t at = 0; at < text.n; at += 200)
        buf_printf(&quoted, "\"%.*s\" ", STR_ARG(str_sub(text, at, at + 200)));
    dns_build_begin(&b, name, DNS_TXT, 0);
    dns_build_record(&b, name, DNS_TXT, 60, str_trim(buf_view(&quoted)));
    struct str message = dns_build_end(&b);
    keys[key_count++].answer = dns_answer_parse((const uint8_t *)message.p, message.n, name, DNS_TXT);
    buf_free(&quoted);
    buf_free(&b.out);
}

static const struct dns_answer *ask(void *context, struct str name, unsigned type)
{
    static const struct dns_answer none = {.references = 1, .status = DNS_NXDOMAIN};

    (void)context, (void)type;
    for (size_t i = key_count; i-- > 0;)
        if (str_eq(str_of(keys[i].name), name))
            return keys[i].answer;
    return &none;
}

/* One message goes to both verifiers, as the header reader gives it. */
struct both {
    struct mail_tap tap;
    struct dkim_verifier *dkim;
    struct arc_verifier *arc;
};

static void see_field(struct mail_tap *t, struct str field)
{
    dkim_verifier_field(((struct both *)t)->dkim, field);
    arc_verifier_field(((struct both *)t)->arc, field);
}

static void see_end(struct mail_tap *t)
{
    dkim_verifier_end_of_header(((struct both *)t)->dkim);
    arc_verifier_end_of_header(((struct both *)t)->arc);
}

static void see_body(struct mail_tap *t, struct str octets)
{
    dkim_verifier_body(((struct both *)t)->dkim, octets);
    arc_verifier_body(((struct both *)t)->arc, octets);
}

static void answer(struct str message, size_t chunk)
{
    struct both b = {.tap = {.field = see_field, .end_of_header = see_end, .body = see_body}, .dkim = dkim_verifier_new(8, now),
                     .arc = arc_verifier_new(now)};
    struct header_reader h;
    struct buf kept = {0};
    struct arena arena = {0};
    struct dkim_result dkim;
    struct arc_result arc;

    header_begin(&h, 0, NULL, 0, &b.tap);
    for (size_t at = 0; at < message.n; at += chunk)
        header_feed(&h, str_sub(message, at, at + chunk), &kept);
    header_end(&h, &kept);
    header_clear(&h);
    buf_free(&kept);
    dkim_verifier_finish(b.dkim, ask, NULL, true, &arena, &dkim);
    arc_verifier_finish(b.arc, ask, NULL, true, &arena, &arc);
    for (size_t i = 0; i < dkim.count; i++)
        printf("%s%s", i ? ";" : "", dkim_verdict_names[dkim.signatures[i].verdict]);
    printf(" | %s | ", arc_verdict_names[arc.verdict]);
    for (size_t i = 0; i < dkim.count; i++)
        printf("%s%s", i ? "; " : "", dkim_signature_text(&dkim.signatures[i], &arena).p);
    printf(" | %.*s\n", STR_ARG(arc.reason));
    dkim_verifier_free(&b.dkim);
    arc_verifier_free(&b.arc);
    arena_clear(&arena);
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;

    for (ssize_t n; (n = getline(&line, &room, stdin)) > 0;) {
        struct str rest = {line, (size_t)n - (line[n - 1] == '\n')}, word, first;
        uint64_t octets, chunk;
        str_split(&rest, ' ', &word);
        if (str_eq(word, STR("now"))) {
            str_to_u64(rest, UINT64_MAX, &now);
        } else if (str_eq(word, STR("key")) && str_split(&rest, ' ', &first)) {
            add_key(first, rest);
        } else if (str_eq(word, STR("message")) && str_split(&rest, ' ', &first) && str_to_u64(first, 1 << 24, &octets) &&
                   str_to_u64(rest, 1 << 20, &chunk) && chunk) {
            char *message = xmalloc(octets + 1);
            if (fread(message, 1, octets, stdin) != octets)
                abort();
            answer((struct str){message, octets}, chunk);
            free(message);
        }
    }
    for (size_t i = 0; i < key_count; i++) {
        free(keys[i].name);
        dns_answer_unref(&keys[i].answer);
    }
    free(line);
    return 0;
}
