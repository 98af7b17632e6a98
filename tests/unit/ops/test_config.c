/* Configurations: what good ones become, what is said about bad ones, and that no cutting or breaking of a text harms. */
#include "../ops/config_text.h"

#include <criterion/criterion.h>
#include <stdlib.h>

Test(config, a_smallest_useful_one)
{
    struct settings s;
    struct diags diags = {0};
    cr_assert(load_text("# a comment\nhostname mx.example.org\ndomains  Example.ORG, .example.net   # two\nlisten   *:25\n"
                        "backend  127.0.0.1:10025\nresolver 127.0.0.1\npolicy   \"policy/default.policy\"\n", &s, &diags));
    cr_expect_eq(diags.count, 0);
    cr_expect(str_eq(s.hostname, STR("mx.example.org")));
    cr_expect_eq(s.domain_count, 2);
    cr_expect(str_eq(s.domains[0], STR("example.org")));
    cr_expect(str_eq(s.listen[0].address, STR("*:25")));
    cr_expect(str_eq(s.policy, STR("conf/policy/default.policy")));
    cr_expect_eq(s.backends[0].address.port, 10025);
    cr_expect(s.backends[0].numeric);
    cr_expect_eq(s.resolvers[0].port, 53);
    cr_expect_eq(s.command_timeout, 300000);
    cr_expect_eq(s.bare_newline, BARE_NEWLINE_NORMALISE);
    cr_expect(str_eq(s.spool_directory, STR("/var/tmp")));
    cr_expect_null(s.relay_from);
    settings_clear(&s);
    diag_clear(&diags);
}

Test(config, b_every_type_of_value)
{
    struct settings s;
    struct diags diags = {0};
    cr_assert(load_text(MINIMAL "help \"see https://example.org/mail\"\nbare-newline refuse\ngreet-delay 1500ms\nmessage-size 0\nspool-memory 128K\n"
                        "recipient-limit 200\njournal \"\"\nlog syslog\nlog-level WARN\nspool-directory spool\nrelay-from 192.0.2.0/24, 2001:db8::1\n"
                        "relay-from 10.0.0.0/8\nlisten [::1]:0, [::1]:0\nlisten :2525\ndomains \\\n  c.example, d.example\n", &s, &diags));
    cr_expect(str_eq(s.help, STR("see https://example.org/mail")));
    cr_expect_eq(s.bare_newline, BARE_NEWLINE_REFUSE);
    cr_expect_eq(s.greet_delay, 1500);
    cr_expect_eq(s.message_size, 0);
    cr_expect_eq(s.spool_memory, 131072);
    cr_expect_eq(s.recipient_limit, 200);
    cr_expect_eq(s.journal.n, 0);
    cr_expect_eq(s.log, 1);
    cr_expect_eq(s.log_level, 2);
    cr_expect(str_eq(s.spool_directory, STR("conf/spool")));
    cr_expect_eq(prefix_set_count(s.relay_from), 3);
    cr_expect_eq(s.listen_count, 4);
    cr_expect_eq(s.domain_count, 3);
    settings_clear(&s);
    diag_clear(&diags);
}

Test(config, c_backends)
{
    static const struct { const char *text, *host; bool numeric; unsigned port; } cases[] = {
        {"127.0.0.1:10025", "127.0.0.1", true, 10025}, {"192.0.2.1", "192.0.2.1", true, 25}, {"[2001:DB8::1]:26", "2001:db8::1", true, 26},
        {"2001:db8::1", "2001:db8::1", true, 25},      {"[::1]", "::1", true, 25},           {"mail.Example.org:587", "mail.example.org", false, 587},
        {"localhost", "localhost", false, 25},         {"mail_1.example", "mail_1.example", false, 25},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct settings s;
        struct diags diags = {0};
        struct buf line = {0};
        settings_defaults(&s);
        buf_printf(&line, "backend %s", cases[i].text);
        struct source *source = source_new("set", buf_view(&line));
        cr_assert(config_set(&s, &source_files, source, &diags), "%s", cases[i].text);
        cr_assert_eq(s.backend_count, 1);
        cr_expect(str_eq(s.backends[0].host, str_of(cases[i].host)), "%s", cases[i].text);
        cr_expect_eq(s.backends[0].numeric, cases[i].numeric, "%s", cases[i].text);
        cr_expect_eq(s.backends[0].address.port, cases[i].port, "%s", cases[i].text);
        source_free(&source);
        buf_free(&line);
        settings_clear(&s);
        diag_clear(&diags);
    }
}

