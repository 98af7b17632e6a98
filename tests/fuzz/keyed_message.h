/*
 * keyed_message.h - a message and the key records that DNS has for it, as one input: "RECORD\nRECORD\n\nmessage". No record: there is no such name; the
 * record "!" alone: DNS failed. Whoever is asked for whatever name has these.
 */
#ifndef TESTS_FUZZ_KEYED_MESSAGE_H
#define TESTS_FUZZ_KEYED_MESSAGE_H

#include "must.h"
#include "postern/dns/dns.h"
#include "postern/mail/header.h"

enum { RECORDS_MAX = 4, NOW = 1795292100 };

struct answer {
    struct dns_answer a;
    struct dns_record records[RECORDS_MAX];
};

static inline const struct dns_answer *ask(void *context, struct str name, unsigned type)
{
    must(type == DNS_TXT && name.n);
    return context;
}

/* The records at the start of the input; what follows the empty line is left in *rest. */
static inline void read_records(struct str *rest, struct answer *out)
{
    struct str line;

    *out = (struct answer){.a = {.references = 1, .status = DNS_NXDOMAIN}};
    while (str_split(rest, '\n', &line) && line.n) {
        if (str_eq(line, STR("!")))
            out->a.status = DNS_SERVFAIL;
        else if (out->a.count < RECORDS_MAX)
            out->records[out->a.count++].text = line;
    }
    if (out->a.count) {
        out->a.status = DNS_OK;
        out->a.records = out->records;
    }
}

/* The message goes past the tap, in chunks of so many octets. */
static inline void flow(struct str message, size_t chunk, struct mail_tap *tap)
{
    struct header_reader h;
    struct buf spooled = {0};

    header_begin(&h, 0, NULL, 0, tap);
    for (size_t at = 0; at < message.n; at += chunk)
        header_feed(&h, str_sub(message, at, at + chunk), &spooled);
    header_end(&h, &spooled);
    header_clear(&h);
    buf_free(&spooled);
}

#endif
