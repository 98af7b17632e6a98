/* Name servers out of a resolv.conf. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#include "postern/dns/resolver.h"

Test(resolv_conf, a_nameservers)
{
    char path[] = "/tmp/postern-test-XXXXXX";
    static const char text[] = "# nameserver 192.0.2.9\n"
                               "search example.com\n"
                               "nameserver 192.0.2.1\n"
                               "  nameserver\t2001:db8::1 # second\n"
                               "nameserver fe80::1%eth0\n"
                               "nameserverx 192.0.2.8\n"
                               "nameserver\n"
                               "nameserver ::ffff:192.0.2.3\r\n"
                               "options edns0\n"
                               "nameserver 192.0.2.4";
    struct addr_port out[8];
    size_t count = 0;
    char shown[ADDR_PORT_TEXT];
    int fd = mkstemp(path);
    cr_assert_eq(write(fd, text, sizeof text - 1), (ssize_t)sizeof text - 1);
    cr_assert(dns_resolv_conf(path, out, &count));
    cr_assert_eq(count, 4);
    cr_assert_str_eq(addr_port_format(&out[0], shown), "192.0.2.1:53");
    cr_assert_str_eq(addr_port_format(&out[1], shown), "[2001:db8::1]:53");
    cr_assert_str_eq(addr_port_format(&out[2], shown), "192.0.2.3:53");
    cr_assert_str_eq(addr_port_format(&out[3], shown), "192.0.2.4:53");
    for (int i = 0; i < 3; i++) {
        cr_assert(dns_resolv_conf(path, out, &count));
    }
    cr_assert_eq(count, 8, "at most");
    cr_assert_eq(ftruncate(fd, 20), 0);
    count = 0;
    cr_assert_not(dns_resolv_conf(path, out, &count));
    close(fd);
    unlink(path);
    cr_assert_not(dns_resolv_conf(path, out, &count));
}
