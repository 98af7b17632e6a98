/*
 * data.h - data transparency (RFC 5321 4.5.2): the octets after DATA's 354, to the content of a message and back.
 *
 * Reader: only CRLF.CRLF ends (5321 4.1.1.4; smuggling). Every call gives content pieces as *wire* slices: content is kept in wire form
 * (dots still stuffed, CRLF line ends), so that it can go on to a backend unchanged; `data_unstuff` gives the octets of the message.
 * Bare CR and bare LF become CRLF in what comes out (a line so begun that starts with a dot is stuffed as needed: nothing that comes out can
 * end a message for a backend of any leniency) and are counted; NUL is counted. The state machine does not depend on how the bytes are cut.
 */
#ifndef POSTERN_SMTP_DATA_H
#define POSTERN_SMTP_DATA_H

#include "postern/base/str.h"

struct data_reader { /* {0} is the state after DATA's CRLF */
    uint8_t state;
    uint64_t size;        /* octets of the message so far: after normalising, dots unstuffed */
    uint64_t bare_cr, bare_lf, nul; /* counts */
    uint64_t longest_line; /* octets without line end */
    uint64_t line;        /* octets of the present line */
};

enum data_result { DATA_MORE, DATA_END };

/*
 * Eats *in until its end or the end of the data. Appends the content in wire form to `out` (which may be NULL: count and discard).
 * DATA_END: the line with the dot alone was eaten and not put out; *in is what follows it. At the end `out` always ends in CRLF
 * or nothing was put out at all (an empty message).
 * Fast path: whole lines are found with memchr and copied in one piece.
 */
enum data_result data_read(struct data_reader *r, struct str *in, struct buf *out);

/* Wire form to octets of the message: a dot at the start of a line is dropped. at_line_start is kept between calls (begin with true). */
void data_unstuff(struct str wire, bool *at_line_start, struct buf *out);
/* Octets with CRLF line ends to wire form. */
void data_stuff(struct str octets, bool *at_line_start, struct buf *out);

#endif
