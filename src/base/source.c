/*
 * source.c - reading the files that people write, and where in them something stands.
 */
#include "postern/base/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SOURCE_MAX = 64 * 1024 * 1024 };

struct source *source_new(const char *name, struct str text)
{
    struct source *s = xmalloc(sizeof *s);
    s->name = xstrndup(name, strlen(name));
    s->text = xstrndup(text.p, text.n);
    s->n = text.n;
    return s;
}

void source_free(struct source **s)
{
    if (!*s)
        return;
    free((*s)->name);
    free((*s)->text);
    free(*s);
    *s = NULL;
}

/* Reads to the end; the file may grow while it is read, but not past the limit. */
static const char *read_all(int fd, struct buf *out)
{
    for (;;) {
        char *to = buf_room(out, 16384);
        ssize_t n = read(fd, to, out->cap - out->n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return strerrordesc_np(errno);
        if (n == 0)
            return NULL;
        out->n += (size_t)n;
        if (out->n > SOURCE_MAX)
            return "larger than 64 MB";
    }
}

bool source_would_block(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

static const char *read_fd(int fd, struct buf *out)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return strerrordesc_np(errno);
    if (S_ISDIR(st.st_mode))
        return "is a directory";
    if (!S_ISREG(st.st_mode))
        return "not a regular file";
    if (st.st_size > SOURCE_MAX)
        return "larger than 64 MB";
    const char *error = read_all(fd, out);
    if (error)
        return error;
    return out->n > 0 && memchr(out->p, '\0', out->n) ? "has a NUL byte; not a text file" : NULL;
}

static struct source *read_file(struct source_reader *r, const char *path, const char **error)
{
    (void)r;
    struct buf text = {0};
    struct source *s = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* O_NONBLOCK: a FIFO must not hold us */
    if (fd < 0) {
        *error = strerrordesc_np(errno);
        return NULL;
    }
    *error = read_fd(fd, &text);
    if (!*error)
        s = source_new(path, buf_view(&text));
    buf_free(&text);
    close(fd);
    return s;
}

struct source_reader source_files = {read_file};

char *source_path(const char *from, const char *relative)
{
    const char *slash = from ? strrchr(from, '/') : NULL;
    struct buf path = {0};
    if (relative[0] != '/' && slash)
        buf_put(&path, from, (size_t)(slash - from) + 1);
    buf_cstr(&path, relative);
    return buf_steal(&path);
}

/* A column counts characters: the bytes that continue a UTF-8 sequence do not count. */
void span_position(struct span where, unsigned *line, unsigned *column)
{
    *line = *column = 0;
    if (!where.source)
        return;
    *line = *column = 1;
    size_t end = where.at < where.source->n ? where.at : where.source->n;
    for (size_t i = 0; i < end; i++) {
        if (where.source->text[i] == '\n') {
            ++*line;
            *column = 1;
        } else if (((unsigned char)where.source->text[i] & 0xc0) != 0x80) {
            ++*column;
        }
    }
}

struct str span_text(struct span where)
{
    if (!where.source)
        return STR_NONE;
    struct str all = {where.source->text, where.source->n};
    size_t n = all.n - (where.at < all.n ? where.at : all.n);
    return str_sub(all, where.at, where.at + (where.n < n ? where.n : n));
}
