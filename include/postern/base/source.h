/*
 * source.h - text of a file that a person wrote, and complaints about it that show the place.
 *
 *     default.policy:12:30: error: unknown fact 'dnsbl.zem'
 *       rule zen-sbl: score 8 when dnsbl.zem in 127.0.0.2
 *                                  ^~~~~~~~~
 *     did you mean 'dnsbl.zen'?
 *
 * The source line is shown without its indentation; columns count characters. When all are kept, an error takes a milder one's place.
 * Keys and passwords are shown as ***. Used by configuration, policies, transcripts and cases alike. At most DIAG_MAX complaints are kept; the rest are counted.
 */
#ifndef POSTERN_BASE_SOURCE_H
#define POSTERN_BASE_SOURCE_H

#include "postern/base/arena.h"
#include "postern/base/str.h"

struct source { /* owned by the sources list of the diagnostics or by who read it */
    char *name;        /* as shown in messages */
    char *text;        /* NUL-terminated */
    size_t n;
};

/* Where something stands: a slice of a source's text. */
struct span {
    const struct source *source;
    size_t at; /* byte offset */
    size_t n;  /* bytes, at least 1 for the caret */
};

/* Reads files: the seam by which tests and includes give text without a file system. NULL on failure with *error set (static text
 * or strerror). The result is heap memory, freed with source_free(). */
struct source_reader {
    struct source *(*read)(struct source_reader *r, const char *path, const char **error);
};
extern struct source_reader source_files; /* the file system; refuses files over 64 MB, non-files and NUL bytes */
/* Would opening the file to read it hold us up, as a FIFO without a writer does? For libraries that open files by themselves. */
bool source_would_block(const char *path);
struct source *source_new(const char *name, struct str text);
void source_free(struct source **s);
/* The path `relative` as seen from the file `from` (absolute paths stay); heap string. */
char *source_path(const char *from, const char *relative);

enum severity { DIAG_ERROR, DIAG_WARNING, DIAG_ADVICE };
enum { DIAG_MAX = 20 };

struct diag {
    enum severity severity;
    char *text;   /* "file:line:col: error: ...", source line, caret line, hint; lines end with \n */
    char *message; /* the first line's message alone */
    unsigned line, column; /* 1-based, 0 when there is no place */
};

struct diags { /* {0} is empty */
    struct diag list[DIAG_MAX];
    size_t count;   /* kept */
    size_t errors;  /* all, also those not kept */
    size_t warnings;
};

/* One more complaint. hint may be NULL ("did you mean ...", "write ... instead"). */
void diag_add(struct diags *d, enum severity severity, struct span where, const char *hint, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void diag_clear(struct diags *d);
void diag_print(const struct diags *d, struct buf *out); /* all, then "N more errors" where some were not kept */
/* Puts '*' in place of the keys and passwords of a line that a person wrote (lines joined by a backslash are one), of the users in URLs. */
void secret_hide(char *line, size_t n);
void secret_hide_users(char *text, size_t n);
void span_position(struct span where, unsigned *line, unsigned *column);
struct str span_text(struct span where);

#endif
