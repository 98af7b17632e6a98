/*
 * codec_time.c - times, durations and sizes as text.
 *
 * Times are computed here rather than by gmtime(3) and strptime(3), which read the locale and the TZ database. Days are counted
 * in the proleptic Gregorian calendar, without leap seconds, as Unix time does.
 */
#include "postern/base/codec.h"

#include <stdio.h>
#include <string.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR, WEEK = 7 * DAY };

static const uint64_t TIME_MAX = 253402300799999u;       /* 9999-12-31T23:59:59.999Z: a year has four digits */
static const uint64_t DURATION_MAX = 1000000000000000u;  /* 31,000 years: adding one to a time never overflows */

struct civil {
    unsigned year, month, day, hour, minute, second, ms, weekday; /* month and day from 1, weekday 0 is Sunday */
};

/* Years run from March here, so that the leap day is a year's last; an era is 400 years, 146097 days. */
static void civil_from_ms(uint64_t ms, struct civil *c)
{
    if (ms > TIME_MAX)
        ms = TIME_MAX;
    unsigned days = (unsigned)(ms / DAY), in_day = (unsigned)(ms % DAY);
    unsigned shifted = days + 719468; /* days from 0000-03-01 to 1970-01-01 */
    unsigned era = shifted / 146097, in_era = shifted % 146097;
    unsigned year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    unsigned in_year = in_era - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * in_year + 2) / 153; /* 0 is March */
    c->day = in_year - (153 * month + 2) / 5 + 1;
    c->month = month < 10 ? month + 3 : month - 9;
    c->year = year + era * 400 + (c->month <= 2);
    c->hour = in_day / HOUR;
    c->minute = in_day % HOUR / MINUTE;
    c->second = in_day % MINUTE / SECOND;
    c->ms = in_day % SECOND;
    c->weekday = (days + 4) % 7; /* 1970-01-01 was a Thursday */
}

static int64_t days_from_civil(unsigned year, unsigned month, unsigned day)
{
    unsigned y = month <= 2 ? year - 1 : year; /* year >= 1, see the caller */
    unsigned era = y / 400, in_era = y % 400;
    unsigned in_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return (int64_t)era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap ? 1u : 0u);
}

const char *time_rfc3339(uint64_t ms, char out[RFC3339_TEXT])
{
    struct civil c;
    civil_from_ms(ms, &c);
    snprintf(out, RFC3339_TEXT, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", c.year % 10000, c.month % 100, c.day % 100, c.hour % 100,
             c.minute % 100, c.second % 100, c.ms % 1000);
    return out;
}

const char *time_rfc5322(uint64_t ms, char out[RFC5322_DATE_TEXT])
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct civil c;
    civil_from_ms(ms, &c);
    snprintf(out, RFC5322_DATE_TEXT, "%s, %02u %s %04u %02u:%02u:%02u +0000", days[c.weekday], c.day % 100, months[c.month - 1],
             c.year % 10000, c.hour % 100, c.minute % 100, c.second % 100);
    return out;
}

/* Takes n digits from the front of *s. */
static bool take_number(struct str *s, size_t n, unsigned *out)
{
    uint64_t v;
    if (s->n < n || !str_to_u64(str_sub(*s, 0, n), 9999, &v))
        return false;
    *s = str_sub(*s, n, s->n);
    *out = (unsigned)v;
    return true;
}

static bool take_char(struct str *s, char lower)
{
    if (s->n == 0 || ascii_lower(s->p[0]) != lower)
        return false;
    *s = str_sub(*s, 1, s->n);
    return true;
}

static bool take_civil(struct str *s, struct civil *c)
{
    return take_number(s, 4, &c->year) && take_char(s, '-') && take_number(s, 2, &c->month) && take_char(s, '-') &&
           take_number(s, 2, &c->day) && take_char(s, 't') && take_number(s, 2, &c->hour) && take_char(s, ':') &&
           take_number(s, 2, &c->minute) && take_char(s, ':') && take_number(s, 2, &c->second);
}

/* ".123": further digits are read and dropped. */
static bool take_fraction(struct str *s, unsigned *ms)
{
    unsigned unit = 100;
    *ms = 0;
    if (!take_char(s, '.'))
        return true;
    if (s->n == 0 || s->p[0] < '0' || s->p[0] > '9')
        return false;
    while (s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9') {
        *ms += (unsigned)(s->p[0] - '0') * unit;
        unit /= 10;
        *s = str_sub(*s, 1, s->n);
    }
    return true;
}

