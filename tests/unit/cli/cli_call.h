/* Calls the program in this process: argv in, status and what it printed out. */
#ifndef CLI_CALL_H
#define CLI_CALL_H

#include <stdlib.h>
#include <string.h>

#include "cli.h"

struct called { int status; char *out, *error; };

static inline struct called call_program(const char *const *arguments)
{
    struct called c = {0};
    char program[] = "postern", *argv[40] = {program};
    int argc = 1;
    size_t out_size, error_size;
    FILE *out = stdout, *error = stderr;
    for (; arguments[argc - 1]; argc++)
        argv[argc] = strdup(arguments[argc - 1]); /* getopt_long(3) moves them about */
    stdout = open_memstream(&c.out, &out_size);
    stderr = open_memstream(&c.error, &error_size);
    char *copies[40];
    memcpy(copies, argv, sizeof copies);
    c.status = cli_main(argc, argv);
    for (int i = 1; i < argc; i++)
        free(copies[i]);
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

#define CALL(...) call_program((const char *[]){__VA_ARGS__, NULL})

#endif
