/*
 * explain.c - `postern explain`: what is asked, and the world that is needed for it: settings, policy, clock, resolver, and the configured store, which
 * is read and never written to.
 */
#include "explain.h"

#include <stdio.h>

#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "postern/base/codec.h"
#include "postern/base/log.h"
#include "postern/ops/config.h"
#include "postern/store/open.h"

/* ---- options ---- */

static bool push(const char *list[EXPLAIN_MANY], size_t *count, const char *value)
{
    if (*count == EXPLAIN_MANY)
        return false;
    list[(*count)++] = value;
    return true;
}

static enum cli_option read_options(struct cli_args *a, struct explain_options *o)
{
    enum cli_option option;
    bool room = true;
    while ((option = cli_next(a)) != CLI_OPERANDS) {
        switch (option) {
        case OPTION_EXPLAIN_CONFIG: o->config = a->value; break;
        case OPTION_EXPLAIN_CLIENT: o->client = a->value; break;
        case OPTION_EXPLAIN_HELO: o->helo = a->value; break;
        case OPTION_EXPLAIN_FROM: o->from = a->value; break;
        case OPTION_EXPLAIN_MESSAGE: o->message = a->value; break;
        case OPTION_EXPLAIN_TIME: o->time = a->value; break;
        case OPTION_EXPLAIN_JSON: o->json = true; break;
        case OPTION_EXPLAIN_ID: o->id = a->value; break;
        case OPTION_EXPLAIN_JOURNAL: room &= push(o->journal, &o->journal_count, a->value); break;
        case OPTION_EXPLAIN_TO: room &= push(o->to, &o->to_count, a->value); break;
        case OPTION_EXPLAIN_ASSUME: room &= push(o->assume, &o->assume_count, a->value); break;
        case OPTION_EXPLAIN_RESOLVER: room &= push(o->resolver, &o->resolver_count, a->value); break;
        default: return CLI_EXIT;
        }
    }
    if (!room) {
        a->status = cli_wrong(a, "an option was repeated more than %d times", EXPLAIN_MANY);
        return CLI_EXIT;
    }
    return CLI_OPERANDS;
}

static int read_recipients(struct explain *e)
{
    for (size_t i = 0; i < e->options.to_count; i++) {
        struct explain_recipient *r = &e->recipients[i];
        if (!path_parse(str_of(e->options.to[i]), false, true, &e->arena, &r->path))
            return cli_wrong(e->args, "--to: '%s' is not an address", e->options.to[i]);
        e->recipient_count++;
    }
    return EXIT_OK;
}

/* Not an address by RFC 5321, yet something SPF has an answer to (RFC 7208 4.3, "@example.com"): split at the last @ and taken as it is. */
static void take_loosely(struct str text, struct path *out)
{
    if (text.n >= 2 && text.p[0] == '<' && text.p[text.n - 1] == '>')
        text = str_sub(text, 1, text.n - 1);
    size_t at = text.n;
    while (at > 0 && text.p[at - 1] != '@')
        at--;
    *out = (struct path){.whole = text, .domain = str_sub(text, at, text.n)};
    out->local = out->local_plain = str_sub(text, 0, at ? at - 1 : 0);
}

static void read_sender(struct explain *e)
{
    struct str text = str_of(e->options.from);
    struct path *sender = &e->subjects[STAGE_MAIL].sender;
    if (path_parse(text.n ? text : STR("<>"), true, false, &e->arena, sender))
        return;
    take_loosely(text, sender);
    struct buf shown = {0};
    escape_text(&shown, text);
    fprintf(stderr, "postern explain: a session refuses '%.*s' with 501 (it is not an address); judged as it is\n", (int)shown.n, shown.p);
    buf_free(&shown);
}

/* Everything that needs no file and no network. */
static int read_subject(struct explain *e)
{
    const struct explain_options *o = &e->options;
    const char *error;
    if (!o->client)
        return cli_wrong(e->args, "--client IP is needed, or --id ID of what has been");
    if (o->journal_count > 0)
        return cli_wrong(e->args, "--journal goes with --id");
    if (!addr_parse(str_of(o->client), &e->subjects[STAGE_CONNECT].client.addr))
        return cli_wrong(e->args, "--client: '%s' is not an IP address", o->client);
    e->subjects[STAGE_HELO].helo = str_of(o->helo ? o->helo : "");
    if (o->from)
        read_sender(e);
    if (read_recipients(e) != EXIT_OK)
        return EXIT_USAGE;
    if (o->message && !explain_read_message(e, &error))
        return cli_failed(e->args, "cannot read the message %s: %s", o->message, error);
    bool given[STAGE_COUNT] = {[STAGE_CONNECT] = true, [STAGE_HELO] = o->helo && *o->helo, [STAGE_MAIL] = o->from != NULL,
                               [STAGE_RCPT] = o->to_count > 0, [STAGE_DATA] = o->message != NULL};
    for (enum stage stage = 0; stage < STAGE_COUNT; stage++) {
        e->given[stage] = given[stage];
        if (given[stage])
            e->deepest = stage;
    }
    return EXIT_OK;
}

