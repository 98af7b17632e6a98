/*
 * config.h - the configuration file into struct settings: one short file, one table behind it (base/settings.def).
 *
 *     hostname mx.example.org
 *     domains  example.org, example.net
 *     listen   *:25
 *     backend  127.0.0.1:10025
 *
 * One setting a line; lists by commas or by repeating the line; every complaint at once, with place, caret and "did you mean".
 */
#ifndef POSTERN_OPS_CONFIG_H
#define POSTERN_OPS_CONFIG_H

#include "postern/base/settings.h"
#include "postern/base/source.h"

/* Reads and validates. True: *out is complete (defaults filled in). Relative paths are as seen from the configuration file. Warnings may be in
 * diags also on success. `out` is to be cleared with settings_clear() in either case. */
bool config_load(const char *path, struct source_reader *reader, struct settings *out, struct diags *diags);
/* Settings given as text ("NAME VALUE"), as `set` of transcripts does it: a single one is replaced, to a list is added. Relative paths are as
 * seen from line->name. */
bool config_set(struct settings *s, struct source_reader *reader, const struct source *line, struct diags *diags);
/* Is what is set complete (hostname, domains, listen, backend, policy)? Complains at file's first line. */
bool config_complete(const struct settings *s, const struct source *file, struct diags *diags);
/* Appends the names of the settings in which the two differ, with ", " between; false: there are none. How a list is laid out makes no difference;
 * the order of its items does. */
bool config_differences(const struct settings *a, const struct settings *b, struct buf *names);
/* Advice on what is legal but unwise (check): no resolver and a public one in resolv.conf, journal in a directory that does not exist ... */
void config_advise(const struct settings *s, struct diags *diags);
/* The reference of all settings: text for terminals, Markdown for the README. */
void config_reference(struct buf *out, bool markdown);
/* The same as the body of a manual page (roff). */
void config_reference_roff(struct buf *out);

#endif
