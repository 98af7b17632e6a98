/*
 * header.h - a message's header, read as it flows (RFC 5322 2.2): field by field, whatever the cutting; what leaves are whole fields.
 *
 * Input is the content in wire form (CRLF line ends, dots stuffed) as data_read() makes it. Output: the same octets without the fields
 * that must go (names in `remove`, and those of which `remove_field` says so), and facts: count of Received, sizes. The body follows the
 * first empty line, or a line that is no field.
 * A tap sees every field and all of the body as octets of the message (dots unstuffed), also fields that are removed: DKIM verifies the message
 * as it came.
 */
#ifndef POSTERN_MAIL_HEADER_H
#define POSTERN_MAIL_HEADER_H

#include "postern/base/str.h"

struct mail_tap { /* a reader of content; each byte once; never waits */
    void (*field)(struct mail_tap *t, struct str field);   /* one whole field with folding, without the final CRLF; also removed
                                                               ones; not a mailbox's "From " line at the start */
    void (*end_of_header)(struct mail_tap *t);
    void (*body)(struct mail_tap *t, struct str octets);
    struct mail_tap *next;
};

struct header_reader {
    bool in_body;
    bool too_big;              /* the header passed the limit: the message is to be refused; nothing more is kept of it */
    uint64_t limit;            /* octets; 0: none */
    uint64_t header_octets;
    unsigned received;         /* Received fields */
    unsigned removed;          /* fields left out */
    const struct str *remove;  /* names, matched without case; also when white space stands before the colon */
    size_t remove_count;
    bool (*remove_field)(struct str field, void *context); /* set after header_begin(), may be NULL: is this field to go, too? As a
                                                              tap sees it */
    void *remove_context;
    struct mail_tap *taps;
    struct buf held;           /* a field begun, in wire form */
    bool held_line;            /* its first line is complete, and was judged */
    bool held_whole;           /* its last line is complete: the next octet tells whether it goes on */
    bool at_line_start;        /* of the body, for unstuffing to the taps */
};

void header_begin(struct header_reader *h, uint64_t limit, const struct str *remove, size_t remove_count, struct mail_tap *taps);
/* Eats wire-form content, appends what is kept to out. */
void header_feed(struct header_reader *h, struct str wire, struct buf *out);
/* The content has ended: a field still held is handed out; a message without an empty line gets its end of header. */
void header_end(struct header_reader *h, struct buf *out);
void header_clear(struct header_reader *h);

/* Name of a field ("Subject" of "Subject : x"; also when the name is folded before the colon), and what follows the colon as it stands; both
 * empty when it is no field. */
struct str field_name(struct str field);
struct str field_body(struct str field);
/* Appends "Name: value" CRLF to out, folded at white space so that lines stay below 78 where they can and never pass 998; bytes that are not
 * printable ASCII become '?', so that nothing from outside can add a line (RFC 5322 2.2). */
void field_write(struct buf *out, struct str name, struct str value);

#endif
