/*
 * script_parser.h - the inside of reading a transcript: lines become steps. script_parse.c reads the conversation, script_world.c
 * what the world is like, script_backend.c its backends, script_expect.c what records, counters and messages must say.
 */
#ifndef POSTERN_SIM_SCRIPT_PARSER_H
#define POSTERN_SIM_SCRIPT_PARSER_H

#include "script.h"

struct policy_request { /* loaded at the end, when all settings are known */
    struct str name;
    struct str body;
    bool block;
    unsigned body_line;
    bool shadow;
    size_t step;          /* STEP_POLICY or STEP_SHADOW to fill in; SIZE_MAX: the first policy */
    struct span span;
};

struct conversation { /* of one client since it connected: what `again` says again */
    struct step *steps;
    size_t count;
    bool begun;
    bool after_data, in_content;
    char tail[5];         /* last bytes of content, to see the final dot */
    size_t tail_length;
};

struct parser {
    struct script *script;
    struct source *source;
    struct diags *diags;
    size_t next;          /* offset of the line after this one */
    unsigned line_number;
    struct str line;      /* this one, without its indentation */
    struct str rest;      /* what is not yet read of it */
    bool talking;         /* the first line of the conversation was seen */
    bool joins;           /* the step before is a SEND that this line may join */
    size_t capacity;
    struct conversation clients[ACTORS_MAX];
    struct policy_request *policies;
    size_t policy_count;
    bool backend_placed[BACKENDS_MAX];
};

bool parser_next_line(struct parser *p);  /* into p->line and p->rest; false at the end */
/* Complains of `what`, a slice of the source (the line when it is empty). Always false. */
bool parser_complain(struct parser *p, struct str what, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
struct step *parser_step(struct parser *p, enum step_kind kind, unsigned actor); /* one more; valid until the next */
bool parser_word(struct parser *p, const char *what, struct str *word);  /* complains when there is none */
bool parser_duration(struct parser *p, uint64_t *ms);
bool parser_number(struct parser *p, uint64_t *number);
bool parser_text(struct parser *p, struct str *text);                    /* quoted */
bool parser_end(struct parser *p);                                       /* nothing more on this line */
/* "dns", "backend" ...: true when `word` was one of these, whether it was good or not. */
bool parser_world(struct parser *p, struct str word, unsigned actor);
void parser_backend(struct parser *p, unsigned actor); /* behind "backend" */
/* What backend `index` shows at first; made when it is first asked for. */
const struct credentials *parser_credentials(struct parser *p, unsigned index);
void parser_expect(struct parser *p);
void parser_finish_world(struct parser *p); /* default settings, then the policies */

#endif
