/*
 * load.c - files that several commands read: the policy, the configuration's complaints, the certificates, the resolvers.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "postern/net/tls.h"

/* There is no such file: where one is. */
static struct policy *not_there(const char *setting, const char *path, struct diags *diags)
{
    char *shipped = load_default_policy_path();
    struct buf hint = {0};
    if (shipped)
        buf_printf(&hint, "the policy as shipped is %s%c", shipped, '\0');
    diag_add(diags, DIAG_ERROR, (struct span){0}, hint.n ? buf_view(&hint).p : NULL, "%s: cannot read '%s': %s", setting, path, strerrordesc_np(ENOENT));
    buf_free(&hint);
    free(shipped);
    return NULL;
}

static struct policy *load(const char *setting, struct str file, const struct settings *s, struct diags *diags)
{
    struct policy_input input = {.domains = s->domains, .domain_count = s->domain_count, .help = s->help};
    char *path = xstrndup(file.p, file.n);
    bool there = access(path, F_OK) == 0 || errno != ENOENT;
    struct policy *policy = there ? policy_load(path, &input, diags) : not_there(setting, path, diags);
    free(path);
    return policy;
}

struct policy *load_policy(const struct settings *s, struct diags *diags)
{
    return load("policy", s->policy, s, diags);
}

bool load_shadow(const struct settings *s, struct policy **out, struct diags *diags)
{
    *out = s->shadow_policy.n ? load("shadow-policy", s->shadow_policy, s, diags) : NULL;
    return *out || !s->shadow_policy.n;
}

void load_complain(const struct diags *diags)
{
    struct buf text = {0};
    diag_print(diags, &text);
    cli_print(stderr, &text);
}

struct tls_context *load_certificates(const struct settings *s, uint64_t now_ms, const struct tls_context *tickets_of, char **error)
{
    struct tls_certificate *list = xcalloc(s->certificate_count, sizeof *list);
    struct arena names = {0};
    for (size_t i = 0; i < s->certificate_count; i++) {
        list[i].file = arena_cstr(&names, s->certificates[i].file);
        list[i].key_file = arena_cstr(&names, s->certificates[i].key_file);
    }
    struct tls_server_options options = {.certificates = list, .count = s->certificate_count, .now_ms = now_ms, .tickets_of = tickets_of};
    struct tls_context *c = tls_context_server(&options, error);
    arena_clear(&names);
    free(list);
    return c;
}

/* ---- the policy as shipped ---- */

static char *joined(const char *directory, const char *rest)
{
    struct buf path = {0};
    buf_cstr(&path, directory);
    buf_cstr(&path, rest);
    char *text = buf_steal(&path);
    char *real = access(text, R_OK) == 0 ? realpath(text, NULL) : NULL;
    free(text);
    return real;
}

/* The directory of this program; empty when it cannot be known. */
static void program_directory(char out[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    out[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(out, '/');
    if (slash)
        *slash = '\0';
}

char *load_default_policy_path(void)
{
    char here[PATH_MAX];
    program_directory(here);
    bool in_build_tree = str_starts(str_of(here), STR(POSTERN_BUILD_DIRECTORY));
    const struct { const char *directory, *rest; } places[] = {
        {in_build_tree ? POSTERN_SOURCE_DIRECTORY : here, in_build_tree ? "/policy/default.policy" : "/../share/postern/policy/default.policy"},
        {here, "/../policy/default.policy"},
        {POSTERN_DATA_DIRECTORY, "/policy/default.policy"},
        {POSTERN_SOURCE_DIRECTORY, "/policy/default.policy"},
    };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char *path = joined(places[i].directory, places[i].rest);
        if (path)
            return path;
    }
    return NULL;
}

/* ---- DNS ---- */

size_t load_servers(const struct settings *s, struct addr_port out[LOAD_SERVERS_MAX])
{
    size_t count = 0;
    for (; count < s->resolver_count && count < LOAD_SERVERS_MAX; count++)
        out[count] = s->resolvers[count];
    if (count == 0 && (!dns_resolv_conf("/etc/resolv.conf", out, &count) || count == 0)) {
        addr_port_parse(STR("127.0.0.1:53"), 53, &out[0]);
        count = 1;
    }
    return count;
}

struct resolver *load_resolver(struct loop *l, const struct settings *s, const struct addr_port *servers, size_t count)
{
    const unsigned waiting = (unsigned)s->dns_in_flight * 64; /* a burst of sessions, each with a dozen lists */
    struct resolver_settings settings = {
        .timeout_ms = s->dns_timeout, .tries = (unsigned)s->dns_tries, .in_flight = (unsigned)s->dns_in_flight, .queue = waiting,
        .cache_bytes = s->dns_cache, .ttl_max = 86400, .negative_ttl_max = 3600,
    };
    return resolver_new(l, dns_transport_ares(l, servers, count, &settings), &settings);
}
