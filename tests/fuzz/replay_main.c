/*
 * replay_main.c - a fuzz target without libFuzzer: each file given, and each file in the folders given, is one input; nothing given is one
 * input from standard input. A target ends the process itself when it finds something; here it is a failure only when nothing was there to run.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t inputs, unreadable;

static void run(FILE *from)
{
    size_t n = 0, room = 4096;
    uint8_t *data = malloc(room);
    for (size_t got; data && (got = fread(data + n, 1, room - n, from)) > 0;) {
        n += got;
        if (n == room)
            data = realloc(data, room *= 2);
    }
    if (!data)
        abort();
    uint8_t *exact = malloc(n ? n : 1); /* a block of exactly this size: what reads past it is seen */
    if (!exact)
        abort();
    memcpy(exact, data, n);
    free(data);
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    inputs++;
}

static void run_path(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0) {
        perror(path);
        unreadable++;
        return;
    }
    if (!S_ISDIR(status.st_mode)) {
        FILE *from = fopen(path, "rb");
        if (!from) {
            perror(path);
            unreadable++;
            return;
        }
        fprintf(stderr, "%s\n", path); /* said before: the last line names what ended the process */
        run(from);
        fclose(from);
        return;
    }
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char *below = NULL;
        if (entries[i]->d_name[0] != '.' && asprintf(&below, "%s/%s", path, entries[i]->d_name) >= 0)
            run_path(below);
        free(below);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        run(stdin);
    for (int i = 1; i < argc; i++)
        run_path(argv[i]);
    printf("%zu inputs\n", inputs);
    return inputs > 0 && unreadable == 0 ? 0 : 1;
}
