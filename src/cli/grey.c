/*
 * grey.c - `postern grey`: looks into the greylist of the configured store and changes it, while the proxy runs or not.
 *
 *     list [WHAT]       rows, known clients, and what was allowed or denied: all, or those of WHAT
 *     show WHAT         one of them, or what was allowed or denied that holds for WHOM
 *     allow|deny WHOM   an address, network or domain (which counts when SPF or, in stage data, DKIM passes for it)
 *     forget WHAT       one of them, or all of WHOM
 *     stats [WHOM]      how many there are
 *
 * WHAT is a key as `list` prints it, how it begins (list), or WHOM: an address, a network, a domain (grey_whom.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "grey_whom.h"
#include "postern/base/codec.h"
#include "postern/ops/config.h"
#include "postern/store/open.h"

static const enum store_table tables[] = {STORE_TABLE_RULINGS, STORE_TABLE_CLIENTS, STORE_TABLE_GREYLIST};
enum { TABLES = sizeof tables / sizeof tables[0] };

static const char needed[] = "list [WHAT], show WHAT, allow WHOM, deny WHOM, forget WHAT or stats [WHOM] is needed";

struct grey {
    struct cli_args *args;
    struct settings settings;
    struct str where;          /* the file, or the server */
    struct loop *loop;
    struct network *network;
    struct resolver *resolver; /* for the host name of a Redis server */
    struct store *store;
    struct arena arena;
    struct str what;           /* operand; STR_NONE: none */
    bool is_whom;
    struct grey_whom whom;     /* what it is when it is one */
    struct buf out;
    struct store_result result; /* of the last operation; its entries were visited */
    struct buf cursor;
    bool done;
    /* of a scan */
    void (*visit)(struct grey *g, enum store_table table, const struct store_entry *e);
    enum store_table table;
    struct str *noted;         /* keys; heap list, texts in the arena */
    size_t noted_count, noted_cap;
    uint64_t rows, passed, expired;
};

/* --- printing ------------------------------------------------------------------------------------------------------------------ */

static void print_ruling(struct buf *out, struct str key, const struct store_row *row)
{
    char since[RFC3339_TEXT], until[RFC3339_TEXT];
    buf_printf(out, "    %s ", row->refused ? "denied" : "allowed");
    if (row->expires_ms >= STORE_FOREVER)
        buf_cstr(out, "for ever");
    else
        buf_printf(out, "until %s", time_rfc3339(row->expires_ms, until));
    buf_printf(out, ", since %s%s\n", time_rfc3339(row->last_ms, since),
               str_starts(key, STR("domain ")) ? ", where SPF or, in stage data, DKIM passes for it" : "");
}

static void print_row(struct grey *g, enum store_table table, const struct store_entry *e)
{
    char first[RFC3339_TEXT], last[RFC3339_TEXT], until[RFC3339_TEXT];
    const struct store_row *row = &e->row;
    buf_printf(&g->out, "%.*s\n", STR_ARG(e->key));
    if (table == STORE_TABLE_RULINGS)
        print_ruling(&g->out, e->key, row);
    else
        buf_printf(&g->out, "    %sfirst %s, last %s, until %s, passed %llu\n", table == STORE_TABLE_CLIENTS ? "client: " : "",
                   time_rfc3339(row->first_ms, first), time_rfc3339(row->last_ms, last), time_rfc3339(row->expires_ms, until),
                   (unsigned long long)row->passed);
}

/* --- the store ----------------------------------------------------------------------------------------------------------------- */

static void on_done(void *context, const struct store_result *result)
{
    struct grey *g = context;
    g->result = *result;
    buf_clear(&g->cursor);
    buf_str(&g->cursor, result->cursor);
    for (size_t i = 0; g->visit && !result->error && i < result->entry_count; i++)
        g->visit(g, g->table, &result->entries[i]);
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
        cli_failed(g->args, "the store %.*s: %s", STR_ARG(g->where), g->result.error);
    return !g->result.error;
}

/* One key of a table: shown, or removed. *found: it was there. */
static bool one(struct grey *g, enum store_kind kind, enum store_table table, struct str key, bool *found)
{
    *found = false;
    if (!key.n || key.n > STORE_KEY_MAX)
        return true;
    bool good = operate(g, (struct store_operation){.kind = kind, .mode = kind == STORE_FORGET ? STORE_TOUCH : STORE_PEEK, .table = table, .key = key});
    *found = good && g->result.found;
    return good;
}

