/* rooms: decide */
/*
 * fuzz_record.c - lines of a journal, judged under a policy that reads facts of every kind, and told in words. What is found same must be found same
 * again; what is said is printable.
 *
 * "@@@@@@@@@@@@@@@@" in a line stands for that policy's digest: so seeds can say that it was applied, or was the shadow.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "postern/decide/record.h"
#include "postern/decide/record_text.h"

static const char policy_text[] =
    "dnsbl zen \"zen.test\"\n"
    "stage connect\n"
    "  rule zen:    score 6 when dnsbl.zen in 127.0.0.2-127.0.0.11 or dnsbl.zen is error\n"
    "  rule tagged: tag \"seen\" when fcrdns != pass and client.ip in 203.0.113.0/24\n"
    "  rule listed monitor: reject \"{client.name} {dnsbl.listed} {id} {help}\" when dnsbl.listed in { zen }\n"
    "stage helo\n"
    "  rule bare:   reject now \"{helo.name}\" when helo.form = bare or helo.name like \"*.dyn.*\"\n"
    "stage mail\n"
    "  rule nobody: score -2 when mail.null or mail.dns is absent\n"
    "stage rcpt\n"
    "  rule post:   accept when rcpt.local = postmaster\n"
    "  rule slow:   tarpit 5s when manners.errors > 3\n"
    "  rule grey:   greylist 5m \"{mail.from} {rcpt.address} {greylist.age}\" when score >= 2\n"
    "stage data\n"
    "  rule big:    tempfail \"{msg.size}\" when msg.size > 1000000 or greylist.age < 5m\n";

static struct source *read_text(struct source_reader *r, const char *path, const char **error)
{
    (void)r;
    *error = NULL;
    return source_new(path, str_of(policy_text));
}

static struct policy *the_policy(void)
{
    static struct policy *p;
    if (!p) {
        struct source_reader reader = {read_text};
        struct policy_input input = {.reader = &reader};
        struct diags diags = {.count = 0};
        p = policy_load("fuzz.policy", &input, &diags);
        diag_clear(&diags);
        assert(p);
    }
    return p;
}

static void tell(struct str line, struct arena *arena)
{
    struct buf text = {0};
    struct str why;
    bool told = record_text(line, arena, &text, &why);
    assert(told == (why.n == 0) && ascii_printable(why));
    for (size_t i = 0; i < text.n; i++)
        assert(text.p[i] == '\n' || ascii_printable((struct str){text.p + i, 1}));
    buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_digest(struct str line)
{
    static const char place[] = "@@@@@@@@@@@@@@@@";
    char *at = (char *)(uintptr_t)line.p;
    while (line.n && (at = memmem(at, line.n - (size_t)(at - line.p), place, sizeof place - 1)) != NULL)
        memcpy(at, policy_digest(the_policy()), sizeof place - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    struct str line = arena_str(&arena, (struct str){(const char *)data, size});
    put_digest(line);
    struct record_judgement first = record_judge(line, the_policy(), &arena), again = record_judge(line, the_policy(), &arena);
    assert(first.readable || (!first.same && first.why.n));
    assert(first.same == again.same && str_eq(first.why, again.why) && str_eq(first.now, again.now));
    assert(ascii_printable(first.why) && ascii_printable(first.was) && ascii_printable(first.now));
    tell(line, &arena);
    arena_clear(&arena);
    return 0;
}