/* The text follows a complete configuration of five lines, so that its first line is line 6. */
static const struct { const char *text, *messages; } bad[] = {
    {"hostnam x\n", "6:1 unknown setting 'hostnam'"},
    {"max-sesions 5\nmesage-size 5\n", "6:1 unknown setting 'max-sesions'\n7:1 unknown setting 'mesage-size'"},
    {"hostname b.example\n", "6:1 'hostname' is set a second time; it was set in line 1"},
    {"max-sessions\n", "6:1 'max-sessions' needs a value"},
    {"max-sessions = 5\n", "6:14 max-sessions: there is no '=' between a setting and its value"},
    {"max-sessions: 5\n", "6:13 max-sessions: there is no ':' between a setting and its value"},
    {"max-sessions 5 6\n", "6:16 max-sessions: expected end of line after its value, not word"},
    {"max-sessions many\n", "6:14 max-sessions: 'many' is not a number"},
    {"max-sessions 0\n", "6:14 max-sessions: 0 is out of range, which is 1 to 1000000"},
    {"max-sessions 99999999999999999999\n", "6:14 max-sessions: '99999999999999999999' is not a number"},
    {"max-sessions -1\n", "6:14 max-sessions: '-1' is not a number"},
    {"greet-delay 5\n", "6:13 greet-delay: '5' is not a duration"},
    {"greet-delay 2m\n", "6:13 greet-delay: 2m is out of range, which is 0s to 1m"},
    {"header-size 10\n", "6:13 header-size: 10 is out of range, which is 64K to 64M"},
    {"header-size big\n", "6:13 header-size: 'big' is not a size"},
    {"bare-newline normalize\n", "6:14 bare-newline: 'normalize' is not normalise or refuse"},
    {"log-level loud\n", "6:11 log-level: 'loud' is not debug, info, warn or error"},
    {"help see here\n", "6:10 help: expected end of line after its value, not word"},
    {"help \"a\\nb\"\n", "6:6 help: only printable ASCII can stand here, because it goes into SMTP replies"},
    {"spool-directory \"\"\n", "6:17 spool-directory: the path is empty"},
    {"journal ,\n", "6:9 journal: expected a value, not ','"},
    {"domains any\n", "6:9 `domains any` needs every backend to be told the client's address"},
    {"domains any\nbackend b.example client-address proxy, c.example\n",
     "6:9 `domains any` needs every backend to be told the client's address"},
    {"backend b.example client-address xlcient\n", "6:34 client-address cannot be 'xlcient'"},
    {"backend b.example tls\n", "6:22 expected tls, not end of line"},
    {"backend b.example tls yes\n", "6:23 tls cannot be 'yes'"},
    {"backend b.example tls may verify b.example\n", "6:9 verify, ca and fingerprint need `tls require`"},
    {"backend b.example tls require ca \"ca.pem\"\n", "6:9 a certificate of a CA is verified by name"},
    {"backend b.example tls require fingerprint 00:11\n", "6:43 a fingerprint is 64 hexadecimal digits"},
    {"backend b.example connections none\n", "6:31 'none' is not a number of connections"},
    {"route backend b.example\n", "6:7 a route begins with its domains"},
    {"route r.example b.example\n", "6:26 expected a domain, or `backend` behind the domains, not end of line"},
    {"domains a.example b.example\n", "6:19 domains: expected ',' or end of line, not word"},
    {"domains a.example,\n", "6:19 expected a domain, not end of line"},
    {"domains *.a, u@b.example, c., [192.0.2.1], 192.0.2.1, -d.example, e..f, \"\"\n",
     "6:9 '*.a' is not a domain\n6:14 'u@b.example' is not a domain\n6:27 'c.' is not a domain\n6:31 '[192.0.2.1]' is not a domain\n"
     "6:44 '192.0.2.1' is not a domain\n6:55 '-d.example' is not a domain\n6:67 'e..f' is not a domain\n6:73 '' is not a domain"},
    {"domains { a.example\nlisten :26\nfoo 1\n", "6:9 expected a domain, not '{'\n8:1 unknown setting 'foo'"},
    {"listen *\n", "6:8 '*' is not an address to listen at"},
    {"listen *:70000, 192.0.2.1, mx:25, ::1\n",
     "6:8 '*:70000' is not an address to listen at\n6:17 '192.0.2.1' is not an address to listen at\n6:28 'mx:25' is not an address to listen at\n"
     "6:35 '::1' is not an address to listen at"},
    {"listen :26 tls\n", "6:12 a listener with TLS needs a certificate"},
    {"listen :26 ssl, :27 proxy-from 0.0.0.0/0\n", "6:12 a listener has no option 'ssl'\n6:32 '0.0.0.0/0' is not a network of balancers"},
    {"listen :26, :26\n", "6:13 ':26' is listened at twice"},
    {"backend mail.example:0\n", "6:9 'mail.example:0' is not a backend"},
    {"backend 192.0.2.1:99999, 1.2.3, a..b, [::1, :25\n",
     "6:9 '192.0.2.1:99999' is not a backend\n6:26 '1.2.3' is not a backend\n6:33 'a..b' is not a backend\n6:39 '[::1' is not a backend\n"
     "6:45 ':25' is not a backend"},
    {"backend a.example fast, b.example:x\n", "6:19 a backend has no option 'fast'\n6:25 'b.example:x' is not a backend"},
    {"resolver ns.example, 127.0.0.1:0\n",
     "6:10 'ns.example' is not the address of a resolver\n6:22 '127.0.0.1:0' is not the address of a resolver"},
    {"relay-from 192.0.2.1/24, 0.0.0.0/0, ::/0, office\n",
     "6:12 '192.0.2.1/24' is not a network\n6:26 relay-from 0.0.0.0/0 would be an open relay\n6:37 relay-from ::/0 would be an open relay\n"
     "6:43 'office' is not a network"},
    {"\"hostname\" x\n", "6:1 expected the name of a setting, not string"},
    {"log 'x'\nlog stdout\n", "6:5 unexpected character '''\n7:1 'log' is set a second time; it was set in line 6"},
    {"policy \"other\n", "6:8 unterminated string\n6:1 'policy' is set a second time; it was set in line 5"},
};