/* ---- assumptions ---- */

static const char *const stage_option[STAGE_COUNT] = {"--client", "--helo", "--from", "--to", "--message"};

static int read_assumption(struct explain *e, const char *text)
{
    struct str s = str_of(text), error = STR_NONE;
    size_t equals = str_find(s, '=', 0);
    struct str name = str_trim(str_sub(s, 0, equals));
    struct assumption *a = &e->assumptions[e->assumption_count];
    if (equals == s.n)
        return cli_wrong(e->args, "--assume: write FACT=VALUE, not '%s'", text);
    struct schema *schema = policy_schema(e->policy);
    a->fact = schema_find(schema, name);
    if (a->fact < 0) {
        struct str near = schema_suggest(schema, name);
        return cli_wrong(e->args, near.p ? "--assume: unknown fact '%.*s'; did you mean '%.*s'?" : "--assume: unknown fact '%.*s'%.*s", STR_ARG(name),
                         STR_ARG(near));
    }
    const struct fact_info *info = schema_fact(schema, a->fact);
    if (a->fact == FACT_SCORE)
        return cli_wrong(e->args, "--assume: the score is counted by the rules");
    if (fact_bit(&e->assumed, a->fact))
        return cli_wrong(e->args, "--assume: %.*s is assumed twice", STR_ARG(name));
    if (!schema_value_parse(schema, a->fact, str_sub(s, equals + 1, s.n), &e->arena, &a->value, &error))
        return cli_wrong(e->args, "--assume: %.*s: %.*s", STR_ARG(name), STR_ARG(error));
    bool heard = info->stage <= e->deepest && (info->stage != STAGE_RCPT || e->given[STAGE_RCPT]);
    if (!heard)
        return cli_wrong(e->args, "--assume: %.*s is of stage %s, which is left out without %s", STR_ARG(name), stage_names[info->stage],
                         stage_option[info->stage]);
    fact_bit_set(&e->assumed, a->fact);
    e->assumption_count++;
    return EXIT_OK;
}

static int read_assumptions(struct explain *e)
{
    for (size_t i = 0; i < e->options.assume_count; i++) {
        if (read_assumption(e, e->options.assume[i]) != EXIT_OK)
            return EXIT_USAGE;
    }
    return EXIT_OK;
}

/* ---- settings and policy ---- */

/* Without a configuration: the defaults, this machine's name, the policy as shipped. */
static int default_settings(struct explain *e)
{
    char name[256] = "localhost";
    settings_defaults(&e->settings);
    gethostname(name, sizeof name - 1);
    e->settings.hostname = arena_str(&e->settings.arena, str_of(name));
    char *path = load_default_policy_path();
    if (!path)
        return cli_failed(e->args, "the policy as shipped (default.policy) is not to be found: name a configuration with --config");
    e->settings.policy = arena_str(&e->settings.arena, str_of(path));
    free(path);
    return EXIT_OK;
}

static int read_files(struct explain *e)
{
    struct diags diags = {0};
    int status = EXIT_OK;
    if (!e->options.config)
        status = default_settings(e);
    else if (!config_load(e->options.config, &source_files, &e->settings, &diags))
        status = EXIT_WRONG;
    if (status == EXIT_OK) {
        e->policy = load_policy(&e->settings, &diags);
        status = e->policy ? EXIT_OK : EXIT_WRONG;
    }
    if (status != EXIT_OK) /* warnings are the business of `check` */
        load_complain(&diags);
    diag_clear(&diags);
    return status;
}

/* ---- the world ---- */

static uint64_t time_begins; /* --time: what the wall clock said when mono said mono_begins */
static uint64_t mono_begins;

static void read_shifted(struct clock *c)
{
    struct clock real;
    clock_real(&real);
    c->mono_ms = real.mono_ms;
    c->wall_ms = time_begins + (real.mono_ms - mono_begins);
}

static int set_time(struct explain *e)
{
    if (!e->options.time)
        return EXIT_OK;
    if (!time_parse_rfc3339(str_of(e->options.time), &time_begins))
        return cli_wrong(e->args, "--time: '%s' is not a time like 2026-11-21T20:15:00Z", e->options.time);
    struct clock *clock = (struct clock *)loop_clock(e->loop); /* the loop's owner may move its clock; sessions may not, hence const */
    mono_begins = clock->mono_ms;
    clock->read = read_shifted;
    clock->read(clock);
    return EXIT_OK;
}

