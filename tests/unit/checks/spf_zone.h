/*
 * spf_zone.h - a zone of text lines, and an evaluation to its end over it: answers arrive all at once, or one at a time in some order.
 * Used by the tests, the fuzz target and the driver of the differential test.
 */
#ifndef CHECKS_SPF_ZONE_H
#define CHECKS_SPF_ZONE_H

#include <stdlib.h>
#include <string.h>

#include "postern/checks/spf.h"

enum { ZONE_RECORDS = 2048, ZONE_ASKED = 4096 };

struct zone_record {
    struct str name, value;
    unsigned type;
    enum dns_status status; /* DNS_OK: value holds */
};

struct zone {
    struct arena arena;
    struct zone_record records[ZONE_RECORDS];
    size_t count;
};

static inline unsigned zone_type(struct str s)
{
    static const struct { const char *name; unsigned type; } types[] = {
        {"A", DNS_A}, {"AAAA", DNS_AAAA}, {"MX", DNS_MX}, {"TXT", DNS_TXT}, {"PTR", DNS_PTR}, {"CNAME", DNS_CNAME},
    };

    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (str_eq(s, str_of(types[i].name)))
            return types[i].type;
    return 0;
}

/* \DDD is a byte. */
static inline struct str zone_unescape(struct arena *arena, struct str s)
{
    char *text = arena_alloc(arena, s.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '\\' && i + 3 < s.n + 0 && s.p[i + 1] >= '0' && s.p[i + 1] <= '2') {
            text[n++] = (char)((s.p[i + 1] - '0') * 100 + (s.p[i + 2] - '0') * 10 + (s.p[i + 3] - '0'));
            i += 3;
        } else {
            text[n++] = s.p[i];
        }
    return (struct str){text, n};
}

static inline void zone_add(struct zone *z, struct str name, unsigned type, struct str value)
{
    struct zone_record r = {.name = zone_unescape(&z->arena, name), .type = type, .value = zone_unescape(&z->arena, value)};

    if (str_eq(value, STR("!timeout")))
        r.status = DNS_TIMEOUT;
    if (str_eq(value, STR("!servfail")))
        r.status = DNS_SERVFAIL;
    if (z->count < ZONE_RECORDS)
        z->records[z->count++] = r;
}

/* "NAME TYPE VALUE". False: not such a line. */
static inline bool zone_line(struct zone *z, struct str line)
{
    struct str rest = line, name, type;

    if (!str_split(&rest, ' ', &name) || !str_split(&rest, ' ', &type) || !zone_type(type))
        return false;
    zone_add(z, name, zone_type(type), rest.p ? rest : STR(""));
    return true;
}

static inline void zone_clear(struct zone *z)
{
    arena_clear(&z->arena);
    z->count = 0;
}

