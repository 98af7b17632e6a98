/* The journal in virtual time, on real files. */
#include "postern/ops/journal.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postern/base/counters.h"
#include "postern/base/log.h"

static char directory[64], path[96];
static struct buf log_text;

static void keep_log(void *context, enum log_level level, struct str line)
{
    (void)level;
    buf_str(context, line);
    buf_char(context, '\n');
}

static void set_up(void)
{
    strcpy(directory, "/tmp/postern-journal-XXXXXX");
    cr_assert(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/journal", directory);
    log_set_sink(keep_log, &log_text);
}

static void tear_down(void)
{
    unlink(path);
    rmdir(directory);
    buf_free(&log_text);
    log_set_sink(NULL, NULL);
}

static char *contents(const char *of)
{
    struct buf out = {0};
    char bytes[4096];
    ssize_t n;
    int fd = open(of, O_RDONLY);
    while (fd >= 0 && (n = read(fd, bytes, sizeof bytes)) > 0)
        buf_put(&out, bytes, (size_t)n);
    if (fd >= 0)
        close(fd);
    return buf_steal(&out);
}

#define EXPECT_CONTENTS(of, text) do { char *is = contents(of); cr_expect_str_eq(is, text); free(is); } while (0)

TestSuite(journal, .init = set_up, .fini = tear_down);

Test(journal, lines_come_together_after_100_ms)
{
    struct loop *l = loop_new_simulated(0);
    char *error = NULL;
    struct journal *j = journal_open(l, path, &error);
    struct stat st;
    cr_assert(j);
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_mode & 0777 & ~0640, 0);
    journal_write(j, STR("{\"a\":1}\n"));
    loop_advance_to(l, loop_now(l) + 50);
    journal_write(j, STR("{\"b\":2}\n"));
    loop_advance_to(l, loop_now(l) + 49);
    EXPECT_CONTENTS(path, "");
    loop_advance_to(l, loop_now(l) + 2);
    EXPECT_CONTENTS(path, "{\"a\":1}\n{\"b\":2}\n");
    journal_write(j, STR("{\"c\":3}\n"));
    journal_close(&j);
    EXPECT_CONTENTS(path, "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n");
    cr_expect_null(j);
    cr_expect_eq(counters[COUNTER_JOURNAL_RECORDS], 3);
    loop_free(&l);
}

Test(journal, much_is_written_at_once)
{
    struct loop *l = loop_new_simulated(0);
    char *error = NULL, line[1001];
    struct journal *j = journal_open(l, path, &error);
    memset(line, 'x', 999);
    strcpy(line + 999, "\n");
    for (int i = 0; i < 66; i++)
        journal_write(j, str_of(line));
    struct stat st;
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_size, 66000);
    journal_close(&j);
    loop_free(&l);
}

Test(journal, reopened_after_rotation)
{
    struct loop *l = loop_new_simulated(0);
    char *error = NULL, old[128];
    struct journal *j = journal_open(l, path, &error);
    snprintf(old, sizeof old, "%s.1", path);
    journal_write(j, STR("one\n"));
    cr_assert_eq(rename(path, old), 0);
    journal_reopen(j);
    journal_write(j, STR("two\n"));
    journal_close(&j);
    EXPECT_CONTENTS(old, "one\n");
    EXPECT_CONTENTS(path, "two\n");
    unlink(old);
    loop_free(&l);
}

Test(journal, appends_to_what_is_there)
{
    struct loop *l = loop_new_simulated(0);
    char *error = NULL;
    for (int i = 0; i < 2; i++) {
        struct journal *j = journal_open(l, path, &error);
        journal_write(j, STR("line\n"));
        journal_close(&j);
    }
    EXPECT_CONTENTS(path, "line\nline\n");
    loop_free(&l);
}

Test(journal, a_path_that_cannot_be_opened)
{
    struct loop *l = loop_new_simulated(0);
    char *error = NULL;
    cr_expect_null(journal_open(l, "/nonexistent/journal", &error));
    cr_expect_str_eq(error, "cannot open the journal /nonexistent/journal: No such file or directory");
    free(error);
    loop_free(&l);
}

static size_t log_lines(void)
{
    size_t n = 0;
    for (size_t i = 0; i < log_text.n; i++)
        n += log_text.p[i] == '\n';
    return n;
}

Test(journal, a_full_disk_is_counted_and_said_once_a_minute)
{
    struct loop *l = loop_new_simulated(0);
    char *error = NULL, line[1001];
    struct journal *j = journal_open(l, "/dev/full", &error);
    memset(line, 'x', 999);
    strcpy(line + 999, "\n");
    for (int i = 0; i < 2000; i++)
        journal_write(j, str_of(line));
    loop_advance_to(l, loop_now(l) + 50000);
    cr_expect_eq(log_lines(), 1);
    cr_expect_eq(counters[COUNTER_JOURNAL_ERRORS], 2000 - 1048576 / 1000);
    loop_advance_to(l, loop_now(l) + 11000);
    cr_expect_eq(log_lines(), 2);
    journal_close(&j);
    cr_expect_eq(counters[COUNTER_JOURNAL_ERRORS], 2000);
    cr_expect_eq(counters[COUNTER_JOURNAL_RECORDS], 0);
    cr_expect(memmem(log_text.p, log_text.n, "No space left on device", 23));
    loop_free(&l);
}

/* A record of thousands of recipients behind one that waits: neither is lost. */
Test(journal, a_line_longer_than_what_may_wait)
{
    enum { LONG = 3 << 20 };
    struct loop *l = loop_new_simulated(0);
    char *error = NULL;
    struct journal *j = journal_open(l, path, &error);
    struct buf line = {0};
    memset(buf_room(&line, LONG), 'x', LONG);
    line.n = LONG;
    buf_char(&line, '\n');
    journal_write(j, STR("first\n"));
    journal_write(j, buf_view(&line));
    journal_write(j, STR("last\n"));
    journal_close(&j);
    char *all = contents(path);
    cr_expect_eq(strlen(all), 6 + LONG + 1 + 5);
    cr_expect(str_starts(str_of(all), STR("first\nxxx")));
    cr_expect_eq(counters[COUNTER_JOURNAL_RECORDS], 3);
    cr_expect_eq(counters[COUNTER_JOURNAL_ERRORS], 0);
    free(all);
    buf_free(&line);
    loop_free(&l);
}

/* A pipe takes 64 KB: the rest of a line that was begun comes exactly where it was cut when there is room again. */
Test(journal, what_a_slow_reader_leaves_comes_later)
{
    cr_assert_eq(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    struct loop *l = loop_new_simulated(0);
    char *error = NULL;
    struct journal *j = journal_open(l, path, &error);
    struct buf written = {0}, read_back = {0};
    for (int i = 0; i < 30000; i++) {
        size_t at = written.n;
        buf_printf(&written, "line %d\n", i);
        journal_write(j, str_sub(buf_view(&written), at, written.n));
    }
    for (int i = 0; i < 20; i++) {
        char bytes[65536];
        ssize_t n;
        while ((n = read(reader, bytes, sizeof bytes)) > 0)
            buf_put(&read_back, bytes, (size_t)n);
        loop_advance_to(l, loop_now(l) + 1000);
    }
    cr_expect(str_eq(buf_view(&written), buf_view(&read_back)), "%zu of %zu", read_back.n, written.n);
    cr_expect_eq(counters[COUNTER_JOURNAL_RECORDS], 30000);
    journal_close(&j);
    close(reader);
    buf_free(&written);
    buf_free(&read_back);
    loop_free(&l);
}
