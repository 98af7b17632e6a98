/* Names: those that can be asked for, and what an escaped one out of a record stands for. */
#include <criterion/criterion.h>
#include <string.h>

#include "postern/dns/dns.h"

Test(name, a_as_asked)
{
    char long_label[70], name[300], out[254];
    static const struct {
        const char *in, *out; /* NULL: cannot be asked */
    } cases[] = {{"Example.COM", "example.com"}, {"example.com.", "example.com"}, {"_dmarc.x", "_dmarc.x"}, {"a", "a"},
                 {"a=b.x", "a=b.x"},             {"", NULL},                      {".", NULL},              {"..", NULL},
                 {"a..b", NULL},                 {".a", NULL},                    {"a..", NULL},            {"A b.x", "a b.x"},
                 {"a\tb", NULL},                 {"\xc3\xa9.x", NULL},            {"a\\.b", NULL},          {"a\x7f", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool good = dns_name_normal(str_of(cases[i].in), out);
        cr_assert_eq(good, cases[i].out != NULL, "%s", cases[i].in);
        if (good) {
            cr_assert_str_eq(out, cases[i].out);
        }
    }
    memset(long_label, 'x', sizeof long_label);
    cr_assert(dns_name_normal((struct str){long_label, 63}, out));
    cr_assert_not(dns_name_normal((struct str){long_label, 64}, out));
    for (size_t i = 0; i < sizeof name; i++) {
        name[i] = i % 2 ? '.' : 'y';
    }
    cr_assert(dns_name_normal((struct str){name, 253}, out));
    cr_assert_eq(strlen(out), 253);
    cr_assert(dns_name_normal((struct str){name, 254}, out), "the last is a dot");
    cr_assert_not(dns_name_normal((struct str){name, 255}, out));
    cr_assert_not(dns_name_normal((struct str){"a\0b", 3}, out));
}

Test(name, b_as_it_stands_in_a_record)
{
    char out[254];
    static const struct {
        const char *in, *out; /* NULL: cannot be asked */
    } cases[] = {{"mx.example", "mx.example"}, {"a\\058b\\047c.x", "a:b/c.x"}, {"a\\032b.x", "a b.x"}, {"\\065.x", "a.x"},
                 {"a\\046b.x", NULL},         {"a\\092b.x", NULL},            {"a\\000.x", NULL},       {"a\\255.x", NULL},
                 {"a\\999.x", NULL},          {"a\\05", NULL},                {"a\\", NULL},            {"a\\x58.x", NULL},
                 {"", NULL},                   {"a..b", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool good = dns_name_of_record(str_of(cases[i].in), out);
        cr_assert_eq(good, cases[i].out != NULL, "%s", cases[i].in);
        if (good) {
            cr_assert_str_eq(out, cases[i].out);
        }
    }
    for (size_t bytes = 250; bytes <= 256; bytes++) { /* escaped, in labels of 50 */
        struct buf name = {0};
        for (size_t i = 0; i < bytes; i++) {
            buf_cstr(&name, i % 51 == 50 ? "." : "\\058");
        }
        cr_assert_eq(dns_name_of_record(buf_view(&name), out), bytes <= 253, "%zu", bytes);
        buf_free(&name);
    }
}