/* "Z" or "+01:00"; minutes east of UTC. */
static bool take_offset(struct str *s, int *minutes)
{
    unsigned hour, minute;
    *minutes = 0;
    if (take_char(s, 'z'))
        return true;
    bool east = take_char(s, '+');
    if (!east && !take_char(s, '-'))
        return false;
    if (!take_number(s, 2, &hour) || !take_char(s, ':') || !take_number(s, 2, &minute) || hour > 23 || minute > 59)
        return false;
    *minutes = (int)(hour * 60 + minute) * (east ? 1 : -1);
    return true;
}

bool time_parse_rfc3339(struct str s, uint64_t *ms)
{
    struct civil c;
    int offset;
    if (!take_civil(&s, &c) || !take_fraction(&s, &c.ms) || !take_offset(&s, &offset) || s.n > 0)
        return false;
    if (c.year < 1 || c.month < 1 || c.month > 12 || c.day < 1 || c.day > days_in_month(c.year, c.month))
        return false;
    if (c.hour > 23 || c.minute > 59 || c.second > 60) /* RFC 3339 section 5.6: 60 in a leap second */
        return false;
    int64_t t = days_from_civil(c.year, c.month, c.day) * DAY + (int64_t)c.hour * HOUR + ((int64_t)c.minute - offset) * MINUTE +
                (int64_t)c.second * SECOND + c.ms;
    if (t < 0 || (uint64_t)t > TIME_MAX)
        return false;
    *ms = (uint64_t)t;
    return true;
}

/* ---- durations ---- */

static const struct {
    char name[3];
    uint64_t ms;
} UNITS[] = {{"w", WEEK}, {"d", DAY}, {"h", HOUR}, {"m", MINUTE}, {"s", SECOND}, {"ms", 1}};
enum { UNIT_COUNT = sizeof UNITS / sizeof UNITS[0] };

static size_t run_of_digits(struct str s)
{
    size_t n = 0;
    while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
        n++;
    return n;
}

bool duration_parse(struct str s, uint64_t *ms)
{
    uint64_t sum = 0;
    size_t next_unit = 0; /* units come from large to small, each once */
    if (str_eq(s, STR("0"))) {
        *ms = 0;
        return true;
    }
    if (s.n == 0)
        return false;
    while (s.n > 0) {
        uint64_t v;
        size_t digits = run_of_digits(s), end = digits, unit = next_unit;
        while (end < s.n && (s.p[end] < '0' || s.p[end] > '9'))
            end++;
        struct str name = str_sub(s, digits, end);
        while (unit < UNIT_COUNT && !str_eq_nocase(name, str_of(UNITS[unit].name)))
            unit++;
        if (unit == UNIT_COUNT || !str_to_u64(str_sub(s, 0, digits), DURATION_MAX / UNITS[unit].ms, &v))
            return false;
        sum += v * UNITS[unit].ms;
        next_unit = unit + 1;
        s = str_sub(s, end, s.n);
    }
    if (sum > DURATION_MAX)
        return false;
    *ms = sum;
    return true;
}

/* Weeks only when they come out even: 30d reads better than 4w2d. */
const char *duration_format(uint64_t ms, char out[32])
{
    size_t at = 0;
    if (ms == 0)
        snprintf(out, 32, "0s");
    for (size_t i = 0; i < UNIT_COUNT && ms > 0; i++) {
        uint64_t n = ms / UNITS[i].ms;
        if (n == 0 || (UNITS[i].ms == WEEK && ms % WEEK != 0))
            continue;
        at += (size_t)snprintf(out + at, 32 - at, "%llu%s", (unsigned long long)n, UNITS[i].name);
        ms -= n * UNITS[i].ms;
    }
    return out;
}

/* ---- sizes ---- */

static const char SIZE_UNITS[] = "kmg"; /* 1024 to the power of place + 1 */

bool size_parse(struct str s, uint64_t *bytes)
{
    uint64_t v;
    unsigned shift = 0;
    size_t digits = run_of_digits(s);
    struct str unit = str_sub(s, digits, s.n);
    if (unit.n > 0 && ascii_lower(unit.p[unit.n - 1]) == 'b')
        unit.n--;
    if (unit.n > 1)
        return false;
    if (unit.n == 1) {
        const char *place = memchr(SIZE_UNITS, ascii_lower(unit.p[0]), 3);
        if (!place)
            return false;
        shift = 10 * (unsigned)(place - SIZE_UNITS + 1);
    }
    if (!str_to_u64(str_sub(s, 0, digits), (uint64_t)INT64_MAX >> shift, &v))
        return false;
    *bytes = v << shift;
    return true;
}

const char *size_format(uint64_t bytes, char out[32])
{
    static const char *const names[] = {"", "K", "M", "G"};
    size_t i = 0;
    while (bytes > 0 && i < 3 && bytes % 1024 == 0) {
        bytes /= 1024;
        i++;
    }
    snprintf(out, 32, "%llu%s", (unsigned long long)bytes, names[i]);
    return out;
}
