/*
 * resolv_conf.c - the nameservers of a resolv.conf(5). Scoped addresses (fe80::1%eth0) are left out.
 */
#include <stdio.h>
#include <string.h>

#include "postern/dns/resolver.h"

enum { SERVERS_MAX = 8, DNS_PORT = 53 };

static bool nameserver(struct str line, struct addr *out)
{
    static const char word[] = "nameserver";
    size_t n = sizeof word - 1;
    line = str_trim(str_sub(line, 0, str_find(line, '\n', 0)));
    line = str_trim(str_sub(line, 0, str_find(line, '\r', 0)));
    if (!str_starts(line, str_of(word)) || line.n == n || (line.p[n] != ' ' && line.p[n] != '\t')) {
        return false;
    }
    struct str rest = str_trim(str_sub(line, n, line.n));
    size_t end = 0;
    while (end < rest.n && !strchr(" \t#;", rest.p[end])) {
        end++;
    }
    return addr_parse(str_sub(rest, 0, end), out);
}

bool dns_resolv_conf(const char *path, struct addr_port out[8], size_t *count)
{
    char line[512];
    bool found = false;
    bool whole = true; /* the line's start was seen */
    FILE *f = fopen(path, "re");
    if (!f) {
        return false;
    }
    while (fgets(line, sizeof line, f)) {
        struct addr a;
        struct str s = str_of(line);
        bool starts = whole;
        whole = s.n > 0 && s.p[s.n - 1] == '\n';
        if (starts && nameserver(s, &a)) {
            found = true;
            if (*count < SERVERS_MAX) {
                out[(*count)++] = (struct addr_port){a, DNS_PORT};
            }
        }
    }
    fclose(f);
    return found;
}
