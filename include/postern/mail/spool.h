/*
 * spool.h - a place to hold one message's content until the verdict: memory first, then an unlinked file. Content is in wire form
 * (dots stuffed, CRLF), so that it can go on as it is. A seam: `struct spool_ops` is replaced to fail writes in tests.
 */
#ifndef POSTERN_MAIL_SPOOL_H
#define POSTERN_MAIL_SPOOL_H

#include "postern/base/str.h"

struct spool_ops { /* system calls of the file part; NULL members mean the real ones */
    int (*open)(const char *directory);                              /* an unlinked file, O_TMPFILE or mkstemp+unlink; -1 with errno */
    long (*write)(int fd, const void *bytes, size_t n, uint64_t at); /* pwrite */
    long (*read)(int fd, void *bytes, size_t n, uint64_t at);        /* pread */
};
extern struct spool_ops spool_ops;

struct spool { /* {0} with the two settings is ready; holds no memory until something is put */
    size_t memory_max;
    const char *directory; /* borrowed */
    struct buf memory;     /* the first octets */
    int fd_plus_1;
    uint64_t size;         /* octets in all */
    int error;             /* errno of the first failure; from then on puts are counted no more and dropped */
};

bool spool_put(struct spool *s, struct str bytes); /* false: s->error */
/* Up to `max` octets at offset `at`: a view of memory, or of *scratch into which they were read. Empty slice at the end; p NULL on failure. */
struct str spool_read(struct spool *s, uint64_t at, size_t max, struct buf *scratch);
void spool_clear(struct spool *s); /* forgets the content, gives memory and file back; settings stay */

#endif
