/* rooms: policy */
/*
 * The policy language: any bytes load or are complained of; what loads is walked in every stage, with facts that are unknown, absent, in
 * error and known, and its trace is written.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "postern/policy/walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct one_file { /* the policy; lists and includes read the same bytes from their middle on */
    struct source_reader base;
    struct str text;
};

static struct source *read_one(struct source_reader *r, const char *path, const char **error)
{
    const struct one_file *f = (const struct one_file *)r;
    if (!strcmp(path, "fuzz.policy"))
        return source_new(path, f->text);
    *error = "No such file";
    return strchr(path, 'x') ? NULL : source_new(path, str_sub(f->text, f->text.n / 2, f->text.n));
}

/* A value of any state for each fact that this scope holds, chosen by the bytes of the input. */
static void fill(struct facts *f, const struct schema *schema, struct str choice)
{
    static const char *const texts[] = {"yes", "3", "64K", "5m", "pass", "none", "host.x.example", "192.0.2.1", "127.0.0.2, 127.0.0.4", "{}", "absent", "error"};
    for (int id = 0; id < (int)schema_count(schema); id++) {
        const struct fact_info *info = schema_fact(schema, id);
        bool mine = info->stage == f->stage || (f->stage == STAGE_DATA && info->flags & FACT_ALSO_DATA) ||
                    (info->flags & FACT_SNAPSHOT && fact_readable(info, f->stage));
        unsigned pick = choice.n ? (unsigned char)choice.p[(size_t)id % choice.n] + (unsigned)id : 0;
        struct value v;
        struct str error;
        if (!mine || facts_has(f, id) || pick % 7 == 0)
            continue;
        for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
            if (value_parse(info, str_of(texts[(pick + i) % (sizeof(texts) / sizeof(*texts))]), f->arena, &v, &error)) {
                facts_set_value(f, id, &v);
                break;
            }
        }
    }
}

static void walk_all(const struct policy *p, struct str choice)
{
    struct arena arena = {0};
    struct facts scope[STAGE_COUNT];
    struct buf out = {0};
    for (int i = 0; i < STAGE_COUNT; i++) {
        struct facts *parent = i == 0 ? NULL : &scope[i == STAGE_DATA ? STAGE_MAIL : i - 1];
        facts_init(&scope[i], policy_schema(p), (enum stage)i, parent, &arena, NULL, 0);
    }
    for (int pass = 0; pass < 2; pass++) { /* with nothing known, then with something */
        for (int i = 0; i < STAGE_COUNT; i++) {
            struct walk walk;
            struct json j;
            struct walk_input in = {.stage = (enum stage)i, .facts = &scope[i], .negative_limit = 10, .with_trace = true, .with_monitor = true,
                                    .help = STR("help"), .id = STR("id")};
            if (pass)
                fill(&scope[i], policy_schema(p), choice);
            policy_walk(p, &in, &arena, &walk);
            if (walk.code && (!ascii_printable(walk.text) || walk.text.n > 400 || walk.enhanced.p[0] != (char)('0' + walk.code / 100)))
                abort();
            trace_text(p, in.stage, &walk, &out);
            json_init(&j, &out);
            trace_json(p, in.stage, &walk, &j);
            buf_clear(&out);
        }
    }
    for (int i = STAGE_COUNT; i-- > 0;)
        facts_clear(&scope[i]);
    buf_free(&out);
    arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str domains[] = {{"our.test", 8}};
    struct one_file file = {{read_one}, {(const char *)data, size}};
    struct policy_input input = {.reader = &file.base, .domains = domains, .domain_count = 1, .help = STR("help")};
    struct diags diags = {0};
    struct policy *p = policy_load("fuzz.policy", &input, &diags);
    if (!p != (diags.errors > 0))
        abort();
    if (p)
        walk_all(p, file.text);
    policy_unref(&p);
    struct buf out = {0};
    diag_print(&diags, &out);
    buf_free(&out);
    diag_clear(&diags);
    return 0;
}
