/* What a reload says that it cannot change: each setting by its name, however its list is laid out. */
#include "../ops/config_text.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static const struct { const char *was, *is, *names; } cases[] = {
    {"", "", ""},
    {"max-sessions 5\n", "max-sessions 5 # as before\n", ""},
    {"max-sessions 5\n", "max-sessions 6\n", "max-sessions"},
    {"", "max-sessions 5000\n", ""}, /* its default */
    {"max-sessions 5\n", "", "max-sessions"},
    {"relay-vrfy no\nmessage-size 1M\n", "relay-vrfy yes\nmessage-size 1024K\n", "relay-vrfy"},
    {"greet-delay 2s\n", "greet-delay 2000ms\n", ""},
    {"bare-newline refuse\n", "bare-newline normalise\n", "bare-newline"},
    {"store redis\nredis 192.0.2.1:6379\n", "store redis\nredis 192.0.2.2:6379\nredis-prefix mail-\nredis-password-file \"secret\"\n",
     "redis, redis-password-file, redis-prefix"},
    {"store-path \"a.db\"\n", "store-path \"b.db\"\nstore memory\n", "store, store-path"},
    {"help \"\"\n", "help \"a b\"\n", "help"},
    {"", "domains example.net\n", "domains"},
    {"domains a.example, b.example\n", "domains a.example # first\ndomains \\\n  \"b.example\"\n", ""},
    {"domains a.example, b.example\n", "domains b.example, a.example\n", "domains"},
    {"listen *:26\n", "listen *:26, *:27\n", "listen"},
    {"listen *:26 proxy-from 192.0.2.1\n", "listen *:26 proxy-from 192.0.2.2\n", "listen"},
    {"backend b.example tls may, c.example\n", "backend b.example, c.example tls may\n", "backend"},
    {"backend b.example:25 connections 5\n", "backend   b.example:25\tconnections 5\n", ""},
    {"route a.example backend b.example\n", "route a.example backend c.example\n", "route"},
    {"certificate \"a.pem\" \"a.key\"\n", "certificate \"a.pem\", \"a.key\"\n", "certificate"},
    {"resolver 192.0.2.1\nrelay-from 192.0.2.0/24\n", "", "relay-from, resolver"},
};

Test(differences, each_setting_by_its_name)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct settings was, is;
        struct diags diags = {0};
        struct buf a = {0}, b = {0}, names = {0};
        buf_printf(&a, MINIMAL "%s", cases[i].was);
        buf_printf(&b, MINIMAL "%s", cases[i].is);
        char *texts[] = {buf_steal(&a), buf_steal(&b)};
        cr_assert(load_text(texts[0], &was, &diags) && load_text(texts[1], &is, &diags), "case %zu", i);
        bool any = config_differences(&was, &is, &names);
        cr_expect(str_eq(buf_view(&names), str_of(cases[i].names)), "case %zu: %.*s", i, STR_ARG(buf_view(&names)));
        cr_expect_eq(any, names.n > 0, "case %zu", i);
        free(texts[0]);
        free(texts[1]);
        buf_free(&names);
        diag_clear(&diags);
        settings_clear(&was);
        settings_clear(&is);
    }
}