Test(config, d_every_complaint)
{
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct settings s;
        struct diags diags = {0};
        struct buf text = {0}, messages = {0};
        buf_printf(&text, MINIMAL "%s", bad[i].text);
        buf_char(&text, '\0');
        cr_expect_not(load_text(text.p, &s, &diags), "%s", bad[i].text);
        messages_of(&diags, &messages);
        cr_expect(str_eq(buf_view(&messages), str_of(bad[i].messages)), "%s gives\n%.*s", bad[i].text, STR_ARG(buf_view(&messages)));
        buf_free(&text);
        buf_free(&messages);
        settings_clear(&s);
        diag_clear(&diags);
    }
}

Test(config, e_what_is_missing_is_said_once)
{
    struct settings s;
    struct diags diags = {0};
    struct buf messages = {0};
    cr_expect_not(load_text("\ndomains any\nhostname 1.2.3.4\n", &s, &diags));
    messages_of(&diags, &messages);
    cr_expect(str_eq(buf_view(&messages),
                     STR("3:10 hostname: '1.2.3.4' is not a host name\n4:1 'listen' is not set\n4:1 'backend' is not set\n4:1 'policy' is not set")),
              "%.*s", STR_ARG(buf_view(&messages)));
    buf_free(&messages);
    settings_clear(&s);
    diag_clear(&diags);
}

Test(config, e_backends_with_options_and_routes)
{
    struct settings s;
    struct diags diags = {0};
    cr_assert(load_text(MINIMAL "backend b.example:26 client-address xclient tls require verify B.example connections 5, c.example\n"
                                "route lists.example, .lists.example backend 10.0.0.9 client-address proxy, d.example\n"
                                "route www.lists.example backend e.example\n", &s, &diags));
    cr_assert_eq(s.backend_count, 6);
    const struct backend_setting *b = &s.backends[1];
    cr_expect(b->address.port == 26 && b->client_address == CLIENT_ADDRESS_XCLIENT && b->tls == BACKEND_TLS_REQUIRE && b->connections == 5);
    cr_expect(str_eq(b->tls_name, STR("b.example")) && b->route == 0);
    cr_expect(s.backends[3].route == 1 && s.backends[3].client_address == CLIENT_ADDRESS_PROXY && s.backends[4].route == 1);
    cr_expect(s.backends[5].route == 2);
    cr_expect_eq(settings_route(&s, STR("LISTS.example")), 1);
    cr_expect_eq(settings_route(&s, STR("a.lists.example")), 1);
    cr_expect_eq(settings_route(&s, STR("www.lists.example")), 2, "a name is preferred to a dot name");
    cr_expect_eq(settings_route(&s, STR("other.example")), 0);
    cr_expect(settings_domain_is_ours(&s, STR("a.lists.example")) && !settings_domain_is_ours(&s, STR("other.example")));
    settings_clear(&s);
    diag_clear(&diags);
}

