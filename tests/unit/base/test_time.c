/* Times, durations, sizes, the clock. */
#include "postern/base/clock.h"
#include "postern/base/codec.h"

#include <criterion/criterion.h>
#include <time.h>

Test(time, formats)
{
    char a[RFC3339_TEXT], b[RFC5322_DATE_TEXT];
    static const struct {
        uint64_t ms;
        const char *rfc3339, *rfc5322;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z", "Thu, 01 Jan 1970 00:00:00 +0000"},
        {951827696789u, "2000-02-29T12:34:56.789Z", "Tue, 29 Feb 2000 12:34:56 +0000"},
        {1795292100123u, "2026-11-21T20:15:00.123Z", "Sat, 21 Nov 2026 20:15:00 +0000"},
        {4107542399999u, "2100-02-28T23:59:59.999Z", "Sun, 28 Feb 2100 23:59:59 +0000"},
        {4107542400000u, "2100-03-01T00:00:00.000Z", "Mon, 01 Mar 2100 00:00:00 +0000"},
        {253402300799999u, "9999-12-31T23:59:59.999Z", "Fri, 31 Dec 9999 23:59:59 +0000"},
        {UINT64_MAX, "9999-12-31T23:59:59.999Z", "Fri, 31 Dec 9999 23:59:59 +0000"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_str_eq(time_rfc3339(cases[i].ms, a), cases[i].rfc3339);
        cr_assert_str_eq(time_rfc5322(cases[i].ms, b), cases[i].rfc5322);
    }
}

/* Every day of 400 years (a whole cycle of the calendar) agrees with the C library, and reads back. */
Test(time, agrees_with_gmtime)
{
    for (uint64_t day = 0; day < 146097; day++) {
        uint64_t ms = day * 86400000u + day % 86400 * 1000, back;
        time_t t = (time_t)(ms / 1000);
        struct tm tm;
        char text[RFC3339_TEXT], expected[RFC3339_TEXT];
        gmtime_r(&t, &tm);
        strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
        cr_assert_str_eq(time_rfc3339(ms, text), expected);
        cr_assert(time_parse_rfc3339(str_of(text), &back) && back == ms, "%s", text);
    }
}

Test(time, parses)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0}, {"2026-11-21T20:15:00.123Z", 1795292100123u}, {"2026-11-21t20:15:00z", 1795292100000u},
        {"2026-11-21T21:15:00+01:00", 1795292100000u}, {"2026-11-21T14:45:00-05:30", 1795292100000u},
        {"2026-11-21T20:15:00.1Z", 1795292100100u}, {"2026-11-21T20:15:00.123999999999999999999999Z", 1795292100123u},
        {"2016-12-31T23:59:60Z", 1483228800000u}, {"1970-01-01T01:00:00+01:00", 0}, {"2000-02-29T00:00:00-00:00", 951782400000u},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint64_t ms = 1;
        cr_assert(time_parse_rfc3339(str_of(good[i].text), &ms), "%s", good[i].text);
        cr_assert_eq(ms, good[i].ms, "%s gave %llu", good[i].text, (unsigned long long)ms);
    }
    static const char *const bad[] = {
        "", "2026", "2026-11-21", "2026-11-21T20:15:00", "2026-11-21 20:15:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
        "2026-11-31T00:00:00Z", "2026-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2026-11-00T00:00:00Z", "2026-11-21T24:00:00Z",
        "2026-11-21T20:60:00Z", "2026-11-21T20:15:61Z", "2026-11-21T20:15:00.Z", "2026-11-21T20:15:00+1:00",
        "2026-11-21T20:15:00+01:60",
        "2026-11-21T20:15:00+24:00", "2026-11-21T20:15:00Zx", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00+00:01",
        "0000-01-01T00:00:00Z",
        "+026-11-21T20:15:00Z", "2026-1-21T20:15:00Z", "9999-12-31T23:59:59-01:00",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t ms;
        cr_assert_not(time_parse_rfc3339(str_of(bad[i]), &ms), "%s", bad[i]);
    }
}

