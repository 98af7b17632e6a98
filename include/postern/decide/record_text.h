/*
 * record_text.h - a record of the journal in words, for people: who came, what was known at each stage, what each rule saw, what was said to the
 * client and how it ended. It reads the line alone: policy, store and network of that day need not be there any more.
 */
#ifndef POSTERN_DECIDE_RECORD_TEXT_H
#define POSTERN_DECIDE_RECORD_TEXT_H

#include "postern/base/arena.h"
#include "postern/base/str.h"

/*
 * Does this line record the transaction, or belong to the session, of this id? It is the id as a client sees it in "[Y6TYDSPVE3.1]" behind a refusal,
 * without the brackets; case does not matter. A line that is no record belongs to none.
 */
bool record_has_id(struct str line, struct str id, struct arena *arena);
/* No foreign byte comes out as it came. False: it is no record, *why (in the arena) says what is wrong; `out` may hold some lines then. */
bool record_text(struct str line, struct arena *arena, struct buf *out, struct str *why);

#endif
