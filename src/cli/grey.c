/*
 * grey.c - `postern grey`: looks into the greylist of the configured store and changes it, while the proxy runs or not.
 *
 *     list [BEGINNING]  rows whose key begins so, and what was allowed or denied
 *     show KEY          one row, or a ruling: KEY as `list` prints it, or an address, network or domain
 *     allow|deny WHOM   an address, network or domain (which counts when SPF or, in stage data, DKIM passes for it)
 *     forget KEY        removes what `show` shows
 *     stats             how many rows there are
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "postern/base/codec.h"
#include "postern/checks/check.h"
#include "postern/ops/config.h"
#include "postern/store/open.h"

struct grey {
    struct cli_args *args;
    struct settings settings;
    struct loop *loop;
    struct network *network;
    struct resolver *resolver; /* for the host name of a Redis server */
    struct store *store;
    struct arena arena;
    struct buf out;
    struct store_result result; /* of the last operation; its entries were printed */
    struct buf cursor;
    bool done, listing;
};

static void print_row(struct buf *out, struct str key, const struct store_row *row)
{
    char first[RFC3339_TEXT], last[RFC3339_TEXT], until[RFC3339_TEXT];
    buf_printf(out, "%.*s\n    first %s, last %s, ", STR_ARG(key), time_rfc3339(row->first_ms, first), time_rfc3339(row->last_ms, last));
    if (row->expires_ms >= STORE_FOREVER)
        buf_cstr(out, "for ever");
    else
        buf_printf(out, "until %s", time_rfc3339(row->expires_ms, until));
    buf_printf(out, ", passed %llu", (unsigned long long)row->passed);
    if (row->refused)
        buf_printf(out, ", denied %llu", (unsigned long long)row->refused);
    buf_char(out, '\n');
}

static void on_done(void *context, const struct store_result *result)
{
    struct grey *g = context;
    g->result = *result;
    buf_clear(&g->cursor);
    buf_str(&g->cursor, result->cursor);
    for (size_t i = 0; g->listing && !result->error && i < result->entry_count; i++)
        print_row(&g->out, result->entries[i].key, &result->entries[i].row);
    g->done = true;
}

/* Does it and waits for the answer, which every store gives or fails. */
static bool operate(struct grey *g, struct store_operation op)
{
    op.now_ms = loop_wall(g->loop);
    g->done = false;
    g->store->ops->start(g->store, &op, on_done, g);
    while (!g->done)
        loop_turn(g->loop, true);
    if (g->result.error)
        cli_failed(g->args, "the store: %s", g->result.error);
    return !g->result.error;
}

static bool all_pages(struct grey *g, struct store_operation op, struct store_stats *sum)
{
    struct buf at = {0};
    bool good;
    op.limit = STORE_PAGE_MAX;
    do {
        op.cursor = at.n ? buf_view(&at) : STR_NONE;
        good = operate(g, op);
        buf_clear(&at);
        buf_str(&at, buf_view(&g->cursor));
        sum->rows += g->result.stats.rows;
        sum->expired += g->result.stats.expired;
        sum->passed += g->result.stats.passed;
    } while (good && at.n);
    buf_free(&at);
    return good;
}

static int list(struct grey *g, struct str beginning)
{
    struct store_stats unused = {0};
    g->listing = true;
    bool good = all_pages(g, (struct store_operation){.kind = STORE_LIST, .table = STORE_TABLE_RULINGS, .key = beginning}, &unused) &&
                all_pages(g, (struct store_operation){.kind = STORE_LIST, .table = STORE_TABLE_GREYLIST, .key = beginning}, &unused);
    return good ? EXIT_OK : EXIT_WRONG;
}

static int stats(struct grey *g)
{
    static const struct { enum store_table table; const char *what; } tables[] = {
        {STORE_TABLE_GREYLIST, "greylist"}, {STORE_TABLE_CLIENTS, "clients"}, {STORE_TABLE_RULINGS, "allowed or denied"}};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        struct store_stats sum = {0};
        if (!all_pages(g, (struct store_operation){.kind = STORE_STATS, .table = tables[i].table}, &sum))
            return EXIT_WRONG;
        buf_printf(&g->out, "%s: %llu rows, %llu expired, %llu passed\n", tables[i].what, (unsigned long long)sum.rows,
                   (unsigned long long)sum.expired, (unsigned long long)sum.passed);
    }
    return EXIT_OK;
}