/* LIST or STATS, page by page: rows are visited, or what was counted is added up. */
static bool pages(struct grey *g, struct store_operation op, void (*visit)(struct grey *, enum store_table, const struct store_entry *))
{
    struct buf at = {0};
    bool good;
    op.limit = STORE_PAGE_MAX;
    g->visit = visit;
    g->table = op.table;
    do {
        op.cursor = at.n ? buf_view(&at) : STR_NONE;
        good = operate(g, op);
        buf_clear(&at);
        buf_str(&at, buf_view(&g->cursor));
        g->rows += g->result.stats.rows;
        g->passed += g->result.stats.passed;
        g->expired += g->result.stats.expired;
    } while (good && at.n);
    g->visit = NULL;
    buf_free(&at);
    return good;
}

static bool scan(struct grey *g, enum store_table table, struct str beginning, void (*visit)(struct grey *, enum store_table, const struct store_entry *))
{
    return pages(g, (struct store_operation){.kind = STORE_LIST, .table = table, .key = beginning}, visit);
}

/* --- list, stats --------------------------------------------------------------------------------------------------------------- */

static void list_one(struct grey *g, enum store_table table, const struct store_entry *e)
{
    size_t kind = table == STORE_TABLE_RULINGS ? str_find(e->key, ' ', 0) + 1 : 0; /* behind "net", "domain" */
    if (str_starts(e->key, g->what) || str_starts(str_sub(e->key, kind, e->key.n), g->what) || (g->is_whom && grey_whom_has(&g->whom, table, e->key)))
        print_row(g, table, e);
}

static int list(struct grey *g)
{
    for (size_t i = 0; i < TABLES; i++)
        if (!scan(g, tables[i], g->is_whom || tables[i] == STORE_TABLE_RULINGS ? STR("") : g->what, list_one))
            return EXIT_WRONG;
    return EXIT_OK;
}

static void count_one(struct grey *g, enum store_table table, const struct store_entry *e)
{
    bool its = grey_whom_has(&g->whom, table, e->key);
    g->rows += its;
    g->passed += its && e->row.passed > 0;
}

static int stats(struct grey *g)
{
    static const struct { enum store_table table; const char *what, *passed; } counted[] = {
        {STORE_TABLE_GREYLIST, "greylist", "passed"}, {STORE_TABLE_CLIENTS, "clients", "passed"}, {STORE_TABLE_RULINGS, "allowed or denied", "allowed"}};
    if (g->what.n && !g->is_whom)
        return cli_wrong(g->args, "'%.*s': %.*s", STR_ARG(g->what), STR_ARG(grey_whom_advice(&g->arena, g->what)));
    for (size_t i = 0; i < TABLES; i++) {
        g->rows = g->passed = g->expired = 0;
        if (!(g->is_whom ? scan(g, counted[i].table, STR(""), count_one)
                         : pages(g, (struct store_operation){.kind = STORE_STATS, .table = counted[i].table}, NULL)))
            return EXIT_WRONG;
        buf_printf(&g->out, "%s: %llu rows, %llu expired, %llu %s\n", counted[i].what, (unsigned long long)g->rows, (unsigned long long)g->expired,
                   (unsigned long long)g->passed, counted[i].passed);
    }
    return EXIT_OK;
}

/* --- show ---------------------------------------------------------------------------------------------------------------------- */

static int show(struct grey *g)
{
    struct str keys[GREY_RULINGS_MAX];
    size_t count = g->is_whom ? grey_whom_rulings(&g->whom, &g->arena, keys) : 0;
    bool found, any = false;
    for (size_t i = 0; i < TABLES && !any; i++) {
        if (!one(g, STORE_SHOW, tables[i], g->what, &found))
            return EXIT_WRONG;
        if ((any = found))
            print_row(g, tables[i], &(struct store_entry){g->what, g->result.row});
    }
    for (size_t i = 0; i < count; i++) {
        if (!one(g, STORE_SHOW, STORE_TABLE_RULINGS, keys[i], &found))
            return EXIT_WRONG;
        if (found)
            print_row(g, STORE_TABLE_RULINGS, &(struct store_entry){keys[i], g->result.row});
        any |= found;
    }
    if (any)
        return EXIT_OK;
    if (g->is_whom)
        return cli_failed(g->args, "nothing was allowed or denied that holds for '%.*s'; `list` shows what else is known", STR_ARG(g->what));
    return cli_failed(g->args, "nothing is known of '%.*s'; keys are written as `list` shows them", STR_ARG(g->what));
}