/* A host name as dns_answer_parse() gives it. */
static inline struct str zone_host(struct arena *arena, struct str s)
{
    struct buf text = {0};

    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '.' || s.p[i] == '-' || s.p[i] == '_' || (ascii_lower(s.p[i]) >= 'a' && ascii_lower(s.p[i]) <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9'))
            buf_char(&text, ascii_lower(s.p[i]));
        else
            buf_printf(&text, "\\%03u", (unsigned char)s.p[i]);
    struct str copy = arena_str(arena, buf_view(&text));
    buf_free(&text);
    return copy;
}

static inline void zone_value(struct arena *arena, const struct zone_record *r, struct dns_record *out)
{
    struct str rest = r->value, preference;
    uint64_t number = 0;

    *out = (struct dns_record){.ttl = 300};
    switch (r->type) {
    case DNS_A:
    case DNS_AAAA:
        addr_parse(r->value, &out->addr);
        break;
    case DNS_MX:
        if (str_split(&rest, ' ', &preference))
            str_to_u64(preference, 65535, &number);
        out->preference = (uint16_t)number;
        out->name = str_eq(rest, STR(".")) ? STR("") : zone_host(arena, rest);
        break;
    case DNS_TXT: out->text = r->value; break;
    default: out->name = zone_host(arena, r->value); break;
    }
}

/* In the arena; never NULL. */
static inline const struct dns_answer *zone_answer(const struct zone *z, struct arena *arena, struct str name, unsigned type)
{
    struct dns_answer *a = arena_zalloc(arena, sizeof *a);

    a->references = 1;
    a->status = DNS_NXDOMAIN;
    for (int hops = 0; hops < 8; hops++) {
        struct str alias = STR_NONE;
        a->records = arena_alloc(arena, (z->count + 1) * sizeof *a->records);
        for (size_t i = 0; i < z->count; i++) {
            const struct zone_record *r = &z->records[i];
            if (!str_eq_nocase(r->name, name))
                continue;
            if (a->status == DNS_NXDOMAIN)
                a->status = DNS_NODATA;
            if (r->type == DNS_CNAME && type != DNS_CNAME)
                alias = r->value;
            if (r->type != type)
                continue;
            a->status = r->status;
            if (r->status == DNS_OK)
                zone_value(arena, r, &a->records[a->count++]);
        }
        if (!alias.p || a->count)
            break;
        name = alias;
        a->status = DNS_NXDOMAIN;
    }
    return a;
}

enum zone_order { ZONE_ALL, ZONE_FIRST, ZONE_LAST, ZONE_RANDOM };

struct zone_asked {
    struct str name;
    unsigned type;
    const struct dns_answer *answer; /* NULL: on its way */
};

struct zone_run {
    const struct zone *zone;
    struct arena arena;
    struct zone_asked asked[ZONE_ASKED];
    size_t count, waiting;
    unsigned passes, rounds; /* evaluations; deliveries of answers */
    bool overflow;
    uint64_t random;
};

static inline const struct dns_answer *zone_ask(void *context, struct str name, unsigned type)
{
    struct zone_run *run = context;

    for (size_t i = 0; i < run->count; i++)
        if (run->asked[i].type == type && str_eq_nocase(run->asked[i].name, name))
            return run->asked[i].answer;
    if (run->count == ZONE_ASKED) {
        run->overflow = true;
        return NULL;
    }
    run->asked[run->count++] = (struct zone_asked){arena_str(&run->arena, name), type, NULL};
    run->waiting++;
    return NULL;
}

static inline void zone_deliver_one(struct zone_run *run, enum zone_order order)
{
    size_t chosen = 0, seen = 0;

    run->random = run->random * 6364136223846793005u + 1442695040888963407u;
    size_t wanted = order == ZONE_FIRST ? 0 : order == ZONE_LAST ? run->waiting - 1 : (size_t)(run->random >> 33) % run->waiting;
    for (size_t i = 0; i < run->count; i++)
        if (!run->asked[i].answer && seen++ == wanted)
            chosen = i;
    struct zone_asked *q = &run->asked[chosen];
    q->answer = zone_answer(run->zone, &run->arena, q->name, q->type);
    run->waiting--;
}

/* Evaluates to the end. False: it never ended (more questions than ZONE_ASKED, or a pass that asked nothing and was not done). */
static inline bool zone_evaluate(struct zone_run *run, const struct spf_input *in, enum zone_order order, struct spf_result *out)
{
    for (;;) {
        run->passes++;
        if (spf_evaluate(in, zone_ask, run, &run->arena, out))
            return true;
        if (!run->waiting || run->overflow)
            return false;
        run->rounds++;
        do
            zone_deliver_one(run, order);
        while (order == ZONE_ALL && run->waiting);
    }
}

static inline struct zone_run *zone_run_new(const struct zone *z, uint64_t seed)
{
    struct zone_run *run = xcalloc(1, sizeof *run);

    run->zone = z;
    run->random = seed;
    return run;
}

static inline void zone_run_free(struct zone_run **run)
{
    arena_clear(&(*run)->arena);
    free(*run);
    *run = NULL;
}

/* The input as a session would give it. sender: "local@domain", "<>", the last @ parts them. */
static inline struct spf_input zone_input(struct str client, struct str helo, struct str sender)
{
    struct spf_input in = {.helo = helo, .receiver = STR("mx.receiver.example"), .time = 1234567890};
    size_t at = sender.n;

    addr_parse(client, &in.client);
    while (at > 0 && sender.p[at - 1] != '@')
        at--;
    if (str_eq(sender, STR("<>"))) {
        in.domain = helo;
    } else {
        in.local = str_sub(sender, 0, at ? at - 1 : 0);
        in.domain = str_sub(sender, at, sender.n);
    }
    return in;
}

#endif