Test(config, e_any_domain_when_the_backend_knows_the_client)
{
    struct settings s;
    struct diags diags = {0};
    cr_expect(load_text("hostname mx.example\ndomains any\nlisten :25\nbackend b.example client-address xclient\npolicy \"p\"\n", &s, &diags));
    cr_expect(s.domains_any && settings_domain_is_ours(&s, STR("whatever.example")));
    settings_clear(&s);
    diag_clear(&diags);
}

Test(config, f_a_complaint_shows_the_place_and_what_to_write)
{
    struct settings s;
    struct diags diags = {0};
    cr_expect_not(load_text(MINIMAL "  max-sesions 5\n", &s, &diags));
    cr_assert_eq(diags.count, 1);
    cr_expect_str_eq(diags.list[0].text, "conf/postern.conf:6:3: error: unknown setting 'max-sesions'\n  max-sesions 5\n  ^~~~~~~~~~~\n"
                                         "did you mean 'max-sessions'?\n");
    settings_clear(&s);
    diag_clear(&diags);
}

Test(config, g_set_replaces_single_ones_and_adds_to_lists)
{
    struct settings s;
    struct diags diags = {0};
    struct source *line = source_new("t", STR("max-sessions 5\nmax-sessions 6\ndomains b.test\n"));
    settings_defaults(&s);
    struct str ours[] = {STR("our.test")};
    s.domains = ours;
    s.domain_count = 1;
    cr_expect_not(config_complete(&s, line, &diags));
    cr_expect_eq(diags.errors, 4);
    cr_expect(config_set(&s, &source_files, line, &diags));
    cr_expect_eq(s.max_sessions, 6);
    cr_expect_eq(s.domain_count, 2);
    cr_expect(str_eq(s.domains[0], STR("our.test")));
    cr_expect(str_eq(s.domains[1], STR("b.test")));
    source_free(&line);
    settings_clear(&s);
    diag_clear(&diags);
}

Test(config, h_a_file_that_is_not_there)
{
    struct settings s;
    struct diags diags = {0};
    cr_expect_not(config_load("/nonexistent/postern.conf", &source_files, &s, &diags));
    cr_assert_eq(diags.count, 1);
    cr_expect_str_eq(diags.list[0].message, "cannot read /nonexistent/postern.conf: No such file or directory");
    settings_clear(&s);
    diag_clear(&diags);
}

/* Every prefix of a text and every single changed byte: complaints perhaps, crashes and leaks never; errors and result agree. */
Test(config, i_cut_and_broken_texts)
{
    static const char text[] = MINIMAL "relay-from 10.0.0.0/8, ::1\nhelp \"a b\"\nmessage-size 5M # c\nbackend [::1]:5, a.b \\\n , c\n";
    static const char bytes[] = "\n\"\\{}(),:#=!\x01\xff ";
    char copy[sizeof text];
    for (size_t i = 0; i + 1 < sizeof text; i++) {
        for (size_t b = 0; b < sizeof bytes; b++) {
            memcpy(copy, text, sizeof text);
            copy[i] = bytes[b]; /* the last is NUL: a text cut here */
            struct settings s;
            struct diags diags = {0};
            bool good = load_text(copy, &s, &diags);
            cr_assert_eq(good, diags.errors == 0);
            settings_clear(&s);
            diag_clear(&diags);
        }
    }
}

Test(config, j_domains_that_are_ours)
{
    static const struct { const char *domain; bool ours; } cases[] = {
        {"example.org", true}, {"EXAMPLE.org", true}, {"a.example.org", false}, {"a.example.net", true}, {"B.A.EXAMPLE.NET", true},
        {"example.net", false}, {"", false}, {"[192.0.2.1]", false}, {".example.net", false}, {"badexample.net", false}, {"example.or", false},
    };
    struct settings s;
    struct diags diags = {0};
    cr_assert(load_text(MINIMAL "domains .example.net\n", &s, &diags));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_eq(settings_domain_is_ours(&s, str_of(cases[i].domain)), cases[i].ours, "%s", cases[i].domain);
    settings_clear(&s);
    diag_clear(&diags);
}