Test(time, every_cut_is_refused)
{
    static const char text[] = "2026-11-21T20:15:00.123+01:00";
    for (size_t n = 0; n < sizeof text - 1; n++) {
        uint64_t ms;
        cr_assert_not(time_parse_rfc3339((struct str){text, n}, &ms), "%zu bytes", n);
    }
}

Test(time, durations)
{
    static const struct {
        const char *text;
        uint64_t ms;
        const char *formatted;
    } good[] = {
        {"0", 0, "0s"}, {"0s", 0, "0s"}, {"500ms", 500, "500ms"}, {"10s", 10000, "10s"}, {"5m", 300000, "5m"},
        {"2h", 7200000, "2h"},
        {"7d", 604800000, "1w"}, {"1w", 604800000, "1w"}, {"1h30m", 5400000, "1h30m"}, {"90m", 5400000, "1h30m"},
        {"30d", 2592000000u, "30d"},
        {"1w2d3h4m5s6ms", 788645006, "9d3h4m5s6ms"}, {"1500ms", 1500, "1s500ms"}, {"36h", 129600000, "1d12h"},
        {"5M", 300000, "5m"},
        {"1m0s", 60000, "1m"}, {"1000000000000000ms", 1000000000000000u, "11574074d1h46m40s"},
    };
    char out[32];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint64_t ms = 1, again;
        cr_assert(duration_parse(str_of(good[i].text), &ms), "%s", good[i].text);
        cr_assert_eq(ms, good[i].ms, "%s", good[i].text);
        cr_assert_str_eq(duration_format(ms, out), good[i].formatted);
        cr_assert(duration_parse(str_of(out), &again) && again == ms, "%s reads back", out);
    }
    static const char *const bad[] = {"", "1", "10", "00", "s", "1x", "1 s", "-1s", "1.5h", "1s1h", "1h1h", "m5", "1h30",
                                      "5mm", "1ms2s",
                                      "99999999999999999999s", "18446744073709551615ms", "31000000000000000w",
                                      "1000000000000001ms",
                                      "11574074d1h46m41s", "1h "};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t ms;
        cr_assert_not(duration_parse(str_of(bad[i]), &ms), "%s", bad[i]);
    }
    cr_assert_str_eq(duration_format(UINT64_MAX, out), "213503982334d14h25m51s615ms");
}

Test(time, sizes)
{
    static const struct {
        const char *text;
        uint64_t bytes;
        const char *formatted;
    } good[] = {
        {"0", 0, "0"}, {"512", 512, "512"}, {"512B", 512, "512"}, {"64K", 65536, "64K"}, {"64KB", 65536, "64K"},
        {"50M", 52428800, "50M"},
        {"1g", 1073741824, "1G"}, {"1024G", 1099511627776u, "1024G"}, {"1536", 1536, "1536"}, {"1024", 1024, "1K"},
        {"1b", 1, "1"},
        {"9223372036854775807", INT64_MAX, "9223372036854775807"},
    };
    char out[32];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint64_t bytes = 1;
        cr_assert(size_parse(str_of(good[i].text), &bytes), "%s", good[i].text);
        cr_assert_eq(bytes, good[i].bytes, "%s", good[i].text);
        cr_assert_str_eq(size_format(bytes, out), good[i].formatted);
    }
    static const char *const bad[] = {"", "K", "B", "KB", "1KK", "1T", "1 K", "-1", "1.5M", "1BK", "1KBB",
                                      "9223372036854775808", "9007199254740992K",
                                      "8589934592G", "99999999999999999999999", "0x10", "1BB"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t bytes;
        cr_assert_not(size_parse(str_of(bad[i]), &bytes), "%s", bad[i]);
    }
}

Test(clock, real_one_goes_on)
{
    struct clock c = {0};
    clock_real(&c);
    uint64_t mono = c.mono_ms;
    cr_assert_gt(c.wall_ms, 1700000000000u);
    for (int i = 0; i < 1000; i++) {
        c.read(&c);
        cr_assert_geq(c.mono_ms, mono);
        mono = c.mono_ms;
    }
}