/* --- forget -------------------------------------------------------------------------------------------------------------------- */

static void note_one(struct grey *g, enum store_table table, const struct store_entry *e)
{
    if (!grey_whom_has(&g->whom, table, e->key))
        return;
    if (g->noted_count == g->noted_cap) {
        g->noted_cap = g->noted_cap ? 2 * g->noted_cap : 64;
        g->noted = xrealloc(g->noted, g->noted_cap * sizeof *g->noted);
    }
    g->noted[g->noted_count++] = arena_str(&g->arena, e->key);
}

/* One row or client, or the one ruling on WHOM: *found says whether there was one. */
static bool forget_key(struct grey *g, struct str key, bool *found)
{
    *found = false;
    for (size_t i = 0; i < TABLES && !*found; i++) {
        if (!one(g, STORE_FORGET, tables[i], key, found))
            return false;
        if (!*found)
            continue;
        buf_printf(&g->out, "forgotten: %.*s\n", STR_ARG(key));
        struct str client = tables[i] == STORE_TABLE_GREYLIST ? grey_client_of(&g->arena, key) : STR_NONE;
        bool known;
        if (!one(g, STORE_SHOW, STORE_TABLE_CLIENTS, client, &known))
            return false;
        if (known)
            buf_printf(&g->out, "still there: the client '%.*s', passed %llu\n", STR_ARG(client), (unsigned long long)g->result.row.passed);
    }
    return true;
}

/* Rows and clients of WHOM. */
static bool forget_rows(struct grey *g, bool *any)
{
    bool found;
    for (size_t i = 1; i < TABLES; i++) { /* behind the rulings */
        g->noted_count = 0;
        if (!scan(g, tables[i], STR(""), note_one))
            return false;
        for (size_t k = 0; k < g->noted_count; k++) {
            if (!one(g, STORE_FORGET, tables[i], g->noted[k], &found))
                return false;
            if (found)
                buf_printf(&g->out, "forgotten: %.*s\n", STR_ARG(g->noted[k]));
            *any |= found;
        }
    }
    return true;
}

static int forget(struct grey *g)
{
    bool key = false, ruling = false, rows = false;
    if (!forget_key(g, g->what, &key))
        return EXIT_WRONG;
    if (g->is_whom && (!forget_key(g, g->whom.ruling, &ruling) || !forget_rows(g, &rows)))
        return EXIT_WRONG;
    if (key || ruling || rows)
        return EXIT_OK;
    return cli_failed(g->args, "nothing is known of '%.*s'; keys are written as `list` shows them", STR_ARG(g->what));
}

/* --- allow, deny --------------------------------------------------------------------------------------------------------------- */

static int rule(struct grey *g, enum store_kind kind)
{
    if (!g->is_whom || !g->whom.ruling.n)
        return cli_failed(g->args, "'%.*s' cannot be allowed or denied: %.*s", STR_ARG(g->what), STR_ARG(grey_whom_advice(&g->arena, g->what)));
    if (!operate(g, (struct store_operation){.kind = kind, .mode = STORE_TOUCH, .key = g->whom.ruling}))
        return EXIT_WRONG;
    print_row(g, STORE_TABLE_RULINGS, &(struct store_entry){g->whom.ruling, g->result.row});
    return EXIT_OK;
}

/* --- the command --------------------------------------------------------------------------------------------------------------- */

enum action { LIST, SHOW, ALLOW, DENY, FORGET, STATS, ACTION_COUNT };
static const struct { const char *word; bool operand, optional; } actions[ACTION_COUNT] = {
    [LIST] = {"list", true, true}, [SHOW] = {"show", true, false}, [ALLOW] = {"allow", true, false},
    [DENY] = {"deny", true, false}, [FORGET] = {"forget", true, false}, [STATS] = {"stats", true, true}};