static bool lookup_server(struct str host, uint16_t port, struct addr_port *out)
{
    char name[256];
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *found = NULL;
    if (host.n == 0 || host.n >= sizeof name)
        return false;
    memcpy(name, host.p, host.n);
    name[host.n] = '\0';
    bool good = getaddrinfo(name, NULL, &hints, &found) == 0 && addr_from_sockaddr(found->ai_addr, out);
    if (found)
        freeaddrinfo(found);
    out->port = port;
    return good;
}

/* HOST:PORT, the host by address or by name. */
static bool parse_server(struct str s, struct addr_port *out)
{
    uint64_t port = 53;
    *out = (struct addr_port){.port = 53};
    if (addr_parse(s, &out->addr) || addr_port_parse(s, 53, out))
        return out->port != 0;
    size_t colon = str_find(s, ':', 0);
    if (colon < s.n && (!str_to_u64(str_sub(s, colon + 1, s.n), 65535, &port) || port == 0))
        return false;
    return lookup_server(str_sub(s, 0, colon), (uint16_t)port, out);
}

/* What is remembered of the client. Without a configuration, or while no proxy has made the file, nothing is. */
static struct store *open_store(struct explain *e)
{
    const struct settings *s = &e->settings;
    const char *file = s->store_path.n ? s->store_path.p : STORE_DEFAULT_PATH; /* texts of settings end in NUL */
    char *error = NULL;
    if (!e->options.config || (s->store == STORE_SQLITE && access(file, F_OK) != 0))
        return store_memory(e->loop, 1000);
    e->network = network_real(e->loop);
    struct store *store = store_open(e->loop, e->network, e->resolver, s, &error);
    if (!store)
        store = store_failing(e->loop, arena_cstr(&e->arena, str_of(error)), 0);
    free(error);
    return store;
}

static int set_up(struct explain *e)
{
    struct addr_port servers[LOAD_SERVERS_MAX];
    size_t count = 0;
    for (; count < e->options.resolver_count && count < LOAD_SERVERS_MAX; count++) {
        if (!parse_server(str_of(e->options.resolver[count]), &servers[count]))
            return cli_wrong(e->args, "--resolver: '%s' is not HOST:PORT", e->options.resolver[count]);
    }
    e->loop = loop_new();
    if (set_time(e) != EXIT_OK)
        return EXIT_USAGE;
    e->wall_ms = loop_wall(e->loop);
    if (count == 0)
        count = load_servers(&e->settings, servers);
    e->resolver = load_resolver(e->loop, &e->settings, servers, count);
    e->store = open_store(e);
    e->health = list_health_new(e->loop, e->resolver);
    e->world = (struct evidence_world){.loop = e->loop, .settings = &e->settings, .resolver = e->resolver, .store = e->store, .health = e->health};
    e->dns_budget = (unsigned)e->settings.dns_questions;
    e->subjects[STAGE_CONNECT].listener = e->settings.listen_count > 0 ? e->settings.listen[0].address : STR("*:25");
    return EXIT_OK;
}

static void tear_down(struct explain *e)
{
    for (size_t i = 0; i < e->recipient_count; i++)
        scope_unref(&e->recipients[i].scope);
    for (int stage = STAGE_COUNT; stage-- > 0;)
        scope_unref(&e->scopes[stage]);
    store_free(&e->store);
    free(e->network);
    if (e->health)
        list_health_free(&e->health);
    if (e->resolver)
        resolver_free(&e->resolver);
    if (e->loop)
        loop_free(&e->loop);
    policy_unref(&e->policy);
    settings_clear(&e->settings);
    buf_free(&e->content);
    arena_clear(&e->arena);
}

int command_explain(struct cli_args *a)
{
    struct explain *e = xcalloc(1, sizeof *e);
    e->args = a;
    int status = EXIT_OK;
    settings_defaults(&e->settings);
    log_set_level(LOG_ERROR_); /* what is to be said is said in the facts */
    if (read_options(a, &e->options) == CLI_EXIT)
        status = a->status;
    else if (e->options.id)
        status = explain_past(a, &e->options);
    else if ((status = read_subject(e)) == EXIT_OK && (status = read_files(e)) == EXIT_OK && (status = read_assumptions(e)) == EXIT_OK &&
             (status = set_up(e)) == EXIT_OK) {
        struct buf out = {0};
        explain_gather(e);
        explain_judge(e);
        if (e->options.json)
            explain_json(e, &out);
        else
            explain_text(e, &out);
        cli_print(stdout, &out);
    }
    tear_down(e);
    free(e);
    return status;
}
