/* The reference of settings, and the advice on unwise ones. */
#include "../ops/config_text.h"
#include "config_table.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

Test(reference, every_setting_with_its_help_in_each_form)
{
    struct buf forms[3] = {{0}};
    config_reference(&forms[0], false);
    config_reference(&forms[1], true);
    config_reference_roff(&forms[2]);
    for (size_t f = 0; f < 3; f++) {
        buf_char(&forms[f], '\0');
        for (size_t i = 0; i < setting_row_count && f < 2; i++) {
            cr_expect(strstr(forms[f].p, setting_rows[i].name), "%s", setting_rows[i].name);
            char help[40];
            snprintf(help, sizeof help, "%.12s", setting_rows[i].help);
            cr_expect(strstr(forms[f].p, help), "%s", help);
        }
    }
    cr_expect(strstr(forms[0].p, "  greet-delay                0s; 0s to 1m\n"));
    cr_expect(strstr(forms[0].p, "  bare-newline               normalise; normalise or refuse\n"));
    cr_expect(strstr(forms[0].p, "  hostname                   required; text\n"));
    cr_expect(strstr(forms[1].p, "| `message-size` | 50M | 0 to 16G | octets of one message; 0 is unlimited |\n"));
    cr_expect(strstr(forms[2].p, ".TP\n.B greet\\-delay\n"));
    for (size_t f = 0; f < 3; f++)
        buf_free(&forms[f]);
}

Test(reference, defaults_lie_in_their_ranges)
{
    for (size_t i = 0; i < setting_row_count; i++) {
        const struct setting_row *row = &setting_rows[i];
        if (row->type == SETTING_COUNT || row->type == SETTING_SIZE || row->type == SETTING_DURATION)
            cr_expect(row->number >= row->minimum && row->number <= row->maximum, "%s", row->name);
        for (size_t k = 0; k < i; k++)
            cr_expect(strcmp(row->name, setting_rows[k].name) != 0, "%s twice", row->name);
    }
}

static bool advises(const struct diags *diags, const char *text)
{
    for (size_t i = 0; i < diags->count; i++) {
        if (diags->list[i].severity == DIAG_ADVICE && strstr(diags->list[i].message, text))
            return true;
    }
    return false;
}

static const struct { const char *text, *advice; } unwise[] = {
    {"resolver 8.8.8.8\n", "8.8.8.8 is a public resolver: most block lists refuse to answer it"},
    {"resolver [2620:fe::fe]:53\n", "2620:fe::fe is a public resolver"},
    {"journal /nonexistent/j\n", "journal: there is no directory for '/nonexistent/j'"},
    {"spool-directory /nonexistent\n", "spool-directory: there is no directory"},
    {"command-timeout 30s\n", "command-timeout: 30s is less than the 5m that RFC 5321 4.5.3.2.7 asks for"},
    {"drain-time 10s\n", "drain-time: 10s is less than backend-dot-timeout"},
    {"greet-delay 20s\n", "greet-delay: 20s"},
    {"backend 127.0.0.1:25\n", "backend '127.0.0.1' port 25 is our own listener '*:25'"},
    {"backend localhost\n", "backend 'localhost' port 25 is our own listener '*:25'"},
    {"listen 192.0.2.1:2500\nbackend 192.0.2.1:2500\n", "backend '192.0.2.1' port 2500 is our own listener '192.0.2.1:2500'"},
};

Test(advice, on_what_is_unwise)
{
    for (size_t i = 0; i < sizeof unwise / sizeof unwise[0]; i++) {
        struct settings s;
        struct diags diags = {0};
        struct buf text = {0};
        buf_printf(&text, MINIMAL "%s", unwise[i].text);
        buf_char(&text, '\0');
        cr_assert(load_text(text.p, &s, &diags), "%s", unwise[i].text);
        config_advise(&s, &diags);
        cr_expect(advises(&diags, unwise[i].advice), "%s", unwise[i].text);
        cr_expect_eq(diags.errors, 0);
        buf_free(&text);
        settings_clear(&s);
        diag_clear(&diags);
    }
}

Test(advice, none_on_what_is_wise)
{
    struct settings s;
    struct diags diags = {0};
    cr_assert(load_text(MINIMAL "resolver 127.0.0.1\n", &s, &diags));
    config_advise(&s, &diags);
    cr_expect_eq(diags.count, 0);
    settings_clear(&s);
    diag_clear(&diags);
}

Test(advice, on_name_servers_of_resolv_conf)
{
    struct diags diags = {0};
    config_advise_resolv_conf(STR("# nameserver 9.9.9.9\nsearch example\nnameserver 192.0.2.1\n nameserver\t1.1.1.1 \nnameserver\n"), &diags);
    cr_expect_eq(diags.count, 1);
    cr_expect(advises(&diags, "1.1.1.1 is a public resolver in /etc/resolv.conf"));
    diag_clear(&diags);
}