static int act(struct grey *g, enum action action)
{
    switch (action) {
    case LIST: return list(g);
    case SHOW: return show(g);
    case ALLOW: return rule(g, STORE_ALLOW);
    case DENY: return rule(g, STORE_DENY);
    case FORGET: return forget(g);
    case STATS: return stats(g);
    case ACTION_COUNT: break;
    }
    return EXIT_USAGE;
}

/* A file that root makes belongs to whom its directory belongs to: the proxy, which is not root, must write it. */
static bool make_file(struct grey *g, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = slash == path ? xstrndup("/", 1) : slash ? xstrndup(path, (size_t)(slash - path)) : xstrndup(".", 1);
    struct stat owner;
    int fd = geteuid() == 0 && stat(directory, &owner) == 0 ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640) : -1;
    bool good = fd < 0 || fchown(fd, owner.st_uid, owner.st_gid) == 0;
    if (!good)
        cli_failed(g->args, "cannot give %s to the owner of %s: %s", path, directory, strerrordesc_np(errno));
    if (fd >= 0)
        close(fd);
    free(directory);
    return good;
}

/* Is there a store that others see, too? */
static bool find_store(struct grey *g, enum action action)
{
    struct settings *s = &g->settings;
    if (s->store == STORE_MEMORY)
        return cli_failed(g->args, "`store memory` is the proxy's own, nobody else can look into it; `store sqlite` or `store redis` can be"), false;
    if (s->store == STORE_REDIS) {
        g->where = s->redis;
        return true;
    }
    if (!s->store_path.n)
        s->store_path = STR(STORE_DEFAULT_PATH);
    g->where = s->store_path;
    if (access(s->store_path.p, F_OK) == 0 || errno != ENOENT)
        return true;
    if (action == ALLOW || action == DENY)
        return make_file(g, s->store_path.p);
    return cli_failed(g->args, "there is no store %.*s yet: the proxy makes it when it starts with this configuration", STR_ARG(g->where)), false;
}

static bool open_store(struct grey *g, enum action action)
{
    struct addr_port servers[LOAD_SERVERS_MAX];
    char *error = NULL;
    if (!find_store(g, action))
        return false;
    g->loop = loop_new();
    g->network = network_real(g->loop);
    g->resolver = load_resolver(g->loop, &g->settings, servers, load_servers(&g->settings, servers));
    g->store = store_open(g->loop, g->network, g->resolver, &g->settings, &error);
    if (!g->store)
        cli_failed(g->args, "%s%s", error, geteuid() == 0 ? "" : " (it is the proxy's: call this as the user that it runs as, or as root)");
    free(error);
    return g->store != NULL;
}

static void close_store(struct grey *g)
{
    store_free(&g->store);
    resolver_free(&g->resolver);
    free(g->network);
    loop_free(&g->loop);
    settings_clear(&g->settings);
    buf_free(&g->cursor);
    free(g->noted);
    arena_clear(&g->arena);
}

static bool read_config(struct grey *g, const char *config)
{
    struct diags diags = {0};
    bool good = config_load(config, &source_files, &g->settings, &diags);
    if (!good)
        load_complain(&diags);
    diag_clear(&diags);
    return good;
}

int command_grey(struct cli_args *a)
{
    struct grey g = {.args = a};
    const char *config = NULL;
    enum action action = LIST;
    for (enum cli_option o; (o = cli_next(a)) != CLI_OPERANDS;) {
        if (o != OPTION_GREY_CONFIG)
            return a->status;
        config = a->value;
    }
    if (!config)
        return cli_wrong(a, "--config FILE is needed");
    while (a->operand_count > 0 && action < ACTION_COUNT && strcmp(actions[action].word, a->operands[0]) != 0)
        action++;
    if (a->operand_count < 1 || a->operand_count > 2 || action == ACTION_COUNT || (a->operand_count == 1 && !actions[action].optional))
        return cli_wrong(a, "%s", needed);
    g.what = a->operand_count > 1 ? str_of(a->operands[1]) : STR("");
    g.is_whom = grey_whom_parse(&g.arena, g.what, &g.whom);
    int status = read_config(&g, config) && open_store(&g, action) ? act(&g, action) : EXIT_WRONG;
    cli_print(stdout, &g.out);
    close_store(&g);
    return status;
}
