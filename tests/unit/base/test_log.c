/* Log lines: their form, levels, and whole lines on stderr. Counters beside them. */
#include "postern/base/counters.h"
#include "postern/base/log.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct caught {
    struct buf text;
    enum log_level level;
    int lines;
};

static void catch_line(void *context, enum log_level level, struct str line)
{
    struct caught *c = context;
    buf_clear(&c->text);
    buf_str(&c->text, line);
    c->level = level;
    c->lines++;
}

static void check_value(struct str value, const char *expected)
{
    struct caught c = {0};
    struct log_line l;
    log_set_sink(catch_line, &c);
    log_begin(&l, LOG_INFO_, "e");
    log_str(&l, "k", value);
    log_end(&l);
    cr_assert_eq(c.lines, 1);
    cr_assert(str_starts(buf_view(&c.text), STR("e k=")));
    struct str got = str_sub(buf_view(&c.text), 4, c.text.n);
    cr_assert(str_eq(got, str_of(expected)), "%.*s", STR_ARG(got));
    cr_assert(ascii_printable(got));
    buf_free(&c.text);
    log_set_sink(NULL, NULL);
}

Test(log, values)
{
    check_value(STR("plain-1.2:3/4"), "plain-1.2:3/4");
    check_value(STR(""), "\"\"");
    check_value(STR_NONE, "\"\"");
    check_value(STR("two words"), "\"two words\"");
    check_value(STR("a=b"), "\"a=b\"");
    check_value(STR("say \"hi\""), "\"say \\\"hi\\\"\"");
    check_value(STR("\""), "\"\\\"\"");
    check_value(STR("back\\slash"), "\"back\\\\slash\"");
    check_value(STR("\\\""), "\"\\\\\\\"\"");
    check_value(STR("x\r\ny\0z"), "\"x\\r\\ny\\x00z\"");
    check_value(STR("\x1b[2J\xc3\xa4\x7f"), "\"\\x1b[2J\\xc3\\xa4\\x7f\"");
    for (int c = 0; c < 256; c++) {
        char byte = (char)c, expected[16];
        if (c > 0x20 && c < 0x7f && c != '"' && c != '=' && c != '\\')
            snprintf(expected, sizeof expected, "%c", c);
        else if (c == '"' || c == '\\')
            snprintf(expected, sizeof expected, "\"\\%c\"", c);
        else if (c == ' ' || c == '=')
            snprintf(expected, sizeof expected, "\"%c\"", c);
        else if (c == '\n' || c == '\r' || c == '\t')
            snprintf(expected, sizeof expected, "\"\\%c\"", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else
            snprintf(expected, sizeof expected, "\"\\x%02x\"", c);
        check_value((struct str){&byte, 1}, expected);
    }
}

Test(log, very_long_values_are_cut)
{
    char value[10000];
    struct caught c = {0};
    struct log_line l;
    memset(value, 'v', sizeof value);
    log_set_sink(catch_line, &c);
    log_begin(&l, LOG_INFO_, "e");
    log_str(&l, "k", (struct str){value, sizeof value});
    log_u64(&l, "after", 1);
    log_end(&l);
    cr_assert_lt(c.text.n, 4200);
    cr_assert(str_ends_nocase(buf_view(&c.text), STR("v... after=1")));
    buf_free(&c.text);
}

Test(log, a_whole_line)
{
    struct caught c = {0};
    struct log_line l;
    struct addr a = {.family = 4, .b = {203, 0, 113, 9}};
    log_set_sink(catch_line, &c);
    log_begin(&l, LOG_WARN_, "refused");
    log_addr(&l, "client", &a);
    log_u64(&l, "size", UINT64_MAX);
    log_i64(&l, "score", -4);
    log_cstr(&l, "reply", "550 5.7.1 no");
    log_cstr(&l, "none", NULL);
    log_end(&l);
    cr_assert_eq(c.level, LOG_WARN_);
    cr_assert(str_eq(buf_view(&c.text), STR("refused client=203.0.113.9 size=18446744073709551615 score=-4 reply=\"550 5.7.1 no\" none=\"\"")),
              "%.*s", STR_ARG(buf_view(&c.text)));
    log_note(LOG_INFO_, "started", "listening on %s", "0.0.0.0:25");
    cr_assert(str_eq(buf_view(&c.text), STR("started note=\"listening on 0.0.0.0:25\"")), "%.*s", STR_ARG(buf_view(&c.text)));
    buf_free(&c.text);
}

Test(log, levels)
{
    struct caught c = {0};
    log_set_sink(catch_line, &c);
    for (int lowest = LOG_DEBUG_; lowest <= LOG_ERROR_; lowest++) {
        log_set_level((enum log_level)lowest);
        for (int level = LOG_DEBUG_; level <= LOG_ERROR_; level++) {
            int before = c.lines;
            struct log_line l;
            log_begin(&l, (enum log_level)level, "e");
            log_cstr(&l, "k", "v");
            cr_assert_eq(l.wanted, level >= lowest);
            cr_assert(l.wanted || l.text.cap == 0, "an unwanted line costs no memory");
            log_end(&l);
            log_note((enum log_level)level, "e", "x");
            cr_assert_eq(c.lines - before, level >= lowest ? 2 : 0);
        }
    }
    buf_free(&c.text);
}

/* stderr becomes a pipe or a file for the time of a test; the old one comes back. */
static int swap_stderr(int fd)
{
    int old = dup(STDERR_FILENO);
    cr_assert(old >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    return old;
}

static void restore_stderr(int old)
{
    dup2(old, STDERR_FILENO);
    close(old);
}

Test(log, stderr_gets_whole_lines_at_flush)
{
    int ends[2];
    char text[4096];
    uint64_t wall = 1795292100123u;
    cr_assert_eq(pipe2(ends, O_NONBLOCK), 0);
    int old = swap_stderr(ends[1]);
    log_set_clock(&wall);
    log_note(LOG_INFO_, "one", "x");
    log_note(LOG_WARN_, "two", "y");
    ssize_t before_flush = read(ends[0], text, sizeof text);
    log_flush();
    ssize_t n = read(ends[0], text, sizeof text);
    wall += 1000;
    log_note(LOG_ERROR_, "three", "z");
    ssize_t more = read(ends[0], text + n, sizeof text - (size_t)n);
    restore_stderr(old);
    cr_assert_eq(before_flush, -1, "nothing is written before the flush");
    cr_assert(more > 0, "an error is written at once");
    text[n + more] = '\0';
    cr_assert_str_eq(text, "2026-11-21T20:15:00.123Z info one note=x\n"
                           "2026-11-21T20:15:00.123Z warn two note=y\n"
                           "2026-11-21T20:15:01.123Z error three note=z\n");
    close(ends[0]);
    close(ends[1]);
}

Test(log, a_fork_does_not_double_lines)
{
    FILE *f = tmpfile();
    char text[1000];
    int old = swap_stderr(fileno(f));
    log_note(LOG_INFO_, "parent", "x");
    pid_t child = fork();
    if (child == 0) {
        log_note(LOG_INFO_, "child", "y");
        log_flush();
        _exit(0);
    }
    waitpid(child, NULL, 0);
    log_flush();
    restore_stderr(old);
    rewind(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    char *first = strstr(text, "parent");
    cr_assert(first && !strstr(first + 1, "parent"), "%s", text);
    cr_assert_not_null(strstr(text, "child"));
    fclose(f);
}

/* Nobody reads: lines are held to a bound, then dropped and counted; what comes out later is whole lines. */
Test(log, a_full_pipe_neither_blocks_nor_grows_nor_cuts)
{
    int ends[2];
    cr_assert_eq(pipe2(ends, O_NONBLOCK), 0);
    int old = swap_stderr(ends[1]);
    char filler[1001];
    memset(filler, 'f', 1000);
    filler[1000] = '\0';
    for (int i = 0; i < 1300; i++) {
        struct log_line l;
        log_begin(&l, LOG_INFO_, "line");
        log_cstr(&l, "text", filler);
        log_end(&l);
    }
    struct buf got = {0};
    bool told = false;
    for (int i = 0; i < 200; i++) {
        ssize_t n = read(ends[0], buf_room(&got, 65536), 65536);
        if (n > 0)
            got.n += (size_t)n;
        if (n <= 0 && told)
            break;
        if (n <= 0) {
            log_note(LOG_INFO_, "last", "x");
            told = true;
        }
        log_flush();
    }
    restore_stderr(old);
    struct str rest = buf_view(&got), line;
    size_t lines = 0, drops = 0;
    while (str_split(&rest, '\n', &line) && rest.p) {
        bool filled = str_find(line, ' ', 0) == 24 && line.n > 1000 && memcmp(line.p + line.n - 1000, filler, 1000) == 0;
        bool dropped_here = memmem(line.p, line.n, "log-lines-dropped count=", 24) != NULL;
        cr_assert(filled || dropped_here || str_ends_nocase(line, STR(" last note=x")), "%.*s", STR_ARG(line));
        drops += dropped_here;
        lines++;
    }
    cr_assert_eq(line.n, 0, "the last line is whole");
    cr_assert(lines > 900 && lines < 1300, "%zu", lines);
    cr_assert_eq(drops, 1);
    buf_free(&got);
    close(ends[0]);
    close(ends[1]);
}

Test(counters, count_and_have_names)
{
    uint64_t other[COUNTER_COUNT] = {0};
    count(COUNTER_LOOPS);
    count(COUNTER_LOOPS);
    cr_assert_eq(counters[COUNTER_LOOPS], 2);
    cr_assert_eq(counters[COUNTER_CONNECTIONS], 0);
    counters = other;
    count(COUNTER_CONNECTIONS);
    cr_assert_eq(other[COUNTER_CONNECTIONS], 1);
    cr_assert_str_eq(counter_names[COUNTER_BACKEND_UNCLEAR], "backend-unclear");
    for (int i = 0; i < COUNTER_COUNT; i++) {
        cr_assert_gt(strlen(counter_help[i]), 10);
        for (int k = 0; k < i; k++)
            cr_assert_str_neq(counter_names[i], counter_names[k]);
    }
}
