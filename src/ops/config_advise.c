/*
 * config_advise.c - what is legal but unwise, said by `postern check` and in the log at start. Nothing here stops anything.
 */
#include "postern/ops/config.h"

#include "config_table.h"
#include "postern/base/codec.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ADVISE(diags, hint, ...) diag_add(diags, DIAG_ADVICE, (struct span){0}, hint, __VA_ARGS__)

/* Resolvers open to everybody: block lists see the resolver, not us, and refuse those (PROTOCOL: error codes in 127.255.255.0/24). */
static const char *const public_resolvers[] = {
    "8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "149.112.112.112", "208.67.222.222", "208.67.220.220", "4.2.2.1", "4.2.2.2",
    "64.6.64.6", "94.140.14.14", "2001:4860:4860::8888", "2001:4860:4860::8844", "2606:4700:4700::1111", "2606:4700:4700::1001", "2620:fe::fe",
};

static bool is_public(const struct addr *a)
{
    for (size_t i = 0; i < sizeof public_resolvers / sizeof public_resolvers[0]; i++) {
        struct addr known;
        if (addr_parse(str_of(public_resolvers[i]), &known) && addr_eq(a, &known))
            return true;
    }
    return false;
}

static void advise_public(const struct addr *a, const char *where, struct diags *diags)
{
    char text[ADDR_TEXT];
    if (is_public(a))
        ADVISE(diags, "run a resolver of your own (unbound, say) and name it: resolver 127.0.0.1:53",
               "%s is a public resolver%s: most block lists refuse to answer it", addr_format(a, text), where);
}

void config_advise_resolv_conf(struct str text, struct diags *diags)
{
    struct str line;
    while (str_split(&text, '\n', &line)) {
        struct str word = str_trim(line);
        if (!str_starts(word, STR("nameserver")))
            continue;
        word = str_trim(str_sub(word, 10, word.n));
        struct addr a;
        if (addr_parse(word, &a))
            advise_public(&a, " in /etc/resolv.conf", diags);
    }
}

static void advise_resolvers(const struct settings *s, struct diags *diags)
{
    for (size_t i = 0; i < s->resolver_count; i++)
        advise_public(&s->resolvers[i].addr, "", diags);
    if (s->resolver_count > 0)
        return;
    const char *error;
    struct source *file = source_files.read(&source_files, "/etc/resolv.conf", &error);
    if (!file) {
        ADVISE(diags, "write: resolver 127.0.0.1:53", "no resolver is set and /etc/resolv.conf cannot be read: %s", error);
        return;
    }
    config_advise_resolv_conf((struct str){file->text, file->n}, diags);
    source_free(&file);
}

static void advise_directory(struct str path, bool of_file, const char *setting, struct diags *diags)
{
    if (path.n == 0)
        return;
    char *directory = of_file ? source_path(path.p, ".") : xstrndup(path.p, path.n);
    struct stat st;
    if (stat(directory, &st) != 0 || !S_ISDIR(st.st_mode))
        ADVISE(diags, "create it, writable for the user that Postern runs as", "%s: there is no directory for '%.*s'", setting, STR_ARG(path));
    free(directory);
}

/* RFC 5321 4.5.3.2: how long a client (we, to the backend) should wait at least; 4.5.3.2.7: how long a server should. */
static void advise_times(const struct settings *s, struct diags *diags)
{
    const struct { const char *name; uint64_t value, wanted; const char *section; } times[] = {
        {"command-timeout", s->command_timeout, 300000, "4.5.3.2.7"},
        {"backend-greeting-timeout", s->backend_greeting_timeout, 300000, "4.5.3.2.1"},
        {"backend-command-timeout", s->backend_command_timeout, 300000, "4.5.3.2.2"},
        {"backend-data-timeout", s->backend_data_timeout, 120000, "4.5.3.2.4"},
        {"backend-block-timeout", s->backend_block_timeout, 180000, "4.5.3.2.5"},
        {"backend-dot-timeout", s->backend_dot_timeout, 600000, "4.5.3.2.6"},
    };
    char is[32], wanted[32];
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        if (times[i].value < times[i].wanted)
            ADVISE(diags, NULL, "%s: %s is less than the %s that RFC 5321 %s asks for", times[i].name, duration_format(times[i].value, is),
                   duration_format(times[i].wanted, wanted), times[i].section);
    }
    if (s->drain_time < s->backend_dot_timeout)
        ADVISE(diags, NULL, "drain-time: %s is less than backend-dot-timeout: a stop can cut a message whose answer is awaited",
               duration_format(s->drain_time, is));
    if (s->greet_delay > 10000)
        ADVISE(diags, NULL, "greet-delay: %s before the greeting makes some good senders give up", duration_format(s->greet_delay, is));
}

/* Where mail would go round in circles: a backend that is one of our own listeners. */
static void advise_circles(const struct settings *s, struct diags *diags)
{
    for (size_t b = 0; b < s->backend_count; b++) {
        const struct backend_setting *backend = &s->backends[b];
        bool here = backend->numeric ? addr_is_loopback(&backend->address.addr) : str_eq(backend->host, STR("localhost"));
        for (size_t i = 0; i < s->listen_count; i++) {
            struct str text = s->listen[i].address;
            struct addr_port at = {0};
            uint64_t port = 0;
            bool all = text.p[0] == '*' || text.p[0] == ':';
            if (all)
                str_to_u64(str_sub(text, text.p[0] == '*' ? 2 : 1, text.n), 65535, &port);
            else if (addr_port_parse(text, 0, &at))
                port = at.port;
            bool same = all ? here : backend->numeric && addr_eq(&at.addr, &backend->address.addr);
            if (same && port == backend->address.port && port != 0)
                ADVISE(diags, NULL, "backend '%.*s' port %u is our own listener '%.*s': mail would go round in circles", STR_ARG(backend->host),
                       backend->address.port, STR_ARG(text));
        }
    }
}

void config_advise(const struct settings *s, struct diags *diags)
{
    if (s->hostname.n > 0 && !memchr(s->hostname.p, '.', s->hostname.n))
        ADVISE(diags, "write the full name, as its PTR record has it: mx.example.org", "hostname: '%.*s' has no domain", STR_ARG(s->hostname));
    advise_resolvers(s, diags);
    advise_directory(s->journal, true, "journal", diags);
    advise_directory(s->spool_directory, false, "spool-directory", diags);
    advise_times(s, diags);
    advise_circles(s, diags);
}