/* show and forget: the row of this key, or the ruling on it. */
static int one(struct grey *g, struct str key, bool forget)
{
    struct str ruling = greylist_ruling_key(&g->arena, key);
    const struct { enum store_table table; struct str key; } places[] = {
        {STORE_TABLE_GREYLIST, key}, {STORE_TABLE_RULINGS, key}, {STORE_TABLE_RULINGS, ruling}};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (places[i].key.n == 0 || places[i].key.n > STORE_KEY_MAX)
            continue;
        if (!operate(g, (struct store_operation){.kind = forget ? STORE_FORGET : STORE_SHOW, .mode = forget ? STORE_TOUCH : STORE_PEEK,
                                                 .table = places[i].table, .key = places[i].key}))
            return EXIT_WRONG;
        if (!g->result.found)
            continue;
        if (!forget)
            print_row(&g->out, places[i].key, &g->result.row);
        return EXIT_OK;
    }
    return cli_failed(g->args, "nothing is known of '%.*s'", STR_ARG(key));
}

static int rule(struct grey *g, struct str whom, enum store_kind kind)
{
    struct str key = greylist_ruling_key(&g->arena, whom);
    if (!key.n)
        return cli_failed(g->args, "'%.*s' is no address, domain or network (IPv4: /8 to /32; IPv6: /32, /40, /48, /56, /64, /128)", STR_ARG(whom));
    return operate(g, (struct store_operation){.kind = kind, .mode = STORE_TOUCH, .key = key}) ? EXIT_OK : EXIT_WRONG;
}

static int act(struct grey *g, const char *what, struct str operand)
{
    if (strcmp(what, "list") == 0)
        return list(g, operand);
    if (strcmp(what, "stats") == 0 && !operand.p)
        return stats(g);
    if (operand.n && strcmp(what, "show") == 0)
        return one(g, operand, false);
    if (operand.n && strcmp(what, "forget") == 0)
        return one(g, operand, true);
    if (operand.n && strcmp(what, "allow") == 0)
        return rule(g, operand, STORE_ALLOW);
    if (operand.n && strcmp(what, "deny") == 0)
        return rule(g, operand, STORE_DENY);
    return cli_wrong(g->args, "list [BEGINNING], show KEY, allow WHOM, deny WHOM, forget KEY or stats is needed");
}

static int open_and_act(struct grey *g, const char *config)
{
    struct diags diags = {0};
    struct addr_port servers[LOAD_SERVERS_MAX];
    char *error = NULL;
    bool good = config_load(config, &source_files, &g->settings, &diags);
    if (!good)
        load_complain(&diags);
    diag_clear(&diags);
    if (!good)
        return EXIT_WRONG;
    g->loop = loop_new();
    g->network = network_real(g->loop);
    g->resolver = load_resolver(g->loop, &g->settings, servers, load_servers(&g->settings, servers));
    g->store = store_open(g->loop, g->network, g->resolver, &g->settings, &error);
    int status = g->store ? act(g, g->args->operands[0], str_of(g->args->operand_count > 1 ? g->args->operands[1] : NULL))
                          : cli_failed(g->args, "%s", error);
    free(error);
    cli_print(stdout, &g->out);
    store_free(&g->store);
    resolver_free(&g->resolver);
    free(g->network);
    loop_free(&g->loop);
    return status;
}

int command_grey(struct cli_args *a)
{
    const char *config = NULL;
    for (enum cli_option o; (o = cli_next(a)) != CLI_OPERANDS;) {
        if (o != OPTION_GREY_CONFIG)
            return a->status;
        config = a->value;
    }
    if (!config)
        return cli_wrong(a, "--config FILE is needed");
    if (a->operand_count < 1 || a->operand_count > 2)
        return cli_wrong(a, "list [BEGINNING], show KEY, allow WHOM, deny WHOM, forget KEY or stats is needed");
    struct grey g = {.args = a};
    int status = open_and_act(&g, config);
    settings_clear(&g.settings);
    buf_free(&g.cursor);
    buf_free(&g.out);
    arena_clear(&g.arena);
    return status;
}
