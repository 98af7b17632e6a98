/*
 * journal.h - one JSON line a transaction, appended to a file: lines are gathered and written whole in one O_APPEND write (every 100 ms, at 64 KB,
 * and at the end). Loss window on a crash: 100 ms. Reopened on HUP for log rotation. A failure is counted and logged, and costs no mail.
 */
#ifndef POSTERN_OPS_JOURNAL_H
#define POSTERN_OPS_JOURNAL_H

#include "postern/base/str.h"
#include "postern/net/loop.h"

struct journal;
struct journal *journal_open(struct loop *l, const char *path, char **error); /* NULL with *error (heap text) */
void journal_write(struct journal *j, struct str line);                       /* one whole line with \n; copied */
void journal_flush(struct journal *j);
void journal_reopen(struct journal *j);
void journal_close(struct journal **j);

#endif
