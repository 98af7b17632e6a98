/* Calls the program in this process: argv in, status and what it printed out. */
#ifndef CLI_CALL_H
#define CLI_CALL_H

#include <stdlib.h>
#include <string.h>

#include "cli.h"

struct called { int status; char *out, *error; };

static inline struct called call_program(char *const *arguments)
{
    struct called c = {0};
    char *argv[32] = {"postern"};
    int argc = 1;
    size_t out_size, error_size;
    FILE *out = stdout, *error = stderr;
    for (; arguments[argc - 1]; argc++)
        argv[argc] = arguments[argc - 1];
    stdout = open_memstream(&c.out, &out_size);
    stderr = open_memstream(&c.error, &error_size);
    c.status = cli_main(argc, argv);
    fclose(stdout);
    fclose(stderr);
    stdout = out;
    stderr = error;
    return c;
}

static inline void called_clear(struct called *c)
{
    free(c->out);
    free(c->error);
}

#define CALL(...) call_program((char *[]){__VA_ARGS__, NULL})

#endif
